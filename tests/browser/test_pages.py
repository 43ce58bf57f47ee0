"""Every page of the built site, on a desk, a tablet and a phone, light and dark."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, OpenPage

VIEWS = [(1440, "light"), (1440, "dark"), (768, "light"), (768, "dark"), (390, "light"), (390, "dark")]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
AXE_VIEWS = [(1440, "light"), (390, "dark")]
FILE_LIKE = re.compile(r"\.(png|webp|jpe?g|svg)$|^_images|^[0-9a-f]{16,}", re.IGNORECASE)

SCROLL = """async () => {
  for (let y = 0; y < document.body.scrollHeight; y += 700) {
    scrollTo(0, y);
    await new Promise((done) => setTimeout(done, 30));
  }
  scrollTo(0, 0);
}"""
SIDEWAYS = """() => {
  const wide = document.documentElement.scrollWidth;
  if (wide <= innerWidth) return null;
  const over = [...document.querySelectorAll('main *')].filter((node) =>
    node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('pre, .table-wrap, .math, .katex-display'));
  return [wide, ...over.slice(0, 3).map((node) => node.tagName + '.' + node.className)];
}"""
BROKEN = "() => [...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.getAttribute('src'))"
ALTS = """() => [...document.images].map((picture) =>
  [picture.getAttribute('alt'), picture.getAttribute('src').slice(0, 60), !!picture.closest('a,[role=application]')])"""
AXE_RUN = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
  .filter((found) => ['serious', 'critical'].includes(found.impact))
  .map((found) => [found.id, found.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))])"""


@pytest.mark.parametrize(("width", "theme"), VIEWS)
def test_page_is_whole(server: str, open_page: OpenPage, page_name: str, width: int, theme: str) -> None:
    """No request leaves the site, no script complains, nothing is wider than the screen, no picture is missing."""
    with open_page(f"{server}/{page_name}", width=width, theme=theme) as page:
        page.evaluate(SCROLL)
        page.wait_for_load_state("networkidle")
        assert page.trouble == []
        assert page.evaluate(SIDEWAYS) is None
        assert page.evaluate(BROKEN) == []


@pytest.mark.parametrize(("width", "theme"), AXE_VIEWS)
def test_page_is_accessible(server: str, open_page: OpenPage, page_name: str, width: int, theme: str) -> None:
    """axe-core finds nothing serious, also in what the live figures made."""
    if not AXE.exists():
        pytest.skip("no axe-core: run `npm ci`")
    with open_page(f"{server}/{page_name}", width=width, theme=theme) as page:
        page.evaluate(SCROLL)
        page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
        assert page.evaluate(AXE_RUN) == []


def test_every_picture_has_words(server: str, open_page: OpenPage, page_name: str) -> None:
    """An alt text says what is seen; the name of a file is none, and an empty one needs a name around it."""
    with open_page(f"{server}/{page_name}") as page:
        for alt, source, named_around in page.evaluate(ALTS):
            assert alt is not None, source
            assert named_around or len(alt.split()) >= 2, (alt, source)
            assert not FILE_LIKE.search(alt), (alt, source)


def test_page_opens_from_a_disk(site: Path, open_page: OpenPage, page_name: str) -> None:
    """A page opened as a file shows its formulas and its pictures, and its scripts run."""
    with open_page((site / page_name).as_uri()) as page:
        page.evaluate(SCROLL)
        page.wait_for_load_state("networkidle")
        assert page.trouble == []
        assert page.evaluate(BROKEN) == []
        assert page.evaluate(
            "() => [...document.querySelectorAll('.math')].every((m) => m.querySelector('.katex'))"
        )
        assert page.locator(".theme").is_visible()


def test_page_needs_no_script(site: Path, open_page: OpenPage, page_name: str) -> None:
    """Without JavaScript every live figure is a picture, and text and menu are there."""
    with open_page((site / page_name).as_uri(), java_script_enabled=False) as page:
        assert page.locator("h1").first.is_visible()
        page.locator(".menu summary").click()
        assert page.locator(".menu a:visible").count() > 0
        for figure in page.locator(".live").all():
            figure.scroll_into_view_if_needed()
            still = figure.locator(".stage > img")
            assert still.is_visible()
            assert still.bounding_box()["height"] > 40


def test_live_figures_work_by_keyboard(server: str, open_page: OpenPage, page_name: str) -> None:
    """Each live figure starts on screen, can be reached, and an arrow key changes what it says."""
    with open_page(f"{server}/{page_name}") as page:
        for figure in page.locator(".live").all():
            figure.scroll_into_view_if_needed()
            page.wait_for_function("(root) => root.dataset.on", arg=figure.element_handle())
            control = figure.locator("input[type=range], [role=application]").first
            before = _said(figure, control)
            control.focus()
            for _ in range(3):
                page.keyboard.press("ArrowLeft")
            if _said(figure, control) == before:
                page.keyboard.press("ArrowRight")
            assert _said(figure, control) != before


def _said(figure: Any, control: Any) -> str:
    spoken = figure.locator("output")
    return f"{control.get_attribute('aria-valuetext')} {spoken.inner_text() if spoken.count() else ''}"


def test_the_views_are_what_the_book_promises() -> None:
    assert {width for width, _ in VIEWS} == {1440, 768, 390}
    assert json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]["axe-core"]
