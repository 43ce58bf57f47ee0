"""What a network remembers of the images that it was trained on: whether it misses a normalization in front of it."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from interp import hooks
from interp.zoo.own import MEAN, STD
from interp.zoo.photographs import example_images, photograph_names

Numbers = tuple[tuple[float, ...], tuple[float, ...]]
# The usual ones: those of ImageNet's images, and those that make [-1, 1].
USUAL: tuple[Numbers, ...] = ((MEAN, STD), ((0.5,) * 3, (0.5,) * 3))
PHOTOGRAPHS, SIDE = 8, 128
# How many times better photographs have to fit after a normalization. Networks without theirs gave 11 and 22, networks
# with theirs or trained without one less than 1.
BETTER = 4.0


def missing_normalization(model: nn.Module, size: int = SIDE) -> Numbers | None:
    """Return the mean and the standard deviation that seem to be missing in front of a network; None if none do.

    A batch norm remembers the mean and the variance of what it was given in training. Here the first one is given
    photographs as they are, and normalized in the usual ways: if one of these fits far better, it is missing. Nothing
    can be told of a network without batch norm, of one that was never trained, and without photographs at hand.

    Args:
        model: takes images in [0, 1], or so it is thought.
        size: the side of the images that it takes.
    """
    name = _first_norm(model)
    if name is None:
        return None
    try:
        images = example_images(*photograph_names()[:PHOTOGRAPHS], size=size)
        as_is, *others = (
            _miss(model, name, each) for each in (images, *(_whitened(images, *n) for n in USUAL))
        )
    except Exception:  # a foreign forward raises whatever it likes, and then there is nothing to warn of  # noqa: BLE001
        return None
    best = min(range(len(USUAL)), key=others.__getitem__)
    return USUAL[best] if others[best] * BETTER < as_is else None


def warn_of_missing_normalization(model: nn.Module, size: int = SIDE) -> None:
    """Warn if a network seems to miss its normalization; see `missing_normalization`.

    Warns:
        UserWarning: the message says which, and how to put it in front.
    """
    found = missing_normalization(model, size)
    if found is not None:
        mean, std = (",".join(f"{number:g}" for number in numbers) for numbers in found)
        warnings.warn(
            "The network seems to miss its normalization: what its first batch norm remembers of the training fits "
            f"photographs far better with the mean {mean} and the standard deviation {std}. If it was trained so, put "
            f"them in front: zoo.normalized(network, [{mean}], [{std}]), or --mean {mean} --std {std}.",
            stacklevel=2,
        )


def _first_norm(model: nn.Module) -> str | None:
    """Return the name of the first batch norm, if it remembers anything."""
    for name in hooks.layer_names(model):
        layer = hooks.find_layer(model, name)
        if isinstance(layer, nn.BatchNorm2d):
            return name if layer.running_mean is not None and bool(layer.running_mean.any()) else None
    return None


def _whitened(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (images - images.new_tensor(mean).view(1, 3, 1, 1)) / images.new_tensor(std).view(1, 3, 1, 1)


@torch.no_grad()
def _miss(model: nn.Module, name: str, images: Tensor) -> float:
    """Return how far what a batch norm gets is from what it remembers.

    The median over the channels of the divergence of two normal distributions, 0 where mean and variance are the same.
    """
    norm: Any = hooks.find_layer(model, name)
    found = hooks.run(model, images, [name])[name].double()
    if norm.affine:
        found = (found - norm.bias[:, None, None]) / norm.weight[:, None, None]
    mean, variance = found.mean(dim=(0, 2, 3)), found.var(dim=(0, 2, 3)).clamp(min=1e-6)
    divergence = (variance + mean.square() - 1 - variance.log()) / 2
    return float(divergence[divergence.isfinite()].median())
