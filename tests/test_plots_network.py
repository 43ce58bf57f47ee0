"""The drawing of a network: boxes to one scale, arcs, and what cannot be drawn."""

from __future__ import annotations

import pytest
from matplotlib.patches import Polygon, Rectangle
from torch import nn

from interp import plots
from interp.errors import BadInputError, UnknownNameError

LAYERS = {"image": "image", "act_stem": "stem", "blocks.2.1": "a block", "blocks.4.2": "a later one"}


def boxes(figure: plots.Figure) -> list[tuple[float, float]]:
    """Return the width and height of each box in CSS pixels."""
    found = [patch for axes in figure.axes for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(patch.get_width(), patch.get_height()) for patch in found]


def test_boxes_are_as_wide_as_channels_and_as_high_as_positions(model: nn.Module) -> None:
    found = boxes(plots.network(model, LAYERS, width=704, height=224))
    (_, image), (stem, stem_high), (block, block_high), (later, later_high) = found
    assert [image, stem_high, block_high, later_high] == pytest.approx([224, 112, 28, 14])
    assert [block / stem, later / stem] == pytest.approx([40 / 32, 112 / 32])


def test_the_drawing_fills_its_width_and_no_more(model: nn.Module) -> None:
    figure = plots.network(model, LAYERS, width=704)
    ends = [axes.get_position().x1 * figure.width for axes in figure.axes]
    assert 660 < max(ends) <= 705


def test_a_place_is_marked_and_an_arc_leads_past_boxes(model: nn.Module) -> None:
    plain = plots.network(model, LAYERS, width=704)
    marked = plots.network(model, LAYERS, width=704, here=["blocks.4.2"])
    assert plain.png() != marked.png()
    arc = plots.network(model, LAYERS, width=704, skips=[("act_stem", "blocks.4.2")])
    assert len(arc.axes) == len(plain.axes) + 1
    assert arc.height > plain.height


def test_what_cannot_be_drawn_is_said(model: nn.Module) -> None:
    with pytest.raises(UnknownNameError):
        plots.network(model, ["nowhere"])
    with pytest.raises(BadInputError, match="needs maps"):
        plots.network(model, ["classifier"])
    with pytest.raises(BadInputError, match="draw fewer"):
        plots.network(model, dict.fromkeys(LAYERS, "a very long name " * 3), width=704)
    with pytest.raises(BadInputError, match="shorten it"):
        plots.network(model, LAYERS, width=30)


def test_a_chain_has_an_arrow_each_way_at_every_place() -> None:
    figure = plots.chain(["double", "add 1"], ["1", "2", "3"], ["2", "1", "1"])
    tips = [
        patch.get_xy()[2][0] for axes in figure.axes for patch in axes.patches if isinstance(patch, Polygon)
    ]
    middle = figure.axes[0].get_xlim()[1] / 2
    assert [tip > middle for tip in tips] == [True, False] * 3
    assert {text.get_text() for text in figure.texts} == {"double", "add 1", "1", "2", "3"}


def test_a_chain_needs_a_text_for_every_place() -> None:
    with pytest.raises(BadInputError, match="2 steps have 3 places"):
        plots.chain(["double", "add 1"], ["1", "2"], ["2", "1", "1"])
