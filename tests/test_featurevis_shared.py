"""Laws of pictures that share coarse parts: they reduce to plain ones, and what is shared is the same for all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from interp import featurevis as fv
from interp.errors import BadInputError


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.Conv2d(6, 4, 5)).eval()


def own(count: int = 3, size: int = 32) -> fv.FourierImage:
    return fv.standard_image(size, [f"image {index}" for index in range(count)])


def filled(images: fv.SharedImage) -> fv.SharedImage:
    """Give what is shared some values."""
    generator = torch.Generator().manual_seed(1)
    for part in images.shared.parameters():
        part.data = torch.randn(part.shape, generator=generator)
    return images


def waves(latent: Tensor) -> Tensor:
    return torch.fft.rfft2(latent, norm="forward")


def test_without_parts_they_are_the_plain_pictures_and_so_is_the_ascent(model: nn.Module) -> None:
    objective = fv.together([fv.channel("2", index) for index in range(3)])
    plain, shared = own(), fv.SharedImage(own(), [])
    torch.testing.assert_close(shared(), plain(), rtol=0, atol=0)
    found = [fv.render(model, objective, start, size=32, steps=5).images for start in (plain, shared)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_the_start_is_that_of_the_plain_pictures() -> None:
    torch.testing.assert_close(fv.SharedImage(own(), fv.pyramid(32, 3))(), own()(), rtol=0, atol=0)


def test_a_part_adds_its_weighted_images_to_the_latent_ones() -> None:
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.0, -2.0]])
    images = filled(fv.SharedImage(own(), [fv.Part(16, weights)], weight=0.5))
    part = images.shared[0].latent.detach()
    coarse = torch.zeros(2, 3, 32, 17, 2)
    # By hand: the waves 0 to 7 and -7 to -1 of 16 rows, 0 to 7 of 16 columns.
    coarse[:, :, :8, :8], coarse[:, :, -7:, :8] = part[:, :, :8, :8], part[:, :, -7:, :8]
    expected = [
        0.5 * images.own.coefficients[n] + sum(weights[n, g] * coarse[g] for g in range(2)) for n in range(3)
    ]
    torch.testing.assert_close(images.coefficients(), torch.stack(expected))
    alone = own()
    alone.coefficients.data = torch.stack(expected).detach()
    torch.testing.assert_close(images(), alone())


def test_a_picture_that_shares_with_nobody_can_be_reached_by_its_own_waves() -> None:
    """One image for each picture at the full size: own and shared coefficients are two names for one thing."""
    images = filled(fv.SharedImage(own(), [fv.Part(32, torch.eye(3))], weight=0.0))
    plain = own()
    plain.coefficients.data = images.shared[0].latent.detach() * (plain.scale > 0)[..., None]
    torch.testing.assert_close(images(), plain())


def test_only_the_coarse_waves_are_shared() -> None:
    images = filled(fv.SharedImage(own(), [fv.Part(8, fv.blended(3))]))
    images.own.coefficients.data.zero_()
    found = waves(images.own.latent()), waves(torch.logit(images()))
    assert found[0].abs().max() == 0
    moved = found[1].abs().amax((0, 1)) > 1e-4
    rows, columns = moved.nonzero(as_tuple=True)
    assert moved.any()
    assert columns.max() <= 3
    assert torch.minimum(rows, 32 - rows).max() <= 3
    torch.testing.assert_close(images()[0], images()[2])


def test_what_is_shared_gets_the_weighted_gradients_of_all() -> None:
    weights = torch.tensor([[1.0], [0.5], [0.0]])
    images = fv.SharedImage(own(), [fv.Part(32, weights)])
    factors = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    (images() * factors).sum().backward()
    each = images.own.coefficients.grad * (images.own.scale > 0)[..., None]
    torch.testing.assert_close(images.shared[0].latent.grad[0], each[0] + 0.5 * each[1])


def test_the_picture_is_the_same_at_another_size() -> None:
    images = filled(fv.SharedImage(own(), fv.pyramid(32, 3)))
    larger = images.resized(64)
    assert (larger.size, images.size) == ((64, 64), (32, 32))
    assert larger().shape == (3, 3, 64, 64)
    torch.testing.assert_close(larger.resized(32)(), images())


def test_images_that_share_end_nearer_to_one_another(model: nn.Module) -> None:
    objective = fv.together([fv.channel("2", index) for index in range(3)])
    starts = own(), fv.SharedImage(own(), fv.pyramid(32, 3))
    found = [fv.render(model, objective, start, size=32, steps=40).images for start in starts]
    apart = [(images[:, None] - images[None]).square().mean().item() for images in found]
    assert apart[1] < 0.8 * apart[0]


def test_settings_tell_the_own_waves_and_the_weight() -> None:
    waves_of_their_own = fv.FourierImage(32, 2, decay=0.7, seed=5)
    told = fv.SharedImage(waves_of_their_own, fv.pyramid(32, 2), weight=0.4).settings()
    assert told["own"] == waves_of_their_own.settings()
    assert (told["weight"], told["own"]["decay"], told["own"]["seed"]) == (0.4, 0.7, 5)  # type: ignore[index]


def test_blended_weights_are_a_share_of_each_neighbor() -> None:
    assert fv.blended(4).tolist() == [[1]] * 4
    assert fv.blended(3, 3).tolist() == torch.eye(3).tolist()
    torch.testing.assert_close(fv.blended(5, 2)[:, 1], torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    torch.testing.assert_close(fv.blended(7, 3).sum(1), torch.ones(7))


def test_the_pyramid_has_the_shares_of_the_notebook() -> None:
    found = [(part.size, part.weights.shape[1]) for part in fv.pyramid(256, 6)]
    expected = [(128, 1), (64, 1), (32, 1), (32, 2), (16, 1), (16, 2)]
    assert found == [((side, side), groups) for side, groups in expected]
    assert {part.size for part in fv.pyramid(32, 1)} == {(16, 16), (8, 8)}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: fv.Part(16, torch.ones(3)),
        lambda: fv.Part(16, torch.ones(3, 0)),
        lambda: fv.Part(16, torch.tensor([[float("nan")]])),
        lambda: fv.Part(4, torch.ones(3, 1)),
        lambda: fv.SharedImage(own(3), [fv.Part(16, fv.blended(4))]),
        lambda: fv.blended(2, 3),
        lambda: fv.blended(2, 0),
    ],
)
def test_bad_parts_are_explained(wrong: Callable[[], object]) -> None:
    with pytest.raises(BadInputError, match=r"\d|finite"):
        wrong()
