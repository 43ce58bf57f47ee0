"""Where images come from: anything that lists entries, shard by shard, and finds an entry again by its id."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image as PILImage
from torch import Tensor

from interp import image
from interp.digest import digest
from interp.errors import BadInputError, InterpError, MissingFileError
from interp.spectrum.state import Broken

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Entry:
    """An image that has not been decoded yet.

    Attributes:
        id: its number in the source, in [0, 2**32); the same in every run.
        name: what a person would look for: a file name, or the place in a shard.
        label: the name of its class, or an empty string.
        load: decodes it, to (1, 3, H, W) in [0, 1].
    """

    id: int
    name: str
    label: str
    load: Callable[[], Tensor]


@dataclass(frozen=True)
class Batch:
    """Images that go through the network together.

    Attributes:
        ids: (N,) int64.
        images: (N, 3, H, W) in [0, 1].
        labels: N names of classes, empty where there is none.
        broken: the images that should have been here and could not be read.
    """

    ids: Tensor
    images: Tensor
    labels: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()


class Source(Protocol):
    """A set of images in an order that never changes, in shards that can be read apart."""

    @property
    def fingerprint(self) -> str:
        """Return a hash that is another one for another set of images, order or preprocessing."""

    @property
    def shards(self) -> int:
        """Return the number of shards."""

    def entries(self, shard: int) -> Iterator[Entry]:
        """List the entries of one shard."""

    def find(self, ids: Iterable[int]) -> Iterator[Entry]:
        """List the entries with these ids."""


# ------------------------------------------------------------------------------------------------------------
# Sources


@dataclass(frozen=True)
class Items:
    """Any dataset with a length and an index: scenes, torchvision's and Hugging Face's datasets, a list.

    An item is a tensor or Pillow image, a tuple (image, label), a mapping or an object with `image` and `label`.

    Attributes:
        dataset: what holds the items; the index is the id.
        name: says which data this is; part of the fingerprint, together with the length and the size.
        size: the side of the square that is cut from the middle; None leaves the images as they are.
        class_names: names for labels that are numbers.
        shard_size: how many images a shard holds.
    """

    dataset: Any
    name: str
    size: int | None = None
    class_names: Sequence[str] = ()
    shard_size: int = 1000

    def __post_init__(self) -> None:
        check_positive("shard_size", self.shard_size)

    @property
    def fingerprint(self) -> str:
        return digest(["items", self.name, len(self.dataset), self.size, self.shard_size])

    @property
    def shards(self) -> int:
        return -(-len(self.dataset) // self.shard_size)

    def entries(self, shard: int) -> Iterator[Entry]:
        start = _checked(shard, self.shards) * self.shard_size
        return self.find(range(start, min(start + self.shard_size, len(self.dataset))))

    def find(self, ids: Iterable[int]) -> Iterator[Entry]:
        for index in ids:
            yield self._entry(index)

    def _entry(self, index: int) -> Entry:
        try:
            picture, label, name = _parts(self.dataset[index])
        except (OSError, ValueError, SyntaxError) as error:
            return Entry(index, f"{self.name}[{index}]", "", _raiser(error))
        return Entry(
            index,
            name or f"{self.name}[{index}]",
            self._label(label),
            lambda: square(picture, self.size),
        )

    def _label(self, label: object) -> str:
        if isinstance(label, int | torch.Tensor) and self.class_names:
            return str(self.class_names[int(label)]) if int(label) >= 0 else ""
        return "" if label is None else str(label)


def folder_name(name: str) -> str:
    """Return the name of the folder that a file lies in, the usual label."""
    return Path(name).parent.name


@dataclass(frozen=True)
class Folder:
    """The image files of a folder and all folders below it, in the order of their names.

    Attributes:
        path: the folder.
        size: the side of the square that is cut from the middle.
        label: gives the label for a file's name relative to the folder; its folder by default.
        shard_size: how many images a shard holds.
    """

    path: Path
    size: int = 224
    label: Callable[[str], str] = folder_name
    shard_size: int = 1000

    def __post_init__(self) -> None:
        check_positive("shard_size", self.shard_size)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the files, relative to the folder, in the order of their ids."""
        return _names(str(self.path))

    @property
    def fingerprint(self) -> str:
        sizes = [(self.path / name).stat().st_size for name in self.names]
        return digest(["folder", self.names, sizes, self.size, self.shard_size])

    @property
    def shards(self) -> int:
        return -(-len(self.names) // self.shard_size)

    def entries(self, shard: int) -> Iterator[Entry]:
        start = _checked(shard, self.shards) * self.shard_size
        return self.find(range(start, min(start + self.shard_size, len(self.names))))

    def find(self, ids: Iterable[int]) -> Iterator[Entry]:
        for index in ids:
            name = self.names[index]
            yield Entry(index, name, self.label(name), self._loader(name))

    def _loader(self, name: str) -> Callable[[], Tensor]:
        return lambda: square(image.load(self.path / name), self.size)


_listed: dict[str, tuple[str, ...]] = {}


def _names(folder: str) -> tuple[str, ...]:
    """List a folder once a process: a file that appears later does not shift the ids."""
    if folder not in _listed:
        path = Path(folder)
        if not path.is_dir():
            raise MissingFileError(f"There is no folder {folder!r}. Check the path.")
        found = sorted(str(file.relative_to(path)) for file in _files(path))
        if not found:
            raise BadInputError(f"The folder {folder!r} holds no image ({', '.join(SUFFIXES)}).")
        _listed[folder] = tuple(found)
    return _listed[folder]


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root) / name for name in names if name.lower().endswith(SUFFIXES))


