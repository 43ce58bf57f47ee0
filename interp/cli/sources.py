"""Where images come from: `--data`, and what belongs to it."""

from __future__ import annotations

import argparse
import csv
import glob
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.cli import numbers
from interp.cli.network import OWN
from interp.cli.texts import existing
from interp.errors import BadInputError, MissingFileError

if TYPE_CHECKING:
    from interp import spectrum

HELP = """where the images come from:
  scenes               the embedded scenes (--images says how many)
  photographs          the embedded photographs
  FOLDER               the image files in a folder and below; the folder of a file is its label
  FILE.py:NAME         your own: FILE.py is run, and NAME() in it gives a dataset, or a source of interp.spectrum
  parquet:FILE,...     Parquet files with a column of images
  webdataset:FILE,...  WebDataset archives
  hub:NAME[@SPLIT]     a data set on the Hugging Face Hub, streamed; HF_TOKEN is used where it needs one
  imagenette[@SPLIT]   Imagenette, downloaded once
Of every image the middle square is taken, at the side --size; another preprocessing is FILE.py:NAME. For a network of
one channel it is made gray; images of other channels are tensors or arrays of FILE.py:NAME."""
FILES = ("parquet", "webdataset")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what names images."""
    command.add_argument("--data", metavar="DATA", default="scenes", help="see below (%(default)s)")
    command.add_argument(
        "--labels",
        metavar="FILE",
        help="for a FOLDER: a CSV file with the name of an image and its label in each row",
    )
    command.add_argument("--images", type=int, default=2000, help="number of scenes (%(default)s)")
    command.add_argument("--size", type=int, default=224, help="side of the images in pixels (%(default)s)")
    command.add_argument(
        "--shard", type=int, help="images in a shard, the most that a kill can cost (a sixteenth, 50 to 1000)"
    )


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded.

    Raises:
        BadInputError: `--data` is no source.
        MissingFileError: a file is not there.
    """
    kind, colon, rest = options.data.partition(":")
    numbers.check_side(options.size, 8, 4096)
    if options.labels:
        if not Path(options.data).is_dir():
            raise BadInputError(f"--labels is for a folder of images; --data is {options.data!r}.")
        read_labels(options.labels)
    if colon and kind in FILES:
        files_of(rest)
        return
    own = OWN.fullmatch(options.data)
    if own:
        existing("--data", own["file"])
    elif not _is_named(options.data):
        known = ", ".join(line.split()[0] for line in HELP.splitlines()[1:-1])
        raise BadInputError(f"--data {options.data!r} is no folder and no known source. Known are: {known}.")


def _is_named(data: str) -> bool:
    kind, colon, _ = data.partition(":")
    if colon:
        return kind == "hub" or Path(data).is_dir()
    return kind.partition("@")[0] in _NAMED or Path(data).is_dir()


def files_of(text: str) -> tuple[str, ...]:
    """Return the names of files between commas; those on this machine have to exist."""
    names = tuple(text.split(","))
    missing = [name for name in names if "://" not in name and not glob.glob(name)]  # noqa: PTH207
    if missing:
        raise MissingFileError(f"There is no file {missing[0]!r}. Check the path.")
    return names


@dataclass(frozen=True)
class Labels:
    """The label of an image by its name; an image that the table does not name has none."""

    table: dict[str, str] = field(repr=False)

    def __call__(self, name: str) -> str:
        return self.table.get(name, "")


def read_labels(file: str) -> Labels:
    """Return the labels of a CSV file, NAME,LABEL in each row; NAME is relative to the folder.

    Raises:
        MissingFileError: there is no such file.
        BadInputError: it is no such table.
    """
    try:
        with existing("--labels", file).open(newline="", encoding="utf-8-sig") as opened:
            rows = [row for row in csv.reader(opened) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"--labels {file!r} is no CSV file: {error}") from error
    short = next((number for number, row in enumerate(rows, 1) if len(row) < 2), None)
    if not rows or short:
        raise BadInputError(f"--labels {file!r} needs NAME,LABEL in each row; row {short or 1} has less.")
    return Labels({row[0].strip(): row[1].strip() for row in rows})


# ------------------------------------------------------------------------------------------------------------
# Sources


