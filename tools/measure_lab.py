"""Find the scenes that drive each channel of the last layer most, for the live lab: book/_data/measured/lab.json.

    python tools/measure_lab.py

A channel's value of a scene is the mean over all places, which is what the classifier reads. The scenes are those of
the microscope, which shows other layers. Two minutes on one core.
"""

from __future__ import annotations

import torch
from make_microscope import SCENES
from measured import save
from torch import Tensor

from interp import hooks, zoo

LAYER = "act_head"
KEPT = 3  # scenes of each channel
TOGETHER = 25


def values(numbers: list[int]) -> Tensor:
    """Return the means of all channels for some scenes, (scenes, channels)."""
    model, scenes = zoo.load_model(), zoo.Scenes("all", 224, length=SCENES)
    images = torch.stack([scenes[number].image for number in numbers])
    return hooks.activations(model, images, LAYER).mean(dim=(2, 3))


def strongest(table: Tensor) -> list[str]:
    """Return the numbers of the best scenes of each channel, "436 986 816"; only those that it answers to at all."""
    best = table.topk(KEPT, dim=0)
    pairs = zip(best.indices.T.tolist(), best.values.T.tolist(), strict=True)
    return [" ".join(str(scene) for scene, value in zip(*pair, strict=True) if value > 0) for pair in pairs]


def main() -> None:
    parts = [
        values(list(range(first, min(first + TOGETHER, SCENES)))) for first in range(0, SCENES, TOGETHER)
    ]
    table = torch.cat(parts)
    save(
        "lab",
        {"layer": LAYER, "scenes": SCENES, "best": strongest(table)},
        how="python tools/measure_lab.py",
        on=f"EfficientNet-Lite0, {LAYER}, {SCENES} scenes of 224 pixels, one thread",
    )
    silent = int((table.amax(0) <= 0).sum())
    shared = len(set(table.argmax(0).tolist()))
    print(f"{table.shape[1]} channels, {silent} silent; {shared} scenes are the first of some channel")


if __name__ == "__main__":
    main()
