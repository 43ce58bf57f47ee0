"""Inside a layer: feature maps, filters, and small patches as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, Unpack

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from interp.errors import BadInputError
from interp.plots import tiles
from interp.plots.figure import GAP, TEXT_WIDTH, Figure, font, is_narrow, redrawn, wrap
from interp.plots.pictures import as_parts, check_columns, heats
from interp.plots.tiles import Heat, Mark, Picture, Tile

READABLE = 31  # side of a square with numbers of 11 pixels in it
Colors = Literal["gray", "heat", "signed"]


def feature_maps(
    activations: Tensor,
    channels: Sequence[int] | None = None,
    *,
    columns: int = 8,
    shared: bool = False,
    titles: Sequence[str] | None = None,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Show channels of one image's activations, each with its number.

    Viridis from 0 up where nothing is negative, red and blue around 0 otherwise.

    Args:
        activations: (C, H, W) or (1, C, H, W).
        channels: which ones; the first 32 if None.
        columns: how many in a row.
        shared: one scale for all channels instead of one for each.
        titles: in place of the channels' numbers.
    """
    check_columns(columns)
    maps = activations[0] if activations.ndim == 4 and len(activations) == 1 else activations
    if maps.ndim != 3 or 0 in maps.shape:
        raise BadInputError(
            f"One image's activations (C, H, W) are needed; got the shape {tuple(activations.shape)}."
        )
    chosen = range(min(len(maps), 32)) if channels is None else channels
    _check_channels(chosen, len(maps))
    shown = maps[list(chosen)]
    drawn = heats(shown, signed=bool((shown < 0).any()), shared=shared)
    names = [str(c) for c in chosen] if titles is None else titles
    return tiles.grid(drawn, names, columns=columns, width=width, largest=168)


def _check_channels(channels: Sequence[int], count: int) -> None:
    wrong = [c for c in channels if not 0 <= c < count]
    if wrong or not len(channels):
        raise BadInputError(f"Channels have to be in 0..{count - 1}, at least one; got {wrong or 'none'}.")


