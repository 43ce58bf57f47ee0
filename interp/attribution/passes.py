"""One pass through a model, forward or forth and back; every method here is made of these.

A pass leaves no trace: the model runs in evaluation mode and gets its own mode back, gradients are taken of the images
or of a layer only (no `.grad` is written, and no gradient of a weight is computed), and nothing global stays switched.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from interp import hooks, image
from interp.attribution.aims import NAMED_OUTPUT, OUTPUT
from interp.attribution.targets import Target, each, layers_of, names_of, select, select_inside
from interp.errors import BadInputError

Read = Callable[[Any], Tensor]
ScoreOf = Callable[[Any], Tensor]
# What goes through a network at a time, in pixels. On a CPU more is slower, because the activations no longer find room
# near the processor: a gradient of EfficientNet-Lite0 takes 57 ms an image for 8 images of 224 x 224, 72 ms for 16.
PIXELS_ON_CPU = 8 * 224 * 224
PIXELS_ON_GPU = 128 * 224 * 224
SIZES = re.compile(
    r"shape|size|height|width|match", re.IGNORECASE
)  # what torch and others say of a wrong size


def scores(model: nn.Module, images: Tensor, target: Target, read: Read | None = None) -> Tensor:
    """Return the target's score of each image, (N,), without a graph; half precision becomes float32.

    Args:
        model: takes images in [0, 1], returns logits.
        images: (N, C, H, W); values outside [0, 1] are allowed here.
        target: see `targets.select`.
        read: applied to the output first, such as a softmax.

    Raises:
        BadInputError: `read` is given and the target looks inside the network, where there are no probabilities.
    """
    values: list[Tensor] = []
    if read is not None and layers_of(target):
        raise BadInputError(
            "`read` is for what the model returns, and the target looks inside it. Leave one of them out."
        )
    with torch.no_grad(), hooks.evaluating(model):
        for some, score_of in each_pass(model, images, target):
            output = answer(model, some, layers_of(target))
            values.append(score_of(output if read is None else read(output)))
    return single(torch.cat(values))


def input_gradient(model: nn.Module, images: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Return the scores (N,) and their gradients with respect to the images (N, C, H, W).

    Both have the precision of the model, but at least float32.

    Args:
        model: takes images in [0, 1], returns logits.
        images: (N, C, H, W); values outside [0, 1] are allowed here.
        target: see `targets.select`.

    Raises:
        BadInputError: the score does not depend on the images.
    """
    values, gradients = [], []
    with explaining(model):
        for some, score_of in each_pass(model, images, target):
            leaf = some.requires_grad_()
            score = score_of(answer(model, leaf, layers_of(target)))
            gradients.append(differentiate(score, leaf, "the images"))
            values.append(score.detach())
    return single(torch.cat(values)), single(torch.cat(gradients))


def layer_gradient(model: nn.Module, images: Tensor, target: Target, layer: str) -> tuple[Tensor, Tensor]:
    """Return the activations of a layer and the gradient of the score with respect to them, (N, C, h, w) each.

    Both have the precision of the model, but at least float32. The graph starts behind the layer, so the way from the
    images to the layer costs a bare forward pass. Whatever the layer's own layout is, its channels come first here.

    Raises:
        UnknownNameError: there is no such layer; the message lists the closest names.
        BadInputError: the layer does not run, its output has no positions, or the score does not depend on it.

    Warns:
        UserWarning: the layer runs more than once; its first output is taken.
    """
    return layer_gradients(model, images, target, [layer])[layer]


