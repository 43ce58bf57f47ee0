"""Where images come from: a dataset, or a folder; each lists entries, shard by shard, and finds one again by its id."""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from interp import image
from interp.digest import digest
from interp.errors import BadInputError, LostSourceError, UnreadableError
from interp.spectrum.entries import Entry, decoded, persistent
from interp.spectrum.forms import label_text, parts, square
from interp.spectrum.state import Broken, check_positive

LOOKED_AT, TWICE = 16, 4  # items that tell one dataset from another; of these, looked at twice
HEAD = 4096  # bytes that tell one file from another of the same size and time
State = tuple[int, int]  # of a file: its bytes, the time of its last change in nanoseconds


@dataclass(frozen=True)
class Items:
    """Any dataset with a length and an index: scenes, torchvision's and Hugging Face's datasets, a list.

    An item is a picture; a tuple or list [picture, label]; a mapping with a column such as "image" or "img"; or an
    object with `image` and `label`. A picture is a tensor (C, H, W) in [0, 1], a Pillow image, an array (H, W, C) of
    bytes, a path, or the bytes of an image file; the files give C = 3, or 1 in gray. A label is a name, a number, or
    None; a negative number is none.

    Attributes:
        dataset: what holds the items; the index is the id. It has to give the same picture each time.
        name: says which data this is; part of the fingerprint, together with the length, the size and some items.
        size: the side of the square that is cut from the middle; None leaves the images as they are.
        class_names: names for labels that are numbers.
        shard_size: how many images a shard holds.
        channels: how many an image has, as the network takes them: 3 for RGB; 1 for gray, which RGB is made into.
    """

    dataset: Any
    name: str
    size: int | None = None
    class_names: Sequence[str] = ()
    shard_size: int = 1000
    channels: int = 3

    def __post_init__(self) -> None:
        _check_sizes(self)

    @property
    def fingerprint(self) -> str:
        """Return the hash of name, length, sizes, and of up to 16 items spread over the dataset.

        Raises:
            BadInputError: an item gives another picture each time.
        """
        count = len(self.dataset)
        chosen = range(0, count, max(1, -(-count // LOOKED_AT)))
        looks = [_look(entry) for entry in self.find(chosen)]
        if looks[:TWICE] != [_look(entry) for entry in self.find(chosen[:TWICE])]:
            raise BadInputError(
                f"The dataset {self.name!r} gives another picture each time. Take the random transforms out: an image "
                "has to be found again as it was."
            )
        return digest(["items", self.name, count, self.size, self.shard_size, looks])

    @property
    def shards(self) -> int:
        return -(-len(self.dataset) // self.shard_size)

    def entries(self, shard: int) -> Iterator[Entry]:
        start = _checked(shard, self.shards) * self.shard_size
        return self.find(range(start, min(start + self.shard_size, len(self.dataset))))

    def find(self, ids: Iterable[int]) -> Iterator[Entry]:
        for index in ids:
            yield self._entry(check_id(index, len(self.dataset)))

    def _entry(self, index: int) -> Entry:
        place = f"{self.name}[{index}]"
        try:
            item = persistent(lambda: self.dataset[index], place)
        except (LostSourceError, MemoryError):
            raise
        except Exception as error:  # whatever the dataset's decoder stumbled over  # noqa: BLE001
            return Entry(index, place, "", _raiser(error))
        picture, label, name = parts(item, place)
        text = label_text(label, self.class_names, place)
        return Entry(index, name or place, text, lambda: square(picture, self.size, self.channels))


def folder_name(name: str) -> str:
    """Return the name of the folder that a file lies in, the usual label."""
    return Path(name).parent.name


@dataclass(frozen=True)
class Folder:
    """The image files of a folder and all folders below it, in the order of their names.

    They are listed once, when this is made, and the list goes along to other processes. A file that appears later is
    not seen, and one that is changed later is refused; make a new `Folder` then.

    Attributes:
        path: the folder; `image.list_folder` says what in it counts.
        size: the side of the square that is cut from the middle.
        label: gives the label for a file's name relative to the folder; its folder by default.
        shard_size: how many images a shard holds.
        channels: 3 for RGB, 1 for gray, as the network takes them.
        names: the names of the files, relative to the folder, in the order of their ids.
        states: (bytes, time of the last change) of each file; None for a link that leads nowhere.

    Raises:
        MissingFileError: there is no such folder.
        UnreadableError: a folder in it cannot be read.
        BadInputError: there is no image in it, or other channels are asked for.
    """

    path: str | os.PathLike[str]
    size: int = 224
    label: Callable[[str], str] = folder_name
    shard_size: int = 1000
    channels: int = 3
    names: tuple[str, ...] = field(init=False, repr=False)
    states: tuple[State | None, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_sizes(self)
        if self.channels not in (1, 3):
            raise BadInputError(
                f"An image file gives three channels, or one in gray; {self.channels} are wanted. Put them into Items, "
                f"as tensors ({self.channels}, H, W) in [0, 1] or arrays of bytes (H, W, {self.channels})."
            )
        path = Path(self.path).absolute()
        names = tuple(image.list_folder(path))
        states = tuple(state(path / name) for name in names)
        for name, value in (("path", path), ("names", names), ("states", states)):
            object.__setattr__(self, name, value)

    @property
    def fingerprint(self) -> str:
        """Return the hash of all names, and of the size, the time and the beginning of each file."""
        files = [
            (name, known, head(self._file(name))) for name, known in zip(self.names, self.states, strict=True)
        ]
        return digest(["folder", files, self.size, self.shard_size, self.channels])

    @property
    def shards(self) -> int:
        return -(-len(self.names) // self.shard_size)

    def entries(self, shard: int) -> Iterator[Entry]:
        start = _checked(shard, self.shards) * self.shard_size
        return self.find(range(start, min(start + self.shard_size, len(self.names))))

    def find(self, ids: Iterable[int]) -> Iterator[Entry]:
        for index in ids:
            index = check_id(index, len(self.names))
            name = self.names[index]
            yield Entry(index, name, self.label(name), self._loader(index))

    def _loader(self, index: int) -> Callable[[], Tensor]:
        file, known = self._file(self.names[index]), self.states[index]

        def load() -> Tensor:
            if known is None:
                raise BadInputError(f"{str(file)!r} is a link that leads nowhere. Mend it or take it away.")
            found = square(file, self.size, self.channels)
            if state(file) != known:
                raise LostSourceError(
                    f"{str(file)!r} was changed after its folder was listed. Start again with a new Folder, and leave "
                    "the files alone until it is finished."
                )
            return found

        return load

    def _file(self, name: str) -> Path:
        return Path(self.path) / name


def state(file: Path) -> State | None:
    """Return (bytes, time of the last change in nanoseconds) of a file; None if there is none."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if file.is_symlink():  # in a circle
            return None
        raise LostSourceError(f"{str(file)!r} cannot be read: {error.strerror}. Check its disk.") from error
    return found.st_size, found.st_mtime_ns


def head(file: Path) -> bytes:
    """Return a hash of the beginning of a file; that of nothing for one that is not there."""
    if not file.exists():
        return b""
    try:
        with file.open("rb") as opened:
            return hashlib.sha256(opened.read(HEAD)).digest()
    except OSError as error:
        raise UnreadableError(
            f"{str(file)!r} cannot be read: {error.strerror}. Check its rights and its disk, or take it away."
        ) from error


def _look(entry: Entry) -> object:
    """Return the shape of an image and the channels of its quarters in percent, or what is wrong with it.

    No more than that, so that another machine, whose resizing rounds differently, sees the same.
    """
    found = decoded(entry)
    if isinstance(found, Broken):
        return found.reason
    quarters = image.resize(found.float(), (2, 2))
    return tuple(found.shape), (100 * quarters).round().int().flatten().tolist()


def _raiser(error: Exception) -> Callable[[], Tensor]:
    def fail() -> Tensor:
        raise error

    return fail


def _check_sizes(source: Items | Folder) -> None:
    """Make the numbers plain ones, so that numpy's integers count as the same, and refuse those below 1."""
    for name in ("shard_size", "channels"):
        object.__setattr__(source, name, check_positive(name, getattr(source, name)))
    if source.size is not None:
        object.__setattr__(source, "size", check_positive("size", source.size))


def check_id(index: int, count: int) -> int:
    """Return the id of an image as a plain number.

    Raises:
        BadInputError: there is no such image.
    """
    number = operator.index(index)
    if not 0 <= number < count:
        raise BadInputError(f"This source has the images 0 to {count - 1}; there is no image {number}.")
    return number


def _checked(shard: int, shards: int) -> int:
    if not 0 <= shard < shards:
        raise BadInputError(f"This source has the shards 0 to {shards - 1}; there is no shard {shard}.")
    return shard
