"""Images from Parquet files, WebDataset archives and the Hugging Face Hub, streamed by the package `datasets`."""

from __future__ import annotations

import contextlib
import glob
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from torch import Tensor

from interp.digest import digest
from interp.errors import BadInputError, InterpError, LostSourceError, MissingExtraError, MissingFileError
from interp.spectrum.entries import Entry
from interp.spectrum.forms import IMAGES, LABELS, label_text, square
from interp.spectrum.sources import head, state

ATTEMPTS = 5


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
        revision: of a data set on the Hub; the newest one by default, which is asked for once. Name it, so that a run
            can go on after the data set has changed.
        token: for data sets that ask for one.
        wait: seconds before the first new attempt after a lost connection; doubled each time.
        channels: 3 for RGB, 1 for gray, as the network takes them.
    """

    kind: str
    files: tuple[str, ...] = ()
    split: str = "train"
    size: int = 224
    rows: int = 1 << 18
    revision: str | None = None
    token: str | None = None
    wait: float = 1.0
    channels: int = 3

    @cached_property
    def dataset(self) -> Any:
        """Return the data set as `datasets` gives it; images are bytes, decoded only when they are needed."""
        try:
            import datasets
        except ImportError as error:
            raise MissingExtraError("datasets", "hub", "Streaming a data set") from error
        files = {"data_files": {self.split: list(self.files)}} if self.files else {}
        options = {"split": self.split, "streaming": True, "revision": self.commit, "token": self.token}
        with _explained(self.kind):
            return _undecoded(datasets.load_dataset(self.kind, **files, **options), datasets.Image)

    @cached_property
    def commit(self) -> str | None:
        """Return the exact revision of a data set on the Hub, the same for the whole run; None for files."""
        if self.files or Path(self.kind).exists() or _is_commit(self.revision):
            return self.revision
        with _explained(self.kind):
            from huggingface_hub import HfApi

            found: str | None = HfApi(token=self.token).dataset_info(self.kind, revision=self.revision).sha
        return found

    @property
    def fingerprint(self) -> str:
        """Return the hash of names and settings, of the Hub's revision, and of the state of files on this machine."""
        local = [(str(file), state(file), head(file)) for file in self._local()]
        settings = [self.kind, self.files, self.split, self.size, self.rows, self.commit, self.channels]
        return digest(["streamed", *settings, local])

    def _local(self) -> list[Path]:
        """Return the files on this machine, those of a pattern one by one."""
        names = [name for name in self.files if "://" not in name]
        found = [
            Path(path)
            for name in names
            for path in sorted(glob.glob(name, recursive=True)) or [name]  # noqa: PTH207
        ]
        folder = [] if self.files else sorted(Path(self.kind).rglob("*")) if Path(self.kind).is_dir() else []
        return [*found, *(path for path in folder if path.is_file())]

    @property
    def shards(self) -> int:
        found = int(self.dataset.num_shards)
        if found * self.rows > 1 << 32:
            raise BadInputError(
                f"{found} files of {self.rows} rows need ids of more than 32 bits; give a smaller `rows`."
            )
        return found

    def entries(self, shard: int) -> Iterator[Entry]:
        name = f"Part {shard} of {', '.join(self.files) or self.kind}"
        rows = retried(lambda start: self._rows(shard, start), wait=self.wait, name=name)
        for place, row in enumerate(rows):
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
        found = next((row[key] for key in IMAGES if row.get(key) is not None), None)
        path = found.get("path") if isinstance(found, Mapping) else None
        name = str(row.get("__key__") or path or f"{self.kind}/{self.split}/{shard}/{place}")
        return Entry(
            shard * self.rows + place, name, self._label(row, name), self._loader(found, tuple(row), name)
        )

    def _label(self, row: Mapping[str, Any], name: str) -> str:
        key = next((key for key in LABELS if key in row), "")
        names = getattr((self.dataset.features or {}).get(key), "names", None) or ()
        return label_text(row.get(key), names, name)

    def _loader(self, found: object, columns: Sequence[str], name: str) -> Callable[[], Tensor]:
        content = found.get("bytes") if isinstance(found, Mapping) else found

        def load() -> Tensor:
            if not isinstance(content, bytes):
                raise BadInputError(f"{name} has no image; its columns are {', '.join(columns)}.")
            return square(content, self.size, self.channels)

        return load


def parquet(files: Sequence[str], **options: Any) -> Streamed:
    """Return the images of Parquet files with a column of images and perhaps one of labels; options of `Streamed`."""
    return Streamed("parquet", tuple(files), **options)


def webdataset(files: Sequence[str], **options: Any) -> Streamed:
    """Return the images of WebDataset tar files; options of `Streamed`."""
    return Streamed("webdataset", tuple(files), **options)


def retried(
    rows: Callable[[int], Iterator[Mapping[str, Any]]],
    *,
    wait: float = 1.0,
    attempts: int = ATTEMPTS,
    name: str = "The source",
) -> Iterator[Mapping[str, Any]]:
    """Go through rows; when the connection is lost, begin again behind the last row, a few times.

    Each library has its own error for a connection that broke or a file that is cut short, so all count as that.

    Args:
        rows: starts an iteration at a row number.
        wait: seconds before the first new attempt; doubled each time without a row.
        attempts: how often in a row nothing may come.
        name: what is read, for the error.

    Raises:
        LostSourceError: the rows cannot be read, also after several attempts.
    """
    seen, failures = 0, 0
    while True:
        try:
            for row in rows(seen):
                seen, failures = seen + 1, 0
                yield row
            return
        except (InterpError, MemoryError):
            raise
        except Exception as error:
            failures += 1
            if failures >= attempts:
                raise LostSourceError(
                    f"{name} was lost behind row {seen}, also after {attempts} attempts: {error} "
                    f"({type(error).__name__}). Start again later, or with a whole file: what is finished stays."
                ) from error
            time.sleep(wait * 2 ** (failures - 1))


def _undecoded(dataset: Any, kind: Any) -> Any:
    """Leave images as bytes."""
    for name, feature in (dataset.features or {}).items():
        if isinstance(feature, kind):
            dataset = dataset.cast_column(name, kind(decode=False))
    return dataset


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what `datasets` raises into the errors of this package."""
    try:
        yield
    except (InterpError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise MissingFileError(
            f"There is no data set {name!r}: {error}. Check the name, and the token."
        ) from error
    except ValueError as error:
        raise BadInputError(f"The data set {name!r} cannot be opened: {error}") from error
    except Exception as error:  # each library that fetches has its own
        raise LostSourceError(
            f"The data set {name!r} could not be reached: {error} ({type(error).__name__}). Check the network, or the "
            "files, and start again: what is finished stays."
        ) from error


def _is_commit(revision: str | None) -> bool:
    return revision is not None and re.fullmatch("[0-9a-f]{40}", revision) is not None
