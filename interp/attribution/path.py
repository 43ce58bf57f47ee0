"""Integrated gradients: the gradient added up along a straight path from a baseline to the image.

The maps have to add up to the difference of the scores at both ends. A uniform grid is slow at that, because the score
of a deep network does most of its way in a short part of the path. The path is therefore divided where it misses most.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interp import hooks
from interp.attribution.baselines import Baseline, fill
from interp.attribution.passes import at_once, input_gradient, single
from interp.attribution.targets import Single, Target, each
from interp.errors import BadInputError

HALVED_AT_ONCE = 8  # segments; few enough to choose well, enough for a batch


@dataclass(frozen=True)
class PathIntegral:
    """Integrated gradients and how exact they are.

    Attributes:
        heat: (N, H, W), of both signs, in units of the score.
        difference: (N,), the score of the image minus that of the baseline; what the heat should add up to.
        bound: (N,), what the segments of the path miss, added up without signs, as a share of |difference|.
        gradients: (N,), how many gradients were computed for each image.
    """

    heat: Tensor
    difference: Tensor
    bound: Tensor
    gradients: Tensor

    @property
    def error(self) -> Tensor:
        """The completeness error (N,): |sum of the heat - difference| as a share of |difference|."""
        return _share(self.heat.sum(dim=(1, 2)) - self.difference, self.difference)

    def __repr__(self) -> str:
        """Return the size of the heat and how exact it is, and none of the numbers in it."""
        count, height, width = self.heat.shape
        errors = ", ".join(f"{error:.2g}" for error in self.error.tolist())
        return f"<PathIntegral, {count} maps of {height} x {width}, completeness errors: {errors}>"


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.5,
    tolerance: float = 0.1,
    steps: int = 8,
    max_steps: int = 256,
) -> Tensor:
    """Return the heat of `integrate`, which says its error too.

    Sundararajan, Taly and Yan, 2017, https://arxiv.org/abs/1703.01365

    Returns:
        Heat, (N, H, W), of both signs; over an image it adds up to the difference of the scores. Arguments, warnings
        and errors are those of `integrate`.
    """
    return integrate(
        model, images, target,
        baseline=baseline, tolerance=tolerance, steps=steps, max_steps=max_steps,
    ).heat  # fmt: skip


def integrate(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.5,
    tolerance: float = 0.1,
    steps: int = 8,
    max_steps: int = 256,
) -> PathIntegral:
    """Integrate the gradient along the path from the baseline to each image until the stated error is reached.

    The path starts with `steps` equal segments. Each is checked: the trapezoid rule has to give the difference of the
    scores at its ends. While the misses of all segments, added up without their signs, are more than `tolerance` times
    the whole difference, those that miss most are halved. The completeness error is then at most `tolerance`, and
    mostly far smaller, since the misses of the segments partly cancel. The memory needed is that of a few images in
    the model and of one map (H, W) for each point.

    Args:
        model: takes images in [0, 1], returns logits; it comes back as it was.
        images: (N, C, H, W) in [0, 1], such as the model takes.
        target: a class index or name, a list with one for each image, or a function of the logits.
        baseline: where the path starts: a brightness, "blur", or images.
        tolerance: the largest error; infinity stays with the first, equal segments.
        steps: the number of segments to begin with.
        max_steps: the number of segments at which an image is given up, with a warning.

    Raises:
        BadInputError: images, target or an option do not fit; the message says how to mend it.
        UnknownNameError: there is no class of that name.

    Warns:
        UserWarning: an image was given up; the message says its error.
    """
    if steps < 1 or max_steps < steps or not tolerance >= 0:
        raise BadInputError(
            f"steps starts at 1, max_steps at steps, tolerance at 0; got {steps}, {max_steps} and {tolerance}."
        )
    start = single(fill(hooks.check_images(model, images).detach(), baseline))
    ends = zip(start, single(images.detach()), each(target, len(images)), strict=True)
    each_alone = [_Path(model, *end, steps=steps).refine(tolerance, max_steps).integral() for end in ends]
    integral = PathIntegral(
        heat=torch.stack([one.heat for one in each_alone]).to(images.device, torch.float32),
        difference=torch.stack([one.difference for one in each_alone]).to(images.device),
        bound=torch.stack([one.bound for one in each_alone]).to(images.device),
        gradients=torch.stack([one.gradients for one in each_alone]).to(images.device),
    )
    _warn_of_misses(integral, tolerance, max_steps)
    return integral


class _Path:
    """The points of one path, in order, each with its score and its map of d score / d position, (H, W)."""

    def __init__(self, model: nn.Module, start: Tensor, end: Tensor, target: Single, *, steps: int) -> None:
        self.model, self.start, self.way, self.target = model, start, end - start, target
        self.points = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        self.scores, self.rates = self._visit(self.points)

    def _visit(self, points: Tensor) -> tuple[Tensor, Tensor]:
        scores, rates = [], []
        for some in torch.split(points, at_once(self.start)):
            images = self.start + some.to(self.start)[:, None, None, None] * self.way
            score, gradient = input_gradient(self.model, images, self.target)
            scores.append(score.to(self.start))
            rates.append((gradient.to(self.start) * self.way).sum(dim=1))
        return torch.cat(scores), torch.cat(rates)

    def misses(self) -> Tensor:
        """Return by how much each segment's trapezoid misses the difference of the scores at its ends."""
        slopes = self.rates.sum(dim=(1, 2)).cpu().double()  # not every device knows float64
        estimates = self.points.diff() * (slopes[1:] + slopes[:-1]) / 2
        return (estimates - self.scores.cpu().double().diff()).abs()

    def bound(self) -> Tensor:
        return _share(self.misses().sum(), self.difference().cpu().double())

    def difference(self) -> Tensor:
        return self.scores[-1] - self.scores[0]

    def refine(self, tolerance: float, max_steps: int) -> _Path:
        """Halve the segments that miss most until all together miss at most `tolerance` of the difference."""
        while self.bound() > tolerance and len(self.points) <= max_steps:
            misses = self.misses()
            worst = misses.topk(min(HALVED_AT_ONCE, len(misses), max_steps - len(misses))).indices
            self._halve(worst)
        return self

    def _halve(self, segments: Tensor) -> None:
        middles = (self.points[segments] + self.points[segments + 1]) / 2
        scores, rates = self._visit(middles)
        self.points, order = torch.cat([self.points, middles]).sort()
        order = order.to(scores.device)
        self.scores = torch.cat([self.scores, scores])[order]
        self.rates = torch.cat([self.rates, rates])[order]

    def heat(self) -> Tensor:
        widths = self.points.diff()
        weights = torch.zeros_like(self.points)
        weights[1:] += widths / 2
        weights[:-1] += widths / 2
        return torch.einsum("phw,p->hw", self.rates, weights.to(self.rates))

    def integral(self) -> PathIntegral:
        count = torch.tensor(len(self.points))
        return PathIntegral(self.heat(), self.difference(), self.bound().to(self.scores), count)


def _share(miss: Tensor, whole: Tensor) -> Tensor:
    """Return |miss| / |whole|, and 0 where nothing is missed, even of nothing."""
    return miss.abs() / whole.abs().clamp(min=torch.finfo(whole.dtype).tiny)


def _warn_of_misses(integral: PathIntegral, tolerance: float, max_steps: int) -> None:
    given_up = (integral.bound > tolerance).nonzero().flatten().tolist()
    if given_up:
        errors = ", ".join(f"image {number}: {integral.error[number]:.1%}" for number in given_up)
        warnings.warn(
            f"Integrated gradients stopped at {max_steps} segments before the tolerance of {tolerance:.1%} was "
            f"certain. Completeness errors: {errors}. Raise max_steps or tolerance.",
            stacklevel=3,
        )