def layer_gradients(
    model: nn.Module, images: Tensor, target: Target, layers: Sequence[str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return {layer: (activations, gradient)} of several layers, from one pass forth and back.

    The graph starts at the first of the layers that runs. Everything else is as for `layer_gradient`.
    """
    activations: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    gradients: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    with explaining(model):
        for some, score_of in each_pass(model, images, target):
            found: dict[str, Tensor] = {}
            changes = {layer: partial(_into_graph, layer, found) for layer in layers}
            with torch.no_grad(), hooks.replacing(model, changes):
                score = score_of(answer(model, some, layers_of(target)))
            maps = {layer: _maps(found, layer) for layer in layers}
            for layer, gradient in differentiate_all(score, maps).items():
                gradients[layer].append(gradient)
                activations[layer].append(maps[layer].detach())
    joined = {layer: torch.cat(gradients[layer]) for layer in layers}
    for layer in layers:
        if not bool(joined[layer].any()):
            _explain_silent_tokens(model, images, layer)
    return {layer: (single(torch.cat(activations[layer])), single(joined[layer])) for layer in layers}


def _into_graph(layer: str, found: dict[str, Tensor], output: Tensor) -> Tensor:
    """Take a layer's first output into the graph, which begins with the first layer that is met."""
    if layer in found:
        hooks.warn_of_repetition(layer)
        return output
    found[layer] = output if output.requires_grad else output.detach().requires_grad_()
    torch.set_grad_enabled(True)
    return found[layer].clone()  # an in-place operation behind the layer must not change what was found


def _explain_silent_tokens(model: nn.Module, images: Tensor, layer: str) -> None:
    layout = hooks.layout(model, layer, images)
    if layout is not None and layout.kind == "tokens":
        raise BadInputError(
            f"The score does not depend on the tokens of {layer!r} that lie on the grid, only on those set aside (the "
            "class token). Choose a layer that the class token reads from: the first norm of the last block."
        )


def each_pass(model: nn.Module, images: Tensor, target: Target) -> Iterator[tuple[Tensor, ScoreOf]]:
    """Yield the images in portions, ready for the model, each with the function from its output to its scores."""
    names = names_of(model)
    score = select_inside if layers_of(target) else select
    for some, targets in portions(images, target):
        yield ready(model, some), partial(score, target=targets, class_names=names, images=len(some))


def answer(model: nn.Module, images: Tensor, layers: Sequence[str] = ()) -> Any:
    """Return what a model gives for images; where layers are named, {layer: activations} instead.

    Raises:
        UnknownNameError: there is no such layer.
        BadInputError: it fails on images of this size or number, or on so many channels.
    """
    try:
        return _seen(model, images, layers) if layers else model(images)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError) as error:
        taken, (given, height, width) = hooks.inputs_of(model).channels, images.shape[1:]
        if "channels" in str(error):
            raise BadInputError(
                f"The network is taken to be for images of {taken} channels, these have {given}, and it fails: "
                f"{error}. Give images of as many channels as it takes, or say how many: model.inputs = "
                "image.Inputs(channels=...)."
            ) from error
        if SIZES.search(str(error)):
            raise BadInputError(
                f"The network fails on {len(images)} images of {height} x {width} pixels ({type(error).__name__}: "
                f"{error}). If it is made for images of one size, give them that: image.resize(images, (height, "
                "width)). If it holds something for each image, such as a second input, that has to be one for all: a "
                "method sends other numbers of images through."
            ) from error
        raise  # an error of the network itself


def _seen(model: nn.Module, images: Tensor, layers: Sequence[str]) -> Mapping[str, Tensor]:
    """Return {layer: activations}; the forward pass stops at the deepest layer, unless the output is asked for."""
    inner = [layer for layer in layers if layer != OUTPUT and not layer.startswith(NAMED_OUTPUT)]
    if len(inner) == len(layers):
        return hooks.run(model, images, inner)
    with hooks.record(model, inner) as found:
        output = model(images)
    return {**{layer: found[layer] for layer in inner}, OUTPUT: output}


def at_once(images: Tensor) -> int:
    """Return how many images of this size go through a network at a time, at least 1."""
    pixels = PIXELS_ON_CPU if images.device.type == "cpu" else PIXELS_ON_GPU
    return max(1, pixels // (images.shape[-2] * images.shape[-1]))


def portions(images: Tensor, target: Target) -> Iterator[tuple[Tensor, Target]]:
    """Yield the images in portions of `at_once`, each with its part of the targets.

    So a model gets other numbers of images than its caller gave; what it holds for each image (a second input) has to
    be one for all.
    """
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
    return hooks.ready(model, images.detach()).clone()


def single(values: Tensor) -> Tensor:
    """Return values in float32 if they are in half precision, whose smallest numbers are too large for products."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def differentiate(score: Tensor, tensor: Tensor, what: str) -> Tensor:
    """Return the gradient of the scores' sum; each image's score depends on its own part of the tensor only."""
    (gradient,) = _gradients(score, [tensor])
    if gradient is None:
        raise BadInputError(_independent(what))
    return gradient


def differentiate_all(score: Tensor, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return {layer: gradient of the scores' sum} from one pass backwards."""
    gradients = dict(zip(maps, _gradients(score, list(maps.values())), strict=True))
    for layer, gradient in gradients.items():
        if gradient is None:
            raise BadInputError(_independent(f"the layer {layer!r}"))
    return {layer: gradient for layer, gradient in gradients.items() if gradient is not None}


def _gradients(score: Tensor, tensors: list[Tensor]) -> tuple[Tensor | None, ...]:
    if not score.requires_grad:
        return (None,) * len(tensors)
    return torch.autograd.grad(score.sum(), tensors, allow_unused=True)


def _independent(what: str) -> str:
    return (
        f"The score does not depend on {what}, so there is nothing to explain. Where it does, but in a way without "
        "a gradient (a quantized network, an argmax, a forward under no_grad), occlusion still works."
    )


def _maps(found: Mapping[str, Tensor], layer: str) -> Tensor:
    if layer not in found:
        raise BadInputError(
            f"The forward pass does not run through the layer {layer!r}, or not before what is asked for was there; "
            "choose another one."
        )
    if found[layer].ndim != 4:
        raise BadInputError(
            f"The layer {layer!r} gives the shape {tuple(found[layer].shape)}; maps (N, C, h, w) are needed. Choose a "
            "convolution, its batch norm or its activation; tokens whose grid was not recognized need model.layouts."
        )
    return found[layer]


def like(heat: Tensor, images: Tensor) -> Tensor:
    """Return maps of a layer at the size and on the device of the images: (N, H, W) in float32."""
    size = (images.shape[-2], images.shape[-1])
    return image.resize(heat, size).to(images.device, torch.float32)
