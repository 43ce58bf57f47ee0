"""Every channel a door: where a page names or shows a channel, it links to its page in the microscope.

Names in the text ("`blocks.4.2`, 47", "channel 47 of `blocks.4.2`") become links. A figure whose tiles have the names
of channels as titles, and a sheet of a whole layer, get a link over each tile; the first also a line of links below,
for fingers, keyboards and readers without a mouse. The microscope gets the list of pages that speak of each channel.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import live_figures
import microscope
import pictures
from bs4 import BeautifulSoup, NavigableString, Tag
from PIL import Image
from sphinx.application import Sphinx

Place = tuple[str, float, float, float, float]  # a title; left, top, width, height in percent of the picture
ACROSS = 16  # tiles in a row of a sheet
MOST = 6  # pages that the microscope names for a channel
SHEET = re.compile(r"(?P<layer>.+)-(plus|minus)\.webp")
BEHIND = re.compile(
    r"^(?:,\s|\s)(?:channel\s)?(\d+)\b(?![.,]\d|\s?%|[\s-](?:channels|of|percent|scenes|and\s\d|to\s\d))"
)
BEFORE = re.compile(r"[Cc]hannel\s(\d+)\s(?:of|in)\s(?:the\slayer\s)?$")
TITLE = re.compile(
    r"(?:(?!channel\b)(?P<layer>[\w.]*[a-z][\w.]*)(?:,|:|/)? ?)?(?:channel )?[-+\u2212]?(?P<channel>\d+)\b(?![.,]\d)"
)
LAYER = re.compile(r"[A-Za-z_]\w*\.\d+[\w.]*")  # also one that the microscope does not have
ASKED = re.compile(
    r"\basked\s+(?:in|at)\s+(?:the\s+layer\s+)?$"
)  # where its maps are taken: no channels of its own
PART = re.compile(
    r'<section id="(?P<id>[^"]+)"|<a (?P<link>[^>]*href="[^"]*microscope/index\.html#(?P<unit>[^"/]+/\d+)"[^>]*)>'
)


def link(app: Sphinx, page: BeautifulSoup, docname: str) -> None:
    """Make the doors of one page."""
    if not microscope.has(""):
        return
    for figure in page.find_all("figure"):
        _link_pictures(app, page, figure, docname)
        _link_live(figure, docname)
    for code in page.select("article code, section code"):
        if code.find_parent(["a", "pre", "h1", "h2", "h3", "nav"]) is None:
            _link_name(page, code, docname)
    for each in page.select("a[href*='microscope/index.html#']"):
        unit = str(each["href"]).partition("#")[2]
        if top := tops(unit):
            each["data-top"] = top
        if "/" in unit:
            each["data-drawn"] = microscope.drawn(unit.partition("/")[0])


@lru_cache
def _units(layer: str) -> list[dict[str, Any]]:
    text = (microscope.DATA / "data" / f"{layer}.js").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text[text.index("(") + 1 : text.rindex(")")])["units"]
    return found


def tops(unit: str) -> str:
    """Return the places of the three scenes that drive a channel most, for the card of its link."""
    layer, _, channel = unit.partition("/")
    if not channel or not microscope.has(unit) or not (microscope.DATA / "data" / f"{layer}.js").exists():
        return ""
    return " ".join(str(place) for place in _units(layer)[int(channel)]["i"][1][:3])


# --------------------------------------------------------------------------------------------------------------------
# Names in the text


def _link_name(page: BeautifulSoup, code: Tag, docname: str) -> None:
    """Link the name of a layer together with the number of a channel beside it."""
    layer, behind, before = code.get_text(), code.next_sibling, code.previous_sibling
    if layer not in microscope.channels():
        return
    if (
        type(behind) is NavigableString
        and (found := BEHIND.match(behind))
        and microscope.has(f"{layer}/{found[1]}")
    ):
        rest = str(behind)[found.end() :]
        door = code.wrap(_door(page, f"{layer}/{found[1]}", docname))
        door.append(found[0])
        behind.replace_with(rest)
    elif (
        type(before) is NavigableString
        and (found := BEFORE.search(before))
        and microscope.has(f"{layer}/{found[1]}")
    ):
        words, start = str(before)[found.start() :], str(before)[: found.start()]
        door = code.wrap(_door(page, f"{layer}/{found[1]}", docname))
        door.insert(0, words)
        before.replace_with(start)


def _door(page: BeautifulSoup, unit: str, docname: str, **attributes: str) -> Tag:
    return page.new_tag("a", attrs={"href": microscope.address(unit, docname), **attributes})


# --------------------------------------------------------------------------------------------------------------------
# Tiles


def _link_pictures(app: Sphinx, page: BeautifulSoup, figure: Tag, docname: str) -> None:
    """Lay a link over every tile of a figure that shows a channel."""
    said = _said(figure)
    spoken: dict[str, str] = {}
    for picture in figure.select("a.image-reference > img, a.image-reference > picture > img"):
        file = pictures.file_of(app, str(picture.get("src", "")))
        if file is None:
            continue
        sheet = SHEET.fullmatch(file.name)
        places = _of_sheet(sheet["layer"]) if sheet else _of_figure(file)
        doors: list[Place] = [(unit, *place[1:]) for place in places if (unit := unit_of(place[0], said))]
        if doors:
            _lay(page, picture.find_parent("a"), doors, docname, sheet is not None)
            spoken |= {unit: "" for unit, *_ in doors if sheet is None}
    if spoken and figure.figcaption is not None:
        figure.figcaption.append(_line(page, list(spoken), docname))


def _link_live(figure: Tag, docname: str) -> None:
    """Let the channels of a live grid lead to their pages."""
    said = _said(figure)
    for data in figure.select(".live[data-kind=grid] script[type='application/json']"):
        content = json.loads(data.string)
        units = [unit_of(name, said) for name in content["names"]]
        if all(units):
            links = [microscope.address(unit, docname) for unit in units if unit]
            data.string = live_figures.dump({**content, "links": links})


def _said(figure: Tag) -> list[str]:
    """Return the layers that the caption of a figure names, apart from those in which other channels are asked."""
    known = microscope.channels()
    return sorted(
        {
            name
            for code in figure.select("figcaption code")
            if ((name := code.get_text()) in known or LAYER.fullmatch(name))
            and not ASKED.search(str(code.previous_sibling or ""))
        }
    )


def unit_of(title: str, said: list[str]) -> str | None:
    """Return the channel that the title of a tile names, "LAYER/CHANNEL".

    Args:
        title: such as "blocks.4.2, 47", or "channel 47" where the caption names one layer.
        said: the layers that the caption names.
    """
    found = TITLE.match(" ".join(title.split()))
    if found is None or not (found["layer"] or "channel" in title):
        return None
    layer = found["layer"] or (said[0] if len(said) == 1 else "")
    unit = f"{layer}/{found['channel']}"
    return unit if layer and microscope.has(unit) else None


def _of_figure(file: Path) -> list[Place]:
    """Return the named tiles of a figure that `interp.plots` drew: it writes them into the file."""
    if file.suffix != ".png":
        return []
    with Image.open(file) as opened:
        return [
            (str(title), float(left), float(top), float(width), float(height))
            for title, left, top, width, height in json.loads(opened.info.get("Tiles", "[]"))
        ]


def _of_sheet(layer: str) -> Iterator[Place]:
    count = microscope.channels().get(layer, 0)
    rows = -(-count // ACROSS)
    for channel in range(count):
        row, column = divmod(channel, ACROSS)
        yield f"{layer}, {channel}", 100 * column / ACROSS, 100 * row / rows, 100 / ACROSS, 100 / rows


def _lay(page: BeautifulSoup, shown: Tag, doors: list[Any], docname: str, sheet: bool) -> None:
    """Put the picture into a box with a link over each tile; the picture itself can still be enlarged."""
    box = shown.wrap(page.new_tag("span", attrs={"class": "doors"}))
    for unit, left, top, width, height in doors:
        layer, _, channel = unit.partition("/")
        style = f"left:{left:.3f}%;top:{top:.3f}%;width:{width:.3f}%;height:{height:.3f}%"
        name = f"{layer}, channel {channel}"
        kind = "tile-door of-sheet" if sheet else "tile-door"
        door = _door(
            page, unit, docname, tabindex="-1", style=style, title=name, **{"class": kind, "aria-label": name}
        )
        box.append(door)


def _line(page: BeautifulSoup, units: list[str], docname: str) -> Tag:
    """Return the links to the channels of a figure, as a line below its caption."""
    line = page.new_tag("p", attrs={"class": "in-microscope"})
    line.append("In the microscope: ")
    last = ""
    for number, unit in enumerate(units):
        layer, _, channel = unit.partition("/")
        door = _door(page, unit, docname)
        door.string = channel if layer == last else f"{layer}, {channel}"
        last = layer
        line.extend([" · ", door] if number else [door])
    return line


# --------------------------------------------------------------------------------------------------------------------
# The way back


def spoken_of(site: Path, address: str) -> dict[str, list[list[str]]]:
    """Return {LAYER/CHANNEL: [[title, address], ...]} of the pages of a written site that link to a channel.

    Links over the tiles of a whole layer's sheet, and those of the front page's wall, speak of no channel.

    Args:
        site: the folder.
        address: of the microscope's page there.
    """
    found: dict[str, list[list[str]]] = {}
    for file in sorted(site.glob("book/**/*.html")):
        text, section = file.read_text(encoding="utf-8"), ""
        title = re.search(r"<title>(.*?)( · .*)?</title>", text, re.DOTALL)
        where = posixpath.relpath(file.relative_to(site).as_posix(), posixpath.dirname(address))
        for part in PART.finditer(text) if title and file.name != "index.html" else ():
            if part["id"]:
                section = part["id"]
            elif "tile-door of-sheet" not in part["link"]:
                pages = found.setdefault(part["unit"], [])
                if title and all(html.unescape(title[1]) != name for name, _ in pages) and len(pages) < MOST:
                    pages.append([html.unescape(title[1]), f"{where}#{section}" if section else where])
    return found


def publish(app: Sphinx, error: Exception | None) -> None:
    """Give the microscope, once it lies on the site, the list of the pages that speak of its channels."""
    page = Path(app.outdir, microscope.PAGE)
    if error is not None or app.builder.format != "html" or not page.exists():
        return
    known = json.dumps(
        spoken_of(Path(app.outdir), microscope.PAGE), separators=(",", ":"), ensure_ascii=False
    )
    (page.parent / "data" / "chapters.js").write_text(f"microscope.chapters({known});\n", encoding="utf-8")
    script = '<script defer src="microscope.js"></script>'
    text = page.read_text(encoding="utf-8")
    # Only a site beside a book has such a list.
    page.write_text(
        text.replace(script, f'{script}\n  <script defer src="data/chapters.js"></script>'), encoding="utf-8"
    )
