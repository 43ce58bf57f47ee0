"""The live lab: written to the site at lab/index.html, and linked by the role {lab}.

The network comes from the package, the photographs from those that carry them; nothing of it is kept in the repository.
The role writes {lab}`words <EXAMPLE>`, which opens the lab at that photograph, or {lab}`words <.>`. More of the lab's
state may follow as the page writes it into its own address: EXAMPLE/CLASS/PLACE/VIEW, and grow/LAYER/CHANNEL/SEED.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import doors
import microscope
from sphinx.application import Sphinx

from interp.fingerprint import fingerprint

CHAPTER = (
    Path(__file__).resolve().parents[1] / "lab" / "network-in-250-lines.md"
)  # a book without it has no lab
PAGE = "lab/index.html"
EXAMPLES = ("coffee", "cat", "rocket", "motorcycle", "china", "flower")  # one with a plain answer comes first
COLUMNS = 16
SCENES = (
    CHAPTER.parents[1] / "_data" / "measured" / "lab.json"
)  # the strongest of each channel of the last layer
SHOWN = 3  # scenes of a channel
CREDIT = (
    "They are made of photographs: cut-outs from Tux Paint (Bill Kendrick and contributors), GNU General Public "
    "License, version 2 or later, on backgrounds from scikit-image and scikit-learn."
)
ONWARD = (
    (
        "The network in 250 lines",
        "../book/lab/network-in-250-lines.html",
        "how this page computes, and its source",
    ),
    (
        "A network of your own",
        "../book/appendix/your-own-network.html#the-network-in-a-browser",
        "one command makes this page for it",
    ),
)
KEY = "key.txt"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("lab", Link())
    app.connect("build-finished", publish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def address(example: str, docname: str) -> str:
    """Return the address of the lab, or of an example in it, as seen from a page of the book."""
    return doors.address(PAGE, example, docname)


class Link(doors.Door):
    """The role {lab}: a link to the lab, or to a photograph in it."""

    page = PAGE

    def missing(self, place: str) -> str | None:
        first = place.split("/")[0]
        return f"The lab has no photograph {first}." if first not in ("", "grow", *EXAMPLES) else None


def publish(app: Sphinx, error: Exception | None) -> None:
    """Write the lab into the site, unless the same lies there."""
    if error is not None or app.builder.format != "html" or not CHAPTER.is_file():
        return
    folder = Path(app.outdir, PAGE).parent
    code = Path(__file__).read_text(encoding="utf-8")
    made_of = f"from interp import lab, zoo\n{code}"
    key = f"{fingerprint(made_of)} {_data()}"
    if (folder / KEY).is_file() and (folder / KEY).read_text() == key:
        return
    write(folder)
    (folder / KEY).write_text(key)


def write(folder: Path) -> None:
    """Write the lab of the embedded network."""
    from interp import lab, zoo  # torch: only where there is something to write

    origins = {name: zoo.photograph_origin(name) for name in EXAMPLES}
    credit = "; ".join(f"{origin.shows}: {origin.author}, {origin.license}" for origin in origins.values())
    examples = [lab.Example(name, origin.shows, zoo.photograph(name)) for name, origin in origins.items()]
    frame = lab.Frame(
        credit=f"Photographs: {credit}.",
        units=_units(lab.Units),
        scenes=_scenes(lab.Scenes),
        onward=_onward(),
    )
    lab.write(zoo.load_model(), folder, examples, frame)


def _units(kind: Any) -> Any:
    """Return where the microscope shows the channels of its deepest layer with pictures; None where there is none."""
    layer, count = _deepest()
    sheet, pages = f"../microscope/optimized/{layer}-plus-0.webp", f"../microscope/index.html#{layer}/"
    return kind(layer, count, sheet, COLUMNS, pages) if count else None


def _deepest() -> tuple[str, int]:
    return list(microscope.pictured().items())[-1] if microscope.pictured() else ("", 0)


def _scenes(kind: Any) -> Any:
    """Return the scenes that drive the channels of the last layer, and of the microscope's deepest, most."""
    if not microscope.pictured() or not SCENES.is_file():
        return None
    held = json.loads(SCENES.read_text(encoding="utf-8"))
    best = {held["layer"]: [[int(scene) for scene in one.split()][:SHOWN] for one in held["best"]]}
    best[_deepest()[0]] = [_highest(unit)[:SHOWN] for unit in _units_of(_deepest()[0])]
    used = sorted({scene for layer in best.values() for unit in layer for scene in unit})
    place = {scene: number for number, scene in enumerate(used)}
    return kind(
        words=f"{held['scenes']:,} scenes",
        folder="../microscope/thumbnails/",
        files=tuple(
            f"{scene // 1000:03}/{scene % 1000:03}.webp" for scene in used
        ),  # as the microscope has them
        best={layer: [[place[scene] for scene in unit] for unit in units] for layer, units in best.items()},
        credit=CREDIT,
    )


def _units_of(layer: str) -> list[dict[str, Any]]:
    text = _file_of(layer).read_text(encoding="utf-8")
    units: list[dict[str, Any]] = json.loads(text[text.index("(") + 1 : text.rindex(")")])["units"]
    return units


def _file_of(layer: str) -> Path:
    return microscope.DATA / "data" / f"{layer}.js"


def _highest(unit: dict[str, Any]) -> list[int]:
    found: list[int] = unit["i"][-1]
    return found


def _onward() -> tuple[tuple[str, str, str], ...]:
    names = list(microscope.channels())
    inside = (
        "The microscope",
        "../microscope/index.html",
        f"every channel of {len(names)} layers of this network",
    )
    return (inside, *ONWARD) if names else ONWARD


def _data() -> str:
    """Return a fingerprint of the data that the page is made of besides the package."""
    files = [SCENES, *([_file_of(_deepest()[0])] if microscope.pictured() else [])]
    held = b"".join(file.read_bytes() for file in files if file.is_file())
    return hashlib.sha256(held).hexdigest()[:16]
