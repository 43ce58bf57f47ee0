"""The site of a small network: complete, resumable, with the right neighbors, and nothing that needs a server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from spectra import pictures, tiny
from torch import nn

from interp.errors import UnknownNameError
from interp.microscope import build, neighbors
from interp.microscope.site import columns_of, slug
from interp.spectrum import Items, Spectrum

LAYERS = ("norm", "deep")
CHANNELS = {"norm": 4, "deep": 6}


def data(file: Path) -> Any:
    """Return what a data file hands to the page."""
    match = re.fullmatch(r"microscope\.\w+\((.*)\);\n", file.read_text(encoding="utf-8"), re.DOTALL)
    assert match
    return json.loads(match[1])


def make(site: Path) -> Path:
    source = Items(pictures(side=32), "random", class_names=["x", "y", "z"], shard_size=20)

    def flat(layer: str, sign: int) -> list[np.ndarray]:
        return [
            np.full((16, 16, 3), 10 * c + (100 if sign > 0 else 0), dtype=np.uint8)
            for c in range(CHANNELS[layer])
        ]

    return build(
        tiny(),
        source,
        site,
        layers=LAYERS,
        title="Tiny",
        k=3,
        sample=32,
        tile=16,
        thumbnail=24,
        size=32,
        optimized=flat,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "tiny"
    assert make(folder) == folder / "index.html"
    return folder


def test_every_channel_has_its_bands_histogram_and_patches(site: Path) -> None:
    index = data(site / "data" / "index.js")
    assert [(each["name"], each["channels"]) for each in index["layers"]] == [("norm", 4), ("deep", 6)]
    assert index["images"] == 40
    for each in index["layers"]:
        units = data(site / "data" / f"{each['slug']}.js")["units"]
        assert len(units) == each["channels"]
        for unit in units:
            assert [len(band["i"]) for band in unit["b"]][::3] == [3, 3]
            assert max(unit["h"]) == 1000
            assert all(0 <= place < len(index["labels"]) for band in unit["b"] for place in band["i"])
            for left, top, side in (window for band in unit["b"] for window in band["w"]):
                assert 0 < side <= 1
                assert 0 <= left <= 1 - side + 1e-3
                assert 0 <= top <= 1 - side + 1e-3


def test_thumbnails_are_the_images_that_the_data_name(site: Path) -> None:
    index = data(site / "data" / "index.js")
    sheet = np.asarray(PILImage.open(site / "thumbnails" / "000.webp").convert("RGB"))
    assert sheet.shape == (24 * -(-index["thumbnail"]["count"] // 10), 240, 3)
    assert set(index["labels"]) == {"x", "y", "z"}


def test_a_second_build_gives_the_same_bytes(site: Path, tmp_path: Path) -> None:
    before = {file.relative_to(site): file.read_bytes() for file in site.rglob("*") if file.is_file()}
    make(site)
    make(tmp_path / "other")
    for folder in (site, tmp_path / "other"):
        assert before == {
            file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()
        }


def test_the_page_asks_for_nothing_outside(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "fetch(" not in page
    assert 'type="module"' not in page


def test_expanded_weights_of_linear_layers_are_their_product() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 1)
    )
    found = neighbors.expanded_weights(model, "0", "4", 9)
    expected = model[4].weight[:, :, 0, 0] @ model[2].weight.sum(dim=(2, 3))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-6)


def test_correlations_are_those_of_the_scores() -> None:
    scores = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    scores[:, 2] = -2 * scores[:, 0]
    found = neighbors.correlations(Spectrum.of_batch(torch.arange(40), {"a": scores}))
    torch.testing.assert_close(found, torch.corrcoef(scores.t()), rtol=1e-4, atol=1e-5)
    nearest = neighbors.by_correlation(Spectrum.of_batch(torch.arange(40), {"a": scores}), 1)
    assert nearest["a", 0][0][:2] == ("a", 2)
    assert nearest["a", 0][0][2] == pytest.approx(-1, abs=1e-5)


def test_file_names_are_safe_and_sheets_are_not_too_wide() -> None:
    assert slug("../blocks/0:1") == "..-blocks-0-1"
    assert columns_of(23816) * 112 < 16384
    assert columns_of(3) == 3


def test_a_layer_that_does_not_exist_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="deap"):
        build(tiny(), Items(pictures(side=32), "random"), tmp_path / "s", layers=["deap"], title="Tiny")
