"""The steps of a network computed with torch: whether they give what the network gives, and pictures of its maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.lab.steps import INPUT, LOGITS, Program, Step

TOLERANCE = 1e-3  # of the largest logit: more than rounding, less than a step that was understood wrongly
ROUNDING = 5e-2  # likewise, with weights in 16 bits: EfficientNet-Lite0 and 2 differ by 4e-3
Values = Mapping[str, Tensor]
Weights = tuple[Tensor, Tensor]


def run(program: Program, images: Tensor) -> dict[str, Tensor]:
    """Return {name: values (N, C, H, W)} of all steps.

    Args:
        program: of a network.
        images: (N, 3, H, W) in [0, 1]; gradients go back to them.
    """
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (program.mean, program.std))
    values = {INPUT: (images - mean) / std}
    for step in program.steps:
        result = OPERATIONS[step["op"]](step, values, program.weights.get(step["name"]))
        values[step["name"]] = _between(result, step.get("limits", []))
    return values


def check(program: Program, model: nn.Module, side: int) -> None:
    """Refuse a program that gives other logits than the network.

    Args:
        program: made of the network.
        model: in evaluation mode, float32, on the CPU.
        side: of the square image that is tried, in pixels.

    Raises:
        BadInputError: it does.
    """
    images = _noise(side)
    with torch.no_grad():
        wanted, found = model(images), run(program, images)[LOGITS].flatten(1)
    if found.shape != wanted.shape or not apart(found, wanted) <= TOLERANCE:
        raise BadInputError(
            "The steps that were made of this network give other logits than the network itself, or none that are "
            "numbers. Does its output depend on anything but the image, or are its weights not finite?"
        )


def check_rounded(program: Program, side: int) -> None:
    """Refuse a program that gives other logits when its weights are stored in 16 bits.

    Args:
        program: of a network.
        side: of the square image that is tried, in pixels.

    Raises:
        BadInputError: it does; numbers below 6e-5 lose digits in 16 bits, and those below 3e-8 become 0.
    """
    stored = {
        name: (one.half().float(), other.half().float()) for name, (one, other) in program.weights.items()
    }
    with torch.no_grad():
        wanted, found = (
            run(one, _noise(side))[LOGITS] for one in (program, replace(program, weights=stored))
        )
    if not apart(found, wanted) <= ROUNDING:
        raise BadInputError(
            "With its weights in 16 bits, as the lab stores them, the logits of this network change by "
            f"{100 * apart(found, wanted):.0f} % of the largest: weights of some layer are too small (below 6e-5). "
            "Make them larger, and undo it in the layer behind; interp export keeps 32 bits."
        )


def _noise(side: int) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def apart(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference as a share of the largest value; 0 where both are 0."""
    return float((found - wanted).abs().max()) / max(float(wanted.abs().max()), 1e-30)


def _between(values: Tensor, ends: list[float]) -> Tensor:
    return values.clamp(*ends) if ends else values


def _conv(step: Step, values: Values, weights: Weights | None) -> Tensor:
    weight, bias = weights or _lacking(step)
    images = values[step["source"]]
    stride, dilation = _both(step.get("stride", 1)), _both(step.get("dilation", 1))
    padding = _both(step.get("padding", 0))
    if "kernel" in step and "padding" not in step:  # TensorFlow's
        sides = zip(images.shape[2:], weight.shape[2:], stride, dilation, strict=True)
        tall, wide = (max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in sides)
        images = F.pad(images, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
    groups = images.shape[1] // weight.shape[1]
    return F.conv2d(images, weight, bias, stride, padding, dilation, groups)


def _scale(step: Step, values: Values, weights: Weights | None) -> Tensor:
    factor, offset = (one.view(1, -1, 1, 1) for one in weights or _lacking(step))
    return values[step["source"]] * factor + offset


def _curve(step: Step, values: Values, _: Weights | None) -> Tensor:
    images = values[step["source"]]
    return _between(images, step["ends"]) if step["kind"] == "limits" else CURVES[step["kind"]](images)


def _most(step: Step, values: Values, _: Weights | None) -> Tensor:
    given = _both(step["kernel"]), _both(step["stride"]), _both(step["padding"])
    return F.max_pool2d(values[step["source"]], *given, ceil_mode=step.get("ceil", False))


def _average(step: Step, values: Values, _: Weights | None) -> Tensor:
    given = _both(step["kernel"]), _both(step["stride"]), _both(step["padding"])
    ceil, padded = step.get("ceil", False), step.get("padded", False)
    return F.avg_pool2d(values[step["source"]], *given, ceil_mode=ceil, count_include_pad=padded)


def _both(value: int | list[int]) -> list[int]:
    return value if isinstance(value, list) else [value, value]


def _lacking(step: Step) -> Weights:
    raise BadInputError(f"The step {step['name']!r} has no weights.")


Operation = Callable[[Step, Values, Weights | None], Tensor]
CURVES: MappingProxyType[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"sigmoid": torch.sigmoid, "silu": F.silu, "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish}
)
OPERATIONS: MappingProxyType[str, Operation] = MappingProxyType(
    {
        **dict.fromkeys(("product", "depthwise", "conv"), _conv),
        "scale": _scale,
        "curve": _curve,
        "most": _most,
        "average": _average,
        "add": lambda step, values, _: values[step["source"]] + values[step["plus"]],
        "multiply": lambda step, values, _: values[step["source"]] * values[step["plus"]],
        "join": lambda step, values, _: torch.cat(
            [values[one] for one in (step["source"], *step["more"])], 1
        ),
        "zeros": lambda step, values, _: F.pad(values[step["source"]], step["edges"]),
        "areas": lambda step, values, _: F.adaptive_avg_pool2d(
            values[step["source"]], (step["cells"][0], step["cells"][1])
        ),
        "mean": lambda step, values, _: values[step["source"]].mean((2, 3), keepdim=True),
    }
)
