"""What a vector of a layer speaks for: the logits of a network whose layer says it everywhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interp import folding, hooks
from interp.errors import BadInputError

BATCH = 16  # vectors in a forward pass


@torch.no_grad()
def evidence(model: nn.Module, layer: str, vectors: Tensor, *, middle: Tensor, size: int = 224) -> Tensor:
    """Return (n, classes): how much higher each logit is where a layer says a vector, than where it says the average.

    The layer's output is replaced by the vector at every position, and by the average at every position; the rest of
    the network runs as it is. Where this rest is a mean over the positions and a linear layer, that is the linear layer
    applied to the difference. (Carter et al., 2019, https://distill.pub/2019/activation-atlas, take the gradient of the
    logits at the point instead, a linear approximation of what one position changes.)

    Args:
        model: a network that returns logits (N, classes).
        layer: a layer with positions.
        vectors: (n, C).
        middle: (C,), the average over all points.
        size: side of the images in pixels, which says how many positions there are.

    Raises:
        BadInputError: the network returns something else.
    """
    network = folding.fold(model, keep=[layer])
    gray = hooks.gray(network, (size, size))
    parts = torch.split(torch.cat([middle[None], vectors]), BATCH)
    logits = torch.cat([_logits(network, layer, part, gray) for part in parts])
    return logits[1:] - logits[:1]


def _logits(model: nn.Module, layer: str, vectors: Tensor, gray: Tensor) -> Tensor:
    def said(maps: Tensor) -> Tensor:
        return vectors.to(maps)[:, :, None, None].expand_as(maps).contiguous()

    with hooks.replacing(model, {layer: said}):
        found = model(gray.expand(len(vectors), -1, -1, -1).contiguous())
    if not isinstance(found, Tensor) or found.ndim != 2:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise BadInputError(
            f"The network returns {shape}, not logits (N, classes). Build the atlas without classes: classes=0."
        )
    return found.float().cpu()
