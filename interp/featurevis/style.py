"""Style: what a layer does anywhere in an image, and how often together, whatever the place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from interp.errors import BadInputError
from interp.featurevis.objectives import Objective, of_layer


def gram(values: Tensor) -> Tensor:
    r"""Return the Gram matrices of activations (N, C, H, W): $G_{ij} = \frac{1}{HW} \sum_k F_{ik} F_{jk}$, (N, C, C).

    The mean over the positions k, and not the sum of Gatys et al., so that images of different sizes can be compared.

    Raises:
        BadInputError: the activations are not (N, C, H, W).
    """
    maps = _maps(values, "Gram matrices").flatten(2)
    return maps @ maps.transpose(1, 2) / maps.shape[-1]


def style(layer: str, goal: Tensor) -> Objective:
    r"""Return how near the Gram matrix of a layer is to that of a goal: $-\lVert G - A \rVert^2 / \lVert A \rVert^2$.

    Gatys, Ecker and Bethge, 2016, "Image style transfer using convolutional neural networks". Their loss of a layer,
    $\frac{1}{4 C^2 M^2} \sum_{ij} (G_{ij} - A_{ij})^2$ with sums over M positions, is this times a number that depends
    on the goal alone. With that number left out, 0 is the same style and -1 is as far as all zeros, in every layer.

    Args:
        layer: a layer (N, C, H, W).
        goal: its activations on the images with the style, (1 or N, C, H', W'), of any size.

    Raises:
        BadInputError: the goal has no positions, or (on rendering) another number of channels.
    """
    return _near(layer, goal, gram, "style")


def mean_activations(layer: str, goal: Tensor) -> Objective:
    r"""Return how near a layer's mean activations are to those of a goal: $-\lVert m - a \rVert^2 / \lVert a \rVert^2$.

    The mean of each channel over all positions: less than a Gram matrix, which also knows what occurs together (Li et
    al., 2017, "Demystifying neural style transfer", compares such statistics).

    Args:
        layer: a layer (N, C, H, W).
        goal: its activations on the images with the style, (1 or N, C, H', W'), of any size.

    Raises:
        BadInputError: as for `style`.
    """
    return _near(layer, goal, lambda values: _maps(values, "Mean activations").mean((2, 3)), "means")


def _near(layer: str, goal: Tensor, summary: Callable[[Tensor], Tensor], name: str) -> Objective:
    with torch.no_grad():
        wanted = summary(goal).flatten(1)
    size = wanted.square().sum(1).clamp(min=torch.finfo(wanted.dtype).tiny)

    def score(values: Tensor) -> Tensor:
        found = summary(values).flatten(1)
        if found.shape[1] != wanted.shape[1] or len(wanted) not in (1, len(found)):
            raise BadInputError(
                f"The layer {layer!r} gives {tuple(values.shape)}, the goal is {tuple(goal.shape)}. Take both from one "
                "layer, and one goal for all images or one for each."
            )
        return -(found - wanted.to(found)).square().sum(1) / size.to(found)

    return of_layer(layer, score, f"{layer}:{name}")


def _maps(values: Tensor, what: str) -> Tensor:
    if values.ndim != 4 or not values.numel():
        raise BadInputError(f"{what} need activations (N, C, H, W); got {tuple(values.shape)}.")
    return values
