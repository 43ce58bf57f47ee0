"""Objectives of a place: toward a direction at one position, in a window of positions, or another at every position.

>>> toward("blocks.3.2", 42, (2, 5)).name
'blocks.3.2:42@2,5'

A goal is a channel, a direction (C,), or a map (C, H, W); `like` takes it from photographs, under the same random
transforms. How far activations go toward a goal is a value of its own: `dot`, `cosine` or `distance`. Positions are
counted on the layer's map as it is, and that of a smaller image is smaller: where a place or a map matters, render at
one size, steps=[Stage(128, 96)].
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.errors import BadInputError
from interp.featurevis.objectives import Objective, mean_of, of_layer, of_pair

FLOOR = 0.1  # the least cosine that counts: it keeps a gradient where the cosine is negative (as in Lucid)
Place = tuple[int, int] | tuple[int, int, int, int] | None  # a position, a window, or everywhere
Likeness = Callable[[Tensor, Tensor], Tensor]  # activations and goal, both (N or 1, C, ...), to (N, ...)


@dataclass(frozen=True)
class dot:
    """The dot product over channels, times the cosine to a power: large powers ask for the pure direction.

    The power is that of Carter et al., 2019, https://distill.pub/2019/activation-atlas.

    Attributes:
        cosine_power: 0 for the dot product alone.
        whole: whether a map is one long vector, as in Lucid's feature inversion; if not, every position has its own.
    """

    cosine_power: float = 0.0
    whole: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.cosine_power < float("inf"):
            raise BadInputError(
                f"The power of the cosine is {self.cosine_power}; it has to be 0 or more. Without the dot product: "
                "cosine()."
            )

    def __call__(self, values: Tensor, goal: Tensor) -> Tensor:
        values, goal = _as_one(values, goal) if self.whole else (values, goal)
        product = (values * goal).sum(1)
        if self.cosine_power == 0:
            return product
        return product * F.cosine_similarity(values, goal, dim=1).clamp(min=FLOOR) ** self.cosine_power


@dataclass(frozen=True)
class cosine:
    """The cosine alone: only the direction counts, not how far one goes.

    Attributes:
        whole: whether a map is one long vector; if not, every position has its own.
    """

    whole: bool = False

    def __call__(self, values: Tensor, goal: Tensor) -> Tensor:
        return F.cosine_similarity(*(_as_one(values, goal) if self.whole else (values, goal)), dim=1)


@dataclass(frozen=True)
class distance:
    """Minus the mean over channels of the difference's absolute value to a power: 0 where the goal is met.

    With the power 2 it is what Mahendran and Vedaldi, 2015, https://arxiv.org/abs/1412.0035, invert features by.

    Attributes:
        power: 2 for squares, 1 for absolute values.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.power < float("inf"):
            raise BadInputError(f"The power of the distance is {self.power}; it has to be 1 or more.")

    def __call__(self, values: Tensor, goal: Tensor) -> Tensor:
        difference = (values - goal).abs()
        return -(difference if self.power == 1 else difference**self.power).mean(1)


DOT = dot()


def toward(
    layer: str, goal: int | Tensor, where: Place = None, *, by: Likeness = DOT, name: str | None = None
) -> Objective:
    """Return how far a layer's activations go toward a goal, as the mean over the positions of a place.

    Args:
        layer: a layer (N, C, H, W); without a place also one (N, C).
        goal: a channel, a direction (C,), or another direction at every position, (C, H, W) or (N, C, H, W).
        where: a position (row, column), a window (top, left, bottom, right) whose bottom and right are the first
            outside, or None for all positions.
        by: `dot`, `cosine`, `distance`, or any function (activations, goal) -> (N, ...).
        name: what to call it.

    Raises:
        BadInputError: a goal or a place that cannot be; on rendering, one that the layer does not have.
    """
    goal = _goal(goal)

    def score(values: Tensor) -> Tensor:
        _check_place(layer, values, where)
        return mean_of(by(_cut(values, where), _cut(_fitting(layer, values, goal), where)))

    return of_layer(layer, score, name or f"{layer}:{_goal_name(goal)}{_suffix(where, by)}")


