"""The site of a small network: complete, resumable, with the right neighbors, and nothing that needs a server."""

from __future__ import annotations

import dataclasses
import errno
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from spectra import pictures, tiny
from torch import nn

from interp.errors import BadInputError, DamagedFileError, UnknownNameError
from interp.image import center_crop, to_numpy
from interp.microscope import build, cues, details, dissection, effects, neighbors, records
from interp.microscope.pictures import file, sheets, show, wanted, write_sheets
from interp.microscope.records import label
from interp.microscope.route import route
from interp.runs import machine, write
from interp.spectrum import Entry, Items, Job, Measure, Spectrum, batches, track

LAYERS = ("norm", "deep")
CHANNELS = {"norm": 4, "deep": 6}


def data(file: Path) -> Any:
    """Return what a data file hands to the page."""
    match = re.fullmatch(r"microscope\.\w+\((.*)\);\n", file.read_text(encoding="utf-8"), re.DOTALL)
    assert match
    return json.loads(match[1])


def flat(layer: str, sign: int) -> list[np.ndarray]:
    """Return a gray picture for each channel, another gray for each."""
    return [
        np.full((16, 16, 3), 10 * c + (100 if sign > 0 else 0), dtype=np.uint8)
        for c in range(CHANNELS[layer])
    ]


def source() -> Items:
    return Items(pictures(side=32), "random", class_names=["x", "y", "z"], shard_size=20)


def make(site: Path, **options: Any) -> Path:
    settings: dict[str, Any] = {"title": "Tiny", "side": 24, "size": 32, "optimized": flat} | options
    model, layers = settings.pop("model", tiny()), settings.pop("layers", LAYERS)
    job = Job(model, layers, source(), Measure(k=3, sample=32))
    return build(job, site, **settings)


def expected() -> Spectrum:
    return track(tiny(), LAYERS, batches(source(), size=20), k=3, sample=32)


