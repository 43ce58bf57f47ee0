"""The one place that says what images a network takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interp import image
from interp.errors import BadInputError
from interp.hooks.asking import Stop, asking, until_stopped
from interp.hooks.names import ready
from interp.image import Inputs

SIDES = (64, 224, 32, 28)  # of the images that are tried; some networks are for one size only
Found = tuple[int, int]  # how many channels a first layer got, and how many it takes
_KNOWN: WeakKeyDictionary[nn.Module, tuple[ref[nn.Module] | None, Inputs]] = WeakKeyDictionary()


def inputs_of(model: nn.Module) -> Inputs:
    """Return what images a network takes.

    What it says itself, `model.inputs`, counts first; `zoo.normalized` sets it by the number of means. Any other
    network is shown an RGB image: if its first convolution (or its first linear layer, which embeds patches) takes what
    comes to it of that, it takes RGB; if not, the number of channels is looked for with which it does. Where that shows
    nothing, the convolution that was defined first decides, and without one it is RGB.
    """
    for one in (model, image.unwrapped(model)):
        own = getattr(one, "inputs", None)
        if isinstance(own, Inputs):
            return own
    first = _first_conv(model)
    known = _KNOWN.get(model)
    if known is None or (known[0] and known[0]()) is not first:  # another layer was put in
        known = _KNOWN[model] = (None if first is None else ref(first), Inputs(_channels(model, first)))
    return known[1]


def check_images(model: nn.Module, images: Tensor) -> Tensor:
    """Return images unchanged if they are such as the network takes.

    Raises:
        BadInputError: they are not; the message says how to mend it.
    """
    inputs = inputs_of(model)
    try:
        return inputs.check(images)
    except BadInputError as error:
        if inputs.channels == image.RGB.channels:
            raise
        raise BadInputError(f"This network takes images of {inputs.channels} channels. {error}") from None


def gray(model: nn.Module, size: tuple[int, int]) -> Tensor:
    """Return one gray image (1, C, H, W) such as the network takes, on its device and in its type."""
    return ready(model, torch.full((1, inputs_of(model).channels, *size), 0.5))


def check_channels(model: nn.Module, channels: int) -> None:
    """Refuse a number of channels with which a network fails at its first layer.

    Raises:
        BadInputError: it does.
    """
    found = _look(model, channels)
    if found is not None and found[0] != found[1]:
        raise BadInputError(
            f"The mean and the std are for images of {channels} channels, of which the first layer of this network "
            f"gets {found[0]} and takes {found[1]}. Give a number for each channel that the network takes."
        )


def _first_conv(model: nn.Module) -> nn.Conv2d | None:
    return next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)


def _channels(model: nn.Module, first: nn.Conv2d | None) -> int:
    """Return the number of channels with which the first layer that runs gets what it takes."""
    rgb = image.RGB.channels
    found = _look(model, rgb)
    for channels in _guesses(rgb, found) if found else ():
        answer = found if channels == rgb else _look(model, channels)
        if answer and answer[0] == answer[1]:
            return channels
    return rgb if first is None else first.in_channels


def _guesses(shown: int, found: Found) -> Iterator[int]:
    """Yield how many channels it may take that got and takes so many: each may become several, or some be added."""
    got, takes = found
    yield shown
    if got and takes * shown % got == 0:
        yield takes * shown // got
    if takes > got - shown:
        yield takes - (got - shown)


def _look(model: nn.Module, channels: int) -> Found | None:
    """Return what the first layer gets of images of so many channels, and what it takes; None if nothing is seen.

    A network without such a layer that runs through takes the images.
    """
    for side in SIDES:
        images, first, through = ready(model, torch.full((1, channels, side, side), 0.5)), _First(), False
        with asking(model, images), until_stopped(first), first:
            model(images)
            through = True
        if first.found or through:
            return first.found or (channels, channels)
    return None


class _First(TorchFunctionMode):
    """Ends a pass at the first convolution, or linear layer of tokens, and keeps what that got and takes."""

    found: Found | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (F.conv2d, F.linear):
            named = dict(zip(("input", "weight"), args, strict=False)) | (kwargs or {})
            images, weight = named["input"], named["weight"]
            if func is F.conv2d:
                groups = (kwargs or {}).get("groups", args[6] if len(args) > 6 else 1)
                self.found = images.shape[1], weight.shape[1] * groups
            elif images.ndim > 2:  # of a picture as one row, nobody can tell the channels from the pixels
                self.found = images.shape[-1], weight.shape[1]
            raise Stop(self)
        return func(*args, **(kwargs or {}))
