"""The renderings in book/_data are what they say: their scores, and a batch made again."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image, spectrum, zoo
from interp.microscope import details

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "book" / "_data"
sys.path.insert(0, str(ROOT / "tools"))

import make_data  # noqa: E402
import make_large  # noqa: E402
import make_microscope  # noqa: E402

SHEETS = [make_data.sheet_name(layer, sign) for layer in make_data.LAYERS for sign in (1, -1)]


def tiles(name: str) -> tuple[dict[str, Any], Tensor]:
    """Return what is known of a sheet, and its tiles (channels, 3, 128, 128)."""
    about = json.loads((DATA / "layers" / f"{name}.json").read_text())
    sheet, side = image.load(DATA / "layers" / f"{name}.webp"), about["tile"]
    cells = sheet.unfold(2, side, side).unfold(3, side, side)[0].permute(1, 2, 0, 3, 4).flatten(0, 1)
    return about, cells[: len(about["scores"])]


def scores(model: nn.Module, about: dict[str, Any], pictures: Tensor) -> Tensor:
    parts = [hooks.activations(model, part, about["layer"]).mean(dim=(2, 3)) for part in pictures.split(16)]
    found = torch.cat(parts)
    return about["sign"] * found[torch.arange(len(pictures)), torch.arange(len(pictures))]


@pytest.mark.parametrize("name", SHEETS)
def test_every_tile_excites_its_channel_as_it_says(name: str, model: nn.Module) -> None:
    about, pictures = tiles(name)
    assert len(pictures) == make_data.LAYERS[about["layer"]]
    assert name == make_data.sheet_name(about["layer"], about["sign"])
    said = torch.tensor(about["scores"])
    ratio = scores(model, about, pictures) / said
    # What the compression takes away is little; a tile at the wrong place would score next to nothing.
    assert ratio.min() > 0.8
    assert ratio.median() > 0.93
    wrong = scores(model, about, pictures.roll(1, 0)) / said
    assert wrong.median() < 0.3


def test_a_batch_made_again_is_the_same_work(model: nn.Module) -> None:
    about, pictures = tiles("blocks.3.2-plus")
    objectives = [fv.channel("blocks.3.2", index) for index in range(fv.BATCH)]
    steps = fv.two_stages(make_data.TILE, make_data.STEPS)
    again = list(fv.render_many(model, objectives, steps=steps))
    made = torch.cat([one.score for one in again])
    ratio = made / torch.tensor(about["scores"][: fv.BATCH])
    assert 0.9 < ratio.min() < ratio.max() < 1.1

    def likeness(ours: Tensor, theirs: Tensor) -> Tensor:
        small = [image.resize(images, (16, 16)).flatten(1) for images in (ours, theirs)]
        return nn.functional.cosine_similarity(*(values - values.mean(1, keepdim=True) for values in small))

    remade = torch.cat([one.images for one in again])
    # Rounding that differs between machines grows from step to step, yet the coarse forms stay where they are.
    assert likeness(remade, pictures[: fv.BATCH]).median() > 0.7
    assert likeness(remade, pictures[1 : fv.BATCH + 1]).median() < 0.3


def test_the_wall_is_complete() -> None:
    entries = json.loads((DATA / "wall" / "manifest.json").read_text())
    assert len({entry["file"] for entry in entries}) == len(entries) >= 24
    for entry in entries:
        with Image.open(DATA / "wall" / entry["file"]) as picture:
            assert picture.size == (make_data.TILE, make_data.TILE)
        assert (ROOT / "book" / f"{entry['page']}.md").is_file()
    assert {entry["sign"] for entry in entries} == {1, -1}


@pytest.mark.parametrize("layer", make_data.LAYERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_large_picture_shows_what_its_tile_shows(layer: str, sign: int) -> None:
    """It drives its channel as far, and is the same picture when both are small."""
    channels = list(range(0, make_data.LAYERS[layer], 13))
    name, model = make_data.sheet_name(layer, sign), zoo.load_model()
    tiles = torch.cat([image.from_pil(make_data.tile(name, c)) for c in channels])
    large = torch.cat([image.load(make_large.file(layer, sign, c)) for c in channels])
    assert large.shape[2:] == (make_large.SIDE, make_large.SIDE)
    row = torch.arange(len(channels))
    before, after = (
        hooks.activations(model, each, layer).mean(dim=(2, 3))[row, channels] for each in (tiles, large)
    )
    assert (after / before).min() > 0.7
    small = [image.resize(each, (32, 32)).flatten(1) for each in (tiles, large)]
    alike = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(*small, strict=True)])
    assert alike.min() > 0.5


def test_every_optimized_picture_exists_large() -> None:
    for layer, count in make_large.LAYERS.items():
        for sign in (1, -1):
            names = {file.name for file in make_large.file(layer, sign, 0).parent.iterdir()}
            assert names == {f"{channel}.webp" for channel in range(count)}


def microscope(name: str) -> Any:
    """Return what a data file of the microscope hands to the page."""
    text = (make_microscope.DATA / "data" / f"{name}.js").read_text(encoding="utf-8")
    return json.loads(text[text.index("(") + 1 : text.rindex(")")])


@pytest.mark.parametrize("layer", make_microscope.LAYERS)
def test_a_slice_of_the_microscope_made_again_is_the_same(layer: str) -> None:
    """Three channels: the scores of all images that they show, and no other scene belongs into their columns."""
    index, channels = microscope("index"), [1, 7, 15]
    units = {c: detail(layer, c) for c in channels}
    shown = {index["ids"][place] for c in channels for column in units[c]["b"] for place in column["i"]}
    others = torch.randperm(make_microscope.SCENES, generator=torch.Generator().manual_seed(0))[:40].tolist()
    ids = sorted(shown | set(others))
    job = make_microscope.job(layers=[layer])
    score = spectrum.scorer(job.model, [layer], pool=job.measure.pool)
    found = torch.cat([score(part.images)[layer] for part in spectrum.batches(job.source.find(ids))])
    row = {id_: number for number, id_ in enumerate(ids)}
    for c in channels:
        again = found[:, c]
        near = 2e-3 * float(again.abs().max())
        for column in units[c]["b"]:
            scores = torch.stack([again[row[index["ids"][place]]] for place in column["i"]])
            torch.testing.assert_close(scores, torch.tensor(column["s"]), rtol=1e-3, atol=near)
        low, below, above, high = (sorted(column["s"]) for column in units[c]["b"])
        rest = torch.stack([again[row[id_]] for id_ in others if id_ not in shown])
        assert low[-1] - near <= rest.min()
        assert rest.max() <= high[0] + near
        assert not ((rest > below[0] + near) & (rest < above[-1] - near)).any()


def test_an_image_of_the_microscope_has_the_label_of_the_scene_that_it_names() -> None:
    index, scenes = microscope("index"), make_microscope.job().source.dataset
    for place in (0, 400, 1100):
        scene = scenes[index["ids"][place]]
        label = index["names"][index["labels"][place]]
        assert label == (zoo.SCENE_CLASSES[scene.label] if scene.label >= 0 else label)


def test_the_microscope_is_complete() -> None:
    index = microscope("index")
    layers = {each["name"]: each["channels"] for each in index["layers"]}
    assert tuple(layers) == make_microscope.LAYERS
    pictured = {each["name"]: each["channels"] for each in index["layers"] if each["optimized"]}
    assert pictured == make_large.LAYERS
    assert index["images"] == make_microscope.SCENES
    assert not index["broken"]
    for layer, channels in layers.items():
        files = {path.name for path in (make_microscope.DATA / "data" / layer).iterdir()}
        assert files == {f"{channel}.js" for channel in range(channels)}
    assert sorted(index["sample"]) == list(range(make_microscope.SCENES))
    stored = sum(path.stat().st_size for path in make_microscope.DATA.rglob("*") if path.is_file())
    assert stored < 6e6


def detail(layer: str, channel: int) -> Any:
    """Return what the page of one channel shows besides."""
    return microscope(f"{layer}/{channel}")


def test_the_scores_of_the_optimized_pictures_made_again_are_the_same() -> None:
    model, channels = zoo.load_model(), [1, 7, 15]
    for layer, place in itertools.product(make_large.LAYERS, (0, 1)):
        files = [make_large.file(layer, 2 * place - 1, channel) for channel in channels]
        found = hooks.activations(model, torch.cat([image.load(file) for file in files]), layer).mean(
            dim=(2, 3)
        )
        for row, channel in zip(found, channels, strict=True):
            assert detail(layer, channel)["o"][place] == pytest.approx(
                float(row[channel]), rel=5e-3, abs=5e-3
            )


def test_what_is_left_of_a_channel_made_again_is_the_same() -> None:
    """The strongest scenes and those in the middle, by the scores in the data, changed again."""
    layer, channel = "blocks.4.2", 47
    told, index = detail(layer, channel), microscope("index")
    codes = [
        64 * details.DIGITS.index(a) + details.DIGITS.index(b)
        for a, b in zip(told["q"][::2], told["q"][1::2], strict=True)
    ]
    order = torch.tensor(codes).argsort(stable=True)
    count = make_microscope.COMPARED
    start = (len(order) - count) // 2
    chosen = torch.cat([order[start : start + count], order[-count:]]).tolist()
    scenes = [make_microscope.scenes()[index["ids"][index["sample"][place]]] for place in chosen]
    images = torch.stack([scene.image for scene in scenes])
    regions = torch.stack([make_microscope.regions(scene) for scene in scenes])
    score = spectrum.scorer(zoo.load_model(), [layer], pool="mean")

    def response(pictures: Tensor) -> float:
        middle, strongest = score(pictures)[layer][:, channel].split(count)
        return float(strongest.mean() - middle.mean())

    kept = told["cues"]["kept"]
    assert list(kept) == ["mirrored", "gray", "shuffled", "flat"]
    for name, change in make_microscope.CHANGES.items():
        if name != "shuffled":  # the orders of the squares go by the place in a batch
            assert response(change(images, regions)) / response(images) == pytest.approx(kept[name], abs=0.04)
    assert response(make_microscope.CHANGES["shuffled"](images, regions)) / response(images) == pytest.approx(
        kept["shuffled"], abs=0.2
    )


def test_what_a_raised_channel_does_made_again_is_the_same() -> None:
    layer, channel, model = "blocks.4.2", 47, zoo.load_model()
    told = detail(layer, channel)["classes"]
    scenes = make_microscope.scenes()
    images = torch.stack([scenes[index].image for index in range(make_microscope.RAISED_ON)])

    def raised(maps: torch.Tensor) -> torch.Tensor:
        more = torch.zeros(1, maps.shape[1], 1, 1)
        more[0, channel] = told["step"]
        return maps + more

    with torch.no_grad():
        before = model(images)
        with hooks.replacing(model, {layer: raised}):
            moved = (model(images) - before).mean(dim=0)
    for name, mean, *_ in [*told["up"], *told["down"]]:
        assert float(moved[model.class_names.index(name)]) == pytest.approx(mean, rel=0.03, abs=5e-3)
    assert told["up"][0][0] == model.class_names[int(moved.argmax())]


def test_the_files_stay_small() -> None:
    sizes = [path.stat().st_size for path in DATA.rglob("*") if path.is_file()]
    assert sum(sizes) < 33e6  # 10 are the large pictures, 2 the photographs, 2 the channels


def test_a_tile_comes_from_its_place_in_the_sheet() -> None:
    _, pictures = tiles("blocks.3.2-minus")
    for channel in (0, 17, 79):
        cut = image.from_pil(make_data.tile("blocks.3.2-minus", channel))
        assert torch.equal(cut[0], pictures[channel])
    colors = ["red", "lime", "blue"] * 6
    whole = make_data.sheet([Image.new("RGB", (2, 2), color) for color in colors])
    assert whole.size == (32, 4)
    assert whole.getpixel((3, 3)) == (0, 0, 255)  # the eighteenth picture
