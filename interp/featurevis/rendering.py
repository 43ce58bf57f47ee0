"""Rendering: from an objective to pictures."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm import tqdm

from interp import folding, hooks, image
from interp.errors import BadInputError
from interp.featurevis.ascent import BETAS, Ascent, Stage
from interp.featurevis.colors import CONTRAST
from interp.featurevis.compute import PLAIN, Compute
from interp.featurevis.looking import look
from interp.featurevis.objectives import Objective, together
from interp.featurevis.parameterizations import Parameterization, Size, check_size, sides
from interp.featurevis.streams import streams
from interp.featurevis.transforms import STANDARD, Transform
from interp.featurevis.waves import FourierImage

RATE = 0.1
BATCH = 16  # small enough for the caches of a CPU
LISTED = 8  # images that are named where a rendering shows itself


class RenderingWarning(UserWarning):
    """Something about a rendering is not as it should be; the same text is in `Rendering.problems`."""


def two_stages(size: Size = 128, steps: int = 96) -> tuple[Stage, ...]:
    """Return the standard schedule: half of the steps at half the size, then the other half at the size itself.

    Coarse forms are found at a quarter of the cost, and the fine ones get less time to become noise. Sides below 16,
    whose half no image can have, take all steps at once.
    """
    height, width = check_size(size)
    if min(height, width) < 16 or steps < 2:
        return (Stage(size, steps),)
    return (Stage((height // 2, width // 2), steps - steps // 2), Stage(size, steps // 2))


@dataclass(frozen=True)
class Rendering:
    """What a rendering gave.

    Attributes:
        images: (N, 3, H, W) in [0, 1]; with an alpha channel, the colors alone.
        score: (N,), the objective on the images as they are, without transforms.
        history: (steps, N), the objective at each step, under transforms.
        name: the objective's name.
        names: one for each image.
        seed: where the random numbers came from.
        settings: what else decides the result, as plain values.
        snapshots: {step: images after this step}, for the steps that were asked for.
        alpha: (N, 1, H, W) in [0, 1], for parameterizations that have it.
        problems: one text for each image, empty if all is well.
    """

    images: Tensor
    score: Tensor
    history: Tensor
    name: str
    names: tuple[str, ...]
    seed: int
    settings: Mapping[str, object]
    snapshots: Mapping[int, Tensor] = field(default_factory=dict)
    alpha: Tensor | None = None
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Rendering:
        """Return the rendering of one image of the batch."""
        pick = slice(index, index + 1) if index != -1 else slice(-1, None)
        return Rendering(
            images=self.images[pick],
            score=self.score[pick],
            history=self.history[:, pick],
            name=self.names[index],
            names=(self.names[index],),
            seed=self.seed,
            settings=self.settings,
            snapshots={step: images[pick] for step, images in self.snapshots.items()},
            alpha=None if self.alpha is None else self.alpha[pick],
            problems=(self.problems[index],),
        )

    def __repr__(self) -> str:
        """Return names, size, scores and problems, and none of the pixels."""
        count, _, height, width = self.images.shape
        scores = [f"{name} {score:.4g}" for name, score in zip(self.names, self.score.tolist(), strict=True)]
        more = [f"{count - LISTED} more"] if count > LISTED else []
        problems = "".join(f"; {problem}" for problem in filter(None, self.problems[:LISTED]))
        pictures = f"{count} image{'s' * (count != 1)} of {height} x {width}"
        return f"<Rendering, {pictures}, scores: {', '.join([*scores[:LISTED], *more])}{problems}>"

    def _repr_png_(self) -> bytes:
        """Return the picture that notebooks show: all images, what is NaN in black."""
        return image.png(self.images.nan_to_num(0))


def standard_image(size: Size, names: Sequence[str], seed: int = 0) -> FourierImage:
    """Return the parameterization that `render` takes when none is given: waves, with limited contrast."""
    return FourierImage(size, seed=seed, names=names, contrast=CONTRAST)


def render(
    model: nn.Module,
    objective: Objective,
    parameterization: Parameterization | None = None,
    *,
    transforms: Sequence[Transform] = STANDARD,
    steps: int | Sequence[Stage] = 96,
    size: Size = 128,
    rate: float = RATE,
    seed: int = 0,
    snapshots: Iterable[int] = (),
    compute: Compute = PLAIN,
    progress: bool = False,
) -> Rendering:
    """Return images that make an objective large: gradient ascent with Adam, on a folded, frozen copy of the model.

    Args:
        model: takes images (N, 3, H, W) in [0, 1]; any device, any precision (the copy is float32); left as it was.
        objective: what to make large; the sum over the batch is optimized.
        parameterization: where to start, left as it was; without one, `standard_image` with one image, or with as
            many as the objective has `together`.
        transforms: what the images go through before the model, with new random numbers at every step.
        steps: how many, or stages of size and steps. A number means `two_stages(size, steps)` without a
            parameterization, or one stage where the network cannot take half the size, as those for images of one
            size; with a parameterization it means so many steps at its own size.
        size: (height, width), or one number for a square; only used without a parameterization.
        rate: learning rate of Adam. 0.1 suits the standard, 0.05 waves without a limit on the contrast.
        seed: decides the start and the transforms. Image i has its own random numbers, by the name of its objective.
        snapshots: steps, counted from 1, after which the images are kept.
        compute: precision and compilation, for a GPU.
        progress: whether to show a bar.

    Raises:
        BadInputError: no steps, an unknown channel, an objective without a gradient, a size that the network
            cannot take.
        UnknownNameError: an unknown layer.

    Warns:
        RenderingWarning: a dead channel, NaN, or many saturated pixels.
    """
    as_stages(parameterization, steps, size)  # what cannot be is said before the network is copied
    with torch.inference_mode(False):
        network = compute.prepared(folding.fold(model, keep=objective.layers), objective.layers)
    stages = fitting_stages(network, [objective], steps, size, start=parameterization, transforms=transforms)
    total = sum(stage.steps for stage in stages)
    bar = tqdm(total=total, desc=objective.name, disable=not progress, unit="step")
    with bar, torch.inference_mode(False):
        if parameterization is None:
            parameterization = standard_image(stages[0].size, _names(objective), seed)
        ascent = Ascent(network, objective, tuple(transforms), rate, seed, frozenset(snapshots), compute)
        return _told(_rendering(ascent, parameterization, stages, bar.update))


def render_many(
    model: nn.Module,
    objectives: Sequence[Objective],
    *,
    transforms: Sequence[Transform] = STANDARD,
    steps: int | Sequence[Stage] = 96,
    size: Size = 128,
    rate: float = RATE,
    seed: int = 0,
    batch: int = BATCH,
    compute: Compute = PLAIN,
    progress: bool = False,
) -> Iterator[Rendering]:
    """Yield one rendering for each objective, as `render` makes it, computed in batches.

    The batches are objectives[0:batch], objectives[batch:2 * batch], ...: the same batch gives the same pictures.
    Another batch changes a picture only through rounding. Objectives that look at the same layer belong together: a
    batch runs as far as its deepest layer.

    Args:
        model, transforms, steps, size, rate, seed, compute: as for `render`.
        objectives: of one image each.
        batch: how many images at once.
        progress: whether to show a bar.
    """
    if batch < 1:
        raise BadInputError(f"A batch needs at least one image; got {batch}.")
    as_stages(None, steps, size)
    with torch.inference_mode(False):
        layers = {layer for objective in objectives for layer in objective.layers}
        network = compute.prepared(folding.fold(model, keep=layers), layers)
    stages = fitting_stages(network, objectives, steps, size, transforms=transforms)
    batches = [objectives[start : start + batch] for start in range(0, len(objectives), batch)]
    total = len(batches) * sum(stage.steps for stage in stages)
    label = f"{objectives[0].name} to {objectives[-1].name}" if objectives else ""
    with tqdm(total=total, desc=label, disable=not progress, unit="step") as bar:
        for part in batches:
            ascent = Ascent(network, together(part), tuple(transforms), rate, seed, compute=compute)
            rendering = _told(_batch(ascent, stages, bar.update))
            yield from (rendering[index] for index in range(len(rendering)))


def _batch(ascent: Ascent, stages: Sequence[Stage], advance: Callable[[], object]) -> Rendering:
    with torch.inference_mode(False):
        images = standard_image(stages[0].size, _names(ascent.objective), ascent.seed)
        return _rendering(ascent, images, stages, advance)


def _rendering(
    ascent: Ascent, start: Parameterization, stages: Sequence[Stage], advance: Callable[[], object]
) -> Rendering:
    images, log = ascent.run(start, stages, advance)
    with torch.no_grad():
        pixels = images()
    names = _names(ascent.objective, len(pixels))
    return Rendering(
        images=pixels[:, :3].contiguous(),
        score=ascent.final_score(pixels, images.names),
        history=torch.stack(log.scores),
        name=ascent.objective.name,
        names=names,
        seed=ascent.seed,
        settings=_settings(ascent, start, stages),
        snapshots=log.snapshots,
        alpha=pixels[:, 3:] if pixels.shape[1] == 4 else None,
        problems=log.problems(names, pixels),
    )


def _settings(ascent: Ascent, start: Parameterization, stages: Sequence[Stage]) -> dict[str, object]:
    return {
        "parameterization": type(start).__name__,
        "transforms": ", ".join(repr(transform) for transform in ascent.transforms),
        "stages": [[*sides(stage.size), stage.steps] for stage in stages],
        "rate": ascent.rate,
        "betas": list(BETAS),
    }


def as_stages(
    parameterization: Parameterization | None, steps: int | Sequence[Stage], size: Size
) -> tuple[Stage, ...]:
    """Return the stages that `steps` stands for, see `render`.

    Raises:
        BadInputError: a stage without a step, or of a size that no image can have.
    """
    if isinstance(steps, Sequence):
        stages = tuple(Stage(*stage) for stage in steps)
    elif parameterization is None:
        stages = two_stages(size, operator.index(steps))
    else:
        stages = (Stage(parameterization.size, operator.index(steps)),)
    if not stages or min(stage.steps for stage in stages) < 1:
        raise BadInputError(f"A rendering needs at least one step in every stage; got {steps}.")
    for stage in stages:
        check_size(stage.size)
    return tuple(Stage(_plain(stage.size), operator.index(stage.steps)) for stage in stages)


def _plain(size: Size) -> Size:
    """Return a size in numbers of Python: those of numpy print in another way, and settings are compared as text."""
    return sides(size) if isinstance(size, Sequence) else operator.index(size)


def fitting_stages(
    model: nn.Module,
    objectives: Sequence[Objective],
    steps: int | Sequence[Stage],
    size: Size,
    *,
    start: Parameterization | None = None,
    transforms: Sequence[Transform] = STANDARD,
) -> tuple[Stage, ...]:
    """Return the stages that `steps` stands for with this network, see `render`.

    Of the two stages that a number stands for, the first is left out where network or transforms cannot take it.
    """
    stages = as_stages(start, steps, size)
    if isinstance(steps, Sequence) or len(stages) == 1 or not objectives:
        return stages
    layers = tuple({layer: None for objective in objectives for layer in objective.layers})
    return (
        stages
        if takes(model, layers, stages[0].size, transforms)
        else (Stage(stages[-1].size, operator.index(steps)),)
    )


def takes(model: nn.Module, layers: Sequence[str], size: Size, transforms: Sequence[Transform] = ()) -> bool:
    """Return whether a network takes images of a size as far as the layers, under transforms.

    Raises:
        UnknownNameError: a layer or class does not exist.
    """
    try:
        check_takes(model, layers, size, transforms)
    except BadInputError:
        return False
    return True


@torch.no_grad()
def check_takes(
    model: nn.Module, layers: Sequence[str], size: Size, transforms: Sequence[Transform] = ()
) -> None:
    """Run a network on a gray image of a size as far as the layers, so that what it cannot take is said at once.

    Raises:
        BadInputError: it fails; the message says why.
        UnknownNameError: a layer or class does not exist.
    """
    gray = torch.full((1, 3, *sides(size)), 0.5).to(image.device_of(model), image.dtype_of(model))
    with hooks.evaluating(model):
        look(model, gray, layers, transforms, streams(0, "size", ["gray"]))


def _names(objective: Objective, count: int = 1) -> tuple[str, ...]:
    if objective.parts:
        return tuple(part.name for part in objective.parts)
    return (objective.name,) if count == 1 else tuple(f"{objective.name} #{index}" for index in range(count))


def _told(rendering: Rendering) -> Rendering:
    for problem in filter(None, rendering.problems):
        warnings.warn(problem, RenderingWarning, stacklevel=3)
    return rendering
