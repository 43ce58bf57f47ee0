"""Build an atlas: a static page with the plane of a layer, and the data it is drawn from."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from interp import featurevis as fv
from interp import folding, runs, templates
from interp.atlas import pictures, plane, points, speaking
from interp.atlas.plane import Cell
from interp.atlas.points import Points
from interp.digest import digest
from interp.errors import BadInputError
from interp.spectrum import Source
from interp.spectrum.entries import check_source
from interp.spectrum.patches import Field, receptive_field
from interp.zoo import warn_of_missing_normalization

PAGE = {"atlas.html": "index.html", "atlas.css": "atlas.css", "atlas.js": "atlas.js"}
LABELS = 3  # names of images that a cell tells
WORDS = ("title", "about", "credit", "back", "units")  # of a plan: they change nothing that is computed


class Changes(TypedDict, total=False):
    """What may differ from a plan, by the names of its attributes."""

    positions: int
    neighbors: int
    grid: int
    minimum: int
    power: float
    side: int
    steps: int
    classes: int
    channels: int
    examples: int
    thumbnail: int
    size: int
    seed: int
    title: str
    about: str
    credit: str
    back: tuple[str, str] | None
    units: str


@dataclass(frozen=True)
class Plan:
    """How an atlas is made, and what its page says.

    Attributes:
        positions: of each image that become points.
        neighbors: of a point in the plane, see `umap_plane`.
        grid: cells along each side of the plane.
        minimum: points that a cell needs to be shown.
        power: of the cosine in the objective of a cell's picture.
        side, steps: of the optimized pictures.
        classes: that a cell names; 0 for a network that does not classify.
        channels: that a cell names, with a picture each.
        examples: images that a cell shows.
        thumbnail: side of an image on the page in pixels.
        size: side of the images of the source; 0 stands for the one that the source has, or 224.
        seed: of positions, plane and pictures.
        title, about, credit: the name of the network, a sentence about it and the images, and where these come from.
        back: words and address of a link to where the page belongs.
        units: the address of a page about the layer's channels, to which "/" and the number are added, such as
            "../microscope/index.html#blocks.4.2"; empty for none.

    Raises:
        BadInputError: a number is out of range.
    """

    positions: int = 4
    neighbors: int = 20
    grid: int = 20
    minimum: int = 5
    power: float = 0.0
    side: int = 96
    steps: int = 64
    classes: int = 5
    channels: int = 4
    examples: int = 6
    thumbnail: int = 96
    size: int = 0
    seed: int = 0
    title: str = "A network"
    about: str = ""
    credit: str = ""
    back: tuple[str, str] | None = None
    units: str = ""

    def __post_init__(self) -> None:
        least = {
            "positions": 1,
            "neighbors": 2,
            "grid": 1,
            "minimum": 1,
            "side": 8,
            "steps": 1,
            "thumbnail": 8,
        }
        for each in fields(self):
            value, low = getattr(self, each.name), least.get(each.name, 0)
            if isinstance(value, int | float) and value < low:
                raise BadInputError(f"{each.name} has to be at least {low}; got {value}.")


def build(
    model: nn.Module,
    layer: str,
    source: Source,
    site: str | os.PathLike[str],
    *,
    plan: Plan | None = None,
    progress: bool = False,
    **changes: Unpack[Changes],
) -> Path:
    """Build an activation atlas of a layer, and return its index.html, which opens from a folder as from a server.

    Activations at random positions of many images are laid out in a plane, neighbors beside neighbors; each cell of its
    grid gets one picture, the classes it speaks for, the images and the channels that stand out in it (Carter et al.,
    2019, https://distill.pub/2019/activation-atlas). After an interruption the same call goes on: what took long lies
    in the folder SITE-work beside the site, which may be deleted afterwards.

    Args:
        model: any network for images (N, C, H, W) in [0, 1].
        layer: a layer with positions.
        source: the images.
        site: the folder: new, empty, or of the same atlas.
        plan: how, see `Plan`.
        progress: whether to show bars.
        changes: what differs from the plan, by the names of its attributes: `grid=30, title="Mine"`.

    Raises:
        UnknownNameError: there is no such layer.
        BadInputError: the folder holds something else, an option cannot be used, or the images are too few.
        MissingExtraError: umap-learn is not installed.
        UnwritableError: the folder cannot be written.

    Warns:
        UserWarning: the network seems to miss its normalization; see `zoo.missing_normalization`.
    """
    check_source(source)
    plane.umap()  # before long work
    plan, site = replace(plan or Plan(), **changes), Path(site).absolute()
    plan = replace(plan, size=plan.size or getattr(source, "size", None) or 224)
    field = receptive_field(model, layer, plan.size)
    warn_of_missing_normalization(model, plan.size)
    work = site.with_name(f"{site.name}-work")
    for folder in (site, work):
        runs.claim(folder, settings(model, layer, source, plan))
    found = _Found.of(model, layer, source, work, plan, progress)
    shown = _draw(model, found, site, work, progress)
    data = {**_words(plan), "layer": layer, **found.data(model, field), **shown}
    _write(site, data)
    return site / "index.html"


def settings(model: nn.Module, layer: str, source: Source, plan: Plan) -> dict[str, Any]:
    """Return all that decides what is computed, as JSON: hashes for what is large."""
    numbers = {name: value for name, value in asdict(plan).items() if name not in WORDS}
    return {
        **numbers,
        "layer": layer,
        "model": digest(model),
        "source": source.fingerprint,
        "code": digest([points.sample, plane.umap_plane, plane.cells, pictures.objective]),
    }


# ------------------------------------------------------------------------------------------------------------
# What is found


@dataclass(frozen=True)
class _Found:
    """The points, their cells, and what stands out in each cell."""

    layer: str
    source: Source
    plan: Plan
    points: Points
    cells: list[Cell]
    examples: list[Tensor]
    evidence: list[Tensor]
    deviations: list[Tensor]

    @classmethod
    def of(
        cls, model: nn.Module, layer: str, source: Source, work: Path, plan: Plan, progress: bool
    ) -> _Found:
        some = points.kept(
            model, layer, source, work, positions=plan.positions, seed=plan.seed, progress=progress
        )
        options = {"neighbors": plan.neighbors, "seed": plan.seed}
        where = _kept(work / "plane.pt", lambda: plane.umap_plane(some.vectors, **options))
        found = plane.cells(some.vectors, where, grid=plan.grid, minimum=plan.minimum)
        examples = [_examples(some, cell, plan.examples) for cell in found]
        middle, spread = some.vectors.mean(dim=0), some.vectors.std(dim=0, correction=0)
        evidence = _evidence(model, layer, found, middle, plan)
        deviations = [(cell.mean - middle) / spread.clamp(min=1e-6) for cell in found]
        return cls(layer, source, plan, some, found, examples, evidence, deviations)

    @property
    def middle(self) -> Tensor:
        return self.points.vectors.mean(dim=0)

    @property
    def shown(self) -> list[int]:
        """The numbers of the images on the page."""
        return sorted({id_ for members in self.examples for id_ in self.points.ids[members].tolist()})

    @property
    def units(self) -> list[tuple[int, int]]:
        """The channels on the page, with their signs."""
        return sorted(
            {(channel, sign) for row in map(self.outstanding, self.deviations) for channel, sign, _ in row}
        )

    def outstanding(self, deviations: Tensor) -> list[tuple[int, int, float]]:
        """Return (channel, sign, deviation) of the channels that differ most from what is usual."""
        order = deviations.abs().argsort(descending=True, stable=True)[: self.plan.channels].tolist()
        return [
            (channel, 1 if deviations[channel] >= 0 else -1, float(deviations[channel])) for channel in order
        ]

    def data(self, model: nn.Module, field: Field) -> dict[str, Any]:
        """Return what the page is drawn from."""
        labels = dict(zip(self.points.ids.tolist(), self.points.labels, strict=True))
        names = sorted(set(self.points.labels))
        return {
            "grid": self.plan.grid,
            "points": len(self.points),
            "images": len(labels),
            "names": names,
            "classes": list(getattr(model, "class_names", ())),
            "shown": [[id_, names.index(labels[id_])] for id_ in self.shown],
            "channels": [list(unit) for unit in self.units],
            "cells": [self._cell(number, names, field) for number in range(len(self.cells))],
        }

    def _cell(self, number: int, names: Sequence[str], field: Field) -> dict[str, Any]:
        cell, place = self.cells[number], {id_: where for where, id_ in enumerate(self.shown)}
        inside = Counter(self.points.labels[member] for member in cell.members.tolist())
        some = self.points[self.examples[number]]
        return {
            "at": [cell.row, cell.column],
            "n": len(cell),
            "l": [
                [names.index(name), round(count / len(cell), 3)] for name, count in inside.most_common(LABELS)
            ],
            "k": [
                [index, short(value)] for index, value in strongest(self.evidence[number], self.plan.classes)
            ],
            "c": [
                [self.units.index((channel, sign)), short(value)]
                for channel, sign, value in self.outstanding(self.deviations[number])
            ],
            "x": [
                [place[id_], *_mark(field, where, self.plan.size)]
                for id_, where in zip(some.ids.tolist(), some.positions.tolist(), strict=True)
            ],
        }


def strongest(values: Tensor, count: int) -> list[tuple[int, float]]:
    """Return (index, value) of the largest values that are above 0."""
    order = values.argsort(descending=True, stable=True)[:count].tolist()
    return [(index, float(values[index])) for index in order if values[index] > 0]


def _examples(some: Points, cell: Cell, count: int) -> Tensor:
    """Return the members most like the cell's average, each of another image."""
    seen: dict[int, int] = {}
    for member in cell.members.tolist():
        seen.setdefault(int(some.ids[member]), member)
    return torch.tensor(list(seen.values())[: max(count, 1)])


def _evidence(model: nn.Module, layer: str, cells: list[Cell], middle: Tensor, plan: Plan) -> list[Tensor]:
    if not plan.classes:
        return [torch.zeros(0)] * len(cells)
    means = torch.stack([cell.mean for cell in cells])
    return list(speaking.evidence(model, layer, means, middle=middle, size=plan.size))


def _kept(file: Path, compute: Any) -> Tensor:
    """Return a tensor from a file, or compute it and write it there."""
    if not file.exists():
        buffer = io.BytesIO()
        torch.save(compute(), buffer)
        runs.write(file, runs.seal(buffer.getvalue()))
    return torch.load(points.opened(file), weights_only=True)  # type: ignore[no-any-return]


def _mark(field: Field, position: Sequence[int], size: int) -> list[float]:
    """Return (x, y) of the middle of what a position sees, as shares of the image."""
    y, x = (field.center[axis] + position[axis] * field.stride[axis] for axis in (0, 1))
    return [round(min(max(value / size, 0.0), 1.0), 3) for value in (x, y)]


def short(value: float) -> float:
    """Return a number with as many digits as the page needs."""
    return float(f"{value:.3g}")


# ------------------------------------------------------------------------------------------------------------
# What is drawn


def _draw(model: nn.Module, found: _Found, site: Path, work: Path, progress: bool) -> dict[str, Any]:
    plan, layer = found.plan, found.layer
    network = folding.fold(model, keep=[layer])
    recipe = fv.Recipe(
        steps=plan.steps, size=pictures.side_of(network, layer, plan.side, plan.size), seed=plan.seed
    )
    whiten, middle = plane.whitening(found.points.vectors), found.middle
    cells = [pictures.objective(layer, cell, middle, whiten, power=plan.power) for cell in found.cells]
    for name, objectives in (("cells", cells), ("channels", pictures.channels(layer, found.units))):
        if objectives:
            done = fv.render_folder(model, objectives, work / name, recipe=recipe, progress=progress)
            pictures.write_sheets(done.pictures(objectives), site, name)
    pictures.write_sheets(
        pictures.thumbnails(model, found.source, found.shown, plan.thumbnail), site, "images"
    )
    return {"side": recipe.size, "thumbnail": plan.thumbnail}


def _words(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in WORDS}


def write_page(site: Path) -> None:
    """Write the page itself, which is the same for every network."""
    for name, target in PAGE.items():
        runs.write(site / target, templates.read(name))


def _write(site: Path, data: Mapping[str, Any]) -> None:
    """Write data as a call: a page that is opened from a folder may load scripts, but no JSON."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    runs.write(site / "data.js", f"atlas({text});\n".encode(errors="replace"))
    write_page(site)
