"""Accentuation: a photograph is where it starts, what holds it holds, and it stops where it was told to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image
from interp.errors import BadInputError

GOAL = fv.channel("last", 2)
MASK = torch.zeros(1, 1, 32, 32)
MASK[..., 8:20, 10:26] = 1
SHORT = {"steps": 8, "transforms": (fv.crop(0.6, 1.0), fv.noise(0.02))}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    random = torch.Generator().manual_seed(0)
    net = nn.Sequential()
    net.add_module("early", nn.Conv2d(3, 8, 5, stride=2, padding=2))
    net.add_module("act", nn.ReLU())
    net.add_module("middle", nn.Conv2d(8, 8, 3, padding=1))
    net.add_module("bend", nn.Tanh())
    net.add_module("last", nn.Conv2d(8, 6, 3, padding=1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=random))
    return net.eval()


def photographs(count: int = 1, size: tuple[int, int] = (32, 32)) -> Tensor:
    """Return smooth images with some black and some white pixels."""
    random = torch.Generator().manual_seed(3)
    values = 3 * image.blur(torch.randn(count, 3, *size, generator=random), 2.0) + 0.5
    return values.clamp(0, 1)


def clean(network: nn.Module, images: Tensor, layer: str = "last") -> Tensor:
    return hooks.activations(network, images, layer)


@pytest.mark.parametrize("size", [(32, 32), (24, 31), (17, 40)])
def test_the_start_is_the_photograph(size: tuple[int, int]) -> None:
    images = photographs(2, size)
    assert images.min() == 0
    assert images.max() == 1
    for start in (fv.FourierImage.of(images, exact=True), fv.MacoImage.of(images)):
        assert (start() - images).abs().max() < 1 / 255


def test_what_waves_cannot_carry_comes_along_to_another_size() -> None:
    random = torch.Generator().manual_seed(0)
    smooth = (image.blur(torch.randn(1, 3, 32, 32, generator=random), 3.0) + 0.5).clamp(0.1, 0.9)
    checks = 0.05 * (torch.arange(32).view(-1, 1) + torch.arange(32)).remainder(2)
    start = fv.FourierImage.of(smooth + checks, exact=True)
    plain = fv.FourierImage.of(smooth + checks)
    goal = image.resize(smooth + checks, (64, 64))
    errors = [(one.resized(64)() - goal).abs().mean() for one in (start, plain)]
    assert errors[0] < 0.95 * errors[1]


def test_the_magnitudes_stay_those_of_the_photograph(network: nn.Module) -> None:
    images = photographs(2)
    start = fv.MacoImage.of(images)
    before = torch.fft.rfft2(start.latent()).abs()
    with torch.no_grad():
        start.phase += torch.randn(start.phase.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.fft.rfft2(start.latent()).abs(), before, rtol=1e-3, atol=1e-2)
    assert (start() - images).abs().mean() > 0.05
    assert fv.render(network, GOAL, fv.MacoImage.of(images), steps=2).images.shape == images.shape


def test_it_rises_and_says_so(network: nn.Module) -> None:
    images = photographs(2)
    found = fv.accentuate(network, GOAL, images, **SHORT)
    torch.testing.assert_close(
        found.before, clean(network, images)[:, 2].mean(dim=(1, 2)), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        found.after, clean(network, found.images)[:, 2].mean(dim=(1, 2)), rtol=1e-4, atol=1e-5
    )
    assert (found.after > found.before + 0.05).all()
    assert torch.equal(found.distance, torch.zeros(2))
    assert found.rendering.steps is not None
    assert found.rendering.steps.tolist() == [8, 8]
    assert found._repr_png_().startswith(b"\x89PNG")


def test_outside_of_the_mask_nothing_changes(network: nn.Module) -> None:
    images = photographs(2)
    found = fv.accentuate(network, GOAL, images, mask=MASK, **SHORT)
    outside = (MASK == 0).expand_as(images)
    assert torch.equal(found.images[outside], images[outside])
    assert (found.images - images).abs()[MASK.expand_as(images) == 1].mean() > 0.01


def test_the_stronger_it_is_held_the_nearer_it_stays(network: nn.Module) -> None:
    images = photographs()
    held = [
        fv.accentuate(network, GOAL, images, hold=fv.Hold("early", strength), **(SHORT | {"steps": 30}))
        for strength in (0.0, 1.0, 8.0)
    ]
    distances = [one.distance.item() for one in held]
    assert distances[0] > 1.2 * distances[1] > 1.2 * 1.2 * distances[2]
    change = clean(network, held[1].images, "early") - clean(network, images, "early")
    assert distances[1] == pytest.approx(change.square().mean().sqrt().item(), rel=0.02)
    assert torch.equal(held[0].images, fv.accentuate(network, GOAL, images, **(SHORT | {"steps": 30})).images)


def test_at_strength_1_both_gradients_are_as_large_once_it_has_moved(network: nn.Module) -> None:
    images, plain = photographs(2), {"transforms": (), "steps": 1}
    found = fv.accentuate(network, GOAL, images, hold=fv.Hold("early"), **plain)
    start = fv.FourierImage.of(fv.accentuate(network, GOAL, images, **plain).images, exact=True)
    pixels, near = start(), fv.feature_distance("early", images)
    seen = fv.look(network, pixels, (*GOAL.layers, *near.layers), (), [], images)
    sizes = [
        torch.autograd.grad(one(seen).sum(), start.coefficients, retain_graph=True)[0].abs().flatten(1).sum(1)
        for one in (GOAL, near)
    ]
    torch.testing.assert_close(found.weight, sizes[0] / sizes[1], rtol=0.05, atol=0)
    double = fv.accentuate(network, GOAL, images, hold=fv.Hold("early", 2.0), **plain)
    torch.testing.assert_close(double.weight, 2 * found.weight)


def test_it_stops_at_the_first_step_that_reaches_the_level(network: nn.Module) -> None:
    images = photographs(2)
    free = fv.accentuate(network, GOAL, images, **SHORT)
    level = (free.before + free.after) / 2
    found = fv.accentuate(network, GOAL, images, level=level, **SHORT)
    assert found.rendering.steps is not None
    assert (found.after >= level).all()
    for index, count in enumerate(found.rendering.steps.tolist()):
        assert 0 < count < 8
        exactly = fv.accentuate(network, GOAL, images, **(SHORT | {"steps": count})).images[index]
        torch.testing.assert_close(found.images[index], exactly, rtol=0, atol=1e-5)
        if count > 1:
            less = fv.accentuate(network, GOAL, images, **(SHORT | {"steps": count - 1}))
            assert less.after[index] < level[index]


def test_a_distance_of_everything_else_sees_nothing_along_the_direction() -> None:
    random = torch.Generator().manual_seed(0)
    own, aside = (torch.randn(2, 5, 4, 4, generator=random) for _ in range(2))
    direction = torch.randn(5, generator=random)
    unit = direction / direction.norm()
    change = torch.randn(2, 1, 4, 4, generator=random) * unit.view(1, 5, 1, 1)
    aside -= (aside * unit.view(1, 5, 1, 1)).sum(1, keepdim=True) * unit.view(1, 5, 1, 1)
    near, others = fv.feature_distance("a", photographs()), fv.other_distance("a", direction, photographs())

    def both(values: Tensor) -> tuple[Tensor, Tensor]:
        seen = {"a": values, fv.BESIDE + "a": own}
        return near(seen), others(seen)

    torch.testing.assert_close(both(own + change)[1], torch.zeros(2), rtol=0, atol=1e-6)
    torch.testing.assert_close(*both(own + aside))
    torch.testing.assert_close(both(own + aside + change)[1], both(own + aside)[1])
    channel = fv.other_distance("a", 3, photographs())({"a": own + aside, fv.BESIDE + "a": own})
    rest = aside[:, [0, 1, 2, 4]].flatten(1).square().sum(1).div(80).sqrt()
    torch.testing.assert_close(channel, rest, rtol=1e-2, atol=0)


def test_at_equal_activation_everything_else_changes_less(network: nn.Module) -> None:
    images, longer = photographs(), SHORT | {"steps": 60}
    free = fv.accentuate(network, GOAL, images, steps=10, transforms=SHORT["transforms"])  # type: ignore[misc]
    hold = fv.Hold(fv.other_distance("last", 2, images))
    found = fv.accentuate(network, GOAL, images, hold=hold, level=free.after, **longer)
    assert (found.after >= free.after).all()

    def others(now: Tensor) -> float:
        change = (clean(network, now) - clean(network, images))[:, [0, 1, 3, 4, 5]]
        return change.square().mean().sqrt().item()

    assert others(found.images) < 0.8 * others(free.images)


def test_where_it_mattered_is_the_gradient_of_the_goal(network: nn.Module) -> None:
    images = photographs()
    once = {"steps": 1, "transforms": ()}
    pixels = fv.FourierImage.of(images, exact=True)().detach().requires_grad_()
    seen = hooks.run(network, pixels, ["last"])
    (gradient,) = torch.autograd.grad(GOAL(seen).sum(), pixels)
    for hold in (None, fv.Hold("early", 5.0)):
        found = fv.accentuate(network, GOAL, images, hold=hold, **once).rendering.mattered
        torch.testing.assert_close(found, gradient.abs().sum(1), rtol=1e-3, atol=1e-6)
    masked = fv.accentuate(network, GOAL, images, mask=MASK, **SHORT).rendering.mattered
    assert masked is not None
    assert not masked[MASK[:, 0] == 0].any()
    assert masked[MASK[:, 0] == 1].min() > 0
    torch.testing.assert_close(
        fv.render(network, GOAL, fv.FourierImage.of(images, exact=True), **once).mattered,
        gradient.abs().sum(1),
        rtol=1e-3,
        atol=1e-6,
    )


def test_a_photograph_is_the_same_alone_and_in_a_batch(network: nn.Module) -> None:
    images = photographs(3)
    hold = fv.Hold("early")
    batch = fv.accentuate(network, GOAL, images, hold=hold, **SHORT)
    for index, one in enumerate(images.split(1)):
        alone = fv.accentuate(network, GOAL, one, hold=hold, **SHORT)
        torch.testing.assert_close(batch.images[index : index + 1], alone.images, rtol=0, atol=2e-3)
        assert batch.rendering.mattered is not None
        torch.testing.assert_close(
            batch.rendering.mattered[index : index + 1], alone.rendering.mattered, rtol=0.02, atol=1e-4
        )


def test_each_photograph_may_have_a_goal_of_its_own(network: nn.Module) -> None:
    goals = [fv.channel("last", 0), -fv.channel("last", 3)]
    both = fv.accentuate(network, fv.together(goals), photographs(2), hold=fv.Hold("early"), **SHORT)
    for index, goal in enumerate(goals):
        one = fv.accentuate(network, goal, photographs(2)[index : index + 1], hold=fv.Hold("early"), **SHORT)
        torch.testing.assert_close(both.after[index], one.after[0], rtol=1e-2, atol=1e-3)


def test_the_map_keeps_its_sum_where_stages_change_the_size(network: nn.Module) -> None:
    start = fv.FourierImage.of(photographs(), exact=True)
    stages = [fv.Stage(16, 4), fv.Stage(32, 1)]
    mattered = fv.render(network, GOAL, start, steps=stages, transforms=()).mattered
    first = fv.render(network, GOAL, start, steps=stages[:1], transforms=()).mattered
    assert mattered is not None
    assert first is not None
    assert mattered.shape == (1, 32, 32)
    assert mattered.sum() > first.sum()
    assert mattered.sum() < 2 * first.sum()


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_pictures_fade_where_it_did_not_matter(network: nn.Module, suffix: str, tmp_path: Path) -> None:
    rendering = fv.accentuate(network, GOAL, photographs(), mask=MASK, **SHORT).rendering
    faded = rendering.faded(0.1, smooth=0.1)
    assert faded.shape == (1, 4, 32, 32)
    assert faded[:, 3:][MASK == 0].max() < 1e-6
    assert (faded[:, 3] == 1).float().mean() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(faded[:, :3], rendering.pictures)
    with PILImage.open(image.save(faded, tmp_path / f"faded.{suffix}")) as file:
        assert file.mode == "RGBA"
        alpha = torch.tensor(list(file.getdata(3))).view(32, 32)
    assert torch.equal(alpha, (255 * faded[0, 3]).round().long())
    with pytest.raises(BadInputError, match="keeps no alpha"):
        image.save(faded, tmp_path / "faded.jpg")
    assert image.png(faded).startswith(b"\x89PNG")


def test_bad_input_is_explained(network: nn.Module) -> None:
    images = photographs(2)

    def refused(message: str, **options: object) -> None:
        with pytest.raises(BadInputError, match=message):
            fv.accentuate(network, **({"goal": GOAL, "photographs": images} | SHORT | options))  # type: ignore[arg-type]

    refused(r"in \[0, 1\]", photographs=255 * images)
    refused("shape", photographs=images[0])
    refused("images of 32 x 32", mask=MASK[..., :16])
    refused("shape", mask=torch.ones(1, 3, 32, 32))
    refused("0 everywhere", mask=torch.zeros(1, 1, 32, 32))
    refused("at the level already", level=-100.0)
    refused("one for each of 2", level=torch.ones(3))
    refused("has no gradient", hold=fv.Hold(fv.feature_distance(fv.IMAGE, images) * 0.0))
    refused("there is no 17", hold=fv.Hold(fv.other_distance("last", 17, images)))
    refused("not all 0", hold=fv.Hold(fv.other_distance("last", torch.ones(3), images)))
    refused("3 objectives need as many", goal=fv.together([GOAL] * 3))
    with pytest.raises(BadInputError, match="from 0 on"):
        fv.Hold("early", -1.0)
    with pytest.raises(BadInputError, match="one color"):
        fv.MacoImage.of(torch.full((1, 3, 16, 16), 0.5))
    rendering = fv.render(network, GOAL, size=32, steps=1)
    with pytest.raises(BadInputError, match="share"):
        rendering.faded(0.0)
