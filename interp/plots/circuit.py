"""A circuit in one drawing: inputs, the kernels on their wires, and the unit that reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from torch import Tensor

from interp.errors import BadInputError
from interp.plots import tiles
from interp.plots.figure import COLORS, GAP, LINE, PAGE_WIDTH, Figure, redrawn, text_width
from interp.plots.pictures import Images, heats, pictures
from interp.plots.tiles import Heat, Picture

ADDS, TAKES = COLORS[5], COLORS[0]  # red and blue, as in the kernels
POINT = 0.72  # points in a CSS pixel, in which matplotlib counts the width of a line
NARROW = 600  # pixels; below it the unit stands under its inputs
DASH = (9.0, 4.0)  # pixels of a wire that takes away: drawn, not drawn
TIP = 11  # pixels, length of an arrow's head
BETWEEN = 8  # pixels between two wires
SHARE = 0.32  # of the width, for the unit at the right


@dataclass(frozen=True)
class Wire:
    """An input, its kernel, and how much it gives; `thick` is the width of its line in CSS pixels."""

    picture: Picture
    kernel: Heat
    weight: float
    title: str
    thick: float

    @property
    def color(self) -> str:
        return TAKES if self.weight < 0 else ADDS

    @property
    def value(self) -> str:
        return f"{self.weight:+.2f}".replace("-", "−")


@dataclass(frozen=True)
class Plan:
    """Where things stand, in CSS pixels: the sides of the tiles, the left edge of the kernels, the thickest wire."""

    side: float
    kernel: float
    kernel_left: float
    thickest: float

    def middle(self, row: int) -> float:
        return row * (self.side + GAP) + self.side / 2

    @property
    def kernel_right(self) -> float:
        return self.kernel_left + self.kernel


@redrawn
def circuit(
    inputs: Images,
    kernels: Images,
    weights: Sequence[float],
    unit: Tensor,
    *,
    titles: Sequence[str],
    title: str = "",
    width: float = PAGE_WIDTH,
) -> Figure:
    """Draw what a unit reads: each input with its picture, its kernel on a wire as thick as its weight, and the unit.

    The wires are sorted by weight, the largest first. One that adds is a red line with an arrow's head; one that takes
    away is blue, dashed, and ends in a bar. Its weight is written below it, its title above. The book links tiles whose
    titles name channels.

    Args:
        inputs: (N, 3, H, W) in [0, 1], one picture for each input, or a sequence of these.
        kernels: (N, h, w), how the unit weighs the places of each input; red above 0, blue below, on one scale.
        weights: one number for each input, in any unit: the thickness of its wire is in proportion to its size.
        unit: (3, H, W) or (1, 3, H, W) in [0, 1], the picture of the unit.
        titles: one for each input.
        title: of the unit.
        width: the width to fill, in CSS pixels; below 600 the unit stands under its inputs.

    Raises:
        BadInputError: the inputs, kernels, weights and titles are not equally many, no weight is there or one is not a
            finite number, `unit` is not one picture, or the titles leave no room in the width.
    """
    shown = _parts(inputs, kernels, weights, titles)
    target = pictures(unit)
    if len(target) != 1:
        raise BadInputError(f"A circuit has one unit; {len(target)} pictures were given for it.")
    plan = _plan(shown, width)
    wires = _wires(shown, plan.thickest)
    draw = _stacked if width < NARROW else _abreast
    return draw(wires, plan, target[0], title, width)


Part = tuple[Picture, Heat, float, str]


def _parts(inputs: Images, kernels: Images, weights: Sequence[float], titles: Sequence[str]) -> list[Part]:
    images, maps = pictures(inputs), heats(kernels, signed=True, shared=True)
    sizes = [float(weight) for weight in weights]
    texts = tiles.check_titles(titles, len(images))
    if not len(images) == len(maps) == len(sizes):
        raise BadInputError(
            f"There are {len(images)} inputs, {len(maps)} kernels and {len(sizes)} weights; give one for each."
        )
    if not all(map(math.isfinite, sizes)) or not any(sizes):
        raise BadInputError(f"The weights have to be finite, one at least not 0; got {sizes}.")
    return sorted(zip(images, maps, sizes, texts, strict=True), key=lambda part: -part[2])


def _plan(shown: Sequence[Part], width: float) -> Plan:
    """Return where things stand: the wires have to fit beside one another at the unit, and the titles above them."""
    words, rows = max(text_width(text) for *_, text in shown), len(shown)
    narrow = width < NARROW
    side, kernel, thickest = (72.0, 52.0, 10.0) if narrow else (84.0, 62.0, 18.0)
    plan = Plan(side, kernel, side + max(words, 40) + 2 * GAP, thickest)
    free = width - plan.kernel_right - GAP if narrow else _beside(width, rows, side)
    room = free - BETWEEN * rows
    if room < 2 * rows or width - plan.kernel_right < 60 + (0 if narrow else SHARE * width):
        raise BadInputError(
            f"{rows} inputs with titles of {words:.0f} pixels do not fit into {width:g}; draw fewer, or shorten them."
        )
    sizes = [abs(weight) / max(abs(part[2]) for part in shown) for _, _, weight, _ in shown]
    return replace(plan, thickest=min(thickest, room / sum(sizes) if narrow else room / rows))


def _beside(width: float, rows: int, side: float) -> float:
    """Return the side of the unit's picture at the right of its inputs."""
    return min(SHARE * width, rows * (side + GAP) - GAP - 2 * (LINE + 8))


