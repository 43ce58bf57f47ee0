"""How the microscope is laid out with the book, and how its channels are linked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

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
    index = json.dumps({"layers": [{"name": "blocks.1", "channels": 6}]})
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
    monkeypatch.setattr(microscope, "LARGE", tmp_path / "large")
    microscope.channels.cache_clear()
    yield folder
    microscope.channels.cache_clear()


def test_a_link_leads_to_what_is_there(data: Path) -> None:
    assert all(microscope.has(unit) for unit in ("", "blocks.1", "blocks.1/0", "blocks.1/5"))
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


def test_without_data_there_is_no_microscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microscope, "DATA", tmp_path)
    microscope.channels.cache_clear()
    try:
        assert not microscope.has("")
        app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=str(tmp_path / "site"))
        microscope.publish(app, None)
        assert not (tmp_path / "site").exists()
    finally:
        microscope.channels.cache_clear()
