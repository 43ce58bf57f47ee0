"""The form of a chapter: what a reader sees stays short, a picture comes before the first import, cells are small."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from format_cells import CELL  # noqa: E402

LONGEST, LARGEST = 350, 12  # lines of a chapter, of a cell
PARTS = ("segment-1", "segment-2", "segment-3", "segment-3b", "lucent", "lab")
CHAPTERS = [path for part in PARTS for path in sorted((ROOT / "book" / part).glob("*.md"))]
HIDDEN = re.compile(r"(remove|hide)-(cell|input)")
PICTURE = re.compile(r"^```\{(figure|image)\}|^ +caption: |^:figure:|^```\{(teaser|opening)", re.MULTILINE)
IMPORT = re.compile(r"^(import|from) ", re.MULTILINE)


def full(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def shown(text: str) -> list[re.Match[str]]:
    """Return the cells whose code a reader sees without a click."""
    return [cell for cell in CELL.finditer(text) if not HIDDEN.search(cell["open"])]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_short_and_begins_with_a_picture(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    hidden = [cell for cell in CELL.finditer(text) if HIDDEN.search(cell["open"])]
    assert len(full(text)) - sum(len(full(cell.group())) for cell in hidden) <= LONGEST
    assert not [cell["code"] for cell in shown(text) if len(full(cell["code"])) > LARGEST]
    imports = [cell.start("code") for cell in shown(text) if IMPORT.search(cell["code"])]
    picture = PICTURE.search(text)
    assert picture is not None
    assert picture.start() < min(imports, default=len(text))


def test_a_chapter_of_another_form_is_seen() -> None:
    text = "```{code-cell} ipython3\nimport torch\n```\n\n"
    text += "```{code-cell} ipython3\n:tags: [hide-input]\nfrom interp import zoo\n```\n"
    (cell,) = shown(text)
    assert IMPORT.search(cell["code"])
    assert not PICTURE.search(text)
    assert PICTURE.search("---\nmystnb:\n  figure:\n    caption: |\n")
