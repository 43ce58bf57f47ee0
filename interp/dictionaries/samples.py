"""The samples of a dictionary: what a layer gives at the positions of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interp import hooks
from interp.errors import BadInputError

BATCH = 32  # images of one forward pass


@torch.no_grad()
def samples(
    model: nn.Module, images: Tensor, layer: str, *, per_image: int | None = None, seed: int = 0
) -> Tensor:
    """Return what a layer gives at the positions of images, (N * positions, C), image after image.

    Args:
        model: any network.
        images: (N, C, H, W) in [0, 1].
        layer: one with channels and positions.
        per_image: how many positions of each image, drawn by the seed without repeats; None takes all.
        seed: of the draws.

    Raises:
        UnknownNameError: the layer does not exist.
        BadInputError: the layer has no positions, or fewer than asked for; or as for `hooks.activations`.
    """
    random = torch.Generator().manual_seed(seed)
    batches = torch.split(hooks.check_images(model, images), BATCH)
    found = (hooks.activations(model, batch, layer) for batch in batches)
    return torch.cat([_drawn(layer, values, per_image, random) for values in found])


def _drawn(layer: str, values: Tensor, per_image: int | None, random: torch.Generator) -> Tensor:
    if values.ndim != 4:
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(values.shape)}, which has no positions. Take one before the pooling."
        )
    rows = values.flatten(2).transpose(1, 2)  # (N, positions, C)
    if per_image is None:
        return rows.flatten(0, 1)
    if not 1 <= per_image <= rows.shape[1]:
        raise BadInputError(
            f"The layer {layer!r} has {rows.shape[1]} positions an image; per_image is {per_image}."
        )
    chosen = [torch.randperm(rows.shape[1], generator=random)[:per_image] for _ in rows]
    return torch.cat([row[places] for row, places in zip(rows, chosen, strict=True)])


def as_samples(activations: Tensor, factors: int) -> Tensor:
    """Return activations (N, C, H, W) or samples (P, C) as samples, float32 on the CPU, and check that they are enough.

    Raises:
        BadInputError: another shape, values that are not finite, fewer samples than factors, or no factor.
    """
    if not isinstance(activations, Tensor) or activations.ndim not in (2, 4):
        found = tuple(activations.shape) if isinstance(activations, Tensor) else type(activations).__name__
        raise BadInputError(f"Activations (N, C, H, W) or samples (P, C) are needed; got {found}.")
    rows = activations if activations.ndim == 2 else activations.permute(0, 2, 3, 1).flatten(0, 2)
    if factors < 1:
        raise BadInputError(f"A dictionary needs at least one factor; got {factors}.")
    if len(rows) < factors:
        raise BadInputError(
            f"{factors} factors need at least as many samples; {_told(activations)}. Give more images, or ask for "
            "fewer factors."
        )
    if not rows.isfinite().all():
        raise BadInputError("The activations hold NaN or infinite numbers, of which no factors can be found.")
    return rows.detach().float().cpu()


def _told(activations: Tensor) -> str:
    if activations.ndim == 2:
        return f"there are {len(activations)}"
    count, _, height, width = activations.shape
    return f"{count} images of {height} x {width} positions are {count * height * width}"


def check_width(rows: Tensor, factors: int, method: str) -> None:
    """Refuse more factors than channels, which some methods cannot find.

    Raises:
        BadInputError: there are more.
    """
    if factors > rows.shape[1]:
        raise BadInputError(
            f"{method} finds at most as many factors as there are channels, here {rows.shape[1]}; got {factors}. A "
            "sparse autoencoder or k-means can have more."
        )
