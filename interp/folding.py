"""A fast, frozen copy of a network: batch norm folded into the convolutions, channels_last, no gradients for weights.

In eval mode a batch norm is a scale and an offset for each channel, which the convolution before it can do as well:
gamma (W x + b - mean) / s + beta = (gamma / s W) x + gamma / s (b - mean) + beta, with s = sqrt(variance + epsilon).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn

from interp import image

TOLERANCE = 1e-3  # of the largest output: more than rounding, far less than a wrong pair
Pair = tuple[nn.Module, str, str]


def fold(model: nn.Module, *, keep: Collection[str] = (), probe: int = 64) -> nn.Module:
    """Return a copy of a network that computes the same, faster: eval mode, float32, frozen, folded, channels_last.

    A convolution and a batch norm are taken for a pair if they follow one another in the same parent. Whether that
    was right is checked: the copy has to give the same outputs for a random image. If not, it stays unfolded.

    Args:
        model: any network that takes images (N, 3, H, W) in [0, 1]; it is left as it was.
        keep: names of convolutions whose own output is looked at, so that they stay as they are.
        probe: the side of the square image that both are compared on.
    """
    plain = copy.deepcopy(model).float().eval().requires_grad_(False)
    pairs = list(_pairs(plain, set(keep)))
    before = _outputs(plain, probe) if pairs else None
    if before is None:
        return _channels_last(plain)
    for parent, conv, norm in pairs:
        _fold_pair(parent, conv, norm)
    after = _outputs(plain, probe)
    if after is None or (before - after).abs().max() > TOLERANCE * before.abs().max():
        plain = copy.deepcopy(model).float().eval().requires_grad_(False)
    return _channels_last(plain)


def _channels_last(model: nn.Module) -> nn.Module:
    return model.to(memory_format=torch.channels_last)


def _pairs(model: nn.Module, keep: set[str]) -> Iterator[Pair]:
    prefix = "model." if isinstance(model, image.Normalized) else ""
    kept = keep | {prefix + name for name in keep}
    for name, parent in model.named_modules():
        for (first, conv), (second, norm) in itertools.pairwise(parent.named_children()):
            if _fits(conv, norm) and f"{name}.{first}".lstrip(".") not in kept:
                yield parent, first, second


def _fits(conv: nn.Module, norm: nn.Module) -> bool:
    # The exact type: subclasses of batch norm often carry an activation.
    return (
        isinstance(conv, nn.Conv2d)
        and type(norm) is nn.BatchNorm2d
        and norm.running_var is not None
        and conv.out_channels == norm.num_features
    )


def _fold_pair(parent: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = getattr(parent, conv_name), getattr(parent, norm_name)
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        factor = factor * norm.weight
    offset = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
    # The same convolution with other weights, so that subclasses keep their own padding.
    conv.weight = _frozen(conv.weight * factor.view(-1, 1, 1, 1))
    conv.bias = _frozen(offset * factor + (norm.bias if norm.affine else 0))
    setattr(parent, norm_name, nn.Identity())


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.float(), requires_grad=False)


@torch.no_grad()
def _outputs(model: nn.Module, side: int) -> Tensor | None:
    """Return what the model gives for one random image; None if it takes something else or returns no tensor."""
    random = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        out = model(random.to(next(model.parameters()).device))
    except (RuntimeError, ValueError, TypeError):
        return None
    return out if isinstance(out, Tensor) else None
