"""Deletion, insertion, pointing, mass, the controls and the sanity check, each on a case whose answer is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from attribution_helpers import Linear, images, small
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interp import attribution
from interp.errors import BadInputError, UnknownNameError

# ------------------------------------------------------------------------------------------------------------
# Deletion and insertion


class Bright(nn.Module):
    """The score is the mean brightness."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean(dim=(1, 2, 3))[:, None]


def mean(output: Tensor) -> Tensor:
    return output[:, 0]


def test_deleting_from_white_to_black_is_a_straight_line() -> None:
    white = torch.ones(1, 3, 8, 8)
    curve = attribution.deletion(Bright(), white, mean, torch.rand(1, 8, 8), steps=4, baseline=0.0)
    torch.testing.assert_close(curve.shares, torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    torch.testing.assert_close(curve.scores, 1 - curve.shares[None])
    torch.testing.assert_close(curve.area, torch.tensor([0.5]))


def test_inserting_is_deleting_backwards() -> None:
    model, pictures, heat = small(), images(), torch.rand(2, 12, 10)
    there = attribution.insertion(model, pictures, 1, heat, steps=6, baseline=0.5)
    back = attribution.deletion(model, pictures, 1, -heat, steps=6, baseline=0.5)
    torch.testing.assert_close(there.scores, back.scores.flip(1))
    torch.testing.assert_close(there.area, back.area)


def test_the_ends_are_the_image_and_the_baseline() -> None:
    model, pictures = small(), images()
    heat = attribution.saliency(model, pictures, 1)
    curve = attribution.deletion(model, pictures, 1, heat, steps=3)
    with torch.no_grad():
        whole = model(pictures).softmax(dim=1)[:, 1]
        gray = model(torch.full_like(pictures, 0.5)).softmax(dim=1)[:, 1]
    torch.testing.assert_close(curve.scores[:, 0], whole)
    torch.testing.assert_close(curve.scores[:, -1], gray)


def test_the_hottest_pixels_go_first() -> None:
    pictures = torch.zeros(1, 3, 4, 4)
    pictures[..., 1, 2] = 1
    heat = torch.zeros(1, 4, 4)
    heat[:, 1, 2] = 1
    curve = attribution.deletion(Bright(), pictures, mean, heat, steps=16, baseline=0.0)
    assert curve.scores[0].tolist() == [1 / 16] + [0] * 16


def test_for_a_linear_score_no_order_beats_its_own_contributions() -> None:
    model, pictures = Linear(), images(1)
    exact = attribution.integrated_gradients(model, pictures, 1, steps=1)

    def area(heat: Tensor) -> float:
        return float(attribution.deletion(model, pictures, lambda z: z[:, 1], heat, steps=120).area)

    best = area(exact)
    for seed in range(5):
        assert best < area(attribution.random_map(pictures, seed=seed))
    assert best < area(attribution.edge_map(pictures))
    assert best < area(attribution.saliency(model, pictures, 1))


def test_equal_values_are_not_taken_row_by_row() -> None:
    pictures = torch.ones(1, 3, 32, 32)

    def top(output: Tensor) -> Tensor:
        return output

    class Top(nn.Module):
        def forward(self, given: Tensor) -> Tensor:
            return given[:, :, :16].mean(dim=(1, 2, 3))

    curve = attribution.deletion(Top(), pictures, top, torch.zeros(1, 32, 32), steps=2, baseline=0.0)
    assert 0.4 < curve.scores[0, 1] < 0.6


@pytest.mark.parametrize(
    "heat", [torch.zeros(2, 12, 11), torch.zeros(12, 10), torch.full((2, 12, 10), np.nan)]
)
def test_heat_that_does_not_fit_is_explained(heat: Tensor) -> None:
    with pytest.raises(BadInputError, match=r"[Hh]eat"):
        attribution.deletion(small(), images(), 0, heat)


def test_a_number_of_steps_is_needed() -> None:
    with pytest.raises(BadInputError, match="At least 1 step"):
        attribution.insertion(small(), images(), 0, torch.zeros(2, 12, 10), steps=0)


# ------------------------------------------------------------------------------------------------------------
# Known masks


def _left() -> Tensor:
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[..., :1] = True
    return mask


def test_the_pointing_game_asks_for_the_hottest_pixel() -> None:
    heat = torch.zeros(2, 4, 4)
    heat[0, 2, 0] = heat[1, 2, 1] = 1
    assert attribution.pointing_game(heat, _left().expand(2, -1, -1)).tolist() == [1, 0]


def test_a_flat_map_points_at_random() -> None:
    assert attribution.pointing_game(torch.zeros(1, 4, 4), _left()).tolist() == [0.25]


def test_mass_is_a_share() -> None:
    heat = torch.ones(1, 4, 4)
    assert attribution.mass_in_mask(heat, _left()).tolist() == [0.25]
    assert attribution.mass_in_mask(heat * _left(), _left()).tolist() == [1]
    assert attribution.mass_in_mask(heat * ~_left(), _left()).tolist() == [0]
    assert attribution.mass_in_mask(-heat, _left()).tolist() == [0]


@given(st.integers(0, 10**6))
def test_mass_inside_and_outside_make_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    heat = torch.randn(3, 6, 5, generator=generator)
    masks = torch.rand(3, 6, 5, generator=generator) < 0.4
    inside, outside = attribution.mass_in_mask(heat, masks), attribution.mass_in_mask(heat, ~masks)
    torch.testing.assert_close(inside + outside, torch.ones(3))


@pytest.mark.parametrize("measure", [attribution.pointing_game, attribution.mass_in_mask])
@pytest.mark.parametrize("masks", [torch.zeros(1, 4, 4), torch.zeros(1, 4, 5, dtype=torch.bool)])
def test_masks_that_do_not_fit_are_explained(measure: object, masks: Tensor) -> None:
    with pytest.raises(BadInputError, match="Masks are bool"):
        measure(torch.zeros(1, 4, 4), masks)  # type: ignore[operator]


# ------------------------------------------------------------------------------------------------------------
# Rank correlation


@given(st.integers(0, 10**6), st.integers(2, 50))
@settings(deadline=None)
def test_rank_correlation_is_spearmans(seed: int, levels: int) -> None:
    from scipy.stats import spearmanr

    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(levels, (2, 1, 6, 7), generator=generator).double()
    wanted = spearmanr(first.flatten(), second.flatten()).statistic
    assert float(attribution.rank_correlation(first, second)) == pytest.approx(wanted, abs=1e-9)


def test_rank_correlation_sees_order_only() -> None:
    heat = torch.rand(2, 5, 5)
    torch.testing.assert_close(attribution.rank_correlation(heat, heat.exp()), torch.ones(2).double())
    torch.testing.assert_close(attribution.rank_correlation(heat, -heat), -torch.ones(2).double())
    assert attribution.rank_correlation(heat, torch.zeros(2, 5, 5)).tolist() == [0, 0]


def test_top_overlap_is_one_for_the_same_order_and_the_share_for_unrelated_maps() -> None:
    heat = torch.rand(2, 100, 100, generator=torch.Generator().manual_seed(0))
    assert attribution.top_overlap(heat, heat.exp()).tolist() == [1, 1]
    assert attribution.top_overlap(heat, -heat).tolist() == [0, 0]
    assert float(attribution.top_overlap(heat[:1], heat[1:], share=0.2)) == pytest.approx(0.2, abs=0.04)


def test_top_overlap_counts_the_hottest_pixels_only() -> None:
    heat = torch.arange(100.0).view(1, 10, 10)
    changed = torch.where(heat < 98, -heat, heat)
    assert attribution.top_overlap(heat, changed).item() == 1
    assert float(attribution.rank_correlation(heat, changed)) < -0.8


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_top_overlap_names_what_is_wrong(share: float) -> None:
    with pytest.raises(BadInputError, match="share between 0 and 1"):
        attribution.top_overlap(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), share=share)
    with pytest.raises(BadInputError, match="one shape"):
        attribution.top_overlap(torch.zeros(1, 4, 4), torch.zeros(1, 4, 5))


