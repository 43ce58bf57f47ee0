"""Parameterizations: how an image is stored while it is optimized.

They are modules that, called, give images (N, C, H, W) in [0, 1], RGB by default.
The coordinates decide which step is short and which is long, so they decide what a fixed number of steps finds
(Feature Visualization, 2017, section on preconditioning).
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from interp import image
from interp.errors import BadInputError
from interp.featurevis.colors import from_rgb, to_rgb
from interp.featurevis.streams import normal, streams

Size = int | tuple[int, int]


class Parameterization(nn.Module):
    """Base: images with names (each has its own random numbers) and a size.

    Subclasses keep what is optimized in nn.Parameter; its first dimension is the image, or what images share.

    Attributes:
        said: the names of the attributes that `settings` tells.
    """

    said: ClassVar[tuple[str, ...]] = ()

    def __init__(self, size: Size, count: int, names: Sequence[str] | None) -> None:
        super().__init__()
        self.size = check_size(size)
        self.names = tuple(str(index) for index in range(count)) if names is None else tuple(names)
        if not self.names:
            raise BadInputError(f"A parameterization needs at least one image; count is {count}.")
        if count not in (1, len(self.names)):
            raise BadInputError(
                f"There are {len(self.names)} names for {count} images. Leave one of the two out."
            )

    def forward(self) -> Tensor:
        """Return the images, (N, C, H, W), or (N, C + 1, H, W) with alpha."""
        raise NotImplementedError

    def free(self) -> Tensor | float:
        """Return which share of each pixel may change, (N or 1, H, W) in [0, 1], or 1 for all."""
        return 1.0

    def settings(self) -> dict[str, object]:
        """Return what it was made of besides its size, as plain values.

        A start from images has neither seed nor noise.
        """
        told = {name: vars(self)[name] for name in self.said}
        plain = {
            name: one.flatten().tolist() if isinstance(one, Tensor) else one for name, one in told.items()
        }
        return plain | {"names": list(self.names)}

    def resized(self, size: Size) -> Self:
        """Return a copy that goes on at another size with the same picture."""
        out = copy.deepcopy(self)
        out.size = check_size(size)
        return out


def sides(size: Size) -> tuple[int, int]:
    """Return (height, width) of a size, which may be one whole number of any kind, such as one of numpy.

    Raises:
        BadInputError: it is something else.
    """
    try:
        height, width = size if isinstance(size, Sequence) else (size, size)
        return operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        raise BadInputError(
            f"A size is a whole number or (height, width), in pixels; got {size!r}."
        ) from None


def check_size(size: Size) -> tuple[int, int]:
    """Return (height, width), if an image can have this size."""
    height, width = sides(size)
    if min(height, width) < 8 or max(height, width) > 4096:
        raise BadInputError(
            f"The size {height} x {width} is not usable; each side has to be 8 to 4096 pixels."
        )
    return height, width


class PixelImage(Parameterization):
    """One parameter for each color of each pixel, behind a sigmoid: the plain way, which finds noise.

    Args:
        size: (height, width), or one number for a square.
        count: how many images.
        seed, names: the start depends on these only; without names the images are called "0", "1", ...
        noise: standard deviation of the start.
        decorrelated: see `to_rgb`.
        channels: how many the network takes; 3 are red, green and blue.
    """

    said = ("seed", "noise", "decorrelated", "channels")

    def __init__(
        self,
        size: Size = 128,
        count: int = 1,
        *,
        seed: int = 0,
        names: Sequence[str] | None = None,
        noise: float = 0.01,
        decorrelated: bool = False,
        channels: int = 3,
    ) -> None:
        super().__init__(size, count, names)
        self.decorrelated, self.channels = decorrelated, check_channels(channels)
        self.seed: int | None = seed
        self.noise: float | None = noise
        shape = (self.channels, *self.size)
        self.latent = nn.Parameter(noise * normal(streams(seed, "pixels", self.names), shape))

    @classmethod
    def of(cls, images: Tensor) -> Self:
        """Start from images (N, C, H, W) in [0, 1]."""
        out = cls(sides_of(images), len(images), channels=images.shape[1])
        out.seed = out.noise = None
        out.latent = nn.Parameter(from_rgb(images.float(), decorrelated=False))
        return out

    def forward(self) -> Tensor:
        return to_rgb(self.latent, decorrelated=self.decorrelated, channels=self.channels)

    def resized(self, size: Size) -> Self:
        out = super().resized(size)
        out.latent = nn.Parameter(image.resize(self.latent.detach(), out.size))
        return out


class MaskedImage(Parameterization):
    """Images that may change inside a mask only; outside they are given images, to the last bit.

    Args:
        inside: any parameterization of images without alpha; it is not changed.
        outside: (N or 1, C, H, W) in [0, 1], of its size.
        mask: (N or 1, 1, H, W) in [0, 1]; 1 is free, 0 is fixed, between them both are mixed.

    Raises:
        BadInputError: a mask of another shape or range, or images of another size.
    """

    outside: Tensor
    mask: Tensor

    def __init__(self, inside: Parameterization, outside: Tensor, mask: Tensor) -> None:
        super().__init__(inside.size, len(inside.names), inside.names)
        count, size = len(inside.names), tuple(inside.size)
        for values, what in ((image.check(outside, None), "images outside"), (image.check(mask, 1), "mask")):
            if values.shape[-2:] != size or len(values) not in (1, count):
                raise BadInputError(
                    f"The {what} have the shape {tuple(values.shape)}; {count} images of {size[0]} x {size[1]} pixels "
                    f"need (1 or {count}, C, {size[0]}, {size[1]}), and a mask one channel."
                )
        if not mask.any():
            raise BadInputError("The mask is 0 everywhere, so nothing may change. 1 marks what may.")
        self.inside = copy.deepcopy(inside)
        self.register_buffer("outside", outside.detach().clone(), persistent=False)
        self.register_buffer("mask", mask.detach().to(outside), persistent=False)

    def forward(self) -> Tensor:
        return torch.where(
            self.mask > 0, self.mask * self.inside() + (1 - self.mask) * self.outside, self.outside
        )

    def settings(self) -> dict[str, object]:
        return super().settings() | {"inside": self.inside.settings()}

    def free(self) -> Tensor:
        return self.mask[:, 0]

    def resized(self, size: Size) -> Self:
        out = super().resized(size)
        out.inside = self.inside.resized(size)
        out.outside, out.mask = (image.resize(values, out.size) for values in (self.outside, self.mask))
        return out


class CppnImage(Parameterization):
    """A small network from positions to colors, one for each image: smooth, and sharp at any size.

    Mordvintsev et al., 2018, https://distill.pub/2018/differentiable-parameterizations (after Stanley, 2007). Takes a
    learning rate of about 0.005.

    Args:
        size: (height, width), or one number for a square.
        count: how many images.
        seed, names: the start depends on these only; without names the images are called "0", "1", ...
        width, depth: channels and number of the hidden layers.
        channels: how many the network takes.
    """

    said = ("seed", "width", "depth", "channels")

    def __init__(
        self,
        size: Size = 128,
        count: int = 1,
        *,
        seed: int = 0,
        names: Sequence[str] | None = None,
        width: int = 24,
        depth: int = 8,
        channels: int = 3,
    ) -> None:
        super().__init__(size, count, names)
        self.seed, self.width, self.depth, self.channels = seed, width, depth, check_channels(channels)
        random = streams(seed, "cppn", self.names)
        inputs = [2] + [2 * width] * (depth - 1)
        self.hidden = nn.ParameterList([normal(random, (width, wide)) / math.sqrt(wide) for wide in inputs])
        zeros = partial(torch.zeros, dtype=torch.float32)
        self.biases = nn.ParameterList([zeros(len(self.names), width, 1) for _ in inputs])
        # A gray start: the first steps then choose the color.
        self.last = nn.Parameter(zeros(len(self.names), self.channels, 2 * width))

    def forward(self) -> Tensor:
        values = self._positions().expand(len(self.names), -1, -1)
        for weight, bias in zip(self.hidden, self.biases, strict=True):
            values = (weight @ values + bias).atan()
            # Both an odd and an even answer; the constants, Lucid's, give them about unit variance.
            values = torch.cat([values / 0.67, values.square() / 0.6], dim=1)
        return (self.last @ values).reshape(*self.last.shape[:2], *self.size).sigmoid()

    def _positions(self) -> Tensor:
        rows, columns = (torch.linspace(-1, 1, side, dtype=torch.float32) for side in self.size)
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).to(self.last.device)
        return grid.flatten(1) * math.sqrt(3)  # uniform on [-sqrt 3, sqrt 3] has the variance 1


def check_channels(channels: int) -> int:
    """Return a number of channels, if an image can have so many."""
    return image.Inputs(channels).channels


def sides_of(images: Tensor) -> tuple[int, int]:
    """Return (height, width) of images."""
    height, width = image.check(images, None).shape[-2:]
    return height, width
