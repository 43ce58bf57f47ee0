"""Try what the package does on many architectures with random weights, and keep what came of it as a table.

    python tools/compatibility.py [--only NAME,...]

A cell of the table is "works" only if the numbers agree with a calculation of this file that uses torch alone:
gradients by autograd, activations by a hook of its own, channels at the places where the architecture's code says they
are. Where the package refuses, the cell is the first sentence of its error. Anything else is a fault: it is printed,
and the exit status is 1. Without --only the table in book/_data/compatibility.json is written.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import measured
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import attribution, runs, spectrum, zoo
from interp import featurevis as fv
from interp.errors import InterpError
from interp.microscope.site import build

FILE = Path(__file__).resolve().parents[1] / "book" / "_data" / "compatibility.json"
CLASSES, WANTED = 10, 1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WORKS = "works"
PICTURES, K = 10, 3
STEPS, RATE = (
    6,
    0.003,
)  # of renderings: short enough that the score of a network that has learned nothing rises
TOLERANCE = 2e-3  # of the largest number: rounding in another order, far less than a wrong channel makes
Held = str | int  # "first", "last", or how many tokens stand before those of the grid


class FaultError(Exception):
    """The package gave numbers that are not those of the calculation here."""


@dataclass(frozen=True)
class Network:
    """An architecture, and what its own code says of two of its layers.

    Attributes:
        family: of architectures.
        make: gives it with random weights.
        layer: with positions, far behind, for maps, renderings and spectra; and how it holds its channels.
        early: a layer for the microscope; and how it holds its channels.
        side: of the images in pixels.
        last: the last block as a whole, which a reader would try first, where it is not that layer.
        score: what is explained: a class, or a function of the output where that is no table of classes.
        normalized: whether the mean and standard deviation are put in front; not where the network does that itself.
    """

    family: str
    make: Callable[[], nn.Module]
    layer: tuple[str, Held]
    early: tuple[str, Held]
    side: int = 64
    last: tuple[str, Held] | None = None
    score: int | Callable[[Any], Tensor] = WANTED
    normalized: bool = True


# ------------------------------------------------------------------------------------------------------------
# The networks


def torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    """Return what makes a network of torchvision with random weights."""

    def make() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None, **{"num_classes": CLASSES, **options})

    return make


def timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    """Return what makes a network of timm with random weights."""

    def make() -> nn.Module:
        from timm import create_model

        return create_model(name, pretrained=False, num_classes=CLASSES, **options)

    return make


def of_pixels(output: Any) -> Tensor:
    """Return a class's mean over the pixels of a segmentation."""
    return output["out"][:, WANTED].mean(dim=(1, 2))


def of_boxes(output: Any) -> Tensor:
    """Return the sum of the scores of all boxes that a detector finds."""
    return torch.stack([found["scores"].sum() for found in output])


