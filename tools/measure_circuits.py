"""Measure what the tests of "Circuits" find in disordered networks, and all channels of the circuit's layer.

    python tools/measure_circuits.py

Probes, tests and circuit are the page's own: its cells with the tag `shared` are run here.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from measured import save
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT)]

import executed  # noqa: E402

PAGE = ROOT / "book" / "segment-2" / "circuits.md"
NETWORKS, DEALS, PLACES, NOISES = 6, 200, 100, 6


def of_the_page() -> dict[str, Any]:
    """Return the names that the page's shared cells define."""
    names: dict[str, Any] = {}
    for cell in executed.code_cells(executed.read(PAGE)):
        if "shared" in cell.metadata.get("tags", []):
            exec(compile(cell.source, str(PAGE), "exec"), names)
    return names


@torch.no_grad()
def disordered(model: nn.Module, photographs: Tensor, seed: int) -> nn.Module:
    """Return a network with the weights of each convolution in random order, its batch norm measured anew."""
    network, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            weight = part.weight.flatten()
            part.weight.copy_(weight[torch.randperm(len(weight), generator=generator)].view_as(part.weight))
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
            part.train()
    network(photographs)
    return network.eval()


def counts(page: dict[str, Any], one: Any, two: Any, test: Any) -> list[int]:
    """Return how many units the first set chooses, how many pass both, and how many the second would choose."""
    a, b = page["passing"](one, *test), page["passing"](two, *test)
    return [int(a.sum()), int((a & b).sum()), int(b.sum())]


def family(page: dict[str, Any], network: nn.Module, name: str) -> tuple[Any, Any, Any]:
    """Return a network's answers to the two sets of a family, and its test."""
    layer, one, two, *test = page["families"][name]
    scale = page["usual"](network, layer)
    return *(page["answers"](network, probes, layer, scale) for probes in (one, two)), test


def noises(page: dict[str, Any], network: nn.Module) -> list[int]:
    """Return how many high-low units are confirmed with each of several pictures of noise."""
    layer, one, _, *test = page["families"]["high beside low"]
    scale = page["usual"](network, layer)
    hits = page["passing"](page["answers"](network, one, layer, scale), *test)
    results = []
    for seed in range(NOISES):
        again = page["passing"](page["answers"](network, page["noise"](seed=seed), layer, scale), *test)
        results.append(int((hits & again).sum()))
    return results


def dealt(page: dict[str, Any]) -> list[list[int]]:
    """Return the counts of curve units when the names of the probes are dealt anew."""
    first, second, test = family(page, page["model"], "curves")
    generator, results = torch.Generator().manual_seed(0), []
    for _ in range(DEALS):
        order = torch.randperm(sum(map(len, first.values())), generator=generator)
        again = [
            dict(zip(found, torch.cat(list(found.values()))[order].split(16), strict=True))
            for found in (first, second)
        ]
        results.append(counts(page, again[0], again[1], test))
    return results


def circuit(page: dict[str, Any]) -> dict[str, list[float]]:
    """Return, for each channel of blocks.4.0, its answer to rings, and how its inputs give it."""
    results: dict[str, list[float]] = {}
    scale = page["usual"](page["model"], "blocks.4.0")
    for name in ("choose", "confirm"):
        found = page["answers"](page["model"], page[name], "blocks.4.0", scale)
        ring, *rivals = (
            found[shape][:, :112].amax(0) for shape in ("ring", "arc", "segment", "corner", "dot")
        )
        results[f"z_{name}"] = ring.tolist()
        results[f"margin_{name}"] = (ring - torch.stack(rivals).amax(0)).tolist()
    mean3, reply = page["mean3"], page["reply"]
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(25, generator=generator) for _ in range(PLACES)]
    for unit in range(112):
        patch, drops, *kernels = page["wires"](unit)
        for name, kernel in zip(("expanded", "gradient"), kernels, strict=True):
            sketch = (kernel * (patch - mean3)).sum((1, 2))
            results.setdefault(name, []).append(page["correlation"](drops, sketch))
        main = drops.topk(6).indices.tolist()
        kept = mean3.expand(80, 5, 5).clone()
        kept[main] = patch[main]
        here, rest, none = (reply(x[None])[0, unit] for x in (patch, kept, mean3.expand(80, 5, 5)))
        deals = reply(torch.stack([patch.flatten(1)[:, o].view(80, 5, 5) for o in orders]))[:, unit]
        local = kernels[1][main]
        cancels = 1 - local.sum((1, 2)).abs() / local.abs().sum((1, 2)).clamp(min=1e-9)
        for name, value in {
            "left": (rest - none) / (here - none),
            "z_here": (here - page["mean4"][unit]) / page["std4"][unit],
            "z_elsewhere": ((deals - page["mean4"][unit]) / page["std4"][unit]).mean(),
            "cancels": cancels.mean(),
        }.items():
            results.setdefault(name, []).append(value.item())
    return results


def main() -> None:
    page = of_the_page()
    model = page["model"]
    channels = circuit(page)
    order = sorted(range(112), key=lambda u: -channels["z_choose"][u])
    print("by z", order[:8], order.index(87), flush=True)
    order = sorted(range(112), key=lambda u: -channels["margin_choose"][u])
    print("by margin", order[:8], order.index(87), {k: v[87] for k, v in channels.items()}, flush=True)
    found: dict[str, Any] = {"dealt": dealt(page)}
    for name in page["families"]:
        found[name] = {"trained": counts(page, *family(page, model, name)), "disordered": []}
        print(name, found[name]["trained"], flush=True)
    found["noises"] = {"trained": noises(page, model), "disordered": []}
    for seed in range(NETWORKS):
        network = disordered(model, page["photographs"], seed)
        for name in page["families"]:
            found[name]["disordered"].append(counts(page, *family(page, network, name)))
        found["noises"]["disordered"].append(noises(page, network))
        print(seed, found["noises"], [found[name]["disordered"][-1] for name in page["families"]], flush=True)
    save(
        "circuits",
        {"families": found, "channels": channels},
        how="python tools/measure_circuits.py",
        on="EfficientNet-Lite0 and six networks with its weights in random order (seeds 0 to 5), "
        "two sets of probes a family, six pictures of noise (seeds 0 to 5), all 112 channels of blocks.4.0 at a ring",
    )


if __name__ == "__main__":
    main()
