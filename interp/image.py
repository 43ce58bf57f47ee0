"""The image convention: (N, 3, H, W), float, in [0, 1], RGB. Everything else is made into it here, or refused.

A model carries its own normalization as its first layer (`Normalize`), so that no function outside has to know it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor, nn

from interp.errors import BadInputError, DamagedFileError, MissingFileError

MAX_PIXELS = 200_000_000  # about 600 MB decoded; larger files are refused before they are decoded
MAX_BYTES_PER_IMAGE = 1 << 31
Size = int | tuple[int, int]


# --------------------------------------------------------------------------------------------------------------------
# Reading


def load(source: str | os.PathLike[str] | IO[bytes] | PILImage.Image, size: Size | None = None) -> Tensor:
    """Read one image as a tensor (1, 3, H, W) in [0, 1].

    Orientation in EXIF is applied, palettes and grey are made RGB, 16 bits are scaled, and transparency is laid on
    white. An animation gives its first frame.

    Args:
        source: a path, an open binary file, or a Pillow image.
        size: (height, width) to resize to, or one number for the shorter side; None leaves the image as it is.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: the file is no image, or it is cut short.
        BadInputError: the image has more than 200 million pixels.
    """
    tensor = from_pil(source if isinstance(source, PILImage.Image) else _open(source))
    return tensor if size is None else resize(tensor, target_size(tensor, size)).clamp(0, 1)


def from_pil(picture: PILImage.Image) -> Tensor:
    """Turn a Pillow image of any mode into a tensor (1, 3, H, W) in [0, 1]."""
    picture = _upright(picture)
    if picture.mode.startswith(("I", "F")):
        return _from_deep_gray(picture)
    return from_numpy(np.asarray(_rgb_on_white(picture)))


def from_numpy(array: np.ndarray) -> Tensor:
    """Turn an array (H, W, 3) or (N, H, W, 3) of bytes into a tensor (N, 3, H, W) in [0, 1]."""
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3:
        raise BadInputError(
            f"An array of bytes with shape (H, W, 3) or (N, H, W, 3) is needed; this one is {array.dtype} with shape "
            f"{array.shape}. Make it RGB bytes first, or pass a tensor (N, 3, H, W) in [0, 1]."
        )
    batch = torch.from_numpy(np.array(array if array.ndim == 4 else array[None]))
    return batch.permute(0, 3, 1, 2).to(torch.float32).div(255).contiguous()


def _open(source: str | os.PathLike[str] | IO[bytes]) -> PILImage.Image:
    name = getattr(source, "name", source)
    try:
        with warnings.catch_warnings():
            # Our own limit below is the one that counts; Pillow's is a warning first and an error much later.
            warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)
            picture = PILImage.open(source)
            _check_pixels(picture, name)
            picture.load()
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {str(name)!r}. Check the path.") from error
    except PILImage.DecompressionBombError as error:
        raise BadInputError(f"{str(name)!r} is too large to be decoded safely: {error}") from error
    except UnidentifiedImageError as error:
        raise DamagedFileError(f"{str(name)!r} is not an image in a format that Pillow can read.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, BadInputError):
            raise
        raise DamagedFileError(f"{str(name)!r} cannot be read as an image, it may be cut short: {error}") from error
    return picture


def _check_pixels(picture: PILImage.Image, name: object) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        raise BadInputError(
            f"{str(name)!r} has {picture.width} x {picture.height} pixels; at most {MAX_PIXELS:,} are read. "
            "Make it smaller first."
        )


def _upright(picture: PILImage.Image) -> PILImage.Image:
    return ImageOps.exif_transpose(picture)


def _rgb_on_white(picture: PILImage.Image) -> PILImage.Image:
    if picture.mode == "RGB":
        return picture
    if "transparency" not in picture.info and "A" not in picture.getbands() and "a" not in picture.getbands():
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = PILImage.new("RGBA", layer.size, "white")
    return PILImage.alpha_composite(white, layer).convert("RGB")


def _from_deep_gray(picture: PILImage.Image) -> Tensor:
    """Scale 16-bit or floating-point grey to [0, 1]; Pillow's own conversion would clip it to white."""
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all():
        raise BadInputError("The image holds NaN or infinite values. Mend the file, or replace them.")
    top = _deep_top(picture.mode, values.max(initial=0))
    gray = torch.from_numpy(np.clip(values / top, 0, 1)).to(torch.float32)
    return gray.expand(1, 3, *gray.shape).contiguous()


def _deep_top(mode: str, largest: float) -> float:
    """Return what counts as white: 65535 for 16 bits; the wider modes do not say, so the values decide."""
    if mode.startswith("I;16") or largest > 255:
        return 65535.0
    return 1.0 if mode == "F" and largest <= 1 else 255.0


# --------------------------------------------------------------------------------------------------------------------
# Checking and resizing


