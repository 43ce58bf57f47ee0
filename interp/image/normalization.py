"""Normalization as the first layer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.image.tensors import check_type


class Normalize(nn.Module):
    """The layer (x - mean) / std, a channel at a time; the first layer of every model here.

    Images on another device or of another precision than the model are brought to those of the model; whole numbers
    are refused, they would be taken for values in [0, 1].

    Args:
        mean, std: three numbers each, for images in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # Not persistent: the numbers belong to the code, and state dicts keep the entries that others expect.
        self.register_buffer("mean", _three("mean", mean), persistent=False)
        self.register_buffer("std", _three("std", std), persistent=False)
        if self.std.min() <= 0:
            raise BadInputError(f"Every std has to be positive; got {std}.")

    def forward(self, images: Tensor) -> Tensor:
        check_type(images)
        return (images.to(self.mean) - self.mean) / self.std

    def inverse(self, values: Tensor) -> Tensor:
        """Return images in [0, 1] from normalized values."""
        return values * self.std + self.mean


def _three(name: str, values: Sequence[float]) -> Tensor:
    numbers = [float(value) for value in values]
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise BadInputError(f"{name} needs three numbers, one for each of red, green and blue; got {values}.")
    return torch.tensor(numbers, dtype=torch.float32).view(1, 3, 1, 1)


class Normalized(nn.Module):
    """A network with its normalization in front: takes images in [0, 1].

    The layers of the network keep their own names: `hooks.find_layer` looks inside. It starts in the mode, on the
    device and with the precision of the network.

    Args:
        model: a network that takes (images - mean) / std.
        mean, std: three numbers each, for images in [0, 1].
        class_names: the names of the outputs, in order; none means those of the network, if it has any.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.model = model
        self.training = model.training
        self.class_names = tuple(class_names or getattr(model, "class_names", None) or ())
        weight: Any = next((p for p in model.parameters() if p.is_floating_point()), None)
        if weight is not None:
            self.normalize.to(device=weight.device, dtype=weight.dtype)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.model(self.normalize(images))
        return out
