"""Measure what two channels give together, and strips of pictures from one channel to another.

python tools/measure_interaction.py             the numbers, three minutes on one core
python tools/measure_interaction.py pictures    the strip of 256 pixels in book/_data, one minute
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

import torch
from measured import save, save_sheet
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, store, zoo

LAYERS, PAIRS, SIZE, STEPS, SEED, FRAMES = ("blocks.3.2", "blocks.4.2"), 8, 128, 64, 0, 5
SCENES, SCENE_SIZE = 300, 128
STRIPS = 2  # pairs of each layer
WAYS = ("own starts", "one start", "shared parts")
HERO = ("blocks.4.2", 47, 33)


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model = zoo.load_model().requires_grad_(False)
    if "pictures" in sys.argv:
        return pictures(model)
    pairs, strips = [], []
    for layer in LAYERS:
        everyday = store.remember(usual, model, layer)
        chosen = disjoint(everyday.T.corrcoef(), PAIRS)
        pairs += store.remember(together, model, layer, chosen, everyday)
        for pair in (chosen[0], chosen[-1])[:STRIPS]:
            strips += [
                {"layer": layer, "pair": pair, "way": way}
                | store.remember(strip_numbers, model, layer, pair, way)
                for way in WAYS
            ]
    save(
        "interaction",
        {"size": SIZE, "steps": STEPS, "frames": FRAMES, "pairs": pairs, "strips": strips},
        how="python tools/measure_interaction.py",
        on=f"zoo.load_model(), {PAIRS} disjoint pairs of channels in each of {len(LAYERS)} layers, half of them the "
        f"most alike on {SCENES} scenes, half the least; seed {SEED}; strips for {STRIPS} pairs of each layer",
    )
    return None


def usual(model: nn.Module, layer: str) -> Tensor:
    """Return the mean activation of every channel on scenes, (scenes, C)."""
    scenes = zoo.Scenes("all", SCENE_SIZE, length=SCENES)
    pixels = torch.stack([scenes[index].image for index in range(SCENES)])
    return torch.cat([hooks.activations(model, batch, layer).mean((2, 3)) for batch in pixels.split(50)])


def disjoint(alike: Tensor, count: int) -> list[tuple[int, int]]:
    """Return pairs without a common channel: first the most alike, then the least."""
    every = torch.triu_indices(len(alike), len(alike), 1).T
    order = every[alike[every[:, 0], every[:, 1]].argsort(descending=True)].tolist()
    used: set[int] = set()
    found: list[tuple[int, int]] = []
    for ordered in (order, order[::-1]):
        wanted = len(found) + count // 2
        for a, b in ordered:
            if len(found) < wanted and not used & {a, b}:
                used |= {a, b}
                found.append((a, b))
    return found


def answers(model: nn.Module, images: Tensor, layer: str) -> Tensor:
    return hooks.activations(model, images, layer).mean((2, 3))


def together(
    model: nn.Module, layer: str, pairs: Sequence[tuple[int, int]], everyday: Tensor
) -> list[dict[str, object]]:
    """Return for each pair which share of its rise over the scenes' level each channel keeps, in several pictures."""
    alike, level = everyday.T.corrcoef(), everyday.mean(0)
    units = [channel for pair in pairs for channel in pair]
    wishes = [fv.channel(layer, unit) for unit in units]
    wishes += [fv.channel(layer, a) + fv.channel(layer, b) for a, b in pairs]
    made = fv.render_many(model, wishes, size=SIZE, steps=STEPS, seed=SEED, batch=15)
    grown = torch.cat([one.images for one in made])
    alone, sums = grown[: len(units)], grown[len(units) :]
    full = answers(model, alone, layer)[range(len(units)), units] - level[units]
    found: list[dict[str, object]] = []
    for place, pair in enumerate(pairs):
        one, two = alone[2 * place], alone[2 * place + 1]
        halves = torch.cat([one[..., : SIZE // 2], two[..., SIZE // 2 :]], dim=-1)
        shown = torch.stack([sums[place], (one + two) / 2, halves, one, two])
        rise = (answers(model, shown, layer)[:, list(pair)] - level[list(pair)]) / full[
            2 * place : 2 * place + 2
        ]
        names = ("sum", "blend", "halves", "first", "second")
        found.append(
            {"layer": layer, "pair": pair, "alike": alike[pair].item()}
            | {"full": full[2 * place : 2 * place + 2].tolist()}
            | dict(zip(names, rise.tolist(), strict=True))
        )
    return found


def wishes_of(layer: str, pair: tuple[int, int], frames: int = FRAMES) -> list[fv.Objective]:
    one, two = (fv.channel(layer, unit) for unit in pair)
    return [(1 - at) * one + at * two for at in torch.linspace(0, 1, frames).tolist()]


def strip(
    model: nn.Module, layer: str, pair: tuple[int, int], way: str, size: int = SIZE, seed: int = SEED
) -> Tensor:
    """Return pictures from one channel to another, (frames, 3, H, W), as the chapter does."""
    wanted = fv.together(wishes_of(layer, pair))
    own = fv.standard_image(size, [part.name for part in wanted.parts], seed)
    if way == "one start":
        own.coefficients.data[:] = own.coefficients.data[:1].clone()
    start = fv.SharedImage(own, fv.pyramid(size, FRAMES)) if way == "shared parts" else own
    steps = STEPS if size == SIZE else 96
    return fv.render(model, wanted, start, size=size, steps=steps, seed=seed).images


def strip_numbers(model: nn.Module, layer: str, pair: tuple[int, int], way: str) -> dict[str, object]:
    images = strip(model, layer, pair, way)
    values = hooks.activations(model, images, layer)[:, list(pair)]
    weights = torch.linspace(0, 1, FRAMES)
    means = values.mean((2, 3))
    return {
        "neighbors": alike(images[:-1], images[1:]).mean().item(),
        "ends": alike(images[:1], images[-1:]).item(),
        "maps": alike(values[:-1], values[1:]).mean().item(),
        "score": ((1 - weights) * means[:, 0] + weights * means[:, 1]).tolist(),
        "contrast": fv.contrast(images).mean().item(),
    }


def alike(one: Tensor, two: Tensor) -> Tensor:
    """Return the correlation of two pictures or maps over positions, mean over colors or channels, (N,)."""
    flat = [values.flatten(2) - values.flatten(2).mean(2, keepdim=True) for values in (one, two)]
    return nn.functional.cosine_similarity(flat[0], flat[1], dim=2).mean(1)


def pictures(model: nn.Module) -> None:
    layer, *pair = HERO
    ways = ("own starts", "shared parts")
    save_sheet("strip", [strip(model, layer, (pair[0], pair[1]), way, size=256) for way in ways])


if __name__ == "__main__":
    main()