CONV, LAST = "Convolutional", "Convolutional, channels last"
WINDOWS, TOKENS = "Transformer on windows", "Vision transformer"
ELSE, TASK = "Mixed", "Not a classifier"
NETWORKS: Mapping[str, Network] = {
    "torchvision resnet18": Network(CONV, torchvision("resnet18"), ("layer4", "first"), ("layer1", "first")),
    "torchvision vgg11": Network(
        CONV, torchvision("vgg11"), ("features.18", "first"), ("features.3", "first")
    ),
    "torchvision densenet121": Network(
        CONV, torchvision("densenet121"), ("features.norm5", "first"), ("features.conv0", "first")
    ),
    "torchvision mobilenet_v3_small": Network(
        CONV, torchvision("mobilenet_v3_small"), ("features.12", "first"), ("features.1", "first")
    ),
    "torchvision efficientnet_b0": Network(
        CONV, torchvision("efficientnet_b0"), ("features.8", "first"), ("features.1", "first")
    ),
    "torchvision regnet_y_400mf": Network(
        CONV, torchvision("regnet_y_400mf"), ("trunk_output", "first"), ("stem", "first")
    ),
    "torchvision shufflenet_v2_x0_5": Network(
        CONV, torchvision("shufflenet_v2_x0_5"), ("conv5", "first"), ("stage2", "first")
    ),
    "torchvision inception_v3": Network(
        CONV,
        torchvision("inception_v3", init_weights=False),
        ("Mixed_7c", "first"),
        ("Conv2d_1a_3x3", "first"),
        side=128,
    ),
    "torchvision googlenet": Network(
        CONV, torchvision("googlenet", init_weights=False), ("inception5b", "first"), ("conv2", "first")
    ),
    "timm resnet26d": Network(CONV, timm("resnet26d"), ("layer4", "first"), ("conv1", "first")),
    "timm tf_efficientnet_lite0": Network(
        CONV, timm("tf_efficientnet_lite0"), ("conv_head", "first"), ("blocks.0", "first")
    ),
    "timm convmixer_768_32": Network(
        CONV, timm("convmixer_768_32"), ("blocks.31", "first"), ("stem", "first"), side=56
    ),
    "torchvision convnext_tiny": Network(
        LAST, torchvision("convnext_tiny"), ("features.7.2.block.2", "last"), ("features.1", "first")
    ),
    "timm convnext_atto": Network(
        LAST, timm("convnext_atto"), ("stages.3.blocks.1.norm", "first"), ("stages.0", "first")
    ),
    "torchvision swin_t": Network(
        WINDOWS, torchvision("swin_t"), ("features.7", "last"), ("features.1", "last")
    ),
    "timm swin_tiny_patch4_window7_224": Network(
        WINDOWS,
        timm("swin_tiny_patch4_window7_224", img_size=112),
        ("layers.2", "last"),
        ("layers.0", "last"),
        side=112,
    ),
    "torchvision vit_b_16": Network(
        TOKENS,
        torchvision("vit_b_16", image_size=64),
        ("encoder.layers.encoder_layer_11.ln_1", 1),
        ("conv_proj", "first"),
        last=("encoder.layers.encoder_layer_11", 1),
    ),
    "timm vit_tiny_patch16_224": Network(
        TOKENS,
        timm("vit_tiny_patch16_224", img_size=64),
        ("blocks.11.norm1", 1),
        ("blocks.0", 1),
        last=("blocks.11", 1),
    ),
    "timm deit_tiny_distilled_patch16_224": Network(
        TOKENS,
        timm("deit_tiny_distilled_patch16_224", img_size=64),
        ("blocks.11.norm1", 2),
        ("blocks.0", 2),
        last=("blocks.11", 2),
    ),
    "timm mixer_s32_224": Network(
        ELSE, timm("mixer_s32_224", img_size=128), ("blocks.7", 0), ("blocks.0", 0), side=128
    ),
    "torchvision maxvit_t": Network(
        ELSE,
        torchvision("maxvit_t", input_size=(224, 224)),
        ("blocks.3", "first"),
        ("blocks.0", "first"),
        side=224,
    ),
    "timm mobilevit_xxs": Network(
        ELSE, timm("mobilevit_xxs"), ("final_conv", "first"), ("stages.0", "first")
    ),
    "torchvision deeplabv3_mobilenet_v3_large": Network(
        TASK,
        torchvision("deeplabv3_mobilenet_v3_large", weights_backbone=None),
        ("classifier.0", "first"),
        ("backbone.1", "first"),
        score=of_pixels,
    ),
    "torchvision fasterrcnn_mobilenet_v3_large_320_fpn": Network(
        TASK,
        torchvision(
            "fasterrcnn_mobilenet_v3_large_320_fpn", weights_backbone=None, min_size=96, box_score_thresh=0.0
        ),
        ("backbone.fpn.layer_blocks.0", "first"),
        ("backbone.body.1", "first"),
        side=96,
        score=of_boxes,
        normalized=False,
    ),
}


# ------------------------------------------------------------------------------------------------------------
# A network with its own calculations


def pictures(side: int) -> Tensor:
    """Return scenes, (PICTURES, 3, side, side)."""
    scenes = zoo.Scenes("all", side, length=PICTURES)
    found = torch.stack([scenes[index].image for index in range(PICTURES)])
    # Where an image is uniform, the maxima of a pooling are ties, and its gradient is a matter of rounding.
    return 0.9 * found + 0.1 * torch.rand(found.shape, generator=torch.Generator().manual_seed(0))


