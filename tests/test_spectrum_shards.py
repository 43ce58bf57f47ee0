"""Long runs: killed, resumed, spread out, on a full disk, they give the same bytes as an undisturbed one."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spectra import job, pictures, same, tiny

from interp import runs, spectrum
from interp.errors import (
    BadInputError,
    DamagedFileError,
    LostWorkerError,
    MissingFileError,
    UnknownNameError,
    UnwritableError,
)
from interp.spectrum import Batch, Items, Job, gather, here, local, processes, run, track
from interp.spectrum.shards import prepare


def contents(folder: Path) -> dict[str, bytes]:
    """Return {name: bytes} of the finished files."""
    return {
        file.name: file.read_bytes() for file in sorted(folder.iterdir()) if not file.name.startswith(".")
    }


def start(folder: Path, count: int, *, wait: float = 0.0) -> subprocess.Popen[bytes]:
    """Start a run with so many processes, 0 for none but its own, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from spectra import main; main()", str(folder), str(count)],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TINY_WAIT": str(wait), "PYTHONPATH": str(Path(__file__).parent)},
    )


def killed(process: subprocess.Popen[bytes], folder: Path, files: int, delay: float) -> bool:
    """Kill a run, with all its processes, a while after so many files are there; False if it was done before."""
    while process.poll() is None and len(list(folder.glob("*.spectrum"))) < files:
        time.sleep(0.002)
    time.sleep(delay)
    done = process.poll() is not None
    if not done:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return not done


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(job(), folder)
    return contents(folder)


def test_the_shards_together_are_the_spectrum_of_the_whole(tmp_path: Path) -> None:
    images = torch.stack([picture for picture, _ in pictures()])
    # Batches of two within each shard of five, as the run makes them.
    stream = [
        Batch(torch.arange(a, b), images[a:b])
        for s in range(0, 40, 5)
        for a, b in [(s, s + 2), (s + 2, s + 4), (s + 4, s + 5)]
    ]
    whole = track(tiny(), ["norm", "deep"], stream, k=3, sample=16, fold=False)
    assert same(run(job(), tmp_path), whole)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_gives_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    chance = random.Random(0)
    kills = [killed(start(tmp_path, 0, wait=0.02), tmp_path, n, chance.random() * 0.1) for n in (1, 4)]
    assert any(kills)
    assert start(tmp_path, 0).wait() == 0
    assert contents(tmp_path) == undisturbed