def test_rank_correlation_needs_one_shape() -> None:
    with pytest.raises(BadInputError, match="one shape"):
        attribution.rank_correlation(torch.zeros(1, 4, 4), torch.zeros(1, 4, 5))


# ------------------------------------------------------------------------------------------------------------
# Controls


def test_the_controls_never_look_at_the_network_but_fit_the_images() -> None:
    for control in (attribution.random_map, attribution.center_map, attribution.edge_map):
        heat = control(images(3))
        assert heat.shape == (3, 12, 10)
        assert heat.min() >= 0
        assert control(images(1, 1, 1)).shape == (1, 1, 1)


def test_edges_are_scipys_sobel() -> None:
    from scipy.ndimage import sobel

    pictures = images(1)
    gray = pictures[0].mean(dim=0).double().numpy()
    wanted = np.hypot(sobel(gray, 0, mode="nearest"), sobel(gray, 1, mode="nearest"))
    np.testing.assert_allclose(attribution.edge_map(pictures)[0], wanted, atol=1e-5)


def test_the_blob_is_hottest_in_the_middle() -> None:
    heat = attribution.center_map(images(1, 9, 9))[0]
    assert heat[4, 4] == heat.max() == 1
    torch.testing.assert_close(heat, heat.flip(0))
    torch.testing.assert_close(heat, heat.T)


