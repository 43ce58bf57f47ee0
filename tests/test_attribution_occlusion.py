"""Occlusion and the baselines that cover."""

from __future__ import annotations

import pytest
import torch
from attribution_helpers import Linear, correlation, images, small
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interp import attribution
from interp.attribution.windows import boxes
from interp.errors import BadInputError


def test_occlusion_of_a_linear_model_is_exact() -> None:
    """Covering a square takes from a linear score what the square added to it."""
    model, pictures = Linear(), images()
    heat = attribution.occlusion(model, pictures, [1, 2], window=2, stride=2, baseline=0.25)
    added = (model.weight[[1, 2]].detach() * (pictures - 0.25)).sum(dim=1)
    squares = nn.functional.avg_pool2d(added, 2) * 4
    torch.testing.assert_close(
        heat, squares.repeat_interleave(2, 1).repeat_interleave(2, 2), atol=1e-4, rtol=1e-4
    )


@given(st.integers(1, 10), st.data())
@settings(max_examples=50, deadline=None)
def test_overlapping_squares_are_averaged(window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    model, pictures = Linear(), images(1)
    heat = attribution.occlusion(model, pictures, 0, window=window, stride=stride, baseline=0.0)
    added = (model.weight[0].detach() * pictures[0]).sum(dim=0)
    total, count = torch.zeros(12, 10), torch.zeros(12, 10)
    for rows, columns in boxes(12, 10, window, stride):
        total[rows, columns] += added[rows, columns].sum()
        count[rows, columns] += 1
    assert count.min() >= 1
    torch.testing.assert_close(heat[0], total / count, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (10, 10), (3, 1)])
def test_it_agrees_with_captum(window: int, stride: int) -> None:
    from captum.attr import Occlusion

    model, pictures = small(), images()
    theirs = Occlusion(model).attribute(
        pictures, (3, window, window), strides=(3, stride, stride), baselines=0.5, target=1
    )
    ours = attribution.occlusion(model, pictures, 1, window=window, stride=stride)
    torch.testing.assert_close(ours, theirs[:, 0], atol=1e-6, rtol=1e-4)


def test_it_agrees_with_captum_on_the_real_network(model: nn.Module, photographs: Tensor) -> None:
    from captum.attr import Occlusion

    theirs = Occlusion(model).attribute(
        photographs,
        (3, 80, 80),
        strides=(3, 48, 48),
        baselines=0.5,
        target=[281, 967],
        perturbations_per_eval=4,
    )
    ours = attribution.occlusion(model, photographs, ["tabby", "espresso"], window=80, stride=48)
    assert correlation(ours, theirs[:, 0]) > 0.999


def test_what_covers_can_be_chosen() -> None:
    pictures = images()
    assert torch.equal(attribution.fill(pictures, 0.5), torch.full_like(pictures, 0.5))
    assert torch.equal(attribution.fill(pictures, 1), torch.ones_like(pictures))
    other = torch.rand(1, 3, 1, 1)
    assert torch.equal(attribution.fill(pictures, other), other.expand_as(pictures))


@given(st.floats(0, 8), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_blur_keeps_what_is_the_same_everywhere(deviation: float, brightness: float) -> None:
    flat = torch.full((1, 3, 7, 9), brightness)
    torch.testing.assert_close(attribution.blur(flat, deviation), flat)


def test_a_blur_is_a_gaussian() -> None:
    point = torch.zeros(1, 1, 61, 61)
    point[..., 30, 30] = 1
    spread = attribution.blur(point, 4.0)[0, 0]
    distance = torch.arange(61.0) - 30
    wanted = torch.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 4.0**2))
    torch.testing.assert_close(spread, wanted / wanted.sum(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("baseline", [-0.1, 1.5, "white", None, float("nan"), torch.full((1,), 3.0)])
def test_a_bad_baseline_is_explained(baseline: object) -> None:
    with pytest.raises(BadInputError, match="baseline"):
        attribution.occlusion(small(), images(), 0, window=4, stride=4, baseline=baseline)  # type: ignore[arg-type]


def test_a_baseline_that_does_not_fit_is_explained() -> None:
    with pytest.raises(BadInputError, match="does not fit"):
        attribution.fill(images(), torch.zeros(2, 3, 5, 5))


@pytest.mark.parametrize("options", [{"window": 4, "stride": 5}, {"stride": 0}, {"window": 11, "stride": 2}])
def test_bad_windows_are_explained(options: dict[str, int]) -> None:
    with pytest.raises(BadInputError, match="1 <= stride <= window"):
        attribution.occlusion(small(), images(), 0, **options)


def test_a_loss_is_positive_where_the_object_is() -> None:
    class Bright(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return pictures[:, :, 2:4, 2:4].mean(dim=(1, 2, 3))[:, None]

    heat = attribution.occlusion(Bright(), torch.ones(1, 3, 8, 8), 0, window=2, stride=2)[0]
    assert heat[2:4, 2:4].min() == heat.max() == 0.5
    assert heat.sum() == 4 * 0.5
