"""Measure what coordinates are worth, each at its best rate: book/_data/measured/better_coordinates.json.

    python tools/measure_better_coordinates.py

Eight channels, two starts, 64 steps, 128 pixels. What has run is in the store, so an interrupted command goes on.
"""

from __future__ import annotations

import itertools
import warnings

from measured import save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image, store, zoo

LAYERS = ("blocks.2.1", "blocks.3.2", "blocks.4.2", "blocks.5.3")
UNITS = list(zip(LAYERS, (26, 42, 47, 55), strict=True)) + [(layer, 0) for layer in LAYERS]
SEEDS = (0, 1)
STEPS, SIZE = 64, 128
STAGES = (fv.Stage(64, 32), fv.Stage(128, 32))
ROWS = {
    "pixels, nothing moved": (0.02, 0.05, 0.1, 0.2),
    "pixels": (0.02, 0.05, 0.1, 0.2),
    "pixels, colors": (0.2, 0.5),
    "d = 0": (0.2, 0.5, 1.0),
    "d = 0.5": (0.1, 0.2, 0.5),
    "d = 1, RGB": (0.1, 0.2),
    "d = 1": (0.05, 0.1, 0.2),
    "d = 1.25": (0.05, 0.1, 0.2),
    "d = 1.75": (0.02, 0.05, 0.1),
    "d = 1.25, in stages": (0.05, 0.1, 0.2),
    "only phases": (0.1, 0.2, 0.5),
}
APART = ("pixels, colors", "d = 1, RGB")  # they tell colors and waves apart, from one start


def start(row: str, seed: int, magnitude: Tensor) -> fv.Parameterization:
    """Return the coordinates that a row of the table stands for."""
    names = [f"{layer}:{channel}" for layer, channel in UNITS]
    if row.startswith("pixels"):
        return fv.PixelImage(SIZE, names=names, seed=seed, decorrelated="colors" in row)
    if row == "only phases":
        return fv.MacoImage(SIZE, names=names, seed=seed, magnitude=magnitude)
    decay = float(row.split(",")[0].removeprefix("d = "))
    size = STAGES[0].size if "stages" in row else SIZE
    return fv.FourierImage(size, names=names, seed=seed, decay=decay, decorrelated="RGB" not in row)


def measured_rendering(
    model: nn.Module, row: str, rate: float, seed: int, magnitude: Tensor
) -> dict[str, list[float]]:
    """Render all units once and return what the pictures are worth, one number for each."""
    pictures = fv.render(
        model,
        fv.together([fv.channel(*unit) for unit in UNITS]),
        start(row, seed, magnitude),
        transforms=() if "nothing moved" in row else fv.STANDARD,
        steps=STAGES if "stages" in row else STEPS,
        rate=rate,
        seed=seed,
    ).images
    return {
        "plain": activations(model, pictures, moves=0),
        "moved": activations(model, pictures, moves=16),
        "grain": fv.fine_share(pictures).tolist(),
        "contrast": fv.contrast(pictures).tolist(),
    }


def activations(model: nn.Module, pictures: Tensor, *, moves: int) -> list[float]:
    """Return each picture's activation of its own unit, as it is or as the mean over fresh moves."""
    found = []
    for picture, (layer, channel) in zip(pictures, UNITS, strict=True):
        seen = (
            fv.transformed(picture.expand(moves, -1, -1, -1), fv.STANDARD, seed=77)
            if moves
            else picture[None]
        )
        found.append(hooks.activations(model, seen, layer)[:, channel].mean().item())
    return found


def main() -> None:
    """Run all rows at all rates from all starts."""
    warnings.simplefilter("ignore")  # some rates saturate, and render says so
    model = zoo.load_model()
    photographs = zoo.example_images(*zoo.photograph_names(), size=SIZE)
    magnitude = fv.mean_magnitude(image.check(photographs))
    rows = []
    for row, rates in ROWS.items():
        for rate, seed in itertools.product(rates, SEEDS[:1] if row in APART else SEEDS):
            found = store.remember(measured_rendering, model, row, rate, seed, magnitude)
            rows.append({"row": row, "rate": rate, "seed": seed, **found})
    starts = f"starts {SEEDS} (two rows that tell colors and waves apart: start 0)"
    on = f"the embedded network, {len(UNITS)} channels, {starts}, {STEPS} steps, 128 px"
    results = {"units": [list(unit) for unit in UNITS], "runs": rows}
    save("better_coordinates", results, how="python tools/measure_better_coordinates.py", on=on)


if __name__ == "__main__":
    main()
