"""The directive {runtimes}: a table of how long the cells of each chapter took."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode


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

    def run(self) -> list[nodes.Node]:
        self.env.metadata[self.env.docname]["has_runtimes"] = True
        return [RuntimesNode()]


def pages_with_table(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages to write again when any page was read: their table may have changed."""
    return [name for name, data in env.metadata.items() if data.get("has_runtimes")]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the table in its place."""
    for place in list(doctree.findall(RuntimesNode)):
        place.replace_self(_table(app, docname))


def _table(app: Sphinx, docname: str) -> nodes.table:
    times = {name: seconds for name in in_order(app.env) if (seconds := _seconds(app.env, name)) is not None}
    rows = [[_link(app, docname, name), nodes.Text(f"{seconds:.1f}")] for name, seconds in times.items()]
    rows.append([nodes.Text("Together"), nodes.Text(f"{sum(times.values()):.1f}")])
    head = nodes.thead("", _row([nodes.Text("Chapter"), nodes.Text("Seconds")]))
    body = nodes.tbody("", *(_row(row) for row in rows))
    widths = [nodes.colspec(colwidth=width) for width in (80, 20)]
    return nodes.table("", nodes.tgroup("", *widths, head, body, cols=2))


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
