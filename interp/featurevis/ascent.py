"""The optimizer's loop: the only place where anything goes round in a circle."""

from __future__ import annotations

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
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move every parameter along its gradient."""
        self.steps += 1
        first, second = self.betas
        rate = self.rate / (1 - first**self.steps)
        for parameter, gradient, mean, square in zip(
            self.parameters, gradients, self.mean, self.square, strict=True
        ):
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            size = (square / (1 - second**self.steps)).sqrt_().add_(1e-8)
            parameter.addcdiv_(mean, size, value=rate)


@dataclass(frozen=True)
class Log:
    """What is noted at each step.

    Attributes:
        wanted: the steps, counted from 1, after which the images are kept.
        channels: how many of a picture's are colors; one more is alpha.
        scores: (N,) at each step.
        slopes: (N,) at each step, the sum of the absolute gradient of the pixels.
        snapshots: {step: images}.
    """

    wanted: frozenset[int] = frozenset()
    channels: int = 3
    scores: list[Tensor] = field(default_factory=list)
    slopes: list[Tensor] = field(default_factory=list)
    snapshots: dict[int, Tensor] = field(default_factory=dict)

    def add(self, scores: Tensor, gradient: Tensor, images: Parameterization) -> None:
        self.scores.append(scores.detach())
        self.slopes.append(gradient.abs().flatten(1).sum(1))
        if len(self.scores) in self.wanted:
            with torch.no_grad():
                self.snapshots[len(self.scores)] = images()[:, : self.channels].contiguous()

    def problems(self, names: Sequence[str], pixels: Tensor) -> tuple[str, ...]:
        """Return one text for each image, empty if all is well."""
        slopes, scores = torch.stack(self.slopes), torch.stack(self.scores)
        dead = ~(slopes > 0).any(0)
        broken = ~(slopes.isfinite() & scores.isfinite()).all(0)
        full = saturation(pixels[:, : self.channels])  # a transparent or opaque pixel is no black or full one
        marks = zip(names, dead.tolist(), broken.tolist(), full.tolist(), strict=True)
        return tuple(_problem(*mark) for mark in marks)


def _problem(name: str, dead: bool, broken: bool, saturated: float) -> str:
    if broken:
        return f"{name}: the objective or its gradient was not finite at some steps; these were left out."
    if dead:
        return f"{name}: no gradient at any step; the channel is dead for these images. Try another seed or more noise."
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
    """

    network: nn.Module
    objective: Objective
    recipe: Recipe
    snapshots: frozenset[int] = frozenset()

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
            scores = self._score(pixels, random)
            found = torch.autograd.grad(scores.sum(), [pixels, *optimizer.parameters])
            # One image that went wrong must not spoil the others, nor forget what it had reached.
            optimizer.step([gradient.nan_to_num(0, 0, 0) for gradient in found[1:]])
            log.add(scores, found[0], images)
            advance()

    def _score(self, pixels: Tensor, random: Streams) -> Tensor:
        with self.recipe.compute.casting(pixels.device):
            seen = self._look(pixels, self.recipe.transforms, random)
        scores = self.objective({layer: values.float() for layer, values in seen.items()})
        if len(scores) != len(pixels):
            raise BadInputError(
                f"The objective {self.objective.name!r} has to return a score for each image; got {len(scores)} for "
                f"{len(pixels)}."
            )
        if not scores.requires_grad:
            raise BadInputError(
                f"The objective {self.objective.name!r} does not depend on the image, so there is no way up."
            )
        return scores

    @torch.no_grad()
    def final_score(self, pixels: Tensor, names: Sequence[str]) -> Tensor:
        """Return the objective (N,) on the images as they are."""
        random = streams(self.recipe.seed, "last look", names)
        return self.objective(self._look(pixels, (), random))

    def _look(self, pixels: Tensor, transforms: Sequence[Transform], random: Streams) -> dict[str, Tensor]:
        layers, beside = self.objective.layers, self.objective.beside
        return look(self.network, pixels, layers, transforms, random, beside)
