"""The scenes: the same on every machine, true to their masks, without a cut-out in both training and validation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from interp import image
from interp.errors import BadInputError, UnknownNameError
from interp.zoo import SCENE_CLASSES, Scenes, cross, load_data, load_scenes
from interp.zoo import scenes as module
from interp.zoo.cutouts import FOLDER, picture_of, read_list

# Made once: a difference means that the scenes are no longer what they were.
NAMES = [
    ("little-penguin", "capybara"),
    ("hippopotamus", "garlic"),
    ("moonwrasse", "anemone-red"),
    ("marigold", "lobster"),
    ("kiwi", "donkey-eating"),
    ("holm-oak", "pattypan-squash"),
]
MEANS = [
    [0.4047, 0.3384, 0.3124],
    [0.4432, 0.3883, 0.2984],
    [0.4553, 0.4169, 0.2999],
    [0.5307, 0.4005, 0.2973],
    [0.3681, 0.3011, 0.2624],
    [0.3919, 0.504, 0.3803],
]
AREAS = [838, 1114, 427, 1650, 2651, 1987]


def test_what_a_cut_out_shows_is_said_in_words() -> None:
    said = {entry.name: entry.shows for entry in read_list()}
    assert (said["5-jupiter"], said["balloon360"], said["747"]) == ("Jupiter", "balloon", "airliner")
    assert not [
        text for text in said.values() if not text or any(sign.isdigit() or sign == "-" for sign in text)
    ]


def test_every_listed_cut_out_is_there_and_nothing_else() -> None:
    assert {path.stem for path in FOLDER.glob("*.webp")} == {entry.name for entry in read_list()}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4e6
    assert {"ORIGIN.md", "GPL-2.txt"} <= {path.name for path in FOLDER.iterdir()}


def test_every_cut_out_has_an_object_and_an_empty_border() -> None:
    for entry in read_list():
        picture = picture_of(entry.name)
        opaque = np.asarray(picture.getchannel("A")) > 127
        assert max(picture.size) <= 160, entry.name
        assert 0.02 < opaque.mean() < 0.99, entry.name


def test_no_cut_out_is_in_both_parts_and_every_class_in_both() -> None:
    names = Counter(entry.name for entry in read_list())
    assert max(names.values()) == 1
    stamps = Counter(entry.stamp for entry in read_list())
    assert max(stamps.values()) == 1
    for label in range(len(SCENE_CLASSES)):
        parts = Counter(entry.part for entry in read_list() if entry.label == label)
        assert parts["train"] >= 9, SCENE_CLASSES[label]
        assert parts["val"] >= 2, SCENE_CLASSES[label]


def test_no_unseen_cut_out_is_a_copy_of_a_known_one() -> None:
    """No two cut-outs across the parts are nearly the same picture, mirrored or not."""
    small = {entry: _thumbnail(picture_of(entry.name)) for entry in read_list()}
    train = np.stack([value for entry, value in small.items() if entry.part == "train"])
    for entry, value in small.items():
        if entry.part == "val":
            for candidate in (value, value[:, ::-1]):
                assert np.sqrt(((train - candidate) ** 2).mean(axis=(1, 2, 3))).min() > 0.05, entry.name


def _thumbnail(picture: Image.Image) -> np.ndarray:
    square = Image.new("RGBA", (max(picture.size),) * 2, "white")
    offset = tuple((max(picture.size) - side) // 2 for side in picture.size)
    square.paste(picture, (offset[0], offset[1]), picture)
    return np.asarray(square.convert("RGB").resize((24, 24), Image.Resampling.BOX)) / 255


@pytest.mark.parametrize("split", ["train", "val_known", "val", "all"])
def test_a_split_shows_its_own_cut_outs(split: str) -> None:
    parts = {"train": {"train"}, "val_known": {"train"}, "val": {"val"}, "all": {"train", "val"}}[split]
    found = [Scenes(split, 16, second=1.0)[index] for index in range(60)]
    things = [thing for scene in found for thing in (scene.main, scene.second) if thing is not None]
    assert len(things) == 120
    assert {thing.cutout.part for thing in things} == parts


def test_a_scene_depends_on_its_number_and_seed_alone() -> None:
    first, again, other = Scenes("val", 32, seed=3), Scenes("val", 32, seed=3), Scenes("val", 32, seed=4)
    _ = [first[index] for index in (5, 2, 9)]
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(first[7].image, again[7].image)
    assert torch.equal(first[7].mask, again[7].mask)
    assert not torch.equal(first[7].image, other[7].image)
    assert first[7].id == "val/3/7"
    assert not torch.equal(Scenes("train", 32)[0].image, Scenes("val_known", 32)[0].image)


def test_the_larger_scene_is_the_same_scene() -> None:
    for index in range(8):
        small, large = Scenes("train", 48)[index], Scenes("train", 192)[index]
        assert small.main.cutout == large.main.cutout
        shrunk = image.resize(large.image[None], (48, 48))[0]
        assert (shrunk - small.image).abs().mean() < 0.08
        assert abs(small.mask.float().mean() - large.mask.float().mean()) < 0.03


def test_scenes_are_those_that_they_were() -> None:
    """Objects and places are exact; colors may differ by rounding in other versions of the image libraries."""
    scenes = Scenes("train", 64, second=1.0)
    found = [(scenes[i].main.cutout.name, scenes[i].second.cutout.name) for i in range(6)]  # type: ignore[union-attr]
    assert found == NAMES
    means = torch.stack([scenes[index].image.mean(dim=(1, 2)) for index in range(6)])
    torch.testing.assert_close(means, torch.tensor(MEANS), atol=2e-3, rtol=0)
    areas = [int(scenes[index].mask.sum()) for index in range(6)]
    assert areas == pytest.approx(AREAS, abs=8)


def test_the_random_bits_are_those_of_pcg64() -> None:
    raw = np.random.PCG64(np.random.SeedSequence((5, 2, 11))).random_raw(3)
    dice = module._dice(5, 2, 11)
    assert [next(dice) for _ in range(3)] == [(int(value) >> 11) / 2**53 for value in raw]


def test_the_mask_says_where_the_object_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same scene with other objects' colors differs inside the masks only."""
    scenes = Scenes("train", 64, second=1.0)
    before = [scenes[index] for index in range(10)]
    monkeypatch.setattr(module, "picture_of", _painted_magenta)
    for index, scene in enumerate(before):
        changed = (scenes[index].image - scene.image).abs().amax(0) > 0.25
        seen = scene.mask | scene.second.mask  # type: ignore[union-attr]
        assert not (scene.mask & scene.second.mask).any()  # type: ignore[union-attr]
        assert (changed & ~_grown(seen)).sum() == 0
        assert (changed & scene.mask).sum() > 0.3 * scene.mask.sum()


