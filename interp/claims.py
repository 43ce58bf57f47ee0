"""What a page asserts, as a value: words, a quantity, a bound, replicates, an interval and a margin.

A hidden cell of a chapter ends with `claims.page(claims.claim(...), ...)`. The build collects these values; one that
does not hold on the machine at hand is shown where it stands, and all of them are listed in the appendix.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from interp.errors import BadInputError

MIME = "application/vnd.interp.claims+json"
DRAWS = 2000  # resamples of a bootstrap: the ends of a 95 % interval then move by a few percent of its width
MOST_NAN = 0.05  # the share of resamples without a number that an interval may leave out
Z95 = 1.959964  # the standard normal distribution has 95 % of its mass within this
MIDDLES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda values: values.mean(dim=-1),
    "median": lambda values: values.quantile(0.5, dim=-1),
    "lowest": lambda values: values.amin(dim=-1),
    "highest": lambda values: values.amax(dim=-1),
}


@dataclass(frozen=True)
class Claim:
    """One claim and what was found here.

    Attributes:
        words: the claim, as a sentence that can be read alone.
        quantity: what is measured, with its unit.
        value: the quantity as found here.
        above: the value has to lie above this; None for no lower bound.
        below: the value has to lie below this; None for no upper bound.
        n: how many replicates the value is made of.
        over: what the replicates are, such as "seeds" or "photographs".
        interval: a 95 % interval of the value over the replicates; None for a single one, and for extremes.
        exact: the claim does not depend on rounding or chance, so it has no margin.
    """

    words: str
    quantity: str
    value: float
    above: float | None
    below: float | None
    n: int
    over: str
    interval: tuple[float, float] | None = None
    exact: bool = False

    @property
    def margin(self) -> float:
        """How far the value is inside its bounds, in the quantity's unit; negative where the claim does not hold."""
        low = self.value - self.above if self.above is not None else math.inf
        high = self.below - self.value if self.below is not None else math.inf
        return math.nan if math.isnan(low) or math.isnan(high) else min(low, high)

    @property
    def holds(self) -> bool:
        """Whether the value lies inside its bounds; a value that is infinite or no number never does."""
        return math.isfinite(self.value) and self.margin > 0

    @property
    def firm(self) -> bool:
        """Whether the whole interval lies inside the bounds; without an interval, whether the value does."""
        low, high = self.interval or (self.value, self.value)
        above = self.above is None or low > self.above
        return self.holds and above and (self.below is None or high < self.below)

    def bound(self) -> str:
        """Return the bounds in words, such as "above 0.5"."""
        if self.exact:
            return "exactly so"
        if self.above is not None and self.below is not None:
            return f"between {number(self.above)} and {number(self.below)}"
        return f"above {number(self.above)}" if self.above is not None else f"below {number(self.below)}"

    def found(self) -> str:
        """Return what was found, such as "0.72 (95 %: 0.6 to 0.8; 12 photographs)"."""
        if self.exact:
            return "so" if self.holds else "not so"
        ends = f"95 %: {number(self.interval[0])} to {number(self.interval[1])}; " if self.interval else ""
        return f"{self.shown()} ({ends}{self.n} {self.over})"

    def shown(self) -> str:
        """Return the value, with more digits where three would make it look like its bound."""
        bounds = {number(bound) for bound in (self.above, self.below)}
        return number(self.value, digits=6 if number(self.value) in bounds else 3)


