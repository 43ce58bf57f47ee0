"""What raising a channel does to the logits, with what the other channels of its layer do as the control."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interp import folding, hooks
from interp.errors import BadInputError

NAMED = 5  # classes that a page names on each side


@torch.no_grad()
def class_effects(
    model: nn.Module, layer: str, steps: Sequence[float], images: Tensor, *, together: int = 40
) -> Tensor:
    """Return (C, N, classes): by how much each logit rises when one channel is raised at all positions.

    Up to the layer one image runs; behind it all copies of it, with another channel raised in each.

    Args:
        model: a network that gives logits (N, classes).
        layer: a layer behind which the logits come.
        steps: C numbers, by how much each channel is raised; a usual one is its standard deviation.
        images: (N, 3, H, W) in [0, 1].
        together: channels in a pass; 1 for a network that hangs what comes before the layer behind it.

    Raises:
        BadInputError: there is not one step for each channel.
    """
    model = folding.fold(model, keep=[layer])
    channels = hooks.activations(model, images[:1], layer).shape[1]
    if channels != len(steps):
        raise BadInputError(f"{layer!r} has {channels} channels; got {len(steps)} steps for them.")
    raises = torch.diag(torch.tensor(steps, dtype=images.dtype)).to(hooks.device_of(model))
    found = [
        torch.cat([_moved(model, layer, image, part) for part in torch.split(raises, together)])
        for image in torch.split(images.to(raises.device), 1)
    ]
    return torch.stack(found, dim=1).cpu()


def _moved(model: nn.Module, layer: str, image: Tensor, raises: Tensor) -> Tensor:
    """Return (K, classes): what K rows (K, C) of additions to the channels do to the logits of one image."""

    def raised(maps: Tensor) -> Tensor:
        return maps + raises.reshape(*raises.shape, *[1] * (maps.ndim - 2))

    with hooks.evaluating(model):
        before: Tensor = model(image)
        with hooks.replacing(model, {layer: raised}):
            after: Tensor = model(image)
    return after - before


def summary(effects: Tensor, channel: int, names: Sequence[str], step: float) -> dict[str, Any]:
    """Return what a page says of a channel's effects (C, N, classes): the classes that it moves most, and controls.

    step        by how much the channel was raised
    images      on how many images
    up, down    [name, mean over the images, two standard errors, how many other channels of the layer move the class
                farther to this side] of the classes that it moves most
    halves      correlation over the classes of its mean effect on every second image with that on the others
    others      the same with the other half of each other channel; the mean
    usual       the largest mean effect on any class, of a channel of the layer: the median over the channels
    """
    mean, error = effects.mean(dim=1), 2 * effects[channel].std(dim=0) / effects.shape[1] ** 0.5
    order = mean[channel].argsort(descending=True).tolist()
    even, odd = effects[:, ::2].mean(dim=1), effects[:, 1::2].mean(dim=1)
    alike = [_correlation(even[channel], odd[other]) for other in range(len(effects))]

    def entry(index: int, sign: int) -> list[Any]:
        farther = int((sign * mean[:, index] > sign * mean[channel, index]).sum())
        return [names[index], _short(mean[channel, index]), _short(error[index]), farther]

    return {
        "step": float(f"{step:.3g}"),
        "images": effects.shape[1],
        "up": [entry(index, 1) for index in order[:NAMED]],
        "down": [entry(index, -1) for index in itertools.islice(reversed(order), NAMED)],
        "halves": round(alike[channel], 2),
        "others": round((sum(alike) - alike[channel]) / max(len(alike) - 1, 1), 2),
        "usual": _short(mean.amax(dim=1).median()),
    }


def _short(value: Tensor) -> float:
    return float(f"{float(value):.3g}")


def _correlation(one: Tensor, other: Tensor) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-12))
