"""Spectra in Weights & Biases: the progress, a grid of images for each chosen unit, a table of all units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from interp import image
from interp.errors import MissingExtraError
from interp.spectrum.logs import Pace, summary
from interp.spectrum.state import Spectrum
from interp.spectrum.unit import Unit

COLUMNS = ["layer", "channel", "minimum", "median", "maximum", "flags", "minimum ids", "maximum ids"]


class WandbSink:
    """Logs to a run of Weights & Biases; use it as `logged(tracking(...), to=WandbSink(project="..."))`.

    Args:
        project: where the run belongs.
        units: (layer, channel) of the units that get a grid of images: a row for each band, minimum at the bottom.
        find_image: gives the image of an id as a picture, (1, 3, H, W) or (1, 1, H, W); without it there are no grids.
        mode: "online", or "offline" to write to the disk and upload later; what WANDB_MODE says by default.
        folder: where the client keeps its files; its own choice by default.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(
        self,
        *,
        project: str,
        units: Sequence[tuple[str, int]] = (),
        find_image: Callable[[int], Tensor] | None = None,
        mode: Literal["online", "offline"] | None = None,
        folder: str | None = None,
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise MissingExtraError("wandb", "wandb", "Logging to Weights & Biases") from error
        self.wandb: Any = wandb
        self.units, self.find_image = tuple(units), find_image
        self.run: Any = wandb.init(project=project, mode=mode, dir=folder)
        self.pace = Pace()

    def log(self, spectrum: Spectrum) -> None:
        """Log the progress.

        Raises:
            UnknownNameError, BadInputError: the spectrum has no unit that was asked for.
        """
        for unit in self.units:
            spectrum[unit]  # said now, not when everything has been looked at
        numbers = {
            f"{layer}/{kind}": count
            for layer, counts in summary(spectrum)["layers"].items()
            for kind, count in counts.items()
        }
        rate = self.pace.of(spectrum)
        numbers |= {} if rate is None else {"images a second": rate}
        self.run.log({"images": spectrum.images, "broken": len(spectrum.broken), **numbers})

    def finish(self, spectrum: Spectrum | None) -> None:
        """Log the table and the grids, and end the run, also where an image is not found."""
        try:
            if spectrum is not None:
                table = self.wandb.Table(columns=COLUMNS, data=[_row(unit) for unit in spectrum])
                self.run.log({"units": table})
                grids = {
                    f"{layer}/{channel}": self._grid(spectrum[layer, channel])
                    for layer, channel in self.units
                }
                self.run.log({name: picture for name, picture in grids.items() if picture is not None})
        finally:
            self.run.finish()

    def _grid(self, unit: Unit) -> Any:
        if self.find_image is None:
            return None
        picture = grid(unit, self.find_image)
        return self.wandb.Image(image.to_pil(picture), caption=f"{unit.layer} {unit.channel}: {unit.pool}")


def grid(unit: Unit, find_image: Callable[[int], Tensor], *, side: int = 96, gap: int = 2) -> Tensor:
    """Return a picture (1, 3, H, W) with a row of images for each band, the maximum on top; missing ones are white."""
    k = unit.best.shape[1] - 1
    rows = []
    for band in reversed(unit.bands.values()):
        tiles = [image.as_rgb(image.center_crop(find_image(id_), side)) for id_ in band.ids]
        tiles += [torch.ones(1, 3, side, side)] * (k - len(tiles))
        rows.append(torch.cat([_framed(tile, gap) for tile in tiles], dim=3))
    return torch.cat(rows, dim=2)


def _framed(tile: Tensor, gap: int) -> Tensor:
    return torch.nn.functional.pad(tile, (gap, gap, gap, gap), value=1.0)


def _row(unit: Unit) -> list[Any]:
    low, high = unit.range if unit.images else (float("nan"), float("nan"))
    ids = [" ".join(map(str, unit.band(name).ids)) for name in ("minimum", "maximum")]
    return [unit.layer, unit.channel, low, unit.quantile(0.5), high, "; ".join(unit.flags), *ids]
