"""Images from Parquet files, WebDataset archives and the Hugging Face Hub, streamed by the package `datasets`."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from typing import Any

from torch import Tensor

from interp import image
from interp.digest import digest
from interp.errors import BadInputError, LostSourceError, MissingExtraError
from interp.spectrum.sources import Entry, square

ATTEMPTS = 5
LABELS = ("label", "labels", "cls", "class")
IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp")


@dataclass(frozen=True)
class Streamed:
    """A data set that is read file by file, never as a whole.

    An id says where an image is: the number of the file times `rows`, plus the place in the file. It therefore stays
    the same in every run, needs no counting beforehand, and finds its image again.

    Attributes:
        kind: "parquet", "webdataset", or the name of a data set on the Hub, such as "ILSVRC/imagenet-1k".
        files: paths or addresses for the first two.
        split: of the data set.
        size: the side of the square that is cut from the middle.
        rows: more than any file holds; files times rows has to stay below 2**32.
        revision: of a data set on the Hub; pin it, so that the ids stay.
        token: for data sets that ask for one.
        wait: seconds before the first new attempt after a lost connection; doubled each time.
    """

    kind: str
    files: tuple[str, ...] = ()
    split: str = "train"
    size: int = 224
    rows: int = 1 << 18
    revision: str | None = None
    token: str | None = None
    wait: float = 1.0

    @cached_property
    def dataset(self) -> Any:
        """Return the data set as `datasets` gives it; images are bytes, decoded only when they are needed."""
        try:
            import datasets
        except ImportError as error:
            raise MissingExtraError("datasets", "hub", "Streaming a data set") from error
        files = {"data_files": {self.split: list(self.files)}} if self.files else {}
        options = {"split": self.split, "streaming": True, "revision": self.revision, "token": self.token}
        return _undecoded(datasets.load_dataset(self.kind, **files, **options), datasets.Image)

    @property
    def fingerprint(self) -> str:
        return digest(["streamed", self.kind, self.files, self.split, self.size, self.rows, self.revision])

    @property
    def shards(self) -> int:
        found = int(self.dataset.num_shards)
        if found * self.rows > 1 << 32:
            raise BadInputError(
                f"{found} files of {self.rows} rows need ids of more than 32 bits; give a smaller `rows`."
            )
        return found

    def entries(self, shard: int) -> Iterator[Entry]:
        for place, row in enumerate(retried(lambda start: self._rows(shard, start), wait=self.wait)):
            yield self._entry(shard, place, row)

    def find(self, ids: Iterable[int]) -> Iterator[Entry]:
        """List entries by id; a file is read up to the last one wanted, and only these are decoded."""
        for shard, wanted in groupby(sorted(ids), key=lambda id_: id_ // self.rows):
            places = {id_ % self.rows for id_ in wanted}
            for entry in islice(self.entries(shard), max(places) + 1):
                if entry.id % self.rows in places:
                    yield entry

    def _rows(self, shard: int, start: int) -> Iterator[Mapping[str, Any]]:
        part = self.dataset.shard(num_shards=self.dataset.num_shards, index=shard)
        return iter(part.skip(start) if start else part)

    def _entry(self, shard: int, place: int, row: Mapping[str, Any]) -> Entry:
        if place >= self.rows:
            raise BadInputError(f"File {shard} has more than {self.rows} rows; give a larger `rows`.")
        name = str(row.get("__key__") or f"{self.kind}/{self.split}/{shard}/{place}")
        return Entry(shard * self.rows + place, name, self._label(row), self._loader(row, name))

    def _label(self, row: Mapping[str, Any]) -> str:
        key = next((key for key in LABELS if key in row), None)
        if key is None:
            return ""
        value = row[key].decode() if isinstance(row[key], bytes) else row[key]
        names = getattr((self.dataset.features or {}).get(key), "int2str", str)
        return str(names(value))

    def _loader(self, row: Mapping[str, Any], name: str) -> Callable[[], Tensor]:
        found = next((row[key] for key in IMAGES if row.get(key) is not None), None)
        content = found.get("bytes") if isinstance(found, Mapping) else found

        def load() -> Tensor:
            if not isinstance(content, bytes):
                raise BadInputError(f"{name} has no image; its columns are {', '.join(row)}.")
            return square(image.load(io.BytesIO(content)), self.size)

        return load


def parquet(files: Sequence[str], **options: Any) -> Streamed:
    """Return the images of Parquet files with a column of images and perhaps one of labels; options of `Streamed`."""
    return Streamed("parquet", tuple(files), **options)


def webdataset(files: Sequence[str], **options: Any) -> Streamed:
    """Return the images of WebDataset tar files; options of `Streamed`."""
    return Streamed("webdataset", tuple(files), **options)


def retried(
    rows: Callable[[int], Iterator[Mapping[str, Any]]], *, wait: float = 1.0, attempts: int = ATTEMPTS
) -> Iterator[Mapping[str, Any]]:
    """Go through rows; when the connection is lost, begin again behind the last row, a few times.

    Args:
        rows: starts an iteration at a row number.
        wait: seconds before the first new attempt; doubled each time without a row.
        attempts: how often in a row nothing may come.

    Raises:
        LostSourceError: the connection stays lost.
    """
    seen, failures = 0, 0
    while True:
        try:
            for row in rows(seen):
                seen, failures = seen + 1, 0
                yield row
            return
        except (OSError, EOFError, TimeoutError) as error:
            failures += 1
            if failures >= attempts:
                raise LostSourceError(
                    f"The source was lost behind row {seen}, also after {attempts} attempts: {error}. "
                    "Start again later: what is finished stays."
                ) from error
            time.sleep(wait * 2 ** (failures - 1))


def _undecoded(dataset: Any, kind: Any) -> Any:
    """Leave images as bytes."""
    for name, feature in (dataset.features or {}).items():
        if isinstance(feature, kind):
            dataset = dataset.cast_column(name, kind(decode=False))
    return dataset
