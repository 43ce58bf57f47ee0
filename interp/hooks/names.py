"""Find layers by name; the mode, the device and the type of a network."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from interp import image
from interp.errors import BadInputError, UnknownNameError


def layer_names(model: nn.Module) -> list[str]:
    """Return the dotted names of all layers, in the order in which they were defined.

    A network inside `image.Normalized` keeps its own names.
    """
    return [name for name, _ in image.unwrapped(model).named_modules() if name]


def find_layer(model: nn.Module, layer: str) -> nn.Module:
    """Return the layer of that name.

    Raises:
        UnknownNameError: there is none; the message lists the closest names.
    """
    for root in (image.unwrapped(model), model):
        with contextlib.suppress(AttributeError):
            if isinstance(layer, str) and layer:
                return root.get_submodule(layer)
    raise UnknownNameError("layer", layer, layer_names(model))


def full_name(model: nn.Module, layer: str) -> str:
    """Return the name that a layer has in the model as it is, which the normalization in front is a part of.

    Raises:
        UnknownNameError: there is no such layer.
    """
    found = find_layer(model, layer)
    names: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
    return names[found]


def list_of_names(layers: Sequence[str]) -> list[str]:
    """Return the names without repeats; a text would be taken for a list of letters, and is refused."""
    if isinstance(layers, str):
        raise BadInputError(f"The layers have to be a list of names: [{layers!r}], not {layers!r}.")
    return list(dict.fromkeys(layers))


def ready(model: nn.Module, images: Tensor) -> Tensor:
    """Return images on the device and in the type of a model; what is no floating tensor stays as it is."""
    if isinstance(images, Tensor) and images.is_floating_point():
        return images.to(image.device_of(model), image.dtype_of(model))
    return images


_LOCK = threading.Lock()
_OFF: WeakKeyDictionary[nn.Module, Counter[str]] = WeakKeyDictionary()


@contextlib.contextmanager
def switched_off(layers: Sequence[nn.Module], switch: str) -> Iterator[None]:
    """Set an attribute of layers to False; the last of all threads and blocks that did so sets it to True again."""
    with _LOCK:
        mine = [
            layer
            for layer in layers
            if getattr(layer, switch, False) or (layer in _OFF and _OFF[layer][switch])
        ]
        for layer in mine:
            _OFF.setdefault(layer, Counter())[switch] += 1
            setattr(layer, switch, False)
    try:
        yield
    finally:
        with _LOCK:
            for layer in mine:
                _OFF[layer][switch] -= 1
                if not _OFF[layer][switch]:
                    setattr(layer, switch, True)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Keep a model in evaluation mode inside the `with` block; afterwards each layer is in its own mode again.

    In training mode a mere forward pass changes a model (the running statistics of batch norm) and its answers depend
    on chance and on the rest of the batch (dropout, batch norm). Whatever explains a model therefore runs it in here.
    Several threads may do so with one model: its modes come back when the last of them is done.
    """
    image.check_module(model)
    with switched_off(list(model.modules()), "training"):
        yield


def check_layers_can_be_heard(model: nn.Module) -> None:
    """Refuse networks in which no hook of ours is heard: copies in other threads, and compiled programs.

    Raises:
        BadInputError: the model is one of these.
    """
    if isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
        raise BadInputError(
            "nn.DataParallel runs copies of the network. Give the network itself: model.module."
        )
    if isinstance(image.unwrapped(model), torch.jit.ScriptModule):
        raise BadInputError(
            "The network is a TorchScript program (torch.jit), whose layers cannot be looked into. Give the Python "
            "module that it was made of; maps of the pixels, such as saliency, work with both."
        )


def check_channel(layer: str, values: Tensor, channel: int) -> None:
    """Refuse a channel that activations do not have.

    Raises:
        BadInputError: they are not (N, C) or (N, C, H, W), or there are fewer channels.
    """
    if values.ndim not in (2, 4):
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(values.shape)}; channels need (N, C) or (N, C, H, W)."
        )
    if not 0 <= channel < values.shape[1]:
        raise BadInputError(
            f"The layer {layer!r} has the channels 0 to {values.shape[1] - 1}; there is no {channel}."
        )
