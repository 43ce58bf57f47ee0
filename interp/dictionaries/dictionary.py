"""A dictionary as a value: atoms, and how the codes of a sample are found."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.errors import BadInputError


@dataclass(frozen=True)
class Dictionary:
    """K atoms of a layer with C channels: codes = rule(weight x + bias), and x is about codes times atoms plus offset.

    Attributes:
        kind: how it was found, such as "nmf".
        atoms: (K, C), what one unit of a code adds to the activations.
        offset: (C,), what is there without any code.
        weight: (K, C), the directions in which the scores are read.
        bias: (K,), added to the scores.
        rule: from scores (N, K, H, W) to codes of the same shape.
    """

    kind: str
    atoms: Tensor = field(repr=False)
    offset: Tensor = field(repr=False)
    weight: Tensor = field(repr=False)
    bias: Tensor = field(repr=False)
    rule: nn.Module

    def __post_init__(self) -> None:
        count, channels = self.atoms.shape
        if (
            self.weight.shape != self.atoms.shape
            or self.offset.shape != (channels,)
            or self.bias.shape != (count,)
        ):
            raise BadInputError(
                f"{count} atoms of {channels} channels need a weight of the same shape, an offset ({channels},) and a "
                f"bias ({count},); got {[tuple(part.shape) for part in (self.weight, self.offset, self.bias)]}."
            )

    def __len__(self) -> int:
        return len(self.atoms)

    @torch.no_grad()
    def encode(self, activations: Tensor) -> Tensor:
        """Return the codes (N, K, H, W) of activations (N, C, H, W), or (P, K) of samples (P, C).

        Raises:
            BadInputError: there are other channels.
        """
        maps = self._maps(activations, self.atoms.shape[1], "channels")
        scores = F.conv2d(maps, self.weight[:, :, None, None], self.bias)
        return self._as(activations, self.rule(scores))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return what the codes (N, K, H, W) or (P, K) stand for, (N, C, H, W) or (P, C).

        Raises:
            BadInputError: there is another number of codes.
        """
        maps = self._maps(codes, len(self), "codes")
        return self._as(codes, F.conv2d(maps, self.atoms.T[:, :, None, None], self.offset))

    def error(self, activations: Tensor) -> float:
        """Return the share of the variance that the reconstruction leaves: sum |x - x'|^2 / sum |x - mean|^2.

        The mean is that of the activations given; 1 is as bad as it for every sample.
        """
        rows = activations if activations.ndim == 2 else activations.permute(0, 2, 3, 1).flatten(0, 2)
        rows = rows.to(self.atoms)
        left = (rows - self.decode(self.encode(rows))).double().square().sum()
        return float(left / (rows - rows.mean(dim=0)).double().square().sum())

    def _maps(self, values: Tensor, count: int, what: str) -> Tensor:
        if values.ndim not in (2, 4) or values.shape[1] != count:
            raise BadInputError(
                f"This dictionary has {count} {what}: (P, {count}) or (N, {count}, H, W); got {tuple(values.shape)}."
            )
        return (values if values.ndim == 4 else values.T[None, :, :, None]).to(self.atoms)

    @staticmethod
    def _as(given: Tensor, maps: Tensor) -> Tensor:
        return maps if given.ndim == 4 else maps[0, :, :, 0].T
