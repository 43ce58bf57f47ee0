"""The pictures of an atlas: one a cell, one a channel, and the images in the cells, on sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image
from interp.atlas.plane import Cell
from interp.featurevis.rendering import takes
from interp.spectrum import Source
from interp.spectrum.entries import persistent

SHEET, ACROSS = 256, 16  # pictures on a sheet and in its row, as templates/atlas.js has them
Units = Sequence[tuple[int, int]]  # channels with the sign in which they are shown


def objective(layer: str, cell: Cell, middle: Tensor, whiten: Tensor, *, power: float = 0.0) -> fv.Objective:
    """Return the objective of a cell's picture: the mean over the positions of the activations in the cell's direction.

    The direction is that of the cell's average, seen from the average over all points, whitened, and of the length 1.

    Args:
        layer: of the points.
        cell: what to show.
        middle: (C,), the average over all points.
        whiten: (C, C), what the difference is multiplied with.
        power: of the cosine that counts as well, as in Carter et al., 2019; see `featurevis.direction`.
    """
    direction = F.normalize(whiten @ (cell.mean - middle), dim=0)
    return fv.direction(layer, direction, cosine_power=power, name=f"cell {cell.row}-{cell.column}")


def channels(layer: str, units: Units) -> list[fv.Objective]:
    """Return the objectives of the pictures of channels."""
    return [sign * fv.channel(layer, channel) for channel, sign in units]


def side_of(model: nn.Module, layer: str, side: int, size: int) -> int:
    """Return the side of the optimized pictures: that of the images where the network takes no other."""
    return side if takes(model, [layer], side) else size


def thumbnails(model: nn.Module, source: Source, ids: Sequence[int], side: int) -> list[np.ndarray]:
    """Return the middle squares of images, small, as bytes (side, side, 3), in the order of the ids."""
    inputs, found = hooks.inputs_of(model), {}
    with torch.no_grad():
        for entry in source.find(sorted(set(ids))):
            picture = image.center_crop(persistent(entry.load, entry.name), side)
            found[entry.id] = image.to_numpy(inputs.pictures(picture))[0]
    return [found[id_] for id_ in ids]


def write_sheets(pictures: Sequence[np.ndarray], folder: Path, name: str) -> None:
    """Write pictures on sheets of 16 by 16, NAME-0.webp, NAME-1.webp, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(math.ceil(len(pictures) / SHEET)):
        part = pictures[number * SHEET : (number + 1) * SHEET]
        image.write_sheet(part, folder / f"{name}-{number}.webp", columns=ACROSS)
