"""The only file that registers a hook: find layers by name, record their activations, stop early, bend gradients.

Whatever is registered here is removed again, also after an exception.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interp import image
from interp.errors import BadInputError, UnknownNameError

# --------------------------------------------------------------------------------------------------------------------
# Names


def layer_names(model: nn.Module) -> list[str]:
    """Return the dotted names of all layers, in the order in which they were defined.

    A network inside `image.Normalized` keeps its own names.
    """
    return [name for name, _ in _network(model).named_modules() if name]


def find_layer(model: nn.Module, layer: str) -> nn.Module:
    """Return the layer of that name.

    Raises:
        UnknownNameError: there is none; the message lists the closest names.
    """
    for root in (_network(model), model):
        found = dict(root.named_modules()).get(layer) if layer else None
        if found is not None:
            return found
    raise UnknownNameError("layer", layer, layer_names(model))


def _network(model: nn.Module) -> nn.Module:
    return model.model if isinstance(model, image.Normalized) else model


# --------------------------------------------------------------------------------------------------------------------
# Recording


class _Stop(BaseException):
    """Ends a forward pass as soon as everything asked for is there; never leaves this file."""


@contextlib.contextmanager
def record(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect {layer: activations} during a forward pass inside the `with` block.

    The tensors are in the autograd graph. What flows on is a copy, so that an in-place operation behind the layer (a
    ReLU, a residual `+=`) does not change what was recorded. A layer that runs several times in one pass gives its
    first output; another pass in the same block starts anew at each layer.

    Args:
        model: any network.
        layers: names as `layer_names` lists them.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: a layer returns something else than one tensor.
    """
    found: dict[str, Tensor] = {}
    with _recording(model, layers, found, stop=False):
        yield found


def run(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return {layer: activations} in the autograd graph; the forward pass stops once all layers have run."""
    found: dict[str, Tensor] = {}
    with _recording(model, layers, found, stop=True), contextlib.suppress(_Stop):
        model(images)
    missing = [layer for layer in layers if layer not in found]
    if missing:
        raise BadInputError(f"The forward pass does not run through the layer {missing[0]!r}; choose another one.")
    return found


@torch.no_grad()
def activations(model: nn.Module, images: Tensor, layer: str) -> Tensor:
    """Return the output of one layer, without a graph; the forward pass stops there.

    Returns:
        The layer's output, (N, C, H, W) for a convolution, (N, C) for a linear layer.
    """
    return run(model, images, [layer])[layer]


@contextlib.contextmanager
def _recording(model: nn.Module, layers: Sequence[str], found: dict[str, Tensor], *, stop: bool) -> Iterator[None]:
    wanted = set(layers)
    with contextlib.ExitStack() as stack:
        # The first call counts; a new forward pass of the whole model forgets the last one.
        stack.callback(model.register_forward_pre_hook(lambda *_: found.clear()).remove)
        for name in dict.fromkeys(layers):
            hook = _keeper(name, found, wanted if stop else None)
            stack.callback(find_layer(model, name).register_forward_hook(hook).remove)
        yield


def _keeper(name: str, found: dict[str, Tensor], wanted: set[str] | None) -> Callable[..., Tensor]:
    def keep(_layer: nn.Module, _inputs: Any, output: Any) -> Tensor:
        tensor = _single_tensor(name, output)
        found.setdefault(name, tensor)
        if wanted is not None and found.keys() >= wanted:
            raise _Stop
        return tensor.clone()

    return keep


def _single_tensor(name: str, output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    raise BadInputError(
        f"The layer {name!r} returns {type(output).__name__}, not one tensor. Choose a layer inside or behind it."
    )


# --------------------------------------------------------------------------------------------------------------------
# Changing what flows


@contextlib.contextmanager
def replacing(model: nn.Module, changes: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Replace the output of layers by a function of it, inside the `with` block: ablations, offsets, scalings."""

    def replace_by(change: Callable[[Tensor], Tensor], name: str) -> Callable[..., Tensor]:
        return lambda _layer, _inputs, output: change(_single_tensor(name, output))

    with contextlib.ExitStack() as stack:
        for name, change in changes.items():
            hook = replace_by(change, name)
            stack.callback(find_layer(model, name).register_forward_hook(hook).remove)
        yield


@contextlib.contextmanager
def gradient_rule(
    model: nn.Module, types: tuple[type[nn.Module], ...], rule: Callable[[Tensor, Tensor], Tensor]
) -> Iterator[None]:
    """Bend the gradient that leaves every layer of the given types backwards, inside the `with` block.

    Args:
        model: any network; functional activations (F.relu) cannot be seen and keep their own gradient.
        types: classes of layers, such as (nn.ReLU, nn.ReLU6).
        rule: gets (gradient at the input, gradient at the output) and returns the gradient to pass on.

    Raises:
        BadInputError: the model has no layer of these types.
    """
    chosen = [layer for layer in model.modules() if isinstance(layer, types)]
    if not chosen:
        names = ", ".join(kind.__name__ for kind in types)
        raise BadInputError(f"The model has no layer of the types {names}; functional activations cannot be changed.")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_out_of_place(chosen))
        for layer in chosen:
            stack.callback(layer.register_full_backward_hook(_bend(rule)).remove)
        yield


def _bend(rule: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    return lambda _layer, inner, outer: (rule(inner[0], outer[0]),)


@contextlib.contextmanager
def _out_of_place(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Let in-place layers write to new memory: a backward hook on an in-place layer is an error in torch."""
    in_place: list[Any] = [layer for layer in layers if getattr(layer, "inplace", False)]
    try:
        for layer in in_place:
            layer.inplace = False
        yield
    finally:
        for layer in in_place:
            layer.inplace = True
