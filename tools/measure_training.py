"""Train the small network of the first segment with several seeds, and keep what the two chapters say about it.

    python tools/measure_training.py [KIND SEED ...]

With a kind and seeds it trains only these and keeps them in the store, so that the rest can be done elsewhere or later.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from measured import save
from torch import Tensor, nn

from interp import hooks, store, zoo

SIDE = 48
EPOCHS = {"short": 4, "long": 12, "frozen": 4}
SEEDS = {"short": (0, 1, 2, 3), "frozen": (0, 1), "long": (0, 2)}
LAYERS = ("conv1", "conv2", "conv3", "fc1", "fc2")


def main() -> None:
    """Train what is asked for, or everything and write it down."""
    if len(sys.argv) > 1:
        for seed in sys.argv[2:]:
            print(sys.argv[1], seed, store.remember(trained, sys.argv[1], int(seed))["accuracy"], flush=True)
        return
    save(
        "training",
        {kind: {f"{seed}": store.remember(trained, kind, seed) for seed in SEEDS[kind]} for kind in SEEDS},
        how="python tools/measure_training.py",
        on="SimpleCNN at 48 pixels; 4000 scenes to train on, 1000 of each set to measure on; seeds as named (of "
        "weights, training scenes, order, mirroring, dropout); 'short': 4 epochs, 'long': 12, 'frozen': 4 with the "
        "first convolution as it began",
    )


def trained(kind: str, seed: int) -> dict[str, Any]:
    """Train one network and return its accuracies, its weights' moves and what single channels tell."""
    model = zoo.SimpleCNN(zoo.SCENE_CLASSES, seed=seed)
    hooks.find_layer(model, "conv1").requires_grad_(kind != "frozen")
    train = zoo.load_scenes("train", SIDE, seed=seed)
    sets = {name: zoo.load_scenes(name, SIDE) for name in ("val_known", "val")}
    before = {layer: model.get_parameter(f"{layer}.weight").detach().clone() for layer in LAYERS}
    start = {name: accuracy(model, loader) for name, loader in sets.items()}
    history = zoo.train_model(model, train, sets, epochs=EPOCHS[kind], seed=seed, progress=False)
    model.eval()
    return {
        "accuracy": {
            "train": list(history.accuracy["train"]),
            **{name: [start[name], *history.accuracy[name]] for name in sets},
        },
        "train_at_rest": accuracy(model, train),
        **answers(model, sets["val"]),
        "moved": {layer: moved(before[layer], model.get_parameter(f"{layer}.weight")) for layer in LAYERS},
        "cosine": float(turned(before["conv1"], model.get_parameter("conv1.weight")).median()),
        "channels": channels(model, sets),
    }


@torch.no_grad()
def accuracy(model: nn.Module, batches: Any) -> float:
    """Return the share of right answers in evaluation mode."""
    with hooks.evaluating(model):
        right = [model(images).argmax(1) == labels for images, labels in batches]
    return float(torch.cat(right).float().mean())


@torch.no_grad()
def answers(model: nn.Module, batches: Any) -> dict[str, Any]:
    """Return the confusion matrix (true class, answer), and for each unseen cut-out how often it is recognized."""
    guess = torch.cat([model(images).argmax(1) for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    matrix = torch.zeros(10, 10).index_put_((labels, guess), torch.ones(len(labels)), accumulate=True)
    which, counts = things()
    right = torch.tensor(which).bincount((guess == labels).double())
    return {"matrix": matrix.int().tolist(), "rates": (right / torch.tensor(counts)).tolist()}


def things() -> tuple[list[int], list[int]]:
    """Return which of the unseen cut-outs, in the order of their names, each scene shows, and how many show each."""
    names = [scene.main.cutout.name for scene in iter(zoo.Scenes("val", 8, second=0.0, length=1000))]
    order = sorted(set(names))
    return [order.index(name) for name in names], [names.count(name) for name in order]


@torch.no_grad()
def moved(old: Tensor, new: Tensor) -> list[float]:
    """Return the root mean square of a layer's weights at the start, and of how far they went."""
    return [float(old.pow(2).mean().sqrt()), float((new - old).pow(2).mean().sqrt())]


@torch.no_grad()
def turned(old: Tensor, new: Tensor) -> Tensor:
    """Return the cosine of each kernel before and after."""
    return torch.cosine_similarity(old.flatten(1), new.flatten(1))


def channels(model: nn.Module, sets: dict[str, Any]) -> dict[str, list[float]]:
    """Return for each class the channel of pool3 that is best on known cut-outs, and d' on these and on others."""
    known, unseen = (separations(model, sets[name]) for name in ("val_known", "val"))
    best = known.argmax(1)
    rows = torch.arange(10)
    return {
        name: [int(best[c]), float(known[rows, best][c]), float(unseen[rows, best][c])]
        for c, name in enumerate(zoo.SCENE_CLASSES)
    }


def separations(model: nn.Module, batches: Any) -> Tensor:
    """Return d' of each class against all others, for the mean answer of each channel of pool3, as (10, 128)."""
    answer = torch.cat([hooks.activations(model, images, "pool3").mean((2, 3)) for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    found = []
    for c in range(10):
        of, other = answer[labels == c], answer[labels != c]
        found.append((of.mean(0) - other.mean(0)) / ((of.var(0) + other.var(0)) / 2).sqrt())
    return torch.stack(found).nan_to_num()


if __name__ == "__main__":
    main()
