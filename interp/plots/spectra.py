"""The page of one unit: what drives it down, leaves it near zero and drives it up, between the optimized extremes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from interp import image
from interp.errors import BadInputError
from interp.plots import tiles
from interp.plots.figure import GAP, INK, LINE, PAGE_WIDTH, Figure, is_narrow, redrawn, text_width
from interp.spectrum.unit import Band, Unit

# From blue to orange, at least 3 to 1 on white and on the dark page; from minimum to maximum.
BAND_COLORS = ("#2f6fc5", "#5288c4", "#b97b2c", "#d2591e")
PHONE_WIDTH = 360
GRID = 3  # images in a row of a column
SMALL = 12
SCORE = 44  # the width of a score
SMALL_LINE = 15
MARK = 9  # height of the marks below the histogram
POINT = 0.72  # points in a CSS pixel, which matplotlib counts lines in
HEAD = 8  # between the heading of a column and its pictures
BETWEEN = 3  # pixels between the images of a column


@dataclass(frozen=True)
class _Column:
    """One of the six columns: pictures with a heading and a line of text for each."""

    title: str
    subtitle: str
    pictures: Sequence[Tensor]
    notes: Sequence[tuple[str, str]]
    color: str = INK


@redrawn
def spectrum_page(
    unit: Unit,
    find_image: Callable[[int], Tensor],
    negative: Tensor | None = None,
    positive: Tensor | None = None,
    *,
    label: Callable[[int], str] | None = None,
    phone: bool = False,
    width: float | None = None,
) -> Figure:
    """Draw the spectrum of one unit: four bands of images, the optimized pictures at both ends, the histogram.

    The layout follows the dataset examples of Olah et al., 2017, https://distill.pub/2017/feature-visualization.

    Args:
        unit: such as `spectrum["blocks.3.2", 7]`.
        find_image: gives the picture (1, 3, H, W), or (1, 1, H, W) in gray, for an id, or the patch of it; for the
            images of a source `spectrum.finder(source)`.
        negative, positive: optimized pictures, such as `Rendering.pictures`, for the unit turned down and turned up; up
            to nine each.
        label: gives the name to write for an id.
        phone: lay the columns out two abreast for a narrow screen; so is what has the width of one.
        width: size in CSS pixels; 984, or 360 for a phone.

    Raises:
        BadInputError: the unit has seen no image.
    """
    if not unit.images:
        raise BadInputError(f"{unit.layer} {unit.channel} has no finite score: there is nothing to show.")
    columns = _columns(unit, find_image, negative, positive, label)
    width = width or (PHONE_WIDTH if phone else PAGE_WIDTH)
    abreast = 2 if phone or is_narrow(width) else len(columns)
    side = math.floor((width - GAP * (abreast - 1)) / abreast)
    heights = [_height(columns[start : start + abreast], side) for start in range(0, len(columns), abreast)]
    head, chart = 2 * LINE + 12, 160
    figure = Figure(width, head + sum(heights) + chart)
    figure.write(0, LINE - 3, f"{unit.layer}, channel {unit.channel}", size=15)
    figure.write(0, 2 * LINE - 2, _about(unit), size=SMALL)
    for number, column in enumerate(columns):
        top = head + sum(heights[: number // abreast])
        _draw_column(figure, column, (number % abreast) * (side + GAP), top, side)
    _draw_histogram(figure, unit, head + sum(heights), width, chart)
    return figure


# ------------------------------------------------------------------------------------------------------------
# What the columns hold


def _columns(
    unit: Unit,
    find_image: Callable[[int], Tensor],
    negative: Tensor | None,
    positive: Tensor | None,
    label: Callable[[int], str] | None,
) -> list[_Column]:
    found = [
        _band_column(band, color, find_image, label)
        for band, color in zip(unit.columns, BAND_COLORS, strict=True)
    ]
    ends = [
        _Column(
            f"{name} optimized", "by gradient ascent", [picture[None] for picture in pictures[: GRID**2]], []
        )
        if pictures is not None
        else None
        for name, pictures in (("Negative", negative), ("Positive", positive))
    ]
    return [column for column in (ends[0], *found, ends[1]) if column is not None]


def _band_column(
    band: Band, color: str, find_image: Callable[[int], Tensor], label: Callable[[int], str] | None
) -> _Column:
    shown = band.ids[: GRID**2]
    notes = [
        (number(score), label(id_) if label else str(id_))
        for id_, score in zip(shown, band.scores, strict=False)
    ]
    return _Column(
        title=band.name.capitalize(),
        subtitle=_span(band),
        pictures=[find_image(id_) for id_ in shown],
        notes=notes,
        color=color,
    )


def _span(band: Band) -> str:
    if not len(band):
        return "no image"
    low, high = min(band.scores), max(band.scores)
    tied = ", tied" if band.tied else ""
    return (f"all {number(low)}" if low == high else f"{number(low)} to {number(high)}") + tied


def _about(unit: Unit) -> str:
    pools = {
        "mean": "mean over the positions",
        "max": "maximum over the positions",
        "center": "middle position",
    }
    text = f"{unit.images:,} images, {pools.get(unit.pool, unit.pool)}"
    return "; ".join([text, *unit.flags])


def number(value: float) -> str:
    """Return a score as text: three digits, two where it is tiny, with a true minus sign."""
    size = abs(value)
    text = (
        "0"
        if not size
        else f"{value:.1e}"
        if size < 1e-3
        else f"{value:#.3g}"
        if size < 99.95
        else f"{value:.0f}"
    )
    return text.replace("-", "\N{MINUS SIGN}")


# ------------------------------------------------------------------------------------------------------------
# Drawing


def _height(columns: Sequence[_Column], side: int) -> int:
    notes = max(len(column.notes) for column in columns)
    return 2 * LINE + HEAD + side + 6 + notes * SMALL_LINE + 18


def _draw_column(figure: Figure, column: _Column, left: float, top: float, side: int) -> None:
    _rule(figure, left, top, side, column.color)
    figure.write(left, top + LINE, column.title, color=column.color)
    figure.write(left, top + 2 * LINE - 2, column.subtitle, size=SMALL)
    top += 2 * LINE + HEAD
    per_row = 1 if len(column.pictures) == 1 and not column.notes else GRID
    tile = (side - BETWEEN * (per_row - 1)) / per_row
    for place, picture in enumerate(column.pictures):
        row, index = divmod(place, per_row)
        values = image.as_rgb(picture)[0].detach().cpu().float().clamp(0, 1).permute(1, 2, 0).numpy()
        corner = left + index * (tile + BETWEEN), top + row * (tile + BETWEEN)
        tiles.draw(figure, tiles.Picture(_squared(values)), *corner, tile, tile)
    for line, (score, name) in enumerate(column.notes):
        baseline = top + side + 6 + (line + 1) * SMALL_LINE
        figure.write(left + SCORE, baseline, score, size=SMALL, ha="right")
        figure.write(left + SCORE + 7, baseline, _fitted(name, side - SCORE - 7), size=SMALL)


def _squared(values: np.ndarray) -> np.ndarray:
    """Cut the middle square of a picture (H, W, 3)."""
    side = min(values.shape[:2])
    top, left = (values.shape[0] - side) // 2, (values.shape[1] - side) // 2
    return values[top : top + side, left : left + side]


def _fitted(text: str, width: float) -> str:
    """Return as much of a text as fits, with an ellipsis."""
    if text_width(text, size=SMALL) <= width:
        return text
    while text and text_width(text + "…", size=SMALL) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _draw_histogram(figure: Figure, unit: Unit, top: float, width: float, height: float) -> None:
    """Draw how often each score occurs, and where the images of the columns lie."""
    edges, shares = unit.histogram(80)
    axes = figure.place(0, top + 8, width, height - 62)
    if unit.dead:
        figure.write(0, top + height / 2, f"every image has the score {number(edges[0])}")
        return
    axes.stairs(shares, edges, fill=True, color=INK, alpha=0.35)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, max(shares) * 1.05))
    axes.axvline(unit.level, color=INK, linewidth=0.9)
    axes.axhline(0, color=INK, linewidth=0.8)
    scale = (edges[-1] - edges[0]) / width
    for band, color in zip(unit.columns, BAND_COLORS, strict=True):
        if len(band):
            _mark(figure, band, color, edges[0], scale, top + height - 52)
    baseline = top + height - 26
    figure.write(0, baseline, number(edges[0]), size=SMALL)
    figure.write(width, baseline, number(edges[-1]), size=SMALL, ha="right")
    middle = (unit.level - edges[0]) / scale
    if 40 < middle < width - 40:
        figure.write(middle, baseline, number(unit.level), size=SMALL, ha="center")
    figure.write(0, top + height - 4, "score; the height is the share of the images", size=SMALL)


def _rule(figure: Figure, left: float, top: float, width: float, color: str) -> None:
    """Draw the line above a column."""
    axes = figure.place(left, top, width, 2)
    axes.axhspan(0, 1, color=color)
    axes.set(xlim=(0, 1), ylim=(0, 1))


def _mark(figure: Figure, band: Band, color: str, start: float, scale: float, top: float) -> None:
    """Draw a line below the histogram for the score of each image of a band."""
    axes = figure.place(0, top, figure.width, MARK)
    places = [(score - start) / scale for score in band.scores]
    inside = [min(max(place, 1.0), figure.width - 1.0) for place in places]
    axes.vlines(inside, 0, 1, color=color, linewidth=2 * POINT)
    axes.set(xlim=(0, figure.width), ylim=(0, 1))
