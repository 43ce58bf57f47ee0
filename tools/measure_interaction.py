"""Measure what two channels give together, and strips of pictures from one channel to another.

python tools/measure_interaction.py             the numbers, five minutes on one core
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

LAYERS, PAIRS, SIZE, STEPS, FRAMES = ("blocks.3.2", "blocks.4.2"), 8, 128, 64, 5
SEEDS = (0, 1)  # of the pairs; the strips have the first
SCENES, SCENE_SIZE = 300, 128
STRIPS = 2  # pairs of each layer: the most alike and the least
WAYS = ("own starts", "one start", "one start, same moves", "shared parts")
HERO = ("blocks.4.2", 47, 33)


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model = zoo.load_model().requires_grad_(False)
    if "pictures" in sys.argv:
        return pictures(model)
    pairs, again, strips = [], [], []
    for layer in LAYERS:
        everyday = store.remember(usual, model, layer)
        chosen = disjoint(everyday.T.corrcoef(), PAIRS)
        pairs += store.remember(of_pairs, model, layer, chosen, everyday, SEEDS[0])
        again += store.remember(of_pairs, model, layer, chosen, everyday, SEEDS[1])
        for pair in (chosen[0], chosen[-1])[:STRIPS]:
            strips += [
                {"layer": layer, "pair": pair, "way": way}
                | store.remember(of_strip, model, layer, pair, way, everyday.mean(0)[list(pair)])
                for way in WAYS
            ]
    save(
        "interaction",
        {"size": SIZE, "steps": STEPS, "frames": FRAMES, "pairs": pairs, "again": again, "strips": strips},
        how="python tools/measure_interaction.py",
        on=f"zoo.load_model(), {PAIRS} disjoint pairs of channels in each of {len(LAYERS)} layers, half of them the "
        f"most alike on {SCENES} scenes, half the least; seeds {SEEDS}; strips for {STRIPS} pairs of each layer",
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


def of_pairs(
    model: nn.Module, layer: str, pairs: Sequence[tuple[int, int]], everyday: Tensor, seed: int
) -> list[dict[str, object]]:
    """Return for each pair which share of its rise over the scenes' level each channel keeps, in several pictures."""
    alike, level = everyday.T.corrcoef(), everyday.mean(0)
    units = [channel for pair in pairs for channel in pair]
    wishes = [fv.channel(layer, unit) for unit in units]
    wishes += [fv.channel(layer, a) + fv.channel(layer, b) for a, b in pairs]
    wishes += [side_by_side(layer, pair) for pair in pairs]
    made = fv.render_many(model, wishes, size=SIZE, steps=STEPS, seed=seed, batch=16)
    grown = torch.cat([one.images for one in made])
    alone, sums, windows = grown.split([len(units), len(pairs), len(pairs)])
    full = answers(model, alone, layer)[range(len(units)), units] - level[units]
    found: list[dict[str, object]] = []
    for place, pair in enumerate(pairs):
        one, two = alone[2 * place], alone[2 * place + 1]
        halves = torch.cat([one[..., : SIZE // 2], two[..., SIZE // 2 :]], dim=-1)
        shown = torch.stack([sums[place], (one + two) / 2, halves, windows[place], one, two])
        rise = (answers(model, shown, layer)[:, list(pair)] - level[list(pair)]) / full[
            2 * place : 2 * place + 2
        ]
        names = ("sum", "blend", "halves", "windows", "first", "second")
        found.append(
            {"layer": layer, "pair": pair, "alike": alike[pair].item()}
            | {"full": full[2 * place : 2 * place + 2].tolist()}
            | dict(zip(names, rise.tolist(), strict=True))
        )
    return found


def side_by_side(layer: str, pair: tuple[int, int]) -> fv.Objective:
    """Return the wish for one channel in the left half of a layer and another one in the right half.

    It is the sum of two `toward` with windows, for pictures of any size: a rendering begins at half of its size.
    """
    one, two = pair

    def score(values: Tensor) -> Tensor:
        half = values.shape[-1] // 2
        return values[:, one, :, :half].mean((1, 2)) + values[:, two, :, half:].mean((1, 2))

    return fv.of_layer(layer, score, f"{layer}:{one} beside {two}")


def in_step(images: Tensor, random: Sequence[torch.Generator]) -> Tensor:
    """A transform that moves nothing: it gives all images of a batch the random numbers of the first."""
    for one in random[1:]:
        one.set_state(random[0].get_state())
    return images


def wishes_of(layer: str, pair: tuple[int, int], frames: int = FRAMES) -> list[fv.Objective]:
    one, two = (fv.channel(layer, unit) for unit in pair)
    return [(1 - at) * one + at * two for at in torch.linspace(0, 1, frames).tolist()]


def strip(
    model: nn.Module, layer: str, pair: tuple[int, int], way: str, size: int = SIZE, seed: int = SEEDS[0]
) -> Tensor:
    """Return pictures from one channel to another, (frames, 3, H, W), as the chapter does."""
    wanted = fv.together(wishes_of(layer, pair))
    own = fv.standard_image(size, [part.name for part in wanted.parts], seed)
    if way.startswith("one start"):
        own.coefficients.data[:] = own.coefficients.data[:1].clone()
    start = fv.SharedImage(own, fv.pyramid(size, FRAMES)) if way == "shared parts" else own
    steps = STEPS if size == SIZE else 96
    moves = (in_step, *fv.STANDARD) if way.endswith("same moves") else fv.STANDARD
    return fv.render(model, wanted, start, size=size, steps=steps, seed=seed, transforms=moves).images


def of_strip(
    model: nn.Module, layer: str, pair: tuple[int, int], way: str, level: Tensor
) -> dict[str, object]:
    """Return how much is alike in a strip, and its weighted sums, counted from the channels' level on scenes, (2,)."""
    images = strip(model, layer, pair, way)
    values = hooks.activations(model, images, layer)[:, list(pair)]
    weights = torch.linspace(0, 1, FRAMES)
    means = values.mean((2, 3)) - level
    return {
        "neighbors": alike(images[:-1], images[1:]).mean().item(),
        "ends": alike(images[:1], images[-1:]).item(),
        "maps": alike(values[:-1], values[1:]).mean().item(),
        "rise": ((1 - weights) * means[:, 0] + weights * means[:, 1]).tolist(),
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
