"""How right a map is: by what the network does without the pixels, and by where the object is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interp import hooks
from interp.attribution.baselines import Baseline, fill
from interp.attribution.passes import scores
from interp.attribution.targets import Single, Target, each, matrix_of
from interp.errors import BadInputError

# ------------------------------------------------------------------------------------------------------------
# Deletion and insertion


@dataclass(frozen=True)
class Curve:
    """The score while pixels go or come, the hottest first.

    Attributes:
        shares: (S + 1,), the share of pixels that were changed, from 0 to 1.
        scores: (N, S + 1), the score of each image there.
    """

    shares: Tensor
    scores: Tensor

    @property
    def area(self) -> Tensor:
        """The area under each curve (N,): the mean score on the way."""
        return torch.trapezoid(self.scores, self.shares, dim=1)


def deletion(
    model: nn.Module,
    images: Tensor,
    target: Target,
    heat: Tensor,
    *,
    steps: int = 28,
    baseline: Baseline = 0.5,
) -> Curve:
    """Replace the hottest pixels by the baseline, more and more; a good map makes the score fall at once.

    Petsiuk, Das and Saenko, 2018, https://arxiv.org/abs/1806.07421

    Args:
        model: takes images in [0, 1], returns logits; it comes back as it was.
        images: (N, C, H, W) in [0, 1], such as the model takes.
        target: a class, whose probability is the score (the sigmoid of the only logit of a network with one), or a
            function of the logits.
        heat: (N, H, W); equal values are ordered by chance, the same at every call.
        steps: how many equal portions of pixels go.
        baseline: what replaces them: a brightness, "blur", or images.

    Raises:
        BadInputError: images, target, heat or an option do not fit; the message says how to mend it.
    """
    finish = fill(hooks.check_images(model, images).detach(), baseline)
    return _curve(model, images.detach(), finish, target, heat, steps)


def insertion(
    model: nn.Module,
    images: Tensor,
    target: Target,
    heat: Tensor,
    *,
    steps: int = 28,
    baseline: Baseline = "blur",
) -> Curve:
    """Start from the baseline and bring the hottest pixels back; a good map makes the score rise at once.

    Arguments and errors are those of `deletion`. The start is blurred by default: sharp pixels on a flat ground make
    edges that were never in the image.
    """
    start = fill(hooks.check_images(model, images).detach(), baseline)
    return _curve(model, start, images.detach(), target, heat, steps)


def _curve(
    model: nn.Module, start: Tensor, finish: Tensor, target: Target, heat: Tensor, steps: int
) -> Curve:
    if steps < 1:
        raise BadInputError(f"At least 1 step is needed, not {steps}.")
    ranks = _ranks(_fitting(heat, start))
    ways = zip(start, finish, each(target, len(start)), ranks, strict=True)
    values = [_way(model, *way, steps) for way in ways]
    return Curve(torch.linspace(0, 1, steps + 1), torch.stack(values))


def _way(model: nn.Module, start: Tensor, finish: Tensor, target: Single, rank: Tensor, steps: int) -> Tensor:
    """Return the score (S + 1,) while the pixels of growing rank turn from `start` to `finish`."""
    counts = torch.linspace(0, rank.numel(), steps + 1).round().to(rank)
    pictures = torch.where(rank < counts[:, None, None, None], finish, start)
    return scores(model, pictures, target, read=None if callable(target) else _probabilities).cpu()


def _probabilities(logits: object) -> Tensor:
    matrix = matrix_of(logits).float()
    # One logit is that of "yes"; a softmax over it alone would be 1 whatever it says.
    return matrix.sigmoid() if matrix.shape[1] == 1 else matrix.softmax(dim=1)


def _ranks(heat: Tensor) -> Tensor:
    """Return the place of each pixel when sorted by falling heat, (N, H, W), from 0.

    A map that is 0 in large areas would otherwise take these pixels row by row from the top.
    """
    shuffle = torch.randperm(heat[0].numel(), generator=torch.Generator().manual_seed(0)).to(heat.device)
    order = shuffle[heat.flatten(1)[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(order.shape[1], device=heat.device).expand_as(order)
    return torch.zeros_like(order).scatter(1, order, places).view(heat.shape)


# ------------------------------------------------------------------------------------------------------------
# Known masks


def pointing_game(heat: Tensor, masks: Tensor) -> Tensor:
    """Return whether the hottest pixel lies on the object, (N,): 1 or 0, or the share where several are equally hot.

    Zhang et al., 2016, https://arxiv.org/abs/1608.00507, without their margin of 15 pixels. A map that is the same
    everywhere gets the object's share of the image, which is what pointing at random would get.

    Args:
        heat: (N, H, W).
        masks: (N, H, W), bool, true on the object.
    """
    flat, mask = _with_masks(heat, masks)
    hottest = flat == flat.amax(dim=1, keepdim=True)
    hits: Tensor = (hottest & mask).sum(dim=1)
    return hits / hottest.sum(dim=1)


def mass_in_mask(heat: Tensor, masks: Tensor) -> Tensor:
    """Return how much of the positive heat lies on the object, (N,), from 0 to 1; 0 where no heat is positive.

    Args:
        heat: (N, H, W).
        masks: (N, H, W), bool, true on the object.
    """
    flat, mask = _with_masks(heat, masks)
    positive = flat.clamp(min=0)
    return (positive * mask).sum(dim=1) / positive.sum(dim=1).clamp(min=torch.finfo(positive.dtype).tiny)


def top_overlap(first: Tensor, second: Tensor, *, share: float = 0.02) -> Tensor:
    """Return which part of the hottest pixels two maps (N, H, W) have in common, image by image, (N,), from 0 to 1.

    Two unrelated maps have `share` in common. A rank correlation counts all pixels alike, most of which are cold.

    Args:
        first, second: (N, H, W); equal values are ordered by chance, the same at every call.
        share: how many of the pixels count as the hottest.

    Raises:
        BadInputError: the shapes differ, or no pixel or all pixels would be the hottest.
    """
    if first.shape != second.shape or not 0 < share < 1:
        raise BadInputError(
            f"Maps of one shape and a share between 0 and 1 are needed; got {tuple(first.shape)}, "
            f"{tuple(second.shape)} and {share}."
        )
    count = max(1, round(share * _finite(first)[0].numel()))
    both = (_ranks(first) < count) & (_ranks(_finite(second)) < count).to(first.device)
    return both.flatten(1).sum(dim=1) / count


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's rank correlation of two maps (N, H, W), image by image, (N,); 0 where a map is flat.

    Raises:
        BadInputError: the shapes differ, or a value is NaN or infinite.
    """
    if first.shape != second.shape:
        raise BadInputError(
            f"Maps of one shape are needed; got {tuple(first.shape)} and {tuple(second.shape)}."
        )
    pairs = zip(_finite(first), _finite(second), strict=True)
    return torch.stack([_correlation(_mean_ranks(a), _mean_ranks(b)) for a, b in pairs])