@dataclass(frozen=True)
class Claims:
    """The claims of one cell; a notebook shows them as a table."""

    items: tuple[Claim, ...]

    def __repr__(self) -> str:
        return "\n".join(map(_line, self.items))

    def _repr_html_(self) -> str:
        rows = "".join(_row(one) for one in self.items)
        head = "".join(f"<th>{name}</th>" for name in ("Claim", "Quantity", "Bound", "Found here", "Holds"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        data = [asdict(one) for one in self.items]
        return {MIME: data, "text/plain": repr(self), "text/html": self._repr_html_()}


def _line(one: Claim) -> str:
    mark = "holds" if one.holds else "DOES NOT HOLD"
    return f"[{mark}] {one.words}: {one.quantity} {one.bound()}; found {one.found()}"


def _row(one: Claim) -> str:
    cells = (one.words, one.quantity, one.bound(), one.found(), "yes" if one.holds else "no")
    return "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in cells) + "</tr>"


class Bounds(TypedDict, total=False):
    """What a value has to be above, or below."""

    above: float | None
    below: float | None


def claim(
    words: str,
    values: float | Tensor | Sequence[float] | Sequence[bool],
    *,
    quantity: str,
    over: str,
    middle: str = "mean",
    interval: tuple[float, float] | None = None,
    n: int | None = None,
    **bounds: Unpack[Bounds],
) -> Claim:
    """Return a claim about a quantity that was measured on replicates.

    Args:
        words: the claim, as a sentence that can be read alone.
        values: one number for each replicate (seeds, photographs, channels, ...), or a single number. True and False
            stand for a share of replicates.
        quantity: what is measured, with its unit.
        over: what the replicates are, in the plural.
        middle: how the replicates become one value: "mean", "median", "lowest" or "highest".
        interval: a 95 % interval that was computed elsewhere, for a single number such as a correlation.
        n: how many replicates stand behind a single number.
        bounds: `above=`, `below=`, or both.

    Raises:
        BadInputError: no replicates, no bound, an unknown middle, or an interval whose ends are exchanged.
    """
    above, below = bounds.get("above"), bounds.get("below")
    data = torch.as_tensor(values, dtype=torch.float64).flatten()
    if above is None and below is None:
        raise BadInputError(f"The claim {words!r} has no bound. Give above=, below= or both.")
    if middle not in MIDDLES:
        raise BadInputError(f"The middle is {middle!r}; it has to be one of {', '.join(MIDDLES)}.")
    count = len(data) if n is None else n
    if not len(data) or count < 1:
        raise BadInputError(f"The claim {words!r} has no values. Give at least one number.")
    if interval is not None and interval[0] > interval[1]:
        raise BadInputError(f"The interval of the claim {words!r} goes from {interval[0]} to {interval[1]}.")
    if interval is None and len(data) > 1 and middle in ("mean", "median"):
        of_share = _are_hits(values) and middle == "mean"
        interval = share_interval(data) if of_share else bootstrap(data, MIDDLES[middle])
    return Claim(words, quantity, float(MIDDLES[middle](data)), above, below, count, over, interval)


def _are_hits(values: object) -> bool:
    """Tell whether values are True and False, and not numbers."""
    return torch.as_tensor(values).dtype == torch.bool


def exact(words: str, found: object, expected: object = True) -> Claim:
    """Return a claim that does not depend on rounding or chance: two things are equal, or they are not.

    A comparison of tensors that compared nothing, since they are empty, does not count as equal.
    """
    same = (
        torch.equal(found, expected)
        if isinstance(found, Tensor) and isinstance(expected, Tensor)
        else found == expected
    )
    compared = torch.as_tensor(same)
    same = bool(compared.numel() and compared.all())
    return Claim(words, "equality", float(same), 0.5, None, 1, "comparison", exact=True)


def page(*items: Claim) -> Claims:
    """Return the claims of a cell, as its last expression.

    Raises:
        BadInputError: something else than a claim, or the same words twice.
    """
    strange = [type(one).__name__ for one in items if not isinstance(one, Claim)]
    if strange or not items:
        raise BadInputError(f"A page's claims are values of claim(...); here: {strange or 'none'}.")
    words = [one.words for one in items]
    if len(set(words)) < len(words):
        raise BadInputError(
            "Two claims have the same words. Each needs its own: they are found again by them."
        )
    return Claims(items)


def bootstrap(
    values: Tensor | Sequence[float],
    statistic: Callable[[Tensor], Tensor] = MIDDLES["mean"],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic, from resamples of the values with replacement.

    Args:
        values: (N,) or (N, K); N replicates are drawn, each with its K numbers.
        statistic: (draws, N) to (draws,), or (draws, K, N) to (draws,) for K numbers a replicate.
        draws: how many resamples.
        seed: of the resamples.

    Where the statistic of many resamples is no number, neither are the ends.

    Efron, 1979, https://doi.org/10.1214/aos/1176344552
    """
    data = torch.as_tensor(values, dtype=torch.float64)
    chosen = torch.randint(len(data), (draws, len(data)), generator=torch.Generator().manual_seed(seed))
    drawn = data[chosen]
    found = statistic(drawn if data.ndim == 1 else drawn.transpose(1, 2))
    if found.isnan().double().mean() > MOST_NAN:
        return math.nan, math.nan
    low, high = found.nanquantile(torch.tensor([0.025, 0.975], dtype=found.dtype)).tolist()
    return low, high


def share_interval(hits: Tensor | Sequence[bool]) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; it stays inside [0, 1] also where all or none are hits.

    Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953
    """
    data = torch.as_tensor(hits, dtype=torch.float64)
    n, share = len(data), float(data.mean())
    center = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, center - half), min(1.0, center + half)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with three digits, as a reader writes it.

    >>> number(0.12345), number(-1234.5), number(0.0), number(2e-7), number(999.7)
    ('0.123', '−1234', '0', '2e−07', '1000')
    """
    return "none" if value is None else _plain(value, digits).replace("-", "−")


def _plain(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:.{digits}g}"
