"""What pictures should be like, whatever a neuron wants: apart from one another, smooth, gray, transparent."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.errors import BadInputError
from interp.featurevis.objectives import ALPHA, IMAGE, Objective, mean_of, of_layer

# --------------------------------------------------------------------------------------------------------------------
# What the images of a batch have to do with one another


def diversity(layer: str) -> Objective:
    """Return how much the images of a batch differ in style: minus the mean cosine between their Gram matrices.

    Feature Visualization (2017), section on diversity. An image's score counts its pairs with all others.
    """

    def score(values: Tensor) -> Tensor:
        maps = _needs_batch(layer, values, "diversity").flatten(2)
        grams = F.normalize((maps @ maps.transpose(1, 2)).flatten(1), dim=1)
        cosines = grams @ grams.T
        return -(cosines.sum(1) - cosines.diagonal()) / (len(values) - 1)

    return of_layer(layer, score, f"{layer}:diversity")


def alignment(layer: str, decay: float = 2.0) -> Objective:
    """Return minus the distance between the activations of images, near neighbors in the batch counting most.

    It lays the parts of neighboring images at the same places (Mordvintsev et al., 2018,
    https://distill.pub/2018/differentiable-parameterizations). The weight of a pair is decay ** -distance, counted
    along the batch.
    """

    def score(values: Tensor) -> Tensor:
        flat = F.normalize(_needs_batch(layer, values, "alignment").flatten(1), dim=1)
        squares = (flat[:, None] - flat[None]).square().sum(2)
        order = torch.arange(len(values), device=values.device)
        weights = decay ** -(order[:, None] - order[None]).abs().to(values.dtype)
        return -(squares * weights).sum(1) / (len(values) - 1)

    return of_layer(layer, score, f"{layer}:alignment")


# --------------------------------------------------------------------------------------------------------------------
# Penalties on the image: positive numbers, made to be subtracted


def total_variation() -> Objective:
    """Return the mean absolute step between neighboring pixels, down and across (Rudin et al., 1992)."""

    def score(images: Tensor) -> Tensor:
        down, across = images.diff(dim=2).abs(), images.diff(dim=3).abs()
        return mean_of(down) + mean_of(across)

    return of_layer(IMAGE, score, "total_variation")


def l1(center: float = 0.5) -> Objective:
    """Return the mean absolute distance of the pixels from a gray."""
    return of_layer(IMAGE, lambda images: mean_of((images - center).abs()), "l1")


def l2(center: float = 0.5) -> Objective:
    """Return the mean squared distance of the pixels from a gray."""
    return of_layer(IMAGE, lambda images: mean_of((images - center).square()), "l2")


def blurred() -> Objective:
    """Return the mean squared distance of the image from its own 5 x 5 binomial blur, which is held fixed.

    Subtracting it pulls every step towards the blurred image, as blurring between the steps would (Yosinski et al.,
    2015, https://arxiv.org/abs/1506.06579).
    """

    def score(images: Tensor) -> Tensor:
        row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device, dtype=images.dtype) / 16
        kernel = torch.outer(row, row).expand(images.shape[1], 1, 5, 5)
        smooth = F.conv2d(F.pad(images, (2, 2, 2, 2), "reflect"), kernel, groups=images.shape[1])
        return mean_of((images - smooth.detach()).square())

    return of_layer(IMAGE, score, "blurred")


def opacity() -> Objective:
    """Return the mean of the alpha channel: subtract it to keep only what counts.

    Raises:
        BadInputError: (on rendering) the images have no alpha channel.
    """

    def score(alpha: Tensor) -> Tensor:
        if not alpha.shape[1]:
            raise BadInputError(
                "The images have no alpha channel. Start from FourierImage(size, alpha=True)."
            )
        return mean_of(alpha)

    return of_layer(ALPHA, score, "opacity")


def _needs_batch(layer: str, values: Tensor, what: str) -> Tensor:
    if len(values) < 2 or values.ndim != 4:
        raise BadInputError(
            f"The {what} of {layer!r} needs two or more images and a layer (N, C, H, W); got {tuple(values.shape)}."
        )
    return values
