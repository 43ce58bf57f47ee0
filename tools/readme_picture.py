"""Make the picture at the top of the README: what 36 channels want to see, from shallow to deep.

    python tools/readme_picture.py

About a minute on one core. The channels were chosen by eye among sixteen evenly spaced ones of each layer.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from interp import featurevis, image, runs, zoo

TARGET = Path(__file__).resolve().parents[1] / "book" / "_data" / "wall.webp"
ROWS = [
    {"blocks.1.1": [8, 12, 14, 18, 22, 2], "blocks.2.1": [1, 11, 13, 26, 28, 36]},
    {"blocks.3.2": [11, 27, 37, 42, 57, 63, 78, 47], "blocks.4.2": [52, 74, 95, 45]},
    {"blocks.4.2": [23, 59, 103, 16, 66], "blocks.5.3": [64, 89, 51, 190, 127, 26, 14]},
]
SIDE, GAP = 128, 6


def main() -> None:
    """Render all channels and lay them out in rows."""
    model = zoo.load_model()
    columns = sum(map(len, ROWS[0].values()))
    width, height = (count * (SIDE + GAP) - GAP for count in (columns, len(ROWS)))
    wall = Image.new("RGB", (width, height), "white")
    for top, row in enumerate(ROWS):
        for left, picture in enumerate(rendered(model, row)):
            wall.paste(image.to_pil(picture[None]), (left * (SIDE + GAP), top * (SIDE + GAP)))
    with runs.replacing(TARGET) as temporary:
        wall.save(temporary, format="WEBP", quality=90, method=6)


def rendered(model: torch.nn.Module, row: dict[str, list[int]]) -> torch.Tensor:
    """Return the pictures (N, 3, SIDE, SIDE) of a row's channels."""
    parts = []
    for layer, channels in row.items():
        objectives = [featurevis.channel(layer, channel) for channel in channels]
        parts += [one.images for one in featurevis.render_many(model, objectives, size=SIDE, progress=True)]
    return torch.cat(parts)


if __name__ == "__main__":
    main()
