"""Pictures on a narrow screen: a row of pictures breaks into lines, anything else scrolls inside its own box.

Labels are drawn into a picture at the size of the text around it, and shrink with it. A row of tiles can be cut where
its ground is transparent from top to bottom; the pieces are the same file, shown through windows, so nothing more is
fetched. What cannot be cut keeps a width at which it can be read.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import shutil
from pathlib import Path

import numpy
from bs4 import BeautifulSoup, Tag
from nbformat import NotebookNode
from PIL import Image

# As interp.plots.figure has them: what asks for a second drawing, and the type of it among the formats of an output.
AGAIN, AGAIN_TYPE = "INTERP_DRAW_AGAIN", "application/vnd.interp.narrow"
PHONE = 358  # the width of that drawing: what a phone of 390 pixels has between its margins
SCREEN = "screen and (max-width: 600px)"  # on which it is shown
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


def keep(notebook: NotebookNode, folder: Path) -> None:
    """Move the second drawings out of a page's outputs, beside the pictures, named as MyST-NB names these."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if AGAIN_TYPE in data and "image/png" in data:
                wide = hashlib.sha256(base64.b64decode(data["image/png"])).hexdigest()
                folder.mkdir(parents=True, exist_ok=True)
                beside(folder / f"{wide}.png").write_bytes(base64.b64decode(data.pop(AGAIN_TYPE)))


def beside(file: Path) -> Path:
    """Return where the second drawing of a picture lies."""
    return file.with_name(f"{file.stem}-narrow.png")


def choose(page: BeautifulSoup, link: Tag, file: Path, images: Path) -> None:
    """Let a narrow screen take the second drawing of a picture, and fetch no other.

    Args:
        page: makes the tags.
        link: holds the picture.
        file: of the wide drawing, beside which the narrow one lies.
        images: the folder of the pictures that are published.
    """
    images.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(beside(file), images / beside(file).name)
    with Image.open(beside(file)) as opened:
        width, height = (str(round(side / DOTS)) for side in opened.size)
    address = link.img["src"].rsplit("/", 1)[0] + f"/{beside(file).name}"
    sizes = {"width": width, "height": height}
    source = page.new_tag("source", attrs={"media": SCREEN, "srcset": address, **sizes})
    link.img.wrap(page.new_tag("picture")).insert(0, source)


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
    shown = {
        name: picture[name]
        for name in ("src", "width", "height", "loading", "decoding", "class")
        if picture.has_attr(name)
    }
    shown["style"] = f"width: {100 * width / wide:.3f}%; margin-left: {-100 * left / wide:.3f}%"
    return page.new_tag(
        "img", attrs=shown | ({"alt": picture["alt"]} if first else {"alt": "", "aria-hidden": "true"})
    )
