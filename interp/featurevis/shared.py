"""Pictures that have something in common: each is its own waves and a weighted sum of coarse ones that others share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import torch
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.featurevis.parameterizations import Parameterization, Size, check_size, sides
from interp.featurevis.waves import FourierImage, copy_waves

SMALLEST = 8  # pixels: the smallest side of an image


@dataclass(frozen=True)
class Part:
    """Coarse images, each of which goes into several pictures.

    Attributes:
        size: their own size, which decides what is shared: the waves that an image of this size can have.
        weights: (N, G), how much of each of the G images goes into each of the N pictures.

    Raises:
        BadInputError: the size cannot be that of an image, or the weights are no finite table.
    """

    size: Size
    weights: Tensor

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.weights.ndim != 2 or not self.weights.numel() or not self.weights.isfinite().all():
            raise BadInputError(
                "The weights of a part are a table (pictures, images) of finite numbers; got "
                f"{_described(self.weights)}. `blended(pictures, images)` makes one."
            )


def blended(count: int, groups: int = 1) -> Tensor:
    """Return the weights (count, groups) of pictures in a row: each is a blend of the two images nearest to it.

    One image goes into all alike. Of two, the first picture has the first alone, the last picture the last, and those
    between them change evenly.

    Raises:
        BadInputError: fewer pictures than images, or no images.
    """
    if not 1 <= groups <= count:
        raise BadInputError(f"{count} pictures can share 1 to {count} images; got {groups}.")
    places = torch.linspace(0, groups - 1, count, dtype=torch.float32)
    images = torch.arange(groups, dtype=torch.float32)
    return (1 - (places[:, None] - images).abs()).clamp(min=0)


def pyramid(size: Size, count: int) -> tuple[Part, ...]:
    """Return the parts that align a row of pictures: one image for all at 1/2, 1/4, 1/8 and 1/16, two at 1/8 and 1/16.

    Mordvintsev et al., 2018, https://distill.pub/2018/differentiable-parameterizations, section "Aligned feature
    visualization interpolation"; the shares are those of its notebook. A side is never below 8 pixels.
    """
    parts = [(2, 1), (4, 1), (8, 1), (8, min(2, count)), (16, 1), (16, min(2, count))]
    height, width = sides(size)
    return tuple(
        Part((max(height // by, SMALLEST), max(width // by, SMALLEST)), blended(count, groups))
        for by, groups in parts
    )


class SharedImage(Parameterization):
    r"""Pictures that share coarse parts: $c_n = w \, o_n + \sum_p \sum_g W^p_{ng} s^p_g$, in the coefficients of waves.

    What is shared gets the gradients of all pictures that have a weight for it, so it takes the direction that they
    agree on, and the forms of neighbors come to lie at the same places. With a weight for each group of an activation
    grid's cell, the cells become blends of a few images. The shared images start at zero: the pictures start as their
    own waves alone, and without parts they stay those.

    Args:
        own: what each picture has for itself, and how waves become colors.
        parts: what they share, such as `pyramid(size, count)`.
        weight: the factor w of their own waves.

    Raises:
        BadInputError: the weights of a part are those of another number of pictures.
    """

    said = ("weight", "channels")

    def __init__(self, own: FourierImage, parts: Sequence[Part], *, weight: float = 1.0) -> None:
        super().__init__(own.size, len(own.names), own.names)
        for part in parts:
            if len(part.weights) != len(own.names):
                raise BadInputError(
                    f"There are {len(own.names)} pictures, and a part of the size {part.size} has weights for "
                    f"{len(part.weights)}. Give one row for each picture."
                )
        self.own, self.weight, self.channels = own, weight, own.channels
        colors = own.coefficients.shape[1]
        self.shared = nn.ModuleList([_Shared(part, colors) for part in parts])

    def settings(self) -> dict[str, object]:
        return super().settings() | {"own": self.own.settings()}

    def coefficients(self) -> Tensor:
        """Return the sum of a picture's own coefficients and the shared ones, (N, C, H, W // 2 + 1, 2)."""
        total = self.weight * self.own.coefficients
        for part in self.shared:
            total = total + part(self.size)
        return total

    def forward(self) -> Tensor:
        images = torch.func.functional_call(self.own, {"coefficients": self.coefficients()})
        return cast(Tensor, images)

    def resized(self, size: Size) -> Self:
        out = super().resized(size)
        out.own = self.own.resized(size)
        return out


class _Shared(nn.Module):
    """The images of a part: called with a size, what they add to each picture's coefficients there."""

    weights: Tensor

    def __init__(self, part: Part, colors: int) -> None:
        super().__init__()
        self.size = sides(part.size)
        self.register_buffer("weights", part.weights.detach().float().clone())
        shape = (self.weights.shape[1], colors, self.size[0], self.size[1] // 2 + 1, 2)
        self.latent = nn.Parameter(torch.zeros(shape, dtype=torch.float32))

    def forward(self, size: tuple[int, int]) -> Tensor:
        mixed = torch.einsum("ng,gchwp->nchwp", self.weights, self.latent)
        return copy_waves(mixed, self.size, size)


def _described(weights: Tensor) -> str:
    return f"the shape {tuple(weights.shape)}" if weights.isfinite().all() else "numbers that are not finite"
