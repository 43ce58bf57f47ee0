"""Measure what the chapter on maps for any unit shows on a few: units, directions, photographs, scenes of known truth.

python tools/measure_maps.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from measured import save
from torch import Tensor, nn

from interp import attribution, folding, hooks, image, store, zoo
from interp.attribution import Aim, along, for_and_against, logit, unit

LAYERS = {"blocks.4.2": "blocks.3.2", "blocks.5.3": "blocks.4.2"}  # the units' layer: the layer of their maps
UNITS, SCENES, SIDE, COVERED = 32, 100, 28, 8
DEVICE = os.environ.get("MEASURE_ON", "cpu")  # or "cuda"
torch.backends.cudnn.allow_tf32 = False  # all 24 bits on a GPU, too
LOTS = 4  # classes drawn by lot for a scene


def main() -> None:
    model = folded()
    found: dict[str, dict[str, list[dict[str, float]] | list[int]]] = {}
    for layer, below in LAYERS.items():
        drawn = channels_of(model, layer)
        found[layer] = {
            "numbers": drawn,
            "units": [store.remember(of_unit, model, layer, below, a, b) for a, b in in_a_ring(drawn)],
            "directions": [
                store.remember(of_direction, model, layer, below, seed=a, other=b)
                for a, b in in_a_ring(range(UNITS))
            ],
        }
    keep(found, [store.remember(of_scene, model, number) for number in numbers_of_scenes()])


def on(tensor: Tensor) -> Tensor:
    """Return the tensor on the device that measures."""
    return tensor.to(DEVICE)


def folded() -> nn.Module:
    """Return the network with folded batch norms and names of its classes."""
    model = folding.fold(zoo.load_model().to(DEVICE), keep=[*LAYERS, *LAYERS.values(), "act_head"])
    model.class_names = zoo.imagenet_class_names()  # type: ignore[assignment]
    return model


def channels_of(model: nn.Module, layer: str) -> list[int]:
    """Return channels of the layer, drawn by lot."""
    channels = hooks.activations(model, on(zoo.example_images("cat")), layer).shape[1]
    return torch.randperm(channels, generator=torch.Generator().manual_seed(0))[:UNITS].tolist()


def in_a_ring(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return each number with the next one, its control; the last one with the first."""
    return list(zip(numbers, [*numbers[1:], numbers[0]], strict=True))


def keep(found: dict[str, Any], scenes: list[dict[str, object]]) -> None:
    """Write what was measured."""
    save(
        "maps",
        {"covered": found, "scenes": scenes},
        how="python tools/measure_maps.py",
        on=f"EfficientNet-Lite0, {UNITS} units and {UNITS} random directions of {', '.join(LAYERS)} on 15 photographs, "
        f"{SCENES} scenes of two objects",
    )


# --------------------------------------------------------------------------------------------------------------------
# Cover what a map marks


def photographs() -> Tensor:
    return on(torch.cat([image.center_crop(zoo.photograph(name), 224) for name in zoo.photograph_names()]))


def marked(heat: Tensor) -> Tensor:
    """Return (N, 1, H, W), 1 in the 8 of 64 squares with the largest sum."""
    sums = torch.nn.functional.avg_pool2d(heat[:, None], SIDE).flatten(1)
    squares = torch.zeros_like(sums).scatter_(1, sums.topk(COVERED, 1).indices, 1)
    grid = squares.view(len(heat), 1, heat.shape[1] // SIDE, heat.shape[2] // SIDE)
    return grid.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3)


def covered(images: Tensor, heat: Tensor) -> Tensor:
    """Return the images, blurred where the map is largest."""
    return torch.where(marked(heat) > 0, attribution.fill(images, "blur"), images)


def effects(model: nn.Module, images: Tensor, aim: Aim, maps: dict[str, Tensor]) -> dict[str, float]:
    """Return how the score changes when what each map marks is covered: a mean, in deviations over the images."""
    whole = attribution.scores(model, images, aim)
    return {
        name: ((attribution.scores(model, covered(images, heat), aim) - whole) / whole.std()).mean().item()
        for name, heat in maps.items()
    }


