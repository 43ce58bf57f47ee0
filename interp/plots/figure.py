"""The sheet that every picture is drawn on: sizes in CSS pixels, two dots a pixel, no ground, ink for light and dark.

All pictures of a page share one text size because every figure says how wide it is shown: a picture that is narrower
than the column is not enlarged to fill it.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ParamSpec, TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.textpath import text_to_path

from interp.errors import BadInputError
from interp.runs import replacing

TEXT_WIDTH = 704  # the text column of a page
PAGE_WIDTH = 984  # what a wide figure may take
DOTS = 2  # device pixels in a CSS pixel
GAP = 10
TEXT_SIZE = 13
LINE = 17  # height of one line of text
PHONE_WIDTH = 358  # what a phone of 390 pixels has between its margins
NARROW = 480  # the width below which names leave the sides of a chart, and panels stand under one another

# Set by the book when it runs a page: the width at which figures that are shown are drawn once more.
AGAIN = "INTERP_DRAW_AGAIN"
AGAIN_TYPE = (
    "application/vnd.interp.narrow"  # of that second picture among the formats of an output; base64 of a PNG
)

# The gray in the middle between white and the dark theme's #121212: 4.3 to 1 on both.
INK = "#7a7a7a"
# Told apart by readers with any color vision, at least 3 to 1 on both grounds.
COLORS = ("#2f83c5", "#d2691e", "#23946f", "#b05fa5", "#8f8420", "#c9515b")

_FONT_PACKAGE = "font_source_sans_pro"
_P = ParamSpec("_P")


class Labels(TypedDict, total=False):
    """What is counted along the axes of a chart, with the unit."""

    xlabel: str
    ylabel: str


class Figure(MatplotlibFigure):
    """A picture as a value: a matplotlib figure without pyplot, shown by notebooks at two dots a pixel.

    Args:
        width, height: size on the page in CSS pixels.

    Attributes:
        again: draws the same at another width; None where nothing is known about that.
    """

    def __init__(self, width: float, height: float) -> None:
        if not (1 <= width <= 4000 and 1 <= height <= 20000):
            raise BadInputError(
                f"A figure of {width:g} x {height:g} pixels is not usable; draw fewer or more things."
            )
        self.width, self.height = round(width), round(height)
        # The small excess keeps the size in dots from being rounded down.
        inches = (self.width / 100 + 1e-7, self.height / 100 + 1e-7)
        super().__init__(figsize=inches, dpi=100 * DOTS, facecolor="none", edgecolor="none")
        FigureCanvasAgg(self)
        self.tiles: list[tuple[str, float, float, float, float]] = []
        self.again: Callable[[float], Figure] | None = None

    def place(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return new axes without frame or ticks at a place in CSS pixels, counted from the upper left corner."""
        bottom = self.height - top - height
        rectangle = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        axes = self.add_axes(rectangle, facecolor="none")
        axes.set_axis_off()
        return axes

    def write(
        self,
        left: float,
        top: float,
        text: str,
        *,
        size: float = TEXT_SIZE,
        middle: bool = False,
        **style: Any,
    ) -> None:
        """Write text at a place in CSS pixels: `top` is the baseline of its last line, or its middle.

        `style` goes to `matplotlib.figure.Figure.text`.
        """
        parts = text.split("\n")
        last = top + 0.34 * size + LINE * (len(parts) - 1) / 2 if middle else top
        for number, part in enumerate(reversed(parts)):
            y = 1 - (last - LINE * number) / self.height
            settings = {"color": INK, "va": "baseline", "ha": "left", **style}
            self.text(left / self.width, y, part, fontproperties=font(size), parse_math=False, **settings)

    def name(self, title: str, left: float, top: float, width: float, height: float) -> None:
        """Note what a part of the picture, in CSS pixels, shows: the book links the channels that are named there."""
        if title:
            across, down = 100 / self.width, 100 / self.height
            self.tiles.append((title, left * across, top * down, width * across, height * down))

    def png(self) -> bytes:
        """Return the picture as the bytes of a PNG file with a transparent ground.

        Its text "Tiles" says what the tiles show: a list of title, left, top, width, height, in percent of the picture.
        """
        buffer = io.BytesIO()
        named = [[title, *(round(number, 3) for number in place)] for title, *place in self.tiles]
        _agg(self).print_png(
            buffer, metadata={"Software": None, **({"Tiles": json.dumps(named)} if named else {})}
        )
        return buffer.getvalue()

    def pixels(self) -> np.ndarray:
        """Return the picture as bytes (2 height, 2 width, 4), RGBA."""
        canvas = _agg(self)
        canvas.draw()
        return np.array(canvas.buffer_rgba())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a PNG file; it appears whole or not at all."""
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise BadInputError(
                f"Figures are saved as .png; {path.name!r} asks for another format, which savefig of matplotlib writes."
            )
        with replacing(path) as temporary:
            temporary.write_bytes(self.png())
        return path

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        # The width alone: with both, a narrow screen would squeeze the picture.
        return self.png(), {"width": self.width}

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Take precedence over the rendering that notebooks have for every matplotlib figure."""
        png, metadata = self._repr_png_()
        shown: dict[str, Any] = {"image/png": png, "text/plain": repr(self)}
        narrow = self._narrow(float(os.environ.get(AGAIN) or 0))
        if narrow is not None:
            shown[AGAIN_TYPE] = base64.b64encode(narrow.png()).decode()
        return shown, {"image/png": metadata}

    def _narrow(self, width: float) -> Figure | None:
        """Draw the figure again; None where that is not asked for, not known how, or its names need more room."""
        if self.again is None or not 0 < width < self.width:
            return None
        try:
            return self.again(width)
        except BadInputError:
            return None

    def __repr__(self) -> str:
        return f"<Figure {self.width} x {self.height}>"


