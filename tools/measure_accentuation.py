"""Measure accentuation: six channels of three layers, three photographs each.

python tools/measure_accentuation.py         # a run that was stopped goes on where it was
"""

from __future__ import annotations

import warnings

import torch
from measured import save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image, store, zoo

SIZE, STEPS, HOLD, SCENES = 160, 40, "blocks.1.1", 480
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
UNITS = (
    ("blocks.3.2", 42),
    ("blocks.3.2", 10),
    ("blocks.4.2", 20),
    ("blocks.4.2", 77),
    ("blocks.5.3", 55),
    ("blocks.5.3", 120),
)
NAMES = ("cat", "coffee", "motorcycle", "china", "flower", "astronaut")


def photographs(place: int, size: int = SIZE) -> Tensor:
    """Return three of the six photographs, every other one."""
    return torch.cat([image.center_crop(zoo.photograph(name), size) for name in NAMES[place % 2 :: 2]])


def answer(model: nn.Module, images: Tensor, layer: str, channel: int) -> Tensor:
    """Return the mean of a channel over the positions, (N,)."""
    return hooks.activations(model, images, layer)[:, channel].mean(dim=(1, 2))


def scrambled(change: Tensor, seed: int = 0) -> Tensor:
    """Return changes with the same magnitudes of all waves, the same in each color, and other phases."""
    random = torch.Generator().manual_seed(seed)
    turns = torch.fft.rfft2(torch.randn(len(change), 1, *change.shape[2:], generator=random))
    waves = torch.fft.rfft2(change) * turns / turns.abs().clamp(min=1e-9)
    return torch.fft.irfft2(waves, s=change.shape[2:])


def best_scenes(model: nn.Module, size: int = SIZE) -> dict[str, Tensor]:
    """Return the highest mean of each of the units over the scenes, and the number of the scene."""
    scenes = zoo.Scenes("all", size, length=SCENES)
    layers = sorted({layer for layer, _ in UNITS})
    rows = []
    with torch.no_grad():
        for start in range(0, SCENES, 24):
            pictures = torch.stack([scenes[n].image for n in range(start, start + 24)])
            seen = hooks.run(model, pictures, layers)
            rows.append(
                torch.stack([seen[layer][:, channel].mean(dim=(1, 2)) for layer, channel in UNITS], 1)
            )
    found = torch.cat(rows).max(0)
    return {"level": found.values, "scene": found.indices}


def of_unit(model: nn.Module, place: int, best: float) -> dict[str, object]:
    """Measure one unit on its three photographs."""
    (layer, channel), images = UNITS[place], photographs(place)
    goal, options = fv.channel(layer, channel), {"size": SIZE, "steps": STEPS}
    rows, halfway = [], images.new_zeros(len(images))
    for strength in STRENGTHS:
        hold = fv.Hold(HOLD, strength) if strength else None
        found = fv.accentuate(model, goal, images, hold=hold, **options)  # type: ignore[arg-type]
        change = found.images - images
        control = answer(model, (images + scrambled(change)).clamp(0, 1), layer, channel) - found.before
        near = hooks.activations(model, found.images, HOLD) - hooks.activations(model, images, HOLD)
        rows.append(
            {
                "strength": strength,
                "gain": (found.after - found.before).tolist(),
                "control": control.tolist(),
                "distance": near.square().flatten(1).mean(1).sqrt().tolist(),
                "change": change.square().flatten(1).mean(1).sqrt().tolist(),
            }
        )
        halfway = found.before + 0.5 * (found.after - found.before) if strength == 1 else halfway
    equal = {}
    for name, hold in (("free", None), ("held", fv.Hold(HOLD))):
        found = fv.accentuate(model, goal, images, hold=hold, level=halfway, **options)  # type: ignore[arg-type]
        near = hooks.activations(model, found.images, HOLD) - hooks.activations(model, images, HOLD)
        equal[name] = {
            "distance": near.square().flatten(1).mean(1).sqrt().tolist(),
            "change": (found.images - images).square().flatten(1).mean(1).sqrt().tolist(),
            "reached": (found.after - halfway).tolist(),
            "steps": _steps(found),
        }
    before = answer(model, images, layer, channel)
    steps, after = [0] * len(images), before
    if (before < best).any():
        found = fv.accentuate(model, goal, images, hold=fv.Hold(HOLD), level=best, **options)  # type: ignore[arg-type]
        steps, after = _steps(found), found.after
    level = {"best": best, "before": before.tolist(), "after": after.tolist(), "steps": steps}
    return {"layer": layer, "channel": channel, "strengths": rows, "equal": equal, "level": level}


def _steps(found: fv.Accentuation) -> list[int]:
    return [] if found.rendering.steps is None else [int(count) for count in found.rendering.steps]


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model = zoo.load_model()
    best = store.remember(best_scenes, model)
    page = store.remember(best_scenes, model, size=256)
    units = [
        store.remember(of_unit, model, place, float(best["level"][place])) for place in range(len(UNITS))
    ]
    save(
        "accentuation",
        {
            "size": SIZE,
            "steps": STEPS,
            "hold": HOLD,
            "units": units,
            "best": {name: values.tolist() for name, values in page.items()},
        },
        how="python tools/measure_accentuation.py",
        on=f"zoo.load_model(), {len(UNITS)} channels, 3 of 6 photographs each, {SCENES} scenes, seed 0",
    )


if __name__ == "__main__":
    main()
