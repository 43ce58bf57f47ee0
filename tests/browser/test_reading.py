"""What a reader does with a page: change the colors, look something up, enlarge a picture, copy, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, OpenPage, pages

sys.path.insert(0, str(ROOT / "tools"))

import make_pdf


def _first_with(site: Path, text: str) -> str:
    for name in pages():
        if text in (site / name).read_text(encoding="utf-8"):
            return (site / name).as_uri()
    pytest.skip(f"no page has {text!r}")


def _ground(page: Any) -> str:
    return str(page.evaluate("() => getComputedStyle(document.body).backgroundColor"))


def test_the_theme_is_chosen_and_kept(site: Path, open_page: OpenPage) -> None:
    with open_page((site / pages()[0]).as_uri(), theme="dark") as page:
        button, dark = page.locator(".theme"), _ground(page)
        button.click()
        assert (button.inner_text(), _ground(page)) == ("Colors: light", "rgb(255, 255, 255)")
        page.reload()
        assert _ground(page) == "rgb(255, 255, 255)"
        button.click()
        assert (button.inner_text(), _ground(page)) == ("Colors: dark", dark)
        button.click()
        assert (button.inner_text(), _ground(page)) == ("Colors: auto", dark)


def test_the_menu_opens_and_closes_by_keyboard(site: Path, open_page: OpenPage) -> None:
    with open_page((site / pages()[0]).as_uri()) as page:
        page.locator(".menu summary").focus()
        page.keyboard.press("Enter")
        assert page.locator(".menu nav").is_visible()
        page.keyboard.press("Escape")
        assert page.locator(".menu nav").is_hidden()
        assert page.evaluate("() => document.activeElement.tagName") == "SUMMARY"


# What Tab has reached: its name, as a screen reader would say it, and whether it is on the screen with a visible rim.
FOCUSED = """() => {
  const node = document.activeElement, box = node.getBoundingClientRect(), style = getComputedStyle(node);
  const name = node.getAttribute('aria-label') || node.labels?.[0]?.textContent || node.innerText
    || node.querySelector('img')?.alt || '';
  const seen = box.width > 0 && box.bottom > 0 && box.top < innerHeight;
  return [name.trim(), seen && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
}"""


def test_tab_walks_through_a_page_and_its_live_figure(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "book/segment-1/convolution.html").as_uri()) as page:
        page.locator(".live").first.scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('.live').dataset.on")
        page.evaluate("() => scrollTo(0, 0)")
        walked = []
        for _ in range(45):
            page.keyboard.press("Tab")
            walked.append(page.evaluate(FOCUSED))
        names = [name for name, _ in walked]
        assert names[0] == "Skip to the text"
        assert all(len(name) > 1 and seen for name, seen in walked), walked
        window = next(number for number, name in enumerate(names) if "Arrow keys move" in name)
        assert names[window + 1] == "Kernel, row 1, column 1"
        assert names[window + 10] == "Kernel"


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_citation_shows_its_work(site: Path, open_page: OpenPage, by: str) -> None:
    with open_page(_first_with(site, 'href="#cited-')) as page:
        link = page.locator("a[href^='#cited-']").first
        link.scroll_into_view_if_needed()
        link.hover() if by == "mouse" else link.focus()
        box = page.locator(".peek")
        key = link.get_attribute("href")
        assert box.inner_text().split() == page.locator(key).inner_text().split()
        assert link.get_attribute("aria-describedby") == "peek"
        page.keyboard.press("Escape")
        assert box.count() == 0


def test_a_figure_number_shows_its_figure(site: Path, open_page: OpenPage) -> None:
    # A figure of the page itself: a page from the disk may not read its neighbors.
    with open_page((site / "book/segment-1/convolution.html").as_uri()) as page:
        page.locator('a[href^="#"]:has(.std-numref)').first.focus()
        assert page.locator(".peek figure :is(img, .tile, canvas)").first.is_visible()
        assert page.locator(".peek [id], .peek button").count() == 0
        ink = "one => one.toDataURL()"  # a figure that is drawn is drawn in its copy as well
        copied = [one.evaluate(ink) for one in page.locator(".peek canvas").all()]
        assert (
            copied
            == [one.evaluate(ink) for one in page.locator("#fig-conv-live canvas").all()][: len(copied)]
        )


def test_a_picture_grows_and_gives_the_place_back(site: Path, open_page: OpenPage) -> None:
    with open_page(_first_with(site, "<figure")) as page:
        link = page.locator("article figure a.image-reference").first
        picture = link.locator("img").first
        link.focus()
        page.keyboard.press("Enter")
        large = page.locator("dialog.zoom img")
        assert large.get_attribute("alt") == picture.get_attribute("alt")
        assert large.bounding_box()["width"] > picture.bounding_box()["width"]
        page.keyboard.press("Escape")
        page.locator("dialog.zoom").wait_for(state="detached")
        assert page.evaluate("() => document.activeElement.className").endswith("image-reference")


def test_a_wide_drawing_scrolls_in_its_own_box_on_a_phone(site: Path, open_page: OpenPage) -> None:
    # A sheet of the channels of a layer; what a chapter's code draws has a second drawing for a phone.
    with open_page((site / "book/segment-2/a-layer-complete.html").as_uri(), width=390) as page:
        view = page.locator(".pan-view.more").first
        assert view.get_attribute("role") == "region"
        assert (
            view.get_attribute("aria-label")
            == f"Scrolls sideways: {view.locator('img').get_attribute('alt')}"
        )
        view.focus()
        start = view.evaluate("(node) => node.scrollLeft")
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "([node, start]) => node.scrollLeft > start", arg=[view.element_handle(), start]
        )
        box = view.element_handle()
        box.evaluate("(node) => { node.scrollLeft = node.scrollWidth; }")
        page.wait_for_function("(node) => !node.classList.contains('more')", arg=box)
        page.set_viewport_size({"width": 1440, "height": 900})
        page.wait_for_function(
            "(node) => !node.hasAttribute('tabindex') && !node.hasAttribute('role')", arg=box
        )


def test_a_row_of_pictures_breaks_into_lines_on_a_phone(site: Path, open_page: OpenPage) -> None:
    with open_page(_first_with(site, 'class="pieces"'), width=390) as page:
        row = page.locator(".wraps").first
        windows = [window.bounding_box() for window in row.locator(".pieces > span").all()]
        assert len({window["y"] for window in windows}) > 1
        assert all(window["x"] + window["width"] <= 390 for window in windows)
        assert row.locator("> img").is_hidden()
        row.click()
        large = page.locator("dialog.zoom img")
        assert large.get_attribute("alt") == row.locator("img").first.get_attribute("alt")
        assert large.bounding_box()["width"] > 390


def test_code_is_copied_as_it_stands(server: str, site: Path, open_page: OpenPage) -> None:
    name = _first_with(site, "cell_input").removeprefix(site.as_uri())
    allowed = ["clipboard-read", "clipboard-write"]
    with open_page(f"{server}{name}", permissions=allowed) as page:
        page.locator("details.hide").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")
        block = page.locator(".cell_input div.highlight").first
        code = block.locator("pre").inner_text()
        block.locator(".copy").click()
        page.locator(".copy.done").wait_for()
        assert page.evaluate("() => navigator.clipboard.readText()").strip() == code.strip()


def test_on_paper_there_is_text_and_no_button(site: Path, open_page: OpenPage) -> None:
    with open_page(_first_with(site, "<figure")) as page:
        page.emulate_media(media="print", color_scheme="dark")
        assert _ground(page) == "rgb(255, 255, 255)"
        assert page.locator(".bar").is_hidden()
        assert page.locator("article h1").first.is_visible()
        assert all(not button.is_visible() for button in page.locator(".copy, .headerlink").all())


def test_the_book_on_paper_is_tagged_and_has_an_outline(browser: Any, tmp_path: Path) -> None:
    page, target = tmp_path / "page.html", tmp_path / "book.pdf"
    page.write_text(
        "<html lang=en><title>A book</title><h1>Part</h1><h2>Chapter</h2><p>Text.", encoding="utf-8"
    )
    make_pdf.print_page(browser, page, target)
    content = target.read_bytes()
    assert content.startswith(b"%PDF")
    assert all(mark in content for mark in (b"/StructTreeRoot", b"/Outlines", b"/Lang (en)"))


def test_the_search_finds_a_chapter(server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/search.html?q=network") as page:
        page.locator("#search-results li a").first.wait_for(timeout=10000)
        page.locator("#search-results .context").first.wait_for(timeout=10000)
        found = " ".join(page.locator("#search-results .context").all_inner_texts())
        assert "The authors of" not in found, "a byline is no sentence of the page"
        assert page.trouble == []


def test_the_contents_stay_beside_the_text_and_say_where_one_is(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "book/segment-1/convolution.html").as_uri()) as page:
        page.set_viewport_size({"width": 1440, "height": 900})
        heads = page.locator("article h2")
        title = heads.nth(3).evaluate("(head) => (head.scrollIntoView(), head.firstChild.textContent)")
        page.wait_for_function(
            "(title) => document.querySelector('.here [aria-current]')?.textContent === title", arg=title
        )
        box = page.locator(".here [aria-current]").bounding_box()
        assert box is not None
        assert 0 < box["y"] < 900
        text = page.locator("article section > p").first.bounding_box()
        assert text is not None
        assert box["x"] + box["width"] < text["x"]


@pytest.mark.parametrize("door", ["Microscope", "Lab"])
def test_microscope_and_lab_are_a_click_away_from_every_page(
    site: Path, open_page: OpenPage, door: str
) -> None:
    with open_page((site / "book/segment-1/convolution.html").as_uri()) as page:
        page.locator(".bar .door", has_text=door).click()
        page.wait_for_url(f"**/{door.lower()}/index.html")
