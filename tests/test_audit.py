"""An audit: on a network that looks at one block it names that block and that unit, and by chance it names nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp import audit, cli, image, spectrum
from interp.audit import site
from interp.errors import BadInputError, UnknownNameError
from interp.spectrum import Items

SIDE, CELL, CHANNEL = 24, (1, 2), 2  # of 6 by 6 cells of 4 pixels


class Block(nn.Module):
    """Says "bright" where the third of four channels, the red of the image, is bright in one cell; else "dark"."""

    class_names = ("bright", "dark")

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Conv2d(3, 4, 1, bias=False)
        self.head = nn.Linear(4 * SIDE * SIDE, 2, bias=False)
        with torch.no_grad():
            self.units.weight.zero_()
            for channel, color in enumerate((1, 2, 0, 1)):
                self.units.weight[channel, color] = 1 if channel < 3 else -1
            weight = torch.zeros(2, 4, SIDE, SIDE)
            rows, columns = (slice(4 * at, 4 * at + 4) for at in CELL)
            weight[0, CHANNEL, rows, columns], weight[1, CHANNEL] = 1 / 16, 0.5 / SIDE**2
            self.head.weight.copy_(weight.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.units(images).flatten(1))
        return out


def scenes(count: int = 60) -> Tensor:
    """Return images of which every other one has a bright block: a hit where the class is "bright"."""
    generator = torch.Generator().manual_seed(0)
    images = 0.5 * torch.rand(count, 3, SIDE, SIDE, generator=generator)
    rows, columns = (slice(4 * at, 4 * at + 4) for at in CELL)
    images[::2, 0, rows, columns] += 0.5
    images[1::2, 0, rows, columns] = 0
    return images


def source(images: Tensor, label: Any = 0, names: tuple[str, ...] = ("bright", "dark")) -> Items:
    return Items([(one, label) for one in images], "blocks", size=SIDE, class_names=names, shard_size=30)


# ------------------------------------------------------------------------------------------------------------
# Equations


def test_the_block_and_the_unit_that_a_network_looks_at_are_named_and_no_other() -> None:
    look = audit.examine(Block(), scenes(), 0, "units")
    assert look.hits.tolist() == [True, False] * 30
    assert look.findings is not None
    named = {(one.kind, one.index) for one in look.findings if one.difference > 0}
    assert {("region", CELL[0] * 6 + CELL[1]), ("unit", CHANNEL)} <= named
    assert {one.index for one in look.findings if one.kind == "region"} == {CELL[0] * 6 + CELL[1]}
    assert {one.index for one in look.findings if one.kind == "unit"} == {CHANNEL}
    assert (look.values["cluster"].sum(1) == 1).all()


def test_a_difference_is_that_of_the_means_in_standard_deviations() -> None:
    values = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    hits = torch.arange(40) % 3 == 0
    expected = (values[hits].mean(0) - values[~hits].mean(0)) / values.std(0, correction=0)
    assert torch.allclose(audit.separation(values, hits).difference, expected)


def test_the_chance_is_the_share_of_all_orders_that_give_as_much() -> None:
    # Of the 20 ways to choose 3 of 6 images, 2 have the three largest or the three smallest together.
    found = audit.separation(torch.arange(6.0)[:, None], torch.arange(6) > 2, draws=20_000)
    assert abs(float(found.chance) - 2 / 20) < 0.01


@pytest.mark.parametrize("level", [0.05, 0.3])
def test_where_nothing_differs_something_is_named_at_the_stated_rate(level: float) -> None:
    generator = torch.Generator().manual_seed(3)
    named = 0
    for seed in range(400):
        values, hits = torch.randn(30, 20, generator=generator), torch.arange(30) < 12
        named += bool((audit.separation(values, hits, draws=199, seed=seed).chance <= level).any())
    assert abs(named / 400 - level) < 4 * (level * (1 - level) / 400) ** 0.5


def test_each_chance_is_multiplied_by_the_number_of_tests() -> None:
    for tests, draws in ((3, 999), (300, 60_000)):
        look = audit.examine(Block(), scenes(), 0, "units", tests=tests)
        assert look.findings is not None
        assert look.findings[0].chance == pytest.approx(tests / (draws + 1))


def test_without_misses_nothing_is_compared() -> None:
    assert audit.examine(Block(), scenes()[::2], 0, "units").findings is None


def test_two_kinds_of_maps_are_two_clusters() -> None:
    look = audit.examine(Block(), scenes(), 0, "units", plan=audit.Plan(clusters=2))
    groups = look.values["cluster"][:, 0].bool()
    assert torch.equal(groups, look.hits) or torch.equal(~groups, look.hits)


# ------------------------------------------------------------------------------------------------------------
# The page


def test_the_page_names_the_region_and_the_unit(tmp_path: Path) -> None:
    page = audit.build(Block(), "units", source(scenes()), tmp_path / "site", title="<b>").read_text()
    assert f"region {CELL[0] * 6 + CELL[1]}: more in hits" in page
    assert f"unit {CHANNEL}: more in hits" in page
    assert "30 hits, 30 misses" in page
    assert "&lt;b&gt;" in page
    for name in re.findall(r'src="([^"]+)"', page):
        image.load(tmp_path / "site" / name)


def test_a_class_that_is_always_recognized_is_told_apart(tmp_path: Path) -> None:
    page = audit.build(Block(), "units", source(scenes()[::2]), tmp_path / "site").read_text()
    assert "30 hits, 0 misses. Too few" in page


def test_images_that_cannot_be_decoded_are_passed_over() -> None:
    good, bad = (spectrum.Entry(number, "x", "bright", load) for number, load in enumerate((whole, torn)))
    assert site.read([good, bad, good], 100).shape == (2, 3, SIDE, SIDE)
    with pytest.raises(BadInputError, match="torn"):
        site.read([bad], 100)


def whole() -> Tensor:
    return torch.zeros(1, 3, SIDE, SIDE)


def torn() -> Tensor:
    raise ValueError("torn")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"each": 1}, "each has to be at least 2"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"cells": 0}, "cells has to be"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        audit.Plan(**changes)


def test_labels_that_fit_no_class_are_refused_before_long_work(tmp_path: Path) -> None:
    for images, error, message in (
        (source(scenes(), "brihgt"), UnknownNameError, "bright"),
        (source(scenes(), None), BadInputError, "No image has a label"),
    ):
        with pytest.raises(error, match=message):
            audit.build(Block(), "units", images, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    nameless = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(BadInputError, match="no class_names"):
        audit.build(nameless, "0", source(scenes()), tmp_path / "site")
    with pytest.raises(UnknownNameError, match="units"):
        audit.build(Block(), "unit", source(scenes()), tmp_path / "site")


@pytest.mark.parametrize(
    ("values", "hits"),
    [
        (torch.rand(4), torch.arange(4) > 1),
        (torch.rand(4, 2), torch.arange(4)),
        (torch.rand(4, 2), torch.arange(4) > 9),
        (torch.full((4, 2), torch.nan), torch.arange(4) > 1),
    ],
)
def test_what_cannot_be_compared_is_refused(values: Tensor, hits: Tensor) -> None:
    with pytest.raises(BadInputError):
        audit.separation(values, hits)


def test_the_command_builds_the_page_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_audit import Block as make\n"
    )
    folder = tmp_path / "data" / "bright"
    folder.mkdir(parents=True)
    for number, one in enumerate(scenes(40)):
        image.save(one[None], folder / f"{number:02}.png")
    words = [
        "audit",
        f"{tmp_path}/net.py:make",
        "--data",
        str(tmp_path / "data"),
        "-o",
        str(tmp_path / "site"),
    ]
    assert cli.main([*words, "--size", str(SIDE)]) == 0
    assert "Open" in capsys.readouterr().out
    page = (tmp_path / "site" / "index.html").read_text()
    assert f"unit {CHANNEL}: more in hits" in page
    assert cli.main([*words, "--each", "1"]) == 1
    assert "--each has to be at least 2" in capsys.readouterr().err
