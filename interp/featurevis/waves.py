"""Parameterizations by waves: the standard, and fixed magnitudes with free phases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from interp import image
from interp.errors import BadInputError
from interp.featurevis.colors import from_rgb, to_rgb
from interp.featurevis.parameterizations import Parameterization, Size, check_channels, sides_of
from interp.featurevis.streams import normal, streams

DECAY = 1.25  # the exponent of 1/f; 1 is that of photographs (Field, 1987), 1.5 comes out foggy
NOISE = 0.1  # the standard deviation of the coefficients at the start
EXACT = 0.5 / 255  # nearer to 0 and 1 no byte can tell
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
        alpha: whether to add an alpha channel, (N, C + 1, H, W).
        channels: how many the network takes; 3 are red, green and blue.
    """

    scale: Tensor
    rest: Tensor | None
    said = ("seed", "decay", "noise", "decorrelated", "contrast", "alpha", "channels")

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
        channels: int = 3,
    ) -> None:
        super().__init__(size, count, names)
        self.decay, self.decorrelated, self.contrast = decay, decorrelated, contrast
        self.alpha, self.channels = alpha, check_channels(channels)
        self.seed: int | None = seed
        self.noise: float | None = noise
        self.register_buffer("scale", wave_scale(self.size, decay), persistent=False)
        self.register_buffer("rest", None, persistent=False)
        shape = (self.channels + alpha, *self.scale.shape, 2)
        self.coefficients = nn.Parameter(noise * normal(streams(seed, "waves", self.names), shape))

    @classmethod
    def of(cls, images: Tensor, *, decay: float = DECAY, exact: bool = False) -> Self:
        """Start from images (N, C, H, W) in [0, 1].

        Args:
            images: photographs, for example.
            decay: as above.
            exact: whether to start in their exact colors, to half a step of 1/255, the way to accentuate a photograph:
                what waves cannot carry is added, fixed. Otherwise values nearer than 0.01 to 0 or 1 are moved there,
                and waves of two pixels are left out.
        """
        out = cls(sides_of(images), len(images), decay=decay, channels=images.shape[1])
        out.seed = out.noise = None
        out.scale = out.scale.to(images.device)
        latent = from_rgb(images.float(), margin=EXACT) if exact else from_rgb(images.float())
        waves = torch.fft.rfft2(latent, norm="forward")
        scaled = torch.where(out.scale > 0, waves / out.scale.clamp(min=1e-12), 0)
        out.coefficients = nn.Parameter(torch.view_as_real(scaled).contiguous())
        out.rest = (latent - out.latent()).detach() if exact else None
        return out

    def latent(self) -> Tensor:
        """Return the image before the colors and the sigmoid, (N, C or C + 1, H, W)."""
        latent = _image_of(torch.view_as_complex(self.coefficients) * self.scale, self.size)
        return latent if self.rest is None else latent + self.rest

    def forward(self) -> Tensor:
        return to_rgb(
            self.latent(), decorrelated=self.decorrelated, contrast=self.contrast, channels=self.channels
        )

    def resized(self, size: Size) -> Self:
        out = super().resized(size)
        out.scale = wave_scale(out.size, self.decay).to(self.scale)
        out.coefficients = nn.Parameter(copy_waves(self.coefficients.detach(), self.size, out.size))
        out.rest = None if self.rest is None else image.resize(self.rest, out.size)
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
        magnitude: (C, H, W // 2 + 1) in decorrelated colors, for example from `mean_magnitude(photographs)`; without
            it, 1 / frequency for every color, which is what photographs have on average.
        contrast: the standard deviation of the latent image.
        channels: how many the network takes; colors of another number than three are not decorrelated.
    """

    magnitude: Tensor
    mean: Tensor
    contrast: Tensor | float
    said = ("seed", "contrast", "channels")

    def __init__(
        self,
        size: Size = 128,
        count: int = 1,
        *,
        seed: int = 0,
        names: Sequence[str] | None = None,
        magnitude: Tensor | None = None,
        contrast: float = 1.0,
        channels: int = 3,
    ) -> None:
        super().__init__(size, count, names)
        self.contrast, self.channels = contrast, check_channels(channels)
        self.seed: int | None = seed
        if magnitude is None:
            magnitude = wave_scale(self.size, 1.0).expand(self.channels, -1, -1)
        shape = (self.channels, self.size[0], self.size[1] // 2 + 1)
        if magnitude.shape != shape:
            raise BadInputError(
                f"The magnitude has the shape {tuple(magnitude.shape)}; this size needs {shape}."
            )
        self.register_buffer("magnitude", magnitude.clone(), persistent=False)
        self.register_buffer("mean", torch.zeros(self.channels, 1, 1, dtype=torch.float32), persistent=False)
        self.phase = nn.Parameter(math.pi * normal(streams(seed, "phases", self.names), shape))

    @classmethod
    def of(cls, images: Tensor) -> Self:
        """Start from images (N, C, H, W) in [0, 1]: each keeps the magnitudes of its own waves, and its mean color.

        The start is the images themselves, to half a step of 1/255. That magnitudes alone keep little of what a
        photograph shows, and phases most, is Oppenheim and Lim, 1981.

        Raises:
            BadInputError: an image of one color, which has no waves.
        """
        out = cls(sides_of(images), len(images), channels=images.shape[1])
        out.seed = None
        latent = from_rgb(images.float(), margin=EXACT)
        out.mean = latent.mean(dim=(2, 3), keepdim=True)
        out.contrast = (latent - out.mean).std(dim=(1, 2, 3), keepdim=True)
        if not (out.contrast > 0).all():
            raise BadInputError(
                "An image of one color has no waves whose phases could change. Give another one."
            )
        waves: Tensor = torch.fft.rfft2(latent, norm="forward")
        out.magnitude, out.phase = waves.abs(), nn.Parameter(waves.angle())
        return out

    def latent(self) -> Tensor:
        """Return the image before the colors and the sigmoid, (N, C, H, W)."""
        waves = torch.polar(self.magnitude.expand_as(self.phase), self.phase)
        latent = _image_of(real_columns(waves, self.size), self.size)
        latent = latent - latent.mean(dim=(2, 3), keepdim=True)
        return self.contrast * latent / latent.std(dim=(1, 2, 3), keepdim=True) + self.mean

    def forward(self) -> Tensor:
        return to_rgb(self.latent(), channels=self.channels)

    def resized(self, size: Size) -> Self:  # noqa: ARG002
        raise BadInputError("MacoImage has the magnitudes of one size; make one at the size that is wanted.")


def real_columns(waves: Tensor, size: tuple[int, int]) -> Tensor:
    """Return waves (..., H, W // 2 + 1) as a real image can have them.

    The first column, and the last one of an even width, hold both a wave and its opposite. There the rows k and -k are
    one wave, so the second takes the phase of the first; what is its own opposite is real.
    The inverse transform would average the two otherwise, and with them their magnitudes.
    """
    middle = waves[..., 1 : (size[1] + 1) // 2]
    ends = [_own_opposite(waves[..., :1])]
    ends += [] if size[1] % 2 else [_own_opposite(waves[..., -1:])]
    return torch.cat([ends[0], middle, *ends[1:]], dim=-1)


def _own_opposite(column: Tensor) -> Tensor:
    height = column.shape[-2]
    single = column.abs().copysign(column.real)
    upper = column[..., 1 : (height + 1) // 2, :]
    half = [] if height % 2 else [single[..., height // 2 : height // 2 + 1, :]]
    return torch.cat([single[..., :1, :], upper, *half, upper.flip(-2).conj()], dim=-2)


def mean_magnitude(images: Tensor) -> Tensor:
    """Return the mean magnitude of the waves of images (N, C, H, W) in decorrelated colors, (C, H, W // 2 + 1)."""
    waves: Tensor = torch.fft.rfft2(from_rgb(images.float()), norm="forward")
    return waves.abs().mean(0)
