"""The way of an image through the network, as the pages draw it: blocks in their order, with channels and positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from interp import hooks
from interp.hooks import Survey

LONGEST = 40  # boxes of a drawing; with more of them those of the site remain alone
Box = list[str | int]  # name, channels, positions across


def route(model: nn.Module, layers: Sequence[str], size: int) -> list[Box]:
    """Return [name, channels, positions across] of the blocks that make up the network, in the order of its modules.

    A block that holds a layer of the site is taken apart, others stay whole; what leaves channels and positions as they
    are is left out, unless it is a layer of the site.

    Args:
        model: any network.
        layers: of the site.
        size: the side of the images.
    """
    told = {each.name: each for each in hooks.survey(model, hooks.gray(model, (size, size)))}
    found: list[Box] = []
    for name in _blocks(model, layers):
        shape = _shape(told.get(name))
        if shape and (name in layers or not found or [*shape] != found[-1][1:]):
            found.append([name, *shape])
    return found if len(found) <= LONGEST else [box for box in found if box[0] in layers]


def _blocks(module: nn.Module, layers: Sequence[str], name: str = "") -> Iterator[str]:
    for each, child in module.named_children():
        inner = f"{name}.{each}" if name else each
        if any(layer.startswith(f"{inner}.") for layer in layers) and inner not in layers:
            yield from _blocks(child, layers, inner)
        else:
            yield inner


def _shape(of: Survey | None) -> tuple[int, int] | None:
    """Return the channels and the positions across of what a block gives; None where it cannot be told."""
    if of is None or of.shape is None:
        return None
    if of.layout is not None:
        maps = of.layout.maps(torch.empty(of.shape, device="meta"))
        return maps.shape[1], maps.shape[3]
    return (of.shape[1], 1) if len(of.shape) == 2 else None
