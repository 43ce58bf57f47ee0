"""Stream batches through a network and keep the spectrum of its units."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Unpack

import torch
from torch import Tensor, nn
from tqdm import tqdm

from interp import folding, hooks
from interp.errors import BadInputError, InterpError, UnknownNameError
from interp.spectrum.entries import Batch
from interp.spectrum.measure import POOLS, STANDARD, Changes, Measure, pooled
from interp.spectrum.state import Broken, Spectrum

# Images whose scores wait to be counted together: enough to make the counting cheap, few enough to keep.
CHUNK = 1024


def track(
    model: nn.Module,
    layers: Sequence[str],
    batches: Iterable[Batch],
    *,
    measure: Measure = STANDARD,
    progress: bool | int = False,
    **changes: Unpack[Changes],
) -> Spectrum:
    """Return the spectrum of some layers over all batches; the arguments are those of `tracking`.

    Raises:
        BadInputError: there are fewer images than a band holds, or a layer has no channels.
        UnknownNameError: a layer or a pool does not exist.
    """
    measure = measure.changed(**changes)
    growing = tracking(model, layers, batches, measure=measure, progress=progress, every=None)
    return enough(deque(growing, maxlen=1)[0])


def enough(spectrum: Spectrum) -> Spectrum:
    """Return a spectrum whose bands can be full.

    Raises:
        BadInputError: there are fewer images than a band holds; the message says what was wrong with the broken ones.
    """
    if spectrum.images < spectrum.k:
        raise BadInputError(
            f"A band holds k={spectrum.k} images, but only {spectrum.images} could be read"
            f"{_reasons(spectrum.broken)}. Use more images or a smaller k."
        )
    return spectrum


def tracking(
    model: nn.Module,
    layers: Sequence[str],
    batches: Iterable[Batch],
    *,
    measure: Measure = STANDARD,
    progress: bool | int = False,
    every: int | None = 1024,
    **changes: Unpack[Changes],
) -> Iterator[Spectrum]:
    """Yield the spectrum of some layers as it grows, and at last the one of all batches.

    A unit is a channel of a layer, and its score for an image is its pooled activation. Choose places with both signs:
    before a non-linearity, at a residual sum, at a linear bottleneck, at the logits. There the mean over the positions
    has both signs; the maximum seldom has.

    Args:
        model: any network for images (N, C, H, W) in [0, 1]; it stays as it is.
        layers: names of layers that return (N, C, H, W) or (N, C); all are taken from one forward pass, which ends at
            the last of them.
        batches: what to look at.
        measure: what is kept of each channel, see `Measure`.
        progress: whether to show a bar with images a second; the number of all images shows the time left, too.
        every: how many images lie between two results; None gives the last one only.
        changes: what differs from the measure, by the names of its attributes: `k=3, pool="max"`.
    """
    measure, names = measure.changed(**changes), named(model, layers)
    return _tracking(
        scorer(model, names, pool=measure.pool, fold=measure.fold), batches, measure, progress, every
    )


def _tracking(
    score: Callable[[Tensor], dict[str, Tensor]],
    batches: Iterable[Batch],
    measure: Measure,
    progress: bool | int,
    every: int | None,
) -> Iterator[Spectrum]:
    tally, shown = Tally(measure.empty), 0
    total = None if isinstance(progress, bool) else progress
    with tqdm(total=total, unit=" images", disable=not progress, smoothing=0.1) as bar:
        for batch in batches:
            tally.add(batch, score)
            bar.update(len(batch.ids))
            if every and tally.images >= shown + every:
                yield tally.counted()
                shown = tally.images
    if not tally.images:
        raise BadInputError(f"No image could be read{_reasons(tally.waiting_broken)}. Check the source.")
    if tally.images > shown or tally.waiting_broken:
        yield tally.counted()


@dataclass
class Tally:
    """A spectrum that grows; scores wait until there are enough of them to be counted together.

    Attributes:
        start: makes the spectrum of no images for {layer: channels}.
    """

    start: Callable[[Mapping[str, int]], Spectrum]
    spectrum: Spectrum | None = None
    ids: list[Tensor] = field(default_factory=list)
    scores: list[dict[str, Tensor]] = field(default_factory=list)
    waiting: int = 0
    waiting_broken: list[Broken] = field(default_factory=list)

    @property
    def images(self) -> int:
        return self.waiting + (self.spectrum.images if self.spectrum else 0)

    def add(self, batch: Batch, score: Callable[[Tensor], dict[str, Tensor]]) -> None:
        if not isinstance(batch, Batch):
            raise BadInputError(
                f"A batch has to be a spectrum.Batch with ids and images, not {type(batch).__name__}. "
                "spectrum.batches(spectrum.Items(dataset, name)) makes them of a dataset."
            )
        self.waiting_broken.extend(batch.broken)
        if len(batch.ids):
            self.ids.append(torch.as_tensor(batch.ids))
            self.scores.append(score(batch.images))
            self.waiting += len(batch.ids)
        if self.waiting >= CHUNK:
            self.counted()

    def counted(self) -> Spectrum:
        """Return the spectrum of everything so far; before the first image it has no layers."""
        if self.waiting:
            tables = {layer: torch.cat([scores[layer] for scores in self.scores]) for layer in self.scores[0]}
            spectrum = self.spectrum or self.start({layer: table.shape[1] for layer, table in tables.items()})
            self.spectrum = spectrum.extended(torch.cat(self.ids), tables)
            self.ids, self.scores, self.waiting = [], [], 0
        found = (self.spectrum or self.start({})).with_broken(self.waiting_broken)
        if self.spectrum is None:
            return found
        self.spectrum, self.waiting_broken = found, []
        return found


def scorer(
    model: nn.Module, layers: Sequence[str], *, pool: str = "mean", fold: bool = True
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a function from images (N, C, H, W) to {layer: (N, C) float32 scores on the CPU}.

    Args:
        model: any network; it stays as it is.
        layers: whose channels are scored.
        pool: "mean", "max" or "center".
        fold: on a CPU, run a faster copy.
    """
    if pool not in POOLS:
        raise UnknownNameError("pool", pool, POOLS)
    layers = named(model, layers)
    device = hooks.device_of(model)
    folded = fold and device.type == "cpu"
    runner = folding.fold(model, keep=layers) if folded else model
    layout = torch.channels_last if folded else torch.contiguous_format

    @torch.no_grad()
    def score(images: Tensor) -> dict[str, Tensor]:
        images = check(model, images).to(device=device, memory_format=layout)
        found = hooks.run(runner, images, layers, then=lambda output: pooled(output, pool))
        return {layer: scores.to("cpu", torch.float32) for layer, scores in found.items()}

    return score


