"""What a picture is made of: tiles that know their colors, and two ways to lay them out, in a row and in a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image as PILImage

from interp.errors import BadInputError
from interp.plots.figure import DOTS, GAP, INK, LINE, PHONE_WIDTH, Figure, lines, text_width, wrap

HEAT = matplotlib.colormaps["viridis"]
SIGNED = matplotlib.colormaps["RdBu_r"]
Mark = tuple[float, float, float, float]  # row, column, height, width in the values of a tile
CRISP_BELOW = 64  # sides shorter than this are shown as squares, longer ones as smooth pictures
TALLEST = 420
FEW = 4  # tiles abreast on a phone at most
LOW = 150  # height of a tile below which a line of tiles of different shapes is broken
UNEQUAL = (
    1.25  # how much wider one tile may be than another where the book breaks a row without a second file
)
LARGE = 180  # side of a tile in whose picture there is much to see; two of these stand abreast


class Tile(Protocol):
    """Something that fills a rectangle."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the values behind it."""

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Return colors (height, width, 3) in [0, 1]."""


@dataclass(frozen=True)
class Picture:
    """Colors (H, W, 3) in [0, 1]."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def pixels(self, height: int, width: int) -> np.ndarray:
        channels = [
            resample(self.values[..., c], height, width, smooth=PILImage.Resampling.LANCZOS) for c in range(3)
        ]
        clipped: np.ndarray = np.clip(np.stack(channels, axis=-1), 0, 1)
        return clipped


@dataclass(frozen=True)
class Heat:
    """Values (H, W) between `low` and `high`, drawn in viridis, or in red and blue around 0."""

    values: np.ndarray
    low: float
    high: float
    signed: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def pixels(self, height: int, width: int) -> np.ndarray:
        # Values are enlarged, not colors: every color that is seen lies on the map.
        values = resample(self.values, height, width, smooth=PILImage.Resampling.BILINEAR)
        colored: np.ndarray = (SIGNED if self.signed else HEAT)(self.unit(values))[..., :3]
        return colored

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Return values scaled so that `low` is 0 and `high` is 1."""
        return np.clip((values - self.low) / max(self.high - self.low, 1e-30), 0, 1)


@dataclass(frozen=True)
class Overlay:
    """Heat over a photograph: its brightness stays visible below the colors."""

    picture: Picture
    heat: Heat

    @property
    def shape(self) -> tuple[int, int]:
        return self.picture.shape

    def pixels(self, height: int, width: int) -> np.ndarray:
        photograph = self.picture.pixels(height, width)
        values = resample(self.heat.values, height, width, smooth=PILImage.Resampling.BICUBIC, crisp_below=0)
        gray = (photograph @ (0.299, 0.587, 0.114))[..., None]
        if self.heat.signed:
            return self._signed(gray, self.heat.unit(values))
        colored = HEAT(self.heat.unit(values))[..., :3]
        # Where nothing is hot the photograph shows, where much is it shines through.
        opacity = 0.12 + 0.58 * self.heat.unit(values)[..., None]
        mixed: np.ndarray = (1 - opacity) * gray + opacity * colored
        return mixed

    @staticmethod
    def _signed(gray: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Lay red and blue over a pale photograph: where the value is 0, nothing but the photograph is seen."""
        pale = 0.45 + 0.55 * gray  # so that neither color drowns in the dark parts
        strength = np.abs(2 * unit - 1)
        # From clear red and blue on: the white in the middle of the scale would draw a bright seam around each zero.
        colored = SIGNED(0.5 + np.sign(unit - 0.5) * (0.3 + 0.15 * strength))[..., :3]
        opacity = 0.85 * strength[..., None]
        mixed: np.ndarray = (1 - opacity) * pale + opacity * colored
        return mixed


def resample(
    values: np.ndarray,
    height: int,
    width: int,
    *,
    smooth: PILImage.Resampling,
    crisp_below: int = CRISP_BELOW,
) -> np.ndarray:
    """Resize values (H, W): small ones to crisp squares of equal size, large ones smoothly."""
    rows, columns = values.shape
    if (rows, columns) == (height, width):
        return values
    if min(rows, columns) < crisp_below and height >= rows and width >= columns:
        # A whole multiple first, then the mean over areas: squares stay equal where the factor is not whole.
        values = values.repeat(math.ceil(height / rows), axis=0).repeat(math.ceil(width / columns), axis=1)
        smooth = PILImage.Resampling.BOX
    picture = PILImage.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(picture.resize((width, height), smooth))


# --------------------------------------------------------------------------------------------------------------------
# Layout


def draw(figure: Figure, tile: Tile, left: float, top: float, width: float, height: float) -> Axes:
    """Draw a tile dot by dot; the coordinates of the axes are those of its values, 0 in the middle of the first."""
    axes = figure.place(left, top, width, height)
    rows, columns = tile.shape
    colors = tile.pixels(round(height * DOTS), round(width * DOTS))
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    axes.imshow(
        (colors * 255).round().astype(np.uint8), extent=extent, interpolation="nearest", aspect="auto"
    )
    if np.concatenate([colors[0], colors[-1], colors[:, 0], colors[:, -1]]).mean() > 0.9:
        frame(axes)
    return axes


