"""What is left of a channel's response when color, arrangement or texture is taken from the images.

Three changes. `gray` takes the color. `shuffled` cuts an image into squares and puts them down in another order:
texture and color stay, shape goes (local features without their order are what Brendel and Bethge classify by, 2019,
https://arxiv.org/abs/1904.00760). `flat` fills each object and the ground with their mean color: outline and color
stay, texture goes (near the filled silhouettes of Geirhos et al., 2018, https://arxiv.org/abs/1811.12231). The control
is a mirrored image: it takes nothing, and what is lost with it was chance in the choice of the strongest images.

The response is a difference, that of the strongest images from the same number in the middle; what a change does to all
images alike, such as the seams between the squares, is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from interp.errors import BadInputError

LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue are: ITU-R BT.601
SQUARE = 32  # pixels: the stride of most networks, so that a square meets their grids as it did before


def gray(images: Tensor) -> Tensor:
    """Return (N, 3, H, W) images in [0, 1] with the brightness of each pixel in all three channels."""
    weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
    return torch.einsum("nchw,c->nhw", images, weights)[:, None].expand_as(images)


def shuffled(images: Tensor, seed: int = 0, square: int = SQUARE) -> Tensor:
    """Return images (N, C, H, W) whose squares have changed places; each image has an order of its own.

    Raises:
        BadInputError: the squares do not fill an image.
    """
    n, _, height, width = images.shape
    if square < 1 or height % square or width % square:
        raise BadInputError(
            f"Squares of {square} pixels do not fill images of {height} x {width}; choose a side that divides both."
        )
    squares = torch.nn.functional.unfold(images, square, stride=square)  # (N, C * square ** 2, places)
    generator = torch.Generator().manual_seed(seed)
    orders = torch.stack([torch.randperm(squares.shape[2], generator=generator) for _ in range(n)])
    moved = squares.gather(2, orders.to(images.device)[:, None].expand_as(squares))
    return torch.nn.functional.fold(moved, (height, width), square, stride=square)


def flat(images: Tensor, regions: Tensor) -> Tensor:
    """Return images (N, C, H, W) in which each region is filled with its mean.

    Args:
        images: of any range.
        regions: (N, H, W) whole numbers: to which region of its image a pixel belongs.

    Raises:
        BadInputError: the shapes do not fit.
    """
    if regions.shape != (len(images), *images.shape[2:]):
        raise BadInputError(
            f"For images {tuple(images.shape)} regions of {(len(images), *images.shape[2:])} are needed; "
            f"got {tuple(regions.shape)}."
        )
    filled = images.clone()
    for number in regions.unique():  # type: ignore[no-untyped-call]
        inside = (regions == number)[:, None]
        total = (images * inside).sum(dim=(2, 3), keepdim=True)
        filled = torch.where(inside, total / inside.sum(dim=(2, 3), keepdim=True).clamp(min=1), filled)
    return filled


def kept(plain: Tensor, changed: Tensor, count: int) -> Tensor:
    """Return (C,) which part of each channel's response to its strongest images is left after a change.

    It is 1 where nothing is lost, 0 where the strongest images move the channel no more than those in the middle; it
    may be below 0 or above 1. NaN stands for a channel that does not vary.

    Args:
        plain: (N, C) scores of the images; they decide which are the strongest and which lie in the middle.
        changed: (N, C) scores of the same images after the change.
        count: of the strongest images, and of those in the middle.

    Raises:
        BadInputError: the shapes differ, or there are too few images for both.
    """
    n = len(plain)
    if plain.shape != changed.shape or not 1 <= count <= n // 4:
        raise BadInputError(
            f"Scores of the same shape, and at least four times {count} images, are needed; got "
            f"{tuple(plain.shape)} and {tuple(changed.shape)}."
        )
    order = plain.argsort(dim=0, stable=True)
    start = (n - count) // 2
    strongest, middle = order[n - count :], order[start : start + count]

    def response(scores: Tensor) -> Tensor:
        return scores.gather(0, strongest).mean(dim=0) - scores.gather(0, middle).mean(dim=0)

    before = response(plain)
    return torch.where(before > 0, response(changed) / before, torch.nan)


def summary(left: Mapping[str, Tensor], channel: int, count: int) -> dict[str, Any] | None:
    """Return what a page says of a channel: `scenes`, and in `kept` a number for each change; None without any."""
    found = {name: float(each[channel]) for name, each in left.items()}
    if any(value != value for value in found.values()):
        return None
    return {"scenes": count, "kept": {name: round(value, 2) for name, value in found.items()}}
