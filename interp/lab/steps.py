"""The steps that the lab computes, and how they are made of the operations of torch, one after the other.

A batch norm is a factor and an offset for each channel; behind a convolution that nobody else reads it becomes part of
that convolution's weights, and limits such as those of ReLU and ReLU6 become part of the step before them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from interp.errors import BadInputError
from interp.lab.graph import Graph, Head, kind, shape, users

INPUT = "input"
MAPS, LOGITS = "maps", "logits"  # the names of the last two steps
WEIGHTED = ("product", "depthwise", "conv", "scale")
RUNS = (
    "convolutions, batch norm, ReLU, ReLU6, SiLU, hard-swish, sigmoid and hard-sigmoid, addition, multiplication by "
    "a gate, concatenation, padding with zeros, max and average pooling, flattening and linear layers"
)
Pair = int | list[int]


class Step(TypedDict, total=False):
    """One step: `name` is the value it gives, of so many `channels`, made `from` (and `plus`, or `more`) values before.

    `op` is product (a 1x1 convolution), depthwise, conv, scale, add, multiply, join, curve, zeros, most (max pooling),
    average, areas (average pooling to a number of cells) or mean. The first four have `weights` and a `bias`, the
    places of their first numbers. Steps with a kernel have its side, or [height, width], and `stride`, `dilation` and
    `padding` alike; no padding means TensorFlow's, with as many places as the stride allows. A `whole` kernel is a
    linear layer behind flattened places: it fits images of one size. `limits` are those of a ReLU that follows: [0], or
    [0, 6].
    """

    name: str
    op: str
    source: str  # "from" in the JSON, which Python does not allow as a name
    plus: str
    more: list[str]
    channels: int
    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: Pair
    groups: int
    whole: bool
    ceil: bool
    padded: bool
    cells: list[int]
    edges: list[int]
    kind: str
    ends: list[float]
    limits: list[float]
    weights: int
    bias: int


@dataclass(frozen=True)
class Program:
    """The steps of a network with their weights.

    Attributes:
        steps: in the order in which they are computed.
        weights: {name of a step: (weight, bias)}, float32.
        mean: of the normalization, one a channel.
        std: of the normalization, one a channel.
        last: the value that the classifier pools, whose products with its weights are the maps; "" for none.
        why: what stands between the network and such maps; "" for nothing.
        shapes: {name of a value: (C, H, W)}.
    """

    steps: tuple[Step, ...]
    weights: dict[str, tuple[Tensor, Tensor]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    last: str
    why: str
    shapes: dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Value:
    """What a step gives: its name, its size, and whether torch has it as a row of numbers (N, C x H x W)."""

    name: str
    channels: int
    height: int
    width: int
    flat: bool = False

    @property
    def alone(self) -> bool:
        return self.height == self.width == 1


class CannotError(Exception):
    """There is no step for an operation of this form."""


class Unknown:
    """What an operation without a step would give."""


Given = dict[str, Any]
Rule = Callable[
    ["Translation", Node, Given], Any
]  # (translation, operation, its arguments by name) -> what it gives


@dataclass
class Translation:
    """Steps for one operation after the other; what has none is noted.

    Attributes:
        graph: the network.
        table: {name of an operation: the function that makes its steps}.
    """

    graph: Graph
    table: Mapping[str, Rule]
    steps: dict[str, Step] = field(default_factory=dict)
    weights: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    values: dict[Node, Any] = field(default_factory=dict)
    owner: dict[str, Node] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.mean, self.std = torch.zeros(3).double(), torch.ones(3).double()
        _, channels, height, width = shape(self.graph.image)
        self.values[self.graph.image] = Value(INPUT, channels, height, width)
        self.owner[INPUT] = self.graph.image
        self.shapes = {INPUT: (channels, height, width)}
        head = self.graph.head
        self.head: Head | None = None if isinstance(head, str) else head
        self.why = head if isinstance(head, str) else ""

    def done(self) -> Program:
        """Translate all operations."""
        held = self.graph.constants
        for node in self.graph.program.graph.nodes:
            if node.op == "placeholder" and node is not self.graph.image:
                self.values[node] = held.get(node.name)
        for node in self.graph.nodes:
            self.values[node] = self._translated(node)
        if self.refused:
            told = "; ".join(
                f"{name} in {', '.join(dict.fromkeys(where))}" for name, where in self.refused.items()
            )
            raise BadInputError(f"The lab cannot compute {told}. It has {RUNS}.")
        return self._program(self.values[self.graph.output])

    def _program(self, result: Any) -> Program:
        if not isinstance(result, Value) or result.name == INPUT or not result.alone:
            raise BadInputError(
                "The lab needs a network that returns logits (N, classes), computed from the image."
            )
        steps = _needed(list(self.steps.values()), result.name)
        if result.name != LOGITS:
            steps[-1] = {**steps[-1], "name": LOGITS}
            self.shapes[LOGITS] = self.shapes[result.name]
            if result.name in self.weights:
                self.weights[LOGITS] = self.weights.pop(result.name)
        last = steps[-2]["source"] if self.head is not None else ""
        mean, std = (tuple(one.float().tolist()) for one in (self.mean, self.std))
        return Program(tuple(steps), self.weights, mean, std, last, self.why, self.shapes)

    # --------------------------------------------------------------------------------------------------------
    # One operation

    def _translated(self, node: Node) -> Any:
        name = kind(node)
        args = map_arg((node.args, node.kwargs), lambda one: self.values.get(one))
        inside = _tensors(args)
        try:
            if not any(isinstance(one, Value | Unknown) for one in inside):
                return node.target(*args[0], **args[1])  # type: ignore[operator]  # of weights alone
            if name not in self.table:
                raise CannotError("")
            if any(isinstance(one, Unknown) for one in inside):
                return Unknown()
            return self.table[name](self, node, _bound(node, args))
        except CannotError as error:
            where = self.graph.name(node).partition(":")[0]
            self.refused[f"{name}{error}"].append(where)
            return Unknown()

    def put(
        self, node: Node, value: Value, step: Step, weights: tuple[Tensor, Tensor] | None = None
    ) -> Value:
        """Take a step, and return the value that it gives, under a name that no other has."""
        name = self.free(self.graph.name(node))
        return self.put_as(name, node, value, step, weights)

    def put_as(
        self, name: str, node: Node, value: Value, step: Step, weights: tuple[Tensor, Tensor] | None
    ) -> Value:
        self.steps[name] = {**step, "name": name, "channels": value.channels}
        self.shapes[name] = (value.channels, value.height, value.width)
        self.owner[name] = node
        if weights is not None:
            self.weights[name] = weights
        return replace(value, name=name)

    def free(self, name: str) -> str:
        taken, number, free = {*self.steps, INPUT, MAPS, LOGITS}, 2, name
        while free in taken:
            free, number = f"{name}#{number}", number + 1
        return free

    def step_before(self, node: Node, value: Value) -> Step | None:
        """Return the step that gives a value, if it has weights and no limits and nobody but an operation reads it."""
        step, owner = self.steps.get(value.name), self.owner[value.name]
        alone = node.args[0] is owner and len(users(owner)) == 1
        return step if step and alone and step["op"] in WEIGHTED and "limits" not in step else None

    def replaced(self, node: Node, value: Value, step: Step, weights: tuple[Tensor, Tensor]) -> Value:
        """Put a step in the place of that which gives a value."""
        for held in (self.steps, self.weights, self.owner):
            held.pop(value.name, None)
        return self.put(node, value, step, weights)

    def scaled(self, node: Node, value: Value, factor: Tensor, offset: Tensor) -> Value:
        """Return a value times a factor plus an offset, (C,) each, float64."""
        if value.flat and not value.alone:
            raise CannotError(" of flattened places")
        if value.name == INPUT and len(users(self.owner[INPUT])) == 1 and bool((factor != 0).all()):
            self.owner[INPUT] = node
            self.mean, self.std = self.mean - offset * self.std / factor, self.std / factor
            return value
        before = self.step_before(node, value)
        if before:
            weight, bias = self.weights[value.name]
            weight = weight * factor.view(-1, *[1] * (weight.ndim - 1))
            return self.replaced(node, value, before, (weight.float(), (bias * factor + offset).float()))
        return self.put(node, value, Step(op="scale", source=value.name), (factor.float(), offset.float()))


def _needed(steps: list[Step], last: str) -> list[Step]:
    """Return the steps that a value depends on."""
    wanted, kept = {last}, []
    for step in reversed(steps):
        if step["name"] in wanted:
            wanted |= {step["source"], *([step["plus"]] if "plus" in step else []), *step.get("more", [])}
            kept.append(step)
    return kept[::-1]


def _tensors(given: Any) -> list[Any]:
    if isinstance(given, Value | Unknown | Tensor):
        return [given]
    if isinstance(given, dict):
        given = list(given.values())
    return [one for each in given for one in _tensors(each)] if isinstance(given, tuple | list) else []


def _bound(node: Node, args: Any) -> dict[str, Any]:
    """Return the arguments of an operation by their names."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:  # of Python, such as getitem
        return dict(enumerate(args[0]))  # type: ignore[arg-type]
    named = {one.name: one.default_value for one in schema.arguments if one.has_default_value()}
    return {**named, **dict(zip((one.name for one in schema.arguments), args[0], strict=False)), **args[1]}
