"""Build the book's activation atlas: one layer of its network, over embedded scenes and photographs.

    python tools/make_atlas.py

The site, without the page itself, goes to book/_data/atlas, with what the chapter asks: points.json, where the
points lie and what is there, and directions.npz, what the cells' pictures were optimized for. What is finished is kept
in .cache, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import Any

import measured
import numpy as np
import torch
import torch.nn.functional as F
from make_microscope import CREDIT
from torch import Tensor

from interp import atlas, zoo
from interp.atlas import plane, points
from interp.digest import digest
from interp.spectrum import Items
from interp.spectrum.patches import receptive_field

DATA = measured.FOLDER.parent / "atlas"
CACHE = measured.FOLDER.parents[2] / ".cache"
LAYER, SIZE = "blocks.5.3", 224
OTHER = "blocks.4.2"  # a layer before it, for comparison
SCENES, CROPS = 440, 4
SEEDS = (1, 2, 3, 4)  # of other planes
NEIGHBORS = (5, 100)  # that UMAP takes into account, instead of 20
PLAN = atlas.Plan(
    positions=8,
    grid=18,
    side=96,
    steps=64,
    channels=3,
    examples=5,
    thumbnail=80,
    title="EfficientNet-Lite0",
    about=f"What {LAYER} of the network that this book looks into does at thousands of positions of {SCENES} scenes "
    f"and {CROPS} crops each of 15 photographs. Neighbors are positions at which it does nearly the same.",
    credit=CREDIT,
    back=("Looking inside a vision model", "../index.html"),
)


class Images(torch.utils.data.Dataset[Any]):
    """Scenes, and behind them crops of the photographs; the label is the class, or the name of the photograph."""

    def __init__(self, scenes: int = SCENES, crops: int = CROPS) -> None:
        self.scenes, self.names = zoo.Scenes("all", SIZE, length=scenes), zoo.photograph_names()
        self.crops = crops

    def __len__(self) -> int:
        return len(self.scenes) + self.crops * len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        if index < len(self.scenes):
            scene = self.scenes[index]
            return scene.image, zoo.SCENE_CLASSES[scene.label]
        name, number = divmod(index - len(self.scenes), self.crops)
        whole = zoo.example_images(self.names[name], size=SIZE * 3 // 2)
        top, left = (side * (SIZE // 2) for side in divmod(number, 2))
        return whole[0, :, top : top + SIZE, left : left + SIZE], self.names[name]


def source(scenes: int = SCENES, crops: int = CROPS) -> Items:
    """Return the images of the atlas; a slice of them, for a test."""
    return Items(Images(scenes, crops), f"scenes and crops {scenes} {crops}", size=SIZE, shard_size=100)


def truth(ids: Tensor, positions: Tensor, layer: str = LAYER) -> list[list[Any]]:
    """Return [cut-out, class, share of the object around the place] of points in scenes."""
    field = receptive_field(zoo.load_model(), layer, SIZE)
    scenes = zoo.Scenes("all", SIZE, length=SCENES)
    found, last = [], (-1, scenes[0])
    for id_, where in zip(ids.tolist(), positions.tolist(), strict=True):
        last = last if last[0] == id_ else (id_, scenes[id_])  # the points of a scene follow one another
        scene = last[1]
        y, x = (round(field.center[axis] + where[axis] * field.stride[axis]) for axis in (0, 1))
        around = scene.mask[max(y - 16, 0) : y + 16, max(x - 16, 0) : x + 16].float().mean()
        found.append([scene.main.cutout.name, zoo.SCENE_CLASSES[scene.label], round(float(around), 2)])
    return found


def main() -> None:
    """Build the site, and write what the chapter needs."""
    torch.set_num_threads(1)
    model, images = zoo.load_model(), source()
    name = f"atlas-{digest([images.fingerprint, vars(PLAN), LAYER, digest(model)])[:12]}"
    atlas.build(model, LAYER, images, CACHE / name, plan=PLAN, progress=True)
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(parents=True)
    for file in [*sorted((CACHE / name).glob("*.webp")), CACHE / name / "data.js"]:
        shutil.copy(file, DATA)
    work = CACHE / f"{name}-work"
    some = points.kept(model, LAYER, images, work, positions=PLAN.positions, seed=PLAN.seed)
    where = torch.load(points.opened(work / "plane.pt"), weights_only=True)
    keep_directions(some, where)
    there = some.ids < SCENES
    found = truth(some.ids[there], some.positions[there])
    how = measured.made("python tools/make_atlas.py", f"{LAYER}, {SCENES} scenes, 15 photographs")
    planes = {"umap": rounded(where), "pca": rounded(plane.pca_plane(some.vectors))}
    same = same_class(some, found) | {"other": other_layer(model, images)}
    rest = {"ids": some.ids.tolist(), "positions": some.positions.tolist(), "labels": list(some.labels)}
    content = {"made": how, **rest, **planes, "truth": found, **same}
    (DATA / "points.json").write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def rounded(plane_: Tensor) -> list[list[float]]:
    """Return places with three digits."""
    return [[round(value, 3) for value in pair] for pair in plane_.tolist()]


def keep_directions(some: atlas.Points, where: Tensor) -> None:
    """Write what the pictures were optimized for, and the averages of the cells and of all points."""
    cells = atlas.cells(some.vectors, where, grid=PLAN.grid, minimum=PLAN.minimum)
    whiten, middle = atlas.whitening(some.vectors), some.vectors.mean(dim=0)
    means = torch.stack([cell.mean for cell in cells])
    directions = F.normalize((means - middle) @ whiten, dim=1)
    half, known = means.half().numpy(), directions.half().numpy()
    np.savez_compressed(DATA / "directions.npz", middle=middle.numpy(), means=half, directions=known)


@dataclass(frozen=True)
class OnObjects:
    """Which points lie on an object of a scene, and which class and cut-out it is of."""

    points: Tensor
    labels: list[str]
    groups: Tensor

    @classmethod
    def of(cls, found: list[list[Any]]) -> OnObjects:
        on = torch.tensor([share >= 0.5 for _, _, share in found]).nonzero()[:, 0]
        names = [found[place][0] for place in on.tolist()]
        groups = torch.tensor([sorted(set(names)).index(name) for name in names])
        return cls(on, [found[place][1] for place in on.tolist()], groups)

    def share(self, places: Tensor) -> float:
        """Return the share of neighbors, of other cut-outs, that are of the same class."""
        return round(float(atlas.agreement(places[self.points], self.labels, self.groups).mean()), 4)


def same_class(some: atlas.Points, found: list[list[Any]]) -> dict[str, Any]:
    """Return how many neighbors on objects are of the same class: in the layer, and in other planes."""
    objects, vectors = OnObjects.of(found), some.vectors
    plain = plane.umap()(n_neighbors=20, min_dist=plane.CLOSENESS, metric="cosine", random_state=0, n_jobs=1)
    return {
        "layer": objects.share(F.normalize(vectors - vectors.mean(dim=0), dim=1)),
        "seeds": [objects.share(atlas.umap_plane(vectors, seed=seed)) for seed in SEEDS],
        "neighbors": {
            str(count): objects.share(atlas.umap_plane(vectors, neighbors=count)) for count in NEIGHBORS
        },
        "from zero": [
            objects.share(F.normalize(vectors, dim=1)),
            objects.share(torch.from_numpy(plain.fit_transform(vectors.numpy()))),
        ],
    }


def other_layer(model: torch.nn.Module, images: Items) -> dict[str, float]:
    """Return the same shares for the layer before: in the layer, and in its plane."""
    some = atlas.sample(model, OTHER, images.find(range(SCENES)), positions=PLAN.positions)
    objects = OnObjects.of(truth(some.ids, some.positions, OTHER))
    return {
        "points": len(objects.labels),
        "layer": objects.share(F.normalize(some.vectors - some.vectors.mean(dim=0), dim=1)),
        "umap": objects.share(atlas.umap_plane(some.vectors)),
    }


if __name__ == "__main__":
    main()