def _wires(shown: Sequence[Part], thickest: float) -> list[Wire]:
    largest = max(abs(weight) for _, _, weight, _ in shown)
    return [Wire(*part, thick=thickest * abs(part[2]) / largest) for part in shown]


def _abreast(wires: Sequence[Wire], plan: Plan, unit: Picture, title: str, width: float) -> Figure:
    """Lay the unit out at the right, with the wires coming together at its left side."""
    height = len(wires) * (plan.side + GAP) - GAP
    side = _beside(width, len(wires), plan.side)
    figure = Figure(width, height)
    sheet, left, top = _sheet(figure), width - side, (height - side) / 2
    for row, wire in enumerate(wires):
        start, end = plan.middle(row), top + side * (row + 0.5) / len(wires)
        middle = (plan.kernel_right + left) / 2
        curve = [(plan.kernel_right, start), (middle, start), (middle, end), (left - TIP, end)]
        _line(sheet, wire, Path(curve, [Path.MOVETO, *[Path.CURVE4] * 3]))
        _end(sheet, wire, (left, end), (1, 0))
    _inputs(figure, sheet, wires, plan)
    _unit(figure, unit, title, (left, top, side))
    figure.write(left, top - 8, title)
    return figure


def _stacked(wires: Sequence[Wire], plan: Plan, unit: Picture, title: str, width: float) -> Figure:
    """Lay the unit out below its inputs, with the wires side by side down to it."""
    bottom = len(wires) * (plan.side + GAP) + 2 * GAP
    side = 0.6 * width
    figure = Figure(width, bottom + side)
    sheet, lane = _sheet(figure), width - 4
    for row, wire in enumerate(wires):
        lane, middle = lane - wire.thick / 2, plan.middle(row)
        path = [(plan.kernel_right, middle), (lane, middle), (lane, bottom - TIP)]
        _line(sheet, wire, Path(path))
        _end(sheet, wire, (lane, bottom), (0, 1))
        lane -= wire.thick / 2 + BETWEEN
    _inputs(figure, sheet, wires, plan)
    _unit(figure, unit, title, (width - side, bottom, side))
    figure.write(width - side - GAP, bottom + side / 2, title, ha="right", middle=True)
    return figure


def _sheet(figure: Figure) -> Axes:
    """Return axes over the whole figure in CSS pixels from the upper left corner; what comes later lies on it."""
    sheet = figure.place(0, 0, figure.width, figure.height)
    sheet.set(xlim=(0, figure.width), ylim=(figure.height, 0))
    return sheet


def _inputs(figure: Figure, sheet: Axes, wires: Sequence[Wire], plan: Plan) -> None:
    """Draw the pictures and the kernels, the piece of wire between them, and what is written there."""
    for row, wire in enumerate(wires):
        middle, left = plan.middle(row), plan.side + GAP
        _line(sheet, wire, Path([(plan.side, middle), (plan.kernel_left, middle)]))
        top = middle - plan.side / 2
        tiles.draw(figure, wire.picture, 0, top, plan.side, plan.side)
        figure.name(wire.title, 0, top, plan.side, plan.side)
        kernel = tiles.draw(
            figure, wire.kernel, plan.kernel_left, middle - plan.kernel / 2, plan.kernel, plan.kernel
        )
        tiles.frame(kernel)
        figure.write(left, middle - wire.thick / 2 - 6, wire.title)
        figure.write(left, middle + wire.thick / 2 + LINE - 2, wire.value, color=wire.color)


def _unit(figure: Figure, unit: Picture, title: str, place: tuple[float, float, float]) -> None:
    left, top, side = place
    tiles.draw(figure, unit, left, top, side, side)
    figure.name(title, left, top, side, side)


def _line(sheet: Axes, wire: Wire, path: Path) -> None:
    """Draw a wire as thick as its weight; dashed where it takes away, for it has to be told without color, too."""
    points = wire.thick * POINT
    style = (0, tuple(part / max(wire.thick, 1e-6) for part in DASH)) if wire.weight < 0 else "solid"
    sheet.add_patch(
        PathPatch(
            path, facecolor="none", edgecolor=wire.color, linewidth=points, linestyle=style, capstyle="butt"
        )
    )


def _end(sheet: Axes, wire: Wire, place: tuple[float, float], way: tuple[int, int]) -> None:
    """Draw the end of a wire at a place: a head that points on its way, or a bar across it."""
    (x, y), (right, down), half = place, way, wire.thick / 2 + BETWEEN / 2 - 0.5
    across = np.array([down, right]) * half
    tip, base = np.array([x, y]) - np.array(way), np.array([x, y]) - (TIP + 0.5) * np.array(way)
    if wire.weight >= 0:
        sheet.add_patch(Polygon([base - across, base + across, tip], color=wire.color, linewidth=0))
        return
    corner = base - across
    size = (TIP / 2, 2 * half) if right else (2 * half, TIP / 2)
    sheet.add_patch(Rectangle((corner[0], corner[1]), *size, color=wire.color, linewidth=0))
