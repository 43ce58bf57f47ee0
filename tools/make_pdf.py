"""Print the whole book as one tagged PDF with an outline: _build/looking-inside-a-vision-model.pdf.

    python tools/make_pdf.py

Needs the package playwright and a chromium. The text comes from Sphinx's builder for a single page, out of the same
cache as the site, so nothing runs again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FOOTER = (
    '<div style="width:100%;font-size:8px;color:#777;text-align:center">'
    '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
)
MARGINS = {"top": "18mm", "bottom": "18mm", "left": "17mm", "right": "17mm"}
WIDEST = 1408  # pixels: 200 to the inch over the width of the text
DRAWING = 0.4  # bytes a pixel up to which a PNG holds lines and areas: it stays as it is, small and sharp
QUALITY = 86  # of JPEG, the only form of a photograph that a PDF takes over as it is


def main(source: str = str(ROOT)) -> int:
    """Build the single page and print it; return 1 where that cannot be done."""
    root = Path(source).resolve()
    command: list[str | Path] = [
        Path(sys.executable).with_name("jupyter-book"),
        "build",
        root,
        "--builder",
        "singlehtml",
        "-q",
    ]
    if subprocess.run(command, check=False).returncode:
        print("The book could not be put on one page; the reason stands above.", file=sys.stderr)
        return 1
    folder = root / "_build" / "singlehtml"
    # The builder writes addresses as seen from the folder of the site, whatever the folder of the first page is.
    page = folder / "whole-book.html"
    written = max(folder.glob("*/*.html"), key=lambda file: file.stat().st_size).read_text(encoding="utf-8")
    book = BeautifulSoup(written.replace('="../_images/', '="_images/'), "html.parser")
    arrange(book)
    lighten(book, folder)
    page.write_text(str(book), encoding="utf-8")
    target = root / "_build" / "looking-inside-a-vision-model.pdf"
    _print(page, target)
    print(f"The book on paper: file://{target}")
    return 0


def arrange(book: BeautifulSoup) -> None:
    """Turn what Sphinx nests below the last section of the front page into parts and chapters of their own."""
    article = book.article
    captions = [caption.get_text(strip=True) for caption in book.select(".parts > p.caption")]
    parts = [
        part for part in article.select(".toctree-wrapper") if not part.find_parent(class_="toctree-wrapper")
    ]
    for caption, part in zip(captions, parts, strict=True):
        heading = book.new_tag("h1", attrs={"class": "part"})
        heading.string = caption
        article.append(heading)
        article.append(part.extract())
        for chapter in part.find_all("section", recursive=False):
            chapter["class"] = ["chapter"]
            _promote(chapter)


def _promote(chapter: Tag) -> None:
    """Make the heading of a chapter the second level, below that of its part."""
    for heading in chapter.find_all(["h3", "h4", "h5", "h6"]):
        heading.name = f"h{int(heading.name[1]) - 1}"


def lighten(book: BeautifulSoup, folder: Path) -> None:
    """Let the page show photographs as JPEG, no finer than paper shows them; the folder gets these files."""
    files = {str(picture["src"]) for picture in book("img")}
    lighter = {name: _as_jpeg(folder, name) for name in files if not name.endswith(".svg")}
    for picture in book("img"):
        picture["src"] = lighter.get(str(picture["src"])) or picture["src"]
    for link in book.select("a.image-reference"):
        link.unwrap()  # on paper there is nothing to enlarge


def _as_jpeg(folder: Path, name: str) -> str | None:
    """Write a photographic picture as JPEG on white and return its address; None for one that stays."""
    file = folder / name
    with Image.open(file) as picture:
        drawing = file.suffix == ".png" and file.stat().st_size < DRAWING * picture.width * picture.height
        if drawing:
            return None
        shown = picture.convert("RGBA")
        paper = Image.new("RGBA", shown.size, "white")
        paper.alpha_composite(shown)
        paper.thumbnail((WIDEST, 4 * WIDEST), Image.Resampling.LANCZOS)
        target = file.with_suffix(".jpg")
        paper.convert("RGB").save(target, quality=QUALITY, subsampling=0)
    return str(target.relative_to(folder))


def _print(page: Path, target: Path) -> None:
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        print_page(browser, page, target)
        browser.close()


def print_page(browser: Any, page: Path, target: Path) -> None:
    """Print a page as a tagged PDF with an outline; it appears whole or not at all."""
    tab = browser.new_page(color_scheme="light", java_script_enabled=False)
    tab.goto(page.as_uri(), wait_until="load", timeout=120_000)
    temporary = target.with_suffix(".part")
    edges = {"display_header_footer": True, "header_template": "<span></span>", "footer_template": FOOTER}
    tab.pdf(
        path=temporary, format="A4", margin=MARGINS, print_background=True, tagged=True, outline=True, **edges
    )
    tab.close()
    temporary.replace(target)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
