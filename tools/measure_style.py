"""Measure style transfer: how near results come to a style and stay to a content, and what a second network says.

python tools/measure_style.py             the numbers, six minutes on one core
python tools/measure_style.py pictures    the results of 256 pixels in book/_data, one minute
"""

from __future__ import annotations

import sys
import warnings

import torch
from measured import save, save_sheet
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image, store, zoo

STYLE, CONTENT = ("blocks.0.0", "blocks.1.1", "blocks.2.1", "blocks.3.2"), "blocks.3.2"
PHOTOGRAPHS, STYLES = ("cat", "coffee", "rocket", "flower"), ("brick", "tissue", "galaxies", "channel")
SIZE, STEPS, RATE, SEED, WEIGHT = 128, 64, 0.05, 0, 0.2
DIAL = (0.05, 0.2, 0.8, 3.2)
CHANNEL = ("blocks.3.2", 42)


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model = zoo.load_model().requires_grad_(False)
    if "pictures" in sys.argv:
        return pictures(model)
    judge = zoo.load_model("efficientnet_lite1").requires_grad_(False)
    pairs = [
        {"of": photograph, "like": style} | pair(model, judge, photograph, style, WEIGHT)
        for style in STYLES
        for photograph in PHOTOGRAPHS
    ]
    dial = [
        {"of": photograph, "like": style, "weight": weight} | of_dial(model, photograph, style, weight)
        for photograph, style in zip(PHOTOGRAPHS, STYLES, strict=True)
        for weight in DIAL
    ]
    save(
        "style",
        {"size": SIZE, "steps": STEPS, "weight": WEIGHT, "pairs": pairs, "dial": dial},
        how="python tools/measure_style.py",
        on=f"zoo.load_model(), judged by itself and by efficientnet_lite1; {len(PHOTOGRAPHS)} photographs, "
        f"{len(STYLES)} styles, seed {SEED}",
    )
    return None


def square(name: str, size: int = SIZE) -> Tensor:
    """Return the largest square in the middle of a photograph, (1, 3, size, size)."""
    whole = zoo.photograph(name)
    return image.resize(image.center_crop(whole, min(whole.shape[-2:])), (size, size))


def texture(model: nn.Module, name: str, size: int = SIZE) -> Tensor:
    """Return a style, (1, 3, size, size): a photograph, or this project's own rendering of a channel."""
    if name != "channel":
        return square(name, size)
    return store.remember(rendering, model, size)


def rendering(model: nn.Module, size: int) -> Tensor:
    return fv.render(model, fv.channel(*CHANNEL), size=size, steps=96, seed=SEED).images


def content(photograph: Tensor, layer: str = CONTENT) -> fv.Objective:
    """Return minus the squared distance from a photograph's activations, relative to these, as the chapter does."""

    def near(found: Tensor, wanted: Tensor) -> Tensor:
        return -(found - wanted).square().flatten(1).sum(1) / wanted.square().flatten(1).sum(1)

    return fv.of_pair(layer, near, photograph, f"{layer}:content")


def styled(
    model: nn.Module, photograph: Tensor, look: Tensor, weight: float, *, noise: bool = False
) -> Tensor:
    """Return a photograph in another style, (1, 3, H, W), as the chapter does.

    Args:
        weight: of the content.
        noise: whether to start from noise; if not, from the photograph.
    """
    wish = sum(fv.style(layer, hooks.activations(model, look, layer)) for layer in STYLE) / len(STYLE)
    wish = wish + weight * content(photograph)
    size = photograph.shape[-1]
    start = fv.FourierImage(size) if noise else fv.FourierImage.of(photograph)
    moves = (fv.jitter(4),)
    return fv.render(
        model, wish, start, size=size, steps=[fv.Stage(size, STEPS)], transforms=moves, rate=RATE, seed=SEED
    ).images


def recolored(photograph: Tensor, look: Tensor) -> Tensor:
    """Return the photograph with the mean and the covariance of another one's colors: the control."""
    colors, wanted = photograph.flatten(2)[0], look.flatten(2)[0]

    def root(values: Tensor, power: float) -> Tensor:
        length, axes = torch.linalg.eigh(torch.cov(values) + 1e-5 * torch.eye(3))
        return axes @ torch.diag(length.pow(power)) @ axes.T

    mixed = root(wanted, 0.5) @ root(colors, -0.5) @ (colors - colors.mean(1, keepdim=True))
    return (mixed + wanted.mean(1, keepdim=True)).clamp(0, 1).reshape(photograph.shape)


def far(model: nn.Module, images: Tensor, look: Tensor, layers: tuple[str, ...] = STYLE) -> float:
    """Return the distance from a style, mean of the layers: 0 is the same, 1 as far as all zeros."""
    found = [
        -fv.style(layer, hooks.activations(model, look, layer))(
            {layer: hooks.activations(model, images, layer)}
        )
        for layer in layers
    ]
    return torch.stack(found).mean().item()


def moved(model: nn.Module, images: Tensor, photograph: Tensor, layer: str = CONTENT) -> float:
    """Return the distance from a photograph's content: 0 is the same, 1 as far as all zeros."""
    found, wanted = (hooks.activations(model, each, layer) for each in (images, photograph))
    return ((found - wanted).square().sum() / wanted.square().sum()).item()


def pair(
    model: nn.Module, judge: nn.Module, photograph: str, style: str, weight: float
) -> dict[str, dict[str, float]]:
    one, look = square(photograph), texture(model, style)
    shown = {
        "photograph": one,
        "recolored": recolored(one, look),
        "style": look,
        "no content": store.remember(styled, model, one, look, 0.0),
        "from noise": store.remember(styled, model, one, look, weight, noise=True),
        "result": store.remember(styled, model, one, look, weight),
    }
    return {
        name: {
            "style": far(model, images, look),
            "content": moved(model, images, one),
            "judge style": far(judge, images, look),
            "judge content": moved(judge, images, one),
        }
        for name, images in shown.items()
    }


def of_dial(model: nn.Module, photograph: str, style: str, weight: float) -> dict[str, float]:
    one, look = square(photograph), texture(model, style)
    images = store.remember(styled, model, one, look, weight)
    return {"style": far(model, images, look), "content": moved(model, images, one)}


def pictures(model: nn.Module) -> None:
    photographs = [square(name, 256) for name in ("cat", "coffee")]
    looks = [texture(model, name, 256) for name in ("tissue", "channel")]
    made = [torch.cat([look, *(styled(model, one, look, WEIGHT) for one in photographs)]) for look in looks]
    save_sheet("styled", [torch.cat([torch.ones_like(looks[0]), *photographs]), *made])


if __name__ == "__main__":
    main()
