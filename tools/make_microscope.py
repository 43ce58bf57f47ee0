"""Build the book's microscope: seven layers of its network, one a stage, over embedded scenes.

    python tools/make_microscope.py

What has to be computed goes to book/_data/microscope. The optimized pictures are those of book/_data/large
(tools/make_large.py); the page itself belongs to the package, and the scenes can be made at any time.
book/_ext/microscope.py puts them together on the site.
What is finished is kept in .cache, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import make_data
import make_large
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from torch import Tensor
from tqdm import tqdm

from interp import hooks, microscope, runs, zoo
from interp.digest import digest
from interp.microscope import cues, dissection, effects, neighbors
from interp.spectrum import Items, Job, Measure, Spectrum, scorer

DATA = make_data.DATA / "microscope"
LAYERS = ("blocks.0.0", "blocks.1.1", "blocks.2.1", "blocks.3.2", "blocks.4.2", "blocks.5.3", "blocks.6.0")
SCENES = 1200
RAISED_ON = 20  # scenes on which channels are raised: the classes take turns, so two of each
GRID = 14  # places across a scene at which channels and masks are compared
COMPARED = 40  # scenes that drive a channel most, and as many in the middle
ABOUT = (
    "Every channel of seven layers, one a stage, of the network that this book looks into: the pictures that drive it "
    f"down and up, and what {SCENES:,} scenes made of photographs do to it."
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
    """Return the large pictures of a layer's channels; none of a layer for which none were made."""
    files = (make_large.file(layer, sign, channel) for channel in range(make_large.LAYERS.get(layer, 0)))
    return [np.asarray(PILImage.open(file).convert("RGB")) for file in files]


@functools.cache
def scenes() -> zoo.Scenes:
    return zoo.Scenes("all", 224, length=SCENES)


def tags(index: int) -> list[str]:
    """Return the names of the objects in a scene."""
    scene = scenes()[index]
    return [thing.cutout.shows for thing in (scene.main, scene.second) if thing is not None]


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
    """Return of each channel of a layer what it raises and lowers, what its strongest places show, what it needs."""
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
    left = left_of(spectrum, layer)
    return [
        {
            "classes": effects.summary(moved, channel, class_names, step),
            "labels": dissection.summary(found, channel, names),
            "cues": cues.summary(left, channel, COMPARED),
        }
        for channel, step in enumerate(steps)
    ]


def regions(scene: zoo.Scene) -> Tensor:
    """Return (H, W) 0 on the ground of a scene, 1 on its object, 2 on a second one."""
    found = scene.main.mask.long()
    return found if scene.second is None else torch.where(scene.second.mask, 2, found)


CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mirrored": lambda images, _: images.flip(3),
    "gray": lambda images, _: cues.gray(images),
    "shuffled": lambda images, _: cues.shuffled(images),
    "flat": cues.flat,
}


@functools.cache
def changed_scores(kept: Path) -> dict[str, dict[str, Tensor]]:
    """Return {change: {layer: (N, C)}}, the scores of the changed scenes, from a file or else computed and written."""
    if kept.exists():
        found: dict[str, dict[str, Tensor]] = torch.load(kept, weights_only=True)
        return found
    score, parts = scorer(zoo.load_model(), LAYERS, pool=job().measure.pool), []
    for start in tqdm(range(0, SCENES, 50), desc="scenes without color, arrangement, texture"):
        some = [scenes()[index] for index in range(start, start + 50)]
        images, where = torch.stack([scene.image for scene in some]), torch.stack([*map(regions, some)])
        parts.append({name: score(change(images, where)) for name, change in CHANGES.items()})
    found = {
        name: {layer: torch.cat([part[name][layer] for part in parts]) for layer in LAYERS}
        for name in CHANGES
    }
    torch.save(found, kept)
    return found


def left_of(spectrum: Spectrum, layer: str) -> dict[str, Tensor]:
    """Return {change: (C,)} what is left of the response of each channel of a layer."""
    changed = changed_scores(site_of(job()).with_name("microscope-changed.pt"))
    plain = spectrum.layers[layer].scores.t()[spectrum.sample.argsort()]  # in the order of the scenes
    return {name: cues.kept(plain, each[layer], COMPARED) for name, each in changed.items()}


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
        links=(
            ("With a network of your own", "../book/appendix/your-own-network.html"),
            ("Next: the lab", "../lab/index.html"),
        ),
        grow="../lab/index.html",
        optimized=optimized,
        tags=tags,
        besides=besides,
        progress=True,
    )
    shutil.rmtree(DATA, ignore_errors=True)
    shutil.copytree(site / "data", DATA / "data")


if __name__ == "__main__":
    main()
