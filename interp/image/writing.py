"""Write images to files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from PIL import Image as PILImage
from torch import Tensor

from interp.errors import BadInputError, MissingFileError
from interp.image.tensors import to_numpy

FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
QUALITY = 92  # of the formats that lose something
OWNER = re.compile(r"\.[0-9a-f]{32}-(\d+)-(.*)\.part")  # the process and the machine in a temporary name
DAY = 24 * 3600.0


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
    # Whose it is, so that others can tell whether it is still being written; see `remove_leftovers`.
    temporary = path.with_name(f".{uuid.uuid4().hex}-{os.getpid()}-{platform.node()}.part")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes were writing with `replacing` to a folder; what may still be written stays.

    A process of this machine is asked for by its number; what comes from elsewhere has to be older than a day.
    """
    for part in Path(folder).glob(".*.part"):
        owner = OWNER.fullmatch(part.name)
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            if owner and _abandoned(part, int(owner[1]), owner[2]):
                part.unlink()


def _abandoned(part: Path, process: int, machine: str) -> bool:
    if machine == platform.node() and os.name == "posix":
        return not _alive(process)
    return time.time() - part.stat().st_mtime > DAY


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
