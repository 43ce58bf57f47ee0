"""Streams, clusters and logs without the packages that they stand on: small stand-ins take their places."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from spectra import job, pictures, tiny
from test_spectrum_sources import png

from interp.errors import BadInputError, LostSourceError, LostWorkerError, MissingFileError, UnknownNameError
from interp.extras import hub, ray_engine
from interp.extras.wandb_log import WandbSink
from interp.spectrum import Items, batches, logged, shards, tracking


class Rows:
    """A data set in one part, as `datasets` gives it."""

    num_shards = 1

    def __init__(self, rows: list[Mapping[str, Any]], names: tuple[str, ...] = ()) -> None:
        self.rows = rows
        self.features = {"label": SimpleNamespace(names=list(names))} if names else {}

    def shard(self, *, num_shards: int, index: int) -> Rows:
        return self

    def skip(self, count: int) -> list[Mapping[str, Any]]:
        return self.rows[count:]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)


def streamed(rows: Rows, **options: Any) -> hub.Streamed:
    """Return a source whose data set is already there."""
    found = hub.Streamed("parquet", ("a.parquet",), size=8, wait=0, **options)
    found.__dict__["dataset"] = rows
    return found


def test_streamed_labels_may_be_missing() -> None:
    content = png(pictures(1)[0][0])
    labels = [1, 0, -1, None, b"cls"]
    rows = Rows(
        [{"image": {"bytes": content, "path": f"{i}.png"}, "label": label} for i, label in enumerate(labels)],
        ("cat", "dog"),
    )
    (batch,) = batches(streamed(rows))
    assert batch.labels == ("dog", "cat", "", "", "cls")
    assert [entry.name for entry in streamed(rows).find([0, 4])] == ["0.png", "4.png"]
    with pytest.raises(BadInputError, match="label 2, but there are only 2"):
        list(batches(streamed(Rows([{"image": content, "label": 2}], ("cat", "dog")))))


@pytest.mark.parametrize(
    "error",
    [tarfile.ReadError("unexpected end of data"), RuntimeError("payload is not completed"), OSError("gone")],
)
def test_a_stream_that_breaks_off_names_its_file_and_reason(error: Exception) -> None:
    class Cut(Rows):
        def __iter__(self) -> Iterator[Mapping[str, Any]]:
            yield self.rows[0]
            raise error

        def skip(self, count: int) -> Iterator[Mapping[str, Any]]:
            raise error
            yield

    source = streamed(Cut([{"image": png(pictures(1)[0][0])}]))
    with pytest.raises(LostSourceError, match=rf"Part 0 of a\.parquet was lost behind row 1, .*{error}"):
        list(batches(source))


def test_local_files_with_another_content_are_another_source(tmp_path: Path) -> None:
    file = tmp_path / "g.parquet"
    file.write_bytes(b"PAR1 twelve rows")
    prints = [hub.parquet([str(file)]).fingerprint, hub.parquet([str(file)]).fingerprint]
    file.write_bytes(b"PAR1 twenty rows")
    prints += [hub.parquet([str(file)]).fingerprint, hub.parquet([str(tmp_path / "*.parquet")]).fingerprint]
    (tmp_path / "h.parquet").write_bytes(b"PAR1 more")
    prints += [hub.parquet([str(tmp_path / "*.parquet")]).fingerprint]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def fake_hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Any]:
    """Let the Hub answer with a revision, or with an error; return what it was asked."""
    asked: list[Any] = []

    class Api:
        def __init__(self, token: str | None) -> None: ...

        def dataset_info(self, name: str, *, revision: str | None) -> SimpleNamespace:
            asked.append((name, revision))
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(sha=answer)

    module = ModuleType("huggingface_hub")
    module.HfApi = Api  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


def test_a_data_set_of_the_hub_is_told_by_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, "a" * 40)
    one = hub.Streamed("x/y")
    first = one.fingerprint
    fake_hub(monkeypatch, "b" * 40)
    assert one.fingerprint == first  # asked once: a run stays with its revision
    assert hub.Streamed("x/y").fingerprint != first
    assert hub.Streamed("x/y", revision="a" * 40).commit == "a" * 40
    assert hub.Streamed("x/y", size=64).fingerprint != hub.Streamed("x/y").fingerprint
    assert asked == [("x/y", None)]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ConnectionError("no network"), LostSourceError, "could not be reached: no network"),
        (FileNotFoundError("x/z"), MissingFileError, "Check the name"),
        (ValueError("Bad split"), BadInputError, "Bad split"),
        (RuntimeError("a library's own"), LostSourceError, "RuntimeError"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_explained(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], message: str
) -> None:
    fake_hub(monkeypatch, error)
    with pytest.raises(kind, match=message):
        _ = hub.Streamed("x/y").fingerprint
    module = ModuleType("datasets")

    def load_dataset(*_: Any, **__: Any) -> None:
        raise error

    module.load_dataset, module.Image = load_dataset, object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    with pytest.raises(kind, match=message):
        _ = hub.Streamed("x/y", revision="a" * 40).shards


# ---- Ray


def test_an_actor_that_cannot_work_says_why_at_its_first_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "named", lambda model, layers: layers)  # which would say it before
    actor = ray_engine._Actor((job(("deap",)), tmp_path))
    with pytest.raises(UnknownNameError, match="Closest: deep"):
        actor.one(0)


def test_actors_that_are_lost_come_with_what_ray_says() -> None:
    class Lost(Exception):
        pass

    def get(_: object) -> int:
        raise Lost("killed by the memory monitor")

    actor = SimpleNamespace(one=SimpleNamespace(remote=lambda shard: shard))
    ray = SimpleNamespace(
        wait=lambda running: (running, []), get=get, exceptions=SimpleNamespace(RayActorError=Lost)
    )
    with pytest.raises(LostWorkerError, match=r"2 actors in a row were lost.*memory monitor"):
        list(ray_engine._work(ray, lambda: actor, [0, 1], 1, 2))


# ---- Weights & Biases


class Run:
    """What `wandb.init` gives."""

    def __init__(self) -> None:
        self.logged: dict[str, Any] = {}
        self.finished = False

    def log(self, values: Mapping[str, Any]) -> None:
        self.logged.update(values)

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = ModuleType("wandb")
    fake = SimpleNamespace(run=Run(), options={})

    def init(**options: Any) -> Run:
        fake.options = options
        return fake.run

    module.init, module.Table, module.Image = (
        init,
        lambda columns, data: data,
        lambda picture, caption: picture,
    )
    monkeypatch.setitem(sys.modules, "wandb", module)
    return fake


def stream(source: Any = None) -> Any:
    return tracking(tiny(), ["norm"], batches(source or Items(pictures(), "random"), size=8), every=16, k=3)


def test_the_mode_is_that_of_the_surroundings(wandb: SimpleNamespace) -> None:
    WandbSink(project="x")
    assert wandb.options["mode"] is None
    WandbSink(project="x", mode="offline")
    assert wandb.options["mode"] == "offline"


def test_images_a_second_are_those_of_this_run(wandb: SimpleNamespace) -> None:
    sink = WandbSink(project="x")
    first, second, *_ = stream()
    sink.log(first)
    assert "images a second" not in wandb.run.logged
    sink.log(second)
    assert wandb.run.logged["images"] == second.images
    assert wandb.run.logged["images a second"] > 0


@pytest.mark.parametrize("unit", [("nrom", 0), ("norm", 4)])
def test_a_unit_that_does_not_exist_is_said_at_the_first_result(
    wandb: SimpleNamespace, unit: tuple[str, int]
) -> None:
    through: list[int] = []
    with pytest.raises((UnknownNameError, BadInputError), match="norm"):
        through.extend(found.images for found in logged(stream(), to=WandbSink(project="x", units=[unit])))
    assert through == []
    assert wandb.run.finished
    assert len(wandb.run.logged["units"]) == 4


def test_the_table_is_kept_where_an_image_is_not_found(wandb: SimpleNamespace) -> None:
    def lost(_: int) -> torch.Tensor:
        raise LostSourceError("away")

    with pytest.raises(LostSourceError, match="away"):
        list(logged(stream(), to=WandbSink(project="x", units=[("norm", 0)], find_image=lost)))
    assert wandb.run.finished
    assert [row[:2] for row in wandb.run.logged["units"]] == [["norm", channel] for channel in range(4)]
