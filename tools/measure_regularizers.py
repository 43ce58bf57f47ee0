"""Measure what regularizers take and what they cost, as *Regularize* needs it: several channels of several layers.

python tools/measure_regularizers.py
"""

from __future__ import annotations

import math

import torch
from measure_naive import CHOSEN, answers, ascend, spread, start, usual
from measured import save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import zoo

SIZE, LAYERS = 96, ("blocks.3.2", "blocks.4.2")
DIALS = {"L2": (0, 100, 300, 1000), "total variation": (0, 30, 90, 240), "blur": (0, 0.1, 0.25, 0.5)}


def main() -> None:
    model = zoo.load_model().requires_grad_(False)
    units = [unit for layer in LAYERS for unit in _of_layer(model, layer)]
    save(
        "regularizers",
        {"size": SIZE, "dials": {name: list(dial) for name, dial in DIALS.items()}, "units": units},
        how="python tools/measure_regularizers.py",
        on=f"zoo.load_model(), {len(units)} channels of {len(LAYERS)} layers, each from a start of its own",
    )


def _of_layer(model: nn.Module, layer: str) -> list[dict[str, object]]:
    everyday = usual(model, layer, SIZE).mean(0)
    channels = spread(len(everyday), 7, CHOSEN[layer])
    starts = torch.cat([start(1, seed, SIZE) for seed in range(len(channels))])
    found = {
        (name, dial): _measured(
            model, layer, channels, _grown(model, layer, channels, starts, name, dial), everyday
        )
        for name, dials in DIALS.items()
        for dial in dials
        if dial or name == "L2"
    }
    return [
        {"layer": layer, "channel": channel, "seed": i}
        | {
            name: [{key: values[i] for key, values in found[(name if d else "L2", d)].items()} for d in dials]
            for name, dials in DIALS.items()
        }
        for i, channel in enumerate(channels)
    ]


def _grown(
    model: nn.Module, layer: str, channels: list[int], starts: Tensor, name: str, dial: float
) -> Tensor:
    if name == "blur":
        return ascend(model, layer, channels, starts, repair=lambda pictures: blur(pictures, dial))[0]
    measure = l2 if name == "L2" else total_variation
    return ascend(model, layer, channels, starts, penalty=lambda pictures: dial * measure(pictures))[0]


def _measured(
    model: nn.Module, layer: str, channels: list[int], pictures: Tensor, everyday: Tensor
) -> dict[str, list[float]]:
    level = everyday[channels]
    rise = answers(model, pictures, layer, channels) - level
    moved = answers(model, pictures.roll((1, 1), dims=(2, 3)), layer, channels) - level
    paler = answers(model, 0.5 + (pictures - 0.5) / 2, layer, channels) - level
    return {
        "rise": rise.tolist(),
        "grain": fv.fine_share(pictures).tolist(),
        "contrast": fv.contrast(pictures).tolist(),
        "kept": (moved / rise).tolist(),
        "paler": (paler / rise).tolist(),
    }


def l2(pictures: Tensor) -> Tensor:
    return (pictures - 0.5).square().mean(dim=(1, 2, 3))


def total_variation(pictures: Tensor) -> Tensor:
    down, right = pictures.diff(dim=2).abs(), pictures.diff(dim=3).abs()
    return down.mean(dim=(1, 2, 3)) + right.mean(dim=(1, 2, 3))


def blur(pictures: Tensor, sigma: float) -> Tensor:
    """Blur by weakening each wave, as *Regularize* does."""
    axis = torch.fft.fftfreq(pictures.shape[-1])
    squared = axis[:, None] ** 2 + axis**2
    weakened = torch.fft.fft2(pictures) * torch.exp(-2 * (math.pi * sigma) ** 2 * squared)
    return torch.fft.ifft2(weakened).real


if __name__ == "__main__":
    main()
