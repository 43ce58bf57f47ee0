"""Measure how few kernels ten units need, beside kernels by size, by lot, and by lot within each layer.

python tools/measure_unit_circuits.py         # a run that was stopped goes on where it was
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import torch
from measured import exactly, save
from torch import Tensor, nn

from interp import attribution, folding, hooks, image, store, zoo
from interp.attribution import Circuit

LAYER, COUNT = "blocks.3.2", 10
SHARES = (0.1, 0.2, 0.3, 0.5, 0.8)
IN_STEPS, STEPS = (0.1, 0.2), 4
SIZE, FINDING, TESTING = 128, 12, 24
EARLY, LATE = ("conv_stem", "blocks.0", "blocks.1"), (f"{LAYER}.expand", f"{LAYER}.depthwise")


def main() -> None:
    numbers = drawn()[:COUNT]
    save(
        "unit_circuits",
        {
            "shares": SHARES,
            "in steps": IN_STEPS,
            "units": {str(number): store.remember(of_unit, number) for number in numbers},
            "pairs": store.remember(pairs, numbers),
        },
        how="python tools/measure_unit_circuits.py",
        on=f"EfficientNet-Lite0, {COUNT} channels of {LAYER} drawn by lot, found on {FINDING} scenes of {SIZE} pixels, "
        f"tested on {TESTING} scenes of other objects and 15 photographs",
    )


@cache
def network() -> nn.Module:
    """Return the network whose circuits are looked for."""
    return folding.fold(zoo.load_model(), keep=[LAYER]).to(exactly())


def drawn() -> list[int]:
    """Return the channels of the layer in an order by lot."""
    count = hooks.activations(network(), finding()[:1], LAYER).shape[1]
    return torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()


@cache
def finding() -> Tensor:
    """Return the images on which circuits are found."""
    scenes = zoo.Scenes("train", SIZE, seed=0)
    return torch.stack([scenes[number].image for number in range(FINDING)]).to(exactly())


@cache
def testing() -> Tensor:
    """Return images of objects that `finding` does not show."""
    scenes = zoo.Scenes("val", SIZE, seed=1)
    squares = [image.center_crop(zoo.photograph(name), SIZE) for name in zoo.photograph_names()]
    return torch.cat([torch.stack([scenes[n].image for n in range(TESTING)]), *squares]).to(exactly())


def saliency_of(number: int) -> dict[str, Tensor]:
    found = attribution.kernel_saliency(network(), finding(), LAYER, number)
    return {layer: values.cpu() for layer, values in found.items()}


@cache
def whole() -> Tensor:
    """Return what all units of the layer give in the whole network, (N, C, h, w)."""
    return hooks.activations(network(), testing(), LAYER)


def left(circuit: Circuit, number: int, *, means: bool = True) -> float:
    """Return the agreement of a unit with itself where only a circuit is left, as `attribution.agreement` does."""
    pruned = circuit.applied(network(), balanced_on=finding() if means else None)
    now = hooks.activations(pruned, testing(), LAYER)[:, number]
    pair = torch.stack([now.flatten(), whole()[:, number].flatten()]).double()
    return torch.corrcoef(pair)[0, 1].nan_to_num(0).item()


def within(circuit: Circuit, seed: int) -> Circuit:
    """Return as many kernels of each layer as a circuit has, by lot among the candidates of this layer."""
    random, masks = torch.Generator().manual_seed(seed), {}
    for layer, candidates in circuit.candidates.items():
        drawn = torch.rand(candidates.shape, generator=random).where(candidates, -1).flatten()
        kept = torch.zeros_like(drawn, dtype=torch.bool)
        count = int((circuit.masks[layer] & candidates).sum())
        kept[drawn.argsort(descending=True, stable=True)[:count]] = True
        masks[layer] = kept.view_as(candidates)
    return Circuit(masks, circuit.candidates)


def of_unit(number: int) -> dict[str, Any]:
    """Return the agreement for each share that is kept, by whatever chose the kernels."""
    saliency = saliency_of(number)
    found = [Circuit.of(saliency, share) for share in SHARES]
    lot = attribution.kernel_chance(saliency, seed=0)
    largest = attribution.kernel_magnitude(network().cpu(), saliency)
    network().to(exactly())
    steps = [
        attribution.find_circuit(network(), finding(), LAYER, number, share=share, steps=STEPS)
        for share in IN_STEPS
    ]
    tenth = found[SHARES.index(0.1)]
    return {
        "kernels": sum(int((values > 0).sum()) for values in saliency.values()),
        "saliency": [left(one, number) for one in found],
        "biases as they were": [left(one, number, means=False) for one in found],
        "size": [left(Circuit.of(largest, share), number) for share in SHARES],
        "lot": [left(Circuit.of(lot, share), number) for share in SHARES],
        "lot within layers": [left(within(one, 0), number) for one in found],
        "in steps": [left(one, number) for one in steps],
        "overlap with the largest": tenth.overlap(Circuit.of(largest, 0.1), without={f"{LAYER}.project"}),
        "by layer": {
            layer: [int((tenth.masks[layer] & some).sum()), int(some.sum())]
            for layer, some in tenth.candidates.items()
        },
    }


def pairs(numbers: list[int]) -> list[dict[str, Any]]:
    """Return the overlap of the circuits of two units, and how far the units do the same."""
    values = hooks.activations(network(), testing(), LAYER)[:, numbers].transpose(0, 1).flatten(1)
    alike = torch.corrcoef(values)
    saliencies = [saliency_of(number) for number in numbers]
    circuits = [Circuit.of(saliency, 0.1) for saliency in saliencies]
    lots = [Circuit.of(attribution.kernel_chance(one, seed=n), 0.1) for n, one in enumerate(saliencies)]
    inside = [within(one, n) for n, one in enumerate(circuits)]

    def overlaps(a: int, b: int) -> dict[str, float]:
        without = {f"{LAYER}.project"}
        return {
            "overlap": circuits[a].overlap(circuits[b], without=without),
            "lot": lots[a].overlap(lots[b], without=without),
            "lot within layers": inside[a].overlap(inside[b], without=without),
            "early": part(circuits[a], circuits[b], EARLY),
            "early, lot within layers": part(inside[a], inside[b], EARLY),
            "late": part(circuits[a], circuits[b], LATE),
            "late, lot within layers": part(inside[a], inside[b], LATE),
        }

    return [
        {"units": (numbers[a], numbers[b]), "correlation": alike[a, b].item(), **overlaps(a, b)}
        for a, b in itertools.combinations(range(len(numbers)), 2)
    ]


def part(a: Circuit, b: Circuit, starts: tuple[str, ...]) -> float:
    """Return the overlap in the layers whose names begin so."""
    return a.overlap(b, without=[name for name in a.masks if not name.startswith(starts)])


if __name__ == "__main__":
    main()
