"""Whole files or none, folders that belong to one run, checksums, shares, names of files."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interp import runs
from interp.errors import BadInputError, DamagedFileError, MissingFileError, UnwritableError


def test_replacing_takes_the_place_of_a_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with runs.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    with pytest.raises(ZeroDivisionError), runs.replacing(path) as temporary:
        temporary.write_text(str(1 / 0))
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_only_what_killed_processes_were_writing_is_removed(tmp_path: Path) -> None:
    with runs.replacing(tmp_path / "x.txt") as alive:
        own = f"-{os.getpid()}-"
        assert own in alive.name
        dead = alive.with_name(alive.name.replace(own, f"-{ended()}-"))
        container = dead.with_name(dead.name.replace(runs.machine(), "another-pid-space"))
        young, old = (tmp_path / f".{digit * 32}-1-elsewhere.part" for digit in "01")
        others = tmp_path / ".somebody-else's.part"
        for path in (dead, container, young, old, others):
            path.touch()
        for path in (old, others):
            os.utime(path, (0, 0))
        runs.remove_leftovers(tmp_path)
        assert {alive.name, container.name, young.name, others.name} == set(os.listdir(tmp_path))


def ended() -> int:
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_what_a_process_that_lives_on_left_a_day_ago_is_removed(tmp_path: Path) -> None:
    with runs.replacing(tmp_path / "x.txt") as old, runs.replacing(tmp_path / "x.txt") as young:
        os.utime(old, (0, 0))
        runs.remove_leftovers(tmp_path)
        assert [old.exists(), young.exists()] == [False, True]
        old.touch()


def test_a_file_that_cannot_be_written_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        UnwritableError, match=r"'.*folder' cannot be written: .*irectory\. What is finished is kept"
    ):
        runs.write(tmp_path / "folder", b"x")
    with pytest.raises(MissingFileError, match="There is no folder"):
        runs.write(tmp_path / "none" / "x", b"x")
    assert os.listdir(tmp_path) == ["folder"]


# ---- checksums


def test_every_bit_counts() -> None:
    sealed = runs.seal(b"content")
    assert runs.unseal(sealed) == b"content"
    for place in range(8 * len(sealed)):
        with pytest.raises(DamagedFileError):
            runs.unseal(flipped(sealed, place))
    for length in range(len(sealed)):
        with pytest.raises(DamagedFileError):
            runs.unseal(sealed[:length])


def flipped(content: bytes, place: int) -> bytes:
    """Return content with one bit turned."""
    found = bytearray(content)
    found[place // 8] ^= 1 << place % 8
    return bytes(found)


def test_no_bit_of_json_changes_what_is_read(tmp_path: Path) -> None:
    path, content = tmp_path / "a.json", {"b": [1, 2.5, None], "a": {"ä": "x", "7": True}, "sum": 1e-9}
    runs.write_json(path, content)
    assert runs.read_json(path) == content
    whole, refused = path.read_bytes(), 0
    for place in range(8 * len(whole)):
        path.write_bytes(flipped(whole, place))
        try:
            assert runs.read_json(path) == content  # a blank between the entries says nothing
        except DamagedFileError:
            refused += 1
    assert refused > 0.8 * 8 * len(whole)


@pytest.mark.parametrize("content", ["", "[]", "{}", "7", '{"sha256": 1}', "[" * 100_000])
def test_what_is_no_json_of_ours_is_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DamagedFileError, match=r"a\.json' is damaged"):
        runs.read_json(tmp_path / "a.json")


def test_keys_that_json_makes_texts_are_read_back(tmp_path: Path) -> None:
    runs.write_json(tmp_path / "a.json", {"of": {10: 1, 9: 2}})
    assert runs.read_json(tmp_path / "a.json") == {"of": {"10": 1, "9": 2}}


# ---- folders


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    settings = {"seed": 0, "sizes": (1, 2), "model": "a" * 64}
    for _ in range(2):
        runs.claim(tmp_path / "new" / "out", settings)
    assert runs.claimed(tmp_path / "new" / "out") == {**settings, "sizes": [1, 2]}
    for other, message in [
        ({**settings, "seed": 1}, "seed is 0 there and 1 here"),
        ({**settings, "more": None}, "more is nothing there and null here"),
        ({**settings, "model": "b" * 64}, "model is aaa"),
        ({**settings, "model": "a" * 50 + "b" + "a" * 13}, "model is aaa"),
        ({**settings, "seed": False}, "seed is 0 there and false here"),
    ]:
        with pytest.raises(BadInputError, match=f"belongs to another run: {message}"):
            runs.claim(tmp_path / "new" / "out", other)


def test_only_an_empty_folder_can_be_claimed(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(BadInputError, match=r"holds other files, such as 'photo\.jpg'"):
        runs.claim(tmp_path, {})
    assert sorted(os.listdir(tmp_path)) == [".DS_Store", "photo.jpg"]
    (tmp_path / "photo.jpg").unlink()
    runs.claim(tmp_path, {})
    (tmp_path / "result").touch()
    runs.claim(tmp_path, {})


def test_a_claim_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"holds no run: run\.json is missing"):
        runs.claimed(tmp_path)
    runs.claim(tmp_path, {"seed": 10})
    path = tmp_path / runs.CLAIM
    path.write_text(path.read_text().replace("10", "11"))
    with pytest.raises(DamagedFileError, match=r"run\.json' is damaged"):
        runs.claim(tmp_path, {"seed": 11})
    runs.write_json(path, {"other": 1})
    with pytest.raises(DamagedFileError, match="does not say which run"):
        runs.claim(tmp_path, {"seed": 11})


def claim_at(moment: float, folder: Path, number: int, results: Path) -> None:
    time.sleep(max(0.0, moment - time.time()))
    try:
        runs.claim(folder, {"number": number})
        (folder / f"result-{number}").touch()
        (results / f"{folder.name}-{number}").write_text("mine")
    except BadInputError as error:
        (results / f"{folder.name}-{number}").write_text(str(error))


def test_of_runs_that_begin_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    results, processes = tmp_path / "results", multiprocessing.get_context("fork")
    results.mkdir()
    for turn in range(10):
        folder, moment = tmp_path / f"out{turn}", time.time() + 0.05
        started = [
            processes.Process(target=claim_at, args=(moment, folder, n, results)) for n in (1, 2, 3, 1)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
        said = [path.read_text() for path in sorted(results.glob(f"out{turn}-*"))]
        assert len(said) == 3
        assert said.count("mine") == 1
        owner = runs.claimed(folder)["number"]
        assert sorted(os.listdir(folder)) == [f"result-{owner}", runs.CLAIM]
        assert all("belongs to another run: number is" in text for text in said if text != "mine")


def write_on(folder: Path) -> None:
    for number in range(10**9):
        runs.write_json(folder / "a.json", {"number": number, "content": [number] * 2000})


def test_killed_while_writing_the_file_is_whole(tmp_path: Path) -> None:
    chance, processes, seen = random.Random(1), multiprocessing.get_context("fork"), []
    runs.write_json(tmp_path / "a.json", {"number": -1, "content": []})
    for _ in range(10):
        process = processes.Process(target=write_on, args=(tmp_path,))
        process.start()
        time.sleep(chance.uniform(0.01, 0.1))
        process.kill()
        process.join()
        seen.append(runs.read_json(tmp_path / "a.json")["number"])
        runs.remove_leftovers(tmp_path)
        assert os.listdir(tmp_path) == ["a.json"]
    assert max(seen) > 0


# ---- shares and names


def test_shares_are_all_pieces_once() -> None:
    pieces = [runs.Share(index, 3).of(range(10)) for index in range(3)]
    assert sorted(piece for part in pieces for piece in part) == list(range(10))
    assert runs.ALL.of("abc") == "abc"
    assert tuple(runs.Share(1, 3)) == (1, 3)
    for index, count in [(3, 3), (-1, 2), (0, 0)]:
        with pytest.raises(BadInputError, match=f"got {index}/{count}"):
            runs.Share(index, count)


def test_names_of_files_are_safe_and_one_to_one_on_any_disk() -> None:
    plain = ["blocks.3.2", "conv_1", "a-b", "3x3-s1", "-x"]
    assert [runs.file_stem(name) for name in plain] == plain
    hard = [
        "a:b",
        "A-B",
        "a-B",
        "Conv",
        "conv",
        "3x3/s1",
        "3x3:s1",
        "../x",
        "..",
        ".",
        "aux",
        "nul.1",
        "com1",
    ]
    hard += ["x.", ".x", "x", "ä", "ö", chr(0xDCE4)]
    hard += ["", "l" * 300, "l" * 301, "a b", "a\tb"]
    hard += [runs.file_stem(name) for name in hard]  # a layer may be called as the file of another
    hard = list(dict.fromkeys(name for name in hard if name not in plain))
    stems = [runs.file_stem(name).lower() for name in [*plain, *hard]]
    assert len(set(stems)) == len(stems)
    for stem in stems:
        assert stem == stem.encode("ascii").decode()
        assert len(stem) < 200
        assert stem.strip(".") == stem
        assert not {"/", "\\", ":"} & set(stem)
        assert stem.partition(".")[0] not in ("aux", "nul", "com1", "con", "prn", "lpt1")
