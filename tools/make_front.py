"""Render the channels that the front page shows into book/_data/front.webp, a row for each layer.

python tools/make_front.py
"""

from __future__ import annotations

import make_data
import torch
from make_data import DATA
from PIL import Image

from interp import featurevis as fv
from interp import image, zoo

CHANNELS = {
    "blocks.1.1": [8, 12, 14, 18, 22, 2],
    "blocks.3.2": [11, 27, 37, 42, 57, 78],
    "blocks.4.2": [23, 45, 52, 59, 95, 103],
    "blocks.5.3": [64, 89, 51, 190, 127, 26],
}
TILE = 128


def main() -> None:
    model = zoo.load_model()
    units = [(layer, channel) for layer, channels in CHANNELS.items() for channel in channels]
    found = fv.render_many(model, [fv.channel(*unit) for unit in units], size=TILE)
    write_picture([image.to_pil(one.images) for one in found])


def write_picture(tiles: list[Image.Image]) -> None:
    """Write the tiles side by side, a row for each layer, without gaps."""
    columns = len(next(iter(CHANNELS.values())))
    out = Image.new("RGB", (TILE * columns, TILE * len(CHANNELS)))
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        out.paste(tile, (TILE * column, TILE * row))
    make_data.write_picture(out, DATA / "front.webp")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
