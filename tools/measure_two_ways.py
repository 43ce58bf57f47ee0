"""Measure how far optimized pictures go beyond the best of many scenes.

    python tools/measure_two_ways.py

Writes book/_data/measured/two_ways.json for the chapter "Two ways to ask a neuron". A few minutes on one core.
"""

from __future__ import annotations

import torch
from measured import save
from torch import Tensor

from interp import featurevis as fv
from interp import spectrum, zoo

SIZE, SCENES, SEEDS = 224, 480, (0, 1)
UNITS = (
    ("blocks.2.1", 1, 1), ("blocks.2.1", 1, -1), ("blocks.3.2", 35, 1), ("blocks.3.2", 35, -1),
    ("blocks.4.2", 102, 1), ("blocks.4.2", 102, -1), ("blocks.3.2", 11, 1), ("blocks.3.2", 42, 1),
    ("blocks.5.3", 151, 1),
)  # fmt: skip
LAYERS = tuple(dict.fromkeys(layer for layer, _, _ in UNITS))


def main() -> None:
    model, scenes = zoo.load_model(), zoo.Scenes("all", SIZE, length=SCENES)
    score = spectrum.scorer(model, LAYERS)
    parts = [score(batch.images) for batch in spectrum.batches(spectrum.Items(scenes, "scenes"))]
    known = {layer: torch.cat([part[layer] for part in parts]) for layer in LAYERS}
    gains = {}
    for layer, channel, sign in UNITS:
        objective = sign * fv.channel(layer, channel)
        pictures = [fv.render(model, objective, size=SIZE, seed=seed).images for seed in SEEDS]
        reached = [sign * score(picture)[layer][0, channel] for picture in pictures]
        gains[name(layer, channel, sign)] = [gain(one, sign * known[layer][:, channel]) for one in reached]
    on = f"EfficientNet-Lite0; {SCENES} scenes of {SIZE} pixels; {len(UNITS)} units, seeds {SEEDS}"
    save("two_ways", {"gains": gains}, how="python tools/measure_two_ways.py", on=on)


def name(layer: str, channel: int, sign: int) -> str:
    return f"{layer}, channel {channel} {'up' if sign > 0 else 'down'}"


def gain(reached: Tensor, known: Tensor) -> float:
    """Return how far a score is above the median of the scenes, with the best scene as 1."""
    return float((reached - known.median()) / (known.max() - known.median()))


if __name__ == "__main__":
    main()
