"""Write images to files that appear whole or not at all."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from torch import Tensor

from interp import runs
from interp.errors import BadInputError
from interp.image.tensors import to_numpy

FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
QUALITY = 92  # of the formats that lose something
ABREAST, BETWEEN = 8, 4  # images in a row, and pixels between them


def to_pil(images: Tensor) -> PILImage.Image:
    """Return the first image of a batch (N, 3, H, W) as a Pillow image; one channel is gray, a fourth is alpha."""
    return PILImage.fromarray(_bytes(images)[0])


def _bytes(images: Tensor) -> np.ndarray:
    """Return bytes (N, H, W, 3), or (N, H, W, 4) of images whose fourth channel is alpha."""
    if not (isinstance(images, Tensor) and images.ndim == 4 and images.shape[1] == 4):
        return to_numpy(images)
    return np.concatenate([to_numpy(images[:, :3]), to_numpy(images[:, 3:])[..., :1]], axis=-1)


def save(images: Tensor, path: str | os.PathLike[str]) -> Path:
    """Write the first image of a batch to a file whose suffix names the format (.png, .webp, .jpg).

    The file appears whole or not at all. A fourth channel is alpha, which .png and .webp can keep.

    Raises:
        BadInputError: the suffix names no format, or one without alpha for images that have it, or the images are not
            (N, 3, H, W), (N, 1, H, W) or (N, 4, H, W).
        MissingFileError: there is no such folder.
    """
    path, picture = Path(path), to_pil(images)
    if path.suffix.lower() not in FORMATS:
        raise BadInputError(f"No image format goes with the suffix {path.suffix!r}. Use .png, .webp or .jpg.")
    if picture.mode == "RGBA" and FORMATS[path.suffix.lower()] == "JPEG":
        raise BadInputError(f"A file {path.suffix!r} keeps no alpha. Use .png or .webp, or images[:, :3].")
    with runs.replacing(path) as temporary:
        picture.save(temporary, format=FORMATS[path.suffix.lower()], quality=QUALITY)
    return path


def png(images: Tensor) -> bytes:
    """Return all images of a batch (N, 3, H, W) as one PNG file, eight in a row on a transparent ground.

    Raises:
        BadInputError: the images are not (N, 3, H, W), or with alpha (N, 4, H, W), or hold NaN.
    """
    pixels = _bytes(images)
    count, height, width, channels = pixels.shape
    columns, rows = min(count, ABREAST), -(-count // ABREAST)
    sheet = np.zeros((rows * (height + BETWEEN), columns * (width + BETWEEN), 4), dtype=np.uint8)
    for place, picture in enumerate(pixels):
        top, left = (place // columns) * (height + BETWEEN), (place % columns) * (width + BETWEEN)
        sheet[top : top + height, left : left + width] = picture if channels == 4 else _opaque(picture)
    buffer = io.BytesIO()
    PILImage.fromarray(sheet[:-BETWEEN, :-BETWEEN]).save(buffer, format="PNG")
    return buffer.getvalue()


def _opaque(picture: np.ndarray) -> np.ndarray:
    return np.dstack([picture, np.full(picture.shape[:2], 255)])


def write_sheet(
    pictures: Sequence[np.ndarray], path: str | os.PathLike[str], *, columns: int = 16, quality: int = 80
) -> None:
    """Write square pictures (S, S, 3), as bytes, row by row into one WebP; empty places are gray.

    Args:
        pictures: at least one.
        path: the file, which appears whole or not at all.
        columns: pictures in a row.
        quality: of WebP; what is lost at 80 is not seen at the size of an icon.
    """
    columns, side = min(columns, len(pictures)), pictures[0].shape[0]
    sheet = np.full((math.ceil(len(pictures) / columns) * side, columns * side, 3), 128, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * side, place % columns * side
        sheet[top : top + side, left : left + side] = picture
    with runs.replacing(path) as temporary:
        PILImage.fromarray(sheet).save(temporary, format="WEBP", quality=quality, method=6)
