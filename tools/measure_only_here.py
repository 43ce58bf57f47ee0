"""Measure where it mattered, masks, and a change of one channel alone, on what `measure_accentuation.py` took.

python tools/measure_only_here.py         # a run that was stopped goes on where it was
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch
from measure_accentuation import (
    DRAWN,
    HOLD,
    NAMES,
    SEEDS,
    SIZE,
    SLOW,
    STEPS,
    at_level,
    climbs,
    goals,
    halfway,
    pairs,
    photographs,
    size_of,
    units,
)
from measured import exactly, save
from torch import Tensor, nn

from interp import attribution, hooks, image, store, zoo
from interp import featurevis as fv

SHARE, SMOOTH = 0.2, 3.0


def start_gradient(model: nn.Module, images: Tensor) -> Tensor:
    """Return the absolute gradient of each picture's channel on its photograph, (N, H, W)."""
    pixels = images.clone().requires_grad_()
    score = goals()(hooks.run(model, pixels, list(goals().layers)))
    return torch.autograd.grad(score.sum(), pixels)[0].abs().sum(1)


def smooth(maps: Tensor) -> Tensor:
    """Return maps (N, H, W) blurred as those of `faded` are."""
    return image.blur(maps[:, None], SMOOTH)[:, 0]


def top(maps: Tensor) -> Tensor:
    """Return masks (N, 1, H, W) of the strongest share of the pixels."""
    return (maps >= maps.flatten(1).quantile(1 - SHARE, dim=1).view(-1, 1, 1)).float()[:, None]


def partner() -> list[int]:
    """Return for each picture that of the same photograph and the next drawn channel of the same layer."""
    count, found = len(NAMES), []
    for place in range(len(units())):
        own = (
            place - place % DRAWN
        )  # the first of its layer; the book's own channel has the last layer's first
        other = own + (place + 1) % DRAWN if place < DRAWN * 3 else DRAWN * 2
        found += [other * count + n for n in range(count)]
    return found


def others(model: nn.Module, images: Tensor, photographs: Tensor) -> list[float]:
    """Return by how much the other channels of each picture's layer have changed, (N,)."""
    layers = list(goals().layers)
    with torch.no_grad():
        now, then = (hooks.run(model, some, layers) for some in (images, photographs))
    found = []
    for n, (layer, channel) in enumerate(pairs()):
        change = now[layer][n] - then[layer][n]
        change[channel] = 0
        found.append(size_of(change[None]).item())
    return found


def maps(model: nn.Module, images: Tensor, seed: int) -> dict[str, list[float]]:
    """Return the rank correlation of where it mattered at strength 1 with other maps."""
    own, again = (store.remember(climbs, one)["mattered"][2].to(images) for one in (seed, 1 - seed))
    against = {
        "another seed": again,
        "another channel": own[partner()],
        "gradient of the photograph": start_gradient(model, images),
        "edges": attribution.edge_map(images),
    }
    return {
        name: attribution.rank_correlation(smooth(own), smooth(other)).tolist()
        for name, other in against.items()
    }


def masked(model: nn.Module, images: Tensor, seed: int) -> dict[str, object]:
    """Return the rise inside three masks of a fifth of the pixels each, at the end and on the way."""
    gradient, half = smooth(start_gradient(model, images)), SIZE // 2
    masks = {"strongest": top(gradient), "weakest": top(-gradient)}
    masks["elsewhere"] = masks["strongest"].roll((half, half), (2, 3))
    found = {
        name: fv.accentuate(model, goals(), images, mask=mask, steps=STEPS, seed=seed)
        for name, mask in masks.items()
    }
    return {
        "end": {name: (one.after - one.before).tolist() for name, one in found.items()},
        "way": {name: one.rendering.history.T.tolist() for name, one in found.items()},
    }


def nothing_else(model: nn.Module, images: Tensor, seed: int) -> dict[str, object]:
    """Return by how much the other channels have changed at exactly half of the rise at strength 1."""
    level = halfway(store.remember(climbs, seed)).to(images)
    alone = fv.together([fv.other_distance(*pair, images[n : n + 1]) for n, pair in enumerate(pairs())])
    ways = {
        "free": None,
        "early layer": fv.Hold(HOLD),
        "everything else": fv.Hold(alone),
        "everything else, twice": fv.Hold(alone, 2.0),
    }
    found: dict[str, object] = {}
    for name, hold in ways.items():
        at, _, there = at_level(model, images, level, hold, seed)
        found[name] = {"change": others(model, at, images), "there": there.tolist()}
    if seed == SEEDS[0]:
        at, _, there = at_level(model, images, level, None, seed, **SLOW)
        found["free, smaller steps"] = {"change": others(model, at, images), "there": there.tolist()}
    return found


def of_seed(seed: int) -> dict[str, Any]:
    """Measure all channels and photographs with one seed; each list has one number for each of `pairs`."""
    model, images = zoo.load_model().to(exactly()), photographs().to(exactly())
    climbed = store.remember(climbs, seed)
    return {
        "maps": maps(model, images, seed),
        "free": (climbed["after"][0] - climbed["before"]).tolist(),
        "free way": climbed["history"].T.tolist(),
        "masked": masked(model, images, seed),
        "others": nothing_else(model, images, seed),
    }


def shares(results: list[dict[str, Any]], name: str) -> list[list[float]]:
    """Return for each channel the rise inside a mask over that without one, step by step, over all its pictures."""
    ways = [[one["masked"]["way"][name] for one in results], [one["free way"] for one in results]]
    inside, free = (torch.tensor(rows).view(len(results), len(units()), len(NAMES), -1) for rows in ways)
    rises = [(way - way[..., :1])[..., 1:].sum((0, 2)) for way in (inside, free)]
    found: list[list[float]] = (rises[0] / rises[1]).tolist()
    return found


def main(*seeds: int) -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    results = [store.remember(of_seed, seed) for seed in seeds or SEEDS]
    if seeds:
        return
    way = {name: shares(results, name) for name in ("strongest", "elsewhere", "weakest")}
    for one in results:
        del one["free way"], one["masked"]["way"]
    save(
        "only-here",
        {
            "size": SIZE,
            "steps": STEPS,
            "share": SHARE,
            "units": [list(unit) for unit in units()],
            "photographs": list(NAMES),
            "seeds": results,
            "way": way,
        },
        how="python tools/measure_only_here.py",
        on=f"zoo.load_model(), {len(units())} channels, {len(NAMES)} photographs, {len(SEEDS)} seeds",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
