"""One look of a network at images under transforms: {layer: activations}, as objectives want it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from interp import hooks, image
from interp.errors import BadInputError, InterpError, UnknownNameError
from interp.featurevis.colors import to_rgb
from interp.featurevis.objectives import ALPHA, BESIDE, IMAGE, NAMED_OUTPUT, OUTPUT
from interp.featurevis.streams import Streams, normal
from interp.featurevis.transforms import Transform, compose
from interp.featurevis.waves import wave_scale


def look(
    model: nn.Module,
    pixels: Tensor,
    layers: Sequence[str],
    transforms: Sequence[Transform],
    random: Streams,
    beside: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return what the layers answer to images, in the autograd graph; the forward pass stops at the last of them.

    Args:
        model: takes images (N, C, H, W) in [0, 1].
        pixels: (N, C, H, W), or (N, C + 1, H, W) with alpha: then a new random background shows through at every call.
        layers: names of layers, and IMAGE, OUTPUT, ALPHA, or the output of one class by name; behind BESIDE, what the
            images beside these give there, without a graph.
        transforms: applied to the images before the model; IMAGE and ALPHA are as they are without them.
        random: one generator for each image.
        beside: (N or 1, C, H, W) in [0, 1], brought to the size of the images: image i goes through the same random
            transforms as image i of these.

    Raises:
        BadInputError: the images have another number of channels than the model takes, or the model or a transform
            cannot take images of this size, or the model returns no tensor, or does not know the names of its classes,
            or the images beside these are missing, or too few.
        UnknownNameError: there is no such layer or class.
    """
    channels = hooks.inputs_of(model).channels
    _check_channels(pixels, channels)
    images = pixels if pixels.shape[1] == channels else _on_background(pixels, random)
    seen = _beside(model, pixels, layers, transforms, random, beside)
    seen |= {IMAGE: pixels[:, :channels], ALPHA: pixels[:, channels:]}
    own = [layer for layer in layers if not layer.startswith(BESIDE)]
    wanted = [layer for layer in own if layer not in seen and not _is_output(layer)]
    with _explaining("The transforms", pixels):
        shown = compose(transforms)(images, random)
    with _explaining("The network", shown):
        if any(map(_is_output, own)):
            seen |= _whole(model, shown, wanted)
        elif wanted:
            seen |= hooks.run(model, shown, wanted)
    return seen | {
        layer: _named(model, layer, seen[OUTPUT]) for layer in own if layer.startswith(NAMED_OUTPUT)
    }


@torch.no_grad()
def _beside(
    model: nn.Module,
    pixels: Tensor,
    layers: Sequence[str],
    transforms: Sequence[Transform],
    random: Streams,
    beside: Tensor | None,
) -> dict[str, Tensor]:
    """Return {BESIDE and name: what the images beside give}; the generators are left for the images themselves."""
    names = [layer.removeprefix(BESIDE) for layer in layers if layer.startswith(BESIDE)]
    if not names:
        return {}
    partners = _partners(model, pixels, beside)
    copies = [one.clone_state() for one in random]
    found = look(model, partners, names, transforms, copies)
    return {f"{BESIDE}{name}": found[name] for name in names}


def _partners(model: nn.Module, pixels: Tensor, beside: Tensor | None) -> Tensor:
    """Return one image beside each, (N, C, H, W), at the size of the others."""
    channels = hooks.inputs_of(model).channels
    if beside is None or len(beside) not in (1, len(pixels)):
        count = "none" if beside is None else len(beside)
        raise BadInputError(
            f"The objective compares with images beside the optimized ones: one for all, or one for each of "
            f"{len(pixels)}; there are {count}. Give them as Objective(..., beside=images)."
        )
    if beside.shape[1] != channels:
        raise BadInputError(
            f"The images beside the optimized ones have {beside.shape[1]} channels; the network takes {channels}."
        )
    fitted = image.resize(beside, (pixels.shape[-2], pixels.shape[-1])).to(pixels)
    # A copy, for what was made in inference mode cannot be part of a graph.
    return fitted.expand(len(pixels), -1, -1, -1).clone()


def _check_channels(pixels: Tensor, channels: int) -> None:
    if pixels.shape[1] not in (channels, channels + 1):
        raise BadInputError(
            f"The network takes images of {channels} channels, or one more for alpha; these have {pixels.shape[1]}. "
            f"Start from FourierImage(size, channels={channels}), or say what the network takes: "
            f"model.inputs = image.Inputs(channels={pixels.shape[1]})."
        )


@contextlib.contextmanager
def _explaining(who: str, images: Tensor) -> Iterator[None]:
    """Say of what kind the images were that something failed on, whatever it raised."""
    try:
        yield
    except (InterpError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        size = " x ".join(str(side) for side in images.shape[-2:])
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInputError(
            f"{who} cannot take {_kind(images)} of {size} pixels ({reason}). If it is the size: give another `size`, "
            "or the stages yourself, such as steps=[Stage(224, 96)] for one size only."
        ) from error


def _kind(images: Tensor) -> str:
    return "RGB images" if images.shape[1] == 3 else f"images of {images.shape[1]} channels"


def _is_output(layer: str) -> bool:
    return layer == OUTPUT or layer.startswith(NAMED_OUTPUT)


def _whole(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    with hooks.record(model, layers) as found:
        output = model(images)
    if not isinstance(output, Tensor):
        raise BadInputError(
            f"The model returns {type(output).__name__}, not one tensor of logits. Wrap it so that it returns one."
        )
    return {**found, OUTPUT: output}


def _named(model: nn.Module, layer: str, output: Tensor) -> Tensor:
    """Return the output (N, 1) of a class by its name."""
    name, names = layer.removeprefix(NAMED_OUTPUT), list(getattr(model, "class_names", None) or ())
    if not names:
        raise BadInputError(
            f"The model does not know the names of its classes, so {name!r} cannot be found. Give an index, or set "
            "model.class_names."
        )
    if names.count(name) > 1:
        raise BadInputError(
            f"Several classes have the name {name!r}. Give the index of the one that you mean."
        )
    if name not in names:
        raise UnknownNameError("class", name, names)
    if output.ndim != 2 or output.shape[1] != len(names):
        raise BadInputError(
            f"The model has {len(names)} class names and returns {tuple(output.shape)}; (N, {len(names)}) is needed."
        )
    return output[:, names.index(name)][:, None]


def _on_background(pixels: Tensor, random: Streams) -> Tensor:
    """Lay images with alpha on random grounds with the spectrum of photographs: what is transparent cannot count."""
    height, width = pixels.shape[-2:]
    colors, alpha = pixels[:, :-1], pixels[:, -1:]
    channels, scale = colors.shape[1], wave_scale((height, width), 1.0)
    waves = torch.view_as_complex(normal(random, (channels, *scale.shape, 2))) * scale
    latent = torch.fft.irfft2(waves, s=(height, width), norm="forward")
    background = to_rgb(latent, channels=channels).to(pixels)
    return alpha * colors + (1 - alpha) * background
