"""Logs: JSON lines, and the real client of Weights & Biases, offline."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from spectra import job, pictures, same, tiny

from interp.errors import UnwritableError
from interp.extras.wandb_log import WandbSink, grid
from interp.spectrum import (
    Items,
    Job,
    JsonLines,
    Spectrum,
    batches,
    compute,
    gather,
    here,
    logged,
    run,
    tracking,
)
from interp.spectrum.logs import Pace


class Noting:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.spectra: list[Spectrum] = []
        self.last: Spectrum | None = None

    def log(self, spectrum: Spectrum) -> None:
        self.spectra.append(spectrum)

    def finish(self, spectrum: Spectrum | None) -> None:
        self.last = spectrum


def stream() -> Iterator[Spectrum]:
    return tracking(tiny(), ["norm"], batches(Items(pictures(), "random"), size=8), every=16, k=3)


def test_logging_lets_everything_through_and_writes_a_line_for_each(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    through = list(logged(stream(), to=JsonLines(path)))
    assert all(same(one, other) for one, other in zip(through, stream(), strict=True))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["images"] for line in lines] == [16, 32, 40, 40]
    assert lines[0]["layers"]["norm"]["channels"] == 4
    assert lines[-1]["finished"]


def test_the_log_is_finished_also_when_the_stream_breaks(tmp_path: Path) -> None:
    def breaking() -> Iterator[Spectrum]:
        yield next(stream())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(logged(breaking(), to=JsonLines(tmp_path / "log.jsonl")))
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1]) == {
        "finished": True,
        "images": 16,
    }


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnwritableError):
        list(logged(stream(), to=JsonLines(tmp_path / "missing" / "log.jsonl")))


def test_the_grid_has_the_images_of_the_bands_in_rows() -> None:
    unit = list(stream())[-1]["norm", 1]
    picture = grid(unit, lambda id_: pictures()[id_][0][None], side=12, gap=1)
    assert tuple(picture.shape) == (1, 3, 4 * 14, 3 * 14)
    strongest = pictures()[unit.band("maximum").ids[0]][0]
    assert torch.equal(picture[0, :, 1:13, 1:13], strongest)
    weakest = pictures()[unit.band("minimum").ids[2]][0]
    assert torch.equal(picture[0, :, 43:55, 29:41], weakest)


@pytest.mark.slow
def test_the_real_client_writes_progress_grids_and_a_table_offline(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    sink = WandbSink(
        project="test",
        mode="offline",
        folder=str(tmp_path),
        units=[("norm", 0)],
        find_image=lambda id_: pictures()[id_][0][None],
    )
    list(logged(stream(), to=sink))
    assert wandb.run is None  # the run was ended
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    words = (b"images a second", b"norm/0", b"units")
    # The client's own process may still be writing when the run has ended.
    deadline = time.monotonic() + 30
    while not all(word in log.read_bytes() for word in words) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert all(word in log.read_bytes() for word in words)
    files = tmp_path.glob("wandb/offline-run-*/files/media/**/*")
    kinds = sorted(file.suffix for file in files if file.is_file())
    assert kinds == [".json", ".png"]


def test_a_run_logs_after_each_shard_and_a_second_one_goes_on_where_the_first_was(tmp_path: Path) -> None:
    mine, seen = job(), Noting()
    compute(mine, tmp_path / "run", share=(0, 2), sink=seen)
    assert [one.images for one in seen.spectra] == [5, 10, 15, 20]
    assert same(seen.last, gather(tmp_path / "run", partial=True))
    again = Noting()
    whole = run(mine, tmp_path / "run", sink=again)
    assert [one.images for one in again.spectra] == [20, 25, 30, 35, 40]
    assert same(again.spectra[-1], whole)
    assert same(again.last, whole)
    assert same(whole, run(mine, tmp_path / "silent"))


class Clock:
    """A clock that goes on by two seconds whenever it is asked."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 2
        return self.seconds


def test_the_pace_is_that_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp.spectrum.logs.time", Clock())
    pace, empty = Pace(), Spectrum.empty({})
    rates = [pace.of(dataclasses.replace(empty, images=images)) for images in (1000, 1010, 1030)]
    assert rates == [None, 5.0, 7.5]


def test_images_of_an_earlier_run_do_not_count_as_looked_at_now(tmp_path: Path) -> None:
    compute(job(), tmp_path / "run", share=(0, 2))
    run(job(), tmp_path / "run", sink=JsonLines(path := tmp_path / "log.jsonl"))
    first, second, *_ = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["images"], first["rate"]) == (20, None)
    # Five images were looked at in a part of these seconds, and 25 were not.
    assert second["rate"] <= 5 / max(second["seconds"] - first["seconds"] - 0.002, 1e-9)


def test_the_log_of_a_run_is_finished_also_when_a_shard_breaks(tmp_path: Path) -> None:
    def breaking(job: Job, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        yield next(here(job, folder, shards))
        raise KeyboardInterrupt

    seen = Noting()
    with pytest.raises(KeyboardInterrupt):
        run(job(), tmp_path, engine=breaking, sink=seen)
    assert seen.last is not None
    assert seen.last.images == 5
