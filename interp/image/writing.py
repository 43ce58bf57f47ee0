"""Write images to files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image as PILImage
from torch import Tensor

from interp import runs
from interp.errors import BadInputError
from interp.image.tensors import to_numpy

FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
QUALITY = 92  # of the formats that lose something


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
