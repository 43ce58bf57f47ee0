"""The network in small: its boxes are those of the model, the named layer is marked, boxes lead to the microscope."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn

from interp import hooks

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book" / "_ext"))

import here

PAGE = "book/segment-3/patches"


def drawn(*layers: str) -> BeautifulSoup:
    return BeautifulSoup(here.drawing(list(layers), PAGE), "html.parser")


def test_the_boxes_have_the_shapes_of_the_network(model: nn.Module) -> None:
    layers = [stage.layer for stage in here.STAGES[1:]]
    found = hooks.run(model, torch.zeros(1, 3, 224, 224), layers)
    assert {layer: (out.shape[1], out.shape[2]) for layer, out in found.items()} == {
        stage.layer: (stage.channels, stage.rows) for stage in here.STAGES[1:]
    }


@pytest.mark.parametrize(
    ("layer", "place"), [("blocks.3.2", 5), ("blocks.3.2.act_expand", 5), ("act_head", 9), ("image", 0)]
)
def test_only_the_stage_of_the_named_layer_is_marked(layer: str, place: int) -> None:
    groups = drawn(layer).select("svg g")
    assert [n for n, group in enumerate(groups) if "marked" in group.get("class", [])] == [place]
    assert drawn(layer).select_one("svg text").get_text() == layer  # type: ignore[union-attr]


def test_boxes_lead_to_the_microscope_where_it_has_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here.microscope, "has", lambda unit: unit == "blocks.4.2")
    links = [link["href"] for link in drawn("blocks.3.2").select("svg a")]
    assert links == ["../../microscope/index.html#blocks.4.2"]


def test_the_words_lead_to_the_whole_drawing() -> None:
    (link,) = drawn("blocks.2.1", "act_head").select("p a")
    assert link["href"] == "../segment-1/from-convolutions-to-a-network.html"
    assert "40 channels on 28 by 28 places" in drawn("blocks.2.1").get_text()
