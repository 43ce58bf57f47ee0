"""Measure dictionaries of one layer by the exact masks of scenes: python tools/measure_dictionaries.py [SEED ...].

With seeds, it measures those and keeps each in _build/dictionaries; without, it measures what is missing of all and
writes book/_data/measured/dictionaries.json. With the word `frozen` and seeds, it fits wide autoencoders with frozen
atoms and keeps their codes; with the word alone, it adds their stability to the file, and how many codes are silent.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured import FOLDER, rounded, save, versions
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, normalize

from interp import dictionaries, hooks, zoo
from interp.dictionaries import Dictionary
from interp.zoo import Scenes

LAYER, SIZE, GRID = "blocks.5.0.act_expand", 160, 10
FIT, JUDGED, SEEDS = 240, 240, (0, 1, 2, 3, 4)
SMALL, SLICE = 64, 60
KEPT = Path("_build/dictionaries")
IGNORED, GROUND = -2, -1
FROZEN = "frozen, wide"


# --------------------------------------------------------------------------------------------------------------------
# Scenes, and what is where in them


def pictures(scenes: Scenes, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return images (N, 3, H, W), what each position shows (N, G, G), and the ImageNet classes (N,), -1 for none."""
    found = [scenes[n] for n in range(count)]
    shown = torch.stack([places(scene) for scene in found])
    classes = torch.tensor([-1 if scene.imagenet is None else scene.imagenet for scene in found])
    return torch.stack([scene.image for scene in found]), shown, classes


def places(scene: zoo.Scene) -> Tensor:
    """Return the class that covers half of each position, GROUND where none covers a tenth, IGNORED elsewhere."""
    things = [thing for thing in (scene.main, scene.second) if thing is not None]
    cover = torch.stack([adaptive_avg_pool2d(thing.mask.float()[None], GRID)[0] for thing in things])
    labels = torch.tensor([thing.label if thing.label >= 0 else IGNORED for thing in things])
    shown = torch.where(cover.amax(dim=0) >= 0.5, labels[cover.argmax(dim=0)], IGNORED)
    return torch.where(cover.sum(dim=0) <= 0.1, GROUND, shown)


