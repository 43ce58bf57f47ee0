"""Measure what each step of Segment 2 buys: grain against activation, as the chapters' scoreboard shows it.

    python tools/measure_scoreboard.py [--device cuda] [--only lucent ...]

Fifteen channels of four layers, three starts, 64 steps, 128 pixels, for every way that a chapter builds. `--only`
measures these ways again and keeps the others. Written to book/_data/measured/scoreboard.json.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Sequence

import torch
from measure_naive import CHOSEN, ascend, spread, start
from measure_regularizers import blur, l2, total_variation
from measured import FOLDER, save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, zoo

LAYERS = ("blocks.2.1", "blocks.3.2", "blocks.4.2", "blocks.5.3")
SEEDS, SIZE, STEPS, MOVES = (0, 1, 2), 128, 64, 8
STAGES = (fv.Stage(64, 32), fv.Stage(128, 32))
Units = list[tuple[str, int]]
Way = Callable[[nn.Module, Units, int], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument(
        "--few", action="store_true", help="one channel of a layer, one start, in another file"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    model = zoo.load_model().requires_grad_(False).to(options.device)
    units = [
        (layer, channel) for layer in LAYERS for channel in chosen(model, layer, 1 if options.few else 4)
    ]
    normal, name = usual(model, units), "scoreboard_few" if options.few else "scoreboard"
    rows = kept(name, options.only)
    for way, make in WAYS.items():
        if way not in (options.only or WAYS):
            continue
        for seed in SEEDS[:1] if options.few else SEEDS:
            found = worth(model, make(model, units, seed), units, normal)
            rows.append({"way": way, "seed": seed, **found})
        on = f"zoo.load_model(), {len(units)} channels of {len(LAYERS)} layers, seeds 0 to 2, {STEPS} steps, {SIZE} px"
        results = {"units": [list(unit) for unit in units], "photographs": normal["plain"], "runs": rows}
        save(
            name, results, how="python tools/measure_scoreboard.py", on=on
        )  # after each, for what is interrupted
        print(way, flush=True)


def kept(name: str, only: Sequence[str]) -> list[dict[str, object]]:
    """Return the rows that are not measured again."""
    file = FOLDER / f"{name}.json"
    if not only or not file.exists():
        return []
    return [row for row in json.loads(file.read_text())["runs"] if row["way"] not in only]


def chosen(model: nn.Module, layer: str, count: int) -> list[int]:
    """Return the channels of a layer: the one that the chapters show, and others in equal distances."""
    channels = hooks.activations(model, torch.zeros(1, 3, 64, 64).to(_device(model)), layer).shape[1]
    return spread(channels, count - 1, CHOSEN[layer]) if count > 1 else [CHOSEN[layer]]


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


# --------------------------------------------------------------------------------------------------------------------
# What pictures are worth


def worth(
    model: nn.Module, pictures: Tensor, units: Units, normal: dict[str, list[list[float]]]
) -> dict[str, list[float]]:
    """Return how many deviations above the photographs each picture lies, as it is and under moves, and its grain."""
    found: dict[str, list[float]] = {"grain": fv.fine_share(pictures).tolist()}
    for test, views in (("plain", plain), ("moved", moved)):
        values = [
            answers(model, views(picture[None]), [unit])[0]
            for picture, unit in zip(pictures, units, strict=True)
        ]
        found[test] = [
            (value.mean().item() - mean) / deviation
            for value, (mean, deviation, _) in zip(values, normal[test], strict=True)
        ]
    return found


def usual(model: nn.Module, units: Units) -> dict[str, list[list[float]]]:
    """Return (mean, deviation, highest) of each unit over the fifteen photographs, as they are and under moves."""
    photographs = zoo.example_images(*zoo.photograph_names(), size=SIZE).to(_device(model))
    found = {}
    for test, views in (("plain", plain), ("moved", moved)):
        values = answers(model, views(photographs), units).reshape(len(units), len(photographs), -1).mean(2)
        found[test] = [[one.mean().item(), one.std().item(), one.max().item()] for one in values]
    return found


def answers(model: nn.Module, pictures: Tensor, units: Units) -> Tensor:
    """Return the mean activation of each unit at each picture, (units, pictures)."""
    seen = {layer: hooks.activations(model, pictures, layer).mean(dim=(2, 3)) for layer, _ in units}
    return torch.stack([seen[layer][:, channel] for layer, channel in units])


def plain(pictures: Tensor) -> Tensor:
    return pictures


def moved(pictures: Tensor) -> Tensor:
    return fv.transformed(pictures.repeat_interleave(MOVES, 0), fv.STANDARD, seed=77)


# --------------------------------------------------------------------------------------------------------------------
# The ways, chapter by chapter


def noise(model: nn.Module, units: Units, seed: int) -> Tensor:
    """Return white noise around gray with the contrast of photographs."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(units), 3, SIZE, SIZE, generator=random)
    return (0.5 + 0.2 * drawn).clamp(0, 1).to(_device(model))


