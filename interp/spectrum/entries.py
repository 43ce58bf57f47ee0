"""Images on the way to the network: entries that are not decoded yet, decoded in order and put together in batches."""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from interp import image
from interp.errors import BadInputError, InterpError, LostSourceError
from interp.spectrum.state import Broken, check_positive

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between the attempts to read what could not be read
Result = TypeVar("Result")


@dataclass(frozen=True)
class Entry:
    """An image that has not been decoded yet.

    Attributes:
        id: its number in the source, in [0, 2**32); the same in every run.
        name: what a person would look for: a file name, or the place in a shard. What no text can hold, such as a byte
            of a file name in another encoding, is a question mark.
        label: the name of its class, or an empty string.
        load: decodes it, to (1, C, H, W) in [0, 1].
    """

    id: int
    name: str
    label: str
    load: Callable[[], Tensor]

    def __post_init__(self) -> None:
        for name in ("name", "label"):
            object.__setattr__(self, name, printable(getattr(self, name)))


@dataclass(frozen=True)
class Batch:
    """Images that go through the network together.

    Attributes:
        ids: (N,) int64.
        images: (N, C, H, W) in [0, 1], such as the network takes.
        labels: N names of classes, empty where there is none.
        broken: the images that should have been here and could not be decoded.

    Raises:
        BadInputError: there are not as many ids as images.
    """

    ids: Tensor
    images: Tensor
    labels: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.images):
            raise BadInputError(
                f"A batch needs an id for each image; got {len(self.ids)} ids and {len(self.images)} images."
            )


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


def is_source(thing: object) -> bool:
    """Tell whether something has what a source has, without asking for its fingerprint, which may take long."""
    missing = object()
    names = ("fingerprint", "shards", "entries", "find")
    return all(inspect.getattr_static(thing, name, missing) is not missing for name in names)


def check_source(thing: object, what: str = "The images") -> None:
    """Refuse what is no source, before anything is asked of it.

    Args:
        thing: whatever was given as the source.
        what: what it was given for, as the error begins.

    Raises:
        BadInputError: it is none.
    """
    if not is_source(thing):
        raise BadInputError(f"{what} have to be a source, such as spectrum.Folder(path); got {thing!r:.80}.")


def finder(source: Source) -> Callable[[int], Tensor]:
    """Return a function from an id to its image (1, C, H, W), read from the source when it is asked for.

    It is what `plots.spectrum_page` and others take to show the images of a spectrum.

    Raises:
        BadInputError: it is no source.
    """
    check_source(source)
    return lambda id_: next(iter(source.find([id_]))).load()


def printable(text: str) -> str:
    """Return text that any file can hold: a question mark for what is no character."""
    return text.encode(errors="replace").decode()


# ------------------------------------------------------------------------------------------------------------
# Batches


def everything(source: Source) -> Iterator[Entry]:
    """List all entries of a source, shard after shard."""
    return (entry for shard in range(source.shards) for entry in source.entries(shard))


def batches(entries: Source | Iterable[Entry], *, size: int = 16, workers: int = 0) -> Iterator[Batch]:
    """Decode entries and put them together in batches; what cannot be decoded is listed, with the reason.

    What cannot be read, such as a file whose disk is away, is no broken image: it is tried again a few times, and then
    it is an error.

    Args:
        entries: a source, or its entries.
        size: the number of images in a batch; the last one may be smaller.
        workers: threads that decode ahead; 0 decodes as it goes. The batches are the same.

    Raises:
        BadInputError: the images have different sizes.
        LostSourceError: an image cannot be read, also after several attempts.
    """
    size, workers = check_positive("size", size), check_positive("workers", workers, least=0)
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
        yield from ((entry, decoded(entry)) for entry in entries)
        return
    entries = iter(entries)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[Entry, Future[Tensor | Broken]]] = deque()
        try:
            waiting.extend((entry, pool.submit(decoded, entry)) for entry in islice(entries, 8 * workers))
            while waiting:
                entry, future = waiting.popleft()
                yield entry, future.result()
                waiting.extend((entry, pool.submit(decoded, entry)) for entry in islice(entries, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def decoded(entry: Entry) -> Tensor | Broken:
    """Return the image of an entry, (1, C, H, W), or what is wrong with it.

    Raises:
        LostSourceError: it cannot be read, also after several attempts.
    """
    try:
        return persistent(entry.load, entry.name)
    except (LostSourceError, MemoryError):  # nothing is known of the image
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over  # noqa: BLE001
        reason = str(error) if isinstance(error, InterpError) else f"{type(error).__name__}: {error}"
        return Broken(entry.id, entry.name, printable(reason))


def persistent(read: Callable[[], Result], name: str) -> Result:
    """Return what a function reads, trying again a few times where it cannot be had.

    Raises:
        LostSourceError: it cannot be had, also after several attempts.
    """
    failures = 0
    while True:
        try:
            return read()
        except Exception as error:
            if isinstance(error, LostSourceError) or not image.unread(error):
                raise
            if failures == len(PAUSES):
                raise LostSourceError(
                    f"{name} could not be read, also after {failures + 1} attempts: {error} What is finished stays: "
                    "start again when it can be read, or take it out of the source."
                ) from error
        time.sleep(PAUSES[failures])
        failures += 1
