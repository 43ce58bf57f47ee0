"""The photographs: by name, in the image convention, with a license, without importing what carries them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from interp import image
from interp.errors import BadInputError, MissingExtraError, UnknownNameError
from interp.zoo import photographs


@pytest.mark.parametrize("name", photographs.photograph_names())
def test_every_photograph_is_the_file_inside_its_package(name: str) -> None:
    found = photographs.photograph(name)
    assert image.check(found).shape[:2] == (1, 3)
    with Image.open(photographs.photograph_path(name)) as picture:
        expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(image.to_numpy(found)[0], expected)


@pytest.mark.parametrize("name", photographs.photograph_names())
def test_every_photograph_has_an_origin_and_a_license(name: str) -> None:
    origin = photographs.photograph_origin(name)
    assert origin.name == name
    assert origin.author
    assert origin.license
    assert origin.shows


def test_the_required_photographs_are_there() -> None:
    wanted = {
        "cat",
        "coffee",
        "astronaut",
        "rocket",
        "motorcycle",
        "china",
        "flower",
        "brick",
        "grass",
        "gravel",
    }
    assert wanted <= set(photographs.photograph_names())
    assert torch.equal(photographs.photograph("espresso"), photographs.photograph("coffee"))


def test_examples_are_the_middle_squares() -> None:
    batch = photographs.example_images("cat", "brick", size=96)
    assert batch.shape == (2, 3, 96, 96)
    cat = image.resize(photographs.photograph("cat"), (96, round(451 * 96 / 300)))
    left = (cat.shape[-1] - 96) // 2
    assert torch.equal(batch[0], cat[0, :, :, left : left + 96])
    assert torch.equal(batch[1, 0], batch[1, 1])  # a gray texture in three equal channels


def test_examples_without_names_are_the_seven_in_color() -> None:
    assert photographs.example_images(size=32).shape == (7, 3, 32, 32)


def test_an_unknown_name_is_told_the_closest() -> None:
    with pytest.raises(UnknownNameError, match=r"There is no photograph 'cofee'\. Closest: coffee"):
        photographs.photograph("cofee")


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(BadInputError, match="at least 1 pixel, not 0"):
        photographs.example_images("cat", size=0)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*interp\[examples\]"):
        photographs.photograph("china")


def test_the_packages_themselves_are_not_imported() -> None:
    code = (
        "import sys; from interp.zoo import photographs; photographs.example_images('cat', 'china');"
        "print([name for name in ('skimage', 'sklearn', 'torchvision') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_crop_of_the_book_has_an_author_and_a_license_that_allows_changes() -> None:
    folder = Path(__file__).resolve().parents[1] / "book" / "_data" / "photographs"
    rows = [
        line.strip("| ").split(" | ")
        for line in (folder / "ORIGIN.md").read_text(encoding="utf-8").splitlines()
    ]
    named = {row[0]: row[1:] for row in rows if len(row) == 5 and "---" not in row[0] and row[0] != "folder"}
    files = Counter(file.parent.name for file in folder.glob("*/*.webp"))
    assert set(named) == set(files)
    assert set(files.values()) == {4}
    allowed = ("CC0", "CC-BY-4", "CC-BY-SA", "GPL-2+", "LGPL-3", "public domain")
    for author, license_, where, digest in named.values():
        assert author
        assert license_.startswith(allowed)
        assert ": `usr/" in where
        assert len(digest.strip("`")) == 64