def frame(axes: Axes) -> None:
    """Draw a hairline around a tile, so that white does not dissolve in the page."""
    width, height = axes.get_window_extent().size
    corner, size = (0.5 / width, 0.5 / height), (1 - 1 / width, 1 - 1 / height)
    line = Rectangle(
        corner, *size, fill=False, edgecolor=INK, linewidth=0.36, alpha=0.6, transform=axes.transAxes
    )
    line.set_snap(False)  # on the middle of the outermost dots
    axes.add_patch(line)


def outline(axes: Sequence[Axes], marks: Mapping[int, Mark] | None) -> None:
    """Outline a rectangle (row, column, height, width) in some of the tiles."""
    for number, (top, left, height, width) in (marks or {}).items():
        if not 0 <= number < len(axes):
            raise BadInputError(f"There are {len(axes)} tiles; a mark is for number {number}.")
        # White with a dark rim is seen on any picture; one pixel further in, no frame is cut at the edge of the figure.
        x, y = (_pixel(axes[number], axis) for axis in (0, 1))
        for color, line in (("black", 2.0), ("white", 1.0)):
            corner, size = (left - 0.5 + x, top - 0.5 + y), (width - 2 * x, height - 2 * y)
            box = Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=line, joinstyle="miter")
            axes[number].add_patch(box)


def _pixel(axes: Axes, axis: int) -> float:
    """Return how much of an axis one CSS pixel covers."""
    low, high = axes.get_xlim() if axis == 0 else axes.get_ylim()
    dots: float = axes.get_window_extent().size[axis]
    return abs(high - low) / dots * DOTS


def row(tiles: Sequence[Tile], titles: Sequence[str] | None, *, width: float, height: float | None) -> Figure:
    """Lay tiles side by side at one height, as high as the width allows and at most `height`."""
    texts = check_titles(titles, len(tiles))
    shapes = [tile.shape[1] / tile.shape[0] for tile in tiles]
    room = width - GAP * (len(tiles) - 1)
    side = min(room / sum(shapes), height or TALLEST)
    widths = [_snap(side * shape) for shape in shapes]
    texts = [wrap(text, w) for text, w in zip(texts, widths, strict=True)]
    head = heading(texts)
    figure = Figure(math.ceil(sum(widths) + GAP * (len(tiles) - 1)), math.ceil(head + _snap(side)))
    left = 0.0
    for tile, text, w in zip(tiles, texts, widths, strict=True):
        draw(figure, tile, left, head, w, _snap(side))
        figure.write(left, head - 7, text)
        figure.name(text, left, head, w, _snap(side))
        left += w + GAP
    if any(texts) or max(widths) > UNEQUAL * min(widths):
        figure.again = lambda narrow: _row_on_phone(tiles, texts, side, narrow)
    return figure


def _row_on_phone(tiles: Sequence[Tile], titles: Sequence[str], highest: float, width: float) -> Figure:
    """Lay a row in lines for a phone, all at one height, at which two large squares stand abreast or more small."""
    shapes, lines_of = [tile.shape[1] / tile.shape[0] for tile in tiles], [[0]]
    for n in range(1, len(tiles)):
        longer = [*lines_of[-1], n]
        if _height([shapes[k] for k in longer], width) < min(LOW, 0.8 * highest):
            lines_of.append([n])
        else:
            lines_of[-1] = longer
    side = _snap(min(highest, *(_height([shapes[k] for k in line], width) for line in lines_of)))
    widths = [_snap(side * shape) for shape in shapes]
    texts = [wrap(title.replace("\n", " "), w) for title, w in zip(titles, widths, strict=True)]
    heads = [heading([texts[n] for n in line]) for line in lines_of]
    figure = Figure(width, math.ceil(sum(heads) + len(heads) * (side + GAP) - GAP))
    for number, line in enumerate(lines_of):
        left, top = 0.0, sum(heads[: number + 1]) + number * (side + GAP)
        for n in line:
            draw(figure, tiles[n], left, top, widths[n], side)
            figure.write(left, top - 7, texts[n])
            left += widths[n] + GAP
    return figure


def _height(shapes: Sequence[float], width: float) -> float:
    """Return the height at which tiles of these shapes (width / height) fill a line."""
    return (width - GAP * (len(shapes) - 1)) / sum(shapes)


