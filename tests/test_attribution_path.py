"""Integrated gradients: they add up, they say how exactly, and they take the steps that a stated error needs."""

from __future__ import annotations

import warnings

import pytest
import torch
from attribution_helpers import Linear, correlation, images, small
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interp import attribution
from interp.errors import BadInputError

CLASSES = [281, 967]  # tabby, espresso


def test_of_a_linear_score_it_is_the_weight_times_the_difference() -> None:
    model, pictures = Linear(), images()
    found = attribution.integrate(model, pictures, 1, baseline=0.25, steps=1)
    torch.testing.assert_close(found.heat, (model.weight[1].detach() * (pictures - 0.25)).sum(dim=1))
    assert found.error.max() < 1e-4
    assert found.gradients.tolist() == [2, 2]


def test_of_a_parabola_it_is_the_square() -> None:
    class Parabola(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return pictures.square().sum(dim=(1, 2, 3))[:, None]

    found = attribution.integrated_gradients(Parabola(), images(), 0, baseline=0.0, steps=1)
    torch.testing.assert_close(found, images().square().sum(dim=1))  # the trapezoid rule is exact here


@given(st.integers(0, 10**6), st.floats(0.003, 0.3), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_it_sums_to_the_difference_of_the_scores_up_to_the_stated_error(
    seed: int, tolerance: float, baseline: float
) -> None:
    model, pictures = small(seed).double(), images(1, seed=seed).double()
    found = attribution.integrate(model, pictures, 1, baseline=baseline, tolerance=tolerance, max_steps=4096)
    with torch.no_grad():
        wanted = model(pictures)[:, 1] - model(torch.full_like(pictures, baseline))[:, 1]
    torch.testing.assert_close(found.difference, wanted)
    miss = (found.heat.sum(dim=(1, 2)) - wanted).abs() / wanted.abs()
    torch.testing.assert_close(found.error, miss)
    assert found.error <= found.bound + 1e-9
    assert found.bound <= tolerance


def test_on_the_real_network_it_keeps_its_word(model: nn.Module, photographs: Tensor) -> None:
    photographs = photographs[:1]
    found = attribution.integrate(model, photographs, 281, tolerance=0.1)
    assert found.error.max() <= found.bound.max() <= 0.1
    with torch.no_grad():
        ends = [model(some)[:, 281] for some in (photographs, torch.full_like(photographs, 0.5))]
    torch.testing.assert_close(found.difference, ends[0] - ends[1], atol=1e-4, rtol=1e-4)
    # As many equal steps miss far more: the score does most of its way in a short part of the path.
    steps = int(found.gradients.max()) - 1
    uniform = attribution.integrate(model, photographs, 281, tolerance=float("inf"), steps=steps)
    assert uniform.error.max() > 2 * found.error.max()


def test_a_smaller_tolerance_takes_more_steps() -> None:
    counts = [
        int(attribution.integrate(small(), images(1), 1, tolerance=tolerance).gradients)
        for tolerance in (0.3, 0.03, 0.003)
    ]
    assert counts == sorted(set(counts))


def test_an_image_that_does_not_get_there_is_said() -> None:
    with pytest.warns(UserWarning, match=r"stopped at 9 segments .* image 0: .*%"):
        found = attribution.integrate(small(), images(1), 1, tolerance=1e-6, steps=3, max_steps=9)
    assert found.gradients.tolist() == [10]


def test_an_image_that_is_its_own_baseline_gives_zero() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = attribution.integrate(small(), images(), 1, baseline=images())
    assert found.heat.abs().max() == 0
    assert found.error.tolist() == [0, 0]


def test_it_agrees_with_captum_on_the_same_steps(model: nn.Module, photographs: Tensor) -> None:
    from captum.attr import IntegratedGradients

    theirs = IntegratedGradients(model).attribute(
        photographs.clone(), baselines=0.5, target=CLASSES, n_steps=9, method="riemann_trapezoid"
    )
    ours = attribution.integrated_gradients(model, photographs, CLASSES, steps=8, tolerance=float("inf"))
    assert correlation(ours, theirs.sum(dim=1)) > 0.999


def test_it_agrees_with_captum_where_both_are_exact() -> None:
    from captum.attr import IntegratedGradients

    model, pictures = small(), images(2)
    theirs = IntegratedGradients(model).attribute(pictures.clone(), baselines=0.5, target=1, n_steps=1000)
    ours = attribution.integrated_gradients(model, pictures, 1, tolerance=0.003, max_steps=4096)
    assert correlation(ours, theirs.sum(dim=1)) > 0.999


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"tolerance": -0.1}, {"tolerance": float("nan")}, {"steps": 9, "max_steps": 8}],
)
def test_bad_options_are_explained(options: dict[str, float]) -> None:
    with pytest.raises(BadInputError, match="steps starts at 1"):
        attribution.integrate(small(), images(), 0, **options)  # type: ignore[arg-type]


def test_an_integral_shows_itself_in_a_line() -> None:
    found = repr(attribution.integrate(Linear(), images(2), 1, steps=1))
    assert found.startswith("<PathIntegral, 2 maps of ")
    assert len(found) < 100
