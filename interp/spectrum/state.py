"""The spectrum of a set of images: a value that merges, so that streaming, resuming and sharding are one operation."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.errors import BadInputError, UnknownNameError
from interp.spectrum import keys, sketch, units
from interp.spectrum.unit import Unit
from interp.spectrum.units import Units

MOST_IMAGES = (1 << 31) - 1  # the counts are int32
LISTED = 4  # layers that are named where a spectrum shows itself


@dataclass(frozen=True, order=True)
class Broken:
    """An image that could not be read.

    Attributes:
        id: its id in the source.
        name: what the source calls it: a file name, or the place in a shard.
        reason: what was wrong.
    """

    id: int
    name: str
    reason: str


@dataclass(frozen=True)
class Spectrum:
    """What drives the units of one or several layers up, down, or nowhere, over a set of images.

    Its size does not depend on the number of images. `spectrum["blocks.3.2", 7]` is one unit, and with a single layer
    `spectrum[7]` too.

    Attributes:
        layers: {layer: Units}.
        images: how many images were counted.
        sample: (S,) int64 ids of a random sample, in the order of a seeded hash of the id.
        k: how many images a band holds.
        sample_size: how large the sample may become.
        seed: of the hash.
        pool: how an activation map became one score: "mean", "max" or "center".
        broken: the images that could not be read; they are in no count.
    """

    layers: Mapping[str, Units]
    images: int
    sample: Tensor
    k: int
    sample_size: int
    seed: int
    pool: str
    broken: tuple[Broken, ...] = ()

    @staticmethod
    def empty(
        channels: Mapping[str, int],
        *,
        k: int = 9,
        sample: int = 256,
        seed: int = 0,
        pool: str = "mean",
        level: Mapping[str, Tensor] | None = None,
    ) -> Spectrum:
        """Return the spectrum of no images, for {layer: number of channels}.

        Args:
            channels: the layers.
            k: how many images a band holds.
            sample: how many images the random sample holds.
            seed: which images are in it.
            pool: what is written into the result; the scores are made elsewhere.
            level: {layer: (C,)} what counts as zero for the two middle bands; 0 by default.
        """
        k, sample = check_positive("k", k), check_positive("sample", sample, least=0)
        seed = operator.index(seed)
        levels = {name: _level(name, size, level) for name, size in channels.items()}
        layers = {name: units.empty(levels[name], k) for name in channels}
        return Spectrum(layers, 0, torch.zeros(0, dtype=torch.int64), k, sample, seed, pool)

    @staticmethod
    def of_batch(
        ids: Tensor,
        scores: Mapping[str, Tensor],
        *,
        broken: Sequence[Broken] = (),
        like: Spectrum | None = None,
    ) -> Spectrum:
        """Return the spectrum of one batch.

        Args:
            ids: (N,) integers, each image's own.
            scores: {layer: (N, C)}, one number for each image and channel.
            broken: images that could not be read.
            like: take k, sample, seed, pool and level from this one.
        """
        blank = like or Spectrum.empty({name: table.shape[-1] for name, table in scores.items()})
        return blank._blank().extended(ids, scores).with_broken(broken)

    def _blank(self) -> Spectrum:
        layers = {name: units.empty(each.level, self.k) for name, each in self.layers.items()}
        return replace(self, layers=layers, images=0, sample=self.sample[:0], broken=())

    def extended(
        self, ids: Tensor, scores: Mapping[str, Tensor], *, broken: Sequence[Broken] = ()
    ) -> Spectrum:
        """Return the spectrum after one more batch: equal to `merge([self, Spectrum.of_batch(ids, scores)])`.

        Args:
            ids: (N,) integers, each image's own.
            scores: {layer: (N, C)}, one number for each image and channel.
            broken: images that could not be decoded.
        """
        ids = keys.check_ids(ids)
        tables = {name: _table(name, scores, len(ids), len(each)) for name, each in self.layers.items()}
        everyone = torch.cat([self.sample, ids])
        kept = _sample(everyone, self.seed, self.sample_size)

        def sampled(old: Tensor, new: Tensor) -> Tensor:
            if len(kept) == old.shape[1] and bool((kept < len(kept)).all()):
                return old  # no new image got into the sample
            return torch.cat([old, new], dim=1).index_select(1, kept)

        layers = {
            name: units.extended(each, ids, tables[name], sampled) for name, each in self.layers.items()
        }
        images = _counted(self.images + len(ids))
        return replace(self, layers=layers, images=images, sample=everyone[kept]).with_broken(broken)

    def with_broken(self, broken: Sequence[Broken]) -> Spectrum:
        """Return the spectrum with more images listed that could not be read."""
        return replace(self, broken=tuple(sorted({*self.broken, *broken})))

    def __getitem__(self, which: int | tuple[str, int]) -> Unit:
        layer, channel = which if isinstance(which, tuple) else (self._only_layer(), which)
        if layer not in self.layers:
            raise UnknownNameError("layer", layer, self.layers)
        found, channel = self.layers[layer], operator.index(channel)
        if not 0 <= channel < len(found):
            raise BadInputError(
                f"{layer!r} has the channels 0 to {len(found) - 1}; there is no channel {channel}."
            )
        return Unit(
            layer=layer,
            channel=channel,
            best=found.best[:, channel],
            counts=found.counts[channel],
            scores=found.scores[channel],
            sample=self.sample,
            level=float(found.level[channel]),
            pool=self.pool,
        )

    def _only_layer(self) -> str:
        if len(self.layers) != 1:
            raise BadInputError(
                f"This spectrum has {len(self.layers)} layers; write spectrum[layer, channel]."
            )
        return next(iter(self.layers))

    def __iter__(self) -> Iterator[Unit]:
        return (self[name, channel] for name, each in self.layers.items() for channel in range(len(each)))

    def __len__(self) -> int:
        return sum(len(each) for each in self.layers.values())

    def __repr__(self) -> str:
        """Return what it is of, and none of its tensors."""
        broken = f" ({len(self.broken)} more broken)" if self.broken else ""
        layers = [f"{name} ({len(each)} channels)" for name, each in self.layers.items()]
        more = [f"{len(layers) - LISTED} more layers"] if len(layers) > LISTED else []
        where = ", ".join([*layers[:LISTED], *more]) or "no layer yet"
        return f"<Spectrum of {self.images:,} images{broken}: {where}; k={self.k}, pool={self.pool!r}>"

    @property
    def nbytes(self) -> int:
        """Return the memory that the state takes."""
        tensors = [
            t for each in self.layers.values() for t in (each.best, each.counts, each.scores, each.level)
        ]
        return sum(tensor.nbytes for tensor in [*tensors, self.sample])


def merge(spectra: Iterable[Spectrum]) -> Spectrum:
    """Return the spectrum of all images of several spectra; the order and the grouping do not matter.

    Raises:
        BadInputError: there is none, they were taken with different settings, or an image is in two of them. The last
            is noticed only if the image is in the sample or in a band: a spectrum does not know all its images.
    """
    parts = list(spectra)
    if not parts:
        raise BadInputError("There is no spectrum to merge.")
    # A part in which every image was broken knows no layers.
    seen = [part for part in parts if part.layers] or parts
    first = seen[0]
    for other in seen[1:]:
        _check_alike(first, other)
    everyone = torch.cat([part.sample for part in seen])
    kept = _sample(everyone, first.seed, first.sample_size)
    layers = {name: units.merged([part.layers[name] for part in seen], kept) for name in first.layers}
    images = _counted(sum(part.images for part in seen))
    broken = tuple(sorted({each for part in parts for each in part.broken}))
    return replace(first, layers=layers, images=images, sample=everyone[kept], broken=broken)


def medians(spectrum: Spectrum) -> dict[str, Tensor]:
    """Return {layer: (C,) float32}, each channel's own middle: a level for a second pass."""
    found = {name: sketch.quantile(each.counts, 0.5) for name, each in spectrum.layers.items()}
    return {name: torch.nan_to_num(values).to(torch.float32) for name, values in found.items()}


