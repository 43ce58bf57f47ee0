"""Objectives: what a rendering makes large, as frozen values that can be added, subtracted and multiplied.

An objective turns what was seen in a forward pass, {layer: activations}, into one score an image, (N,). Two names are
special: IMAGE is the image itself, before the transforms, and OUTPUT is what the whole model returns. A name behind
BESIDE is what the images that travel beside the optimized ones give there, under the same random transforms.

>>> (channel("blocks.3.2", 3) - 0.5 * neuron("blocks.4.2", 7)).name
'blocks.3.2:3 - 0.5 * blocks.4.2:7@middle'

The vocabulary is that of Lucid (Olah, Mordvintsev and Schubert, 2017, https://distill.pub/2017/feature-visualization).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from interp import hooks, image
from interp.errors import BadInputError

IMAGE = "image"
OUTPUT = "output"
ALPHA = "alpha"
NAMED_OUTPUT = "output:"  # with the name of a class behind it: that output alone, (N, 1)
BESIDE = "beside:"  # with a name of any kind behind it: the same of the images of `Objective.beside`
Seen = Mapping[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """One score for each image of a batch; the larger the better.

    Attributes:
        score: takes {layer: activations} and returns (N,).
        layers: the names that `score` looks up.
        name: how files, titles and the image's own random numbers are named.
        parts: the objectives of single images, where each image of the batch has its own (see `together`).
        beside: images (N or 1, C, H, W) in [0, 1] that go through the network beside the optimized ones, under the same
            random transforms and at the same size; `layers` calls what they give by names that begin with BESIDE.

    Raises:
        BadInputError: what is beside is no batch of images.
    """

    score: Callable[[Seen], Tensor] = field(repr=False)
    layers: tuple[str, ...]
    name: str
    parts: tuple[Objective, ...] = field(default=(), repr=False)
    beside: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.beside is not None:
            image.check(self.beside, None)

    def __call__(self, seen: Seen) -> Tensor:
        """Return the scores (N,) of a batch.

        Raises:
            BadInputError: the score function returns something else than one number for each image.
        """
        scores = self.score(seen)
        if not isinstance(scores, Tensor) or scores.ndim != 1:
            raise BadInputError(
                f"The objective {self.name!r} has to return a tensor (N,); got {_describe(scores)}."
            )
        return scores

    def __neg__(self) -> Objective:
        return self._changed(f"-{self._factor()}", operator.neg)

    def __add__(self, other: Objective | float) -> Objective:
        if isinstance(other, Objective):
            return _combine(self, other, torch.add, f"{self.name} + {other.name}")
        # sum([...]) starts from 0, which is no part of the name.
        name = self.name if other == 0 else f"{self.name} {'-' if other < 0 else '+'} {abs(other):g}"
        return self._changed(name, lambda value: value + other)

    def __sub__(self, other: Objective | float) -> Objective:
        if isinstance(other, Objective):
            return _combine(self, other, torch.sub, f"{self.name} - {other._factor()}")
        return self + (-other)

    def __mul__(self, other: Objective | float) -> Objective:
        if isinstance(other, Objective):
            return _combine(self, other, torch.mul, f"{self._factor()} * {other._factor()}")
        if other in (1, -1):
            return self if other == 1 else -self
        return self._changed(f"{other:g} * {self._factor()}", lambda value: value * other)

    def __truediv__(self, other: float) -> Objective:
        return self * (1 / other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float) -> Objective:
        return -self + other

    def _factor(self) -> str:
        return f"({self.name})" if " + " in self.name or " - " in self.name else self.name

    def _changed(self, name: str, change: Callable[[Any], Any]) -> Objective:
        """Return the objective whose scores are changed; the same change is made to each of its parts."""
        parts = tuple(change(part) for part in self.parts)
        return replace(self, score=lambda seen: change(self(seen)), name=name, parts=parts)


def _combine(
    a: Objective, b: Objective, operation: Callable[[Tensor, Tensor], Tensor], name: str
) -> Objective:
    return Objective(
        score=lambda seen: operation(a(seen), b(seen)),
        layers=tuple(dict.fromkeys(a.layers + b.layers)),
        name=name,
        parts=a.parts or b.parts,
        beside=_common(a, b),
    )


def _common(a: Objective, b: Objective) -> Tensor | None:
    """Return what travels beside both of two objectives."""
    if a.beside is None or b.beside is None:
        return a.beside if b.beside is None else b.beside
    if not torch.equal(a.beside, b.beside):
        raise BadInputError(
            f"{a.name!r} and {b.name!r} have different images beside them, and one objective has room for one batch. "
            "Take both for the same images, or compare one of them with activations that were computed before."
        )
    return a.beside


def together(objectives: Sequence[Objective]) -> Objective:
    """Give each image of a batch its own objective: image i is scored by objectives[i].

    Each image also gets the random numbers that it would get alone, named after its objective.
    """
    if not objectives:
        raise BadInputError("together needs at least one objective.")

    def score(seen: Seen) -> Tensor:
        count = len(next(iter(seen.values())))
        if count != len(objectives):
            raise BadInputError(f"{len(objectives)} objectives need as many images; the batch has {count}.")
        return torch.cat([part(_only(seen, index)) for index, part in enumerate(objectives)])

    layers = tuple(dict.fromkeys(layer for part in objectives for layer in part.layers))
    name = " | ".join(part.name for part in objectives)
    return Objective(score, layers, name, tuple(objectives), _all_beside(objectives))


def _only(seen: Seen, index: int) -> Seen:
    return {layer: activations[index : index + 1] for layer, activations in seen.items()}


def _all_beside(objectives: Sequence[Objective]) -> Tensor | None:
    """Return the images beside the objectives as one batch; where there is none, black, which nobody looks at."""
    found = [one.beside for one in objectives if one.beside is not None]
    if not found:
        return None
    shapes = {tuple(images.shape) for images in found}
    if len(shapes) > 1 or len(found[0]) != 1:
        raise BadInputError(
            f"Objectives of one image each need one image beside each, all of one size; got {sorted(shapes)}."
        )
    black = torch.zeros_like(found[0])
    return torch.cat([black if one.beside is None else one.beside for one in objectives])


def network_layers(layers: Iterable[str]) -> list[str]:
    """Return the layers of the network itself among the names that objectives look up, each once."""
    plain = (layer.removeprefix(BESIDE) for layer in layers)
    own = (layer for layer in plain if layer not in (IMAGE, ALPHA, OUTPUT))
    return list(dict.fromkeys(layer for layer in own if not layer.startswith(NAMED_OUTPUT)))


# --------------------------------------------------------------------------------------------------------------------
# What a layer does


def of_layer(layer: str, function: Callable[[Tensor], Tensor], name: str | None = None) -> Objective:
    """Make any function of one layer's activations, (N, ...) -> (N,), an objective."""
    return Objective(lambda seen: function(seen[layer]), (layer,), name or layer)


