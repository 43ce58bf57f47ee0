"""The look of the pages: what is added to each article once Sphinx has written it.

A chapter gets a byline, the contents of the page beside its beginning, and an appendix (references, how to cite).
Pictures load lazily at the size they were made for; live figures share their scripts and keep their pictures in files.
"""

from __future__ import annotations

import copy
import datetime
import html
import itertools
import re
import subprocess
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import Any

import cards
import docstrings
import lab
import launch
import live_figures
import microscope
import pictures
import previews
import runtimes
import units
import yaml
from bs4 import BeautifulSoup, NavigableString, Tag
from cited import cited_works
from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx

import interp

ROOT = Path(__file__).resolve().parents[2]
# Style sheets that a page needs; those of the theme's ancestors and of extensions are replaced by book.css.
STYLE_SHEETS = ("book.css", "katex")
# What no line may end within: a number and its unit, "8 by 8", an interval in brackets.
TOGETHER = re.compile(
    r"(?<=\d) (?=(?:%|px|ms|s|by \d)(?!\w))|(?<=\d by) (?=\d)|(?<=[(]\d\.\d\d) (?=to )|(?<= to) (?=\d\.\d\d[)])"
)
# A number in a cell of a table, with a sign, a unit or an interval behind it.
NUMBER = re.compile(r"[-\u2212+]?\d[\d,]*(\.\d+)?\s?(%|px|ms|s|x)?(\s?\(.*\))?")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", live_figures.add_scripts)
    app.connect("html-collect-pages", lambda _app: [("404", {}, "404.html")])
    app.connect("html-page-context", finish, priority=950)
    app.connect("build-finished", units.publish, priority=900)  # the microscope is laid out before
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def finish(  # Sphinx gives all of them
    app: Sphinx,
    pagename: str,
    templatename: str,  # noqa: ARG001
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Rewrite the body of one page and say which style sheets and scripts it needs."""
    page = BeautifulSoup(context.get("body") or "", "html.parser")
    context["live_scripts"] = live_figures.share(app, context["content_root"], page)
    context["style_sheets"] = [
        sheet for sheet in context["css_files"] if _is_needed(sheet, context["live_scripts"])
    ]
    pictures.settle(app, page)
    units.link(app, page, pagename)
    docstrings.list_names(page)
    _align_numbers(page)
    _wrap_tables(page)
    _keep_together(page)
    _mend_roles(page)
    _drop_scripts(page)
    if pagename == app.config.root_doc:
        cards.lay_out(page, pagename)
    context["description"] = _description(page) if doctree is not None else ""
    context["site"] = launch.site(app.config)
    context["picture"] = previews.picture(app, page, pagename, context["site"])
    if any(pagename in chapters for chapters in _parts().values()):
        cards.write(app, page, pagename)
    context["lab"] = lab.address("", pagename) if lab.CHAPTER.is_file() else ""
    context["microscope"] = microscope.address("", pagename) if microscope.has("") else ""
    if doctree is not None and pagename != app.config.root_doc:
        context["minutes"] = runtimes.minutes(doctree)
        _dress(app, pagename, page, context)
    context["body"] = str(page)


def _is_needed(sheet: Any, live_scripts: list[str]) -> bool:
    name = str(getattr(sheet, "filename", sheet))
    return any(part in name for part in STYLE_SHEETS) or ("live.css" in name and bool(live_scripts))


def _description(page: BeautifulSoup) -> str:
    """Return the first paragraph of the text, as search engines and previews of links show it."""
    first = copy.copy(page.select_one("section > p"))
    if first is None:
        return ""
    for drawn in first.select(".katex-html, .footnote-reference"):
        drawn.decompose()
    return _sentences(" ".join(first.get_text().split()), 200)


def _sentences(text: str, most: int) -> str:
    """Return as many whole sentences as fit; of a first one that is too long, as many words."""
    ends = [end.end() for end in re.finditer(r"[.?!](?= |$)", text) if end.end() <= most]
    return text[: ends[-1]] if ends else textwrap.shorten(text, most, placeholder=" ...")


def _wrap_tables(page: BeautifulSoup) -> None:
    """Let a wide table scroll by itself, so that the page never does."""
    for table in page.find_all("table"):
        table.wrap(page.new_tag("div", attrs={"class": "table-wrap", "role": "region"}))
        table.parent["aria-label"] = table.caption.get_text(" ", strip=True) if table.caption else "Table"


def _align_numbers(page: BeautifulSoup) -> None:
    """Align the columns of numbers at the right, with their heads."""
    for table in page.select("table:not(.sortable):not(.dataframe)"):
        rows = [row.find_all(["th", "td"], recursive=False) for row in table.find_all("tr")]
        for column in itertools.zip_longest(*rows):
            cells = [cell for cell in column if cell is not None]
            texts = [cell.get_text(" ", strip=True) for cell in cells if cell.name == "td"]
            if any(texts) and all(NUMBER.fullmatch(text) for text in texts if text not in {"", "none", "-"}):
                for cell in cells:
                    cell["class"] = [*cell.get("class", []), "right"]
                    del cell["style"]  # a table of the package says "left" of numbers that are given as text


def _keep_together(page: BeautifulSoup) -> None:
    """Let no line end between a number and its per cent, nor within an interval of a table."""
    for text in page.find_all(string=TOGETHER):
        if type(text) is NavigableString and text.find_parent(["pre", "code", "script", "math"]) is None:
            text.replace_with(TOGETHER.sub("\u00a0", text))


def _drop_scripts(page: BeautifulSoup) -> None:
    """Take away what extensions leave in the text for a kernel that these pages do not start."""
    for script in page.find_all("script"):
        if script.find_parent(class_="live") is None:
            script.decompose()


def _mend_roles(page: BeautifulSoup) -> None:
    """Mend what extensions say to screen readers and does not hold, and paragraphs where HTML allows none."""
    for heading in page.select("p[role=heading]:not([aria-level])"):
        heading["aria-level"] = "2"
    for listing in page.select(".citation-list[role=list]"):
        del listing["role"]
    for link in page.select("a.headerlink"):
        # For the pointer: in the name of a heading it would be read as a sign, and each would be one more stop for Tab.
        link["aria-hidden"], link["tabindex"] = "true", "-1"
    for summary in page.select("details.hide > summary"):
        del summary["aria-label"]  # the words inside say more
        for words in summary.find_all("p"):
            words.name = "span"


# --------------------------------------------------------------------------------------------------------------------
# Byline, contents, appendix


def _dress(app: Sphinx, pagename: str, page: BeautifulSoup, context: dict[str, Any]) -> None:
    title = page.find("h1")
    if title is None:
        return
    if place := place_of(pagename):
        title.insert_before(BeautifulSoup(f'<p class="eyebrow">{html.escape(place)}</p>', "html.parser"))
    runs = _run_time(app, pagename)
    appendix = _references(app, pagename, page)
    if runs is not None:
        _insert_after(_opening(title), _contents(context))
        _insert_after(title, _byline(app, pagename, context, runs))
        appendix += _how_to_cite(app, title)
    if appendix:
        page.append(
            BeautifulSoup(
                f'<section class="appendix" aria-label="Appendix">{appendix}</section>', "html.parser"
            )
        )


def place_of(pagename: str) -> str:
    """Return where in the book a page stands, such as "Segment 1, chapter 2 of 8" or "Appendix"; empty elsewhere."""
    for name, chapters in _parts().items():
        if pagename in chapters:
            return f"{name}, chapter {chapters.index(pagename) + 1} of {len(chapters)}"
    return "Appendix" if pagename.startswith("book/appendix/") else ""


@lru_cache
def _parts() -> dict[str, list[str]]:
    """Return the parts by the name before the colon, each with its chapters; without the appendix."""
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")).get("parts", [])
    named = {
        part["caption"].partition(":")[0]: [chapter["file"] for chapter in part["chapters"]] for part in parts
    }
    return {name: chapters for name, chapters in named.items() if name != "Appendix"}


def _opening(title: Tag) -> Tag:
    """Return the opening figure where it is so wide that it would cover the contents beside it, or the title."""
    wide = [one for one in title.find_next_siblings("div") if "tag_wide" in one.get("class", [])]
    return wide[0] if wide else title


def _insert_after(tag: Tag, markup: str) -> None:
    for node in reversed(BeautifulSoup(markup, "html.parser").contents):
        tag.insert_after(node)


def _byline(app: Sphinx, pagename: str, context: dict[str, Any], seconds: float) -> str:
    entries = {
        "Reading time": f"about {context['minutes']}&nbsp;minutes",
        "Published": f"{_changed(app.env.doc2path(pagename)):%B %-d, %Y}",
        "Version": f"{html.escape(interp.__version__)}, computed in {seconds:.0f}&nbsp;s",
        "Run it": launch.links(app, pagename, context),
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in entries.items() if text)
    return f'<dl class="byline">{cells}</dl>'


def _run_time(app: Sphinx, pagename: str) -> float | None:
    """Return the seconds that the cells of the page took; None for a page without cells."""
    data = NbMetadataCollector.get_exec_data(app.env, pagename) or {}
    return data.get("runtime")


def _contents(context: dict[str, Any]) -> str:
    toc = context.get("toc") if context.get("display_toc") else ""
    return (
        f'<nav class="here" aria-label="On this page"><div><p>On this page</p>{toc}</div></nav>'
        if toc
        else ""
    )


def _references(app: Sphinx, pagename: str, page: BeautifulSoup) -> str:
    works = cited_works(app, pagename, page)
    items = "".join(
        f'<li class="cited" id="cited-{html.escape(key)}">{text}</li>' for key, text in works.items()
    )
    return f'<h2 id="cited">References</h2><ol>{items}</ol>' if items else ""


def _how_to_cite(app: Sphinx, title: Tag) -> str:
    year = _changed(str(ROOT / "pyproject.toml")).year
    name, book = html.escape(_plain(title)), html.escape(app.config.html_title)
    text = f"{html.escape(app.config.author)}, “{name}”, in <em>{book}</em>, version {interp.__version__}, {year}."
    reuse = (
        "Text, code and the pictures that the code made are under the MIT License; photographs carry the licenses "
        "named where they are introduced."
    )
    return f"<h2>How to cite</h2><p>{text}</p><h2>Reuse</h2><p>{reuse}</p>"


def _plain(title: Tag) -> str:
    """Return the title without its number and its link."""
    extras = {"headerlink", "section-number"}
    return "".join(
        text for text in title.find_all(string=True) if not extras & set(text.parent.get("class") or [])
    )


@lru_cache
def _changed(path: str) -> datetime.date:
    """Return the day of the last commit that touched the file; today, where git does not know."""
    command = ["git", "log", "-1", "--format=%cs", "--", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return datetime.date.fromisoformat(done.stdout.strip()) if done.stdout.strip() else datetime.date.today()