class Case:
    """One network, and everything about it that is computed here without the package."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.images = pictures(network.side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = awake(network.make(), self.whitened(self.images))
        self.model = zoo.normalized(self.net, MEAN, STD) if network.normalized else self.net
        self.source = spectrum.Items(list(self.images), "scenes")

    def whitened(self, images: Tensor) -> Tensor:
        """Return images as the network takes them."""
        if not self.network.normalized:
            return images
        mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
        return (images - mean) / std

    def score(self, images: Tensor) -> Tensor:
        """Return the score of each image, (N,), in the graph."""
        output, score = self.net(self.whitened(images)), self.network.score
        return score(output) if callable(score) else output[:, score]

    def target(self, sign: int) -> int | Callable[[Any], Tensor]:
        """Return what the package is to explain: the score, or its opposite as a function of the output."""
        score = self.network.score
        if sign == 1:
            return score
        return lambda output: -(score(output) if callable(score) else output[:, score])

    def start(self, names: Sequence[str]) -> Tensor:
        """Return the images with which renderings of these names start."""
        return fv.standard_image(self.network.side, names)()

    def gradient(self, images: Tensor) -> Tensor:
        """Return the gradients of the scores with respect to the images.

        They are computed at once, as the package does: behind many rectifiers another rounding is another gradient.
        """
        leaf = images.clone().requires_grad_()
        (found,) = torch.autograd.grad(self.score(leaf).sum(), leaf)
        return found

    def maps(self, images: Tensor, place: tuple[str, Held]) -> Tensor:
        """Return what a layer gives, (N, C, h, w), in the graph that begins at the layer's output."""
        layer, held = place
        found: list[Tensor] = []

        def keep(_layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            found.append(output)
            return output.clone()

        handle = self.net.get_submodule(layer).register_forward_hook(keep)
        try:
            self.scored = self.score(images)
        finally:
            handle.remove()
        self.output = found[0]
        return moved(found[0], held)

    @cached_property
    def table(self) -> Tensor:
        """Return the mean of each channel of the layer for each image, (N, C)."""
        return self.means(self.network.layer)

    @torch.no_grad()
    def means(self, place: tuple[str, Held]) -> Tensor:
        """Return the mean of each channel of a layer for each image, (N, C)."""
        return torch.cat([self.maps(one, place).mean(dim=(2, 3)) for one in self.images.split(1)])


def awake(net: nn.Module, images: Tensor) -> nn.Module:
    """Return a network of which no part is silent: weights that start at 0 are random, norms know a few pictures."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for weight in net.parameters():
        if weight.ndim >= 2 and not bool(weight.any()):
            nn.init.normal_(weight, std=0.02)
        if weight.ndim >= 1 and bool((weight.abs() < 1e-3).all()) and bool(weight.any()):
            nn.init.constant_(weight, 0.2)  # the scale of a layer that begins as nothing
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # the mean over all passes, of which there is one
    with torch.no_grad():
        net(images)
    return net.eval().requires_grad_(False)


def moved(output: Tensor, held: Held) -> Tensor:
    """Return a layer's output as (N, C, h, w)."""
    if isinstance(held, int):
        side = math.isqrt(output.shape[1] - held)
        return output[:, held:].transpose(1, 2).unflatten(2, (side, side))
    return output.permute(0, 3, 1, 2) if held == "last" else output


def agree(what: str, found: Tensor, own: Tensor, *, scale: float = 0.0) -> None:
    """Raise a FaultError where numbers are not the same up to rounding.

    Args:
        what: for the message.
        found, own: what the package gave, and what was computed here.
        scale: what usual numbers are, where those of `own` may be close to 0.
    """
    if found.shape != own.shape:
        raise FaultError(f"{what}: the shape is {tuple(found.shape)} and has to be {tuple(own.shape)}")
    scale = max(scale, float(own.abs().max()))
    if not scale > 0:
        raise FaultError(f"{what}: nothing to compare, all numbers are 0")
    miss = float((found - own).abs().max()) / scale
    if not miss <= TOLERANCE:
        raise FaultError(f"{what}: the numbers differ by {miss:.2g} of the largest")


# ------------------------------------------------------------------------------------------------------------
# What is tried


def saliency(case: Case) -> None:
    images = case.images[:2]
    found = attribution.saliency(case.model, images, case.network.score)
    agree("saliency", found, case.gradient(images).abs().amax(dim=1))


def integrated_gradients(case: Case) -> None:
    start, end = case.images[:2].split(1)
    found = attribution.integrate(
        case.model, end, case.network.score, baseline=start, tolerance=torch.inf, steps=4
    )
    weights = (0.125, 0.25, 0.25, 0.25, 0.125)
    points = [start + share * (end - start) for share in (0, 0.25, 0.5, 0.75, 1)]
    slopes = (case.gradient(torch.cat(points)) * torch.tensor(weights).view(-1, 1, 1, 1)).sum(dim=0)
    agree("integrated gradients", found.heat, ((end - start) * slopes).sum(dim=1))
    with torch.no_grad():
        agree("the difference of the scores", found.difference, case.score(end) - case.score(start))


def grad_cam(case: Case) -> None:
    check_grad_cam(case, case.network.layer)


def grad_cam_of_last_block(case: Case) -> None:
    check_grad_cam(case, case.network.last or case.network.layer)


def check_grad_cam(case: Case, place: tuple[str, Held]) -> None:
    """Check the maps for the score and against it: one of both may be 0 everywhere."""
    images, (layer, held) = case.images[:2], place
    maps = case.maps(images.clone().requires_grad_(), place)
    (slope,) = torch.autograd.grad(case.scored.sum(), case.output)
    weights = moved(slope, held).mean(dim=(2, 3), keepdim=True)
    for sign in (1, -1):
        found = attribution.grad_cam(case.model, images, case.target(sign), layer)
        heat = (sign * weights * maps).sum(dim=1, keepdim=True).relu()
        own = F.interpolate(heat, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        agree("Grad-CAM", found, own.detach(), scale=float((weights * maps).sum(dim=1).abs().max().detach()))


def render_channel(case: Case) -> None:
    layer = case.network.layer
    starts = case.start([str(number) for number in range(PICTURES)])
    with torch.no_grad():  # a channel that is alive wherever a rendering starts
        channel = int(case.maps(starts, layer).mean(dim=(2, 3)).amin(dim=0).argmax())
    own = lambda images: case.maps(images, layer)[:, channel].mean(dim=(1, 2))  # noqa: E731
    rendered(case, fv.channel(layer[0], channel), own)


def render_logit(case: Case) -> None:
    rendered(case, fv.logit(WANTED), case.score)


@torch.no_grad()
def rendered(case: Case, objective: fv.Objective, own: Callable[[Tensor], Tensor]) -> None:
    """Check the score of a rendering, and that it rises where no transforms disturb it.

    Under transforms the score of a network that has learned nothing need not rise.
    """
    side, scale = case.network.side, float(own(case.images).std())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fv.RenderingWarning)  # random weights saturate pixels
        usual = fv.render(case.model, objective, size=side, steps=2)
        steps = [fv.Stage(side, STEPS)]
        plain = fv.render(case.model, objective, size=side, steps=steps, transforms=(), rate=RATE)
    before, after = own(case.start(plain.names)), own(plain.images)
    agree("the score of the rendering", plain.score, after, scale=scale)
    agree("the score after two steps", usual.score, own(usual.images), scale=scale)
    if not float(after) > float(before):
        raise FaultError(f"the score went from {float(before):.3g} to {float(after):.3g}")


def render_at_another_size(case: Case) -> None:
    """Check a rendering at three quarters of the side: the network may be made for one size."""
    layer = case.network.layer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fv.RenderingWarning)
        found = fv.render(case.model, fv.channel(layer[0], 0), size=case.network.side * 3 // 4, steps=2)
    with torch.no_grad():
        own = case.maps(found.images, layer)[:, 0].mean(dim=(1, 2))
    agree("the score at another size", found.score, own, scale=float(case.table.std()))


def spectrum_of_layer(case: Case) -> None:
    layer = case.network.layer[0]
    found = spectrum.track(case.model, [layer], spectrum.batches(case.source, size=4), k=K)
    order = [found.sample.tolist().index(number) for number in range(PICTURES)]
    agree("the scores of all images", found.layers[layer].scores.t()[order], case.table)
    tops = [found[layer, channel].band("maximum").scores for channel in range(case.table.shape[1])]
    agree("the largest scores", torch.tensor(tops), case.table.t().topk(K).values)


def microscope(case: Case) -> None:
    layer = case.network.early[0]
    with tempfile.TemporaryDirectory() as folder:
        job = spectrum.Job(case.model, (layer,), case.source, spectrum.Measure(k=K))
        page = build(job, Path(folder) / "site", steps=0, side=32, size=case.network.side)
        index = _data(page.parent / "data" / "index.js")
        channels = page.parent / "data" / runs.file_stem(layer)
        units = [_data(channels / f"{channel}.js") for channel in range(index["layers"][0]["channels"])]
    tops = torch.tensor([unit["b"][-1]["s"] for unit in units])
    table = case.means(case.network.early).t()
    agree("the largest scores on the site", tops, table.topk(K).values)
    shown = [[index["ids"][place] for place in unit["b"][-1]["i"]] for unit in units]
    agree("the scores of the images on the site", table.gather(1, torch.tensor(shown)), table.topk(K).values)


def _data(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return json.loads(text[text.index("(") + 1 : text.rindex(")")])


FEATURES: Mapping[str, Callable[[Case], None]] = {
    "saliency": saliency,
    "integrated gradients": integrated_gradients,
    "Grad-CAM": grad_cam,
    "Grad-CAM, last block": grad_cam_of_last_block,
    "render a channel": render_channel,
    "render a logit": render_logit,
    "render, another size": render_at_another_size,
    "spectrum": spectrum_of_layer,
    "microscope": microscope,
}


# ------------------------------------------------------------------------------------------------------------
# The table


def tried(case: Case, feature: str) -> str:
    """Return "works", the first sentence of the error that explains why not, or "FAULT: ..."."""
    try:
        FEATURES[feature](case)
    except InterpError as error:
        return first_sentence(str(error))
    except Exception as error:  # noqa: BLE001
        return f"FAULT: {type(error).__name__}: {' '.join(str(error).split())}"
    return WORKS


def first_sentence(text: str) -> str:
    """Return the first sentence of an error.

    >>> first_sentence("The model returns dict, see torch.nn. Wrap it.")
    'The model returns dict, see torch.nn.'
    """
    return re.split(r"(?<=\.)\s+(?=[A-Z])", " ".join(text.split()))[0]


def row(name: str) -> dict[str, str]:
    """Return {feature: cell} of a network."""
    case = Case(NETWORKS[name])
    return {feature: tried(case, feature) for feature in FEATURES}


def main() -> int:
    arguments = argparse.ArgumentParser(description="Try the package on many architectures.")
    arguments.add_argument("--only", help="names of networks between commas; nothing is written then")
    only = arguments.parse_args().only
    torch.set_num_threads(1)
    table: dict[str, dict[str, str]] = {}
    for name in only.split(",") if only else NETWORKS:
        table[name] = row(name)
        print(name, *(f"  {feature}: {cell}" for feature, cell in table[name].items()), sep="\n", flush=True)
    if not only:
        write(table)
    return int(any(cell.startswith("FAULT") for cells in table.values() for cell in cells.values()))


def write(table: Mapping[str, Mapping[str, str]]) -> None:
    """Keep the table with how it was made."""
    made = measured.made("python tools/compatibility.py", f"{PICTURES} scenes; random weights of seed 0")
    made["with"] += "".join(f", {name} {version(name)}" for name in ("torchvision", "timm"))
    rows = [{"network": name, **about(NETWORKS[name]), "cells": cells} for name, cells in table.items()]
    content = json.dumps({"made": made, "features": list(FEATURES), "rows": rows}, indent=1) + "\n"
    runs.write(FILE, content.encode())


def about(network: Network) -> dict[str, Any]:
    """Return what the table says of a network beside its cells."""
    return {"family": network.family, "layer": network.layer[0], "side": network.side}


if __name__ == "__main__":
    sys.exit(main())
