"""A network drawn to scale: a box for each layer, as wide as it has channels and as high as it has positions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.patches import Polygon, Rectangle
from torch import nn

from interp import hooks
from interp.errors import BadInputError
from interp.plots.figure import (
    COLORS,
    GAP,
    INK,
    LINE,
    PAGE_WIDTH,
    TEXT_WIDTH,
    Figure,
    is_narrow,
    lines,
    redrawn,
    text_width,
)

IMAGE = "image"  # what goes into the network, as a box
THINNEST = 2.0  # pixels; three channels would be none
ARC = 30  # pixels above the boxes for a connection that passes some of them by


@dataclass(frozen=True)
class Box:
    """A layer in a drawing: what stands below it, its channels, its positions down and across."""

    text: str
    channels: int
    rows: int
    columns: int

    @property
    def lines(self) -> tuple[str, str, str]:
        return self.text, f"{self.channels:,}", f"{self.rows} × {self.columns}"

    @property
    def label_width(self) -> float:
        return max(map(text_width, self.lines))


@redrawn
def network(
    model: nn.Module,
    layers: Mapping[str, str] | Sequence[str],
    *,
    size: int = 224,
    here: Collection[str] = (),
    skips: Sequence[tuple[str, str]] = (),
    height: float = 180,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Draw layers to one scale, from left to right: width is channels, height is positions.

    Below each box stand its name, its channels and its positions. In a narrow figure the row of boxes breaks into
    lines, and a connection that would cross them is written below.

    Args:
        model: any network.
        layers: names as `hooks.layer_names` lists them, or name to what is written; "image" is what goes in.
        size: the side of the image that goes in, in pixels.
        here: names of boxes in the accent color.
        skips: pairs of names; an arc leads from the first box to the second past those between them.
        height, width: of the boxes and of the figure, in CSS pixels.

    Raises:
        UnknownNameError: there is no such layer.
        BadInputError: a layer has no maps (N, C, H, W), or the labels leave no room for the boxes.
    """
    boxes = _boxes(model, layers, size)
    if is_narrow(width):
        return _in_lines(boxes, here, skips, height, width)
    scale = _scale(list(boxes.values()), width)
    top = ARC if skips else 0
    figure = Figure(width, top + height + 3 * LINE + GAP)
    unit, left, middles = height / max(box.rows for box in boxes.values()), 0.0, {}
    for name, box in boxes.items():
        column = _column(box, scale)
        middles[name] = left + column / 2
        color = COLORS[1] if name in here else COLORS[0]
        place = (middles[name], top + height / 2, figure.height - 2 * LINE - 5)
        _draw(figure, box, place, (scale, unit), color)
        left += column + GAP
    for start, end in skips:
        _arc(figure, middles[start], middles[end], top - 2)
    return figure


def _boxes(model: nn.Module, layers: Mapping[str, str] | Sequence[str], size: int) -> dict[str, Box]:
    texts = dict(layers) if isinstance(layers, Mapping) else dict(zip(layers, layers, strict=True))
    images = hooks.gray(model, (size, size)).float()
    found = {IMAGE: images, **hooks.run(model, images, [name for name in texts if name != IMAGE])}
    for name in texts:
        if found[name].ndim != 4:
            raise BadInputError(
                f"{name!r} gives {tuple(found[name].shape)}; a box needs maps (N, C, H, W). Leave it out."
            )
    return {name: Box(text, *found[name].shape[1:]) for name, text in texts.items()}


def _column(box: Box, scale: float) -> float:
    return max(box.label_width, box.channels * scale, THINNEST)


def _scale(boxes: Sequence[Box], width: float) -> float:
    """Return the pixels of a channel with which the boxes and their labels fill the width, by halving."""
    room = width - GAP * (len(boxes) - 1)
    low, high = 0.0, room
    if sum(_column(box, low) for box in boxes) > room:
        raise BadInputError(f"The labels of {len(boxes)} boxes need more than {width:g} pixels; draw fewer.")
    for _ in range(40):
        middle = (low + high) / 2
        fits = sum(_column(box, middle) for box in boxes) <= room
        low, high = (middle, high) if fits else (low, middle)
    return low


def _in_lines(
    boxes: Mapping[str, Box],
    here: Collection[str],
    skips: Sequence[tuple[str, str]],
    height: float,
    width: float,
) -> Figure:
    """Draw boxes to one scale in as few lines as the labels allow."""
    if max(box.label_width for box in boxes.values()) > width:
        raise BadInputError(f"A label needs more than {width:g} pixels; draw it wider or shorten it.")
    fewest = len(_lines(boxes, 0.0, width))
    low, high = 0.0, width / max(box.channels for box in boxes.values())
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if len(_lines(boxes, middle, width)) <= fewest else (low, middle)
    rows, unit = _lines(boxes, low, width), height / max(box.rows for box in boxes.values())
    talls = [max(max(boxes[name].rows for name in row) * unit, THINNEST) for row in rows]
    words = [f"{boxes[start].text} → {boxes[end].text}: past what lies between" for start, end in skips]
    figure = Figure(width, sum(talls) + len(rows) * (3 * LINE + 2 * GAP) + LINE * len(words))
    top = 0.0
    for row, tall in zip(rows, talls, strict=True):
        left = 0.0
        for name in row:
            column = _column(boxes[name], low)
            place = (left + column / 2, top + tall / 2, top + tall + LINE + GAP - 5)
            _draw(figure, boxes[name], place, (low, unit), COLORS[1] if name in here else COLORS[0])
            left += column + GAP
        top += tall + 3 * LINE + 2 * GAP
    for number, text in enumerate(words):
        figure.write(0, top + LINE * (number + 1) - 5, text)
    return figure