def content(site: Path) -> dict[str, bytes]:
    return {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "tiny"
    assert make(folder) == folder / "index.html"
    return folder


class Broken(nn.Sequential):
    """A convolution whose weights are no numbers, behind one that is well."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 3, 3))
        self[1].weight.data.fill_(torch.nan)


def test_a_layer_without_a_finite_number_is_named_before_the_images_are_looked_at(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"All channels of the layer '1' hold NaN.*Leave the layer out"):
        make(tmp_path / "site", model=Broken(), layers=("0", "1"))
    assert list(tmp_path.iterdir()) == []
    half = Broken()
    half[1].weight.data[0] = 0.1  # one channel is well
    assert make(tmp_path / "half", model=half, layers=("0", "1"), steps=0).exists()


def test_every_channel_has_its_columns_histogram_and_patches(site: Path) -> None:
    index = data(site / "data" / "index.js")
    assert [(each["name"], each["channels"]) for each in index["layers"]] == [("norm", 4), ("deep", 6)]
    assert [each["grid"] for each in index["layers"]] == [[32, 32], [15, 15]]
    assert index["images"] == 40
    spectrum = expected()
    for each in index["layers"]:
        brief = data(site / "data" / f"{each['slug']}.js")["units"]
        units = [data(site / "data" / each["slug"] / f"{channel}.js") for channel in range(each["channels"])]
        assert [unit["i"] for unit in brief] == [[unit["b"][0]["i"], unit["b"][3]["i"]] for unit in units]
        assert [unit["w"] for unit in brief] == [
            [unit["b"][0]["w"][0], unit["b"][3]["w"][0]] for unit in units
        ]
        for channel, unit in enumerate(units):
            known = spectrum[each["name"], channel]
            assert [column["n"].lower() for column in unit["b"]] == [band.name for band in known.columns]
            for column, band in zip(unit["b"], known.columns, strict=True):
                assert column["s"] == pytest.approx(band.scores, rel=1e-3)
            assert max(unit["h"]) == 1000
            assert unit["n"] == 40
            for left, top, side in (window for column in unit["b"] for window in column["w"]):
                assert 0 < side <= 1
                assert 0 <= left <= 1 - side + 1e-3
                assert 0 <= top <= 1 - side + 1e-3


def test_an_image_is_the_one_that_the_data_name(site: Path) -> None:
    index, found = data(site / "data" / "index.js"), pictures(side=32)
    needed = wanted(expected())
    assert len(index["labels"]) == len(needed)
    for place, id_ in enumerate(needed):
        shown = np.asarray(PILImage.open(file(site / "thumbnails", place)).convert("RGB"), dtype=float)
        should = to_numpy(center_crop(found[id_][0][None], 24))[0].astype(float)
        assert shown.shape == (24, 24, 3)
        # Noise is what WebP keeps worst; another image is not correlated at all.
        assert np.corrcoef(shown.ravel(), should.ravel())[0, 1] > 0.5
        assert index["names"][index["labels"][place]] == "xyz"[found[id_][1]]
    assert index["ids"] == list(needed)


def test_optimized_pictures_stand_at_their_place_on_the_sheet(site: Path) -> None:
    for sign, name in ((1, "plus"), (-1, "minus")):
        sheet = np.asarray(PILImage.open(site / "optimized" / f"deep-{name}-0.webp").convert("RGB"))
        assert sheet.shape == (16, 96, 3)
        tones = [int(sheet[8, 16 * channel + 8, 0]) for channel in range(6)]
        assert tones == pytest.approx([int(picture[0, 0, 0]) for picture in flat("deep", sign)], abs=4)


def test_each_optimized_picture_is_a_file_of_its_own(site: Path) -> None:
    for sign, name in ((1, "plus"), (-1, "minus")):
        for channel, picture in enumerate(flat("deep", sign)):
            alone = np.asarray(
                PILImage.open(site / "optimized" / f"deep-{name}" / f"{channel}.webp").convert("RGB")
            )
            assert alone.shape == picture.shape
            assert int(alone[8, 8, 0]) == pytest.approx(int(picture[8, 8, 0]), abs=4)


def test_large_pictures_are_reduced_on_the_sheet_alone(tmp_path: Path) -> None:
    halves = np.zeros((256, 256, 3), dtype=np.uint8)
    halves[:, 128:] = 200
    write_sheets([halves, halves], ["s.webp"], tmp_path)
    sheet = np.asarray(PILImage.open(tmp_path / "s.webp").convert("RGB"))
    assert sheet.shape == (128, 256, 3)
    assert sheet[64, [32, 96, 160, 224], 0].astype(int) == pytest.approx([0, 200, 0, 200], abs=4)


def test_a_layer_of_many_channels_gets_several_sheets(tmp_path: Path) -> None:
    tiles = [np.full((4, 4, 3), channel % 250, dtype=np.uint8) for channel in range(300)]
    names = sheets("wide", 1, 300)
    write_sheets(tiles, names, tmp_path)
    assert names == ["wide-plus-0.webp", "wide-plus-1.webp"]
    assert [PILImage.open(tmp_path / name).size for name in names] == [(64, 64), (64, 12)]


def test_a_second_build_gives_the_same_bytes(site: Path, tmp_path: Path) -> None:
    before = content(site)
    make(site)
    make(tmp_path / "other")
    assert before == content(site) == content(tmp_path / "other")


def test_an_interrupted_build_goes_on_to_the_same_bytes(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped at one file after the other, each time a little later."""
    written: list[str] = []

    def dies(path: Path, content: bytes) -> None:
        if len(written) == stop:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr("interp.microscope.pictures.PART", 7)
    monkeypatch.setattr("interp.runs.write", dies)
    interruptions = 0
    for stop in range(2, 40):  # noqa: B007
        written.clear()
        try:
            make(tmp_path / "site")
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions >= 5
    assert len(list((tmp_path / "site-work" / "images-24-maps").glob("*.json"))) > 1
    assert content(tmp_path / "site") == content(site)


def test_what_a_killed_run_was_writing_is_removed(site: Path) -> None:
    before = content(site)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for folder in (site, site / "optimized", site / "thumbnails" / "000"):
        (folder / f".{'0' * 32}-{gone.pid}-{machine()}.part").write_bytes(b"half")
    make(site)
    assert content(site) == before


def test_a_lost_image_is_made_again(site: Path) -> None:
    lost, before = file(site / "thumbnails", 3), content(site)
    lost.unlink()
    make(site)
    assert content(site) == before


def test_the_page_asks_for_nothing_outside(site: Path) -> None:
    for name in ("index.html", "microscope.css", "microscope.js", "microscope-parts.js"):
        page = (site / name).read_text(encoding="utf-8")
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
        assert "fetch(" not in page
        assert 'type="module"' not in page


def test_a_layer_without_positions_or_both_signs_has_pages_too(tmp_path: Path) -> None:
    make(tmp_path / "s", layers=["act", "head"], steps=0)
    index = data(tmp_path / "s" / "data" / "index.js")
    act, head = index["layers"]
    assert (head["grid"], head["field"], head["optimized"]) == (None, None, "")
    assert any("one-sided" in text for text in act["warnings"])
    units = [data(tmp_path / "s" / "data" / "act" / f"{channel}.js") for channel in range(4)]
    ranks = [unit["b"] for unit in units if any("one-sided" in flag for flag in unit["f"])]
    assert {tuple(column["n"] for column in b[1:3]) for b in ranks} == {("20 % to 40 %", "60 % to 80 %")}
    assert data(tmp_path / "s" / "data" / "head" / "0.js")["b"][0]["w"] == [None] * 3
    assert data(tmp_path / "s" / "data" / "head.js")["units"][0]["w"] == [None, None]
    assert not (tmp_path / "s" / "optimized").exists()


def test_logits_are_called_by_their_classes(tmp_path: Path) -> None:
    model = tiny()
    model.class_names = ("ant", "bee", "cat", "dog", "elk")
    job = Job(model, ("norm", "head"), source(), Measure(k=3))
    build(job, tmp_path / "s", title="Tiny", side=24, size=32, steps=0)
    norm, head = data(tmp_path / "s" / "data" / "index.js")["layers"]
    assert head["called"] == ["ant", "bee", "cat", "dog", "elk"]
    assert "called" not in norm


def test_dead_channels_and_missing_labels_are_said(tmp_path: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.deep.weight[2], model.deep.bias[2] = 0, 0.5
    bare = Items([picture for picture, _ in pictures(side=32)], "bare", shard_size=20)
    job = Job(model, ("deep",), bare, Measure(k=3))
    build(job, tmp_path / "s", title="Tiny", side=24, size=32, steps=0)
    assert data(tmp_path / "s" / "data" / "deep.js")["units"][2]["dead"]
    unit = data(tmp_path / "s" / "data" / "deep" / "2.js")
    assert unit["dead"]
    assert unit["r"] == [0.5, 0.5]
    assert "bare[7]" in data(tmp_path / "s" / "data" / "index.js")["names"]


def test_a_folder_of_something_else_is_left_alone(site: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BadInputError, match="holds other files"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    before = content(site)
    with pytest.raises(BadInputError, match="belongs to another run: side is 24 there and 28 here"):
        make(site, side=28)
    assert content(site) == before


def test_expanded_weights_of_linear_layers_are_their_product() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 1)
    )
    found = neighbors.expanded_weights(model, "0", "4", 9)
    expected = model[4].weight[:, :, 0, 0] @ model[2].weight.sum(dim=(2, 3))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-6)


