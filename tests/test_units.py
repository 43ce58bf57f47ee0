"""Doors to the channels: names in the text, tiles of figures and sheets, and the way back from the microscope."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image

from interp import plots

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import microscope  # noqa: E402
import units  # noqa: E402

PAGE = "book/one/two"
AT = "../../microscope/index.html#"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two layers, of which data say what drives their channels most."""
    monkeypatch.setattr(microscope, "DATA", tmp_path)
    layers = [
        {"name": "blocks.4.2", "channels": 20, "optimized": "minus plus"},
        {"name": "blocks.3.2", "channels": 6, "optimized": ""},
    ]
    monkeypatch.setattr(microscope, "about", lambda: {"layers": layers})
    (tmp_path / "data").mkdir()
    rows = [{"i": [[], [c, c + 1, c + 2, c + 3]]} for c in range(20)]
    text = f"microscope.layer({json.dumps({'units': rows})});\n"
    for layer in ("blocks.4.2", "blocks.3.2"):
        (tmp_path / "data" / f"{layer}.js").write_text(text)
    units._units.cache_clear()


def linked(text: str, tmp_path: Path) -> BeautifulSoup:
    page = BeautifulSoup(f"<section>{text}</section>", "html.parser")
    app: Any = SimpleNamespace(builder=SimpleNamespace(images={}), srcdir=str(tmp_path), outdir=str(tmp_path))
    units.link(app, page, PAGE)
    return page


@pytest.mark.parametrize(
    ("text", "words", "unit"),
    [
        ("For <code>blocks.4.2</code>, 7 a weight", "blocks.4.2, 7", "blocks.4.2/7"),
        ("<code>blocks.4.2</code>, channel 12.", "blocks.4.2, channel 12", "blocks.4.2/12"),
        ("see channel 5 of <code>blocks.3.2</code>, in", "channel 5 of blocks.3.2", "blocks.3.2/5"),
        ("and channel 5 of\n<code>blocks.3.2</code>: it", "channel 5 of\nblocks.3.2", "blocks.3.2/5"),
        ("For <code>blocks.4.2</code>,\n7 a weight", "blocks.4.2,\n7", "blocks.4.2/7"),
        ("One unit, <code>blocks.4.2</code> 7, is", "blocks.4.2 7", "blocks.4.2/7"),
    ],
)
def test_the_name_of_a_channel_is_a_link(text: str, words: str, unit: str, tmp_path: Path) -> None:
    page = linked(text, tmp_path)
    (door,) = page("a")
    assert (door.get_text(), door["href"]) == (words, AT + unit)
    assert door["data-top"] == " ".join(str(int(unit.split("/")[1]) + more) for more in range(3))
    assert door["data-drawn"] == ("" if unit.startswith("blocks.3.2") else "minus plus")
    assert page.get_text() == BeautifulSoup(text, "html.parser").get_text()


@pytest.mark.parametrize(
    "text",
    [
        "<code>blocks.4.2</code>, 12 channels",
        "<code>blocks.4.2</code> 12 of them",
        "<code>blocks.4.2</code>, 12\nchannels",
        "<code>blocks.4.2</code>, 1,200 scenes",
        "in <code>blocks.4.2</code>, 5 % of",
        "<code>blocks.4.2</code>, 0.5",
        "<code>blocks.4.2</code>, 99",
        "<code>blocks.9</code>, 5",
        "<a href='x'><code>blocks.4.2</code>, 7</a>",
        "<pre><code>blocks.4.2</code>, 7</pre>",
    ],
)
def test_what_only_looks_like_a_channel_is_none(text: str, tmp_path: Path) -> None:
    assert not linked(text, tmp_path).select("a[href*=microscope]")


def figure(picture: str, caption: str) -> str:
    return (
        f'<figure><a class="image-reference" href="{picture}"><img src="{picture}" alt="" width="9"></a>'
        f"<figcaption><p>{caption}</p></figcaption></figure>"
    )


