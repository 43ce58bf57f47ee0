"""The lab in a browser: nothing before the click, torch's answers after it, keyboard, folder, phone, no script."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from interp import featurevis, hooks, image, lab, zoo
from interp.lab.examples import COLORS
from tests.browser.conftest import BROWSERS, SANDBOX_OFF, OpenPage

FIRST = "document.querySelector('.top')?.children.length === 5 && !document.body.hasAttribute('aria-busy')"


@pytest.fixture
def folder(site: Path) -> Path:
    if not (site / "lab" / "index.html").is_file():
        pytest.skip("the built site has no lab: `make book` writes it")
    return site / "lab"


def until(page: Any, expression: str) -> None:
    """Wait until an expression holds; the page's policy does not let playwright's own way of waiting work."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not in a minute: {expression}; the page says {page.inner_text('.status')!r}")


def loaded(page: Any) -> None:
    page.click(".load")
    page.wait_for_selector(".own:not([hidden])")


def looked(page: Any, name: str) -> None:
    page.evaluate("document.querySelector('.top').replaceChildren()")
    page.click(f"#{name} button")
    until(page, FIRST)


def test_nothing_heavy_is_asked_for_before_the_click(folder: Path, server: str, open_page: OpenPage) -> None:
    asked: list[str] = []
    with open_page(f"{server}/lab/index.html") as page:
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        page.wait_for_load_state("networkidle")
        assert not [url for url in asked if "weights" in url]
        loaded(page)
        assert len([url for url in asked if "weights" in url]) == 1
        page.reload()
        asked.clear()
        loaded(page)
        assert not [url for url in asked if "weights" in url]  # the browser has kept it
        assert page.trouble == []


@pytest.mark.parametrize("from_folder", [False, True])
def test_the_answers_are_those_of_torch(
    folder: Path, server: str, open_page: OpenPage, from_folder: bool
) -> None:
    address = f"file://{folder}/index.html" if from_folder else f"{server}/lab/index.html"
    model = zoo.load_model()
    with open_page(address) as page:
        loaded(page)
        for file in sorted((folder / "examples").glob("*-map.webp")):
            name = file.stem.removesuffix("-map")
            looked(page, name)
            said = page.locator(".top button span:first-of-type").all_inner_texts()
            with torch.no_grad():
                logits = model(image.load(folder / "examples" / f"{name}.webp"))[0]
            order = logits.topk(6)
            assert said[0] == model.class_names[order.indices[0]]
            clear = [
                n for n in range(5) if order.values[n] - order.values[n + 1] > 0.05
            ]  # 16 bits keep these in order
            assert {said[n] for n in range(max(clear, default=0) + 1)} == {
                model.class_names[index] for index in order.indices[: max(clear, default=0) + 1]
            }
        assert page.trouble == []