def test_neighbors_by_weight_are_the_largest_shares_in_rows_and_columns() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1))
    found = track(model, ["0", "2"], batches(Items(pictures(side=9), "random")))
    usual = found.layers["0"].scores.std(dim=1, correction=0)
    moved = model[2].weight.detach().sum(dim=(2, 3)) * usual
    table = moved / moved.norm(dim=1, keepdim=True)
    below, above = neighbors.by_weight(model, found, 9, 2)
    assert set(below) == {("2", channel) for channel in range(5)}
    assert set(above) == {("0", channel) for channel in range(4)}
    for near, name, rows in ((below, "0", table), (above, "2", table.t())):
        for (_, channel), entries in near.items():
            values, indices = rows[channel].abs().topk(2)
            assert [(layer, index) for layer, index, _ in entries] == [(name, int(i)) for i in indices]
            assert [abs(value) for *_, value in entries] == pytest.approx(values.tolist(), rel=1e-3)


def test_correlations_are_those_of_the_scores() -> None:
    scores = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    scores[:, 2] = -2 * scores[:, 0]
    found = neighbors.correlations(Spectrum.of_batch(torch.arange(40), {"a": scores}))
    torch.testing.assert_close(found, torch.corrcoef(scores.t()), rtol=1e-4, atol=1e-5)
    nearest = neighbors.by_correlation(Spectrum.of_batch(torch.arange(40), {"a": scores}), 1)
    assert nearest["a", 0][0][:2] == ("a", 2)
    assert nearest["a", 0][0][2] == pytest.approx(-1, abs=1e-5)


def test_weights_between_two_convolutions_are_those_of_the_network_as_it_runs() -> None:
    model = tiny()  # its first convolution is followed by a batch norm, which folding would change
    found = neighbors.expanded_weights(model, "conv", "deep", 9)
    scale = model.norm.weight / (model.norm.running_var + model.norm.eps).sqrt()
    expected = model.deep.weight.sum(dim=(2, 3)) * scale
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-6)


def test_a_layer_that_does_not_exist_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="deap"):
        make(tmp_path / "s", layers=["deap"])


