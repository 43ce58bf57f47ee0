"""The image convention: (N, 3, H, W), float, in [0, 1], RGB. Everything else is made into it here, or refused.

A model carries its own normalization as its first layer (`Normalize`), so that no function outside has to know it.
"""

from interp.image.folder import SUFFIXES, list_folder, load_batch
from interp.image.normalization import Normalize, Normalized, device_of, dtype_of, unwrapped
from interp.image.reading import Source, from_pil, load, unread
from interp.image.tensors import (
    MAX_PIXELS,
    Size,
    blur,
    center_crop,
    check,
    from_numpy,
    resize,
    target_size,
    to_numpy,
)
from interp.image.writing import png, save, to_pil

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Normalize",
    "Normalized",
    "Size",
    "Source",
    "blur",
    "center_crop",
    "check",
    "device_of",
    "dtype_of",
    "from_numpy",
    "from_pil",
    "list_folder",
    "load",
    "load_batch",
    "png",
    "resize",
    "save",
    "target_size",
    "to_numpy",
    "to_pil",
    "unread",
    "unwrapped",
]
