"""What was measured beforehand is what the code of today measures: a slice of it, made again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from interp import dictionaries, hooks, image, zoo
from interp import featurevis as fv

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "book" / "_data"
sys.path.insert(0, str(ROOT / "tools"))

import make_openings as of_openings  # noqa: E402
import measure_dictionaries as of_dictionaries  # noqa: E402
import measure_objectives as of_objectives  # noqa: E402
import measure_parameterizations as of_ways  # noqa: E402
import measure_photographs as of_photographs  # noqa: E402
import measure_scoreboard as of_board  # noqa: E402


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


# --------------------------------------------------------------------------------------------------------------------
# The scoreboard of Segment 2, and its openings


def test_a_slice_of_the_scoreboard_made_again_is_the_same() -> None:
    """What photographs and white noise are worth in the channels of one layer, and two ways for one of them."""
    told, model = measured("scoreboard"), zoo.load_model().requires_grad_(False)
    units = [(layer, channel) for layer, channel in told["units"]]
    some = [unit for unit in units if unit[0] == "blocks.2.1"]
    places = [units.index(unit) for unit in some]
    rows = {run["way"]: run for run in told["runs"] if run["seed"] == 0}
    normal = of_board.usual(model, some)
    for again, place in zip(normal["plain"], places, strict=True):
        assert again == pytest.approx(told["photographs"][place], abs=0.01, rel=0.01)
    made = {
        "white noise": of_board.noise(model, units, 0)[places],
        "photographs": of_board.photographs(model, some, 0),
    }
    for way, pictures in made.items():
        for key, values in of_board.worth(model, pictures, some, normal).items():
            assert values == pytest.approx([rows[way][key][place] for place in places], abs=0.05), (way, key)
    one, usual, place = some[:1], {test: values[:1] for test, values in normal.items()}, places[0]
    for way in ("pixels", "two stages"):
        found = of_board.worth(model, of_board.WAYS[way](model, one, 0), one, usual)
        plain = rows[way]["plain"][place]
        assert found["plain"][0] / plain == pytest.approx(1, abs=0.15), way
        assert (found["moved"][0] - rows[way]["moved"][place]) / plain == pytest.approx(0, abs=0.15), way
        assert found["grain"][0] == pytest.approx(rows[way]["grain"][place], abs=0.08), way


def test_each_way_of_the_scoreboard_was_measured_from_three_starts() -> None:
    told = measured("scoreboard")
    pairs = sorted((run["way"], run["seed"]) for run in told["runs"])
    assert pairs == sorted((way, seed) for way in of_board.WAYS for seed in of_board.SEEDS)
    assert all(
        len(run[key]) == len(told["units"]) for run in told["runs"] for key in ("plain", "moved", "grain")
    )


def test_the_openings_of_segment_2_excite_their_units_as_their_ways_do() -> None:
    """Held by the compression of the file: all but the plain climbs, which hang on single pixels."""
    model, photographs = zoo.load_model(), zoo.example_images(*zoo.photograph_names(), size=of_openings.LARGE)
    layer, channel, sign = of_openings.FACE

    def answers(pictures: Tensor) -> Tensor:
        return sign * hooks.activations(model, pictures, layer)[:, channel].mean(dim=(1, 2))

    tiles = torch.cat(
        image.load(of_openings.FOLDER / "better-coordinates.webp").split(of_openings.LARGE, dim=3)
    )
    pixels, even, waves, stages = answers(tiles)
    assert min(pixels, waves, stages) > answers(photographs).max()
    assert min(waves, stages) > even


# --------------------------------------------------------------------------------------------------------------------
# Objectives


def test_a_slice_of_the_objectives_made_again_is_the_same() -> None:
    """One channel, one class and one dream, asked again; gray and photographs are the same to the last digits."""
    told, model = measured("objectives"), zoo.load_model().requires_grad_(False)
    photographs = zoo.example_images(*zoo.photograph_names(), size=of_objectives.SIZE)
    layer, channel = "blocks.3.2", 42
    row = next(one for one in told["places"] if one["unit"] == [layer, channel] and one["asked"] == "channel")
    (picture,) = of_objectives.rendered(
        model, [fv.channel(layer, channel)], [f"{layer}:{channel}"], row["seed"]
    )
    again = of_objectives.reach(model, picture, (layer, channel), photographs)
    assert again["mean"] / row["mean"] == pytest.approx(1, abs=0.12)
    assert again["inside"] == pytest.approx(row["inside"], abs=0.05)

    index = of_objectives.CLASSES[0]
    row = next(one for one in told["classes"] if one["class"] == index and one["asked"] == "logit")
    gray = torch.full((1, 3, of_objectives.SIZE, of_objectives.SIZE), 0.5)
    assert of_objectives.told(model, gray, index) == pytest.approx(row["gray"], abs=0.01)
    found = of_objectives.told(
        model, of_objectives.rendered(model, [fv.logit(index)], [str(index)], row["seed"]), index
    )
    assert found[0] / row["picture"][0] == pytest.approx(1, abs=0.15)
    assert found[1] / row["picture"][1] == pytest.approx(1, abs=0.25)

    row = told["dreams"][0]
    assert of_objectives.share(of_objectives.energy(model, photographs, row["layer"])) == pytest.approx(
        row["photographs"], abs=0.001
    )
    dream = of_objectives.rendered(model, [fv.deepdream(row["layer"])], ["dream"], 0)
    held = of_objectives.share(of_objectives.energy(model, dream, row["layer"]))
    assert held == pytest.approx(row["held"][0], abs=0.05)


def test_scrambled_pictures_keep_their_spectrum_and_their_colors() -> None:
    """What is not clamped: the power of each wave, in each color and between colors."""
    pictures = 0.5 + 0.05 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = of_objectives.scrambled(pictures, seed=1)
    before, after = torch.fft.rfft2(pictures), torch.fft.rfft2(found)
    assert torch.allclose(before.abs(), after.abs(), atol=1e-4)
    assert torch.allclose(before[:, 0] * before[:, 1].conj(), after[:, 0] * after[:, 1].conj(), atol=1e-3)
    assert not torch.allclose(pictures, found, atol=0.05)


# --------------------------------------------------------------------------------------------------------------------
# Photographs


def test_photographs_are_drawn_whole_also_by_who_took_them() -> None:
    """Each drawn photograph has all its crops, each drawn person all photographs; 19 of the 87 are by one."""
    names = sorted(folder.name for folder in (DATA / "photographs").iterdir() if folder.is_dir())
    table = {"things": np.repeat(np.array(names), 4)}
    table["people"] = of_photographs.people(table)
    assert len(names) == measured("photographs")["counts"]["photographs"][1]
    assert (table["people"] == of_photographs.MOST).sum() == 4 * 19
    for by in ("things", "people"):
        _, whole = np.unique(table[by], return_counts=True)
        found, counts = np.unique(
            of_photographs.drawn(table, np.random.default_rng(0), by)[by], return_counts=True
        )
        sizes = whole[np.searchsorted(np.unique(table[by]), found)]
        assert (counts % sizes == 0).all()
        assert (counts // sizes).sum() == len(whole)


def test_a_moved_interval_lies_about_the_number_and_links_are_counted_by_size() -> None:
    table = {"things": np.arange(50), "values": np.arange(50.0)}

    def different(drawn: Any) -> Any:
        return np.array(len(np.unique(drawn["values"])))  # about 32 in a draw with replacement

    low, high, by = of_photographs.interval(different, table, 0, moved=True)
    raw = of_photographs.interval(different, table, 0)
    assert raw[1] < 50
    assert low < 50 < high
    assert (low - by, high - by) == pytest.approx(raw[:2])
    assert [of_photographs.place(np.array([0.2, -0.5, 0.3]), channel) for channel in range(3)] == [3, 1, 2]
