"""Photographs and heat: rows, grids, overlays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from interp import image
from interp.errors import BadInputError
from interp.plots import tiles
from interp.plots.figure import TEXT_WIDTH, Figure
from interp.plots.tiles import Heat, Mark, Overlay, Picture

Images = Tensor | Sequence[Tensor]


def image_row(
    images: Images,
    titles: Sequence[str] | None = None,
    *,
    height: float | None = None,
    width: float = TEXT_WIDTH,
    marks: Mapping[int, Mark] | None = None,
) -> Figure:
    """Show images side by side, as large as the column allows.

    Args:
        images: (N, 3, H, W) or (3, H, W) in [0, 1], or with one channel, in gray; or a sequence of these, which may
            differ in size. Images with a side below 64 pixels are shown as squares, larger ones smoothly. Those of a
            network for other channels are shown by `hooks.inputs_of(model).pictures(images)`.
        titles: one for each image.
        height: the largest height in CSS pixels.
        width: the width to fill, in CSS pixels.
        marks: rectangles to outline: number of the image to (row, column, height, width) in its pixels.
    """
    figure = tiles.row(pictures(images), titles, width=width, height=height)
    tiles.outline(figure.axes, marks)
    if marks and figure.again is not None:
        figure.again = partial(_outlined, figure.again, marks)
    return figure


def _outlined(again: Callable[[float], Figure], marks: Mapping[int, Mark], width: float) -> Figure:
    figure = again(width)
    tiles.outline(figure.axes, marks)
    return figure


def image_grid(
    images: Images,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 4,
    row_titles: Sequence[str] | None = None,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Show images in rows of `columns`.

    Args:
        images: as in `image_row`.
        titles: one for each image.
        columns: how many in a row.
        row_titles: one for each row, written at its left.
        width: the width to fill, in CSS pixels.
    """
    check_columns(columns)
    return tiles.grid(pictures(images), titles, columns=columns, row_titles=row_titles, width=width)


def overlay(
    images: Images,
    heat: Images,
    titles: Sequence[str] | None = None,
    *,
    signed: bool = False,
    shared: bool = False,
    height: float | None = None,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Lay heat over the photographs in gray: viridis from 0 up, or red above and blue below 0.

    Args:
        images: as in `image_row`; one image serves all maps.
        heat: (N, H, W) of any size, or a sequence of maps.
        titles, height, width: as in `image_row`.
        signed: show positive values red and negative ones blue over a pale photograph, the more opaque the stronger.
            Otherwise what is below 0 is drawn as 0.
        shared: one color scale for all maps, so that a weak one looks weak; otherwise each has its own.
    """
    photographs, maps = pictures(images), heats(heat, signed=signed, shared=shared)
    if len(photographs) == 1:
        photographs = photographs * len(maps)
    if len(photographs) != len(maps):
        raise BadInputError(
            f"There are {len(photographs)} images and {len(maps)} heat maps; give one for each."
        )
    overlays = [Overlay(p, h) for p, h in zip(photographs, maps, strict=True)]
    return tiles.row(overlays, titles, width=width, height=height)


def heat_row(
    heat: Images,
    titles: Sequence[str] | None = None,
    *,
    signed: bool = False,
    shared: bool = False,
    percentile: float = 100.0,
    height: float | None = None,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Show heat maps side by side: viridis from 0 up, or red above and blue below 0.

    Args:
        heat: (N, H, W) or (H, W), or a sequence of these.
        titles, height, width: as in `image_row`.
        signed: draw 0 in white, positive values red, negative blue. Otherwise what is below 0 is drawn as 0.
        shared: one scale for all maps instead of one for each.
        percentile: the percentile of the absolute values that gets the strongest color; below 100, a few extreme
            pixels do not hide the rest.
    """
    return tiles.row(
        heats(heat, signed=signed, shared=shared, percentile=percentile), titles, width=width, height=height
    )


def colorize(
    heat: Images, *, signed: bool = False, shared: bool = False, percentile: float = 100.0
) -> Tensor:
    """Return heat maps as images in the colors of `heat_row`, to be shown among photographs.

    Args:
        heat, signed, shared, percentile: as in `heat_row`; all maps of one size.

    Returns:
        (N, 3, H, W) in [0, 1].
    """
    maps = heats(heat, signed=signed, shared=shared, percentile=percentile)
    if len({one.shape for one in maps}) > 1:
        raise BadInputError("Maps of different sizes do not fit into one batch; colorize them one by one.")
    colored = np.stack([one.pixels(*one.shape) for one in maps])
    return torch.from_numpy(colored).permute(0, 3, 1, 2).to(torch.float32).contiguous()


# --------------------------------------------------------------------------------------------------------------------
# From tensors to tiles


def pictures(images: Images) -> list[Picture]:
    """Return one tile for each image of a batch or of a sequence of batches."""
    batches = [_batch(part) for part in as_parts(images, "images")]
    return [Picture(np.asarray(one)) for batch in batches for one in batch.permute(0, 2, 3, 1).cpu().numpy()]


def _batch(images: Tensor) -> Tensor:
    """Return (N, 3, H, W); a batch that is on its way to becoming an image may overshoot [0, 1] by a rounding."""
    images = images[None] if isinstance(images, Tensor) and images.ndim == 3 else images
    image.check_type(images)
    return image.check(image.as_rgb(images)).detach().float().clamp(0, 1)


def heats(heat: Images, *, signed: bool, shared: bool = False, percentile: float = 100.0) -> list[Heat]:
    """Return one tile for each map of (N, H, W), or of a sequence of maps."""
    maps = [one for part in as_parts(heat, "heat maps") for one in _maps(part)]
    tops = [_top(one, percentile) for one in maps]
    if shared:
        tops = [max(tops)] * len(tops)
    return [Heat(one, -top if signed else 0.0, top, signed) for one, top in zip(maps, tops, strict=True)]


def _maps(heat: Tensor) -> list[np.ndarray]:
    values = heat.detach().float().cpu()
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or 0 in values.shape:
        raise BadInputError(f"Heat has to have the shape (N, H, W) or (H, W); this has {tuple(heat.shape)}.")
    if not torch.isfinite(values).all():
        raise BadInputError("The heat holds NaN or infinite values.")
    return list(values.numpy())


def _top(values: np.ndarray, percentile: float) -> float:
    if not 0 < percentile <= 100:
        raise BadInputError(f"percentile has to be in (0, 100]; got {percentile}.")
    top = float(np.percentile(np.abs(values), percentile))
    return top if top > 0 else 1.0


def as_parts(values: Images, what: str) -> list[Tensor]:
    """Return a tensor or a sequence of tensors as a list of tensors."""
    parts = [values] if isinstance(values, Tensor) else values
    if not isinstance(parts, Sequence) or not parts or not all(isinstance(part, Tensor) for part in parts):
        raise BadInputError(
            f"A tensor of {what} or a sequence of tensors is needed; got {type(values).__name__}."
        )
    return list(parts)


def check_columns(columns: int) -> None:
    """Refuse a number of columns below 1."""
    if columns < 1:
        raise BadInputError(f"At least one column is needed; got columns={columns}.")
