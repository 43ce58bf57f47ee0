"""Build the page of an audit: for each class what separates its hits from its misses, with the images that show it."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor, nn

from interp import hooks, image, runs, templates
from interp.audit.findings import KINDS, Finding, Look, examine
from interp.audit.plan import Changes, Plan
from interp.digest import digest
from interp.errors import BadInputError, UnknownNameError
from interp.plots import colorize
from interp.spectrum import Source
from interp.spectrum.entries import Entry, batches, check_source, everything
from interp.zoo import warn_of_missing_normalization

WORDS = ("title", "about")  # of a plan: they change nothing that is computed
MOST = 3  # findings of each kind that are shown with images
DIFFERENCE = 8  # pixels of the picture of regions for each cell


def build(
    model: nn.Module,
    layer: str,
    source: Source,
    site: str | os.PathLike[str],
    *,
    plan: Plan | None = None,
    **changes: Unpack[Changes],
) -> Path:
    """Look at the classes of labeled images, and return the page that says what separates hits from misses.

    Regions are cells of a grid and their share of each map's heat (HiResCAM); units are channels and their strongest
    activation; clusters are groups of maps (as in Lapuschkin et al., 2019). What a class is recognized by though it
    should not be, a mark in a corner or a color of the ground, separates its hits from its misses, unless all of its
    images have it. That a thing is named says that it goes together with the hits, not that it causes them.

    Args:
        model: takes images (N, C, H, W) in [0, 1], returns logits; its class names are the labels of the images.
        layer: whose channels are the units, and at which the maps are made.
        source: images with labels.
        site: the folder: new, empty, or of the same audit.
        plan: how, see `Plan`.
        changes: what differs from the plan, by the names of its attributes: `each=50, title="Mine"`.

    Raises:
        UnknownNameError: there is no such layer, or a label is no class of the network.
        BadInputError: the images have no labels, the folder holds something else, or an option cannot be used.
        UnwritableError: the folder cannot be written.

    Warns:
        UserWarning: the network seems to miss its normalization; see `zoo.missing_normalization`.
    """
    plan, site = replace(plan or Plan(), **changes), Path(site).absolute()
    hooks.find_layer(model, layer)
    classes = listed(model, source)
    runs.claim(site, settings(model, layer, source, plan))
    sections, rows = [], []
    for number, (target, entries) in enumerate(classes.items()):
        images = read(entries, plan.each)
        if number == 0:
            warn_of_missing_normalization(model, images.shape[-1])
        look = examine(model, images, target, layer, plan=plan, tests=len(KINDS) * len(classes))
        section = _Section(
            entries[0].label, target, look, hooks.inputs_of(model).pictures(images), site, plan
        )
        sections.append(section.html())
        rows.append(section.row())
    _write(site, plan, layer, rows, sections)
    return site / "index.html"


def listed(model: nn.Module, source: Source) -> dict[int, list[Entry]]:
    """Return the entries of each class that the source has images of, by its number.

    Raises:
        UnknownNameError: a label is no class of the network.
        BadInputError: it is no source, the network has no class names, or no image has a label.
    """
    check_source(source)
    names = list(getattr(model, "class_names", ()))
    if not names:
        raise BadInputError(
            "The network has no class_names, so that it is not known which output belongs to which label."
        )
    found: dict[int, list[Entry]] = {}
    for entry in everything(source):
        if entry.label and entry.label not in names:
            raise UnknownNameError("class", entry.label, names)
        if entry.label:
            found.setdefault(names.index(entry.label), []).append(entry)
    if not found:
        raise BadInputError("No image has a label. In a folder, the folder of an image is its label.")
    return dict(sorted(found.items()))


def read(entries: Sequence[Entry], most: int) -> Tensor:
    """Return so many of the images, spread over all, as one batch; what cannot be decoded is passed over.

    Raises:
        BadInputError: none can be decoded, or they have different sizes.
    """
    chosen = entries[:: max(1, len(entries) // most)][:most]
    (batch,) = batches(chosen, size=len(chosen))
    if not len(batch.images):
        raise BadInputError(f"No image of {entries[0].label!r} can be read: {batch.broken[0].reason}")
    return batch.images


def settings(model: nn.Module, layer: str, source: Source, plan: Plan) -> dict[str, Any]:
    """Return all that decides what is computed, as JSON: hashes for what is large."""
    numbers = {name: value for name, value in asdict(plan).items() if name not in WORDS}
    return {
        **numbers,
        "layer": layer,
        "model": digest(model),
        "source": source.fingerprint,
        "code": digest(examine),
    }


# ------------------------------------------------------------------------------------------------------------
# A class on the page


@dataclass(frozen=True)
class _Section:
    """What the page says about a class."""

    name: str
    target: int
    look: Look
    pictures: Tensor
    site: Path
    plan: Plan

    @property
    def counts(self) -> tuple[int, int]:
        hits = int(self.look.hits.sum())
        return hits, len(self.look.hits) - hits

    def row(self) -> str:
        """Return the line of the table: hits, misses, and how much of each kind separates them."""
        found = self.look.findings
        told = ["\N{EN DASH}"] * len(KINDS) if found is None else [str(len(self._of(kind))) for kind in KINDS]
        cells = "".join(f"<td>{text}</td>" for text in (*map(str, self.counts), *told))
        return f'<tr><th><a href="#c{self.target}">{html.escape(self.name)}</a></th>{cells}</tr>'

    def html(self) -> str:
        """Return the section, and write its pictures."""
        hits, misses = self.counts
        head = (
            f'<section id="c{self.target}"><h2>{html.escape(self.name)}</h2><p>{hits} hits, {misses} misses. '
        )
        if self.look.findings is None:
            return (
                f"{head}Too few of one kind to compare: {self.plan.fewest} are needed. A shortcut that never fails "
                "leaves no misses, and then this page cannot see it.</p></section>"
            )
        if not self.look.findings:
            return f"{head}Nothing separates them beyond chance.</p></section>"
        shown = "".join(self._finding(one) for kind in KINDS for one in self._of(kind)[:MOST])
        return f"{head}</p>{self._map()}{shown}</section>"

    def _of(self, kind: str) -> list[Finding]:
        return [one for one in self.look.findings or () if one.kind == kind]

    def _map(self) -> str:
        """Return the picture of the regions: the share of the heat in hits minus that in misses."""
        shares, hits = self.look.values["region"], self.look.hits
        apart = (shares[hits].mean(0) - shares[~hits].mean(0)).view(self.plan.cells, self.plan.cells)
        large = apart.repeat_interleave(DIFFERENCE, 0).repeat_interleave(DIFFERENCE, 1)
        name = self._picture("map", colorize(large, signed=True))
        return (
            f'<figure class="map"><img src="{name}" alt="Where hits have more heat than misses, in red">'
            "<figcaption>Share of the heat, hits minus misses: red is more, blue is less.</figcaption></figure>"
        )

    def _finding(self, one: Finding) -> str:
        more = "more in hits" if one.difference > 0 else "more in misses"
        words = f"{one.kind} {one.index}: {more}, by {abs(one.difference):.1f} standard deviations"
        words += f" (chance {one.chance:.2g})"
        values = self.look.values[one.kind][:, one.index]
        rows = values.argsort(descending=True, stable=True)[: self.plan.shown].tolist()
        tiles = "".join(self._tile(row, self._box(one, row)) for row in rows)
        return f'<figure><figcaption>{words}</figcaption><div class="tiles">{tiles}</div></figure>'

    def _box(self, one: Finding, row: int) -> Sequence[float]:
        """Return left, top and side of what is marked on an image, as shares of it; nothing for a cluster."""
        side = 1 / self.plan.cells
        if one.kind == "region":
            return one.index % self.plan.cells * side, one.index // self.plan.cells * side, side
        if one.kind == "unit":
            y, x = (min(max(float(at) - side / 2, 0), 1 - side) for at in self.look.peaks[row, one.index])
            return x, y, side
        return ()

    def _tile(self, row: int, box: Sequence[float]) -> str:
        name = self._picture(str(row), self.pictures[row : row + 1])
        kind = "hit" if self.look.hits[row] else "miss"
        style = "left:{:.1%};top:{:.1%};width:{:.1%};height:{:.1%}".format(*box, box[-1]) if box else ""
        mark = f'<i style="{style}"></i>' if box else ""
        return f'<span class="{kind}"><img src="{name}" alt="{kind}" loading="lazy">{mark}</span>'

    def _picture(self, name: str, picture: Tensor) -> str:
        """Write a picture, and return its address on the page."""
        path = self.site / "pictures" / f"{self.target}-{name}.png"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            runs.write(path, image.png(picture.cpu()))
        return f"pictures/{path.name}"


def _write(site: Path, plan: Plan, layer: str, rows: Sequence[str], sections: Sequence[str]) -> None:
    """Write the page and its style."""
    parts = {
        "TITLE": html.escape(plan.title),
        "ABOUT": html.escape(plan.about),
        "LAYER": html.escape(layer),
        "LEVEL": f"{plan.level:.0%}",
        "KINDS": "".join(f"<th>{kind}s</th>" for kind in KINDS),
        "ROWS": "\n".join(rows),
        "SECTIONS": "\n".join(sections),
    }
    page = templates.read("audit.html").decode()
    page = re.sub(r"\[\[(\w+)\]\]", lambda name: parts[name[1]], page)
    runs.write(site / "audit.css", templates.read("audit.css"))
    runs.write(site / "index.html", page.encode(errors="replace"))
