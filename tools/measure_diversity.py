"""Measure several faces of a channel: how much they keep, and how different they and the real images are.

python tools/measure_diversity.py             the numbers, seven minutes on one core
python tools/measure_diversity.py LAYER       one of the two layers; the numbers of a layer are kept in the store
python tools/measure_diversity.py pictures    then the faces of 256 pixels in book/_data, one minute
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from measure_naive import spread
from measured import FOLDER, save, save_sheet
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, store, zoo

CHOSEN = {"blocks.3.2": 42, "blocks.4.2": 47}
UNITS, FACES, SIZE, STEPS, SEED, KEPT = 9, 4, 128, 64, 0, 0.8
WEIGHTS = (0.8, 0.4, 0.2, 0.1)
SCENES, TOP, MANY = 900, 8, 40
HERO = ("blocks.4.2", 47)


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model = zoo.load_model().requires_grad_(False)
    if "pictures" in sys.argv:
        return pictures(model)
    layers = sys.argv[1:] or list(CHOSEN)
    units = [unit for layer in layers for unit in store.remember(of_layer, model, layer)]
    if sys.argv[1:]:
        return None
    save(
        "diversity",
        {"size": SIZE, "steps": STEPS, "faces": FACES, "top": TOP, "weights": list(WEIGHTS), "units": units},
        how="python tools/measure_diversity.py",
        on=f"zoo.load_model(), {UNITS} channels of each of {len(CHOSEN)} layers, {FACES} pictures each, seed {SEED}; "
        f"the {TOP} (and, for the nearest one, {MANY}) of {SCENES} scenes (seed 0, {SIZE} pixels) that each channel "
        "answers to most, no cut-out in two of them",
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
        things: for each scene the names of the cut-outs in it.
    """

    level: Tensor
    deviation: Tensor
    best: Tensor
    place: Tensor
    values: Tensor
    things: list[set[str]]


def of_scenes(model: nn.Module, layer: str) -> Real:
    scenes = [zoo.Scenes("all", SIZE, length=SCENES)[index] for index in range(SCENES)]
    batches = torch.split(torch.stack([scene.image for scene in scenes]), 50)
    values = torch.cat([hooks.activations(model, batch, layer).flatten(2) for batch in batches])
    things = [{thing.cutout.name for thing in (s.main, s.second) if thing} for s in scenes]
    best, place = values.max(2)
    return Real(values.mean((0, 2)), values.std((0, 2)), best, place, values, things)


def apart(
    order: Sequence[int], things: list[set[str]], count: int, used: set[str] | None = None
) -> list[int]:
    """Return the first scenes of an order none of whose cut-outs is in an earlier one or among the used ones."""
    seen, found = set(used or ()), []
    for scene in order:
        if not seen & things[scene]:
            seen |= things[scene]
            found.append(scene)
    return found[:count]


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


def alike(values: Tensor) -> float:
    """Return the mean cosine of the Gram matrices of all pairs of images, from activations (N, C, H, W)."""
    return -fv.diversity("it")({"it": values}).mean().item()


def differing(layer: str, level: Tensor, centered: bool) -> fv.Objective:
    """Return `fv.diversity`, of the activations as they are or counted from each channel's level."""
    if not centered:
        return fv.diversity(layer)

    def score(values: Tensor) -> Tensor:
        return fv.diversity("it")({"it": values - level[:, None, None]})

    return fv.of_layer(layer, score, f"{layer}:diversity, centered")


def grow(model: nn.Module, layer: str, channel: int, wish: fv.Objective, size: int = SIZE) -> Tensor:
    """Return pictures of a wish for a channel, one for each start, as the chapter does."""
    start = fv.standard_image(size, [f"{layer}:{channel} #{face}" for face in range(FACES)], SEED)
    return fv.render(model, wish, start, size=size, steps=STEPS if size == SIZE else 96, seed=SEED).images


def of_layer(model: nn.Module, layer: str) -> list[dict[str, object]]:
    real = of_scenes(model, layer)
    channels = spread(len(real.level), 11, CHOSEN[layer])[:UNITS]
    made = [ways(model, layer, channel, real.level) for channel in channels]
    return [
        of_channel(model, layer, channel, real, made[index], made[index - 1]["starts"]["images"])
        for index, channel in enumerate(channels)
    ]


