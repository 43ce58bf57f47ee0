"""Measure several faces of a channel: how much they keep, and how different they and the real images are.

python tools/measure_diversity.py             the numbers, four minutes on one core
python tools/measure_diversity.py pictures    the faces of 256 pixels in book/_data, one minute
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from measure_naive import spread
from measured import save, save_sheet
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, store, zoo

CHOSEN = {"blocks.3.2": 42, "blocks.4.2": 47}
UNITS, FACES, SIZE, STEPS, SEED, KEPT = 9, 4, 128, 64, 0, 0.8
WEIGHTS = (0.8, 0.4, 0.2, 0.1)
SCENES, TOP, MANY = 900, 8, 40
HERO, HERO_WEIGHT = ("blocks.4.2", 47), 0.8


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model = zoo.load_model().requires_grad_(False)
    if "pictures" in sys.argv:
        return pictures(model)
    units = [unit for layer in CHOSEN for unit in of_layer(model, layer)]
    save(
        "diversity",
        {"size": SIZE, "steps": STEPS, "faces": FACES, "top": TOP, "weights": list(WEIGHTS), "units": units},
        how="python tools/measure_diversity.py",
        on=f"zoo.load_model(), {UNITS} channels of each of {len(CHOSEN)} layers, {FACES} pictures each, seed {SEED}; "
        f"the {TOP} scenes of {SCENES} (seed 0, {SIZE} pixels) that each channel answers to most",
    )
    return None


@dataclass(frozen=True)
class Real:
    """What a layer does on scenes: its level, its spread, and for each channel the best place of each scene.

    Attributes:
        level: (C,), the mean over scenes and positions.
        deviation: (C,), the standard deviation over scenes and positions.
        best: (scenes, C), each channel's largest value.
        place: (scenes, C), where that was, row * width + column.
        values: (scenes, C, positions).
    """

    level: Tensor
    deviation: Tensor
    best: Tensor
    place: Tensor
    values: Tensor


def of_scenes(model: nn.Module, layer: str) -> Real:
    scenes = zoo.Scenes("all", SIZE, length=SCENES)
    batches = [range(at, at + 50) for at in range(0, SCENES, 50)]
    pixels = [torch.stack([scenes[index].image for index in batch]) for batch in batches]
    parts = [hooks.activations(model, batch, layer).flatten(2) for batch in pixels]
    values = torch.cat(parts)
    best, place = values.max(2)
    return Real(values.mean((0, 2)), values.std((0, 2)), best, place, values)


def vectors(values: Tensor, channel: int, real: Real) -> Tensor:
    """Return what the other channels do where one is largest, in standard deviations, (N, C - 1)."""
    values = values.flatten(2)
    place = values[:, channel].argmax(1)
    found = values[torch.arange(len(values)), :, place]
    found = (found - real.level) / real.deviation
    return torch.cat([found[:, :channel], found[:, channel + 1 :]], dim=1)


def difference(found: Tensor) -> float:
    """Return 1 minus the mean cosine of all pairs."""
    cosines = F.cosine_similarity(found[:, None], found[None], dim=2)
    count = len(found)
    return 1 - ((cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1))).item()


def nearest(found: Tensor, real: Tensor) -> list[float]:
    """Return the cosine of each to the nearest of the real ones."""
    return F.cosine_similarity(found[:, None], real[None], dim=2).amax(1).tolist()


def grow(model: nn.Module, layer: str, channel: int, weight: float, full: float, size: int = SIZE) -> Tensor:
    """Return pictures of a channel that have to differ by a weight, as the chapter does."""
    wish = fv.channel(layer, channel) / full + weight * fv.diversity(layer)
    start = fv.standard_image(size, [f"{layer}:{channel} #{face}" for face in range(FACES)], SEED)
    return fv.render(model, wish, start, size=size, steps=STEPS if size == SIZE else 96, seed=SEED).images


def of_layer(model: nn.Module, layer: str) -> list[dict[str, object]]:
    real = of_scenes(model, layer)
    channels = spread(len(real.level), 11, CHOSEN[layer])[:UNITS]
    return [of_channel(model, layer, channel, real) for channel in channels]


def of_channel(model: nn.Module, layer: str, channel: int, real: Real) -> dict[str, object]:
    order = real.best[:, channel].argsort(descending=True)[:MANY]
    seen = vectors(real.values[order], channel, real)
    apart, faces = store.remember(two_ways, model, layer, channel, real.level[channel].item())
    found: dict[str, object] = {"layer": layer, "channel": channel, "scenes": order[:TOP].tolist()}
    found |= {"places": real.place[order[:TOP], channel].tolist()}
    found |= {"real": difference(seen[:TOP]), "real nearest": _left_out(seen)}
    for name, way in (("seeds", apart), ("faces", faces)):
        vector = vectors(hooks.activations(model, way["images"], layer), channel, real)
        found[name] = difference(vector)
        found[f"{name} nearest"] = nearest(vector, seen)
        found[f"{name} gram"] = way["gram"]
        found[f"{name} kept"] = way["kept"]
    return found | {"weight": faces["weight"], "full": apart["full"]}


def _left_out(seen: Tensor) -> list[float]:
    """Return the cosine of each of the first to the nearest of all others."""
    cosines = F.cosine_similarity(seen[:, None], seen[None], dim=2).fill_diagonal_(-1)
    return cosines.amax(1)[:TOP].tolist()


def two_ways(
    model: nn.Module, layer: str, channel: int, level: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return pictures without and with diversity, of the largest weight that leaves every face its share."""

    def rise(images: Tensor) -> Tensor:
        return hooks.activations(model, images, layer)[:, channel].mean((1, 2)) - level

    apart = grow(model, layer, channel, 0.0, 1.0)
    full = rise(apart).mean().item()
    for weight in WEIGHTS:
        faces = grow(model, layer, channel, weight, full)
        if rise(faces).min() >= KEPT * full:
            break
    else:
        weight = 0.0

    def entry(images: Tensor, used: float) -> dict[str, Any]:
        gram = 1 + fv.diversity("it")({"it": hooks.activations(model, images, layer)}).mean().item()
        return {
            "images": images,
            "gram": gram,
            "kept": (rise(images) / full).tolist(),
            "weight": used,
            "full": full,
        }

    return entry(apart, 0.0), entry(faces, weight)


def pictures(model: nn.Module) -> None:
    layer, channel = HERO
    apart = grow(model, layer, channel, 0.0, 1.0, 256)
    full = hooks.activations(model, apart, layer)[:, channel].mean().item()
    faces = grow(model, layer, channel, HERO_WEIGHT, full, 256)
    kept = hooks.activations(model, faces, layer)[:, channel].mean((1, 2)) / full
    print("kept", [round(one, 3) for one in kept.tolist()])
    save_sheet("faces", [apart, faces])


if __name__ == "__main__":
    main()
