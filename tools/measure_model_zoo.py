"""Measure classes and channels across the networks at hand: book/_data/measured/model_zoo.json.

    python tools/measure_model_zoo.py

Twelve classes, two starts, three networks: pictures for the logit and for the probability, judged by all three. What
has run is in the store.
"""

from __future__ import annotations

import torch
from measured import save
from torch import Tensor

from interp import featurevis as fv
from interp import store, zoo

NETWORKS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
CLASSES = (
    "daisy",
    "goldfish",
    "tabby",
    "espresso",
    "cock",
    "zebra",
    "school bus",
    "acoustic guitar",
    "monarch",
    "volcano",
    "strawberry",
    "typewriter keyboard",
)
SEEDS = (0, 1)
SIZE, STEPS = 128, 96


def probability(index: int) -> fv.Objective:
    """Return the objective that lucent's notebook has after a softmax: the probability of one class."""
    return fv.of_layer(fv.OUTPUT, lambda logits: logits.softmax(dim=1)[:, index], f"probability:{index}")


def pictures(network: str, way: str, indices: tuple[int, ...], seed: int) -> Tensor:
    """Return one picture a class (N, 3, SIZE, SIZE)."""
    make = fv.logit if way == "logit" else probability
    wanted = [make(index) for index in indices]
    many = fv.render_many(zoo.load_model(network), wanted, steps=STEPS, size=SIZE, seed=seed)
    return torch.cat([rendering.images for rendering in many])


@torch.no_grad()
def judged(network: str, images: Tensor, indices: Tensor) -> dict[str, list[float]]:
    """Return what a network says of one picture a class: logit, mean of the others, probability, rank."""
    logits = torch.cat([zoo.load_model(network)(batch) for batch in images.split(8)])
    own = logits.gather(1, indices[:, None])[:, 0]
    others = (logits.sum(dim=1) - own) / (logits.shape[1] - 1)
    return {
        "logit": own.tolist(),
        "others": others.tolist(),
        "probability": logits.softmax(dim=1).gather(1, indices[:, None])[:, 0].tolist(),
        "rank": (logits > own[:, None]).sum(dim=1).tolist(),
    }


def main() -> None:
    """Measure and write."""
    names = zoo.imagenet_class_names()
    indices = tuple(names.index(name) for name in CLASSES)
    rows = []
    for network in NETWORKS:
        for way in ("logit", "probability"):
            for seed in SEEDS:
                images = store.remember(pictures, network, way, indices, seed)
                for judge in NETWORKS if way == "logit" else (network,):
                    found = judged(judge, images, torch.tensor(indices))
                    rows.append({"network": network, "way": way, "seed": seed, "judge": judge, **found})
                print(network, way, seed, flush=True)
    on = f"{len(CLASSES)} classes, the networks {', '.join(NETWORKS)}, seeds {SEEDS}, {STEPS} steps at {SIZE} pixels"
    save(
        "model_zoo", {"classes": list(CLASSES), "rows": rows}, how="python tools/measure_model_zoo.py", on=on
    )


if __name__ == "__main__":
    main()
