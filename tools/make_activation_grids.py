"""Render the activation grids of some photographs: python tools/make_activation_grids.py [PHOTOGRAPH ...].

Each photograph gets two sheets in book/_data/grids: NAME-cells.webp, a tile of 64 pixels for each place, and
NAME-groups.webp, a tile of 160 pixels for each of six groups.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from interp import dictionaries, hooks, image, zoo
from interp import featurevis as fv

LAYER, SIZE, GROUPS, POWER = "blocks.5.0.act_expand", 160, 6, 1.0
PHOTOGRAPHS = ("cat", "motorcycle", "astronaut")
SHEETS = Path("book/_data/grids")


def pictures(model: nn.Module, directions: Tensor, size: int, steps: int) -> Tensor:
    """Return a picture for each direction (K, C): the dot product times the cosine, climbed for some steps."""
    parts = [
        fv.direction(LAYER, vector, cosine_power=POWER, name=f"direction {n}")
        for n, vector in enumerate(directions)
    ]
    return fv.render(model, fv.together(parts), size=size, steps=steps).images


def sheet(images: Tensor, columns: int) -> Tensor:
    rows = [torch.cat(list(part), dim=2) for part in images.split(columns)]
    return torch.cat(rows, dim=1)[None]


def grid(model: nn.Module, name: str) -> None:
    maps = hooks.activations(model, zoo.example_images(name, size=SIZE), LAYER)
    vectors = maps[0].flatten(1).T
    atoms = dictionaries.nmf(maps, GROUPS).atoms
    cells = pictures(model, vectors, 64, 32)
    groups = pictures(model, atoms, 160, 48)
    SHEETS.mkdir(parents=True, exist_ok=True)
    image.to_pil(sheet(cells, maps.shape[3])).save(SHEETS / f"{name}-cells.webp", quality=80, method=6)
    image.to_pil(sheet(groups, GROUPS)).save(SHEETS / f"{name}-groups.webp", quality=84, method=6)


def main() -> None:
    model = zoo.load_model()
    for name in sys.argv[1:] or PHOTOGRAPHS:
        grid(model, name)


if __name__ == "__main__":
    main()
