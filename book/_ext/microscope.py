"""The book's microscope: put together on the site at microscope/index.html, and linked by the role {microscope}.

What was computed lies in book/_data/microscope, the optimized pictures in book/_data/layers (on
sheets) and book/_data/large (alone), the page in the package.
The role writes {microscope}`words <LAYER/CHANNEL>`, or {microscope}`words <.>` for the first page; what is not
there is a warning. Without the data the words remain.
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
DATA = ROOT / "book" / "_data" / "microscope"
SHEETS = ROOT / "book" / "_data" / "layers"
LARGE = ROOT / "book" / "_data" / "large"
TEMPLATES = ROOT / "interp" / "templates"
PAGE = "microscope/index.html"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("microscope", Link())
    app.connect("build-finished", publish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


@lru_cache
def channels() -> dict[str, int]:
    """Return {layer: number of its channels} of the microscope; nothing where it was not made."""
    file = DATA / "data" / "index.js"
    if not file.exists():
        return {}
    index = json.loads(
        file.read_text(encoding="utf-8").removeprefix("microscope.index(").removesuffix(");\n")
    )
    return {layer["name"]: layer["channels"] for layer in index["layers"]}


def has(unit: str) -> bool:
    """Tell whether the microscope has a place: "LAYER/CHANNEL", "LAYER", or "" for its first page."""
    layer, _, channel = unit.partition("/")
    known = channels()
    if not unit or not channel:
        return layer in known or (not unit and bool(known))
    return channel.isdecimal() and int(channel) < known.get(layer, 0)


def address(unit: str, docname: str) -> str:
    """Return the address of a place as seen from a page of the book."""
    return doors.address(PAGE, unit, docname)


class Link(doors.Door):
    """The role {microscope}: a link to the page of a channel or layer, or to the first page."""

    page, data = PAGE, DATA / "data" / "index.js"

    def missing(self, place: str) -> str | None:
        if has(place):
            return None
        return f"The microscope has no {place}." if channels() else ""


def publish(app: Sphinx, error: Exception | None) -> None:
    """Lay the microscope out on the site; its folder there holds nothing else."""
    if error is not None or app.builder.format != "html" or not channels():
        return
    target = Path(app.outdir, PAGE).parent
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(DATA, target)
    for file in TEMPLATES.glob("microscope*"):
        shutil.copy(file, target / ("index.html" if file.suffix == ".html" else file.name))
    (target / "optimized").mkdir()
    for layer in channels():
        for sign in ("plus", "minus"):
            shutil.copy(SHEETS / f"{layer}-{sign}.webp", target / "optimized" / f"{layer}-{sign}-0.webp")
            shutil.copytree(LARGE / f"{layer}-{sign}", target / "optimized" / f"{layer}-{sign}")
