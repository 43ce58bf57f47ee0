"""Tuning curves around a circle: how much a channel answers to each angle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from interp.errors import BadInputError
from interp.plots.figure import (
    COLORS,
    GAP,
    INK,
    LINE,
    TEXT_WIDTH,
    Figure,
    font,
    is_narrow,
    lines,
    redrawn,
    wrap,
)


@redrawn
def polar(
    curves: Tensor,
    titles: Sequence[str],
    *,
    turns: int = 1,
    rim: Tensor | None = None,
    width: float = TEXT_WIDTH,
    columns: int = 4,
) -> Figure:
    """Draw curves over angles as closed lines around a middle: the farther out, the larger the value.

    Args:
        curves: (N, A), not negative: values at A angles evenly over 1 / turns of a circle; each has its own scale.
        titles: one for each curve.
        turns: how often the angles repeat in a circle; 2 for orientations, which are the same after half a turn.
        rim: (R, 3), colors in [0, 1] that are painted around each circle, evenly from the right and counterclockwise;
            without them the first circle says where 0 and 90 degrees are.
        width: size in CSS pixels.
        columns: how many curves in a row; in a narrow figure at most two.
    """
    values = curves.detach().cpu().double().numpy()
    if values.ndim != 2 or len(values) != len(titles) or not np.isfinite(values).all() or (values < 0).any():
        raise BadInputError(
            f"Curves (N, A) of finite values, none below 0, and N titles are needed; got {tuple(curves.shape)} and "
            f"{len(titles)} titles."
        )
    columns = min(columns, 2) if is_narrow(width) else columns
    side = (width - GAP * (columns - 1)) / columns
    if is_narrow(width):
        titles = [wrap(title, side) for title in titles]
    head = LINE * max(map(lines, titles)) if is_narrow(width) else LINE
    figure = Figure(width, math.ceil(len(values) / columns) * (side + head + 8))
    for place, (curve, title) in enumerate(zip(values, titles, strict=True)):
        row, column = divmod(place, columns)
        left, top = column * (side + GAP), row * (side + head + 8)
        figure.write(left + side / 2, top + head - 4, title, ha="center")
        axes = _draw(figure, np.tile(curve, turns), left, top + head, side)
        if rim is not None:
            _paint(axes, rim)
        elif place == 0:
            _name_angles(axes)
    return figure


def _paint(axes: Axes, colors: Tensor) -> None:
    """Paint a ring of short arcs, one of each color, around the circle."""
    step = 2 * np.pi / len(colors)
    for number, color in enumerate(colors.clamp(0, 1).tolist()):
        arc = np.linspace((number - 0.5) * step, (number + 0.5) * step, 9)
        axes.plot(1.05 * np.cos(arc), 1.05 * np.sin(arc), color=color, linewidth=3, solid_capstyle="butt")


def _name_angles(axes: Axes) -> None:
    axes.text(0.98, 0.04, "0°", color=INK, fontproperties=font(11), ha="right", va="bottom")
    axes.text(0.05, 0.97, "90°", color=INK, fontproperties=font(11), ha="left", va="top")


def _draw(figure: Figure, curve: np.ndarray, left: float, top: float, side: float) -> Axes:
    axes = figure.place(left, top, side, side)
    axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08))
    circle = np.linspace(0, 2 * np.pi, 181)
    for radius in (0.5, 1.0):
        axes.plot(radius * np.cos(circle), radius * np.sin(circle), color=INK, linewidth=0.5, alpha=0.5)
    for line in (((-1, 1), (0, 0)), ((0, 0), (-1, 1))):
        axes.plot(*line, color=INK, linewidth=0.5, alpha=0.5)
    angles = np.linspace(0, 2 * np.pi, len(curve) + 1)
    radii = np.append(curve, curve[0]) / max(float(curve.max()), 1e-12)
    axes.fill(radii * np.cos(angles), radii * np.sin(angles), color=COLORS[0], alpha=0.3)
    axes.plot(radii * np.cos(angles), radii * np.sin(angles), color=COLORS[0], linewidth=1.6)
    return axes
