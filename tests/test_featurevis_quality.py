"""Pictures good enough for the book: each threshold holds for the renderer and fails for a broken one."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, zoo

CHANNELS = [
    ("blocks.1.1", 5),
    ("blocks.2.1", 1),
    ("blocks.2.1", 26),
    ("blocks.3.2", 3),
    ("blocks.3.2", 42),
    ("blocks.4.2", 4),
    ("blocks.4.2", 61),
    ("blocks.5.3", 31),
]
STEPS = 64


@dataclasses.dataclass(frozen=True)
class Quality:
    """What is measured on one picture of one channel."""

    ratio: float  # activation over the largest one among photographs
    robustness: float  # activation under fresh transforms over the plain one
    rank: int  # how many channels of the layer are raised more, in deviations over photographs
    fine: float
    saturation: float
    contrast: float


Judge = Callable[[list[fv.Rendering]], list[Quality]]


@pytest.fixture(scope="module")
def judge(model: nn.Module) -> Judge:
    """Return a function that measures eight renderings of the eight channels."""
    photographs = zoo.example_images(*zoo.photograph_names(), size=128)
    layers = list(dict.fromkeys(layer for layer, _ in CHANNELS))
    with torch.no_grad():
        usual = {layer: v.mean(dim=(2, 3)) for layer, v in hooks.run(model, photographs, layers).items()}

    def measure(rendering: fv.Rendering, layer: str, index: int) -> Quality:
        # Through the model as it is: not folded, no hooks of the renderer, no transforms but our own.
        means = hooks.activations(model, rendering.images, layer).mean(dim=(2, 3))[0]
        moved = fv.transformed(rendering.images.expand(16, -1, -1, -1), fv.STANDARD, seed=99)
        robust = hooks.activations(model, moved, layer)[:, index].mean()
        raised = (means - usual[layer].mean(0)) / usual[layer].std(0)
        return Quality(
            ratio=(means[index] / usual[layer][:, index].max()).item(),
            robustness=(robust / means[index]).item(),
            rank=int((raised > raised[index]).sum()),
            fine=fv.fine_share(rendering.images).item(),
            saturation=fv.saturation(rendering.images).item(),
            contrast=fv.contrast(rendering.images).item(),
        )

    return lambda renderings: [measure(one, *unit) for one, unit in zip(renderings, CHANNELS, strict=True)]


def median(qualities: list[Quality], name: str) -> float:
    return statistics.median(getattr(one, name) for one in qualities)


def objectives(shift: int = 0) -> list[fv.Objective]:
    return [fv.channel(layer, index + shift) for layer, index in CHANNELS]


@pytest.fixture(scope="module")
def renderings(model: nn.Module) -> list[fv.Rendering]:
    return list(fv.render_many(model, objectives(), steps=STEPS))


@pytest.fixture(scope="module")
def good(judge: Judge, renderings: list[fv.Rendering]) -> list[Quality]:
    return judge(renderings)


def in_pixels(model: nn.Module) -> list[fv.Rendering]:
    start = fv.PixelImage(128, len(CHANNELS))
    rendering = fv.render(model, fv.together(objectives()), start, steps=STEPS, transforms=())
    return [rendering[index] for index in range(len(rendering))]


def too_fast(model: nn.Module) -> list[fv.Rendering]:
    start = fv.FourierImage(128, len(CHANNELS))  # without the standard's limit on the contrast
    rendering = fv.render(model, fv.together(objectives()), start, steps=16, rate=2.0)
    return [rendering[index] for index in range(len(rendering))]


BROKEN: dict[str, Callable[[nn.Module], list[fv.Rendering]]] = {
    "no steps": lambda model: list(fv.render_many(model, objectives(), steps=2, rate=0.0)),
    "wrong channel": lambda model: list(fv.render_many(model, objectives(1), steps=32)),
    "flipped sign": lambda model: list(fv.render_many(model, [-one for one in objectives()], steps=32)),
    "raw pixels, no transforms": in_pixels,
    "too high a rate": too_fast,
}


@pytest.fixture(scope="module")
def broken(model: nn.Module, judge: Judge) -> dict[str, list[Quality]]:
    with pytest.warns(fv.RenderingWarning):  # of saturation
        return {name: judge(make(model)) for name, make in BROKEN.items()}


def test_a_picture_excites_its_channel_more_than_photographs(
    good: list[Quality], broken: dict[str, list[Quality]]
) -> None:
    assert median(good, "ratio") >= 1.8
    for name in ("no steps", "wrong channel", "flipped sign"):
        assert median(broken[name], "ratio") < 1


def test_it_still_does_when_it_is_moved(good: list[Quality], broken: dict[str, list[Quality]]) -> None:
    assert median(good, "robustness") >= 0.8
    assert median(broken["raw pixels, no transforms"], "robustness") < 0.8


def test_it_excites_this_channel_and_not_just_any(
    good: list[Quality], broken: dict[str, list[Quality]]
) -> None:
    assert sum(one.rank < 2 for one in good) >= 7
    for name in ("no steps", "wrong channel", "flipped sign"):
        assert sum(one.rank < 2 for one in broken[name]) < 4


def test_it_is_form_and_not_noise(good: list[Quality], broken: dict[str, list[Quality]]) -> None:
    assert median(good, "fine") < 0.25
    assert median(broken["raw pixels, no transforms"], "fine") > 0.25


def test_it_has_contrast_but_is_not_burnt_out(good: list[Quality], broken: dict[str, list[Quality]]) -> None:
    assert median(good, "saturation") < 0.05
    assert median(broken["too high a rate"], "saturation") > 0.05
    assert median(good, "contrast") > 0.06
    assert median(broken["no steps"], "contrast") < 0.06


def test_the_reported_score_is_that_of_a_plain_forward(
    model: nn.Module, renderings: list[fv.Rendering]
) -> None:
    def difference(one: fv.Rendering, layer: str, index: int) -> float:
        plain = hooks.activations(model, one.images, layer)[:, index].mean()
        return ((plain - one.score[0]).abs() / plain.abs()).item()

    pairs = list(zip(renderings, CHANNELS, strict=True))
    assert max(difference(one, *unit) for one, unit in pairs) < 1e-4
    neighbors = {"blocks.1.1": "blocks.1.0", "blocks.2.1": "blocks.2.0", "blocks.3.2": "blocks.3.1"}
    wrong = [difference(one, neighbors[layer], index) for one, (layer, index) in pairs if layer in neighbors]
    assert min(wrong) > 1e-2

    class Unnormalized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> Tensor:
            return self.model(images * 0.9)  # a wrong preprocessing

    wrong = [
        (hooks.activations(Unnormalized(), one.images, f"model.{layer}")[:, index].mean() / one.score - 1)
        .abs()
        .item()
        for one, (layer, index) in pairs
    ]
    assert min(wrong) > 1e-3


def test_the_objective_rises(renderings: list[fv.Rendering]) -> None:
    for one in renderings:
        assert one.history[-8:].mean() > 1.5 * one.history[:8].mean()