def both_sides(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return each map twice: where it is largest, and where it is lowest."""
    return {
        name + side: sign * heat
        for name, heat in maps.items()
        for side, sign in (("for", 1), ("against", -1))
    }


def of_aim(model: nn.Module, aim: Aim, other: Aim, below: str) -> dict[str, Tensor]:
    """Return the maps of an aim, and two that know nothing of it: another aim's, and where the layer is active."""
    images = photographs()

    def heat(of: Aim, by_position: bool) -> Tensor:
        return for_and_against(model, images, of, below, by_position=by_position)[below].total

    active = hooks.activations(model, images, below).abs().sum(1)
    return {
        "": heat(aim, True),
        "mean ": heat(aim, False),
        "other ": heat(other, True),
        "active ": image.resize(active, (224, 224)),
    }


def of_unit(model: nn.Module, layer: str, below: str, number: int, other: int) -> dict[str, float]:
    """Return what covering does to a channel's mean; the other channel is a control."""
    images, aim = photographs(), unit(layer, number)
    own = image.resize(hooks.activations(model, images, layer)[:, number], (224, 224))
    maps = both_sides({**of_aim(model, aim, unit(layer, other), below), "own ": own})
    return effects(model, images, aim, {**maps, "random": by_lot(len(images), number)})


def of_direction(model: nn.Module, layer: str, below: str, *, seed: int, other: int) -> dict[str, float]:
    """Return what covering does to a random direction's mean; the other direction is a control."""
    channels = hooks.activations(model, on(zoo.example_images("cat")), layer).shape[1]
    aim, another = (along(layer, direction(channels, one)) for one in (seed, other))
    images = photographs()
    maps = both_sides(of_aim(model, aim, another, below))
    return effects(model, images, aim, {**maps, "random": by_lot(len(images), seed)})


def direction(channels: int, seed: int) -> Tensor:
    """Return a random direction of length 1."""
    vector = torch.randn(channels, generator=torch.Generator().manual_seed(seed))
    return on(vector / vector.norm())


def by_lot(count: int, seed: int) -> Tensor:
    """Return maps (count, 224, 224) with a random number on each of 64 squares."""
    chance = torch.rand(count, 8, 8, generator=torch.Generator().manual_seed(seed))
    return on(chance.repeat_interleave(SIDE, 1).repeat_interleave(SIDE, 2))


# --------------------------------------------------------------------------------------------------------------------
# Two objects of known place


def numbers_of_scenes() -> list[int]:
    """Return the numbers of the first scenes whose two objects both have an ImageNet class and can be seen."""
    found = zoo.Scenes("all", 224, seed=0, length=1000, second=1.0, imagenet=True)
    seen = (number for number in range(len(found)) if fits(found[number]))
    return [number for number, _ in zip(seen, range(SCENES), strict=False)]


def fits(scene: zoo.Scene) -> bool:
    second = scene.second
    return second is not None and second.imagenet is not None and second.mask.float().mean().item() > 0.01


def shares(heat: Tensor, own: Tensor, other: Tensor) -> float:
    """Return how much of the heat on both objects lies on the own one."""
    a, b = (attribution.mass_in_mask(heat.relu(), mask[None]).item() for mask in (own, other))
    return a / (a + b) if a + b else 0.5


def of_scene(model: nn.Module, number: int) -> dict[str, object]:
    """Return the shares of the maps on the proper object, and what covering does to the difference of two guesses."""
    scene = zoo.Scenes("all", 224, seed=0, length=1000, second=1.0, imagenet=True)[number]
    second = scene.second
    if second is None:
        raise ValueError(f"Scene {number} has no second object.")
    images, main, other = on(scene.image[None]), int(scene.imagenet or 0), int(second.imagenet or 0)
    masks = on(second.mask), on(scene.mask)

    def heat(aim: Aim | Callable[[Tensor], Tensor]) -> Tensor:
        return for_and_against(model, images, aim, "act_head")["act_head"].total

    with torch.no_grad():
        logits = model(images)[0]
    of_main, of_other, common = heat(logit(main)), heat(logit(other)), heat(every)
    lot = [heat(logit(index)) for index in drawn_classes(number, {main, other})]
    active = image.resize(hooks.activations(model, images, "act_head").sum(1), (224, 224))
    return {
        "number": number,
        "ranks": [int((logits > logits[one]).sum()) for one in (main, other)],
        "areas": [mask.float().mean().item() for mask in masks[::-1]],
        "main": shares(of_main, *masks[::-1]),
        "second": shares(of_other, *masks),
        "difference": [shares(of_main - of_other, *masks[::-1]), shares(of_other - of_main, *masks)],
        "centered": shares(of_other - common, *masks),
        "not random": [shares(of_other - one, *masks) for one in lot],
        "random": [shares(one, *masks) for one in lot],
        "random not main": [shares(one - of_main, *masks) for one in lot],
        "active": shares(active, *masks),
        **guesses(model, images, logits, number),
    }


def every(logits: Tensor) -> Tensor:
    """Return the mean of all scores, an aim that knows of no class."""
    return logits.mean(1)


def drawn_classes(number: int, known: set[int]) -> list[int]:
    """Return classes by lot that are none of the known ones."""
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(number)).tolist()
    return [index for index in order if index not in known][:LOTS]


def guesses(model: nn.Module, images: Tensor, logits: Tensor, number: int) -> dict[str, object]:
    """Return the change of (first guess - second guess) when eight squares are covered, by which map chose them."""
    best = [int(index) for index in logits.topk(2).indices]
    first, second = (logit(index) for index in best)
    aim = first - second
    sides = for_and_against(model, images, aim, "act_head")["act_head"]

    def heat(of: Aim | Callable[[Tensor], Tensor]) -> Tensor:
        return for_and_against(model, images, of, "act_head")["act_head"].total

    of_first, of_second = heat(first), heat(second)
    maps = {
        "for": sides.total,
        "against": -sides.total,
        "first": of_first,
        "second": of_second,
        "centered": of_first - heat(every),
        "active": image.resize(hooks.activations(model, images, "act_head").sum(1), (224, 224)),
    }
    for n, index in enumerate(drawn_classes(number, set(best))):
        other = heat(logit(index))
        maps |= {
            f"other {n}": other,
            f"not other {n}": of_first - other,
            f"random {n}": by_lot(1, LOTS * number + n),
        }
    whole = attribution.scores(model, images, aim)
    changes = {
        name: (attribution.scores(model, covered(images, one), aim) - whole).item()
        for name, one in maps.items()
    }
    canceled = 1 - (sides.total.abs().sum() / (sides.favor + sides.against).sum()).item()
    return {"whole": whole.item(), "covered": merged(changes), "canceled": canceled}


def merged(changes: dict[str, float]) -> dict[str, float]:
    """Return the changes, with one mean for what was drawn several times by lot."""
    of: dict[str, list[float]] = {}
    for name, change in changes.items():
        of.setdefault(name.rstrip("0123456789 "), []).append(change)
    return {name: sum(found) / len(found) for name, found in of.items()}


if __name__ == "__main__":
    main()
