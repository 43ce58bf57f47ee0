"""Make the cut-outs of interp/zoo/embedded/cutouts from Debian's package tuxpaint-stamps-default.

    apt-get download tuxpaint-stamps-default
    dpkg -x tuxpaint-stamps-default_*.deb stamps
    python tools/make_cutouts.py stamps/usr/share/tuxpaint/stamps

What is taken, under which name and into which class, stands in cutouts.tsv beside the images; this script only cuts
the empty border away, makes each picture at most 160 pixels long and writes it as WebP with transparency.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from interp import runs
from interp.zoo.cutouts import FOLDER, read_list

LONGEST = 160  # pixels
QUALITY = 82  # of WebP's lossy colors; the transparency is stored without loss


def main() -> None:
    """Make all cut-outs that the list names, and remove those that it does not name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stamps", type=Path, help="the folder 'stamps' of the unpacked package")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the images go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    entries = read_list()
    for entry in entries:
        write(cut(arguments.stamps / entry.stamp), arguments.out / f"{entry.name}.webp")
    for path in set(arguments.out.glob("*.webp")) - {
        arguments.out / f"{entry.name}.webp" for entry in entries
    }:
        path.unlink()
    total = sum(path.stat().st_size for path in arguments.out.glob("*.webp"))
    print(f"{len(entries)} cut-outs, {total / 1e6:.2f} MB in {arguments.out}")


def cut(path: Path) -> Image.Image:
    """Return a stamp without its empty border, at most `LONGEST` pixels long."""
    with Image.open(path) as opened:
        picture = opened.convert("RGBA")
    box = picture.getchannel("A").point(lambda value: 255 * (value > 16)).getbbox()
    picture = picture.crop(box)
    scale = min(1.0, LONGEST / max(picture.size))
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize((size[0], size[1]), Image.Resampling.LANCZOS) if scale < 1 else picture


def write(picture: Image.Image, path: Path) -> None:
    """Write a cut-out; the file appears whole or not at all."""
    with runs.replacing(path) as temporary:
        picture.save(temporary, format="WEBP", quality=QUALITY, alpha_quality=100, method=6)


if __name__ == "__main__":
    main()
