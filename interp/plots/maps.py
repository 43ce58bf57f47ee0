"""A photograph beside the maps that explain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from interp.errors import BadInputError
from interp.plots import tiles
from interp.plots.figure import TEXT_WIDTH, Figure
from interp.plots.pictures import check_columns, heats, pictures
from interp.plots.tiles import Overlay, Picture, Tile


def explained(
    images: Tensor,
    maps: Mapping[str, Tensor],
    *,
    over: bool = False,
    columns: int | None = None,
    row_titles: Sequence[str] | None = None,
    percentile: float = 99.5,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Show each photograph followed by its maps: red and blue where a map has both signs, viridis where it has not.

    Args:
        images: (N, 3, H, W) in [0, 1], or (N, 1, H, W) in gray.
        maps: name to heat (N, h, w); each map is scaled for itself.
        over: lay the maps over the photograph instead of showing it first; what is below 0 is then drawn as 0.
        columns: how many tiles in a row; all that belong to one photograph if None.
        row_titles: one for each row, written at its left.
        percentile: the percentile of the absolute values that gets the strongest color.
        width: the width to fill, in CSS pixels.

    Raises:
        BadInputError: a map has another number of images.
    """
    photographs = pictures(images)
    for name, heat in maps.items():
        if heat.ndim != 3 or len(heat) != len(photographs):
            raise BadInputError(
                f"The map {name!r} has the shape {tuple(heat.shape)}; ({len(photographs)}, h, w) is needed."
            )
    shown: list[Tile] = []
    for number, photograph in enumerate(photographs):
        own = [heat[number] for heat in maps.values()]
        shown += _over(photograph, own, percentile) if over else [photograph, *_beside(own, percentile)]
    names = [*maps] if over else ["", *maps]
    columns = len(names) if columns is None else columns
    check_columns(columns)
    # With one row for each photograph the names stand once, at the top.
    titles = names + names * (len(photographs) - 1) if columns < len(names) else names
    titles += [""] * (len(shown) - len(titles))
    return tiles.grid(shown, titles, columns=columns, row_titles=row_titles, width=width)


def _beside(maps: Sequence[Tensor], percentile: float) -> list[Tile]:
    return [t for one in maps for t in heats(one, signed=bool((one < 0).any()), percentile=percentile)]


def _over(photograph: Picture, maps: Sequence[Tensor], percentile: float) -> list[Tile]:
    return [Overlay(photograph, t) for one in maps for t in heats(one, signed=False, percentile=percentile)]