def _painted_magenta(name: str) -> Image.Image:
    picture = picture_of(name)
    painted = Image.new("RGBA", picture.size, (255, 0, 255, 255))
    painted.putalpha(picture.getchannel("A"))
    return painted


def _grown(mask: torch.Tensor) -> torch.Tensor:
    return nn.functional.max_pool2d(mask[None, None].float(), 5, 1, 2)[0, 0] > 0


def test_classes_take_turns() -> None:
    labels = [Scenes("val", 8)[index].label for index in range(30)]
    assert labels == list(range(10)) * 3


def test_the_second_object_is_another_and_smaller() -> None:
    scenes = Scenes("train", 48, second=1.0)
    for index in range(40):
        scene = scenes[index]
        assert scene.second is not None
        assert scene.second.label != scene.label
    assert all(Scenes("train", 16, second=0.0)[index].second is None for index in range(20))
    share = sum(Scenes("train", 8, second=0.3)[index].second is not None for index in range(300)) / 300
    assert abs(share - 0.3) < 0.09


def test_scenes_of_imagenet_classes_know_them(model: nn.Module) -> None:
    """EfficientNet-Lite0 finds the named class among its five best for most of these scenes."""
    scenes = Scenes("all", 224, imagenet=True, second=0.0, length=64)
    found = [scenes[index * 3 % 64] for index in range(64)]
    batch = torch.stack([scene.image for scene in found])
    with torch.no_grad():
        best = model(batch).topk(5).indices
    right = [scene.imagenet in row for scene, row in zip(found, best.tolist(), strict=True)]
    assert sum(right) / len(right) > 0.5


