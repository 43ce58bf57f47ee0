"""One pass through a model, forward or forth and back; every method here is made of these.

A pass leaves no trace: the model runs in evaluation mode and gets its own mode back, gradients are taken of the images
or of a layer only (no `.grad` is written, and no gradient of a weight is computed), and nothing global stays switched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from interp import hooks, image
from interp.attribution.targets import Target, each, names_of, select
from interp.errors import BadInputError

Read = Callable[[Tensor], Tensor]
# What goes through a network at a time, in pixels. On a CPU more is slower, because the activations no longer find room
# near the processor: a gradient of EfficientNet-Lite0 takes 57 ms an image for 8 images of 224 x 224, 72 ms for 16.
PIXELS_ON_CPU = 8 * 224 * 224
PIXELS_ON_GPU = 128 * 224 * 224


def scores(model: nn.Module, images: Tensor, target: Target, read: Read | None = None) -> Tensor:
    """Return the target's score of each image, (N,), without a graph.

    Args:
        model: takes images in [0, 1], returns logits.
        images: (N, 3, H, W); values outside [0, 1] are allowed here.
        target: see `targets.select`.
        read: applied to the output first, such as a softmax.
    """
    values = []
    with torch.no_grad(), hooks.evaluating(model):
        for some, targets in portions(images, target):
            output = model(ready(model, some))
            values.append(select(output if read is None else read(output), targets, names_of(model)))
    return torch.cat(values)


def input_gradient(model: nn.Module, images: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Return the scores (N,) and their gradients with respect to the images (N, 3, H, W).

    Args:
        model: takes images in [0, 1], returns logits.
        images: (N, 3, H, W); values outside [0, 1] are allowed here.
        target: see `targets.select`.

    Raises:
        BadInputError: the score does not depend on the images.
    """
    values, gradients = [], []
    with explaining(model):
        for some, targets in portions(images, target):
            leaf = ready(model, some).requires_grad_()
            score = select(model(leaf), targets, names_of(model))
            gradients.append(differentiate(score, leaf, "the images"))
            values.append(score.detach())
    return torch.cat(values), torch.cat(gradients)


def layer_gradient(model: nn.Module, images: Tensor, target: Target, layer: str) -> tuple[Tensor, Tensor]:
    """Return the activations of a layer and the gradient of the score with respect to them, (N, C, h, w) each.

    The graph starts behind the layer, so the way from the images to the layer costs a bare forward pass. A layer that
    runs several times gives its first output.

    Raises:
        UnknownNameError: there is no such layer; the message lists the closest names.
        BadInputError: the layer does not run, its output is not (N, C, h, w), or the score does not depend on it.
    """
    activations, gradients = [], []
    with explaining(model):
        for some, targets in portions(images, target):
            score, found = _score_and_maps(model, some, targets, layer)
            gradients.append(differentiate(score, found, f"the layer {layer!r}"))
            activations.append(found.detach())
    return torch.cat(activations), torch.cat(gradients)


def _score_and_maps(model: nn.Module, images: Tensor, target: Target, layer: str) -> tuple[Tensor, Tensor]:
    found: list[Tensor] = []

    def start_graph(output: Tensor) -> Tensor:
        if found:
            return output
        found.append(output.detach().requires_grad_())
        torch.set_grad_enabled(True)
        return found[0].clone()  # an in-place operation behind the layer must not change what was found

    with torch.no_grad(), hooks.replacing(model, {layer: start_graph}):
        score = select(model(ready(model, images)), target, names_of(model))
    return score, _maps(found, layer)


def at_once(images: Tensor) -> int:
    """Return how many images of this size go through a network at a time, at least 1."""
    pixels = PIXELS_ON_CPU if images.device.type == "cpu" else PIXELS_ON_GPU
    return max(1, pixels // (images.shape[-2] * images.shape[-1]))


def portions(images: Tensor, target: Target) -> Iterator[tuple[Tensor, Target]]:
    """Yield the images in portions of `at_once`, each with its part of the targets."""
    size, singles = at_once(images), each(target, len(images))
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        yield images[part], target if callable(target) else singles[part]


@contextlib.contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Run a model in evaluation mode with gradients on, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad(), hooks.evaluating(model):
        yield


def ready(model: nn.Module, images: Tensor) -> Tensor:
    """Return a copy of the images on the model's device and in its type, outside of any graph."""
    weight = next(model.parameters(), images)
    return images.detach().to(weight.device, weight.dtype).clone()


def differentiate(score: Tensor, tensor: Tensor, what: str) -> Tensor:
    """Return the gradient of the scores' sum; each image's score depends on its own part of the tensor only."""
    gradient = None
    if score.requires_grad:
        (gradient,) = torch.autograd.grad(score.sum(), tensor, allow_unused=True)
    if gradient is None:
        raise BadInputError(f"The score does not depend on {what}, so there is nothing to explain.")
    return gradient


def _maps(found: list[Tensor], layer: str) -> Tensor:
    if not found:
        raise BadInputError(f"The forward pass does not run through the layer {layer!r}; choose another one.")
    if found[0].ndim != 4:
        raise BadInputError(
            f"The layer {layer!r} gives the shape {tuple(found[0].shape)}; maps (N, C, h, w) are needed. Choose a "
            "convolution, its batch norm or its activation."
        )
    return found[0]


def like(heat: Tensor, images: Tensor) -> Tensor:
    """Return maps of a layer at the size and on the device of the images: (N, H, W)."""
    size = (images.shape[-2], images.shape[-1])
    return image.resize(heat, size).to(images.device)
