"""Scenes: an endless, seeded set of pictures with known truth, made of real photographs.

A scene pastes one or two cut-outs (animals, flowers, fruit, vehicles, ...) on a background that is cropped from other
photographs. It knows its label and exactly which pixels belong to the object. Scene number i of a seed is the same on
every machine: all of its randomness comes from the raw bits of numpy's PCG64, whose stream numpy guarantees.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageFilter
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from interp import image
from interp.errors import BadInputError, UnknownNameError
from interp.zoo.cutouts import SCENE_CLASSES, CutOut, picture_of, read_list
from interp.zoo.photographs import photograph_path

# The streams of random numbers: "val_known" shows the cut-outs of "train" in other scenes, "val" those never seen.
SPLITS = {"train": 0, "val_known": 1, "val": 2, "all": 3}
_PARTS = {"train": ("train",), "val_known": ("train",), "val": ("val",), "all": ("train", "val")}

T = TypeVar("T")
Picture = PILImage.Image


@dataclass(frozen=True)
class Thing:
    """An object in a scene: which cut-out it is and where it is seen.

    Attributes:
        cutout: the cut-out.
        mask: (H, W), True where the object is what one sees.
    """

    cutout: CutOut
    mask: Tensor

    @property
    def label(self) -> int:
        """The index of its class in `SCENE_CLASSES`, -1 for none."""
        return self.cutout.label

    @property
    def imagenet(self) -> int | None:
        """The index of its ImageNet class, or None."""
        return self.cutout.imagenet


@dataclass(frozen=True)
class Scene:
    """A picture and the truth about it.

    Attributes:
        image: (3, H, W) in [0, 1].
        id: split, seed and number, such as "val/0/17": it is enough to make the scene again.
        main: the object that the label speaks of, the larger one.
        second: a smaller object of another class beside it, or None.
    """

    image: Tensor
    id: str
    main: Thing
    second: Thing | None

    @property
    def label(self) -> int:
        """The index of the main object's class in `SCENE_CLASSES`, -1 for none."""
        return self.main.label

    @property
    def mask(self) -> Tensor:
        """(H, W), True where the main object is what one sees."""
        return self.main.mask

    @property
    def imagenet(self) -> int | None:
        """The index of the main object's ImageNet class, or None."""
        return self.main.imagenet

    def places(self, grid: int = 14) -> Tensor:
        """Return where each class is seen, (10, grid, grid): 1 where its objects cover more than half of a cell."""
        found = torch.zeros(len(SCENE_CLASSES), grid, grid)
        for thing in filter(None, (self.main, self.second)):
            if thing.label >= 0:
                cover = functional.adaptive_avg_pool2d(thing.mask[None].float(), grid)[0] > 0.5
                found[thing.label] = torch.maximum(found[thing.label], cover.float())
        return found


