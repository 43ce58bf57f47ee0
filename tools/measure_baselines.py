"""Train what the small network of the first segment is compared with: no convolutions, no neighbors, fewer scenes.

The network itself is the one of measure_training.py, kind "short".

    python tools/measure_baselines.py [KIND SEED ...]

With a kind and seeds it trains only these and keeps them in the store, so that the rest can be done elsewhere or later.
The kind "not mirrored" is trained only when it is named.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from measure_training import SIDE, accuracy
from measured import save
from torch import Tensor, nn

from interp import store, zoo
from interp.zoo.training import mirror

SEEDS = (0, 1, 2)
# With these the network without convolutions has as many weights as SimpleCNN, to two thousandths.
HIDDEN = 99
FEW, MANY = 640, 4000  # scenes to train on
KINDS = {  # kind: scenes, epochs, mirrored
    "no convolutions": (MANY, 4, True),
    "pixels in another order": (MANY, 4, False),
    "not mirrored": (MANY, 4, False),
    "few scenes": (FEW, 25, True),
    "few scenes, not mirrored": (FEW, 25, False),
}
KEPT = ("no convolutions", "pixels in another order", "few scenes", "few scenes, not mirrored")


def main() -> None:
    """Train what is asked for, or everything and write it down."""
    if len(sys.argv) > 1:
        for seed in sys.argv[2:]:
            print(sys.argv[1], seed, store.remember(trained, sys.argv[1], int(seed)), flush=True)
        return
    save(
        "baselines",
        {kind: {f"{seed}": store.remember(trained, kind, seed) for seed in SEEDS} for kind in KEPT},
        how="python tools/measure_baselines.py",
        on="networks of 685,000 weights at 48 pixels; 4000 scenes four times, or 640 scenes 25 times; 1000 of each set "
        "to measure on; seeds of weights, training scenes, order, mirroring, dropout, and of the pixels' order",
    )


def trained(kind: str, seed: int) -> dict[str, Any]:
    """Train one network and return its weights' number and its accuracies at rest at the end."""
    scenes, epochs, mirrored = KINDS[kind]
    model = network(kind, seed)
    train = zoo.load_scenes("train", SIDE, seed=seed, length=scenes)
    sets = {name: zoo.load_scenes(name, SIDE) for name in ("val_known", "val")}
    zoo.train_model(
        model, train, epochs=epochs, augment=mirror if mirrored else None, seed=seed, progress=False
    )
    model.eval()
    found = {name: accuracy(model, batches) for name, batches in {"train": train, **sets}.items()}
    return {"weights": sum(weight.numel() for weight in model.parameters()), **found}


def network(kind: str, seed: int) -> nn.Module:
    """Return the network of a kind, before training."""
    if kind.startswith("no convolutions"):
        return plain(seed)
    model = zoo.SimpleCNN(zoo.SCENE_CLASSES, seed=seed)
    return nn.Sequential(Reordered(seed), model) if kind.endswith("another order") else model


class Reordered(nn.Module):
    """Puts the pixels of every image in one and the same random order."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.order = torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(seed))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(2)[..., self.order].view_as(images)


def plain(seed: int) -> nn.Sequential:
    """Return two linear layers with what stands between those of SimpleCNN, and a batch norm."""
    like = zoo.SimpleCNN(zoo.SCENE_CLASSES, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            like.get_submodule("normalize"),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(3 * SIDE**2, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(HIDDEN, len(zoo.SCENE_CLASSES)),
        )


if __name__ == "__main__":
    main()
