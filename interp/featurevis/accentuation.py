"""Accentuation: a photograph, moved gently toward what a feature wants.

Hamblin, Fel, Saha, Konkle and Alvarez, 2024, "Feature Accentuation: Revealing 'what' features respond to in natural
images", https://arxiv.org/abs/2402.10039: feature visualization that starts from a photograph, and is held near it by
what an early layer gives for both under the same transforms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import hooks, image
from interp.digest import digest
from interp.errors import BadInputError
from interp.featurevis.ascent import Ascent, Stage
from interp.featurevis.looking import look
from interp.featurevis.objectives import Objective, of_pair
from interp.featurevis.parameterizations import MaskedImage, Parameterization
from interp.featurevis.recipe import Changes, Recipe
from interp.featurevis.rendering import Rendering, prepared, rendered, told
from interp.featurevis.streams import streams
from interp.featurevis.waves import FourierImage

RATE, STEPS = 0.05, 100  # as in faccent, the library of the paper
DRAWS = 4  # of the transforms, over which the two gradients are compared
# Below this share of the features' own size a distance counts as none: that is the rounding of the start.
NONE = 1e-3


@dataclass(frozen=True)
class Hold:
    """What holds an accentuated image near its photograph.

    Attributes:
        distance: a distance from the photographs, which is subtracted: a layer's name stands for `feature_distance` at
            this layer.
        strength: of the hold; at 1 its gradient is as large as that of the goal once the image has made its first step.
    """

    distance: str | Objective
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength < float("inf"):
            raise BadInputError(f"The strength of a hold is a number from 0 on; got {self.strength}.")

    def objective(self, photographs: Tensor) -> Objective:
        """Return the distance from these photographs."""
        if isinstance(self.distance, Objective):
            return self.distance
        return feature_distance(self.distance, photographs)


@dataclass(frozen=True)
class Accentuation:
    """Photographs before and after.

    Attributes:
        photographs: (N, C, H, W).
        rendering: what came out; its `score` and `history` are those of the goal less the hold, and its map of where it
            mattered is that of the goal alone.
        before, after: (N,), the goal on the photographs and on the images, without transforms.
        distance: (N,), what held the images back, without transforms; 0 without a hold.
        weight: (N,), by what the distance was multiplied.
    """

    photographs: Tensor
    rendering: Rendering
    before: Tensor
    after: Tensor
    distance: Tensor
    weight: Tensor

    @property
    def images(self) -> Tensor:
        """The images, (N, C, H, W) in [0, 1]."""
        return self.rendering.images

    def _repr_png_(self) -> bytes:
        """Return the picture that notebooks show: the photographs, and the images after them."""
        return image.png(
            torch.cat([self.rendering.inputs.pictures(self.photographs), self.rendering.pictures])
        )


def accentuate(
    model: nn.Module,
    goal: Objective,
    photographs: Tensor,
    *,
    hold: Hold | None = None,
    level: float | Tensor | None = None,
    mask: Tensor | None = None,
    recipe: Recipe | None = None,
    **changes: Unpack[Changes],
) -> Accentuation:
    """Move photographs toward what an objective wants, gently.

    The start is each photograph in its exact colors, as waves (`FourierImage.of`).

    Args:
        model: as for `render`.
        goal: what to raise: a channel, a class, a direction, or several of these `together`, one for each photograph.
        photographs: (N, C, H, W) in [0, 1], at the size that is wanted.
        hold: what keeps the images near the photographs; None lets them go.
        level: of the goal on the image without transforms, one for all or (N,): an image that has reached it is left
            as it is. None takes all steps.
        mask: (N or 1, 1, H, W) in [0, 1], 1 where pixels may change; None for everywhere.
        recipe: how; without one, 100 steps of 0.05 under the standard transforms.
        changes: what differs from the recipe, by the names of its attributes.

    Raises:
        BadInputError: photographs or a mask of another shape or range, objectives of another number than photographs,
            photographs that are at the level already, a hold without a gradient, or as for `render`.
        UnknownNameError: an unknown layer or class.

    Warns:
        RenderingWarning: as for `render`.
    """
    recipe = (recipe or Recipe(rate=RATE, steps=STEPS)).changed(**changes)
    start = _start(hooks.check_images(model, photographs), mask)
    held = None if hold is None else hold.objective(photographs)
    network = prepared(model, {*goal.layers, *(held.layers if held else ())}, recipe)
    before = _clean(network, goal, photographs)
    wanted = None if level is None else _level(level, before)
    weight = torch.zeros_like(before)
    if hold and held:
        weight = hold.strength * _balance(network, goal, held, start, recipe)
    objective = goal - _times(weight, held) if held else goal
    ascent = Ascent(network, objective, recipe, goal=goal if held else None, level=wanted)
    rendering = told(rendered(ascent, start, recipe.stages(start.size), _nothing))
    fitted = image.resize(photographs, (rendering.images.shape[2], rendering.images.shape[3]))
    return Accentuation(
        photographs=fitted,
        rendering=rendering,
        before=before,
        after=_clean(network, goal, rendering.images),
        distance=_clean(network, held, rendering.images) if held else torch.zeros_like(before),
        weight=weight,
    )


def feature_distance(layer: str, photographs: Tensor) -> Objective:
    """Return how far what a layer gives is from what it gives for photographs, under the same transforms.

    The root of the mean squared difference over channels and positions, made smooth at 0: below a thousandth of the
    features' own size, where a photograph differs from itself by rounding, it has next to no gradient.

    Args:
        layer: an early one holds shapes and colors, a late one what they mean.
        photographs: (N or 1, C, H, W) in [0, 1].
    """
    return of_pair(layer, lambda own, other: _distance(own - other, other), photographs, f"{layer}:distance")


def other_distance(layer: str, vector: Tensor | int, photographs: Tensor) -> Objective:
    """Return how far a layer is from what it gives for photographs in everything but one direction.

    The activations at each position are split into their part along the direction and the part orthogonal to it; the
    distance of the second counts, as in `feature_distance`. Held by it, a direction can be raised and nothing else.

    Args:
        layer: (N, C, H, W) or (N, C).
        vector: (C,), or the number of a channel.
        photographs: (N or 1, C, H, W) in [0, 1].

    Raises:
        BadInputError: (on rendering) a direction of another length, a channel that does not exist, or no direction.
    """

    def distance(own: Tensor, other: Tensor) -> Tensor:
        along = _unit(layer, vector, own).view(1, -1, *[1] * (own.ndim - 2))
        change = own - other
        return _distance(change - (change * along).sum(1, keepdim=True) * along, other)

    return of_pair(layer, distance, photographs, f"{layer}:other distance")


def _distance(change: Tensor, size: Tensor) -> Tensor:
    squares = change.flatten(1).square().mean(1)
    none = NONE * size.flatten(1).square().mean(1).sqrt()
    # The root has no slope at 0; the floor of `none`, for features that are 0, keeps it finite.
    return (squares + none.square().clamp(min=1e-20)).sqrt() - none


def _unit(layer: str, vector: Tensor | int, values: Tensor) -> Tensor:
    count = values.shape[1]
    if isinstance(vector, Tensor):
        if vector.shape != (count,) or not vector.norm() > 0:
            raise BadInputError(
                f"The layer {layer!r} has {count} channels; a direction of so many numbers, not all 0, is needed, and "
                f"this one has the shape {tuple(vector.shape)}."
            )
        return F.normalize(vector.to(values), dim=0)
    if not 0 <= vector < count:
        raise BadInputError(f"The layer {layer!r} has the channels 0 to {count - 1}; there is no {vector}.")
    return F.one_hot(torch.tensor(vector), count).to(values)


def _start(photographs: Tensor, mask: Tensor | None) -> Parameterization:
    start: Parameterization = FourierImage.of(photographs, exact=True)
    # A photograph has its own random numbers, whatever else is in the batch.
    start.names = tuple(digest(one.detach().cpu())[:12] for one in photographs)
    return start if mask is None else MaskedImage(start, photographs, mask)


def _level(level: float | Tensor, before: Tensor) -> Tensor:
    wanted = torch.as_tensor(level).detach().to(before)
    if wanted.shape not in ((), before.shape) or not wanted.isfinite().all():
        raise BadInputError(
            f"The level is one number, or one for each of {len(before)} photographs; got {level!r}."
        )
    wanted = wanted.expand_as(before)
    if (before >= wanted).all():
        raise BadInputError(
            f"The photographs are at the level already: they give {_listed(before)}, and {_listed(wanted)} is wanted."
        )
    return wanted


def _listed(values: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in values.tolist())


def _balance(
    network: nn.Module, goal: Objective, held: Objective, start: Parameterization, recipe: Recipe
) -> Tensor:
    """Return by what the gradient of the distance has to be multiplied to be as large as that of the goal, (N,).

    Both are taken after one step toward the goal: on the photograph itself the distance has no gradient. Their size is
    the sum of the absolute values over an image's coefficients, as in faccent.
    """
    images, _ = Ascent(network, goal, recipe).run(start, [Stage(start.size, 1)], _nothing)
    random = streams(recipe.seed, "balance", images.names)
    sums = torch.zeros(2, len(images.names))
    for _ in range(DRAWS):
        pixels = images()
        layers = tuple(dict.fromkeys(goal.layers + held.layers))
        seen = look(network, pixels, layers, recipe.transforms, random, (goal - held).beside)
        for place, one in enumerate((goal, held)):
            found = torch.autograd.grad(one(seen).sum(), list(images.parameters()), retain_graph=True)
            sums[place] += torch.stack([values.abs().flatten(1).sum(1) for values in found]).sum(0).cpu()
    if not (sums.isfinite() & (sums > 0)).all():
        raise BadInputError(
            f"The goal {goal.name!r} or the distance {held.name!r} has no gradient on a photograph, so they cannot be "
            "balanced. Hold by a layer before that of the goal, or give another photograph."
        )
    return (sums[0] / sums[1]).to(image.device_of(network))


def _times(weight: Tensor, held: Objective) -> Objective:
    return replace(held, score=lambda seen: weight * held(seen), name=f"held by {held.name}", parts=())


@torch.no_grad()
def _clean(network: nn.Module, objective: Objective, images: Tensor) -> Tensor:
    """Return an objective (N,) on images as they are."""
    return objective(look(network, images, objective.layers, (), [], objective.beside))


def _nothing(_steps: int = 1) -> None:
    pass
