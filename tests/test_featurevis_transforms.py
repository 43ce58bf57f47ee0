"""Transforms: what is asked for is what is drawn, and nothing asked for changes nothing."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from interp import featurevis as fv
from interp.errors import BadInputError
from interp.featurevis.streams import streams
from interp.featurevis.transforms import warp_by

RANDOM_TRANSFORMS = [
    fv.warp(15, (0.85, 1.2), 8),
    fv.jitter(4),
    fv.rotate(30),
    fv.scale(0.5, 2),
    fv.crop(0.3, 0.9),
]
RANDOM_TRANSFORMS.append(fv.noise(0.1))


@pytest.fixture
def images() -> Tensor:
    coarse = torch.rand(4, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=(32, 40), mode="bicubic").clamp(0, 1)


def one(value: float, images: Tensor) -> Tensor:
    return torch.full((len(images),), value)


def test_identity_changes_nothing(images: Tensor) -> None:
    assert fv.transformed(images, ()) is images
    for nothing in (fv.warp(), fv.jitter(0), fv.rotate(0), fv.scale(1, 1), fv.blur(0)):
        assert torch.equal(fv.transformed(images, [nothing]), images)
    torch.testing.assert_close(warp_by(images, one(0, images), one(1, images), torch.zeros(4, 2)), images)
    torch.testing.assert_close(fv.transformed(images, [fv.crop(1, 1)]), images)


def test_a_shift_by_whole_pixels_is_a_roll(images: Tensor) -> None:
    shift = torch.tensor([3.0, -5.0]).expand(4, 2)
    moved = warp_by(images, one(0, images), one(1, images), shift)
    rolled = images.roll((3, -5), dims=(2, 3))
    torch.testing.assert_close(moved[:, :, 3:, :-5], rolled[:, :, 3:, :-5])


def test_what_comes_in_at_the_border_is_a_mirror_image(images: Tensor) -> None:
    moved = warp_by(images, one(0, images), one(1, images), torch.tensor([3.0, 0.0]).expand(4, 2))
    torch.testing.assert_close(moved[:, :, :3], images[:, :, :3].flip(2))


def test_a_quarter_turn_is_rot90() -> None:
    square = torch.rand(2, 3, 16, 16)
    turned = warp_by(square, one(90, square), one(1, square), torch.zeros(2, 2))
    torch.testing.assert_close(turned, square.rot90(1, dims=(2, 3)), atol=1e-4, rtol=0)


def test_a_turn_and_back_is_nearly_nothing(images: Tensor) -> None:
    still, left, right = torch.zeros(4, 2), one(20, images), one(-20, images)
    back = warp_by(warp_by(images, left, one(1, images), still), right, one(1, images), still)
    inside = (slice(None), slice(None), slice(10, -10), slice(12, -12))
    assert (back - images)[inside].abs().max() < 0.08
    assert (back - images.rot90(2, dims=(2, 3)))[inside].abs().max() > 0.2


def test_a_factor_of_two_enlarges_the_middle(images: Tensor) -> None:
    large = warp_by(images, one(0, images), one(2, images), torch.zeros(4, 2))
    middle = F.interpolate(images[:, :, 8:24, 10:30], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(large[:, :, 2:-2, 2:-2], middle[:, :, 2:-2, 2:-2])


def test_the_ranges_asked_for_are_the_ranges_drawn() -> None:
    random = streams(0, "test", [str(index) for index in range(4000)])
    degrees, factor, shift = fv.warp(rotate=15, scale=(0.85, 1.2), shift=8).draw(random)
    for values, low, high in (
        (degrees, -15, 15),
        (factor.log(), math.log(0.85), math.log(1.2)),
        (shift, -8, 8),
    ):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high >= values.max() > high - 0.01 * (high - low)
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    share, place = fv.crop(0.3, 0.9).draw(random)
    assert 0.3 <= share.min() < 0.306
    assert 0.9 >= share.max() > 0.894
    assert -1 <= place.min() < -0.99 < 0.99 < place.max() <= 1


def test_a_crop_is_a_part_of_the_image(images: Tensor) -> None:
    ramp = torch.linspace(0, 1, 40).expand(500, 3, 32, 40)
    cut = fv.transformed(ramp, [fv.crop(0.5, 0.5)])
    width = cut[:, 0, 0, -2] - cut[:, 0, 0, 1]
    torch.testing.assert_close(width, torch.full((500,), 37 / 39 * 0.5), atol=1e-4, rtol=0)
    # The part can lie at either border, and never reaches over it.
    assert cut[..., 1].min() == pytest.approx(0.25 / 39, abs=0.005)
    assert cut[..., -2].max() == pytest.approx(1 - 0.25 / 39, abs=0.005)


def test_pad_noise_and_blur(images: Tensor) -> None:
    assert torch.equal(fv.transformed(images, [fv.pad(3)]), F.pad(images, (3, 3, 3, 3), "reflect"))
    assert fv.transformed(images, [fv.pad(3, 0.5)])[0, 0, 0, 0] == 0.5
    noisy = fv.transformed(images, [fv.noise(0.1)]) - images
    assert noisy.std() == pytest.approx(0.1, rel=0.03)
    point = torch.zeros(1, 3, 33, 33)
    point[..., 16, 16] = 1
    spot = fv.transformed(point, [fv.blur(2.0)])[0, 0]
    assert spot.sum() == pytest.approx(1)
    variance = (spot.sum(0) * (torch.arange(33) - 16) ** 2).sum()
    assert variance.sqrt() == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize("transform", RANDOM_TRANSFORMS, ids=repr)
def test_each_image_has_its_own_random_numbers(transform: fv.Transform) -> None:
    image = torch.rand(1, 3, 16, 16).expand(2, -1, -1, -1)
    out = fv.transformed(image, [transform], seed=3)
    assert not torch.equal(out[0], out[1])
    assert torch.equal(out, fv.transformed(image, [transform], seed=3))
    assert not torch.equal(out, fv.transformed(image, [transform], seed=4))
    assert torch.equal(out[:1], fv.transformed(image[:1], [transform], seed=3))


def test_the_global_generator_is_left_alone(images: Tensor) -> None:
    before = torch.get_rng_state()
    fv.transformed(images, RANDOM_TRANSFORMS)
    assert torch.equal(before, torch.get_rng_state())


def test_transforms_print_as_they_are_written() -> None:
    text = repr((fv.pad(12), fv.warp(rotate=15, scale=(0.85, 1.2), shift=8), fv.noise(0.03)))
    assert text == (
        "(pad(pixels=12, gray=None), warp(rotate=15, scale=(0.85, 1.2), shift=8), noise(deviation=0.03))"
    )
    assert eval(text, {"pad": fv.pad, "warp": fv.warp, "noise": fv.noise})[1] == fv.STANDARD[0]


@pytest.mark.parametrize(
    "make",
    [lambda: fv.warp(rotate=-1), lambda: fv.scale(0, 1), lambda: fv.scale(2, 1), lambda: fv.crop(0.5, 1.1)],
)
def test_impossible_ranges_are_refused(make: object) -> None:
    with pytest.raises(BadInputError):
        make()  # type: ignore[operator]
