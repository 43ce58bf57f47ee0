"""The second pass: fetch the winners again and cut out the patch that made the unit fire."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interp import hooks, image
from interp.errors import BadInputError
from interp.spectrum.entries import Source, persistent


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer's positions, for images of one size.

    Attributes:
        size: (height, width) in pixels of what a position depends on; never more than the image.
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
        image: (1, C, S, S), a square window, whole.
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
    around the image may be widened no further without the position becoming NaN: a search by halves, for several
    edges side by side. Two positions that the border of the image does not cut say how far apart the fields lie. This
    needs no formula for any layer, whatever its padding.

    Args:
        model: any network for images (N, C, H, W).
        layer: a layer that returns (N, C, H', W').
        size: (height, width) of the images, or the side of a square.

    Raises:
        BadInputError: the layer has no positions, or what comes out does not depend on the input alone.
    """
    height, width = (size, size) if not isinstance(size, tuple | list) else size
    look = _Look(model, layer, hooks.gray(model, (height, width)))
    rows, columns = look.grid
    down = _axis(look, (Edge.TOP, Edge.BOTTOM), rows, height)
    across = _axis(look, (Edge.LEFT, Edge.RIGHT), columns, width)
    return Field((down[0], across[0]), (down[1], across[1]), (down[2], across[2]), (rows, columns))


class Edge(enum.Enum):
    """An edge of an image."""

    TOP = "top"
    BOTTOM = "bottom"
    LEFT = "left"
    RIGHT = "right"


def _axis(look: _Look, edges: tuple[Edge, Edge], count: int, length: int) -> tuple[int, float, float]:
    """Return (size, center of the position 0, stride) of the fields along one axis.

    Args:
        look: at the layer.
        edges: the first and the last edge of this axis.
        count: of positions.
        length: of the image, in pixels.
    """
    middle = count // 2
    free = [look.free(edge) for edge in edges]  # positions that do not reach each edge of the image
    places = [(each[0], each[-1]) if each else (middle, middle) for each in free]
    asked = [(edge, place) for edge, pair in zip(edges, places, strict=True) for place in (*pair, middle)]
    widths = look.widths(asked)
    begins, ends = widths[:3], [length - width for width in widths[3:]]
    stride = _slope(places[0], begins) or _slope(places[1], ends) or length / count
    begin, end = begins[2], ends[2]
    if begin > 0 and end < length:
        return end - begin, (begin + end) / 2 - middle * stride, stride
    if free[0] and free[1]:  # the border cuts the field in the middle; others lie free on either side
        first, last = begins[0] - places[0][0] * stride, ends[0] - places[1][0] * stride
        return min(round(last - first), length), (first + last) / 2, stride
    # All are cut: the middle is where the grid says, not in the middle of what is left.
    return end - begin, 0.5 * stride, stride


def _slope(places: tuple[int, int], found: Sequence[int]) -> float:
    """Return the pixels from one position to the next, by an edge of the fields of two; 0 for a single one."""
    return (found[1] - found[0]) / (places[1] - places[0]) if places[1] > places[0] else 0.0


class _Look:
    """Finds out which positions of a layer depend on the borders of an image."""

    def __init__(self, model: nn.Module, layer: str, blank: Tensor) -> None:
        self.model, self.layer, self.blank = model, layer, blank
        maps = self._maps(blank)
        usable = finite_channels(maps) if maps.ndim == 4 else torch.zeros(1)
        if not bool(usable.any()):
            raise BadInputError(
                f"The layer {layer!r} gives {tuple(maps.shape)}; finite maps (N, C, H, W) are needed."
            )
        self.channels = usable.nonzero()[:, 0]
        self.grid: tuple[int, int] = (maps.shape[2], maps.shape[3])

    def free(self, edge: Edge) -> list[int]:
        """Return the positions along an axis that depend on the image, but not on the outermost pixels at an edge."""
        border, everything = self._spoiled([edge, edge], [1, self._length(edge)])
        inside = everything & ~border
        line = inside[:, self.grid[1] // 2] if edge in _ROWS else inside[self.grid[0] // 2]
        return [place for place, good in enumerate(line.tolist()) if good]

    def widths(self, asked: Sequence[tuple[Edge, int]]) -> list[int]:
        """Return for each edge and position how wide a border at the edge may be that the position does not see."""
        edges = [edge for edge, _ in asked]
        places = [
            (place, self.grid[1] // 2) if edge in _ROWS else (self.grid[0] // 2, place)
            for edge, place in asked
        ]
        most = [self._length(edge) for edge in edges]  # too wide
        least = [0] * len(asked)  # free
        while any(high - low > 1 for low, high in zip(least, most, strict=True)):
            tried = [(low + high) // 2 for low, high in zip(least, most, strict=True)]
            maps = self._spoiled(edges, tried)
            for index, (row, column) in enumerate(places):
                (most if maps[index, row, column] else least)[index] = tried[index]
        return least

    def _spoiled(self, edges: Sequence[Edge], widths: Sequence[int]) -> Tensor:
        """Return (edges, rows, columns): which positions depend on a border at each edge."""
        with _ZeroWeightsCutOff():
            maps = self._maps(_bordered(self.blank, edges, widths))
        return maps[:, self.channels].isnan().any(dim=1)

    def _length(self, edge: Edge) -> int:
        return self.blank.shape[2 if edge in _ROWS else 3]

    def _maps(self, images: Tensor) -> Tensor:
        return hooks.run(self.model, images, [self.layer])[self.layer]


def finite_channels(maps: Tensor) -> Tensor:
    """Return which channels (C,) of the maps of one image (1, C, H, W) are finite at all positions."""
    return torch.isfinite(maps).flatten(2).all(dim=2)[0]


_ROWS = (Edge.TOP, Edge.BOTTOM)


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


def _bordered(blank: Tensor, edges: Sequence[Edge], widths: Sequence[int]) -> Tensor:
    """Return an image for each edge with a NaN border of the given width there."""
    images = blank.repeat(len(edges), 1, 1, 1)
    for picture, edge, width in zip(images, edges, widths, strict=True):
        lines = picture if edge in _ROWS else picture.transpose(1, 2)  # a view
        length = lines.shape[1]
        first = edge in (Edge.TOP, Edge.LEFT)
        lines[:, slice(0, width) if first else slice(length - width, length)] = torch.nan
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
    """Return the patch of one image (1, C, H, W) from its activations (H', W') and the receptive field."""
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
    """Return {id: image (1, C, H, W)} of some images of a source; the others are not read.

    Raises:
        LostSourceError: an image cannot be read, also after several attempts.
    """
    found = source.find(dict.fromkeys(ids))
    return {entry.id: persistent(entry.load, entry.name) for entry in found}