def check(model: nn.Module, images: Tensor) -> Tensor:
    """Return images of a batch unchanged, if they are such as the network takes.

    Raises:
        BadInputError: they are not; the message says how to mend it.
    """
    if isinstance(images, Tensor) and images.ndim == 4 and images.shape[1]:
        check_channels(model, images.shape[1])
    return hooks.check_images(model, images)


def check_channels(model: nn.Module, given: int | None) -> None:
    """Refuse a source that gives images of another number of channels than the network takes; None is not known.

    Raises:
        BadInputError: it does.
    """
    wanted = hooks.inputs_of(model).channels
    if given not in (wanted, None):
        raise BadInputError(
            f"This network takes images of {wanted} channels, and the source gives {given}. Give the source "
            f"channels={wanted}, or say what the network takes: model.inputs = image.Inputs(channels=...)."
        )


def named(model: nn.Module, layers: Sequence[str]) -> list[str]:
    """Return the names of layers, each once.

    Raises:
        BadInputError: there is none, or it is a text instead of a list.
        UnknownNameError: a layer does not exist.
    """
    if isinstance(layers, str):
        raise BadInputError(f"The layers have to be a list of names: [{layers!r}], not {layers!r}.")
    if not layers:
        raise BadInputError("Name at least one layer; hooks.layer_names(model) lists them.")
    for layer in layers:
        hooks.find_layer(model, layer)
    return list(dict.fromkeys(layers))


def check_size(model: nn.Module, layers: Sequence[str], size: int) -> None:
    """Run a model on a gray image, so that what cannot be tracked is said before the images come.

    Raises:
        BadInputError: the model does not take images of that size, or a layer has no channels.
        UnknownNameError: a layer does not exist.
    """
    score = scorer(model, layers, fold=False)
    try:
        score(hooks.gray(model, (size, size)).float())
    except InterpError:
        raise
    except Exception as error:  # whatever a network makes of a size that it is not for
        raise BadInputError(
            f"The network does not take images of {size} x {size} pixels ({type(error).__name__}: {error}). "
            "Give the size of the images of the source."
        ) from error


def _reasons(broken: Sequence[Broken]) -> str:
    if not broken:
        return ""
    return f" ({len(broken)} were broken, such as {broken[0].name}: {broken[0].reason})"
