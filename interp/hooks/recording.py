"""Record what layers give, stop early, replace it."""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.hooks.asking import Stop, asking_depth, known_layouts, until_stopped
from interp.hooks.holding import FIRST, Layout, by_shape
from interp.hooks.inputs import check_images
from interp.hooks.names import check_layers_can_be_heard, evaluating, find_layer, list_of_names, ready


class _Recording(dict[str, Tensor]):
    """What was recorded; a layer that did not run is explained."""

    passes = 0

    def __missing__(self, layer: str) -> Tensor:
        nothing = "nothing" if self.passes else "nothing, no forward pass was made"
        raise BadInputError(
            f"Nothing was recorded at the layer {layer!r}: it was not asked for, or the forward pass does not run "
            f"through it. Recorded: {', '.join(self) or nothing}."
        )


@contextlib.contextmanager
def record(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect {layer: activations} during a forward pass of the model inside the `with` block.

    The tensors are in the autograd graph. What flows on is a copy, so that an in-place operation behind the layer (a
    ReLU, a residual `+=`) does not change what was recorded. A layer that runs several times in one pass gives its
    first output, with a warning; another pass of the model in the same block starts anew. Passes that other threads
    make with the same model are not recorded. The model runs in the mode in which it is: see `evaluating`.

    Args:
        model: any network.
        layers: names as `layer_names` lists them.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: a layer returns something else than one tensor, or four axes of which it cannot be told which
            are the positions (see `layouts`), or one is looked up that did not run.

    Warns:
        UserWarning: a layer ran more than once.
    """
    recorder = _Recorder(model, tuple(list_of_names(layers)))
    with recorder.listening():
        yield recorder.found


def run(
    model: nn.Module, images: Tensor, layers: Sequence[str], then: Callable[[Tensor], Tensor] | None = None
) -> dict[str, Tensor]:
    """Return {layer: activations} in the autograd graph; the forward pass stops once all layers have run.

    The model runs in evaluation mode. A layer that runs several times gives its first output.

    Args:
        model: any network.
        images: what it takes; a floating tensor is brought to the model's device and type.
        layers: names as `layer_names` lists them.
        then: applied to each output at once; only its result, which must not share memory with the output, is kept.
            Nothing is copied then, which counts where many layers are pooled.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: as for `record`, or the model does not run through a layer.
    """
    recorder = _Recorder(model, tuple(list_of_names(layers)), stopping=True, then=then)
    with evaluating(model), recorder.listening(), until_stopped(recorder):
        model(ready(model, images))
    return {layer: recorder.found[layer] for layer in layers}


@torch.no_grad()
def activations(model: nn.Module, images: Tensor, layer: str) -> Tensor:
    """Return the output of one layer in evaluation mode, without a graph; the forward pass stops there.

    Args:
        model: any network.
        images: (N, C, H, W) in [0, 1], such as the model takes.
        layer: a name as `layer_names` lists them.

    Returns:
        The layer's output, (N, C, H, W) wherever it has positions, (N, C) for a linear layer behind the pooling.

    Raises:
        UnknownNameError: the layer does not exist.
        BadInputError: the images do not follow the convention, or as for `run`.
    """
    return run(model, check_images(model, images), [layer])[layer]


@dataclass
class _Listener:
    """Hooks on some layers, for the forward passes that one thread makes.

    Attributes:
        model, layers: whose outputs are heard.
        size: (height, width) of the images of the pass that is under way.
        layouts: {layer: its layout}, as far as they were asked; None where it cannot be told.
    """

    model: nn.Module
    layers: tuple[str, ...]
    size: tuple[int, int] | None = None
    layouts: dict[str, Layout | None] = field(default_factory=dict)
    thread: int = field(default_factory=threading.get_ident)
    depth: int = field(default_factory=asking_depth)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        check_layers_can_be_heard(self.model)
        with contextlib.ExitStack() as stack:
            stack.callback(self.model.register_forward_pre_hook(self._enter, with_kwargs=True).remove)
            for name in self.layers:
                hook = functools.partial(self._leave, name)
                layer = find_layer(self.model, name)
                stack.callback(layer.register_forward_hook(hook, with_kwargs=True).remove)
            yield

    # Between two of torch's steps a hook is there, but not yet known to take keywords; another thread may come by then.
    def _enter(
        self, _model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
    ) -> None:
        if self.mine():
            pictures = (value for value in (*args, *(kwargs or {}).values()) if _is_picture(value))
            images = next(pictures, None)
            self.size = None if images is None else (images.shape[2], images.shape[3])
            self.layouts = known_layouts(self.model, self.layers, images)
            self.begin()

    def _leave(self, name: str, _layer: nn.Module, args: tuple[Any, ...], *rest: Any) -> Tensor | None:
        if not self.mine():
            return None
        kwargs, output = rest
        return self.hear(name, (*args, *kwargs.values()), single_tensor(name, output))

    def mine(self) -> bool:
        """Return whether this is our thread, and no pass that only asks for layouts."""
        return (threading.get_ident(), asking_depth()) == (self.thread, self.depth)

    def layout(self, name: str, output: Tensor) -> Layout:
        """Return the layout of a layer's output; outputs without positions pass as they are.

        Raises:
            BadInputError: there are four axes, and it cannot be told which are the positions.
        """
        shape = tuple(output.shape)
        found = self.layouts.get(name)
        if found is None and len(shape) != 4:
            return FIRST
        if name not in self.layouts:
            found = by_shape(shape, self.size)
        if found is None:
            raise BadInputError(
                f"The layer {name!r} gives {shape}, and it cannot be told which axes are channels and which are "
                f"positions. Say it: model.layouts = {{{name!r}: hooks.Layout('channels first')}}, or 'channels last'."
            )
        return found

    def begin(self) -> None:
        """Start anew when the whole model starts."""

    def hear(self, name: str, inputs: Sequence[Any], output: Tensor) -> Tensor | None:
        """Take a layer's output, and return what flows on instead, or None."""
        raise NotImplementedError


def _is_picture(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()


@dataclass
class _Recorder(_Listener):
    """Collects the outputs of layers.

    Attributes:
        stopping: whether the forward pass ends once all layers are there.
        then: what to keep of an output instead of the output itself.
    """

    stopping: bool = False
    then: Callable[[Tensor], Tensor] | None = None
    found: _Recording = field(default_factory=_Recording)

    def begin(self) -> None:
        self.found.clear()
        self.found.passes += 1

    def hear(self, name: str, inputs: Sequence[Any], output: Tensor) -> Tensor | None:
        """Keep the first output of a layer, and let a copy flow on where the output itself is kept."""
        again = name in self.found
        if again:
            warn_of_repetition(name)
        layout = self.layout(name, output)
        if output.is_quantized:
            kept, flowing = layout.maps(output.dequantize()), None
        elif self.then is not None:
            kept, flowing = layout.maps(output), None
        else:
            # Such as nn.Identity or nn.Flatten: what went in may still be changed, in place.
            output = output.clone() if any(_share(output, value) for value in inputs) else output
            kept = layout.maps(output)
            flowing = layout.back(kept, output).clone()
        if not again:
            self.found[name] = kept if self.then is None else self.then(kept)
        if self.stopping and self.found.keys() >= set(self.layers):
            raise Stop(self)
        return flowing


def warn_of_repetition(layer: str) -> None:
    """Warn that a layer runs more than once in a pass."""
    warnings.warn(
        f"The layer {layer!r} runs more than once in one pass; its first output is taken. For the last one name the "
        "layer around it.",
        stacklevel=2,
    )


def _share(output: Tensor, value: object) -> bool:
    """Return whether a tensor is a view of the same memory as something that went in."""
    if not isinstance(value, Tensor) or output.device.type == "meta":
        return output is value
    return output.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()


def single_tensor(name: str, output: Any) -> Tensor:
    """Return what a layer gave if it is one tensor, and explain it otherwise."""
    if isinstance(output, Tensor):
        return output
    raise BadInputError(
        f"The layer {name!r} returns {type(output).__name__}, not one tensor. Choose a layer inside or behind it."
    )


@contextlib.contextmanager
def replacing(model: nn.Module, changes: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Replace the output of layers by a function of it, inside the `with` block: ablations, offsets, scalings.

    A layer that runs several times is replaced every time. Passes that other threads make stay as they are.

    Args:
        model: any network.
        changes: {layer: function of its output}; it gets and returns (N, C, H, W) where the layer has positions.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: as for `record`, or a layer gives quantized numbers.
    """
    with _Replacer(model, tuple(changes), changes=changes).listening():
        yield


@dataclass
class _Replacer(_Listener):
    changes: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    def hear(self, name: str, inputs: Sequence[Any], output: Tensor) -> Tensor:  # noqa: ARG002
        if output.is_quantized:
            raise BadInputError(
                f"The layer {name!r} gives quantized numbers, which cannot be changed and have no gradient. Take the "
                "network as it was before it was quantized."
            )
        layout = self.layout(name, output)
        changed = self.changes[name](layout.maps(output))
        return changed if layout == FIRST else layout.back(changed, output).contiguous()
