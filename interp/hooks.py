"""The only file that registers a hook: find layers by name, record their activations, stop early, bend gradients.

Whatever is switched on here is switched off again, also after an exception.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interp import image
from interp.errors import BadInputError, UnknownNameError

# ------------------------------------------------------------------------------------------------------------
# Names and modes


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
        with contextlib.suppress(AttributeError):
            if isinstance(layer, str) and layer:
                return root.get_submodule(layer)
    raise UnknownNameError("layer", layer, layer_names(model))


def _network(model: nn.Module) -> nn.Module:
    return model.model if isinstance(model, image.Normalized) else model


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Keep a model in evaluation mode inside the `with` block; afterwards each layer is in its own mode again.

    In training mode a mere forward pass changes a model (the running statistics of batch norm) and its answers depend
    on chance and on the rest of the batch (dropout, batch norm). Whatever explains a model therefore runs it in here.
    """
    training = [layer for layer in model.modules() if layer.training]
    try:
        for layer in training:
            layer.training = False
        yield
    finally:
        for layer in training:
            layer.training = True


# ------------------------------------------------------------------------------------------------------------
# Recording


class _Stop(BaseException):
    """Ends a forward pass as soon as everything asked for is there; never leaves this file."""


class _Recording(dict[str, Tensor]):
    """What was recorded; a layer that did not run is explained."""

    def __missing__(self, layer: str) -> Tensor:
        raise BadInputError(
            f"Nothing was recorded at the layer {layer!r}: it was not asked for, or the forward pass does not run "
            f"through it. Recorded: {', '.join(self) or 'nothing, no forward pass was made'}."
        )


@contextlib.contextmanager
def record(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect {layer: activations} during a forward pass of the model inside the `with` block.

    The tensors are in the autograd graph. What flows on is a copy, so that an in-place operation behind the layer (a
    ReLU, a residual `+=`) does not change what was recorded. A layer that runs several times in one pass gives its
    first output; another pass of the model in the same block starts anew. Passes that other threads make with the
    same model are not recorded. The model runs in the mode in which it is: see `evaluating`.

    Args:
        model: any network.
        layers: names as `layer_names` lists them.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: a layer returns something else than one tensor, or one is looked up that did not run.
    """
    found = _Recording()
    with _recording(model, layers, found, stop=False):
        yield found


def run(
    model: nn.Module, images: Tensor, layers: Sequence[str], then: Callable[[Tensor], Tensor] | None = None
) -> dict[str, Tensor]:
    """Return {layer: activations} in the autograd graph; the forward pass stops once all layers have run.

    The model runs in evaluation mode. A layer that runs several times gives its first output.

    Args:
        model: any network.
        images: what it takes.
        layers: names as `layer_names` lists them.
        then: applied to each output at once; only its result, which must not share memory with the output, is kept.
            Nothing is copied then, which counts where many layers are pooled.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: a layer returns something else than one tensor, or the model does not run through it.
    """
    found = _Recording()
    with (
        evaluating(model),
        _recording(model, layers, found, stop=True, then=then),
        contextlib.suppress(_Stop),
    ):
        model(images)
    for layer in layers:
        found[layer]  # explains a layer that did not run
    return dict(found)


@torch.no_grad()
def activations(model: nn.Module, images: Tensor, layer: str) -> Tensor:
    """Return the output of one layer in evaluation mode, without a graph; the forward pass stops there.

    Args:
        model: any network.
        images: (N, 3, H, W) in [0, 1].
        layer: a name as `layer_names` lists them.

    Returns:
        The layer's output, (N, C, H, W) for a convolution, (N, C) for a linear layer.

    Raises:
        UnknownNameError: the layer does not exist.
        BadInputError: the images do not follow the convention, the layer returns something else than one tensor, or
            the model does not run through it.
    """
    return run(model, image.check(images), [layer])[layer]


@contextlib.contextmanager
def _recording(
    model: nn.Module,
    layers: Sequence[str],
    found: dict[str, Tensor],
    *,
    stop: bool,
    then: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[None]:
    if isinstance(layers, str):
        raise BadInputError(f"The layers have to be a list of names: [{layers!r}], not {layers!r}.")
    thread = threading.get_ident()
    wanted = set(layers) if stop else None
    with contextlib.ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(_forgetter(found, thread)).remove)
        for name in dict.fromkeys(layers):
            hook = (
                _keeper(name, found, wanted, thread)
                if then is None
                else _taker(name, found, wanted, thread, then)
            )
            stack.callback(find_layer(model, name).register_forward_hook(hook).remove)
        yield


def _forgetter(found: dict[str, Tensor], thread: int) -> Callable[..., None]:
    def forget(_model: nn.Module, _inputs: Any) -> None:
        if threading.get_ident() == thread:
            found.clear()

    return forget


def _keeper(
    name: str, found: dict[str, Tensor], wanted: set[str] | None, thread: int
) -> Callable[..., Tensor | None]:
    def keep(_layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if threading.get_ident() != thread:
            return None
        tensor = single_tensor(name, output)
        if any(tensor is value for value in inputs):  # such as nn.Identity: what went in may still be changed
            tensor = tensor.clone()
        found.setdefault(name, tensor)
        if wanted is not None and found.keys() >= wanted:
            raise _Stop
        return tensor.clone()

    return keep


def _taker(
    name: str,
    found: dict[str, Tensor],
    wanted: set[str] | None,
    thread: int,
    then: Callable[[Tensor], Tensor],
) -> Callable[..., None]:
    def take(_layer: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        if threading.get_ident() != thread:
            return
        if name not in found:
            found[name] = then(single_tensor(name, output))
        if wanted is not None and found.keys() >= wanted:
            raise _Stop

    return take


def single_tensor(name: str, output: Any) -> Tensor:
    """Return what a layer gave if it is one tensor, and explain it otherwise."""
    if isinstance(output, Tensor):
        return output
    raise BadInputError(
        f"The layer {name!r} returns {type(output).__name__}, not one tensor. Choose a layer inside or behind it."
    )


# ------------------------------------------------------------------------------------------------------------
# Changing what flows


@contextlib.contextmanager
def replacing(model: nn.Module, changes: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Replace the output of layers by a function of it, inside the `with` block: ablations, offsets, scalings.

    Args:
        model: any network.
        changes: {layer: function of its output}.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: a layer returns something else than one tensor.
    """

    def replace_by(change: Callable[[Tensor], Tensor], name: str) -> Callable[..., Tensor]:
        return lambda _layer, _inputs, output: change(single_tensor(name, output))

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

    Forward and backward pass both belong into the block.

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
        raise BadInputError(
            f"The model has no layer of the types {names}; functional activations cannot be changed."
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(_out_of_place(chosen))
        for layer in chosen:
            stack.callback(layer.register_full_backward_hook(_bend(rule)).remove)
        yield


def _bend(rule: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., tuple[Tensor, ...] | None]:
    # There is no gradient at the input where only the layer's own parameters need one (PReLU).
    return lambda _layer, inner, outer: None if inner[0] is None else (rule(inner[0], outer[0]),)


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