def grid(
    tiles: Sequence[Tile],
    titles: Sequence[str] | None,
    *,
    columns: int,
    width: float,
    row_titles: Sequence[str] | None = None,
    largest: float = TALLEST,
) -> Figure:
    """Lay tiles in rows of `columns` cells of one size; a tile of another shape keeps it inside its cell."""
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    texts = check_titles(titles, len(tiles))
    sides = check_titles(row_titles, rows, what="row titles")
    margin = math.ceil(max(map(text_width, sides))) + GAP if row_titles else 0
    cell = _snap(min((width - margin - GAP * (columns - 1)) / columns, largest))
    tall = _snap(cell * max(tile.shape[0] / tile.shape[1] for tile in tiles))
    texts = [wrap(text, cell) for text in texts]
    heads = [heading(texts[start : start + columns]) for start in range(0, len(tiles), columns)]
    tops = [sum(heads[: r + 1]) + r * (tall + GAP) for r in range(rows)]
    figure = Figure(math.ceil(margin + columns * (cell + GAP) - GAP), math.ceil(tops[-1] + tall))
    for number, tile in enumerate(tiles):
        left, top = margin + (number % columns) * (cell + GAP), tops[number // columns]
        draw(figure, tile, left, top, cell, _snap(cell * tile.shape[0] / tile.shape[1]))
        figure.write(left, top - 7, texts[number])
        figure.name(texts[number], left, top, cell, tall)
    for text, top in zip(sides, tops, strict=True):
        figure.write(margin - GAP, top + tall / 2, text, ha="right", middle=True)
        figure.name(text, 0, top, figure.width, tall)
    if rows > 1 or any(texts):
        figure.again = lambda narrow: _on_phone(tiles, texts, sides, (columns, cell), narrow)
    return figure


def _on_phone(
    tiles: Sequence[Tile], titles: Sequence[str], sides: Sequence[str], was: tuple[int, float], width: float
) -> Figure:
    """Lay the tiles of a grid in lines for a phone: what stood beside a row stands above its tiles.

    `was` is how many columns the grid has, and how wide one is.
    """
    texts = [title.replace("\n", " ") for title in _repeated(titles, was[0])]
    free = all(titles) and not any(sides)  # no row says more than its tiles
    columns = _columns_on_phone(texts, *was, free=free)
    # Tiles that fill lines together: those of a row; in short rows, of which one may be broken, all.
    belongs = len(tiles) if free and was[0] <= 3 else was[0]
    lines_of = [
        range(start, min(start + columns, first + belongs, len(tiles)))
        for first in range(0, len(tiles), belongs)
        for start in range(first, min(first + belongs, len(tiles)), columns)
    ]
    if (
        not any([*titles, *sides]) and len(tiles) == 2 * was[0]
    ):  # pairs: what stands below another stays there
        half = len(lines_of) // 2
        lines_of = [line for pair in zip(lines_of[:half], lines_of[half:], strict=True) for line in pair]
    cell = _snap(min((width - GAP * (columns - 1)) / columns, was[1]))
    tall = _snap(cell * max(tile.shape[0] / tile.shape[1] for tile in tiles))
    texts = [wrap(text, cell) for text in texts]
    heads = {line.start: wrap(sides[line.start // was[0]], width) for line in lines_of}
    heads |= {line.start: "" for line in lines_of if line.start % was[0]}
    places, top = [], 0.0
    for line in lines_of:
        above, titled = heads[line.start], heading([texts[n] for n in line])
        top += (LINE * lines(above) + (4 if titled else 8)) if above else 0
        top += titled
        places.append(top)
        top += tall + GAP
    figure = Figure(width, math.ceil(top - GAP))
    for line, top in zip(lines_of, places, strict=True):
        figure.write(0, top - 7 - heading([texts[n] for n in line]), heads[line.start])
        for column, n in enumerate(line):
            left = column * (cell + GAP)
            draw(figure, tiles[n], left, top, cell, _snap(cell * tiles[n].shape[0] / tiles[n].shape[1]))
            figure.write(left, top - 7, texts[n])
    return figure


def _repeated(titles: Sequence[str], columns: int) -> list[str]:
    """Return a title for each tile where only those of the first row have one."""
    first, rest = titles[:columns], titles[columns:]
    if not any(first) or any(rest):
        return list(titles)
    return [first[n % columns] for n in range(len(titles))]


def _columns_on_phone(titles: Sequence[str], columns: int, cell: float, *, free: bool) -> int:
    """Return how many tiles stand abreast on a phone: few if they are large, and no word is wider than its tile."""
    longest = max((text_width(word) for title in titles for word in title.split()), default=0)
    fitting = max((n for n in range(1, FEW + 1) if PHONE_WIDTH / n - GAP / 2 >= longest), default=1)
    if columns <= 3 and not (free and cell >= LARGE):
        return min(columns, fitting)
    wanted = 2 if cell >= LARGE else 3 if columns in (3, 5, 6, 9) else FEW
    return min(columns, fitting, wanted)


def heading(texts: Sequence[str]) -> float:
    """Return the height that titles need above their tiles."""
    highest = max((lines(text) for text in texts), default=0)
    return highest * LINE + 8 if highest else 0


def check_titles(titles: Sequence[str] | None, count: int, *, what: str = "titles") -> list[str]:
    """Return `count` titles, empty ones for None."""
    if titles is None:
        return [""] * count
    if isinstance(titles, str) or len(titles) != count:
        given = "one string" if isinstance(titles, str) else str(len(titles))
        raise BadInputError(f"{count} {what} are needed, one for each; got {given}.")
    return [str(title) for title in titles]


def _snap(length: float) -> float:
    """Return a length that is a whole number of dots."""
    return max(1.0, math.floor(length * DOTS + 1e-6)) / DOTS
