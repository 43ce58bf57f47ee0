"""Build the site: data as small JavaScript files, so that it works from a folder as well as from a server."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from interp import hooks, runs, templates
from interp.errors import BadInputError
from interp.microscope import neighbors, pictures, records
from interp.spectrum import Engine, Job, Source, Spectrum, here, run
from interp.spectrum.tracking import check_size, named
from interp.zoo import warn_of_missing_normalization

NEIGHBORS = 6
PAGE = {"microscope.html": "index.html"} | {
    name: name for name in ("microscope.css", "microscope.js", "microscope-parts.js")
}
Optimized = Callable[[str, int], Sequence[np.ndarray]]


def build(
    model: nn.Module,
    source: Source,
    site: str | os.PathLike[str],
    *,
    layers: Sequence[str],
    title: str,
    about: str = "",
    credit: str = "",
    back: tuple[str, str] | None = None,
    pool: str = "mean",
    k: int = 9,
    sample: int = 512,
    batch: int = 16,
    steps: int = 96,
    side: int = 224,
    size: int = 224,
    optimized: Optimized | None = None,
    engine: Engine = here,
    progress: bool = False,
) -> Path:
    """Build a site that shows every channel of some layers, and return its index.html.

    Every unit has an address of its own, index.html#LAYER/CHANNEL. After an interruption the same call goes on: what
    took long lies in the folder SITE-work beside the site, which may be deleted afterwards.

    Args:
        model: any network for images (N, 3, H, W) in [0, 1], on the device where it is to run.
        source: the images.
        site: the folder: new, empty, or of the same run.
        layers: which layers, in the order in which they run; places with both signs are best.
        title: the name of the network.
        about: a sentence about network and images, shown on the first page.
        credit: where the images come from and under which terms, shown at the foot of each page.
        back: words and address of a link to where the site belongs.
        pool: how an activation map becomes a score: "mean", "max" or "center".
        k: images in a band, at most nine are shown.
        sample: images for the correlations.
        batch: images in a forward pass.
        steps: of the optimized pictures; 0 leaves them out.
        side: of an image on the site in pixels.
        size: side of the images of the source in pixels, at which receptive fields and weights are measured; pictures
            are optimized at it if it is below 128, or if the network takes no other.
        optimized: gives the pictures (S, S, 3), as bytes, of all channels for (layer, sign), where they exist already.
        engine: runs the shards of the images.
        progress: whether to show bars.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: the folder holds something else, or an option cannot be used.
        UnwritableError: the folder cannot be written.

    Warns:
        UserWarning: the network seems to miss its normalization; see `zoo.missing_normalization`.
    """
    if not layers or side < 8 or steps < 0:
        raise BadInputError(
            f"At least one layer, side >= 8 and steps >= 0 are needed; got {len(layers)}, {side}, {steps}."
        )
    site, names = Path(site), tuple(named(model, layers))
    check_size(model, names, size)
    warn_of_missing_normalization(model, size)
    work = site.with_name(f"{site.name}-work")
    device = str(hooks.device_of(model))
    picture_side = pictures.picture_side(model, names, size)
    job = Job(model, names, source, pool=pool, k=k, sample=sample, batch=batch, device=device)
    runs.claim(site, {**job.settings, "side": side, "steps": steps})
    spectrum = run(job, work / "spectrum", engine=engine, progress=progress)
    shown = pictures.show(
        model, spectrum, source, site / "thumbnails", work / f"images-{side}", side=side, progress=progress
    )
    if steps:
        _optimize(
            optimized or _renderer(model, spectrum, work, steps, picture_side, progress), spectrum, site
        )
    words = {"title": title, "about": about, "credit": credit, "back": back, "size": size, "thumbnail": side}
    _write_data(model, spectrum, shown, words, site, optimized=bool(steps))
    write_page(site)
    return site / "index.html"


def write_page(site: Path) -> None:
    """Write the page itself, which is the same for every network."""
    for name, target in PAGE.items():
        runs.write(site / target, templates.read(name))


# ------------------------------------------------------------------------------------------------------------
# Pictures and data


def _optimize(render: Optimized, spectrum: Spectrum, site: Path) -> None:
    for (layer, units), sign in itertools.product(spectrum.layers.items(), (1, -1)):
        found = render(layer, sign)
        names = pictures.sheets(runs.file_stem(layer), sign, len(units))
        pictures.write_sheets(found, names, site / "optimized")


def _renderer(
    model: nn.Module, spectrum: Spectrum, work: Path, steps: int, side: int, progress: bool
) -> Optimized:
    """Return a function that renders all channels of a layer, and keeps what is finished."""

    def render(layer: str, sign: int) -> Sequence[np.ndarray]:
        folder = work / f"optimized-{runs.file_stem(layer)}-{'plus' if sign > 0 else 'minus'}"
        channels = len(spectrum.layers[layer])
        return pictures.rendered(
            model, layer, channels, sign, folder, steps=steps, side=side, progress=progress
        )

    return render


def _write_data(
    model: nn.Module,
    spectrum: Spectrum,
    shown: pictures.Shown,
    words: Mapping[str, Any],
    site: Path,
    *,
    optimized: bool,
) -> None:
    size = words["size"]
    tables = _neighbors(model, spectrum, size)
    for layer in spectrum.layers:
        _write(
            site / "data" / f"{runs.file_stem(layer)}.js",
            "layer",
            records.layer(spectrum, layer, shown, tables),
        )
    fields = pictures.fields(model, spectrum, (size, size))
    _write(
        site / "data" / "index.js",
        "index",
        {
            **words,
            **records.index(
                spectrum,
                shown,
                fields,
                optimized=optimized,
                class_names=getattr(model, "class_names", ()),
            ),
        },
    )


def _neighbors(model: nn.Module, spectrum: Spectrum, size: int) -> records.Tables:
    below, above = neighbors.by_weight(model, spectrum, size, NEIGHBORS)
    return {"below": below, "above": above, "alike": neighbors.by_correlation(spectrum, NEIGHBORS)}


def _write(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write data as a call: a page that is opened from a folder may load scripts, but no JSON."""
    with runs.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    runs.write(path, f"microscope.{kind}({text});\n".encode(errors="replace"))
