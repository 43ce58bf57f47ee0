"""The set-up finds a way, or says what is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import bootstrap  # noqa: E402


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commands that are tried; those whose words hold one of `bootstrap.working` end well."""
    tried: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "working", set(), raising=False)

    def succeeds(command: list[str]) -> bool:
        tried.append(command)
        return any(word in bootstrap.working for word in command)

    monkeypatch.setattr(bootstrap, "succeeds", succeeds)
    return tried


def test_an_environment_without_pip_will_do(commands: list[list[str]], tmp_path: Path) -> None:
    """Debian leaves out ensurepip, and `python3 -m venv` fails."""
    bootstrap.working = {"--without-pip"}
    bootstrap.make("python3", str(tmp_path / "env"))
    assert [command[2] for command in commands] == ["venv", "venv"]


def test_a_python_without_venv_is_named(commands: list[list[str]], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no module venv.*python3-venv"):
        bootstrap.make("python3", str(tmp_path / "env"))
    assert not (tmp_path / "env").exists()


def test_pip_from_outside_serves_an_environment_without(commands: list[list[str]], tmp_path: Path) -> None:
    bootstrap.working = {"--python"}
    bootstrap.bring_uv("env/bin/python", str(tmp_path))
    assert commands[-1][1:5] == ["-m", "pip", "--python", "env/bin/python"]
    assert commands[-1][-1] == bootstrap.pinned("uv") == f"uv=={bootstrap.pinned('uv')[4:]}"


def test_without_pip_and_uv_the_error_says_what_to_install(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _name: None)
    monkeypatch.setattr(bootstrap, "pinned", lambda _name: "--no-such-option")
    with pytest.raises(
        SystemExit, match=r"(?s)could not be installed from PyPI.*python3-venv.*The last attempt said"
    ):
        bootstrap.bring_uv(sys.executable, str(tmp_path))


@pytest.mark.parametrize("was_there", [True, False])
def test_a_new_environment_that_cannot_have_uv_does_not_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, was_there: bool
) -> None:
    """Else it would still be without pip when python3-venv has been installed; one that was there is not ours."""
    folder = tmp_path / "env"

    def fail(*_: object) -> None:
        sys.exit("no uv")

    monkeypatch.setattr(bootstrap, "works", lambda _python: was_there)
    monkeypatch.setattr(bootstrap, "make", lambda _python, path: Path(path).mkdir())
    monkeypatch.setattr(bootstrap, "bring_uv", fail)
    if was_there:
        folder.mkdir()
    with pytest.raises(SystemExit, match="no uv"):
        bootstrap.main(str(folder))
    assert folder.exists() == was_there


@pytest.mark.parametrize("version", [(3, 10, 2), (3, 14, 0)])
def test_a_python_that_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]
) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", version)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit, match=rf"3.11, 3.12 or 3.13 is needed; python3 here is 3.{version[1]}"):
        bootstrap.find_python()


def test_another_python_on_the_path_is_taken(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 14, 0))
    monkeypatch.setattr(bootstrap.shutil, "which", {"python3.12": "/usr/bin/python3.12"}.get)
    bootstrap.working = {"/usr/bin/python3.12"}
    assert bootstrap.find_python() == "/usr/bin/python3.12"
    assert [command[0] for command in commands] == ["/usr/bin/python3.12"]


def test_a_name_of_a_python_that_is_switched_off_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pyenv puts it on the PATH; and one that is another version than its name says."""
    off, other, right = (tmp_path / f"python3.{minor}" for minor in (13, 12, 11))
    off.write_text("#!/bin/sh\nexit 127\n")
    other.write_text("#!/bin/sh\nexit 1\n")
    right.write_text("#!/bin/sh\nexit 0\n")
    for file in (off, other, right):
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 13))
    assert bootstrap.find_python() == str(right)
    right.unlink()
    with pytest.raises(SystemExit, match=r"3\.11, 3\.12 or 3\.13 is needed; python3 here is 3\.10"):
        bootstrap.find_python()
