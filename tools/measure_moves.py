"""Measure pictures that were grown under moves: eighteen channels of three layers.

python tools/measure_moves.py
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from measure_naive import CHOSEN, answers, spread, usual
from measured import save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import zoo

SIZE, STEPS, RATE, VIEWS = 128, 64, 0.1, range(100, 106)
LAYERS = ("blocks.2.1", "blocks.3.2", "blocks.5.3")


def whole_jitter(images: Tensor, random: Sequence[torch.Generator]) -> Tensor:
    """Shift by whole pixels, as the chapter does."""
    shifts = [torch.randint(-8, 9, (2,), generator=one).tolist() for one in random]
    return torch.stack([picture.roll(by, dims=(1, 2)) for picture, by in zip(images, shifts, strict=True)])


WAYS: dict[str, tuple[fv.Transform, ...]] = {
    "none": (),
    "jitter": (fv.jitter(8),),
    "rotate": (fv.rotate(15),),
    "scale": (fv.scale(0.85, 1.2),),
    "all three": fv.STANDARD,
    "whole jitter": (whole_jitter,),
    "rotate 60": (fv.rotate(60),),
    "rotate 180": (fv.rotate(180),),
}
TESTS = ("none", "jitter", "rotate", "scale", "all three", "whole jitter")


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model = zoo.load_model()
    units = [unit for layer in LAYERS for unit in _of_layer(model, layer)]
    save(
        "moves",
        {"size": SIZE, "steps": STEPS, "tests": list(TESTS), "units": units},
        how="python tools/measure_moves.py",
        on=f"zoo.load_model(), {len(units)} channels of {len(LAYERS)} layers, seed 0, {len(VIEWS)} draws of a move",
    )


def _of_layer(model: nn.Module, layer: str) -> list[dict[str, object]]:
    everyday = usual(model, layer, SIZE).mean(0)
    channels = spread(len(everyday), 5, CHOSEN[layer])
    level = everyday[channels]
    found = {name: _way(model, layer, channels, level, transforms) for name, transforms in WAYS.items()}
    return [
        {"layer": layer, "channel": channel}
        | {name: {key: values[i] for key, values in columns.items()} for name, columns in found.items()}
        for i, channel in enumerate(channels)
    ]


@torch.no_grad()
def _way(
    model: nn.Module, layer: str, channels: list[int], level: Tensor, transforms: Sequence[fv.Transform]
) -> dict[str, list[object]]:
    target = fv.together([fv.channel(layer, channel) for channel in channels])
    start = fv.PixelImage(SIZE, names=[part.name for part in target.parts])
    pictures = fv.render(model, target, start, transforms=transforms, steps=STEPS, rate=RATE).images
    plain = answers(model, pictures, layer, channels) - level
    tested = torch.stack([_tested(model, pictures, layer, channels, WAYS[test]) - level for test in TESTS])
    return {
        "rise": plain.tolist(),
        "grain": fv.fine_share(pictures).tolist(),
        "kept": (tested / plain).T.tolist(),
    }


def _tested(
    model: nn.Module, pictures: Tensor, layer: str, channels: list[int], transforms: Sequence[fv.Transform]
) -> Tensor:
    views = [
        fv.transformed(pictures, transforms, seed=seed) for seed in VIEWS if transforms or seed == VIEWS[0]
    ]
    return torch.stack([answers(model, view, layer, channels) for view in views]).mean(0)


if __name__ == "__main__":
    main()
