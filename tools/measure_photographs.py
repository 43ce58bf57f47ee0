"""Measure whether the spectra of scenes are those of photographs: book/_data/measured/photographs.json.

python tools/measure_photographs.py --imagenet FOLDER     (about 5 minutes on one core)

FOLDER has 800 photographs of ImageNet, each of another class. They may not be given on, so they are not in this
repository; without them their columns are left out. Scenes and photographs are those of the book. A second network,
EfficientNet-Lite1 (extra `lite`), says what pictures show.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured import save

from interp import spectrum, zoo

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["blocks.2.1", "blocks.3.2", "blocks.4.2", "blocks.5.3"]
LINKS = {  # what the chapters say of four channels, as a property of a picture
    "blue-green": ("blocks.2.1", 1),
    "yellow": ("blocks.3.2", 35),
    "strong color": ("blocks.3.2", 11),
    "coarse": ("blocks.4.2", 102),
}
DRAWS, SPLITS = 300, 20
# the games that are kept channel by channel
SHOWN = (("scenes", "photographs"), ("scenes", "ImageNet"), ("photographs", "ImageNet"))
CUT = 0.25  # the share of a set that is left out to ask again for "coarse"
MOST = "Bill Kendrick"  # who took 19 of the 87
Set = dict[str, Any]


# ------------------------------------------------------------------------------------------------------------
# Tables: scores, properties and what a second network sees, one row an image


def sources(imagenet: Path | None) -> dict[str, spectrum.Source]:
    found: dict[str, spectrum.Source] = {
        name: spectrum.Items(zoo.Scenes("all", 224, seed, length=480), f"scenes {seed}")
        for name, seed in (("scenes", 0), ("other scenes", 1))
    }
    found["photographs"] = spectrum.Folder(ROOT / "book" / "_data" / "photographs")
    return found | ({"ImageNet": spectrum.Folder(imagenet)} if imagenet else {})


def properties(images: torch.Tensor) -> torch.Tensor:
    """Return how blue-green, how yellow, how colorful and how coarse pictures are, (N, 4)."""
    gray, mean = images.mean(dim=1), images.mean(dim=(2, 3))
    steps = gray.diff(dim=1).abs().mean(dim=(1, 2)) + gray.diff(dim=2).abs().mean(dim=(1, 2))
    color = (images.amax(dim=1) - images.amin(dim=1)).mean(dim=(1, 2))
    coarse = -steps / gray.std(dim=(1, 2)).clamp(min=1e-3)
    whole = mean.mean(dim=1)
    return torch.stack([whole - mean[:, 0], whole - mean[:, 2], color, coarse], dim=1)


def tables(source: spectrum.Source, name: str) -> Set:
    """Return {layer: scores, "properties", "seen", "things"} of all images of a source."""
    model, second = zoo.load_model(), zoo.load_model("efficientnet_lite1")
    score, look = spectrum.scorer(model, LAYERS), spectrum.scorer(second, ["act_head"])
    rows: dict[str, list[torch.Tensor]] = {key: [] for key in (*LAYERS, "properties", "seen")}
    labels: list[str] = []
    for batch in spectrum.batches(source):
        found = score(batch.images)
        found |= {"properties": properties(batch.images), "seen": look(batch.images)["act_head"]}
        for key, values in found.items():
            rows[key].append(values)
        labels += batch.labels
    out: Set = {key: torch.cat(parts).double().numpy() for key, parts in rows.items()}
    return out | {"things": things(source, name, labels)}


def things(source: Any, name: str, labels: Sequence[str]) -> np.ndarray:
    """Return what each image shows: its cut-out, its photograph, or, in ImageNet, itself."""
    if "scenes" in name:
        return np.array([scene.main.cutout.name for scene in source.dataset])
    return np.arange(len(labels)) if name == "ImageNet" else np.array(labels)


# ------------------------------------------------------------------------------------------------------------
# Statistics


def ranks(values: np.ndarray) -> np.ndarray:
    return values.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable").astype(float)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of the columns of one table (N, C) with those of the other."""
    a, b = (ranks(x) - (len(x) - 1) / 2 for x in (one, other))
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def shape(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Return each channel's median, spread (from the 10th to the 90th of a hundred), and lean toward its upper end."""
    low, middle, high = np.quantile(scores, [0.1, 0.5, 0.9], axis=0)
    return {"median": middle, "spread": high - low, "lean": (high + low - 2 * middle) / (high - low)}


def part(table: Set, rows: np.ndarray) -> Set:
    return {key: values[rows] for key, values in table.items()}


def halves(table: Set, dice: np.random.Generator) -> tuple[Set, Set]:
    """Return two sets of whole photographs."""
    names = dice.permutation(np.unique(table["things"]))
    inside = np.isin(table["things"], names[: len(names) // 2])
    return part(table, inside.nonzero()[0]), part(table, (~inside).nonzero()[0])


def drawn(table: Set, dice: np.random.Generator, by: str = "things") -> Set:
    """Return as many photographs (or people), drawn with replacement, each with all its crops."""
    names = np.unique(table[by])
    rows = {name: (table[by] == name).nonzero()[0] for name in names}
    return part(table, np.concatenate([rows[name] for name in dice.choice(names, len(names))]))


def interval(
    measure: Callable[[Set], np.ndarray],
    table: Set,
    seed: int,
    draws: int = DRAWS,
    by: str = "things",
    moved: bool = False,
) -> list[Any]:
    """Return (2.5 %, 97.5 %) of a measure over photographs drawn with replacement, and by how much it was moved.

    Where some photographs are drawn twice, others are missing, and two sets are less alike for that reason alone.
    So the interval of a likeness is `moved` until the mean of the draws lies at what was measured.
    """
    dice = np.random.default_rng(seed)
    found = np.stack([measure(drawn(table, dice, by)) for _ in range(draws)])
    by_how_much = (measure(table) - found.mean(axis=0)) * moved
    low, high = np.quantile(found, [0.025, 0.975], axis=0) + by_how_much
    return [low.tolist(), high.tolist(), by_how_much.tolist()]


def people(table: Set) -> np.ndarray:
    """Return who took each photograph, the first one named in its ORIGIN.md."""
    rows = (ROOT / "book" / "_data" / "photographs" / "ORIGIN.md").read_text(encoding="utf-8").splitlines()
    cells = [row.split(" | ") for row in rows if row.startswith("| ") and len(row.split(" | ")) == 5]
    who = {cell[0][2:]: re.sub(r"^\d{4} ", "", re.split(r",| and ", cell[1])[0]) for cell in cells[1:]}
    return np.array([who[Path(str(name)).name] for name in table["things"]])


# ------------------------------------------------------------------------------------------------------------
# The three questions


def shapes_alike(one: Set, other: Set, layer: str) -> dict[str, float]:
    first, second = shape(one[layer]), shape(other[layer])
    return {key: float(rank_correlation(first[key][:, None], second[key][:, None])[0]) for key in first}


def links(table: Set, layer: str) -> np.ndarray:
    """Return the rank correlation of each property with each channel of a layer, (4, C)."""
    scores = table[layer]
    wide = [np.repeat(table["properties"][:, [k]], scores.shape[1], axis=1) for k in range(len(LINKS))]
    return np.stack([rank_correlation(one, scores) for one in wide])


def strongest(table: Set, layer: str, sign: int, count: int = 9) -> list[list[int]]:
    names = list(table["things"])
    columns = torch.from_numpy(sign * table[layer]).t()
    return [spectrum.strongest(column, names, count) for column in columns]


def shown(table: Set, layer: str, sign: int) -> np.ndarray:
    """Return what a second network sees in the nine strongest different images of each channel, (C, features)."""
    seen = table["seen"]
    seen = (seen - seen.mean(axis=0)) / (seen.std(axis=0) + 1e-6)
    middle = np.stack([seen[rows].mean(axis=0) for rows in strongest(table, layer, sign)])
    middle = middle - middle.mean(axis=0)
    return middle / np.linalg.norm(middle, axis=1, keepdims=True)


def matched(one: Set, other: Set, layer: str, sign: int = 1) -> np.ndarray:
    """Return for each channel the share of the others whose nine are less like its own nine of the other set."""
    return beaten(shown(one, layer, sign), shown(other, layer, sign))


def beaten(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    alike = one @ other.T
    own = alike.diagonal()[:, None]
    return (alike < own).sum(axis=1) / (len(own) - 1)


def compare(sets: dict[str, Set]) -> dict[str, Any]:
    dice = np.random.default_rng(0)
    splits = [halves(sets["photographs"], dice) for _ in range(SPLITS)]
    pairs = {f"{a} / {b}": [(sets[a], sets[b])] for a, b in itertools.combinations(sets, 2)}
    pairs["photographs, halves"] = splits
    if "ImageNet" in sets:
        dice = np.random.default_rng(0)
        pairs["ImageNet, halves"] = [halves(sets["ImageNet"], dice) for _ in range(SPLITS)]
    out: dict[str, Any] = {"pairs": {}, "matching": {}}
    for name, some in pairs.items():
        out["pairs"][name] = {
            layer: mean_of([shapes_alike(*pair, layer) for pair in some]) for layer in LAYERS
        }
        out["matching"][name] = {
            layer: [float(np.mean([matched(*pair, layer, sign).mean() for pair in some])) for sign in (1, -1)]
            for layer in LAYERS
        }
    return out


def mean_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def intervals(sets: dict[str, Set]) -> dict[str, Any]:
    """Return the intervals, over photographs drawn with replacement, of what compares them with the scenes."""
    scenes, photographs = sets["scenes"], sets["photographs"]

    def alike(table: Set) -> np.ndarray:
        return np.array([list(shapes_alike(scenes, table, layer).values()) for layer in LAYERS])

    low, high, _ = interval(alike, photographs, 1, moved=True)
    keys = ["median", "spread", "lean"]
    shapes = {
        layer: {key: [low[i][j], high[i][j]] for j, key in enumerate(keys)} for i, layer in enumerate(LAYERS)
    }
    ways = {}
    for one, other in SHOWN:
        if one in sets and other in sets:
            ways[f"{one} / {other}"] = {
                layer: matched(sets[one], sets[other], layer).tolist() for layer in LAYERS
            }
    return {"shapes": shapes, "matched": ways, **nine_of_draws(scenes, photographs)}


def nine_of_draws(scenes: Set, photographs: Set) -> dict[str, Any]:
    """Return the interval of the game, over photographs and over people, and by how much it was moved."""
    right = {layer: shown(scenes, layer, 1) for layer in LAYERS}

    def alike_nine(table: Set) -> np.ndarray:
        return np.array([beaten(right[layer], shown(table, layer, 1)).mean() for layer in LAYERS])

    out: dict[str, Any] = {}
    for what, by in (("matching interval", "things"), ("matching interval, people", "people")):
        low, high, moved = interval(alike_nine, photographs, 3, draws=100, by=by, moved=True)
        out[what] = {layer: [low[i], high[i]] for i, layer in enumerate(LAYERS)}
        out[f"{what}, moved"] = {layer: moved[i] for i, layer in enumerate(LAYERS)}
    return out


def links_of(sets: dict[str, Set]) -> dict[str, Any]:
    """Return for each named link its strength in each set, its interval and rank, and those of the whole layer."""
    out: dict[str, Any] = {}
    for k, (name, (layer, channel)) in enumerate(LINKS.items()):
        every = {which: links(table, layer)[k] for which, table in sets.items()}

        def one(table: Set, k: int = k, layer: str = layer, channel: int = channel) -> np.ndarray:
            return rank_correlation(table["properties"][:, [k]], table[layer][:, [channel]])

        out[name] = {
            "unit": f"{layer}, channel {channel}",
            "link": {which: float(found[channel]) for which, found in every.items()},
            "rank": {which: place(found, channel) for which, found in every.items()},
            "interval": [x[0] for x in interval(one, sets["photographs"], 2)[:2]],
            "interval, people": [x[0] for x in interval(one, sets["photographs"], 2, by="people")[:2]],
            "without one": float(one(without(sets["photographs"], MOST))[0]),
            "all": {which: found.tolist() for which, found in every.items() if which != "other scenes"},
            "carries over": {
                which: float(rank_correlation(every["scenes"][:, None], found[:, None])[0])
                for which, found in every.items()
                if which != "scenes"
            },
        }
    return out


def place(links: np.ndarray, channel: int) -> int:
    """Return the number of a channel's link among those of its layer, by size: the sign of a channel is arbitrary."""
    return int((np.abs(links) > abs(links[channel])).sum()) + 1


def without(table: Set, who: str) -> Set:
    return part(table, (table["people"] != who).nonzero()[0])


def cut(sets: dict[str, Set]) -> dict[str, Any]:
    """Return the link of "coarse" and its place without the quarter of each set that is coarsest, and least coarse."""
    k, (layer, channel) = list(LINKS).index("coarse"), LINKS["coarse"]

    def one(table: Set) -> np.ndarray:
        return rank_correlation(table["properties"][:, [k]], table[layer][:, [channel]])

    out: dict[str, Any] = {}
    for what, sign in (("without the coarsest", 1), ("without the least coarse", -1)):
        kept = {}
        for which, table in sets.items():
            coarse = sign * table["properties"][:, k]
            kept[which] = part(table, (coarse < np.quantile(coarse, 1 - CUT)).nonzero()[0])
        every = {which: links(table, layer)[k] for which, table in kept.items()}
        out[what] = {
            "link": {which: float(found[channel]) for which, found in every.items()},
            "rank": {which: place(found, channel) for which, found in every.items()},
            "interval": [x[0] for x in interval(one, kept["photographs"], 2)[:2]],
        }
    return out


def listed(folder: Path) -> dict[str, Any]:
    """Return which images a folder has: the SHA-256 of what `LC_ALL=C sha256sum *` prints there."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    return {"files": len(files), "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}


def zeros(sets: dict[str, Set]) -> dict[str, Any]:
    """Return the share of positive scores: of channel 80, and of how many channels from 5 to 95 %."""
    return {
        which: {
            "channel 80": float((table["blocks.4.2"][:, 80] > 0).mean()),
            "both signs": {
                layer: float(np.mean(np.abs((table[layer] > 0).mean(axis=0) - 0.5) < 0.45))
                for layer in LAYERS
            },
        }
        for which, table in sets.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--imagenet", type=Path)
    parser.add_argument("--tables", type=Path, help="keep the tables in this file, and take them from it")
    options = parser.parse_args()
    if options.tables and options.tables.exists():
        sets = torch.load(options.tables, weights_only=False)
    else:
        sets = {name: tables(source, name) for name, source in sources(options.imagenet).items()}
        if options.tables:
            torch.save(sets, options.tables)
    sets["photographs"]["people"] = people(sets["photographs"])
    counts = {name: [len(one["things"]), len(set(one["things"].tolist()))] for name, one in sets.items()}
    found = {
        "counts": counts,
        **compare(sets),
        **intervals(sets),
        "links": links_of(sets),
        "coarse, cut": cut(sets),
        "people": len(set(sets["photographs"]["people"].tolist())),
        "zeros": zeros(sets),
    }
    if options.imagenet:
        found["ImageNet, sha256sum"] = listed(options.imagenet)
    save("photographs", found, how="python tools/measure_photographs.py --imagenet FOLDER", on=ON)


ON = (
    "EfficientNet-Lite0, all channels of four layers; 480 scenes of seed 0 and of seed 1, 348 crops of 87 photographs, "
    "800 photographs of ImageNet; EfficientNet-Lite1 says what pictures show; photographs drawn 300 times (100 times "
    "for the matching), and so the people who took them; 20 halves"
)

if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
