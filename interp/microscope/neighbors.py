"""Which units belong together: by the weights between them, and by what they say about the same images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interp import folding, hooks
from interp.spectrum.state import Spectrum

ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.SiLU,
    nn.GELU,
    nn.Hardswish,
    nn.Mish,
    nn.Softplus,
)
Near = dict[tuple[str, int], list[tuple[str, int, float]]]  # {unit: [(layer, channel, how much), ...]}


def units_of(spectrum: Spectrum) -> list[tuple[str, int]]:
    """Return (layer, channel) of all units, in order."""
    return [(name, channel) for name, each in spectrum.layers.items() for channel in range(len(each))]


def correlations(spectrum: Spectrum) -> Tensor:
    """Return (U, U) correlations of all units over the images of the sample; 0 where a unit does not vary.

    Of each two units those images count for which both have a finite score.
    """
    scores = torch.cat([each.scores for each in spectrum.layers.values()]).to(torch.float64)
    finite = torch.isfinite(scores)
    known = torch.where(finite, scores, 0.0)
    middle = known.sum(dim=1, keepdim=True) / finite.sum(dim=1, keepdim=True).clamp(min=1)
    known, there = torch.where(finite, known - middle, 0.0), finite.to(torch.float64)
    both = (there @ there.t()).clamp(min=1)
    sums, squares = known @ there.t(), known.square() @ there.t()
    shared = known @ known.t() - sums * sums.t() / both
    spreads = (squares - sums.square() / both).clamp(min=0).sqrt()
    moving = (spreads > 1e-12) & (spreads.t() > 1e-12)
    found = torch.where(moving, shared / (spreads * spreads.t()).clamp(min=1e-24), 0.0)
    return found.clamp(-1, 1).to(torch.float32)


def spread(spectrum: Spectrum) -> dict[str, Tensor]:
    """Return {layer: (C,)} the standard deviation of each unit over the finite scores of the sample; 0 without any."""
    return {
        name: torch.stack([_deviation(row) for row in each.scores]) for name, each in spectrum.layers.items()
    }


def _deviation(scores: Tensor) -> Tensor:
    finite = scores[torch.isfinite(scores)]
    return finite.std(correction=0) if len(finite) else torch.zeros(())


def linear(model: nn.Module, keep: Sequence[str] = ()) -> nn.Module:
    """Return a copy of a network without its non-linearities, as far as they are layers.

    Args:
        model: the network.
        keep: layers whose own output is looked at.
    """
    plain = folding.fold(model, keep=keep)  # a copy
    for parent in list(plain.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ACTIVATIONS):
                setattr(parent, name, nn.Identity())
    return plain


@torch.inference_mode(False)
@torch.enable_grad()
def expanded_weights(model: nn.Module, lower: str, upper: str, size: int) -> Tensor:
    """Return (C upper, C lower): how much the middle of each upper channel changes with each lower channel.

    The weights of all layers between are multiplied, with the non-linearities taken out, and added over the positions:
    the expanded weights of Voss et al., 2021, https://distill.pub/2020/circuits/visualizing-weights. Where a network
    applies its non-linearity as a function, it cannot be taken out, and these are the gradients at a gray image.

    Args:
        model: the network.
        lower, upper: two layers; the lower one runs first.
        size: the side of the images.
    """
    network = linear(model, [lower, upper])
    gray = hooks.gray(network, (size, size)).requires_grad_()
    found = hooks.run(network, gray, [lower, upper])  # no farther: what comes behind may be for another size
    top = found[upper][0]
    middle = top[:, top.shape[1] // 2, top.shape[2] // 2] if top.ndim == 3 else top
    rows = [
        torch.autograd.grad(value, found[lower], retain_graph=True, allow_unused=True)[0] for value in middle
    ]
    channels = found[lower].shape[1]
    zero = torch.zeros(channels, device=gray.device)
    return torch.stack(
        [zero if row is None else row[0].reshape(channels, -1).sum(dim=1) for row in rows]
    ).cpu()


def strongest(values: Tensor, count: int) -> list[tuple[int, float]]:
    """Return (index, value) of the largest absolute values, none of them 0."""
    order = values.abs().argsort(descending=True, stable=True)[:count].tolist()
    return [(index, float(values[index])) for index in order if values[index] != 0]


def by_correlation(spectrum: Spectrum, count: int) -> Near:
    """Return for each unit the units that say most nearly the same, or the opposite, about the images."""
    units, table = units_of(spectrum), correlations(spectrum)
    table.fill_diagonal_(0)
    return {
        unit: [(*units[index], value) for index, value in strongest(row, count)]
        for unit, row in zip(units, table, strict=True)
    }


def shares(model: nn.Module, spectrum: Spectrum, lower: str, upper: str, size: int) -> Tensor:
    """Return (C upper, C lower): the part that each lower channel has in what moves each upper one, in [-1, 1].

    It is the expanded weight times the lower channel's usual spread; the squares of a row add up to 1.
    """
    moved = expanded_weights(model, lower, upper, size) * spread(spectrum)[lower]
    moved = torch.nan_to_num(moved, posinf=0, neginf=0)  # of weights that are no numbers nothing is known
    length: Tensor = torch.linalg.vector_norm(moved, dim=1, keepdim=True)
    return moved / length.clamp(min=1e-12)


def by_weight(model: nn.Module, spectrum: Spectrum, size: int, count: int) -> tuple[Near, Near]:
    """Return for each unit the units of the layer before that move it most, and those of the layer behind.

    The layers are those of the spectrum, in its order.
    """
    below: Near = {}
    above: Near = {}
    for lower, upper in itertools.pairwise(spectrum.layers):
        table = shares(model, spectrum, lower, upper, size)
        for near, name, other, rows in ((below, upper, lower, table), (above, lower, upper, table.t())):
            for channel, row in enumerate(rows):
                near[name, channel] = [(other, index, value) for index, value in strongest(row, count)]
    return below, above
