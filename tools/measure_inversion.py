"""Invert and exaggerate fifteen photographs, layer by layer: book/_data/measured/inversion.json.

    python tools/measure_inversion.py             the numbers
    python tools/measure_inversion.py pictures    the strips in book/_data/inversion

What has run is in the store, so that an interrupted run goes on.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from measured import FOLDER, save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image, store, zoo

SIZE, STEPS, LARGE = 112, 48, 256
LAYERS = ("blocks.0.0", "blocks.1.1", "blocks.2.1", "blocks.3.2", "blocks.4.2", "blocks.5.3")
SHOWN = ("cat", "coffee")
HOME = "cuda" if torch.cuda.is_available() else "cpu"
WAYS: dict[str, fv.places.Likeness] = {
    "distance": fv.distance(),
    "cosine": fv.cosine(),
    "whole": fv.dot(1, whole=True),
    **{f"dot {power:g}": fv.dot(power) for power in (0, 1, 2, 4)},
}
CASES = [
    *((layer, way, True) for layer in LAYERS for way in ("distance", "dot 1")),
    *((layer, way, True) for layer in ("blocks.2.1", "blocks.4.2") for way in ("dot 0", "dot 2", "dot 4")),
    *(("blocks.4.2", way, True) for way in ("cosine", "whole")),
    *((layer, "distance", False) for layer in ("blocks.2.1", "blocks.3.2", "blocks.4.2")),
]


def invert(
    model: nn.Module, photographs: Tensor, layer: str, way: str, *, paired: bool = True, steps: int = STEPS
) -> Tensor:
    """Return pictures whose activations go toward those of photographs, at the photographs' size.

    Args:
        paired: whether the photographs see the same transforms; if not, the goal is what they give as they are.
    """
    model, photographs = copy.deepcopy(model).to(HOME), photographs.to(HOME)
    size = photographs.shape[-1]
    goal = photographs if paired else hooks.activations(model, photographs, layer)
    make = fv.like if paired else fv.toward
    start = fv.standard_image(size, [f"{index}" for index in range(len(photographs))])
    wanted = make(layer, goal, by=WAYS[way])
    return fv.render(model, wanted, start, steps=[fv.Stage(size, steps)], seed=0).images.cpu()


def large(model: nn.Module, name: str, layer: str, way: str) -> Tensor:
    """Return one picture of 256 pixels, half of the steps at half the size."""
    photograph = zoo.example_images(name, size=LARGE)
    wanted = fv.like(layer, photograph, by=WAYS[way], name=name)
    return fv.render(model, wanted, size=LARGE, steps=48, seed=0).images


def correlation(pictures: Tensor, photographs: Tensor) -> Tensor:
    """Return the correlation of every picture (N, H, W) with every photograph over the pixels, (N, N)."""
    flat = [images.flatten(1) for images in (pictures, photographs)]
    a, b = (F.normalize(values - values.mean(1, keepdim=True), dim=1) for values in flat)
    return a @ b.T


def shades(images: Tensor) -> dict[str, Tensor]:
    """Return the three colors of images, the two differences between them, and the brightness, (N, H, W) each."""
    red, green, blue = images.unbind(1)
    plain = {"red": red, "green": green, "blue": blue}
    return plain | {
        "red-green": red - green,
        "yellow-blue": (red + green) / 2 - blue,
        "pixels": images.mean(1),
    }


def found(
    model: nn.Module, stranger: nn.Module, photographs: Tensor, pictures: Tensor, layer: str
) -> dict[str, list[float]]:
    """Return what the pictures have of their photographs, one number for each."""
    ours, theirs = (hooks.activations(model, images, layer) for images in (pictures, photographs))
    seen, wanted = shades(pictures), shades(photographs)
    tables = {name: correlation(seen[name], wanted[name]) for name in seen}
    with torch.no_grad():
        found, known = (stranger(images) for images in (pictures, photographs))
    middle = known.mean(0)
    alike = F.normalize(found - middle, dim=1) @ F.normalize(known - middle, dim=1).T
    count = len(pictures)
    return {
        "cosine": F.cosine_similarity(ours.flatten(1), theirs.flatten(1)).tolist(),
        "length": (ours.flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1)).tolist(),
        "missed": ((ours - theirs).flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1)).tolist(),
        **{name: table.diagonal().tolist() for name, table in tables.items()},
        **{f"other {name}": _others(table).tolist() for name, table in tables.items()},
        "recognized": (alike.argmax(1) == torch.arange(count)).float().tolist(),
    }


def _others(table: Tensor) -> Tensor:
    """Return for each picture its mean correlation with the photographs of others."""
    return (table.sum(1) - table.diagonal()) / (len(table) - 1)


def numbers(model: nn.Module) -> None:
    names = zoo.photograph_names()
    photographs = zoo.example_images(*names, size=SIZE)
    stranger = zoo.load_model("efficientnet_lite1")
    results = []
    for layer, way, paired in CASES:
        pictures = store.remember(invert, model, photographs, layer, way, paired=paired)
        values = found(model, stranger, photographs, pictures, layer)
        results.append({"layer": layer, "way": way, "paired": paired, **values})
        print(layer, way, paired, {key: f"{sum(v) / len(v):.2f}" for key, v in values.items()}, flush=True)
    save(
        "inversion",
        {"photographs": list(names), "size": SIZE, "steps": STEPS, "cases": results},
        how="python tools/measure_inversion.py",
        on=f"zoo.load_model(), {len(names)} photographs of {SIZE} pixels, {STEPS} steps, seed 0; seen by Lite1",
    )


def pictures(model: nn.Module) -> None:
    folder = FOLDER.parent / "inversion"
    for name in SHOWN:
        dial = [large_of(model, name, "blocks.4.2", f"dot {power}") for power in (0, 1, 2, 4)]
        strip(folder / f"{name}-dial.webp", dial)
    for way in ("distance", "dot 1"):
        row = [large_of(model, SHOWN[0], one, way) for one in LAYERS]
        strip(folder / f"{SHOWN[0]}-{way.split()[0]}.webp", row)


def large_of(model: nn.Module, name: str, layer: str, way: str) -> Tensor:
    return store.remember(large, model, name, layer, way)


def strip(path: Path, pictures: Sequence[Tensor]) -> None:
    """Write pictures as one row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = torch.cat([one[0] for one in pictures], dim=2)
    image.to_pil(row[None]).save(path, quality=80, method=6)


if __name__ == "__main__":
    warnings.simplefilter("ignore", fv.RenderingWarning)
    if sys.argv[1:] == ["pictures"]:
        pictures(zoo.load_model())
    else:
        numbers(zoo.load_model())