def of_pair(
    layer: str, function: Callable[[Tensor, Tensor], Tensor], beside: Tensor, name: str | None = None
) -> Objective:
    """Make a function of what a layer gives for an image, and for its partner under the same transforms, an objective.

    Args:
        layer: the layer.
        function: takes the activations of the optimized images, in the graph, and those of their partners, without one,
            both (N, ...); returns (N,).
        beside: the partners, (N or 1, C, H, W) in [0, 1].
        name: what to call it.

    Raises:
        BadInputError: what is beside is no batch of images.
    """
    names = (layer, f"{BESIDE}{layer}")
    return Objective(
        lambda seen: function(*(seen[one] for one in names)), names, name or f"{layer}:pair", beside=beside
    )


def mean_of(values: Tensor) -> Tensor:
    """Return the mean over all but the first dimension, (N,)."""
    return values.reshape(len(values), -1).mean(1)


def channel(layer: str, index: int) -> Objective:
    """Return the mean of one channel over all positions; on a layer (N, C), the value of that unit."""
    index = operator.index(index)  # so that one of numpy makes the same objective
    return of_layer(layer, lambda values: mean_of(_channel(layer, values, index)), f"{layer}:{index}")


def neuron(layer: str, index: int, position: tuple[int, int] | None = None) -> Objective:
    """Return one channel at one position (row, column); without a position, at the middle.

    Raises:
        BadInputError: (on rendering) the layer has no positions, or not this one.
    """
    index = operator.index(index)

    def score(values: Tensor) -> Tensor:
        row, column = _position(layer, values, position)
        return _channel(layer, values, index)[:, row, column]

    where = "middle" if position is None else f"{position[0]},{position[1]}"
    return of_layer(layer, score, f"{layer}:{index}@{where}")