def _lines(boxes: Mapping[str, Box], scale: float, width: float) -> list[list[str]]:
    """Return the names of the boxes line by line."""
    found: list[list[str]] = [[]]
    left = 0.0
    for name, box in boxes.items():
        column = _column(box, scale)
        if found[-1] and left + column > width:
            found.append([])
            left = 0.0
        found[-1].append(name)
        left += column + GAP
    return found


def _draw(
    figure: Figure,
    box: Box,
    place: tuple[float, float, float],
    sizes: tuple[float, float],
    color: str,
) -> None:
    """Draw a box: `place` is its middle and the baseline of its name, `sizes` the pixels of a channel and of a row."""
    (middle, center, bottom), (scale, unit) = place, sizes
    wide, high = max(box.channels * scale, THINNEST), max(box.rows * unit, THINNEST)
    axes = figure.place(middle - wide / 2 - 1, center - high / 2 - 1, wide + 2, high + 2)
    axes.set(xlim=(-1, wide + 1), ylim=(-1, high + 1))
    axes.add_patch(Rectangle((0, 0), wide, high, facecolor=color, edgecolor=color, alpha=0.75, linewidth=0.8))
    for number, text in enumerate(box.lines):
        figure.write(
            middle,
            bottom + number * LINE,
            text,
            ha="center",
            color=color if number == 0 and color != COLORS[0] else INK,
        )


def _arc(figure: Figure, start: float, end: float, top: float) -> None:
    """Draw a line up from one box, along, and down to the other with an arrow's head."""
    axes = figure.place(start, 0, end - start, top)
    axes.set(xlim=(0, end - start), ylim=(0, top))
    style: dict[str, Any] = {"color": INK, "linewidth": 1.2, "clip_on": False}
    axes.plot([0, 0, end - start, end - start], [0, top / 2, top / 2, 6], solid_joinstyle="round", **style)
    axes.add_patch(
        Polygon([(end - start + x, y) for x, y in ((-4, 8), (4, 8), (0, 0))], color=INK, clip_on=False)
    )


@redrawn
def chain(
    steps: Sequence[str], forward: Sequence[str], backward: Sequence[str], *, width: float = TEXT_WIDTH
) -> Figure:
    """Draw steps in a row, with what goes forward above the arrows and what comes back below them.

    In a narrow figure they stand below one another, with what goes forward at the left.

    Args:
        steps: what stands in the boxes.
        forward: what enters the first step, what goes from step to step, and what leaves the last: one more than steps.
        backward: the same places, from left to right, on the way back.
        width: size in CSS pixels.

    Raises:
        BadInputError: there are not as many numbers as places.
    """
    if not len(forward) == len(backward) == len(steps) + 1:
        raise BadInputError(
            f"{len(steps)} steps have {len(steps) + 1} places; got {len(forward)} and {len(backward)} texts."
        )
    if is_narrow(width):
        return _column_of_steps(steps, forward, backward, width)
    figure, arrow = Figure(width, 130), width / (2 * len(steps) + 1)
    for number, (there, back) in enumerate(zip(forward, backward, strict=True)):
        left = 2 * number * arrow
        for top, text, color, onward in ((48, there, INK, True), (82, back, COLORS[1], False)):
            _straight(figure, (left, top, arrow), color, onward)
            figure.write(left + arrow / 2, top + (-12 if onward else 24), text, ha="center", color=color)
    for number, text in enumerate(steps):
        axes = figure.place((2 * number + 1) * arrow, 34, arrow, 62)
        axes.add_patch(Rectangle((0.01, 0.01), 0.98, 0.98, facecolor="none", edgecolor=INK, linewidth=1.2))
        figure.write((2 * number + 1.5) * arrow, 65, text, ha="center", middle=True)
    return figure


def _straight(figure: Figure, place: tuple[float, float, float], color: str, onward: bool) -> None:
    """Draw an arrow at a place (left, top, length), to the right or to the left."""
    left, top, length = place
    axes = figure.place(left, top - 6, length, 12)
    axes.set(xlim=(0, length), ylim=(-6, 6))
    tip, base = (length - 6, length - 14) if onward else (6, 14)
    axes.plot([6, length - 6], [0, 0], color=color, linewidth=1.4)
    axes.add_patch(Polygon([(base, -4), (base, 4), (tip, 0)], color=color))


def _column_of_steps(
    steps: Sequence[str], forward: Sequence[str], backward: Sequence[str], width: float
) -> Figure:
    """Draw a chain from top to bottom."""
    box, arrow, middle = LINE * (1 + max(map(lines, steps))), 48, width / 2
    figure = Figure(width, arrow * len(forward) + box * len(steps))
    for number, (there, back) in enumerate(zip(forward, backward, strict=True)):
        top = number * (arrow + box)
        for side, text, color in ((-1, there, INK), (1, back, COLORS[1])):
            axes = figure.place(middle + 14 * side - 6, top, 12, arrow)
            axes.set(xlim=(-6, 6), ylim=(arrow, 0) if side < 0 else (0, arrow))
            axes.plot([0, 0], [6, arrow - 6], color=color, linewidth=1.4)
            axes.add_patch(Polygon([(-4, arrow - 14), (4, arrow - 14), (0, arrow - 6)], color=color))
            place = middle + 26 * side, top + arrow / 2
            figure.write(*place, text, middle=True, ha="right" if side < 0 else "left", color=color)
    for number, text in enumerate(steps):
        wide = text_width(text) + 4 * GAP
        axes = figure.place(middle - wide / 2, arrow + number * (arrow + box), wide, box)
        axes.add_patch(Rectangle((0.01, 0.01), 0.98, 0.98, facecolor="none", edgecolor=INK, linewidth=1.2))
        figure.write(middle, arrow + number * (arrow + box) + box / 2, text, ha="center", middle=True)
    return figure
