"""The drawing of a circuit: wires in proportion to their weights, in order, and what cannot be drawn."""

from __future__ import annotations

import itertools

import pytest
import torch
from matplotlib.patches import PathPatch, Polygon, Rectangle

from interp import plots
from interp.errors import BadInputError

WEIGHTS = [0.1, -0.4, 0.3, 0.2]
NAMES = ["a.0, 1", "a.0, 2", "a.0, 3", "a.0, 4"]
WIDTHS = pytest.mark.parametrize("width", [984, 358])


def drawn(width: float = 984, weights: list[float] = WEIGHTS, names: list[str] = NAMES) -> plots.Figure:
    g = torch.Generator().manual_seed(0)
    count = len(names)
    pictures, kernels = torch.rand(count, 3, 64, 64, generator=g), torch.randn(count, 5, 5, generator=g)
    unit = torch.rand(3, 96, 96, generator=g)
    return plots.circuit(pictures, kernels, weights, unit, titles=names, title="a.1, 7", width=width)


def wires(figure: plots.Figure) -> list[PathPatch]:
    """Return the lines that reach the unit, from the first row to the last."""
    lines = [patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]
    return lines[: len(lines) // 2]


@WIDTHS
def test_a_wire_is_as_thick_as_its_weight_and_the_largest_comes_first(width: float) -> None:
    ordered = sorted(WEIGHTS, reverse=True)
    thick = [wire.get_linewidth() for wire in wires(drawn(width))]
    assert thick == pytest.approx([max(thick) * abs(weight) / 0.4 for weight in ordered])
    starts = [wire.get_path().vertices[0][1] for wire in wires(drawn(width))]
    assert starts == sorted(starts)
    assert thick == pytest.approx([w.get_linewidth() for w in wires(drawn(width, [10 * w for w in WEIGHTS]))])


@WIDTHS
def test_tiles_have_the_names_in_the_order_of_the_weights(width: float) -> None:
    figure = drawn(width)
    assert [title for title, *_ in figure.tiles] == ["a.0, 3", "a.0, 4", "a.0, 1", "a.0, 2", "a.1, 7"]
    values = [text.get_text() for text in figure.texts if text.get_text()[0] in "+−"]
    assert values == ["+0.30", "+0.20", "+0.10", "−0.40"]


@WIDTHS
def test_a_wire_that_takes_away_is_dashed_and_ends_in_a_bar(width: float) -> None:
    figure = drawn(width)
    assert [wire.get_linestyle() == "solid" for wire in wires(figure)] == [True, True, True, False]
    ends = [patch for patch in figure.axes[0].patches if not isinstance(patch, PathPatch)]
    assert [type(end) for end in ends] == [Polygon, Polygon, Polygon, Rectangle]


@WIDTHS
def test_wires_lie_beside_one_another_at_the_unit(width: float) -> None:
    figure = drawn(width)
    across = 1 if width > 600 else 0
    ends = sorted(
        (wire.get_path().vertices[-1][across], wire.get_linewidth() / 0.72) for wire in wires(figure)
    )
    for (one, thick), (other, thicker) in itertools.pairwise(ends):
        assert other - one > (thick + thicker) / 2
    _title, left, top, wide, high = figure.tiles[-1]
    low, extent, size = (top, high, figure.height) if across else (left, wide, figure.width)
    assert low * size / 100 < ends[0][0]
    assert ends[-1][0] < (low + extent) * size / 100


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(BadInputError, match="4 inputs, 4 kernels and 3 weights"):
        drawn(weights=WEIGHTS[:3])
    with pytest.raises(BadInputError, match="finite"):
        drawn(weights=[0.0] * 4)
    with pytest.raises(BadInputError, match="finite"):
        drawn(weights=[1.0, 2.0, float("nan"), 1.0])
    with pytest.raises(BadInputError, match="do not fit"):
        drawn(358, names=["a name that is much too long for a phone"] * 4)
    with pytest.raises(BadInputError, match="one unit"):
        plots.circuit(
            torch.rand(1, 3, 8, 8), torch.rand(1, 5, 5), [1.0], torch.rand(2, 3, 8, 8), titles=["a.0, 1"]
        )
