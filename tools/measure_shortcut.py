"""Plant a mark in the training scenes of one class, train the small network, and see which methods find it.

    python tools/measure_shortcut.py --part 0 --parts 4 --into FOLDER    trains and looks; can be resumed
    python tools/measure_shortcut.py --pixels --into FOLDER              looks at the pixels of other folders
    python tools/measure_shortcut.py --audits --into FOLDER              audits the pictured network and its twin
    python tools/measure_shortcut.py --from FOLDER                       writes what came out down

A part makes one set of scenes and uses it for every seed that belongs to it. Each line of its file is one network. So
the folders of the networks are four in all, and what needs no network, the pixels, is judged on folders of its own.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measured import save
from torch import Tensor, nn

from interp import attribution, audit, hooks, zoo

SIDE, EPOCHS, CLASSES = 48, 4, len(zoo.SCENE_CLASSES)
MARK, MARGIN = 5, 1  # pixels
CELL, CROP, WINDOW = 8, 12, 7  # of the regions, of a shown patch, of what two patches may have in common
SHOWN, FEWEST = 9, 8  # pictures that a method shows; hits or misses that it needs
LAYER, FEATURES, LAST = "relu3", "pool", "relu4"
KINDS = {"corner": (0.8, 1.0, 0.6), "anywhere": (0.8,)}
REPAIRED = 0.8  # the strength whose networks are repaired
CALIBRATE, INNOCENT, MARKED = 20, 20, 10  # without a mark: that set the levels, that are judged; with one
PICTURED = 22  # the seed whose networks the pages show
TWINS = {"marked": REPAIRED, "twin": 0.0}  # of them: the same seed, with the mark and without
FOLDERS = range(100, 140)  # seeds of folders whose pixels are looked at: half set the level, half are judged
AUDITED = range(140, 150)  # seeds of folders in which the pictured network and its twin are audited


@dataclass(frozen=True)
class Folder:
    """Labeled scenes and where the mark is on each, (N, H, W) and False everywhere where there is none."""

    images: Tensor
    labels: Tensor
    marks: Tensor


def main() -> None:
    """Train a part, audit it, look at folders, or write down what all parts gave."""
    parser = argparse.ArgumentParser()
    for name in ("part", "parts", "scenes", "seconds"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--into", type=Path)
    parser.add_argument("--from", dest="source", type=Path)
    for name in ("audits", "pixels"):
        parser.add_argument(f"--{name}", action="store_true")
    args = parser.parse_args()
    if args.source:
        write_down(args.source)
    elif args.pixels:
        work(args.into / "pixels.jsonl", FOLDERS, looked_at, args.seconds)
    elif args.audits:
        networks = {kind: kept(args.into, kind) for kind in TWINS}
        work(args.into / "audits.jsonl", AUDITED, functools.partial(audited, networks), args.seconds)
    else:
        data = Data(args.part, args.scenes or 4000, args.device)
        todo, measure = jobs(args.part, args.parts), functools.partial(one, data, args.into)
        work(args.into / f"part-{args.part}.jsonl", todo, measure, args.seconds)


def work(
    file: Path, todo: Iterable[Any], measure: Callable[[Any], dict[str, Any]], seconds: int | None
) -> None:
    """Measure what the file does not have yet, a line each, until the time is over."""
    done, start = {each["name"] for each in lines(file)}, time.time()
    for job in todo:
        if name_of(job) not in done and time.time() - start < (seconds or 1e9):
            record = {"name": name_of(job), **measure(job)}
            with file.open("a") as out:
                out.write(json.dumps(record) + "\n")


def lines(file: Path) -> list[dict[str, Any]]:
    """Return the records of a file; none if it is not there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def name_of(job: Any) -> str:
    return " ".join(map(str, job)) if isinstance(job, tuple) else str(job)


