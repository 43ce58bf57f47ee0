"""Processes: why one fails reaches the user, whether it fails before, at, or after its start."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from spectra import Tiny, job, pictures

from interp.errors import BadInputError, LostWorkerError, UnknownNameError, UnwritableError
from interp.spectrum import Folder, Items, local, processes, run, shards

pytestmark = pytest.mark.slow


class Stubborn(Exception):
    """Cannot be made again from its words, so that it does not survive the way to another process."""

    def __init__(self, layer: str, image: int) -> None:
        super().__init__(f"{layer} does not like image {image}")


class Refusing(Tiny):
    """A network that raises an error of its own."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise Stubborn("deep", 3)


def script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    (folder / "script.py").write_text(text)
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_an_error_in_a_process_is_the_one_that_it_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "named", lambda model, layers: layers)  # which would say it before
    with pytest.raises(UnknownNameError, match="Closest: deep"):
        run(job(("deap",)), tmp_path, engine=processes(1))
    with pytest.raises(BadInputError, match="tuple, not one tensor"):
        run(job(("pair",)), tmp_path / "pair", engine=processes(1))


def test_an_error_that_cannot_travel_comes_with_its_words(tmp_path: Path) -> None:
    refusing = dataclasses.replace(job(), model=Refusing().eval())
    with pytest.raises(LostWorkerError, match=r"^Stubborn: deep does not like image 3$"):
        run(refusing, tmp_path, engine=processes(1))


def test_a_part_that_cannot_be_sent_is_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"never read")
    labeled = dataclasses.replace(job(), source=Folder(tmp_path, label=lambda name: name))
    with pytest.raises(BadInputError, match=r"cannot be sent to another process.*lambda"):
        run(labeled, tmp_path / "out", engine=processes(1))


def test_a_class_from_a_cell_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Tiny):
        """As in a notebook: the module __main__ has it here, and not in the process."""

    Mine.__module__, Mine.__qualname__ = "__main__", "Mine"
    monkeypatch.setattr(sys.modules["__main__"], "Mine", Mine, raising=False)
    own = dataclasses.replace(job(), model=Mine().eval())
    with pytest.raises(BadInputError, match=r"Can't get attribute 'Mine'.*not in a cell"):
        run(own, tmp_path, engine=processes(1))


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path: Path) -> None:
    call = "run(job(), Path('out'), engine=processes(1))"
    head = "from pathlib import Path\nfrom spectra import job\nfrom interp.spectrum import processes, run\n"
    found = script(tmp_path, head + call)
    assert found.returncode == 1
    assert "LostWorkerError: The processes ended before they began" in found.stderr
    assert 'if __name__ == "__main__":' in found.stderr.splitlines()[-1]
    assert "memory" not in found.stderr.splitlines()[-1]
    assert script(tmp_path, f"{head}if __name__ == '__main__':\n    {call}").returncode == 0


def test_a_large_picture_prints_no_warning_over_the_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from test_image import png_of_size

    bomb = png_of_size(9_500, 9_500)
    source = Items([*[(picture, 0) for picture, _ in pictures(4)], (bomb, 0)], "bomb", size=12)
    found = run(dataclasses.replace(job(), source=source), tmp_path, engine=processes(1))
    assert "more than 89,478,485" in found.broken[0].reason
    assert "Warning" not in capfd.readouterr().err


def test_what_is_packed_comes_back() -> None:
    assert local.unpack(local.pack(job())).settings == job().settings


def test_what_a_job_was_packed_into_is_gone_afterwards_and_a_full_disk_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with local._in_file(b"job") as file:
        assert file.read_bytes() == b"job"
    assert not list(tmp_path.iterdir())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UnwritableError, match="No space left"), local._in_file(b"job"):
        pass
    assert not list(tmp_path.iterdir())
