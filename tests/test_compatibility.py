"""The table of architectures is what tools/compatibility.py finds: some of it is found again, and a fault is seen."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import compatibility  # noqa: E402
import compatibility_page  # noqa: E402

pytest.importorskip("torchvision")
pytest.importorskip("timm")
KEPT = json.loads(compatibility.FILE.read_text(encoding="utf-8"))
ROWS = {row["network"]: row for row in KEPT["rows"]}
ALL = tuple(compatibility.FEATURES)
# One of each way to hold channels, and one that returns no table of logits; what takes long of it is left out.
SAMPLE = {
    "torchvision shufflenet_v2_x0_5": ALL,
    "timm convnext_atto": ALL,
    "timm vit_tiny_patch16_224": ALL,
    "torchvision deeplabv3_mobilenet_v3_large": ("saliency", "Grad-CAM", "render a logit"),
}


@pytest.mark.parametrize("name", SAMPLE)
def test_the_kept_table_is_found_again(name: str) -> None:
    case = compatibility.Case(compatibility.NETWORKS[name])
    found = {feature: compatibility.tried(case, feature) for feature in SAMPLE[name]}
    assert found == {feature: ROWS[name]["cells"][feature] for feature in SAMPLE[name]}


def test_the_table_is_whole() -> None:
    assert list(ROWS) == list(compatibility.NETWORKS)
    assert len(ROWS) >= 20
    assert KEPT["features"] == list(compatibility.FEATURES)
    for name, network in compatibility.NETWORKS.items():
        kept = dict(ROWS[name])
        cells = kept.pop("cells")
        assert kept == {"network": name, **compatibility.about(network)}
        assert list(cells) == KEPT["features"]
        assert not any(cell.startswith("FAULT") for cell in cells.values())
    assert {"how", "on", "when", "with"} <= KEPT["made"].keys()


@pytest.mark.parametrize(
    ("feature", "function"),
    [
        ("saliency", "interp.attribution.saliency"),
        ("Grad-CAM", "interp.attribution.grad_cam"),
    ],
)
def test_a_wrong_map_is_a_fault(feature: str, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> Tensor:
        return torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(function, wrong)
    case = compatibility.Case(compatibility.NETWORKS["torchvision shufflenet_v2_x0_5"])
    assert compatibility.tried(case, feature).startswith("FAULT: FaultError")


def test_channels_at_the_wrong_place_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    network = compatibility.NETWORKS["timm vit_tiny_patch16_224"]
    wrong = replace(network, layer=(network.layer[0], "first"), early=(network.early[0], 0))
    monkeypatch.setattr(compatibility, "moved", lambda output, held: output[:, :16].mT.unflatten(2, (4, 4)))
    case = compatibility.Case(wrong)
    for feature in ("Grad-CAM", "spectrum", "microscope"):
        assert compatibility.tried(case, feature).startswith("FAULT: FaultError"), feature


def test_numbers_agree_up_to_rounding() -> None:
    own = torch.tensor([1.0, -2.0])
    compatibility.agree("x", own * (1 + 1e-4), own)
    compatibility.agree("x", torch.zeros(2), torch.zeros(2), scale=1.0)
    for found, truth in (
        (own + 0.01, own),
        (own[:1], own),
        (own.nan_to_num(0) * torch.nan, own),
        (own * 0, own * 0),
    ):
        with pytest.raises(compatibility.FaultError, match="x: "):
            compatibility.agree("x", found, truth)


def test_the_book_shows_the_table() -> None:
    why = compatibility_page.reasons(KEPT["rows"])
    table = compatibility_page.table(KEPT["features"], KEPT["rows"], why)
    texts = [
        [entry.astext() for entry in row.children] for row in table.findall(compatibility_page.nodes.row)
    ]
    assert texts[0][0] == "Network"
    by_name = {row[0].replace("\u200b", ""): row[1:] for row in texts}
    for name, row in ROWS.items():
        shown = by_name[name]
        assert [cell == "yes" for cell in shown] == [cell == "works" for cell in row["cells"].values()]
        for cell, text in zip(row["cells"].values(), shown, strict=True):
            assert text == ("yes" if cell == "works" else f"no ({why[cell]})")
    assert [each.astext()[4:] for each in compatibility_page.listed(why)] == list(why)
    assert KEPT["made"]["when"] in compatibility_page.note(KEPT["made"]).astext()