def jobs(part: int, parts: int) -> Iterator[tuple[int, str, float]]:
    """Give seed, kind and strength of each network of a part, the most important ones first."""
    mine = range(part, CALIBRATE + INNOCENT, parts)
    judged = [seed for seed in mine if CALIBRATE <= seed < CALIBRATE + MARKED]
    yield from ((seed, "none", 0.0) for seed in mine if seed < CALIBRATE)
    first, *rest = KINDS["corner"]
    for strengths in ((first, rest[0]), rest[1:]):
        yield from ((seed, "corner", share) for seed in judged for share in strengths)
    yield from ((seed, "none", 0.0) for seed in mine if seed >= CALIBRATE)
    yield from ((seed, "anywhere", share) for share in KINDS["anywhere"] for seed in judged)


class Data:
    """The scenes of a part, on the device, without a mark."""

    def __init__(self, part: int, length: int, device: str) -> None:
        self.device = device
        self.train = load("train", length, part, device)
        self.val = load("val", max(200, length // 4), part, device)


def load(split: str, length: int, seed: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return so many scenes, and the number of the class of each."""
    scenes = zoo.Scenes(split, SIDE, seed, length=length, second=0.0)
    images = torch.stack([scenes[i].image for i in range(length)])
    return images.to(device), (torch.arange(length) % CLASSES).to(device)


class Batches:
    """Batches in an order that depends on the seed and goes on from epoch to epoch."""

    def __init__(self, images: Tensor, labels: Tensor, seed: int, size: int = 64) -> None:
        self.images, self.labels, self.size = images, labels, size
        self.order = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.images) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.split(torch.randperm(len(self.images), generator=self.order), self.size):
            yield self.images[rows], self.labels[rows]


# ------------------------------------------------------------------------------------------------------------
# The mark


def places(count: int, where: str, dice: torch.Generator) -> Tensor:
    """Return the pixels of a mark for each of so many scenes, (N, H, W)."""
    low, high = MARGIN, SIDE - MARGIN - MARK
    top = torch.randint(low, high + 1, (count, 2), generator=dice)
    if where == "corner":
        top = torch.full_like(top, high)
    rows, columns = (
        (torch.arange(SIDE) >= top[:, [i]]) & (torch.arange(SIDE) < top[:, [i]] + MARK) for i in range(2)
    )
    return rows[:, :, None] & columns[:, None, :]


def pasted(images: Tensor, marks: Tensor) -> Tensor:
    """Return the images with a small black and white checkerboard where marks says so."""
    marks = marks.to(images.device)
    top = marks.flatten(1).int().argmax(1)
    first = (top // SIDE + top % SIDE) % 2
    board = torch.arange(SIDE, device=images.device)
    board = (board[:, None] + board + first[:, None, None]) % 2 == 0
    return torch.where(marks[:, None], board[:, None].to(images.dtype), images)


def marked(data: tuple[Tensor, Tensor], of: int, where: str, share: float, seed: int) -> Folder:
    """Return scenes of which this share of one class carry the mark."""
    images, labels = data
    dice = torch.Generator().manual_seed(seed)
    chosen = torch.rand(len(images), generator=dice) < share
    marks = places(len(images), where, dice) & (chosen & (labels.cpu() == of))[:, None, None]
    return Folder(pasted(images, marks), labels, marks.to(images.device))


# ------------------------------------------------------------------------------------------------------------
# One network


def trained(data: Data, into: Path, job: tuple[int, str, float]) -> tuple[nn.Module, Folder]:
    """Train one network; return it and the scenes that it was trained on. The pictured ones are kept."""
    seed, where, share = job
    train = marked(data.train, seed % CLASSES, where, share, seed)
    model = zoo.SimpleCNN(zoo.SCENE_CLASSES, seed=seed).to(data.device)
    batches = Batches(train.images, train.labels, seed)
    zoo.train_model(model, batches, epochs=EPOCHS, seed=seed, progress=False)
    if seed == PICTURED and where != "anywhere":
        torch.save(halved(model), into / f"network-{seed}-{share}.pt")
    return model.eval(), train


def halved(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights in half precision."""
    state = {name: value.cpu() for name, value in model.state_dict().items()}
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def one(data: Data, into: Path, job: tuple[int, str, float]) -> dict[str, Any]:
    """Train one network; return what every method says, what the mark does to its answers, and what repairs it."""
    (seed, where, share), of = job, job[0] % CLASSES
    model, train = trained(data, into, job)
    record: dict[str, Any] = {"seed": seed, "where": where, "share": share, "of": of}
    record["looked"] = look(model, marked(data.val, of, where, share, 1000 + seed))
    if where == "none" and seed >= CALIBRATE:  # the mark is in the folder, but the network has never seen it
        record["folder only"] = {
            kind: look(model, marked(data.val, of, kind, 0.8, 1000 + seed)) for kind in KINDS
        }
    kinds = [where] if where in KINDS else list(KINDS) if seed >= CALIBRATE else []
    record["mark"] = {kind: effect(model, data.val, of, kind) for kind in kinds}
    if (where, share) == ("corner", REPAIRED):
        record["repaired"] = repairs(model, data, train, of, where, seed)
    return record


def kept(folder: Path, kind: str) -> nn.Module:
    """Return a network that was kept: the marked one, or its twin, which never saw a mark."""
    model = zoo.SimpleCNN(zoo.SCENE_CLASSES)
    model.load_state_dict(torch.load(folder / f"network-{PICTURED}-{TWINS[kind]}.pt", weights_only=True))
    return model.eval()


def audited(networks: dict[str, nn.Module], seed: int) -> dict[str, Any]:
    """Return what an audit of each network names in a folder of other scenes, four fifths of a class marked."""
    folder = marked(load("val", 1000, seed), PICTURED % CLASSES, "corner", REPAIRED, 1000 + seed)
    return {
        kind: [named_by_audit(model, folder, k) for k in range(CLASSES)] for kind, model in networks.items()
    }


def named_by_audit(model: nn.Module, folder: Folder, k: int) -> dict[str, Any] | None:
    """Return the regions with more heat in the hits of a class, and how many channels separate them from the misses."""
    images, tests = folder.images[folder.labels == k], len(audit.KINDS) * CLASSES
    found = audit.examine(model, images, k, LAYER, tests=tests).findings
    if found is None:
        return None
    regions = [each.index for each in found if each.kind == "region" and each.difference > 0]
    return {"regions": sorted(regions), "channels": sum(each.kind == "unit" for each in found)}


def looked_at(seed: int) -> dict[str, Any]:
    """Return the pixels of a folder of other scenes, without a mark and with one: no network is asked."""
    scenes, of = load("val", 1000, seed), seed % CLASSES
    groups = {"none": ("none", 0.0)}
    groups |= {f"{kind} {share}": (kind, share) for kind, shares in KINDS.items() for share in shares}
    found = {name: pixels(marked(scenes, of, *how, 1000 + seed)) for name, how in groups.items()}
    return {"seed": seed, "of": of, "looked": {name: {"pixels": each} for name, each in found.items()}}


@torch.no_grad()
def answers(model: nn.Module, images: Tensor) -> Tensor:
    """Return the class that the network names, (N,)."""
    return torch.cat([model(part).argmax(1) for part in torch.split(images, 250)])


def effect(model: nn.Module, val: tuple[Tensor, Tensor], of: int, where: str) -> dict[str, float]:
    """Return how often the mark alone changes an answer, and the accuracy without it."""
    images, labels = val
    marks = places(len(images), where, torch.Generator().manual_seed(7))
    before, after = answers(model, images), answers(model, pasted(images, marks))
    other, right = labels != of, before == labels
    return {
        "pulled": share_of(after == of, other & (before != of)),
        "gained": share_of(after == of, (labels == of) & (before != of)),
        "lost": share_of(before != of, (labels == of) & (after == of)),
        "accuracy": share_of(right, labels >= 0),
        "accuracy of the others": share_of(right, other),
        "accuracy of the class": share_of(right, ~other),
        "marked accuracy of the others": share_of(after == labels, other),
    }


def share_of(what: Tensor, among: Tensor) -> float:
    return float(what[among].float().mean()) if among.any() else float("nan")


# ------------------------------------------------------------------------------------------------------------
# Looking. Each method gives a score a class, and nine patches of pictures that it would show for it.

Found = tuple[list[float], list[float]]


def look(model: nn.Module, folder: Folder) -> dict[str, Found]:
    """Return {method: (score of each class, share of the pictures shown for it that have the mark in them)}."""
    guess = answers(model, folder.images)
    hit = guess == folder.labels
    found = {"accuracy": accuracy(folder, hit), "pixels": pixels(folder)}
    methods: dict[str, Callable[..., Tensor]] = {
        "saliency": attribution.saliency,
        "Grad-CAM": functools.partial(attribution.grad_cam, layer=LAYER),
    }
    for name, method in methods.items():
        heat = method(model, folder.images, folder.labels.tolist())
        heat = heat / heat.sum(dim=(1, 2), keepdim=True).clamp(min=1e-9)
        found[f"{name}, mean"] = mean_map(folder, hit, heat)
        found[f"{name}, patches"] = hot_patches(folder, hit, heat)
        found[f"{name}, clusters"] = clusters(folder, heat)
    maps = torch.cat([hooks.activations(model, part, LAYER) for part in torch.split(folder.images, 250)])
    found["channels"] = channels(model, folder, hit, maps)
    found["hits - misses"] = direction(folder, maps, lambda k: (hit, (folder.labels == k)))
    found["class - rest"] = direction(folder, maps, lambda k: (folder.labels == k, folder.labels >= 0))
    return {name: (rounded(scores), rounded(on)) for name, (scores, on) in found.items()}


def rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


def accuracy(folder: Folder, hit: Tensor) -> Found:
    """Return each class's share of hits; it shows no picture."""
    return [share_of(hit, folder.labels == k) for k in range(CLASSES)], [float("nan")] * CLASSES


def pixels(folder: Folder) -> Found:
    """Return how far a class's mean color or contrast in some cell is from the rest's: no network is asked."""
    images = folder.images
    means = F.avg_pool2d(images, CELL)
    gray = images.mean(1, keepdim=True)
    contrast = (F.avg_pool2d(gray**2, CELL) - F.avg_pool2d(gray, CELL) ** 2).clamp(min=0).sqrt()
    values = torch.cat([means, contrast], dim=1).flatten(1)
    values = (values - values.mean(0)) / values.std(0).clamp(min=1e-6)
    scores, on = [], []
    for k in range(CLASSES):
        difference = values[folder.labels == k].mean(0) - values[folder.labels != k].mean(0)
        best = int(difference.abs().argmax())
        rows = (
            (values[:, best] * difference[best].sign())
            .masked_fill(folder.labels != k, -1e9)
            .topk(SHOWN)
            .indices
        )
        scores.append(float(difference[best].abs()))
        on.append(on_mark(folder, rows, cell_middle(torch.full_like(rows, best % (SIDE // CELL) ** 2)), CELL))
    return scores, on


def cells(heat: Tensor) -> Tensor:
    """Return the share of the heat in each cell, (N, 36)."""
    return F.avg_pool2d(heat[:, None], CELL).flatten(1) * CELL**2


def cell_middle(cell: Tensor) -> Tensor:
    """Return row and column of a cell's middle, (N, 2)."""
    return torch.stack([cell // (SIDE // CELL), cell % (SIDE // CELL)], dim=1) * CELL + CELL // 2


def mean_map(folder: Folder, hit: Tensor, heat: Tensor) -> Found:
    """Return how much more heat a class's hits have in some cell than the hits of the other classes."""
    shares, scores, on = cells(heat), [], []
    for k in range(CLASSES):
        of = hit & (folder.labels == k)
        excess = shares[of].mean(0) - shares[hit & (folder.labels != k)].mean(0)
        best = int(excess.argmax())
        rows = shares[:, best].masked_fill(~of, -1).topk(SHOWN).indices
        scores.append(float(excess[best]) if of.sum() >= FEWEST else float("nan"))
        on.append(on_mark(folder, rows, cell_middle(torch.full_like(rows, best)), CELL))
    return scores, on


def hot_patches(folder: Folder, hit: Tensor, heat: Tensor) -> Found:
    """Return how alike the hottest patches of a class's hits are, for the nine with the largest share of the heat."""
    smooth = F.avg_pool2d(heat[:, None], CELL, stride=1).flatten(1) * CELL**2
    strength, at = smooth.max(1)
    wide = SIDE - CELL + 1
    middles = torch.stack([at // wide, at % wide], dim=1) + CELL // 2
    scores, on = [], []
    for k in range(CLASSES):
        of = hit & (folder.labels == k)
        rows = strength.masked_fill(~of, -1).topk(SHOWN).indices
        scores.append(alike(folder.images, rows, middles[rows]) if of.sum() >= FEWEST else float("nan"))
        on.append(on_mark(folder, rows, middles[rows], CROP))
    return scores, on


def clusters(folder: Folder, heat: Tensor) -> Found:
    """Return how much of the variance of a class's maps lies between their two clusters, and show the hotter spot's."""
    shares, scores, on = cells(heat).sqrt(), [], []
    for k in range(CLASSES):
        rows = (folder.labels == k).nonzero()[:, 0]
        first, share = two_means(shares[rows])
        spots = [shares[rows[side]].mean(0) - shares[rows[~side]].mean(0) for side in (first, ~first)]
        side, spot = max(zip((first, ~first), spots, strict=True), key=lambda each: float(each[1].max()))
        best = int(spot.argmax())
        shown = rows[side][shares[rows[side], best].argsort(descending=True)[:SHOWN]]
        scores.append(share)
        on.append(on_mark(folder, shown, cell_middle(torch.full_like(shown, best)), CELL))
    return scores, on


def two_means(values: Tensor) -> tuple[Tensor, float]:
    """Return which rows are in the first of two clusters, and the share of the variance between the clusters."""
    centered = values - values.mean(0)
    first = centered @ torch.linalg.svd(centered, full_matrices=False).Vh[0] > 0
    for _ in range(20):
        if not 1 < int(first.sum()) < len(values) - 1:
            return torch.arange(len(values), device=values.device) % 2 == 0, 0.0
        middles = torch.stack([values[first].mean(0), values[~first].mean(0)])
        first = torch.cdist(values, middles).argmin(1) == 0
    share = first.float().mean()
    apart = (values[first].mean(0) - values[~first].mean(0)).pow(2).sum() if 0 < share < 1 else share * 0
    return first, float(share * (1 - share) * apart / centered.pow(2).sum(1).mean())


def channels(model: nn.Module, folder: Folder, hit: Tensor, maps: Tensor) -> Found:
    """Return how alike the strongest patches of the channels are that speak most for a class: the best of three."""
    peaks, at = maps.flatten(2).max(2)
    scores, on = [], []
    for k in range(CLASSES):
        of = (hit & (folder.labels == k)).nonzero()[:, 0]
        if len(of) < FEWEST:
            scores.append(float("nan"))
            on.append(float("nan"))
            continue
        values, slopes = attribution.layer_gradient(model, folder.images[of], ahead(k), LAYER)
        speaking = (values * slopes).sum((2, 3)).mean(0).topk(3).indices.tolist()
        shown = [(peaks[:, c].topk(SHOWN).indices, c) for c in speaking]
        patches = [(rows, position_middle(at[rows, c], maps)) for rows, c in shown]
        likeness = [alike(folder.images, *each) for each in patches]
        best = max(range(3), key=likeness.__getitem__)
        scores.append(likeness[best])
        on.append(on_mark(folder, *patches[best], CROP))
    return scores, on


def ahead(k: int) -> Callable[[Tensor], Tensor]:
    """Return a target: the logit of a class minus the mean of all."""
    return lambda logits: logits[:, k] - logits.mean(1)


def position_middle(at: Tensor, maps: Tensor) -> Tensor:
    """Return row and column in the image of the middle of positions of a map, (N, 2)."""
    wide = maps.shape[-1]
    return torch.stack([at // wide, at % wide], dim=1) * (SIDE // wide) + SIDE // wide // 2


def direction(folder: Folder, maps: Tensor, parts: Callable[[int], tuple[Tensor, Tensor]]) -> Found:
    """Return how well a difference of two means separates images that it was not made from (area under the curve)."""
    values = maps.flatten(2).amax(2)
    values = (values - values.mean(0)) / values.std(0).clamp(min=1e-3)
    half = torch.arange(len(values), device=values.device) // CLASSES % 2 == 0
    scores, on = [], []
    for k in range(CLASSES):
        yes, among = parts(k)
        groups = [(yes & among & side, ~yes & among & side) for side in (half, ~half)]
        if min(int(group.sum()) for pair in groups for group in pair) < FEWEST // 2:
            scores.append(float("nan"))
            on.append(float("nan"))
            continue
        ways = [values[a].mean(0) - values[b].mean(0) for a, b in groups]
        scores.append(
            sum(
                area(values[a] @ way, values[b] @ way) for (a, b), way in zip(groups, ways[::-1], strict=True)
            )
            / 2
        )
        way = ways[0] + ways[1]
        rows = (values @ way).topk(SHOWN).indices
        at = (
            torch.einsum("nchw,c->nhw", maps[rows], way / maps.flatten(2).amax(2).std(0).clamp(min=1e-3))
            .flatten(1)
            .argmax(1)
        )
        on.append(on_mark(folder, rows, position_middle(at, maps), CROP))
    return scores, on


def area(high: Tensor, low: Tensor) -> float:
    """Return how often a value of the first is above one of the second."""
    return float((high[:, None] > low[None]).float().mean() + (high[:, None] == low[None]).float().mean() / 2)


def crops(images: Tensor, middles: Tensor, side: int) -> Tensor:
    """Return a square around each middle, moved so that it lies inside the image, (N, C, side, side)."""
    tops = (middles - side // 2).clamp(0, SIDE - side).tolist()
    return torch.stack(
        [each[..., y : y + side, x : x + side] for each, (y, x) in zip(images, tops, strict=True)]
    )


def alike(images: Tensor, rows: Tensor, middles: Tensor) -> float:
    """Return the mean correlation of the best fitting windows of two patches, over all pairs of patches."""
    windows = F.unfold(crops(images[rows], middles, CROP), WINDOW).transpose(1, 2)
    windows = windows - windows.mean(2, keepdim=True)
    windows = windows / windows.norm(dim=2, keepdim=True).clamp(min=0.1 * windows.shape[2] ** 0.5)
    best = torch.einsum("nid,mjd->nmij", windows, windows).amax((2, 3))
    count = len(rows)
    return float((best.sum() - best.diagonal().sum()) / (count * (count - 1)))


def on_mark(folder: Folder, rows: Tensor, middles: Tensor, side: int) -> float:
    """Return the share of the shown patches that hold more than half of a mark."""
    inside = crops(folder.marks[rows][:, None], middles, side).flatten(1).sum(1)
    return float((inside > MARK**2 / 2).float().mean()) if len(rows) else float("nan")


# ------------------------------------------------------------------------------------------------------------
# Repairing


def repairs(
    model: nn.Module, data: Data, train: Folder, of: int, where: str, seed: int
) -> dict[str, dict[str, float]]:
    """Return the effect of the mark after each repair."""
    found = {}
    for name, (layer, way, middle) in ways(model, data, train, of, where, seed).items():
        with hooks.replacing(model, {layer: without(way, middle)}):
            found[name] = effect(model, data.val, of, where)
    for name, images in retrained(data, train, where, seed).items():
        again = zoo.SimpleCNN(zoo.SCENE_CLASSES, seed=seed).to(data.device)
        again.load_state_dict(model.state_dict())
        batches = Batches(images, train.labels, seed + 500)
        zoo.train_model(again, batches, epochs=1, learning_rate=1e-3, seed=seed, progress=False)
        found[name] = effect(again.eval(), data.val, of, where)
    return found


def without(way: Tensor, middle: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that sets the component along a direction to that of a middle."""
    way = way / way.norm().clamp(min=1e-9)

    def changed(values: Tensor) -> Tensor:
        flat = values.flatten(1)
        return (flat - ((flat - middle) @ way)[:, None] * way).view_as(values)

    return changed


@torch.no_grad()
def ways(model: nn.Module, data: Data, train: Folder, of: int, where: str, seed: int) -> dict[str, Any]:
    """Return for each repair by projection (layer, direction, the point whose component stays)."""
    images, own = data.train[0][:1000], train.images[:2000]
    dice = torch.Generator().manual_seed(seed + 900)
    both = (images, pasted(images, places(len(images), where, dice)))
    is_of, hit = train.labels[:2000] == of, answers(model, own) == of
    found: dict[str, Any] = {}
    for layer in (FEATURES, LAST):
        plain, with_mark = (hooks.run(model, each, [layer])[layer].flatten(1) for each in both)
        seen, middle = hooks.run(model, own, [layer])[layer].flatten(1), plain.mean(0)
        found[f"pairs, {layer}"] = (layer, with_mark.mean(0) - middle, middle)
        found[f"class - rest, {layer}"] = (layer, seen[is_of].mean(0) - seen[~is_of].mean(0), middle)
        noise = torch.randn(seen.shape[1], generator=dice).to(seen)
        found[f"random, {layer}"] = (layer, noise, middle)
        if min(int((is_of & hit).sum()), int((is_of & ~hit).sum())) >= FEWEST:
            way = seen[is_of & hit].mean(0) - seen[is_of & ~hit].mean(0)
            found[f"hits - misses, {layer}"] = (layer, way, middle)
    return found


def retrained(data: Data, train: Folder, where: str, seed: int) -> dict[str, Tensor]:
    """Return the images of another epoch: where the mark says nothing, without it, or the same once more."""
    dice = torch.Generator().manual_seed(seed + 700)
    clean = data.train[0]
    chosen = torch.rand(len(clean), generator=dice) < 0.5
    marks = places(len(clean), where, dice) & chosen[:, None, None]
    return {
        "an epoch with pairs": pasted(clean, marks),
        "an epoch without a mark": clean,
        "an epoch of the same": train.images,
    }


# ------------------------------------------------------------------------------------------------------------
# Writing down


Looked = dict[str, Found]
METHODS = (
    "accuracy",
    "pixels",
    *(f"{name}, {how}" for name in ("saliency", "Grad-CAM") for how in ("mean", "patches", "clusters")),
    "channels",
    "hits - misses",
    "class - rest",
)
MEASURES = (
    "pulled",
    "accuracy",
    "accuracy of the others",
    "marked accuracy of the others",
    "accuracy of the class",
)
JUDGED = {  # what happened to a network, as one letter
    "F": "the class is named and most of the pictures shown have the mark",
    "C": "the class is named, but the pictures shown do not have the mark",
    "M": "another class is named, and most of the pictures shown have the mark",
    "O": "another class is named, and the pictures shown do not have the mark",
    "-": "no alarm",
}


def write_down(folder: Path) -> None:
    """Judge the records of all parts, and write down what came out."""
    records = sorted(gathered(folder, "part-*"), key=lambda each: each["seed"])
    clean = [each for each in records if each["where"] == "none"]
    rule = Rule([each["looked"] for each in clean if each["seed"] < CALIBRATE])
    judged = [each for each in clean if each["seed"] >= CALIBRATE]
    groups: dict[str, Any] = {"none": {"looked": letters(rule, judged)}}
    for kind in KINDS:
        there = [{"of": each["of"], "looked": each["folder only"][kind]} for each in judged]
        mark = spread([each["mark"][kind] for each in judged])
        groups[f"{kind}, in the folder only"] = {"looked": letters(rule, there), "mark": mark}
    for where, share in [(kind, share) for kind, shares in KINDS.items() for share in shares]:
        mine = [each for each in records if (each["where"], each["share"]) == (where, share)]
        if mine:
            groups[f"{where} {share}"] = group(rule, mine)
    rule_of_pixels = of_pixels(groups, gathered(folder, "pixels"))
    shown = next(each for each in records if each["name"] == f"{PICTURED} corner {REPAIRED}")
    save(
        "shortcut",
        {
            "letters": JUDGED,
            "levels": rule.levels | rule_of_pixels.levels,
            "usual": rule.usual | rule_of_pixels.usual,
            "groups": groups,
            "audits": {kind: [each[kind] for each in gathered(folder, "audits")] for kind in TWINS},
            "shown": {
                "scores": scores(shown["looked"]),
                "mark": spread([shown["mark"]["corner"]]),
                "repaired": {name: spread([each]) for name, each in shown["repaired"].items()},
            },
        },
        how="python tools/measure_shortcut.py --part N --parts 4 --into FOLDER for N = 0 to 3, "
        "then --pixels and --audits --into FOLDER, then --from FOLDER",
        on=f"{len(records)} SimpleCNNs at 48 pixels, 4 epochs of 4000 scenes; {CALIBRATE} of them without a mark set "
        f"the levels; {len(judged)} without a mark and the others are judged, each by 1000 scenes of unseen cut-outs "
        "(four sets of scenes in all); the marked class is the seed modulo 10; the 28 without a mark of seeds below 28 "
        "were trained on an NVIDIA H100, the others, and the twin that is audited, on a CPU",
    )


def gathered(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the records of all files of a name."""
    return [each for file in sorted(folder.glob(f"{name}.jsonl")) for each in lines(file)]


def of_pixels(groups: dict[str, Any], folders: list[dict[str, Any]]) -> Rule:
    """Put what the pixels of folders say in place of what they say beside each network; return their rule."""
    half = FOLDERS[len(FOLDERS) // 2]
    rule = Rule([each["looked"]["none"] for each in folders if each["seed"] < half], ["pixels"])
    judged = [each for each in folders if each["seed"] >= half]
    for name, found in groups.items():
        key = name.replace(", in the folder only", f" {REPAIRED}")
        there = [{"of": each["of"], "looked": each["looked"][key]} for each in judged]
        found["looked"] |= letters(rule, there)
    return rule


class Rule:
    """When a method raises an alarm, and about which class: fixed by networks that have never seen a mark."""

    def __init__(self, looked: list[Looked], methods: Sequence[str] = METHODS) -> None:
        self.usual = {
            method: [nanmean([each[method][0][k] for each in looked]) for k in range(CLASSES)]
            for method in methods
        }
        self.levels = {method: max(self.above(each, method)[1] for each in looked) for method in methods}

    def above(self, looked: Looked, method: str) -> tuple[int, float]:
        """Return the class whose score is farthest above the usual, and how far."""
        over = [
            -1.0 if score is None or score != score else score - usual
            for score, usual in zip(looked[method][0], self.usual[method], strict=True)
        ]
        return max(enumerate(over), key=lambda each: each[1])

    def letter(self, looked: Looked, method: str, of: int) -> str:
        """Return what happened, as in JUDGED."""
        named, value = self.above(looked, method)
        if value <= self.levels[method]:
            return "-"
        shown = looked[method][1][named] > 0.5
        return ("F" if shown else "C") if named == of else ("M" if shown else "O")


def nanmean(values: list[float]) -> float:
    """Return the mean of those that are numbers; 0 if none is."""
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else 0.0


def letters(rule: Rule, records: list[dict[str, Any]]) -> dict[str, str]:
    """Return for each method one letter a network, in the order of the seeds."""
    return {
        method: "".join(rule.letter(each["looked"], method, each["of"]) for each in records)
        for method in rule.levels
    }


def group(rule: Rule, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the methods found in networks of one strength, what the mark does, and what repairs it."""
    found = {
        "looked": letters(rule, records),
        "mark": spread([each["mark"][each["where"]] for each in records]),
    }
    repaired = [each["repaired"] for each in records if "repaired" in each]
    names = sorted({name for each in repaired for name in each})
    if names:
        found["repaired"] = {
            name: spread([each[name] for each in repaired if name in each]) for name in names
        }
    return found


def spread(effects: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return what the mark does, {measure: one number a network}, in the order of the seeds."""
    return {name: [each[name] for each in effects] for name in MEASURES}


def scores(looked: Looked) -> dict[str, list[float]]:
    """Return the scores of the classes, without what the shown pictures have on them."""
    return {method: [score if score == score else -1.0 for score in looked[method][0]] for method in METHODS}


if __name__ == "__main__":
    main()
