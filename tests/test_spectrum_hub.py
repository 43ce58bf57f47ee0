"""Streamed data sets: real Parquet files and tar archives, broken images in them, and connections that get lost."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from spectra import tiny

from interp import image
from interp.errors import BadInputError, LostSourceError
from interp.extras import hub
from interp.spectrum import batches, track

datasets = pytest.importorskip("datasets")


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(np.full((20, 24, 3), value, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def parquet_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return two files of four and three images whose gray is ten times their number; the sixth is broken."""
    folder = tmp_path_factory.mktemp("parquet")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["even", "odd"]))
    files = []
    for name, numbers in (("a", range(4)), ("b", range(4, 7))):
        rows = {
            "image": [{"bytes": b"broken" if n == 5 else png(10 * n), "path": None} for n in numbers],
            "label": [n % 2 for n in numbers],
        }
        files.append(str(folder / f"{name}.parquet"))
        datasets.Dataset.from_dict(rows, features=features).to_parquet(files[-1])
    return files


@pytest.fixture(scope="module")
def tar_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tar")
    files = []
    for name, numbers in (("a", range(3)), ("b", range(3, 5))):
        files.append(str(folder / f"{name}.tar"))
        with tarfile.open(files[-1], "w") as archive:
            for n in numbers:
                for suffix, content in (("png", png(10 * n)), ("cls", str(n).encode())):
                    entry = tarfile.TarInfo(f"picture{n}.{suffix}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    return files


def gray(tensor: torch.Tensor) -> int:
    return int(image.to_numpy(tensor)[0, 0, 0, 0])


def test_parquet_files_have_stable_ids_labels_and_a_list_of_what_is_broken(parquet_files: list[str]) -> None:
    source = hub.parquet(parquet_files, size=16, rows=10)
    assert source.shards == 2
    stream = list(batches(source, size=2))
    ids = [id_ for batch in stream for id_ in batch.ids.tolist()]
    labels = [label for batch in stream for label in batch.labels]
    assert ids == [0, 1, 2, 3, 10, 12]
    assert labels == ["even", "odd", "even", "odd", "even", "even"]
    assert [gray(picture[None]) for batch in stream for picture in batch.images] == [0, 10, 20, 30, 40, 60]
    spectrum = track(tiny(), ["deep"], batches(source), k=3)
    assert [each.id for each in spectrum.broken] == [11]


def test_the_second_pass_finds_images_again_by_their_ids(parquet_files: list[str]) -> None:
    source = hub.parquet(parquet_files, size=16, rows=10)
    assert [(entry.id, gray(entry.load())) for entry in source.find([12, 3, 1])] == [
        (1, 10),
        (3, 30),
        (12, 60),
    ]


def test_webdataset_archives_are_read(tar_files: list[str]) -> None:
    source = hub.webdataset(tar_files, size=16, rows=10)
    stream = list(batches(source, size=8))
    assert stream[0].ids.tolist() == [0, 1, 2, 10, 11]
    assert stream[0].labels == ("0", "1", "2", "3", "4")
    assert [gray(picture[None]) for picture in stream[0].images] == [0, 10, 20, 30, 40]
    assert next(source.entries(1)).name == "picture3"


def test_files_with_too_many_rows_and_without_images_are_explained(
    parquet_files: list[str], tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="more than 2 rows"):
        list(hub.parquet(parquet_files, rows=2).entries(0))
    with pytest.raises(BadInputError, match="more than 32 bits"):
        _ = hub.parquet(parquet_files, rows=1 << 32).shards
    file = str(tmp_path / "numbers.parquet")
    datasets.Dataset.from_dict({"number": [1, 2]}).to_parquet(file)
    (batch,) = batches(hub.parquet([file]))
    assert "has no image; its columns are number" in batch.broken[0].reason


class Unsteady:
    """Rows behind a connection that is lost at the given rows, once each."""

    def __init__(self, lost_at: list[int]) -> None:
        self.lost_at = lost_at
        self.starts: list[int] = []

    def rows(self, start: int) -> Iterator[Mapping[str, Any]]:
        self.starts.append(start)
        for number in range(start, 10):
            if number in self.lost_at:
                self.lost_at.remove(number)
                raise ConnectionResetError("reset by peer")
            yield {"number": number}


def test_a_lost_connection_begins_again_behind_the_last_row() -> None:
    unsteady = Unsteady([3, 3, 7])
    assert [row["number"] for row in hub.retried(unsteady.rows, wait=0)] == list(range(10))
    assert unsteady.starts == [0, 3, 3, 7]


def test_a_connection_that_stays_lost_is_reported() -> None:
    with pytest.raises(LostSourceError, match="behind row 4, also after 5 attempts: reset by peer"):
        list(hub.retried(Unsteady([4] * 5).rows, wait=0))


def test_another_revision_or_size_has_another_fingerprint() -> None:
    one, other = "1" * 40, "2" * 40
    sources = [
        hub.Streamed("x/y", revision=one),
        hub.Streamed("x/y", revision=other),
        hub.Streamed("x/y", revision=one, size=64),
    ]
    assert len({source.fingerprint for source in sources}) == 3


def test_a_truncated_archive_is_an_error_that_names_it(tar_files: list[str], tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(Path(tar_files[0]).read_bytes()[:2500])
    with pytest.raises(LostSourceError, match=r"cut\.tar"):
        list(batches(hub.webdataset([str(cut)], size=16, wait=0)))
