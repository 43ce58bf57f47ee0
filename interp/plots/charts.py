"""Charts of numbers: curves, bars, a confusion matrix, a histogram. Names stand beside what they name, not in a box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar, Unpack

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import Locator, MaxNLocator, MultipleLocator
from torch import Tensor

from interp.errors import BadInputError
from interp.plots import tiles
from interp.plots.channels import ink_on
from interp.plots.figure import COLORS, GAP, INK, LINE, TEXT_WIDTH, Figure, Labels, font, text_width
from interp.plots.tiles import Heat

Numbers = Sequence[float] | np.ndarray | Tensor
V = TypeVar("V")


def curves(
    series: Mapping[str, Numbers],
    *,
    x: Numbers | None = None,
    ylim: tuple[float, float] | None = None,
    log: bool = False,
    height: float = 320,
    width: float = TEXT_WIDTH,
    **labels: Unpack[Labels],
) -> Figure:
    """Draw one line for each series, with its name at the end of the line.

    Args:
        series: name to numbers; a line of another length than its neighbors' ends where its numbers end.
        x: where the numbers stand; 0, 1, 2, ... if None.
        ylim: the least and the greatest value shown.
        log: a logarithmic vertical axis.
        height, width: size in CSS pixels.
        labels: `xlabel=` and `ylabel=`, what is counted, with the unit.
    """
    lines = {name: numbers(values, name) for name, values in _filled(series).items()}
    positions = np.arange(max(map(len, lines.values()))) if x is None else numbers(x, "x")
    if len(positions) < max(map(len, lines.values())):
        raise BadInputError(
            f"x has {len(positions)} numbers, the longest series {max(map(len, lines.values()))}."
        )
    margin = max(map(text_width, lines)) + 2 * GAP
    figure, axes = _chart(width, height, right=margin, **labels)
    if log:
        axes.set_yscale("log")
        axes.tick_params(axis="y", which="minor", length=0)
    for color, values in zip(_colors(len(lines)), lines.values(), strict=True):
        axes.plot(positions[: len(values)], values, color=color, linewidth=1.6, solid_capstyle="round")
    if ylim is not None:
        axes.set_ylim(ylim)
    if (positions == positions.round()).all():
        axes.xaxis.set_major_locator(_whole_numbers(positions, labels.get("xlabel", "")))
    _name_lines(axes, lines, positions, height)
    return figure


def _whole_numbers(positions: np.ndarray, label: str) -> Locator:
    """Return where ticks stand: at whole numbers, and for degrees at parts of a turn, which 50 and 100 are not."""
    if "degree" not in label.lower() or np.ptp(positions) < 90:
        return MaxNLocator(integer=True)
    return MultipleLocator(90 if np.ptp(positions) > 180 else 45)


def _name_lines(axes: Axes, lines: Mapping[str, np.ndarray], positions: np.ndarray, height: float) -> None:
    """Write each name at the end of its line, moved apart where two would overlap."""
    axes.autoscale_view()
    to_unit = axes.transData + axes.transAxes.inverted()
    ends = [to_unit.transform((positions[len(v) - 1], v[-1])) for v in lines.values()]
    heights = _apart([float(end[1]) for end in ends], LINE / (height - 60))
    for (x, _), y, name, color in zip(ends, heights, lines, _colors(len(lines)), strict=True):
        axes.text(
            float(x) + 0.012,
            y,
            name,
            transform=axes.transAxes,
            color=color,
            va="center",
            fontproperties=font(),
            parse_math=False,
        )


def _apart(values: Sequence[float], distance: float) -> list[float]:
    """Return positions in the same order, none closer to the next than `distance`, moved as little as needed."""
    order = np.argsort(values, kind="stable")
    offsets = np.arange(len(values)) * distance
    wanted = np.asarray(values)[order] - offsets
    # Sorted positions minus their offsets must not fall: the running mean of blocks is the nearest such sequence.
    blocks: list[list[float]] = []
    for value in wanted:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    placed = np.concatenate([np.full(int(n), value) for value, n in blocks]) + offsets
    out = np.empty(len(values))
    out[order] = placed
    return out.tolist()


def bars(
    values: Mapping[str, float],
    *,
    fmt: str = ".2f",
    xlabel: str = "",
    highlight: Sequence[str] = (),
    limit: float | None = None,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Draw horizontal bars from 0, each with its name at the left and its number at the end.

    Args:
        values: name to number; negative ones reach to the left.
        fmt: format of the numbers, such as ".0%".
        xlabel: what is counted.
        highlight: names whose bars are drawn in the accent color.
        limit: the number that fills the whole width; the greatest absolute value if None.
        width: size in CSS pixels.
    """
    lengths = numbers(list(_filled(values).values()), "values")
    left, step = max(map(text_width, values)) + GAP, 26
    figure = Figure(width, step * len(values) + (LINE + 6 if xlabel else 0))
    axes = figure.place(left, 0, width - left, step * len(values))
    room = GAP + max(text_width(format(length, fmt)) for length in lengths)
    axes.set(xlim=_bar_limits(lengths, limit, width - left, room), ylim=(len(values) - 0.5, -0.5))
    for number, (name, value) in enumerate(zip(values, lengths, strict=True)):
        axes.barh(number, value, height=0.66, color=COLORS[1] if name in highlight else COLORS[0])
        figure.write(left - GAP, (number + 0.5) * step, name, ha="right", middle=True)
        _name_bar(axes, number, value, fmt)
    axes.axvline(0, color=INK, linewidth=0.7)
    figure.write(left, figure.height - 5, xlabel)
    return figure


