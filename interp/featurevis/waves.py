"""Parameterizations by waves: the standard, fixed magnitudes with free phases, and images with a common part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.featurevis.colors import from_rgb, to_rgb
from interp.featurevis.parameterizations import Parameterization, Size, check_size, sides_of
from interp.featurevis.streams import normal, streams

DECAY = 1.25  # the exponent of 1/f; 1 is that of photographs (Field, 1987), 1.5 comes out foggy
NOISE = 0.1  # the standard deviation of the coefficients at the start
# Lucid divides an orthonormal transform by 4. The same at 128 pixels, and independent of the size, is this gain.
_REFERENCE_SIDE = 128


class FourierImage(Parameterization):
    r"""Coefficients of waves, each scaled by 1 / frequency^decay, in decorrelated colors: the standard.

    The latent image is $\sum_k c_k \, g \, |k|^{-d} e^{2 \pi i k x}$, with k in waves per image, so that the same
    coefficients are the same picture at any size. Waves of exactly two pixels are left out: they have no phase.

    Args:
        size: (height, width), or one number for a square.
        count: how many images.
        seed, names: the start depends on these only; without names the images are called "0", "1", ...
        decay: the exponent d; 0 is white, 1 is that of photographs.
        noise: standard deviation of the coefficients at the start.
        decorrelated: see `to_rgb`.
        contrast: what the latent colors' root mean square stays below, see `limited`; None leaves it free.
        alpha: whether to add an alpha channel, (N, 4, H, W).
    """

    scale: Tensor

    def __init__(
        self,
        size: Size = 128,
        count: int = 1,
        *,
        seed: int = 0,
        names: Sequence[str] | None = None,
        decay: float = DECAY,
        noise: float = NOISE,
        decorrelated: bool = True,
        contrast: float | None = None,
        alpha: bool = False,
    ) -> None:
        super().__init__(size, count, names)
        self.decay, self.decorrelated, self.contrast = decay, decorrelated, contrast
        self.register_buffer("scale", wave_scale(self.size, decay), persistent=False)
        shape = (4 if alpha else 3, *self.scale.shape, 2)
        self.coefficients = nn.Parameter(noise * normal(streams(seed, "waves", self.names), shape))

    @classmethod
    def of(cls, images: Tensor, *, decay: float = DECAY) -> Self:
        """Start from images (N, 3, H, W) in [0, 1]: the way to accentuate a photograph."""
        out = cls(sides_of(images), len(images), decay=decay)
        waves = torch.fft.rfft2(from_rgb(images), norm="forward")
        scaled = torch.where(out.scale > 0, waves / out.scale.clamp(min=1e-12), 0)
        out.coefficients = nn.Parameter(torch.view_as_real(scaled).contiguous())
        return out

    def latent(self, size: tuple[int, int] | None = None) -> Tensor:
        """Return the image before the colors and the sigmoid, (N, 3 or 4, H, W), also sampled at another size."""
        waves: Tensor = self.coefficients
        scale = self.scale
        if size is not None and size != self.size:
            waves, scale = copy_waves(waves, self.size, size), wave_scale(size, self.decay).to(scale)
        return _image_of(torch.view_as_complex(waves) * scale, size or self.size)

    def forward(self) -> Tensor:
        return to_rgb(self.latent(), decorrelated=self.decorrelated, contrast=self.contrast)

    def resized(self, size: Size) -> Self:
        out = super().resized(size)
        out.scale = wave_scale(out.size, self.decay).to(self.scale)
        out.coefficients = nn.Parameter(copy_waves(self.coefficients.detach(), self.size, out.size))
        return out


def wave_scale(size: tuple[int, int], decay: float) -> Tensor:
    """Return the scale of each wave of a real image, (H, W // 2 + 1): gain / |k|^decay, 0 where a wave has no phase."""
    height, width = size
    down = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    across = torch.fft.rfftfreq(width, dtype=torch.float64)[None]
    waves = torch.hypot(down, across) * max(size)
    gain: float = _REFERENCE_SIDE ** (decay - 1) / 4
    scale = gain * waves.clamp(min=1).pow(-decay)
    return scale.masked_fill((down.abs() == 0.5) | (across == 0.5), 0).float()


def _image_of(waves: Tensor, size: tuple[int, int]) -> Tensor:
    return cast(Tensor, torch.fft.irfft2(waves, s=size, norm="forward"))


def copy_waves(coefficients: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Return the coefficients (N, C, H, W // 2 + 1, 2) of the same waves at another size; new ones are 0."""
    columns = (min(old[1], new[1]) + 1) // 2
    out = coefficients.new_zeros(*coefficients.shape[:2], new[0], new[1] // 2 + 1, 2)
    for before, after in _shared_rows(old[0], new[0]):
        out[:, :, after, :columns] = coefficients[:, :, before, :columns]
    return out


def _shared_rows(old: int, new: int) -> list[tuple[slice, slice]]:
    """Return the rows of the frequencies 0, 1, ... and ..., -2, -1 that two heights have in common."""
    side = min(old, new)
    # Of an even side, the wave of two pixels in the middle is left out.
    upper, lower = (side + 1) // 2, (side - 1) // 2
    return [(slice(0, upper), slice(0, upper)), (slice(old - lower, old), slice(new - lower, new))]


class MacoImage(Parameterization):
    """Only the phases are free; the magnitudes of the waves stay those of photographs.

    Fel et al., 2023, "Unlocking feature visualization for deeper networks with magnitude constrained optimization",
    https://arxiv.org/abs/2306.06805. Goes with `transforms.MACO`: crops and noise.

    Args:
        size: (height, width), or one number for a square.
        count: how many images.
        seed, names: the start depends on these only; without names the images are called "0", "1", ...
        magnitude: (3, H, W // 2 + 1) in decorrelated colors, for example from `mean_magnitude(photographs)`; without
            it, 1 / frequency for every color, which is what photographs have on average.
        contrast: the standard deviation of the latent image.
    """

    magnitude: Tensor

    def __init__(
        self,
        size: Size = 128,
        count: int = 1,
        *,
        seed: int = 0,
        names: Sequence[str] | None = None,
        magnitude: Tensor | None = None,
        contrast: float = 1.0,
    ) -> None:
        super().__init__(size, count, names)
        self.contrast = contrast
        if magnitude is None:
            magnitude = wave_scale(self.size, 1.0).expand(3, -1, -1)
        shape = (3, self.size[0], self.size[1] // 2 + 1)
        if magnitude.shape != shape:
            raise BadInputError(
                f"The magnitude has the shape {tuple(magnitude.shape)}; this size needs {shape}."
            )
        self.register_buffer("magnitude", magnitude.clone(), persistent=False)
        self.phase = nn.Parameter(math.pi * normal(streams(seed, "phases", self.names), shape))

    def forward(self) -> Tensor:
        waves = torch.polar(self.magnitude.expand_as(self.phase), self.phase)
        latent = _image_of(waves, self.size)
        latent = latent - latent.mean(dim=(2, 3), keepdim=True)
        return to_rgb(self.contrast * latent / latent.std(dim=(1, 2, 3), keepdim=True))

    def resized(self, size: Size) -> Self:
        raise BadInputError("MacoImage has the magnitudes of one size; make one at the size that is wanted.")


def mean_magnitude(images: Tensor) -> Tensor:
    """Return the mean magnitude of the waves of images (N, 3, H, W) in decorrelated colors, (3, H, W // 2 + 1)."""
    waves: Tensor = torch.fft.rfft2(from_rgb(images), norm="forward")
    return waves.abs().mean(0)


class SharedImage(Parameterization):
    """Images that have a common part: own[i] + common, added before the colors.

    A common part keeps the images of a batch aligned, for example while the objective goes from one neuron to another
    (differentiable parameterizations, 2018, sections on interpolation).

    Args:
        own: what each image has for itself.
        common: what all share, one image; a smaller size makes the common part the coarse one.
    """

    def __init__(self, own: FourierImage, common: FourierImage) -> None:
        if len(common.names) != 1:
            raise BadInputError(f"The common part has to be one image; it has {len(common.names)}.")
        super().__init__(own.size, len(own.names), own.names)
        self.own, self.common = own, common

    def forward(self) -> Tensor:
        common = self.common.latent(self.size)
        own = self.own
        return to_rgb(own.latent() + common, decorrelated=own.decorrelated, contrast=own.contrast)

    def resized(self, size: Size) -> Self:
        ratio = check_size(size)[0] / self.size[0]
        height, width = (max(8, round(side * ratio)) for side in self.common.size)
        out = super().resized(size)
        out.own, out.common = self.own.resized(size), self.common.resized((height, width))
        return out