def check(images: Tensor) -> Tensor:
    """Return the images unchanged if they follow the convention, and explain what does not otherwise.

    Args:
        images: (N, 3, H, W), floating point, finite, in [0, 1] up to a rounding error of 1e-3.

    Raises:
        BadInputError: type, shape, dtype or range is another; the message says how to mend it.
    """
    _check_type(images)
    _check_shape(tuple(images.shape))
    low, high = (value.item() for value in torch.aminmax(images.detach()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadInputError("The images hold NaN or infinite values; every value has to be in [0, 1].")
    if low < -1e-3 or high > 1 + 1e-3:
        raise BadInputError(
            f"Image values have to be in [0, 1]; these are in [{low:.3g}, {high:.3g}]. {_range_advice(low, high)}"
        )
    return images


def _check_type(images: object) -> None:
    if not isinstance(images, Tensor):
        raise BadInputError(
            f"A tensor (N, 3, H, W) in [0, 1] is needed, not {type(images).__name__}. "
            "image.load reads a file or a Pillow image, image.from_numpy an array."
        )
    if not images.is_floating_point():
        raise BadInputError(
            f"Images have to be floating point in [0, 1]; these are {images.dtype}. For bytes: images.float() / 255."
        )


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) == 4 and shape[1] == 3 and min(shape) > 0:
        return
    advice = "Check how the batch was made."
    if len(shape) == 3 and shape[0] == 3:
        advice = "For one image: images[None]."
    elif len(shape) == 4 and shape[3] == 3:
        advice = "The channels come last: images.permute(0, 3, 1, 2)."
    elif len(shape) == 4 and shape[1] == 1:
        advice = "For grey: images.expand(-1, 3, -1, -1)."
    elif len(shape) == 4 and shape[1] == 4:
        advice = "For RGBA: images[:, :3], or image.load, which lays transparency on white."
    elif 0 in shape:
        advice = "The batch is empty."
    raise BadInputError(f"Images have to have the shape (N, 3, H, W); these have {shape}. {advice}")


def _range_advice(low: float, high: float) -> str:
    if low >= 0:
        return "Divide bytes by 255."
    return "They look normalized already: pass them as they were before, the model carries its own normalization."


def resize(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, H, W) or images (N, C, H, W) bilinearly to (height, width).

    Making smaller averages over the pixels that fall together (antialiasing).
    """
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    four = values if values.ndim == 4 else values[:, None]
    smaller = size[0] < four.shape[-2] or size[1] < four.shape[-1]
    out = F.interpolate(four, size=size, mode="bilinear", align_corners=False, antialias=smaller)
    return out if values.ndim == 4 else out[:, 0]


def target_size(images: Tensor, size: Size) -> tuple[int, int]:
    """Return (height, width) for a size given as such or as the length of the shorter side."""
    if not isinstance(size, int):
        height, width = size
    else:
        ratio = size / min(images.shape[-2:])
        height, width = (max(1, round(side * ratio)) for side in images.shape[-2:])
    if height < 1 or width < 1 or 3 * 4 * height * width > MAX_BYTES_PER_IMAGE:
        raise BadInputError(f"The size {size} gives {height} x {width} pixels, which is not a usable image size.")
    return height, width


def center_crop(images: Tensor, size: int) -> Tensor:
    """Resize the shorter side to `size` and cut the middle square: (N, 3, size, size)."""
    images = resize(images, target_size(images, size))
    top, left = ((side - size) // 2 for side in images.shape[-2:])
    return images[..., top : top + size, left : left + size]


# --------------------------------------------------------------------------------------------------------------------
# Writing


def to_numpy(images: Tensor) -> np.ndarray:
    """Return bytes (N, H, W, 3) of images (N, 3, H, W) in [0, 1]; values outside are clipped."""
    if images.ndim == 3:
        images = images[None]
    scaled = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    array: np.ndarray = scaled.permute(0, 2, 3, 1).cpu().numpy()
    return array


def to_pil(images: Tensor) -> PILImage.Image:
    """Return the first image of a batch (N, 3, H, W) as a Pillow image."""
    return PILImage.fromarray(to_numpy(images)[0])


def save(images: Tensor, path: str | os.PathLike[str]) -> Path:
    """Write the first image of a batch to a file whose suffix names the format (.png, .webp, .jpg).

    The file appears whole or not at all: it is written under a temporary name and renamed.
    """
    path = Path(path)
    with replacing(path) as temporary:
        to_pil(images).save(temporary, format=_format(path))
    return path


def _format(path: Path) -> str:
    formats = PILImage.registered_extensions()
    if path.suffix.lower() not in formats:
        raise BadInputError(f"No image format goes with the suffix {path.suffix!r}. Use .png, .webp or .jpg.")
    return formats[path.suffix.lower()]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it becomes `path`, after an exception it is removed."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o644)  # mkstemp makes files that only their owner can read
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# --------------------------------------------------------------------------------------------------------------------
# Normalization


class Normalize(nn.Module):
    """The layer (x - mean) / std, a channel at a time; the first layer of every model here.

    Args:
        mean, std: three numbers each, for images in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise BadInputError(f"mean and std need three numbers each, std positive; got {mean} and {std}.")
        # Not persistent: the numbers belong to the code, and state dicts keep the entries that others expect.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def inverse(self, values: Tensor) -> Tensor:
        """Return images in [0, 1] from normalized values."""
        return values * self.std + self.mean


class Normalized(nn.Module):
    """A network with its normalization in front: takes images in [0, 1].

    The layers of the network keep their own names: `hooks.find_layer` looks inside. It starts in the mode, on the
    device and with the precision of the network.

    Args:
        model: a network that takes (images - mean) / std.
        mean, std: three numbers each, for images in [0, 1].
        class_names: the names of the outputs, in order; none means those of the network, if it has any.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.model = model
        self.training = model.training
        self.class_names = tuple(class_names or getattr(model, "class_names", None) or ())
        weight = next((p for p in model.parameters() if p.is_floating_point()), None)
        if weight is not None:
            self.normalize.to(device=weight.device, dtype=weight.dtype)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.model(self.normalize(images))
        return out
