"""A histogram with buckets of equal relative width: counts that add up, quantiles with a known error.

The idea of DDSketch (Masson et al., 2019, https://arxiv.org/abs/1908.10693): when a bucket's edges are a ratio of
(1 + e) / (1 - e) apart, its middle is within a fraction e of every value in it. Here the edges are taken from the bits
of the number itself (its exponent and eight bits of its mantissa), so no rounding of a logarithm decides a bucket.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from interp.errors import BadInputError

RELATIVE_ERROR = 0.03
OCTAVES = (-20, 20)  # 1e-6 to 1e6; smaller values count as zero, larger ones go to the last bucket
_MANTISSAS = 256


@functools.cache
def _steps() -> list[int]:
    """Return the first mantissa cell of each bucket of an octave, as coarse as RELATIVE_ERROR allows."""
    ratio = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
    starts = [_MANTISSAS]
    while (following := int(starts[-1] * ratio)) < 2 * _MANTISSAS:
        starts.append(following)
    return [start - _MANTISSAS for start in starts]


@functools.cache
def edges() -> Tensor:
    """Return the magnitudes at which the buckets of one sign begin and the last one ends, float64."""
    octaves = torch.arange(*OCTAVES, dtype=torch.float64).exp2()
    cells = 1 + torch.tensor(_steps(), dtype=torch.float64) / _MANTISSAS
    return torch.cat(
        [(octaves[:, None] * cells).flatten(), torch.tensor([2.0 ** OCTAVES[1]], dtype=torch.float64)]
    )


@functools.cache
def values() -> Tensor:
    """Return the value that stands for each bucket, ascending, float64: negative, zero, positive."""
    low, high = edges()[:-1], edges()[1:]
    middle = 2 * low * high / (low + high)
    return torch.cat([-middle.flip(0), torch.zeros(1, dtype=torch.float64), middle])


@functools.cache
def bounds() -> Tensor:
    """Return the edges between all buckets, ascending, float64: one more than `values`; zero's are +-2**-20."""
    return torch.cat([-edges().flip(0), edges()])


def buckets() -> int:
    """Return the number of buckets, the last one being for NaN and infinity."""
    return len(values()) + 1


@functools.cache
def _table() -> Tensor:
    """Return the bucket for each sign, exponent and upper eight bits of the mantissa: int64 (131072,)."""
    cells = torch.arange(1 << 17, dtype=torch.int64)
    octave = ((cells >> 8) & 255) - 127 - OCTAVES[0]
    step = torch.bucketize(cells & 255, torch.tensor(_steps()), right=True) - 1
    side = len(edges()) - 1
    index = (octave * len(_steps()) + step).clamp(max=side - 1)
    offset = torch.where(octave < 0, 0, index + 1)
    bucket = side + torch.where(cells >> 16 == 1, -offset, offset)
    bucket[(cells >> 8) & 255 == 255] = 2 * side + 1
    return bucket


def bucket(scores: Tensor) -> Tensor:
    """Return the bucket of each float32 score as int64, in the same shape."""
    cells = (scores.contiguous().view(torch.int32) >> 15) & 0x1FFFF
    return _table().index_select(0, cells.flatten()).view(scores.shape)


def count(scores: Tensor, before: Tensor | None = None) -> Tensor:
    """Return a histogram (C, buckets) int32 of scores (C, N), added to the one before."""
    if before is None:
        before = torch.zeros(scores.shape[0], buckets(), dtype=torch.int32)
    return before.scatter_add(1, bucket(scores), torch.ones(1, dtype=torch.int32).expand(scores.shape))


def quantile(counts: Tensor, q: float) -> Tensor:
    """Return the value below which a fraction q of the finite scores lies, (C,) float64; NaN where there are none.

    Within 3 % of the score at rank floor(q * (n - 1)), for scores of a magnitude between 1e-6 and 1e6.

    Raises:
        BadInputError: q is not in [0, 1].
    """
    if not 0 <= q <= 1:
        raise BadInputError(f"A quantile is a fraction in [0, 1], such as 0.5 for the median; got {q}.")
    cumulative = counts[:, :-1].to(torch.int64).cumsum(1)
    total = cumulative[:, -1:]
    rank = ((total - 1).to(torch.float64) * q).floor().clamp(min=0).to(torch.int64)
    index = torch.searchsorted(cumulative, rank, right=True).clamp(max=counts.shape[1] - 2)
    found = values()[index[:, 0]]
    return torch.where(total[:, 0] > 0, found, torch.nan)
