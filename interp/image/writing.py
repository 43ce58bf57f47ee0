"""Write images to files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from PIL import Image as PILImage
from torch import Tensor

from interp.errors import BadInputError, MissingFileError
from interp.image.tensors import to_numpy

FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
QUALITY = 92  # of the formats that lose something


def to_pil(images: Tensor) -> PILImage.Image:
    """Return the first image of a batch (N, 3, H, W) as a Pillow image."""
    return PILImage.fromarray(to_numpy(images)[0])


def save(images: Tensor, path: str | os.PathLike[str]) -> Path:
    """Write the first image of a batch to a file whose suffix names the format (.png, .webp, .jpg).

    The file appears whole or not at all.

    Raises:
        BadInputError: the suffix names no format, or the images are not (N, 3, H, W).
        MissingFileError: there is no such folder.
    """
    path, picture = Path(path), to_pil(images)
    if path.suffix.lower() not in FORMATS:
        raise BadInputError(f"No image format goes with the suffix {path.suffix!r}. Use .png, .webp or .jpg.")
    with replacing(path) as temporary:
        picture.save(temporary, format=FORMATS[path.suffix.lower()], quality=QUALITY)
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it becomes `path`, after an exception it is removed.

    So a file appears whole or not at all, and an older one stays until the new one is complete.

    Raises:
        MissingFileError: there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise MissingFileError(
            f"There is no folder {str(path.parent)!r} to write {path.name!r} to. Make it first."
        )
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
