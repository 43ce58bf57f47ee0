"""Read image files and Pillow images as tensors; files are hostile input."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor

from interp.errors import BadInputError, DamagedFileError, MissingFileError, UnreadableError
from interp.image.tensors import MAX_PIXELS, Size, from_numpy, resize, target_size

# Others that Pillow knows are left out: some are drawn by outside programs (EPS), none is common for photographs.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
Source = str | os.PathLike[str] | IO[bytes] | PILImage.Image


def load(source: Source, size: Size | None = None, channels: int = 3) -> Tensor:
    """Read one image as a tensor (1, channels, H, W) in [0, 1].

    Orientation in EXIF is applied, palettes and gray are made RGB, 16 bits are scaled, and transparency is laid on
    white. An animation gives its first frame.

    Args:
        source: a path, an open binary file, or a Pillow image.
        size: (height, width) to resize to, or one number for the shorter side; None leaves the image as it is.
        channels: 3 for RGB, or 1 for gray, as Pillow makes it of colors.

    Raises:
        MissingFileError: there is no such file.
        UnreadableError: the system does not give the file: its disk is away, or a right is missing.
        DamagedFileError: the file is no image, or it is cut short.
        BadInputError: the image has more than 89 million pixels or NaN, or the source is of another kind, or other
            channels are asked for.
    """
    tensor = _read(source, channels)
    return tensor if size is None else resize(tensor, target_size(tensor, size)).clamp(0, 1)


def from_pil(picture: PILImage.Image, channels: int = 3) -> Tensor:
    """Turn a Pillow image of any mode into a tensor in [0, 1]: (1, 3, H, W), or (1, 1, H, W) in gray.

    Raises:
        BadInputError: another number of channels is asked for.
    """
    if channels not in (1, 3):
        raise BadInputError(
            f"A picture gives three channels, or one in gray; {channels} are wanted. Pass them as tensors "
            f"({channels}, H, W) in [0, 1], such as spectrum.Items holds."
        )
    deep = picture.mode.startswith(("I", "F"))
    top = _deep_top(picture) if deep else 255.0
    picture = _upright(picture)
    if deep:
        return _from_deep_gray(picture, top, channels)
    colors = _rgb_on_white(picture)  # of gray, Pillow makes the same gray again
    return from_numpy(np.asarray(colors if channels == 3 else colors.convert("L")), channels)


def _read(source: Source, channels: int) -> Tensor:
    name = _name(source)
    if isinstance(source, str | os.PathLike):
        source = io.BytesIO(_content(source, name))
    try:
        with _open(source) as picture:
            _check_pixels(picture)
            picture.load()
            return from_pil(picture, channels)
    except BadInputError as error:
        raise BadInputError(f"{name}: {error}") from error
    except (PILImage.DecompressionBombError, PILImage.DecompressionBombWarning) as error:
        raise BadInputError(f"{name} is too large to be decoded safely: {error}") from error
    except UnidentifiedImageError as error:
        raise DamagedFileError(f"{name} is not an image in the formats {', '.join(_readable())}.") from error
    except MemoryError:  # of this machine, not of the file
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
        if unread(error):
            raise UnreadableError(f"{name} cannot be read: {error}.") from error
        raise DamagedFileError(
            f"{name} cannot be read as an image, it may be cut short: {error}. Get the file again."
        ) from error


def _content(path: str | os.PathLike[str], name: str) -> bytes:
    """Read a whole file first: what fails here was not read, what fails later cannot be decoded."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {name}. Check the path.") from error
    except IsADirectoryError as error:
        raise BadInputError(f"{name} is a folder. Name one image in it, or see image.load_batch.") from error
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UnreadableError(
            f"{name} cannot be read: {reason}. Check the path, the rights and whether its disk is there."
        ) from error


def unread(error: BaseException) -> bool:
    """Tell whether an error says that content could not be had, so that nothing is known of it.

    What a decoder says of damaged content is none of these: Pillow raises an OSError without a number for it, or
    seeks to a place that there is not.
    """
    if isinstance(error, UnreadableError | MissingFileError | ConnectionError | TimeoutError):
        return True
    damaged = DamagedFileError | UnidentifiedImageError | gzip.BadGzipFile
    if not isinstance(error, OSError) or isinstance(error, damaged):
        return False
    # Libraries that fetch have errors of their own below OSError, without a number.
    return error.errno not in (None, errno.EINVAL) or type(error) is not OSError


def _name(source: object) -> str:
    if isinstance(source, PILImage.Image):
        return repr(getattr(source, "filename", None) or "the image")
    if isinstance(source, str | os.PathLike):
        return repr(os.fspath(source))
    if hasattr(source, "read"):
        return repr(str(getattr(source, "name", "the file")))
    raise BadInputError(
        f"A path, an open binary file or a Pillow image is needed, not {type(source).__name__}. "
        "image.from_numpy takes arrays; a tensor needs no loading."
    )


def _open(source: IO[bytes] | PILImage.Image) -> contextlib.AbstractContextManager[PILImage.Image]:
    if isinstance(source, PILImage.Image):
        return contextlib.nullcontext(source)  # it is not ours to close
    return PILImage.open(source, formats=_readable())


def _readable() -> list[str]:
    PILImage.init()
    return [name for name in FORMATS if name in PILImage.OPEN]


def _check_pixels(picture: PILImage.Image) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        raise BadInputError(
            f"{picture.width} x {picture.height} pixels are more than {MAX_PIXELS:,}. Make the image smaller first."
        )


def _upright(picture: PILImage.Image) -> PILImage.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged metadata: the pixels are good, and nothing says how to turn them  # noqa: BLE001
        return picture


def _rgb_on_white(picture: PILImage.Image) -> PILImage.Image:
    picture = picture.convert("LA") if picture.mode == "La" else picture
    if "transparency" not in picture.info and not {"A", "a"} & set(picture.getbands()):
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = PILImage.new("RGBA", layer.size, "white")
    return PILImage.alpha_composite(white, layer).convert("RGB")


def _from_deep_gray(picture: PILImage.Image, top: float, channels: int) -> Tensor:
    """Scale 16-bit or floating-point gray to [0, 1]; Pillow's own conversion would clip it to white."""
    values = np.asarray(picture).astype(np.float32) / np.float32(top)
    return torch.from_numpy(values).expand(1, channels, *values.shape).contiguous()


def _deep_top(picture: PILImage.Image) -> float:
    """Return what counts as white: 65535 for 16 bits; the wider modes do not say, so the values decide."""
    values = np.asarray(picture)
    if not np.isfinite(values).all():
        raise BadInputError("The image holds NaN or infinite values. Mend the file, or replace them.")
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < 0 or high > 65535:
        raise BadInputError(
            f"Gray values of the mode {picture.mode} have to be in [0, 65535]; these are in [{low:.4g}, {high:.4g}]. "
            "Scale them first."
        )
    if (
        picture.mode.startswith("I;16")
        or high > 255
        or (picture.mode == "I" and picture.format in ("PNG", "PPM"))
    ):
        return 65535.0
    return 1.0 if picture.mode == "F" and high <= 1 else 255.0
