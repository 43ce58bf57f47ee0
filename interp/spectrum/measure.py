"""A measure: what is kept of each channel."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypedDict, Unpack

import torch
from torch import Tensor

from interp.errors import BadInputError, UnknownNameError
from interp.spectrum.state import Spectrum, check_positive

POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean(dim=(2, 3)),
    "max": lambda maps: maps.amax(dim=(2, 3)),
    "center": lambda maps: maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].clone(),
}


class Changes(TypedDict, total=False):
    """What may differ from a measure, by the names of its attributes."""

    pool: str
    k: int
    sample: int
    seed: int
    level: Mapping[str, Tensor] | None
    fold: bool


@dataclass(frozen=True, eq=False)
class Measure:
    """What is kept of each channel. Every function that looks at many images takes one.

    Attributes:
        pool: how a map becomes a score: "mean" or "max" over the positions, or "center", the position in the middle.
        k: how many images a band holds.
        sample: how many images the random sample holds, for the quantile bands and correlations.
        seed: which images are in the sample.
        level: {layer: (C,)} what counts as zero, such as `medians` of a first pass; 0 by default.
        fold: on a CPU, run a copy with batch norm folded into the convolutions, several times as fast.

    Raises:
        UnknownNameError: there is no such pool.
        BadInputError: k is below 1, or the sample below 0.
    """

    pool: str = "mean"
    k: int = 9
    sample: int = 256
    seed: int = 0
    level: Mapping[str, Tensor] | None = field(default=None, repr=False)
    fold: bool = True

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise UnknownNameError("pool", self.pool, POOLS)
        for name, value in (
            ("k", check_positive("k", self.k)),
            ("sample", check_positive("sample", self.sample, least=0)),
            ("seed", operator.index(self.seed)),
        ):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return self._content() == other._content() if isinstance(other, Measure) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[object, ...]:
        """Return all attributes, the levels by their numbers, since tensors cannot be compared as one thing."""
        levels = {
            name: torch.as_tensor(one, dtype=torch.float32).tolist()
            for name, one in (self.level or {}).items()
        }
        others = [value for name, value in vars(self).items() if name != "level"]
        return (*others, repr(sorted(levels.items())))

    def changed(self, **changes: Unpack[Changes]) -> Measure:
        """Return the measure with other values for some attributes."""
        return replace(self, **changes)

    def empty(self, channels: Mapping[str, int]) -> Spectrum:
        """Return the spectrum of no images, for {layer: number of channels}."""
        return Spectrum.empty(
            channels, k=self.k, sample=self.sample, seed=self.seed, pool=self.pool, level=self.level
        )


def pooled(activations: Tensor, pool: str) -> Tensor:
    """Return one score for each image and channel, (N, C), from activations (N, C, H, W) or (N, C)."""
    if activations.is_quantized:
        activations = activations.dequantize()
    if activations.ndim == 2:
        return activations.clone()
    if activations.ndim != 4:
        raise BadInputError(
            f"A layer that returns (N, C, H, W) or (N, C) is needed; this one returns {tuple(activations.shape)}, "
            "which has no channels to look at."
        )
    return POOLS[pool](activations)


STANDARD = Measure()
