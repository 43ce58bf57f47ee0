"""What is looked at in the images of one class, and what of it separates hits from misses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import attribution, hooks
from interp.audit.chance import separation
from interp.audit.plan import Plan
from interp.errors import BadInputError

KINDS = ("region", "unit", "cluster")
ROUNDS = 50  # of k-means: a hundred maps stand still after about ten


@dataclass(frozen=True)
class Finding:
    """Something that separates the hits of a class from its misses.

    Attributes:
        kind: "region", "unit" or "cluster".
        index: of the cell in reading order, of the channel, or of the cluster.
        difference: hits minus misses, in standard deviations over the images.
        chance: how often chance gives such a difference somewhere, over all that was compared.
    """

    kind: str
    index: int
    difference: float
    chance: float


@dataclass(frozen=True)
class Look:
    """What was seen in the images of one class.

    Attributes:
        hits: (N,), whether the network names the class.
        values: {kind: (N, F)}: shares of the heat in each cell, the strongest activation of each channel, and 1 for the
            cluster of each map and 0 for the others.
        peaks: (N, C, 2), row and column where each channel is strongest, as shares of the image; (N, C, 0) for a layer
            without positions.
        findings: what separates the hits from the misses, the surest first; None where there are too few of either.
    """

    hits: Tensor
    values: dict[str, Tensor]
    peaks: Tensor
    findings: tuple[Finding, ...] | None


def examine(
    model: nn.Module,
    images: Tensor,
    target: int,
    layer: str,
    *,
    plan: Plan | None = None,
    tests: int = len(KINDS),
) -> Look:
    """Look at images of one class: what separates those that the network recognizes from those that it does not?

    Where nothing does, something is found nevertheless in at most `plan.level` of all cases, over all kinds and classes
    together: each chance is multiplied by the number of tests (Bonferroni).

    Args:
        model: takes images (N, C, H, W) in [0, 1], returns logits (N, classes).
        images: (N, C, H, W) in [0, 1], all of one class.
        target: the number of the class.
        layer: whose channels are the units, and at which the maps are made (HiResCAM).
        plan: how, see `Plan`.
        tests: how many tests are made in all, three for each class.

    Raises:
        UnknownNameError: there is no such layer.
        BadInputError: the layer has no positions, or there are no tests.
    """
    plan = plan or Plan()
    if tests < 1:
        raise BadInputError(f"At least one test is made; got tests={tests}.")
    heat = attribution.hires_cam(model, images, target, layer)
    found = hooks.activations(model, images, layer).float().cpu()
    shares = regions(heat.cpu(), plan.cells)
    hits = _answers(model, images) == target
    values = {
        "region": shares,
        "unit": found.flatten(2).amax(2),
        "cluster": members(shares, plan.clusters, plan.seed),
    }
    few = min(int(hits.sum()), int((~hits).sum())) < plan.fewest
    findings = None if few else _findings(values, hits, plan, tests)
    return Look(hits, values, _peaks(found), findings)


@torch.no_grad()
def _answers(model: nn.Module, images: Tensor) -> Tensor:
    with hooks.evaluating(model):
        return model(hooks.ready(model, images)).argmax(1).cpu()  # type: ignore[no-any-return]


def regions(heat: Tensor, cells: int) -> Tensor:
    """Return the share of each map's heat in each cell of a grid, (N, cells * cells); 0 for a map without heat."""
    sums = F.adaptive_avg_pool2d(heat[:, None].double(), cells).flatten(1)
    return (sums / sums.sum(1, keepdim=True).clamp(min=1e-30)).float()


def _peaks(found: Tensor) -> Tensor:
    """Return where each channel is strongest, (N, C, 2)."""
    height, width = found.shape[-2:]
    at = found.flatten(2).argmax(2)
    return torch.stack([(at // width + 0.5) / height, (at % width + 0.5) / width], dim=2)


def members(shares: Tensor, count: int, seed: int) -> Tensor:
    """Return which cluster each map belongs to, (N, count) of 0 and 1.

    k-means on the square roots of the shares (the Hellinger distance), as Lapuschkin et al., 2019,
    https://doi.org/10.1038/s41467-019-08987-4, cluster maps to find habits, with a simpler way to cluster.
    """
    points = shares.sqrt()
    middles = _spread(points, count, seed)
    for _ in range(ROUNDS):
        own = F.one_hot(torch.cdist(points, middles).argmin(1), count).float()
        sizes = own.sum(0)[:, None]
        moved = torch.where(sizes > 0, own.T @ points / sizes.clamp(min=1), middles)
        if torch.equal(moved, middles):
            break
        middles = moved
    return own


def _spread(points: Tensor, count: int, seed: int) -> Tensor:
    """Return points far from one another: one at random, then the one that is farthest from those chosen."""
    chosen = [int(torch.randint(len(points), (1,), generator=torch.Generator().manual_seed(seed)))]
    while len(chosen) < count:
        chosen.append(int(torch.cdist(points, points[chosen]).amin(1).argmax()))
    return points[chosen]


def _findings(values: dict[str, Tensor], hits: Tensor, plan: Plan, tests: int) -> tuple[Finding, ...]:
    draws = max(
        999, int(10 * tests / plan.level)
    )  # so that the smallest chance, times the tests, is far below the level
    found = []
    for kind, numbers in values.items():
        apart = separation(numbers, hits, draws=draws, seed=plan.seed)
        pairs = zip(apart.difference.tolist(), apart.chance.tolist(), strict=True)
        found += [Finding(kind, index, d, min(1.0, tests * p)) for index, (d, p) in enumerate(pairs)]
    sure = [one for one in found if one.chance <= plan.level]
    return tuple(sorted(sure, key=lambda one: (one.chance, -abs(one.difference))))
