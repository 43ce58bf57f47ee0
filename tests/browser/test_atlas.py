"""The book's atlas: whole on desk and phone, by pointer, keyboard and address."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import OpenPage
from .test_pages import AXE_AT, BROKEN, SIDEWAYS, WIDTHS, _axe

HERE = "() => [location.hash, document.querySelector('.cell h2').innerText]"
IN_SIGHT = """() => {
    const box = document.activeElement.getBoundingClientRect(), map = document.querySelector(".map");
    const frame = map.getBoundingClientRect(), inside = box.left > frame.left - 1 && box.right < frame.right + 1
        && box.top > frame.top - 1 && box.bottom < frame.bottom + 1;
    return inside && map.scrollLeft === 0 && map.scrollTop === 0;
}"""


def _cells(page: Any) -> Any:
    page.wait_for_selector(".plane button")
    return page.locator(".plane button")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "#1", "#60", "#no such cell"])
def test_the_atlas_is_whole(server: str, open_page: OpenPage, place: str, theme: str) -> None:
    with open_page(f"{server}/atlas/index.html{place}", width=WIDTHS[0], theme=theme) as page:
        assert _cells(page).count() > 100
        assert (page.locator(".cell .large").count() == 1) == place[1:].isdecimal()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert (width, page.evaluate(SIDEWAYS)) == (width, None)
            if AXE_AT[theme] == width:
                assert _axe(page) == []
        assert page.evaluate(BROKEN) == []
        assert page.trouble == []


def test_a_cell_is_chosen_by_pointer_and_by_keys(server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/atlas/index.html") as page:
        cells = _cells(page)
        cells.nth(60).click()
        first = page.evaluate(HERE)
        assert first[0] == "#61"
        seen = [first[0]]
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
            page.keyboard.press(key)
            assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
            seen.append(page.evaluate(HERE)[0])
        assert len(set(seen)) >= 4
        assert page.trouble == []


def test_what_has_the_focus_comes_into_sight(server: str, open_page: OpenPage) -> None:
    """Also when the plane was enlarged, where most cells lie outside."""
    with open_page(f"{server}/atlas/index.html#60") as page:
        _cells(page)
        for _ in range(5):
            page.locator("[data-zoom=in]").click()
        assert "near" in page.locator(".map").get_attribute("class")
        for number in (0, 60, 120):
            page.locator(".plane button").nth(number).focus()
            page.keyboard.press("Tab")  # what a script puts the focus on is not taken for the keyboard's
            page.wait_for_timeout(100)
            assert page.evaluate(IN_SIGHT)
        page.locator("[data-zoom=fit]").click()
        inside = """() => { const frame = document.querySelector(".map").getBoundingClientRect();
            const boxes = [...document.querySelectorAll(".plane button")].map((one) => one.getBoundingClientRect());
            return boxes.every((box) => box.left >= frame.left && box.right <= frame.right); }"""
        assert page.evaluate(inside)


def test_a_class_is_found(server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/atlas/index.html") as page:
        cells = _cells(page)
        page.locator(".find input").fill("daisy")
        dimmed = page.locator(".plane button.off").count()
        assert 0 < dimmed < cells.count()
        page.locator(".find input").fill("")
        assert page.locator(".plane button.off").count() == 0
