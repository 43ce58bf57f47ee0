"""Build the site: data as small JavaScript files, so that it works from a folder as well as from a server."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage
from torch import nn

from interp.microscope import neighbors, pictures
from interp.spectrum import BANDS, Engine, Job, Source, Spectrum, Unit, files, here, run

BINS = 48
NEIGHBORS = 6
SIGNS = {1: "plus", -1: "minus"}


def build(
    model: nn.Module,
    source: Source,
    site: Path,
    *,
    layers: Sequence[str],
    title: str,
    about: str = "",
    pool: str = "mean",
    k: int = 9,
    sample: int = 512,
    steps: int = 96,
    tile: int = 112,
    thumbnail: int = 128,
    size: int = 128,
    optimized: Callable[[str, int], Sequence[np.ndarray]] | None = None,
    engine: Engine = here,
    progress: bool = False,
) -> Path:
    """Build a site that shows every channel of some layers, and return its index.html.

    Every unit has an address of its own, index.html#LAYER/CHANNEL. After an interruption the same call goes on: what
    took long lies in the folder `work` beside the site, which may be deleted afterwards.

    Args:
        model: any network for images (N, 3, H, W) in [0, 1].
        source: the images.
        site: the folder; made if it is missing.
        layers: which layers, in the order in which they run; places with both signs are best.
        title: the name of the network.
        about: a sentence about network and images, shown on the first page.
        pool: how an activation map becomes a score: "mean", "max" or "center".
        k: images in a band, at most nine are shown.
        sample: images for the correlations.
        steps: of the optimized pictures; 0 leaves them out.
        tile: side of an optimized picture on the site in pixels.
        thumbnail: side of an image on the site in pixels.
        size: side of the images in which weights between layers are measured.
        optimized: gives the pictures (S, S, 3), as bytes, of all channels for (layer, sign), where they exist already.
        engine: runs the shards of the images.
        progress: whether to show bars.

    Raises:
        UnknownNameError: a layer does not exist.
        UnwritableError: the folder cannot be written.
    """
    work = site.with_name(f"{site.name}-work")
    names = list(dict.fromkeys(layers))
    job = Job(model, tuple(names), source, pool=pool, k=k, sample=sample)
    spectrum = run(job, work / "spectrum", engine=engine, progress=progress)
    shown = pictures.show(model, spectrum, source, site / "thumbnails", side=thumbnail, progress=progress)
    render = optimized or _renderer(model, spectrum, work, steps, progress)
    for layer, sign in itertools.product(names if steps else [], (1, -1)):
        small = [_resized(each, tile) for each in render(layer, sign)]
        _write_optimized(small, site, layer, sign)
    tables = _neighbors(model, spectrum, size)
    for layer in names:
        _write(site / "data" / f"{slug(layer)}.js", "layer", _layer(spectrum, layer, shown, tables))
    index = {
        "title": title,
        "about": about,
        "images": spectrum.images,
        "broken": len(spectrum.broken),
        "pool": pool,
        "labels": shown.labels,
        "thumbnail": {"side": thumbnail, "sheet": pictures.SHEET, "columns": 10, "count": len(shown.ids)},
        "layers": [_about_layer(spectrum, layer, steps) for layer in names],
    }
    _write(site / "data" / "index.js", "index", index)
    page = resources.files("interp") / "templates" / "microscope.html"
    files.write(site / "index.html", page.read_bytes())
    return site / "index.html"


def slug(layer: str) -> str:
    """Return a file name for a layer: names of modules are nearly free, so everything else becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", layer)


def _renderer(
    model: nn.Module, spectrum: Spectrum, work: Path, steps: int, progress: bool
) -> Callable[[str, int], Sequence[np.ndarray]]:
    """Return a function that renders all channels of a layer, and keeps what is finished."""

    def render(layer: str, sign: int) -> Sequence[np.ndarray]:
        folder = work / f"{slug(layer)}-{SIGNS[sign]}"
        channels = len(spectrum.layers[layer])
        return pictures.rendered(model, layer, channels, sign, folder, steps=steps, progress=progress)

    return render


def _write_optimized(tiles: Sequence[np.ndarray], site: Path, layer: str, sign: int) -> None:
    path = site / "optimized" / f"{slug(layer)}-{SIGNS[sign]}.webp"
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.write_sheet(tiles, path, columns=columns_of(len(tiles)))


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(PILImage.fromarray(picture).resize((side, side), PILImage.Resampling.LANCZOS))


def columns_of(channels: int) -> int:
    """Return how many tiles a row of a sheet has: WebP ends at 16383 pixels a side."""
    return min(16 if channels <= 2048 else 64, channels)


def _neighbors(model: nn.Module, spectrum: Spectrum, size: int) -> dict[str, Any]:
    below = neighbors.by_weight(model, spectrum, size, NEIGHBORS)
    return {
        "below": below,
        "above": neighbors.reversed_neighbors(below, NEIGHBORS),
        "alike": neighbors.by_correlation(spectrum, NEIGHBORS),
    }


# ------------------------------------------------------------------------------------------------------------
# Data


def _about_layer(spectrum: Spectrum, layer: str, steps: int) -> dict[str, Any]:
    units = [spectrum[layer, channel] for channel in range(len(spectrum.layers[layer]))]
    return {
        "name": layer,
        "slug": slug(layer),
        "channels": len(units),
        "columns": columns_of(len(units)),
        "optimized": bool(steps),
        "flagged": sum(bool(unit.flags) for unit in units),
    }


def _layer(
    spectrum: Spectrum, layer: str, shown: pictures.Shown, tables: Mapping[str, Any]
) -> dict[str, Any]:
    place = {id_: index for index, id_ in enumerate(shown.ids)}
    order = {name: index for index, name in enumerate(spectrum.layers)}
    units = []
    for channel in range(len(spectrum.layers[layer])):
        unit = spectrum[layer, channel]
        about = _unit(unit, place, shown)
        for kind, table in tables.items():
            about[kind] = [
                [order[name], index, round(value, 3)]
                for name, index, value in table.get((layer, channel), [])
            ]
        units.append(about)
    return {"name": layer, "units": units}


def _unit(unit: Unit, place: Mapping[int, int], shown: pictures.Shown) -> dict[str, Any]:
    """Return what the page of one unit shows, in short names: it is there a thousand times."""
    edges, shares = unit.histogram(BINS) if unit.images else ([0.0, 0.0], [1.0])
    bands = []
    for name in BANDS:
        band = unit.band(name)
        keys = [(unit.layer, unit.channel, name, id_) for id_ in band.ids[:9]]
        windows = [
            [round(share, 4) for share in shown.windows[key]] if key in shown.windows else None
            for key in keys
        ]
        bands.append(
            {
                "i": [place[id_] for id_ in band.ids[:9]],
                "s": [_short(score) for score in band.scores[:9]],
                "w": windows,
            }
        )
    return {
        "b": bands,
        "h": [round(1000 * share / max(shares)) for share in shares],
        "r": [_short(edges[0]), _short(edges[-1])],
        "m": _short(unit.quantile(0.5)) if unit.images else None,
        "f": list(unit.flags),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _write(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write data as a call: a page that is opened from a folder may load scripts, but no JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    files.write(path, f"microscope.{kind}({text});\n".encode())
