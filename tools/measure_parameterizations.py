"""Compare nine ways to make a picture: book/_data/measured/parameterizations.json and two sheets of pictures.

    python tools/measure_parameterizations.py [SEEDS]
    python tools/measure_parameterizations.py --part PART      a factor of the search, a seed, "scenes" or "large"
    python tools/measure_parameterizations.py --part smaller   tries smaller rates, and adds them to the file

Eight units, five seeds, 128 pixels, and one unit at 256 pixels. Each way first finds its own rate, on four other units.
What has run is in the store, so an interrupted command goes on, and parts may run side by side before the whole. With
fewer seeds the file is written all the same, and says so.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measured import FOLDER, rounded, save, versions
from PIL import Image as PILImage
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image, store, zoo

CHANNELS = (("blocks.2.1", 26), ("blocks.2.1", 0), ("blocks.4.2", 47), ("blocks.4.2", 0))
CLASSES = ("lion", "zebra", "flamingo", "strawberry")
Unit = tuple[str, int | str]
UNITS: tuple[Unit, ...] = (*CHANNELS, *(("logit", name) for name in CLASSES))
SHOWN: Unit = ("logit", "flamingo")  # at 256 pixels
SEARCHED: tuple[Unit, ...] = (
    ("blocks.2.1", 17),
    ("blocks.4.2", 31),
    ("logit", "goldfinch"),
    ("logit", "teapot"),
)
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the rate that a way begins with
SMALLER = (0.0625, 0.125)  # tried in the end, where the smallest factor was the best
SEEDS = 5
SIZE, LARGE, SCENES, BEST = 128, 256, 512, 8
STRANGER = "efficientnet_lite1"
STAGES = ("blocks.2.", "blocks.4.")  # where the stranger is searched for a partner of a channel
LAYERS = (
    "blocks.0.0",
    "blocks.1.1",
    "blocks.2.1",
    "blocks.3.2",
    "blocks.4.2",
)  # whose distributions are matched
PICTURES = Path(__file__).resolve().parents[1] / "book" / "_data" / "parameterizations"


@dataclass(frozen=True)
class Method:
    """How one row of the table makes its pictures: so many steps at half the size, so many at the size itself."""

    coarse: int = 0
    steps: int = 64
    rate: float = 0.1
    transforms: Sequence[fv.Transform] = fv.STANDARD

    def stages(self, size: int) -> tuple[fv.Stage, ...]:
        return tuple(
            stage for stage in (fv.Stage(size // 2, self.coarse), fv.Stage(size, self.steps)) if stage.steps
        )


METHODS = {
    "pixels": Method(),
    "Fourier": Method(),
    "decorrelated": Method(),
    "two stages": Method(32, 32),
    "phases only (MACO)": Method(rate=0.5, transforms=fv.MACO),
    "CPPN": Method(96, 8, rate=0.005),
    "generator": Method(32, 32, rate=0.2),
    "generator, shuffled": Method(32, 32, rate=0.2),
    "distribution": Method(32, 32),
}


def objective(unit: Unit) -> fv.Objective:
    layer, which = unit
    return fv.logit(which) if isinstance(which, str) else fv.channel(layer, which)


def start(method: str, units: Sequence[Unit], size: int, seed: int) -> fv.Parameterization:
    """Return the coordinates that a row of the table stands for."""
    names = [objective(unit).name for unit in units]
    if method == "pixels":
        return fv.PixelImage(size, names=names, seed=seed)
    if method == "CPPN":
        return fv.CppnImage(size // 2, names=names, seed=seed)
    if method.startswith("phases"):
        photographs = zoo.example_images(*zoo.photograph_names(), size=size)
        return fv.MacoImage(size, names=names, seed=seed, magnitude=fv.mean_magnitude(photographs))
    if method.startswith("generator"):
        generator = zoo.load_generator(shuffled=0 if "shuffled" in method else None)
        return fv.GeneratorImage(generator, size // 2, names=names, seed=seed)
    if METHODS[method].coarse:
        return fv.standard_image(size // 2, names, seed)
    return fv.FourierImage(size, names=names, seed=seed, decorrelated=method != "Fourier")


def wanted(model: nn.Module, method: str, units: Sequence[Unit], size: int) -> fv.Objective:
    """Return what the units ask for together."""
    if method != "distribution":
        return fv.together([objective(unit) for unit in units])
    return fv.together([as_the_best_scenes(model, unit, size) for unit in units])


def as_the_best_scenes(model: nn.Module, unit: Unit, size: int) -> fv.Objective:
    """Return the wish to have the distributions of the scenes that excite a unit most, in all layers up to its own."""
    best = torch.stack([scenes(size)[index].image for index in best_scenes(unit)])
    last = LAYERS.index(unit[0]) if unit[0] in LAYERS else len(LAYERS) - 1
    parts = []
    for layer in LAYERS[: last + 1]:
        goal = hooks.activations(model, best, layer)
        parts.append(fv.distribution(layer, goal) / goal.var(dim=(0, 2, 3)).mean().item())
    total: fv.Objective = sum(parts[1:], parts[0])
    return fv.Objective(total.score, total.layers, objective(unit).name)


def rendered(
    model: nn.Module, method: str, units: Sequence[Unit], size: int, seed: int, factor: float
) -> dict[str, Any]:
    """Render units once; return the pictures, what they reach, and the seconds for one of them."""
    how = METHODS[method]
    goal, begin = wanted(model, method, units, size), start(method, units, size, seed)
    before = time.perf_counter()
    rate = how.rate * factor
    found = fv.render(
        model, goal, begin, transforms=how.transforms, steps=how.stages(size), rate=rate, seed=seed
    )
    seconds = (time.perf_counter() - before) / len(units)
    return {"images": found.images, "score": found.score, "seconds": seconds}


def searched(model: nn.Module, method: str) -> list[float]:
    """Return what each factor of the rate reaches, mean over the searched units, as a multiple of the first rate's."""
    runs = [store.remember(rendered, model, method, SEARCHED, SIZE, 0, factor) for factor in FACTORS]
    scores = torch.stack([run["score"] for run in runs])
    first = scores[FACTORS.index(1.0)]
    gained: list[float] = (1 + (scores - first) / first.abs()).mean(dim=1).tolist()
    return gained


