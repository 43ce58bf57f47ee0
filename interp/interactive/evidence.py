"""A live figure: what each place of a photograph adds to a class, and the channels that this is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interp import image
from interp.errors import BadInputError
from interp.interactive.figure import LiveFigure, words
from interp.interactive.pictures import pil, row, uri

FOR, AGAINST = (1.0, 0.24, 0.0), (0.12, 0.39, 1.0)  # the colors of templates/evidence.js
STRONGEST_OPACITY = 0.8


def evidence(
    photograph: Tensor,
    activations: Tensor,
    weights: Tensor,
    bias: Tensor,
    classes: Sequence[str],
    *,
    alt: str,
    strongest: int = 3,
) -> LiveFigure:
    """Choose a class and point at a place: the channels that speak for and against the class there, with their sum.

    For a network that ends in a global mean and a linear layer. The parts are weight times activation; at each place
    they add up to the class-activation map (Zhou et al., 2016, https://arxiv.org/abs/1512.04150), and the mean of this
    map over the places, plus the bias, is the logit. Numbers are printed with two decimals; the two lines of the other
    channels hold what rounding leaves, so that the printed numbers add up.

    Args:
        photograph: (1, 3, H, W) in [0, 1].
        activations: (C, rows, columns) of the layer before the mean, for this photograph.
        weights: (K, C), the rows of the linear layer for the K classes to choose from.
        bias: (K,), their biases.
        classes: their K names; the first is shown at the start.
        alt: what the photograph shows, in words.
        strongest: how many channels are named at a place for the class, and how many against it.

    Raises:
        BadInputError: if the shapes do not fit one another, or a number is NaN or infinite.
    """
    _check(activations, weights, bias, classes, strongest)
    activations, weights, bias = (part.detach().double().cpu() for part in (activations, weights, bias))
    parts = torch.einsum("kc,chw->kchw", weights, activations)
    heat = parts.sum(dim=1)
    scores = heat.mean(dim=(1, 2)) + bias
    data = {
        "photograph": uri(pil(image.check(photograph)[0])),
        "rows": heat.shape[1],
        "columns": heat.shape[2],
        "classes": [
            {
                "name": name,
                "bias": _hundredths(bias[k]),
                "score": _hundredths(scores[k]),
                "cells": [_place(place, strongest) for place in parts[k].flatten(1).T],
            }
            for k, name in enumerate(classes)
        ],
        "start": list(divmod(int(heat[0].argmax()), heat.shape[2])),
        "alt": words(alt),
    }
    still = row([photograph[0], *_colored(photograph, heat[:3])])
    named = ", to ".join(classes[:3])
    return LiveFigure("evidence", data, still, f"{alt}, and what each place adds to {named}")


def _place(parts: Tensor, strongest: int) -> list[int]:
    """Return the account of one place, in hundredths: total, other channels for, against, then channel, part, ...

    Args:
        parts: (C,), what each channel adds there.
    """
    named = [pair for sign in (1, -1) for pair in _strongest(parts, sign, strongest)]
    others = parts.clone()
    others[[channel for channel, _ in named]] = 0
    total, others_for = _hundredths(parts.sum()), _hundredths(others.clamp(min=0).sum())
    others_against = total - others_for - sum(part for _, part in named)
    return [total, others_for, others_against, *(number for pair in named for number in pair)]


def _strongest(parts: Tensor, sign: int, count: int) -> list[tuple[int, int]]:
    """Return the channels that add most (or take most, for sign -1) with their parts, without those that print as 0."""
    values, channels = (sign * parts).topk(count)
    rounded = [_hundredths(value) for value in values]
    return [(c, sign * value) for c, value in zip(channels.tolist(), rounded, strict=True) if value > 0]


def _hundredths(value: Tensor) -> int:
    return round(100 * float(value))


def _colored(photograph: Tensor, heat: Tensor) -> Tensor:
    """Lay maps (K, h, w) over the gray photograph as the script does, on one scale, and return (K, 3, H, W)."""
    unit = (heat / heat.abs().max().clamp_min(1e-12)).float()[:, None]
    squares = torch.nn.functional.interpolate(unit, size=photograph.shape[-2:], mode="nearest-exact")
    opacity = STRONGEST_OPACITY * squares.abs().sqrt()
    against, speaks_for = (torch.tensor(rgb).view(1, 3, 1, 1) for rgb in (AGAINST, FOR))
    color = torch.where(squares < 0, against, speaks_for)
    return (1 - opacity) * photograph.mean(dim=1, keepdim=True) + opacity * color


def _check(
    activations: Tensor, weights: Tensor, bias: Tensor, classes: Sequence[str], strongest: int
) -> None:
    expected = (len(classes), len(activations)), (len(classes),)
    found = tuple(weights.shape), tuple(bias.shape)
    if activations.ndim != 3 or not classes or found != expected:
        raise BadInputError(
            "Activations (C, rows, columns) are needed, and for each of K names C weights and a bias, as (K, C) and "
            f"(K,); there are {len(classes)} names, activations {tuple(activations.shape)}, weights {found[0]} and "
            f"biases {found[1]}. Take the rows of these classes: `model.classifier.weight[classes]`."
        )
    if not 1 <= strongest <= len(activations):
        raise BadInputError(
            f"Of {len(activations)} channels 1 to {len(activations)} can be named at a place, not {strongest}."
        )
    if not all(part.isfinite().all() for part in (activations, weights, bias)):
        raise BadInputError(
            "Activations, weights or biases hold NaN or infinite numbers; these add up to nothing."
        )