class Alike(nn.Module):
    """Two layers whose names differ in a sign that no file name has, and in a capital letter."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("a-b", "a:b", "A-b"):
            self.add_module(name, nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = layer(x)
        return x.mean((2, 3))


def test_layers_with_names_alike_have_files_of_their_own(tmp_path: Path) -> None:
    index = make(tmp_path / "s", model=Alike().eval(), layers=["a-b", "a:b", "A-b"], steps=0)
    layers = data(index.parent / "data" / "index.js")["layers"]
    assert len({each["slug"].lower() for each in layers}) == 3
    for each in layers:
        assert data(index.parent / "data" / f"{each['slug']}.js")["name"] == each["name"]


def test_a_record_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    make(tmp_path / "s", steps=0)
    (record,) = tmp_path.glob("s-work/images-*/*.json")
    record.write_text(record.read_text().replace("0.", "0.1", 1))
    with pytest.raises(DamagedFileError, match="is damaged"):
        make(tmp_path / "s", steps=0)


def test_one_unit_that_is_no_number_does_not_silence_the_others() -> None:
    scores = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    scores[:, 3] = scores[:, 0] + 0.1 * scores[:, 1]
    sound = torch.corrcoef(scores.t())
    scores[:, 2] = torch.nan
    scores[5, 1] = torch.inf
    found = neighbors.correlations(Spectrum.of_batch(torch.arange(40), {"a": scores}))
    assert not found[2].any()
    torch.testing.assert_close(found[0, 3], sound[0, 3], rtol=1e-4, atol=1e-5)
    there = torch.arange(40) != 5
    torch.testing.assert_close(found[0, 1], torch.corrcoef(scores[there].t()[:2])[0, 1], rtol=1e-4, atol=1e-5)
    spread = neighbors.spread(Spectrum.of_batch(torch.arange(40), {"a": scores}))["a"]
    assert spread[2] == 0
    torch.testing.assert_close(spread[1], scores[there, 1].std(correction=0))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_expanded_weights_are_found_where_gradients_are_switched_off(mode: type[torch.no_grad]) -> None:
    expected = neighbors.expanded_weights(tiny(), "conv", "deep", 9)
    with mode():
        found = neighbors.expanded_weights(tiny(), "conv", "deep", 9)
    assert torch.equal(found, expected)
    assert not found.requires_grad


def test_a_channel_that_is_no_number_has_a_page(tmp_path: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.norm.weight[0] = torch.nan
    job = Job(model, ("norm",), source(), Measure(k=3))
    build(job, tmp_path / "s", title="Tiny", side=24, size=32, steps=0)
    spoiled, sound = (data(tmp_path / "s" / "data" / "norm" / f"{channel}.js") for channel in (0, 1))
    assert data(tmp_path / "s" / "data" / "norm.js")["units"][0]["i"] == [[], []]
    assert spoiled["f"] == ["40 scores are NaN or infinite"]
    assert not any(column["i"] for column in spoiled["b"])
    assert all(column["w"][0] for column in sound["b"])


def test_an_image_that_cannot_be_read_at_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interp.spectrum.entries.PAUSES", (0.0,))
    spectrum, tried = expected(), set[int]()

    class Shaky(Items):
        def find(self, ids: Iterable[int]) -> Iterator[Entry]:
            for entry in super().find(ids):
                yield dataclasses.replace(entry, load=functools.partial(shaky, entry))

    def shaky(entry: Entry) -> torch.Tensor:
        if entry.id not in tried:
            tried.add(entry.id)
            raise OSError(errno.ESTALE, "stale")
        return entry.load()

    plain = show(tiny(), spectrum, source(), tmp_path / "plain", tmp_path / "plain-work", side=24)
    found = show(
        tiny(),
        spectrum,
        Shaky(pictures(side=32), "random", class_names=["x", "y", "z"]),
        tmp_path / "shaky",
        tmp_path / "shaky-work",
        side=24,
    )
    assert found == plain
    assert tried == set(plain.ids)
    assert content(tmp_path / "shaky") == content(tmp_path / "plain")


def test_the_size_is_that_of_the_source_and_no_layer_behind_is_asked(tmp_path: Path) -> None:
    """The linear layer takes images of 32 pixels alone; by the gradient at 224 the channels would differ."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 2)
    )
    files = Items([picture for picture, _ in pictures(side=40)], "p", size=32)
    index = build(Job(model.eval(), ("0", "1"), files, Measure(k=3)), tmp_path / "s", steps=0)
    found = data(index.parent / "data" / "index.js")
    assert found["size"] == 32
    assert [each["grid"] for each in found["layers"]] == [[32, 32], [30, 30]]
    build(Job(model, ("0", "1"), files, Measure(k=3)), tmp_path / "other", steps=0, size=64)
    assert data(tmp_path / "other" / "data" / "index.js")["size"] == 64


