"""The only file that registers a hook: find layers by name, record their activations, stop early, bend gradients.

Whatever is switched on here is switched off again, also after an exception.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    recorder = _Recorder()
    with recorder.listening(model, layers):
        yield recorder.found


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
    recorder = _Recorder(wanted=frozenset(layers), then=then)
    with evaluating(model), recorder.listening(model, layers), contextlib.suppress(_Stop):
        model(images)
    return {layer: recorder.found[layer] for layer in layers}


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


@dataclass(frozen=True)
class _Recorder:
    """Collects the outputs of layers in the forward passes of one thread.

    Attributes:
        wanted: the forward pass stops once all of these are there; None lets it go on.
        then: what to keep of an output instead of the output itself.
    """

    wanted: frozenset[str] | None = None
    then: Callable[[Tensor], Tensor] | None = None
    found: _Recording = field(default_factory=_Recording)
    thread: int = field(default_factory=threading.get_ident)

    @contextlib.contextmanager
    def listening(self, model: nn.Module, layers: Sequence[str]) -> Iterator[None]:
        if isinstance(layers, str):
            raise BadInputError(f"The layers have to be a list of names: [{layers!r}], not {layers!r}.")
        with contextlib.ExitStack() as stack:
            stack.callback(model.register_forward_pre_hook(self.forget).remove)
            for name in dict.fromkeys(layers):
                hook = functools.partial(self.hear, name)
                stack.callback(find_layer(model, name).register_forward_hook(hook).remove)
            yield

    def forget(self, _model: nn.Module, _inputs: Any) -> None:
        """Start anew when the whole model starts."""
        if threading.get_ident() == self.thread:
            self.found.clear()

    def hear(self, name: str, _layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        """Keep the first output of a layer, and let a copy flow on where the output itself is kept."""
        if threading.get_ident() != self.thread:
            return None
        output = single_tensor(name, output)
        if self.then is None and any(output is value for value in inputs):
            # Such as nn.Identity: what went in may still be changed.
            output = output.clone()
        if name not in self.found:
            self.found[name] = output if self.then is None else self.then(output)
        if self.wanted is not None and self.found.keys() >= self.wanted:
            raise _Stop
        return output.clone() if self.then is None else None


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
            bend = _Bend(rule)
            stack.callback(layer.register_forward_pre_hook(bend.enter).remove)
            stack.callback(layer.register_forward_hook(bend.leave).remove)
        yield


class _Bend:
    """Hooks on the tensors around a layer; unlike torch's hooks on modules they bear in-place operations behind it."""

    def __init__(self, rule: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.rule = rule
        self.outer: list[Tensor] = []  # the gradient at the output in the call that is under way

    def enter(self, _layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        outer: list[Tensor] = []
        self.outer = outer
        inner = inputs[0]
        if inner.requires_grad:
            inner = inner.view_as(inner)  # what reaches the input on other ways keeps its gradient
            inner.register_hook(lambda gradient: self.rule(gradient, outer[0]))
        return (inner, *inputs[1:])

    def leave(self, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        outer = self.outer
        if output.requires_grad:
            # In place: a second backward pass through the same graph comes with another gradient.
            output.register_hook(lambda gradient: outer.__setitem__(slice(None), [gradient]))


@contextlib.contextmanager
def _out_of_place(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Let in-place layers write to new memory: their input would not be there any more to hang a hook on."""
    in_place: list[Any] = [layer for layer in layers if getattr(layer, "inplace", False)]
    try:
        for layer in in_place:
            layer.inplace = False
        yield
    finally:
        for layer in in_place:
            layer.inplace = True
