"""Measure how far optimized pictures go, and whether they reach a channel by the way that scenes take.

    python tools/measure_two_ways.py

Writes book/_data/measured/two_ways.json for the chapter "Two ways to ask a neuron". A few minutes on one core.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from measured import save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import spectrum, zoo

SIZE, SCENES, SEEDS = 224, 480, (0, 1)
LAYERS = ("blocks.2.1", "blocks.3.2", "blocks.4.2", "blocks.5.3")
UNITS = (
    ("blocks.2.1", 1, 1), ("blocks.2.1", 1, -1), ("blocks.3.2", 35, 1), ("blocks.3.2", 35, -1),
    ("blocks.4.2", 102, 1), ("blocks.4.2", 102, -1), ("blocks.3.2", 11, 1), ("blocks.3.2", 42, 1),
    ("blocks.4.2", 15, 1),
)  # fmt: skip
LAST = "blocks.5.3"
SHOWN = 151
CHANNELS = (*range(0, 192, 16), SHOWN)


def main() -> None:
    model, scenes = zoo.load_model(), zoo.Scenes("all", SIZE, length=SCENES)
    score = spectrum.scorer(model, LAYERS)
    parts = [score(batch.images) for batch in spectrum.batches(spectrum.Items(scenes, "scenes"))]
    answers = {layer: torch.cat([part[layer] for part in parts]) for layer in LAYERS}
    objects = [scene.main.cutout.name for scene in scenes]
    units = [*UNITS, *((LAST, channel, 1) for channel in CHANNELS)]
    found = [{layer: [] for layer in LAYERS} for _ in units]
    for seed in SEEDS:
        for seen, unit in zip(found, units, strict=True):
            reached = score(optimized(model, unit, seed))
            for layer in LAYERS:
                seen[layer].append(reached[layer][0])
    pairs = list(zip(units, found, strict=True))
    results = {
        "layers": LAYERS,
        "seeds": len(SEEDS),
        "gains": {name(unit): gains(answers, unit, seen) for unit, seen in pairs},
        "paths": {
            str(unit[1]): paths(answers, strongest(answers[LAST][:, unit[1]], objects), seen)
            for unit, seen in pairs
            if unit[0] == LAST
        },
    }
    on = f"EfficientNet-Lite0; {SCENES} scenes of {SIZE} pixels; {len(units)} units, seeds {SEEDS}"
    save("two_ways", results, how="python tools/measure_two_ways.py", on=on)


def name(unit: tuple[str, int, int]) -> str:
    layer, channel, sign = unit
    return f"{layer}, channel {channel} {'up' if sign > 0 else 'down'}"


def optimized(model: nn.Module, unit: tuple[str, int, int], seed: int) -> Tensor:
    """Return one picture (1, 3, H, W) of the scenes' size."""
    layer, channel, sign = unit
    return fv.render(model, sign * fv.channel(layer, channel), size=SIZE, seed=seed).images


def gains(
    answers: dict[str, Tensor], unit: tuple[str, int, int], seen: dict[str, list[Tensor]]
) -> list[float]:
    """Return the gain over the median of each seed's picture, with that of the best scene as 1."""
    layer, channel, sign = unit
    known = sign * answers[layer][:, channel]
    return [
        float((sign * reached[channel] - known.median()) / (known.max() - known.median()))
        for reached in seen[layer]
    ]


def strongest(scores: Tensor, objects: Sequence[str], count: int = 9) -> list[int]:
    """Return the numbers of the scenes with the highest scores, one for each object."""
    found: dict[str, int] = {}
    for number in scores.argsort(descending=True).tolist():
        found.setdefault(objects[number], number)
    return list(found.values())[:count]


def paths(
    answers: dict[str, Tensor], nine: list[int], seen: dict[str, list[Tensor]]
) -> dict[str, list[object]]:
    """Return correlations with the nine scenes at each layer: of themselves, of the pictures, of all other scenes."""
    out: dict[str, list[object]] = {"among": [], "optimized": [], "strangers": [], "below": []}
    others = [number for number in range(SCENES) if number not in nine]
    for layer in LAYERS:
        table = answers[layer]
        rows = torch.cat([table[nine], torch.stack(seen[layer]), table[others]])
        alike = torch.corrcoef((rows - table.mean(dim=0)) / table.std(dim=0))
        among = (alike[:9, :9].sum(dim=1) - 1) / 8
        mean = alike[9:, :9].mean(dim=1)
        pictures, strangers = mean[: len(SEEDS)], mean[len(SEEDS) :]
        out["among"].append(among.tolist())
        out["optimized"].append(pictures.tolist())
        out["strangers"].append(strangers.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist())
        out["below"].append([float((strangers < one).float().mean()) for one in pictures])
    return out


if __name__ == "__main__":
    main()
