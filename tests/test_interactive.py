"""Live figures: their HTML is safe and complete by itself, and their data say what the tensors say."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
import torch
from bs4 import BeautifulSoup, Tag
from PIL import Image as PILImage
from torch import Tensor

from interp import image, interactive
from interp.errors import BadInputError

HOSTILE = "\"'><script>alert(1)</script><!--</div>&amp; \u2028\\ ${x}"
EDGES = [0.0, 0.5, 1.0, 2.0]


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _flat(*levels: float) -> Tensor:
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)


FIGURES: dict[str, Callable[[str], interactive.LiveFigure]] = {
    "convolution": lambda text: interactive.convolution(
        _noise(1, 3, 40, 50), alt=text, kernels={text: [[1, 2, 3]] * 3}, size=12
    ),
    "compare": lambda text: interactive.compare(
        _noise(1, 3, 20, 30), _noise(1, 3, 20, 30, seed=1), labels=(text, text), alt=(text, text)
    ),
    "scrub": lambda text: interactive.scrub(
        _noise(5, 3, 16, 16), [1, 2, 3, 2, 4], [0, 1, 2, 3, 9], alt=text, label=text
    ),
    "grid": lambda text: interactive.activation_grid(
        _noise(1, 3, 32, 32), _noise(6, 3, 4), _noise(6, 3, 8, 8), [text] * 6, alt=text
    ),
    "evidence": lambda text: interactive.evidence(
        _noise(1, 3, 32, 32), _noise(9, 3, 4), _noise(2, 9) - 0.5, _noise(2), [text, "b"], alt=text
    ),
    "spectrum": lambda text: interactive.spectrum(
        _flat(0.2, 0.1, 0.9), [0.4, 0.1, 1.5], [3, 4, 5], EDGES, names=[text] * 3, label=text
    ),
    "depth": lambda text: interactive.depth(
        _noise(1, 3, 32, 32), {text: _noise(20, 8, 8), "b": _noise(3, 4, 4)}, alt=text
    ),
    "dial": lambda text: interactive.dial(
        {text: _noise(3, 3, 16, 16), "b": _noise(3, 3, 16, 16, seed=1)},
        [text, "1", "2"],
        {text: {text: [0, 1, 2], "b": [2, 1, 0]}},
        alt=text,
        knob=text,
        choice=text,
    ),
}


@pytest.fixture(params=sorted(FIGURES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _parse(figure: interactive.LiveFigure) -> tuple[Tag, Any]:
    page = BeautifulSoup(figure._repr_html_(), "html.parser")
    (root,) = page.find_all(recursive=False)
    return root, json.loads(root.select_one("script[type='application/json']").string)


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [value] if isinstance(value, str) else []


def _picture(address: str) -> Tensor:
    head, _, content = address.partition(",")
    assert head == "data:image/webp;base64"
    return image.from_pil(PILImage.open(io.BytesIO(base64.b64decode(content))))


def test_hostile_words_stay_words(kind: str) -> None:
    root, data = _parse(FIGURES[kind](HOSTILE))
    assert [child.name for child in root.find_all(recursive=False)] == ["style", "div", "script", "script"]
    assert len(root.find_all("script")) == 2
    assert HOSTILE in root.select_one(".stage img")["alt"]
    assert any(HOSTILE in text for text in _strings(data))


def test_a_figure_asks_nobody_for_anything(kind: str) -> None:
    markup = FIGURES[kind]("plain words")._repr_html_().replace("http://www.w3.org/2000/svg", "")
    root = BeautifulSoup(markup, "html.parser")
    assert "http" not in markup
    assert "@import" not in markup
    assert all(tag["src"].startswith("data:") for tag in root.select("[src]"))
    assert not root.select("[href], link, iframe")


def test_a_still_picture_is_inside(kind: str) -> None:
    root, _ = _parse(FIGURES[kind]("plain words"))
    still = root.select_one(".stage img")
    picture = _picture(still["src"])
    assert "plain words" in still["alt"]
    assert picture.std() > 0.01  # it shows something
    assert abs(int(still["width"]) * 2 - picture.shape[3]) <= 1
    assert int(still["width"]) <= 704


def test_every_figure_has_its_script(kind: str) -> None:
    root, _ = _parse(FIGURES[kind]("plain words"))
    code = root.find_all("script")[1].string
    assert f'interpLive.define("{kind}"' in code
    assert code.count("window.interpLive = ") == 1
    assert kind == root["data-kind"]


def test_no_script_can_end_its_element() -> None:
    inlined = [
        file
        for file in files("interp").joinpath("templates").iterdir()
        if file.name.endswith((".js", ".css"))
        and not file.name.startswith(("microscope", "atlas", "audit"))  # files of their own
    ]
    assert len(inlined) == len(FIGURES) + 2
    for file in inlined:
        text = file.read_text(encoding="utf-8")
        assert "</" not in text
        assert "<!--" not in text


def test_arguments_are_left_alone() -> None:
    photograph, maps = _noise(1, 3, 32, 32), _noise(5, 4, 4)
    before = photograph.clone(), maps.clone()
    interactive.depth(photograph, {"a": maps}, alt="noise")
    interactive.activation_grid(photograph, maps, _noise(5, 3, 8, 8), list("abcde"), alt="noise")
    assert torch.equal(photograph, before[0])
    assert torch.equal(maps, before[1])


# --------------------------------------------------------------------------------------------------------------------
# The data


def test_convolution_carries_the_gray_photograph_exactly() -> None:
    photograph = _noise(1, 3, 20, 20)
    _, data = _parse(interactive.convolution(photograph, alt="noise", size=20))
    pixels = torch.frombuffer(bytearray(base64.b64decode(data["pixels"])), dtype=torch.uint8).view(20, 20)
    assert torch.allclose(pixels / 255, photograph.mean(dim=1)[0], atol=0.5 / 255 + 1e-6)
    assert data["kernels"]["Laplacian"] == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


def test_the_kernels_are_what_their_names_say() -> None:
    kernels = {name: torch.tensor(kernel) for name, kernel in interactive.KERNELS.items()}
    sums = {name: float(kernel.sum()) for name, kernel in kernels.items()}
    assert sums == pytest.approx(
        {name: float("Edges" not in name and name != "Laplacian") for name in kernels}, abs=1e-6
    )
    assert torch.equal(kernels["Edges from top to bottom"], kernels["Edges from left to right"].T)


def test_a_sheet_holds_every_picture_at_its_place() -> None:
    levels = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.5]
    _, data = _parse(interactive.scrub(_flat(*levels), levels, range(7), alt="gray"))
    sheet = data["sheet"]
    picture = _picture(sheet["picture"])
    for number, level in enumerate(levels):
        row, column = divmod(number, sheet["columns"])
        middle = picture[0, :, row * 16 + 8, column * 16 + 8]
        assert torch.allclose(middle, torch.full((3,), level), atol=0.03)
    assert sheet["rows"] * sheet["columns"] >= 7


def test_a_place_of_the_grid_names_its_strongest_channels() -> None:
    activations = _noise(9, 3, 5)
    names = [f"channel {n}" for n in range(9)]
    figure = interactive.activation_grid(
        _noise(1, 3, 30, 50), activations, _noise(9, 3, 8, 8), names, alt="noise", strongest=3
    )
    _, data = _parse(figure)
    for row in range(3):
        for column in range(5):
            found = [(data["names"][index], value) for index, value in data["cells"][row][column]]
            values, channels = activations[:, row, column].topk(3)
            assert [name for name, _ in found] == [names[c] for c in channels]
            assert [value for _, value in found] == pytest.approx(values.tolist(), abs=1e-4)
    row, column = data["start"]
    assert data["cells"][row][column][0][1] == pytest.approx(float(activations.max()), abs=1e-4)


def test_the_evidence_at_a_place_adds_up_to_its_map_and_the_map_to_the_logit() -> None:
    activations, weights, bias = _noise(9, 3, 5), 4 * _noise(2, 9, seed=1) - 2, _noise(2, seed=2)
    head = torch.nn.Linear(9, 2)
    head.weight.data, head.bias.data = weights, bias
    logits = head(activations.mean(dim=(1, 2))).detach()
    parts = weights[:, :, None, None] * activations
    _, data = _parse(
        interactive.evidence(_noise(1, 3, 30, 50), activations, weights, bias, ["a", "b"], alt="noise")
    )
    for k, one in enumerate(data["classes"]):
        totals = torch.tensor([cell[0] for cell in one["cells"]]).view(3, 5) / 100
        assert torch.allclose(totals, parts[k].sum(dim=0), atol=0.006)
        assert one["score"] / 100 == pytest.approx(float(logits[k]), abs=0.006)
        assert float(totals.mean()) + one["bias"] / 100 == pytest.approx(float(logits[k]), abs=0.02)
        for cell, place in zip(one["cells"], parts[k].flatten(1).T, strict=True):
            total, pro, contra, *named = cell
            channels, values = named[::2], named[1::2]
            assert total == pro + contra + sum(values)  # what is printed adds up to the last digit
            assert [value / 100 for value in values] == pytest.approx(place[channels].tolist(), abs=0.006)
            by_size = place.argsort(descending=True).tolist()
            assert channels == [c for c in by_size[:3] if place[c] > 0.005] + [
                c for c in by_size[:-4:-1] if place[c] < -0.005
            ]
            place[channels] = 0
            assert pro / 100 == pytest.approx(float(place.clamp(min=0).sum()), abs=0.006)


def test_the_spectrum_is_in_order_and_pictures_stay_with_their_values() -> None:
    figure = interactive.spectrum(
        _flat(0.2, 0.9, 0.1), [0.4, 1.5, 0.1], [3, 4, 5], EDGES, names=["b", "c", "a"], label="channel 3"
    )
    _, data = _parse(figure)
    assert (data["values"], data["names"]) == ([0.1, 0.4, 1.5], ["a", "b", "c"])
    picture = _picture(data["sheet"]["picture"])
    assert picture[0, 0, 8, 8] == pytest.approx(0.1, abs=0.03)
    assert picture[0, 0, 8, 24] == pytest.approx(0.2, abs=0.03)


def test_a_dial_keeps_every_picture_with_its_stop_and_its_numbers() -> None:
    figure = interactive.dial(
        {"up": _flat(0.1, 0.5, 0.9), "down": _flat(0.8, 0.4, 0.0)},
        {"up": ["0", "1", "2"], "down": ["0", "30", "90"]},
        {"activation": {"down": [8, 4, 0], "up": [1, 5, 9]}},
        alt="gray",
        start=2,
    )
    _, data = _parse(figure)
    sheet = data["sheet"]
    picture = _picture(sheet["picture"])
    for number, level in enumerate([0.1, 0.5, 0.9, 0.8, 0.4, 0.0]):
        row, column = divmod(number, sheet["columns"])
        assert picture[0, 0, row * 16 + 8, column * 16 + 8] == pytest.approx(level, abs=0.03)
    assert (data["names"], data["at"]) == (["up", "down"], [["0", "1", "2"], ["0", "30", "90"]])
    assert data["charts"] == [{"label": "activation", "rows": [[1, 5, 9], [8, 4, 0]]}]
    assert data["start"] == 2


def test_depth_shows_the_channels_that_vary_most() -> None:
    maps = torch.zeros(5, 4, 4)
    maps[3, 0, 0] = 7.0
    _, data = _parse(interactive.depth(_noise(1, 3, 16, 16), {"layer": maps}, alt="noise", channels=1))
    (layer,) = data["layers"]
    picture = _picture(layer["picture"])[0]
    viridis_low, viridis_high = torch.tensor([68, 1, 84]) / 255, torch.tensor([253, 231, 37]) / 255
    assert layer["text"] == "5 channels of 4 × 4"
    assert torch.allclose(picture[:, 0, 0], viridis_high, atol=0.01)
    assert torch.allclose(picture[:, 2, 2], viridis_low, atol=0.01)


# --------------------------------------------------------------------------------------------------------------------
# Bad input


def _evidence(**changed: Any) -> interactive.LiveFigure:
    fitting = {
        "photograph": _noise(1, 3, 9, 9),
        "activations": _noise(9, 3, 4),
        "weights": _noise(2, 9),
        "bias": _noise(2),
        "classes": ["a", "b"],
    }
    return interactive.evidence(**{**fitting, **changed}, alt="noise")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: FIGURES["depth"]("  "), "alt text"),
        (
            lambda: interactive.convolution(_noise(1, 3, 9, 9), alt="a", kernels={"two": [[1, 2], [3, 4]]}),
            "three rows",
        ),
        (lambda: interactive.convolution(_noise(1, 3, 9, 9), alt="a", kernels={}), "at least one"),
        (
            lambda: interactive.compare(
                _noise(1, 3, 9, 9), _noise(1, 3, 9, 8), labels=("a", "b"), alt=("a", "b")
            ),
            "one size",
        ),
        (lambda: interactive.scrub(_flat(0.0, 1.0), [1.0], [1, 2], alt="a"), "2 values; there are 1"),
        (lambda: interactive.scrub(_flat(0.0, 1.0), [1.0, float("nan")], [1, 2], alt="a"), "NaN"),
        (lambda: interactive.spectrum(_flat(0.5), [1], [1, 2], EDGES, names=["a"]), "4 borders and 2 counts"),
        (lambda: interactive.spectrum(_flat(0.5), [1], [1, 2], [0, 2, 1], names=["a"]), "rising"),
        (lambda: interactive.depth(_noise(1, 3, 9, 9), {}, alt="a"), "at least one"),
        (lambda: interactive.dial({}, ["a", "b"], alt="a"), "at least one name"),
        (lambda: interactive.dial({"a": _flat(0.5)}, ["a"], alt="a"), "two stops"),
        (
            lambda: interactive.dial({"a": _flat(0.0, 1.0), "b": _noise(2, 3, 9, 9)}, ["a", "b"], alt="a"),
            "one shape",
        ),
        (
            lambda: interactive.dial({"a": _flat(0.0, 1.0)}, ["a"], alt="a"),
            "needs 2 stops; there are {'a': 1}",
        ),
        (lambda: interactive.dial({"a": _flat(0.0, 1.0)}, {"b": ["a", "b"]}, alt="a"), "needs 2 stops"),
        (
            lambda: interactive.dial({"a": _flat(0.0, 1.0)}, ["a", "b"], {"score": {"a": [1]}}, alt="a"),
            "needs 2 score; there are {'a': 1}",
        ),
        (
            lambda: interactive.dial(
                {"a": _flat(0.0, 1.0)}, ["a", "b"], {"score": {"a": [1, float("nan")]}}, alt="a"
            ),
            "NaN",
        ),
        (lambda: interactive.dial({"a": _flat(0.0, 1.0)}, ["a", "b"], alt="a", start=2), "one of 0 to 1"),
        (
            lambda: interactive.activation_grid(
                _noise(1, 3, 9, 9), _noise(2, 3, 3), _noise(2, 3, 8, 8), ["a", "b"], alt="a", strongest=3
            ),
            "with 3 to show",
        ),
        (lambda: _evidence(weights=_noise(2, 8)), r"activations \(9, 3, 4\), weights \(2, 8\)"),
        (lambda: _evidence(activations=_noise(9, 3)), r"activations \(9, 3\)"),
        (lambda: _evidence(bias=_noise(3)), r"biases \(3,\)"),
        (lambda: _evidence(classes=["a"]), "there are 1 names"),
        (lambda: _evidence(bias=torch.tensor([0.0, float("nan")])), "add up to nothing"),
        (lambda: _evidence(strongest=10), "1 to 9 can be named at a place, not 10"),
        (
            lambda: interactive.compare(
                _noise(1, 3, 9, 9) * 255, _noise(1, 3, 9, 9), labels=("", ""), alt=("", "")
            ),
            "255",
        ),
    ],
)
def test_what_cannot_be_drawn_is_said(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        wrong()
