"""Measure on seven photographs what the chapter on saliency shows on one.

python tools/measure_saliency.py
"""

from __future__ import annotations

from typing import Any, cast

import torch
from measured import save
from torch import Tensor, nn

from interp import attribution, folding, store, zoo

PHOTOGRAPHS = ("cat", "coffee", "astronaut", "rocket", "motorcycle", "china", "flower")
GRAY_LEVEL = 1 / 255
NOISE, SEEDS = 0.02, (0, 1)
STEPS = (20, 50, 100, 200)  # equal steps; the last is a multiple of each
COPIES = (4, 32)  # of SmoothGrad
SQUARE = 16  # pixels, for maps whose grain is averaged away


def main() -> None:
    model = folding.fold(zoo.load_model())
    results = {
        name: {part.__name__: store.remember(part, model, name) for part in (first, noisy, agreement, path)}
        for name in PHOTOGRAPHS
    }
    save(
        "saliency",
        {"photographs": results},
        how="python tools/measure_saliency.py",
        on=f"EfficientNet-Lite0, {len(PHOTOGRAPHS)} photographs, each asked for its first guess; seeds {SEEDS}",
    )


def asked(model: nn.Module, name: str) -> tuple[Tensor, int]:
    """Return a photograph and the network's first guess, the class that all maps are asked about."""
    image = zoo.example_images(name)
    with torch.no_grad():
        return image, int(model(image).argmax())


def first(model: nn.Module, name: str) -> dict[str, Any]:
    """Return what a step of one gray level along the gradient's sign promises and what it does."""
    image, target = asked(model, name)
    x = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, target], x)
    moved = torch.cat([image, image + GRAY_LEVEL * gradient.sign(), image + GRAY_LEVEL / 4 * gradient.sign()])
    with torch.no_grad():
        logits = model(moved)
    score, chance = logits[:, target], logits.softmax(1)[:, target]
    promised = GRAY_LEVEL * gradient.abs().sum().item()
    return {
        "class": cast(Any, model).class_names[target],
        "share of the promise": ((score[1] - score[0]) / promised).item(),
        "share at a quarter": ((score[2] - score[0]) / (promised / 4)).item(),
        "probability before and after": chance[:2].tolist(),
    }


def noisy(model: nn.Module, name: str) -> dict[str, Any]:
    """Return the rank correlation of each map with itself on the photograph with faint noise, one number a seed."""
    image, target = asked(model, name)
    clean = maps(model, image, target)
    copies = [add_noise(image, seed) for seed in SEEDS]
    with torch.no_grad():
        chance = model(torch.cat([image, *copies])).softmax(1)
    changed = [maps(model, copy, target) for copy in copies]
    floor = {method: [alike(heat, other[method]) for other in changed] for method, heat in clean.items()}
    return {
        "rank correlation": floor,
        "probability": chance[:, target].tolist(),
        "same guess": (chance.argmax(1) == target).tolist(),
        "between methods": pairs(clean, lambda heat: heat),
        "between methods, in squares": pairs(clean, squares),
        "in squares": {
            method: [alike(squares(heat), squares(other[method])) for other in changed]
            for method, heat in clean.items()
        },
    }


def agreement(model: nn.Module, name: str) -> dict[str, float]:
    """Return how much SmoothGrad agrees with itself for other noise, for few and for many copies."""
    image, target = asked(model, name)
    found: dict[str, float] = {}
    for copies in COPIES:
        runs = [
            attribution.smooth_grad(model, image, target, samples=copies, seed=seed) for seed in (100, 101)
        ]
        found[str(copies)] = alike(*runs)
    return found


def path(model: nn.Module, name: str) -> dict[str, Any]:
    """Return how the score grows on the way from gray, and how well sums over the way keep the rule."""
    image, target = asked(model, name)
    scores, slopes = slopes_on_the_way(model, image, target)
    whole = (scores[-1] - scores[0]).item()
    equal = {str(n): abs(trapezoid(slopes[:: STEPS[-1] // n]) / whole - 1) for n in STEPS}
    chosen = attribution.integrate(model, image, target)
    return {
        "score": scores[:: STEPS[-1] // 20].tolist(),
        "last slope": slopes[-1].item() / whole,
        "error of equal steps": equal,
        "adaptive": [int(chosen.gradients), chosen.error.item()],
    }


def slopes_on_the_way(model: nn.Module, image: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Return the score and its slope at equally spaced points of the straight way from gray to the photograph."""
    scores, slopes = [], []
    for some in torch.linspace(0, 1, STEPS[-1] + 1).split(16):
        x = (0.5 + some.view(-1, 1, 1, 1) * (image - 0.5)).requires_grad_()
        score = model(x)[:, target]
        (gradient,) = torch.autograd.grad(score.sum(), x)
        scores.append(score.detach())
        slopes.append((gradient * (image - 0.5)).sum((1, 2, 3)))
    return torch.cat(scores), torch.cat(slopes)


def trapezoid(slopes: Tensor) -> float:
    return ((slopes[1:] + slopes[:-1]).sum() / 2 / (len(slopes) - 1)).item()


def maps(model: nn.Module, image: Tensor, target: int) -> dict[str, Tensor]:
    """Return the chapter's five maps, without signs."""
    return {
        "saliency": attribution.saliency(model, image, target),
        "SmoothGrad": attribution.smooth_grad(model, image, target, samples=16),
        "input x gradient": attribution.input_x_gradient(model, image, target).abs(),
        "integrated gradients": attribution.integrate(model, image, target).heat.abs(),
        "guided backpropagation": attribution.guided_backprop(model, image, target),
    }


def add_noise(image: Tensor, seed: int) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + NOISE * noise).clamp(0, 1)


def squares(heat: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(heat[:, None], SQUARE)[:, 0]


def alike(first: Tensor, second: Tensor) -> float:
    return attribution.rank_correlation(first, second).item()


def pairs(heats: dict[str, Tensor], view: Any) -> dict[str, float]:
    names = list(heats)
    return {
        f"{a} / {b}": alike(view(heats[a]), view(heats[b]))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }


if __name__ == "__main__":
    main()