def _mean_ranks(values: Tensor) -> Tensor:
    # On the CPU: the ranks are sums in float64, which not every device knows.
    _, inverse, counts = torch.unique(values.flatten().cpu(), return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0) - (counts - 1) / 2
    return ranks[inverse].double()


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    a, b = first - first.mean(), second - second.mean()
    scale = torch.sqrt((a * a).sum() * (b * b).sum())
    together: Tensor = (a * b).sum()
    return together / scale if scale > 0 else torch.zeros_like(scale)


def _with_masks(heat: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    if masks.dtype != torch.bool or masks.shape != heat.shape:
        raise BadInputError(
            f"Masks are bool, of the shape of the heat {tuple(heat.shape)}; these are {masks.dtype} of shape "
            f"{tuple(masks.shape)}."
        )
    return _finite(heat).flatten(1), masks.flatten(1)


def _fitting(heat: Tensor, images: Tensor) -> Tensor:
    wanted = (len(images), *images.shape[-2:])
    if tuple(heat.shape) != wanted:
        raise BadInputError(
            f"The heat has to have the shape {wanted} for these images; it has {tuple(heat.shape)}."
        )
    return _finite(heat).to(images.device)


def _finite(heat: Tensor) -> Tensor:
    if heat.ndim != 3 or not torch.isfinite(heat).all():
        raise BadInputError(
            f"Heat is finite, (N, H, W); this one has the shape {tuple(heat.shape)} or holds NaN."
        )
    return heat
