"""Build the book's microscope: three layers of its network, over embedded scenes.

    python tools/make_microscope.py

What has to be computed goes to book/_data/microscope. The optimized pictures are those of book/_data/layers
(tools/make_data.py) and book/_data/large (tools/make_large.py); the page itself belongs to the package.
book/_ext/microscope.py puts them together on the site.
What is finished is kept in .cache, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import make_data
import make_large
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from torch import Tensor

from interp import hooks, microscope, runs, zoo
from interp.digest import digest
from interp.microscope import dissection, effects, neighbors
from interp.spectrum import Items, Job, Measure, Spectrum

DATA = make_data.DATA / "microscope"
LAYERS = tuple(make_data.LAYERS)
SCENES = 1200
RAISED_ON = 20  # scenes on which channels are raised: the classes take turns, so two of each
GRID = 14  # places across a scene at which channels and masks are compared
KEPT = ("data", "thumbnails")
ABOUT = (
    "Every channel of three layers of the network that this book looks into: the pictures that drive it down and up, "
    f"and what {SCENES:,} scenes made of photographs do to it."
)
CREDIT = (
    "The scenes are made of photographs: cut-outs from Tux Paint (Bill Kendrick and contributors) under the GNU "
    "General Public License, version 2 or later, on backgrounds from scikit-image and scikit-learn. Whoever passes the "
    "scenes on does so under the same license."
)


def job(count: int = SCENES, layers: Sequence[str] = LAYERS) -> Job:
    """Return what is computed; a slice of it, for a test."""
    scenes = Items(
        zoo.Scenes("all", 224, length=count),
        "scenes all 224",
        class_names=zoo.SCENE_CLASSES,
        shard_size=100,
    )
    return Job(zoo.load_model(), tuple(layers), scenes, Measure(sample=SCENES))


def optimized(layer: str, sign: int) -> list[np.ndarray]:
    """Return the large pictures of a layer's channels."""
    files = (make_large.file(layer, sign, channel) for channel in range(make_data.LAYERS[layer]))
    return [np.asarray(PILImage.open(file).convert("RGB")) for file in files]


@functools.cache
def scenes() -> zoo.Scenes:
    return zoo.Scenes("all", 224, length=SCENES)


def tags(index: int) -> list[str]:
    """Return the names of the objects in a scene."""
    scene = scenes()[index]
    return [thing.cutout.name.replace("-", " ") for thing in (scene.main, scene.second) if thing is not None]


@functools.cache
def maps_and_masks(kept: Path) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Return what lies in a file, or else compute it and write it there.

    It is {layer: (N, C, GRID, GRID)}, the masks (N, GRID, GRID), the labels and the objects (N,) of all scenes.
    """
    if kept.exists():
        found: tuple[dict[str, Tensor], Tensor, Tensor, Tensor] = torch.load(kept, weights_only=True)
        return found
    model, every = zoo.load_model(), [scenes()[index] for index in range(SCENES)]
    parts = []
    for start in range(0, SCENES, 50):
        images = torch.stack([scene.image for scene in every[start : start + 50]])
        with torch.no_grad():
            run = hooks.run(model, images, LAYERS)
        parts.append({name: F.adaptive_avg_pool2d(each, GRID).half() for name, each in run.items()})
    maps = {name: torch.cat([part[name] for part in parts]) for name in LAYERS}
    masks = dissection.cover(torch.stack([scene.mask for scene in every]), (GRID, GRID))
    names = sorted({scene.main.cutout.name for scene in every})
    objects = torch.tensor([names.index(scene.main.cutout.name) for scene in every])
    found = maps, masks, torch.tensor([scene.label for scene in every]), objects
    torch.save(found, kept)
    return found


def besides(spectrum: Spectrum, layer: str) -> list[Mapping[str, Any]]:
    """Return of each channel of a layer what it raises and lowers, and what its strongest places show."""
    kept = site_of(job()).with_name(f"microscope-besides-{layer}.json")
    if not kept.exists():
        runs.write_json(kept, {"channels": _besides(spectrum, layer)})
    found: list[Mapping[str, Any]] = runs.read_json(kept)["channels"]
    return found


def _besides(spectrum: Spectrum, layer: str) -> list[Mapping[str, Any]]:
    model, names = zoo.load_model(), list(zoo.SCENE_CLASSES)
    class_names: Sequence[str] = model.class_names  # type: ignore[assignment]
    maps, masks, labels, objects = maps_and_masks(site_of(job()).with_name("microscope-maps.pt"))
    found = dissection.dissect(maps[layer].float(), masks, labels, objects)
    images = torch.stack([scenes()[index].image for index in range(RAISED_ON)])
    steps = neighbors.spread(spectrum)[layer].tolist()
    moved = effects.class_effects(model, layer, steps, images)
    return [
        {
            "classes": effects.summary(moved, channel, class_names, step),
            "labels": dissection.summary(found, channel, names),
        }
        for channel, step in enumerate(steps)
    ]


def site_of(whole: Job) -> Path:
    """Return where the site is built; what decides it is part of the name: a folder is never that of another run."""
    return make_data.ROOT / ".cache" / f"microscope-{digest(whole.settings)[:12]}" / "site"


def main() -> None:
    torch.set_num_threads(1)
    whole = job()
    site = site_of(whole)
    microscope.build(
        whole,
        site,
        title="EfficientNet-Lite0",
        about=ABOUT,
        credit=CREDIT,
        back=("Looking inside a vision model", "../book/index.html"),
        optimized=optimized,
        tags=tags,
        besides=besides,
        progress=True,
    )
    shutil.rmtree(DATA, ignore_errors=True)
    for name in KEPT:
        shutil.copytree(site / name, DATA / name)


if __name__ == "__main__":
    main()
