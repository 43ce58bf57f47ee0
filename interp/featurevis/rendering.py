"""Rendering: from an objective to pictures."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Unpack

import torch
from torch import Tensor, nn
from tqdm import tqdm

from interp import folding, hooks, image
from interp.digest import digest
from interp.errors import BadInputError
from interp.featurevis.ascent import BETAS, Ascent, Stage
from interp.featurevis.colors import CONTRAST
from interp.featurevis.looking import look
from interp.featurevis.objectives import IMAGE, Objective, network_layers, together
from interp.featurevis.parameterizations import Parameterization, Size, sides
from interp.featurevis.recipe import Changes, Recipe
from interp.featurevis.streams import streams
from interp.featurevis.transforms import Transform
from interp.featurevis.waves import FourierImage

LISTED = 8  # images that are named where a rendering shows itself


class RenderingWarning(UserWarning):
    """Something about a rendering is not as it should be; the same text is in `Rendering.problems`."""


@dataclass(frozen=True)
class Rendering:
    """What a rendering gave.

    Attributes:
        images: (N, C, H, W) in [0, 1], of as many channels as the network takes; of an alpha channel free.
        score: (N,), the objective on the images as they are, without transforms.
        history: (steps, N), the objective at each step, under transforms.
        name: the objective's name.
        names: one for each image.
        seed: where the random numbers came from.
        settings: what else decides the result, as plain values.
        snapshots: {step: images after this step}, for the steps that were asked for.
        alpha: (N, 1, H, W) in [0, 1], for parameterizations that have it.
        mattered: (N, H, W), where it mattered: the absolute gradient of the pixels, summed over the channels and all
            steps (Hamblin et al., 2024, https://arxiv.org/abs/2402.10039); 0 where a pixel was not free to change.
        steps: (N,), how many steps each image took.
        problems: one text for each image, empty if all is well.
        inputs: what the network takes, and how it is shown.
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
    mattered: Tensor | None = None
    steps: Tensor | None = None
    problems: tuple[str, ...] = ()
    inputs: image.Inputs = image.RGB

    @property
    def pictures(self) -> Tensor:
        """The images as pictures (N, 3, H, W) in [0, 1], to be drawn and written."""
        return self.inputs.pictures(self.images)

    def faded(self, share: float = 0.2, *, smooth: float = 2.0) -> Tensor:
        """Return the pictures with alpha (N, 4, H, W): opaque where it mattered, transparent elsewhere.

        Args:
            share: of the pixels, those that mattered most, which are opaque; the others are as opaque as their value
                is a part of the least of these.
            smooth: the standard deviation in pixels of the blur that the map gets first.

        Raises:
            BadInputError: a share outside of (0, 1], or nothing is known of where it mattered.
        """
        if self.mattered is None or not 0 < share <= 1:
            raise BadInputError(
                f"A share of the pixels lies in (0, 1], and a map of where it mattered is needed; got {share}."
            )
        maps = image.blur(self.mattered[:, None], smooth)
        least = maps.flatten(1).quantile(1 - share, dim=1).clamp(min=torch.finfo(maps.dtype).tiny)
        return torch.cat([self.pictures, (maps / least.view(-1, 1, 1, 1)).clamp(0, 1).to(self.images)], dim=1)

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
            mattered=None if self.mattered is None else self.mattered[pick],
            steps=None if self.steps is None else self.steps[pick],
            problems=(self.problems[index],),
            inputs=self.inputs,
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
        return image.png(self.pictures.nan_to_num(0))


def standard_image(size: Size, names: Sequence[str], seed: int = 0, channels: int = 3) -> FourierImage:
    """Return the parameterization that `render` takes when none is given: waves, with limited contrast."""
    return FourierImage(size, seed=seed, names=names, contrast=CONTRAST, channels=channels)


def render(
    model: nn.Module,
    objective: Objective,
    parameterization: Parameterization | None = None,
    *,
    recipe: Recipe | None = None,
    snapshots: Iterable[int] = (),
    progress: bool = False,
    **changes: Unpack[Changes],
) -> Rendering:
    """Return images that make an objective large: gradient ascent with Adam, on a folded, frozen copy of the model.

    Args:
        model: takes images (N, C, H, W) in [0, 1]; any device, any precision (the copy is float32); left as it was.
        objective: what to make large; the sum over the batch is optimized.
        parameterization: where to start, left as it was; without one, `standard_image` with one image, or with as
            many as the objective has `together`.
        recipe: how, see `Recipe`; the standard one by default.
        snapshots: steps, counted from 1 to the last, after which the images are kept.
        progress: whether to show a bar.
        changes: what differs from the recipe, by the names of its attributes: `size=256, seed=1`.

    Raises:
        BadInputError: no steps, a snapshot after none of them, an unknown channel, an objective without a gradient, a
            size that the network cannot take.
        UnknownNameError: an unknown layer.

    Warns:
        RenderingWarning: a dead channel, NaN, or many saturated pixels.
    """
    recipe = (recipe or Recipe()).changed(**changes)  # what cannot be is said before the network is copied
    kept = _kept(snapshots, _steps(recipe.stages()))
    network = prepared(model, objective.layers, recipe)
    start = parameterization
    stages = fitting_stages(network, [objective], recipe, None if start is None else start.size)
    bar = tqdm(total=_steps(stages), desc=objective.name, disable=not progress, unit="step")
    with bar:
        ascent = Ascent(network, objective, recipe, kept)
        return told(rendered(ascent, start, stages, bar.update))


def render_many(
    model: nn.Module,
    objectives: Sequence[Objective],
    *,
    recipe: Recipe | None = None,
    progress: bool = False,
    **changes: Unpack[Changes],
) -> Iterator[Rendering]:
    """Yield one rendering for each objective, as `render` makes it, computed in batches.

    The batches are objectives[0:batch], objectives[batch:2 * batch], ...: the same batch gives the same pictures.
    Objectives that look at the same layer belong together: a batch runs as far as its deepest layer.

    Args:
        model, recipe, changes: as for `render`.
        objectives: of one image each.
        progress: whether to show a bar.

    Raises:
        BadInputError: as for `render`, or `render` would take other stages for some of them than for others, as it
            does with a network whose deeper layers take images of one size only.
    """
    recipe = (recipe or Recipe()).changed(**changes)
    network = prepared(model, {layer for objective in objectives for layer in objective.layers}, recipe)
    stages = fitting_stages(network, objectives, recipe)
    starts = range(0, len(objectives), recipe.batch)
    batches = [together(objectives[start : start + recipe.batch]) for start in starts]
    label = f"{objectives[0].name} to {objectives[-1].name}" if objectives else ""
    total = len(batches) * _steps(stages)
    with tqdm(total=total, desc=label, disable=not progress, unit="step") as bar:
        for batch in batches:
            ascent = Ascent(network, batch, recipe)
            rendering = told(rendered(ascent, None, stages, bar.update))
            yield from (rendering[index] for index in range(len(rendering)))


def prepared(model: nn.Module, layers: Collection[str], recipe: Recipe) -> nn.Module:
    """Return a folded, frozen copy of a network for objectives that look up these layers."""
    own = network_layers(layers)
    with torch.inference_mode(False):
        return recipe.compute.prepared(folding.fold(model, keep=own), own)


def _kept(snapshots: Iterable[int], steps: int) -> frozenset[int]:
    """Return the steps after which images are kept, if there are such steps."""
    kept = frozenset(snapshots)
    never = sorted((step for step in kept if step not in range(1, steps + 1)), key=str)
    if never:
        raise BadInputError(
            f"Snapshots are taken after the steps 1 to {steps}; there is no step {', '.join(map(repr, never))}."
        )
    return kept


def _steps(stages: Sequence[Stage]) -> int:
    return sum(stage.steps for stage in stages)


@torch.inference_mode(False)
def rendered(
    ascent: Ascent, start: Parameterization | None, stages: Sequence[Stage], advance: Callable[[], object]
) -> Rendering:
    """Climb, and return what came out; a start of None is the standard one."""
    seed, inputs = ascent.recipe.seed, hooks.inputs_of(ascent.network)
    if start is None:
        start = standard_image(stages[0].size, _names(ascent.objective), seed, inputs.channels)
    images, log = ascent.run(start, stages, advance)
    with torch.no_grad():
        pixels, begun = images(), start()
    names = _names(ascent.objective, len(pixels))
    colors, alpha = pixels[:, : inputs.channels], pixels[:, inputs.channels :]
    return Rendering(
        images=colors.contiguous(),
        score=ascent.final_score(pixels, images.names),
        history=torch.stack(log.scores),
        name=ascent.objective.name,
        names=names,
        seed=seed,
        settings=_settings(ascent, start, stages),
        snapshots=log.snapshots,
        alpha=alpha if alpha.shape[1] else None,
        mattered=log.mattered,
        steps=torch.stack(log.moved).sum(0).long(),
        problems=log.problems(names, pixels, begun.to(pixels)),
        inputs=inputs,
    )


def _settings(ascent: Ascent, start: Parameterization, stages: Sequence[Stage]) -> dict[str, object]:
    return {
        "parameterization": type(start).__name__,
        "start": {**start.settings(), "content": _content(start)},
        "transforms": ", ".join(repr(transform) for transform in ascent.recipe.transforms),
        "stages": [[*sides(stage.size), stage.steps] for stage in stages],
        "rate": ascent.recipe.rate,
        "betas": list(BETAS),
        "precision": ascent.recipe.compute.precision,
        **({"redirect": ascent.recipe.redirect} if ascent.recipe.redirect else {}),
    }


def _content(start: Parameterization) -> str:
    """Return a short hash of the numbers that an ascent starts from: images, magnitudes, whatever they were made of."""
    tensors = itertools.chain(start.named_parameters(), start.named_buffers())
    return digest(sorted((name, tensor.detach()) for name, tensor in tensors))[:12]


def fitting_stages(
    model: nn.Module, objectives: Sequence[Objective], recipe: Recipe, start: Size | None = None
) -> tuple[Stage, ...]:
    """Return the stages of a recipe with this network.

    Of the two stages that a number stands for, the first is left out where network or transforms cannot take it.

    Args:
        start: the size of the parameterization, if one is given.

    Raises:
        BadInputError: some of the objectives can take the first stage and others cannot.
    """
    stages = recipe.stages(start)
    if isinstance(recipe.steps, Sequence) or len(stages) == 1 or not objectives:
        return stages
    small, whole = stages[0], Stage(stages[-1].size, _steps(stages))
    every = tuple({layer: None for objective in objectives for layer in objective.layers})
    if takes(model, every, small.size, recipe.transforms):
        return stages
    able = {
        layers: takes(model, layers, small.size, recipe.transforms)
        for layers in dict.fromkeys(objective.layers for objective in objectives)
    }
    if len({*able.values()}) > 1:
        raise BadInputError(_mixture(able, small, whole))
    return stages if all(able.values()) else (whole,)


def _mixture(able: Mapping[tuple[str, ...], bool], small: Stage, whole: Stage) -> str:
    """Say of layers that a small image reaches, and of others that it does not, that they are rendered differently."""
    reached, other = (
        next(", ".join(layers) or IMAGE for layers, good in able.items() if good is wanted)
        for wanted in (True, False)
    )
    small_size, whole_size = sides(small.size), sides(whole.size)
    return (
        f"Alone, {reached} would be rendered in two stages and {other} in one, since it cannot be reached by images of "
        f"{small_size[0]} x {small_size[1]} pixels. Render them apart, or give all the same stages: "
        f"steps=[Stage({whole_size}, {whole.steps})]."
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
    gray = hooks.gray(model, sides(size))
    with hooks.evaluating(model):
        look(model, gray, layers, transforms, streams(0, "size", ["gray"]), beside=gray)


def _names(objective: Objective, count: int = 1) -> tuple[str, ...]:
    if objective.parts:
        return tuple(part.name for part in objective.parts)
    return (objective.name,) if count == 1 else tuple(f"{objective.name} #{index}" for index in range(count))


def told(rendering: Rendering) -> Rendering:
    """Warn of what is not as it should be."""
    for problem in filter(None, rendering.problems):
        warnings.warn(problem, RenderingWarning, stacklevel=3)
    return rendering
