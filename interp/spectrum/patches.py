"""The second pass: fetch the winners again and cut out the patch that made the unit fire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interp import hooks, image
from interp.errors import BadInputError
from interp.spectrum.sources import Source


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer's positions, for images of one size.

    Attributes:
        size: (height, width) in pixels of what a position in the middle depends on; never more than the image.
        center: (y, x) the middle of the field of the position (0, 0), in pixels; may lie outside the image.
        stride: (y, x) pixels from one position to the next.
        grid: (rows, columns) of positions.
    """

    size: tuple[int, int]
    center: tuple[float, float]
    stride: tuple[float, float]
    grid: tuple[int, int]


@dataclass(frozen=True)
class Patch:
    """The part of an image that a unit saw at its strongest position.

    Attributes:
        id: of the image.
        image: (1, 3, S, S), a square window, whole.
        top, left: where the window begins in the image, in pixels.
        position: (row, column) of the strongest position in the layer.
        value: the activation there.
    """

    id: int
    image: Tensor
    top: int
    left: int
    position: tuple[int, int]
    value: float


@torch.no_grad()
def receptive_field(model: nn.Module, layer: str, size: int | tuple[int, int]) -> Field:
    """Return the receptive field of a layer for images of a size, found by trying.

    NaN spreads through every layer along with what depends on it. So the field of a position ends where a NaN border
    around the image may be widened no further without the position becoming NaN: a search by halves, for the four
    edges side by side. This needs no formula for any layer, whatever its padding.

    Args:
        model: any network for images (N, 3, H, W).
        layer: a layer that returns (N, C, H', W').
        size: (height, width) of the images, or the side of a square.

    Raises:
        BadInputError: the layer has no positions, or what comes out does not depend on the input alone.
    """
    height, width = (size, size) if isinstance(size, int) else size
    device = hooks.device_of(model)
    blank = torch.full((1, 3, height, width), 0.5, device=device)
    maps = hooks.run(model, blank, [layer])[layer]
    if maps.ndim != 4 or not bool(torch.isfinite(maps).all()):
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(maps.shape)}; finite maps (N, C, H, W) are needed."
        )
    rows, columns = maps.shape[2:]
    place = rows // 2, columns // 2
    top, bottom, left, right = _edges(model, layer, blank, place)
    stride = height / rows, width / columns
    # A field that the border cuts has its middle where the grid says, not in the middle of what is left of it.
    cut = (top == 0 or bottom == height, left == 0 or right == width)
    middle = (
        (place[0] + 0.5) * stride[0] if cut[0] else (top + bottom) / 2,
        (place[1] + 0.5) * stride[1] if cut[1] else (left + right) / 2,
    )
    center = middle[0] - place[0] * stride[0], middle[1] - place[1] * stride[1]
    return Field((bottom - top, right - left), center, stride, (rows, columns))