# ------------------------------------------------------------------------------------------------------------
# The sanity check

FROM_THE_TOP = ["classifier", "second", "norm", "first"]


def test_a_cascade_takes_one_more_layer_each_time() -> None:
    model = small()
    trained = copy.deepcopy(model.state_dict())
    changed: set[str] = set()
    for layer, other in zip(FROM_THE_TOP, attribution.randomized(model, FROM_THE_TOP), strict=True):
        changed.add(layer)
        for name, weight in other.named_parameters():
            same = torch.equal(weight, trained[name])
            assert same != (name.split(".")[0] in changed) or weight.unique().numel() == 1, name
            assert torch.equal(weight.flatten().sort().values, trained[name].flatten().sort().values)
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())


def test_a_cascade_is_the_same_for_the_same_seed() -> None:
    first, again, other = (
        attribution.cascade(small(), images(), 1, attribution.saliency, FROM_THE_TOP, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.heat, again.heat)
    assert not torch.equal(first.heat[1:], other.heat[1:])
    assert torch.equal(first.heat[0], other.heat[0])


def test_the_similarity_starts_at_one_and_sees_a_map_that_does_not_care() -> None:
    cascade = attribution.cascade(
        small(), images(), 1, lambda _model, pictures, _target: attribution.edge_map(pictures), FROM_THE_TOP
    )
    assert cascade.layers == tuple(FROM_THE_TOP)
    torch.testing.assert_close(cascade.similarity, torch.ones(5, 2).double())


def test_the_gradient_changes_with_the_network(model: nn.Module, photographs: Tensor) -> None:
    cascade = attribution.cascade(
        model, photographs[:1], 281, attribution.saliency, ["classifier", "conv_head", "blocks"]
    )
    assert cascade.similarity[0] == pytest.approx(1)
    assert cascade.similarity[-1] < 0.5


def test_layers_that_cannot_be_randomized_are_explained() -> None:
    with pytest.raises(UnknownNameError, match="classifier"):
        attribution.cascade(small(), images(), 1, attribution.saliency, ["clasifier"])
    with pytest.raises(BadInputError, match="'act' has no weights"):
        attribution.cascade(small(), images(), 1, attribution.saliency, ["act"])
