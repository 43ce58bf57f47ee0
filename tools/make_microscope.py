"""Build the book's microscope in book/_data/microscope: three layers of its network, over embedded scenes.

    python tools/make_microscope.py

The optimized pictures of two layers are those of book/_data/layers (tools/make_data.py); the third layer is rendered
here. What is finished is kept in .cache, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from interp import microscope, zoo
from interp.microscope.pictures import rendered
from interp.spectrum import Items

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "book" / "_data" / "microscope"
BUILD = ROOT / ".cache" / "microscope"
LAYERS = {"blocks.2.1": 40, "blocks.3.2": 80, "blocks.4.2": 112}
SCENES = 1200
TILE, COLUMNS = 128, 16  # of the sheets in book/_data/layers


def source(count: int = SCENES) -> Items:
    """Return the scenes that the microscope looks at."""
    scenes = zoo.Scenes("all", 224, length=count)
    return Items(scenes, "scenes all 224", class_names=zoo.SCENE_CLASSES, shard_size=200)


def optimized(layer: str, sign: int) -> Sequence[np.ndarray]:
    """Return the optimized pictures of a layer, from the book's data or rendered anew."""
    name = f"{layer}-{'plus' if sign > 0 else 'minus'}"
    sheet = ROOT / "book" / "_data" / "layers" / f"{name}.webp"
    if not sheet.exists():
        work = BUILD.with_name("microscope-renderings") / name
        work.parent.mkdir(parents=True, exist_ok=True)
        return rendered(zoo.load_model(), layer, LAYERS[layer], sign, work, steps=96, progress=True)
    pixels = np.asarray(Image.open(sheet).convert("RGB"))
    corners = [divmod(channel, COLUMNS) for channel in range(LAYERS[layer])]
    return [
        pixels[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] for row, column in corners
    ]


def main() -> None:
    torch.set_num_threads(1)
    microscope.build(
        zoo.load_model(),
        source(),
        BUILD,
        layers=tuple(LAYERS),
        title="EfficientNet-Lite0",
        about="Three linear bottlenecks of the network of this book, seen through scenes made of real photographs.",
        optimized=optimized,
        tile=112,
        thumbnail=112,
        progress=True,
    )
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(BUILD, SITE)


if __name__ == "__main__":
    main()
