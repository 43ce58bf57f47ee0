"""Not the largest activations, but those of real images: their distribution as the goal."""

from __future__ import annotations

import operator

import torch.nn.functional as F
from torch import Tensor

from interp.errors import BadInputError
from interp.featurevis.objectives import Objective, of_layer


def distribution(layer: str, goal: Tensor, index: int | None = None) -> Objective:
    """Return minus the distance between how a layer's activations are distributed, and how those of real images are.

    The activations of a channel at all positions are sorted, and compared with the sorted ones of the real images, the
    mean over these: the squared 2-Wasserstein distance of the two distributions, the mean over the channels. So an
    image is asked for as much of everything as real ones have, at any place. Zhang et al., 2022,
    https://arxiv.org/abs/2203.07740, match features so; Görgün, Schiele and Fischer, 2025,
    https://arxiv.org/abs/2503.22399, visualize units by it, with real images that excite the unit most.

    Args:
        layer: a layer (N, C, H, W).
        goal: (M, C, h, w), the layer's activations for M real images; with another number of positions, its quantiles
            are interpolated.
        index: compare this channel alone; without it, all of them.

    Raises:
        BadInputError: the goal is not (M, C, h, w), has no such channel, or (on rendering) other ones than the layer.
    """
    chosen = _chosen(goal, index)
    quantiles = goal.detach()[:, chosen].flatten(2).sort(dim=2).values.mean(0, keepdim=True)

    def score(values: Tensor) -> Tensor:
        if values.ndim != 4 or values.shape[1] != goal.shape[1]:
            raise BadInputError(
                f"The layer {layer!r} gives {tuple(values.shape)}, the goal is {tuple(goal.shape)}. Compute the goal "
                f"as hooks.activations(model, images, {layer!r})."
            )
        ours = values[:, chosen].flatten(2).sort(dim=2).values
        theirs = _resampled(quantiles.to(ours), ours.shape[2])
        return -(ours - theirs).square().mean(dim=(1, 2))

    what = "" if index is None else f":{index}"
    return of_layer(layer, score, f"{layer}{what}:distribution")


def _chosen(goal: Tensor, index: int | None) -> list[int]:
    """Return the channels that are compared."""
    if goal.ndim != 4 or not len(goal):
        raise BadInputError(
            f"The goal has to be activations (M, C, H, W) of real images; its shape is {tuple(goal.shape)}."
        )
    if index is None:
        return list(range(goal.shape[1]))
    index = operator.index(index)
    if not 0 <= index < goal.shape[1]:
        raise BadInputError(f"The goal has the channels 0 to {goal.shape[1] - 1}; there is no {index}.")
    return [index]


def _resampled(quantiles: Tensor, count: int) -> Tensor:
    """Return as many quantiles of the same distributions, (1, C, count)."""
    if quantiles.shape[2] == count:
        return quantiles
    return F.interpolate(quantiles, size=count, mode="linear", align_corners=True)
