"""Pictures out of a generator: its space, its ball, and that it alone decides what can be seen."""

import math

import pytest
import torch
from torch import nn

from interp import featurevis as fv
from interp import hooks, image, zoo
from interp.errors import BadInputError


class Tiles(nn.Module):
    """A generator that can be checked by hand: each code of three numbers is a tile of its color."""

    channels, stride = 3, 8

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.25))

    def forward(self, codes):
        return (0.5 + self.gain * codes).repeat_interleave(8, 2).repeat_interleave(8, 3).clamp(0, 1)


def test_images_are_what_the_generator_makes_of_the_codes():
    codes = torch.randn(2, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    start = fv.GeneratorImage.of(Tiles(), codes)
    assert start.size == (16, 32)
    torch.testing.assert_close(start(), Tiles()(codes))


def test_only_the_codes_move_and_the_generator_of_the_caller_stays():
    generator = Tiles()
    start = fv.GeneratorImage(generator, 16)
    assert [name for name, _ in start.named_parameters()] == ["latent"]
    fv.render(zoo.load_model(), fv.channel("blocks.0.0", 1), start, transforms=(), steps=2, rate=1.0)
    assert generator.gain.requires_grad
    assert generator.gain.item() == 0.25


def test_codes_outside_of_the_ball_lie_on_its_surface_and_those_inside_stay():
    codes = torch.zeros(1, 3, 1, 2)
    codes[0, :, 0, 0], codes[0, :, 0, 1] = torch.tensor([4.0, 0.0, 3.0]), torch.tensor([0.3, 0.1, 0.2])
    found = fv.GeneratorImage.of(Tiles(), codes, radius=1.0).codes
    # The root mean square of (4, 0, 3) is 5 / sqrt 3.
    torch.testing.assert_close(found[0, :, 0, 0], math.sqrt(3) / 5 * codes[0, :, 0, 0])
    torch.testing.assert_close(found[0, :, 0, 1], codes[0, :, 0, 1])


def test_each_image_has_its_own_start_and_the_same_seed_gives_the_same():
    start = fv.GeneratorImage(Tiles(), 16, 2, seed=1)
    again = fv.GeneratorImage(Tiles(), 16, names=["1"], seed=1)
    assert not torch.equal(start()[0], start()[1])
    torch.testing.assert_close(start()[1:], again())


def test_another_size_keeps_the_picture():
    start = fv.GeneratorImage.of(Tiles(), torch.ones(1, 3, 2, 2))
    torch.testing.assert_close(start.resized(32)(), torch.full((1, 3, 32, 32), 0.75))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fv.GeneratorImage(Tiles(), 20), "multiples of 8"),
        (lambda: fv.GeneratorImage(Tiles(), 16).resized(20), "multiples of 8"),
        (lambda: fv.GeneratorImage(Tiles(), 16, radius=0), "positive"),
        (lambda: fv.GeneratorImage(nn.Identity(), 16), "'stride'"),
        (lambda: fv.GeneratorImage.of(Tiles(), torch.zeros(1, 4, 2, 2)), r"\(N, 3, h, w\)"),
    ],
)
def test_bad_input_says_what_is_wrong(make, said):
    with pytest.raises(BadInputError, match=said):
        make()


# --------------------------------------------------------------------------------------------------------------------
# The distribution of activations


def by_hand(ours, theirs):
    """The mean squared distance of sorted numbers, in plain Python."""
    pairs = zip(sorted(ours), sorted(theirs), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) / len(ours)


def test_distribution_equals_sorting_by_hand():
    values = torch.randn(2, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    goal = torch.randn(1, 3, 2, 4, generator=torch.Generator().manual_seed(1))
    one = fv.distribution("layer", goal, 1)({"layer": values})
    every = fv.distribution("layer", goal)({"layer": values})
    for image_ in range(2):
        parts = [
            by_hand(values[image_, c].flatten().tolist(), goal[0, c].flatten().tolist()) for c in range(3)
        ]
        assert one[image_].item() == pytest.approx(-parts[1], rel=1e-5)
        assert every[image_].item() == pytest.approx(-sum(parts) / 3, rel=1e-5)


def test_distribution_does_not_care_where_and_is_zero_at_the_goal():
    goal = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    moved = goal.flatten(2)[:, :, torch.randperm(16, generator=torch.Generator().manual_seed(2))].view(
        1, 3, 4, 4
    )
    assert fv.distribution("layer", goal)({"layer": moved}).item() == 0
    assert fv.distribution("layer", goal)({"layer": moved + 0.5}).item() == pytest.approx(-0.25, rel=1e-4)


def test_the_goal_of_many_images_is_the_mean_of_their_sorted_activations():
    goal = torch.tensor([[[[1.0, 5.0]]], [[[9.0, 3.0]]]])  # sorted: (1, 5) and (3, 9), on average (2, 7)
    values = torch.tensor([[[[7.0, 2.0]]]])
    assert fv.distribution("layer", goal)({"layer": values}).item() == 0


def test_a_goal_of_another_size_gives_its_quantiles():
    goal = torch.tensor([[[[0.0, 2.0, 1.0]]]])
    values = torch.tensor([[[[2.0, 0.5, 0.0, 1.0, 1.5]]]])
    assert fv.distribution("layer", goal)({"layer": values}).item() == pytest.approx(0, abs=1e-12)


def test_a_distribution_that_cannot_be_compared_is_refused():
    goal = torch.zeros(1, 3, 2, 2)
    for bad, said in ((torch.zeros(3, 2, 2), "M, C, H, W"), (torch.zeros(0, 3, 2, 2), "M, C, H, W")):
        with pytest.raises(BadInputError, match=said):
            fv.distribution("layer", bad)
    with pytest.raises(BadInputError, match="no 3"):
        fv.distribution("layer", goal, 3)
    with pytest.raises(BadInputError, match="the goal is"):
        fv.distribution("layer", goal)({"layer": torch.zeros(1, 2, 2, 2)})


def test_an_image_comes_nearer_to_the_distribution():
    model = zoo.load_model()
    goal = image.resize(zoo.example_images("cat"), (64, 64))
    wanted = fv.distribution("blocks.1.0", hooks.activations(model, goal, "blocks.1.0"))
    rendering = fv.render(model, wanted, fv.FourierImage(64), transforms=(), steps=24, rate=0.1)
    assert rendering.history[-1].item() > 0.5 * rendering.history[0].item()
