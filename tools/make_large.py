"""Draw every optimized picture of the book's microscope large: book/_data/large/LAYER-SIGN/CHANNEL.webp.

    python tools/make_large.py [--device cuda]

Each begins as the tile of its channel on a sheet of book/_data/layers (tools/make_data.py), twice as large, and is
optimized further at that size, so that the large picture shows what the tile shows. The tiles of the first two stages
are made here in the same way, and stand on no sheet. What is finished stays; a second start does the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import make_data
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from interp import featurevis as fv
from interp import hooks, image, zoo

DATA = make_data.DATA / "large"
LAYERS = {"blocks.0.0": 16, "blocks.1.1": 24, **make_data.LAYERS}
SIDE, STEPS, RATE, QUALITY = 256, 64, 0.05, 80
TOGETHER = 8  # pictures in a batch; on a GPU four times as many


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--most", type=int, help="channels of a layer, for a trial")
    asked = parser.parse_args()
    model = zoo.load_model().to(asked.device)
    together = TOGETHER if asked.device == "cpu" else 4 * TOGETHER
    for layer, count in LAYERS.items():
        for sign in (1, -1):
            draw(model, layer, sign, range(min(count, asked.most or count)), together)


def draw(model: nn.Module, layer: str, sign: int, channels: Sequence[int], together: int) -> None:
    """Draw the channels of a layer that are not there yet."""
    name = make_data.sheet_name(layer, sign)
    missing = [channel for channel in channels if not file(layer, sign, channel).exists()]
    small = beginnings(model, layer, sign, missing)
    for start in tqdm(range(0, len(missing), together), desc=name):
        part = missing[start : start + together]
        tiles = torch.cat([image.from_pil(tile) for tile in small[start : start + together]])
        found, gained = larger(model, layer, sign, part, tiles)
        for channel, picture in zip(part, found, strict=True):
            make_data.write_picture(image.to_pil(picture[None]), file(layer, sign, channel), QUALITY)
        tqdm.write(f"{name} {part[0]}...: times the activation of the tiles: {gained:.2f}")


def beginnings(model: nn.Module, layer: str, sign: int, channels: Sequence[int]) -> list[Image.Image]:
    """Return the tiles of channels: from their sheet, or else made as those of a sheet are."""
    name = make_data.sheet_name(layer, sign)
    if layer in make_data.LAYERS or not channels:
        return [make_data.tile(name, channel) for channel in channels]
    objectives = [sign * fv.channel(layer, channel) for channel in channels]
    steps = fv.two_stages(make_data.TILE, make_data.STEPS)
    return make_data.rendered(model, objectives, name, size=make_data.TILE, steps=steps)[0]


def larger(
    model: nn.Module, layer: str, sign: int, channels: Sequence[int], tiles: Tensor
) -> tuple[Tensor, float]:
    """Return pictures (N, 3, SIDE, SIDE) that go on from tiles (N, 3, S, S), and how many times more they get.

    The ratio is that of the channels' means over the positions, the median over the pictures.
    """
    start = fv.FourierImage.of(image.resize(tiles, (SIDE, SIDE)).clamp(0, 1))
    goal = fv.together([sign * fv.channel(layer, channel) for channel in channels])
    found = fv.render(model, goal, start, steps=(fv.Stage(SIDE, STEPS),), rate=RATE).images.cpu()
    device = hooks.device_of(model)
    before, after = (
        hooks.activations(model, images.to(device), layer).mean(dim=(2, 3)) for images in (tiles, found)
    )
    row = torch.arange(len(channels))
    ratio = after[row, list(channels)] / before[row, list(channels)]
    return found, float(ratio.median())


def file(layer: str, sign: int, channel: int) -> Path:
    return DATA / make_data.sheet_name(layer, sign) / f"{channel}.webp"


if __name__ == "__main__":
    main()
