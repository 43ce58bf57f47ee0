"""Write images to files that appear whole or not at all."""

from __future__ import annotations

import io
import os
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
    """Return the first image of a batch (N, 3, H, W) as a Pillow image; (N, 1, H, W) is gray."""
    return PILImage.fromarray(to_numpy(images)[0])


def save(images: Tensor, path: str | os.PathLike[str]) -> Path:
    """Write the first image of a batch to a file whose suffix names the format (.png, .webp, .jpg).

    The file appears whole or not at all.

    Raises:
        BadInputError: the suffix names no format, or the images are not (N, 3, H, W) or (N, 1, H, W).
        MissingFileError: there is no such folder.
    """
    path, picture = Path(path), to_pil(images)
    if path.suffix.lower() not in FORMATS:
        raise BadInputError(f"No image format goes with the suffix {path.suffix!r}. Use .png, .webp or .jpg.")
    with runs.replacing(path) as temporary:
        picture.save(temporary, format=FORMATS[path.suffix.lower()], quality=QUALITY)
    return path


def png(images: Tensor) -> bytes:
    """Return all images of a batch (N, 3, H, W) as one PNG file, eight in a row on a transparent ground.

    Raises:
        BadInputError: the images are not (N, 3, H, W), or hold NaN.
    """
    pixels = to_numpy(images)
    count, height, width, _ = pixels.shape
    columns, rows = min(count, ABREAST), -(-count // ABREAST)
    sheet = np.zeros((rows * (height + BETWEEN), columns * (width + BETWEEN), 4), dtype=np.uint8)
    for place, picture in enumerate(pixels):
        top, left = (place // columns) * (height + BETWEEN), (place % columns) * (width + BETWEEN)
        sheet[top : top + height, left : left + width] = np.dstack([picture, np.full((height, width), 255)])
    buffer = io.BytesIO()
    PILImage.fromarray(sheet[:-BETWEEN, :-BETWEEN]).save(buffer, format="PNG")
    return buffer.getvalue()
