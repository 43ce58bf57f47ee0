"""What raising a channel does to the logits, with what the other channels of its layer do as the control."""

from __future__ import annotations

import functools
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
    model: nn.Module, layer: str, steps: Sequence[float], images: Tensor, *, batch: int = 40
) -> Tensor:
    """Return (C, N, classes): by how much each logit rises when one channel is raised at all positions.

    Args:
        model: a network that gives logits (N, classes).
        layer: a layer behind which the logits come.
        steps: C numbers, by how much each channel is raised; a usual one is its standard deviation.
        images: (N, 3, H, W) in [0, 1].
        batch: images in a pass.

    Raises:
        BadInputError: there is not one step for each channel.
    """
    # A copy; channels last is what convolutions on a processor are fastest with.
    model = folding.fold(model, keep=[layer]).to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    first = hooks.activations(model, images[:1], layer)
    if first.shape[1] != len(steps):
        raise BadInputError(f"{layer!r} has {first.shape[1]} channels; got {len(steps)} steps for them.")
    before = torch.cat([_logits(model, part) for part in torch.split(images, batch)])
    found = torch.empty(len(steps), *before.shape)
    for channel, step in enumerate(steps):
        raised = functools.partial(_raised, channel=channel, step=step)
        with hooks.replacing(model, {layer: raised}):
            found[channel] = torch.cat([_logits(model, part) for part in torch.split(images, batch)]) - before
    return found


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    with hooks.evaluating(model):
        logits: Tensor = model(images.to(hooks.device_of(model)))
    return logits.cpu()


def _raised(maps: Tensor, *, channel: int, step: float) -> Tensor:
    maps = maps.clone()
    maps[:, channel] += step
    return maps


def summary(effects: Tensor, channel: int, names: Sequence[str]) -> dict[str, Any]:
    """Return what a page says of a channel's effects (C, N, classes): the classes that it moves most, and controls.

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
