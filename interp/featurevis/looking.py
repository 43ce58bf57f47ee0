"""One look of a network at images under transforms: {layer: activations}, as objectives want it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interp import hooks
from interp.errors import BadInputError
from interp.featurevis.colors import to_rgb
from interp.featurevis.objectives import ALPHA, IMAGE, OUTPUT
from interp.featurevis.streams import Streams, normal
from interp.featurevis.transforms import Transform, compose
from interp.featurevis.waves import wave_scale


def look(
    model: nn.Module, pixels: Tensor, layers: Sequence[str], transforms: Sequence[Transform], random: Streams
) -> dict[str, Tensor]:
    """Return what the layers answer to images, in the autograd graph; the forward pass stops at the last of them.

    Args:
        model: takes images (N, 3, H, W) in [0, 1].
        pixels: (N, 3, H, W), or (N, 4, H, W) with alpha: then a new random background shows through at every call.
        layers: names of layers, and IMAGE, OUTPUT or ALPHA.
        transforms: applied to the images before the model; IMAGE and ALPHA are as they are without them.
        random: one generator for each image.

    Raises:
        BadInputError: the model cannot take images of this size, or returns no tensor.
        UnknownNameError: there is no such layer.
    """
    images = pixels if pixels.shape[1] == 3 else _on_background(pixels, random)
    seen = {IMAGE: pixels[:, :3], ALPHA: pixels[:, 3:]}
    wanted = [layer for layer in layers if layer not in (IMAGE, ALPHA, OUTPUT)]
    shown = compose(transforms)(images, random)
    try:
        if OUTPUT in layers:
            seen |= _whole(model, shown, wanted)
        elif wanted:
            seen |= hooks.run(model, shown, wanted)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        size = " x ".join(str(side) for side in shown.shape[-2:])
        raise BadInputError(
            f"The model cannot take images of {size} pixels: {error} Choose a larger size."
        ) from error
    return seen


def _whole(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    with hooks.record(model, layers) as found:
        output = model(images)
    if not isinstance(output, Tensor):
        raise BadInputError(
            f"The model returns {type(output).__name__}, not one tensor of logits. Wrap it so that it returns one."
        )
    return {**found, OUTPUT: output}


def _on_background(pixels: Tensor, random: Streams) -> Tensor:
    """Lay RGBA images on random backgrounds with the spectrum of photographs: what is transparent cannot count."""
    height, width = pixels.shape[-2:]
    scale = wave_scale((height, width), 1.0)
    waves = torch.view_as_complex(normal(random, (3, *scale.shape, 2))) * scale
    background = to_rgb(torch.fft.irfft2(waves, s=(height, width), norm="forward")).to(pixels)
    alpha = pixels[:, 3:]
    return alpha * pixels[:, :3] + (1 - alpha) * background
