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
from interp.plots.figure import (
    COLORS,
    DOTS,
    GAP,
    INK,
    LINE,
    TEXT_WIDTH,
    Figure,
    Labels,
    font,
    is_narrow,
    lines,
    redrawn,
    text_width,
    wrap,
)
from interp.plots.legend import Legend
from interp.plots.tiles import Heat

Numbers = Sequence[float] | np.ndarray | Tensor
V = TypeVar("V")

ASIDE = 0.28  # of a narrow chart is the most that names at its right may take
BEFORE = 0.4  # and names at its left
BAR = 26  # the height that a bar takes
LINE_POINTS = 0.72 * LINE


@redrawn
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
    """Draw one line for each series, with its name at the end of the line, or below a narrow chart.

    Args:
        series: name to numbers; a line of another length than its neighbors' ends where its numbers end.
        x: where the numbers stand; 0, 1, 2, ... if None.
        ylim: the least and the greatest value shown.
        log: a logarithmic vertical axis.
        height, width: size in CSS pixels.
        labels: `xlabel=` and `ylabel=`, what is counted, with the unit.
    """
    drawn = {name: numbers(values, name) for name, values in _filled(series).items()}
    positions = np.arange(max(map(len, drawn.values()))) if x is None else numbers(x, "x")
    if len(positions) < max(map(len, drawn.values())):
        raise BadInputError(
            f"x has {len(positions)} numbers, the longest series {max(map(len, drawn.values()))}."
        )
    margin = max(map(text_width, drawn)) + 2 * GAP
    beside = not is_narrow(width) or margin <= ASIDE * width
    legend = None if beside else Legend(list(drawn), _colors(len(drawn)), width)
    figure, axes = _chart(width, height, right=margin if beside else 2 * GAP, legend=legend, **labels)
    if log:
        axes.set_yscale("log")
        axes.tick_params(axis="y", which="minor", length=0)
    for color, values in zip(_colors(len(drawn)), drawn.values(), strict=True):
        axes.plot(positions[: len(values)], values, color=color, linewidth=1.6, solid_capstyle="round")
    if ylim is not None:
        axes.set_ylim(ylim)
    if (positions == positions.round()).all():
        label = labels.get("xlabel", "")
        axes.xaxis.set_major_locator(_whole_numbers(positions, label, narrow=is_narrow(width)))
    if beside:
        _name_lines(axes, drawn, positions, height)
    return figure


def _whole_numbers(positions: np.ndarray, label: str, *, narrow: bool) -> Locator:
    """Return where ticks stand: at whole numbers, and for degrees at parts of a turn, which 50 and 100 are not."""
    if "degree" not in label.lower() or np.ptp(positions) < 90:
        return few_whole_numbers() if narrow else MaxNLocator(integer=True)
    return MultipleLocator(90 if np.ptp(positions) > 180 else 45)


def few_whole_numbers() -> Locator:
    """Return where ticks stand in a narrow chart."""
    return MaxNLocator(5, integer=True, steps=[1, 2, 5, 10])


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


