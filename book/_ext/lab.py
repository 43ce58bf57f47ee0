"""The live lab: written to the site at lab/index.html, and linked by the role {lab}.

The network comes from the package, the photographs from those that carry them; nothing of it is kept in the repository.
The role writes {lab}`words <EXAMPLE>`, which opens the lab at that photograph, or {lab}`words <.>`. More of the lab's
state may follow as the page writes it into its own address: EXAMPLE/CLASS/PLACE/VIEW, and grow/LAYER/CHANNEL/SEED.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import doors
import microscope
from sphinx.application import Sphinx

from interp.fingerprint import fingerprint

CHAPTER = (
    Path(__file__).resolve().parents[1] / "lab" / "network-in-100-lines.md"
)  # a book without it has no lab
PAGE = "lab/index.html"
EXAMPLES = ("cat", "coffee", "rocket", "motorcycle", "china", "flower")
UNITS = "blocks.4.2"  # the deepest layer of the microscope
COLUMNS = 16
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
    key = fingerprint(f"from interp import lab, zoo\n{code}") + f" {microscope.has('')}"
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
    frame = lab.Frame(credit=f"Photographs: {credit}.", units=_units(lab.Units))
    lab.write(zoo.load_model(), folder, examples, frame)


def _units(kind: Any) -> Any:
    """Return where the microscope shows the channels of a layer; None where there is none."""
    count = microscope.channels().get(UNITS, 0)
    sheet, pages = f"../microscope/optimized/{UNITS}-plus-0.webp", f"../microscope/index.html#{UNITS}/"
    return kind(UNITS, count, sheet, COLUMNS, pages) if count else None
