"""How the operations of torch become steps of the lab: one function each, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from interp.lab.graph import AS_IT_IS, SHAPES, Graph, is_mean, shape, users
from interp.lab.steps import (
    INPUT,
    LOGITS,
    MAPS,
    CannotError,
    Given,
    Pair,
    Program,
    Rule,
    Step,
    Translation,
    Value,
)


def program(graph: Graph) -> Program:
    """Return the steps of a network.

    Raises:
        BadInputError: it does what the lab has no step for; the message names all of it.
    """
    return Translation(graph, TABLE).done()


# ------------------------------------------------------------------------------------------------------------
# Steps with weights


def _conv(to: Translation, node: Node, given: Given) -> Value:
    """A convolution: 1x1 is a product, one channel to one channel is depthwise."""
    value = _places(given["input"])
    weight, bias, groups = _fixed(given["weight"]), given["bias"], given["groups"]
    own = to.graph.same_conv(node)
    padding: list[int] | None = (
        _pair(given["padding"]) if isinstance(given["padding"], list | tuple | int) else None
    )
    if own is not None:
        weight, padding = own, None
    elif given["padding"] == "valid":
        padding = [0, 0]
    rows, _, *kernel = weight.shape
    stride, dilation = _pair(given["stride"]), _pair(given["dilation"])
    channels, height, width = rows, *shape(node)[2:]
    form: Step = {"op": "conv", "source": value.name, "kernel": _short(kernel), "stride": _short(stride)}
    if padding is not None:
        form["padding"] = _short(padding)
    if dilation != [1, 1]:
        form["dilation"] = _short(dilation)
    if groups == 1 and (kernel, stride, padding or [0, 0]) == ([1, 1], [1, 1], [0, 0]):
        form = {"op": "product", "source": value.name}
    elif groups == rows == value.channels and _is_simple(form) and value.height == value.width:
        form["op"] = "depthwise"
    elif groups > 1:
        form["groups"] = groups
    bias = torch.zeros(rows) if bias is None else _fixed(bias)
    return to.put(node, Value("", channels, height, width), form, (weight, bias))


def _is_simple(form: Step) -> bool:
    """Return whether the loop for depthwise convolutions can do a convolution."""
    kernel, padding = form["kernel"], form.get("padding", 0)
    simple = isinstance(kernel, int) and isinstance(padding, int) and form["stride"] in (1, 2)
    return simple and "dilation" not in form and padding < kernel  # type: ignore[operator]


def _linear(to: Translation, node: Node, given: Given) -> Value:
    """A linear layer is a product of single places, or a convolution whose kernel is as large as the image."""
    value, weight = given["input"], _fixed(given["weight"])
    if not value.flat and not value.alone:
        raise CannotError(" of the last axis of images")
    rows = len(weight)
    bias = torch.zeros(rows) if given["bias"] is None else _fixed(given["bias"])
    if to.head is not None and node is to.head.linear:
        return _ending(to, node, weight, bias)
    kernel = [value.height, value.width]
    weight = weight.view(rows, value.channels, *kernel)
    form: Step = {"op": "product", "source": value.name}
    if not value.alone:
        form = {"op": "conv", "source": value.name, "kernel": _short(kernel), "stride": 1, "padding": 0}
        form["whole"] = True
    return to.put(node, Value("", rows, 1, 1, flat=True), form, (weight, bias))


def _ending(to: Translation, node: Node, weight: Tensor, bias: Tensor) -> Value:
    """The last linear layer and the mean before it, exchanged: first the maps of the classes, then their mean."""
    last: Value = to.values[to.head.last]  # type: ignore[union-attr]
    rows = len(weight)
    maps = replace(last, channels=rows)
    weight = weight.view(rows, last.channels, 1, 1)
    maps = to.put_as(MAPS, node, maps, {"op": "product", "source": last.name}, (weight, bias))
    return to.put_as(LOGITS, node, Value("", rows, 1, 1, flat=True), {"op": "mean", "source": MAPS}, None)


def _norm(to: Translation, node: Node, given: Given) -> tuple[Value]:
    """A batch norm that no longer learns."""
    value, mean, variance = given["input"], _fixed(given["running_mean"]), _fixed(given["running_var"])
    if value.flat and not value.alone:
        raise CannotError(" of flattened places")
    factor = (variance.double() + given["eps"]).rsqrt()
    if given["weight"] is not None:
        factor = factor * _fixed(given["weight"])
    before = to.step_before(node, value)
    offset = -mean.double() * factor
    if given["bias"] is not None:
        offset = offset + _fixed(given["bias"])
    if before:  # in the order of interp.folding, so that the numbers are the same
        weight, bias = to.weights[value.name]
        offset = (bias - mean) * factor + (0 if given["bias"] is None else _fixed(given["bias"]))
        weight = weight * factor.view(-1, *[1] * (weight.ndim - 1))
        return (to.replaced(node, value, before, (weight.float(), offset.float())),)
    return (to.scaled(node, value, factor, offset),)


def _item(to: Translation, node: Node, given: Given) -> Any:
    found, number = given[0], given[1]  # type: ignore[index]
    if not isinstance(found, tuple) or number >= len(found):
        raise CannotError("")
    return _follows(to, node, found[number])


def _follows(to: Translation, node: Node, value: Value) -> Value:
    """Let a step belong to an operation that changes none of its numbers, and be named by it."""
    before, name = node.args[0], to.graph.name(node)
    if not isinstance(before, Node) or to.owner.get(value.name) is not before or len(users(before)) > 1:
        return value
    to.owner[value.name] = node
    if value.name == INPUT or ":" in name or name == value.name:
        return value
    renamed = replace(value, name=to.free(name))
    everything: tuple[dict[str, Any], ...] = (to.steps, to.weights, to.owner, to.shapes)
    for held in everything:
        if value.name in held:
            held[renamed.name] = held.pop(value.name)
    to.steps[renamed.name]["name"] = renamed.name
    return renamed


# ------------------------------------------------------------------------------------------------------------
# Number by number


def _limits(low: float | None, high: float | None) -> Rule:
    def rule(to: Translation, node: Node, given: Given) -> Value:
        least = given.get("min_val", given.get("min", low)) if low is None else low
        most = given.get("max_val", given.get("max", high)) if high is None and low is None else high
        return _limited(to, node, given["self"], least, most)

    return rule


def _limited(to: Translation, node: Node, value: Value, low: Any, high: Any) -> Value:
    if not isinstance(low, int | float) or isinstance(high, Tensor):
        raise CannotError(" without a lower end")
    ends = [float(low), *([] if high is None else [float(high)])]
    before = to.step_before(node, value)
    if before:
        weights = to.weights[value.name]
        return to.replaced(node, value, {**before, "limits": ends}, weights)
    return to.put(node, value, Step(op="curve", source=value.name, kind="limits", ends=ends))


def _curve(name: str) -> Rule:
    return lambda to, node, given: to.put(
        node, given["self"], Step(op="curve", source=given["self"].name, kind=name)
    )


def _sum(sign: int) -> Rule:
    """Two values, or a value and fixed numbers; other = sign * alpha * other."""

    def rule(to: Translation, node: Node, given: Given) -> Value:
        one, other, factor = given["self"], given["other"], sign * given.get("alpha", 1)
        if isinstance(one, Value) and isinstance(other, Value):
            if factor != 1 or (one.channels, one.height, one.width) != (
                other.channels,
                other.height,
                other.width,
            ):
                raise CannotError(" of values of different sizes, or of a difference")
            return to.put(node, one, Step(op="add", source=one.name, plus=other.name))
        if isinstance(one, Value):
            ones = torch.ones(one.channels).double()
            return to.scaled(node, one, ones, factor * _for_channels(other, one))
        ones = torch.ones(other.channels).double()
        return to.scaled(node, other, factor * ones, _for_channels(one, other))

    return rule


def _times(to: Translation, node: Node, given: Given) -> Value:
    one, other = given["self"], given["other"]
    if isinstance(one, Value) and isinstance(other, Value):
        large, small = (other, one) if one.alone else (one, other)
        alike = (large.height, large.width) == (small.height, small.width)
        if large.channels != small.channels or not (alike or small.alone) or large.flat != small.flat:
            raise CannotError(" of values of different sizes")
        return to.put(node, large, Step(op="multiply", source=large.name, plus=small.name))
    value, fixed = (one, other) if isinstance(one, Value) else (other, one)
    return to.scaled(node, value, _for_channels(fixed, value), torch.zeros(value.channels).double())


def _divided(to: Translation, node: Node, given: Given) -> Value:
    value, other = given["self"], given["other"]
    if not isinstance(value, Value) or isinstance(other, Value):
        raise CannotError(" by a value")
    return to.scaled(node, value, 1 / _for_channels(other, value), torch.zeros(value.channels).double())


def _for_channels(fixed: Any, value: Value) -> Tensor:
    """Return fixed numbers as one for each channel, float64."""
    numbers = torch.as_tensor(fixed).double()
    axes = 2 if value.flat else 4
    if numbers.numel() > 1:
        numbers = (
            numbers.view(*[1] * (axes - numbers.ndim), *numbers.shape) if numbers.ndim < axes else numbers
        )
        if numbers.ndim != axes or numbers.shape[1] != numbers.numel():
            raise CannotError(" with other numbers at every place")
        if value.channels != numbers.numel():
            raise CannotError(" of one channel with several numbers")
    return numbers.flatten().expand(value.channels)


# ------------------------------------------------------------------------------------------------------------
# Channels and places


def _joined(to: Translation, node: Node, given: Given) -> Value:
    values, axes = given["tensors"], len(shape(node))
    if not all(isinstance(one, Value) for one in values) or given["dim"] % axes != 1:
        raise CannotError(" along places, or with fixed numbers")
    if any(one.flat and not one.alone for one in values):
        raise CannotError(" of flattened places")
    names = [one.name for one in values]
    total = sum(one.channels for one in values)
    return to.put(node, replace(values[0], channels=total), Step(op="join", source=names[0], more=names[1:]))


def _shaped(to: Translation, node: Node, given: Given) -> Value:
    """Another shape of the same numbers: flattened, or as single places again."""
    value, new = _given(given), shape(node)
    if new == (1, value.channels * value.height * value.width):
        flat = True
    elif new == (1, value.channels, value.height, value.width):
        flat = False
    else:
        raise CannotError(f" to {' x '.join(map(str, new))}")
    return replace(_follows(to, node, value), flat=flat)


def _as_it_is(to: Translation, node: Node, given: Given) -> Value:
    value = _given(given)
    if given.get("train") and given.get("p"):
        raise CannotError(" in training")
    return _follows(to, node, value)


def _mean(to: Translation, node: Node, given: Given) -> Value:
    value = _places(given["self"])
    if not is_mean(node):
        raise CannotError(" over other axes than height and width")
    result = Value("", value.channels, 1, 1, flat=len(shape(node)) == 2)
    if to.head is not None and node is to.head.pool:
        return result  # it comes behind the linear layer
    return to.put(node, result, Step(op="mean", source=value.name))


def _areas(to: Translation, node: Node, given: Given) -> Value:
    value, (height, width) = _places(given["self"]), shape(node)[2:]
    if is_mean(node):
        return _mean(to, node, given)
    step = Step(op="areas", source=value.name, cells=[height, width])
    return to.put(node, replace(value, height=height, width=width), step)


def _pooled(op: str) -> Rule:
    def rule(to: Translation, node: Node, given: Given) -> Value:
        if op == "average" and is_mean(node):  # of whatever size the image is
            return _mean(to, node, given)
        value, (height, width) = _places(given["self"]), shape(node)[2:]
        if _pair(given.get("dilation", 1)) != [1, 1] or given.get("divisor_override"):
            raise CannotError(" with a dilation or a divisor")
        kernel = _pair(given["kernel_size"])
        step = Step(
            op=op, source=value.name, kernel=_short(kernel), stride=_short(_pair(given["stride"] or kernel))
        )
        step["padding"] = _short(_pair(given["padding"]))
        step |= {"ceil": True} if given["ceil_mode"] else {}
        step |= {"padded": True} if given.get("count_include_pad") else {}
        return to.put(node, replace(value, height=height, width=width), step)

    return rule


def _padded(to: Translation, node: Node, given: Given) -> Value:
    value = _places(given["self"])
    if to.graph.same_conv(node) is not None:
        return _follows(to, node, value)  # the convolution does it
    edges = [*given["pad"], 0, 0, 0, 0][:4]
    zeros = given.get("mode", "constant") == "constant" and not given.get("value")
    if not zeros or min(edges) < 0 or any(given["pad"][4:]):
        raise CannotError(" with anything but zeros around the image")
    size = replace(value, height=value.height + edges[2] + edges[3], width=value.width + edges[0] + edges[1])
    return to.put(node, size, Step(op="zeros", source=value.name, edges=edges))


def _given(given: Given) -> Value:
    value: Value = given["self"] if "self" in given else given["input"]
    return value


def _places(value: Any) -> Value:
    if not isinstance(value, Value) or value.flat:
        raise CannotError(" of flattened places")
    return value


def _fixed(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise CannotError(" with weights that are computed from the image")
    return value


def _pair(value: Any) -> list[int]:
    both: Sequence[int] = value if isinstance(value, list | tuple) else [value]
    return [int(both[0]), int(both[-1])]


def _short(both: Sequence[int]) -> Pair:
    return both[0] if both[0] == both[1] else list(both)


TABLE: MappingProxyType[str, Rule] = MappingProxyType(
    {
        "conv2d": _conv,
        "linear": _linear,
        "_native_batch_norm_legit_no_training": _norm,
        "getitem": _item,
        "relu": _limits(0, None),
        "relu6": _limits(0, 6),
        "hardtanh": _limits(None, None),
        "clamp": _limits(None, None),
        "clamp_min": _limits(None, None),
        **{name: _curve(name) for name in ("sigmoid", "silu", "hardsigmoid", "hardswish")},
        "add": _sum(1),
        "sub": _sum(-1),
        "mul": _times,
        "div": _divided,
        "cat": _joined,
        "max_pool2d": _pooled("most"),
        "avg_pool2d": _pooled("average"),
        "adaptive_avg_pool2d": _areas,
        "mean": _mean,
        **dict.fromkeys(("pad", "constant_pad_nd"), _padded),
        **dict.fromkeys(SHAPES, _shaped),
        **dict.fromkeys(AS_IT_IS, _as_it_is),
    }
)
