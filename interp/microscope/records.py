"""What the pages are drawn from: the data of the site, of a layer, of a unit; short names for what is there often.

index   title, about, credit, back, links, grow, images, broken, pool, size, thumbnail; names, the different labels; for
        each image in labels its index in names and in ids its number in the source; tags, further words, and in tagged
        for each image those of its own; sample, the images of the sample; route, the blocks of the network, as
        `route.route` has them; layers, each with name, slug, channels, grid, field, optimized ("minus plus", one of
        them, or nothing: which pictures there are), warnings, and called, the names of its channels, where they have
        some
layer   name, units: for each channel i, the images of its lowest and of its highest column, and w, the patch of the
        first of each; dead; l the label that its strongest places show better than chance, or null
detail  all that the page of a channel shows, in a file for each, so that it needs no other: layer, channel; b, the
        columns, each with n its name, i the images, s their scores, w their patches, tied; h the histogram, its
        largest bar 1000; r the range; m the median; n the images counted; f warnings; dead; the neighbors below, above
        and alike, each as [index of the layer, channel, value]; q the scores of the sample (of its first half in a
        layer of many channels) and a the maps of the images in each column, as `details` writes them, c the cells
        across a map; o the scores of the optimized pictures, down and up, null for one that there is not; and what the
        builder of the site knows besides: classes, as `effects.summary` has them, labels, as `dissection.summary`, and
        cues, as `cues.summary`
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from interp import runs
from interp.microscope import details
from interp.microscope.pictures import SAMPLED, Shown, sampled
from interp.spectrum import Band, Spectrum, Unit
from interp.spectrum.patches import Field

BINS = 64
MOST = 9  # images in a column
MANY = 128  # channels, above which the files hold the scores of half the sample: they are most of a site
Tables = Mapping[str, Mapping[tuple[str, int], list[tuple[str, int, float]]]]
Ends = tuple[
    float | None, float | None
]  # the scores of the pictures optimized down and up, where there are some


def index(
    spectrum: Spectrum,
    shown: Shown,
    fields: Mapping[str, Field],
    *,
    optimized: Mapping[str, str],
    class_names: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what is known of the whole site, apart from its words and sizes."""
    names = sorted(set(shown.labels))
    number = {name: place for place, name in enumerate(names)}
    tags = sorted({tag for each in shown.tags for tag in each})
    place_of = {id_: place for place, id_ in enumerate(shown.ids)}
    return {
        "images": spectrum.images,
        "broken": len(spectrum.broken),
        "pool": spectrum.pool,
        "names": names,
        "labels": [number[label] for label in shown.labels],
        "ids": list(shown.ids),
        "tags": tags,
        "tagged": [[tags.index(tag) for tag in each] for each in shown.tags],
        "sample": [place_of[id_] for id_ in sampled(spectrum)],
        "layers": [
            about_layer(spectrum, name, fields.get(name), optimized.get(name, ""), class_names)
            for name in spectrum.layers
        ],
    }


