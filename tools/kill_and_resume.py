"""Kill `interp spectrum` again and again, let it go on, and compare the bytes with those of an undisturbed run.

    python tools/kill_and_resume.py [--kills 50] [--engine here] [--seed 0] [--json FILE]

A kill is `kill -9` of the whole process group. Its moment is drawn at random over the time that an undisturbed run
takes; every third one waits for a file that is just being written. After a kill the same command goes on in the same
folder. Once it ends by itself, everything in the folder, half-written files included, is compared with what the
undisturbed run left, and a new folder begins.

The disturbances that need no killing follow: a full disk, a read-only folder, a damaged shard, another run's folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

SHARDS = 12
JOB = {
    "--layers": "bn_head,blocks.4.2",
    "--data": "scenes",
    "--size": "64",
    "--images": str(8 * SHARDS),
    "--shard": "8",
    "--batch": "4",
    "--workers": "2",
}


@dataclass
class Tally:
    """What happened so far."""

    kills: int = 0
    while_writing: int = 0
    runs: int = 0
    leftovers: int = 0
    other_bytes: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--engine", choices=["here", "processes"], default="here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", type=Path, help="write what happened under the engine's name into this file"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected, seconds = undisturbed(folder / "undisturbed")
        print(f"undisturbed: {len(expected)} files in {seconds:.1f} s", flush=True)
        tally = disturbed(folder, expected, seconds, options)
        print(
            f"{options.engine}: {tally.kills} kills, {tally.while_writing} of them while a file was written, left "
            f"{tally.leftovers} half-written files; {tally.runs} runs, {tally.other_bytes} with other bytes or files"
        )
        require(not tally.other_bytes, "a run that was killed has another result")
        for check in (full_disk, read_only, damaged, another_run):
            check(folder / check.__name__, expected)
            print(f"{check.__name__}: one error, and the same bytes afterwards", flush=True)
    if options.json:
        found = json.loads(options.json.read_text()) if options.json.exists() else {}
        found[options.engine] = asdict(tally)
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def command(folder: Path, *more: str) -> list[str]:
    options = [part for option in JOB.items() for part in option]
    network = ["spectrum", "efficientnet_lite0"]
    return [sys.executable, "-m", "interp.cli", *network, *options, "-o", str(folder), *more]


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start a run in a process group of its own, so that a kill reaches all its processes at once."""
    return subprocess.Popen(
        command(folder, *more),
        start_new_session=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def leftovers(folder: Path) -> set[str]:
    return {file.name for file in folder.glob(".*")}


def undisturbed(folder: Path) -> tuple[dict[str, bytes], float]:
    begin = time.monotonic()
    finish(folder)
    return contents(folder), time.monotonic() - begin


def finish(folder: Path, *more: str) -> None:
    process = start(folder, *more)
    _, errors = process.communicate()
    require(process.returncode == 0, errors)


def require(fact: bool, what: str) -> None:
    if not fact:
        raise SystemExit(f"FAILED: {what}")


# --------------------------------------------------------------------------------------------------------------------
# Kills


def disturbed(folder: Path, expected: dict[str, bytes], seconds: float, options: argparse.Namespace) -> Tally:
    chance, tally = random.Random(options.seed), Tally()
    while tally.kills < options.kills:
        here = folder / f"{options.engine}-{tally.runs}"
        while tally.kills < options.kills and killed(here, chance, tally, seconds, options.engine):
            tally.kills += 1
            print(f"{tally.kills} kills, {len(list(here.glob('*.spectrum')))} of {SHARDS} shards", flush=True)
        finish(here, "--engine", options.engine)
        require(
            contents(here) == expected, f"{here} has other bytes, or other files, than the undisturbed run"
        )
        tally.runs += 1
    return tally


def killed(folder: Path, chance: random.Random, tally: Tally, seconds: float, engine: str) -> bool:
    """Start a run and kill it; return False if it was done before."""
    before = leftovers(folder) if folder.exists() else set()
    process = start(folder, "--engine", engine)
    if tally.kills % 3 == 2:
        wait_for_a_write(process, folder, chance.randint(1, SHARDS // 2))
    else:
        wait(process, chance.random() * seconds)
    done = process.poll() is not None
    if not done:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if not done and folder.exists():
        new = leftovers(folder) - before
        tally.leftovers += len(new)
        tally.while_writing += bool(new)
    return not done


def wait(process: subprocess.Popen[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def wait_for_a_write(process: subprocess.Popen[str], folder: Path, writes: int) -> None:
    """Return when so many files have begun to be written; the last one is not finished then."""
    seen = leftovers(folder) if folder.exists() else set()
    while process.poll() is None and writes:
        new = leftovers(folder) - seen if folder.exists() else set()
        writes -= bool(new)
        seen |= new


# --------------------------------------------------------------------------------------------------------------------
# Other disturbances


def refused(folder: Path, message: str, *more: str, prepare: Callable[[], None] | None = None) -> None:
    """Require that a run ends with one line of an error, and no half-written file."""
    done = subprocess.run(
        command(folder, *more), text=True, capture_output=True, preexec_fn=prepare, check=False
    )
    require(done.returncode == 1 and done.stderr.count("\n") == 1, f"not one line of error: {done.stderr}")
    require(message in done.stderr, f"{message!r} is not in: {done.stderr}")
    require(not folder.is_dir() or not leftovers(folder), f"{folder} has half-written files")


def full_disk(folder: Path, expected: dict[str, bytes]) -> None:
    """No file may become larger than half a shard's: the write fails, as on a full disk."""
    most = min(len(content) for name, content in expected.items() if name.endswith(".spectrum")) // 2

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    refused(folder, "cannot be written: File too large", prepare=limit)
    finish(folder)
    require(contents(folder) == expected, "a full disk has changed the result")


def read_only(folder: Path, expected: dict[str, bytes]) -> None:
    if os.geteuid() == 0:  # whom no right keeps out: a folder below a file cannot be made by anybody
        folder.write_text("in the way")
        refused(folder / "inside", "cannot be written: Not a directory")
        folder.unlink()
    else:
        folder.mkdir(mode=0o500)
        refused(folder, "cannot be written: Permission denied")
        folder.chmod(0o700)
    finish(folder)
    require(contents(folder) == expected, "a read-only folder has changed the result")


def damaged(folder: Path, expected: dict[str, bytes]) -> None:
    finish(folder)
    victim = next(folder / name for name in expected if name.endswith(".spectrum"))
    victim.write_bytes(victim.read_bytes()[:-1])
    refused(folder, victim.name)
    victim.unlink()
    finish(folder)
    require(contents(folder) == expected, "a damaged shard has changed the result")


def another_run(folder: Path, expected: dict[str, bytes]) -> None:
    finish(folder)
    refused(folder, "belongs to another run (pool: 'mean' there, 'max' here)", "--pool", "max")
    require(contents(folder) == expected, "another run has changed the result")


if __name__ == "__main__":
    sys.exit(main())
