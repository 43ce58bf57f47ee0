"""A small convolutional network, small enough to be trained in a chapter."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.image import Normalize

CHANNELS = (32, 64, 128)
POSITIONS = 6  # along each side, in front of the linear layers
# Close to the mean and the spread of photographs in general; batch norm behind makes up for the rest.
MEAN, STD = (0.45, 0.45, 0.45), (0.25, 0.25, 0.25)


class SimpleCNN(nn.Module):
    """Three convolutions with batch norm and pooling, then two linear layers; returns logits (N, classes).

    Takes images (N, 3, H, W) in [0, 1] of any size from 8 pixels on: `pool` averages what the convolutions leave into
    6 x 6 positions, and of 48 pixels they leave just that.

    Layers: normalize, conv1, bn1, relu1, pool1, ..., pool3, pool, fc1, relu4, dropout, fc2.

    Args:
        classes: the names of the classes, or how many there are.
        hidden: the channels of the first linear layer.
        dropout: the share of values that training sets to zero before each linear layer.
        seed: the starting weights depend on it alone; torch's global random numbers stay as they are.

    Raises:
        BadInputError: fewer than two classes, or a number out of range.
    """

    class_names: tuple[str, ...]

    def __init__(
        self, classes: int | Sequence[str] = 10, *, hidden: int = 128, dropout: float = 0.3, seed: int = 0
    ) -> None:
        super().__init__()
        names = list(classes) if isinstance(classes, Iterable) else _numbered(operator.index(classes))
        if isinstance(classes, str) or len(names) < 2 or hidden < 1 or not 0 <= dropout < 1:
            raise BadInputError(
                f"At least two classes, one hidden channel and a dropout in [0, 1) are needed; got "
                f"classes={classes!r}, hidden={hidden}, dropout={dropout}."
            )
        self.class_names = tuple(names)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(len(names), hidden, dropout)

    def _build(self, classes: int, hidden: int, dropout: float) -> None:
        self.normalize = Normalize(MEAN, STD)
        for number, (inside, outside) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False), start=1):
            # Batch norm subtracts the mean, so a bias before it would be lost.
            self.add_module(f"conv{number}", nn.Conv2d(inside, outside, 3, padding=1, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outside))
            self.add_module(f"relu{number}", nn.ReLU())
            self.add_module(f"pool{number}", nn.MaxPool2d(2))
        self.pool = nn.AdaptiveAvgPool2d(POSITIONS)
        self.fc1 = nn.Linear(CHANNELS[-1] * POSITIONS**2, hidden)
        self.relu4 = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        # Channels last is the order of memory in which convolutions on a processor run fastest.
        values = self.normalize(images).contiguous(memory_format=torch.channels_last)
        for number in range(1, len(CHANNELS) + 1):
            for kind in ("conv", "bn", "relu", "pool"):
                values = self.get_submodule(f"{kind}{number}")(values)
        values = self.dropout(self.pool(values).flatten(1))
        out: Tensor = self.fc2(self.dropout(self.relu4(self.fc1(values))))
        return out


def _numbered(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]