def maps_of(model: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([hooks.activations(model, batch, LAYER) for batch in torch.split(images, 32)])


def rows_of(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


# --------------------------------------------------------------------------------------------------------------------
# Dictionaries


def directions(kind: str, atoms: Tensor, mean: Tensor) -> Dictionary:
    """Return a dictionary that reads each atom by itself: codes = atoms (x - mean)."""
    return Dictionary(kind, atoms, mean, atoms, -atoms @ mean, nn.Identity())


def fitted(rows: Tensor, seed: int) -> dict[str, Dictionary]:
    random = torch.Generator().manual_seed(seed)
    mean, channels = rows.mean(dim=0), rows.shape[1]
    drawn = normalize(torch.randn(channels, channels, generator=random))
    some = torch.randperm(channels, generator=random)[:SMALL]
    one_each = torch.eye(channels)
    auto = dictionaries.sparse_autoencoder
    return {
        "NMF": dictionaries.nmf(rows, SMALL, steps=200, seed=seed),
        "PCA": dictionaries.pca(rows, SMALL, seed=seed),
        "k-means": dictionaries.kmeans(rows, SMALL, seed=seed),
        "autoencoder": auto(rows, SMALL, seed=seed),
        "frozen": auto(rows, SMALL, frozen=True, seed=seed),
        "random": directions("random", drawn[:SMALL], mean),
        "channels": directions("channels", one_each[some], torch.zeros(channels)),
        "autoencoder, wide": auto(rows, channels, active=16, steps=600, seed=seed),
        "random, wide": directions("random", drawn, mean),
        "channels, all": directions("channels", one_each, torch.zeros(channels)),
    }


# --------------------------------------------------------------------------------------------------------------------
# Judged by the masks


def areas(codes: Tensor, shown: Tensor) -> np.ndarray:
    """Return the areas under the curve (11, K): objects against the ground, then each class against the other nine.

    It is the chance that a position of the one has a larger code than a position of the other, ties counting half.
    """
    on_object = shown >= 0
    known = shown != IGNORED
    known[::2] &= on_object[::2]  # half of the ground is enough to rank
    where = area(rankdata(codes[known].numpy(), axis=0), on_object[known].numpy())
    ranks, labels = rankdata(codes[on_object].numpy(), axis=0), shown[on_object].numpy()
    return np.stack([where, *(area(ranks, labels == label) for label in range(10))])


def area(ranks: np.ndarray, hits: np.ndarray) -> np.ndarray:
    count = hits.sum()
    found: np.ndarray = (ranks[hits].sum(axis=0) - count * (count + 1) / 2) / (count * (~hits).sum())
    return found


def overlaps(codes: Tensor, hits: Tensor, thresholds: Tensor) -> Tensor:
    """Return intersection over union (T, classes, K) of codes (P, K) above thresholds (T, K) and hits (P, classes)."""
    wanted, found = hits.float(), []
    for threshold in thresholds:
        above = (codes > threshold).float()
        shared = wanted.T @ above
        found.append(shared / (wanted.sum(dim=0)[:, None] + above.sum(dim=0) - shared).clamp_min(1))
    return torch.stack(found)


def dissected(codes: Tensor, shown: Tensor, new: Tensor, there: Tensor) -> dict[str, list[float]]:
    """Choose unit, sign and threshold of each class by the overlap on the scenes of the fit, and judge them."""
    signed, signed_new = torch.cat([codes, -codes], dim=1), torch.cat([new, -new], dim=1)
    levels = torch.tensor([0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995])
    thresholds = torch.quantile(signed[::3], levels, dim=0)
    classes = torch.arange(10)
    table = overlaps(signed, shown[:, None] == classes, thresholds)
    best, level = table.amax(dim=0).argmax(dim=1), table.argmax(dim=0)
    found = []
    for label, unit in enumerate(best.tolist()):
        threshold = thresholds[level[label, unit], unit].view(1, 1)
        found.append(float(overlaps(signed_new[:, unit : unit + 1], (there == label)[:, None], threshold)))
    return {"overlap": found, "dissected": (best % codes.shape[1]).tolist()}


def judged(
    encode: Callable[[Tensor], Tensor], fit: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> dict[str, Any]:
    """Choose the unit and sign of each task on the scenes of the fit, and judge it on scenes of unseen objects."""
    (codes, shown), (new, there) = ((encode(rows), labels) for rows, labels in (fit, test))
    on_fit, on_test = areas(codes, shown), areas(new, there)
    best = np.abs(on_fit - 0.5).argmax(axis=1)
    tasks = np.arange(11)
    signs = np.sign(on_fit[tasks, best] - 0.5)
    found = 0.5 + signs * (on_test[tasks, best] - 0.5)
    return {
        "where": found[0],
        "what": found[1:].tolist(),
        "units": best.tolist(),
        "signs": signs.tolist(),
        **dissected(codes, shown, new, there),
    }


def probe(fit: tuple[Tensor, Tensor], classes: int) -> Callable[[Tensor], Tensor]:
    """Return a linear probe: softmax regression with a little weight decay, on standardized channels."""
    rows, labels = fit
    mean, scale = rows.mean(dim=0), rows.std(dim=0).clamp_min(1e-3)
    linear = nn.Linear(rows.shape[1], classes)
    nn.init.zeros_(linear.weight)
    descent = torch.optim.LBFGS(linear.parameters(), max_iter=60)

    def loss() -> Tensor:
        descent.zero_grad()
        value = cross_entropy(linear((rows - mean) / scale), labels) + 0.02 * linear.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    descent.step(loss)  # type: ignore[no-untyped-call]
    return lambda new: linear((new - mean) / scale).detach()


def ceiling(fit: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> dict[str, Any]:
    (rows, shown), (new, there) = fit, test
    known, on_object = shown != IGNORED, shown >= 0
    where = probe((rows[known], (shown[known] >= 0).long()), 2)(new)
    what = probe((rows[on_object], shown[on_object]), 10)(new)
    return {"where": areas(where[:, 1:], there)[0, 0], "what": np.diag(areas(what, there)[1:]).tolist()}


# --------------------------------------------------------------------------------------------------------------------
# Ablated


def tail_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the function from what the layer gives to the logits."""
    head: Any = model
    stage = list(head.blocks)[5:]
    block = stage[0][0]

    @torch.no_grad()
    def tail(maps: Tensor) -> Tensor:
        x = block.act_depthwise(block.bn_depthwise(block.depthwise(maps)))
        x = block.bn_project(block.project(x))
        for rest in (*list(stage[0])[1:], *stage[1:]):
            x = rest(x)
        x = head.act_head(head.bn_head(head.conv_head(x)))
        logits: Tensor = head.classifier(head.pool(x).flatten(1))
        return logits

    return tail


def ablated(
    dictionary: Dictionary, units: Sequence[int], maps: Tensor, classes: Tensor, about: Tensor, tail: Any
) -> dict[str, Any]:
    """Remove what the unit of a class adds, and see how the logits fall of scenes of this class and of others."""
    known = classes >= 0
    maps, classes, about = maps[known], classes[known], about[known]
    before = tail(maps).gather(1, classes[:, None])[:, 0]
    own, others, removed = [], [], []
    for label, unit in enumerate(units):
        mine = (about == label).nonzero()[:, 0][:20]
        rest = (about != label).nonzero()[:, 0][label::9][:20]
        if not len(mine):
            continue
        chosen = torch.cat([mine, rest])
        part = dictionary.encode(maps[chosen])[:, unit : unit + 1] * dictionary.atoms[unit].view(1, -1, 1, 1)
        after = tail(maps[chosen] - part).gather(1, classes[chosen][:, None])[:, 0]
        fall = before[chosen] - after
        own.append(float(fall[: len(mine)].mean()))
        others.append(float(fall[len(mine) :].mean()))
        removed.append(float(part[: len(mine)].square().sum() / maps[mine].square().sum()))
    return {"own": own, "others": others, "removed": removed}


# --------------------------------------------------------------------------------------------------------------------
# All of it


def kept_codes(found: dict[str, Dictionary], rows: Tensor) -> dict[str, Tensor]:
    """Return the codes of some positions, of all dictionaries that were looked for or drawn."""
    return {name: one.encode(rows[::7]).half() for name, one in found.items() if "channels" not in name}


def fit_rows_of(model: nn.Module, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return all samples of the fit, what they show, and those of them that the dictionaries see."""
    images, shown, _ = pictures(Scenes("train", SIZE, seed=seed, length=FIT), FIT)
    rows = rows_of(maps_of(model, images))
    random = torch.Generator().manual_seed(seed)
    return rows, shown.flatten(), rows[torch.randperm(len(rows), generator=random)[:7000]]


def measure(seed: int) -> None:
    model = zoo.load_model()
    fit_rows, fit_shown, some = fit_rows_of(model, seed)
    new_images, new_shown, classes = pictures(Scenes("val", SIZE, seed=0, length=JUDGED), JUDGED)
    scenes = Scenes("val", SIZE, seed=0, length=JUDGED)
    about = torch.tensor([scenes[n].label for n in range(JUDGED)])
    new_maps = maps_of(model, new_images)
    fit, new = (fit_rows, fit_shown), (rows_of(new_maps), new_shown.flatten())
    KEPT.mkdir(parents=True, exist_ok=True)
    found = fitted(some, seed)
    tail = tail_of(model)
    results: dict[str, Any] = {"probe": ceiling(fit, new)}
    for name, dictionary in found.items():
        results[name] = judged(dictionary.encode, fit, new) | {"error": dictionary.error(new[0])}
        if "wide" not in name:
            results[name]["ablated"] = ablated(
                dictionary, results[name]["dissected"], new_maps, classes, about, tail
            )
    small = new[0][: SLICE * GRID**2], new[1][: SLICE * GRID**2]
    units = results["channels, all"]["units"]
    results["slice"] = [float(areas(small[0][:, [unit]], small[1])[n, 0]) for n, unit in enumerate(units)]
    torch.save(kept_codes(found, new[0]), KEPT / f"codes-{seed}.pt")
    (KEPT / f"{seed}.json").write_text(json.dumps(results))


def stable(one: Tensor, other: Tensor) -> float:
    """Return the mean correlation of the codes of two dictionaries, matched one to one as well as they can be."""
    table = np.abs(np.nan_to_num(np.corrcoef(one.float().T.numpy(), other.float().T.numpy())))
    table = table[: one.shape[1], one.shape[1] :]
    return float(table[linear_sum_assignment(-table)].mean())


def keep_frozen(seed: int) -> None:
    """Fit an autoencoder as wide as the layer, with frozen atoms, and keep its codes: a control that came later."""
    model = zoo.load_model()
    images, _, _ = pictures(Scenes("val", SIZE, seed=0, length=JUDGED), JUDGED)
    _, _, some = fit_rows_of(model, seed)
    found = dictionaries.sparse_autoencoder(some, some.shape[1], active=16, steps=600, frozen=True, seed=seed)
    KEPT.mkdir(parents=True, exist_ok=True)
    torch.save(kept_codes({FROZEN: found}, rows_of(maps_of(model, images))), KEPT / f"frozen-{seed}.pt")


def silent(codes: Tensor) -> float:
    """Return the share of codes (N, K) that are the same everywhere."""
    return float((codes.float().std(dim=0) == 0).float().mean())


def add_frozen() -> None:
    """Add to the file what is kept of the control: its stability, and which codes never speak."""
    path = FOLDER / "dictionaries.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    made = results.pop("made")
    frozen, others = (
        [torch.load(file, weights_only=True) for file in sorted(KEPT.glob(f"{kind}-*.pt"))]
        for kind in ("frozen", "codes")
    )
    results["stability"][FROZEN] = [
        stable(a[FROZEN], b[FROZEN]) for a, b in itertools.combinations(frozen, 2)
    ]
    results["silent"] = {name: [silent(each[name]) for each in others] for name in others[0]}
    results["silent"][FROZEN] = [silent(each[FROZEN]) for each in frozen]
    results["added with"] = versions()
    path.write_text(json.dumps({"made": made, **rounded(results)}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["frozen"]:
        for seed in map(int, words[1:]):
            keep_frozen(seed)
        if not words[1:]:
            add_frozen()
        return
    asked = [int(word) for word in words]
    for seed in asked or [seed for seed in SEEDS if not (KEPT / f"{seed}.json").exists()]:
        measure(seed)
    if asked:
        return
    each = [json.loads((KEPT / f"{seed}.json").read_text()) for seed in SEEDS]
    codes = [torch.load(KEPT / f"codes-{seed}.pt", weights_only=True) for seed in SEEDS]
    pairs = list(itertools.combinations(range(len(SEEDS)), 2))
    stability = {name: [stable(codes[a][name], codes[b][name]) for a, b in pairs] for name in codes[0]}
    on = (
        f"{LAYER} of the embedded network; {FIT} scenes of the split train for each of {len(SEEDS)} seeds, {JUDGED} of "
        f"the split val, {SIZE} pixels"
    )
    save(
        "dictionaries",
        {"seeds": each, "stability": stability},
        how="python tools/measure_dictionaries.py",
        on=on,
    )


if __name__ == "__main__":
    main()