def test_images_follow_the_convention() -> None:
    scene = Scenes("val", 40)[3]
    image.check(scene.image[None])
    assert scene.image.shape == (3, 40, 40)
    assert scene.mask.shape == (40, 40)
    assert scene.mask.dtype == torch.bool


def test_iteration_ends_and_bad_arguments_are_named() -> None:
    assert len(list(Scenes("train", 8, length=3))) == 3  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="no number 3"):
        Scenes("train", 8, length=3)[3]
    with pytest.raises(UnknownNameError, match="Closest: train"):
        Scenes("trane")
    with pytest.raises(BadInputError, match="size has to be at least 8"):
        Scenes(size=4)
    with pytest.raises(BadInputError, match=r"second=1\.5"):
        Scenes(second=1.5)
    with pytest.raises(BadInputError, match="length and batch_size"):
        load_scenes("train", length=0)
    with pytest.raises(UnknownNameError, match="no split of scenes 'test'"):
        load_data("scenes", "test")
    with pytest.raises(UnknownNameError, match="no data set 'imagenet'"):
        load_data("imagenet", "train")


def test_batches_are_the_scenes() -> None:
    loader = load_scenes("val", 16, 8, length=20)
    batches = list(loader)
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    scenes = Scenes("val", 16, length=20, second=0.0)
    assert torch.equal(images, torch.stack([scenes[index].image for index in range(20)]))
    assert labels.tolist() == [scenes[index].label for index in range(20)]


def test_training_batches_are_shuffled_the_same_way_each_time() -> None:
    before = torch.random.get_rng_state()
    orders = [torch.cat([labels for _, labels in load_scenes("train", 8, 8, length=40)]) for _ in range(2)]
    assert torch.equal(orders[0], orders[1])
    assert orders[0].tolist() != list(range(10)) * 4
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_object_stands_on_every_ground_and_nothing_else_changes() -> None:
    scenes = [Scenes("all", 64)[number] for number in range(3)]
    grounds = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    crossed = cross(scenes, grounds)
    assert crossed.shape == (2, 3, 3, 64, 64)
    for row, ground in zip(crossed, grounds, strict=True):
        for picture, scene in zip(row, scenes, strict=True):
            assert torch.equal(picture[:, scene.mask], scene.image[:, scene.mask])
            assert torch.equal(picture[:, ~scene.mask], ground[:, ~scene.mask])
    with pytest.raises(BadInputError, match="one size"):
        cross(scenes, grounds[..., :32])
    with pytest.raises(BadInputError, match="0 scenes"):
        cross([], grounds)


def test_the_places_on_the_finest_grid_are_the_masks() -> None:
    for number in range(20):
        scene = Scenes("all", 64)[number]
        expected = torch.zeros(10, 64, 64)
        for thing in filter(None, (scene.main, scene.second)):
            if thing.label >= 0:
                expected[thing.label] += thing.mask  # of two classes at most one is seen at a pixel
        assert torch.equal(scene.places(grid=64), expected)
    coarse = scene.places(grid=8)[scene.label]
    cells = scene.mask.float().view(8, 8, 8, 8).mean(dim=(1, 3)) > 0.5
    assert torch.equal(coarse, cells.float())
