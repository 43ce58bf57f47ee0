"""What is known of the units of one layer, as tensors, and how it grows: by more scores, or by another part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.errors import BadInputError
from interp.spectrum import keys, sketch

BANDS = ("minimum", "slightly negative", "slightly positive", "maximum")


@dataclass(frozen=True)
class Units:
    """The spectrum of a layer with C channels, in the state that merges.

    Attributes:
        best: (4, C, k + 1) int64 keys, descending: one list for each of BANDS. The last one tells whether the k-th and
            the next image are tied.
        counts: (C, buckets) int32, the histogram of `sketch`; its last bucket counts NaN and infinite scores.
        scores: (C, S) float32, the scores of the S images of the sample.
        level: (C,) float32, what counts as zero.
    """

    best: Tensor
    counts: Tensor
    scores: Tensor
    level: Tensor

    def __len__(self) -> int:
        return len(self.level)


def empty(level: Tensor, k: int) -> Units:
    """Return units that have seen nothing."""
    channels = len(level)
    return Units(
        best=torch.full((len(BANDS), channels, k + 1), keys.EMPTY),
        counts=torch.zeros(channels, sketch.buckets(), dtype=torch.int32),
        scores=torch.zeros(channels, 0),
        level=level,
    )


def extended(units: Units, ids: Tensor, scores: Tensor, sampled: Callable[[Tensor, Tensor], Tensor]) -> Units:
    """Return the units after more images: the same as merging with the units of these images alone, but faster.

    Args:
        units: what was known.
        ids: (N,) int64.
        scores: (C, N) float32.
        sampled: picks the columns that stay in the sample from the old and the new scores.
    """
    best = [
        _improved(list_, band, units.level, ids, scores)
        for band, list_ in zip(BANDS, units.best, strict=True)
    ]
    counts = units.counts + sketch.count(scores)
    return Units(torch.stack(best), counts, sampled(units.scores, scores), units.level)


def merged(parts: Sequence[Units], sample: Tensor) -> Units:
    """Return the units of all parts together; `sample` holds the columns to keep of their samples side by side."""
    if any(not torch.equal(part.level, parts[0].level) for part in parts):
        raise BadInputError(
            "These spectra were taken at different levels and cannot be merged. Use the same level."
        )
    best = torch.cat([part.best for part in parts], dim=2)
    return Units(
        best=keys.largest(best, parts[0].best.shape[2]),
        counts=torch.stack([part.counts for part in parts]).sum(0, dtype=torch.int32),
        scores=torch.cat([part.scores for part in parts], dim=1)[:, sample],
        level=parts[0].level,
    )


# --------------------------------------------------------------------------------------------------------------------
# One list


def _improved(best: Tensor, band: str, level: Tensor, ids: Tensor, scores: Tensor) -> Tensor:
    """Return the list of keys (C, k + 1) of one band after more scores (C, N).

    After the first images few scores get into a list, so a comparison with its last entry sorts out most of them.
    """
    worst, _ = keys.decode(best[:, -1])
    unfilled = best[:, -1] == keys.EMPTY
    candidate = _eligible(band, scores, level, _sign(band) * worst, unfilled)
    rows, columns = candidate.nonzero(as_tuple=True)
    if not len(rows):
        return best
    found = keys.encode(_sign(band) * scores[rows, columns], ids[columns])
    changed, table = _by_row(rows, found)
    result = best.clone()
    result[changed] = keys.largest(torch.cat([best[changed], table], dim=1), best.shape[1])
    return result


def _sign(band: str) -> int:
    """Return -1 for the lists whose smallest scores come first: those keys are made of the negated score."""
    return -1 if band in ("minimum", "slightly positive") else 1


def _eligible(band: str, scores: Tensor, level: Tensor, worst: Tensor, unfilled: Tensor) -> Tensor:
    """Return (C, N) which finite scores of a band are at least as good as the worst of the list."""
    bound, always, level = worst[:, None], unfilled[:, None], level[:, None]
    good = (scores <= bound if _sign(band) < 0 else scores >= bound) | always
    good &= torch.isfinite(scores)
    if band == "slightly positive":
        good &= scores > level
    elif band == "slightly negative":
        good &= scores < level
    return good


def _by_row(rows: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Lay keys out as a table: (the rows that have any, (their number, width) keys, filled up with EMPTY)."""
    size = torch.bincount(rows)
    changed = size.nonzero()[:, 0]
    size = size[changed]
    index = torch.repeat_interleave(torch.arange(len(changed)), size)
    place = torch.arange(len(rows)) - (size.cumsum(0) - size)[index]
    table = torch.full((len(changed), int(size.max())), keys.EMPTY)
    table[index, place] = found
    return changed, table
