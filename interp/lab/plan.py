"""The plan of a network for the lab: what is computed from what, and where in one file its weights lie.

Batch norm is folded into the convolutions before it (`interp.folding`), ReLU6 is part of the step that it follows, and
the classifier is a 1x1 convolution before the mean over all places. Both are linear, so they may be exchanged; the
planes between them are then the class-activation maps of all classes (Zhou et al., 2016,
https://arxiv.org/abs/1512.04150), up to the bias that every place of them carries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from interp import folding
from interp.errors import BadInputError
from interp.zoo.efficientnet_lite import Block, EfficientNetLite

INPUT = "input"
MAPS, LOGITS = "maps", "logits"  # the names of the last two steps
LARGEST_HALF = 65504.0


class Step(TypedDict, total=False):
    """One step: `name` is the value it gives, of so many `channels`, made `from` (and `plus`) values before.

    `op` is product (a 1x1 convolution), depthwise, conv, add or mean; the first three have `weights` and a `bias`, the
    places of their first numbers, those with a kernel its side and the `stride`, and `relu6` where one follows.
    """

    name: str
    op: str
    source: str  # "from" in the JSON, which Python does not allow as a name
    plus: str
    channels: int
    kernel: int
    stride: int
    relu6: bool
    weights: int
    bias: int


@dataclass(frozen=True)
class Plan:
    """A network that the lab can run.

    Attributes:
        steps: in the order in which they are computed.
        weights: all numbers that the steps name the places of, (count,), float16.
        mean: of the normalization, one a channel.
        std: of the normalization, one a channel.
        side: of the square images that the network was trained for.
        class_names: one for each logit.
    """

    steps: tuple[Step, ...]
    weights: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    class_names: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the plan as values of JSON, without the weights."""
        steps = [
            {{"source": "from"}.get(key, key): value for key, value in step.items()} for step in self.steps
        ]
        return {
            "steps": steps,
            "count": self.weights.size,
            "mean": self.mean,
            "std": self.std,
            "side": self.side,
            "classes": self.class_names,
        }


def plan(model: nn.Module) -> Plan:
    """Return the plan of an EfficientNet-Lite.

    Args:
        model: takes images (N, 3, H, W) in [0, 1]; left as it was.

    Raises:
        BadInputError: it is another network, or a weight is too large for 16 bits.
    """
    if not isinstance(model, EfficientNetLite):
        raise BadInputError(
            f"The lab runs the EfficientNet-Lites of zoo.load_model; got {type(model).__name__}."
        )
    folded = folding.fold(model)
    builder = _Builder()
    steps = tuple(_steps(folded, builder))  # type: ignore[arg-type]  # the copy is of the same class
    return Plan(
        steps=steps,
        weights=builder.packed(),
        mean=tuple(model.normalize.mean.flatten().tolist()),
        std=tuple(model.normalize.std.flatten().tolist()),
        side=model.side,
        class_names=model.class_names,
    )


def _steps(model: EfficientNetLite, builder: _Builder) -> Iterator[Step]:
    """Yield the steps of the network, named by the layers whose output they are."""
    yield builder.conv("act_stem", model.conv_stem, INPUT, relu6=True)
    last = "act_stem"
    for name, block in model.blocks.named_modules(prefix="blocks"):
        if isinstance(block, Block):
            yield from _block_steps(name, block, last, builder)
            last = name
    yield builder.conv("act_head", model.conv_head, last, relu6=True)
    yield builder.product(MAPS, model.classifier.weight, model.classifier.bias, "act_head")
    yield Step(name=LOGITS, op="mean", source=MAPS, channels=model.classifier.out_features)


def _block_steps(name: str, block: Block, source: str, builder: _Builder) -> Iterator[Step]:
    """Yield the steps of a block; its own name is that of the last."""
    inside = source
    if block.expands:
        inside = f"{name}.act_expand"
        yield builder.conv(inside, block.expand, source, relu6=True)
    yield builder.conv(f"{name}.act_depthwise", block.depthwise, inside, relu6=True)
    inside, out = f"{name}.act_depthwise", f"{name}.project" if block.residual else name
    yield builder.conv(out, block.project, inside)
    if block.residual:
        yield Step(name=name, op="add", source=out, plus=source, channels=block.project.out_channels)


class _Builder:
    """Writes weights one after the other, and says where they lie."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.count = 0

    def put(self, values: Tensor) -> int:
        """Take numbers and return the place of their first."""
        place = self.count
        self.parts.append(values.detach().flatten().cpu())
        self.count += values.numel()
        return place

    def packed(self) -> np.ndarray:
        """Return all numbers in 16 bits."""
        values = torch.cat(self.parts)
        if not bool((values.abs() <= LARGEST_HALF).all()):
            raise BadInputError(
                f"A weight is larger than {LARGEST_HALF:.0f} or no number, and 16 bits cannot hold it."
            )
        return values.half().numpy()

    def conv(self, name: str, layer: nn.Conv2d, source: str, *, relu6: bool = False) -> Step:
        """Return the step of a convolution with its batch norm folded in."""
        if layer.kernel_size == (1, 1):
            return self.product(name, layer.weight, layer.bias, source, relu6=relu6)
        step = self.product(name, layer.weight, layer.bias, source, relu6=relu6)
        op = "conv" if layer.groups == 1 else "depthwise"
        return {**step, "op": op, "kernel": layer.kernel_size[0], "stride": layer.stride[0]}

    def product(
        self, name: str, weight: Tensor, bias: Tensor | None, source: str, *, relu6: bool = False
    ) -> Step:
        """Return the step of a matrix product over channels."""
        rows = len(weight)
        bias = torch.zeros(rows) if bias is None else bias
        return Step(
            name=name,
            op="product",
            source=source,
            channels=rows,
            relu6=relu6,
            weights=self.put(weight),
            bias=self.put(bias),
        )
