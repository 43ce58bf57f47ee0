"""Parameterizations: the same picture at any size, and the coordinates that they promise."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch import Tensor

from interp import featurevis as fv
from interp.errors import BadInputError
from interp.featurevis.waves import real_columns

ALL = [fv.PixelImage, fv.FourierImage, fv.MacoImage, fv.CppnImage]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("size", [32, (24, 40), (25, 33)])
def test_images_follow_the_convention(kind: type[fv.Parameterization], size: int | tuple[int, int]) -> None:
    images = kind(size, 2, seed=1)()  # type: ignore[call-arg]
    assert images.shape == (2, 3, *((size, size) if isinstance(size, int) else size))
    assert 0 <= images.min() <= images.max() <= 1
    assert images.requires_grad


@pytest.mark.parametrize("kind", ALL)
def test_the_start_depends_on_seed_and_name_only(kind: type[fv.Parameterization]) -> None:
    def start(seed: int, *names: str) -> Tensor:
        parameters = [p.detach().flatten(1) for p in kind(16, seed=seed, names=names).parameters()]  # type: ignore[call-arg]
        return torch.cat(parameters, dim=1)

    before = torch.get_rng_state()
    batch = start(0, "a", "b", "a")
    assert torch.equal(batch[1:2], start(0, "b"))
    assert not torch.equal(batch[0], batch[1])
    assert not torch.equal(batch[0], batch[2])  # the same name twice still gives two images
    assert not torch.equal(batch[:1], start(1, "a"))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("small", "large"), [((16, 16), (32, 32)), ((15, 21), (45, 63)), ((12, 20), (24, 40))]
)
def test_waves_are_the_same_picture_at_a_higher_resolution(
    small: tuple[int, int], large: tuple[int, int]
) -> None:
    image = fv.FourierImage(small, 2, noise=1.0)
    ratio = large[0] // small[0]
    torch.testing.assert_close(image.resized(large)()[:, :, ::ratio, ::ratio], image())
    torch.testing.assert_close(image.resized(large).latent()[:, :, ::ratio, ::ratio], image.latent())
    torch.testing.assert_close(image.resized(large).resized(small)(), image())


def test_an_image_becomes_waves_and_back() -> None:
    image = fv.FourierImage((20, 24), noise=0.3)().detach()
    torch.testing.assert_close(fv.FourierImage.of(image)(), image)
    torch.testing.assert_close(fv.FourierImage.of(image, decay=0.0)(), image)
    torch.testing.assert_close(fv.PixelImage.of(image)(), image)
    torch.testing.assert_close(fv.to_rgb(fv.from_rgb(image)), image)


def test_waves_have_the_spectrum_that_was_asked_for() -> None:
    for decay in (0.0, 1.0, 2.0):
        latent = fv.FourierImage(64, 200, noise=1.0, decay=decay, decorrelated=False).latent().detach()
        power, frequency = fv.radial_power(latent, bins=16)
        slope = np.polyfit(frequency[2:14].log().numpy(), power.mean(0)[2:14].log().numpy(), 1)[0]
        assert slope == pytest.approx(-2 * decay, abs=0.15)


def test_lucent_has_the_same_waves_and_colors() -> None:
    color = pytest.importorskip("lucent.optvis.param.color")
    spatial = pytest.importorskip("lucent.optvis.param.spatial")
    torch.testing.assert_close(fv.COLORS, torch.from_numpy(color.color_correlation_normalized))
    (theirs,), their_image = spatial.fft_image((1, 3, 128, 128), decay_power=1.25)
    ours = fv.FourierImage(128)
    with torch.no_grad():
        theirs.mul_(
            (ours.scale > 0)[..., None]
        )  # lucent also has the waves of two pixels, which have no phase
        ours.coefficients.copy_(theirs)
    torch.testing.assert_close(ours.latent(), their_image())
    torch.testing.assert_close(ours(), color.to_valid_rgb(their_image, decorrelate=True)())


def test_the_contrast_is_limited_and_the_same_at_any_size() -> None:
    for noise in (0.01, 1.0, 100.0):
        free = fv.FourierImage((24, 32), noise=noise)
        image = fv.FourierImage((24, 32), noise=noise, contrast=1.8)
        colors = fv.limited(torch.einsum("rc,nchw->nrhw", fv.COLORS, image.latent()), 1.8).detach()
        assert colors.square().mean().sqrt() < 1.8
        torch.testing.assert_close(image(), colors.sigmoid())
        torch.testing.assert_close(image.resized((48, 64))()[:, :, ::2, ::2], image())
    assert colors.square().mean().sqrt() > 1.7  # a strong picture reaches the limit
    weak = fv.FourierImage(32, noise=1e-3, contrast=1.8)
    torch.testing.assert_close(weak(), fv.FourierImage(32, noise=1e-3)(), atol=1e-4, rtol=0)
    assert fv.saturation(free()) > 0.5 > 0.01 > fv.saturation(image())


def test_maco_keeps_the_magnitudes() -> None:
    magnitude = fv.mean_magnitude(torch.rand(2, 3, 16, 16))
    image = fv.MacoImage(16, magnitude=magnitude).requires_grad_(False)
    before = torch.fft.rfft2(fv.from_rgb(image()), norm="forward").abs()
    with torch.no_grad():
        image.phase.add_(torch.rand_like(image.phase))
    after = torch.fft.rfft2(fv.from_rgb(image()), norm="forward").abs()
    # Up to the contrast, which is normalized. The mean is left out; it is removed.
    ratio = (after / before).flatten(2)[:, :, 1:]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=0.02, atol=0.02)
    latent = fv.from_rgb(image(), margin=1e-6)
    assert latent.std() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("size", [(16, 16), (15, 17), (12, 9), (9, 12)])
def test_the_magnitudes_stay_in_every_column(size: tuple[int, int]) -> None:
    magnitude = fv.mean_magnitude(torch.rand(3, 3, *size))
    image = fv.MacoImage(size, 2, magnitude=magnitude)
    waves = torch.polar(magnitude.expand_as(image.phase), image.phase.detach())
    real = real_columns(waves, size)
    kept = torch.fft.rfft2(torch.fft.irfft2(real, s=size, norm="forward"), norm="forward")
    torch.testing.assert_close(kept.abs(), magnitude.expand_as(image.phase))
    assert torch.equal(real[..., 1 : (size[1] + 1) // 2], waves[..., 1 : (size[1] + 1) // 2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", [fv.FourierImage, fv.PixelImage])
def test_photographs_of_any_precision_are_a_start_in_single(
    kind: type[fv.FourierImage] | type[fv.PixelImage], dtype: torch.dtype
) -> None:
    images = fv.FourierImage((12, 15), noise=0.3)().detach()
    start = kind.of(images.to(dtype))
    assert {parameter.dtype for parameter in start.parameters()} == {torch.float32}
    torch.testing.assert_close(start(), images.clamp(0.01, 0.99), atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", ALL)
def test_the_default_type_changes_no_image(kind: type[fv.Parameterization]) -> None:
    expected = kind(16, 2)()  # type: ignore[call-arg]
    torch.set_default_dtype(torch.float64)
    try:
        found = kind(16, 2)()  # type: ignore[call-arg]
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_sizes_are_whole_numbers_of_any_kind() -> None:
    assert fv.FourierImage(np.int64(16)).size == (16, 16)  # type: ignore[arg-type]
    assert fv.FourierImage((np.int32(16), 24)).size == (16, 24)  # type: ignore[arg-type]


def test_a_seed_of_numpy_is_the_same_seed() -> None:
    assert torch.equal(fv.FourierImage(16, seed=np.int64(3))(), fv.FourierImage(16, seed=3)())  # type: ignore[arg-type]


def test_a_cppn_is_the_same_function_at_any_size() -> None:
    image = fv.CppnImage(17, 2)
    with torch.no_grad():
        image.last.normal_(generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(image.resized(33)()[:, :, ::2, ::2], image())


def test_alpha_is_a_fourth_channel() -> None:
    images = fv.FourierImage(16, 2, alpha=True)().detach()
    assert images.shape == (2, 4, 16, 16)
    assert images[:, 3].mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fv.FourierImage(4), "8 to 4096"),
        (lambda: fv.FourierImage((64, 5000)), "8 to 4096"),
        (lambda: fv.FourierImage(64, 0), "at least one image"),
        (lambda: fv.MacoImage(64, magnitude=torch.ones(3, 64, 64)), "this size needs"),
        (lambda: fv.MacoImage(64).resized(128), "magnitudes of one size"),
        (lambda: fv.FourierImage(64, 4, names=["a"]), "1 names for 4 images"),
        (lambda: fv.PixelImage(64, 2, names=["a", "b", "c"]), "3 names for 2 images"),
        (lambda: fv.FourierImage("64"), "whole number or"),  # type: ignore[arg-type]
        (lambda: fv.FourierImage.of(torch.rand(1, 3, 16, 16) * 255), r"in \[0, 1\]"),
    ],
)
def test_bad_sizes_are_explained(make: object, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        make()  # type: ignore[operator]


def test_every_parameterization_tells_all_that_it_is_made_of() -> None:
    told_by_the_numbers = {
        "generator",
        "magnitude",
        "own",
        "parts",
        "inside",
        "outside",
        "mask",
    }  # the hash of the start is made of these
    kinds = [kind for kind in fv.Parameterization.__subclasses__() if kind.__module__.startswith("interp.")]
    assert len(kinds) >= 6
    for kind in kinds:
        asked = {*inspect.signature(kind).parameters} - {"size", "count", "names"} - told_by_the_numbers
        assert asked <= {*kind.said}, kind