def _edges(model: nn.Module, layer: str, blank: Tensor, place: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of the pixels that one position depends on."""
    height, width = blank.shape[2:]
    whole = [height, height, width, width]  # how wide each border may become
    least, most = [0, 0, 0, 0], list(whole)  # free borders; borders that are too wide
    while any(high - low > 1 for low, high in zip(least, most, strict=True)):
        tried = [(low + high) // 2 for low, high in zip(least, most, strict=True)]
        with _ZeroWeightsCutOff():
            maps = hooks.run(model, _bordered(blank, tried), [layer])[layer]
        spoiled = maps[:, :, place[0], place[1]].isnan().any(dim=1).tolist()
        least = [low if bad else border for low, border, bad in zip(least, tried, spoiled, strict=True)]
        most = [border if bad else high for high, border, bad in zip(most, tried, spoiled, strict=True)]
    top, bottom, left, right = least
    return top, height - bottom, left, width - right


class _ZeroWeightsCutOff(TorchFunctionMode):
    """Keep NaN from passing a convolution's weights that are 0: 0 times NaN is NaN, though nothing depends on it.

    A kernel may hold rows of zeros, as those of EfficientNet-Lite0 do where the padding is not the same on both sides.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not F.conv2d:
            return func(*args, **(kwargs or {}))
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        given = dict(zip(names, args, strict=False)) | (kwargs or {})
        images, weight = given["input"], given["weight"]
        found = func(**given | {"input": images.nan_to_num()})
        spoiled, used = images.isnan().to(weight.dtype), (weight != 0).to(weight.dtype)
        touched = func(**given | {"input": spoiled, "weight": used, "bias": None})
        return found.masked_fill(touched > 0.5, torch.nan)


def _bordered(blank: Tensor, borders: Sequence[int]) -> Tensor:
    """Return four images with a NaN border of the given width at the top, bottom, left and right."""
    images = blank.repeat(4, 1, 1, 1)
    top, bottom, left, right = borders
    images[0, :, :top] = torch.nan
    images[1, :, images.shape[2] - bottom :] = torch.nan
    images[2, :, :, :left] = torch.nan
    images[3, :, :, images.shape[3] - right :] = torch.nan
    return images


def window(field: Field, position: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int]:
    """Return (top, left, side) of the square window around a position, shifted so that it lies in the image.

    Args:
        field: of the layer.
        position: (row, column) in the layer.
        size: (height, width) of the image.
    """
    side = min(max(field.size), *size)
    corner = [round(field.center[axis] + position[axis] * field.stride[axis] - side / 2) for axis in (0, 1)]
    top, left = (min(max(corner[axis], 0), size[axis] - side) for axis in (0, 1))
    return top, left, side


@torch.no_grad()
def patches(
    model: nn.Module, layer: str, channel: int, ids: Sequence[int], source: Source, *, weakest: bool = False
) -> list[Patch]:
    """Return the patch of each image in which a channel is strongest, in the order of the ids.

    Args:
        model: the network.
        layer, channel: the unit; the layer has to return (N, C, H, W).
        ids: the images, such as `unit.band("maximum").ids`; only these are fetched.
        source: finds them.
        weakest: take the position with the smallest activation instead.
    """
    images = fetched(source, ids)
    sizes = {(picture.shape[2], picture.shape[3]) for picture in images.values()}
    fields = {size: receptive_field(model, layer, size) for size in sizes}
    found = []
    for id_ in ids:
        maps = hooks.activations(model, images[id_], layer)[0, channel]
        size = images[id_].shape[2], images[id_].shape[3]
        found.append(cut(images[id_], maps, fields[size], id=id_, weakest=weakest))
    return found


def cut(picture: Tensor, maps: Tensor, field: Field, *, id: int = 0, weakest: bool = False) -> Patch:
    """Return the patch of one image (1, 3, H, W) from its activations (H', W') and the receptive field."""
    place = int(maps.argmin() if weakest else maps.argmax())
    row, column = divmod(place, maps.shape[1])
    top, left, side = window(field, (row, column), (picture.shape[2], picture.shape[3]))
    cutout = picture[:, :, top : top + side, left : left + side]
    return Patch(id, cutout, top, left, (row, column), float(maps[row, column]))


def masks(maps: Tensor, quantile: float, size: tuple[int, int]) -> Tensor:
    """Return (N, H, W) where activations (N, H', W') are above a quantile of all of them, resized to the images.

    As in network dissection (Bau et al., 2017, https://arxiv.org/abs/1704.05796), which takes the top 0.5 %.
    """
    threshold = torch.quantile(maps.float().flatten(), quantile)
    return image.resize(maps.float(), size) > threshold


def fetched(source: Source, ids: Iterable[int]) -> Mapping[int, Tensor]:
    """Return {id: image (1, 3, H, W)} of some images of a source; the others are not read."""
    return {entry.id: entry.load() for entry in source.find(dict.fromkeys(ids))}
