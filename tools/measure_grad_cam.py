"""Measure on seven photographs, and on all pairs of them, what the chapter on Grad-CAM shows on one.

python tools/measure_grad_cam.py
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from measured import save
from torch import Tensor, nn

from interp import attribution, hooks, store, zoo

PHOTOGRAPHS = ("cat", "coffee", "astronaut", "rocket", "motorcycle", "china", "flower")
DEPTH = ("act_stem", *(f"blocks.{b}.act_expand" for b in ("1.1", "2.1", "3.2", "5.0")), "act_head")
NEIGHBORS = ("blocks.6.0", "conv_head", "bn_head", "act_head")
MIDDLE = "blocks.4.2.act_expand"


def main() -> None:
    model = zoo.load_model()
    couples = list(itertools.combinations(PHOTOGRAPHS, 2))
    save(
        "grad_cam",
        {
            "pairs": {f"{a} | {b}": store.remember(pair, model, a, b) for a, b in couples},
            "photographs": {name: store.remember(single, model, name) for name in PHOTOGRAPHS},
        },
        how="python tools/measure_grad_cam.py",
        on=f"EfficientNet-Lite0, {len(PHOTOGRAPHS)} photographs, each asked for its first guess",
    )


def asked(model: nn.Module, *names: str) -> tuple[Tensor, list[int]]:
    """Return photographs and the network's first guess for each, the class that the maps are asked about."""
    images = zoo.example_images(*names)
    with torch.no_grad():
        return images, model(images).argmax(1).tolist()


def pair(model: nn.Module, left: str, right: str) -> dict[str, Any]:
    """Return the share of each map in the half of the photograph that was asked for; the map of the first guess too."""
    images, targets = asked(model, left, right)
    both = torch.cat([images[:1], images[1:]], dim=3).expand(2, -1, -1, -1)
    with torch.no_grad():
        logits = model(both[:1])[0]
    halves = torch.zeros(2, 224, 448, dtype=torch.bool)
    halves[0, :, :224] = halves[1, :, 224:] = True

    def inside(heat: Tensor) -> list[float]:
        return attribution.mass_in_mask(heat, halves).tolist()

    guess = [int(logits.argmax())] * 2
    return {
        "ranks": [int((logits > logits[one]).sum()) for one in targets],
        "saliency": inside(attribution.saliency(model, both, targets)),
        "first guess": inside(attribution.grad_cam(model, both, guess, "act_head")),
        "Grad-CAM": {layer: inside(attribution.grad_cam(model, both, targets, layer)) for layer in DEPTH},
        "LayerCAM": {layer: inside(attribution.layer_cam(model, both, targets, layer)) for layer in DEPTH},
        "conv_head": inside(attribution.grad_cam(model, both, targets, "conv_head")),
    }


def single(model: nn.Module, name: str) -> dict[str, Any]:
    """Return how the neighbors of the last activation differ, how the family does, and what a place has seen."""
    images, (target,) = asked(model, name)
    heats = {layer: attribution.grad_cam(model, images, target, layer) for layer in NEIGHBORS}
    families = {layer: attribution.cam_family(model, images, target, layer) for layer in ("act_head", MIDDLE)}
    found = hooks.activations(model, images, "act_head")[0]
    places = torch.einsum("k,khw->hw", model.get_parameter("classifier.weight")[target].detach(), found)
    other = attribution.grad_cam(model, images, "goldfish", "act_head").max() / heats["act_head"].max()
    return {
        "above half": {layer: (heat > heat.max() / 2).float().mean().item() for layer, heat in heats.items()},
        "between neighbors": {f"{a} / act_head": alike(heats[a], heats["act_head"]) for a in NEIGHBORS[:-1]},
        "family": {
            layer: {kind: alike(family["Grad-CAM"], heat) for kind, heat in family.items()}
            for layer, family in families.items()
        },
        "places against": (places < 0).float().mean().item(),
        "goldfish": other.item(),
        "seen": seen(model, images),
    }


def seen(model: nn.Module, images: Tensor) -> dict[str, float]:
    """Return the share of the gradient of the middle place of act_head that lies in a square of so many pixels."""
    x = images.clone().requires_grad_()
    with hooks.record(model, ["act_head"]) as found:
        model(x)
    (gradient,) = torch.autograd.grad(found["act_head"][0, :, 3, 3].sum(), x)
    strength = gradient[0].abs().sum(0)
    return {
        str(side): (strength[112 - side // 2 : 112 + side // 2, 112 - side // 2 : 112 + side // 2].sum()
                    / strength.sum()).item()
        for side in (32, 96, 192)
    }  # fmt: skip


def alike(first: Tensor, second: Tensor) -> float:
    return attribution.rank_correlation(first, second).item()


if __name__ == "__main__":
    main()
