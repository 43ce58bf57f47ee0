"""The plan of a network for the lab: what is computed from what, and where in one file its weights lie.

Batch norm is folded into the convolutions before it, ReLU6 is part of the step that it follows, and the classifier is a
1x1 convolution before the mean over all places. Both are linear, so they may be exchanged; the planes between them are
then the class-activation maps of all classes (Zhou et al., 2016, https://arxiv.org/abs/1512.04150), up to the bias that
every place of them carries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from interp import image
from interp.errors import BadInputError
from interp.lab import graph as graphs
from interp.lab import rules
from interp.lab.check import check, check_rounded
from interp.lab.steps import LOGITS, MAPS, Program, Step

LARGEST_HALF = 65504.0
SIDE = 224  # of images for a network that does not say its own
FEW = 3  # blocks, for which it is worth leaving the layers outside of them away
__all__ = ["LOGITS", "MAPS", "Plan", "Step", "names_of", "packed", "plan", "side_of", "traced"]


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
        last: the layer whose mean the classifier reads, so that there is an exact map of every class; "" for none.
        why: what stands between the network and such maps; "" for nothing.
        across: places along a side of that layer; 0 without one.
        depths: the layers that give images, from the first to the last; layers inside of others are left out.
        grown: those of them whose channels can be grown: the blocks, where there are some.
    """

    steps: tuple[Step, ...]
    weights: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    class_names: tuple[str, ...]
    last: str = ""
    why: str = ""
    across: int = 0
    depths: tuple[str, ...] = ()
    grown: tuple[str, ...] = ()

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
            "last": self.last,
            "why": self.why,
            "across": self.across,
            "depths": self.depths,
            "grown": self.grown,
        }


def plan(model: nn.Module, *, side: int | None = None, class_names: Sequence[str] = ()) -> Plan:
    """Return the plan of a network.

    Args:
        model: takes images (N, 3, H, W) in [0, 1] and returns logits; left as it was.
        side: of the square images in pixels; None asks the network for its `side`, and is 224 where it has none.
        class_names: one for each logit; without them those of the network, and without these numbers.

    Raises:
        BadInputError: it computes what the lab has no step for, and the message names all of it; it cannot be followed
            on such images; there is another number of names; or its weights are too large, or too small, for 16 bits.
    """
    program, graph, side = traced(model, side)
    return packed(program, graph, side, names_of(model, program, class_names))


def traced(model: nn.Module, side: int | None = None) -> tuple[Program, graphs.Graph, int]:
    """Return the steps of a network, checked against it, what they were made of, and the side of its images."""
    side = side_of(model, side)
    graph = graphs.exported(model, side)
    program = rules.program(graph)
    check(program, graph.model, side)
    return program, graph, side


def side_of(model: nn.Module, side: int | None = None) -> int:
    """Return the side of a network's images in pixels: what is asked for, what it says itself, or 224."""
    own = getattr(image.unwrapped(model), "side", SIDE)
    return side or (own if isinstance(own, int) else SIDE)  # a layer may have that name as well


def names_of(model: nn.Module, program: Program, class_names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return a name for each logit, all different: the page finds a class by its name, whatever its capitals.

    Raises:
        BadInputError: there is another number of names.
    """
    count = program.shapes[LOGITS][0]
    names = tuple(class_names or getattr(model, "class_names", None) or ())
    if class_names and len(names) != count:
        raise BadInputError(f"There are {len(names)} names of classes, and the network has {count} outputs.")
    if len(names) != count:
        return tuple(f"class {number}" for number in range(count))
    often = Counter(name.strip().lower() for name in names)
    return tuple(
        name if often[name.strip().lower()] == 1 else f"{name.strip()} (class {number})"
        for number, name in enumerate(names)
    )


def packed(program: Program, graph: graphs.Graph, side: int, class_names: tuple[str, ...]) -> Plan:
    """Return the plan of a network whose steps are known."""
    weights = _Weights()
    steps = tuple(weights.of(step, program.weights) for step in program.steps)
    halves = weights.in_16_bits()
    check_rounded(program, side)
    last, why = program.last, program.why
    _, height, width = program.shapes.get(last, (0, 0, 0))
    depths = _outermost(program)
    blocks = [one for one in depths if graph.is_composite(one)]
    if last and height != width:
        last, why, height = "", f"its last layer has {height} x {width} places", 0
    return Plan(
        steps=steps,
        weights=halves,
        mean=program.mean,
        std=program.std,
        side=side,
        class_names=class_names,
        last=last,
        why=why,
        across=height,
        depths=depths,
        grown=tuple(blocks if len(blocks) >= FEW else depths),
    )


def _outermost(program: Program) -> tuple[str, ...]:
    """Return the names of the layers that give square images and lie in no other that does."""
    names = [step["name"] for step in program.steps if step["name"] not in (MAPS, LOGITS)]
    sides = {one: program.shapes[one][1:] for one in names}
    square = [one for one, (height, width) in sides.items() if height == width > 1]
    images = [one for one in square if not {":", "#"} & set(one)] or square  # F.relu belongs to no layer
    return tuple(one for one in images if not any(one.startswith(f"{other}.") for other in images))


class _Weights:
    """Writes weights one after the other, and says where they lie."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.count = 0

    def of(self, step: Step, weights: dict[str, tuple[Tensor, Tensor]]) -> Step:
        """Return a step with the places of its weights."""
        if step["name"] not in weights:
            return step
        weight, bias = weights[step["name"]]
        return {**step, "weights": self.put(weight), "bias": self.put(bias)}

    def put(self, values: Tensor) -> int:
        """Take numbers and return the place of their first."""
        place = self.count
        self.parts.append(values.detach().flatten().cpu())
        self.count += values.numel()
        return place

    def in_16_bits(self) -> np.ndarray:
        """Return all numbers in 16 bits."""
        values = torch.cat(self.parts) if self.parts else torch.zeros(0)
        if not bool((values.abs() <= LARGEST_HALF).all()):
            raise BadInputError(
                f"A weight is larger than {LARGEST_HALF:.0f} or no number, and 16 bits cannot hold it."
            )
        return values.half().numpy()
