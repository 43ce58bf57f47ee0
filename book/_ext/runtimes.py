"""The directive {runtimes}: a table of how long the cells of each chapter took.

With the option `:reading:` it says how long each chapter takes to read, and how many figures it has.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

WORDS, FIGURE = 200, 0.5  # words in a minute, and minutes that a figure is looked at


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(RuntimesNode)
    app.add_directive("runtimes", Runtimes)
    app.connect("env-updated", pages_with_table)
    app.connect("doctree-resolved", fill)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class RuntimesNode(nodes.General, nodes.Element):
    """Stands where the table will be: the times are known once all pages are read."""


class Runtimes(SphinxDirective):
    """Leaves the place for the table."""

    option_spec = {"reading": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        self.env.metadata[self.env.docname]["has_runtimes"] = True
        return [RuntimesNode(reading="reading" in self.options)]


def pages_with_table(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages to write again when any page was read: their table may have changed."""
    return [name for name, data in env.metadata.items() if data.get("has_runtimes")]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the table in its place."""
    for place in list(doctree.findall(RuntimesNode)):
        place.replace_self((_reading if place["reading"] else _table)(app, docname))


def _table(app: Sphinx, docname: str) -> nodes.table:
    times = {name: seconds for name in in_order(app.env) if (seconds := _seconds(app.env, name)) is not None}
    rows = [[_link(app, docname, name), nodes.Text(f"{seconds:.1f}")] for name, seconds in times.items()]
    rows.append([nodes.Text("Together"), nodes.Text(f"{sum(times.values()):.1f}")])
    return _laid_out(["Chapter", "Seconds"], rows)


def _reading(app: Sphinx, docname: str) -> nodes.table:
    rows: list[list[nodes.Node]] = []
    for name in in_order(app.env):
        if name.startswith("book/") and "/appendix" not in name and name != "book/index":
            doctree = app.env.get_doctree(name)
            words, figures = contents(doctree)
            cells = (str(minutes(doctree)), f"{words:,}", str(figures))
            rows.append([_link(app, docname, name), *map(nodes.Text, cells)])
    return _laid_out(["Chapter", "Minutes", "Words", "Figures"], rows)


def contents(doctree: nodes.document) -> tuple[int, int]:
    """Return how many words a page has, those of captions with them and code without, and how many figures."""
    texts = [part.astext() for kind in (nodes.paragraph, nodes.caption) for part in doctree.findall(kind)]
    return sum(len(text.split()) for text in texts), len(list(doctree.findall(nodes.figure)))


def minutes(doctree: nodes.document) -> int:
    """Return about how many minutes a page takes to read."""
    words, figures = contents(doctree)
    return round(words / WORDS + figures * FIGURE)


def _laid_out(names: list[str], rows: list[list[nodes.Node]]) -> nodes.table:
    head = nodes.thead("", _row([nodes.Text(name) for name in names]))
    body = nodes.tbody("", *(_row(row) for row in rows))
    widths = [nodes.colspec(colwidth=60 if name == "Chapter" else 20) for name in names]
    return nodes.table("", nodes.tgroup("", *widths, head, body, cols=len(names)))


def in_order(env: BuildEnvironment) -> list[str]:
    """Return the pages in the order of the contents."""
    order = list(env.collect_relations())
    return sorted(env.found_docs, key=lambda name: order.index(name) if name in order else len(order))


def _seconds(env: BuildEnvironment, docname: str) -> float | None:
    seconds = (NbMetadataCollector.get_doc_data(env)[docname].get("exec_data") or {}).get("runtime")
    return None if seconds is None else float(seconds)


def _link(app: Sphinx, here: str, docname: str) -> nodes.Node:
    title = app.env.titles[docname].astext()
    return make_refnode(app.builder, here, docname, "", nodes.Text(title))


def _row(contents: list[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", content)) for content in contents))
