"""Style objectives are their formulas, and do not know where anything is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from interp import featurevis as fv
from interp.errors import BadInputError


def maps(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 4, height, width, generator=torch.Generator().manual_seed(seed))


def test_a_gram_matrix_is_the_mean_product_of_two_channels() -> None:
    values = maps(2, 3, 5)
    expected = torch.tensor([[[(a * b).mean() for b in image] for a in image] for image in values])
    torch.testing.assert_close(fv.gram(values), expected)


def test_style_is_the_loss_of_gatys_times_a_number_of_the_goal() -> None:
    found, goal = maps(2, 6, 6), maps(1, 6, 6, seed=1)
    channels, positions = 4, 36
    grams = [torch.einsum("nchw,ndhw->ncd", one, one) for one in (found, goal)]
    loss = (grams[0] - grams[1]).square().sum((1, 2)) / (4 * channels**2 * positions**2)
    of_zeros = grams[1].square().sum((1, 2)) / (4 * channels**2 * positions**2)
    torch.testing.assert_close(fv.style("layer", goal)({"layer": found}), -loss / of_zeros)


def test_mean_activations_is_its_formula() -> None:
    found, goal = maps(2, 6, 6), maps(1, 3, 9, seed=1)
    means, wanted = found.mean((2, 3)), goal.mean((2, 3))
    expected = -(means - wanted).square().sum(1) / wanted.square().sum()
    torch.testing.assert_close(fv.mean_activations("layer", goal)({"layer": found}), expected)


@pytest.mark.parametrize("objective", [fv.style, fv.mean_activations])
def test_places_and_sizes_do_not_count(objective: Callable[[str, Tensor], fv.Objective]) -> None:
    goal = maps(1, 4, 6)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    shuffled = goal.flatten(2)[:, :, order].reshape(1, 4, 8, 3)
    seen = {"layer": torch.cat([shuffled, torch.zeros_like(shuffled)])}
    expected = torch.tensor([0.0, -1.0])
    torch.testing.assert_close(objective("layer", goal)(seen), expected, rtol=0, atol=1e-6)


def test_means_do_not_know_what_occurs_together() -> None:
    """Two channels that fire at the same places, or at different ones: the means agree, the Gram matrices do not."""
    on, off = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    same, apart = torch.stack([on, on]).view(1, 2, 1, 2), torch.stack([on, off]).view(1, 2, 1, 2)
    assert fv.mean_activations("layer", same)({"layer": apart}).item() == 0
    assert fv.style("layer", same)({"layer": apart}).item() == pytest.approx(-0.5)


def test_each_image_can_have_its_own_goal() -> None:
    goal = maps(3, 4, 4)
    assert fv.style("layer", goal)({"layer": goal}).abs().max() < 1e-6
    assert fv.style("layer", goal)({"layer": goal.flip(0)})[0] < -0.1


def test_an_ascent_comes_nearer_to_a_style() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU()).eval()
    texture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        objective = fv.style("0", model[0](texture))
    found = fv.render(model, objective, size=32, steps=32, transforms=())
    assert found.score.item() > 0.2 * found.history[0].item()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: fv.gram(torch.zeros(2, 3)),
        lambda: fv.style("layer", torch.zeros(1, 4)),
        lambda: fv.mean_activations("layer", torch.zeros(0, 4, 2, 2)),
        lambda: fv.style("layer", maps(1, 4, 4))({"layer": torch.zeros(1, 5, 4, 4)}),
        lambda: fv.mean_activations("layer", maps(2, 4, 4))({"layer": maps(3, 4, 4)}),
        lambda: fv.style("layer", maps(1, 4, 4))({"layer": torch.zeros(1, 4)}),
    ],
)
def test_bad_activations_are_explained(wrong: Callable[[], object]) -> None:
    with pytest.raises(BadInputError, match=r"\(\d"):
        wrong()
