"""Transforms: what an image has to survive. Frozen values that print as they are written.

A transform takes images (N, C, H, W) and one random generator for each image, and returns images of the same number. A
tuple of transforms is applied from left to right: `transformed(images, STANDARD, seed=0)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.errors import BadInputError
from interp.featurevis.streams import Streams, normal, streams, uniform


class Transform(Protocol):
    """Anything with this signature is a transform."""

    def __call__(self, images: Tensor, random: Streams) -> Tensor: ...


@dataclass(frozen=True)
class warp:
    """Rotation, scale and shift in one resampling, bilinear, with the image mirrored at its borders.

    Every image draws its own; the center of the rotation and of the scale is the middle.

    Attributes:
        rotate: degrees; drawn uniformly from [-rotate, rotate].
        scale: (low, high), the factor by which things grow; the logarithm is drawn uniformly.
        shift: pixels; down and across are drawn uniformly from [-shift, shift].
    """

    rotate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.rotate < 0 or self.shift < 0 or not 0 < self.scale[0] <= self.scale[1]:
            raise BadInputError(
                f"{self}: rotate and shift cannot be negative, and 0 < low <= high for scale."
            )

    def __call__(self, images: Tensor, random: Streams) -> Tensor:
        if self == warp():
            return images
        return warp_by(images, *self.draw(random))

    def draw(self, random: Streams) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each image the angle in degrees (N,), the factor (N,) and the shift (N, 2) in pixels."""
        numbers = uniform(random, 4)
        low, high = (math.log(factor) for factor in self.scale)
        factor = ((low + high) / 2 + (high - low) / 2 * numbers[:, 1]).exp()
        return self.rotate * numbers[:, 0], factor, self.shift * numbers[:, 2:]


def warp_by(images: Tensor, degrees: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """Turn images (N, C, H, W) counterclockwise by degrees (N,), enlarge by factor (N,), shift by pixels (N, 2)."""
    height, width = images.shape[-2:]
    cosine, sine = torch.cos(torch.deg2rad(degrees)) / factor, torch.sin(torch.deg2rad(degrees)) / factor
    down, across = shift[:, 0], shift[:, 1]
    # The grid says where each pixel comes from, in units of half a side; x first. So it is the inverse of what is done.
    x = torch.stack([cosine, -sine * height / width, -2 / width * (cosine * across - sine * down)], dim=1)
    y = torch.stack([sine * width / height, cosine, -2 / height * (sine * across + cosine * down)], dim=1)
    grid = F.affine_grid(torch.stack([x, y], dim=1).to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def jitter(pixels: float) -> warp:
    """Shift by up to so many pixels in each direction."""
    return warp(shift=pixels)


def rotate(degrees: float) -> warp:
    """Rotate by up to so many degrees either way."""
    return warp(rotate=degrees)


def scale(low: float, high: float) -> warp:
    """Enlarge by a factor from low to high."""
    return warp(scale=(low, high))


@dataclass(frozen=True)
class pad:
    """Add so many pixels at each side, mirrored, or of one gray."""

    pixels: int
    gray: float | None = None

    def __post_init__(self) -> None:
        if self.pixels < 0:
            raise BadInputError(f"{self}: pixels cannot be negative. crop cuts.")

    def __call__(self, images: Tensor, random: Streams) -> Tensor:  # noqa: ARG002
        sides = (self.pixels,) * 4
        if self.gray is None:
            return F.pad(images, sides, "reflect")
        return F.pad(images, sides, "constant", self.gray)


@dataclass(frozen=True)
class crop:
    """Cut a part at a random place and enlarge it to the whole size.

    Attributes:
        low, high: the part's side as a share of the image's side, drawn uniformly.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high <= 1:
            raise BadInputError(f"{self}: the shares have to be 0 < low <= high <= 1.")

    def __call__(self, images: Tensor, random: Streams) -> Tensor:
        share, place = self.draw(random)
        free = (1 - share)[:, None] / 2 * place * torch.tensor(images.shape[-2:])
        return warp_by(images, torch.zeros_like(share), 1 / share, -free / share[:, None])

    def draw(self, random: Streams) -> tuple[Tensor, Tensor]:
        """Return for each image the share (N,), and the place (N, 2) in the free room, each from -1 to 1."""
        numbers = uniform(random, 3)
        return (self.low + self.high) / 2 + (self.high - self.low) / 2 * numbers[:, 0], numbers[:, 1:]


@dataclass(frozen=True)
class noise:
    """Add normal noise of this standard deviation to each value."""

    deviation: float

    def __call__(self, images: Tensor, random: Streams) -> Tensor:
        return images + self.deviation * normal(random, images.shape[1:]).to(images)


@dataclass(frozen=True)
class blur:
    """Blur with a Gaussian of this standard deviation in pixels."""

    deviation: float

    def __post_init__(self) -> None:
        if self.deviation < 0:
            raise BadInputError(f"{self}: the deviation cannot be negative.")

    def __call__(self, images: Tensor, random: Streams) -> Tensor:  # noqa: ARG002
        if self.deviation == 0:
            return images
        reach = max(1, math.ceil(3 * self.deviation))
        place = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
        row = torch.exp(-0.5 * (place / self.deviation) ** 2)
        row = (row / row.sum()).expand(images.shape[1], 1, 1, -1)
        padded = F.pad(images, (reach,) * 4, "reflect")
        across = F.conv2d(padded, row, groups=images.shape[1])
        return F.conv2d(across, row.transpose(2, 3), groups=images.shape[1])


STANDARD: tuple[Transform, ...] = (warp(rotate=15, scale=(0.85, 1.2), shift=8),)
# Fel et al., 2023: crops of a tenth to a half of the side, and noise; ours are wider, for small images.
MACO: tuple[Transform, ...] = (crop(0.4, 0.9), noise(0.05))


def transformed(images: Tensor, transforms: Sequence[Transform], *, seed: int = 0) -> Tensor:
    """Apply transforms to images (N, C, H, W); image i draws from the stream (seed, i)."""
    random = streams(seed, "transforms", [str(index) for index in range(len(images))])
    return compose(transforms)(images, random)


def compose(transforms: Sequence[Transform]) -> Transform:
    """Return one transform that applies all, from left to right."""

    def apply(images: Tensor, random: Streams) -> Tensor:
        for transform in transforms:
            images = transform(images, random)
        return images

    return apply
