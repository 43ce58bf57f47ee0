"""Measure where it mattered, masks, and a change of one channel alone: six channels, three photographs each.

python tools/measure_only_here.py         # a run that was stopped goes on where it was
"""

from __future__ import annotations

import warnings

import torch
from measure_accentuation import HOLD, SIZE, STEPS, UNITS, photographs
from measured import save
from torch import Tensor, nn

from interp import attribution, hooks, image, store, zoo
from interp import featurevis as fv

SHARE, SMOOTH = 0.2, 3.0


def start_gradient(model: nn.Module, images: Tensor, layer: str, channel: int) -> Tensor:
    """Return the absolute gradient of a channel's mean on photographs, (N, H, W)."""
    pixels = images.clone().requires_grad_()
    score = hooks.run(model, pixels, [layer])[layer][:, channel].mean(dim=(1, 2)).sum()
    return torch.autograd.grad(score, pixels)[0].abs().sum(1)


def smooth(maps: Tensor) -> Tensor:
    """Return maps (N, H, W) blurred as those of `faded` are."""
    return image.blur(maps[:, None], SMOOTH)[:, 0]


def top(maps: Tensor) -> Tensor:
    """Return masks (N, 1, H, W) of the strongest share of the pixels."""
    return (maps >= maps.flatten(1).quantile(1 - SHARE, dim=1).view(-1, 1, 1)).float()[:, None]


def likeness(one: Tensor, other: Tensor) -> list[float]:
    """Return the rank correlation of each pair of maps."""
    return attribution.rank_correlation(smooth(one), smooth(other)).tolist()


def of_unit(model: nn.Module, place: int) -> dict[str, object]:
    """Measure one unit on its three photographs."""
    (layer, channel), images = UNITS[place], photographs(place)
    partner = UNITS[place + 1 - 2 * (place % 2)][1]  # the other channel of the same layer
    goal, options = fv.channel(layer, channel), {"size": SIZE, "steps": STEPS}

    def run(goal: fv.Objective = goal, **more: object) -> fv.Accentuation:
        return fv.accentuate(model, goal, images, **(options | more))  # type: ignore[arg-type]

    def others(now: Tensor) -> list[float]:
        change = hooks.activations(model, now, layer) - hooks.activations(model, images, layer)
        change[:, channel] = 0
        return change.square().flatten(1).mean(1).sqrt().tolist()

    free, held = run(), run(hold=fv.Hold(HOLD))
    gradient = start_gradient(model, images, layer, channel)
    maps = {
        "another seed": run(hold=fv.Hold(HOLD), seed=1).rendering.mattered,
        "another channel": run(fv.channel(layer, partner), hold=fv.Hold(HOLD)).rendering.mattered,
        "gradient of the photograph": gradient,
        "edges": attribution.edge_map(images),
    }
    mask = top(smooth(gradient))
    masks = {"where the gradient is": mask}
    half = (SIZE // 2, SIZE // 2)
    masks["elsewhere"] = mask.roll(half, (2, 3))
    masks["where it is least"] = top(-smooth(gradient))
    gains = {name: run(mask=mask) for name, mask in masks.items()}
    level = free.before + 0.5 * (held.after - held.before)
    ways = {
        "free": run(level=level),
        "early layer": run(level=level, hold=fv.Hold(HOLD)),
        "everything else": run(level=level, hold=fv.Hold(fv.other_distance(layer, channel, images))),
    }
    return {
        "layer": layer,
        "channel": channel,
        "maps": {
            name: likeness(held.rendering.mattered, other)  # type: ignore[arg-type]
            for name, other in maps.items()
        },
        "free": (free.after - free.before).tolist(),
        "masked": {name: (one.after - one.before).tolist() for name, one in gains.items()},
        "others": {
            name: {
                "change": others(one.images),
                "missing": (level - one.after).tolist(),
                "rise": (one.after - one.before).tolist(),
            }
            for name, one in ways.items()
        },
    }


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model = zoo.load_model()
    save(
        "only-here",
        {
            "size": SIZE,
            "steps": STEPS,
            "share": SHARE,
            "units": [store.remember(of_unit, model, place) for place in range(len(UNITS))],
        },
        how="python tools/measure_only_here.py",
        on=f"zoo.load_model(), {len(UNITS)} channels, 3 of 6 photographs each, seed 0",
    )


if __name__ == "__main__":
    main()