def photographs(model: nn.Module, units: Units, seed: int) -> Tensor:
    """Return for each unit the photograph that excites it most: the first, second and third with the seed."""
    crops = zoo.example_images(*zoo.photograph_names(), size=SIZE).to(_device(model))
    return crops[answers(model, crops, units).argsort(dim=1, descending=True)[:, seed]]


def loop(
    penalty: Callable[[Tensor], Tensor] | None = None, repair: Callable[[Tensor], Tensor] | None = None
) -> Way:
    """Return the loop of *Ask for more*, with the two holes of *Regularize*."""

    def grown(model: nn.Module, units: Units, seed: int) -> Tensor:
        parts = []
        for layer in dict(units):
            channels = [channel for name, channel in units if name == layer]
            begin = start(len(channels), seed, SIZE).to(_device(model))
            taken = penalty or (lambda pictures: pictures.new_zeros(len(pictures)))
            parts.append(ascend(model, layer, channels, begin, taken, repair or plain)[0])
        return torch.cat(parts)

    return grown


def punished(measure: Callable[[Tensor], Tensor], dial: float) -> Way:
    """Return the loop with a penalty."""
    return loop(lambda pictures: dial * measure(pictures))


def blurred(dial: float) -> Way:
    """Return the loop with a blur after each step."""
    return loop(None, lambda pictures: blur(pictures.cpu(), dial).to(pictures))


def rendered(
    begin: Callable[[list[str], int], fv.Parameterization],
    transforms: Sequence[fv.Transform] = fv.STANDARD,
    steps: int | Sequence[fv.Stage] = STEPS,
    rate: float = 0.1,
) -> Way:
    """Return a call of `render`."""

    def grown(model: nn.Module, units: Units, seed: int) -> Tensor:
        target = fv.together([fv.channel(*unit) for unit in units])
        names = [f"{layer}:{channel}" for layer, channel in units]
        more = {"transforms": transforms, "steps": steps, "rate": rate, "seed": seed}
        return fv.render(model, target, begin(names, seed), **more).images.to(_device(model))  # type: ignore[arg-type]

    return grown


def pixels(names: list[str], seed: int) -> fv.Parameterization:
    return fv.PixelImage(SIZE, names=names, seed=seed)


def waves(decay: float, *, decorrelated: bool = True) -> Callable[[list[str], int], fv.Parameterization]:
    return lambda names, seed: fv.FourierImage(
        SIZE, names=names, seed=seed, decay=decay, decorrelated=decorrelated
    )


def phases(names: list[str], seed: int) -> fv.Parameterization:
    crops = zoo.example_images(*zoo.photograph_names(), size=SIZE)
    return fv.MacoImage(SIZE, names=names, seed=seed, magnitude=fv.mean_magnitude(crops))


def lucent(_: nn.Module, units: Units, seed: int) -> Tensor:
    """Return lucent's pictures, with its own coordinates, moves and rate, padded and not squeezed."""
    from measure_lucent import PADDED, theirs  # a peer, which not every machine has

    return torch.cat([theirs(unit, (STEPS,), seed, PADDED) for unit in units])


WAYS: dict[str, Way] = {
    "white noise": noise,
    "photographs": photographs,
    "pixels": loop(),
    **{f"L2 {dial}": punished(l2, dial) for dial in (100, 300, 1000)},
    **{f"total variation {dial}": punished(total_variation, dial) for dial in (30, 90, 240)},
    **{f"blur {dial}": blurred(dial) for dial in (0.1, 0.25, 0.5)},
    "nothing moved": rendered(pixels, ()),
    "jitter": rendered(pixels, (fv.jitter(8),)),
    "rotate": rendered(pixels, (fv.rotate(15),)),
    "scale": rendered(pixels, (fv.scale(0.85, 1.2),)),
    "all three": rendered(pixels),
    "waves, nothing moved": rendered(waves(1.0), ()),
    "waves, RGB": rendered(waves(1.0, decorrelated=False)),
    "waves": rendered(waves(1.0)),
    "only phases": rendered(phases, rate=0.5),
    "two stages": rendered(lambda names, seed: fv.standard_image(64, names, seed), steps=STAGES),
    "lucent": lucent,
}


if __name__ == "__main__":
    main()
