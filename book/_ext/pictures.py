"""Pictures on the pages: lazy, at the size they were made for, readable on a phone, and never without words."""

from __future__ import annotations

from pathlib import Path

import narrow
import numpy
from bs4 import BeautifulSoup, Tag
from PIL import Image
from sphinx.application import Sphinx

SHARP = 150  # dots per inch from which a PNG counts as made at two pixels a point
OPEN = 0.5  # share of a picture that is drawn on; with less, it is a chart
WHITE, GLARE = 230, 0.4  # of 255; share of what is drawn that is white, from which it glares on a dark page


def settle(app: Sphinx, page: BeautifulSoup) -> None:
    """Give every picture of the page its size and a link to its file, and load it once it comes near the screen.

    The first one too: at two pixels a point a grid of renderings takes megabytes, and the text should not wait for it.
    """
    for picture in page.find_all("img"):
        picture["loading"] = "lazy"
        picture["decoding"] = "async"
        _set_size(app, picture)
    for picture in page.select("figure img, .output img"):
        if picture.find_parent(["a", "button"]) is None and picture.find_parent(class_="live") is None:
            picture.wrap(page.new_tag("a", attrs={"class": ["image-reference"], "href": picture["src"]}))
    for link in page.select("a.image-reference:has(> img)"):
        _lay_out_for_phones(app, page, link)


def _lay_out_for_phones(app: Sphinx, page: BeautifulSoup, link: Tag) -> None:
    """What is drawn at two pixels a point has labels that could become too small, a large sheet has small tiles."""
    file = file_of(app, str(link.img.get("src", "")))
    if file is None or file.suffix == ".svg" or not link.img.has_attr("width"):
        return
    if narrow.beside(file).exists():
        narrow.scroll(page, link)  # between a phone and a desk
        narrow.choose(page, link, file, Path(app.outdir, "_images"))
        return
    with Image.open(file) as opened:
        if _scale(opened) == 2:
            narrow.lay_out(page, link, opened)
        elif float(link.img["width"]) > narrow.PAGE:
            narrow.scroll(page, link)


def _set_size(app: Sphinx, picture: Tag) -> None:
    """Reserve the place of a picture, so that nothing moves when it arrives; a 2x PNG takes half of its pixels.

    Its class says how its colors are mended.
    """
    file = file_of(app, str(picture.get("src", "")))
    if file is None or file.suffix == ".svg":
        return
    with Image.open(file) as opened:
        width, height = opened.size
        scale = _scale(opened)
        kind = tone(opened)
    if kind:
        picture["class"] = [*(picture.get("class") or []), kind]
    if not picture.has_attr("width"):
        picture["width"], picture["height"] = str(round(width / scale)), str(round(height / scale))


def tone(opened: Image.Image) -> str:
    """Return how the colors of a picture have to be mended, as a class for the style sheet; empty for most pictures.

    "chart": thin lines and letters in a gray that is drawn for light and dark pages alike, and is a little pale on
    both. "glaring": much of it is white.
    """
    small = opened.reduce(max(1, opened.width // 700)).convert("RGBA")
    colors = numpy.asarray(small)
    drawn = colors[..., 3] > 0
    if drawn.mean() < OPEN and "Tiles" not in opened.info:  # a drawing with pictures in it is none
        return "chart"
    white = (colors[..., :3].min(axis=-1) >= WHITE) & drawn
    return "glaring" if white.sum() > GLARE * drawn.sum() else ""


def _scale(opened: Image.Image) -> int:
    return 2 if min(opened.info.get("dpi", (72, 72))) >= SHARP else 1


def file_of(app: Sphinx, source: str) -> Path | None:
    """Find the file of a picture; those of cells and chapters reach _images only after the pages are written."""
    name = source.rsplit("/", 1)[-1]
    origins = {target: origin for origin, target in app.builder.images.items()}
    for file in (Path(app.srcdir, origins.get(name, "?")), Path(app.outdir, "_images", name)):
        if file.is_file():
            return file
    return None
