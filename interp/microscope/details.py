"""What the page of one channel shows besides: the score of every image of the sample, and where in a scene it answered.

Both are written as text, since a page that is opened from a folder may load scripts, but no binary file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # as templates/microscope-parts.js has them
FINEST = 64 * 64 - 2  # the largest step of a score; one code more means that there is none
CELLS = 14  # a map is written with at most so many cells a side
LEVELS = 8  # of a cell: two of them are one digit


def scores(values: Sequence[float], low: float, high: float) -> str:
    """Return scores as text, two digits each: their place between the lowest and the highest, in steps of 1/4094.

    >>> scores([0.0, 1.0, float("nan")], 0.0, 1.0)
    'AA_-__'
    """
    return "".join(_digits(value, low, high) for value in values)


def _digits(value: float, low: float, high: float) -> str:
    share = min(max((value - low) / (high - low), 0.0), 1.0) if math.isfinite(value) and high > low else None
    code = FINEST + 1 if share is None else round(share * FINEST)
    return DIGITS[code // 64] + DIGITS[code % 64]


def small(maps: Tensor) -> Tensor:
    """Return (K, n, n) the middle squares of maps (K, H, W), averaged over cells, at most 14 a side."""
    height, width = maps.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = maps[:, top : top + side, left : left + side].float()
    return F.adaptive_avg_pool2d(square[:, None], min(side, CELLS))[:, 0]


def cells(map_: Tensor) -> str:
    """Return a map (n, n) as text, row by row, two cells a digit: eight steps from its lowest to its highest value.

    A map without differences, or with a value that is no number, has the lowest step everywhere.

    >>> cells(torch.tensor([[0.0, 7.0], [1.0, 2.0]]))
    'HK'
    """
    low, high = float(map_.min()), float(map_.max())
    moves = math.isfinite(low) and math.isfinite(high) and high > low
    steps = ((map_.double() - low) / (high - low) * (LEVELS - 1)).round() if moves else torch.zeros_like(map_)
    flat = [int(step) for step in steps.flatten().tolist()]
    flat += [0] * (len(flat) % 2)
    return "".join(DIGITS[LEVELS * one + other] for one, other in zip(flat[::2], flat[1::2], strict=True))