def _bar_limits(lengths: np.ndarray, limit: float | None, width: float, room: float) -> tuple[float, float]:
    """Return the ends of the axis, with room for the numbers on each side that has bars."""
    low, high = min(0.0, float(lengths.min())), max(0.0, float(lengths.max()))
    if limit is not None:
        low, high = (-limit if low < 0 else 0.0), (limit if high > 0 or low == 0 else 0.0)
    sides = (low < 0) + (high > 0 or low == 0)
    unit = ((high - low) or 1.0) / (width - room * sides)
    return low - (room * unit if low < 0 else 0), high + (room * unit if high > 0 or low == 0 else 0)


def _name_bar(axes: Axes, number: int, value: float, fmt: str) -> None:
    text, side = format(value, fmt).replace("-", "\N{MINUS SIGN}"), -1 if value < 0 else 1
    axes.annotate(
        text,
        (value, number),
        (side * 4.3, 0),
        textcoords="offset points",
        color=INK,
        va="center",
        ha="left" if side > 0 else "right",
        fontproperties=font(),
    )


def confusion(matrix: Tensor | np.ndarray, names: Sequence[str], *, width: float = TEXT_WIDTH) -> Figure:
    """Show how often each true class (row) was taken for each class (column); the color is the share of the row.

    Args:
        matrix: counts (C, C), true classes down, predicted classes across.
        names: the classes.
        width: the largest width in CSS pixels.
    """
    counts = np.asarray(matrix, dtype=float)
    if counts.ndim != 2 or counts.shape != (len(names), len(names)) or counts.size == 0 or (counts < 0).any():
        raise BadInputError(f"Counts of shape ({len(names)}, {len(names)}) are needed; got {counts.shape}.")
    margin = max(map(text_width, names)) + GAP
    side = math.floor(min((width - margin) / len(names), 46) * 2) / 2
    head = math.ceil(margin * 0.72) + LINE
    figure = Figure(math.ceil(margin + side * len(names) + margin * 0.5), math.ceil(head + side * len(names)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    tile = Heat(shares.astype(np.float32), 0.0, 1.0)
    axes = tiles.draw(figure, tile, margin, head, side * len(names), side * len(names))
    colors = tile.pixels(len(names), len(names))
    for (r, c), count in np.ndenumerate(counts):
        if count:
            axes.text(
                c,
                r,
                f"{count:g}",
                ha="center",
                va="center",
                color=ink_on(colors[r, c]),
                fontproperties=font(12),
            )
    for number, name in enumerate(names):
        middle = (number + 0.5) * side
        figure.write(margin - GAP, head + middle, name, ha="right", middle=True)
        figure.write(margin + middle - 4, head - 6, name, rotation=45, rotation_mode="anchor")
    return figure


def histogram(
    values: Numbers | Mapping[str, Numbers],
    *,
    bins: int = 60,
    xlabel: str = "",
    ylabel: str = "",
    marks: Mapping[str, float] | None = None,
    height: float = 260,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Show how often values occur.

    Args:
        values: numbers of any shape, or name to numbers for several histograms over one another.
        bins: into how many equal steps the range is cut.
        xlabel, ylabel: what is counted.
        marks: name to position of vertical lines.
        height, width: size in CSS pixels.
    """
    if bins < 1:
        raise BadInputError(f"At least one bin is needed; got bins={bins}.")
    named = values if isinstance(values, Mapping) else {"": values}
    groups = {name: numbers(part, name or "values") for name, part in _filled(named).items()}
    edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), bins=bins)
    figure, axes = _chart(width, height, right=GAP, xlabel=xlabel, ylabel=ylabel)
    for color, (name, part) in zip(_colors(len(groups)), groups.items(), strict=True):
        counts, _ = np.histogram(part, edges)
        axes.stairs(counts, edges, fill=True, color=color, alpha=0.45 if len(groups) > 1 else 0.8)
        axes.stairs(counts, edges, color=color, linewidth=1.2, label=name)
    axes.set_ylim(0, axes.get_ylim()[1] * (1.1 if marks else 1))
    for name, position in (marks or {}).items():
        axes.axvline(position, color=INK, linewidth=0.9)
        axes.annotate(
            name,
            (position, 1),
            (3, -9),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=INK,
            fontproperties=font(),
        )
    if isinstance(values, Mapping):
        axes.legend(
            frameon=False, prop=font(), labelcolor=_colors(len(groups)), handlelength=0, handletextpad=0
        )
    return figure


# --------------------------------------------------------------------------------------------------------------------
# What charts share


def numbers(values: Numbers, name: str) -> np.ndarray:
    """Return finite numbers as a flat array of floats."""
    tensor = values.detach().cpu().float().numpy() if isinstance(values, Tensor) else values
    array = np.asarray(tensor, dtype=float).reshape(-1)
    if array.size == 0 or not np.isfinite(array).all():
        raise BadInputError(
            f"{name!r} has to hold finite numbers, at least one; drop NaN and infinite values first."
        )
    return array


def _filled(values: Mapping[str, V]) -> Mapping[str, V]:
    if not isinstance(values, Mapping) or not values:
        raise BadInputError(
            f"A mapping from names to numbers is needed, not empty; got {type(values).__name__}."
        )
    return values


def _colors(count: int) -> list[str]:
    return [COLORS[number % len(COLORS)] for number in range(count)]


def _chart(width: float, height: float, *, right: float, **labels: Unpack[Labels]) -> tuple[Figure, Axes]:
    """Return axes with two thin lines, light grid lines across, and the labels at their ends."""
    xlabel, ylabel = labels.get("xlabel", ""), labels.get("ylabel", "")
    figure = Figure(width, height)
    top, bottom, left = (LINE + 8 if ylabel else 8), (2 * LINE + 10 if xlabel else LINE + 10), 46
    axes = figure.place(left, top, width - left - right, height - top - bottom)
    axes.set_axis_on()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set(color=INK, linewidth=0.8)
    axes.tick_params(colors=INK, length=0, pad=4)
    axes.grid(axis="y", color=INK, alpha=0.22, linewidth=0.6)
    axes.set_axisbelow(True)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_fontproperties(font(12))
    axes.margins(x=0.01)
    figure.write(0, LINE - 4, ylabel)
    figure.write(left, height - 5, xlabel)
    return figure, axes
