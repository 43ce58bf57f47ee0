"""What one thing costs in another: named points, the lines of a dial through them, some of them highlighted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Unpack

import numpy as np
from matplotlib.axes import Axes

from interp.errors import UnknownNameError
from interp.plots.charts import Numbers, _chart, _filled, numbers
from interp.plots.figure import (
    COLORS,
    DOTS,
    GAP,
    INK,
    LINE,
    TEXT_WIDTH,
    Figure,
    Labels,
    is_narrow,
    redrawn,
    text_width,
)
from interp.plots.legend import Legend

QUIET = 0.45  # how much of the ink points have that are not talked about


Box = tuple[float, float, float, float]  # left, low, right, high in CSS pixels


class _Point(NamedTuple):
    """Middle of all measurements, and two standard errors of it in each direction."""

    x: float
    y: float
    dx: float
    dy: float


@redrawn
def tradeoff(
    points: Mapping[str, tuple[Numbers, Numbers]],
    *,
    highlight: Sequence[str] = (),
    dials: Sequence[Sequence[str]] = (),
    height: float = 400,
    width: float = TEXT_WIDTH,
    **labels: Unpack[Labels],
) -> Figure:
    """Draw each of several ways as a point in two quantities, with its name beside it.

    In a narrow figure numbers stand beside the points, and below the chart what they mean.

    Args:
        points: name to the measurements of both quantities, one for each replicate; the point is their mean, and a thin
            cross reaches two standard errors of it to each side.
        highlight: the names that are drawn in color and with their cross; the others stand there in quiet ink.
        dials: names in the order in which something was turned up; a thin line joins them.
        height, width: size in CSS pixels.
        labels: `xlabel=` and `ylabel=`, what is counted, with the unit.

    Raises:
        BadInputError: there are no points, or measurements are missing or not finite.
        UnknownNameError: a name that is highlighted or on a dial has no point.
    """
    found = {name: _point(name, *both) for name, both in _filled(points).items()}
    for name in (*highlight, *(name for dial in dials for name in dial)):
        if name not in found:
            raise UnknownNameError("point", name, list(found))
    signs = [str(n) for n in range(1, len(found) + 1)] if is_narrow(width) else list(found)
    figure, axes = _chart(width, height, right=GAP, legend=_legend(signs, found, highlight, width), **labels)
    for dial in dials:
        line = [found[name] for name in dial]
        axes.plot([p.x for p in line], [p.y for p in line], color=INK, linewidth=0.8, alpha=QUIET, zorder=1)
    for name, point in found.items():
        _draw(axes, point, strong=name in highlight)
    axes.margins(0.08)
    shown = dict(zip(found, signs, strict=True))
    _name(axes, {shown[name]: point for name, point in found.items()}, [shown[n] for n in highlight], figure)
    return figure


def _legend(
    signs: Sequence[str], found: Mapping[str, _Point], highlight: Sequence[str], width: float
) -> Legend | None:
    """Say below a narrow chart what the numbers in it mean."""
    if not is_narrow(width):
        return None
    texts = [f"{sign} {name}" for sign, name in zip(signs, found, strict=True)]
    return Legend(texts, [COLORS[1] if name in highlight else INK for name in found], width, squares=False)


def _point(name: str, x: Numbers, y: Numbers) -> _Point:
    (mean_x, error_x), (mean_y, error_y) = (_mean(numbers(values, name)) for values in (x, y))
    return _Point(mean_x, mean_y, 2 * error_x, 2 * error_y)


def _mean(values: np.ndarray) -> tuple[float, float]:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean()), float(error)


def _draw(axes: Axes, point: _Point, *, strong: bool) -> None:
    color, alpha = (COLORS[1], 1.0) if strong else (INK, QUIET)
    axes.plot([point.x], [point.y], "o", color=color, alpha=alpha, markersize=6 if strong else 4.5, zorder=3)
    if strong:
        for x, y in ((point.dx, 0.0), (0.0, point.dy)):
            ends = [point.x - x, point.x + x], [point.y - y, point.y + y]
            axes.plot(*ends, color=color, linewidth=0.9, zorder=2)


def _name(axes: Axes, found: Mapping[str, _Point], highlight: Sequence[str], figure: Figure) -> None:
    """Write each name beside its point, the highlighted first, at the first of eight places that is free."""
    axes.autoscale_view()
    places = {name: _pixels(axes, point.x, point.y) for name, point in found.items()}
    taken = [_box(x, y, 8, 8) for x, y in places.values()]
    taken += [arm for name in highlight for arm in _arms(axes, found[name])]
    for name in sorted(found, key=lambda name: name not in highlight):
        x, y = places[name]
        wide = text_width(name)
        spots = [(x + side * (9 + wide / 2), y + up * LINE) for up, side in _SPOTS]
        boxes = [_box(left, low, wide, LINE - 2) for left, low in spots]
        free = [
            box for box in boxes if _inside(box, figure) and not any(_overlap(box, other) for other in taken)
        ]
        box = (free or boxes)[0]
        taken.append(box)
        color, alpha = (COLORS[1], 1.0) if name in highlight else (INK, 0.85)
        middle = (box[0] + box[2]) / 2, figure.height - (box[1] + box[3]) / 2
        figure.write(*middle, name, middle=True, ha="center", color=color, alpha=alpha)


def _pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Return a place in CSS pixels, counted from the lower left corner."""
    across, up = axes.transData.transform((x, y)) / DOTS
    return float(across), float(up)


def _arms(axes: Axes, point: _Point) -> tuple[Box, Box]:
    """Return the room that the two lines of a cross take."""
    left, low = _pixels(axes, point.x - point.dx, point.y - point.dy)
    right, high = _pixels(axes, point.x + point.dx, point.y + point.dy)
    x, y = _pixels(axes, point.x, point.y)
    return (left, y - 1, right, y + 1), (x - 1, low, x + 1, high)


_SPOTS = ((0, 1), (0, -1), (1, 0), (-1, 0), (0.8, 1), (-0.8, 1), (0.8, -1), (-0.8, -1))


def _box(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _inside(box: Box, figure: Figure) -> bool:
    return box[0] >= 0 and box[2] <= figure.width and box[1] >= 0 and box[3] <= figure.height


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
