"""The directive {here}: the network in small, with the place that a chapter speaks of.

    ```{here} blocks.3.2
    ```

The drawing is the one of *From convolutions to a network*: a box for each stage of EfficientNet-Lite0, as high as its
map has rows and as wide as it has channels. A box whose layer is in the microscope is a link to it.
"""

from __future__ import annotations

import html
import posixpath
from typing import Any, NamedTuple

import microscope
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

WHOLE = "book/segment-1/from-convolutions-to-a-network.html"
HIGH, PER_ROW, PER_CHANNEL, THINNEST, GAP = 58.0, 0.25, 0.09, 1.6, 9.0  # in pixels
BELOW, ASIDE = 20.0, 40.0  # room for a name below and beside a box


class Stage(NamedTuple):
    """A box: the layer at the end of the stage, its channels and its rows for a picture of 224 by 224 pixels."""

    layer: str
    channels: int
    rows: int

    @property
    def name(self) -> str:
        return ".".join(self.layer.split(".")[:2])

    def holds(self, layer: str) -> bool:
        return layer == self.name or layer.startswith(f"{self.name}.") or layer == self.layer


STAGES = (
    Stage("image", 3, 224),
    Stage("act_stem", 32, 112),
    Stage("blocks.0.0", 16, 112),
    Stage("blocks.1.1", 24, 56),
    Stage("blocks.2.1", 40, 28),
    Stage("blocks.3.2", 80, 14),
    Stage("blocks.4.2", 112, 14),
    Stage("blocks.5.3", 192, 7),
    Stage("blocks.6.0", 320, 7),
    Stage("act_head", 1280, 7),
)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("here", Here)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class Here(SphinxDirective):
    """Draws the network and marks the layers that are named."""

    required_arguments, final_argument_whitespace = 1, True

    def run(self) -> list[nodes.Node]:
        layers = self.arguments[0].split()
        unknown = [layer for layer in layers if not any(stage.holds(layer) for stage in STAGES)]
        if unknown:
            raise self.error(f"There is no stage with {', '.join(unknown)}.")
        self.env.note_dependency(str(microscope.DATA / "data" / "index.js"))
        return [nodes.raw("", drawing(layers, self.env.docname), format="html")]


def drawing(layers: list[str], docname: str) -> str:
    """Return the drawing and its words as HTML, with addresses as seen from the page `docname`."""
    left, boxes = 0.0, []
    for stage in STAGES:
        wide, high = max(THINNEST, PER_CHANNEL * stage.channels), max(THINNEST, PER_ROW * stage.rows)
        marked = [layer for layer in layers if stage.holds(layer)]
        box = f'<rect x="{left:.1f}" y="{(HIGH - high) / 2:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'
        room = f'<rect class="room" x="{left - GAP / 2:.1f}" y="0" width="{wide + GAP:.1f}" height="{HIGH:.0f}"/>'
        boxes.append(_linked(room + box, stage, docname, bool(marked)))
        boxes += [_name(layer, left + wide / 2) for layer in marked[:1]]
        left += wide + GAP
    wide, high = left - GAP + 2 * ASIDE, HIGH + BELOW
    whole = html.escape(posixpath.relpath(WHOLE, posixpath.dirname(docname)))
    words = f"{' and '.join(map(_place, layers))}, in <a href='{whole}'>the drawing of the network</a>."
    label = html.escape(f"The network as ten boxes in a row; marked: {', '.join(layers)}")
    return (
        f'<div class="whereabouts"><svg viewBox="{-ASIDE:.0f} 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" '
        f'role="group" aria-label="{label}">{"".join(boxes)}</svg><p><strong>Where we are:</strong> {words}</p></div>'
    )


def _linked(box: str, stage: Stage, docname: str, marked: bool) -> str:
    """Return a box in its group, as a link where the microscope has the layer."""
    words = f"{stage.layer}: {stage.channels:,} × {stage.rows} × {stage.rows}"
    kind = "marked" if marked else "stage"
    group = f'<g class="{kind}"><title>{words}</title>{box}</g>'
    if not microscope.has(stage.layer):
        return group
    where = html.escape(microscope.address(stage.layer, docname))
    return f'<a href="{where}" aria-label="{words}, in the microscope">{group}</a>'


def _name(layer: str, middle: float) -> str:
    """Return the name below a box."""
    return (
        f'<text x="{middle:.1f}" y="{HIGH + BELOW - 5:.0f}" text-anchor="middle">{html.escape(layer)}</text>'
    )


def _place(layer: str) -> str:
    """Return what a layer is, in words: its name, channels and places."""
    stage = next(stage for stage in STAGES if stage.holds(layer))
    size = (
        f", {stage.channels:,} channels on {stage.rows} by {stage.rows} places"
        if layer == stage.layer
        else ""
    )
    return f"<code>{html.escape(layer)}</code>{size}"
