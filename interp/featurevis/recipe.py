"""A recipe: how pictures are made, apart from the network, what is asked of it, and the image it starts from."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, Unpack

from interp.errors import BadInputError
from interp.featurevis.ascent import Stage
from interp.featurevis.compute import PLAIN, Compute
from interp.featurevis.parameterizations import Size, check_size, sides
from interp.featurevis.transforms import STANDARD, Transform

RATE = 0.1
BATCH = 16  # small enough for the caches of a CPU


class Changes(TypedDict, total=False):
    """What may differ from a recipe, by the names of its attributes."""

    transforms: Sequence[Transform]
    steps: int | Sequence[Stage]
    size: Size
    rate: float
    seed: int
    batch: int
    compute: Compute
    redirect: int


@dataclass(frozen=True)
class Recipe:
    """How pictures are made. Every function that renders takes one, and what differs from it by name.

    Attributes:
        transforms: what the images go through before the model, with new random numbers at every step.
        steps: how many, or stages of size and steps. A number means `two_stages(size, steps)` without a
            parameterization, or one stage where the network cannot take half the size, as those for images of one
            size; with a parameterization it means so many steps at its own size.
        size: (height, width), or one number for a square; only used without a parameterization.
        rate: learning rate of Adam. 0.1 suits the standard, 0.05 waves without a limit on the contrast.
        seed: decides the start and the transforms. Image i has its own random numbers, by the name of its objective.
        batch: how many images `render_many` and `render_folder` compute at once. Another one changes a picture only
            through rounding.
        compute: precision and compilation, for a GPU.
        redirect: during how many first steps dead rectifiers let gradient through (`hooks.redirected`), for units that
            no start excites. Lucid takes 16.

    Raises:
        BadInputError: steps that are none, a size that no image can have, a rate that is no number, an empty batch, or
            gradient to be redirected in a compiled network.
    """

    transforms: Sequence[Transform] = STANDARD
    steps: int | Sequence[Stage] = 96
    size: Size = 128
    rate: float = RATE
    seed: int = 0
    batch: int = BATCH
    compute: Compute = PLAIN
    redirect: int = 0

    def __post_init__(self) -> None:
        for name, value in (
            ("transforms", tuple(self.transforms)),
            ("steps", _steps(self.steps)),
            ("size", _plain(self.size)),
            ("rate", _rate(self.rate)),
            ("seed", _whole("seed", self.seed)),
            ("batch", _whole("batch", self.batch)),
            ("redirect", _whole("number of steps to redirect", self.redirect)),
        ):
            object.__setattr__(self, name, value)
        if self.batch < 1:
            raise BadInputError(f"A batch needs at least one image; got {self.batch}.")
        if self.rate < 0:
            raise BadInputError(
                f"The learning rate cannot be negative; got {self.rate}. To minimize: -objective."
            )

        if self.redirect < 0 or (self.redirect and self.compute.compiled):
            raise BadInputError(
                f"Gradient can be redirected for 0 steps or more, and not in a compiled network; got {self.redirect}."
            )

    def changed(self, **changes: Unpack[Changes]) -> Recipe:
        """Return the recipe with other values for some attributes."""
        return replace(self, **changes)

    def stages(self, start: Size | None = None) -> tuple[Stage, ...]:
        """Return the stages that `steps` stands for.

        Args:
            start: the size of the parameterization, if one is given.
        """
        if isinstance(self.steps, tuple):
            return self.steps
        steps = operator.index(self.steps)  # type: ignore[arg-type]
        return two_stages(self.size, steps) if start is None else (Stage(start, steps),)


def two_stages(size: Size = 128, steps: int = 96) -> tuple[Stage, ...]:
    """Return the standard schedule: half of the steps at half the size, then the other half at the size itself.

    Coarse forms are found at a quarter of the cost, and the fine ones get less time to become noise. Sides below 16,
    whose half no image can have, take all steps at once.
    """
    height, width = check_size(size)
    if min(height, width) < 16 or steps < 2:
        return (Stage(size, steps),)
    return (Stage((height // 2, width // 2), steps - steps // 2), Stage(size, steps // 2))


def _steps(steps: int | Sequence[Stage]) -> int | tuple[Stage, ...]:
    """Return steps in numbers of Python.

    Raises:
        BadInputError: it is something else, a stage without a step, or of a size that no image can have.
    """
    try:
        stages = [Stage(*stage) for stage in steps] if isinstance(steps, Sequence) else [Stage(128, steps)]
        counts = [operator.index(stage.steps) for stage in stages]
    except TypeError:
        raise BadInputError(
            f"Steps are a whole number, or stages such as [Stage(64, 48), Stage(128, 48)]; got {steps!r}."
        ) from None
    if not counts or min(counts) < 1:
        raise BadInputError(f"A rendering needs at least one step in every stage; got {steps}.")
    plain = tuple(Stage(_plain(stage.size), count) for stage, count in zip(stages, counts, strict=True))
    return plain if isinstance(steps, Sequence) else plain[0].steps


def _rate(value: float) -> float:
    try:
        rate = float(value + 0.0)  # a text is no number
    except TypeError:
        rate = math.nan
    if not math.isfinite(rate):
        raise BadInputError(f"The learning rate has to be a finite number; got {value!r}.")
    return rate


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise BadInputError(f"The {name} has to be a whole number; got {value!r}.") from None


def _plain(size: Size) -> Size:
    """Return a size in numbers of Python: those of numpy print in another way, and settings are compared as text.

    Raises:
        BadInputError: no image can have it.
    """
    check_size(size)
    return sides(size) if isinstance(size, Sequence) else operator.index(size)
