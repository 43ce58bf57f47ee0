"""Look through a built site for what a reader must never meet.

    python tools/check_site.py _build/html

Reported are requests to other hosts, formulas that could not be set, pictures without words, links and files inside
the site that do not exist, and notebooks that are too large to open at once. Links to other sites are not followed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

# Attributes that make a browser fetch something by itself.
FETCHING = ["src", "srcset", "data", "poster", "background"]
# Links in the head that name a place without fetching it.
NAMING = {"canonical", "license", "author", "next", "prev", "index", "search", "help", "top", "copyright"}
OUTSIDE = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?\s*((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE)
# A script may name an address (that of a namespace, a license); to fetch it, it has to stand in one of these.
IN_SCRIPT = re.compile(
    r"""(?:fetch|import|importScripts|open|Worker|\.src\s*=|\.href\s*=)\s*\(?\s*(?:["'][A-Z]+["']\s*,\s*)?"""
    r"""["'`]((?:https?:)?//[^"'`]+)""",
)
PICTURE_NAME = re.compile(r"\S+\.(png|svg|jpe?g|webp|gif)$", re.IGNORECASE)
NOTEBOOK = 4_000_000  # bytes that a published notebook may have
BAD_FORMULA = ("katex-error", "#cc0000")


def main(folder: str) -> int:
    """Print what is wrong; return 1 if something is."""
    problems = [problem for problem in check(Path(folder))]
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def check(site: Path) -> Iterator[str]:
    """Yield a line for every defect of a site."""
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site)
        if path.suffix == ".html":
            yield from (f"{name}: {problem}" for problem in page_problems(path, site))
        elif path.suffix in (".css", ".js"):
            pattern = IN_STYLE if path.suffix == ".css" else IN_SCRIPT
            text = path.read_text(encoding="utf-8", errors="replace")
            yield from (f"{name}: asks another host: {address}" for address in pattern.findall(text))
        elif path.suffix == ".ipynb" and (size := path.stat().st_size) > NOTEBOOK:
            yield f"{name}: a notebook of {size / 1e6:.1f} MB; at most {NOTEBOOK / 1e6:g} are asked for"


def page_problems(path: Path, site: Path) -> Iterator[str]:
    """Yield the defects of one page."""
    text = path.read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    yield from (f"asks another host: {address}" for address in outside_requests(page))
    yield from (f"a formula could not be set ({mark})" for mark in BAD_FORMULA if mark in text)
    yield from (
        f"a picture without words: {picture.get('src')}" for picture in page("img") if not has_words(picture)
    )
    yield from (f"leads nowhere: {address}" for address in broken_links(page, path, site))


def outside_requests(page: BeautifulSoup) -> Iterator[str]:
    """Yield the addresses on other hosts that a browser would ask for when it shows the page."""
    for tag in page.find_all(True):
        for name in FETCHING:
            yield from (part.strip() for part in str(tag.get(name, "")).split(",") if OUTSIDE.match(part))
        yield from IN_STYLE.findall(str(tag.get("style", "")))
    for link in page("link"):
        if OUTSIDE.match(str(link.get("href", ""))) and not NAMING & set(link.get("rel") or []):
            yield str(link["href"])
    for tag in page(["style", "script"]):
        yield from (IN_STYLE if tag.name == "style" else IN_SCRIPT).findall(tag.string or "")


def has_words(picture: Tag) -> bool:
    """Tell whether a picture says what it shows; decoration is marked as such."""
    words = picture.get("alt")
    if words == "":
        return picture.get("role") == "presentation" or picture.get("aria-hidden") == "true"
    return bool(words) and not PICTURE_NAME.match(str(words))


def broken_links(page: BeautifulSoup, path: Path, site: Path) -> Iterator[str]:
    """Yield the relative addresses that no file of the site answers to, or no place in it."""
    tags = page.select("a[href], link[href], img[src], script[src], source[src], source[srcset], video[src]")
    addresses = sorted({str(tag.get("href") or tag.get("src") or tag.get("srcset")) for tag in tags})
    yield from (
        address for address in addresses if not leads_somewhere(address, path.resolve(), site.resolve())
    )


def leads_somewhere(address: str, path: Path, site: Path) -> bool:
    """Tell whether an address on a page names a file of the site and a place in it; other hosts are not asked."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return True
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not file.exists() or not file.is_relative_to(site):
        return False
    place = unquote(parts.fragment)
    return not place or file.suffix != ".html" or place in anchors(file) or is_state(place, file)


def is_state(place: str, file: Path) -> bool:
    """Tell whether a place is a state of a lab: EXAMPLE/CLASS/..., or grow/LAYER/..., of a layer that it has."""
    first, _, rest = place.partition("/")
    plan = file.with_name("plan.js")
    if not plan.is_file():
        return False
    return first in anchors(file) if first != "grow" else f'"{rest.split("/")[0]}"' in plan.read_text("utf-8")


@cache
def anchors(file: Path) -> frozenset[str]:
    """Return the names of all places in a page."""
    page = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
    return frozenset(str(tag.get("id") or tag.get("name")) for tag in page.select("[id], a[name]")) | drawn(
        file
    )


def drawn(file: Path) -> frozenset[str]:
    """Return the places that a page draws itself from the data beside it.

    Those of a microscope are LAYER and LAYER/CHANNEL, those of an atlas the numbers of its cells.
    """
    cells, index = file.parent / "data.js", file.parent / "data" / "index.js"
    if cells.exists():
        found = json.loads(cells.read_text(encoding="utf-8").removeprefix("atlas(").removesuffix(");\n"))
        return frozenset(str(number + 1) for number in range(len(found["cells"])))
    if not index.exists():
        return frozenset()
    about = json.loads(
        index.read_text(encoding="utf-8").removeprefix("microscope.index(").removesuffix(");\n")
    )
    layers = {layer["name"]: range(layer["channels"]) for layer in about["layers"]}
    units = {f"{name}/{channel}" for name, channels in layers.items() for channel in channels}
    return frozenset(layers) | units


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
