"""How the atlas is laid out with the book, and how its cells are linked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from interp.atlas import sample

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import atlas  # noqa: E402
import check_site  # noqa: E402
import make_atlas  # noqa: E402


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lay out the data of an atlas of three cells."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.js").write_text(f"atlas({json.dumps({'cells': [{}, {}, {}]})});\n")
    (folder / "cells-0.webp").write_bytes(b"cells")
    (folder / "points.json").write_text("{}")
    monkeypatch.setattr(atlas, "DATA", folder)
    atlas.cells.cache_clear()
    yield folder
    atlas.cells.cache_clear()


def test_a_link_leads_to_what_is_there(data: Path) -> None:
    assert all(atlas.has(cell) for cell in ("", "1", "3"))
    assert not any(atlas.has(cell) for cell in ("0", "4", "x", "-1"))


def test_without_data_there_is_nothing(data: Path) -> None:
    (data / "data.js").unlink()
    assert not any(atlas.has(cell) for cell in ("", "1"))


def test_the_site_gets_data_page_and_sheets(data: Path, tmp_path: Path) -> None:
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=str(tmp_path / "site"))
    atlas.publish(app, None)
    site = tmp_path / "site" / "atlas"
    assert {file.name for file in site.iterdir()} == {
        "index.html", "atlas.css", "atlas.js", "data.js", "cells-0.webp",
    }  # fmt: skip
    assert (site / "index.html").read_bytes() == (ROOT / "interp/templates/atlas.html").read_bytes()
    page = tmp_path / "site" / "page.html"
    page.write_text("x")
    for cell, there in (("1", True), ("3", True), ("4", False), ("0", False)):
        assert check_site.leads_somewhere(f"atlas/index.html#{cell}", page, tmp_path / "site") is there


def test_a_slice_of_the_points_made_again_is_the_same(model: nn.Module) -> None:
    """Six scenes, and a crop of a photograph: the same places, and what is there."""
    known = json.loads((make_atlas.DATA / "points.json").read_text(encoding="utf-8"))
    ids = [0, 1, 2, 217, 438, 439, make_atlas.SCENES + 5]
    some = sample(model, make_atlas.LAYER, make_atlas.source().find(ids), positions=make_atlas.PLAN.positions)
    rows = [row for row, id_ in enumerate(known["ids"]) if id_ in ids]
    assert some.ids.tolist() == [known["ids"][row] for row in rows]
    assert some.positions.tolist() == [known["positions"][row] for row in rows]
    assert list(some.labels) == [known["labels"][row] for row in rows]
    scenes = some.ids < make_atlas.SCENES
    found = make_atlas.truth(some.ids[scenes], some.positions[scenes])
    assert found == [known["truth"][row] for row in rows[: len(found)]]


def test_the_atlas_is_complete_and_small() -> None:
    sizes = {file.name: file.stat().st_size for file in make_atlas.DATA.iterdir()}
    assert {"data.js", "points.json", "directions.npz", "cells-0.webp", "channels-0.webp"} <= set(sizes)
    assert sum(sizes.values()) < 2_500_000
