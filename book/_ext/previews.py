"""What a shared link shows: the first figure of a page on white, 1200 by 630 pixels: a chart has no ground."""

from __future__ import annotations

from pathlib import Path

import pictures
from bs4 import BeautifulSoup
from PIL import Image
from sphinx.application import Sphinx

SIZE = (1200, 630)  # what previews of links are cut to
MARGIN, QUALITY = 30, 82
FEW = 4  # times that a small picture is enlarged at most


def picture(app: Sphinx, page: BeautifulSoup, pagename: str, site: str) -> str:
    """Write the preview of a page and return its address; empty without a figure, or where the site has no address.

    Args:
        pagename: of the page, as Sphinx has it.
        site: the address of the published pages; a preview cannot follow a relative one.
    """
    first = page.select_one("figure img[src], .wall img[src]")
    source = pictures.file_of(app, str(first["src"])) if first is not None and site else None
    if source is None or source.suffix == ".svg":
        return ""
    name = f"_images/preview-{pagename.removeprefix('book/').replace('/', '-')}.jpg"
    target = Path(app.outdir, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    draw(source, target)
    return f"{site}/{name}"


def draw(source: Path, target: Path) -> None:
    """Lay a picture in the middle of a white sheet; a high one is cut off below."""
    with Image.open(source) as opened:
        shown = opened.convert("RGBA")
    room = SIZE[0] - 2 * MARGIN, SIZE[1] - 2 * MARGIN
    # A sheet of many rows fills the width; its first rows say more than all of them, thumbnail-sized.
    scale = min(room[0] / shown.width, max(room[1] / shown.height, 0.5 * room[0] / shown.width), FEW)
    shown = shown.resize(
        (max(1, round(shown.width * scale)), max(1, round(shown.height * scale))), Image.Resampling.LANCZOS
    )
    shown = shown.crop((0, 0, shown.width, min(shown.height, room[1])))
    sheet = Image.new("RGB", SIZE, "white")
    sheet.paste(shown, ((SIZE[0] - shown.width) // 2, (SIZE[1] - shown.height) // 2), shown)
    sheet.save(target, quality=QUALITY, optimize=True)
