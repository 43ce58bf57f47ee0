"""The live figures."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp import image
from interp.errors import BadInputError
from interp.interactive.figure import LiveFigure, words
from interp.interactive.pictures import mosaic, pil, row, sheet, signed, uri

KERNELS: dict[str, list[list[float]]] = {
    "Edges from left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Edges from top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "Blur": [[1 / 9] * 3] * 3,
    "Sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "Identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
}


def convolution(
    photograph: Tensor,
    *,
    alt: str,
    kernels: Mapping[str, Sequence[Sequence[float]]] = KERNELS,
    size: int = 64,
) -> LiveFigure:
    """Convolution by hand: a window moves over a gray photograph, with the nine products and their sum beside it.

    Args:
        photograph: (1, 3, H, W) in [0, 1]; its middle square is made gray and `size` pixels wide.
        alt: what the photograph shows, in words.
        kernels: name of each kernel and its 3 rows of 3 numbers; the first is shown at the start.
    """
    weights = {name: torch.tensor(kernel, dtype=torch.float32) for name, kernel in kernels.items()}
    if not weights or any(weight.shape != (3, 3) for weight in weights.values()):
        raise BadInputError("Kernels are given as {name: three rows of three numbers}, at least one.")
    gray = image.center_crop(image.check(photograph), size).mean(dim=1).clamp(0, 1)[0]
    pixels = (gray * 255).round().to(torch.uint8)
    first = next(iter(weights.values()))
    sums = torch.nn.functional.conv2d(gray[None, None], first[None, None])[0, 0]
    data = {
        "pixels": base64.b64encode(pixels.numpy().tobytes()).decode(),
        "width": size,
        "height": size,
        "kernels": {name: weight.tolist() for name, weight in weights.items()},
        "alt": words(alt),
    }
    still = row([gray.expand(3, -1, -1), signed(sums)], crisp=True)
    return LiveFigure(
        "convolution", data, still, f"{alt}, and its convolution with a kernel of 3 x 3 numbers"
    )


def compare(
    before: Tensor, after: Tensor, *, labels: tuple[str, str], alt: tuple[str, str], width: int = 448
) -> LiveFigure:
    """Before and after: two pictures on one place, with a border to drag.

    Args:
        before, after: (1, 3, H, W) in [0, 1], of one size.
        labels: a word or two for each, shown on the pictures.
        alt: what each picture shows, in words.
        width: width on the page in CSS pixels.
    """
    pictures = [image.check(before)[0], image.check(after)[0]]
    if pictures[0].shape != pictures[1].shape:
        raise BadInputError(
            f"Both pictures need one size; these have {before.shape[2:]} and {after.shape[2:]}."
        )
    height, columns = pictures[0].shape[1:]
    data = {
        "pictures": [uri(pil(picture)) for picture in pictures],
        "labels": list(labels),
        "alts": [words(text) for text in alt],
        "width": columns,
        "height": height,
        "shown": width,
    }
    return LiveFigure("compare", data, row(pictures), f"Left: {alt[0]}. Right: {alt[1]}")


def scrub(
    pictures: Tensor, values: Sequence[float], steps: Sequence[int], *, alt: str, label: str = "activation"
) -> LiveFigure:
    """Scrub an optimization: the picture at each step, with its value as a curve.

    Args:
        pictures: (T, 3, H, W) in [0, 1], one for each step that was kept.
        values: the T values of the objective.
        steps: the T numbers of the steps.
        alt: what the picture is of, in words.
        label: what the values are.
    """
    _check_length(image.check(pictures), values=values, steps=steps)
    data = {
        "sheet": sheet(pictures),
        "values": _numbers(values),
        "steps": list(map(int, steps)),
        "alt": words(alt),
        "label": label,
    }
    still = row([pictures[n] for n in _spread(len(pictures), 6)])
    return LiveFigure("scrub", data, still, f"{alt}, from step {steps[0]} to step {steps[-1]}")


def activation_grid(
    photograph: Tensor,
    activations: Tensor,
    pictures: Tensor,
    names: Sequence[str],
    *,
    alt: str,
    strongest: int = 4,
) -> LiveFigure:
    """Point at a place of a photograph and see the channels that answer most strongly there.

    Args:
        photograph: (1, 3, H, W) in [0, 1].
        activations: (C, rows, columns) of one layer for this photograph.
        pictures: (C, 3, h, w) in [0, 1], the visualization of each of these channels.
        names: what each channel is called.
        alt: what the photograph shows, in words.
        strongest: how many channels are shown at a place.
    """
    _check_length(image.check(pictures), activations=activations, names=names)
    if activations.ndim != 3 or not 1 <= strongest <= len(names):
        raise BadInputError(
            "Activations (C, rows, columns) are needed, and 1 to C channels to show; these have the shape "
            f"{tuple(activations.shape)}, with {strongest} to show."
        )
    values, channels = activations.detach().float().cpu().topk(strongest, dim=0)
    used, places = torch.unique(channels, return_inverse=True)  # the sheet holds only what can come up
    start = divmod(int(values[0].argmax()), activations.shape[2])
    data = {
        "photograph": uri(pil(image.check(photograph)[0])),
        "rows": activations.shape[1],
        "columns": activations.shape[2],
        "cells": _cells(places, values),
        "names": [names[channel] for channel in used.tolist()],
        "sheet": sheet(pictures[used]),
        "start": list(start),
        "alt": words(alt),
    }
    best = channels[:, start[0], start[1]].tolist()
    still = row([photograph[0], *(pictures[channel] for channel in best[:3])])
    return LiveFigure("grid", data, still, f"{alt}, and what is strongest at the place that one points at")


def _cells(places: Tensor, values: Tensor) -> list[list[list[tuple[int, float]]]]:
    """Return, for each row and column, the pairs (place in the sheet, activation), the strongest first."""
    indices, numbers = (part.permute(1, 2, 0).tolist() for part in (places, values))
    return [
        [
            list(zip(cell, [round(v, 4) for v in vs], strict=True))
            for cell, vs in zip(line, lines, strict=True)
        ]
        for line, lines in zip(indices, numbers, strict=True)
    ]


def spectrum(
    pictures: Tensor,
    values: Sequence[float],
    counts: Sequence[int],
    edges: Sequence[float],
    *,
    names: Sequence[str],
    label: str = "activation",
) -> LiveFigure:
    """Slide along a channel's activation and see the images of the data set change above its histogram.

    Args:
        pictures: (K, 3, h, w) in [0, 1], images that stand for the data set.
        values: the K activations of these images.
        counts: the histogram of all N images.
        edges: its borders, one more than counts, rising.
        names: what each picture is called.
        label: what the values are, such as "channel 3".
    """
    _check_length(image.check(pictures), values=values, names=names)
    if len(edges) != len(counts) + 1 or np.any(np.diff(edges) <= 0) or sum(counts) < 1:
        raise BadInputError(
            "A histogram has rising borders, one more than counts, and counts something; there are "
            f"{len(edges)} borders and {len(counts)} counts."
        )
    order = np.argsort(values, kind="stable")
    data = {
        "sheet": sheet(pictures[torch.from_numpy(order)]),
        "values": _numbers([values[n] for n in order]),
        "names": [names[n] for n in order],
        "counts": list(map(int, counts)),
        "edges": _numbers(edges),
        "label": label,
    }
    still = row([pictures[order[n]] for n in _spread(len(order), 6)])
    alt = f"Images from the lowest {label}, {min(values):.2f}, to the highest, {max(values):.2f}"
    return LiveFigure("spectrum", data, still, alt)


def depth(photograph: Tensor, maps: Mapping[str, Tensor], *, alt: str, channels: int = 16) -> LiveFigure:
    """One photograph through the layers: drag, and the feature maps follow.

    Args:
        photograph: (1, 3, H, W) in [0, 1].
        maps: layer name and its activations (C, h, w), in the order of the network; of each layer the channels that
            vary most are shown, each scaled by itself.
        alt: what the photograph shows, in words.
        channels: how many feature maps of a layer are shown.
    """
    if not maps or any(values.ndim != 3 for values in maps.values()):
        raise BadInputError("Feature maps are given as {layer: activations (C, h, w)}, at least one.")
    mosaics = [mosaic(values.detach().float().cpu(), channels) for values in maps.values()]
    layers = [
        {
            "name": name,
            "text": "{} channels of {} × {}".format(*values.shape),
            "picture": uri(picture, lossless=True),
        }
        for (name, values), picture in zip(maps.items(), mosaics, strict=True)
    ]
    data = {"photograph": uri(pil(image.check(photograph)[0])), "layers": layers, "alt": words(alt)}
    chosen = _spread(len(maps), 3)
    still = row([photograph[0], *(image.from_pil(mosaics[n])[0] for n in chosen)], crisp=True)
    return LiveFigure(
        "depth", data, still, f"{alt}, and feature maps of {', '.join(list(maps)[n] for n in chosen)}"
    )


def dial(
    series: Mapping[str, Tensor],
    at: Sequence[str] | Mapping[str, Sequence[str]],
    values: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    *,
    alt: str,
    knob: str = "setting",
    choice: str = "row of pictures",
    start: int = 0,
) -> LiveFigure:
    """Turn a dial with named stops: the picture at each stop, and what was measured there as small curves.

    Args:
        series: name of each row of pictures and its (T, 3, H, W) in [0, 1], all of one shape; with more than one name
            the reader chooses, and the first is shown at the start.
        at: the names of the T stops, such as "90 degrees"; a mapping where each row has its own.
        values: what was measured, and its T numbers for each row: `{"activation": {"L2": [...]}}`. A curve's axis
            holds 0, so that a small change looks small.
        alt: what the pictures show, in words.
        knob: what is turned.
        choice: what one chooses between.
        start: the stop that is shown first.
    """
    pictures = _one_shape(series)
    names, count = list(series), pictures.shape[1]
    stops = at if isinstance(at, Mapping) else dict.fromkeys(names, at)
    _check_rows("stops", stops, names, count)
    measured: Mapping[str, Mapping[str, Sequence[float]]] = values or {}
    charts = [
        {"label": label, "rows": [_numbers(rows[name]) for name in names]}
        for label, rows in measured.items()
        if _check_rows(label, rows, names, count)
    ]
    if not 0 <= start < count:
        raise BadInputError(f"The first stop is one of 0 to {count - 1}; it is {start}.")
    data = {
        "sheet": sheet(pictures.flatten(0, 1)),
        "names": names,
        "at": [list(map(str, stops[name])) for name in names],
        "charts": charts,
        "alt": words(alt),
        "knob": words(knob),
        "choice": words(choice),
        "start": start,
    }
    # Across the stops, down the rows.
    still = row([torch.cat([*pictures[:, n]], dim=1) for n in _spread(count, 6)])
    first = list(stops[names[0]])
    ends = f"{knob} from {first[0]} to {first[-1]}"
    return LiveFigure("dial", data, still, f"{alt}, {ends}" + (f": {', '.join(names)}" * (len(names) > 1)))


def _one_shape(series: Mapping[str, Tensor]) -> Tensor:
    """Return all pictures as (rows, T, 3, H, W)."""
    shapes = {tuple(image.check(pictures).shape) for pictures in series.values()}
    if len(shapes) != 1 or len(next(iter(series.values()))) < 2:
        raise BadInputError(
            "A dial needs {name: pictures (T, 3, H, W)}, at least one name, all of one shape, and two stops or more; "
            f"these have the shapes {sorted(shapes)}."
        )
    return torch.stack([pictures.detach().float().cpu() for pictures in series.values()])


def _check_rows(what: str, rows: Mapping[str, Sequence[Any]], names: Sequence[str], count: int) -> bool:
    found = {name: len(items) for name, items in rows.items()}
    if found != dict.fromkeys(names, count):
        raise BadInputError(f"Each of {list(names)} needs {count} {what}; there are {found}.")
    return True


# --------------------------------------------------------------------------------------------------------------------
# Helpers


def _spread(count: int, most: int) -> list[int]:
    """Return at most `most` places in a list of `count`, evenly from the first to the last."""
    chosen: list[int] = np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()
    return chosen


def _numbers(values: Sequence[float]) -> list[float]:
    numbers = [float(f"{float(value):.5g}") for value in values]
    if not all(map(math.isfinite, numbers)):
        raise BadInputError("The values hold NaN or infinite numbers; a figure cannot place them.")
    return numbers


def _check_length(pictures: Tensor, **others: Sequence[Any] | Tensor) -> None:
    for name, values in others.items():
        if len(values) != len(pictures):
            raise BadInputError(
                f"{len(pictures)} pictures go with {len(pictures)} {name}; there are {len(values)}."
            )
