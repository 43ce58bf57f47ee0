"""The live figures by themselves, as a notebook shows them: what they say is what torch computes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from interp import image, interactive

from .conftest import OpenPage

ShowFigure = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def show(open_page: OpenPage, tmp_path: Path) -> ShowFigure:
    """Return `show(figure)`: a page that holds nothing but this figure."""

    @contextmanager
    def shown(figure: interactive.LiveFigure, **options: Any) -> Iterator[Any]:
        file = tmp_path / "figure.html"
        text = f"<!DOCTYPE html><html lang=en><title>A figure</title><body>{figure._repr_html_()}"
        file.write_text(text, encoding="utf-8")
        with open_page(file.as_uri(), **options) as page:
            page.wait_for_function("() => document.querySelector('.live').dataset.on")
            yield page
            assert page.trouble == []

    return shown


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _number(text: str) -> float:
    return float(re.findall(r"-?\d+\.?\d*", text.replace("\u2212", "-"))[-1])


def test_convolution_says_what_torch_computes(show: ShowFigure) -> None:
    photograph = _noise(1, 3, 24, 24)
    gray = (photograph.mean(dim=1, keepdim=True) * 255).round() / 255
    kernel = torch.tensor(interactive.KERNELS["Edges from left to right"]).float()
    with show(interactive.convolution(photograph, alt="Noise without meaning", size=24)) as page:
        sums = F.conv2d(gray, kernel[None, None])[0, 0]
        said = page.locator("output")
        assert _number(said.inner_text()) == pytest.approx(float(sums[11, 11]), abs=0.006)
        page.locator("[role=application]").focus()
        for key in ["ArrowRight"] * 3 + ["ArrowDown"] * 2:
            page.keyboard.press(key)
        assert said.inner_text().startswith("Row 14, column 15")
        assert _number(said.inner_text()) == pytest.approx(float(sums[13, 14]), abs=0.006)


def test_an_edited_kernel_counts_at_once(show: ShowFigure) -> None:
    photograph = _noise(1, 3, 24, 24)
    gray = (photograph.mean(dim=1, keepdim=True) * 255).round() / 255
    with show(interactive.convolution(photograph, alt="Noise without meaning", size=24)) as page:
        page.get_by_label("Kernel", exact=True).select_option("Identity")
        assert _number(page.locator("output").inner_text()) == pytest.approx(
            float(gray[0, 0, 12, 12]), abs=0.006
        )
        page.get_by_label("Kernel, row 2, column 2").fill("-3")
        assert _number(page.locator("output").inner_text()) == pytest.approx(
            -3 * float(gray[0, 0, 12, 12]), abs=0.006
        )


def test_the_window_follows_pointer_and_finger(show: ShowFigure) -> None:
    with show(
        interactive.convolution(_noise(1, 3, 24, 24), alt="Noise without meaning", size=24), width=390
    ) as page:
        box = page.locator("[role=application]").bounding_box()
        page.touchscreen.tap(box["x"] + 1, box["y"] + 1)
        assert page.locator("output").inner_text().startswith("Row 1, column 1:")
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2)
        assert page.locator("output").inner_text().startswith("Row 22, column 22:")


def test_the_border_between_two_pictures_moves(show: ShowFigure) -> None:
    figure = interactive.compare(
        _noise(1, 3, 32, 32),
        _noise(1, 3, 32, 32, seed=1),
        labels=("before", "after"),
        alt=("One noise", "Other noise"),
    )
    with show(figure) as page:
        slider = page.locator("input[type=range]")
        slider.focus()
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") == "60 % before, 40 % after"
        assert "60%" in page.get_by_alt_text("Other noise").get_attribute("style")


def test_a_thumb_that_scrolls_past_a_slider_changes_nothing(show: ShowFigure) -> None:
    labels, alts = ("before", "after"), ("One noise", "Other noise")
    figure = interactive.compare(_noise(1, 3, 32, 32), _noise(1, 3, 32, 32, seed=1), labels=labels, alt=alts)
    with show(figure, width=390) as page:
        slider = page.locator("input[type=range]")
        slider.dispatch_event("pointerdown")
        slider.fill("80")
        assert "80%" in page.get_by_alt_text("Other noise").get_attribute("style")
        slider.dispatch_event("pointercancel")
        assert "50%" in page.get_by_alt_text("Other noise").get_attribute("style")


def test_a_kernel_of_ones_own_is_called_so(show: ShowFigure) -> None:
    with show(interactive.convolution(_noise(1, 3, 24, 24), alt="Noise", size=24)) as page:
        choice = page.get_by_label("Kernel", exact=True)
        page.get_by_label("Kernel, row 2, column 2").fill("-3")
        assert choice.input_value() == "Your own"
        choice.select_option("Identity")
        assert page.locator(".total").inner_text() == page.locator("output").inner_text().split()[-1]


def test_a_growing_picture_says_step_and_value(show: ShowFigure) -> None:
    values, steps = (
        [0.5 + 0.25 * n for n in range(16)],
        [*range(15), 512],
    )  # long enough to be seen by a busy machine
    figure = interactive.scrub(_noise(16, 3, 32, 32), values, steps, alt="A channel")
    with show(figure) as page:
        said, slider = page.locator("output"), page.locator("input[type=range]")
        at_last = "text => document.querySelector('output').textContent.startsWith('Step 512:') === text"
        for is_last in (False, True):  # it plays once by itself
            page.wait_for_function(at_last, arg=is_last)
        page.get_by_role("button", name="Play").wait_for()
        assert said.inner_text() == "Step 512: activation 4.25"
        slider.focus()
        page.keyboard.press("Home")
        assert said.inner_text() == "Step 0: activation 0.500"
        page.get_by_role("button", name="Play").click()
        page.wait_for_function(at_last, arg=True)
        assert page.locator(".tile").get_attribute("aria-label") == "A channel, at step 512"


def test_nothing_plays_for_those_who_want_less_motion(show: ShowFigure) -> None:
    figure = interactive.scrub(_noise(4, 3, 32, 32), [0.5, 1, 2, 4], [0, 8, 64, 512], alt="A channel")
    with show(figure, reduced_motion="reduce") as page:
        assert page.get_by_role("button").count() == 0
        assert page.locator("input[type=range]").is_visible()


def test_a_place_names_the_strongest_channels(show: ShowFigure) -> None:
    activations, names = _noise(8, 4, 4), [f"channel {n}" for n in range(8)]
    figure = interactive.activation_grid(
        _noise(1, 3, 32, 32),
        activations,
        _noise(8, 3, 16, 16),
        names,
        alt="Noise without meaning",
        strongest=2,
    )
    with show(figure) as page:
        box = page.locator("[role=application]").bounding_box()
        for row, column in [(0, 0), (2, 3)]:
            page.mouse.move(
                box["x"] + box["width"] * (column + 0.5) / 4, box["y"] + box["height"] * (row + 0.5) / 4
            )
            best = ", ".join(names[n] for n in activations[:, row, column].topk(2).indices)
            assert page.locator("output").inner_text() == f"Row {row + 1}, column {column + 1}: {best}"


def test_the_evidence_of_a_place_is_listed_for_the_chosen_class(show: ShowFigure) -> None:
    activations, weights, bias = _noise(9, 4, 4), 4 * _noise(2, 9, seed=1) - 2, torch.tensor([0.5, -0.25])
    figure = interactive.evidence(
        _noise(1, 3, 32, 32), activations, weights, bias, ["cat", "cup"], alt="Noise without meaning"
    )
    heat = torch.einsum("kc,chw->khw", weights, activations)
    with show(figure, width=390) as page:
        said, photo = page.locator("output"), page.locator("[role=application]")
        page.get_by_label("Class", exact=True).select_option("cup")
        box = photo.bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.6)
        page.keyboard.press("ArrowRight")
        assert said.inner_text().startswith("Row 3, column 3, cup: ")
        assert _number(said.inner_text().rstrip(".")) == pytest.approx(
            float(heat[1].mean() + bias[1]), abs=0.006
        )
        numbers = [_number(text) for text in page.locator(".ledger td").all_inner_texts()]
        assert numbers[-1] == pytest.approx(float(heat[1, 2, 2]), abs=0.006)
        assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=1e-6)
        first = page.locator(".ledger th").first.inner_text()
        assert first == f"channel {int((weights[1] * activations[:, 2, 2]).argmax())}"
        page.mouse.wheel(0, 200)
        assert said.inner_text().startswith("Row 3, column 3, cup: ")


def test_the_spectrum_counts_what_lies_below(show: ShowFigure) -> None:
    values = torch.linspace(-2, 6, 801)
    counts, edges = torch.histogram(values, 16)
    chosen = values[::100]
    figure = interactive.spectrum(
        _noise(len(chosen), 3, 16, 16),
        chosen.tolist(),
        counts.int().tolist(),
        edges.tolist(),
        names=[f"image {n}" for n in range(len(chosen))],
        label="channel 3",
    )
    with show(figure) as page:
        slider, said = page.locator("input[type=range]"), page.locator("output")
        slider.focus()
        page.keyboard.press("Home")
        assert said.inner_text() == "channel 3 \u22122.00: lower than all 801 images"
        page.keyboard.press("End")
        assert said.inner_text() == "channel 3 6.00: higher than all 801 images"
        slider.fill("50")
        share = 100 * float((values < 0).float().mean())
        assert said.inner_text().startswith("channel 3 0.00: above ")
        assert float(said.inner_text().split()[4]) == pytest.approx(share, abs=0.5)
        assert page.locator(".tile.near").get_attribute("aria-label") == "image 2, channel 3 0.00"


def test_depth_follows_the_slider(show: ShowFigure) -> None:
    maps = {"shallow": _noise(4, 16, 16), "deep": _noise(9, 4, 4)}
    with show(interactive.depth(_noise(1, 3, 32, 32), maps, alt="Noise without meaning")) as page:
        page.locator("input[type=range]").focus()
        page.keyboard.press("End")
        assert page.locator("output").inner_text() == "deep: 9 channels of 4 × 4"
        assert (
            page.locator("img.pixels").evaluate("async (i) => { await i.decode(); return i.naturalWidth }")
            == 12
        )


def test_a_dial_says_what_is_chosen_and_where_it_stands(show: ShowFigure) -> None:
    figure = interactive.dial(
        {"L2": _noise(3, 3, 16, 16), "blur": _noise(3, 3, 16, 16, seed=1)},
        {"L2": ["0", "100", "300"], "blur": ["0", "0.1", "0.5"]},
        {
            "activation": {"L2": [4, 3, 2], "blur": [4, 2, -1]},
            "grain": {"L2": [1, 1, 1], "blur": [1, 0.5, 0.25]},
        },
        alt="A channel",
        knob="strength",
    )
    with show(figure, width=390) as page:
        slider, said = page.get_by_role("slider", name="strength"), page.locator("output")
        assert said.inner_text() == "L2, strength 0: activation 4.00, grain 1.00"  # nothing plays by itself
        slider.focus()
        page.keyboard.press("End")
        assert said.inner_text() == "L2, strength 300: activation 2.00, grain 1.00"
        page.get_by_role("radio", name="L2").press("ArrowDown")
        words = "blur, strength 0.5: activation \u22121.00, grain 0.25"
        assert said.inner_text() == slider.get_attribute("aria-valuetext") == words
        assert page.locator(".tile").get_attribute("aria-label") == f"A channel: {words}"
        strong = page.locator(".line.on").evaluate_all("lines => lines.map((l) => l.points.length)")
        assert strong == [3, 3]
        places = page.locator(".dot").evaluate_all(
            "dots => dots.map((d) => [+d.getAttribute('cx'), +d.getAttribute('cy')])"
        )
        assert places == [pytest.approx([292, 82]), pytest.approx([292, 82 - 74 / 4])]
        box, frame = page.locator(".tile").bounding_box(), page.locator(".live").bounding_box()
        assert box["width"] == pytest.approx(frame["width"])  # as wide as a phone
        slider.dispatch_event("pointerdown")
        slider.fill("0")
        slider.dispatch_event("pointercancel")  # a thumb that scrolled past
        assert said.inner_text() == words


def test_the_still_picture_is_sharp_enough() -> None:
    figure = interactive.convolution(_noise(1, 3, 24, 24), alt="Noise without meaning", size=24)
    assert figure.picture.width >= 2 * 600
    assert image.from_pil(figure.picture).shape[1] == 3
