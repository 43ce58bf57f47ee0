"""Datasets and folders as they are: other forms, labels and names; damage is listed, an unread file is an error."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import pickle
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from spectra import Tiny, job, pictures, tiny
from torch import nn

from interp import image, microscope
from interp.errors import BadInputError, LostSourceError, MissingFileError, UnreadableError
from interp.spectrum import Folder, Items, Job, Measure, batches, entries, processes, run, track
from interp.spectrum.patches import fetched

PICTURE = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "PAUSES", (0.0,) * 4)


def write(folder: Path, *names: str, side: int = 12) -> Path:
    """Write a BMP under each name, each of another color and all of the same size."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.new("RGB", (side, side), (20 * number, 40, 250)).save(path, "BMP")
    return folder


def load(item: object, size: int | None = 6) -> torch.Tensor:
    (entry,) = Items([item], "one", size=size).find([0])
    return entry.load()


# ---- items


def png(picture: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    image.to_pil(picture).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_item_has_any_of_the_usual_forms(tmp_path: Path) -> None:
    exact = image.from_pil(image.to_pil(PICTURE))
    image.save(exact, tmp_path / "x.png")
    array, content = image.to_numpy(exact)[0], png(exact[0])
    pair = namedtuple("pair", "image label")(exact[0], 1)
    forms = [
        *(exact[0], exact, image.to_pil(exact), array, content, tmp_path / "x.png", str(tmp_path / "x.png")),
        *((exact[0], 1), [exact[0], 1], [content, None], (exact[0],), pair),
        *(
            {"img": exact[0], "label": 1},
            {"image": {"bytes": content, "path": None}},
            {"jpg": content, "cls": b"1"},
        ),
    ]
    for form in forms:
        assert torch.equal(load(form, None), exact), type(form)


@pytest.mark.parametrize("item", [{"photo": PICTURE}, 3, (), object()])
def test_an_item_without_a_picture_stops_at_once(item: object) -> None:
    with pytest.raises(BadInputError, match=r"one\[0\]"):
        list(batches(Items([item], "one")))


@pytest.mark.parametrize("values", [torch.randn(3, 8, 8) * 2 + 0.5, torch.rand(3, 8, 8) * 255])
def test_what_is_not_between_zero_and_one_is_refused_before_it_is_resized(values: torch.Tensor) -> None:
    with pytest.raises(BadInputError, match=r"have to be in \[0, 1\]"):
        load(values)


def test_two_images_in_one_item_are_refused() -> None:
    with pytest.raises(BadInputError, match=r"one image; this one has the shape \(2, 3, 8, 8\)"):
        load(torch.rand(2, 3, 8, 8))


NUMBERS = [1, np.int64(1), np.uint8(1), torch.tensor(1), np.array(1), True]


@pytest.mark.parametrize("label", NUMBERS)
def test_a_number_of_any_kind_is_a_class(label: object) -> None:
    for names, expected in ((("cat", "dog"), "dog"), ((), "1")):
        (entry,) = Items([(PICTURE, label)], "x", class_names=names).find([0])
        assert entry.label == expected


@pytest.mark.parametrize("label", [None, -1, np.int64(-1), torch.tensor(-1)])
def test_no_label_is_empty(label: object) -> None:
    for names in (("cat", "dog"), ()):
        (entry,) = Items([(PICTURE, label)], "x", class_names=names).find([0])
        assert entry.label == ""


def test_a_label_that_no_class_name_belongs_to_is_an_error() -> None:
    source = Items([(PICTURE, 2)], "x", class_names=("cat", "dog"))
    with pytest.raises(BadInputError, match=r"x\[0\] has the label 2, but there are only 2 class names"):
        list(batches(source))


def test_sizes_and_ids_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    write(tmp_path, "a.bmp")
    for make in (lambda size: Items([PICTURE], "x", size=size), lambda size: Folder(tmp_path, size)):
        one, other = make(6), make(np.int64(6))
        assert one.fingerprint == other.fingerprint
        (entry,) = other.find([np.int64(0)])
        assert type(entry.id) is int
        assert tuple(entry.load().shape) == (1, 3, 6, 6)
        with pytest.raises(BadInputError, match="whole number"):
            make(6.5)
        for index in (-1, 1):
            with pytest.raises(BadInputError, match=f"there is no image {index}"):
                list(other.find([index]))


class Failing:
    """A dataset whose fifth item raises an error, as often as it is told."""

    def __init__(self, error: Exception, times: int = 10**9) -> None:
        self.error, self.times = error, times

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        if index == 5 and self.times > 0:
            self.times -= 1
            raise self.error
        return pictures(12)[index]


DAMAGED = [
    RuntimeError("what torchvision.io raises"),
    KeyError("EXIF"),
    PILImage.DecompressionBombError("too large"),
    OSError("image file is truncated"),
    OSError(errno.EINVAL, "a seek to before the beginning"),
    IndexError("past the end"),
]


@pytest.mark.parametrize("error", DAMAGED, ids=lambda error: type(error).__name__)
def test_whatever_a_decoder_raises_is_one_broken_image(error: Exception) -> None:
    found = track(tiny(), ["deep"], batches(Items(Failing(error), "d")), k=3)
    assert found.images == 11
    assert [(each.id, each.name) for each in found.broken] == [(5, "d[5]")]
    assert type(error).__name__ in found.broken[0].reason


class LibraryError(OSError):
    """As libraries that fetch files have it: without a number."""


UNREAD = [
    OSError(errno.EIO, "Input/output error"),
    FileNotFoundError(errno.ENOENT, "No such file"),
    PermissionError(errno.EACCES, "Permission denied"),
    ConnectionResetError("reset by peer"),
    TimeoutError("timed out"),
    LibraryError("Max retries exceeded"),
]


@pytest.mark.parametrize("error", UNREAD, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_tried_again_and_then_an_error(error: Exception, workers: int) -> None:
    for times in (1, 4):
        (batch,) = batches(Items(Failing(error, times), "d"), workers=workers)
        assert (len(batch.ids), batch.labels[5], batch.broken) == (12, "2", ())
    with pytest.raises(LostSourceError, match=r"d\[5\] could not be read, also after 5 attempts"):
        list(batches(Items(Failing(error), "d"), workers=workers))


def test_too_little_memory_is_not_a_broken_image() -> None:
    with pytest.raises(MemoryError):
        list(batches(Items(Failing(MemoryError()), "d")))


def test_a_shard_whose_disk_is_away_is_not_finished(tmp_path: Path) -> None:
    class Known(Items):
        fingerprint = "what it was before the disk went away"  # type: ignore[assignment]

    source = Known(Failing(OSError(errno.EIO, "Input/output error"), times=10**9), "d", shard_size=4)
    mine = dataclasses.replace(job(), source=source)
    with pytest.raises(LostSourceError):
        run(mine, tmp_path)
    assert mine.unfinished(tmp_path) == [1, 2]
    source.dataset.times = 0
    assert run(mine, tmp_path).images == 12


def test_another_content_under_the_same_name_is_another_dataset() -> None:
    one = Items([picture for picture, _ in pictures(40)], "mine")
    other = Items([1 - picture for picture, _ in pictures(40)], "mine")
    assert one.fingerprint == Items([picture for picture, _ in pictures(40)], "mine").fingerprint
    assert one.fingerprint != other.fingerprint


def test_a_dataset_that_gives_another_picture_each_time_is_refused() -> None:
    class Flipping:
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.rand(3, 8, 8)

    with pytest.raises(BadInputError, match="another picture each time"):
        _ = Items(Flipping(), "random").fingerprint


# ---- folders


def test_hidden_files_and_folders_and_what_a_mac_adds_are_left_out(tmp_path: Path) -> None:
    hidden = (".hidden/x.bmp", ".ipynb_checkpoints/cat.bmp", "__MACOSX/cat.bmp", "cat/._one.bmp")
    write(tmp_path, "cat/one.bmp", "dog/two.bmp", *hidden)
    assert Folder(tmp_path).names == ("cat/one.bmp", "dog/two.bmp")


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path, "there/cat/one.bmp", "here/dog/two.bmp", "there/three.bmp")
    (tmp_path / "here" / "cat").symlink_to(tmp_path / "there" / "cat")
    (tmp_path / "here" / "three.bmp").symlink_to(tmp_path / "there" / "three.bmp")
    (tmp_path / "here" / "dog" / "up").symlink_to(tmp_path / "here")
    assert Folder(tmp_path / "here").names == ("cat/one.bmp", "dog/two.bmp", "three.bmp")
    assert [entry.label for entry in Folder(tmp_path / "here").find([0, 1, 2])] == ["cat", "dog", ""]


def test_a_link_that_leads_nowhere_is_listed_as_broken(tmp_path: Path) -> None:
    write(tmp_path, "b.bmp", "c.bmp", "d.bmp")
    for name in ("a.jpg", "class", "notes.txt"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    mine = dataclasses.replace(job(("deep",)), source=Folder(tmp_path, 12))
    found = run(mine, tmp_path / "out")
    assert found.images == 3
    assert [each.name for each in found.broken] == ["a.jpg", "class", "self.png"]
    assert all("leads nowhere" in each.reason for each in found.broken)


def test_all_that_the_reader_can_read_is_listed_and_what_it_cannot_is_broken(tmp_path: Path) -> None:
    PILImage.init()
    of_readable = {
        ending for ending, kind in PILImage.registered_extensions().items() if kind in image.reading.FORMATS
    }
    assert of_readable <= {*image.SUFFIXES}
    names = ["a.PPM", "b.jpe", "c.webp", "d.heic", "e.tif"]
    write(tmp_path, *names, "f.txt")
    for name, kind in (("a.PPM", "PPM"), ("c.webp", "WEBP"), ("e.tif", "TIFF")):
        PILImage.new("RGB", (9, 9)).save(tmp_path / name, kind)
    (tmp_path / "d.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (batch,) = batches(Folder(tmp_path, 8))
    assert Folder(tmp_path).names == tuple(names)
    assert batch.ids.tolist() == [0, 1, 2, 4]
    assert "not an image in the formats" in batch.broken[0].reason


def test_a_folder_is_listed_once_and_the_list_goes_along(tmp_path: Path) -> None:
    write(tmp_path, "b.bmp", "c.bmp", "d.bmp")
    source = Folder(tmp_path, 12)
    write(tmp_path, "a.bmp")
    assert source.names == pickle.loads(pickle.dumps(source)).names == ("b.bmp", "c.bmp", "d.bmp")
    assert Folder(tmp_path, 12).names[0] == "a.bmp"


@pytest.mark.slow
def test_a_file_that_appears_does_not_shift_the_images_of_other_processes(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", *(f"b{number}.bmp" for number in range(9)))
    mine = dataclasses.replace(job(), source=Folder(photos, 12, shard_size=3))
    expected = run(mine, tmp_path / "here")
    write(photos, "a.bmp")
    found = run(mine, tmp_path / "processes", engine=processes(1))
    for unit in expected:
        assert found[unit.layer, unit.channel].band("maximum") == unit.band("maximum")


def test_a_folder_stays_where_it_was_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "one", "photos/a.bmp")
    write(tmp_path / "two", "photos/z.bmp", "photos/a.bmp")
    monkeypatch.chdir(tmp_path / "one")
    source = Folder("photos", 12)
    before = next(source.find([0])).load()
    monkeypatch.chdir(tmp_path / "two")
    assert torch.equal(next(source.find([0])).load(), before)
    assert Folder("photos").names == ("a.bmp", "z.bmp")


def test_other_pixels_at_the_same_size_and_time_are_another_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.bmp", "b.bmp")
    before, times = Folder(tmp_path, 12).fingerprint, os.stat(tmp_path / "b.bmp")
    PILImage.new("RGB", (12, 12), (1, 2, 3)).save(tmp_path / "b.bmp")
    os.utime(tmp_path / "b.bmp", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert os.stat(tmp_path / "b.bmp").st_size == times.st_size
    assert Folder(tmp_path, 12).fingerprint != before


def test_other_pixels_far_behind_the_beginning_are_another_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.bmp", side=99)
    before, content = Folder(tmp_path).fingerprint, bytearray((tmp_path / "a.bmp").read_bytes())
    content[-1] ^= 255
    (tmp_path / "a.bmp").write_bytes(content)
    os.utime(tmp_path / "a.bmp", ns=(10**18, 10**18))
    assert Folder(tmp_path).fingerprint != before
    assert Folder(tmp_path).fingerprint == Folder(str(tmp_path)).fingerprint


def test_a_file_that_changes_while_the_folder_is_read_is_an_error(tmp_path: Path) -> None:
    source = Folder(write(tmp_path, "a.bmp", "b.bmp"), 12)
    write(tmp_path, "a.bmp", side=20)
    with pytest.raises(LostSourceError, match=r"a\.bmp' was changed after its folder was listed"):
        list(batches(source))
    (tmp_path / "a.bmp").unlink()
    with pytest.raises(LostSourceError, match=r"a\.bmp could not be read, also after 5 attempts"):
        list(batches(source))
    with pytest.raises(LostSourceError, match=r"a\.bmp"):
        fetched(source, [0])


def test_a_disk_that_comes_back_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Folder(write(tmp_path / "photos", "a.bmp", "b.bmp"), 12)
    (tmp_path / "photos").rename(tmp_path / "away")
    monkeypatch.setattr(entries.time, "sleep", lambda _: (tmp_path / "away").rename(tmp_path / "photos"))
    (batch,) = batches(source)
    assert batch.ids.tolist() == [0, 1]
    assert not batch.broken


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems refuse such names")
def test_file_names_in_another_encoding_are_readable_everywhere(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", "a.bmp", "b.bmp", "c.bmp", "e.bmp", side=32)
    os.rename(os.fsencode(photos / "a.bmp"), os.fsencode(photos) + b"/Stra\xdfe.bmp")
    (photos / "b.bmp").rename(os.fsdecode(os.fsencode(photos) + b"/kaputt\xdf.bmp"))
    Path(os.fsdecode(os.fsencode(photos) + b"/kaputt\xdf.bmp")).write_bytes(b"no image")
    source = Folder(photos, 32, label=lambda name: name)
    (batch,) = batches(source)
    assert batch.labels == ("Stra?e.bmp", "c.bmp", "e.bmp")
    assert batch.broken[0].name == "kaputt?.bmp"
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    page = microscope.build(Job(model, ("0",), source, Measure(k=2)), tmp_path / "site", steps=0, size=32)
    assert "Stra?e.bmp" in (page.parent / "data" / "index.js").read_text(encoding="utf-8")


def test_folders_that_are_not_there_or_cannot_be_listed_are_explained(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no folder"):
        Folder(tmp_path / "missing")
    with pytest.raises(BadInputError, match="holds no image"):
        Folder(tmp_path)


def test_a_folder_below_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "cat/a.bmp", "dog/b.bmp")
    monkeypatch.setattr(image.folder.os, "scandir", refusing("dog", os.scandir))
    with pytest.raises(UnreadableError, match=r"dog' cannot be listed: Permission denied"):
        Folder(tmp_path)


def refusing(name: str, scan: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Return a scan that has no right to see a folder of a name."""

    def scandir(folder: Path) -> Any:
        if folder.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    return scandir


# ---- batches


def test_a_loader_of_torch_is_explained() -> None:
    loader = torch.utils.data.DataLoader(pictures(8), batch_size=4)
    with pytest.raises(BadInputError, match=r"not list\. spectrum\.batches"):
        track(tiny(), ["deep"], loader)


def test_too_few_images_say_what_was_wrong_with_the_others(tmp_path: Path) -> None:
    items = [*pictures(2), *[(torch.zeros(3, 12, 12, dtype=torch.uint8), 0)] * 5]
    with pytest.raises(BadInputError, match=r"only 2 could be read \(5 were broken.*For bytes: images.float"):
        run(dataclasses.replace(job(), source=Items(items, "bytes")), tmp_path)


def test_a_layer_that_does_not_exist_is_said_before_anything_is_written(tmp_path: Path) -> None:
    for layers, message in ((("deap",), "deep"), ("deep", r"list of names: \['deep'\]")):
        with pytest.raises((BadInputError, LookupError), match=message):
            run(dataclasses.replace(job(), layers=layers), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_that_the_network_does_not_take_is_said_before_the_images_come(tmp_path: Path) -> None:
    class Fixed(Tiny):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.shape[2:] == (32, 32), "made for 32 pixels"
            return super().forward(images)

    unread = Items(Failing(KeyError("an image was asked for")), "d", size=32)
    for layers, size, message in ((["deep"], 224, "224 x 224 pixels .*made for 32"), (["pair"], 32, "tuple")):
        with pytest.raises(BadInputError, match=message):
            microscope.build(Job(Fixed().eval(), tuple(layers), unread), tmp_path / "s", size=size, steps=0)
    assert not (tmp_path / "s").exists()