def test_a_class_a_place_and_a_channel(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html#coffee") as page:
        loaded(page)
        until(page, FIRST)
        page.fill(".find input", "cup")
        page.press(".find input", "Enter")
        until(page, "/^Map of cup/.test(document.querySelector('.status').textContent)")
        assert "#coffee/cup" in page.url
        page.locator(".cells button").first.focus()
        for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        until(page, "/^Row 3, column 3, cup/.test(document.querySelector('.status').textContent)")
        page.locator(".channels button").first.click()
        until(page, "/^cup: logit/.test(document.querySelector('.status').textContent)")
        before, after = page.inner_text(".status").split(" before, ")
        assert float(after.split(" now")[0].replace("\u2212", "-")) < float(
            before.split("logit ")[1].replace("\u2212", "-")
        )
        assert page.trouble == []


def test_more_and_more_is_erased(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html") as page:
        loaded(page)
        looked(page, "coffee")
        page.click(".delete")
        until(page, "/^Mean logit over the curve: map/.test(document.querySelector('.status').textContent)")
        assert page.locator(".curves polyline").count() == 3
        page.click(".erase")
        until(page, "/without the hottest five/.test(document.querySelector('.status').textContent)")
        assert page.locator(".erased tbody tr").count() == 4
        assert page.trouble == []


def test_a_guess_comes_before_the_map(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html") as page:
        loaded(page)
        page.check(".first input")
        looked(page, "coffee")
        assert not page.locator(".heat").is_visible()
        assert not page.locator("[name=kind]").first.is_visible()  # nothing to turn yet
        for place in (23, 24, 25, 25):
            page.locator(".cells button").nth(place).click()
        page.click(".reveal")
        until(page, "/^Your 2 places hold/.test(document.querySelector('.status').textContent)")
        assert page.locator(".heat").is_visible()
        assert page.locator("[name=kind]").first.is_visible()
        assert page.trouble == []


def test_a_picture_grows_and_can_be_stopped(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html") as page:
        loaded(page)
        page.fill(".grow [name=channel]", "999")
        page.click(".grow .go")
        until(page, "/^Step/.test(document.querySelector('.grown figcaption').textContent)")
        assert page.input_value(".grow [name=channel]") == "79"
        page.click(".grow .stop")
        until(page, "/channel 79, seed 0: .* after/.test(document.querySelector('.status').textContent)")
        with page.expect_download() as held:
            page.click(".grow .save")
        assert held.value.suggested_filename == "blocks.3.2-79.png"
        assert page.trouble == []


def test_files_that_are_no_pictures_get_one_sentence(
    folder: Path, server: str, open_page: OpenPage, tmp_path: Path
) -> None:
    (tmp_path / "letter.jpg").write_text("no picture")
    with open_page(f"{server}/lab/index.html") as page:
        loaded(page)
        page.set_input_files(".file input", str(tmp_path / "letter.jpg"))
        page.wait_for_selector(".status.bad")
        assert "letter.jpg" in page.inner_text(".status")


def seen(page: Any) -> np.ndarray:
    """Return the square that the network sees, (H, W, 3)."""
    read = """(() => { const shown = document.querySelector('.picture'), one = document.createElement('canvas');
      Object.assign(one, { width: shown.width, height: shown.height });
      const context = one.getContext('2d', { willReadFrequently: true });
      context.drawImage(shown, 0, 0);
      return [...context.getImageData(0, 0, one.width, one.height).data]; })()"""
    values = np.array(page.evaluate(read), dtype=np.float64)
    side = round((len(values) / 4) ** 0.5)
    return values.reshape(side, side, 4)[..., :3]


def given(page: Any, path: Path) -> np.ndarray:
    """Give the lab a file, wait for its answer, and return what it saw."""
    page.evaluate("document.querySelector('.top').replaceChildren()")
    page.set_input_files(".file input", str(path))
    until(page, FIRST)
    return seen(page)


def test_photographs_are_upright_on_white_and_of_a_size_that_fits(
    folder: Path, server: str, open_page: OpenPage, tmp_path: Path
) -> None:
    upright = Image.open(folder / "examples" / "cat.webp").convert("RGB")
    upright.save(tmp_path / "upright.png")
    lying, turned = upright.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    turned[0x0112] = 6  # a quarter turn back, as a telephone writes it
    lying.save(tmp_path / "lying.jpg", quality=95, exif=turned)
    upright.resize((5600, 5600)).save(tmp_path / "huge.jpg", quality=90)  # 31 megapixels
    Image.new("RGBA", (300, 200), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    with open_page(f"{server}/lab/index.html") as page:
        loaded(page)
        plain = given(page, tmp_path / "upright.png")
        assert np.array_equal(plain, np.asarray(upright))
        assert np.abs(given(page, tmp_path / "lying.jpg") - plain).mean() < 4
        assert np.abs(given(page, tmp_path / "huge.jpg") - plain).mean() < 4
        assert given(page, tmp_path / "clear.png").min() == 255
        assert page.trouble == []


@pytest.mark.parametrize("name", ["photo.heic", "cut.png", "empty.jpg"])
def test_what_the_browser_cannot_read_gets_one_sentence_and_the_lab_goes_on(
    folder: Path, server: str, open_page: OpenPage, tmp_path: Path, name: str
) -> None:
    Image.effect_noise((300, 300), 60).save(tmp_path / "whole.png")
    held = {"photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "empty.jpg": b""}
    (tmp_path / name).write_bytes(held.get(name, (tmp_path / "whole.png").read_bytes()[:40]))
    with open_page(f"{server}/lab/index.html") as page:
        loaded(page)
        page.set_input_files(".file input", str(tmp_path / name))
        page.wait_for_selector(".status.bad")
        assert name in page.inner_text(".status")
        assert "HEIC" in page.inner_text(".status")
        looked(page, "cat")
        assert not page.locator(".status.bad").count()


def test_a_browser_that_puts_noise_into_pictures_is_told(
    folder: Path, server: str, open_page: OpenPage
) -> None:
    noisy = """const read = CanvasRenderingContext2D.prototype.getImageData;
      CanvasRenderingContext2D.prototype.getImageData = function (...where) {
        const found = read.apply(this, where); found.data[0] ^= 1; return found; };"""
    with open_page(f"{server}/lab/index.html") as page:
        page.add_init_script(noisy)
        page.reload()
        loaded(page)
        assert "noise" in page.inner_text(".status")


def answered(text: str, route: Any) -> None:
    route.fulfill(body=text, content_type="text/javascript")


def test_without_webassembly_and_without_workers_it_answers_the_same(
    folder: Path, server: str, open_page: OpenPage
) -> None:
    said = {}
    for kind in ("as it is", "no wasm", "no worker"):
        with open_page(f"{server}/lab/index.html") as page:
            if (
                kind == "no wasm"
            ):  # a worker knows nothing of what a test does to its page: the kernels are spoilt
                text = (folder / "plan.js").read_text().replace('"kernels":"', '"kernels":"AAAA')
                page.route("**/plan.js", functools.partial(answered, text))
            if kind == "no worker":
                page.add_init_script("delete globalThis.Worker")
            page.reload()
            loaded(page)
            assert ("no WebAssembly" in page.inner_text(".status")) == (kind == "no wasm")
            looked(page, "coffee")
            said[kind] = page.inner_text(".top"), page.inner_text(".about")
            assert page.trouble == []
    assert said["no wasm"] == said["no worker"] == said["as it is"]


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        ("coffee/espresso//shuffle", "^evidence: .* after shuffling"),
        ("coffee/espresso//erase", "without the hottest five"),
        ("cat/tabby/24/saliency", "."),
    ],
)
def test_an_address_opens_the_lab_in_its_state(
    folder: Path, server: str, open_page: OpenPage, place: str, wanted: str
) -> None:
    with open_page(f"{server}/lab/index.html#{place}") as page:
        loaded(page)
        until(page, f"/{wanted}/.test(document.querySelector('.status').textContent) && {FIRST}")
        until(page, f"location.hash === {('#' + place)!r}")
        assert page.locator(".shuffled canvas").count() == (6 if "shuffle" in place else 0)
        assert page.is_checked("[value=saliency]") == ("saliency" in place)
        assert page.trouble == []


def test_what_is_asked_for_meanwhile_is_done_in_turn(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html#cat/tabby/24") as page:
        loaded(page)
        until(page, "document.querySelectorAll('.channels button').length")
        until(page, FIRST)
        rows = page.locator(".channels tbody th").all_inner_texts()
        page.evaluate(
            "[...document.querySelectorAll('.channels .buttons :first-child')].slice(0, 3).forEach(one => one.click())"
        )
        until(page, f"document.querySelector('.offs').textContent.includes({', '.join(rows[:3])!r})")
        page.evaluate("document.querySelector('.erase').click(); location.hash = '#rocket/missile/3/erase'")
        page.evaluate("location.hash = '#coffee/cup/10'")
        until(page, "location.hash === '#coffee/cup/10' && !document.body.hasAttribute('aria-busy')")
        page.wait_for_timeout(500)
        assert page.evaluate("location.hash") == "#coffee/cup/10"
        assert page.inner_text(".top [aria-pressed=true] span:first-of-type") == "cup"
        page.focus(".top li:nth-child(2) button")
        page.keyboard.press("Enter")
        until(page, f"/^Map of/.test(document.querySelector('.status').textContent) && {FIRST}")
        assert page.evaluate("document.activeElement === document.querySelectorAll('.top button')[1]")


def test_two_pictures_grow_beside_one_another(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html#grow/blocks.1.0/3/5/transforms") as page:
        loaded(page)
        until(
            page, "/without turning: .* after 96 steps/.test(document.querySelector('.status').textContent)"
        )
        assert page.locator(".grown:visible").count() == 2
        numbers = [
            text.split(": ")[1].split(" after")[0]
            for text in page.locator(".grown figcaption").all_inner_texts()
        ]
        assert float(numbers[1].replace("\u2212", "-")) > float(
            numbers[0].replace("\u2212", "-")
        )  # nothing to survive
        assert page.trouble == []


def test_a_photograph_is_watched_through_the_depth(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html") as page:
        loaded(page)
        looked(page, "cat")
        assert page.inner_text(".at").startswith("act_head, ")
        page.focus(".layer")
        page.keyboard.press("Home")
        until(page, "document.querySelector('.at').textContent.startsWith('act_stem, 1 of')")
        assert page.evaluate("document.querySelector('.size').width") == 112
        page.click(".walk")
        until(page, "document.querySelector('.at').textContent.startsWith('act_head')")
        assert page.trouble == []


def test_memory_stays_small(folder: Path, server: str, browser: Any) -> None:
    alone = browser.browser_type.launch(
        executable_path=next(filter(None, map(shutil.which, BROWSERS)), None), args=SANDBOX_OFF
    )  # whose other pages are none of other tests
    page = alone.new_page()
    page.goto(f"{server}/lab/index.html")
    loaded(page)
    looked(page, "cat")
    page.click(".shuffle")
    until(page, "/after shuffling/.test(document.querySelector('.status').textContent)")
    found = alone.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    pages = [Path(f"/proc/{one['id']}/status") for one in found if one["type"] == "renderer"]
    lines = [line for path in pages if path.is_file() for line in path.read_text().splitlines()]
    alone.close()
    held = [int(line.split()[1]) for line in lines if line.startswith("RssAnon")]  # kilobytes
    if not held:
        pytest.skip("no /proc: what a process holds cannot be read here")
    assert max(held) < 300e3


def photographs(folder: Path) -> dict[Path, torch.Tensor]:
    """Write twenty squares of the size that the network sees, and return them with what a page reads."""
    names = zoo.photograph_names()[:10]
    squares = torch.cat([zoo.example_images(name, size=224) for name in names])
    found = {}
    for number, square in enumerate(torch.cat([squares, squares.flip(3)])):
        image.save(square[None], folder / f"{number}.png")
        found[folder / f"{number}.png"] = image.load(folder / f"{number}.png")
    return found


def shown(page: Any) -> torch.Tensor:
    """Return the small map beside the photograph, (7, 7) in [0, 1], read back from its colors."""
    read = """(() => { const small = document.querySelector('.other canvas'), one = document.createElement('canvas');
      const context = one.getContext('2d', { willReadFrequently: true });
      context.drawImage(small, 0, 0);
      return [...context.getImageData(0, 0, 7, 7).data]; })()"""
    pixels = torch.tensor(page.evaluate(read), dtype=torch.float32).view(7, 7, 4)[..., :3]
    stops, share = torch.tensor(COLORS, dtype=torch.float32), torch.linspace(0, 1, 2001)
    place = share * (len(stops) - 1)
    low = place.long().clamp(max=len(stops) - 2)
    scale = stops[low] + (place - low)[:, None] * (stops[low + 1] - stops[low])
    return share[torch.cdist(pixels.flatten(0, 1), scale).argmin(1)].view(7, 7)


@pytest.mark.parametrize("from_folder", [False, True])
@torch.no_grad()
def test_twenty_photographs_have_torchs_classes_and_maps(
    folder: Path, server: str, open_page: OpenPage, tmp_path: Path, from_folder: bool
) -> None:
    model = zoo.load_model()
    with open_page(f"file://{folder}/index.html" if from_folder else f"{server}/lab/index.html") as page:
        loaded(page)
        looked(page, "coffee")
        page.check("[value=saliency]")  # the map of evidence is then the small one, in its own places
        for file, images in photographs(tmp_path).items():
            given(page, file)
            said = page.locator(".top button span:first-of-type").all_inner_texts()
            logits, deep = model(images)[0], hooks.activations(model, images, "act_head")[0]
            order = logits.topk(6)
            clear = [
                n for n in range(5) if order.values[n] - order.values[n + 1] > 0.1
            ]  # 16 bits keep these apart
            count = max(clear, default=-1) + 1
            assert set(said[:count]) == {model.class_names[index] for index in order.indices[:count]}
            first = model.class_names.index(said[0])
            wanted = torch.einsum("c,chw->hw", model.classifier.weight[first], deep).relu()
            both = torch.stack([shown(page).flatten(), wanted.flatten()])
            assert float(torch.corrcoef(both)[0, 1]) > 0.999, file.name
        assert page.trouble == []


def test_a_picture_grows_as_far_as_in_python_and_the_same_twice(
    folder: Path, server: str, open_page: OpenPage
) -> None:
    read = "document.querySelector('.grown canvas').toDataURL()"
    with open_page(f"{server}/lab/index.html") as page:
        loaded(page)
        pictures, numbers = [], []
        for _ in range(2):
            page.evaluate("document.querySelector('.status').textContent = ''")
            page.click(".grow .go")
            until(page, "/after 96 steps/.test(document.querySelector('.status').textContent)")
            pictures.append(page.evaluate(read))
            numbers.append(page.inner_text(".grown figcaption >> nth=0").split(": ")[1].split(" after")[0])
        assert page.trouble == []
    assert pictures[0] == pictures[1]
    python = featurevis.render(zoo.load_model(), featurevis.channel("blocks.3.2", 44), steps=96, size=128)
    assert float(numbers[0]) > 0.8 * float(python.score)


def test_all_of_it_can_be_done_with_the_keyboard(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html") as page:
        reached(page, ".load")
        page.keyboard.press("Enter")
        page.wait_for_selector(".own:not([hidden])")
        reached(page, "#coffee button")
        page.keyboard.press("Enter")
        until(page, FIRST)
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        for wanted, words in (
            ("[name=kind]", None),
            (".erase", "without the hottest five"),
            (".delete", "^Mean logit over the curve"),
            (".walk", "Mean logit"),
            (".grow .go", "after 96 steps"),
            (".grow .save", "after 96 steps"),
        ):
            reached(page, wanted)
            if words and wanted != ".grow .save":
                page.keyboard.press("Enter")
                until(page, f"/{words}/.test(document.querySelector('.status').textContent)")
        assert page.trouble == []


def reached(page: Any, wanted: str) -> None:
    """Press Tab until something has the focus, and see that it is marked."""
    for _ in range(120):
        if page.evaluate(f"document.activeElement.matches({wanted!r})"):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {wanted}")


def test_the_page_cannot_reach_another_site(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html") as page:
        asked = "fetch('http://localhost:9/').then(() => 'went', () => 'held back')"
        told = """new Promise(done => { document.addEventListener('securitypolicyviolation',
          event => done(event.effectiveDirective)); fetch('http://localhost:9/').catch(() => 0); })"""
        assert page.evaluate(asked) == "held back"
        assert page.evaluate(told) == "connect-src"


def test_loading_can_be_cancelled_and_begun_again(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html") as page:
        held: list[Any] = []
        page.route("**/weights-*", lambda route: held.append(route))  # no answer
        page.click(".load")
        page.wait_for_selector(".cancel:not([hidden])")
        page.click(".cancel")
        until(page, "document.querySelector('.status').textContent === 'Cancelled.'")
        assert not page.locator(".cancel").is_visible()
        page.unroute("**/weights-*")
        loaded(page)


def test_a_channel_of_the_last_layer_has_scenes_and_grows(
    folder: Path, server: str, open_page: OpenPage
) -> None:
    with open_page(f"{server}/lab/index.html#coffee/espresso/24//5,7") as page:
        loaded(page)
        until(page, f"{FIRST} && document.querySelectorAll('.offs:not([hidden])').length")
        assert "5, 7" in page.inner_text(".offs")
        until(page, "[...document.querySelectorAll('.scenes img')].length === 24")
        page.locator(".channels").scroll_into_view_if_needed()
        until(page, "[...document.querySelectorAll('.scenes img')].every(one => one.naturalWidth > 0)")
        assert page.locator(".tiles a img").count() == 18
        assert page.locator(".other canvas").is_visible()
        channel = page.locator(".channels tbody th").first.inner_text()
        page.locator(".channels tbody tr").first.get_by_role("button").nth(1).click()
        until(page, "/^Step/.test(document.querySelector('.grown figcaption').textContent)")
        page.click(".grow .stop")
        until(
            page,
            f"/act_head, channel {channel}, seed 0: .* after/.test(document.querySelector('.status').textContent)",
        )
        assert page.trouble == []


def test_an_address_says_how_many_steps(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html#grow/blocks.1.0/3/5//32/still") as page:
        loaded(page)
        until(
            page, "/without turning: .* after 32 steps/.test(document.querySelector('.status').textContent)"
        )
        assert page.evaluate("location.hash") == "#grow/blocks.1.0/3/5//32/still"
        assert page.trouble == []


def test_damaged_weights_are_refused_and_asked_for_again(
    folder: Path, server: str, open_page: OpenPage
) -> None:
    with open_page(f"{server}/lab/index.html") as page:
        page.route("**/weights-*", lambda route: route.fulfill(body=b"\x1f\x8bdamaged"))
        page.click(".load")
        page.wait_for_selector(".status.bad")
        assert page.inner_text(".load") == "Try again"
        page.unroute("**/weights-*")
        loaded(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_it_fits_and_fingers_find_it(
    folder: Path, server: str, open_page: OpenPage, theme: str
) -> None:
    with open_page(f"{server}/lab/index.html", width=390, theme=theme) as page:
        loaded(page)
        looked(page, "cat")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        small = "[...document.querySelectorAll('main button')].filter(one => one.offsetParent && one.offsetHeight < 44)"
        assert page.evaluate(f"{small}.length") == 0


def test_on_the_smallest_phones_the_channels_fit(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html#cat/tabby/24", width=320) as page:
        loaded(page)
        until(page, "document.querySelectorAll('.channels button').length")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_without_javascript_the_examples_stay(folder: Path, server: str, open_page: OpenPage) -> None:
    with open_page(f"{server}/lab/index.html", java_script_enabled=False) as page:
        assert page.locator(".example img").count() == 12
        assert page.locator("main button:visible").count() == 0
        assert page.locator("noscript p").is_visible()


def test_the_example_pictures_are_the_networks(folder: Path) -> None:
    heat, shares = lab.evidence(zoo.load_model(), image.load(folder / "examples" / "cat.webp"))
    assert heat.shape == (7, 7)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-4)