@pytest.mark.slow
def test_processes_leave_with_their_parent_and_are_replaced_when_they_are_killed(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    first = start(tmp_path, 2, wait=0.05)
    left = workers(first, after=tmp_path)
    first.kill()
    first.wait()
    assert len(left) == 2
    assert gone(left)
    second = start(tmp_path, 2, wait=0.05)
    os.kill(workers(second, after=tmp_path)[0], signal.SIGKILL)
    assert second.wait() == 0
    assert contents(tmp_path) == undisturbed


def gone(pids: list[int], seconds: float = 20) -> bool:
    """Tell whether processes end within some seconds."""
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def workers(process: subprocess.Popen[bytes], *, after: Path) -> list[int]:
    """Return the spawned processes of a run, once it has one more result in the folder."""
    before = len(list(after.glob("*.spectrum")))
    while len(list(after.glob("*.spectrum"))) <= before:
        assert process.poll() is None, "the run ended before it could be disturbed"
        time.sleep(0.01)
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in tasks if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def dying(*_: object) -> int:
    """Kill the process that computes a shard."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_workers_that_are_always_killed_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_one", dying)
    with pytest.raises(LostWorkerError, match=r"killed 1 times.*8 shards left"):
        run(job(), tmp_path, engine=processes(1, attempts=1))


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Let no file become larger than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails then, as on a full disk
    try:
        yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_error_and_what_is_finished_stays(
    tmp_path: Path, undisturbed: dict[str, bytes], full_disk: Callable[[int], None]
) -> None:
    prepare(job(), tmp_path)
    list(here(job(), tmp_path, [0, 1]))
    smallest = min(len(content) for name, content in undisturbed.items() if name.endswith(".spectrum"))
    full_disk(smallest // 2)
    with pytest.raises(UnwritableError, match="cannot be written: File too large"):
        run(job(), tmp_path)
    full_disk(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    assert not list(tmp_path.glob(".*"))
    assert gather(tmp_path, partial=True).images == 10
    run(job(), tmp_path)
    assert contents(tmp_path) == undisturbed


def test_a_damaged_result_is_named_and_computed_again_once_it_is_deleted(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    run(job(), tmp_path)
    victim = job().file(tmp_path, 3)
    content = victim.read_bytes()
    for damaged in (
        content[:100],
        content[:-1],
        content[:300] + b"x" + content[301:],
        b"",
        b"\xff\n" + content,
    ):
        victim.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=victim.name):
            run(job(), tmp_path)
    victim.unlink()
    run(job(), tmp_path)
    assert contents(tmp_path) == undisturbed


def test_another_layer_source_model_or_setting_cannot_resume(tmp_path: Path) -> None:
    run(job(), tmp_path)
    other = tiny()
    with torch.no_grad():
        other.head.bias += 1
    changes = [
        ("layers", {"layers": ("deep",)}),
        ("source", {"source": Items(pictures(), "random", size=11, shard_size=5)}),
        ("model", {"model": other}),
        ("pool", {"measure": job().measure.changed(pool="max")}),
        ("batch", {"batch": 3}),
        ("level", {"measure": job().measure.changed(level={"norm": torch.ones(4), "deep": torch.zeros(6)})}),
    ]
    for name, change in changes:
        another = dataclasses.replace(job(), **change)
        assert another.key != job().key
        with pytest.raises(BadInputError, match=f"belongs to another run.*{name} is "):
            run(another, tmp_path)


def test_a_damaged_manifest_and_missing_shards_are_explained(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="holds no run"):
        gather(tmp_path)
    run(job(), tmp_path)
    job().file(tmp_path, 0).unlink()
    with pytest.raises(BadInputError, match="1 of the 8 shards"):
        gather(tmp_path)
    (tmp_path / runs.CLAIM).write_text(json.dumps({"key": "x"}))
    with pytest.raises(DamagedFileError, match=r"run\.json"):
        gather(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UnwritableError, match="cannot be written"):
        run(job(), tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnwritableError, match="cannot be written"):
        run(job(), tmp_path / "file" / "folder")
    with pytest.raises(UnwritableError, match="cannot be written"):
        run(job(), Path("/proc/nowhere"))


def test_a_shard_of_broken_images_only_does_not_stop_the_run(tmp_path: Path) -> None:
    items: list[object] = [*pictures(5), *[(torch.full((3, 12, 12), 7.0), 0)] * 5, *pictures(5)]
    source = Items(items, "broken", shard_size=5)
    found = run(dataclasses.replace(job(), source=source), tmp_path)
    assert found.images == 10
    assert [each.id for each in found.broken] == [5, 6, 7, 8, 9]
    assert "7" in found.broken[0].reason


def test_too_few_images_are_explained(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="only 2 could be read"):
        run(job(count=2), tmp_path / "few")
    with pytest.raises(BadInputError, match="holds no image"):
        run(job(count=0), tmp_path / "none")
    with pytest.raises(BadInputError, match="shard_size has to be at least 1; got 0"):
        Items(pictures(2), "random", shard_size=0)
    with pytest.raises(BadInputError, match="batch has to be at least 1; got 0"):
        dataclasses.replace(job(), batch=0)


@pytest.mark.parametrize(
    ("layer", "message"), [("pair", "tuple, not one tensor"), ("nowhere", "nowhere"), ("1", "no channels")]
)
def test_a_layer_that_cannot_be_tracked_is_one_error_and_leaves_nothing_half_done(
    tmp_path: Path, layer: str, message: str
) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(2)) if layer == "1" else tiny()
    with pytest.raises((BadInputError, UnknownNameError), match=message):
        run(dataclasses.replace(job(), model=model, layers=(layer,)), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} <= {runs.CLAIM}


def test_images_of_different_sizes_stop_a_run_and_what_is_finished_stays(tmp_path: Path) -> None:
    odd = [*pictures(7), (torch.rand(3, 9, 9), 0), *pictures(2)]
    uneven = dataclasses.replace(job(), source=Items(odd, "odd", shard_size=5))
    with pytest.raises(BadInputError, match=r"different sizes: \[\(1, 3, 9, 9\), \(1, 3, 12, 12\)\]"):
        run(uneven, tmp_path)
    assert gather(tmp_path, partial=True).images == 5


def test_scores_that_are_no_numbers_survive_the_files_and_are_not_ranked(tmp_path: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.norm.weight[0] = float("nan")
    found = run(dataclasses.replace(job(), model=model), tmp_path)
    spoiled, sound = found["norm", 0], found["norm", 1]
    assert (spoiled.not_finite, spoiled.images, sound.not_finite) == (40, 0, 0)
    assert not any(len(band) for band in spoiled.bands.values())
    assert "40 scores are NaN or infinite" in spoiled.flags


def test_machines_that_share_a_folder_give_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    spectrum.compute(job(), tmp_path, share=(1, 3))
    assert sorted(job().unfinished(tmp_path)) == [0, 2, 3, 5, 6]
    with pytest.raises(BadInputError, match="5 of the 8 shards"):
        gather(tmp_path)
    for index in (2, 0, 1):
        spectrum.compute(job(), tmp_path, share=(index, 3))
    assert contents(tmp_path) == undisturbed
    with pytest.raises(BadInputError, match="0 <= INDEX < COUNT"):
        spectrum.compute(job(), tmp_path, share=(3, 3))


def test_what_a_killed_process_was_writing_is_removed_and_what_another_writes_is_not(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with runs.replacing(tmp_path / "other") as alive:
        dead = alive.with_name(alive.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
        dead.write_bytes(b"half a shard")
        run(job(), tmp_path)
        assert alive.exists()
        assert not dead.exists()
    (tmp_path / "other").unlink()
    assert contents(tmp_path) == undisturbed


def test_a_spectrum_comes_back_from_its_file(tmp_path: Path) -> None:
    one = track(tiny(), ["norm"], spectrum.batches(Items(pictures(), "random")))
    spectrum.save(one, tmp_path / "one.spectrum")
    back = spectrum.load(tmp_path / "one.spectrum")
    assert same(one, back)
    assert (back.k, back.pool, back.seed) == (one.k, one.pool, one.seed)
    with pytest.raises(MissingFileError):
        spectrum.load(tmp_path / "two.spectrum")


def test_no_bit_of_a_spectrums_file_changes_what_is_read(tmp_path: Path) -> None:
    """The names of the layers and the number of images stand in front of the arrays, and count as well."""
    one = track(tiny(), ["norm"], spectrum.batches(Items(pictures(), "random")), k=3, sample=16)
    spectrum.save(one, str(tmp_path / "one"))
    whole, chance = (tmp_path / "one").read_bytes(), random.Random(0)
    header = 8 * whole.index(b"\n", 70)
    for place in [*chance.sample(range(header), 300), *chance.sample(range(header, 8 * len(whole)), 300)]:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / "one").write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="one' is no spectrum, or it is damaged"):
            spectrum.load(str(tmp_path / "one"))


def test_a_shard_under_the_name_of_another_is_noticed(tmp_path: Path) -> None:
    run(job(), str(tmp_path))
    job().file(tmp_path, 3).write_bytes(job().file(tmp_path, 2).read_bytes())
    with pytest.raises(DamagedFileError, match=r"000003\.spectrum' says that it is .*2.*renamed or copied"):
        gather(str(tmp_path))


def test_a_folder_of_photographs_is_no_place_for_results(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(BadInputError, match=r"holds other files, such as 'photo\.jpg'"):
        spectrum.compute(job(), str(tmp_path))
    assert os.listdir(tmp_path) == ["photo.jpg"]


def test_a_folder_of_something_else_is_no_run(tmp_path: Path) -> None:
    runs.claim(tmp_path, {"network": "x"})
    with pytest.raises(BadInputError, match="belongs to another run: batch is nothing there and 2 here"):
        run(job(), tmp_path)
    with pytest.raises(BadInputError, match="holds no spectrum"):
        gather(tmp_path)


def test_counts_of_processes_are_checked() -> None:
    with pytest.raises(BadInputError, match="At least one"):
        processes(0)


def test_a_text_is_no_source_and_a_job_shows_itself_in_a_line() -> None:
    with pytest.raises(BadInputError, match=r"spectrum\.Folder\(path\); got 'photos'"):
        Job(tiny(), ("norm",), "photos")  # type: ignore[arg-type]
    items = Items(list(torch.rand(2, 3, 8, 8)), "two")
    assert "Conv2d" not in repr(Job(tiny(), ("norm",), items))


def test_a_job_takes_numbers_of_numpy_and_devices_of_torch(tmp_path: Path) -> None:
    given: dict[str, Any] = {"batch": np.int64(4), "threads": np.int32(1), "device": torch.device("cpu")}
    found = dataclasses.replace(job(), **given)
    assert found.settings == dataclasses.replace(job(), batch=4).settings
    prepare(found, tmp_path / "run")  # writes them


def test_a_job_whose_network_was_trained_on_is_another_job(tmp_path: Path) -> None:
    before = run(one := job(), tmp_path / "run")
    with torch.no_grad():
        one.model.get_parameter("conv.weight").neg_()
    with pytest.raises(BadInputError, match="belongs to another run: model"):
        run(one, tmp_path / "run")
    assert not same(before, run(one, tmp_path / "other"))
    assert runs.claimed(tmp_path / "other")["model"] != runs.claimed(tmp_path / "run")["model"]


def test_the_mode_in_which_a_network_was_left_is_no_other_job(tmp_path: Path) -> None:
    training = dataclasses.replace(job(), model=tiny().train())
    assert training.key == job().key
    assert all(layer.training for layer in training.model.modules())
    assert same(run(training, tmp_path / "training"), run(job(), tmp_path / "evaluating"))


def test_a_number_of_decoders_is_checked() -> None:
    assert dataclasses.replace(job(), decoders=0).decoders == 0
    with pytest.raises(BadInputError, match="decoders has to be at least 0; got -1"):
        dataclasses.replace(job(), decoders=-1)
    with pytest.raises(BadInputError, match="workers has to be at least 0; got -2"):
        next(spectrum.batches(Items(pictures(), "random"), workers=-2))


def test_a_network_that_keeps_tensors_with_their_graphs_is_run_in_shards(tmp_path: Path) -> None:
    one = job()
    one.model.seen = one.model(
        pictures(1)[0][0][None]
    )  # as a forward pass with `self.seen = ...` leaves it behind
    assert same(run(one, tmp_path / "run"), run(job(), tmp_path / "other"))
