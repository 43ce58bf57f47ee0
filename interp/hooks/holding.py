"""How a layer holds channels and positions: (N, C, H, W), (N, H, W, C), or tokens on a grid, (N, T, C).

Nothing in a tensor says which of its axes is what. It is found by what the axes do: where only the lower half of an
image changes, the rows answer in their lower half; where only the right half changes, the columns do in theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from interp.errors import BadInputError

# By how much of an axis the answer has to move, from the one half to the other. Half of it is what a convolution gives;
# channels stay below 0.05, tokens that all look at one another too.
MOVES = 0.1
# Layers that torch defines for (N, C, H, W).
ALWAYS_FIRST = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.Upsample)
KINDS = ("channels first", "channels last", "tokens")
Grid = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Where a layer's output has its channels and its positions.

    Attributes:
        kind: "channels first", (N, C, H, W); "channels last", (N, H, W, C); or "tokens", (N, T, C).
        grid: (rows, columns) of the tokens, row after row.
        before: how many tokens stand before those of the grid, such as a class token; they are set aside.
        after: how many stand behind.
    """

    kind: Literal["channels first", "channels last", "tokens"] = "channels first"
    grid: Grid | None = None
    before: int = 0
    after: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS or (self.kind == "tokens") != (self.grid is not None):
            raise BadInputError(
                f"A layout is one of {', '.join(KINDS)}, and tokens need a grid (rows, columns); got {self}."
            )

    def __str__(self) -> str:
        if self.grid is None:
            return self.kind
        aside = f" and {self.before + self.after} aside" if self.before + self.after else ""
        return f"tokens {self.grid[0]} x {self.grid[1]}{aside}"

    def maps(self, output: Tensor) -> Tensor:
        """Return the output as (N, C, H, W), a view of it.

        Raises:
            BadInputError: the output has another shape.
        """
        self._check(tuple(output.shape))
        if self.kind == "channels last":
            return output.permute(0, 3, 1, 2)
        if self.grid is not None:
            inside = output[:, self.before : self.before + math.prod(self.grid)]
            return inside.transpose(1, 2).reshape(len(output), output.shape[2], *self.grid)
        return output

    def back(self, maps: Tensor, output: Tensor) -> Tensor:
        """Return maps (N, C, H, W) in the order of the output; what was set aside is taken from there."""
        if self.kind == "channels last":
            return maps.permute(0, 2, 3, 1)
        if self.grid is not None:
            behind = output[:, self.before + math.prod(self.grid) :]
            return torch.cat([output[:, : self.before], maps.flatten(2).transpose(1, 2), behind], dim=1)
        return maps

    def _check(self, shape: tuple[int, ...]) -> None:
        if self.grid is None:
            right = len(shape) == 4 or self.kind == "channels first"
        else:
            right = len(shape) == 3 and shape[1] == self.before + math.prod(self.grid) + self.after
        if not right:
            raise BadInputError(
                f"A layer of the layout {self} gives the shape {shape}. Set model.layouts right."
            )


FIRST, LAST = Layout("channels first"), Layout("channels last")


# ------------------------------------------------------------------------------------------------------------
# Which one it is


def questions(images: Tensor) -> Tensor:
    """Return four random images like the given ones: A, B, A above and B below, A at the left and B at the right."""
    shape = (2, *images.shape[1:])
    a, b = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    rows = torch.arange(shape[2])[:, None] >= shape[2] // 2
    columns = torch.arange(shape[3]) >= shape[3] // 2
    return torch.stack([a, b, torch.where(rows, b, a), torch.where(columns, b, a)]).to(images)


