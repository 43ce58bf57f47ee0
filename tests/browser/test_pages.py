"""Every page of the built site, on a desk, a tablet and a phone, light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, OpenPage

WIDTHS = (1440, 768, 390)
AXE_AT = {"light": 1440, "dark": 390}
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
FILE_LIKE = re.compile(r"\.(png|webp|jpe?g|svg)$|^_images|^[0-9a-f]{16,}", re.IGNORECASE)

# Looks at the whole page, so that lazy pictures and live figures start, and waits for what they fetch.
SCROLL = """async () => {
  for (let y = 0; y < document.body.scrollHeight; y += 700) {
    scrollTo(0, y);
    await new Promise((done) => setTimeout(done, 20));
  }
  scrollTo(0, 0);
  // A lazy picture that was passed too quickly would never load, and waiting for it would never end.
  for (const picture of document.images) picture.loading = 'eager';
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error('a picture did not load in 30 s')), 30000));
  const loaded = (picture) => picture.complete || picture.decode().catch(() => 0);
  await Promise.race([Promise.all([...document.images].map(loaded)), late]);
}"""
SIDEWAYS = """() => {
  const wide = document.documentElement.scrollWidth;
  if (wide <= innerWidth) return null;
  const over = [...document.querySelectorAll('main *')].filter((node) =>
    node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('pre, .table-wrap, .math, .katex-display'));
  return [wide, ...over.slice(0, 3).map((node) => node.tagName + '.' + node.className)];
}"""
# What is drawn at two pixels a point carries labels; how large it is shown, as a share of the size it was made for.
SHRUNK = """() => [...document.querySelectorAll('figure img:not(.live img)')]
  .filter((picture) => picture.offsetWidth && picture.naturalWidth >= 2 * picture.getAttribute('width') - 2)
  .map((picture) => [picture.offsetWidth / picture.getAttribute('width'), picture.alt || picture.src])
  .filter(([share]) => share < 0.7)"""
# A phone fetches the second drawings only once it is one.
SETTLED = f"""async () => {{
  for (let n = 0; n < 200 && ({SHRUNK})().length; n++) await new Promise((resolve) => setTimeout(resolve, 100));
  return ({SHRUNK})();
}}"""
BROKEN = "() => [...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.getAttribute('src'))"
ALTS = """() => [...document.images].map((picture) =>
  [picture.getAttribute('alt'), picture.getAttribute('src').slice(0, 60), !!picture.closest('a,[role=application]')])"""
AXE_RUN = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
  .filter((found) => ['serious', 'critical'].includes(found.impact))
  .map((found) => [found.id, found.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))])"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_whole(server: str, open_page: OpenPage, page_name: str, theme: str) -> None:
    """On a desk, a tablet and a phone: no request leaves the site, no script complains, nothing is wider than the
    screen, no drawing shrinks until its labels cannot be read, no picture is missing, every picture has words, and
    axe-core finds nothing serious."""
    with open_page(f"{server}/{page_name}", width=WIDTHS[0], theme=theme) as page:
        page.evaluate(SCROLL)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert (width, page.evaluate(SIDEWAYS)) == (width, None)
            assert (width, page.evaluate(SETTLED)) == (width, [])
            if AXE_AT[theme] == width:
                assert _axe(page) == []
        assert page.evaluate(BROKEN) == []
        _check_words(page)
        assert page.trouble == []


def _axe(page: Any) -> list[Any]:
    if not AXE.exists():
        pytest.skip("no axe-core: run `npm ci`")
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    return list(page.evaluate(AXE_RUN))


def _check_words(page: Any) -> None:
    """An alt text says what is seen; the name of a file is none, and an empty one needs a name around it."""
    for alt, source, named_around in page.evaluate(ALTS):
        assert alt is not None, source
        assert named_around or len(alt.split()) >= 2, (alt, source)
        assert not FILE_LIKE.search(alt), (alt, source)


def test_page_opens_from_a_disk(site: Path, open_page: OpenPage, page_name: str) -> None:
    """A page opened as a file shows its formulas and pictures, its scripts run, its live figures work by keyboard."""
    with open_page((site / page_name).as_uri()) as page:
        page.evaluate(SCROLL)
        assert page.evaluate(BROKEN) == []
        assert page.evaluate(
            "() => [...document.querySelectorAll('.math')].every((m) => m.querySelector('.katex'))"
        )
        assert page.locator(".theme").is_visible()
        for figure in page.locator(".live").all():
            _check_keyboard(page, figure)
        assert page.trouble == []


def _check_keyboard(page: Any, figure: Any) -> None:
    """A live figure starts on screen, its control can be reached, and an arrow key changes what it says."""
    figure.scroll_into_view_if_needed()
    page.wait_for_function("(root) => root.dataset.on", arg=figure.element_handle())
    control = figure.locator("input[type=range], [role=application]").first
    control.focus()
    before = _said(figure, control)
    for key in ("ArrowLeft", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        if _said(figure, control) != before:
            return
    pytest.fail(f"an arrow key changes nothing: {before}")


def _said(figure: Any, control: Any) -> str:
    spoken = figure.locator("output")
    return f"{control.get_attribute('aria-valuetext')} {spoken.inner_text() if spoken.count() else ''}"


def test_page_needs_no_script(site: Path, open_page: OpenPage, page_name: str) -> None:
    """Without JavaScript, on a phone, every live figure is a picture, and text and menu are there."""
    with open_page((site / page_name).as_uri(), width=390, java_script_enabled=False) as page:
        assert page.locator("h1").first.is_visible()
        assert page.evaluate(SIDEWAYS) is None
        page.locator(".menu summary").click()
        assert page.locator(".menu a:visible").count() > 0
        page.locator(".menu summary").click()
        for figure in page.locator(".live").all():
            still = figure.locator(".stage > img")
            still.scroll_into_view_if_needed()
            assert still.is_visible()
            assert still.bounding_box()["height"] > 30
