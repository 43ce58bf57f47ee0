"""Points of an atlas: what a layer gives at random positions of many images."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from interp import folding, hooks, runs
from interp.errors import BadInputError, DamagedFileError
from interp.spectrum import Batch, Entry, Source, batches

BATCH = 16  # images in a forward pass; another number may round differently
PRIME = 1_000_003  # so that the positions of two seeds have nothing to do with one another


@dataclass(frozen=True)
class Points:
    """What a layer gives at some positions of some images.

    Attributes:
        ids: (n,) int64, of the image of each point.
        positions: (n, 2) int64, row and column in the layer.
        vectors: (n, C) float32, the activations there.
        labels: of the image of each point; empty where it has none.
    """

    ids: Tensor
    positions: Tensor
    vectors: Tensor
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, chosen: Tensor) -> Points:
        """Return the points with these numbers."""
        labels = tuple(self.labels[place] for place in chosen.tolist())
        return Points(self.ids[chosen], self.positions[chosen], self.vectors[chosen], labels)


def sample(
    model: nn.Module,
    layer: str,
    images: Source | Iterable[Entry],
    *,
    positions: int = 4,
    seed: int = 0,
    progress: bool = False,
) -> Points:
    """Return what a layer gives at random positions of each image; those at the border are left out.

    Which positions they are depends on the seed and on the number of the image alone. An image that cannot be decoded
    gives no points.

    Args:
        model: any network for images (N, C, H, W) in [0, 1].
        layer: a layer with positions, (N, C, H', W').
        images: a source, or entries of one.
        positions: of each image; fewer where the layer has fewer.
        seed: of the positions.
        progress: whether to show a bar.

    Raises:
        UnknownNameError: there is no such layer.
        BadInputError: the layer has no positions, or positions is below 1.
    """
    if positions < 1:
        raise BadInputError(f"At least one position of each image is needed; got {positions}.")
    hooks.find_layer(model, layer)
    network = folding.fold(model, keep=[layer])
    bar = tqdm(desc="positions of images", unit=" images", disable=not progress)
    with bar, torch.no_grad():
        return joined([_of_batch(network, layer, batch, positions, seed, bar) for batch in _full(images)])


def _full(images: Source | Iterable[Entry]) -> Iterator[Batch]:
    return (batch for batch in batches(images, size=BATCH) if len(batch.ids))


def _of_batch(model: nn.Module, layer: str, batch: Batch, count: int, seed: int, bar: tqdm) -> Points:  # type: ignore[type-arg]
    maps = hooks.run(model, batch.images.to(hooks.device_of(model)), [layer])[layer].float().cpu()
    if maps.ndim != 4:
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(maps.shape)}; an atlas needs positions (N, C, H, W)."
        )
    found = []
    for place, id_ in enumerate(batch.ids.tolist()):
        where = random_positions(maps.shape[2:], count, seed, id_)
        vectors = maps[place][:, where[:, 0], where[:, 1]].t()
        found.append(
            Points(torch.full((len(where),), id_), where, vectors, (batch.labels[place],) * len(where))
        )
    bar.update(len(batch.ids))
    return joined(found)


def random_positions(grid: Sequence[int], count: int, seed: int, id_: int) -> Tensor:
    """Return (count, 2) different positions (row, column) of a grid, without its border where it is larger than 2.

    Args:
        grid: rows and columns.
        count: how many; fewer where there are fewer.
        seed, id_: of the atlas, and of the image.
    """
    rim = [int(side > 2) for side in grid[:2]]
    rows, columns = (side - 2 * border for side, border in zip(grid[:2], rim, strict=True))
    order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(seed * PRIME + id_))[
        :count
    ]
    return torch.stack([order // columns + rim[0], order % columns + rim[1]], dim=1)


def joined(parts: Sequence[Points]) -> Points:
    """Return all points of some parts, in order.

    Raises:
        BadInputError: there are none.
    """
    if not parts:
        raise BadInputError("There is no image that can be decoded, so an atlas has nothing to show.")
    tensors = (torch.cat([getattr(part, name) for part in parts]) for name in ("ids", "positions", "vectors"))
    ids, positions, vectors = tensors
    return Points(ids, positions, vectors, tuple(label for part in parts for label in part.labels))


# ------------------------------------------------------------------------------------------------------------
# Kept shard by shard


def kept(
    model: nn.Module,
    layer: str,
    source: Source,
    folder: Path,
    *,
    positions: int,
    seed: int,
    progress: bool = False,
) -> Points:
    """Return the points of all shards of a source; those that were computed before are read from the folder."""
    parts = []
    for shard in tqdm(range(source.shards), desc="positions of images", unit=" shards", disable=not progress):
        file = folder / f"points-{shard:06d}.pt"
        if not file.exists():
            entries = list(source.entries(shard))
            write(file, sample(model, layer, entries, positions=positions, seed=seed))
        parts.append(read(file))
    return joined(parts)


def write(file: Path, points: Points) -> None:
    """Write points with a checksum, whole or not at all."""
    buffer = io.BytesIO()
    torch.save({each.name: getattr(points, each.name) for each in fields(Points)}, buffer)
    runs.write(file, runs.seal(buffer.getvalue()))


def read(file: Path) -> Points:
    """Return the points that `write` wrote.

    Raises:
        DamagedFileError: the content is not the one that was written.
    """
    found = torch.load(opened(file), weights_only=True)
    return Points(**{**found, "labels": tuple(found["labels"])})


def opened(file: Path) -> io.BytesIO:
    """Return what was sealed in a file, to be read.

    Raises:
        DamagedFileError: the content is not the one that was written.
    """
    try:
        return io.BytesIO(runs.unseal(file.read_bytes()))
    except DamagedFileError as error:
        raise DamagedFileError(f"{str(file)!r} is damaged ({error}). Delete it, and start again.") from error
