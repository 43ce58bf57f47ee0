"""Renderings in a folder: the same bytes after any interruption, and no other run's folder is touched."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from interp import featurevis as fv
from interp import image, runs
from interp.errors import BadInputError, DamagedFileError, UnwritableError

OBJECTIVES = [sign * fv.channel("1", index) for sign in (1, -1) for index in range(5)]
SETTINGS = {"size": 24, "steps": 4, "batch": 4}


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.Conv2d(4, 6, 3)).eval()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)
    return contents(folder)


def test_a_folder_has_every_picture_and_says_what_it_is(undisturbed: dict[str, bytes]) -> None:
    manifest = json.loads(undisturbed["manifest.json"])
    assert list(manifest["images"]) == sorted(one.name for one in OBJECTIVES)
    assert len(undisturbed) == len(OBJECTIVES) + 2
    renderings = list(fv.render_many(network(), OBJECTIVES, **SETTINGS))
    assert len({undisturbed[entry["file"]] for entry in manifest["images"].values()}) == len(OBJECTIVES)
    for one in renderings:
        entry = manifest["images"][one.name]
        assert entry["score"] == pytest.approx(one.score.item(), abs=1e-5)
        assert entry["problem"] == ""


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_pictures_are_the_renderings_themselves(tmp_path: Path, suffix: str) -> None:
    out = fv.render_folder(network(), OBJECTIVES[:2], tmp_path / "out", suffix=suffix, **SETTINGS)
    (one, _) = fv.render_many(network(), OBJECTIVES[:2], **SETTINGS)
    read = image.load(tmp_path / "out" / f"1_0.{suffix}")
    torch.testing.assert_close(read, one.images, atol=0.5 / 255 + 1e-4, rtol=0)
    assert (out.pictures(OBJECTIVES[:2])[0] == image.to_numpy(read)[0]).all()


def test_a_finished_folder_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}


def test_a_missing_picture_comes_back_with_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = tmp_path / "out"
    fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)
    (folder / "minus_1_0.png").unlink()
    fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)
    assert contents(folder) == undisturbed


def render_here(folder: Path) -> None:
    torch.set_num_threads(1)
    fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)


def test_killed_again_and_again_it_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """Kills with SIGKILL at random moments; INTERP_KILLS sets how often."""
    folder, wanted = tmp_path / "out", int(os.environ.get("INTERP_KILLS", "6"))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["interp.featurevis"])  # so that the kills hit the work, not the import
    chance, kills = random.Random(0), 0
    while kills < wanted:
        process = processes.Process(target=render_here, args=(folder,))
        process.start()
        process.join(chance.uniform(0.02, 0.4))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            # It was faster than the kill: take something away, so that there is work to be killed at.
            for path in chance.sample(sorted(folder.glob("*.png")), 4):
                path.unlink()
    render_here(folder)
    assert contents(folder) == undisturbed


def test_what_a_killed_run_was_writing_goes_and_what_a_live_one_writes_stays(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    for process in (ended.pid, os.getppid()):
        (folder / f".{uuid.uuid4().hex}-{process}-{runs.machine()}.part").touch()
    fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)
    (left,) = contents(folder).keys() - undisturbed.keys()
    assert f"-{os.getppid()}-" in left


def test_shares_add_up(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "out"
    for index in range(2):
        fv.render_folder(network(), OBJECTIVES, folder, share=fv.Share(index, 2), **SETTINGS)
    found = contents(folder)
    pictures = {name: data for name, data in undisturbed.items() if name.endswith(".png")}
    assert {name: data for name, data in found.items() if name.endswith(".png")} == pictures
    parts = [json.loads(found[f"manifest-{index}-of-2.json"])["images"] for index in range(2)]
    assert parts[0] | parts[1] == json.loads(undisturbed["manifest.json"])["images"]
    assert not parts[0].keys() & parts[1].keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"steps": 5}, "steps"),
        ({"batch": 5}, "batch is 4 there and 5 here"),
        ({"suffix": "webp"}, "suffix"),
        ({"transforms": ()}, "transforms"),
    ],
)
def test_the_folder_of_another_run_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = tmp_path / "out"
    fv.render_folder(network(), OBJECTIVES[:1], folder, **SETTINGS)
    before = contents(folder)
    with pytest.raises(BadInputError, match=message):
        fv.render_folder(network(), OBJECTIVES[:1], folder, **{**SETTINGS, **change})  # type: ignore[arg-type]
    assert contents(folder) == before


def test_another_network_or_other_objectives_are_another_run(tmp_path: Path) -> None:
    fv.render_folder(network(), OBJECTIVES[:1], tmp_path, **SETTINGS)
    other = network()
    with torch.no_grad():
        other[0].weight[0, 0, 0, 0] += 1e-3
    with pytest.raises(BadInputError, match="network is"):
        fv.render_folder(other, OBJECTIVES[:1], tmp_path, **SETTINGS)


def test_the_mode_in_which_a_network_was_left_is_no_other_run(tmp_path: Path) -> None:
    fv.render_folder(network(), OBJECTIVES[:1], tmp_path, **SETTINGS)
    before = contents(tmp_path)
    training = network().train()
    fv.render_folder(training, OBJECTIVES[:1], tmp_path, **SETTINGS)
    assert contents(tmp_path) == before
    assert all(layer.training for layer in training.modules())


def test_a_folder_can_grow_and_is_then_that_of_an_undisturbed_run(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """The first six objectives end in the middle of a batch, which is rendered again with the others."""
    grown = fv.render_folder(network(), OBJECTIVES[:6], tmp_path, **SETTINGS)
    assert list(grown.images) == [one.name for one in OBJECTIVES[:6]]
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    fv.render_folder(network(), OBJECTIVES, tmp_path, **SETTINGS)
    kept = [name for name, time in before.items() if (tmp_path / name).stat().st_mtime_ns == time]
    assert sorted(kept) == sorted(f"1_{index}.png" for index in range(4))
    assert contents(tmp_path) == undisturbed
    again = fv.render_folder(network(), OBJECTIVES[:4], tmp_path, **SETTINGS)
    assert list(again.images) == [one.name for one in OBJECTIVES[:4]]
    assert contents(tmp_path) == undisturbed


def direction(*values: float, name: str = "same") -> fv.Objective:
    return fv.direction("1", torch.tensor(values), name=name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (direction(1, 0, 0, 0, 0, 0), direction(0, 0, 0, 0, 0, 1)),
        (0.1234567 * fv.channel("1", 0), 0.1234568 * fv.channel("1", 0)),
        (fv.of_layer("1", lambda x: x.mean((1, 2, 3))), fv.of_layer("1", lambda x: x.amax((1, 2, 3)))),
    ],
)
def test_objectives_are_told_by_content(tmp_path: Path, one: fv.Objective, other: fv.Objective) -> None:
    assert one.name == other.name
    fv.render_folder(network(), [one], tmp_path, **SETTINGS)
    before = contents(tmp_path)
    with pytest.raises(BadInputError, match="another objective that is also called"):
        fv.render_folder(network(), [other], tmp_path, **SETTINGS)
    assert contents(tmp_path) == before


RESUME = """
import torch
from pathlib import Path
from interp import featurevis as fv
from test_featurevis_folder import OBJECTIVES, SETTINGS, network
torch.set_num_threads({threads})
brighter = lambda images, random: images + {add}
fv.render_folder(network(), OBJECTIVES[:2], Path({folder!r}), transforms=(brighter,), **SETTINGS)
"""


def test_transforms_are_told_by_content(tmp_path: Path) -> None:
    """A plain function has an address in its text, which is another one in each process."""
    done = []
    for add in (0.1, 0.1, 0.2):
        program = RESUME.format(threads=torch.get_num_threads(), folder=str(tmp_path / "out"), add=add)
        command = [sys.executable, "-c", program]
        where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        done.append(subprocess.run(command, capture_output=True, text=True, check=False, env=where))
    assert [each.returncode for each in done] == [0, 0, 1], done[1].stderr
    assert "belongs to another run: transforms is" in done[2].stderr


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:200] + b"x" + data[201:]])
def test_a_damaged_picture_is_rendered_again(
    tmp_path: Path, undisturbed: dict[str, bytes], damage: Callable[[bytes], bytes]
) -> None:
    fv.render_folder(network(), OBJECTIVES, tmp_path, **SETTINGS)
    path = tmp_path / "1_2.png"
    path.write_bytes(damage(path.read_bytes()))
    fv.render_folder(network(), OBJECTIVES, tmp_path, **SETTINGS)
    assert contents(tmp_path) == undisturbed


def test_a_changed_manifest_is_not_believed(tmp_path: Path) -> None:
    fv.render_folder(network(), OBJECTIVES[:1], tmp_path, **SETTINGS)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace("1_0.png", "1_1.png"))
    with pytest.raises(DamagedFileError, match=r"manifest\.json' is damaged"):
        fv.render_folder(network(), OBJECTIVES[:1], tmp_path, **SETTINGS)


def test_two_processes_on_one_folder_end_with_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["interp.featurevis"])
    started = [processes.Process(target=render_here, args=(tmp_path / "out",)) for _ in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    assert contents(tmp_path / "out") == undisturbed


def test_pictures_of_shares_are_those_of_the_whole(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    for share in [(0, 2), (1, 2)]:
        fv.render_folder(network(), OBJECTIVES, tmp_path, share=share, **SETTINGS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    whole = fv.render_folder(network(), OBJECTIVES, tmp_path, **SETTINGS)
    assert len(whole.images) == len(OBJECTIVES)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    assert (tmp_path / "manifest.json").read_bytes() == undisturbed["manifest.json"]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInputError, match="holds other files"):
        fv.render_folder(network(), OBJECTIVES, tmp_path, **SETTINGS)
    (tmp_path / "thesis.txt").unlink()
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BadInputError, match="holds other files"):
        fv.render_folder(network(), OBJECTIVES, tmp_path, **SETTINGS)


def test_a_full_disk_keeps_what_is_finished(
    tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, written = tmp_path / "out", []

    def full_after_six(handle: int) -> None:
        written.append(handle)
        if len(written) > 10:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after_six)
        with pytest.raises(UnwritableError, match=r"No space left on device\. What is finished is kept"):
            fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)
    left = contents(folder)
    # What is synced: the claim and its folder, four pictures, the manifest and its folder, two pictures more.
    assert len(left) == 8
    assert all(left[name] == undisturbed[name] for name in left if name.endswith(".png"))
    fv.render_folder(network(), OBJECTIVES, folder, **SETTINGS)
    assert contents(folder) == undisturbed


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableError, match="cannot be written"):
        fv.render_folder(network(), OBJECTIVES, tmp_path / "file" / "out", **SETTINGS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UnwritableError, match="Permission denied"):
        fv.render_folder(network(), OBJECTIVES, tmp_path, **SETTINGS)


def test_bad_input_is_explained(tmp_path: Path) -> None:
    twice = [fv.channel("1", 0), fv.channel("1", 0)]
    with pytest.raises(BadInputError, match="the file name '1_0'"):
        fv.render_folder(network(), twice, tmp_path, **SETTINGS)
    with pytest.raises(BadInputError, match=r"'a:1' and 'A:1'.*the file name 'A_1', on some disks"):
        fv.render_folder(network(), [fv.channel("a", 1), fv.channel("A", 1)], tmp_path, **SETTINGS)
    with pytest.raises(BadInputError, match="at least one image; got 0"):
        fv.render_folder(network(), OBJECTIVES, tmp_path, **{**SETTINGS, "batch": 0})
    with pytest.raises(BadInputError, match="png or webp"):
        fv.render_folder(network(), OBJECTIVES, tmp_path, suffix="exe", **SETTINGS)
    with pytest.raises(BadInputError, match="INDEX < COUNT"):
        fv.Share(2, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_joins_later_may_not_be_the_file_of_another(tmp_path: Path) -> None:
    fv.render_folder(network(), [direction(1, 0, 0, 0, 0, 0, name="a b")], tmp_path, **SETTINGS)
    with pytest.raises(BadInputError, match=r"'A_b' and 'a b'.*file name 'A_b'"):
        fv.render_folder(network(), [direction(1, 0, 0, 0, 0, 0, name="A_b")], tmp_path, **SETTINGS)


def test_long_names_have_short_files(tmp_path: Path) -> None:
    long = [direction(1, 0, 0, 0, 0, float(end), name="n" * 300 + str(end)) for end in range(2)]
    found = fv.render_folder(network(), long, tmp_path, **SETTINGS)
    files = {entry["file"] for entry in found.images.values()}
    assert len(files) == 2
    assert all((tmp_path / file).is_file() and len(file) < 140 for file in files)


def test_a_shorter_list_gives_the_pictures_of_a_fresh_folder(tmp_path: Path) -> None:
    """The last batch is another one then, and rounding depends on the batch."""
    fv.render_folder(network(), OBJECTIVES[:6], tmp_path / "six", **SETTINGS)
    again = fv.render_folder(network(), OBJECTIVES[:5], tmp_path / "six", **SETTINGS)
    fresh = fv.render_folder(network(), OBJECTIVES[:5], tmp_path / "five", **SETTINGS)
    assert again.images == fresh.images
    for entry in fresh.images.values():
        name = str(entry["file"])
        assert (tmp_path / "six" / name).read_bytes() == (tmp_path / "five" / name).read_bytes()


def test_numbers_of_numpy_are_the_same_run(tmp_path: Path) -> None:
    plain = fv.render_folder(network(), [fv.channel("1", 3)], tmp_path, size=24, steps=[fv.Stage(24, 2)])
    found = fv.render_folder(
        network(),
        [fv.channel("1", np.int64(3))],
        tmp_path,
        size=np.int64(24),
        steps=[fv.Stage(np.int32(24), np.int64(2))],
        seed=np.int64(0),
        batch=np.int64(16),
    )
    assert found.images == plain.images


def test_a_batch_that_another_share_rendered_anew_is_not_rendered_each_time(tmp_path: Path) -> None:
    fv.render_folder(network(), OBJECTIVES[:3], tmp_path / "out", **SETTINGS)
    fv.render_folder(network(), OBJECTIVES[:4], tmp_path / "out", share=(0, 2), **SETTINGS)
    os.utime(picture := tmp_path / "out" / "1_0.png", ns=(0, 0))
    for share in ((0, 2), (0, 1)):  # whichever manifest lists it
        fv.render_folder(network(), OBJECTIVES[:4], tmp_path / "out", share=share, **SETTINGS)
        assert picture.stat().st_mtime_ns == 0


def test_a_rate_is_the_same_number_however_it_is_written() -> None:
    assert repr(fv.Recipe(rate=1)) == repr(fv.Recipe(rate=np.float32(1)))  # type: ignore[arg-type]