def square(picture: Tensor | PILImage.Image, size: int | None) -> Tensor:
    """Return (1, 3, size, size) from the middle of a picture; None keeps its own size."""
    tensor = picture if isinstance(picture, Tensor) else image.from_pil(picture)
    tensor = tensor[None] if tensor.ndim == 3 else tensor
    return image.check(tensor if size is None else image.center_crop(tensor, size).clamp(0, 1))


def _parts(item: Any) -> tuple[Any, Any, str]:
    """Return (image, label, name) of an item in any of the usual forms."""
    if isinstance(item, Tensor | PILImage.Image):
        return item, None, ""
    if isinstance(item, Mapping):
        return item["image"], item.get("label"), ""
    if isinstance(item, tuple) and not hasattr(item, "image"):
        return item[0], item[1] if len(item) > 1 else None, ""
    return item.image, getattr(item, "label", None), str(getattr(item, "id", ""))


def _raiser(error: Exception) -> Callable[[], Tensor]:
    def fail() -> Tensor:
        raise error

    return fail


def check_positive(name: str, value: int) -> None:
    """Refuse a number below 1."""
    if value < 1:
        raise BadInputError(f"{name} has to be at least 1; got {value}.")


def _checked(shard: int, shards: int) -> int:
    if not 0 <= shard < shards:
        raise BadInputError(f"This source has the shards 0 to {shards - 1}; there is no shard {shard}.")
    return shard


# ------------------------------------------------------------------------------------------------------------
# Batches


def everything(source: Source) -> Iterator[Entry]:
    """List all entries of a source, shard after shard."""
    return (entry for shard in range(source.shards) for entry in source.entries(shard))


def batches(entries: Source | Iterable[Entry], *, size: int = 16, workers: int = 0) -> Iterator[Batch]:
    """Decode entries and put them together in batches; what cannot be read is listed, with the reason.

    Args:
        entries: a source, or its entries.
        size: the number of images in a batch; the last one may be smaller.
        workers: threads that decode ahead; 0 decodes as it goes. The batches are the same.

    Raises:
        BadInputError: the images have different sizes.
    """
    check_positive("size", size)
    listed = entries if isinstance(entries, Iterable) else everything(entries)
    images: list[tuple[Entry, Tensor]] = []
    broken: list[Broken] = []
    for entry, result in _decoded(listed, workers):
        if isinstance(result, Broken):
            broken.append(result)
        else:
            images.append((entry, result))
        if len(images) == size:
            yield _batch(images, broken)
            images, broken = [], []
    if images or broken:
        yield _batch(images, broken)


def _batch(images: Sequence[tuple[Entry, Tensor]], broken: Sequence[Broken]) -> Batch:
    shapes = {tuple(tensor.shape) for _, tensor in images}
    if len(shapes) > 1:
        raise BadInputError(
            f"The images of a batch have different sizes: {sorted(shapes)}. Give the source a size, such as 224."
        )
    ids = torch.tensor([entry.id for entry, _ in images], dtype=torch.int64)
    stacked = torch.cat([tensor for _, tensor in images]) if images else torch.zeros(0, 3, 1, 1)
    return Batch(ids, stacked, tuple(entry.label for entry, _ in images), tuple(broken))


def _decoded(entries: Iterable[Entry], workers: int) -> Iterator[tuple[Entry, Tensor | Broken]]:
    """Decode entries in order, with threads a bounded way ahead."""
    if workers < 1:
        yield from ((entry, _load(entry)) for entry in entries)
        return
    entries = iter(entries)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[Entry, Future[Tensor | Broken]]] = deque()
        try:
            waiting.extend((entry, pool.submit(_load, entry)) for entry in islice(entries, 8 * workers))
            while waiting:
                entry, future = waiting.popleft()
                yield entry, future.result()
                waiting.extend((entry, pool.submit(_load, entry)) for entry in islice(entries, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _load(entry: Entry) -> Tensor | Broken:
    try:
        return entry.load()
    except (InterpError, OSError, ValueError, SyntaxError) as error:
        return Broken(entry.id, entry.name, str(error))
