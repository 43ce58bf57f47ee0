"""The book's microscope: put together on the site at microscope/index.html, and linked by the role {microscope}.

What was computed lies in book/_data/microscope, the optimized pictures in book/_data/large (alone) and
book/_data/layers (on sheets; where there is none, it is made of those alone), the page in the package. The scenes are
made here, since they are the same on every machine, and kept beside the executed pages.
The role writes {microscope}`words <LAYER/CHANNEL>`, or {microscope}`words <.>` for the first page; what is not
there is a warning. Without the data the words remain.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import doors
import executed
from sphinx.application import Sphinx
from tqdm import tqdm

from interp.fingerprint import fingerprint

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "book" / "_data" / "microscope"
SHEETS = ROOT / "book" / "_data" / "layers"
LARGE = ROOT / "book" / "_data" / "large"
TEMPLATES = ROOT / "interp" / "templates"
PAGE = "microscope/index.html"
_SOURCE = "from interp import image, zoo"  # what makes the scenes


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("microscope", Link())
    app.connect("build-finished", publish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


@lru_cache
def about() -> dict[str, Any]:
    """Return what the site knows of itself; nothing where it was not made."""
    file = DATA / "data" / "index.js"
    if not file.exists():
        return {}
    found: dict[str, Any] = json.loads(
        file.read_text(encoding="utf-8").removeprefix("microscope.index(").removesuffix(");\n")
    )
    return found


def channels() -> dict[str, int]:
    """Return {layer: number of its channels} of the microscope; nothing where it was not made."""
    return {layer["name"]: layer["channels"] for layer in about().get("layers", ())}


def drawn(layer: str) -> str:
    """Return to which sides a layer's channels have optimized pictures: "minus plus", "plus" or ""."""
    return next((str(each["optimized"]) for each in about().get("layers", ()) if each["name"] == layer), "")


def pictured() -> dict[str, int]:
    """Return {layer: number of its channels} of the layers whose channels have positive optimized pictures."""
    return {layer: count for layer, count in channels().items() if "plus" in drawn(layer)}


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
    shutil.copytree(scenes(about()["ids"], about()["thumbnail"]), target / "thumbnails")
    for file in TEMPLATES.glob("microscope*"):
        shutil.copy(file, target / ("index.html" if file.suffix == ".html" else file.name))
    (target / "optimized").mkdir()
    for layer in channels():
        for sign in ("plus", "minus"):
            if (LARGE / f"{layer}-{sign}").exists():
                shutil.copytree(LARGE / f"{layer}-{sign}", target / "optimized" / f"{layer}-{sign}")
                _lay_sheet(layer, sign, target / "optimized")


def _lay_sheet(layer: str, sign: str, folder: Path) -> None:
    """Write the pictures of a layer on one sheet."""
    made, name = SHEETS / f"{layer}-{sign}.webp", f"{layer}-{sign}-0.webp"
    if made.exists():
        shutil.copy(made, folder / name)
        return
    import numpy as np
    from PIL import Image

    from interp.microscope.pictures import write_sheets

    files = (LARGE / f"{layer}-{sign}" / f"{channel}.webp" for channel in range(channels()[layer]))
    write_sheets([np.asarray(Image.open(file).convert("RGB")) for file in files], [name], folder)


def scenes(ids: list[int], side: int) -> Path:
    """Return the folder with small pictures of scenes, 000/000.webp and on, which are made if they are not there."""
    code = Path(__file__).read_text(encoding="utf-8")
    what = f"{fingerprint(_SOURCE)} {code} {ids} {side}"
    key = hashlib.sha256(what.encode()).hexdigest()[:16]
    folder = executed.folder().parent / f"microscope-scenes-{key}"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        _draw(ids, side, unfinished)
        try:
            unfinished.rename(folder)
        except OSError:  # another build was faster
            shutil.rmtree(unfinished)
    return folder


def _draw(ids: list[int], side: int, folder: Path) -> None:
    from interp import image, zoo  # torch: only where there is something to make

    source = zoo.Scenes("all", 224, length=max(ids) + 1)
    for place, id_ in enumerate(tqdm(ids, desc="scenes of the microscope")):
        file = folder / f"{place // 1000:03d}" / f"{place % 1000:03d}.webp"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = image.to_pil(image.center_crop(source[id_].image[None], side))
        picture.save(file, format="WEBP", quality=80, method=4)  # 6 takes five times as long for 2 % less
