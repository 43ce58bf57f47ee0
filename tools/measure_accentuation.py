"""Measure accentuation: twelve channels drawn by lot and the book's own, six photographs, two seeds.

python tools/measure_accentuation.py         # a run that was stopped goes on where it was
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import torch
from measured import exactly, save
from torch import Tensor

from interp import featurevis as fv
from interp import hooks, image, store, zoo

SIZE, STEPS, HOLD, SCENES = 160, 40, "blocks.1.1", 480
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
CAREFUL = {"rate": 0.02, "steps": 80}  # toward a level: small steps overshoot it little
SLOW = {"rate": 0.008, "steps": 80}  # without a hold: about as many steps as with one
DRAWN, OWN = 4, ("blocks.5.3", 55)
CHANNELS = {"blocks.3.2": 80, "blocks.4.2": 112, "blocks.5.3": 192}
NAMES = ("cat", "coffee", "motorcycle", "china", "flower", "astronaut")
SEEDS = (0, 1)


def units() -> list[tuple[str, int]]:
    """Return the channels: so many of each layer, drawn by lot, and that of the chapters."""
    random = torch.Generator().manual_seed(0)
    drawn = [
        (layer, int(channel))
        for layer, count in CHANNELS.items()
        for channel in torch.randperm(count, generator=random)[:DRAWN]
    ]
    return [*drawn, OWN]


def pairs() -> list[tuple[str, int]]:
    """Return the channel of each picture: all photographs of the first channel, then of the next."""
    return [unit for unit in units() for _ in NAMES]


def photographs(size: int = SIZE) -> Tensor:
    """Return the photographs once for each channel, in the order of `pairs`."""
    some = torch.cat([image.center_crop(zoo.photograph(name), size) for name in NAMES])
    return some.repeat(len(units()), 1, 1, 1)


def goals() -> fv.Objective:
    """Return the goal of each picture."""
    return fv.together([fv.channel(*pair) for pair in pairs()])


@torch.no_grad()
def answer(model: torch.nn.Module, images: Tensor) -> Tensor:
    """Return the mean over positions of the channel of each picture, (N,)."""
    seen = hooks.run(model, images, list(CHANNELS))
    return torch.stack([seen[layer][n, channel].mean() for n, (layer, channel) in enumerate(pairs())])


def size_of(values: Tensor) -> Tensor:
    """Return the root of the mean square of each picture, (N,)."""
    return values.square().flatten(1).mean(1).sqrt()


def distance(model: torch.nn.Module, one: Tensor, other: Tensor) -> Tensor:
    """Return how far two batches of pictures are apart in the layer that holds them, (N,)."""
    return size_of(hooks.activations(model, one, HOLD) - hooks.activations(model, other, HOLD))


def scrambled(change: Tensor, seed: int = 0) -> Tensor:
    """Return changes with the same mean color and the same magnitudes of all waves, and other phases."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(change), 1, *change.shape[2:], generator=random).to(change)
    turns = torch.fft.rfft2(noise)
    turns = turns / turns.abs().clamp(min=1e-9)
    turns[..., 0, 0] = 1
    found: Tensor = torch.fft.irfft2(torch.fft.rfft2(change) * turns, s=change.shape[2:])
    return found


def curve(photographs: Tensor, change: Tensor) -> Tensor:
    """Return the part of a change that a curve gives, one of third degree for each color of each photograph."""
    powers = torch.stack([photographs.flatten(2) ** k for k in range(4)], -1).double()
    wanted = change.flatten(2)[..., None].double()
    # A little of the identity, for colors that a photograph has only one shade of.
    square = powers.mT @ powers + 1e-6 * torch.eye(4).to(powers)
    found: Tensor = powers @ torch.linalg.solve(square, powers.mT @ wanted)
    return found[..., 0].view_as(change).to(change)


