"""What the README says is so: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interp import image

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), found)
    for name in ("where.png", "what.png"):
        assert image.load(tmp_path / name).std() > 0.05


def test_the_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?<![\w:])make ([a-z]+)", TEXT + (ROOT / "CONTRIBUTING.md").read_text()))
    assert named - {"command"} <= targets
    assert {"help", "book", "serve", "test", "check", "bench", "data", "clean"} <= targets


def test_links_and_pictures_exist() -> None:
    paths = [path for path in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in path]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_version_is_the_same_everywhere() -> None:
    import interp

    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {interp.__version__}" in citation
    assert f"## {interp.__version__}" in (ROOT / "CHANGELOG.md").read_text()