def test_a_layer_called_index_and_the_folder_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path / "site")
    model = nn.Sequential()
    model.add_module("index", nn.Conv2d(3, 4, 3))
    site = make(Path(), model=model, layers=("index",), steps=0).parent
    (layer,) = data(site / "data" / "index.js")["layers"]
    assert len(data(site / "data" / f"{layer['slug']}.js")["units"]) == 4


# ---- what the page of a channel shows besides


def decoded(text: str, low: float, high: float) -> list[float]:
    """Return the scores that a text stands for, as templates/microscope-channel.js reads them."""
    codes = [
        64 * details.DIGITS.index(a) + details.DIGITS.index(b)
        for a, b in zip(text[::2], text[1::2], strict=True)
    ]
    return [
        low + (high - low) * code / details.FINEST if code <= details.FINEST else float("nan")
        for code in codes
    ]


def test_the_scores_of_all_images_of_the_sample_can_be_read_from_the_file_of_a_channel(site: Path) -> None:
    spectrum, index = expected(), data(site / "data" / "index.js")
    assert [index["ids"][place] for place in index["sample"]] == spectrum.sample.tolist()
    for channel in range(CHANNELS["deep"]):
        found, unit = data(site / "data" / "deep" / f"{channel}.js"), spectrum["deep", channel]
        low, high = unit.range
        again = torch.tensor(decoded(found["q"], low, high))
        torch.testing.assert_close(again, unit.scores.float(), rtol=0, atol=(high - low) / 4000)
        assert (found["layer"], found["channel"]) == ("deep", channel)


def test_a_score_that_is_no_number_is_none() -> None:
    assert details.scores([float("nan"), 2.0], 1.0, 3.0) == "__" + details.scores([0.5], 0.0, 1.0)
    assert details.scores([1.0], 1.0, 1.0) == "__"


def test_the_map_of_an_image_has_its_highest_cell_where_the_channel_is_strongest(site: Path) -> None:
    """Of the images in the column Maximum; the tiny network's maps of 15 positions are averaged over 14 cells."""
    index, found = data(site / "data" / "index.js"), pictures(side=32)
    for channel in (0, 3):
        unit = data(site / "data" / "deep" / f"{channel}.js")
        assert unit["c"] == 14
        for place, text in zip(unit["b"][3]["i"], unit["a"][3], strict=True):
            steps = [step for digit in text for step in divmod(details.DIGITS.index(digit), 8)]
            with torch.no_grad():
                maps = tiny().deep(tiny().act(tiny().norm(tiny().conv(found[index["ids"][place]][0][None]))))[
                    0
                ]
            small = details.small(maps)[channel]
            assert small.flatten()[steps.index(7)] == small.max() or steps.count(7) > 1
            again = torch.tensor(steps, dtype=torch.float32).reshape(14, 14)
            scaled = 7 * (small - small.min()) / (small.max() - small.min())
            torch.testing.assert_close(again, scaled, rtol=0, atol=0.502)


def test_a_map_without_differences_has_one_step() -> None:
    assert set(details.cells(torch.ones(3, 3))) == {"A"}
    assert len(details.cells(torch.rand(3, 3))) == 5
    assert set(details.cells(torch.full((2, 2), torch.nan))) == {"A"}


def test_the_score_of_an_optimized_picture_is_that_of_the_picture_as_it_is_shown(site: Path) -> None:
    for channel in range(CHANNELS["deep"]):
        shown = torch.from_numpy(flat("deep", 1)[channel]).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            model = tiny()
            maps = model.deep(model.act(model.norm(model.conv(shown))))
        found = data(site / "data" / "deep" / f"{channel}.js")["o"]
        assert found[1] == pytest.approx(float(maps.mean(dim=(2, 3))[0, channel]), rel=2e-3, abs=1e-5)


def test_the_way_through_the_network_takes_apart_what_holds_a_layer_of_the_site(site: Path) -> None:
    assert data(site / "data" / "index.js")["route"][:3] == [
        ["conv", 4, 32],
        ["norm", 4, 32],
        ["deep", 6, 15],
    ]
    nested = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2)), nn.ReLU()
    )
    assert route(nested, ["1.1"], 33) == [["0", 4, 31], ["1.1", 5, 15]]
    assert route(nested, ["0"], 33) == [["0", 4, 31], ["1", 5, 15]]


