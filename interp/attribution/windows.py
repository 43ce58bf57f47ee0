"""Occlusion: cover a part of the image and see what the score loses."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from interp import hooks
from interp.attribution.baselines import Baseline, fill
from interp.attribution.passes import at_once, scores, single
from interp.attribution.targets import Single, Target, each
from interp.errors import BadInputError

Box = tuple[slice, slice]


def occlusion(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    window: int = 32,
    stride: int = 16,
    baseline: Baseline = 0.5,
) -> Tensor:
    """Return how much of the score is lost when a square around each pixel is covered.

    Zeiler and Fergus, 2013, https://arxiv.org/abs/1311.2901. A pixel gets the mean loss of the squares that cover it.

    Args:
        model: takes images in [0, 1], returns logits; it comes back as it was.
        images: (N, C, H, W) in [0, 1], such as the model takes.
        target: a class index or name, a list with one for each image, or a function of the logits.
        window: the side of the square in pixels; the last ones of a row or column are cut off by the edge.
        stride: the distance of neighboring squares in pixels, at most `window`.
        baseline: what covers: a brightness, "blur", or images.

    Returns:
        Heat, (N, H, W), in units of the score; negative where covering helps.

    Raises:
        BadInputError: images, target, window or stride do not fit; the message says how to mend it.
        UnknownNameError: there is no class of that name.
    """
    height, width = hooks.check_images(model, images).shape[-2:]
    if not 1 <= stride <= window <= min(height, width):
        raise BadInputError(
            f"Occlusion needs 1 <= stride <= window <= the image's side; got the stride {stride}, the window {window} "
            f"and images of {height} x {width} pixels."
        )
    covers = single(fill(images.detach(), baseline))
    whole = zip(single(images.detach()), covers, each(target, len(images)), strict=True)
    squares = list(boxes(height, width, window, stride))
    return torch.stack([_losses(model, *one, squares) for one in whole]).float()


def boxes(height: int, width: int, window: int, stride: int) -> Iterator[Box]:
    """Yield the squares in reading order, as slices of rows and columns; together they cover every pixel."""
    for top in range(0, height - window + stride, stride):
        for left in range(0, width - window + stride, stride):
            yield slice(top, min(top + window, height)), slice(left, min(left + window, width))


def _losses(model: nn.Module, one: Tensor, cover: Tensor, target: Single, squares: list[Box]) -> Tensor:
    whole = scores(model, one[None], target).to(one)
    total, count = torch.zeros_like(one[0]), torch.zeros_like(one[0])
    for start in range(0, len(squares), at_once(one)):
        some = squares[start : start + at_once(one)]
        covered = scores(model, _covered(one, cover, some), target).to(one)
        for (rows, columns), loss in zip(some, whole - covered, strict=True):
            total[rows, columns] += loss
            count[rows, columns] += 1
    return total / count


def _covered(one: Tensor, cover: Tensor, squares: list[Box]) -> Tensor:
    batch = one.repeat(len(squares), 1, 1, 1)
    for picture, (rows, columns) in zip(batch, squares, strict=True):
        picture[:, rows, columns] = cover[:, rows, columns]
    return batch
