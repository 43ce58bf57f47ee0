"""Measure how few kernels a unit needs, on many units, beside pruning by chance and by magnitude.

python tools/measure_unit_circuits.py
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from measured import save
from torch import Tensor, nn

from interp import attribution, folding, hooks, image, store, zoo
from interp.attribution import Circuit

LAYERS = {"blocks.1.1": 6, "blocks.2.1": 6, "blocks.3.2": 10}  # how many units of each
SHARES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8)
IN_STEPS, STEPS = (0.03, 0.1), 4
SIZE, FINDING, TESTING = 128, 12, 24
LAST = "blocks.3.2"


def main() -> None:
    model = folding.fold(zoo.load_model(), keep=list(LAYERS))
    units = {layer: drawn(model, layer)[:count] for layer, count in LAYERS.items()}
    curves = {
        layer: {str(number): store.remember(of_unit, model, layer, number) for number in numbers}
        for layer, numbers in units.items()
    }
    save(
        "unit_circuits",
        {"shares": SHARES, "units": curves, "pairs": store.remember(pairs, model, units[LAST])},
        how="python tools/measure_unit_circuits.py",
        on=f"EfficientNet-Lite0, {LAYERS}, found on {FINDING} scenes of {SIZE} pixels, tested on {TESTING} scenes of "
        "other objects and 15 photographs",
    )


def drawn(model: nn.Module, layer: str) -> list[int]:
    channels = hooks.activations(model, zoo.example_images("cat"), layer).shape[1]
    return torch.randperm(channels, generator=torch.Generator().manual_seed(0)).tolist()


def finding() -> Tensor:
    """Return the images on which circuits are found."""
    scenes = zoo.Scenes("train", SIZE, seed=0)
    return torch.stack([scenes[number].image for number in range(FINDING)])


def testing() -> Tensor:
    """Return images of objects that `finding` does not show."""
    scenes = zoo.Scenes("val", SIZE, seed=1)
    squares = [image.center_crop(zoo.photograph(name), SIZE) for name in zoo.photograph_names()]
    return torch.cat([torch.stack([scenes[number].image for number in range(TESTING)]), *squares])


def of_unit(model: nn.Module, layer: str, number: int) -> dict[str, Any]:
    """Return the agreement for each share that is kept, by whatever chose the kernels."""
    found, tested = finding(), testing()
    saliency = attribution.kernel_saliency(model, found, layer, number)

    def left(circuit: Circuit, images: Tensor = tested) -> float:
        return attribution.agreement(model, circuit.applied(model), images, layer, number)

    def curve(values: dict[str, Tensor], images: Tensor = tested) -> list[float]:
        return [left(Circuit.of(values, share), images) for share in SHARES]

    result: dict[str, Any] = {
        "kernels": sum(int((values > 0).sum()) for values in saliency.values()),
        "saliency": curve(saliency),
        "chance": [curve(attribution.kernel_chance(saliency, seed=seed)) for seed in range(2)],
    }
    if layer == LAST:
        result["seen"] = curve(saliency, found)
        result["magnitude"] = curve(attribution.kernel_magnitude(model, saliency))
        steps = [
            attribution.find_circuit(model, found, layer, number, share=share, steps=STEPS)
            for share in IN_STEPS
        ]
        result["in steps"] = [left(circuit) for circuit in steps]
        result["by layer"] = Circuit.of(saliency, 0.1).shares
    return result


def pairs(model: nn.Module, numbers: list[int]) -> list[dict[str, Any]]:
    """Return the overlap of the circuits of two units, and how far the units do the same."""
    found, tested = finding(), testing()
    values = hooks.activations(model, tested, LAST)[:, numbers].transpose(0, 1).flatten(1)
    alike = torch.corrcoef(values)
    saliencies = [attribution.kernel_saliency(model, found, LAST, number) for number in numbers]
    circuits = [Circuit.of(saliency, 0.1) for saliency in saliencies]
    chance = [Circuit.of(attribution.kernel_chance(one, seed=n), 0.1) for n, one in enumerate(saliencies)]
    magnitude = [Circuit.of(attribution.kernel_magnitude(model, one), 0.1) for one in saliencies[:1]]
    without = {f"{LAST}.project"}
    return [
        {
            "units": (numbers[a], numbers[b]),
            "overlap": circuits[a].overlap(circuits[b], without=without),
            "chance": chance[a].overlap(chance[b], without=without),
            "magnitude": circuits[a].overlap(magnitude[0], without=without),
            "correlation": alike[a, b].item(),
            "early": part(circuits[a], circuits[b], ("conv_stem", "blocks.0", "blocks.1")),
            "late": part(circuits[a], circuits[b], ("blocks.3.2.expand", "blocks.3.2.depthwise")),
        }
        for a, b in itertools.combinations(range(len(numbers)), 2)
    ]


def part(a: Circuit, b: Circuit, starts: tuple[str, ...]) -> float:
    """Return the overlap in the layers whose names begin so."""
    return a.overlap(b, without=[name for name in a.masks if not name.startswith(starts)])


if __name__ == "__main__":
    main()