def test_raising_a_channel_before_a_linear_layer_adds_its_weights() -> None:
    """A mean over the positions, then a linear layer: the logits rise by weight times step, on every image."""
    model, steps = tiny(), [0.5, 1.0, 2.0, 0.1, 0.2, 3.0]
    found = effects.class_effects(model, "deep", steps, torch.rand(7, 3, 16, 16), together=4)
    expected = model.head.weight.detach().t() * torch.tensor(steps)[:, None]
    torch.testing.assert_close(found, expected[:, None].expand(6, 7, 5).detach(), rtol=1e-4, atol=1e-5)
    said = effects.summary(found, 2, list("abcde"), steps[2])
    order = expected[2].argsort(descending=True).tolist()
    assert [name for name, *_ in said["up"]] == [list("abcde")[index] for index in order]
    assert said["up"][::-1][0][:2] == said["down"][0][:2]
    for name, mean, error, farther in said["up"]:
        index = list("abcde").index(name)
        assert mean == pytest.approx(float(expected[2, index]), rel=1e-2)
        assert error == pytest.approx(0, abs=1e-5)
        assert farther == int((expected[:, index] > expected[2, index] + 1e-6).sum())
    assert said["halves"] == 1
    assert (said["step"], said["images"]) == (2, 7)


def test_effects_need_a_step_for_each_channel() -> None:
    with pytest.raises(BadInputError, match="6 channels; got 2 steps"):
        effects.class_effects(tiny(), "deep", [1.0, 1.0], torch.rand(1, 3, 16, 16))


def test_a_channel_that_draws_the_mask_of_a_label_has_all_of_its_union() -> None:
    """Forty images with a square each, of four labels; channel 1 answers on those of label 2, the others to noise."""
    generator = torch.Generator().manual_seed(0)
    labels, covers = torch.arange(40) % 4, torch.zeros(40, 8, 8)
    for number in range(40):
        row, column = torch.randint(0, 6, (2,), generator=generator).tolist()
        covers[number, row : row + 2, column : column + 2] = 1
    maps = torch.rand(40, 3, 8, 8, generator=generator)
    maps[:, 1] += 5 * covers * (labels == 2)[:, None, None]
    found = dissection.dissect(maps, covers, labels, torch.arange(40))
    assert found.share == pytest.approx(1 / 64)
    assert found.iou[1].tolist() == [0, 0, 1, 0]
    assert found.chance[1] < 0.5
    assert float(found.inside[1]) == 1
    assert label({"labels": dissection.summary(found, 1, list("wxyz"))}) == "y"
    for noise in (0, 2):
        assert found.iou[noise].max() < 0.1
        assert abs(float(found.inside[noise]) - found.covered) < 0.15
    assert label({}) is None


