"""The directive {claims}: a table of all claims of the book, by chapter, as this build found them.

How far a value wanders between machines and seeds was measured by tools/run_claims.py: book/_data/claims.json.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import checked
import executed
import runtimes
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from interp.claims import Claim, number

SPREADS = Path(__file__).resolve().parents[1] / "_data" / "claims.json"
COLUMNS = ("Chapter", "Claim", "Quantity", "n", "Found", "95 %", "Claimed", "Margin", "In spreads", "Here")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(ClaimsNode)
    app.add_directive("claims", ClaimsTable)
    app.connect("env-updated", pages_with_table)
    app.connect("doctree-resolved", fill)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class ClaimsNode(nodes.General, nodes.Element):
    """Stands where the table will be: what was found is known once all pages are read."""


class ClaimsTable(SphinxDirective):
    """Leaves the place for the table; the page is read again when the measured spreads change."""

    def run(self) -> list[nodes.Node]:
        self.env.metadata[self.env.docname]["has_claims"] = True
        self.env.note_dependency(str(SPREADS))
        return [ClaimsNode()]


@dataclass(frozen=True)
class Entry:
    """A claim, the page on which it stands, and how far its value wanders between machines and seeds, if measured."""

    docname: str
    claim: Claim
    spread: float | None

    @property
    def spreads(self) -> float | None:
        """The margin in units of the spread; infinite where nothing changed the value."""
        if self.spread is None or self.claim.exact:
            return None
        return self.claim.margin / self.spread if self.spread > 0 else math.inf


def pages_with_table(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages to write again when any page was read: their table may have changed."""
    return [name for name, data in env.metadata.items() if data.get("has_claims")]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the table in its place."""
    for place in list(doctree.findall(ClaimsNode)):
        found = list(entries(app.env))
        place.replace_self(nodes.raw("", summary(found) + table(app, docname, found), format="html"))


def entries(env: BuildEnvironment) -> Iterator[Entry]:
    """Yield all claims of the book in the order of its contents."""
    spreads = json.loads(SPREADS.read_text(encoding="utf-8"))["claims"] if SPREADS.exists() else {}
    for docname in runtimes.in_order(env):
        execution = executed.load(env.metadata[docname].get("page_key") or "none")
        for claim in checked.claims(execution) if execution else []:
            yield Entry(docname, claim, spreads.get(f"{docname}.md", {}).get(claim.words, {}).get("spread"))


def summary(found: list[Entry]) -> str:
    """Return one paragraph: how many claims there are, hold, are firm, and how close the closest is."""
    claims = [entry.claim for entry in found]
    near = [entry.spreads for entry in found if entry.spreads is not None]
    close = f" The smallest measured margin is {number(min(near))} spreads." if near else ""
    return (
        f"<p>Claims: {len(claims)}. In this build {sum(one.holds for one in claims)} hold; "
        f"{sum(one.exact for one in claims)} are exact. "
        f"{sum(bool(one.interval) for one in claims)} have an interval, and "
        f"{sum(one.firm for one in claims if one.interval)} of these hold with the whole of it.{close}</p>"
    )


def table(app: Sphinx, here: str, found: list[Entry]) -> str:
    """Return the table; the script of the pages sorts it by a column."""
    # The roles are what the elements have anyway, until a style sheet lays a row out as a list, as on a phone.
    head = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in COLUMNS)
    rows = "".join(_row(app, here, entry) for entry in found)
    return (
        f'<table class="sortable" role="table"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )


def _row(app: Sphinx, here: str, entry: Entry) -> str:
    one, address = entry.claim, app.builder.get_relative_uri(here, entry.docname)
    title = html.escape(app.env.titles[entry.docname].astext())
    cells = [
        (f'<a href="{address}">{title}</a>', None),
        (html.escape(one.words), None),
        ("" if one.exact else html.escape(one.quantity), None),
        ("" if one.exact else html.escape(f"{one.n} {one.over}"), one.n),
        ("" if one.exact else one.shown(), one.value),
        (" to ".join(map(number, one.interval)) if one.interval else "", None),
        (html.escape(one.bound()), None),
        ("" if one.exact else number(one.margin), one.margin),
        (_in_spreads(entry), entry.spreads),
        ("holds" if one.holds else "<b>does not hold</b>", float(one.holds)),
    ]
    row = "".join(f'<td role="cell"{_key(key)}>{text}</td>' for text, key in cells)
    return f'<tr role="row">{row}</tr>'


def _in_spreads(entry: Entry) -> str:
    if entry.spreads is None:
        return "" if entry.claim.exact else "not measured"
    if math.isinf(entry.spreads):
        return "unmoved"
    return number(entry.spreads) if entry.spreads < 1000 else "over 1000"


def _key(value: float | None) -> str:
    """Return the attribute by which a cell is sorted; cells without one are sorted by their text."""
    return "" if value is None else f' data-key="{min(value, 1e12):.6g}"'
