"""A chart on a phone: its second drawing, whole, and nothing else is fetched."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from interp import plots

from .conftest import ROOT, OpenPage

sys.path.insert(0, str(ROOT / "book" / "_ext"))

import narrow


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A page with nothing but a chart, as the book lays it out."""
    figure = plots.bars({f"a name that is long, number {n}": n / 9 for n in range(5)}, fmt=".0%", width=984)
    (tmp_path / "kept").mkdir()
    file = figure.save(tmp_path / "kept" / "wide.png")
    assert figure.again is not None
    figure.again(narrow.PHONE).save(narrow.beside(file))
    shutil.copytree(ROOT / "book" / "_theme" / "paper" / "static", tmp_path / "static")
    images = tmp_path / "_images"
    images.mkdir()
    shutil.copy(file, images)
    page = BeautifulSoup(
        '<!DOCTYPE html><html lang=en><title>A chart</title><link rel=stylesheet href="static/book.css">'
        '<main style="padding: 0 16px"><figure><a class="image-reference" href="_images/wide.png">'
        f'<img src="_images/wide.png" alt="Five bars" width="984" height="{figure.height}"></a></figure></main>',
        "html.parser",
    )
    narrow.scroll(page, page.a)
    narrow.choose(page, page.a, file, images)
    (tmp_path / "page.html").write_text(str(page), encoding="utf-8")
    return tmp_path / "page.html"


@pytest.mark.parametrize(("width", "name", "shown"), [(390, "wide-narrow.png", 358), (1440, "wide.png", 984)])
def test_each_screen_fetches_the_drawing_that_is_made_for_it(
    chart: Path, open_page: OpenPage, width: int, name: str, shown: int
) -> None:
    with open_page(chart.as_uri(), width=width) as page:
        found: list[str] = []
        page.on("request", lambda request: found.append(Path(request.url).name))
        page.reload(wait_until="networkidle")
        assert [fetched for fetched in found if fetched.endswith(".png")] == [name]
        assert page.evaluate("() => document.images[0].currentSrc").endswith(f"/{name}")
        assert page.evaluate("() => document.images[0].getBoundingClientRect().width") == shown
        view = "() => { const box = document.querySelector('.pan-view'); return box.scrollWidth - box.clientWidth; }"
        assert page.evaluate(view) == 0
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
