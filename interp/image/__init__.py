"""The image convention: (N, C, H, W), float, in [0, 1]; RGB unless a network says otherwise (`Inputs`).

Everything else is made into it here, or refused.

A model carries its own normalization as its first layer (`Normalize`), so that no function outside has to know it.
"""

from interp.image.folder import SUFFIXES, list_folder, load_batch
from interp.image.inputs import RGB, Inputs, Show
from interp.image.normalization import Normalize, Normalized, check_module, device_of, dtype_of, unwrapped
from interp.image.reading import Source, from_pil, load, unread
from interp.image.tensors import (
    MAX_PIXELS,
    Size,
    as_rgb,
    blur,
    center_crop,
    check,
    check_type,
    from_numpy,
    resize,
    target_size,
    to_gray,
    to_numpy,
)
from interp.image.writing import png, save, to_pil, write_sheet

__all__ = [
    "MAX_PIXELS",
    "RGB",
    "SUFFIXES",
    "Inputs",
    "Normalize",
    "Normalized",
    "Show",
    "Size",
    "Source",
    "as_rgb",
    "blur",
    "center_crop",
    "check",
    "check_module",
    "check_type",
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
    "to_gray",
    "to_numpy",
    "to_pil",
    "unread",
    "unwrapped",
    "write_sheet",
]
