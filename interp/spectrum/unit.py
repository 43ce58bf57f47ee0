"""One unit's spectrum, as a reader wants it: bands of images with their scores, quantiles, a histogram, warnings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.errors import BadInputError, UnknownNameError
from interp.spectrum import keys, sketch
from interp.spectrum.units import BANDS


@dataclass(frozen=True)
class Band:
    """Some images of a unit, the strongest case first.

    Attributes:
        name: such as "maximum" or "40 % to 60 %".
        ids: where the source finds the images.
        scores: their scores.
        tied: the next image, not shown, has the same score as the last one: which is shown is decided by the id.
    """

    name: str
    ids: tuple[int, ...]
    scores: tuple[float, ...]
    tied: bool = False

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Unit:
    """The spectrum of one channel of one layer.

    Attributes:
        layer, channel: which one.
        best: (4, k + 1) keys.
        counts: (buckets,) the histogram.
        scores: (S,) scores of the sample; sample: (S,) its ids.
        level: what counts as zero for the middle bands.
        pool: how an activation map became a score.
    """

    layer: str
    channel: int
    best: Tensor
    counts: Tensor
    scores: Tensor
    sample: Tensor
    level: float
    pool: str

    def __repr__(self) -> str:
        """Return which unit it is and how far its scores reach, and none of its tensors."""
        low, high = self.range if self.images else (float("nan"), float("nan"))
        notes = "".join(f"; {flag}" for flag in self.flags)
        return f"<Unit {self.layer}/{self.channel}: {self.images:,} images, {low:.4g} to {high:.4g}{notes}>"

    def band(self, name: str) -> Band:
        """Return the images of one of the bands "minimum", "slightly negative", "slightly positive", "maximum"."""
        if name not in BANDS:
            raise UnknownNameError("band", name, BANDS)
        found = self.best[BANDS.index(name)]
        found = found[found != keys.EMPTY]
        values, ids = keys.decode(found)
        sign = -1 if name in ("minimum", "slightly positive") else 1
        k = self.best.shape[1] - 1
        tied = len(found) > k and bool(values[k - 1] == values[k])
        scores = [sign * value + 0.0 for value in values[:k].tolist()]
        return Band(name, tuple(ids[:k].tolist()), tuple(scores), tied)

    @property
    def bands(self) -> dict[str, Band]:
        """Return the four bands, from minimum to maximum."""
        return {name: self.band(name) for name in BANDS}

    @property
    def columns(self) -> tuple[Band, ...]:
        """Return the four bands that a page shows, from minimum to maximum.

        Where all scores lie on one side of the level, nothing is near it on both sides; the two bands in the middle are
        then those of the ranks from 20 % to 40 % and from 60 % to 80 %.
        """
        low, below, above, high = self.bands.values()
        if self.images and self.one_sided and not self.dead:
            below, above = self.between(0.2, 0.4), self.between(0.6, 0.8)
        return low, below, above, high

    def between(self, low: float, high: float, k: int | None = None) -> Band:
        """Return at most k images of the sample whose scores lie between two quantiles, picked at random by the hash.

        Args:
            low, high: quantiles, 0 <= low < high <= 1, found in the sample.
            k: how many; as many as in the other bands by default.
        """
        if not 0 <= low < high <= 1:
            raise BadInputError(f"Quantiles 0 <= low < high <= 1 are needed; got {low} and {high}.")
        finite = torch.isfinite(self.scores)
        scores, ids = self.scores[finite], self.sample[finite]
        rank = torch.empty(len(scores), dtype=torch.float64)
        # Of equal scores the smaller id has the smaller rank, as everywhere.
        order = sorted(range(len(scores)), key=lambda index: (float(scores[index]), int(ids[index])))
        rank[order] = (torch.arange(len(scores), dtype=torch.float64) + 0.5) / max(len(scores), 1)
        inside = ((rank >= low) & (rank < high)).nonzero()[: k or self.best.shape[1] - 1, 0]
        name = f"{100 * low:g} % to {100 * high:g} %"
        return Band(name, tuple(ids[inside].tolist()), tuple(scores[inside].tolist()))

    def quantile(self, q: float) -> float:
        """Return the score below which a fraction q of the images lies, within 3 %."""
        return float(sketch.quantile(self.counts[None], q)[0])

    def histogram(self, bins: int = 60) -> tuple[list[float], list[float]]:
        """Return (edges, share of the images in each bin) over the range of the scores, from the sketch's counts."""
        low, high = self.range
        if low == high:
            return [low, high], [1.0]
        edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)
        shares = _shares(self.counts[:-1].to(torch.float64), edges)
        return edges.tolist(), (shares / shares.sum().clamp(min=1e-12)).tolist()

    @property
    def images(self) -> int:
        """Return how many images have a finite score."""
        return int(self.counts[:-1].sum(dtype=torch.int64))

    @property
    def not_finite(self) -> int:
        """Return how many images had a NaN or infinite score; they are in no band."""
        return int(self.counts[-1])

    @property
    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest score."""
        if not self.images:
            raise BadInputError(f"{self.layer} {self.channel} has no finite score yet.")
        return self.band("minimum").scores[0], self.band("maximum").scores[0]

    @property
    def dead(self) -> bool:
        """Return whether every image has the same score: the unit says nothing about these images."""
        return self.images == 0 or self.range[0] == self.range[1]

    @property
    def one_sided(self) -> bool:
        """Return whether no score is below the level, or none above: one of the middle bands is empty."""
        return not (len(self.band("slightly negative")) and len(self.band("slightly positive")))

    @property
    def flags(self) -> tuple[str, ...]:
        """Return what a reader has to know before believing the bands."""
        found = []
        if self.images and self.dead:
            found.append("dead: every image has the same score")
        elif self.images and self.one_sided:
            found.append(f"one-sided: all scores are on one side of {self.level:g}")
        tied = [band.name for band in self.bands.values() if band.tied] if not self.dead else []
        if tied:
            found.append(f"tied at the end of: {', '.join(tied)}")
        if self.not_finite:
            found.append(f"{self.not_finite} scores are NaN or infinite")
        return tuple(found)


def _shares(counts: Tensor, edges: Tensor) -> Tensor:
    """Spread the sketch's counts over other bins, evenly within each bucket that the edges cut."""
    bounds = sketch.bounds()
    cumulative = torch.cat([torch.zeros(1, dtype=torch.float64), counts.cumsum(0)])
    place = torch.searchsorted(bounds, edges).clamp(1, len(bounds) - 1)
    left, right = bounds[place - 1], bounds[place]
    part = ((edges - left) / (right - left)).clamp(0, 1)
    below = cumulative[place - 1] + part * (cumulative[place] - cumulative[place - 1])
    below[0], below[-1] = 0, cumulative[-1]
    return below.diff()
