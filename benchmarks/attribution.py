"""Time per image of each attribution method, beside captum, grad-cam and one bare forward and backward pass.

    python benchmarks/attribution.py [--batches 1 16] [--rounds 7] [--threads N]

All run on the embedded network and real photographs. Within a round every library runs once, in an order that changes
from round to round; ratios are of times in the same round, given as minimum / median / maximum over the rounds. Below 1
is faster than the other. Libraries get their quickest setting that gives the same map; what they do once for a model
(registering hooks, making a wrapper) is not timed.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from captum import attr
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.nn import functional as F

from interp import attribution, hooks, zoo

Run = Callable[[], object]
LAYER = "act_head"
NOISE = 0.15
FLAT = float("inf")


class SixAsReLU(nn.ReLU):
    """ReLU6 as a kind of nn.ReLU: captum bends the gradient of this class only."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input)


def gradient_methods(model: nn.Module, images: Tensor, target: list[int]) -> dict[str, dict[str, Run]]:
    """Return the methods that are made of gradients of the pixels, each with the libraries that have it."""
    samples, steps = (16, 16) if len(images) == 1 else (4, 4)
    bent = copy.deepcopy(model)
    for layer in list(bent.modules()):
        for name, child in layer.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(layer, name, SixAsReLU())
    return {
        "saliency": {
            "ours": partial(attribution.saliency, model, images, target),
            "captum": partial(attr.Saliency(model).attribute, images, target=target),
        },
        "input x gradient": {
            "ours": partial(attribution.input_x_gradient, model, images, target),
            "captum": partial(attr.InputXGradient(model).attribute, images, target=target),
        },
        "guided backprop": {
            "ours": partial(attribution.guided_backprop, model, images, target),
            "captum": partial(attr.GuidedBackprop(bent).attribute, images, target=target),
        },
        f"SmoothGrad, {samples} samples": {
            "ours": partial(attribution.smooth_grad, model, images, target, samples=samples, noise=NOISE),
            "captum": partial(
                attr.NoiseTunnel(attr.Saliency(model)).attribute, images,
                nt_samples=samples, nt_samples_batch_size=max(1, 8 // len(images)), stdevs=NOISE, target=target,
            ),
        },
        f"integrated gradients, {steps + 1} points": {
            "ours": partial(
                attribution.integrated_gradients, model, images, target, steps=steps, tolerance=FLAT
            ),
            "captum": partial(
                attr.IntegratedGradients(model).attribute, images, baselines=0.5,
                n_steps=steps + 1, method="riemann_trapezoid", internal_batch_size=8, target=target,
            ),
        },
    }  # fmt: skip


def other_methods(model: nn.Module, images: Tensor, target: list[int]) -> dict[str, dict[str, Run]]:
    """Return occlusion and the class activation maps, each with the libraries that have it."""
    inside = hooks.find_layer(model, LAYER)
    theirs = [ClassifierOutputTarget(index) for index in target]
    peers = {
        "Grad-CAM": (attribution.grad_cam, GradCAM),
        "Grad-CAM++": (attribution.grad_cam_plus_plus, GradCAMPlusPlus),
        "XGrad-CAM": (attribution.xgrad_cam, XGradCAM),
        "HiResCAM": (attribution.hires_cam, HiResCAM),
        "LayerCAM": (attribution.layer_cam, LayerCAM),
    }
    methods: dict[str, dict[str, Run]] = {}
    for name, (own, peer) in peers.items():
        other = partial(_grad_cam, peer, model, inside, images, theirs)
        methods[name] = {"ours": partial(own, model, images, target, LAYER), "grad-cam": other}
    methods["Grad-CAM"]["captum"] = partial(
        attr.LayerGradCam(model, inside).attribute, images, target=target, relu_attributions=True
    )
    methods["all five CAMs"] = {"ours": partial(attribution.cam_family, model, images, target, LAYER)}
    methods["occlusion, 9 squares"] = {
        "ours": partial(attribution.occlusion, model, images, target, window=112, stride=56),
        "captum": partial(
            attr.Occlusion(model).attribute, images, (3, 112, 112), strides=(3, 56, 56), baselines=0.5,
            perturbations_per_eval=max(1, 8 // len(images)), target=target,
        ),
    }  # fmt: skip
    return methods


def _grad_cam(
    peer: type, model: nn.Module, layer: nn.Module, images: Tensor, targets: list[ClassifierOutputTarget]
) -> object:
    # Its hooks stay on the layer as long as the object lives, and would slow down everybody else.
    with peer(model=model, target_layers=[layer]) as method:
        return method(images, targets=targets)


def bare(model: nn.Module, images: Tensor, target: list[int]) -> None:
    """Run one forward and one backward pass, with gradients of the weights, as in training."""
    model(images)[range(len(images)), target].sum().backward()
    model.zero_grad(set_to_none=True)


def race(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return the times of each in seconds, one a round; who starts changes from round to round."""
    names = list(runs)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            runs[name]()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return times


def spread(ours: list[float], other: list[float] | None) -> str:
    """Return minimum / median / maximum of the ratios, round by round."""
    if other is None:
        return "-"
    ratios = [a / b for a, b in zip(ours, other, strict=True)]
    return " / ".join(f"{value:.2f}" for value in (min(ratios), statistics.median(ratios), max(ratios)))


def table(model: nn.Module, count: int, rounds: int) -> None:
    """Time every method at one batch size and print a row for each."""
    images = zoo.example_images("cat", "coffee").repeat(count, 1, 1, 1)[:count]
    target = ([281, 967] * count)[:count]
    print(
        f"\n## Batch of {count}\n\n| method | ms an image | ours : captum | ours : grad-cam | ours : forward+backward |"
    )
    print("|---|---|---|---|---|")
    for name, runs in (
        gradient_methods(model, images, target) | other_methods(model, images, target)
    ).items():
        times = race({**runs, "bare": partial(bare, model, images, target)}, rounds)
        ours = times["ours"]
        columns = [spread(ours, times.get(other)) for other in ("captum", "grad-cam", "bare")]
        print(
            f"| {name} | {1000 * statistics.median(ours) / count:.0f} | {' | '.join(columns)} |", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    model = zoo.load_model()
    print(f"torch {torch.__version__}, {options.threads} threads, {options.rounds} rounds, layer {LAYER}")
    for count in options.batches:
        table(model, count, options.rounds if count == 1 else max(3, options.rounds // 2))


if __name__ == "__main__":
    main()
