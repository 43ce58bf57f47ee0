"""The contents on the front page as cards: each chapter with a small cut of its first figure.

The cut is written with the chapter, the front page only names it; what is not there after the build loses its place.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

import narrow
import numpy
import pictures
from bs4 import BeautifulSoup, Tag
from PIL import Image, ImageOps
from sphinx.application import Sphinx

SIZE = (400, 250)  # at two pixels a point; a card is about 200 wide
BETWEEN = 6  # pixels between two tiles on a card
LEAST = 80  # pixels; what is smaller is a label
QUALITY = 72
ROOM = 0.9  # of a card, for a drawing that is shown whole

Box = tuple[int, int, int, int]  # left, top, right, bottom


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def name_of(pagename: str) -> str:
    """Return the file of a chapter's cut, as seen from the site.

    >>> name_of("book/segment-1/saliency")
    '_images/card-segment-1-saliency.webp'
    """
    return f"_images/card-{pagename.removeprefix('book/').replace('/', '-')}.webp"


def write(app: Sphinx, page: BeautifulSoup, pagename: str) -> None:
    """Write the cut of one page; nothing without a figure."""
    first = page.select_one("figure img[src], .wall img[src]")
    source = pictures.file_of(app, str(first["src"])) if first is not None else None
    if source is None or source.suffix == ".svg":
        return
    target = Path(app.outdir, name_of(pagename))
    target.parent.mkdir(parents=True, exist_ok=True)
    card(picture(source)).save(target, quality=QUALITY, method=6)


def card(shown: Image.Image) -> Image.Image:
    """Return the cut: the first and the last of a row of tiles, a picture to its edges, or a drawing whole."""
    row = tiles(shown)
    boxes = row if len(row) < 2 else [row[0], row[-1]]
    if not boxes:
        return _whole(shown)
    if len(boxes) == 1 or boxes[0][2] - boxes[0][0] > 1.3 * (boxes[0][3] - boxes[0][1]):
        return ImageOps.fit(shown.crop(boxes[0]), SIZE, Image.Resampling.LANCZOS)
    sheet, wide = Image.new("RGBA", SIZE), (SIZE[0] - BETWEEN) // 2
    for number, box in enumerate(boxes):
        part = ImageOps.fit(shown.crop(box), (wide, SIZE[1]), Image.Resampling.LANCZOS)
        sheet.paste(part, (number * (wide + BETWEEN), 0))
    return sheet


def tiles(shown: Image.Image) -> list[Box]:
    """Return the boxes of the first row of tiles: rectangles without a transparent place, larger than a label."""
    drawn = numpy.asarray(shown.getchannel("A")) > 0
    for top, bottom in narrow.spans(numpy.asarray(drawn.any(axis=1))):
        if bottom - top < LEAST:
            continue
        columns = narrow.spans(numpy.asarray(drawn[top:bottom].all(axis=0)))
        return [(left, top, right, bottom) for left, right in columns if right - left >= LEAST]
    return []


def picture(source: Path) -> Image.Image:
    """Return the picture of a card: of a drawing without tiles the one made for a phone, whose lines stay visible."""
    with Image.open(source) as opened:
        shown = opened.convert("RGBA")
    if tiles(shown) or not narrow.beside(source).exists():
        return shown
    with Image.open(narrow.beside(source)) as opened:
        return opened.convert("RGBA")


def _whole(shown: Image.Image) -> Image.Image:
    room = (round(SIZE[0] * ROOM), round(SIZE[1] * ROOM))
    part = ImageOps.contain(shown, room, Image.Resampling.LANCZOS)
    sheet = Image.new("RGBA", SIZE)
    sheet.paste(part, ((SIZE[0] - part.width) // 2, (SIZE[1] - part.height) // 2))
    return sheet


def lay_out(page: BeautifulSoup, docname: str) -> None:
    """Make the table of contents of the front page cards, one group a part; the appendix stays a list."""
    parts = page.select("div.toctree-wrapper:has(p.caption)")
    if not parts:
        return
    parts[0].insert_before(page.new_tag("div", attrs={"class": "segments"}))
    page.select_one("div.segments").extend(parts)
    for part in parts:
        if part.select_one(".caption").get_text(strip=True).startswith("Appendix"):
            part["class"] = [*part["class"], "plain"]
            continue
        for link in part.select("li > a.reference.internal"):
            _picture(page, link, docname)


def _picture(page: BeautifulSoup, link: Tag, docname: str) -> None:
    """Put the cut of a chapter before its title; beside the title it says nothing to those who do not see it."""
    folder = posixpath.dirname(docname)
    chapter = posixpath.normpath(posixpath.join(folder, str(link["href"]).partition("#")[0]))
    if not chapter.endswith(".html"):
        return
    source = posixpath.relpath(name_of(chapter.removesuffix(".html")), folder)
    shown = {
        "src": source,
        "alt": "",
        "aria-hidden": "true",
        "width": str(SIZE[0] // 2),
        "height": str(SIZE[1] // 2),
    }
    link.insert(0, page.new_tag("img", attrs={**shown, "loading": "lazy", "decoding": "async"}))


def mend(app: Sphinx, error: Exception | None) -> None:
    """Take the places of cuts that were not made off the front page: of a chapter without a figure, or not built."""
    front = Path(app.outdir, f"{app.config.root_doc}.html")
    if error is not None or app.builder.name != "html" or not front.exists():
        return
    page = BeautifulSoup(front.read_text(encoding="utf-8"), "html.parser")
    missing = [
        image for image in page.select(".segments img") if not (front.parent / str(image["src"])).exists()
    ]
    for image in missing:
        image.decompose()
    if missing:
        front.write_text(str(page), encoding="utf-8")
