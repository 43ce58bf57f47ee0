"""A histogram whose bars are made of groups, one on top of the other: who sits where, not only how many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import numpy as np
from matplotlib import colormaps

from interp.plots.charts import Numbers, _chart, _filled, draw_marks, few_whole_numbers, numbers
from interp.plots.figure import GAP, LINE, TEXT_WIDTH, Figure, Labels, is_narrow, redrawn, text_width
from interp.plots.legend import SQUARE, Legend

DARKEST, LIGHTEST = 0.12, 0.92  # of viridis: both ends stay apart from a dark and from a white page


@redrawn
def stacked(
    groups: Mapping[str, Numbers],
    *,
    bins: int = 40,
    marks: Mapping[str, float] | None = None,
    ordered: bool = True,
    height: float = 260,
    width: float = TEXT_WIDTH,
    **labels: Unpack[Labels],
) -> Figure:
    """Show how often values occur, and of which group they are.

    The groups are ordered by their means, and colored in that order. Where the group decides the value, the colors lie
    side by side along the axis; where it does not, every bar holds all of them.

    Args:
        groups: name to numbers of any shape.
        bins: into how many equal steps the range of all numbers is cut.
        marks: name to position of vertical lines.
        ordered: whether the groups are put in the order of their means; else they stay as they are given.
        height, width: size in CSS pixels.
        labels: `xlabel=` and `ylabel=`, what is counted.
    """
    parts = {name: numbers(values, name) for name, values in _filled(groups).items()}
    names = sorted(parts, key=lambda name: float(parts[name].mean())) if ordered else list(parts)
    edges = np.histogram_bin_edges(np.concatenate(list(parts.values())), bins=bins)
    right = SQUARE + 6 + max(map(text_width, names)) + 2 * GAP
    if is_narrow(width):
        legend = Legend(names[::-1], _shades(len(names))[::-1], width)
        figure, axes = _chart(width, height, right=2 * GAP, legend=legend, **labels)
    else:
        figure, axes = _chart(width, max(height, 60 + LINE * len(names)), right=right, **labels)
    base = np.zeros(len(edges) - 1)
    for name, color in zip(names, _shades(len(names)), strict=True):
        top = base + np.histogram(parts[name], edges)[0]
        axes.stairs(top, edges, baseline=base, fill=True, color=color)
        base = top
    axes.set_ylim(0, base.max() * (1.18 if marks and not is_narrow(width) else 1.04))
    if marks:
        draw_marks(axes, marks, narrow=is_narrow(width))
    if is_narrow(width):
        axes.yaxis.set_major_locator(few_whole_numbers())
    else:
        _legend(figure, names, width - right + GAP)
    return figure


def _shades(count: int) -> list[tuple[float, float, float]]:
    """Return colors from dark to light, in the order of the groups."""
    steps = np.linspace(DARKEST, LIGHTEST, count) if count > 1 else [0.5]
    return [tuple(colormaps["viridis"](step)[:3]) for step in steps]


def _legend(figure: Figure, names: list[str], left: float) -> None:
    """Write the names with their colors, the group on top of the bars first."""
    for line, (name, color) in enumerate(zip(names[::-1], _shades(len(names))[::-1], strict=True)):
        top = LINE + 8 + line * LINE
        figure.place(left, top, SQUARE, SQUARE).axhspan(0, 1, color=color)
        figure.write(left + SQUARE + 6, top + SQUARE / 2, name, middle=True)
