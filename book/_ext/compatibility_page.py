"""The directive {compatibility}: a table of architectures and methods, from book/_data/compatibility.json.

tools/compatibility.py tries them and writes the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

DATA = Path(__file__).resolve().parents[1] / "_data" / "compatibility.json"
WORKS = "works"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("compatibility", Compatibility)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class Compatibility(SphinxDirective):
    """The table, the reasons of what is refused, and how it was made; the page is read again when the file changes."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(DATA))
        found = json.loads(DATA.read_text(encoding="utf-8"))
        why = reasons(found["rows"])
        return [table(found["features"], found["rows"], why), *listed(why), note(found["made"])]


def reasons(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return {reason: its letter} of all cells that are refused, in the order in which they come."""
    cells = [cell for row in rows for cell in row["cells"].values() if cell != WORKS]
    return dict(zip(dict.fromkeys(cells), LETTERS, strict=False))


def table(features: Sequence[str], rows: Sequence[Mapping[str, Any]], why: Mapping[str, str]) -> nodes.table:
    """Return the table, a row for each network, below a row for each family."""
    head = nodes.thead("", _row(["Network", *(name[0].upper() + name[1:] for name in features)]))
    body = nodes.tbody()
    for family in dict.fromkeys(row["family"] for row in rows):
        body += nodes.row("", nodes.entry("", _words(family, nodes.strong), morecols=len(features)))
        for row in (row for row in rows if row["family"] == family):
            body += _row([breakable(row["network"]), *(_shown(row["cells"][name], why) for name in features)])
    widths = [nodes.colspec(colwidth=width) for width in (30, *[10] * len(features))]
    group = nodes.tgroup("", *widths, head, body, cols=len(widths))
    return nodes.table("", group)


def breakable(name: str) -> str:
    """Return a name that a narrow column may break behind its underscores."""
    return name.replace("_", "_\u200b")


def _shown(cell: str, why: Mapping[str, str]) -> str:
    return "yes" if cell == WORKS else f"no ({why[cell]})"


def _row(texts: Sequence[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", _words(text)) for text in texts))


def _words(text: str, kind: type[nodes.TextElement] = nodes.inline) -> nodes.paragraph:
    return nodes.paragraph("", "", kind("", text))


def listed(why: Mapping[str, str]) -> list[nodes.Node]:
    """Return the reasons, each behind its letter, as the package gives them."""
    return [nodes.paragraph("", f"({letter}) {reason}") for reason, letter in why.items()]


def note(made: Mapping[str, str]) -> nodes.paragraph:
    """Return how, when and with what the table was made."""
    return nodes.paragraph(
        "", "", nodes.emphasis("", f"Made by {made['how']} on {made['when']}: {made['on']}; {made['with']}.")
    )