def redrawn(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Let the figures of a function with the option `width` know how they are drawn at another width."""

    @functools.wraps(draw)
    def noting(*args: _P.args, **options: _P.kwargs) -> Figure:
        figure = draw(*args, **options)
        function: Callable[..., Figure] = draw
        figure.again = lambda width: function(*args, **{**options, "width": width})
        return figure

    return noting


def is_narrow(width: float) -> bool:
    """Tell whether a figure is so narrow that what stands beside a chart has to stand below or above it."""
    return width < NARROW


def _agg(figure: Figure) -> Any:
    """Return the canvas; matplotlib has not typed its methods."""
    return figure.canvas


def font(size: float = TEXT_SIZE, *, bold: bool = False) -> FontProperties:
    """Return the font of all labels; `size` in CSS pixels."""
    return FontProperties(family=_FAMILIES, size=size * 0.72, weight="semibold" if bold else "normal")


def _register_font() -> list[str]:
    """Make Source Sans known to matplotlib; DejaVu, which matplotlib carries, fills in missing signs."""
    package = find_spec(_FONT_PACKAGE)
    if package is None or package.origin is None:
        return ["DejaVu Sans"]
    folder = Path(package.origin).parent / "files"
    for style in ("Regular", "Semibold", "It"):
        fontManager.addfont(folder / f"SourceSansPro-{style}.ttf")
    return ["Source Sans Pro", "DejaVu Sans"]


_FAMILIES = _register_font()


def text_width(text: str, *, size: float = TEXT_SIZE) -> float:
    """Return the width of the longest line of a text in CSS pixels."""
    widths = (
        text_to_path.get_text_width_height_descent(line, font(size), False)[0] for line in text.split("\n")
    )
    return float(max(widths)) / 0.72


def wrap(text: str, width: float, *, size: float = TEXT_SIZE) -> str:
    """Break text into lines of at most `width` CSS pixels where a word allows it; breaks that are there stay."""
    return "\n".join(_wrap_line(line, width, size) for line in text.split("\n"))


def _wrap_line(line: str, width: float, size: float) -> str:
    out = ""
    for word in line.split():
        longer = f"{out} {word}" if out else word
        last = longer.rsplit("\n", 1)[-1]
        out = longer if not out or text_width(last, size=size) <= width else f"{out}\n{word}"
    return out


def lines(text: str) -> int:
    """Return the number of lines of a text; none for the empty text."""
    return text.count("\n") + 1 if text else 0
