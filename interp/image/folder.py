"""The image files of a folder, and the folder as a batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from interp.errors import BadInputError, MissingFileError, UnreadableError
from interp.image.reading import Source, load
from interp.image.tensors import center_crop

# All endings of the formats that `load` reads.
READABLE = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".avifs", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
# Those that photographs come in as well. They are listed, so that it is said that they cannot be read.
SUFFIXES = (*READABLE, ".heic", ".heif", ".jp2", ".jxl")
Above = tuple[tuple[int, int], ...]  # (device, number) of each folder on the way down


def list_folder(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of the image files in a folder and all folders below it, relative to it and sorted.

    Links are followed, but not in circles; one that leads nowhere is listed if it may stand for an image or a folder.
    What is hidden (a name that begins with a dot, such as .ipynb_checkpoints) and __MACOSX are left out.

    Raises:
        MissingFileError: there is no such folder.
        UnreadableError: a folder in it cannot be read.
        BadInputError: there is no image in it.
    """
    root = Path(folder)
    try:
        if not root.is_dir():
            raise MissingFileError(f"There is no folder {str(root)!r}. Check the path.")
        files = sorted(str(path.relative_to(root)) for path in _walk(root, ()))
    except MissingFileError:
        raise
    except OSError as error:
        raise UnreadableError(
            f"{error.filename!r} cannot be listed: {error.strerror}. Check its rights and its disk."
        ) from error
    if not files:
        raise BadInputError(f"The folder {str(root)!r} holds no image ({', '.join(SUFFIXES)}).")
    return files


def _walk(folder: Path, above: Above) -> Iterator[Path]:
    status = folder.stat()
    here = status.st_dev, status.st_ino
    if here in above:  # a link leads back up
        return
    for path in map(Path, os.scandir(folder)):
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_dir():
            yield from _walk(path, (*above, here))
        elif _wanted(path):
            yield path


def _wanted(path: Path) -> bool:
    """Tell whether a file is an image by its name, or a link that leads nowhere may have been one, or a folder."""
    lost = path.is_symlink() and not path.exists()
    if path.suffix.lower() in SUFFIXES:
        return lost or path.is_file()
    return lost and not path.suffix


def load_batch(
    sources: str | os.PathLike[str] | Iterable[Source], size: int = 224, channels: int = 3
) -> Tensor:
    """Read images as one batch (N, channels, size, size) in [0, 1]: the shorter side is resized, the middle cut out.

    Args:
        sources: a folder, all of whose images are read in the order of `list_folder`; or what `load` takes, one by one.
        size: the side of the squares.
        channels: 3 for RGB, 1 for gray.

    Raises:
        BadInputError: there is no image.
        InterpError: an image cannot be read; the errors of `load` and `list_folder`.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [Path(sources) / name for name in list_folder(sources)]
    pictures = [center_crop(load(source, channels=channels), size).clamp(0, 1) for source in sources]
    if not pictures:
        raise BadInputError("There is no image to read. Name a folder, or some files.")
    return torch.cat(pictures)
