"""`interp spectrum` and `interp microscope`: where images come from, and what is done with them."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from interp import hooks, spectrum, zoo
from interp.digest import digest
from interp.errors import BadInputError, MissingFileError, UnknownNameError
from interp.extras import hub
from interp.microscope.site import build

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DATA = """where the images come from:
  scenes               the embedded scenes (--images says how many)
  photographs          the embedded photographs
  FOLDER               the image files in a folder and below; the folder of a file is its label
  parquet:FILE,...     Parquet files with a column of images
  webdataset:FILE,...  WebDataset archives
  hub:NAME[@SPLIT]     a data set on the Hugging Face Hub, streamed; HF_TOKEN is used where it needs one
  imagenette[@SPLIT]   Imagenette, downloaded once"""


def add_spectrum(commands: Commands) -> None:
    """Add the command `interp spectrum`."""
    command = _command(
        commands, "spectrum", "find the images that drive the channels of a network up, down and nowhere"
    )
    command.add_argument("--save", metavar="FILE", help="also write the merged spectrum to a file")
    command.add_argument(
        "--show", metavar="[LAYER/]CHANNEL", nargs="+", default=[], help="print the images of these channels"
    )
    command.add_argument(
        "--decoders", type=int, default=1, help="threads that decode ahead, in each process (%(default)s)"
    )
    command.add_argument("--threads", type=int, default=1, help="of torch, in each process (%(default)s)")
    command.add_argument(
        "--share", default="0/1", metavar="I/N", help="compute every Nth shard only, from shard I on"
    )
    command.set_defaults(command=_spectrum)


def add_microscope(commands: Commands) -> None:
    """Add the command `interp microscope`."""
    command = _command(commands, "microscope", "build a site that shows every channel of a network")
    command.add_argument("--title", help="the name of the network on the site")
    command.add_argument(
        "--steps", type=int, default=96, help="of the optimized pictures, 0 for none (%(default)s)"
    )
    command.add_argument(
        "--side", type=int, default=224, help="of an image on the site in pixels (%(default)s)"
    )
    command.set_defaults(command=_microscope)


def _command(commands: Commands, name: str, what: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}. After an interruption the same command goes on.",
        epilog=DATA,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("model", metavar="MODEL", help="a name that zoo.load_model knows")
    command.add_argument(
        "--layers", metavar="NAME,...", required=True, help="names that `interp layers MODEL` lists"
    )
    command.add_argument("--data", metavar="DATA", default="scenes", help="see below (%(default)s)")
    command.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="a new folder, or that of the same run"
    )
    command.add_argument("--images", type=int, default=2000, help="number of scenes (%(default)s)")
    command.add_argument("--size", type=int, default=224, help="side of the images in pixels (%(default)s)")
    command.add_argument(
        "--shard", type=int, help="images in a shard, the most that a kill can cost (a sixteenth, 50 to 1000)"
    )
    command.add_argument("--pool", choices=["mean", "max", "center"], default="mean")
    command.add_argument("-k", type=int, default=9, help="images in a band (%(default)s)")
    command.add_argument("--batch", type=int, default=16, help="images in a forward pass (%(default)s)")
    command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (%(default)s)")
    command.add_argument("--engine", choices=["here", "processes", "ray"], default="here")
    command.add_argument("--workers", type=int, default=2, help="processes or Ray actors (%(default)s)")
    return command


def _spectrum(options: argparse.Namespace) -> None:
    _check_folder_of(options.save)
    model, source = _model(options), source_of(options)
    layers = _layers(model, options)
    job = spectrum.Job(
        model,
        layers,
        source,
        pool=options.pool,
        k=options.k,
        batch=options.batch,
        device=options.device,
        threads=options.threads,
        decoders=options.decoders,
    )
    shown, share = [_parsed(text, layers) for text in options.show], share_of(options.share)
    folder, engine, progress = Path(options.output), _engine(options), sys.stderr.isatty()
    if share != (0, 1):
        spectrum.compute(job, folder, share=share, engine=engine, progress=progress)
        done = source.shards - len(job.unfinished(folder))
        sys.stdout.write(f"{done} of {source.shards} shards are finished.\n")
        return
    found = spectrum.run(job, folder, engine=engine, progress=progress)
    if options.save:
        spectrum.save(found, Path(options.save))
    lines = [f"{found.images:,} images, {len(found.broken)} broken, {len(found)} channels."]
    lines += [f"broken: {each.name}: {each.reason}" for each in found.broken[:20]]
    for layer, channel in shown:
        lines += _printed(_unit(found, layer, channel), source)
    sys.stdout.write("\n".join(lines) + "\n")


def _check_folder_of(file: str | None) -> None:
    """Refuse a place that nothing can be saved to before the run, not after it."""
    if file is not None and not Path(file).parent.is_dir():
        raise MissingFileError(
            f"--save {file!r}: there is no folder {str(Path(file).parent)!r}. Make it first."
        )


def share_of(text: str) -> tuple[int, int]:
    """Return (index, count) of a share as it is written on the command line, INDEX/COUNT."""
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise BadInputError(f"A share is written INDEX/COUNT, such as 0/4; got {text!r}.")
    return int(index), int(count)


def _parsed(text: str, layers: Sequence[str]) -> tuple[str, int]:
    """Return (layer, channel); without a layer the first one is meant."""
    layer, slash, channel = text.rpartition("/")
    if not channel.isdecimal():
        raise BadInputError(f"--show takes a channel, such as 7 or {layers[0]}/7; got {text!r}.")
    if slash and layer not in layers:
        raise UnknownNameError("layer in --layers", layer, layers)
    return layer if slash else layers[0], int(channel)


def _unit(found: spectrum.Spectrum, layer: str, channel: int) -> spectrum.Unit:
    channels = len(found.layers[layer])
    if channel >= channels:
        raise BadInputError(f"{layer} has the channels 0 to {channels - 1}; there is no channel {channel}.")
    return found[layer, channel]


def _printed(unit: spectrum.Unit, source: spectrum.Source) -> list[str]:
    """Return the columns of a unit as lines: a score, the label and the name of each image."""
    ids = sorted({id_ for band in unit.columns for id_ in band.ids})
    entries = {entry.id: " ".join(filter(None, [entry.label, entry.name])) for entry in source.find(ids)}
    lines = [f"{unit.layer}/{unit.channel}: {'; '.join(unit.flags) or 'no warning'}"]
    for band in unit.columns:
        lines.append(f"  {band.name}")
        lines += [
            f"    {score:10.4g}  {entries[id_]}" for id_, score in zip(band.ids, band.scores, strict=True)
        ]
    return lines


def _microscope(options: argparse.Namespace) -> None:
    model = _model(options)
    page = build(
        model,
        source_of(options),
        Path(options.output),
        layers=_layers(model, options),
        title=options.title or options.model,
        about=f"Every channel of some layers of {options.model}, and what drives it.",
        pool=options.pool,
        k=options.k,
        batch=options.batch,
        steps=options.steps,
        side=options.side,
        size=options.size,
        engine=_engine(options),
        progress=sys.stderr.isatty(),
    )
    sys.stdout.write(f"Open {page}\n")


def _model(options: argparse.Namespace) -> nn.Module:
    model: nn.Module = zoo.load_model(options.model)
    try:
        return model.to(options.device)
    except (RuntimeError, AssertionError) as error:
        raise BadInputError(f"The device {options.device!r} cannot be used: {error}") from error


def _layers(model: nn.Module, options: argparse.Namespace) -> tuple[str, ...]:
    names = tuple(part.strip() for part in options.layers.split(",") if part.strip())
    for name in names:
        hooks.find_layer(model, name)
    if not names:
        raise BadInputError("--layers names no layer. `interp layers MODEL` lists them.")
    return names


def _engine(options: argparse.Namespace) -> spectrum.Engine:
    if options.engine == "ray":
        from interp.extras.ray_engine import ray_actors

        return ray_actors(options.workers)
    return spectrum.here if options.engine == "here" else spectrum.processes(options.workers)


# ------------------------------------------------------------------------------------------------------------
# Sources by name


def source_of(options: argparse.Namespace) -> spectrum.Source:
    """Return the source that `--data` names.

    Raises:
        BadInputError: it names none.
    """
    kind, colon, rest = options.data.partition(":")
    name, _, split = (rest if colon else kind).partition("@")
    if colon and kind in ("parquet", "webdataset"):
        return hub.Streamed(kind, _files(rest), size=options.size)
    if colon and kind == "hub":
        return hub.Streamed(name, split=split or "train", size=options.size)
    found: spectrum.Folder | spectrum.Items | None = None
    if name in _NAMED and not colon:
        found = _NAMED[name](split, options)
    elif Path(options.data).is_dir():
        found = spectrum.Folder(Path(options.data), options.size)
    if found is not None:
        count = len(found.names if isinstance(found, spectrum.Folder) else found.dataset)
        if not count:
            raise BadInputError(f"--data {options.data!r} holds no image. Ask for more with --images.")
        return replace(found, shard_size=shard_size(count) if options.shard is None else options.shard)
    known = ", ".join(line.split()[0] for line in DATA.splitlines()[1:])
    raise BadInputError(f"--data {options.data!r} is no folder and no known source. Known are: {known}.")


def _files(text: str) -> tuple[str, ...]:
    """Return the names of files between commas; those on this machine have to exist."""
    names = tuple(text.split(","))
    missing = [name for name in names if "://" not in name and not glob.glob(name)]
    if missing:
        raise MissingFileError(f"There is no file {missing[0]!r}. Check the path.")
    return names


def shard_size(count: int) -> int:
    """Return how many images a shard should hold: few enough to resume and to share out, without thousands of files."""
    return min(1000, max(50, -(-count // 16)))


def scenes(count: int, size: int = 224) -> spectrum.Items:
    """Return the embedded scenes as a source; the label is the class of the main object.

    Args:
        count: how many.
        size: the side in pixels.
    """
    dataset = zoo.Scenes("all", size, length=count)
    return spectrum.Items(dataset, f"scenes all {size}", class_names=zoo.SCENE_CLASSES)


def photographs(size: int = 224) -> spectrum.Items:
    """Return the embedded photographs as a source; the label is the name of the photograph."""
    names = zoo.photograph_names()
    items = [(zoo.photograph(name)[0], name) for name in names]
    return spectrum.Items(items, f"photographs {digest(names)[:8]}", size=size)


def _imagenette(split: str, options: argparse.Namespace) -> spectrum.Items:
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
