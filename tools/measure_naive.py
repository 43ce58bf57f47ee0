"""Measure what plain gradient ascent makes, as *Ask for more* needs it: nine channels of five layers, two starts each.

python tools/measure_naive.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from measured import save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image, zoo

SIZE, STEPS, RATE, SEEDS = 128, 64, 0.05, (0, 1)
CHOSEN = {"blocks.1.1": 6, "blocks.2.1": 26, "blocks.3.2": 42, "blocks.4.2": 47, "blocks.5.3": 55}


def main() -> None:
    model = zoo.load_model().requires_grad_(False)
    units = [unit for layer in CHOSEN for unit in _of_layer(model, layer)]
    save(
        "naive",
        {"size": SIZE, "steps": STEPS, "units": units},
        how="python tools/measure_naive.py",
        on=f"zoo.load_model(), {len(units) // len(SEEDS)} channels of {len(CHOSEN)} layers, seeds 0 and 1",
    )


def _of_layer(model: nn.Module, layer: str) -> list[dict[str, object]]:
    everyday = usual(model, layer, SIZE)
    chosen = spread(everyday.shape[1], 8, CHOSEN[layer])
    level = everyday.mean(0)[chosen]
    units: list[dict[str, object]] = []
    for seed in SEEDS:
        pictures, history = ascend(model, layer, chosen, start(len(chosen), seed))
        rise = answers(model, pictures, layer, chosen) - level
        moved = answers(model, pictures.roll((1, 1), dims=(2, 3)), layer, chosen) - level
        columns = {
            "channel": chosen,
            "deviations": (rise / everyday.std(0)[chosen]).tolist(),
            "kept": (moved / rise).tolist(),
            "grain": fv.fine_share(pictures).tolist(),
            "strongest": strongest(pictures).tolist(),
            "dips": (history[1] < history[0]).tolist(),
            "crossing": (history < everyday.amax(0)[chosen]).sum(0).tolist(),
        }
        units += [
            {"layer": layer, "seed": seed} | {name: column[i] for name, column in columns.items()}
            for i in range(len(chosen))
        ]
    return units


def usual(model: nn.Module, layer: str, size: int) -> Tensor:
    """Return the mean activation of every channel at the fifteen photographs, (15, C)."""
    crops = [image.center_crop(zoo.photograph(name), size) for name in zoo.photograph_names()]
    return hooks.activations(model, torch.cat(crops), layer).mean(dim=(2, 3))


def spread(channels: int, count: int, chosen: int) -> list[int]:
    """Return channels in equal distances, and the chosen one at the front."""
    even = [number * channels // count for number in range(count)]
    return [chosen, *(channel for channel in even if channel != chosen)]


def start(count: int, seed: int, size: int = SIZE) -> Tensor:
    """Return gray with a little noise, the same for each of the pictures."""
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return (0.5 + 0.01 * noise).repeat(count, 1, 1, 1)


def answers(model: nn.Module, pictures: Tensor, layer: str, channels: Sequence[int]) -> Tensor:
    """Return the mean activation of channel i at picture i, (N,)."""
    return hooks.run(model, pictures, [layer])[layer][range(len(channels)), list(channels)].mean(dim=(1, 2))


def ascend(
    model: nn.Module,
    layer: str,
    channels: Sequence[int],
    pictures: Tensor,
    penalty: Callable[[Tensor], Tensor] = lambda pictures: torch.zeros(len(pictures)),
    repair: Callable[[Tensor], Tensor] = lambda pictures: pictures,
) -> tuple[Tensor, Tensor]:
    """Return the pictures of the chapter's loop, and the activations on the way (STEPS, N)."""
    pictures = pictures.clone().requires_grad_()
    optimizer, history = torch.optim.Adam([pictures], lr=RATE, maximize=True), []
    for _ in range(STEPS):
        found = answers(model, pictures, layer, channels)
        pictures.grad = torch.autograd.grad((found - penalty(pictures)).sum(), pictures)[0]
        optimizer.step()
        pictures.data = repair(pictures.data).clamp(0, 1)
        history.append(found.detach())
    return pictures.detach(), torch.stack(history)


def strongest(pictures: Tensor) -> Tensor:
    """Return the share of the power in the strongest hundredth of the waves; a repeated texture has few waves."""
    power = fv.power(pictures)[0].flatten(1)
    return power.topk(power.shape[1] // 100).values.sum(1) / power.sum(1)


if __name__ == "__main__":
    main()
