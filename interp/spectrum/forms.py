"""The usual forms of an item in a dataset: what is its picture, what its label."""

from __future__ import annotations

import io
import operator
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image as PILImage
from torch import Tensor

from interp import image
from interp.errors import BadInputError

IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp")  # what a column of images is called
LABELS = ("label", "labels", "cls", "class")


def square(picture: object, size: int | None, channels: int = 3) -> Tensor:
    """Return (1, C, size, size) from the middle of a picture in any form that `Items` takes; None keeps its own size.

    The values are checked before they are resized: what is not in [0, 1] is refused, never clipped. Where one channel
    is wanted, RGB is made gray.
    """
    tensor = _tensor(picture, channels)
    if channels == 1 and tensor.ndim == 4 and tensor.shape[1] == 3:
        tensor = image.to_gray(image.check(tensor)).clamp(0, 1)
    image.check(tensor, channels)
    if len(tensor) != 1:
        raise BadInputError(f"An item holds one image; this one has the shape {tuple(tensor.shape)}.")
    return tensor if size is None else image.center_crop(tensor, size).clamp(0, 1)


def _tensor(picture: Any, channels: int) -> Tensor:
    if isinstance(picture, Tensor):
        return picture[None] if picture.ndim == 3 else picture
    if isinstance(picture, np.ndarray):
        colors = channels == 1 and picture.ndim > 2 and picture.shape[-1] == 3
        return image.from_numpy(picture, 3 if colors else channels)
    if isinstance(picture, Mapping):  # as Hugging Face gives an image that is not decoded
        picture = picture.get("bytes") or picture.get("path")
    return image.load(io.BytesIO(picture) if isinstance(picture, bytes) else picture, channels=channels)


def parts(item: Any, place: str) -> tuple[Any, Any, str]:
    """Return (picture, label, name) of an item in any of the usual forms."""
    if item is None or isinstance(item, Tensor | PILImage.Image | np.ndarray | str | bytes | os.PathLike):
        return item, None, ""
    if hasattr(item, "image"):
        return item.image, getattr(item, "label", None), str(getattr(item, "id", ""))
    if isinstance(item, Mapping):
        return item[column(item, IMAGES, place)], item.get(next(iter({*LABELS} & {*item}), "")), ""
    if isinstance(item, tuple | list) and item:
        return item[0], item[1] if len(item) > 1 else None, ""
    raise BadInputError(
        f"{place} is of the type {type(item).__name__}; needed is a picture, [picture, label], a mapping with an "
        "image, or an object with `image` and `label`."
    )


def column(row: Mapping[str, Any], names: Sequence[str], place: str) -> str:
    """Return the first of some names that a row has.

    Raises:
        BadInputError: it has none of them.
    """
    for name in names:
        if name in row:
            return name
    raise BadInputError(
        f"{place} has no image: none of {', '.join(names)} is among {', '.join(map(str, row))}."
    )


def label_text(label: object, class_names: Sequence[str], place: str) -> str:
    """Return a label as text: a number by its class's name, nothing for None and for negative numbers.

    Raises:
        BadInputError: there are class names, but none for this number.
    """
    if label is None:
        return ""
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    try:
        number = operator.index(label)  # type: ignore[arg-type]
    except TypeError:
        return str(label)
    if number < 0:
        return ""
    if class_names and number >= len(class_names):
        raise BadInputError(
            f"{place} has the label {number}, but there are only {len(class_names)} class names. Give all of them."
        )
    return str(class_names[number]) if class_names else str(number)
