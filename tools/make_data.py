"""Compute the renderings in book/_data anew: whole layers as sheets, and the wall, which is cut out of them.

    python tools/make_data.py [layers] [wall]

A sheet holds every channel of a layer, with one sign, in rows of 16 tiles. Pictures go through a work folder first,
so that an interrupted run goes on where it was. One thread: the same machine then gives the same pictures again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from interp import featurevis as fv
from interp import image, runs, zoo
from interp.fingerprint import fingerprint

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "book" / "_data"
WORK = ROOT / ".cache" / "renderings"
LAYERS = {"blocks.2.1": 40, "blocks.3.2": 80, "blocks.4.2": 112}
TILE, COLUMNS, STEPS = 128, 16, 96
QUALITY = 88  # of WebP: what is lost cannot be seen, and a sheet of 112 takes less than 1 MB


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=["layers", "wall"], default=["layers", "wall"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if "layers" in options.what:
        model = zoo.load_model()
        for layer in LAYERS:
            for sign in (1, -1):
                make_sheet(model, layer, sign)
    if "wall" in options.what:
        make_wall()


# ------------------------------------------------------------------------------------------------------------
# Layers


def make_sheet(model: nn.Module, layer: str, sign: int) -> None:
    """Render all channels of a layer into one picture, and write what each of them scores."""
    objectives = [sign * fv.channel(layer, index) for index in range(LAYERS[layer])]
    name = sheet_name(layer, sign)
    pictures, scores = rendered(model, objectives, name, size=TILE, steps=fv.two_stages(TILE, STEPS))
    write_picture(sheet(pictures), DATA / "layers" / f"{name}.webp")
    about = {
        "layer": layer,
        "sign": sign,
        "tile": TILE,
        "columns": COLUMNS,
        "steps": STEPS,
        "scores": scores,
    }
    write_json(about, DATA / "layers" / f"{name}.json")


def sheet_name(layer: str, sign: int) -> str:
    """Return the name of a sheet's files, without suffix."""
    return f"{layer}-{'plus' if sign > 0 else 'minus'}"


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay square pictures side by side, in rows, without gaps."""
    side, rows = pictures[0].width, -(-len(pictures) // COLUMNS)
    out = Image.new("RGB", (side * min(COLUMNS, len(pictures)), side * rows), "white")
    for place, picture in enumerate(pictures):
        row, column = divmod(place, COLUMNS)
        out.paste(picture, (side * column, side * row))
    return out


# ------------------------------------------------------------------------------------------------------------
# The wall


def make_wall() -> None:
    """Cut the neurons that wall.json names out of the sheets, each into its own file, with a manifest for the page."""
    entries = json.loads((DATA / "wall" / "wall.json").read_text(encoding="utf-8"))
    for entry in entries:
        name = sheet_name(entry["layer"], entry["sign"])
        about = json.loads((DATA / "layers" / f"{name}.json").read_text(encoding="utf-8"))
        entry["file"] = f"{name}-{entry['channel']}.webp"
        entry["score"] = about["scores"][entry["channel"]]
        write_picture(tile(name, entry["channel"]), DATA / "wall" / entry["file"])
    write_json(entries, DATA / "wall" / "manifest.json")


def tile(name: str, channel: int) -> Image.Image:
    """Return one channel's tile of a sheet."""
    row, column = divmod(channel, COLUMNS)
    with Image.open(DATA / "layers" / f"{name}.webp") as sheet:
        left, top = TILE * column, TILE * row
        return sheet.convert("RGB").crop((left, top, left + TILE, top + TILE))


# ------------------------------------------------------------------------------------------------------------
# Both


def rendered(
    model: nn.Module,
    objectives: Sequence[fv.Objective],
    name: str,
    *,
    size: int,
    steps: Sequence[fv.Stage],
) -> tuple[list[Image.Image], list[float]]:
    """Return the pictures and scores of objectives, in their order, by way of a work folder."""
    # Code and network are part of the name, so that a folder is never that of another run.
    work = WORK / f"{name}-{fingerprint('import interp.featurevis.rendering')[:12]}"
    folder = fv.render_folder(model, objectives, work, size=size, steps=steps, progress=True)
    entries = [folder.images[one.name] for one in objectives]
    pictures = [image.to_pil(image.load(work / entry["file"])) for entry in entries]
    return pictures, [round(entry["score"], 3) for entry in entries]


def write_picture(picture: Image.Image, path: Path, quality: int = QUALITY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with runs.replacing(path) as temporary:
        picture.save(temporary, format="webp", quality=quality, method=6)


def write_json(content: Any, path: Path) -> None:
    with runs.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
