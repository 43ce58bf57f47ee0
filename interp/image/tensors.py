"""Check, resize and convert tensors of images."""

from __future__ import annotations

import math
import operator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.errors import BadInputError

# Pillow's own limit, above which a file may be a decompression bomb; as a float tensor it takes 1 GB.
MAX_PIXELS = 89_478_485
Size = int | tuple[int, int]


def check(images: Tensor, channels: int | None = 3) -> Tensor:
    """Return the images unchanged if they follow the convention, and explain what does not otherwise.

    Args:
        images: (N, channels, H, W), floating point, finite, in [0, 1] up to a rounding error of 1e-3.
        channels: how many there have to be; None for any number.

    Raises:
        BadInputError: type, shape, dtype or range is another; the message says how to mend it.
    """
    check_type(images, channels)
    _check_shape(tuple(images.shape), channels)
    low, high = (value.item() for value in torch.aminmax(images.detach()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadInputError("The images hold NaN or infinite values; every value has to be in [0, 1].")
    if low < -1e-3 or high > 1 + 1e-3:
        raise BadInputError(
            f"Image values have to be in [0, 1]; these are in [{low:.3g}, {high:.3g}]. {_range_advice(low)}"
        )
    return images


def _range_advice(low: float) -> str:
    if low >= 0:
        return "Divide bytes by 255."
    return "They look normalized already: pass them as they were before, the model normalizes them itself."


def check_type(images: object, channels: int | None = 3) -> None:
    """Refuse what is no tensor, and tensors of whole numbers."""
    if not isinstance(images, Tensor):
        raise BadInputError(
            f"A tensor {_named_shape(channels)} in [0, 1] is needed, not {type(images).__name__}. "
            "image.load reads a file or a Pillow image, image.from_numpy an array."
        )
    if not images.is_floating_point():
        raise BadInputError(
            f"Images have to be floating point in [0, 1]; these are {images.dtype}. "
            "For bytes: images.float() / 255."
        )


def _check_shape(shape: tuple[int, ...], channels: int | None) -> None:
    # Images three pixels wide, of any other number of channels, are taken for such whose channels come last.
    last = len(shape) == 4 and shape[1] != 3 and shape[3] == 3
    right = len(shape) == 4 and shape[1] == (channels or shape[1]) and min(shape) > 0
    if right and not (channels is None and last):
        return
    advice = _shape_advice(shape, channels)
    raise BadInputError(
        f"Images have to have the shape {_named_shape(channels)}; these have {shape}. {advice}"
    )


def _named_shape(channels: int | None) -> str:
    return f"(N, {'C' if channels is None else channels}, H, W)"


def _shape_advice(shape: tuple[int, ...], channels: int | None) -> str:
    wanted = channels or 3
    if 0 in shape:
        return "The batch is empty."
    if len(shape) == 3 and shape[0] == wanted:
        return "For one image: images[None]."
    if len(shape) == 4 and shape[3] == wanted:
        return "The channels come last: images.permute(0, 3, 1, 2)."
    if len(shape) == 4 and shape[1] == 4 and wanted == 3:
        return f"For RGBA: images[:, :3], or image.load, which lays transparency on white. {_OTHERS}"
    if len(shape) == 4 and (shape[1], wanted) == (1, 3):
        return f"For gray: images.expand(-1, 3, -1, -1). {_OTHERS}"
    if len(shape) == 4 and (shape[1], wanted) == (3, 1):
        return f"For a gray image: image.to_gray(images), or image.load(file, channels=1). {_OTHERS}"
    return _OTHERS if len(shape) == 4 else "Check how the batch was made."


_OTHERS = (
    "If the network takes another number of channels, say so: model.inputs = image.Inputs(channels=...)."
)


def as_rgb(images: Tensor) -> Tensor:
    """Return pictures (N, 3, H, W) of images with three channels, which stay as they are, or with one, as gray.

    Raises:
        BadInputError: there are other channels, of which only `Inputs.pictures` knows how to show them.
    """
    if images.ndim == 4 and images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1)
    if images.ndim == 4 and images.shape[1] not in (0, 3) and images.shape[3] != 3:
        raise BadInputError(
            f"A picture has three channels, or one for gray; these images have the shape {tuple(images.shape)}. Say "
            "how to show them: image.Inputs(channels, show).pictures(images), or images[:, :3] of RGBA."
        )
    return images


def to_gray(images: Tensor) -> Tensor:
    """Return the brightness (N, 1, H, W) of images (N, 3, H, W), with Pillow's weights, those of ITU-R BT.601."""
    weights = torch.tensor([0.299, 0.587, 0.114]).to(images).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def resize(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, H, W) or images (N, C, H, W) bilinearly to (height, width).

    Making smaller averages over the pixels that fall together (antialiasing).
    """
    if values.ndim not in (3, 4):
        raise BadInputError(f"Maps (N, H, W) or images (N, C, H, W) are needed, not {tuple(values.shape)}.")
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    four = values if values.ndim == 4 else values[:, None]
    if values.dtype in (torch.float16, torch.bfloat16):  # which torch cannot resize everywhere
        four = four.float()
    smaller = size[0] < four.shape[-2] or size[1] < four.shape[-1]
    out = F.interpolate(four, size=tuple(size), mode="bilinear", align_corners=False, antialias=smaller)
    return (out if values.ndim == 4 else out[:, 0]).to(values.dtype)


def target_size(images: Tensor, size: Size) -> tuple[int, int]:
    """Return (height, width) for a size given as such or as the length of the shorter side."""
    given = _sides(size)
    if len(given) not in (1, 2) or min(given) < 1:
        raise BadInputError(
            f"A size is one whole number for the shorter side or (height, width), from 1 up; got {size!r}."
        )
    if len(given) == 2:
        height, width = given
    else:
        ratio = given[0] / min(images.shape[-2:])
        height, width = (max(1, round(side * ratio)) for side in images.shape[-2:])
    if height * width > MAX_PIXELS:
        raise BadInputError(
            f"The size {size} gives {height} x {width} pixels; at most {MAX_PIXELS:,} are made."
        )
    return height, width


def _sides(size: Size) -> tuple[int, ...]:
    """Return one or two whole numbers, of Python or numpy; nothing if it is something else."""
    try:
        return tuple(operator.index(side) for side in (size if isinstance(size, tuple | list) else (size,)))
    except TypeError:
        return ()


def center_crop(images: Tensor, size: int) -> Tensor:
    """Resize the shorter side to `size` and cut the middle square: (N, C, size, size)."""
    (size, *more) = _sides(size) or (0, 0)
    if more:
        raise BadInputError(f"The side of a square is one whole number; got {size!r}.")
    images = resize(images, target_size(images, size))
    top, left = ((side - size) // 2 for side in images.shape[-2:])
    return images[..., top : top + size, left : left + size]


def blur(images: Tensor, deviation: float) -> Tensor:
    """Return images (N, C, H, W) blurred by a Gaussian, its standard deviation given in pixels.

    Beyond the edge the image goes on with its outermost pixels.
    """
    radius = max(1, math.ceil(3 * deviation))
    distance = torch.arange(-radius, radius + 1).to(images)
    kernel = torch.exp(-0.5 * (distance / max(deviation, 1e-3)) ** 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, kernel[:, :, :, None], groups=images.shape[1])
    return F.conv2d(rows, kernel[:, :, None, :], groups=images.shape[1])


def from_numpy(array: np.ndarray, channels: int | None = 3) -> Tensor:
    """Turn an array (H, W, C) or (N, H, W, C) of bytes into a tensor (N, C, H, W) in [0, 1].

    Args:
        array: of bytes; for one channel also (H, W).
        channels: how many it has to have; None for any number.
    """
    if not isinstance(array, np.ndarray):
        raise BadInputError(f"An array is needed, not {type(array).__name__}.")
    array = array[..., None] if array.ndim == 2 and channels == 1 else array
    fitting = array.ndim in (3, 4) and array.shape[-1] == (channels or array.shape[-1])
    if array.dtype != np.uint8 or not fitting or array.size == 0:
        name = "C" if channels is None else channels
        kind = "RGB bytes" if channels == 3 else "such bytes"
        raise BadInputError(
            f"An array of bytes with shape (H, W, {name}) or (N, H, W, {name}) is needed; this one is {array.dtype} "
            f"with shape {array.shape}. Make it {kind} first, or pass a tensor {_named_shape(channels)} in [0, 1]."
        )
    batch = torch.from_numpy(np.array(array if array.ndim == 4 else array[None]))
    return batch.permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255)


def to_numpy(images: Tensor) -> np.ndarray:
    """Return bytes (N, H, W, 3) of images (N, 3, H, W), or of one (3, H, W), in [0, 1]; values outside are clipped.

    Images with one channel become gray; others are shown by `Inputs.pictures` first.

    Raises:
        BadInputError: type or shape is another, or a value is NaN.
    """
    images = images[None] if isinstance(images, Tensor) and images.ndim == 3 else images
    check_type(images)
    images = as_rgb(images)
    _check_shape(tuple(images.shape), 3)
    if images.isnan().any():
        raise BadInputError("The images hold NaN, which has no color.")
    scaled = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    array: np.ndarray = scaled.permute(0, 2, 3, 1).cpu().numpy()
    return array