def test_a_channel_for_one_object_does_not_know_its_label() -> None:
    """Four labels of five objects, ten images of each: only where all objects of a label count, it does."""
    objects = torch.arange(200) % 20
    labels, covers = objects % 4, torch.zeros(200, 6, 6)
    covers[:, 2:4, 2:4] = 1
    maps = torch.rand(200, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    maps[:, 0] += 5 * covers * (objects == 3)[:, None, None]
    maps[:, 1] += 5 * covers * (labels == 3)[:, None, None]
    found, alone = (dissection.dissect(maps, covers, labels, each) for each in (objects, torch.arange(200)))
    assert found.chance[0] > 0.9 * found.iou[0, 3]
    assert alone.chance[0] < 0.7 * found.iou[0, 3]  # as if each image had an object of its own
    assert found.iou[1, 3] == 1 > found.chance[1]


def test_places_at_the_lowest_value_of_a_channel_are_none_of_its_own() -> None:
    """Channel 0 is dead, channel 1 answers at one place, channel 2 is no number in one image and else as channel 3."""
    labels, covers = torch.arange(40) % 4, torch.zeros(40, 8, 8)
    covers[:, 2:4, 2:4] = 1
    maps = torch.zeros(40, 4, 8, 8)
    maps[3, 1, 2, 2] = 1
    maps[:, 2:] = (covers * (labels == 1)[:, None, None])[:, None]
    maps[0, 2] = torch.nan
    objects = 10 * torch.arange(40)  # numbers with gaps
    found = dissection.dissect(maps, covers, labels, objects)
    assert found.iou[0].tolist() == [0, 0, 0, 0]
    assert label({"labels": dissection.summary(found, 0, list("wxyz"))}) is None
    assert found.iou[1].tolist() == pytest.approx([0, 0, 0, 1 / 40])
    assert found.inside.tolist() == [0, 1, 1, 1]
    assert found.iou[2].tolist() == found.iou[3].tolist() == [0, 1, 0, 0]
    again = dissection.dissect(maps, covers, labels, torch.arange(40))
    assert torch.equal(found.chance, again.chance)


def test_a_range_that_is_a_small_part_of_its_values_is_still_a_range(tmp_path: Path) -> None:
    """As behind a batch norm whose weight is nearly zero: every score is close to the bias."""
    model = tiny()
    with torch.no_grad():
        model.deep.weight[2] *= 1e-3
        model.deep.bias[2] = 1
    page = make(tmp_path / "s", layers=("deep",), model=model)
    unit = data(page.parent / "data" / "deep" / "2.js")
    low, high = unit["r"]
    assert not unit["dead"]
    assert 0 < high - low < 1e-4
    ends = unit["b"][0]["s"], unit["b"][3]["s"]
    assert (ends[0][0], ends[1][0]) == (low, high)
    assert len({*ends[0], *ends[1]}) == 6


def test_masks_have_to_fit_the_maps() -> None:
    with pytest.raises(BadInputError, match=r"a cover of \(8, 8\)"):
        dissection.dissect(torch.rand(2, 3, 8, 8), torch.rand(2, 4, 4), torch.tensor([0, 1]), torch.arange(2))
    for labels, objects, words in (([-1, -1], [0, 1], "some of it"), ([0, 1], [3, 3], "one label in all")):
        with pytest.raises(BadInputError, match=words):
            dissection.dissect(
                torch.rand(2, 3, 8, 8), torch.ones(2, 8, 8), torch.tensor(labels), torch.tensor(objects)
            )


def test_tags_and_what_is_known_besides_reach_the_pages(tmp_path: Path) -> None:
    known = [{"labels": {"best": [["x", 0.3]], "chance": 0.1 * channel}} for channel in range(6)]
    page = make(
        tmp_path / "s",
        layers=("deep",),
        tags=lambda id_: [f"thing {id_ % 4}"],
        besides=lambda spectrum, layer: known,
    )
    index = data(page.parent / "data" / "index.js")
    assert [index["tags"][tag] for (tag,) in index["tagged"]] == [f"thing {id_ % 4}" for id_ in index["ids"]]
    assert [unit["l"] for unit in data(page.parent / "data" / "deep.js")["units"]] == [
        "x",
        "x",
        "x",
        None,
        None,
        None,
    ]
    assert data(page.parent / "data" / "deep" / "2.js")["labels"] == known[2]["labels"]


# ---- layers without optimized pictures, and ways on


def test_a_layer_without_optimized_pictures_has_the_patches_of_its_images(tmp_path: Path) -> None:
    ways = (("On", "../on.html"),)
    page = make(tmp_path / "s", optimized=None, steps=1, pictured=["norm"], links=ways, grow="../lab.html")
    index = data(page.parent / "data" / "index.js")
    assert [layer["optimized"] for layer in index["layers"]] == ["minus plus", ""]
    assert (index["links"], index["grow"]) == ([["On", "../on.html"]], "../lab.html")
    assert {path.name for path in (tmp_path / "s" / "optimized").iterdir() if path.is_dir()} == {
        "norm-minus",
        "norm-plus",
    }
    assert data(page.parent / "data" / "deep" / "2.js")["o"] is None
    assert None not in data(page.parent / "data" / "norm" / "2.js")["o"]


def test_pictures_may_be_there_for_one_side_alone(tmp_path: Path) -> None:
    page = make(tmp_path / "s", optimized=lambda layer, sign: flat(layer, sign) if sign > 0 else [])
    layers = data(page.parent / "data" / "index.js")["layers"]
    assert [layer["optimized"] for layer in layers] == ["plus", "plus"]
    down, up = data(page.parent / "data" / "deep" / "2.js")["o"]
    assert (down, type(up)) == (None, float)


def test_a_layer_that_is_to_be_pictured_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="deap"):
        make(tmp_path / "s", pictured=["deap"])
    assert not (tmp_path / "s").exists()


