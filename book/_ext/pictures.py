"""Pictures on the pages: lazy, at the size they were made for, readable on a phone, and never without words."""

from __future__ import annotations

from pathlib import Path

import narrow
from bs4 import BeautifulSoup, Tag
from PIL import Image
from sphinx.application import Sphinx

SHARP = 150  # dots per inch from which a PNG counts as made at two pixels a point


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
    with Image.open(file) as opened:
        if _scale(opened) == 2:
            narrow.lay_out(page, link, opened)
        elif float(link.img["width"]) > narrow.PAGE:
            narrow.scroll(page, link)


def _set_size(app: Sphinx, picture: Tag) -> None:
    """Reserve the place of a picture, so that nothing moves when it arrives; a 2x PNG takes half of its pixels."""
    file = file_of(app, str(picture.get("src", "")))
    if file is None or picture.has_attr("width") or file.suffix == ".svg":
        return
    with Image.open(file) as opened:
        width, height = opened.size
        scale = _scale(opened)
    picture["width"], picture["height"] = str(round(width / scale)), str(round(height / scale))


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