@redrawn
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

    In a narrow figure names that would leave too little room stand above their bars.

    Args:
        values: name to number; negative ones reach to the left.
        fmt: format of the numbers, such as ".0%".
        xlabel: what is counted.
        highlight: names whose bars are drawn in the accent color.
        limit: the number that fills the whole width; the greatest absolute value if None.
        width: size in CSS pixels.
    """
    lengths = numbers(list(_filled(values).values()), "values")
    left, head, names = max(map(text_width, values)) + GAP, 0, list(values)
    if is_narrow(width) and left > BEFORE * width:
        left, names = 0.0, [wrap(name, width) for name in values]
        head = LINE * max(map(lines, names))
    step, xlabel = BAR + head, wrap(xlabel, width - left) if is_narrow(width) else xlabel
    foot = LINE * lines(xlabel) + 6 if is_narrow(width) else LINE + 6
    figure = Figure(width, step * len(values) + (foot if xlabel else 0))
    axes = figure.place(left, 0, width - left, step * len(values))
    lower, thick = 0.5 - BAR / 2 / step, 0.66 * BAR / step  # names above the bars push them down
    room = GAP + max(text_width(format(length, fmt)) for length in lengths)
    axes.set(xlim=_bar_limits(lengths, limit, width - left, room), ylim=(len(values) - 0.5, -0.5))
    for number, (name, value) in enumerate(zip(values, lengths, strict=True)):
        color = COLORS[1] if name in highlight else COLORS[0]
        axes.barh(number + lower, value, height=thick, color=color)
        if head:
            figure.write(0, number * step + head - 4, names[number])
        else:
            figure.write(left - GAP, (number + 0.5) * step, name, ha="right", middle=True)
        _name_bar(axes, number + lower, value, fmt)
    if head:  # the line does not cross the names
        rows = np.arange(len(values)) + lower
        axes.vlines([0] * len(values), rows - 0.5 * BAR / step, rows + 0.5 * BAR / step, INK, linewidth=0.7)
    else:
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


def _name_bar(axes: Axes, number: float, value: float, fmt: str) -> None:
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


@redrawn
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
    upright = is_narrow(width)  # the names of the columns, which lean out to the right where there is room
    side = math.floor(min((width - margin) / len(names), 46) * 2) / 2
    head, lean = (margin, 0.0) if upright else (math.ceil(margin * 0.72) + LINE, margin * 0.5)
    figure = Figure(math.ceil(margin + side * len(names) + lean), math.ceil(head + side * len(names)))
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
                fontproperties=font(min(12, side * 0.6) if upright else 12),
            )
    for number, name in enumerate(names):
        middle = (number + 0.5) * side
        figure.write(margin - GAP, head + middle, name, ha="right", middle=True)
        place, turned = margin + middle + (4 if upright else -4), 90 if upright else 45
        figure.write(place, head - 6, name, rotation=turned, rotation_mode="anchor")
    return figure


@redrawn
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
    below = is_narrow(width) and isinstance(values, Mapping)
    legend = Legend(list(groups), _colors(len(groups)), width) if below else None
    right = 2 * GAP if is_narrow(width) else GAP
    figure, axes = _chart(width, height, right=right, legend=legend, xlabel=xlabel, ylabel=ylabel)
    for color, (name, part) in zip(_colors(len(groups)), groups.items(), strict=True):
        counts, _ = np.histogram(part, edges)
        axes.stairs(counts, edges, fill=True, color=color, alpha=0.45 if len(groups) > 1 else 0.8)
        axes.stairs(counts, edges, color=color, linewidth=1.2, label=name)
    axes.set_ylim(0, axes.get_ylim()[1] * (1.1 if marks and not is_narrow(width) else 1))
    if marks:
        draw_marks(axes, marks, narrow=is_narrow(width))
    if is_narrow(width):
        axes.yaxis.set_major_locator(few_whole_numbers())
    if isinstance(values, Mapping) and not below:
        axes.legend(
            frameon=False, prop=font(), labelcolor=_colors(len(groups)), handlelength=0, handletextpad=0
        )
    return figure


# --------------------------------------------------------------------------------------------------------------------
# What charts share


def draw_marks(axes: Axes, marks: Mapping[str, float], *, narrow: bool) -> None:
    """Draw a vertical line at each position, with its name at its upper end; in a narrow chart one below the other."""
    texts = _stepped(axes, marks) if narrow else [(*mark, 1, 0) for mark in marks.items()]
    step = LINE * DOTS / axes.get_window_extent().height
    for text, position, side, line in texts:
        axes.axvline(position, ymax=1 - line * step, color=INK, linewidth=0.9)
        axes.annotate(
            text,
            (position, 1),
            (3 * side, -9 - LINE_POINTS * line),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=INK,
            ha="left" if side > 0 else "right",
            fontproperties=font(),
        )


def _stepped(axes: Axes, marks: Mapping[str, float]) -> list[tuple[str, float, int, int]]:
    """Return lines of text with position, side and number of the line, and make room for them above what is drawn."""
    for position in marks.values():
        axes.axvline(position, color="none")  # so that all of them are in view
    axes.autoscale_view()
    wide, high = (float(side) / DOTS for side in axes.get_window_extent().size)
    found: list[tuple[str, float, int, int]] = []
    for name, position in marks.items():
        at = float(axes.transLimits.transform((position, 0))[0]) * wide
        side = 1 if at < wide / 2 or text_width(name) < wide - at - 6 else -1
        room = (wide - at if side > 0 else at) - 6
        found += [
            (text, position, side, len(found) + n) for n, text in enumerate(wrap(name, room).split("\n"))
        ]
    low, top = axes.get_ylim()
    axes.set_ylim(low, top / (1 - (len(found) * LINE + 4) / high))
    return found


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


def _chart(
    width: float, height: float, *, right: float, legend: Legend | None = None, **labels: Unpack[Labels]
) -> tuple[Figure, Axes]:
    """Return axes with two thin lines, light grid lines across, the labels at their ends, and a legend below."""
    xlabel, ylabel, left = labels.get("xlabel", ""), labels.get("ylabel", ""), 46
    if is_narrow(width):
        xlabel, ylabel = wrap(xlabel, width - left), wrap(ylabel, width)
    more = LINE * (max(lines(ylabel), 1) - 1) if is_narrow(width) else 0  # each further line of a label
    foot = LINE * (max(lines(xlabel), 1) - 1) if is_narrow(width) else 0
    below = legend.height if legend else 0
    figure = Figure(width, height + more + foot + below)
    top, bottom = (LINE + 8 if ylabel else 8), (2 * LINE + 10 if xlabel else LINE + 10)
    axes = figure.place(left, top + more, width - left - right, height - top - bottom)
    axes.set_axis_on()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set(color=INK, linewidth=0.8)
    axes.tick_params(colors=INK, length=0, pad=4)
    axes.grid(axis="y", color=INK, alpha=0.22, linewidth=0.6)
    axes.set_axisbelow(True)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_fontproperties(font(12))
    axes.margins(x=0.01)
    figure.write(0, LINE - 4 + more, ylabel)
    figure.write(left, figure.height - below - 5, xlabel)
    if legend:
        legend.draw(figure, 0, figure.height - below)
    return figure, axes
