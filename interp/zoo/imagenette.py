"""Imagenette: ten easy classes of ImageNet, through torchvision's own data set class.

Howard, 2019, https://github.com/fastai/imagenette
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PILImage
from torch import Tensor
from torch.utils.data import DataLoader

from interp import store
from interp.errors import BadInputError, MissingExtraError, MissingFileError, UnknownNameError

# In the order of their numbers, as torchvision sorts the folders.
IMAGENETTE_CLASSES = (
    "tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck",
    "gas pump", "golf ball", "parachute",
)  # fmt: skip
# The shorter side that the archive's images have: name for torchvision, stem of the file, its size.
_ARCHIVES = {
    160: ("160px", "imagenette2-160", "about 95 MB"),
    320: ("320px", "imagenette2-320", "about 330 MB"),
    math.inf: ("full", "imagenette2", "about 1.5 GB"),
}
_ADDRESS = "https://s3.amazonaws.com/fast-ai-imageclas"
Transform = Callable[[PILImage.Image], Tensor]


def folder() -> Path:
    """Return where the archives lie, unless another folder is named: in the folder of the store."""
    return store.folder() / "imagenette"


def imagenette_transforms(train: bool, image_size: int = 128) -> Transform:
    """Return what turns a Pillow image into a tensor (3, image_size, image_size) in [0, 1].

    For training: a crop of at least 35 % of the area, at random, mirrored with probability one half. Otherwise: the
    middle square after the shorter side was resized to 8/7 of the size (256 for 224). There is no normalization: the
    model carries its own.

    Raises:
        BadInputError: the size is not positive.
        MissingExtraError: torchvision is not installed.
    """
    if image_size < 1:
        raise BadInputError(f"image_size has to be at least 1, not {image_size}.")
    transforms = _torchvision("transforms")
    steps = [transforms.Resize(round(image_size * 8 / 7)), transforms.CenterCrop(image_size)]
    if train:
        steps = [
            transforms.RandomResizedCrop(image_size, scale=(0.35, 1.0)),
            transforms.RandomHorizontalFlip(),
        ]
    composed: Transform = transforms.Compose([*steps, transforms.ToTensor()])
    return composed


def load_imagenette(
    split: str = "train",
    image_size: int = 128,
    batch_size: int = 64,
    *,
    root: str | Path | None = None,
    download: bool = True,
    workers: int = 0,
    seed: int = 0,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return batches (images (N, 3, image_size, image_size) in [0, 1], labels (N,)) of Imagenette.

    The smallest of the three archives that still has enough pixels is used. The training split comes in random order
    and with random crops, the other in the order of the files.

    Args:
        split: "train" (9469 images) or "val" (3925).
        image_size: the side in pixels.
        batch_size: images in a batch.
        root: the folder that holds, or will hold, the unpacked archive; None is ~/.cache/interp/imagenette.
        download: fetch the archive if it is not there.
        workers: processes that read images; 0 reads in this one.
        seed: of the order. The crops draw from torch's global random numbers, as torchvision's do.

    Raises:
        UnknownNameError: there is no such split.
        MissingFileError: the data are not there and cannot be fetched; the message says where to put them by hand.
        MissingExtraError: torchvision is not installed.
        BadInputError: a number is not positive.
    """
    if split not in ("train", "val"):
        raise UnknownNameError("split of Imagenette", split, ("train", "val"))
    if batch_size < 1 or workers < 0:
        raise BadInputError(
            f"batch_size has to be at least 1, workers not negative; got {batch_size}, {workers}."
        )
    dataset = _dataset(Path(root or folder()), split, image_size, download)
    order = torch.Generator().manual_seed(seed)
    return DataLoader(
        dataset, batch_size, shuffle=split == "train", num_workers=workers, generator=order, pin_memory=False
    )


def _dataset(root: Path, split: str, image_size: int, download: bool) -> Any:
    name, stem, size = next(archive for side, archive in _ARCHIVES.items() if image_size * 8 / 7 <= side)
    transform = imagenette_transforms(split == "train", image_size)
    try:
        if download and not (root / stem).is_dir():
            _fetch(root, name, stem)
        return _torchvision("datasets").Imagenette(root, split, name, transform=transform)
    except (OSError, RuntimeError) as error:  # no network, a wrong checksum, a full disk, or nothing there
        raise MissingFileError(
            f"Imagenette's {stem}.tgz ({size}) is not unpacked in {root} and cannot be fetched: {error} Get it from "
            f"{_ADDRESS}/{stem}.tgz on a machine that can, and unpack it there: the folder {root / stem} then holds "
            "'train' and 'val'."
        ) from error


def _fetch(root: Path, name: str, stem: str) -> None:
    """Download and unpack beside the place, then move there: an interruption leaves nothing half unpacked."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".imagenette-") as folder:
        _torchvision("datasets").Imagenette(folder, "train", name, download=True)
        (Path(folder) / stem).rename(root / stem)


def _torchvision(part: str) -> Any:
    try:
        import torchvision.datasets
        import torchvision.transforms
    except ImportError as error:
        raise MissingExtraError("torchvision", "models", "Imagenette") from error
    return getattr(torchvision, part)
