"""torch-lucent beside this package: its objectives in our renderer, and its renderer on our networks.

from lucent.optvis import objectives
from interp.extras import lucent

theirs = objectives.channel("blocks_3_2", 42)
featurevis.render(model, lucent.objective(theirs, ["blocks.3.2"]))      # their objective, our renderer
lucent.render(model, theirs, size=128, steps=256)                       # their objective, their renderer
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp import hooks, image
from interp.errors import BadInputError, MissingExtraError
from interp.featurevis import IMAGE, OUTPUT, Objective

LucentObjective = Callable[[Callable[[str], Tensor]], Tensor]
PADDING = 12  # pixels that its first transform adds at each side


def layer_name(model: nn.Module, layer: str) -> str:
    """Return lucent's name for a layer: underscores for dots, and the wrapper of the normalization in front."""
    return hooks.full_name(model, layer).replace(".", "_")


def objective(theirs: LucentObjective, layers: Sequence[str]) -> Objective:
    """Turn a lucent objective, which is a loss for a batch, into a score for each image.

    Args:
        theirs: as `lucent.optvis.objectives` makes it, for single images (without `batch`).
        layers: our names of the layers that it looks at; IMAGE is lucent's "input", OUTPUT its "labels".
    """
    special = {IMAGE: "input", OUTPUT: "labels"}
    names = {special.get(layer, layer.replace(".", "_")): layer for layer in layers}

    def score(seen: Any) -> Tensor:
        count = len(next(iter(seen.values())))
        one = [lambda name, place=place: seen[names[name]][place : place + 1] for place in range(count)]
        return torch.stack([-theirs(look) for look in one])

    return Objective(score, tuple(layers), getattr(theirs, "name", "lucent"))


def render(
    model: nn.Module,
    theirs: LucentObjective,
    *,
    size: int = 128,
    steps: int = 256,
    batch: int = 1,
    seed: int = 0,
    input_size: int | None = None,
) -> Tensor:
    """Render with lucent's own loop, parameterization, transforms and optimizer: (batch, 3, size, size) in [0, 1].

    Four of its defaults are changed, so that the comparison is fair: it does not normalize (our networks carry their
    own normalization), it does not enlarge to 224 pixels, the weights are frozen, and it works on a copy, since its
    hooks stay on the network.

    Args:
        model: takes images (N, 3, H, W) in [0, 1]; it is left as it was.
        theirs: as `lucent.optvis.objectives` makes it, with lucent's layer names (see `layer_name`).
        size: side of the images.
        steps: of its optimizer.
        batch: how many images; the objective says which image it is for.
        seed: for the global generators that lucent draws from; they are put back afterwards.
        input_size: what the network gets, in pixels; None for the size after lucent's own padding, so that nothing
            is resized and the network sees the forms as large as they are stored.

    Raises:
        MissingExtraError: torch-lucent is not installed.
        BadInputError: the network takes other images than RGB.
    """
    try:
        from lucent.optvis import param
        from lucent.optvis.render import render_vis
    except ImportError as error:
        raise MissingExtraError("torch-lucent", "lucent", "Rendering with lucent") from error
    if hooks.inputs_of(model).channels != image.RGB.channels:
        raise BadInputError(
            "lucent renders RGB images only, and this network takes others. Use featurevis.render."
        )
    network = copy.deepcopy(model).eval().requires_grad_(False)
    with _seeded(seed), torch.enable_grad():
        found = render_vis(
            network,
            theirs,
            lambda: param.image(size, batch=batch),
            thresholds=(steps,),
            preprocess=False,
            progress=False,
            show_image=False,
            fixed_image_size=input_size or size + 2 * PADDING,
        )
    return torch.from_numpy(found[-1]).permute(0, 3, 1, 2).contiguous()


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch and numpy inside the block, and put them back behind it."""
    state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)