def test_named_tiles_of_a_figure_are_doors(tmp_path: Path) -> None:
    (tmp_path / "_images").mkdir()
    names = ["blocks.4.2, 7", "a photograph", "blocks.3.2, 5\nup", "blocks.4.2, 8"]
    drawn = plots.image_row(torch.rand(4, 3, 64, 64), names)
    drawn.save(tmp_path / "_images" / "a.png")
    page = linked(figure("../../_images/a.png", "Four."), tmp_path)
    doors = page.select(".doors > .tile-door")
    assert [door["href"] for door in doors] == [
        AT + unit for unit in ("blocks.4.2/7", "blocks.3.2/5", "blocks.4.2/8")
    ]
    left = [float(door["style"].split("left:")[1].split("%")[0]) for door in doors]
    assert left == pytest.approx([0, 100 * 357 / drawn.width, 100 * 535.5 / drawn.width], abs=0.2)
    line = page.select_one("figcaption .in-microscope")
    assert line.get_text() == "In the microscope: blocks.4.2, 7 · blocks.3.2, 5 · blocks.4.2, 8"
    assert page.select_one(".doors > a.image-reference img") is not None


def test_a_number_alone_belongs_to_the_one_layer_of_the_caption() -> None:
    assert units.unit_of("channel 3", ["blocks.3.2"]) == "blocks.3.2/3"
    assert units.unit_of("channel 3", ["blocks.3.2", "blocks.4.2"]) is None
    assert units.unit_of("channel 3", []) is None
    assert units.unit_of("3", ["blocks.3.2"]) is None
    assert units.unit_of("blocks.4.2\nchannel 3\nup", []) == "blocks.4.2/3"
    assert units.unit_of("blocks.4.2:3 #1", []) == "blocks.4.2/3"
    assert units.unit_of("blocks.4.2, \u22123: still", []) == "blocks.4.2/3"
    assert units.unit_of("step 3", ["blocks.3.2"]) is None
    assert units.unit_of("blocks.4.2, 0.5", []) is None


@pytest.mark.parametrize(
    ("caption", "layers"),
    [
        ("Two channels of <code>blocks.3.2</code>.", ["blocks.3.2"]),
        ("The same channels, asked in <code>blocks.4.2</code>.", []),
        ("Of <code>blocks.5.3</code>, beside <code>blocks.4.2</code>.", ["blocks.4.2", "blocks.5.3"]),
        ("By <code>hooks</code>, of <code>blocks.4.2</code>.", ["blocks.4.2"]),
    ],
)
def test_a_caption_names_the_layer_of_its_channels(caption: str, layers: list[str]) -> None:
    figure = BeautifulSoup(f"<figure><figcaption>{caption}</figcaption></figure>", "html.parser").figure
    assert units._said(figure) == layers


def test_every_tile_of_a_sheet_is_a_door(tmp_path: Path) -> None:
    (tmp_path / "_images").mkdir()
    Image.new("RGB", (160, 20)).save(tmp_path / "_images" / "blocks.4.2-minus.webp")
    page = linked(figure("../../_images/blocks.4.2-minus.webp", "All."), tmp_path)
    doors = page.select(".tile-door.of-sheet")
    assert [door["href"] for door in doors] == [f"{AT}blocks.4.2/{c}" for c in range(20)]
    assert {door["tabindex"] for door in doors} == {"-1"}
    assert doors[17]["style"] == "left:6.250%;top:50.000%;width:6.250%;height:50.000%"


def test_the_channels_of_a_live_grid_are_doors(tmp_path: Path) -> None:
    content = json.dumps({"names": ["channel 3", "channel 4"]})
    live = f'<div class="live" data-kind="grid"><script type="application/json">{content}</script></div>'
    page = linked(f"<figure>{live}<figcaption>Of <code>blocks.3.2</code>.</figcaption></figure>", tmp_path)
    assert json.loads(page.script.string)["links"] == [f"{AT}blocks.3.2/3", f"{AT}blocks.3.2/4"]


def test_the_microscope_knows_the_sections_that_speak_of_a_channel(tmp_path: Path) -> None:
    page = tmp_path / "book" / "one" / "two.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        f'<title>Cats &amp; dogs · The book</title><section id="first"><p>none</p></section><section id="second">'
        f'<a class="unit" href="{AT}blocks.4.2/7">x</a><a href="{AT}blocks.4.2/7">x</a>'
        f'<a class="tile-door of-sheet" href="{AT}blocks.4.2/8">x</a></section>'
    )
    expected = {"blocks.4.2/7": [["Cats & dogs", "../book/one/two.html#second"]]}
    assert units.spoken_of(tmp_path, microscope.PAGE) == expected