class Scenes(Dataset[Scene]):
    """Scenes by number, made when they are asked for.

    Args:
        split: "train"; "val_known", other scenes of the same cut-outs; "val", cut-outs that training never shows; or
            "all", every cut-out.
        size: the side of the square pictures in pixels.
        seed: another seed gives other scenes of the same cut-outs.
        length: how many there are when one iterates; the numbers could go on for ever.
        second: how often a smaller object of another class is put beside the main one, from 0 to 1.
        imagenet: only main objects whose ImageNet class is known, of any or none of the ten classes.

    Raises:
        UnknownNameError: there is no such split.
        BadInputError: a number is out of range.
    """

    def __init__(
        self,
        split: str = "train",
        size: int = 64,
        seed: int = 0,
        *,
        length: int = 6000,
        second: float = 0.3,
        imagenet: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise UnknownNameError("split of the scenes", split, SPLITS)
        if size < 8 or length < 0 or seed < 0 or not 0 <= second <= 1:
            raise BadInputError(
                f"size has to be at least 8, length and seed not negative, second in [0, 1]; got size={size}, "
                f"length={length}, seed={seed}, second={second}."
            )
        self.split, self.size, self.seed, self.length, self.second = split, size, seed, length, second
        self.imagenet = imagenet
        cutouts = [entry for entry in read_list() if entry.part in _PARTS[split]]
        self._others = cutouts
        self._groups = _groups(cutouts, imagenet)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.length:
            raise IndexError(f"There are {self.length} scenes, numbered from 0; there is no number {index}.")
        dice = _dice(self.seed, SPLITS[self.split], index)
        canvas = _background(dice, self.size)
        # The classes take turns, so that each has its equal share.
        main = _choice(dice, self._groups[index % len(self._groups)])
        things = [main]
        if next(dice) < self.second:
            things.append(_choice(dice, [other for other in self._others if _differ(other, main)]))
        masks = _compose(canvas, things, dice)
        pixels = _light(canvas, dice)
        found = [Thing(cutout, mask) for cutout, mask in zip(things, masks, strict=True)]
        return Scene(
            pixels, f"{self.split}/{self.seed}/{index}", found[0], found[1] if len(found) > 1 else None
        )


def cross(scenes: Sequence[Scene], grounds: Tensor) -> Tensor:
    """Return every scene's main object on every ground, (G, S, 3, H, W): row g has all objects on ground g.

    An object keeps its place, size and light. So what differs along a row is the object alone, and along a column the
    ground.

    Args:
        scenes: S scenes of one size.
        grounds: (G, 3, H, W) in [0, 1], of the same size.

    Raises:
        BadInputError: there is no scene, or the sizes differ.
    """
    shapes = {tuple(scene.image.shape) for scene in scenes} | {tuple(grounds.shape[1:])}
    if not scenes or len(shapes) != 1:
        raise BadInputError(
            f"Scenes and grounds of one size (3, H, W) are needed; got {len(scenes)} scenes, {shapes}."
        )
    objects = torch.stack([scene.image for scene in scenes])
    mask = torch.stack([scene.mask for scene in scenes])[:, None]
    return torch.stack([torch.where(mask, objects, ground) for ground in grounds])


def _groups(cutouts: Sequence[CutOut], imagenet: bool) -> list[list[CutOut]]:
    """Return the groups that take turns: the ten classes, or each ImageNet class for itself."""
    if not imagenet:
        return [[entry for entry in cutouts if entry.label == label] for label in range(len(SCENE_CLASSES))]
    known = sorted({entry.imagenet for entry in cutouts if entry.imagenet is not None})
    return [[entry for entry in cutouts if entry.imagenet == index] for index in known]


def _differ(first: CutOut, second: CutOut) -> bool:
    return first.label != second.label and (first.imagenet is None or first.imagenet != second.imagenet)


# --------------------------------------------------------------------------------------------------------------------
# Backgrounds


# Parts of photographs that show none of the ten classes: (left, top, right, bottom) as fractions of the sides.
_BACKGROUNDS = (
    ("brick", (0.0, 0.0, 1.0, 1.0)),
    ("grass", (0.0, 0.0, 1.0, 1.0)),
    ("gravel", (0.0, 0.0, 1.0, 1.0)),
    ("galaxies", (0.0, 0.0, 1.0, 1.0)),
    ("tissue", (0.0, 0.0, 1.0, 1.0)),
    ("retina", (0.2, 0.2, 0.8, 0.8)),
    ("coffee", (0.72, 0.0, 1.0, 0.5)),
    ("rocket", (0.02, 0.0, 0.42, 0.75)),
    ("motorcycle", (0.45, 0.0, 1.0, 0.2)),
    ("motorcycle", (0.0, 0.8, 0.75, 1.0)),
    ("china", (0.5, 0.0, 1.0, 1.0)),
    ("china", (0.1, 0.2, 0.55, 0.9)),
    ("flower", (0.65, 0.0, 1.0, 1.0)),
    ("camera", (0.6, 0.55, 1.0, 1.0)),
)


@functools.cache
def _ground(index: int, longest: int) -> Picture:
    name, (left, top, right, bottom) = _BACKGROUNDS[index]
    with PILImage.open(photograph_path(name)) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    part = picture.crop(
        (round(left * width), round(top * height), round(right * width), round(bottom * height))
    )
    part.thumbnail((longest, longest), PILImage.Resampling.BOX)
    return part


# --------------------------------------------------------------------------------------------------------------------
# Chance


def _dice(seed: int, stream: int, index: int) -> Iterator[float]:
    """Give numbers in [0, 1) that depend on the arguments alone."""
    bits = np.random.PCG64(np.random.SeedSequence((seed, stream, index))).random_raw(64)
    return iter(((bits >> np.uint64(11)) * 2.0**-53).tolist())


def _between(dice: Iterator[float], low: float, high: float) -> float:
    return low + (high - low) * next(dice)


def _choice(dice: Iterator[float], values: Sequence[T]) -> T:
    return values[int(next(dice) * len(values))]


# --------------------------------------------------------------------------------------------------------------------
# Painting


def _background(dice: Iterator[float], size: int) -> Picture:
    """Return a patch of a photograph; in half of the scenes another patch covers it below a horizon."""
    canvas = _patch(dice, size)
    below, horizon, wanted = _patch(dice, size), round(_between(dice, 0.3, 0.8) * size), next(dice) < 0.5
    if wanted:
        canvas.paste(below.crop((0, horizon, size, size)), (0, horizon))
    return canvas.filter(ImageFilter.BoxBlur(_between(dice, 0.0, 0.03) * size))


def _patch(dice: Iterator[float], size: int) -> Picture:
    """Return a square cut at random from one of the backgrounds, mirrored and tinted at random."""
    # Four times the scene is enough: the smallest patch is then still larger than the scene.
    ground = _ground(int(next(dice) * len(_BACKGROUNDS)), 4 * size)
    side = _between(dice, 0.35, 1.0) * min(ground.size)
    left, top = (next(dice) * (whole - side) for whole in ground.size)
    patch = ground.resize(
        (size, size), PILImage.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    if next(dice) < 0.5:
        patch = patch.transpose(PILImage.Transpose.FLIP_LEFT_RIGHT)
    tint = [_between(dice, 0.7, 1.2) for _ in range(3)]
    return patch.point([min(255, round(value * gain)) for gain in tint for value in range(256)])


def _compose(canvas: Picture, cutouts: Sequence[CutOut], dice: Iterator[float]) -> list[Tensor]:
    """Paste the objects, the main one last and so in front, and return the masks of what is seen of each."""
    size = canvas.width
    place = _main_place(dice)
    layers = [_layer(cutouts[0], size, place, dice)]
    if len(cutouts) > 1:
        layers.append(_layer(cutouts[1], size, _second_place(dice, place), dice))
    for layer in reversed(layers):
        canvas.paste(layer, (0, 0), layer)
    masks = [torch.from_numpy(np.asarray(layer.getchannel("A")) > 127) for layer in layers]
    return [masks[0], *(mask & ~masks[0] for mask in masks[1:])]


def _main_place(dice: Iterator[float]) -> tuple[float, float, float]:
    """Return length and center (x, y) of the main object, as fractions of the side."""
    length = _between(dice, 0.65, 0.95)
    return length, _between(dice, length / 2, 1 - length / 2), _between(dice, length / 2, 1 - length / 2)


def _second_place(dice: Iterator[float], main: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the same for the second object: in the corner that is farthest from the main one's center."""
    length = _between(dice, 0.25, 0.4)
    inset = _between(dice, length / 2, 0.6 * length)
    return length, inset if main[1] > 0.5 else 1 - inset, inset if main[2] > 0.5 else 1 - inset


def _layer(cutout: CutOut, size: int, place: tuple[float, float, float], dice: Iterator[float]) -> Picture:
    """Return a transparent picture of the scene's size with one object: scaled, mirrored and slightly turned."""
    length, x, y = place
    piece = picture_of(cutout.name)
    if next(dice) < 0.5:
        piece = piece.transpose(PILImage.Transpose.FLIP_LEFT_RIGHT)
    angle = _between(dice, -15, 15)
    scale = length * size / max(piece.size)
    width, height = (max(1, round(side * scale)) for side in piece.size)
    piece = piece.resize((width, height), PILImage.Resampling.BILINEAR)
    piece = piece.rotate(angle, PILImage.Resampling.BILINEAR, expand=True)
    layer = PILImage.new("RGBA", (size, size))
    layer.paste(piece, (_inside(x * size, piece.width, size), _inside(y * size, piece.height, size)))
    return layer


def _inside(center: float, side: int, size: int) -> int:
    """Return where an object begins, moved so that turning it has not pushed it over the border."""
    return max(0, min(round(center - side / 2), size - side))


def _light(canvas: Picture, dice: Iterator[float]) -> Tensor:
    """Return the picture (3, H, W) under a light of random strength and color."""
    strength = _between(dice, 0.8, 1.1)
    gains = [strength * _between(dice, 0.92, 1.08) for _ in range(3)]
    lit = canvas.point([min(255, round(value * gain)) for gain in gains for value in range(256)])
    return image.from_pil(lit)[0]
