"""Measure classes and channels across the networks at hand: book/_data/measured/model_zoo.json.

    python tools/measure_model_zoo.py

Twelve classes, two starts, three networks: pictures for the logit, the probability and its logarithm, judged by all
three. What has run is in the store.
"""

from __future__ import annotations

import os

import torch
from measured import save
from torch import Tensor, nn

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
DEVICE = os.environ.get("MEASURE_ON", "cpu")  # or "cuda"
torch.backends.cudnn.allow_tf32 = False  # all 24 bits on a GPU, too


def probability(index: int) -> fv.Objective:
    """Return the objective that lucent's notebook has after a softmax: the probability of one class."""
    return fv.of_layer(fv.OUTPUT, lambda logits: logits.softmax(dim=1)[:, index], f"probability:{index}")


def log_probability(index: int) -> fv.Objective:
    """Return the logarithm of the probability of one class, which pushes the rivals down and never stops pulling."""
    return fv.of_layer(fv.OUTPUT, lambda logits: logits.log_softmax(dim=1)[:, index], f"log:{index}")


WAYS = {"logit": fv.logit, "probability": probability, "log": log_probability}


def pictures(network: str, way: str, indices: tuple[int, ...], seed: int) -> Tensor:
    """Return one picture a class (N, 3, SIZE, SIZE)."""
    wanted = [WAYS[way](index) for index in indices]
    many = fv.render_many(loaded(network), wanted, steps=STEPS, size=SIZE, seed=seed)
    return torch.cat([rendering.images.cpu() for rendering in many])


def loaded(network: str) -> nn.Module:
    """Return a network on the device that measures."""
    return zoo.load_model(network).to(DEVICE)


@torch.no_grad()
def judged(network: str, images: Tensor, indices: Tensor) -> dict[str, list[float]]:
    """Return what a network says of one picture a class.

    Its logit, the mean of the others, their logsumexp (what the softmax sets against the logit), the highest of them,
    the probability, its logarithm, and the rank.
    """
    eights = [images[n : n + 8] for n in range(0, len(images), 8)]
    logits = torch.cat([loaded(network)(batch.to(DEVICE)).cpu() for batch in eights])
    own = logits.gather(1, indices[:, None])[:, 0]
    rivals = logits.scatter(1, indices[:, None], -torch.inf)
    return {
        "logit": own.tolist(),
        "others": ((logits.sum(dim=1) - own) / (logits.shape[1] - 1)).tolist(),
        "rivals": rivals.logsumexp(dim=1).tolist(),
        "highest": rivals.amax(dim=1).tolist(),
        "probability": logits.softmax(dim=1).gather(1, indices[:, None])[:, 0].tolist(),
        "log": logits.double().log_softmax(dim=1).gather(1, indices[:, None])[:, 0].tolist(),
        "rank": (logits > own[:, None]).sum(dim=1).tolist(),
    }


def main() -> None:
    """Measure and write."""
    names = zoo.imagenet_class_names()
    indices = tuple(names.index(name) for name in CLASSES)
    rows = []
    for network in NETWORKS:
        for way in WAYS:
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
