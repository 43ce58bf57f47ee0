"""Build the site: data as small JavaScript files, so that it works from a folder as well as from a server."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
from torch import nn

from interp import featurevis as fv
from interp import hooks, image, runs, templates
from interp.errors import BadInputError, UnknownNameError
from interp.featurevis.rendering import takes
from interp.microscope import neighbors, pictures, records
from interp.microscope.route import route
from interp.spectrum import Engine, Job, Sink, Spectrum, here, run
from interp.spectrum.measure import pooled
from interp.spectrum.tracking import check_size
from interp.zoo import warn_of_missing_normalization

NEIGHBORS = 6
TOGETHER = 16  # optimized pictures whose scores are taken in one pass
PAGE = {"microscope.html": "index.html"} | {
    name: name for name in ("microscope.css", "microscope.js", "microscope-parts.js", "microscope-channel.js")
}
Optimized = Callable[[str, int], Sequence[np.ndarray]]
Besides = Callable[[Spectrum, str], Sequence[Mapping[str, Any]]]
Tags = Callable[[int], Sequence[str]]
Known = Mapping[str, Sequence[Mapping[str, Any]]]  # {layer: what is known besides of each channel}
Scores = Sequence[float | None]  # of each channel's picture; None where it cannot be told
Made = dict[tuple[str, int], Scores]  # {(layer, sign): the scores of the pictures that there are}


class Changes(TypedDict, total=False):
    """What may differ from a page, by the names of its attributes."""

    title: str
    about: str
    credit: str
    back: tuple[str, str] | None
    links: tuple[tuple[str, str], ...]
    grow: str
    side: int
    size: int
    steps: int
    picture: int
    pictured: Sequence[str] | None
    optimized: Optimized | None
    tags: Tags | None
    besides: Besides | None


@dataclass(frozen=True)
class Page:
    """What a site says and shows besides what a job finds.

    Attributes:
        title: the name of the network.
        about: a sentence about network and images, shown on the first page.
        credit: where the images come from and under which terms, shown at the foot of each page.
        back: words and address of a link to where the site belongs.
        links: words and addresses of ways on, at the foot of each page.
        grow: the address of a lab of the same network, in which a channel without an optimized picture can be grown.
        side: of an image on the site in pixels.
        size: side of the images of the source in pixels, at which receptive fields and weights are measured; pictures
            are optimized at it if it is below `picture`, or if the network takes no other. 0 stands for the size that
            the source has, or 224 where it has none.
        steps: of the optimized pictures; 0 leaves them out.
        picture: side of an optimized picture in pixels; on the sheets it is at most 128. 256 takes four times as long.
        pictured: the layers whose channels get optimized pictures, which take most of the time; None for all. The
            tiles of the others are the patches of the strongest images.
        optimized: gives the pictures (S, S, 3), as bytes, of all channels for (layer, sign), where they exist already;
            an empty sequence where there are none.
        tags: gives further words by which the search finds an image, for its id.
        besides: gives what is known besides of each channel, for (spectrum, layer): `classes` from `effects.summary`,
            `labels` from `dissection.summary`, `cues` from `cues.summary`.

    Raises:
        BadInputError: side or picture is below 8, or steps below 0.
    """

    title: str = "A network"
    about: str = ""
    credit: str = ""
    back: tuple[str, str] | None = None
    links: tuple[tuple[str, str], ...] = ()
    grow: str = ""
    side: int = 224
    size: int = 0
    steps: int = 96
    picture: int = pictures.SIDE
    pictured: Sequence[str] | None = None
    optimized: Optimized | None = None
    tags: Tags | None = None
    besides: Besides | None = None

    def __post_init__(self) -> None:
        if min(self.side, self.picture) < 8 or self.steps < 0:
            got = f"{self.side}, {self.picture} and {self.steps}"
            raise BadInputError(f"side >= 8, picture >= 8 and steps >= 0 are needed; got {got}.")


def build(
    job: Job,
    site: str | os.PathLike[str],
    *,
    page: Page | None = None,
    engine: Engine = here,
    sink: Sink | None = None,
    progress: bool = False,
    **changes: Unpack[Changes],
) -> Path:
    """Build a site that shows every channel of some layers, and return its index.html.

    Every unit has an address of its own, index.html#LAYER/CHANNEL. After an interruption the same call goes on: what
    took long lies in the folder SITE-work beside the site, which may be deleted afterwards.

    Args:
        job: network, layers in the order in which they run, and images. Places with both signs are best; at most
            nine images of a band are shown; a larger sample makes surer correlations.
        site: the folder: new, empty, or of the same run.
        page: what the site says and shows besides, see `Page`.
        engine: runs the shards of the images.
        sink: takes note of the spectrum so far after each shard.
        progress: whether to show bars.
        changes: what differs from the page, by the names of its attributes: `title="Mine", size=64`.

    Raises:
        UnknownNameError: a layer does not exist, or one that is to be pictured is none of the job's.
        BadInputError: the folder holds something else, an option cannot be used, or a layer gives no finite number.
        UnwritableError: the folder cannot be written.

    Warns:
        UserWarning: the network seems to miss its normalization; see `zoo.missing_normalization`.
    """
    page, site, model = replace(page or Page(), **changes), Path(site), job.model
    page = replace(page, size=page.size or getattr(job.source, "size", None) or 224)
    check_size(model, job.layers, page.size)
    for layer in page.pictured or ():
        if layer not in job.layers:
            raise UnknownNameError("layer with optimized pictures", layer, job.layers)
    pictures.check_finite(model, job.layers, (page.size, page.size))
    warn_of_missing_normalization(model, page.size)
    work = site.absolute().with_name(f"{site.absolute().name}-work")
    runs.claim(site, {**job.settings, "side": page.side, "steps": page.steps, "picture": page.picture})
    spectrum = run(job, work / "spectrum", engine=engine, sink=sink, progress=progress)
    images = work / f"images-{page.side}-maps"
    shown = pictures.show(
        model, spectrum, job.source, site / "thumbnails", images, side=page.side, progress=progress
    )
    if page.tags:
        shown = replace(shown, tags=tuple(tuple(page.tags(id_)) for id_ in shown.ids))
    made: Made = {}
    if page.steps:
        render = page.optimized or _renderer(model, spectrum, work, page, progress)
        made = _optimize(model, render, spectrum, page.pictured, site)
    known = {
        layer: page.besides(spectrum, layer) if page.besides else [{}] * len(units)
        for layer, units in spectrum.layers.items()
    }
    _write_data(model, spectrum, shown, page, known, made, site)
    write_page(site)
    return site / "index.html"


def write_page(site: Path) -> None:
    """Write the page itself, which is the same for every network."""
    for name, target in PAGE.items():
        runs.write(site / target, templates.read(name))


# ------------------------------------------------------------------------------------------------------------
# Pictures and data


def _optimize(
    model: nn.Module, render: Optimized, spectrum: Spectrum, pictured: Sequence[str] | None, site: Path
) -> Made:
    """Write the optimized pictures, and return what their channels score on them, as they are shown."""
    made: Made = {}
    for (layer, units), sign in itertools.product(spectrum.layers.items(), (1, -1)):
        found = render(layer, sign) if pictured is None or layer in pictured else ()
        if not len(found):
            continue
        made[layer, sign] = [None] * len(units)
        if hooks.inputs_of(model).channels == 3 and takes(model, [layer], len(found[0])):
            made[layer, sign] = _scores(model, layer, found, spectrum.pool)
        pictures.write_alone(found, records.slug(layer), sign, site / "optimized")
        names = pictures.sheets(records.slug(layer), sign, len(units))
        pictures.write_sheets(found, names, site / "optimized")
    return made


def _scores(model: nn.Module, layer: str, found: Sequence[np.ndarray], pool: str) -> list[float | None]:
    """Return the score of each channel on the picture that was optimized for it."""
    scores: list[float | None] = []
    for start in range(0, len(found), TOGETHER):
        part = np.stack(found[start : start + TOGETHER])
        images = image.from_numpy(part).to(hooks.device_of(model))
        table = pooled(hooks.activations(model, images, layer), pool)
        scores += [float(row[start + index]) for index, row in enumerate(table)]
    return scores


def _renderer(model: nn.Module, spectrum: Spectrum, work: Path, page: Page, progress: bool) -> Optimized:
    """Return a function that renders all channels of a layer, and keeps what is finished."""
    side = pictures.picture_side(model, tuple(spectrum.layers), page.size, page.picture)
    recipe = fv.Recipe(steps=page.steps, size=side)

    def render(layer: str, sign: int) -> Sequence[np.ndarray]:
        folder = work / f"optimized-{runs.file_stem(layer)}-{'plus' if sign > 0 else 'minus'}"
        objectives = [sign * fv.channel(layer, channel) for channel in range(len(spectrum.layers[layer]))]
        done = fv.render_folder(model, objectives, folder, recipe=recipe, progress=progress)
        return done.pictures(objectives)

    return render


def _write_data(
    model: nn.Module,
    spectrum: Spectrum,
    shown: pictures.Shown,
    page: Page,
    known: Known,
    made: Made,
    site: Path,
) -> None:
    """Write what the pages are drawn from; that of a channel in a file of its own, and it needs no other."""
    tables = _neighbors(model, spectrum, page.size)
    for layer, units in spectrum.layers.items():
        content = records.layer(spectrum, layer, shown)
        for unit, each in zip(content["units"], known[layer], strict=True):
            unit["l"] = records.label(each)
        _write(site / "data" / f"{records.slug(layer)}.js", "layer", content)
        down, up = (made.get((layer, sign), [None] * len(units)) for sign in (-1, 1))
        for channel, ends in enumerate(zip(down, up, strict=True)):
            found = records.detail(spectrum, (layer, channel), shown, tables, ends)
            file = site / "data" / records.slug(layer) / f"{channel}.js"
            _write(file, "detail", {**found, **known[layer][channel]})
    fields = pictures.fields(model, spectrum, (page.size, page.size))
    names = getattr(model, "class_names", ())
    signs = {layer: _signs(layer, made) for layer in spectrum.layers}
    index = records.index(spectrum, shown, fields, optimized=signs, class_names=names)
    drawn = {"route": route(model, tuple(spectrum.layers), page.size)}
    _write(site / "data" / "index.js", "index", {**_words(page), **index, **drawn})


def _signs(layer: str, made: Made) -> str:
    """Return which pictures a layer has, as its folders are called."""
    return " ".join(name for name, sign in (("minus", -1), ("plus", 1)) if (layer, sign) in made)


def _words(page: Page) -> dict[str, Any]:
    words = {
        name: getattr(page, name) for name in ("title", "about", "credit", "back", "links", "grow", "size")
    }
    return {**words, "thumbnail": page.side}


def _neighbors(model: nn.Module, spectrum: Spectrum, size: int) -> records.Tables:
    below, above = neighbors.by_weight(model, spectrum, size, NEIGHBORS)
    return {"below": below, "above": above, "alike": neighbors.by_correlation(spectrum, NEIGHBORS)}


def _write(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write data as a call: a page that is opened from a folder may load scripts, but no JSON."""
    with runs.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    runs.write(path, f"microscope.{kind}({text});\n".encode(errors="replace"))
