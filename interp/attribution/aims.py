"""Targets inside the network: a unit, a direction, a position, a class, and sums and differences of these, as values.

An aim turns what was seen in a forward pass, {layer: activations}, into one score an image, (N,). Wherever a class can
be named as a target, an aim can be given instead; the forward pass then stops at the deepest layer that it looks at. An
objective of `featurevis` has the same form and serves as well.

>>> (unit("blocks.4.2", 17) - 0.5 * unit("blocks.4.2", 3, position=(2, 5))).name
'blocks.4.2:17 - 0.5 * blocks.4.2:3@2,5'
>>> (logit("tabby") - logit("Labrador retriever")).layers
('output:tabby', 'output:Labrador retriever')
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interp import hooks
from interp.errors import BadInputError

OUTPUT = "output"  # the name under which an aim sees what the whole model returns
NAMED_OUTPUT = "output:"  # with the name of a class behind it: that output alone, (N, 1)
Seen = Mapping[str, Tensor]
Position = tuple[int, int]


@dataclass(frozen=True)
class Aim:
    """One score for each image, from activations inside the network; aims can be added, subtracted and scaled.

    Attributes:
        score: takes {layer: activations}, (N, C, h, w) or (N, C) each, and returns (N,).
        layers: the names that `score` looks up: layers as `hooks.layer_names` lists them, "output" for what the model
            returns, "output:NAME" for the output of one class.
        name: what titles call it.
    """

    score: Callable[[Seen], Tensor] = field(repr=False)
    layers: tuple[str, ...]
    name: str

    def __call__(self, seen: Seen) -> Tensor:
        """Return the scores (N,)."""
        return self.score(seen)

    def __add__(self, other: Aim) -> Aim:
        return _joined(self, other, operator.add, f"{self.name} + {other.name}")

    def __sub__(self, other: Aim) -> Aim:
        return _joined(self, other, operator.sub, f"{self.name} - {_factor(other)}")

    def __mul__(self, factor: float) -> Aim:
        return Aim(lambda seen: factor * self(seen), self.layers, f"{factor:g} * {_factor(self)}")

    def __truediv__(self, divisor: float) -> Aim:
        return self * (1 / divisor)

    def __neg__(self) -> Aim:
        return self * -1

    __rmul__ = __mul__


def _joined(a: Aim, b: Aim, operation: Callable[[Tensor, Tensor], Tensor], name: str) -> Aim:
    layers = tuple(dict.fromkeys(a.layers + b.layers))
    return Aim(lambda seen: operation(a(seen), b(seen)), layers, name)


def _factor(aim: Aim) -> str:
    return f"({aim.name})" if " + " in aim.name or " - " in aim.name else aim.name


def inside(layer: str, function: Callable[[Tensor], Tensor], name: str | None = None) -> Aim:
    """Make any function of one layer's activations, (N, C, h, w) or (N, C) -> (N,), an aim."""
    return Aim(lambda seen: function(seen[layer]), (layer,), name or layer)


def unit(layer: str, channel: int, *, position: Position | None = None) -> Aim:
    """Return the aim of one channel: its mean over all positions, or its value at one (row, column).

    Raises:
        BadInputError: (when it is asked) the layer has no such channel or no such position.
    """
    channel = operator.index(channel)

    def score(values: Tensor) -> Tensor:
        hooks.check_channel(layer, values, channel)
        return _pooled(layer, values[:, channel], position)

    return inside(layer, score, f"{layer}:{channel}{_where(position)}")


def along(layer: str, direction: Tensor, *, position: Position | None = None, name: str | None = None) -> Aim:
    """Return the aim of a direction: the dot product with the channels, as a mean over positions or at one.

    Args:
        layer: a layer (N, C, h, w) or (N, C).
        direction: (C,); it is taken as it is, of whatever length.
        position: (row, column); None for the mean over all.
        name: what to call it.

    Raises:
        BadInputError: the direction is no vector of finite numbers, or (when it is asked) not as long as the layer has
            channels, or the layer has no such position.
    """
    vector = direction.detach().clone()
    if vector.ndim != 1 or not torch.isfinite(vector).all():
        raise BadInputError(
            f"A direction holds one finite number for each channel, (C,); this one has the shape {tuple(vector.shape)}."
        )

    def score(values: Tensor) -> Tensor:
        if values.ndim not in (2, 4) or values.shape[1] != len(vector):
            raise BadInputError(
                f"The layer {layer!r} gives {tuple(values.shape)}; the direction is for {len(vector)} channels."
            )
        return _pooled(layer, torch.einsum("nc...,c->n...", values, vector.to(values)), position)

    return inside(layer, score, name or f"{layer}:direction{_where(position)}")


def logit(target: int | str) -> Aim:
    """Return the aim of one output before the softmax, by its index or the name of its class.

    Raises:
        BadInputError, UnknownNameError: (when it is asked) as for a class that is the target itself.
    """
    if isinstance(target, str):
        return inside(f"{NAMED_OUTPUT}{target}", lambda values: values[:, 0], f"logit:{target}")
    return unit(OUTPUT, target)


def _pooled(layer: str, values: Tensor, position: Position | None) -> Tensor:
    """Return the mean of maps (N, h, w), or their value at a position; (N,) passes as it is."""
    if position is None:
        return values if values.ndim == 1 else values.mean(dim=(1, 2))
    row, column = position
    if values.ndim != 3 or not (0 <= row < values.shape[1] and 0 <= column < values.shape[2]):
        grid = " x ".join(map(str, values.shape[1:])) or "no"
        raise BadInputError(f"The layer {layer!r} has {grid} positions here; there is no {position}.")
    return values[:, row, column]


def _where(position: Position | None) -> str:
    return "" if position is None else f"@{position[0]},{position[1]}"