@dataclass
class Answers:
    """What the layers said to the four `questions`, as far as it tells their layouts.

    Attributes:
        size: (height, width) of the images.
        grids: sizes of maps that were seen to follow the image, or that a layer of `ALWAYS_FIRST` gave.
        tokens: {number of tokens: their layout, if they lie on a grid}, told by the first layer that has so many. That
            is before they look at one another: each follows its own part of the image, and those beside the grid none.
        shapes: what was heard.
    """

    size: Grid
    grids: set[Grid] = field(default_factory=set)
    tokens: dict[int, Layout | None] = field(default_factory=dict)
    shapes: set[tuple[int, ...]] = field(default_factory=set)

    def hear(self, answer: Tensor, certain: bool = False) -> None:
        """Take note of a layer's output, in the order of the forward pass.

        Args:
            answer: the output.
            certain: whether the layer is one of `ALWAYS_FIRST`. Where each position sees the whole image, as those of a
                small map do, nothing moves; the maps of these layers are known all the same.
        """
        shape = tuple(answer.shape)
        if certain and len(shape) == 4:
            self.grids.add(shape[2:])
        if answer.shape[0] != 4 or shape in self.shapes:
            return
        self.shapes.add(shape)
        if answer.ndim == 3:
            self.tokens.setdefault(shape[1], self._on_a_grid(answer))
        found = _by_answer(answer) if answer.ndim == 4 else None
        if found is not None:
            self.grids.add(_grid(found, shape))

    def layout(self, answer: Tensor) -> Layout | None:
        """Return the layout of a layer with this output, which was heard; None where it cannot be told."""
        if answer.shape[0] != 4:
            return None
        if answer.ndim == 4:
            return _by_answer(answer) or self._by_shape(answer)
        return self.tokens.get(answer.shape[1]) if answer.ndim == 3 else None

    def _by_shape(self, answer: Tensor) -> Layout | None:
        """Positions that all look at one another say nothing by moving; then a known grid has to be found."""
        found = by_shape(tuple(answer.shape), self.size)
        silent = not bool((answer[0] != answer[1]).any())
        if found is None or silent or _grid(found, tuple(answer.shape)) in self.grids:
            return found
        return None

    def _on_a_grid(self, answer: Tensor) -> Layout | None:
        before, after = _constant_ends(answer[0], answer[1])
        grids = [grid for grid in _factors(answer.shape[1] - before - after) if _follows(grid, self.size)]
        found = Layout("tokens", grids[0], before, after) if len(grids) == 1 else None
        # A single token cannot move at all.
        return found if found and MOVES <= _moves(found.maps(answer), (2, 3)) < math.inf else None


def by_shape(shape: tuple[int, ...], size: Grid | None) -> Layout | None:
    """Return the layout of (N, ?, ?, ?) if one of both gives maps of the image's proportions; None if both or none do.

    Args:
        shape: of the output.
        size: (height, width) of the images; None stands for a square.
    """
    if len(shape) != 4:
        return None
    fitting = [layout for layout in (FIRST, LAST) if _follows(_grid(layout, shape), size or (1, 1))]
    return fitting[0] if len(fitting) == 1 or set(shape[1:]) == {1} else None


def _by_answer(answer: Tensor) -> Layout | None:
    first, last = _moves(answer, (2, 3)), _moves(answer, (1, 2))
    if max(first, last) < MOVES or max(first, last) < 2 * min(first, last):
        return None
    return FIRST if first > last else LAST


def _moves(answer: Tensor, axes: Grid) -> float:
    """Return how far, as a share, the answer moves down with the rows and right with the columns (the less)."""
    return min(_move(answer, 2, axes[0]), _move(answer, 3, axes[1]))


def _move(answer: Tensor, mixed: int, axis: int) -> float:
    # A mixed image differs from A in its second half only, from B in its first half only.
    if answer.shape[axis] == 1:
        return math.inf  # it cannot move, and does not speak against it
    late, early = (_middle(answer[mixed] - answer[whole], axis - 1) for whole in (0, 1))
    return late - early if math.isfinite(late - early) else 0.0


def _middle(change: Tensor, axis: int) -> float:
    """Return the middle of the change along an axis, from 0 to 1; NaN where nothing changes."""
    along = change.float().square().transpose(0, axis).flatten(1).sum(dim=1).cpu()
    return float((along * torch.linspace(0, 1, len(along))).sum() / along.sum())


def _grid(layout: Layout, shape: tuple[int, ...]) -> Grid:
    return (shape[2], shape[3]) if layout == FIRST else (shape[1], shape[2])


def _follows(grid: Grid, size: Grid) -> bool:
    """Return whether a grid has the proportions of an image, up to less than one position: a square for a square."""
    return abs(grid[0] * size[1] - grid[1] * size[0]) < max(size)


def _factors(count: int) -> Iterator[Grid]:
    return ((rows, count // rows) for rows in range(1, count + 1) if count % rows == 0)


def _constant_ends(first: Tensor, second: Tensor) -> tuple[int, int]:
    """Return how many tokens (T, C) are the same for two images, at the beginning and at the end."""
    changing = (first != second).any(dim=1).nonzero().flatten().tolist()
    return (changing[0], len(first) - 1 - changing[-1]) if changing else (0, 0)
