"""The pictures of the site: every image that any unit shows, small, and the optimized pictures, on sheets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor, nn
from tqdm import tqdm

from interp import folding, hooks, image, runs
from interp.errors import BadInputError
from interp.featurevis.rendering import takes
from interp.microscope import details
from interp.spectrum import Entry, Source, Spectrum
from interp.spectrum.entries import persistent
from interp.spectrum.patches import Field, finite_channels, receptive_field, window

SHEET, ACROSS = (
    256,
    16,
)  # optimized pictures on a sheet and in its row, as templates/microscope-parts.js has them
SIDE = 128  # of an optimized picture on a sheet, in pixels
QUALITY = 80  # of WebP: what is lost is not seen at this size
SAMPLED = 2000  # images of the sample that the site shows at most
PART = 250  # images between two records of what is finished
DOWNWARD = ("minimum", "slightly negative")  # the columns whose patch is where the unit is weakest
Window = tuple[float, float, float]  # left, top, side as shares of the shown square
Key = tuple[str, int, str]  # layer, channel, band


@dataclass(frozen=True)
class Shown:
    """The images that the site shows.

    Attributes:
        ids: in the order of their files.
        labels: one for each: its class, or its name where there is none.
        windows: {(layer, channel, band, id): the patch in which the unit was strongest or weakest}.
        maps: {(layer, channel, band, id): how strong it was where, as `details.cells` writes it}.
        tags: for each image further words by which it is found.
    """

    ids: tuple[int, ...]
    labels: tuple[str, ...]
    windows: Mapping[tuple[str, int, str, int], Window]
    maps: Mapping[tuple[str, int, str, int], str] = field(default_factory=dict)
    tags: tuple[tuple[str, ...], ...] = ()


def sampled(spectrum: Spectrum) -> list[int]:
    """Return the ids of the sample's images that the site shows, in the sample's order."""
    return [int(id_) for id_ in spectrum.sample[:SAMPLED]]


def wanted(spectrum: Spectrum) -> dict[int, list[Key]]:
    """Return {id: [(layer, channel, band), ...]} of all images in any column or the sample, in the order of the ids."""
    found: dict[int, list[Key]] = {id_: [] for id_ in sampled(spectrum)}
    for unit in spectrum:
        for band in unit.columns:
            for id_ in band.ids:
                found.setdefault(id_, []).append((unit.layer, unit.channel, band.name))
    return dict(sorted(found.items()))


def file(folder: Path, place: int) -> Path:
    """Return where the image at a place lies."""
    return folder / f"{place // 1000:03d}" / f"{place % 1000:03d}.webp"


def show(
    model: nn.Module,
    spectrum: Spectrum,
    source: Source,
    folder: Path,
    work: Path,
    *,
    side: int,
    progress: bool = False,
) -> Shown:
    """Fetch the images of all columns once; write them small, and find the patches that made the units fire.

    Args:
        model: the network.
        spectrum: of the units.
        source: finds the images.
        folder: where the images are written, as 000/000.webp, 000/001.webp, ...
        work: where it is written down what is finished; a second start does the rest.
        side: of a written image in pixels.
        progress: whether to show a bar.
    """
    needed, labels = wanted(spectrum), []
    ids = tuple(needed)
    windows: dict[tuple[str, int, str, int], Window] = {}
    maps: dict[tuple[str, int, str, int], str] = {}
    look = _Look(model, tuple(spectrum.layers))
    work.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(ids), desc="images on the site", unit=" images", disable=not progress) as bar:
        for start in range(0, len(ids), PART):
            part = ids[start : start + PART]
            record = work / f"{start:09d}.json"
            targets = [file(folder, start + index) for index in range(len(part))]
            if not (record.exists() and all(target.exists() for target in targets)):
                entries = zip(source.find(part), targets, strict=True)
                found = [_one(look, entry, needed[entry.id], target, side) for entry, target in entries]
                runs.write_json(record, {"images": found})
            for id_, entry in zip(part, runs.read_json(record)["images"], strict=True):
                labels.append(entry["label"])
                windows |= {(*key, id_): tuple(place) for *key, place, _ in entry["windows"]}
                maps |= {(*key, id_): cells for *key, _, cells in entry["windows"]}
            bar.update(len(part))
    return Shown(ids, tuple(labels), windows, maps)


def _one(look: _Look, entry: Entry, units: Sequence[Key], target: Path, side: int) -> dict[str, Any]:
    """Write one image, and return its label and the patches of the units that show it."""
    picture = persistent(entry.load, entry.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with runs.replacing(target) as temporary:
        small = image.to_pil(look.inputs.pictures(image.center_crop(picture, side)))
        small.save(temporary, format="WEBP", quality=QUALITY, method=6)
    windows = [[*key, place, cells] for key, place, cells in look.windows(picture, units)]
    return {"label": entry.label or Path(entry.name).stem, "windows": windows}


class _Look:
    """Finds where units are strongest in an image; the receptive fields are measured once for each size."""

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self.model, self.layers = folding.fold(model, keep=layers), layers
        self.device, self.inputs = hooks.device_of(model), hooks.inputs_of(model)
        self.fields: dict[tuple[int, int], dict[str, Field]] = {}

    def windows(self, picture: Tensor, units: Sequence[Key]) -> Iterator[tuple[Key, Window, str]]:
        """Yield the patch and the map of each unit whose layer has positions."""
        size = picture.shape[2], picture.shape[3]
        fields = self.fields_at(size) if units else {}
        maps = self._maps(picture, list(fields)) if fields else {}
        ends = {
            name: (each.argmin(dim=1).tolist(), each.argmax(dim=1).tolist())
            for name, each in ((name, found[0].flatten(1)) for name, found in maps.items())
        }
        coarse = {name: details.small(found[0]).cpu() for name, found in maps.items()}
        for layer, channel, band in units:
            if layer in fields:
                seen, place = fields[layer], ends[layer][band not in DOWNWARD][channel]
                corner = window(seen, divmod(place, seen.grid[1]), size)
                yield (layer, channel, band), _shares(corner, size), details.cells(coarse[layer][channel])

    def fields_at(self, size: tuple[int, int]) -> dict[str, Field]:
        """Return the receptive fields of the layers that have positions, for images of a size."""
        if size not in self.fields:
            maps = self._maps(hooks.gray(self.model, size), self.layers)
            self.fields[size] = {
                name: receptive_field(self.model, name, size) for name, each in maps.items() if each.ndim == 4
            }
        return self.fields[size]

    def _maps(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        with torch.no_grad():
            return hooks.run(self.model, picture.to(self.device), list(layers))


@torch.no_grad()
def check_finite(model: nn.Module, layers: Sequence[str], size: tuple[int, int]) -> None:
    """Refuse layers of which no channel is finite, since their receptive fields cannot be measured.

    Raises:
        BadInputError: all channels of a layer hold NaN or infinite values for a gray image.
    """
    for name, maps in hooks.run(model, hooks.gray(model, size), layers).items():
        if maps.ndim == 4 and not bool(finite_channels(maps).any()):
            raise BadInputError(
                f"All channels of the layer {name!r} hold NaN or infinite values for a gray image, so that there is "
                "nothing to show. Leave the layer out, or look for the weights that are no numbers."
            )


def fields(model: nn.Module, spectrum: Spectrum, size: tuple[int, int]) -> dict[str, Field]:
    """Return {layer: its receptive field} of the layers that have positions, for images of a size."""
    return _Look(model, tuple(spectrum.layers)).fields_at(size)


def _shares(corner: tuple[int, int, int], size: tuple[int, int]) -> Window:
    """Return (left, top, side) as shares of the middle square of an image, which is what the site shows."""
    top, left, side = corner
    short = min(size)
    inner = min(side / short, 1.0)
    x, y = (left - (size[1] - short) / 2) / short, (top - (size[0] - short) / 2) / short
    return round(min(max(x, 0.0), 1 - inner), 4), round(min(max(y, 0.0), 1 - inner), 4), round(inner, 4)


# ------------------------------------------------------------------------------------------------------------
# Optimized pictures


def sheets(layer: str, sign: int, count: int) -> list[str]:
    """Return the names of the files that hold the optimized pictures of a layer (its name as a file has it)."""
    end = "plus" if sign > 0 else "minus"
    return [f"{layer}-{end}-{number}.webp" for number in range(math.ceil(count / SHEET))]


def write_alone(pictures: Sequence[np.ndarray], layer: str, sign: int, folder: Path) -> None:
    """Write square pictures (S, S, 3) as one file each, so that the page of a channel need not fetch a sheet."""
    target = folder / f"{layer}-{'plus' if sign > 0 else 'minus'}"
    target.mkdir(parents=True, exist_ok=True)
    for channel, picture in enumerate(pictures):
        with runs.replacing(target / f"{channel}.webp") as temporary:
            PILImage.fromarray(picture).save(temporary, format="WEBP", quality=QUALITY, method=6)


def at_most(side: int, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return square pictures (S, S, 3), reduced where they are larger than a side."""
    return [
        np.asarray(PILImage.fromarray(each).resize((side, side), PILImage.Resampling.LANCZOS))
        if len(each) > side
        else each
        for each in pictures
    ]


def write_sheets(pictures: Sequence[np.ndarray], names: Sequence[str], folder: Path) -> None:
    """Write square pictures (S, S, 3) on sheets of 16 by 16, one after the other, at most 128 pixels wide each."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = at_most(SIDE, pictures)
    for number, name in enumerate(names):
        part = pictures[number * SHEET : (number + 1) * SHEET]
        image.write_sheet(part, folder / name, columns=ACROSS, quality=QUALITY)


def picture_side(model: nn.Module, layers: Sequence[str], size: int, wanted: int = SIDE) -> int:
    """Return the side of the optimized pictures: the wanted one, or that of the images if the network takes no other.

    Args:
        model: the network.
        layers: whose channels are rendered.
        size: side of images that the network takes.
        wanted: side in pixels, where the images are not smaller.
    """
    side = min(wanted, size)
    return side if takes(model, layers, side) else size