def source_of(options: argparse.Namespace, channels: int = 3) -> spectrum.Source:
    """Return the source that `--data` names.

    Args:
        options: what was written.
        channels: how many the network takes; a source of one's own gives what it gives.

    Raises:
        InterpError: it names none, or one without an image.
    """
    from interp import spectrum

    kind, colon, rest = options.data.partition(":")
    name, _, split = (rest if colon else kind).partition("@")
    if colon and kind in (*FILES, "hub"):
        from interp.extras import hub

        if kind == "hub":
            return hub.Streamed(name, split=split or "train", size=options.size, channels=channels)
        return hub.Streamed(kind, files_of(rest), size=options.size, channels=channels)
    if Path(options.data).is_dir():
        found: Any = _folder(options, channels)
    elif OWN.fullmatch(options.data):
        found = _own(options, channels)
    else:
        found = replace(_NAMED[name](split, options), channels=channels)
    if not isinstance(found, spectrum.Folder | spectrum.Items):
        return found  # type: ignore[no-any-return]
    return _sharded(found, options)


def _sharded(source: Any, options: argparse.Namespace) -> spectrum.Source:
    from interp import spectrum

    count = len(source.names if isinstance(source, spectrum.Folder) else source.dataset)
    if not count:
        raise BadInputError(f"--data {options.data!r} holds no image. Ask for more with --images.")
    sharded: spectrum.Source = replace(
        source, shard_size=shard_size(count) if options.shard is None else options.shard
    )
    return sharded


def shard_size(count: int) -> int:
    """Return how many images a shard should hold: few enough to resume and to share out, without thousands of files."""
    return min(1000, max(50, -(-count // 16)))


def _folder(options: argparse.Namespace, channels: int) -> spectrum.Folder:
    from interp import spectrum

    found = spectrum.Folder(Path(options.data), options.size, channels=channels)
    if not options.labels:
        return found
    labels = read_labels(options.labels)
    if found.names and not any(name in labels.table for name in found.names):
        raise BadInputError(
            f"--labels {options.labels!r} names no image of {options.data!r}: it has {next(iter(labels.table))!r}, and "
            f"the folder {found.names[0]!r}."
        )
    return replace(found, label=labels)


def _own(options: argparse.Namespace, channels: int) -> Any:
    from interp import spectrum
    from interp.spectrum.entries import is_source
    from interp.zoo import own

    found = OWN.fullmatch(options.data)
    if found is None:
        raise BadInputError(f"--data {options.data!r} is not FILE.py:NAME.")
    made = own.called_in(found["file"], found["name"])
    if is_source(made):
        return made
    if not (hasattr(made, "__len__") and hasattr(made, "__getitem__")):
        raise BadInputError(
            f"{options.data} gives {type(made).__name__}; a dataset with a length and an index is needed, or a source "
            "of interp.spectrum."
        )
    code = hashlib.sha256(Path(found["file"]).read_bytes()).hexdigest()[:16]
    names = tuple(map(str, getattr(made, "classes", ())))  # as torchvision's datasets have them
    return spectrum.Items(
        made, f"{options.data} {code}", size=options.size, class_names=names, channels=channels
    )


def scenes(count: int, size: int = 224) -> spectrum.Items:
    """Return the embedded scenes as a source; the label is the class of the main object.

    Args:
        count: how many.
        size: the side in pixels.
    """
    from interp import spectrum, zoo

    dataset = zoo.Scenes("all", size, length=count)
    return spectrum.Items(dataset, f"scenes all {size}", class_names=zoo.SCENE_CLASSES)


def photographs(size: int = 224) -> spectrum.Items:
    """Return the embedded photographs as a source; the label is the name of the photograph."""
    from interp import spectrum, zoo
    from interp.digest import digest

    names = zoo.photograph_names()
    items = [(zoo.photograph(name)[0], name) for name in names]
    return spectrum.Items(items, f"photographs {digest(names)[:8]}", size=size)


def _imagenette(split: str, options: argparse.Namespace) -> spectrum.Items:
    from interp import spectrum, zoo

    data: Any = zoo.load_imagenette(split or "train", image_size=options.size).dataset
    # Without the random crops of training: an image has to be the same each time.
    data.transform = zoo.imagenette_transforms(False, options.size)
    return spectrum.Items(
        data, f"imagenette {split or 'train'} {options.size}", class_names=zoo.IMAGENETTE_CLASSES
    )


_NAMED: dict[str, Callable[[str, argparse.Namespace], spectrum.Items]] = {
    "scenes": lambda _, options: scenes(options.images, options.size),
    "photographs": lambda _, options: photographs(options.size),
    "imagenette": _imagenette,
}
