"""What is known of the units of one layer, as tensors, and how it grows: by more scores, or by another part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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

    def __repr__(self) -> str:
        """Return how many there are, and none of the tensors."""
        return f"<Units: {len(self)} channels, k={self.best.shape[2] - 1}, {self.scores.shape[1]} sampled images>"


def empty(level: Tensor, k: int) -> Units:
    """Return units that have seen nothing."""
    channels = len(level)
    return Units(
        best=torch.full((len(BANDS), channels, k + 1), keys.EMPTY),
        counts=torch.zeros(channels, sketch.buckets(), dtype=torch.int32),
        scores=torch.zeros(channels, 0, dtype=torch.float32),
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
    values = _finite_or_nan(scores)
    limits = [
        _to_beat(band, ranked, values, units.level) for band, ranked in zip(BANDS, units.best, strict=True)
    ]
    rows, columns = _candidates(values, limits)
    found, owners, level = values[rows, columns], ids[columns], units.level[rows]
    best = []
    for band, ranked, limit in zip(BANDS, units.best, limits, strict=True):
        good = _belongs(band, found, level) & _reaches(band, found, limit[rows])
        best.append(_improved(ranked, rows[good], keys.encode(_sign(band) * found[good], owners[good])))
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


def _finite_or_nan(scores: Tensor) -> Tensor:
    """Return the scores with NaN for infinity: no comparison lets a NaN pass."""
    if bool(torch.isfinite(scores.sum())):  # nearly always, and it reads the scores only once
        return scores
    return torch.where(torch.isfinite(scores), scores, torch.nan)


def _candidates(scores: Tensor, limits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the (rows, columns) of the scores (C, N) that may get into a list.

    After the first images they are few: four comparisons with the last entries of the lists sort out the rest.
    """
    low, below, above, high = (limit[:, None] for limit in limits)
    good = (scores >= high) | (scores <= low) | ((scores >= below) & (scores <= above))
    rows, columns = good.nonzero(as_tuple=True)
    return rows, columns


def _to_beat(band: str, ranked: Tensor, scores: Tensor, level: Tensor) -> Tensor:
    """Return the score to reach for each list (C, k + 1): its last one, or, if it has room, a bound by the new ones."""
    last = ranked[:, -1]
    limit, room = _sign(band) * keys.decode(last)[0], last == keys.EMPTY
    if not bool(room.any()):
        return limit
    return torch.where(room, _bound(band, scores, level, ranked.shape[1]), limit)


def _bound(band: str, scores: Tensor, level: Tensor, k: int) -> Tensor:
    """Return for each row (C, N) a score that at least k of a band's scores reach, if it has so many."""
    sign = _sign(band)
    if band in ("minimum", "maximum"):
        return sign * _reached(sign * scores, k)
    # How far beyond the level a score is; those on the other side count as infinitely far.
    distance = F.threshold(sign * (level[:, None] - scores), 0.0, torch.inf)
    radius = -_reached(-distance, k)
    return level - sign * (
        radius + 1e-6 * (radius + level.abs())
    )  # more than the differences were rounded by


def _reached(scores: Tensor, k: int) -> Tensor:
    """Return for each row (C, N) a score that at least k of its scores reach; it need not be the greatest one.

    The k-th largest of the maxima of 2 k groups is close to the k-th largest of all, and much faster to find.
    """
    width = max(1, scores.shape[1] // (2 * k))
    groups = scores.shape[1] // width
    if groups < k:
        return torch.full(scores.shape[:1], -torch.inf)
    maxima = scores[:, : groups * width].view(-1, groups, width).amax(dim=2)
    maxima = torch.where(maxima.isnan(), -torch.inf, maxima)  # a group with a NaN is left out
    return maxima.topk(k).values[:, -1]


def _sign(band: str) -> int:
    """Return -1 for the lists whose smallest scores come first: those keys are made of the negated score."""
    return -1 if band in ("minimum", "slightly positive") else 1


def _belongs(band: str, values: Tensor, level: Tensor) -> Tensor:
    """Return which scores a band may hold: those on its side of the level, or all that are numbers."""
    if band == "slightly positive":
        return values > level
    if band == "slightly negative":
        return values < level
    return values == values


def _reaches(band: str, values: Tensor, limit: Tensor) -> Tensor:
    return values >= limit if _sign(band) > 0 else values <= limit


def _improved(ranked: Tensor, rows: Tensor, found: Tensor) -> Tensor:
    """Return the lists (C, k + 1) after more keys (M,), each for the list that `rows` names, in ascending order."""
    changed, table = _by_row(rows, found)
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