def direction(layer: str, vector: Tensor, *, cosine_power: float = 0.0, name: str | None = None) -> Objective:
    """Return the mean over positions of the dot product of the activations with a direction.

    Args:
        layer: a layer (N, C, H, W) or (N, C).
        vector: (C,).
        cosine_power: the dot product times the cosine to this power: larger values ask for the pure direction
            (Carter et al., 2019, https://distill.pub/2019/activation-atlas).
        name: what to call it.
    """

    def score(values: Tensor) -> Tensor:
        return mean_of(_toward(layer, values, vector, cosine_power))

    return of_layer(layer, score, name or f"{layer}:direction")


def logit(target: int | str) -> Objective:
    """Return one output of the model, before the softmax: its index, or the name of its class.

    Raises:
        BadInputError: (on rendering) there is no such output, or the model does not know the names of its classes.
        UnknownNameError: (on rendering) no class has that name; the message lists the closest.
    """
    if isinstance(target, str):
        return of_layer(f"{NAMED_OUTPUT}{target}", mean_of, f"logit:{target}")
    index = operator.index(target)
    return of_layer(OUTPUT, lambda values: mean_of(_channel(OUTPUT, values, index)), f"logit:{index}")


def deepdream(layer: str) -> Objective:
    """Return the mean square of all activations of a layer: more of whatever is there.

    Mordvintsev, Olah and Tyka, 2015, "Inceptionism: Going deeper into neural networks".
    """
    return of_layer(layer, lambda values: mean_of(values.square()), f"{layer}:deepdream")


def cosine_similarity(layer: str, goal: Tensor) -> Objective:
    """Return the cosine between a layer's activations and `goal`, (1 or N, C, H, W), as one vector each."""

    def score(values: Tensor) -> Tensor:
        return F.cosine_similarity(values.flatten(1), _same_shape(layer, values, goal).flatten(1))

    return of_layer(layer, score, f"{layer}:cosine")


# --------------------------------------------------------------------------------------------------------------------
# Checks


def _channel(layer: str, values: Tensor, index: int) -> Tensor:
    hooks.check_channel(layer, values, index)
    return values[:, index]


def _position(layer: str, values: Tensor, position: tuple[int, int] | None) -> tuple[int, int]:
    if values.ndim != 4:
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(values.shape)}, which has no positions. Use channel(...) instead."
        )
    height, width = values.shape[-2:]
    row, column = (height // 2, width // 2) if position is None else position
    if not (0 <= row < height and 0 <= column < width):
        raise BadInputError(
            f"The layer {layer!r} has {height} x {width} positions here; there is no {position}."
        )
    return row, column


def _toward(layer: str, values: Tensor, vector: Tensor, cosine_power: float) -> Tensor:
    if vector.shape != values.shape[1:2]:
        raise BadInputError(
            f"The layer {layer!r} has {values.shape[1]} channels; the direction has the shape {tuple(vector.shape)}."
        )
    vector = vector.to(values).view(1, -1, *[1] * (values.ndim - 2))
    dot = (values * vector).sum(1)
    if cosine_power == 0:
        return dot
    # The floor keeps a gradient where the cosine is negative (as in Lucid).
    return dot * F.cosine_similarity(values, vector, dim=1).clamp(min=0.1) ** cosine_power


def _same_shape(layer: str, values: Tensor, goal: Tensor) -> Tensor:
    if goal.shape[1:] != values.shape[1:]:
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(values.shape)}, the goal is {tuple(goal.shape)}. Take both at one size."
        )
    return goal.detach().to(values)


def _describe(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
