"""The plane of an atlas: where each point lies, the cells of its grid, and whether neighbors belong together."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interp.errors import BadInputError, MissingExtraError

PERCENTILES, MARGIN = (0.01, 0.99), 0.1  # as in Lucid's notebook of Carter et al., 2019
CLOSENESS = 0.1  # of UMAP's points; less makes denser heaps
SHRINK = 0.01  # of the covariance toward the same variance everywhere, so that it can be inverted
BLOCK = 512  # rows of a table of distances at once


def umap_plane(vectors: Tensor, *, neighbors: int = 20, seed: int = 0) -> Tensor:
    """Return (n, 2) in [0, 1]: a plane in which points with similar directions lie together.

    UMAP (McInnes, Healy and Melville, 2018, https://arxiv.org/abs/1802.03426) of the cosines between the points, seen
    from their average: the zero of a layer that is not behind a ReLU is arbitrary. With the same seed it is the same
    again on the same machine.

    Args:
        vectors: (n, C).
        neighbors: of a point that count as its own; more show more of the whole and less of the detail.
        seed: of UMAP.

    Raises:
        BadInputError: there are fewer than 10 points, or NaN or infinite numbers among them.
        MissingExtraError: umap-learn is not installed.
    """
    make, centered = umap(), _centered(vectors)
    options = {"n_neighbors": min(neighbors, len(vectors) - 1), "min_dist": CLOSENESS, "metric": "cosine"}
    with warnings.catch_warnings(), _threads_kept():
        warnings.simplefilter("ignore")  # of threads, of which a seed leaves one
        found = make(**options, random_state=seed, n_jobs=1).fit_transform(centered.numpy())
    return fitted(torch.from_numpy(found))


@contextlib.contextmanager
def _threads_kept() -> Iterator[None]:
    """Put torch's number of threads back behind the block: libraries that share its pool of threads change it."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def umap() -> Any:
    """Return the class of umap-learn, which takes seconds to import.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtraError("umap-learn", "atlas", "The plane of an atlas") from error
    return UMAP


def pca_plane(vectors: Tensor) -> Tensor:
    """Return (n, 2) in [0, 1]: the two directions in which the points differ most (principal components).

    Raises:
        BadInputError: as for `umap_plane`.
    """
    centered = _centered(vectors).double()
    _, _, directions = torch.linalg.svd(centered.t() @ centered)
    return fitted((centered @ directions[:2].t()).float())


def _centered(vectors: Tensor) -> Tensor:
    if vectors.ndim != 2 or len(vectors) < 10:
        raise BadInputError(f"A plane needs at least 10 points (n, C); got {tuple(vectors.shape)}.")
    if not bool(torch.isfinite(vectors).all()):
        raise BadInputError("There are NaN or infinite activations among the points. Choose another layer.")
    return vectors - vectors.mean(dim=0)


def fitted(plane: Tensor) -> Tensor:
    """Return points (n, 2) in [0, 1] along both axes; what lies far outside is moved to the margin."""
    ends = torch.quantile(plane.double(), torch.tensor(PERCENTILES, dtype=torch.float64), dim=0)
    room = MARGIN * (ends[1] - ends[0])
    inside = plane.double().clamp(ends[0] - room, ends[1] + room)
    inside = inside - inside.amin(dim=0)
    return (inside / inside.amax(dim=0).clamp(min=1e-12)).float()


# ------------------------------------------------------------------------------------------------------------
# Cells


@dataclass(frozen=True)
class Cell:
    """A square of the plane with the points in it.

    Attributes:
        row, column: its place in the grid, from the top left.
        members: (m,) the numbers of its points, those most like their average first.
        mean: (C,) the average of their activations.
    """

    row: int
    column: int
    members: Tensor
    mean: Tensor

    def __len__(self) -> int:
        return len(self.members)


def cells(vectors: Tensor, plane: Tensor, *, grid: int = 20, minimum: int = 5) -> list[Cell]:
    """Return the cells of a grid that hold enough points, row by row.

    Args:
        vectors: (n, C), the activations.
        plane: (n, 2) in [0, 1], x to the right and y down.
        grid: cells along each axis.
        minimum: points that a cell needs.

    Raises:
        BadInputError: the numbers do not fit together, or no cell holds enough points.
    """
    if len(vectors) != len(plane) or grid < 1 or minimum < 1:
        raise BadInputError(
            f"A place for each point, grid >= 1 and minimum >= 1 are needed; got {len(vectors)} points, {len(plane)} "
            f"places, {grid} and {minimum}."
        )
    place = (plane * grid).long().clamp(0, grid - 1)
    number = place[:, 1] * grid + place[:, 0]
    found = [
        _cell(vectors, (number == each).nonzero()[:, 0], divmod(each, grid))
        for each, count in enumerate(torch.bincount(number, minlength=grid**2).tolist())
        if count >= minimum
    ]
    if not found:
        raise BadInputError(
            f"No cell of the grid of {grid} by {grid} holds {minimum} of the {len(vectors)} points. Take a coarser "
            "grid, more images, or more positions of each."
        )
    return found


def _cell(vectors: Tensor, members: Tensor, place: tuple[int, int]) -> Cell:
    mean = vectors[members].mean(dim=0)
    order = (vectors[members] - mean).square().sum(dim=1).argsort(stable=True)
    return Cell(*place, members[order], mean)


def whitening(vectors: Tensor) -> Tensor:
    """Return (C, C), the inverse of the points' covariance, a little shrunk.

    Multiplied with it, the difference of a cell from the average becomes the direction that tells the cell from other
    points best (Fisher, 1936), whatever the axes of the layer.
    """
    centered = _centered(vectors).double()
    covariance = centered.t() @ centered / len(centered)
    same = torch.eye(len(covariance), dtype=torch.float64) * covariance.diagonal().mean().clamp(min=1e-12)
    inverse: Tensor = torch.linalg.inv((1 - SHRINK) * covariance + SHRINK * same)
    return inverse.float()


# ------------------------------------------------------------------------------------------------------------
# Do neighbors belong together?


def agreement(places: Tensor, labels: Sequence[str], groups: Tensor, *, neighbors: int = 10) -> Tensor:
    """Return (n,): the share of each point's nearest neighbors that have its label.

    Args:
        places: (n, 2) in a plane, or (n, C) in the layer itself.
        labels: of the points.
        groups: (n,); points of the same group, such as those of one image, do not count as neighbors.
        neighbors: how many count.

    Raises:
        BadInputError: the lengths differ, or there are not enough points outside of a group.
    """
    if not len(places) == len(labels) == len(groups):
        raise BadInputError(
            f"A label and a group for each point are needed; got {len(places)}, {len(labels)} and {len(groups)}."
        )
    largest = int(torch.unique(groups, return_counts=True)[1].max()) if len(groups) else 0
    if not 1 <= neighbors <= len(places) - largest:
        raise BadInputError(
            f"neighbors has to be from 1 to {len(places) - largest}, the points outside of a group; got {neighbors}."
        )
    known = {name: number for number, name in enumerate(dict.fromkeys(labels))}
    numbers = torch.tensor([known[label] for label in labels])
    return torch.cat(
        [
            (numbers[near] == numbers[part, None]).float().mean(dim=1)
            for part, near in _near(places, groups, neighbors)
        ]
    )


def _near(places: Tensor, groups: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    for part in torch.split(torch.arange(len(places)), BLOCK):
        distances = torch.cdist(places[part].double(), places.double())
        distances[groups[part, None] == groups] = torch.inf
        yield part, distances.topk(count, dim=1, largest=False).indices
