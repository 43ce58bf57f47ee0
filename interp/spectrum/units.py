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
    rows, columns = _candidates(units, scores)
    values, owners, level = scores[rows, columns], ids[columns], units.level[rows]
    best = [
        _improved(ranked, _sign(band) * values, owners, torch.where(_belongs(band, values, level), rows, -1))
        for band, ranked in zip(BANDS, units.best, strict=True)
    ]
    counts = sketch.count(scores, units.counts)
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


# ------------------------------------------------------------------------------------------------------------
# The lists


def _candidates(units: Units, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (rows, columns) of the scores (C, N) that may get into a list.

    After the first images they are few: four comparisons with the last entries of the lists sort out the rest.
    """
    low, below, above, high = (
        _to_beat(ranked, band, scores, units.level)[:, None]
        for band, ranked in zip(BANDS, units.best, strict=True)
    )
    good = (scores >= high) | (scores <= low) | ((scores >= below) & (scores <= above))
    rows, columns = good.nonzero(as_tuple=True)
    return rows, columns


def _to_beat(ranked: Tensor, band: str, scores: Tensor, level: Tensor) -> Tensor:
    """Return the score to reach for each list (C, k + 1): its last one, or the new scores' own if it is not full."""
    worst, _ = keys.decode(ranked[:, -1])
    unfilled = ranked[:, -1] == keys.EMPTY
    if bool(unfilled.any()):
        usable = torch.where(_belongs(band, scores, level[:, None]), _sign(band) * scores, -torch.inf)
        own = usable.topk(min(ranked.shape[1], scores.shape[1])).values
        worst = torch.where(unfilled, own[:, -1] if own.shape[1] == ranked.shape[1] else -torch.inf, worst)
    return _sign(band) * worst


def _sign(band: str) -> int:
    """Return -1 for the lists whose smallest scores come first: those keys are made of the negated score."""
    return -1 if band in ("minimum", "slightly positive") else 1


def _belongs(band: str, values: Tensor, level: Tensor) -> Tensor:
    """Return which scores a band may hold: all finite ones, or those on its side of the level."""
    if band == "slightly positive":
        return torch.isfinite(values) & (values > level)
    if band == "slightly negative":
        return torch.isfinite(values) & (values < level)
    return torch.isfinite(values)


def _improved(ranked: Tensor, scores: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
    """Return the lists (C, k + 1) after scores (M,), each for the list that `rows` names; -1 is for none."""
    worst = ranked[rows, -1]
    better = (rows >= 0) & ((worst == keys.EMPTY) | (scores >= keys.decode(worst)[0]))
    changed, table = _by_row(rows[better], keys.encode(scores[better], ids[better]))
    result = ranked.clone()
    result[changed] = keys.largest(torch.cat([ranked[changed], table], dim=1), ranked.shape[1])
    return result


def _by_row(rows: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Lay keys out as a table: (the rows that have any, (their number, width) keys, filled up with EMPTY)."""
    size = torch.bincount(rows)
    changed = size.nonzero()[:, 0]
    size = size[changed]
    index = torch.repeat_interleave(torch.arange(len(changed)), size)
    place = torch.arange(len(rows)) - (size.cumsum(0) - size)[index]
    table = torch.full((len(changed), int(size.max()) if len(size) else 0), keys.EMPTY)
    table[index, place] = found
    return changed, table
