"""Which labels the places share at which a channel answers most, measured on masks: network dissection.

Bau et al., 2017, https://arxiv.org/abs/1704.05796, with two changes: a channel's places are as many as an average label
covers (they take 0.5 % of all), and the chance level is found by giving the labels to other
objects. Places at a channel's lowest value are none of its own, so that a channel that is mostly zero has fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.errors import BadInputError

NAMED = 3  # labels that a page names


@dataclass(frozen=True)
class Dissection:
    """How the places of C channels agree with K labels.

    Attributes:
        iou: (C, K) intersection over union of a channel's places and the places of a label.
        chance: (C,) what the best label of a channel reaches in one draw of twenty, when the objects exchange labels.
        share: of all places that count as those of a channel.
        inside: (C,) share of a channel's places that lie on an object at all.
        covered: share of all places that objects cover.
    """

    iou: Tensor
    chance: Tensor
    share: float
    inside: Tensor
    covered: float


def cover(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return (N, h, w) in [0, 1]: how much of each cell of a grid masks (N, H, W) cover."""
    return F.adaptive_avg_pool2d(masks[:, None].float(), grid)[:, 0]


def dissect(
    maps: Tensor, covers: Tensor, labels: Tensor, objects: Tensor, *, draws: int = 200, seed: int = 0
) -> Dissection:
    """Return how the strongest places of each channel agree with the labels of the objects there.

    Args:
        maps: (N, C, h, w) activations.
        covers: (N, h, w) how much of each place the labeled object of the image covers.
        labels: (N,) the label of that object, from 0 up; -1 for none.
        objects: (N,) numbers: which object it is. Images of one object exchange their label together, or a channel for
            one object would seem to know its label.
        draws, seed: of the chance level.

    Raises:
        BadInputError: the shapes do not fit, no object covers anything or has a label, or one has two labels.
    """
    n, channels = maps.shape[:2]
    count = int(labels.max()) + 1
    fits = covers.shape == (n, *maps.shape[2:]) and labels.shape == objects.shape == (n,)
    if not fits or count < 1 or not covers.sum() > 0:
        raise BadInputError(
            f"For maps {tuple(maps.shape)} a cover of {tuple(maps.shape[2:])} and a label for each image are "
            f"needed, some of it covered; got {tuple(covers.shape)} and {tuple(labels.shape)}."
        )
    number: Tensor = torch.unique(objects, return_inverse=True)[1]
    kinds = torch.full((int(number.max()) + 1,), -1).scatter_(0, number, labels)
    if not torch.equal(kinds[number], labels):
        raise BadInputError("An object has one label in all its images; here one has several.")
    share = float(covers.mean()) / count
    flat = maps.transpose(0, 1).reshape(channels, -1)
    kept = max(1, round(share * flat.shape[1]))
    lowest = flat.nan_to_num(nan=torch.inf).amin(dim=1, keepdim=True)
    order = flat.nan_to_num(nan=-torch.inf).topk(kept, dim=1).indices
    most = torch.zeros_like(flat).scatter_(1, order, 1.0) * (flat > lowest)
    own = most.sum(dim=1).double()  # (C,): how many are its own; none of a dead channel
    most = most.reshape(channels, n, -1)
    on = (most * covers.reshape(1, n, -1)).sum(dim=2).double()  # (C, N): the part on the image's object
    area = covers.reshape(n, -1).sum(dim=1).double()
    generator = torch.Generator().manual_seed(seed)
    exchanged = (kinds[torch.randperm(len(kinds), generator=generator)][number] for _ in range(draws))
    best = [_iou(on, area, own, each, count).amax(dim=1) for each in exchanged]
    return Dissection(
        _iou(on, area, own, labels, count),
        torch.stack(best).quantile(0.95, dim=0),
        share,
        on.sum(dim=1) / own.clamp(min=1),
        float(covers.mean()),
    )


def _iou(on: Tensor, area: Tensor, own: Tensor, labels: Tensor, count: int) -> Tensor:
    of = (labels[:, None] == torch.arange(count)).double()  # (N, K)
    both = on @ of
    return both / (own[:, None] + area @ of - both).clamp(min=1e-12)


def summary(found: Dissection, channel: int, names: list[str]) -> dict[str, object]:
    """Return what a page says of a channel: its best labels with their IoU, the chance level, the part on objects."""
    order = found.iou[channel].argsort(descending=True)[:NAMED].tolist()
    return {
        "best": [[names[index], round(float(found.iou[channel, index]), 3)] for index in order],
        "chance": round(float(found.chance[channel]), 3),
        "share": round(found.share, 4),
        "inside": round(float(found.inside[channel]), 3),
        "covered": round(found.covered, 3),
    }
