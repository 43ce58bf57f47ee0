"""The book's microscope: reached from the front page, whole on desk and phone, from a disk, by keyboard and search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import OpenPage
from .test_pages import AXE_AT, BROKEN, SCROLL, SIDEWAYS, WIDTHS, _axe

PLACES = [
    "",
    "#blocks.3.2",
    "#blocks.5.3",
    "#blocks.0.0/5",
    "#blocks.6.0/300",
    "#blocks.4.2/102",
    "#?plant",
    "#?no such thing",
    "#blocks.9/1",
]
DRAWN = "() => document.body.dataset.drawn && document.querySelector('main h1')"


def _drawn(page: Any) -> None:
    page.wait_for_function(DRAWN)


def _title(page: Any, expected: str) -> None:
    page.wait_for_function(
        "(text) => document.querySelector('main h1').innerText.replace(/\\s+/g, ' ') === text", arg=expected
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_a_page_of_the_microscope_is_whole(server: str, open_page: OpenPage, place: str, theme: str) -> None:
    """No request leaves the site, no script complains, nothing is wider than the screen, no picture is missing, and
    axe-core finds nothing serious."""
    with open_page(f"{server}/microscope/index.html{place}", width=WIDTHS[0], theme=theme) as page:
        _drawn(page)
        page.evaluate(SCROLL)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert (width, page.evaluate(SIDEWAYS)) == (width, None)
            if AXE_AT[theme] == width:
                assert _axe(page) == []
        assert page.evaluate(BROKEN) == []
        assert page.locator(".missing").count() == 0
        assert page.trouble == []


def test_each_tile_of_the_front_page_leads_to_its_channel(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "book" / "index.html").as_uri()) as page:
        tiles = page.locator(".wall a")
        addresses = tiles.evaluate_all("(links) => links.map((link) => link.href)")
        names = tiles.evaluate_all("(links) => links.map((link) => link.querySelector('img').alt)")
        assert len(addresses) >= 24
        for address, name in list(zip(addresses, names, strict=True))[::7]:
            page.goto(address)
            page.reload()  # from one channel to another only the fragment changes
            layer, channel = address.split("#")[1].split("/")
            _title(page, f"{layer} channel {channel}")
            assert f"{layer}, channel {channel}" in name
            assert page.locator(".columns section").count() == 6
        page.locator(".bar .back").click()
        assert page.locator(".wall").is_visible()
        assert page.trouble == []


def test_a_channel_shows_what_the_data_say(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.4.2/102") as page:
        _drawn(page)
        heads = page.locator(".columns h3").all_inner_texts()
        assert heads == [
            "Negative optimized",
            "Minimum",
            "Slightly negative",
            "Slightly positive",
            "Maximum",
            "Positive optimized",
        ]
        assert page.locator(".columns .three button.tile").count() == 36
        assert page.locator(".histogram .marks i").count() == 36
        strongest = page.locator(".columns section").nth(4)
        values = [float(text) for text in strongest.locator(".values b").all_inner_texts()]
        assert len(values) == 9
        assert values == sorted(values, reverse=True)
        assert page.locator(".neighbors section").count() >= 2


def test_keys_lead_from_channel_to_channel(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.2.1/39") as page:
        _title(page, "blocks.2.1 channel 39")
        for key, expected in [
            ("ArrowLeft", "blocks.2.1 channel 38"),
            ("ArrowRight", "blocks.2.1 channel 39"),
            ("ArrowRight", "blocks.2.1 channel 39"),  # the last one
            ("Shift+ArrowRight", "blocks.3.2 channel 39"),
            ("Escape", "blocks.3.2"),
            ("ArrowRight", "blocks.4.2"),
            ("Escape", "EfficientNet-Lite0"),
        ]:
            page.keyboard.press(key)
            _title(page, expected)
        page.go_back()
        _title(page, "blocks.4.2")
        assert page.trouble == []


def test_patches_replace_whole_images(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.2.1/7") as page:
        _drawn(page)
        width = "() => document.querySelector('.columns .three button img').getBoundingClientRect().width"
        whole = page.evaluate(width)
        assert page.locator(".columns .frame").count() == 36
        page.keyboard.press("p")
        page.wait_for_function("() => !document.querySelector('.columns .frame')")
        assert page.evaluate(width) > 2 * whole
        assert page.locator("[aria-pressed=true]").inner_text() == "Patches"
        page.get_by_role("button", name="Whole images").click()
        assert page.locator(".columns .frame").count() == 36


def test_an_optimized_picture_is_large_when_pressed_and_no_sheet_is_fetched(
    server: str, open_page: OpenPage
) -> None:
    with open_page(f"{server}/404.html") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server}/microscope/index.html#blocks.4.2/47")
        _drawn(page)
        page.get_by_role("button", name="Positive optimized picture of blocks.4.2, channel 47").click()
        large = page.locator("dialog.large img")
        large.evaluate("async (img) => { await img.decode(); }")
        assert large.evaluate("(img) => img.naturalWidth") == 256
        assert large.bounding_box()["width"] > 400
        assert any(url.endswith("optimized/blocks.4.2-plus/47.webp") for url in asked)
        assert not any(url.endswith("-0.webp") for url in asked)
        assert page.trouble == []


def test_an_image_grows_and_gives_the_place_back(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.2.1/7") as page:
        _drawn(page)
        tile = page.locator(".columns .three button.tile").nth(30)
        tile.focus()
        page.keyboard.press("Enter")
        large = page.locator("dialog img").first
        assert large.bounding_box()["width"] > 3 * tile.bounding_box()["width"]
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
        assert tile.evaluate("(node) => node === document.activeElement")
        _title(page, "blocks.2.1 channel 7")


def test_search_finds_layers_channels_and_labels(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri(), width=390) as page:
        _drawn(page)
        for text, expected in [
            ("blocks.3.2", "blocks.3.2"),
            ("BLOCKS.3.2 17", "blocks.3.2 channel 17"),
            ("blocks.4.2/102", "blocks.4.2 channel 102"),
            ("sea animal", "\u201csea animal\u201d"),
        ]:
            page.keyboard.press("/")
            page.locator("input[type=search]").fill(text)
            page.keyboard.press("Enter")
            _title(page, expected)
        found = page.locator("main section", has_text="Among their strongest images").locator("li")
        counts = [int(text.split(" of ")[0].split()[-1]) for text in found.all_inner_texts()]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] >= 3
        found.first.locator("a").click()
        page.wait_for_function("() => document.querySelector('.columns')")
        # The label that was searched stands among the values of the strongest images as often as the search said.
        strongest = page.locator(".columns section", has_text="Maximum")
        labels = strongest.locator(".values span").all_inner_texts()
        assert labels.count("sea animal") == counts[0]
        assert page.trouble == []


def test_the_theme_is_that_of_the_book(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri(), theme="dark") as page:
        _drawn(page)
        ground = "() => getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(ground)
        page.locator(".theme").click()
        assert (page.locator(".theme").inner_text(), page.evaluate(ground)) == (
            "Colors: light",
            "rgb(255, 255, 255)",
        )
        for _ in range(10):  # a browser keeps what was stored when it has time
            page.reload()
            _drawn(page)
            if page.evaluate(ground) != dark:
                break
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        page.goto((site / "book" / "index.html").as_uri())
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        page.evaluate("() => localStorage.clear()")
        page.reload()
        assert page.evaluate(ground) == dark


def test_without_data_or_script_it_says_so(site: Path, open_page: OpenPage, tmp_path: Path) -> None:
    for file in (site / "microscope").glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with open_page((tmp_path / "index.html").as_uri()) as page:
        page.get_by_text("The folder data has to lie beside this page.").wait_for()
    with open_page((site / "microscope" / "index.html").as_uri(), java_script_enabled=False) as page:
        assert page.locator("noscript p").is_visible()


def test_the_scale_is_gone_along_by_key_and_pointer(site: Path, open_page: OpenPage) -> None:
    """The nine images nearest to a value are shown; the arrow keys move along the scale, and not to another channel."""
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.4.2/102") as page:
        _drawn(page)
        slider, said = page.locator(".scrubber input"), page.locator(".scrubber output")
        highest = page.locator(".columns section").nth(4).locator(".values b").first.inner_text()
        slider.focus()
        page.keyboard.press("End")
        assert f"Near {highest}:" in said.inner_text()
        near = page.locator(".scrubber .strip li > span:last-child").all_inner_texts()
        assert (len(near), near[-1]) == (9, highest)
        page.keyboard.press("ArrowLeft")
        _title(page, "blocks.4.2 channel 102")
        assert f"Near {highest}:" not in said.inner_text()
        plot = page.locator(".histogram .plot")
        plot.click(position={"x": 0.14 * plot.bounding_box()["width"], "y": 20})
        assert float(slider.input_value()) < 25
        assert "higher than 0" in said.inner_text()
        assert page.locator(".made").count() == 2
        counts = [
            int(text.split(" of ")[0].replace(",", ""))
            for text in page.locator(".tenths div span").all_inner_texts()
        ]
        assert (len(counts), sum(counts)) == (10, 1200)
        assert page.trouble == []


def test_light_falls_where_the_channel_answered(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.2.1/7", width=390) as page:
        _drawn(page)
        page.get_by_role("button", name="Where it answered").click()
        assert page.locator(".columns canvas.light").count() == 36
        dark = "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, 14, 14).data].filter((_, n) => n % 4 === 3)"
        alphas = page.locator(".columns canvas.light").last.evaluate(dark)
        assert (len(alphas), min(alphas)) == (196, 0)
        assert max(alphas) > 200
        page.locator(".columns .three button.tile").last.click()
        assert page.locator("dialog canvas.light").count() == 1
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
        page.keyboard.press("l")
        page.wait_for_function("() => !document.querySelector('.columns canvas')")


def test_a_channel_can_be_taken_along(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.3.2/11") as page:
        _drawn(page)
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Save as JSON").click()
        assert waiting.value.suggested_filename == "blocks.3.2-11.json"
        found = json.loads(Path(waiting.value.path()).read_text(encoding="utf-8"))
        assert (found["layer"], found["channel"], len(found["scores"])) == ("blocks.3.2", 11, 1200)
        strongest = found["columns"][3]["images"][0]
        assert max(found["scores"], key=lambda pair: pair[1])[0] == strongest["image"]
        assert len(found["classes"]["up"]) == 5
        assert page.locator(".outputs tr").count() == 10
        assert page.locator(".labels:not(.left) li").count() == 3
        assert page.locator(".left li").count() == 4
        page.get_by_role("button", name="Copy link").click()
        page.locator(".tools button").first.get_by_text("Cop").or_(
            page.get_by_text("Not allowed")
        ).first.wait_for()


def test_the_drawn_network_leads_to_its_layers(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.3.2/11", width=390) as page:
        _drawn(page)
        assert page.locator(".route li").count() >= 12
        assert page.locator(".route a[aria-current]").inner_text() == "blocks.3.2"
        page.locator(".route a", has_text="blocks.4.2").click()
        _title(page, "blocks.4.2")


def test_the_objects_of_the_scenes_are_found(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#?car") as page:
        _drawn(page)
        assert page.locator("main section", has_text="Among their strongest images").locator("li").count() > 3
        objects = (
            page.locator("main p", has_text="Objects: ").inner_text().removeprefix("Objects: ").split(", ")
        )
        assert objects
        assert all("car" in name.split() for name in objects)  # no carrot


def test_what_is_left_has_bars_on_a_phone(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.5.3/151", width=390) as page:
        _drawn(page)
        assert "No picture was optimized" in page.locator("main").inner_text()
        wide = page.locator(".left li i").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().width)"
        )
        assert len(wide) == 4
        assert max(wide) > 60


DOORS = "book/segment-2/a-layer-complete.html"


def test_every_tile_of_a_sheet_is_a_door(site: Path, open_page: OpenPage) -> None:
    if not (site / DOORS).exists():
        pytest.skip(f"the site has no {DOORS}")
    with open_page((site / DOORS).as_uri()) as page:
        assert page.locator(".tile-door.of-sheet").count() == 2 * (80 + 112)
        tile = page.locator(".tile-door[href$='#blocks.4.2/47']").last
        tile.scroll_into_view_if_needed()
        tile.hover()
        card = page.locator(".peek .card")
        card.wait_for()
        assert "blocks.4.2, channel 47" in card.inner_text()
        assert card.locator("img").count() == 5
        card.locator("img").last.evaluate("async (img) => { await img.decode(); }")
        page.mouse.move(0, 0)
        card.wait_for(state="detached")
        page.locator("article p a[href$='#blocks.4.2/47']").first.focus()
        card.wait_for()
        page.keyboard.press("Enter")
        _title(page, "blocks.4.2 channel 47")
        page.locator(".spoken a", has_text="A layer, complete").click()
        page.locator("article h1").wait_for()
        assert page.url.split("#")[0].endswith(DOORS)
        assert page.trouble == []


def test_a_layer_without_optimized_pictures_shows_patches_and_leads_to_the_lab(
    site: Path, open_page: OpenPage
) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.6.0") as page:
        _drawn(page)
        assert page.locator(".choice button").all_inner_texts() == ["Strongest patch", "Weakest patch"]
        assert page.locator(".sheet .tile img").count() == 320
        page.locator(".sheet a.tile").nth(17).click()
        _title(page, "blocks.6.0 channel 17")
        assert page.locator(".columns h3").count() == 4
        grow = page.get_by_role("link", name="Grow it in the lab").get_attribute("href")
        assert grow == "../lab/index.html#grow/blocks.6.0/17/0"
        assert page.trouble == []


def test_a_channel_needs_its_own_file_alone(server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/404.html") as page:
        sizes: dict[str, int] = {}
        page.on("response", lambda one: sizes.update({one.url: len(one.body())}))
        page.goto(f"{server}/microscope/index.html#blocks.6.0/17")
        _drawn(page)
        page.wait_for_load_state("networkidle")
        data = [url for url in sizes if "/data/" in url]
        names = {
            url.partition("/data/")[2] for url in data
        }  # in the book, which chapters speak of channels, too
        assert names - {"chapters.js"} == {"blocks.6.0/17.js", "index.js"}
        code = [url for url in sizes if url.endswith((".js", ".css", ".html"))]
        assert sum(sizes[url] for url in code) < 150_000


def test_the_rest_of_the_site_is_at_hand(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.2.1/5", width=390) as page:
        _drawn(page)
        for link in page.locator(".foot .on a").all():
            assert (site / "microscope" / str(link.get_attribute("href"))).exists()
        back = page.locator(".bar .back")
        assert (back.inner_text(), back.get_attribute("aria-label")) == ("", "Looking inside a vision model")


SWIPE = """([x0, y0, x1, y1, selector]) => {
  const target = document.querySelector(selector);
  const at = (x, y) => [new Touch({ identifier: 1, target, clientX: x, clientY: y })];
  const tell = (kind, touches, changedTouches) =>
    target.dispatchEvent(new TouchEvent(kind, { bubbles: true, touches, changedTouches }));
  tell("touchstart", at(x0, y0), at(x0, y0));
  tell("touchend", [], at(x1, y1));
}"""


def _swipe(page: Any, start: tuple[int, int], end: tuple[int, int], on: str) -> None:
    page.evaluate(SWIPE, [*start, *end, on])


def test_a_swipe_leads_to_the_neighboring_channel(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.2.1/5", width=390) as page:
        _drawn(page)
        _swipe(page, (300, 200), (120, 210), ".facts")
        _title(page, "blocks.2.1 channel 6")
        _swipe(page, (120, 200), (300, 300), ".facts")  # more along the page than across
        _swipe(page, (300, 200), (120, 200), ".plot")  # on the histogram
        _swipe(page, (200, 90), (160, 90), "h1")  # not far
        _swipe(page, (120, 200), (300, 190), ".facts")
        _title(page, "blocks.2.1 channel 5")
        ways = page.locator(".ways").bounding_box()
        page.mouse.wheel(0, 900)
        assert page.locator(".ways").bounding_box() == ways


def test_a_tap_on_the_bars_shows_the_images_there(site: Path, open_page: OpenPage) -> None:
    with open_page((site / "microscope" / "index.html").as_uri() + "#blocks.2.1/5", width=390) as page:
        _drawn(page)
        box = page.locator(".plot").bounding_box()
        point = {
            "bubbles": True,
            "pointerType": "touch",
            "clientX": box["x"] + 0.85 * box["width"],
            "clientY": 9,
        }
        page.locator(".plot").dispatch_event("click", point)
        assert float(page.locator(".scrubber input").input_value()) > 450