def ways(model: nn.Module, layer: str, channel: int, level: Tensor) -> dict[str, dict[str, Any]]:
    """Return pictures without a reward, and with each of two, of the largest weight that leaves each its share."""

    def rise(images: Tensor) -> Tensor:
        return hooks.activations(model, images, layer)[:, channel].mean((1, 2)) - level[channel]

    single = grow(model, layer, channel, fv.channel(layer, channel))
    full = rise(single).mean().item()
    found: dict[str, dict[str, Any]] = {"starts": {"images": single, "weight": 0.0}}
    for name, centered in (("faces", False), ("centered", True)):
        reward = differing(layer, level, centered)

        def faces(weight: float, reward: fv.Objective = reward) -> Tensor:
            return grow(model, layer, channel, fv.channel(layer, channel) / full + weight * reward)

        found[name] = largest(faces, lambda images: bool(rise(images).min() >= KEPT * full), single)
    for way in found.values():
        way |= {"kept": (rise(way["images"]) / full).tolist(), "full": full}
    return found


def largest(
    faces: Callable[[float], Tensor], enough: Callable[[Tensor], bool], otherwise: Tensor
) -> dict[str, Any]:
    """Return the pictures of the largest weight that are good enough; those without a reward where none is."""
    for weight in WEIGHTS:
        images = faces(weight)
        if enough(images):
            return {"images": images, "weight": weight}
    return {"images": otherwise, "weight": 0.0}


def of_channel(
    model: nn.Module, layer: str, channel: int, real: Real, made: dict[str, dict[str, Any]], stranger: Tensor
) -> dict[str, object]:
    """Return what is real and what is shown of a channel; a stranger is the pictures of another channel."""
    order = real.best[:, channel].argsort(descending=True).tolist()
    many = apart(order, real.things, MANY)
    used = set[str]().union(*(real.things[scene] for scene in many))
    others = apart(range(SCENES), real.things, TOP, used)
    seen = vectors(real.values[many], channel, real)
    plain = vectors(real.values[others], channel, real)
    strange = vectors(hooks.activations(model, stranger, layer), channel, real)
    found: dict[str, object] = {"layer": layer, "channel": channel, "scenes": many[:TOP]}
    found |= {"places": real.place[many[:TOP], channel].tolist(), "drive": _drive(real, many, channel)}
    found |= {"real": difference(seen[:TOP]), "real nearest": _left_out(seen)}
    found |= {"any scene nearest": nearest(plain, seen), "other channel nearest": nearest(strange, seen)}
    for name, way in made.items():
        values = hooks.activations(model, way["images"], layer)
        vector = vectors(values, channel, real)
        found[name] = difference(vector)
        found[f"{name} nearest"] = nearest(vector, seen)
        found[f"{name} alike"] = alike(values)
        found[f"{name} alike, centered"] = alike(values - real.level[:, None, None])
        found |= {f"{name} {key}": way[key] for key in ("kept", "weight")}
    return found | {"full": made["starts"]["full"]}


def _drive(real: Real, scenes: list[int], channel: int) -> list[float]:
    """Return by how many standard deviations a channel rises in the first and in the last of some scenes."""
    values = real.best[[scenes[0], scenes[-1]], channel]
    return ((values - real.level[channel]) / real.deviation[channel]).tolist()


def _left_out(seen: Tensor) -> list[float]:
    """Return the cosine of each of the first to the nearest of all others."""
    cosines = F.cosine_similarity(seen[:, None], seen[None], dim=2).fill_diagonal_(-1)
    return cosines.amax(1)[:TOP].tolist()


def pictures(model: nn.Module) -> None:
    """Write the faces of one channel without a reward, and with the weight that was found for them."""
    layer, channel = HERO
    measured = json.loads((FOLDER / "diversity.json").read_text(encoding="utf-8"))["units"]
    unit = next(one for one in measured if (one["layer"], one["channel"]) == HERO)
    level = of_scenes(model, layer).level
    single = grow(model, layer, channel, fv.channel(layer, channel), 256)
    wish = fv.channel(layer, channel) / unit["full"]
    rows = [
        grow(
            model,
            layer,
            channel,
            wish + unit[f"{name} weight"] * differing(layer, level, name != "faces"),
            256,
        )
        for name in ("faces", "centered")
    ]
    save_sheet("faces", [single, *rows])


if __name__ == "__main__":
    main()