def best_factor(model: nn.Module, method: str) -> float:
    gained = searched(model, method)
    return FACTORS[gained.index(max(gained))]


# --------------------------------------------------------------------------------------------------------------------
# What pictures are worth: to the network, and to a stranger


def scenes(size: int) -> zoo.Scenes:
    return zoo.Scenes("all", size, seed=11, length=SCENES, imagenet=True)


@torch.no_grad()
def pooled(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return the mean over positions of every channel of the layers, and the logits, (N, C) each."""
    parts: dict[str, list[Tensor]] = {name: [] for name in (*layers, "logit")}
    for batch in torch.split(images, 64):
        with hooks.record(model, list(layers)) as seen:
            parts["logit"].append(model(batch))
        for layer in layers:
            parts[layer].append(seen[layer].mean(dim=(2, 3)))
    return {name: torch.cat(values) for name, values in parts.items()}


def of_scenes(name: str) -> dict[str, Tensor]:
    """Return what a network, by its name, answers to the scenes."""
    model = zoo.load_model(name)
    layers = [layer for layer in last_blocks(model) if layer.startswith(STAGES)]
    return pooled(model, torch.stack([scene.image for scene in scenes(SIZE)]), layers)  # type: ignore[attr-defined]


@functools.cache
def network(name: str) -> nn.Module:
    return zoo.load_model(name)


def last_blocks(model: nn.Module) -> list[str]:
    """Return the last block of each stage."""
    blocks = [
        layer for layer in hooks.layer_names(model) if layer.startswith("blocks.") and layer.count(".") == 2
    ]
    return list({layer.rsplit(".", 1)[0]: layer for layer in blocks}.values())


def column(answers: dict[str, Tensor], unit: Unit) -> Tensor:
    layer, which = unit
    index = zoo.imagenet_class_names().index(which) if isinstance(which, str) else which
    return answers[layer][:, index]


def best_scenes(unit: Unit) -> list[int]:
    return column(store.remember(of_scenes, zoo.models.DEFAULT), unit).topk(BEST).indices.tolist()


def partner(unit: Unit, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Any]:
    """Return the stranger's channel whose answers to the scenes go along best with those of a unit."""
    layer, which = unit
    if isinstance(which, str):
        return {"layer": "logit", "which": which, "sign": 1.0, "correlation": correlation(unit, ours, theirs)}
    stage = next(name for name in theirs if name.startswith(layer.rsplit(".", 1)[0]))
    own = column(ours, unit)
    every = [torch.corrcoef(torch.stack([own, other]))[0, 1].item() for other in theirs[stage].T]
    found = max(range(len(every)), key=lambda index: abs(every[index]))
    return {
        "layer": stage,
        "which": found,
        "sign": 1.0 if every[found] > 0 else -1.0,
        "correlation": abs(every[found]),
    }


def correlation(unit: Unit, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    return torch.corrcoef(torch.stack([column(ours, unit), column(theirs, unit)]))[0, 1].item()


def relative(values: Tensor, of_all: Tensor) -> Tensor:
    """Return values on a scale where 0 is the mean scene and 1 the mean of the eight best ones."""
    middle = of_all.mean()
    return (values - middle) / (of_all.topk(BEST).values.mean() - middle)


def scale(of_all: Tensor) -> dict[str, float]:
    """Return where 0 and 1 lie on the scale of `relative`."""
    return {"mean": of_all.mean().item(), "best": of_all.topk(BEST).values.mean().item()}


def judged(images: Tensor, partners: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return for the picture of each unit how the network and the stranger answer, on the scale of the scenes."""
    answers = {}
    for who, name in (("own", zoo.models.DEFAULT), ("stranger", STRANGER)):
        known = store.remember(of_scenes, name)
        found = pooled(network(name), images, [layer for layer in known if layer != "logit"])
        answers[who] = (known, found)
    own, stranger = [], []
    for place, (unit, other) in enumerate(zip(UNITS, partners, strict=True)):
        known, found = answers["own"]
        own.append(relative(column(found, unit)[place], column(known, unit)).item())
        known, found = answers["stranger"]
        theirs = (other["layer"], other["which"])
        value, others = column(found, theirs)[place], column(known, theirs)
        stranger.append(relative(other["sign"] * value, other["sign"] * others).item())
    return {"own": own, "stranger": stranger, "grain": fv.fine_share(images).tolist()}


# --------------------------------------------------------------------------------------------------------------------
# Pictures


def write_sheet(name: str, rows: Sequence[Tensor], side: int, quality: int = 82) -> None:
    """Write rows of pictures, each (N, 3, H, W), as one sheet of tiles without gaps."""
    tiles = torch.cat([torch.cat(list(image.resize(row, (side, side))), dim=2) for row in rows], dim=1)
    pixels = (tiles.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    PICTURES.mkdir(exist_ok=True)
    content = io.BytesIO()
    PILImage.fromarray(pixels).save(content, "WEBP", quality=quality, method=6)
    (PICTURES / f"{name}.webp").write_bytes(content.getvalue())


def best_pictures(size: int) -> Tensor:
    """Return for each unit the scene that excites it most."""
    return torch.stack([scenes(size)[best_scenes(unit)[0]].image for unit in UNITS])


def write(
    runs: list[dict[str, Any]], sheet: dict[str, Tensor], large: list[Tensor], partners: list[Any]
) -> None:
    model = network(zoo.models.DEFAULT)
    write_sheet("sheet", [*sheet.values(), best_pictures(SIZE)], SIZE)
    write_sheet("large", [torch.cat(large[:5]), torch.cat(large[5:])], LARGE)
    scene = judged(best_pictures(SIZE), partners)
    known = store.remember(of_scenes, zoo.models.DEFAULT)
    units = [
        {"unit": list(unit), "partner": other, **scale(column(known, unit))}
        for unit, other in zip(UNITS, partners, strict=True)
    ]
    seeds = 1 + max(run["seed"] for run in runs)
    on = f"the embedded network and {STRANGER}, {len(UNITS)} units, {seeds} seeds, {SIZE} px, {SCENES} scenes"
    how = {
        name: {
            "steps": [[stage.size, stage.steps] for stage in one.stages(SIZE)],
            "rate": one.rate * best_factor(model, name),
            "gained by the rate": dict(zip(map(str, FACTORS), searched(model, name), strict=True)),
        }
        for name, one in METHODS.items()
    }
    results = {"units": units, "methods": how, "best scene": scene, "runs": runs}
    save("parameterizations", results, how="python tools/measure_parameterizations.py", on=on)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", nargs="?", type=int, default=SEEDS, help="how many")
    parser.add_argument("--part", help="only this part, kept in the store")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # some saturate, and render says so
    if asked.part:
        part(network(zoo.models.DEFAULT), asked.part)
    else:
        whole(network(zoo.models.DEFAULT), asked.seeds)


def smaller(model: nn.Module) -> None:
    """Add to the file what smaller rates reach, as a share of the best one's, where that was the smallest of all."""
    path = FOLDER / "parameterizations.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    made = results.pop("made")
    for name, told in results["methods"].items():
        if told["rate"] == METHODS[name].rate * FACTORS[0]:
            factors = (*SMALLER, FACTORS[0])
            scores = [
                store.remember(rendered, model, name, SEARCHED, SIZE, 0, factor)["score"]
                for factor in factors
            ]
            shares = [(1 + (one - scores[-1]) / scores[-1].abs()).mean().item() for one in scores[:-1]]
            told["smaller rates, of the best"] = dict(zip(map(str, SMALLER), shares, strict=True))
    results["smaller rates tried with"] = versions()
    text = json.dumps({"made": made, **rounded(results)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def part(model: nn.Module, name: str) -> None:
    """Fill the store with one part of the work."""
    if name == "smaller":
        smaller(model)
    if name == "scenes":
        for each in (zoo.models.DEFAULT, STRANGER):
            store.remember(of_scenes, each)
    for method in METHODS:
        if name.startswith("factor"):
            store.remember(rendered, model, method, SEARCHED, SIZE, 0, float(name.removeprefix("factor")))
        elif name.startswith("seed"):
            run(model, method, int(name.removeprefix("seed")))
        elif name == "large":
            at_256(model, method)


def run(model: nn.Module, method: str, seed: int) -> dict[str, Any]:
    return store.remember(rendered, model, method, UNITS, SIZE, seed, best_factor(model, method))


def at_256(model: nn.Module, method: str) -> Tensor:
    found = store.remember(rendered, model, method, [SHOWN], LARGE, 0, best_factor(model, method))
    images: Tensor = found["images"]
    return images


def whole(model: nn.Module, seeds: int) -> None:
    """Measure everything, and write it."""
    ours, theirs = (store.remember(of_scenes, name) for name in (zoo.models.DEFAULT, STRANGER))
    partners = [partner(unit, ours, theirs) for unit in UNITS]
    runs: list[Any] = []
    sheet: dict[str, Any] = {}
    for seed in range(seeds):
        for method in METHODS:
            found = run(model, method, seed)
            sheet.setdefault(method, found["images"])
            worth = judged(found["images"], partners)
            runs.append({"method": method, "seed": seed, "seconds": found["seconds"], **worth})
            means = {key: round(sum(values) / len(values), 3) for key, values in worth.items()}
            print(seed, method, means, round(found["seconds"], 2), flush=True)
    large = [at_256(model, method) for method in METHODS]
    large.append(image.resize(scenes(LARGE)[best_scenes(SHOWN)[0]].image[None], (LARGE, LARGE)))
    write(runs, sheet, large, partners)


if __name__ == "__main__":
    main()
