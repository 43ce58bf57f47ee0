"""Measure what the chapter on a generator shows for few units: book/_data/measured/generator.json and a sheet.

    python tools/measure_generator.py [arm ...]

Sixteen units, three starts, 256 steps: as waves, by the generator with balls of four radii, and by a generator with
shuffled weights, as it is and made louder. What has run is in the store.
"""

from __future__ import annotations

import os
import sys

import torch
from measured import save, save_sheet
from torch import Tensor, nn

from interp import featurevis as fv
from interp import store, zoo

SHOWN: tuple[tuple[str, int | str], ...] = (
    ("blocks.2.1", 26),
    ("blocks.4.2", 47),
    ("output", "flamingo"),
    ("output", "strawberry"),
)
BY_LOT = (
    ("blocks.2.1", 40),
    ("blocks.4.2", 112),
    ("output", 1000),
)  # the layers, and how many units they have
SEEDS, HALF, FULL, STEPS, RATE = (0, 1, 2), 64, 128, 128, 0.2
RADII, GAINS = (0.25, 0.5, 1.0, 2.0), (1.0, 2.0, 4.0, 8.0)
DEVICE = os.environ.get("MEASURE_ON", "cpu")  # or "cuda"
torch.backends.cudnn.allow_tf32 = False  # all 24 bits on a GPU, too


def units(each: int = 4) -> list[fv.Objective]:
    """Return the units that the chapter shows, and some of each layer that are drawn by lot."""
    dice = torch.Generator().manual_seed(0)
    drawn = [
        (layer, index)
        for layer, count in BY_LOT
        for index in torch.randperm(count, generator=dice)[:each].tolist()
    ]
    return [_unit(layer, which) for layer, which in (*SHOWN, *drawn)]


def _unit(layer: str, which: int | str) -> fv.Objective:
    return fv.logit(which) if isinstance(which, str) or layer == "output" else fv.channel(layer, which)


@torch.no_grad()
def louder(generator: nn.Module, gain: float) -> nn.Module:
    """Scale what comes before the sigmoid, about its mean on random codes; the generator changes in place."""
    codes = torch.randn(16, generator.channels, 4, 4, generator=torch.Generator().manual_seed(0))  # type: ignore[call-overload]
    middle = generator.latent(codes).mean()  # type: ignore[operator]
    generator.last.weight.mul_(gain)  # type: ignore[operator,union-attr]
    generator.last.bias.mul_(gain).add_((1 - gain) * middle)  # type: ignore[operator,union-attr]
    return generator


def arms() -> list[str]:
    """Return the names of what is compared."""
    return ["waves", *(f"radius {one}" for one in RADII), *(f"shuffled {one}" for one in GAINS)]


def start_of(arm: str, names: list[str], seed: int) -> fv.Parameterization:
    """Return where the ascent of an arm begins; each start of a shuffled generator has its own shuffle."""
    if arm == "waves":
        return fv.standard_image(HALF, names, seed=seed)
    kind, number = arm.split()
    if kind == "radius":
        return fv.GeneratorImage(zoo.load_generator(), HALF, names=names, seed=seed, radius=float(number))
    return fv.GeneratorImage(
        louder(zoo.load_generator(shuffled=seed), float(number)), HALF, names=names, seed=seed
    )


def grown(arm: str, seed: int, steps: int, each: int) -> dict[str, Tensor]:
    """Return the pictures of all units (N, 3, FULL, FULL) and what the units answer (N,)."""
    wanted = units(each)
    start = start_of(arm, [unit.name for unit in wanted], seed)
    stages = (fv.Stage(HALF, steps), fv.Stage(FULL, steps))
    rate = fv.RATE if arm == "waves" else RATE
    found = fv.render(zoo.load_model().to(DEVICE), fv.together(wanted), start, steps=stages, rate=rate)
    return {"images": found.images.cpu(), "score": found.score.cpu()}


def row(arm: str, seed: int, steps: int = STEPS, each: int = 4) -> dict[str, object]:
    """Return what an arm reaches from one start, the grain and the contrast of its pictures."""
    found = store.remember(grown, arm, seed, steps, each)
    images = found["images"]
    return {
        "arm": arm,
        "seed": seed,
        "score": found["score"].tolist(),
        "fine": fv.fine_share(images).tolist(),
        "contrast": images.flatten(1).std(1).tolist(),
    }


def sheet(chosen: tuple[str, ...]) -> list[Tensor]:
    """Return the pictures of the shown units, from the first start, a row for each arm."""
    return [store.remember(grown, arm, 0, STEPS, 4)["images"][: len(SHOWN)] for arm in chosen]


def main() -> None:
    """Measure and write; with names of arms, only measure these."""
    for arm in sys.argv[1:] or arms():
        for seed in SEEDS:
            row(arm, seed)
            print(arm, seed, flush=True)
    if not sys.argv[1:]:
        keep([row(arm, seed) for arm in arms() for seed in SEEDS])
        save_sheet(
            "generator-units", sheet(("waves", "radius 1.0", "shuffled 1.0", "shuffled 2.0", "radius 0.25"))
        )


def keep(rows: list[dict[str, object]]) -> None:
    """Write what was measured."""
    names = [unit.name for unit in units()]
    on = f"EfficientNet-Lite0, {len(names)} units, starts {SEEDS}, {STEPS} steps at {HALF} pixels and {STEPS} at {FULL}"
    save("generator", {"units": names, "rows": rows}, how="python tools/measure_generator.py", on=on)


if __name__ == "__main__":
    main()
