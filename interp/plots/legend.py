"""Names in their colors, in lines below a chart that has no room for them beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interp.plots.figure import LINE, Figure, lines, text_width, wrap

SQUARE = 10  # side of the color before a name
APART = 16  # between one name and the next


@dataclass(frozen=True)
class Legend:
    """Names with what their color is, laid out from left to right and from line to line.

    Args:
        names: what is written.
        colors: one for each name.
        width: the room in CSS pixels.
        squares: whether a square in the color stands before each name; else the name itself is in the color.
    """

    names: Sequence[str]
    colors: Sequence[Any]
    width: float
    squares: bool = True

    @property
    def indent(self) -> float:
        return SQUARE + 6 if self.squares else 0

    @property
    def texts(self) -> list[str]:
        return [wrap(name, self.width - self.indent) for name in self.names]

    def places(self) -> list[tuple[float, float]]:
        """Return how far from the left and how far from the top each name begins."""
        found, left, top, tall = [], 0.0, 0.0, 0.0
        for text in self.texts:
            wide = self.indent + text_width(text)
            if left and left + wide > self.width:
                left, top, tall = 0.0, top + tall, 0.0
            found.append((left, top))
            left, tall = left + wide + APART, max(tall, LINE * lines(text))
        return found

    @property
    def height(self) -> float:
        ends = [top + LINE * lines(text) for (_, top), text in zip(self.places(), self.texts, strict=True)]
        return max(ends) + 8

    def draw(self, figure: Figure, left: float, top: float) -> None:
        """Write the names on a figure, from a place in CSS pixels on."""
        for (x, y), text, color in zip(self.places(), self.texts, self.colors, strict=True):
            if self.squares:
                figure.place(left + x, top + y + 8, SQUARE, SQUARE).axhspan(0, 1, color=color)
            last = top + y + 8 + SQUARE / 2 + 0.34 * 13 + LINE * (lines(text) - 1)
            figure.write(left + x + self.indent, last, text, **({} if self.squares else {"color": color}))
