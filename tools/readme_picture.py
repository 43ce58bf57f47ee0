"""Lay the tiles of the wall side by side: the picture of the README, book/_static/wall.webp.

python tools/readme_picture.py [--columns 9] [--tile 128] [--gap 4]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

from interp import image

ROOT = Path(__file__).resolve().parents[1]
WALL = ROOT / "book" / "_data" / "wall"
TARGET = ROOT / "book" / "_static" / "wall.webp"


def compose(pictures: list[Image.Image], *, columns: int, tile: int, gap: int) -> Image.Image:
    """Return the pictures in rows; what lies between them is transparent, for light and dark pages."""
    rows = -(-len(pictures) // columns)
    step = tile + gap
    out = Image.new("RGBA", (columns * step - gap, rows * step - gap), (0, 0, 0, 0))
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        out.paste(picture.resize((tile, tile), Image.Resampling.LANCZOS), (column * step, row * step))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--columns", type=int, default=9)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--gap", type=int, default=4)
    options = parser.parse_args()
    tiles = json.loads((WALL / "manifest.json").read_text(encoding="utf-8"))
    pictures = [Image.open(WALL / tile["file"]).convert("RGB") for tile in tiles]
    whole = compose(pictures, columns=options.columns, tile=options.tile, gap=options.gap)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with image.replacing(TARGET) as temporary:
        whole.save(temporary, format="webp", quality=88, method=6)


if __name__ == "__main__":
    main()