def about_layer(
    spectrum: Spectrum, layer: str, field: Field | None, optimized: str, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return what is known of a layer as a whole."""
    channels = len(spectrum.layers[layer])
    flags = Counter(
        re.split("[:0-9]", flag)[0].strip() or "NaN or infinite"
        for channel in range(channels)
        for flag in spectrum[layer, channel].flags
    )
    # A layer without positions, with a channel for each class: the logits.
    called = {"called": list(class_names)} if field is None and channels == len(class_names) else {}
    return {
        **called,
        "name": layer,
        "slug": slug(layer),
        "channels": channels,
        "grid": list(field.grid) if field else None,
        "field": max(field.size) if field else None,
        "optimized": optimized,
        "warnings": [f"{'all' if count == channels else count} {flag}" for flag, count in flags.items()],
    }


def slug(layer: str) -> str:
    """Return what the files of a layer are called; data/index.js is the site's own."""
    return runs.file_stem(f"{layer}/" if layer == "index" else layer)


def layer(spectrum: Spectrum, name: str, shown: Shown) -> dict[str, Any]:
    """Return the data of a layer: what its page and the search need of each channel."""
    place = {id_: number for number, id_ in enumerate(shown.ids)}
    units = [brief(spectrum[name, channel], place, shown) for channel in range(len(spectrum.layers[name]))]
    return {"name": name, "units": units}


def brief(of: Unit, place: Mapping[int, int], shown: Shown) -> dict[str, Any]:
    """Return what a tile of one unit shows, and by which images it is found."""
    ends = of.columns[0], of.columns[-1]
    patches = [
        next((shown.windows.get((of.layer, of.channel, band.name, id_)) for id_ in band.ids), None)
        for band in ends
    ]
    return {"i": [[place[id_] for id_ in band.ids[:MOST]] for band in ends], "w": patches, "dead": of.dead}


def detail(
    spectrum: Spectrum, unit: tuple[str, int], shown: Shown, tables: Tables, ends: Ends
) -> dict[str, Any]:
    """Return what the page of one unit shows, apart from what the builder of the site knows."""
    of, (layer, channel) = spectrum[unit], unit
    low, high = of.range if of.images else (0.0, 0.0)
    scores = of.scores[: SAMPLED if len(spectrum.layers[layer]) <= MANY else len(sampled(spectrum)) // 2]
    known = [score if score is not None and math.isfinite(score) else None for score in ends]
    return {
        "layer": layer,
        "channel": channel,
        **_shape(of, shown),
        **_near(spectrum, unit, tables),
        **_maps(of, shown),
        "q": details.scores(scores.tolist(), low, high),
        "o": None if known == [None, None] else [_short(score, needed(low, high)) for score in known],
    }


def _shape(of: Unit, shown: Shown) -> dict[str, Any]:
    """Return the columns, the histogram and what stands beside them."""
    place = {id_: number for number, id_ in enumerate(shown.ids)}
    edges, shares = of.histogram(BINS) if of.images else ([0.0, 0.0], [1.0])
    digits = needed(edges[0], edges[-1])
    return {
        "b": [_column(of, band, place, shown, digits) for band in of.columns],
        "h": [round(1000 * share / max(shares)) for share in shares],
        "r": [short(edges[0], digits), short(edges[-1], digits)],
        "m": short(of.quantile(0.5), digits) if of.images else None,
        "n": of.images,
        "f": list(of.flags),
        "dead": of.dead,
    }


def _near(spectrum: Spectrum, unit: tuple[str, int], tables: Tables) -> dict[str, Any]:
    order = {other: number for number, other in enumerate(spectrum.layers)}
    return {
        kind: [[order[other], index, short(value, 3)] for other, index, value in table.get(unit, [])]
        for kind, table in tables.items()
    }


def _maps(of: Unit, shown: Shown) -> dict[str, Any]:
    maps = [
        [shown.maps.get((of.layer, of.channel, band.name, id_), "") for id_ in band.ids[:MOST]]
        for band in of.columns
    ]
    longest = max((len(each) for column in maps for each in column), default=0)
    return {"a": maps, "c": int((2 * longest) ** 0.5)}


def _short(value: float | None, digits: int) -> float | None:
    return None if value is None else short(value, digits)


def label(known: Mapping[str, Any]) -> str | None:
    """Return the label that a channel's strongest places show best; None where that is no more than chance."""
    labels = known.get("labels")
    if not labels or labels["best"][0][1] <= labels["chance"]:
        return None
    return str(labels["best"][0][0])


def _column(of: Unit, band: Band, place: Mapping[int, int], shown: Shown, digits: int) -> dict[str, Any]:
    ids = band.ids[:MOST]
    return {
        "n": band.name.capitalize(),
        "i": [place[id_] for id_ in ids],
        "s": [short(score, digits) for score in band.scores[:MOST]],
        "w": [shown.windows.get((of.layer, of.channel, band.name, id_)) for id_ in ids],
        "tied": band.tied,
    }


def short(value: float, digits: int = 4) -> float:
    """Return a number with as many digits as a page needs."""
    return float(f"{value:.{digits}g}")


def needed(low: float, high: float) -> int:
    """Return how many digits tell scores between two apart: more than 4 where the range is a small part of them.

    >>> needed(-1.0, 2.0), needed(1000.0, 1000.1), needed(0.5, 0.5)
    (4, 8, 4)
    """
    parts = max(abs(low), abs(high)) / (high - low) if high > low else 1.0
    return 4 + max(0, math.floor(math.log10(parts))) if parts > 0 else 4
