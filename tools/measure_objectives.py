"""Measure what different questions to the same network find, as *What to ask for* needs it.

python tools/measure_objectives.py
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from measure_scoreboard import LAYERS, STAGES, chosen
from measured import save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, zoo

SIZE, SEEDS, DREAMS = 128, (0, 1), (0, 1, 2)
CLASSES = [number * 1000 // 16 for number in range(16)]
RANDOM = 8  # directions of a layer, and as many channels
BATCH = 16


def probability(index: int) -> fv.Objective:
    """Return the probability of a class."""
    return fv.of_layer(fv.OUTPUT, lambda out: out.softmax(1)[:, index], f"probability:{index}")


def log_probability(index: int) -> fv.Objective:
    """Return the logarithm of the probability of a class."""
    return fv.of_layer(fv.OUTPUT, lambda out: out.log_softmax(1)[:, index], f"log probability:{index}")


ASKED = {"logit": fv.logit, "probability": probability, "log probability": log_probability}


def main() -> None:
    warnings.simplefilter("ignore")
    model = zoo.load_model().requires_grad_(False)
    photographs = zoo.example_images(*zoo.photograph_names(), size=SIZE)
    results = {
        "places": places(model, photographs),
        "classes": classes(model),
        "dreams": dreams(model, photographs),
        "directions": directions(model, photographs),
    }
    on = f"zoo.load_model(), 15 channels and {len(CLASSES)} classes from seeds {SEEDS}, {SIZE} px, two stages"
    save("objectives", results, how="python tools/measure_objectives.py", on=on)


def rendered(model: nn.Module, wanted: Sequence[fv.Objective], names: Sequence[str], seed: int) -> Tensor:
    """Return one picture for each wish, from the start that its name and the seed decide."""
    parts = []
    for first in range(0, len(wanted), BATCH):
        some = slice(first, first + BATCH)
        start = fv.standard_image(STAGES[0].size, names[some], seed)
        parts.append(fv.render(model, fv.together(wanted[some]), start, steps=STAGES, seed=seed).images)
    return torch.cat(parts)


def places(model: nn.Module, photographs: Tensor) -> list[dict[str, object]]:
    """Return for each unit what the picture of the channel and that of its middle neuron reach, in both."""
    units = [(layer, channel) for layer in LAYERS for channel in chosen(model, layer, 4)]
    names = [f"{layer}:{channel}" for layer, channel in units]
    wishes = {
        "channel": [fv.channel(*unit) for unit in units],
        "neuron": [fv.neuron(*unit) for unit in units],
    }
    rows = []
    for seed in SEEDS:
        for asked, wanted in wishes.items():
            pictures = rendered(model, wanted, names, seed)
            for unit, picture in zip(units, pictures, strict=True):
                rows.append(
                    {
                        "unit": list(unit),
                        "seed": seed,
                        "asked": asked,
                        **reach(model, picture, unit, photographs),
                    }
                )
    return rows


def reach(model: nn.Module, picture: Tensor, unit: tuple[str, int], photographs: Tensor) -> dict[str, float]:
    """Return mean and middle of a channel, in deviations of the photographs' positions, and where gray was left."""
    usual = hooks.activations(model, photographs, unit[0])[:, unit[1]]
    seen = (hooks.activations(model, picture[None], unit[0])[0, unit[1]] - usual.mean()) / usual.std()
    left = (picture - 0.5).square().mean(0)
    inside = left[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4].sum() / left.sum()
    middle = seen[seen.shape[0] // 2, seen.shape[1] // 2]
    return {"mean": seen.mean().item(), "middle": middle.item(), "inside": inside.item()}


def classes(model: nn.Module) -> list[dict[str, object]]:
    """Return for each class what pictures for its logit, its probability and the logarithm of that reach."""
    gray = torch.full((1, 3, SIZE, SIZE), 0.5)
    names = [str(index) for index in CLASSES]
    rows = []
    for seed in SEEDS:
        for asked, wish in ASKED.items():
            pictures = rendered(model, [wish(index) for index in CLASSES], names, seed)
            for index, picture in zip(CLASSES, pictures, strict=True):
                moved = fv.transformed(picture.expand(8, -1, -1, -1), fv.STANDARD, seed=77)
                rows.append(
                    {"class": index, "seed": seed, "asked": asked}
                    | {"gray": told(model, gray, index), "picture": told(model, picture[None], index)}
                    | {"moved": told(model, moved, index), "grain": fv.fine_share(picture[None]).item()}
                )
    return rows


@torch.no_grad()
def told(model: nn.Module, pictures: Tensor, index: int) -> list[float]:
    """Return a class's logit, the soft maximum of all others, and its probability, each as a mean over pictures."""
    out = model(pictures)
    others = torch.cat([out[:, :index], out[:, index + 1 :]], dim=1)
    values = torch.stack([out[:, index], others.logsumexp(1), out.softmax(1)[:, index]])
    return values.mean(1).tolist()


def dreams(model: nn.Module, photographs: Tensor) -> list[dict[str, object]]:
    """Return for each layer the part of its energy in a dream's ten strongest channels, and how alike dreams are."""
    rows = []
    for layer in LAYERS:
        seen = [
            energy(model, rendered(model, [fv.deepdream(layer)], ["dream"], seed), layer) for seed in DREAMS
        ]
        usual = energy(model, photographs, layer)
        pairs = [(a, b) for a in range(len(seen)) for b in range(a)]
        rows.append(
            {
                "layer": layer,
                "held": [share(one) for one in seen],
                "photographs": share(usual),
                "alike": [torch.corrcoef(torch.stack([seen[a], seen[b]]))[0, 1].item() for a, b in pairs],
                "like photographs": [torch.corrcoef(torch.stack([one, usual]))[0, 1].item() for one in seen],
            }
        )
    return rows


def energy(model: nn.Module, pictures: Tensor, layer: str) -> Tensor:
    """Return the mean square of each channel."""
    return hooks.activations(model, pictures, layer).square().mean(dim=(0, 2, 3))


def share(energies: Tensor) -> float:
    """Return the part of the sum that the ten largest hold."""
    return (energies.topk(10).values.sum() / energies.sum()).item()


def directions(model: nn.Module, photographs: Tensor) -> list[dict[str, object]]:
    """Return how far pictures of channels and of random directions rise, in deviations over the photographs."""
    rows: list[dict[str, object]] = []
    for layer in LAYERS:
        usual = hooks.activations(model, photographs, layer).mean(dim=(2, 3))
        random = torch.randn(RANDOM, usual.shape[1], generator=torch.Generator().manual_seed(0))
        axes = torch.eye(usual.shape[1])[[number * usual.shape[1] // RANDOM for number in range(RANDOM)]]
        for kind, vectors in {"channel": axes, "random": random}.items():
            ways = vectors / usual.std(0)  # so that each channel counts by what is usual for it
            names = [f"{kind}:{number}" for number in range(RANDOM)]
            pictures = rendered(model, [fv.direction(layer, way) for way in ways], names, 0)
            seen = hooks.activations(model, pictures, layer).mean(dim=(2, 3))
            found, normal = (seen * ways).sum(1), usual @ ways.T
            rises = ((found - normal.mean(0)) / normal.std(0)).tolist()
            rows.append(
                {"layer": layer, "kind": kind, "rise": rises, "grain": fv.fine_share(pictures).tolist()}
            )
    return rows


if __name__ == "__main__":
    main()