def filters(
    weight: Tensor,
    channels: Sequence[int] | None = None,
    *,
    columns: int = 8,
    shared: bool = False,
    titles: Sequence[str] | None = None,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Show the kernels of a convolution.

    Kernels on RGB are shown as colors with 0 as middle gray, kernels with one input channel in red and blue with 0 as
    white, each scaled to its own largest absolute weight.

    Args:
        weight: (O, 3, k, k) or (O, 1, k, k).
        channels: which output channels; the first 64 if None.
        columns, titles, width: as in `feature_maps`.
        shared: one scale for all kernels instead of one for each.
    """
    check_columns(columns)
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or 0 in weight.shape:
        raise BadInputError(
            f"Kernels (O, 3, k, k) or (O, 1, k, k) are needed; got {tuple(weight.shape)}. "
            "For more input channels choose one: weight[:, 5:6]."
        )
    chosen = range(min(len(weight), 64)) if channels is None else channels
    _check_channels(chosen, len(weight))
    shown = weight.detach().float().cpu()[list(chosen)]
    drawn = (
        _color_kernels(shown, shared)
        if shown.shape[1] == 3
        else heats(shown[:, 0], signed=True, shared=shared)
    )
    return tiles.grid(drawn, titles, columns=columns, width=width, largest=168)


def _color_kernels(weight: Tensor, shared: bool) -> Sequence[Tile]:
    dimensions = (0, 1, 2, 3) if shared else (1, 2, 3)
    largest = weight.abs().amax(dim=dimensions, keepdim=True).clamp(min=1e-30)
    return [Picture(one) for one in (0.5 + 0.5 * weight / largest).permute(0, 2, 3, 1).numpy()]


# --------------------------------------------------------------------------------------------------------------------
# Numbers in squares


class Sides(TypedDict, total=False):
    """How large a drawing may be, in CSS pixels."""

    cell: float
    width: float


@redrawn
def matrix(
    values: Tensor | Sequence[Tensor],
    fmt: str | Sequence[str] = ".0f",
    *,
    colors: Colors | Sequence[Colors] = "gray",
    titles: Sequence[str] | None = None,
    between: Sequence[str] | None = None,
    marks: Mapping[int, Mark] | None = None,
    **sides: Unpack[Sides],
) -> Figure:
    """Show small patches as squares with their numbers in them, side by side; a narrow figure breaks into lines.

    Args:
        values: (H, W), or (3, H, W) for RGB, with three numbers in a square; or a sequence of these.
        fmt: format of the numbers as in `format(value, fmt)`; one, or one for each patch.
        colors: "gray" from the least to the greatest value, "heat" for viridis from 0 up, "signed" for red and blue
            around 0; one, or one for each patch. RGB patches show their own colors.
        titles: one for each patch.
        between: the signs between the patches, one fewer than patches, such as ("·", "=").
        marks: what to outline: number of the patch to (row, column, height, width).
        sides: `cell=`, the largest side of a square, and `width=`, which must not be exceeded, in CSS pixels.
    """
    cell, width = sides.get("cell", 46), sides.get("width", TEXT_WIDTH)
    patches = [part.detach().float().cpu() for part in as_parts(values, "numbers")]
    count = len(patches)
    kinds, formats = _each(colors, count, "colors"), _each(fmt, count, "formats")
    drawn = [_patch(patch, kind) for patch, kind in zip(patches, kinds, strict=True)]
    signs = tiles.check_titles(between, count - 1, what="signs between")
    narrow = is_narrow(width)
    space = (24 if narrow else 34) if between else 2 * GAP
    across = [tile.shape[1] for tile in drawn]
    one_line = (width - space * (count - 1)) / sum(across)
    side = min(cell, _side_in_lines(across, width, space, bool(between)) if narrow else one_line)
    room = width if narrow else math.inf
    figure, axes = _patches(drawn, tiles.check_titles(titles, count), signs, (side, space, room))
    for patch, tile, one, form in zip(patches, drawn, axes, formats, strict=True):
        _numbers(one, patch, tile, form, side)
    tiles.outline(axes, marks)
    return figure


def _side_in_lines(across: Sequence[int], width: float, space: float, signs: bool) -> float:
    """Return the side of a square with which as many patches as can be read stand in a line of a narrow figure."""
    largest, side = sorted(across, reverse=True), 0.0
    for count in range(len(across), 0, -1):
        side = (width - space * (count - 1 + (signs and count < len(across)))) / sum(largest[:count])
        if side >= READABLE:
            break
    return side


def _each(value: str | Sequence[str], count: int, what: str) -> list[str]:
    return [value] * count if isinstance(value, str) else tiles.check_titles(value, count, what=what)


def _patch(patch: Tensor, kind: str) -> Tile:
    if patch.ndim == 3 and len(patch) == 3 and 0 not in patch.shape:
        return Picture((patch / (255 if patch.max() > 1 else 1)).clamp(0, 1).permute(1, 2, 0).numpy())
    if patch.ndim != 2 or 0 in patch.shape or max(patch.shape) > 32:
        raise BadInputError(
            f"A patch of at most 32 x 32 numbers, (H, W) or (3, H, W), is needed; got {tuple(patch.shape)}."
        )
    values = patch.numpy()
    if kind == "gray":
        low, high = float(values.min()), float(values.max())
        unit = Heat(values, low, high).unit(values) if high > low else np.full(values.shape, 0.5)
        return Picture(np.repeat(unit[..., None], 3, axis=-1))
    if kind not in ("heat", "signed"):
        raise BadInputError(f"colors has to be 'gray', 'heat' or 'signed'; got {kind!r}.")
    return heats(patch, signed=kind == "signed")[0]


def _patches(
    drawn: Sequence[Tile], titles: Sequence[str], signs: Sequence[str], sizes: tuple[float, float, float]
) -> tuple[Figure, list[Axes]]:
    """Draw the squares; patches of different heights are centered on one line, and a sign begins a further one.

    `sizes` are the side of a square, the space between patches and the room for a line.
    """
    side, space, room = sizes
    widths = [math.floor(tile.shape[1] * side * 2) / 2 for tile in drawn]
    texts = [wrap(text, w + space / 2) for text, w in zip(titles, widths, strict=True)]
    places = _in_lines(widths, space, room, space if any(signs) else 0)
    rows = [[n for n, (row, _) in enumerate(places) if row == number] for number in range(places[-1][0] + 1)]
    heads = [tiles.heading([texts[n] for n in row]) for row in rows]
    talls = [max(drawn[n].shape[0] for n in row) * side for row in rows]
    width = max(left + w for (_, left), w in zip(places, widths, strict=True))
    figure = Figure(math.ceil(width), math.ceil(sum(heads) + sum(talls) + GAP * (len(rows) - 1)))
    axes = []
    for n, (tile, w, text, sign) in enumerate(zip(drawn, widths, texts, ["", *signs], strict=True)):
        row, left = places[n]
        head = sum(heads[: row + 1]) + sum(talls[:row]) + GAP * row
        high = math.floor(tile.shape[0] * side * 2) / 2
        top = head + math.floor(talls[row] - high) / 2
        axes.append(tiles.draw(figure, tile, left, top, w, high))
        tiles.frame(axes[-1])
        figure.write(left, top - 7, text)
        figure.write(left - space / 2, head + talls[row] / 2, sign, size=20, ha="center", middle=True)
    return figure, axes


def _in_lines(widths: Sequence[float], space: float, room: float, indent: float) -> list[tuple[int, float]]:
    """Return line and left end of each patch; those below the first line leave room for the sign before them."""
    found: list[tuple[int, float]] = []
    row, left = 0, 0.0
    for width in widths:
        if found and left + width > room:
            row, left = row + 1, indent
        found.append((row, left))
        left += width + space
    return found


def _numbers(axes: Axes, patch: Tensor, tile: Tile, fmt: str, side: float) -> None:
    rows, columns = tile.shape
    colors = tile.pixels(rows, columns)
    for r in range(rows):
        for c in range(columns):
            numbers = [patch[r, c]] if patch.ndim == 2 else list(patch[:, r, c])
            text = "\n".join(_minus(format(number.item(), fmt)) for number in numbers)
            size = min(
                13.0,
                side * (0.36 if len(numbers) == 1 else 0.25),
                side * 1.75 / max(map(len, text.split("\n"))),
            )
            axes.text(
                c,
                r,
                text,
                ha="center",
                va="center",
                color=ink_on(colors[r, c]),
                fontproperties=font(size),
                linespacing=1.0,
                parse_math=False,
            )


def ink_on(color: np.ndarray) -> str:
    """Return black or white, whichever reads better on a color (3,) in [0, 1]."""
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return "black" if float(linear @ (0.2126, 0.7152, 0.0722)) > 0.179 else "white"


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
