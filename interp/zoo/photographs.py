"""Photographs inside the wheels of scikit-image and scikit-learn, by name, with origins and licenses."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from interp import image
from interp.errors import BadInputError, MissingExtraError, UnknownNameError


@dataclass(frozen=True)
class Origin:
    """Where a photograph comes from and what one may do with it.

    Attributes:
        name: the name under which `photograph` finds it.
        package: the package on PyPI whose wheel holds the file.
        file: the file inside the package.
        shows: what is to be seen.
        author: who took it, as far as the package tells.
        license: the terms, as the package states them.
        source: the address that the package gives, or an empty string.
    """

    name: str
    package: str
    file: str
    shows: str
    author: str
    license: str
    source: str = ""


_FREE = "no known copyright restrictions"
_FLICKR = "https://www.flickr.com/photos"

# Taken from the docstrings of skimage/data/_fetchers.py and from sklearn/datasets/images/README.txt. That
# README credits both photographs to danielbuechele, but the address it gives for the flower is vultilion's.
_ORIGINS = (
    Origin("cat", "scikit-image", "chelsea.png", "Chelsea the cat", "Stefan van der Walt", "CC0"),
    Origin("coffee", "scikit-image", "coffee.png", "a cup of coffee", "Rachel Michetti", "CC0"),
    Origin(
        "astronaut", "scikit-image", "astronaut.png", "Eileen Collins", "NASA", f"public domain; {_FREE}",
        "https://flic.kr/p/r9qvLn",
    ),
    Origin(
        "rocket", "scikit-image", "rocket.jpg", "the launch of DSCOVR on a Falcon 9", "SpaceX",
        "public domain", f"{_FLICKR}/spacexphotos/16511594820/",
    ),
    Origin(
        "motorcycle", "scikit-image", "motorcycle_left.png", "a motorcycle in a workshop",
        "D. Scharstein and others, Middlebury stereo datasets, 2014",
        "published for research by Middlebury College; scikit-image distributes it without stating a license",
        "http://vision.middlebury.edu/stereo/data/scenes2014/",
    ),
    Origin(
        "china", "scikit-learn", "china.jpg", "a temple in China", "danielbuechele", "CC BY 2.0",
        f"{_FLICKR}/danielbuechele/6061409035/sizes/z/in/photostream/",
    ),
    Origin(
        "flower", "scikit-learn", "flower.jpg", "a dahlia", "vultilion", "CC BY 2.0",
        f"{_FLICKR}/vultilion/6056698931/sizes/z/in/photostream/",
    ),
    Origin("camera", "scikit-image", "camera.png", "a photographer with a camera", "Lav Varshney", "CC0"),
    Origin(
        "coins", "scikit-image", "coins.png", "Greek coins from Pompeii", "Brooklyn Museum", _FREE,
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
    ),
    Origin(
        "galaxies", "scikit-image", "hubble_deep_field.jpg", "the Hubble extreme deep field", "NASA",
        "public domain", "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
    ),
    Origin(
        "retina", "scikit-image", "retina.jpg", "the back of a human eye", "Mikael Häggström", "CC0",
        "https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg",
    ),
    Origin(
        "tissue", "scikit-image", "ihc.png", "stained glands of a colon",
        "Center for Microscopy and Molecular Imaging", _FREE,
    ),
    Origin(
        "brick", "scikit-image", "brick.png", "a brick wall", "CC0Textures", "CC0",
        "https://cc0textures.com/view.php?tex=Bricks25",
    ),
    Origin(
        "grass", "scikit-image", "grass.png", "grass", "linolafett", "CC0",
        "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
    ),
    Origin(
        "gravel", "scikit-image", "gravel.png", "gravel", "CC0Textures", "CC0",
        "https://cc0textures.com/view.php?tex=Gravel04",
    ),
)  # fmt: skip

_BY_NAME = {origin.name: origin for origin in _ORIGINS}
_ALIASES = {"espresso": "coffee", "chelsea": "cat", "dahlia": "flower"}
_FOLDERS = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}
_SHOWN = ("cat", "coffee", "astronaut", "rocket", "motorcycle", "china", "flower")


def photograph_names() -> tuple[str, ...]:
    """Return the names of the photographs; the last three are gray textures: "brick", "grass", "gravel"."""
    return tuple(_BY_NAME)


def photograph_origin(name: str) -> Origin:
    """Return where a photograph comes from: package, author, license, address.

    Raises:
        UnknownNameError: there is no photograph of that name.
    """
    known = _ALIASES.get(name, name)
    if known not in _BY_NAME:
        raise UnknownNameError("photograph", name, [*_BY_NAME, *_ALIASES])
    return _BY_NAME[known]


def photograph(name: str) -> Tensor:
    """Return one photograph at its full size, (1, 3, H, W) in [0, 1]; a gray one has three equal channels.

    Args:
        name: one of `photograph_names()`, or the alias "espresso" for "coffee".

    Raises:
        UnknownNameError: there is no photograph of that name.
        MissingExtraError: the package that carries it is not installed.
    """
    return image.load(photograph_path(name))


def photograph_path(name: str) -> Path:
    """Return the file of a photograph inside the package that carries it; nothing is imported."""
    origin = photograph_origin(name)
    module, folder = _FOLDERS[origin.package]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(origin.package, "examples", f"The photograph {name!r}")
    return Path(spec.submodule_search_locations[0]) / folder / origin.file


def example_images(*names: str, size: int = 224) -> Tensor:
    """Return the middle squares of photographs as one batch, (N, 3, size, size) in [0, 1].

    Args:
        names: as for `photograph`; none gives the seven color photographs that the book uses most.
        size: the side in pixels; the shorter side of each photograph is resized to it.

    Raises:
        UnknownNameError: there is no photograph of that name.
        MissingExtraError: the package that carries it is not installed.
        BadInputError: the size is not positive.
    """
    if size < 1:
        raise BadInputError(f"The size has to be at least 1 pixel, not {size}.")
    return torch.cat([image.center_crop(photograph(name), size) for name in names or _SHOWN])
