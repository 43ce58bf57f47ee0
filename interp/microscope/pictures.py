"""The pictures of the site: thumbnails of the images that any unit shows, and the optimized pictures, on sheets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor, nn
from tqdm import tqdm

from interp import featurevis as fv
from interp import hooks, image
from interp.spectrum import Source, Spectrum
from interp.spectrum.patches import Field, receptive_field, window

SHEET = 100  # thumbnails on a sheet, ten by ten
QUALITY = 78  # of WebP: at this size no artifact is seen
Window = tuple[float, float, float]  # left, top, side as shares of the shown square


@dataclass(frozen=True)
class Shown:
    """The images that the site shows.

    Attributes:
        ids: in the order of their thumbnails.
        labels: one for each.
        windows: {(layer, channel, band, id): the patch in which the unit was strongest or weakest}.
    """

    ids: tuple[int, ...]
    labels: tuple[str, ...]
    windows: Mapping[tuple[str, int, str, int], Window]


def wanted(spectrum: Spectrum) -> dict[int, list[tuple[str, int, str]]]:
    """Return {id: [(layer, channel, band), ...]} of all images in any band."""
    found: dict[int, list[tuple[str, int, str]]] = {}
    for unit in spectrum:
        for name, band in unit.bands.items():
            for id_ in band.ids:
                found.setdefault(id_, []).append((unit.layer, unit.channel, name))
    return found


@torch.no_grad()
def show(
    model: nn.Module,
    spectrum: Spectrum,
    source: Source,
    folder: Path,
    *,
    side: int,
    progress: bool = False,
) -> Shown:
    """Fetch the images of all bands once; write their thumbnails, and find the patches that made the units fire.

    Args:
        model: the network.
        spectrum: of the units.
        source: finds the images.
        folder: where the sheets are written, as 000.webp, 001.webp, ...
        side: of a thumbnail in pixels.
        progress: whether to show a bar.
    """
    needed = wanted(spectrum)
    fields: dict[tuple[int, int], dict[str, Field]] = {}
    ids, labels, thumbnails = [], [], []
    windows: dict[tuple[str, int, str, int], Window] = {}
    for entry in tqdm(source.find(sorted(needed)), total=len(needed), unit=" images", disable=not progress):
        picture = entry.load()
        size = picture.shape[2], picture.shape[3]
        if size not in fields:
            fields[size] = _fields(model, spectrum, picture)
        ids.append(entry.id)
        labels.append(entry.label)
        thumbnails.append(image.to_numpy(image.center_crop(picture, side))[0])
        found = _windows(model, picture, fields[size], needed[entry.id])
        windows |= {(*unit, entry.id): place for unit, place in found.items()}
    write_sheets(thumbnails, folder)
    return Shown(tuple(ids), tuple(labels), windows)


def _fields(model: nn.Module, spectrum: Spectrum, picture: Tensor) -> dict[str, Field]:
    """Return the receptive fields of the layers that have positions."""
    maps = hooks.run(model, picture, list(spectrum.layers))
    size = picture.shape[2], picture.shape[3]
    return {name: receptive_field(model, name, size) for name, each in maps.items() if each.ndim == 4}


def _windows(
    model: nn.Module, picture: Tensor, fields: Mapping[str, Field], units: Sequence[tuple[str, int, str]]
) -> dict[tuple[str, int, str], Window]:
    """Return the patch of each unit in one picture: where it is strongest, or weakest for the bands below zero."""
    maps = hooks.run(model, picture, list(fields)) if fields else {}
    ends = {
        name: (each[0].flatten(1).argmin(dim=1).tolist(), each[0].flatten(1).argmax(dim=1).tolist())
        for name, each in maps.items()
    }
    size = picture.shape[2], picture.shape[3]
    found = {}
    for layer, channel, band in units:
        if layer in fields:
            field = fields[layer]
            place = ends[layer][band in ("slightly positive", "maximum")][channel]
            corner = window(field, divmod(place, field.grid[1]), size)
            found[layer, channel, band] = _shares(corner, size)
    return found


def _shares(corner: tuple[int, int, int], size: tuple[int, int]) -> Window:
    """Return (left, top, side) as shares of the middle square of an image, which is what a thumbnail shows."""
    top, left, side = corner
    short = min(size)
    inner = min(side / short, 1.0)
    x, y = (left - (size[1] - short) / 2) / short, (top - (size[0] - short) / 2) / short
    return min(max(x, 0.0), 1 - inner), min(max(y, 0.0), 1 - inner), inner


def write_sheets(thumbnails: Sequence[np.ndarray], folder: Path) -> None:
    """Write square thumbnails (S, S, 3) on sheets of ten by ten."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(math.ceil(len(thumbnails) / SHEET)):
        part = thumbnails[number * SHEET : (number + 1) * SHEET]
        write_sheet(part, folder / f"{number:03d}.webp", columns=10)


def write_sheet(tiles: Sequence[np.ndarray], path: Path, *, columns: int) -> None:
    """Write square tiles (S, S, 3) row by row into one WebP; empty places are gray."""
    side, rows = tiles[0].shape[0], math.ceil(len(tiles) / columns)
    sheet = np.full((rows * side, columns * side, 3), 128, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = (each * side for each in divmod(place, columns))
        sheet[top : top + side, left : left + side] = tile
    with image.replacing(path) as temporary:
        PILImage.fromarray(sheet).save(temporary, format="WEBP", quality=QUALITY, method=6)


def rendered(
    model: nn.Module,
    layer: str,
    channels: int,
    sign: int,
    folder: Path,
    *,
    steps: int,
    size: int = 128,
    progress: bool = False,
) -> list[np.ndarray]:
    """Render every channel of a layer upwards (1) or downwards (-1); return the pictures as bytes (S, S, 3).

    The pictures are kept in the folder: a second start renders only what is missing.
    """
    objectives = [sign * fv.channel(layer, channel) for channel in range(channels)]
    out = fv.render_folder(model, objectives, folder, steps=steps, size=size, progress=progress)
    files = [folder / out.images[objective.name]["file"] for objective in objectives]
    return [image.to_numpy(image.load(file))[0] for file in files]
