"""Measure how readable the channels of several places are, and how readable random directions are in their stead.

    python tools/measure_zero_and_axes.py

The test of Bau et al., 2017, section 3.2, https://arxiv.org/abs/1704.05796: a random rotation of a layer leaves its
information as it is. If channels are special, fewer rotated ones are detectors.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from measured import save
from torch import Tensor

from interp import folding, hooks, zoo

SCENES, SLICE = 480, 120
PLACES = {  # layer to (where it stands, number of rotations)
    "blocks.3.2": ("linear", 8),
    "blocks.4.2": ("linear", 20),
    "blocks.5.3": ("linear", 8),
    "blocks.5.0.bn_expand": ("before ReLU6", 4),
    "blocks.5.0.act_expand": ("behind ReLU6", 4),
    "bn_head": ("before ReLU6", 4),
    "act_head": ("behind ReLU6", 4),
}


def rotation(channels: int, seed: int) -> Tensor:
    """Return a random rotation, evenly among all: Q of a Gaussian matrix with the signs of R's diagonal."""
    q, r = torch.linalg.qr(torch.randn(channels, channels, generator=torch.Generator().manual_seed(seed)))
    return q * r.diagonal().sign()


def true_places(scene: zoo.Scene, grid: int) -> Tensor:
    """Return where each class is seen in a scene, (10, grid, grid)."""
    places = torch.zeros(10, grid, grid)
    for thing in filter(None, (scene.main, scene.second)):
        if thing.label >= 0:
            cover = F.adaptive_avg_pool2d(thing.mask[None].float(), grid)[0]
            places[thing.label] = torch.maximum(places[thing.label], (cover > 0.5).float())
    return places


def best_overlap(values: Tensor, truth: Tensor, share: float) -> Tensor:
    """Return (channels, classes) intersection over union of each channel's top share with each class."""
    chosen = (
        values > values.kthvalue(int(values.shape[1] * (1 - share)), dim=1, keepdim=True).values
    ).float()
    both = chosen @ truth.t()
    return both / (chosen.sum(dim=1)[:, None] + truth.sum(dim=1) - both)


def readable(values: Tensor, truth: Tensor, classes: Tensor) -> dict[str, float]:
    """Return how readable the rows of values (channels, scenes x positions) are, by four measures."""
    overlap = best_overlap(values, truth, 0.01)
    tops = classes[values.view(len(values), len(classes), -1).mean(dim=2).topk(9, dim=1).indices]
    alike = (tops == tops.mode(dim=1).values[:, None]).sum(dim=1)
    spread = (values - values.mean(dim=1, keepdim=True)) / values.std(dim=1, keepdim=True).clamp(min=1e-6)
    return {
        "detectors": (overlap.amax(dim=1) > 0.04).float().mean().item(),
        "strict": (best_overlap(values, truth, 0.005).amax(dim=1) > 0.04).float().mean().item(),
        "classes": (overlap.amax(dim=0) > 0.04).sum().item(),
        "overlap": overlap.amax(dim=1).mean().item(),
        "five_of_nine": (alike >= 5).float().mean().item(),
        "kurtosis": (spread.pow(4).mean(dim=1) - 3).median().item(),
    }


@torch.no_grad()
def main() -> None:
    model, scenes = zoo.load_model(), zoo.Scenes("all", 224, length=SCENES)
    shown = [name for name in PLACES if not name.endswith(("act_expand", "act_head"))]
    network = folding.fold(model, keep=shown)
    kept: dict[str, list[Tensor]] = {name: [] for name in shown}
    truths: dict[int, list[Tensor]] = {7: [], 14: []}
    classes: list[Any] = []
    for start in range(0, SCENES, 32):
        some = [scenes[number] for number in range(start, min(start + 32, SCENES))]
        images = torch.stack([scene.image for scene in some]).to(memory_format=torch.channels_last)
        for name, maps in hooks.run(network, images, shown).items():
            kept[name].append(maps.half().contiguous())
        for grid, found in truths.items():
            found.extend(true_places(scene, grid) for scene in some)
        classes.extend(scene.label for scene in some)
    labels = torch.tensor(classes)
    others = torch.randperm(SCENES, generator=torch.Generator().manual_seed(0))
    results: dict[str, dict[str, Any]] = {}
    for name, (kind, seeds) in PLACES.items():
        source = name.replace("act_", "bn_")
        maps = torch.cat(kept[source]).float()
        maps = maps.clamp(0, 6) if source != name else maps
        places = torch.stack(truths[maps.shape[-1]])
        values, truth = (one.transpose(0, 1).flatten(1) for one in (maps, places))
        strangers = places[others].transpose(0, 1).flatten(1)
        results[name] = {
            "kind": kind,
            "channels": len(values),
            "as_it_is": readable(values, truth, labels),
            "by_chance": readable(values, strangers, labels[others]),
            "rotated": [readable(rotation(len(values), s) @ values, truth, labels) for s in range(seeds)],
        }
        print(name, kind, *(f"{k} {v}" for k, v in results[name].items() if k != "rotated"), sep="\n  ")
        print("   rotated", *results[name]["rotated"][:4], sep="\n    ", flush=True)
        if name == "blocks.4.2":
            part = values.view(len(values), SCENES, -1)[:, :SLICE].flatten(1)
            where = truth.view(10, SCENES, -1)[:, :SLICE].flatten(1)
            results[name]["slice"] = readable(part, where, labels[:SLICE])
            print("   slice", results[name]["slice"])
    save(
        "zero_and_axes",
        {"scenes": SCENES, "slice": SLICE, "places": results},
        how="python tools/measure_zero_and_axes.py",
        on="EfficientNet-Lite0, 480 scenes of zoo.Scenes('all', 224), all channels of seven places, "
        "rotations of the seeds 0, 1, ...",
    )


if __name__ == "__main__":
    main()