def back_to(level: Tensor, photographs: Tensor, images: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
    """Return images that went beyond a level, blended with their photographs until they give just this level."""
    low, high = torch.zeros_like(level), torch.ones_like(level)
    for _ in range(16):
        share = (low + high) / 2
        above = ask(photographs.lerp(images, share.view(-1, 1, 1, 1))) > level
        low, high = low.where(above, share), share.where(above, high)
    return photographs.lerp(images, high.view(-1, 1, 1, 1))


def climbs(seed: int) -> dict[str, Tensor]:
    """Return for each strength of the hold images, rises and maps of where it mattered."""
    model, images = zoo.load_model().to(exactly()), photographs().to(exactly())
    found = []
    for strength in STRENGTHS:
        hold = fv.Hold(HOLD, strength) if strength else None
        found.append(fv.accentuate(model, goals(), images, hold=hold, steps=STEPS, seed=seed))
    return {
        "images": torch.stack([one.images for one in found]),
        "before": found[0].before,
        "after": torch.stack([one.after for one in found]),
        "mattered": torch.stack([one.rendering.mattered for one in found]),  # type: ignore[misc]
        "history": found[0].rendering.history,
    }


def halfway(climbed: dict[str, Tensor]) -> Tensor:
    """Return half of the rise at strength 1, the level at which pictures are compared, (N,)."""
    return climbed["before"] + 0.5 * (climbed["after"][2] - climbed["before"])


def at_level(
    model: torch.nn.Module,
    images: Tensor,
    level: Tensor,
    hold: fv.Hold | None,
    seed: int,
    **pace: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return pictures that give exactly this level, their steps, and which of them got there."""
    pace = pace or CAREFUL
    found = fv.accentuate(model, goals(), images, hold=hold, level=level, seed=seed, **pace)  # type: ignore[arg-type]
    there = found.after >= level
    at = back_to(level, images, found.images, lambda some: answer(model, some))
    return at, found.rendering.steps, there  # type: ignore[return-value]


def measured_at(
    model: torch.nn.Module, images: Tensor, found: tuple[Tensor, Tensor, Tensor]
) -> dict[str, object]:
    """Return how far pictures at a level are from their photographs, and how they got there."""
    at, steps, there = found
    return {
        "there": there.tolist(),
        "steps": steps.tolist(),
        "distance": distance(model, at, images).tolist(),
        "change": size_of(at - images).tolist(),
    }


def slowly(model: torch.nn.Module, images: Tensor, level: Tensor, seed: int) -> dict[str, object]:
    """Return the same as a held climb gives, for one that is not held and takes smaller steps."""
    return measured_at(model, images, at_level(model, images, level, None, seed, **SLOW))


def of_seed(seed: int, best: Tensor) -> dict[str, object]:
    """Measure all channels and photographs with one seed; each list has one number for each of `pairs`."""
    model, images = zoo.load_model().to(exactly()), photographs().to(exactly())
    climbed = {name: values.to(exactly()) for name, values in store.remember(climbs, seed).items()}
    before, level = climbed["before"], halfway(climbed)
    strengths = [
        {
            "strength": strength,
            "gain": (climbed["after"][n] - before).tolist(),
            "distance": distance(model, climbed["images"][n], images).tolist(),
        }
        for n, strength in enumerate(STRENGTHS)
    ]
    equal = []
    for strength in STRENGTHS[:4]:
        hold = fv.Hold(HOLD, strength) if strength else None
        found = at_level(model, images, level, hold, seed)
        equal.append({"strength": strength, **measured_at(model, images, found)})
    wanted = best.to(exactly()).repeat_interleave(len(NAMES))
    reached = fv.accentuate(model, goals(), images, hold=fv.Hold(HOLD), level=wanted, steps=STEPS, seed=seed)
    return {
        "seed": seed,
        "before": before.tolist(),
        "strengths": strengths,
        "equal": equal,
        "slow": slowly(model, images, level, seed) if seed == SEEDS[0] else {},
        "controls": controls(model, images, climbed["images"][2]),
        "best": {
            "after": reached.after.tolist(),
            "steps": reached.rendering.steps.tolist(),  # type: ignore[union-attr]
        },
    }


def controls(model: torch.nn.Module, images: Tensor, moved: Tensor) -> dict[str, dict[str, list[float]]]:
    """Return the rise of other changes, and how much of the squared change a curve and a mean color explain."""
    change = moved - images
    plain, color = curve(images, change), change.mean((2, 3), keepdim=True).expand_as(change)
    bigger = (size_of(change) / size_of(plain).clamp(min=1e-9)).view(-1, 1, 1, 1)
    ways = {
        "scrambled": scrambled(change),
        "mean color": color,
        "curve": plain,
        "curve, as large": plain * bigger,
        "all but the curve": change - plain,
    }
    before = answer(model, images)
    return {
        "rise": {
            name: (answer(model, (images + one).clamp(0, 1)) - before).tolist() for name, one in ways.items()
        },
        "explained": {
            name: (1 - (size_of(change - one) / size_of(change)).square()).tolist()
            for name, one in {"curve": plain, "mean color": color}.items()
        },
    }


def best_scenes(size: int, own: bool = False) -> dict[str, Tensor]:
    """Return the highest mean of each channel over the scenes, and the number of the scene."""
    model, scenes = zoo.load_model().to(exactly()), zoo.Scenes("all", size, length=SCENES)
    rows = []
    for start in range(0, SCENES, 24):
        pictures = torch.stack([scenes[n].image for n in range(start, start + 24)]).to(exactly())
        with torch.no_grad():
            seen = hooks.run(model, pictures, list(CHANNELS))
        wanted = [OWN] if own else units()
        rows.append(torch.stack([seen[layer][:, channel].mean((1, 2)) for layer, channel in wanted], 1))
    found = torch.cat(rows).max(0)
    return {"level": found.values, "scene": found.indices}


def main(*seeds: int) -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    best = store.remember(best_scenes, SIZE)
    results = [store.remember(of_seed, seed, best["level"]) for seed in seeds or SEEDS]
    if seeds:
        return
    page = store.remember(best_scenes, 256, own=True)
    save(
        "accentuation",
        {
            "size": SIZE,
            "steps": STEPS,
            "hold": HOLD,
            "units": [list(unit) for unit in units()],
            "photographs": list(NAMES),
            "seeds": results,
            "best": best["level"].tolist(),
            "page": {"scene": int(page["scene"]), "level": float(page["level"])},
        },
        how="python tools/measure_accentuation.py",
        on=f"zoo.load_model(), {DRAWN} channels of {', '.join(CHANNELS)} drawn by lot and {OWN}, {len(NAMES)} "
        f"photographs, {len(SEEDS)} seeds, {SCENES} scenes",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
