"""Measure what the chapter on maps for any unit shows on a few: units, directions, photographs, scenes of known truth.

python tools/measure_maps.py
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from measured import save
from torch import Tensor, nn

from interp import attribution, folding, hooks, image, store, zoo
from interp.attribution import Aim, along, for_and_against, logit, unit

LAYERS = {"blocks.4.2": "blocks.3.2", "blocks.5.3": "blocks.4.2"}  # the units' layer: the layer of their maps
UNITS, SCENES, SIDE, COVERED = 16, 100, 28, 8
Of = Callable[[Tensor], Tensor]


def main() -> None:
    model = folding.fold(zoo.load_model(), keep=[*LAYERS, *LAYERS.values(), "act_head"])
    model.class_names = zoo.imagenet_class_names()  # type: ignore[assignment]
    effects: dict[str, dict[str, list[list[float]]]] = {}
    for layer, below in LAYERS.items():
        channels = hooks.activations(model, zoo.example_images("cat"), layer).shape[1]
        drawn = torch.randperm(channels, generator=torch.Generator().manual_seed(0))[:UNITS].tolist()
        effects[layer] = {
            "numbers": [drawn],
            "units": [store.remember(of_unit, model, layer, below, number) for number in drawn],  # type: ignore[arg-type]
            "directions": [store.remember(of_direction, model, layer, below, seed=s) for s in range(UNITS)],  # type: ignore[arg-type]
        }
    scenes = [store.remember(of_scene, model, number) for number in numbers_of_scenes()]
    save(
        "maps",
        {"covered": effects, "scenes": scenes},
        how="python tools/measure_maps.py",
        on=f"EfficientNet-Lite0, {UNITS} units and {UNITS} random directions of {', '.join(LAYERS)} on 15 photographs, "
        f"{SCENES} scenes of two objects",
    )


# --------------------------------------------------------------------------------------------------------------------
# Cover what a map marks


def photographs() -> Tensor:
    return torch.cat([image.center_crop(zoo.photograph(name), 224) for name in zoo.photograph_names()])


def marked(heat: Tensor) -> Tensor:
    """Return (N, 1, H, W), 1 in the 8 of 64 squares with the largest sum."""
    sums = torch.nn.functional.avg_pool2d(heat[:, None], SIDE).flatten(1)
    squares = torch.zeros_like(sums).scatter_(1, sums.topk(COVERED, 1).indices, 1)
    grid = squares.view(len(heat), 1, heat.shape[1] // SIDE, heat.shape[2] // SIDE)
    return grid.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3)


def covered(images: Tensor, heat: Tensor) -> Tensor:
    """Return the images, blurred where the map is largest."""
    return torch.where(marked(heat) > 0, attribution.fill(images, "blur"), images)


def effect(model: nn.Module, images: Tensor, aim: Aim, heat: Tensor) -> float:
    """Return how the score changes when the marked squares are covered: a mean, in deviations over the images."""
    whole = attribution.scores(model, images, aim)
    return ((attribution.scores(model, covered(images, heat), aim) - whole) / whole.std()).mean().item()


def of_aim(model: nn.Module, aim: Aim, below: str) -> dict[str, float]:
    images = photographs()
    maps = {
        name: for_and_against(model, images, aim, below, by_position=by_position)[below].total
        for name, by_position in (("", True), ("mean ", False))
    }
    signs = {"for": 1, "against": -1}
    return {
        name + side: effect(model, images, aim, sign * heat)
        for name, heat in maps.items()
        for side, sign in signs.items()
    }


def of_unit(model: nn.Module, layer: str, below: str, number: int) -> dict[str, float]:
    images, aim = photographs(), unit(layer, number)
    own = image.resize(hooks.activations(model, images, layer)[:, number], (224, 224))
    chance = torch.rand(len(images), 8, 8, generator=torch.Generator().manual_seed(number))
    squares = chance.repeat_interleave(SIDE, 1).repeat_interleave(SIDE, 2)
    return {
        **of_aim(model, aim, below),
        "own for": effect(model, images, aim, own),
        "own against": effect(model, images, aim, -own),
        "random": effect(model, images, aim, squares),
    }


def of_direction(model: nn.Module, layer: str, below: str, *, seed: int) -> dict[str, float]:
    channels = hooks.activations(model, zoo.example_images("cat"), layer).shape[1]
    vector = torch.randn(channels, generator=torch.Generator().manual_seed(seed))
    return of_aim(model, along(layer, vector / vector.norm()), below)


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
    images, main, other = (
        scene.image[None],
        int(scene.imagenet or 0),
        int(second.imagenet or 0) if second else 0,
    )
    masks = scene.mask, second.mask if second else scene.mask

    def heat(aim: Aim) -> Tensor:
        return for_and_against(model, images, aim, "act_head")["act_head"].total

    with torch.no_grad():
        logits = model(images)[0]
    difference = heat(logit(main) - logit(other))
    return {
        "number": number,
        "ranks": [int((logits > logits[one]).sum()) for one in (main, other)],
        "areas": [mask.float().mean().item() for mask in masks],
        "main": shares(heat(logit(main)), *masks),
        "second": shares(heat(logit(other)), *masks[::-1]),
        "difference": [shares(difference, *masks), shares(-difference, *masks[::-1])],
        **guesses(model, images, logits, heat),
    }


def guesses(
    model: nn.Module, images: Tensor, logits: Tensor, heat: Callable[[Aim], Tensor]
) -> dict[str, object]:
    """Return the change of (first guess - second guess) when eight squares are covered, by which map chose them."""
    first, second = (logit(int(index)) for index in logits.topk(2).indices)
    aim = first - second
    sides = for_and_against(model, images, aim, "act_head")["act_head"]
    whole = attribution.scores(model, images, aim)
    maps = {"for": sides.total, "against": -sides.total, "first": heat(first)}
    chance = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    maps["random"] = chance.repeat_interleave(SIDE, 1).repeat_interleave(SIDE, 2)
    changes = {
        name: (attribution.scores(model, covered(images, one), aim) - whole).item()
        for name, one in maps.items()
    }
    canceled = 1 - (sides.total.abs().sum() / (sides.favor + sides.against).sum()).item()
    return {"whole": whole.item(), "covered": changes, "canceled": canceled}


if __name__ == "__main__":
    main()
