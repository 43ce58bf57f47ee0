"""Imagenette through torchvision's own class, on a small folder of the same layout."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from interp import image
from interp.errors import BadInputError, MissingExtraError, MissingFileError, UnknownNameError
from interp.zoo import IMAGENETTE_CLASSES, imagenette_transforms, load_data, load_imagenette
from interp.zoo import imagenette as module

WNIDS = sorted(datasets.Imagenette._WNID_TO_CLASS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with two gray images a class in training and one in validation; the gray tells the class."""
    for split, count in (("train", 2), ("val", 1)):
        for label, wnid in enumerate(WNIDS):
            folder = tmp_path / "imagenette2-160" / split / wnid
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (200, 160), (20 * label,) * 3).save(
                    folder / f"{wnid}_{number}.JPEG", format="JPEG"
                )
    return tmp_path


def test_the_names_are_those_of_torchvision_in_its_order() -> None:
    assert tuple(datasets.Imagenette._WNID_TO_CLASS[wnid][0] for wnid in WNIDS) == IMAGENETTE_CLASSES


def test_batches_hold_the_images_with_their_labels(root: Path) -> None:
    loader = load_imagenette("val", 32, 4, root=root, download=False)
    images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
    assert image.check(images).shape == (10, 3, 32, 32)
    assert labels.tolist() == list(range(10))
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), torch.arange(10) * 20 / 255, atol=0.01, rtol=0)


def test_the_training_split_is_shuffled_by_its_seed(root: Path) -> None:
    orders = [
        torch.cat(
            [labels for _, labels in load_imagenette("train", 16, 5, root=root, download=False, seed=seed)]
        )
        for seed in (0, 0, 1)
    ]
    assert sorted(orders[0].tolist()) == sorted([*range(10), *range(10)])
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert orders[0].tolist() != sorted(orders[0].tolist())


def test_one_argument_changes_the_data_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "folder", lambda: root)
    images, labels = next(iter(load_data("imagenette", "val", 16, 5)))
    assert images.shape == (5, 3, 16, 16)
    assert labels.tolist() == [0, 1, 2, 3, 4]


def test_evaluation_shows_the_middle_at_seven_eighths() -> None:
    gradient = np.broadcast_to(np.arange(160, dtype=np.uint8)[None, :, None], (80, 160, 3))
    found = imagenette_transforms(False, 70)(Image.fromarray(np.ascontiguousarray(gradient)))
    assert found.shape == (3, 70, 70)
    torch.testing.assert_close(found[0, 0] * 255, torch.arange(45.0, 115.0), atol=1.0, rtol=0)


def test_training_crops_at_random() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    transform = imagenette_transforms(True, 24)
    first, second = transform(picture), transform(picture)
    assert first.shape == second.shape == (3, 24, 24)
    assert not torch.equal(first, second)
    assert 0 <= first.min() <= first.max() <= 1


@pytest.mark.parametrize(
    ("size", "archive"), [(64, "imagenette2-160.tgz"), (224, "imagenette2-320.tgz"), (400, "imagenette2.tgz")]
)
def test_missing_data_are_named_with_size_address_and_place(tmp_path: Path, size: int, archive: str) -> None:
    stem = archive.removesuffix(".tgz")
    with pytest.raises(MissingFileError) as caught:
        load_imagenette("train", size, root=tmp_path, download=False)
    for part in (
        archive,
        "B)",
        f"https://s3.amazonaws.com/fast-ai-imageclas/{archive}",
        str(tmp_path / stem),
    ):
        assert part in str(caught.value)


def test_the_address_is_the_one_that_torchvision_uses() -> None:
    addresses = {address for address, _ in datasets.Imagenette._ARCHIVES.values()}
    assert addresses == {f"{module._ADDRESS}/{stem}.tgz" for _, stem, _ in module._ARCHIVES.values()}


def test_no_internet_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.imagenette.download_and_extract_archive", refuse)
    with pytest.raises(MissingFileError, match=r"no route to host.*Get it from https"):
        load_imagenette("train", 64, root=tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_what_is_fetched_is_moved_into_place_whole(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(url: str, folder: Path, md5: str) -> None:
        assert md5
        (root / "imagenette2-160").rename(Path(folder) / "imagenette2-160")

    monkeypatch.setattr("torchvision.datasets.imagenette.download_and_extract_archive", unpack)
    assert len(load_imagenette("train", 64, root=tmp_path / "new").dataset) == 20  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["imagenette2-160"]


def test_bad_arguments_are_named(root: Path) -> None:
    with pytest.raises(UnknownNameError, match="no split of Imagenette 'test'"):
        load_imagenette("test", root=root)
    with pytest.raises(BadInputError, match="batch_size has to be at least 1"):
        load_imagenette("val", 64, 0, root=root)
    with pytest.raises(BadInputError, match="image_size has to be at least 1"):
        load_imagenette("val", 0, root=root)


def test_without_torchvision_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"interp\[models\]"):
        imagenette_transforms(False)
