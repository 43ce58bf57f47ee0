"""What an image without its content looks like: the reference that a method starts from or puts in place of pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from interp import image
from interp.errors import BadInputError

Baseline = float | str | Tensor
BLUR = (
    0.05  # standard deviation as a share of the shorter side: objects go, the layout of light and dark stays
)


def fill(images: Tensor, baseline: Baseline) -> Tensor:
    """Return images without content, of the shape and type of `images`.

    Args:
        images: (N, C, H, W) in [0, 1], such as the model takes.
        baseline: a brightness in [0, 1] (0 black, 0.5 gray), "blur", or a tensor that broadcasts to the images.

    Raises:
        BadInputError: the baseline is something else.
    """
    if isinstance(baseline, Tensor):
        return _broadcast(baseline, images)
    if isinstance(baseline, str):
        if baseline != "blur":
            raise BadInputError(
                f'The baseline {baseline!r} is unknown. Give a number in [0, 1], "blur" or a tensor.'
            )
        return image.blur(images, BLUR * min(images.shape[-2:]))
    if not (isinstance(baseline, int | float) and 0 <= baseline <= 1):
        raise BadInputError(f"A baseline is a brightness in [0, 1], not {baseline!r}.")
    return torch.full_like(images, baseline)


def _broadcast(baseline: Tensor, images: Tensor) -> Tensor:
    if not torch.isfinite(baseline).all() or baseline.min() < -1e-3 or baseline.max() > 1 + 1e-3:
        raise BadInputError("The values of a baseline have to be in [0, 1], as those of the images.")
    try:
        return baseline.to(images).expand_as(images)
    except RuntimeError as error:
        raise BadInputError(
            f"A baseline of shape {tuple(baseline.shape)} does not fit images of shape {tuple(images.shape)}."
        ) from error
