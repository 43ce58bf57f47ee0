"""A network as torch.export sees it: a list of operations, each with the layer that it belongs to, and its constants.

torch.export (https://docs.pytorch.org/docs/stable/export.html) runs the network once with tensors that hold no numbers
and writes down what is computed; batch norm, dropout and their like are written as they are in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from interp import folding, hooks, image
from interp.errors import BadInputError

CONTAINER = "torch.nn.modules.container."
SAME = ("SameConv", "Conv2dSame")  # convolutions padded as TensorFlow does it: of this package, and timm's
# What changes no number, or only looks.
AS_IT_IS = (
    "alias",
    "clone",
    "contiguous",
    "detach",
    "dropout",
    "feature_dropout",
    "lift_fresh_copy",
    "_to_copy",
)
SHAPES = ("view", "reshape", "_unsafe_view", "flatten", "squeeze", "unsqueeze")
LOOKS = ("_assert_tensor_metadata", "_assert_scalar", "sym_size", "sym_constrain_range_for_size")


@dataclass(frozen=True)
class Head:
    """The end of a network that is a mean over all places and a linear layer.

    Attributes:
        last: gives the values (1, C, h, w) that are pooled.
        pool: the mean.
        linear: the linear layer.
    """

    last: Node
    pool: Node
    linear: Node


@dataclass(frozen=True)
class Graph:
    """What a network computes.

    Attributes:
        program: of torch.export, without operations that change a value in its place.
        model: the copy that it was made of.
        prefix: what comes before the names of the layers, because of a normalization that was put in front.
    """

    program: ExportedProgram
    model: nn.Module
    prefix: str

    @cached_property
    def nodes(self) -> list[Node]:
        """What is computed, in order."""
        return [
            one for one in self.program.graph.nodes if one.op == "call_function" and kind(one) not in LOOKS
        ]

    @cached_property
    def image(self) -> Node:
        """The input."""
        (name,) = self.program.graph_signature.user_inputs
        found: Node = next(one for one in self.program.graph.nodes if one.name == name)
        return found

    @property
    def output(self) -> Any:
        """What the network returns: a node, or whatever its forward makes of nodes."""
        returned = next(one for one in self.program.graph.nodes if one.op == "output").args[0]
        return returned[0] if isinstance(returned, tuple | list) and len(returned) == 1 else returned

    @cached_property
    def constants(self) -> dict[str, Tensor]:
        """Weights and other fixed numbers by the names of their nodes."""
        signature, held = self.program.graph_signature, {**self.program.state_dict, **self.program.constants}
        named = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        return {node: held[name].detach() for node, name in named.items()}

    def layers(self, node: Node) -> list[tuple[str, str]]:
        """Return (name, class) of the layers that an operation is in, from the outermost on."""
        found = [
            (path.partition("@")[0], of) for path, of in (node.meta.get("nn_module_stack") or {}).values()
        ]
        return [
            (path.removeprefix(self.prefix), of)
            for path, of in found
            if path.startswith(self.prefix) and path
        ]

    @cached_property
    def ends(self) -> dict[str, Node]:
        """The last operation of each layer."""
        return {path: node for node in self.nodes for path, _ in self.layers(node)}

    def name(self, node: Node) -> str:
        """Return the name of the largest layer whose output an operation gives, or of that which it is in."""
        layers = self.layers(node)
        for path, of in layers:
            if self.ends[path] is node and not of.startswith(CONTAINER):
                return path
        return f"{layers[-1][0] if layers else 'forward'}:{kind(node)}"

    def is_composite(self, name: str) -> bool:
        """Return whether a layer of that name has layers inside."""
        try:
            return any(True for _ in self.model.get_submodule(self.prefix + name).children())
        except AttributeError:
            return False

    def same_conv(self, node: Node) -> Tensor | None:
        """Return the weight of the convolution that an operation is in, if it is padded as TensorFlow does it."""
        layers = self.layers(node)
        if not layers or layers[-1][1].rpartition(".")[2] not in SAME:
            return None
        weight: Tensor = self.model.get_submodule(self.prefix + layers[-1][0]).weight  # type: ignore[assignment]
        return weight

    @cached_property
    def head(self) -> Head | str:
        """The end of the network, or why it is none that is pooling and a linear layer."""
        linear = self._before(self.output)
        if not isinstance(linear, Node) or kind(linear) != "linear":
            return f"it ends in {self._said(linear)}, not in a linear layer"
        pool = self._before(linear.args[0])
        if not isinstance(pool, Node) or not is_mean(pool):
            return f"before its last linear layer comes {self._said(pool)}, not the mean over all places"
        last = pool.args[0]
        if not isinstance(last, Node) or shape(last)[2:] == (1, 1):
            return "its last layer has a single place"
        if any(len(users(one)) > 1 for one in self._way(linear.args[0], pool)):
            return "what is pooled is used a second time"
        return Head(last, pool, linear)

    def _way(self, node: Any, end: Node) -> Iterator[Node]:
        while node is not end:
            yield node
            node = node.args[0]
        yield end

    def _before(self, node: Any) -> Any:
        """Return what computed a value, behind what only changes its shape."""
        while isinstance(node, Node) and node.op == "call_function" and kind(node) in (*AS_IT_IS, *SHAPES):
            node = node.args[0]
        return node

    def _said(self, node: Any) -> str:
        if not isinstance(node, Node) or node.op != "call_function":
            return "the image"
        return f"{kind(node)} ({self.name(node).partition(':')[0]})"


def exported(model: nn.Module, side: int, batch: int = 1) -> Graph:
    """Return what a network computes of a square image.

    Args:
        model: takes images (N, 3, H, W) in [0, 1]; left as it was.
        side: of the image, in pixels.
        batch: 1 for the operations of one image; 2 for those of any number of images, where the network allows it.

    Raises:
        BadInputError: it takes no color images, torch.export cannot follow it, or it returns no logits.
    """
    channels = hooks.inputs_of(model).channels
    if channels != 3:
        raise BadInputError(
            f"The lab shows color images, and this network takes images of {channels} channels."
        )
    copy = folding.copied(model).float().eval().cpu().requires_grad_(False)
    copy = copy.to(memory_format=torch.contiguous_format)
    inside = image.unwrapped(copy)
    prefix = next((f"{name}." for name, one in copy.named_modules() if one is inside and name), "")
    try:
        free = ({0: torch.export.Dim.AUTO},) if batch > 1 else None
        program = torch.export.export(
            copy, (torch.rand(batch, 3, side, side),), dynamic_shapes=free, strict=False
        )
        graph = Graph(program.run_decompositions({}), copy, prefix)
    except Exception as error:  # of a foreign forward, or of torch.export
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInputError(
            f"torch.export cannot follow this network on an image of {side} x {side} pixels: {reason:.400}. If it is "
            "the size: give another side."
        ) from error
    _check_unchanged(graph.program)
    returned = graph.output
    if not isinstance(returned, Node) or len(shape(returned)) != 2:
        found = f"a tensor {shape(returned)}" if isinstance(returned, Node) else type(returned).__name__
        raise BadInputError(
            f"The lab needs a network that returns logits (N, classes); this one returns {found}."
        )
    return graph


def _check_unchanged(program: ExportedProgram) -> None:
    """Refuse a network that changes itself while it runs."""
    signature = program.graph_signature
    changed = {**signature.buffers_to_mutate, **getattr(signature, "parameters_to_mutate", {})}
    if changed:
        names = ", ".join(map(repr, dict.fromkeys(changed.values())))
        raise BadInputError(
            f"The forward pass of this network changes {names}, such as a count of its calls, so that the same image "
            "need not give the same twice. The lab needs a network that only reads what it holds: leave that line out "
            "in evaluation mode (if self.training: ...)."
        )


def kind(node: Node) -> str:
    """Return the name of an operation: "conv2d"."""
    return str(getattr(node.target, "_opname", None) or getattr(node.target, "__name__", node.target))


def shape(node: Node) -> tuple[int, ...]:
    """Return the shape of what an operation gives."""
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def users(node: Node) -> list[Node]:
    """Return who takes what an operation gives."""
    return [one for one in node.users if one.op != "call_function" or kind(one) not in LOOKS]


def is_mean(node: Node) -> bool:
    """Return whether an operation is the mean over all places of each channel."""
    if not node.args or not isinstance(node.args[0], Node) or len(shape(node.args[0])) != 4:
        return False
    name, given = kind(node), shape(node.args[0])
    if name == "mean":
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return isinstance(dims, list | tuple) and {int(one) % 4 for one in dims} == {2, 3}
    whole = name == "avg_pool2d" and _covers(node, given[2:])
    return (whole or name == "adaptive_avg_pool2d") and shape(node)[2:] == (1, 1)


def _covers(node: Node, places: tuple[int, ...]) -> bool:
    """Return whether the window of an average pooling is the whole image, and nothing but it."""
    names = [one.name for one in node.target._schema.arguments]  # type: ignore[union-attr]
    args: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    around, divisor = args.get("padding", 0), args.get("divisor_override")
    return tuple(args["kernel_size"]) == places and around in (0, [0], [0, 0]) and divisor is None
