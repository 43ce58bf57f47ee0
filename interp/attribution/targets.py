"""Which score is explained: a class by its index or name, one for each image, any function of the logits, or an aim."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interp.attribution.aims import NAMED_OUTPUT, OUTPUT, Aim
from interp.errors import BadInputError, UnknownNameError

Single = int | str | Callable[[Any], Tensor] | Aim
Target = Single | Tensor | Sequence[Single]


def select(
    logits: Any, target: Target, class_names: Sequence[str] | None = None, *, images: int | None = None
) -> Tensor:
    """Return one score for each image, (N,), in the graph of the logits.

    Args:
        logits: the model's output, (N, classes); anything else needs a function as target.
        target: the index of a class; its name; a function that takes the logits of any number of images and returns
            their scores (N,), such as `lambda z: z[:, 281] - z[:, 282]`; or a list of these, one for each image (for
            indices also an integer tensor). A function gets whatever the model returns.
        class_names: the names of the classes, in order.
        images: how many images there are; without it, as many as the output is long.

    Raises:
        BadInputError: the target is out of range, of a wrong type or length, the names are not as many as the classes,
            or the scores are not finite.
        UnknownNameError: no class has that name; the message lists the closest.
    """
    count = (
        images if images is not None else len(logits) if isinstance(logits, Tensor) and logits.ndim else None
    )
    if callable(target):
        scores = _checked(target(logits), count)
    elif isinstance(target, Sequence) and any(map(callable, target)):
        scores = _each_its_own(logits, each(target, count or len(target)), class_names)
    else:
        matrix = matrix_of(logits)
        scores = matrix.gather(1, _indices(matrix, target, class_names)[:, None])[:, 0]
    if not torch.isfinite(scores).all():
        raise BadInputError("The score is NaN or infinite. Look at the model's weights and at its logits.")
    return scores


def _each_its_own(logits: Any, targets: list[Single], class_names: Sequence[str] | None) -> Tensor:
    """Return the score of each image by its own target, of which some are functions."""
    if isinstance(logits, Tensor) and logits.ndim == 2:
        rows = zip(torch.split(logits, 1), targets, strict=True)
        return torch.cat([select(row, single, class_names) for row, single in rows])
    # What is no table cannot be cut into images: every function gets the whole, and its image's score is taken.
    whole = {
        single: select(logits, single, class_names, images=len(targets)) for single in dict.fromkeys(targets)
    }
    return torch.stack([whole[single][number] for number, single in enumerate(targets)])


def layers_of(target: Target) -> tuple[str, ...]:
    """Return the names that a target looks up inside the network; none for a class or a function of the logits."""
    singles = target if isinstance(target, Sequence) and not isinstance(target, str) else [target]
    # A `featurevis.Objective` is no Aim, and serves: it has layers and is called with what was seen.
    looked = [getattr(single, "layers", ()) if callable(single) else () for single in singles]
    aims = [layers for layers in looked if isinstance(layers, tuple) and layers]
    classes = [OUTPUT] if aims and len(aims) < len(singles) else []
    return tuple(dict.fromkeys([*(layer for layers in aims for layer in layers), *classes]))


def select_inside(
    seen: Mapping[str, Tensor], target: Target, class_names: Sequence[str] | None = None, *, images: int
) -> Tensor:
    """Return one score for each image, (N,), from {layer: activations}, where some targets are aims.

    Args:
        seen: what `layers_of(target)` asks for, with the model's output under "output" where any class is asked for.
        target: an aim, or a list with a target for each image.
        class_names: the names of the classes, in order.
        images: how many images there are.

    Raises:
        BadInputError, UnknownNameError: as for `select`.
    """
    if callable(target):  # an aim
        named = [layer for layer in layers_of(target) if layer.startswith(NAMED_OUTPUT)]
        more = {
            layer: _of_class(seen[OUTPUT], layer.removeprefix(NAMED_OUTPUT), class_names) for layer in named
        }
        return select({**seen, **more}, target, images=images)
    whole: list[Tensor] = []
    for single in each(target, images):
        whole.append(
            select_inside(seen, single, class_names, images=images)
            if layers_of(single)
            else select(seen[OUTPUT], single, class_names, images=images)
        )
    return torch.stack([scores[number] for number, scores in enumerate(whole)])


def _of_class(logits: Any, name: str, class_names: Sequence[str] | None) -> Tensor:
    return select(logits, name, class_names)[:, None]


def names_of(model: nn.Module) -> Sequence[str] | None:
    """Return the names of a model's classes, if it knows them.

    Raises:
        BadInputError: its `class_names` are no sequence.
    """
    names = getattr(model, "class_names", None)
    if names is not None and (isinstance(names, str | Mapping) or not hasattr(names, "__getitem__")):
        raise BadInputError(
            f"model.class_names have to be a list of names, in the order of the outputs, not {type(names).__name__}."
        )
    return None if names is None else list(names)


def each(target: Target, count: int) -> list[Single]:
    """Return the target of each single image, a list of `count` entries.

    Raises:
        BadInputError: a list or tensor has another length than there are images.
    """
    if isinstance(target, str) or callable(target):
        return [target] * count
    if isinstance(target, Tensor):
        target = _from_tensor(target)
    if not isinstance(target, Sequence):
        return [target] * count
    if len(target) != count:
        raise BadInputError(
            f"There are {len(target)} targets for {count} images. Give one target for all, or one for each."
        )
    return list(target)


def _indices(logits: Tensor, target: Target, class_names: Sequence[str] | None) -> Tensor:
    classes = logits.shape[1]
    found = [_index(single, classes, class_names) for single in each(target, len(logits))]
    return torch.tensor(found, device=logits.device)


def _index(target: object, classes: int, class_names: Sequence[str] | None) -> int:
    if isinstance(target, str):
        return _named(target, classes, class_names)
    try:
        index = operator.index(target)  # type: ignore[arg-type]
    except TypeError:
        index = -1
    if isinstance(target, bool) or index < 0 or index >= classes:
        raise BadInputError(
            f"The target {target!r} is none of the {classes} classes: give an index from 0 to {classes - 1}, a class "
            "name, a list with one for each image, or a function of the logits."
        )
    return index


def _named(name: str, classes: int, class_names: Sequence[str] | None) -> int:
    if not class_names:
        raise BadInputError(
            f"The model does not know the names of its classes, so {name!r} cannot be found. Give an index, or set "
            "model.class_names."
        )
    if len(class_names) != classes:
        raise BadInputError(
            f"There are {len(class_names)} class names for {classes} outputs, so it is not certain which one {name!r} "
            "is. Give an index, or set model.class_names right."
        )
    if list(class_names).count(name) > 1:
        raise BadInputError(
            f"Several classes have the name {name!r}. Give the index of the one that you mean."
        )
    if name not in class_names:
        raise UnknownNameError("class", name, class_names)
    return list(class_names).index(name)


def _from_tensor(target: Tensor) -> int | Sequence[int]:
    if target.is_floating_point() or target.dtype == torch.bool or target.ndim > 1:
        raise BadInputError(
            f"A target tensor holds class indices, one or (N,) integers; this one is {target.dtype} with shape "
            f"{tuple(target.shape)}."
        )
    found: int | list[int] = target.tolist()
    return found


def matrix_of(logits: object) -> Tensor:
    """Return the logits if they are a tensor (N, classes), and explain what they are otherwise."""
    if isinstance(logits, Tensor) and logits.ndim == 2:
        return logits
    given = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"type {type(logits).__name__}"
    raise BadInputError(
        f"A class can be chosen where the model returns logits (N, classes); its output has the {given}. Give a "
        "function of the output that returns the scores (N,)."
    )


def _checked(scores: object, count: int | None) -> Tensor:
    if (
        isinstance(scores, Tensor)
        and scores.ndim == 1
        and len(scores) == (len(scores) if count is None else count)
    ):
        return scores
    given = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"type {type(scores).__name__}"
    raise BadInputError(
        f"The target function has to return one score for each image, a tensor ({count or 'N'},); it returned "
        f"something of {given}. For one class c: lambda logits: logits[:, c]."
    )
