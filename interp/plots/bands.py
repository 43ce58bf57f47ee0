"""Curves that are known from several runs: their mean, their range, and a floor to compare them with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Unpack

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
    Labels,
    font,
    is_narrow,
    redrawn,
    wrap,
)

TITLE, LEFT = LINE + 6, 30


@redrawn
def bands(
    runs: Mapping[str, Tensor],
    *,
    x: Sequence[float] | None = None,
    floors: Mapping[str, float] | None = None,
    ylim: tuple[float, float] = (-1.0, 1.0),
    columns: int = 4,
    height: float = 130,
    width: float = TEXT_WIDTH,
    **labels: Unpack[Labels],
) -> Figure:
    """Draw a small chart for each name: the mean of its runs as a line, the range of all runs as a band behind it.

    Args:
        runs: name to (R, K): R runs of K numbers.
        x: where the K numbers stand; 0, 1, 2, ... if None.
        floors: name to a number that is drawn as a dashed line across, such as what chance or noise gives.
        ylim: the least and the greatest value shown.
        columns: how many charts in a row; in a narrow figure half as many, at most two.
        height, width: of one chart, and of the whole, in CSS pixels.
        labels: `xlabel=` and `ylabel=`, what is counted; the same for all charts.

    Raises:
        BadInputError: there are no runs, or they are not finite numbers (R, K) of one K.
    """
    xlabel, ylabel = labels.get("xlabel", ""), labels.get("ylabel", "")
    lines = {name: _runs(values, name) for name, values in runs.items()}
    lengths = {values.shape[1] for values in lines.values()}
    if len(lengths) != 1 or (x is not None and {len(x)} != lengths):
        raise BadInputError(
            f"Runs of one length are needed, and as many places x; got lengths {sorted(lengths)}."
        )
    places = np.arange(lengths.pop()) if x is None else np.asarray(x, dtype=float)
    if is_narrow(width):
        columns = min(max(columns // 2, 1), 2)
        xlabel, ylabel = wrap(xlabel, width - LEFT), wrap(ylabel, width)
    rows, step = math.ceil(len(lines) / columns), height + TITLE + LINE + GAP
    across = (width - GAP * (columns - 1)) / columns
    more, foot = (LINE * text.count("\n") if is_narrow(width) else 0 for text in (ylabel, xlabel))
    top = LINE + 4 + more if ylabel else 0
    figure = Figure(width, top + rows * step + (LINE + foot if xlabel else 0))
    figure.write(0, LINE - 4 + more, ylabel)
    figure.write(LEFT, figure.height - 4, xlabel)
    for number, (name, values) in enumerate(lines.items()):
        row, column = divmod(number, columns)
        left, upper = column * (across + GAP), top + row * step
        figure.write(left + LEFT, upper + LINE - 3, name)
        axes = figure.place(left + LEFT, upper + TITLE, across - LEFT, height)
        _draw(axes, places, values, (floors or {}).get(name), ylim)
    return figure


def _runs(values: Tensor, name: str) -> np.ndarray:
    array: np.ndarray = values.detach().cpu().double().numpy()
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise BadInputError(f"{name!r} has to hold finite runs (R, K); its shape is {tuple(array.shape)}.")
    return array


def _draw(
    axes: Axes, places: np.ndarray, values: np.ndarray, floor: float | None, ylim: tuple[float, float]
) -> None:
    axes.set_axis_on()
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(colors=INK, length=0, pad=3)
    axes.grid(axis="y", color=INK, alpha=0.22, linewidth=0.6)
    axes.fill_between(
        places, values.min(axis=0), values.max(axis=0), color=COLORS[0], alpha=0.25, linewidth=0
    )
    axes.plot(places, values.mean(axis=0), color=COLORS[0], linewidth=1.6, marker="o", markersize=3)
    if floor is not None:
        axes.axhline(floor, color=COLORS[1], linewidth=1.4, linestyle=(0, (4, 2)))
    margin = 0.03 * (ylim[1] - ylim[0])
    axes.set(
        ylim=(ylim[0] - margin, ylim[1] + margin),
        xticks=places,
        yticks=np.linspace(*ylim, 5 if ylim[0] < 0 else 3),
    )
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_fontproperties(font(11))
