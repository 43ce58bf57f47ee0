"""Whether two groups of images differ in any of many numbers by more than chance would have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.errors import BadInputError

AT_ONCE = 1000  # drawings in memory


@dataclass(frozen=True)
class Separation:
    """How far two groups are apart in each of some numbers.

    Attributes:
        difference: (F,), mean of the hits minus mean of the misses, in standard deviations over all images.
        chance: (F,), how often the largest of the F differences is at least as large where hits and misses are drawn
            anew. Naming what lies below 0.05 names something by chance in one set of F numbers of twenty.
    """

    difference: Tensor
    chance: Tensor


def separation(values: Tensor, hits: Tensor, *, draws: int = 999, seed: int = 0) -> Separation:
    """Compare the hits with the misses in many numbers at once, by drawing anew which images are the hits.

    Each number is judged by the largest difference of all, so that many numbers make no false alarm likelier (Westfall
    and Young, 1993, Resampling-Based Multiple Testing, the maximum statistic of a permutation test). Where hits and
    misses do not differ, the smallest of the chances is below any p with a probability of at most p, exactly.

    Args:
        values: (N, F), F numbers of each image.
        hits: (N,), True and False.
        draws: how often; the smallest chance that can come out is 1 / (draws + 1).
        seed: of the drawing.

    Raises:
        BadInputError: the shapes do not fit, a value is no number, there is no hit or no miss, or draws is below 1.
    """
    _check(values, hits, draws)
    scaled = (values - values.mean(0)).double()
    scaled = scaled / scaled.std(0, correction=0).clamp(min=1e-9)
    weights = hits.double() / hits.sum() - (~hits).double() / (~hits).sum()
    difference = weights @ scaled
    largest = torch.cat([(some @ scaled).abs().amax(1) for some in _shuffled(weights, draws, seed)])
    # The same drawing in another order of summation may be smaller by a rounding.
    reached = (largest[:, None] >= difference.abs() - 1e-9).sum(0)
    return Separation(difference.float(), ((1 + reached) / (draws + 1)).float())


def _shuffled(weights: Tensor, draws: int, seed: int) -> Iterator[Tensor]:
    """Give the weights in random orders, some at a time, (n, N)."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, draws, AT_ONCE):
        count = min(AT_ONCE, draws - start)
        yield weights[torch.rand(count, len(weights), generator=generator).argsort(1)]


def _check(values: Tensor, hits: Tensor, draws: int) -> None:
    if values.ndim != 2 or hits.dtype != torch.bool or hits.shape != values.shape[:1] or not values.shape[1]:
        raise BadInputError(
            "Values (N, F) and hits (N,) of True and False are needed; got the shapes "
            f"{tuple(values.shape)} and {tuple(hits.shape)} of {hits.dtype}."
        )
    if draws < 1 or not bool(torch.isfinite(values).all()):
        raise BadInputError(f"At least one drawing and finite values are needed; got draws={draws}.")
    if not 0 < int(hits.sum()) < len(hits):
        raise BadInputError(
            f"Of {len(hits)} images {int(hits.sum())} are hits: without a hit or a miss nothing can be compared."
        )
