"""The book's activation atlas: laid out on the site at atlas/index.html, and linked by the role {atlas}.

What was computed lies in book/_data/atlas, the page in the package. The role writes {atlas}`words <CELL>`, the number
of a cell, or {atlas}`words <.>` for the whole; one that is not there is a warning. Without the data the words remain.
"""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import doors
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "book" / "_data" / "atlas"
TEMPLATES = ROOT / "interp" / "templates"
PAGE = "atlas/index.html"
KEPT = ("*.webp", "data.js")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("atlas", Link())
    app.connect("build-finished", publish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


@lru_cache
def cells() -> int:
    """Return how many cells the atlas has; 0 where it was not made."""
    file = DATA / "data.js"
    if not file.exists():
        return 0
    return len(
        json.loads(file.read_text(encoding="utf-8").removeprefix("atlas(").removesuffix(");\n"))["cells"]
    )


def has(cell: str) -> bool:
    """Tell whether the atlas has a place: the number of a cell, counted from 1, or "" for the whole."""
    return bool(cells()) and (not cell or (cell.isdecimal() and 1 <= int(cell) <= cells()))


class Link(doors.Door):
    """The role {atlas}: a link to a cell, or to the whole."""

    page, data = PAGE, DATA / "data.js"

    def missing(self, place: str) -> str | None:
        if has(place):
            return None
        return f"The atlas has no cell {place}." if cells() else ""


def publish(app: Sphinx, error: Exception | None) -> None:
    """Lay the atlas out on the site; its folder there holds nothing else."""
    if error is not None or app.builder.format != "html" or not cells():
        return
    target = Path(app.outdir, PAGE).parent
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in (file for kind in KEPT for file in DATA.glob(kind)):
        shutil.copy(file, target)
    for file in TEMPLATES.glob("atlas*"):
        shutil.copy(file, target / ("index.html" if file.suffix == ".html" else file.name))