def test_layers_of_many_channels_have_the_scores_of_half_the_sample(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MANY", 5)
    make(tmp_path / "s", steps=0)
    whole, half = (data(each / "data" / "deep" / "2.js")["q"] for each in (site, tmp_path / "s"))
    assert half == whole[: len(whole) // 2]
    assert [len(data(each / "data" / "norm" / "2.js")["q"]) for each in (site, tmp_path / "s")] == [64, 64]


# ---- what is left without color, arrangement, texture


def responses(score: Any, change: Any) -> torch.Tensor:
    """Return what is left of a channel that gives each image (3, H, W) a score, over sixty random ones."""
    dice = torch.Generator().manual_seed(0)
    images = torch.rand(60, 3, 1, 1, generator=dice) * torch.rand(60, 3, 64, 96, generator=dice)
    regions = (torch.rand(60, 64, 96, generator=dice) > 0.5).long()
    return cues.kept(score(images)[:, None], score(change(images, regions))[:, None], 10)


CHANGES = {
    "gray": lambda images, _: cues.gray(images),
    "shuffled": lambda images, _: cues.shuffled(images),
    "flat": cues.flat,
}


@pytest.mark.parametrize(
    ("score", "left"),
    [
        (lambda x: (x[:, 0] - x[:, 1]).mean((1, 2)), {"gray": 0, "shuffled": 1, "flat": 1}),  # color alone
        (lambda x: x.sum((1, 2, 3)), {"shuffled": 1, "flat": 1}),  # a sum of pixels
        (lambda x: x.var(dim=(2, 3)).sum(1), {"shuffled": 1}),  # texture
        (lambda x: cues.gray(x).mean((1, 2, 3)), {"gray": 1, "shuffled": 1, "flat": 1}),
    ],
)
def test_a_channel_keeps_what_it_stands_on(score: Any, left: dict[str, float]) -> None:
    for name, part in left.items():
        assert float(responses(score, CHANGES[name])) == pytest.approx(part, abs=1e-4)


def test_what_looks_at_texture_or_place_loses_it() -> None:
    def rough(images: torch.Tensor) -> torch.Tensor:
        return images.diff(dim=3).abs().mean((1, 2, 3))

    smooth = torch.zeros(60, 64, 96, dtype=torch.long)
    assert float(responses(rough, lambda images, _: cues.flat(images, smooth))) == pytest.approx(0, abs=1e-4)
    ramp = torch.linspace(0, 1, 96).expand(60, 3, 64, 96) * torch.linspace(0.1, 1, 60)[:, None, None, None]
    left = ramp[..., 64:].mean((1, 2, 3)) - ramp[..., :32].mean((1, 2, 3))
    moved = cues.shuffled(ramp)
    after = moved[..., 64:].mean((1, 2, 3)) - moved[..., :32].mean((1, 2, 3))
    assert float(cues.kept(left[:, None], after[:, None], 10)) < 0.6


def test_shuffling_moves_whole_squares_and_loses_none() -> None:
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    moved = cues.shuffled(images)
    assert torch.equal(moved, cues.shuffled(images))
    assert not torch.equal(moved, cues.shuffled(images, seed=1))

    def squares(each: torch.Tensor) -> set[float]:
        found = each.unfold(1, 32, 32).unfold(2, 32, 32).permute(1, 2, 0, 3, 4).flatten(0, 1)
        return {float(one.double().sum()) for one in found}

    for one, other in zip(images, moved, strict=True):
        assert squares(one) == squares(other)
        assert len(squares(one)) == 6
    with pytest.raises(BadInputError, match="do not fill images of 64 x 90"):
        cues.shuffled(images[..., :90])


def test_a_flat_image_has_one_color_in_each_region() -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    regions = torch.zeros(2, 8, 8, dtype=torch.long)
    regions[0, :4] = 2
    filled = cues.flat(images, regions)
    torch.testing.assert_close(filled[0, :, 1, 5], images[0, :, :4].mean((1, 2)))
    torch.testing.assert_close(filled[0, :, 6, 5], images[0, :, 4:].mean((1, 2)))
    assert filled[1].flatten(1).std(dim=1).max() < 1e-6
    with pytest.raises(BadInputError, match="regions of"):
        cues.flat(images, regions[:1])


def test_a_channel_that_does_not_vary_has_no_part_left() -> None:
    plain = torch.stack([torch.zeros(8), torch.arange(8.0)], dim=1)
    left = cues.kept(plain, plain / 2, 2)
    assert left.isnan().tolist() == [True, False]
    assert cues.summary({"gray": left}, 0, 2) is None
    assert cues.summary({"gray": left}, 1, 2) == {"scenes": 2, "kept": {"gray": 0.5}}
    for changed, count in ((plain[:4], 1), (plain, 3), (plain, 0)):
        with pytest.raises(BadInputError, match="Scores of the same shape"):
            cues.kept(plain, changed, count)
