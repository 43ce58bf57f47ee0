"""The cut-outs: which there are, what each shows, and their pictures. ORIGIN.md beside them says whose they are."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PILImage

from interp.zoo.models import imagenet_class_names

FOLDER = Path(__file__).parent / "embedded" / "cutouts"
SCENE_CLASSES = (
    "bird", "mammal", "sea animal", "flower", "fruit or vegetable", "plant", "ball or planet", "vehicle",
    "instrument", "tool",
)  # fmt: skip


@dataclass(frozen=True)
class CutOut:
    """One line of the list cutouts.tsv.

    Attributes:
        name: the file's name without its suffix.
        label: the index of its class in `SCENE_CLASSES`, -1 for an object of no class (it serves as a distractor).
        part: "train" or "val".
        imagenet: the index of the ImageNet class that it shows, or None.
        stamp: the file in Debian's package tuxpaint-stamps-default that it was made from.
    """

    name: str
    label: int
    part: str
    imagenet: int | None
    stamp: str


@functools.cache
def read_list() -> tuple[CutOut, ...]:
    """Return the list of all cut-outs."""
    lines = (FOLDER / "cutouts.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(_entry(line) for line in lines if line and not line.startswith("#"))


def _entry(line: str) -> CutOut:
    name, kind, part, imagenet, stamp = line.split("\t")
    label = SCENE_CLASSES.index(kind) if kind in SCENE_CLASSES else -1
    return CutOut(
        name, label, part, None if imagenet == "-" else imagenet_class_names().index(imagenet), stamp
    )


@functools.cache
def picture_of(name: str) -> PILImage.Image:
    """Return the picture of a cut-out, RGBA, at most 160 pixels long; it is shared, so it must not be changed."""
    with PILImage.open(FOLDER / f"{name}.webp") as picture:
        return picture.convert("RGBA")
