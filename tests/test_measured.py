"""What was measured beforehand is what the code of today measures: a slice of it, made again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interp import dictionaries, image, zoo

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "book" / "_data"
sys.path.insert(0, str(ROOT / "tools"))

import measure_dictionaries as of_dictionaries  # noqa: E402
import measure_parameterizations as of_ways  # noqa: E402


def measured(name: str) -> Any:
    return json.loads((DATA / "measured" / f"{name}.json").read_text(encoding="utf-8"))


# --------------------------------------------------------------------------------------------------------------------
# Ways to make a picture


def tiles() -> Tensor:
    """Return the pictures of the sheet (rows, units, 3, H, W)."""
    sheet, side = image.load(DATA / "parameterizations" / "sheet.webp")[0], of_ways.SIZE
    return sheet.unfold(1, side, side).unfold(2, side, side).permute(1, 2, 0, 3, 4)


def excited(pictures: Tensor, told: Any) -> Tensor:
    """Return what the picture of each unit does to it, on the scale of the scenes."""
    layers = sorted({layer for layer, _ in of_ways.CHANNELS})
    answers = of_ways.pooled(zoo.load_model(), pictures, layers)
    own = [of_ways.column(answers, unit)[place] for place, unit in enumerate(of_ways.UNITS)]
    ends = [(unit["mean"], unit["best"]) for unit in told["units"]]
    return torch.stack([(value - low) / (high - low) for value, (low, high) in zip(own, ends, strict=True)])


def test_the_pictures_of_the_sheet_do_what_the_table_says() -> None:
    """Pixels and shuffled weights are left out: their grain does not survive the compression of the sheet."""
    told, sheet = measured("parameterizations"), tiles()
    assert [tuple(unit["unit"]) for unit in told["units"]] == list(of_ways.UNITS)
    assert list(told["methods"]) == list(of_ways.METHODS)
    rows = {run["method"]: run["own"] for run in told["runs"] if run["seed"] == 0}
    rows |= {"best scene": told["best scene"]["own"]}
    for pictures, (way, own) in zip(sheet, rows.items(), strict=True):
        if way not in ("pixels", "generator, shuffled"):
            assert (excited(pictures.contiguous(), told) - torch.tensor(own)).abs().mean() < 0.15 * max(
                own
            ), way


def test_a_picture_made_again_reaches_what_the_table_says() -> None:
    told, place = measured("parameterizations"), of_ways.UNITS.index(of_ways.SHOWN)
    way = "two stages"
    factor = told["methods"][way]["rate"] / of_ways.METHODS[way].rate
    again = of_ways.rendered(zoo.load_model(), way, [of_ways.SHOWN], of_ways.SIZE, 0, factor)
    ends, own = told["units"][place], [run["own"][place] for run in told["runs"] if run["method"] == way]
    reached = (again["score"].item() - ends["mean"]) / (ends["best"] - ends["mean"])
    assert 0.6 * min(own) < reached < 1.5 * max(own)


def test_the_rate_of_a_way_is_the_best_of_its_search() -> None:
    for way, told in measured("parameterizations")["methods"].items():
        gained = {float(factor): gain for factor, gain in told["gained by the rate"].items()}
        assert tuple(gained) == of_ways.FACTORS
        assert told["rate"] == pytest.approx(of_ways.METHODS[way].rate * max(gained, key=gained.__getitem__))


# --------------------------------------------------------------------------------------------------------------------
# Dictionaries


def test_a_slice_of_the_dictionaries_made_again_is_the_same() -> None:
    """The best channels on a quarter of the scenes, and the axes of PCA of a seed, fitted again."""
    told, model = measured("dictionaries")["seeds"][0], zoo.load_model()
    count = of_dictionaries.SLICE
    images, shown, _ = of_dictionaries.pictures(zoo.Scenes("val", of_dictionaries.SIZE, length=count), count)
    rows, shown = of_dictionaries.rows_of(of_dictionaries.maps_of(model, images)), shown.flatten()
    units = told["channels, all"]["units"]
    again = [of_dictionaries.areas(rows[:, [unit]], shown)[n, 0] for n, unit in enumerate(units)]
    assert again == pytest.approx(told["slice"], abs=0.01)
    _, _, some = of_dictionaries.fit_rows_of(model, 0)
    axes = dictionaries.pca(some, of_dictionaries.SMALL, seed=0)
    assert axes.error(rows) == pytest.approx(told["PCA"]["error"], abs=0.05)
    first, sign = told["PCA"]["units"][0], told["PCA"]["signs"][0]
    where = of_dictionaries.areas(sign * axes.encode(rows)[:, [first]], shown)[0, 0]
    assert where == pytest.approx(told["PCA"]["where"], abs=0.05)
