"""The cards of the front page, and the names at the top of an API page."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from bs4 import BeautifulSoup
from PIL import Image as PILImage
from sphinx.ext.napoleon import GoogleDocstring, NumpyDocstring

from interp import plots

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext")]

import cards  # noqa: E402
import docstrings  # noqa: E402
import narrow  # noqa: E402

FRONT = """<div class="toctree-wrapper"><p class="caption">Part</p><ul>
<li><a class="reference internal" href="one/first.html">First</a></li>
<li><a class="reference internal" href="one/second.html">Second</a></li></ul></div>
<div class="toctree-wrapper"><p class="caption">Appendix</p><ul>
<li><a class="reference internal" href="appendix/more.html">More</a></li></ul></div>"""


def _page(markup: str) -> BeautifulSoup:
    return BeautifulSoup(markup, "html.parser")


def _shown(figure: plots.Figure) -> PILImage.Image:
    return PILImage.fromarray(figure.pixels())


def _row() -> plots.Figure:
    colors = torch.eye(3)[:, :, None, None].expand(3, 3, 64, 64)  # red, green, blue
    return plots.image_row(colors, ["one", "two", "three"])


def test_a_card_has_the_first_and_the_last_tile_of_a_row_and_no_title() -> None:
    shown = _shown(_row())
    assert len(cards.tiles(shown)) == 3
    made = cards.card(shown)
    assert made.size == cards.SIZE
    assert [made.getpixel((x, y))[:3] for x, y in ((2, 2), (397, 247))] == [(255, 0, 0), (0, 0, 255)]


def test_a_drawing_is_shown_whole_and_a_picture_to_its_edges() -> None:
    drawing = _shown(plots.histogram({"a": torch.arange(9.0)}, bins=3))
    made = cards.card(drawing)
    assert made.getpixel((0, 0))[3] == 0
    left, top, right, bottom = made.getbbox()
    assert (right - left) / cards.SIZE[0] <= cards.ROOM >= (bottom - top) / cards.SIZE[1]
    assert cards.card(PILImage.new("RGBA", (900, 300), "red")).getbbox() == (0, 0, *cards.SIZE)


def test_a_card_takes_the_second_drawing_of_a_chart_and_not_that_of_a_row(tmp_path: Path) -> None:
    second = PILImage.new("RGBA", (50, 50), "red")
    for name, figure in (("chart", plots.histogram({"a": torch.arange(9.0)}, bins=3)), ("row", _row())):
        source = tmp_path / f"{name}.png"
        _shown(figure).save(source)
        assert cards.picture(source).size == _shown(figure).size
        second.save(narrow.beside(source))
    assert cards.picture(tmp_path / "chart.png").size == second.size
    assert cards.picture(tmp_path / "row.png").size == _shown(_row()).size


def test_chapters_become_cards_the_appendix_stays_a_list_and_what_was_not_made_goes(tmp_path: Path) -> None:
    page = _page(FRONT)
    cards.lay_out(page, "book/index")
    assert [image["src"] for image in page.select("img")] == [
        "../_images/card-one-first.webp",
        "../_images/card-one-second.webp",
    ]
    assert all(image["alt"] == "" and image["loading"] == "lazy" for image in page.select("img"))
    front, made = tmp_path / "book" / "index.html", tmp_path / cards.name_of("book/one/second")
    for file in (front, made):
        file.parent.mkdir()
    front.write_text(str(page), encoding="utf-8")
    made.write_bytes(b"")
    app: Any = SimpleNamespace(
        outdir=tmp_path, config=SimpleNamespace(root_doc="book/index"), builder=SimpleNamespace(name="html")
    )
    cards.mend(app, None)
    after = _page(front.read_text(encoding="utf-8"))
    assert [image["src"] for image in after.select("img")] == ["../_images/card-one-second.webp"]
    assert "First" in after.get_text()


def test_an_api_page_lists_its_names_by_kind_and_no_members() -> None:
    page = _page(
        '<section><dl class="py class"><dt id="a.B">B</dt><dd><dl class="py method"><dt id="a.B.c">c</dt></dl>'
        '</dd></dl><dl class="py function"><dt id="a.d">d</dt></dl></section>'
    )
    docstrings.list_names(page)
    assert page.section.contents[0].name == "nav"
    assert [(link["href"], link.get_text()) for link in page.select(".names a")] == [
        ("#a.B", "B"),
        ("#a.d", "d"),
    ]
    assert [kind.get_text() for kind in page.select(".names p")] == ["Classes", "Functions"]
    none = _page("<p>text</p>")
    docstrings.list_names(none)
    assert none.nav is None


def test_a_colon_in_a_property_is_no_type() -> None:
    lines = ["The area under each curve (N,): the mean score on the way."]
    docstrings.rewrite(None, "property", "", None, None, lines)  # type: ignore[arg-type]
    for kind in (NumpyDocstring, GoogleDocstring):  # napoleon runs both
        lines = kind(lines, what="property", name="area", obj=None).lines()
    assert lines == ["The area under each curve (N,): the mean score on the way."]