def _sample(ids: Tensor, seed: int, size: int) -> Tensor:
    """Return the places of the ids with the smallest hashes, in the order of the hash."""
    order = keys.scrambled(ids, seed).sort()
    if bool((order.values[1:] == order.values[:-1]).any()):
        twice = ids[order.indices[1:][order.values[1:] == order.values[:-1]][0]]
        raise keys.counted_twice(int(twice))
    return order.indices[:size]


def _table(name: str, scores: Mapping[str, Tensor], images: int, channels: int) -> Tensor:
    """Return the scores of one layer as float32 (C, N) on the CPU."""
    if name not in scores:
        raise UnknownNameError("layer among the scores", name, scores)
    table = scores[name].detach()
    if tuple(table.shape) != (images, channels):
        raise BadInputError(
            f"The scores of {name!r} have to be ({images}, {channels}), a row for each id; got {tuple(table.shape)}."
        )
    return table.to("cpu", torch.float32).t().contiguous()


def _level(name: str, channels: int, level: Mapping[str, Tensor] | None) -> Tensor:
    if level is not None and name not in level:
        raise UnknownNameError("layer among the levels", name, level)
    given = torch.zeros(channels) if level is None else torch.as_tensor(level[name])
    given = given.detach().to("cpu", torch.float32)
    if tuple(given.shape) != (channels,) or not bool(torch.isfinite(given).all()):
        raise BadInputError(
            f"The level of {name!r} has to be {channels} finite numbers; got {tuple(given.shape)}."
        )
    return given


def check_positive(name: str, value: int, *, least: int = 1) -> int:
    """Return a whole number, of Python or numpy, as a plain one.

    Raises:
        BadInputError: it is none, or too small.
    """
    try:
        number = operator.index(value)
    except TypeError as error:
        raise BadInputError(f"{name} has to be a whole number; got {value!r}.") from error
    if number < least:
        raise BadInputError(f"{name} has to be at least {least}; got {number}.")
    return number


def _counted(images: int) -> int:
    if images > MOST_IMAGES:
        raise BadInputError(f"A spectrum counts at most {MOST_IMAGES:,} images; these would be {images:,}.")
    return images


def _check_alike(one: Spectrum, other: Spectrum) -> None:
    for what in ("k", "sample_size", "seed", "pool"):
        if getattr(one, what) != getattr(other, what):
            raise BadInputError(
                f"Spectra with different settings cannot be merged: {what} is {getattr(one, what)!r} and "
                f"{getattr(other, what)!r}."
            )
    sizes = [{name: len(each) for name, each in spectrum.layers.items()} for spectrum in (one, other)]
    if sizes[0] != sizes[1]:
        raise BadInputError(f"Spectra of different layers cannot be merged: {sizes[0]} and {sizes[1]}.")
