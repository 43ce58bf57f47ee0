"""The directive {wall}: feature visualizations side by side on the front page, each a link to its channel.

The tiles lie in book/_data/wall with a manifest.json, a list of {"file", "layer", "channel", "sign", "page"}: a tile
leads to its channel in the microscope, or, where that has none, to `page`, a name below book/, with an anchor if need
be. Without the manifest the directive leaves nothing.
"""

from __future__ import annotations

import html
import json
import posixpath
import shutil
from pathlib import Path
from typing import Any

import microscope
from docutils import nodes
from docutils.parsers.rst import directives
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path("book", "_data", "wall")
SITE_FOLDER = "_images/wall"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("wall", Wall)
    app.connect("build-finished", copy_tiles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class Wall(SphinxDirective):
    """Lays out the tiles of the manifest, at most `:most:` of them."""

    option_spec = {"most": directives.positive_int}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.srcdir, FOLDER)
        manifest = folder / "manifest.json"
        self.env.note_dependency(str(manifest))
        self.env.note_dependency(str(microscope.DATA / "data" / "index.js"))
        if not manifest.exists():
            return []
        tiles = json.loads(manifest.read_text(encoding="utf-8"))[: self.options.get("most")]
        items = "".join(tile(entry, folder, self.env.docname) for entry in tiles)
        return [nodes.raw("", f'<ul class="wall">{items}</ul>', format="html")]


def tile(entry: dict[str, Any], folder: Path, docname: str) -> str:
    """Return one tile as HTML, with addresses as seen from the page `docname`."""
    source = posixpath.relpath(f"{SITE_FOLDER}/{entry['file']}", posixpath.dirname(docname))
    side = ", negative side" if entry.get("sign", 1) < 0 else ""
    name = f"{entry['layer']}, channel {entry['channel']}{side}"
    with Image.open(folder / entry["file"]) as picture:
        width, height = picture.size
    words = html.escape(f"What {name} wants to see")
    link = html.escape(address(entry, docname))
    return (
        f'<li><a href="{link}"><img src="{html.escape(source)}" alt="{words}" width="{width}" '
        f'height="{height}" loading="lazy"><span aria-hidden="true">{html.escape(name)}</span></a></li>'
    )


def address(entry: dict[str, Any], docname: str) -> str:
    """Return where a tile leads, as seen from the page `docname`."""
    unit = f"{entry['layer']}/{entry['channel']}"
    if microscope.has(unit):
        return microscope.address(unit, docname)
    page, _, anchor = str(entry["page"]).partition("#")
    page = page.removeprefix("book/").removesuffix(".md").removesuffix(".html")
    path = posixpath.relpath(f"book/{page}.html", posixpath.dirname(docname))
    return path + (f"#{anchor}" if anchor else "")


def copy_tiles(app: Sphinx, error: Exception | None) -> None:
    """Copy the tiles to the site; the folder on the site holds nothing else."""
    source = Path(app.srcdir, FOLDER)
    if error is None and app.builder.format == "html" and source.is_dir():
        target = Path(app.outdir, SITE_FOLDER)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.json", "*.md"))
