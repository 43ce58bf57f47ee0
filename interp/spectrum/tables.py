"""Tables of scores, a row for each image: made by one pass over a source, and the first questions to ask of one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.spectrum.entries import Source, batches, check_source
from interp.spectrum.tracking import scorer


def scores(
    model: nn.Module, layers: Sequence[str], source: Source, *, pool: str = "mean"
) -> dict[str, Tensor]:
    """Return {layer: (N, C) scores} for all N images of a source, in the source's order.

    A table grows with the images; `track` keeps of it what a reader looks at, and grows no more.

    Args:
        model: any network; it stays as it is.
        layers: whose channels are scored.
        source: where the images come from, such as `Folder(path)`.
        pool: "mean", "max" or "center".

    Raises:
        BadInputError: the source is none, or gives no image that can be read.
    """
    check_source(source)
    score = scorer(model, layers, pool=pool)
    rows = [score(batch.images) for batch in batches(source) if len(batch.ids)]
    if not rows:
        raise BadInputError("The source has no image that can be read, so there is nothing to score.")
    return {layer: torch.cat([row[layer] for row in rows]) for layer in rows[0]}


def strongest(scores: Tensor, things: Sequence[Hashable] | None = None, count: int = 9) -> list[int]:
    """Return the numbers of the images with the highest scores, the highest first, one image for each thing.

    Nine images are often not nine things: many images of a set may show the same one.

    Args:
        scores: (N,) one score an image. Of equal scores the smaller number comes first.
        things: N names of what the images show; images with the same name count as one thing. None: all differ.
        count: how many; fewer come where there are fewer things.

    Raises:
        BadInputError: there is not one name for each score, or the count is not positive.
    """
    things = range(len(scores)) if things is None else things
    if scores.ndim != 1 or len(things) != len(scores):
        raise BadInputError(
            f"One name is needed for each of N scores; got {len(things)} for {tuple(scores.shape)}."
        )
    if count < 1:
        raise BadInputError(f"At least one image has to be asked for; got count={count}.")
    found: dict[Hashable, int] = {}
    for number in scores.argsort(descending=True, stable=True).tolist():
        found.setdefault(things[number], number)
        if len(found) == count:
            break
    return list(found.values())


def decided(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of the variance that rows and columns decide, two of (C,), each from 0 to 1.

    What is missing to 1 is their interplay. It is the effect size eta squared of an analysis of variance with two
    factors and one picture for each pair (Fisher, Statistical Methods for Research Workers, 1925, chapter 7).

    Args:
        scores: (R, S, C), such as those of S objects on R grounds in C channels; where nothing varies the shares are
            NaN.

    Raises:
        BadInputError: the table has another shape.
    """
    if scores.ndim != 3:
        raise BadInputError(
            f"A table (rows, columns, channels) is needed; got the shape {tuple(scores.shape)}."
        )
    middle = scores.mean(dim=(0, 1))
    whole = (scores - middle).square().mean(dim=(0, 1))
    rows, columns = ((scores.mean(dim=other) - middle).square().mean(dim=0) / whole for other in (1, 0))
    return rows, columns
