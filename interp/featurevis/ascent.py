"""The optimizer's loop: the only place where anything goes round in a circle."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from interp import hooks, image
from interp.errors import BadInputError
from interp.featurevis.looking import look
from interp.featurevis.measures import saturation
from interp.featurevis.objectives import Objective
from interp.featurevis.parameterizations import Parameterization, Size, sides
from interp.featurevis.streams import Streams, streams
from interp.featurevis.transforms import Transform

if TYPE_CHECKING:
    from interp.featurevis.recipe import Recipe  # which is made of stages

BETAS = (0.5, 0.99)
SATURATED = 0.05  # above this share of values that are written as 0 or 255, a rendering says so


class Stage(NamedTuple):
    """So many steps at one size, (height, width) or one number for a square."""

    size: Size
    steps: int


class Adam:
    """Adam (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980), upwards.

    The first step of torch's own loads torch's compiler, which takes seconds: longer than a rendering.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float] = BETAS
    ) -> None:
        self.parameters = list(parameters)
        self.rate, self.betas, self.steps = rate, betas, 0
        self.mean = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.square = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], moving: Tensor | None = None) -> None:
        """Move every parameter along its gradient; those of the images (N,) that are not moving stay as they are."""
        self.steps += 1
        first, second = self.betas
        rate = self.rate / (1 - first**self.steps)
        for parameter, gradient, mean, square in zip(
            self.parameters, gradients, self.mean, self.square, strict=True
        ):
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            size = (square / (1 - second**self.steps)).sqrt_().add_(1e-8)
            push = mean if moving is None else mean * moving.view(-1, *[1] * (mean.ndim - 1))
            parameter.addcdiv_(push, size, value=rate)


class Step(NamedTuple):
    """What one step found.

    Attributes:
        scores: (N,).
        gradient: of the scores with respect to the pixels, (N, C, H, W).
        felt: the same of the goal alone, where something else is added to it.
        moving: (N,), 0 for images that stay as they are; None if all move.
    """

    scores: Tensor
    gradient: Tensor
    felt: Tensor
    moving: Tensor | None


@dataclass
class Log:
    """What is noted at each step.

    Attributes:
        wanted: the steps, counted from 1, after which the images are kept.
        channels: how many of a picture's are colors; one more is alpha.
        scores: (N,) at each step.
        slopes: (N,) at each step, the sum of the absolute gradient of the pixels.
        moved: (N,) at each step, which images were moved.
        mattered: (N, H, W), the absolute gradient of the pixels where they are free, summed over channels and over the
            steps in which the image was moved; None before the first.
        snapshots: {step: images}.
    """

    wanted: frozenset[int] = frozenset()
    channels: int = 3
    scores: list[Tensor] = field(default_factory=list)
    slopes: list[Tensor] = field(default_factory=list)
    moved: list[Tensor] = field(default_factory=list)
    mattered: Tensor | None = None
    snapshots: dict[int, Tensor] = field(default_factory=dict)

    def add(self, step: Step, images: Parameterization) -> None:
        self.scores.append(step.scores.detach())
        self.slopes.append(step.gradient.abs().flatten(1).sum(1))
        self.moved.append(torch.ones_like(self.scores[-1]) if step.moving is None else step.moving)
        with torch.no_grad():
            felt = step.felt.nan_to_num(0, 0, 0).abs().sum(1) * images.free() * self.moved[-1].view(-1, 1, 1)
            self.mattered = felt if self.mattered is None else _spread(self.mattered, felt) + felt
            if len(self.scores) in self.wanted:
                self.snapshots[len(self.scores)] = images()[:, : self.channels].contiguous()

    def problems(self, names: Sequence[str], pixels: Tensor, start: Tensor) -> tuple[str, ...]:
        """Return one text for each image, empty if all is well; what a start has of black and full is its own."""
        slopes, scores = torch.stack(self.slopes), torch.stack(self.scores)
        dead = ~(slopes > 0).any(0)
        broken = ~(slopes.isfinite() & scores.isfinite()).all(0)
        # A transparent or opaque pixel is no black or full one.
        full = saturation(pixels[:, : self.channels]) - saturation(start[:, : self.channels])
        marks = zip(names, dead.tolist(), broken.tolist(), full.tolist(), strict=True)
        return tuple(_problem(*mark) for mark in marks)


def _spread(sums: Tensor, like: Tensor) -> Tensor:
    """Bring maps (N, H, W) to the size of others; the sum over an image stays about what it was."""
    pixels = sums[0].numel() / like[0].numel()
    return image.resize(sums, (like.shape[1], like.shape[2])) * pixels


def _problem(name: str, dead: bool, broken: bool, saturated: float) -> str:
    if broken:
        return f"{name}: the objective or its gradient was not finite at some steps; these were left out."
    if dead:
        return (
            f"{name}: no gradient at any step; the channel is dead for these images. Try another seed, more noise, or "
            "redirect=16."
        )
    if saturated > SATURATED:
        return f"{name}: {saturated:.0%} of the values are black or full. Use a lower rate, or limit the contrast."
    return ""


