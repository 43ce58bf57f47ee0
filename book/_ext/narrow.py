"""Pictures on a narrow screen: a row of pictures breaks into lines, anything else scrolls inside its own box.

Labels are drawn into a picture at the size of the text around it, and shrink with it. A row of tiles can be cut where
its ground is transparent from top to bottom; the pieces are the same file, shown through windows, so nothing more is
fetched. What cannot be cut keeps a width at which it can be read.
"""

from __future__ import annotations

import itertools

import numpy
from bs4 import BeautifulSoup, Tag
from PIL import Image

READABLE = 0.78  # the smallest share of its size at which a drawing is shown: labels of 13 pixels become 10
SIDE_BY_SIDE = 0.72  # the same for the pieces of a row: two of the common widths then stand side by side
WORTHWHILE = 125  # and no piece is made smaller than this, in pixels of the page
PAGE = 984  # the width of what leaves the text column; in pixels of the page
DOTS = 2  # pixels of the file in one of the page
GAP = 10  # between tiles, as interp.plots lays them; in pixels of the page, like the following
NARROWEST, TALL = 60, 40
UNEQUAL = 1.25  # how much wider one tile may be than another

Span = tuple[int, int]


def lay_out(page: BeautifulSoup, link: Tag, opened: Image.Image) -> None:
    """Prepare one picture of a page: its link gets pieces, or a box in which it scrolls.

    Args:
        page: makes the tags.
        link: holds the picture, whose `width` says how wide it is made.
        opened: the file of the picture, at two pixels a pixel of the page.
    """
    parts = pieces(opened)
    if parts:
        link["class"] = [*link["class"], "wraps"]
        link.append(_windows(page, link.img, opened, parts))
    else:
        scroll(page, link)


def scroll(page: BeautifulSoup, link: Tag) -> None:
    """Put one picture into a box in which it scrolls rather than becoming unreadable."""
    made = min(float(link.img["width"]), PAGE)  # larger ones are shown at the width of the page anyway
    link.img["style"] = f"{link.img.get('style', '')} --least: {READABLE * made:.0f}px;".strip()
    view = link.wrap(page.new_tag("div", attrs={"class": "pan-view"}))
    view.wrap(page.new_tag("div", attrs={"class": "pan"}))


def pieces(opened: Image.Image) -> list[Span]:
    """Return the columns [left, right) of the tiles in a row; none for a picture that is not one row of equal tiles."""
    if opened.mode not in ("RGBA", "LA"):
        return []
    drawn = numpy.asarray(opened.getchannel("A")) > 0
    tiles = spans(numpy.asarray(drawn.any(axis=0)))
    widths = [right - left for left, right in tiles]
    gaps = [right[0] - left[1] for left, right in itertools.pairwise(tiles)]
    rows = [
        bottom - top for top, bottom in spans(numpy.asarray(drawn.any(axis=1))) if bottom - top >= TALL * DOTS
    ]
    equal = len(tiles) > 1 and min(widths) >= NARROWEST * DOTS and max(widths) <= UNEQUAL * min(widths)
    return tiles if equal and len(rows) == 1 and all(abs(gap - GAP * DOTS) <= DOTS for gap in gaps) else []


def spans(marked: numpy.ndarray) -> list[Span]:
    """Return the stretches [start, end) in which a list of booleans is true.

    >>> spans(numpy.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    borders = numpy.flatnonzero(numpy.diff(numpy.concatenate([[0], marked.astype(numpy.int8), [0]])))
    return [(int(start), int(end)) for start, end in borders.reshape(-1, 2)]


def _windows(page: BeautifulSoup, picture: Tag, opened: Image.Image, parts: list[Span]) -> Tag:
    tile = max(right - left for left, right in parts) / DOTS
    least = min(tile, max(SIDE_BY_SIDE * tile, WORTHWHILE))
    windows = page.new_tag("span", attrs={"class": "pieces", "style": f"--least: {least:.0f}px"})
    for number, (left, right) in enumerate(parts):
        window = page.new_tag("span", attrs={"style": f"aspect-ratio: {right - left} / {opened.height}"})
        window.append(_shifted(page, picture, left, right, opened.width, first=number == 0))
        windows.append(window)
    return windows


def _shifted(page: BeautifulSoup, picture: Tag, left: int, right: int, width: int, *, first: bool) -> Tag:
    """Return the picture so large and so far to the left that its window shows one piece; the first one has words."""
    wide = right - left
    shown = {name: picture[name] for name in ("src", "width", "height", "loading", "decoding")}
    shown["style"] = f"width: {100 * width / wide:.3f}%; margin-left: {-100 * left / wide:.3f}%"
    return page.new_tag(
        "img", attrs=shown | ({"alt": picture["alt"]} if first else {"alt": "", "aria-hidden": "true"})
    )
