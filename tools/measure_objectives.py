"""Measure what different questions to the same network find, as *What to ask for* needs it.

    python tools/measure_objectives.py [PART ...]

With parts (places, classes, plain, dreams, directions) these are measured again and the others kept. Ten minutes on
one core in all.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence

import torch
from measure_scoreboard import LAYERS, STAGES, chosen
from measured import FOLDER, save
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


def above_others(index: int) -> fv.Objective:
    """Return the logit of a class minus the mean of all other logits."""

    def difference(out: Tensor) -> Tensor:
        return out[:, index] - (out.sum(1) - out[:, index]) / (out.shape[1] - 1)

    return fv.of_layer(fv.OUTPUT, difference, f"above others:{index}")


ASKED: dict[str, Callable[[int], fv.Objective]] = {
    "logit": fv.logit,
    "probability": probability,
    "log probability": log_probability,
    "logit minus the others' mean": above_others,
}
PARTS: dict[str, Callable[[nn.Module, Tensor], list[dict[str, object]]]] = {
    "places": lambda model, photographs: places(model, photographs),
    "classes": lambda model, _: classes(model),
    "plain": lambda model, _: classes(model, transforms=()),
    "dreams": lambda model, photographs: dreams(model, photographs),
    "directions": lambda model, photographs: directions(model, photographs),
}


def main(parts: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    model = zoo.load_model().requires_grad_(False)
    photographs = zoo.example_images(*zoo.photograph_names(), size=SIZE)
    file = FOLDER / "objectives.json"
    results = json.loads(file.read_text()) if parts and file.exists() else {}
    for part in parts or PARTS:
        results[part] = PARTS[part](model, photographs)
        print(part, flush=True)
    results.pop("made", None)
    on = f"zoo.load_model(), 15 channels and {len(CLASSES)} classes from seeds {SEEDS}, {SIZE} px, two stages"
    save("objectives", results, how="python tools/measure_objectives.py", on=on)


def rendered(
    model: nn.Module,
    wanted: Sequence[fv.Objective],
    names: Sequence[str],
    seed: int,
    transforms: Sequence[fv.Transform] = fv.STANDARD,
) -> Tensor:
    """Return one picture for each wish, from the start that its name and the seed decide."""
    parts = []
    for first in range(0, len(wanted), BATCH):
        some = slice(first, first + BATCH)
        start, goal = fv.standard_image(STAGES[0].size, names[some], seed), fv.together(wanted[some])
        parts.append(fv.render(model, goal, start, transforms=transforms, steps=STAGES, seed=seed).images)
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


def classes(model: nn.Module, transforms: Sequence[fv.Transform] = fv.STANDARD) -> list[dict[str, object]]:
    """Return for each class what pictures for its logit, its probability and the other wishes reach."""
    gray = torch.full((1, 3, SIZE, SIZE), 0.5)
    names = [str(index) for index in CLASSES]
    rows: list[dict[str, object]] = []
    for seed in SEEDS:
        for asked, wish in ASKED.items():
            pictures = rendered(model, [wish(index) for index in CLASSES], names, seed, transforms)
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
    """Return means over pictures: a logit, the soft maximum of the others, the probability, the mean of the others."""
    out = model(pictures)
    others = torch.cat([out[:, :index], out[:, index + 1 :]], dim=1)
    values = torch.stack([out[:, index], others.logsumexp(1), out.softmax(1)[:, index], others.mean(1)])
    return values.mean(1).tolist()


def dreams(model: nn.Module, photographs: Tensor) -> list[dict[str, object]]:
    """Return for each layer the part of its energy in a dream's ten strongest channels, and how alike dreams are.

    Beside the dreams stands noise of the same spectrum, as a measure of what that alone does.
    """
    rows: list[dict[str, object]] = []
    for layer in LAYERS:
        made = [rendered(model, [fv.deepdream(layer)], ["dream"], seed) for seed in DREAMS]
        seen = [energy(model, picture, layer) for picture in made]
        noise = [
            energy(model, scrambled(picture, seed), layer) for seed, picture in zip(DREAMS, made, strict=True)
        ]
        usual = energy(model, photographs, layer)
        pairs = [(a, b) for a in range(len(seen)) for b in range(a)]
        others = [(a, b) for a in range(len(seen)) for b in range(len(seen)) if a != b]
        rows.append(
            {
                "layer": layer,
                "held": [share(one) for one in seen],
                "held by noise": [share(one) for one in noise],
                "photographs": share(usual),
                "alike": [correlation(seen[a], seen[b]) for a, b in pairs],
                "noise alike": [correlation(seen[a], noise[b]) for a, b in others],
                "like photographs": [correlation(one, usual) for one in seen],
                "energy": [one.sum().item() for one in seen],
                "energy of noise": [one.sum().item() for one in noise],
            }
        )
    return rows


def scrambled(pictures: Tensor, seed: int) -> Tensor:
    """Return noise with the magnitudes of the pictures' waves and their colors, (N, C, H, W).

    All waves get new phases, the same in each color channel, those of white noise; so the spectrum stays, and how the
    colors go together. What falls outside of [0, 1] is clamped.
    """
    noise = torch.randn(pictures.shape[-2:], generator=torch.Generator().manual_seed(seed))
    turns = torch.fft.rfft2(noise)
    waves = torch.fft.rfft2(pictures) * (turns / turns.abs().clamp(min=1e-12))
    waves[..., 0, 0] = torch.fft.rfft2(pictures)[..., 0, 0]
    return torch.fft.irfft2(waves, s=pictures.shape[-2:]).clamp(0, 1)


def correlation(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


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
    main(sys.argv[1:])