@dataclass(frozen=True)
class Ascent:
    """Everything that stays the same from step to step.

    Attributes:
        network: frozen, as `folding.fold` makes it.
        objective: as for `render`.
        recipe: transforms, rate, seed, and how the network is computed; the final score is always float32.
        snapshots: the steps after which the images are kept.
        goal: the part of the objective that the map of where it mattered and the level are about; None for all of it.
        level: (N,), what the goal has to reach on an image without transforms for it to be left as it is; None for no
            end before the last step.
    """

    network: nn.Module
    objective: Objective
    recipe: Recipe
    snapshots: frozenset[int] = frozenset()
    goal: Objective | None = None
    level: Tensor | None = None

    def run(
        self, start: Parameterization, stages: Sequence[Stage], advance: Callable[[], object]
    ) -> tuple[Parameterization, Log]:
        """Return where the ascent ends, and what was noted on the way."""
        log = Log(self.snapshots, self._channels(start))
        random = streams(self.recipe.seed, "transforms", start.names)
        with torch.enable_grad():  # the caller may be inside no_grad
            images = copy.deepcopy(start).to(image.device_of(self.network))
            for stage in stages:
                images = images if images.size == sides(stage.size) else images.resized(stage.size)
                self._climb(images, stage.steps, random, log, advance)
        return images, log

    def _channels(self, start: Parameterization) -> int:
        """Return how many channels the network takes, if the start has as many (those of one's own need not say)."""
        channels = hooks.inputs_of(self.network).channels
        if getattr(start, "channels", channels) != channels:
            raise BadInputError(
                f"The start has {start.channels} channels, and the network takes {channels}. Start from "
                f"{type(start).__name__}(size, channels={channels}), or say what the network takes: model.inputs = "
                "image.Inputs(channels=...)."
            )
        return channels

    def _climb(
        self, images: Parameterization, steps: int, random: Streams, log: Log, advance: Callable[[], object]
    ) -> None:
        optimizer = Adam(images.parameters(), self.recipe.rate)
        for _ in range(steps):
            pixels = images()
            moving = self._moving(pixels, images.names)
            if moving is not None and not moving.any():
                return
            with self._redirecting(len(log.scores)):
                scores, felt = self._scores(pixels, random)
                first = (
                    None if felt is scores else torch.autograd.grad(felt.sum(), pixels, retain_graph=True)[0]
                )
                found = torch.autograd.grad(scores.sum(), [pixels, *optimizer.parameters])
            # One image that went wrong must not spoil the others, nor forget what it had reached.
            optimizer.step([gradient.nan_to_num(0, 0, 0) for gradient in found[1:]], moving)
            log.add(Step(scores, found[0], found[0] if first is None else first, moving), images)
            advance()

    def _redirecting(self, step: int) -> contextlib.AbstractContextManager[None]:
        return hooks.redirected(self.network) if step < self.recipe.redirect else contextlib.nullcontext()

    def _scores(self, pixels: Tensor, random: Streams) -> tuple[Tensor, Tensor]:
        """Return the objective and the goal (N,) under transforms."""
        with self.recipe.compute.casting(pixels.device):
            seen = self._look(pixels, self.recipe.transforms, random)
        seen = {layer: values.float() for layer, values in seen.items()}
        scores = self.objective(seen)
        if len(scores) != len(pixels):
            raise BadInputError(
                f"The objective {self.objective.name!r} has to return a score for each image; got {len(scores)} for "
                f"{len(pixels)}."
            )
        if not scores.requires_grad:
            raise BadInputError(
                f"The objective {self.objective.name!r} does not depend on the image, so there is no way up."
            )
        return scores, scores if self.goal is None else self.goal(seen)

    @torch.no_grad()
    def _moving(self, pixels: Tensor, names: Sequence[str]) -> Tensor | None:
        """Return 1 for each image that is below the level, and 0 for the others, (N,)."""
        if self.level is None:
            return None
        reached = self.score_of(self.goal or self.objective, pixels, names)
        return (reached < self.level.to(reached)).to(pixels)

    @torch.no_grad()
    def final_score(self, pixels: Tensor, names: Sequence[str]) -> Tensor:
        """Return the objective (N,) on the images as they are."""
        return self.score_of(self.objective, pixels, names)

    def score_of(self, objective: Objective, pixels: Tensor, names: Sequence[str]) -> Tensor:
        """Return an objective (N,) on images as they are; random is the ground behind transparent ones alone."""
        random = streams(self.recipe.seed, "last look", names)
        return objective(look(self.network, pixels, objective.layers, (), random, objective.beside))

    def _look(self, pixels: Tensor, transforms: Sequence[Transform], random: Streams) -> dict[str, Tensor]:
        layers, beside = self.objective.layers, self.objective.beside
        return look(self.network, pixels, layers, transforms, random, beside)
