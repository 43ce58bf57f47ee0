"""Which score is explained: a class by its index or name, one for each image, or any function of the logits."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from interp.errors import BadInputError, UnknownNameError

Single = int | str | Callable[[Tensor], Tensor]
Target = Single | Tensor | Sequence[Single]


def select(logits: Tensor, target: Target, class_names: Sequence[str] | None = None) -> Tensor:
    """Return one score for each image, (N,), in the graph of the logits.

    Args:
        logits: the model's output, (N, classes).
        target: the index of a class; its name; a function that takes the logits of any number of images and returns
            their scores (N,), such as `lambda z: z[:, 281] - z[:, 282]`; or a list of these, one for each image (for
            indices also an integer tensor).
        class_names: the names of the classes, in order.

    Raises:
        BadInputError: the target is out of range, of a wrong type or length, or the scores are not finite.
        UnknownNameError: no class has that name; the message lists the closest.
    """
    if callable(target):
        scores = _checked(target(logits), logits)
    elif isinstance(target, Sequence) and any(map(callable, target)):
        rows = zip(torch.split(_matrix(logits), 1), each(target, len(logits)), strict=True)
        scores = torch.cat([select(row, single, class_names) for row, single in rows])
    else:
        matrix = _matrix(logits)
        scores = matrix.gather(1, _indices(matrix, target, class_names)[:, None])[:, 0]
    if not torch.isfinite(scores).all():
        raise BadInputError("The score is NaN or infinite. Look at the model's weights and at its logits.")
    return scores


def names_of(model: nn.Module) -> Sequence[str] | None:
    """Return the names of a model's classes, if it knows them."""
    names: Sequence[str] | None = getattr(model, "class_names", None)
    return names


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
        return _named(target, class_names)
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


def _named(name: str, class_names: Sequence[str] | None) -> int:
    if class_names is None:
        raise BadInputError(
            f"The model does not know the names of its classes, so {name!r} cannot be found. Give an index, or set "
            "model.class_names."
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


def _matrix(logits: object) -> Tensor:
    if isinstance(logits, Tensor) and logits.ndim == 2:
        return logits
    given = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"type {type(logits).__name__}"
    raise BadInputError(
        f"A class can be chosen where the model returns logits (N, classes); its output has the {given}. Give a "
        "function of the output that returns the scores (N,)."
    )


def _checked(scores: object, logits: object) -> Tensor:
    count = len(logits) if isinstance(logits, Tensor) else None
    if isinstance(scores, Tensor) and scores.ndim == 1 and len(scores) == (count or len(scores)):
        return scores
    given = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"type {type(scores).__name__}"
    raise BadInputError(
        f"The target function has to return one score for each image, a tensor ({count or 'N'},); it returned "
        f"something of {given}. For one class c: lambda logits: logits[:, c]."
    )
