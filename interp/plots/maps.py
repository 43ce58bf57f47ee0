"""A photograph beside the maps that explain it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from interp.errors import BadInputError
from interp.plots import tiles
from interp.plots.figure import TEXT_WIDTH, Figure
from interp.plots.pictures import check_columns, heats, pictures
from interp.plots.tiles import Tile


def explained(
    images: Tensor,
    maps: Mapping[str, Tensor],
    *,
    columns: int | None = None,
    percentile: float = 99.5,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Show each photograph followed by its maps: red and blue where a map has both signs, viridis where it has not.

    Args:
        images: (N, 3, H, W) in [0, 1].
        maps: name to heat (N, H, W); each is scaled for itself.
        columns: how many tiles in a row; the photograph and all its maps if None.
        percentile: the percentile of the absolute values that gets the strongest color.
        width: the width to fill, in CSS pixels.

    Raises:
        BadInputError: a map has another number of images.
    """
    photographs = pictures(images)
    for name, heat in maps.items():
        if heat.ndim != 3 or len(heat) != len(photographs):
            raise BadInputError(
                f"The map {name!r} has the shape {tuple(heat.shape)}; ({len(photographs)}, H, W) is needed."
            )
    columns = 1 + len(maps) if columns is None else columns
    check_columns(columns)
    shown: list[Tile] = []
    for number, photograph in enumerate(photographs):
        shown.append(photograph)
        for heat in maps.values():
            one = heat[number]
            shown += heats(one, signed=bool((one < 0).any()), percentile=percentile)
    return tiles.grid(shown, ["", *maps] * len(photographs), columns=columns, width=width)
