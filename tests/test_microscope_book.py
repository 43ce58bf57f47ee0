"""How the microscope is laid out with the book, and how its channels are linked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from interp import image, zoo

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import check_site  # noqa: E402
import microscope  # noqa: E402
import wall  # noqa: E402


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lay out the data of a microscope of one layer with six channels."""
    folder = tmp_path / "data"
    (folder / "data").mkdir(parents=True)
    layers = [
        {"name": "blocks.1", "channels": 6, "optimized": "minus plus"},
        {"name": "blocks.5", "channels": 2, "optimized": "plus"},
        {"name": "blocks.6", "channels": 3, "optimized": ""},
    ]
    index = json.dumps({"layers": layers, "ids": [7, 2], "thumbnail": 32})
    (folder / "data" / "index.js").write_text(f"microscope.index({index});\n")
    sheets = tmp_path / "sheets"
    sheets.mkdir()
    for sign in ("plus", "minus"):
        (sheets / f"blocks.1-{sign}.webp").write_bytes(sign.encode())
    monkeypatch.setattr(microscope, "DATA", folder)
    monkeypatch.setattr(microscope, "SHEETS", sheets)
    for sign in ("plus", "minus"):
        (tmp_path / "large" / f"blocks.1-{sign}").mkdir(parents=True)
        (tmp_path / "large" / f"blocks.1-{sign}" / "5.webp").write_bytes(b"five")
    (tmp_path / "large" / "blocks.5-plus").mkdir()
    for channel, color in enumerate(("red", "blue")):
        Image.new("RGB", (256, 256), color).save(tmp_path / "large" / "blocks.5-plus" / f"{channel}.webp")
    monkeypatch.setattr(microscope, "LARGE", tmp_path / "large")
    monkeypatch.setenv("BOOK_CACHE", str(tmp_path / "cache" / "pages"))
    microscope.about.cache_clear()
    yield folder
    microscope.about.cache_clear()


def test_a_link_leads_to_what_is_there(data: Path) -> None:
    assert all(microscope.has(unit) for unit in ("", "blocks.1", "blocks.1/0", "blocks.1/5"))
    assert microscope.pictured() == {"blocks.1": 6, "blocks.5": 2}
    assert not any(microscope.has(unit) for unit in ("blocks.1/6", "blocks.1/x", "blocks.1/-1", "blocks.2"))
    assert microscope.address("blocks.1/5", "book/segment/one") == "../../microscope/index.html#blocks.1/5"
    assert microscope.address("", "book/index") == "../microscope/index.html"


def test_a_tile_of_the_wall_falls_back_on_its_page(data: Path) -> None:
    tile = {"layer": "blocks.1", "channel": 5, "page": "segment-2/layer#there"}
    assert wall.address(tile, "book/index") == "../microscope/index.html#blocks.1/5"
    assert wall.address({**tile, "channel": 6}, "book/index") == "segment-2/layer.html#there"


def test_the_site_gets_data_page_and_sheets(data: Path, tmp_path: Path) -> None:
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=str(tmp_path / "site"))
    microscope.publish(app, None)
    site = tmp_path / "site" / "microscope"
    assert (site / "index.html").read_bytes() == (ROOT / "interp/templates/microscope.html").read_bytes()
    assert (site / "optimized" / "blocks.1-minus-0.webp").read_bytes() == b"minus"
    assert (site / "optimized" / "blocks.1-minus" / "5.webp").read_bytes() == b"five"
    links = "".join(
        f'<a href="microscope/index.html#{unit}">x</a>'
        for unit in ("blocks.1", "blocks.1/5", "blocks.1/6", "blocks.2")
    )
    (tmp_path / "site" / "page.html").write_text(f"<html><body>{links}</body></html>")
    assert list(check_site.check(tmp_path / "site")) == [
        f"page.html: leads nowhere: microscope/index.html#{unit}" for unit in ("blocks.1/6", "blocks.2")
    ]


def test_a_sheet_is_made_of_single_pictures_where_there_is_none(data: Path, tmp_path: Path) -> None:
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=str(tmp_path / "site"))
    microscope.publish(app, None)
    made = tmp_path / "site" / "microscope" / "optimized"
    assert {path.name for path in made.glob("blocks.5*")} == {"blocks.5-plus", "blocks.5-plus-0.webp"}
    sheet = Image.open(made / "blocks.5-plus-0.webp").convert("RGB")
    assert sheet.size == (256, 128)
    (red, *_), (*_, blue) = sheet.getpixel((64, 64)), sheet.getpixel((192, 64))
    assert min(red, blue) > 240


def test_the_scenes_are_made_once_and_are_those_that_the_data_name(data: Path, tmp_path: Path) -> None:
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=str(tmp_path / "site"))
    for _ in range(2):
        microscope.publish(app, None)
        folder = tmp_path / "site" / "microscope" / "thumbnails" / "000"
        assert sorted(path.name for path in folder.iterdir()) == ["000.webp", "001.webp"]
    (kept,) = (tmp_path / "cache").iterdir()
    assert microscope.scenes([7, 2], 32) == kept
    assert microscope.scenes([7], 32) != kept
    scenes = zoo.Scenes("all", 224, length=8)
    for place, number in enumerate((7, 2)):
        stored = image.load(folder / f"{place:03d}.webp")
        assert (stored - image.resize(scenes[number].image[None], (32, 32))).abs().mean() < 0.03


def test_without_data_there_is_no_microscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microscope, "DATA", tmp_path)
    microscope.about.cache_clear()
    try:
        assert not microscope.has("")
        app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=str(tmp_path / "site"))
        microscope.publish(app, None)
        assert not (tmp_path / "site").exists()
    finally:
        microscope.about.cache_clear()