def like(
    layer: str, images: Tensor, where: Place = None, *, by: Likeness = DOT, name: str | None = None
) -> Objective:
    """Return how far a layer's activations go toward those of photographs, which see the same random transforms.

    Args:
        layer, where, by, name: as for `toward`.
        images: (N or 1, C, H, W) in [0, 1]: one for all pictures, or one for each.

    Raises:
        BadInputError: what was given are no images, or a place cannot be; on rendering, the layer does not have it.
    """
    _check_shape(where)

    def compare(values: Tensor, goal: Tensor) -> Tensor:
        _check_place(layer, values, where)
        return mean_of(by(_cut(values, where), _cut(goal, where)))

    return of_pair(layer, compare, images, name or f"{layer}:like{_suffix(where, by)}")


# --------------------------------------------------------------------------------------------------------------------
# Goals and places


def _as_one(values: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps as one vector each; a single direction stands for itself at every position."""
    return values.flatten(1), goal.expand(-1, *values.shape[1:]).flatten(1)


def _goal(goal: int | Tensor) -> int | Tensor:
    """Return a goal that does not change with the caller's tensor."""
    if not isinstance(goal, Tensor) or (goal.ndim == 0 and not goal.is_floating_point()):
        return operator.index(goal)
    if goal.ndim not in (1, 3, 4):
        raise BadInputError(
            f"A goal is a channel, a direction (C,), or a map (C, H, W) or (N, C, H, W); got {tuple(goal.shape)}."
        )
    return goal.detach().clone()


def _fitting(layer: str, values: Tensor, goal: int | Tensor) -> Tensor:
    """Return the goal as (N or 1, C, ...), with as many dimensions as the activations."""
    channels, count = values.shape[1], len(values)
    if not isinstance(goal, Tensor):
        if not 0 <= goal < channels:
            raise BadInputError(
                f"The layer {layer!r} has the channels 0 to {channels - 1}; there is no {goal}."
            )
        goal = F.one_hot(torch.tensor(goal), channels)
    if goal.ndim == 1 and len(goal) == channels:
        return goal.to(values).view(1, -1, *[1] * (values.ndim - 2))
    goal = goal if goal.ndim in (1, 4) else goal[None]
    if goal.shape[1:] != values.shape[1:] or goal.ndim == 1 or len(goal) not in (1, count):
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(values.shape)}, the goal is {tuple(goal.shape)}. It has to be "
            f"({channels},), or a map of the same size: take it from an image of the size that is rendered, and render "
            "at this size only, steps=[Stage(size, 96)]."
        )
    return goal.to(values)


def _check_shape(where: Place) -> None:
    if where is None:
        return
    numbers = [operator.index(number) for number in where]
    window = len(numbers) == 4 and numbers[0] < numbers[2] and numbers[1] < numbers[3]
    if not (len(numbers) == 2 or window) or min(numbers) < 0:
        raise BadInputError(
            f"A place is a position (row, column) or a window (top, left, bottom, right) with at least one position, "
            f"counted from 0; got {tuple(numbers)}."
        )


def _check_place(layer: str, values: Tensor, where: Place) -> None:
    if where is None:
        return
    if values.ndim != 4:
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(values.shape)}, which has no positions. Leave the place out."
        )
    height, width = values.shape[-2:]
    _, _, bottom, right = _window(where)
    if bottom > height or right > width:
        raise BadInputError(
            f"The layer {layer!r} has {height} x {width} positions here; {where} lies outside."
        )


def _window(where: tuple[int, ...]) -> tuple[int, ...]:
    return where if len(where) == 4 else (where[0], where[1], where[0] + 1, where[1] + 1)


def _cut(values: Tensor, where: Place) -> Tensor:
    """Return the part of a map; what is the same at every position stays as it is."""
    if where is None or values.shape[-2:] == (1, 1):
        return values
    top, left, bottom, right = _window(where)
    return values[..., top:bottom, left:right]


def _goal_name(goal: int | Tensor) -> str:
    if not isinstance(goal, Tensor):
        return str(goal)
    return "direction" if goal.ndim == 1 else "map"


def _suffix(where: Place, by: Likeness) -> str:
    _check_shape(where)
    place = "" if where is None else f"@{','.join(map(str, where))}"
    return place if by == DOT else f"{place} by {getattr(by, '__name__', by)}"
