"""Figures that are drawn a second time for a phone: nothing is cut off, nothing is lost, nothing is too small."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.axis import Tick
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from PIL import Image as PILImage
from torch import Tensor

from interp import plots, zoo
from interp.plots.figure import AGAIN, AGAIN_TYPE, DOTS, NARROW, PHONE_WIDTH
from interp.plots.legend import Legend

Box = tuple[str, float, float, float, float]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LONG = "share of the pixels that were taken away, from the most important to the least important, in percent"
WAYS = ["no robustness", "jitter alone", "jitter and scale", "all moves", "lucent's own", "two stages"]
CHARTS: dict[str, Callable[[], plots.Figure]] = {
    "curves": lambda: plots.curves({"a": [3, 2, 1], "bc": [3.0, 2.5, 1.0]}, xlabel="epoch", ylabel="loss"),
    "curves, long names": lambda: plots.curves(
        {
            "integrated gradients, 50 steps": [1, 2, 3.0],
            "gradient times input": [1, 1.5, 2.2],
            "noise": [0, 1, 1.0],
        },
        x=[0, 1000, 20000],
        xlabel=LONG,
        ylabel=LONG,
    ),
    "curves over degrees": lambda: plots.curves(
        {"a": [1, 10, 100]}, x=[0, 180, 360], log=True, xlabel="degrees"
    ),
    "bars": lambda: plots.bars({"cat": 0.5, "a dog": -0.2}, xlabel="share", highlight=["cat"]),
    "bars, long names": lambda: plots.bars(
        {f"the {way}, as the measurement had it before": n / 5 - 0.3 for n, way in enumerate(WAYS)},
        fmt=".1%",
        xlabel=LONG,
        limit=1,
    ),
    "bars, names of two lines": lambda: plots.bars({LONG: 0.2, "short": 0.1}),
    "confusion": lambda: plots.confusion(
        (normal(12, 12).abs() * 90).round(), ["airplane", "instrument", "motorcycle", *"abcdefghi"]
    ),
    "histogram": lambda: plots.histogram(normal(500), xlabel="value", ylabel="count", marks={"zero": 0.0}),
    "histograms": lambda: plots.histogram(
        {"the expanded weights of all": normal(300), "gradient at the ring": normal(300, seed=1) + 1},
        marks={"87, expanded": 2.6, "87, gradient at the ring": 2.4, "the low one": -1.0, "far": 8.0},
        xlabel=LONG,
    ),
    "stacked": lambda: plots.stacked(
        {f"ground {n}": normal(200, seed=n) + n / 3 for n in range(9)}, xlabel="score", marks={"level": 1.0}
    ),
    "tradeoff": lambda: plots.tradeoff(
        {
            way: (normal(5, seed=n) * 0.2 + n % 4, normal(5, seed=9 + n) + 4 * (n % 3))
            for n, way in enumerate(WAYS)
        },
        highlight=WAYS[3:4],
        dials=[WAYS[1:4]],
        xlabel="grain",
        ylabel=LONG,
    ),
    "bands": lambda: plots.bands(
        {name: normal(5, 8) / 3 for name in WAYS}, floors={"all moves": 0.1}, xlabel=LONG, ylabel=LONG
    ),
    "bands in two columns": lambda: plots.bands({name: normal(5, 8) / 3 for name in WAYS}, columns=2),
    "polar": lambda: plots.polar(
        normal(6, 24).abs(),
        [f"blocks.1.0, channel {n} of all that were confirmed" for n in range(6)],
        turns=2,
    ),
}
PICTURE = torch.full((1, 3, 80, 80), 0.5)
TILES: dict[str, Callable[[], plots.Figure]] = {
    "image_row": lambda: plots.image_row(
        [torch.full((1, 3, 80, side), 0.5) for side in (80, 80, 80, 240, 120)],
        ["first", "of quite a few words, more than fit", "third", "fourth", "fifth"],
    ),
    "explained": lambda: plots.explained(
        torch.full((2, 3, 80, 80), 0.5),
        {name: normal(2, 7, 7) for name in ("saliency", "guided backprop", "Grad-CAM")},
    ),
    "circuit": lambda: plots.circuit(
        PICTURE.expand(3, -1, -1, -1),
        normal(3, 3, 3),
        [0.5, -0.3, 0.1],
        PICTURE,
        titles=["12", "channel 7", "+40"],
    ),
    "network": lambda: plots.network(
        zoo.SimpleCNN(zoo.SCENE_CLASSES), ["image", "relu1", "relu2", "relu3"], size=48
    ),
    "chain": lambda: plots.chain(
        ["× 2", "+ 1", "squared"], ["x = 1", "2", "3", "y = 9"], ["12", "6", "6", "1"]
    ),
    "feature_maps": lambda: plots.feature_maps(normal(20, 14, 14)),
    "filters": lambda: plots.filters(normal(30, 3, 3, 3), columns=16),
    "image_grid": lambda: plots.image_grid(
        torch.full((6, 3, 80, 80), 0.5),
        ["a", "of two words", "c", *[""] * 3],
        columns=3,
        row_titles=["one", LONG],
    ),
    "image_grid, row titles alone": lambda: plots.image_grid(
        torch.full((6, 3, 80, 80), 0.5), columns=3, row_titles=["one", "two"]
    ),
    "image_grid, long words": lambda: plots.image_grid(
        torch.full((10, 3, 80, 80), 0.5), ["reparameterization"] * 10, columns=5
    ),
    "matrix": lambda: plots.matrix(
        [normal(5, 5) * 100, normal(5, 5), normal(5, 5), normal(1, 1)],
        titles=["patch", "kernel", "products", "their sum"],
        between=["×", "=", "→"],
        cell=60,
    ),
    "matrix, no signs": lambda: plots.matrix([normal(3, 3)] * 6, ".2f", titles=list("abcdef"), width=984),
}
every = pytest.mark.parametrize("draw", [*CHARTS.values(), *TILES.values()], ids=[*CHARTS, *TILES])


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """The texts that are drawn, and not those that matplotlib keeps for ticks out of view."""
    found: list[Text] = []
    draw = Text.draw

    def noting(self: Text, renderer: object, *args: object, **options: object) -> None:
        if self.get_text().strip():
            found.append(self)
        draw(self, renderer, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Text, "draw", noting)
    return found


def boxes(figure: plots.Figure, written: list[Text]) -> list[Box]:
    """Return each text with left, low, right and high in CSS pixels."""
    written.clear()
    figure.pixels()
    assert all(text.get_fontsize() / 0.72 > 10.8 for text in written)  # about 11 pixels
    return [(text.get_text(), *(text.get_window_extent().extents / DOTS)) for text in written]


@every
def test_on_a_phone_no_text_is_cut_off_and_none_overlaps_another(
    draw: Callable[[], plots.Figure], written: list[Text]
) -> None:
    again = draw().again
    assert again is not None
    figure = again(PHONE_WIDTH)
    assert figure.width <= PHONE_WIDTH
    found = boxes(figure, written)
    for text, left, low, right, high in found:
        assert min(left, low, figure.width - right, figure.height - high) > -1, text
    for number, (text, left, low, right, high) in enumerate(found):
        for other in found[:number]:
            apart = left > other[3] - 1 or right < other[1] + 1 or low > other[4] - 1 or high < other[2] + 1
            assert apart, (text, other[0])


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS.keys())
def test_the_second_drawing_of_a_chart_shows_the_same_numbers_and_words(
    draw: Callable[[], plots.Figure], written: list[Text]
) -> None:
    wide = draw()
    assert wide.again is not None
    narrow = wide.again(PHONE_WIDTH)
    assert PHONE_WIDTH - 12 < narrow.width <= PHONE_WIDTH
    assert drawn(narrow) == drawn(wide)
    before, after = words(wide, written), words(narrow, written)
    assert not before - after
    assert all(word.isdigit() for word in after - before)  # a point's number stands beside it and below


def drawn(figure: plots.Figure) -> list[list[float]]:
    """Return what the lines, bars and steps of a figure hold."""
    lines = [line.get_ydata() for one in figure.axes for line in one.lines if len(line.get_ydata()) > 2]
    steps = [
        patch.get_data().values
        for one in figure.axes
        for patch in one.patches
        if isinstance(patch, StepPatch)
    ]
    bars = [bar.datavalues for one in figure.axes for bar in one.containers]
    return sorted([float(value) for value in np.ravel(values)] for values in [*lines, *steps, *bars])


def words(figure: plots.Figure, written: list[Text]) -> Counter[str]:
    """Return the words of a figure without the numbers at its axes."""
    written.clear()
    figure.pixels()
    ticks = {label for tick in figure.findobj(Tick) for label in (tick.label1, tick.label2)}
    return Counter(word for text in written if text not in ticks for word in text.get_text().split())


def test_the_rows_of_a_grid_stay_apart_on_a_phone_and_keep_their_names(written: list[Text]) -> None:
    tiles = torch.full((16, 3, 80, 80), 0.5)
    names = [f"n{number}" for number in range(8)]
    grid = plots.image_grid(tiles, [*names, *[""] * 8], columns=8, row_titles=["one", "two"])
    assert grid.again is not None
    found = sorted(boxes(grid.again(PHONE_WIDTH), written), key=lambda box: (-round(box[4]), box[1]))
    assert [text for text, *_ in found] == ["one", *names, "two", *names]
    lines: list[int] = []
    for *_, high in found:
        lines += [] if lines and abs(lines[-1] - high) < 3 else [round(high)]
    assert len(lines) == 6  # each row has its name and two lines of four


def test_large_tiles_stand_by_twos_on_a_phone_where_no_row_belongs_together() -> None:
    six = torch.full((6, 3, 300, 300), 0.5)
    for titles, rows in ((list("abcdef"), None), ([*"abc", "", "", ""], None), (None, ["one", "two"])):
        again = plots.image_grid(six, titles, columns=3, row_titles=rows, width=984).again
        assert again is not None
        lefts = {round(axes.get_position().x0, 3) for axes in again(PHONE_WIDTH).axes}
        assert len(lefts) == (2 if titles == list("abcdef") else 3)


def test_no_line_on_a_phone_holds_tiles_of_two_long_rows(written: list[Text]) -> None:
    grid = plots.image_grid(torch.full((10, 3, 300, 300), 0.5), list("abcdefghij"), columns=5, width=984)
    assert grid.again is not None
    found = boxes(grid.again(PHONE_WIDTH), written)
    (e, f) = (next(box for box in found if box[0] == letter) for letter in "ef")
    assert e[1] == f[1] == min(left for _, left, *_ in found)


def test_pairs_of_tiles_stay_below_one_another_on_a_phone() -> None:
    values = torch.arange(16).view(16, 1, 1, 1) / 20 + 0.1
    again = plots.image_grid(values.expand(16, 3, 80, 80), columns=8).again
    assert again is not None
    shown = [float(axes.images[0].get_array().mean()) / 255 for axes in again(PHONE_WIDTH).axes]
    order = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]
    assert shown == pytest.approx([float(values[n]) for n in order], abs=0.01)


def test_a_single_row_is_broken_by_the_book_without_a_second_file() -> None:
    assert plots.image_row(torch.full((4, 3, 80, 80), 0.5)).again is None
    assert plots.image_grid(torch.full((4, 3, 80, 80), 0.5), columns=4).again is None
    assert (
        plots.image_row(torch.full((4, 3, 80, 80), 0.5), list("abcd")).again is not None
    )  # its letters shrink


def test_what_is_outlined_in_a_row_is_outlined_on_a_phone() -> None:
    two = [torch.rand(1, 3, 80, 80), torch.rand(1, 3, 80, 160)]
    counts = []
    for marks in ({}, {1: (10, 10, 20, 20)}):
        again = plots.image_row(two, marks=marks).again
        assert again is not None
        counts.append([len(axes.patches) for axes in again(PHONE_WIDTH).axes])
    assert [b - a for a, b in zip(*counts, strict=True)] == [0, 2]


def test_a_figure_is_drawn_twice_only_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = plots.bars({"a": 1.0})
    monkeypatch.delenv(AGAIN, raising=False)
    assert set(figure._repr_mimebundle_()[0]) == {"image/png", "text/plain"}
    monkeypatch.setenv(AGAIN, str(PHONE_WIDTH))
    shown = figure._repr_mimebundle_()[0]
    with PILImage.open(io.BytesIO(base64.b64decode(shown[AGAIN_TYPE]))) as opened:
        assert opened.width == PHONE_WIDTH * DOTS
    for other in (
        plots.bars({"a": 1.0}, width=300),
        plots.Figure(500, 20),
        unfit(),
    ):  # small enough; made by hand
        assert AGAIN_TYPE not in other._repr_mimebundle_()[0]


def unfit() -> plots.Figure:
    """Return a drawing of a network whose names are wider than a phone."""
    name = "the name of a layer that needs more than the width of a phone, as such names do"
    return plots.network(zoo.SimpleCNN(zoo.SCENE_CLASSES), {"image": name}, size=48)


def test_wide_figures_are_the_same_with_and_without_a_second_drawing() -> None:
    figure = plots.histogram(normal(50), marks={"zero": 0.0})
    before = figure.pixels()
    assert figure.again is not None
    figure.again(PHONE_WIDTH)
    assert np.array_equal(figure.pixels(), before)
    assert np.array_equal(figure.again(figure.width).pixels(), before)
    assert PHONE_WIDTH < NARROW


def test_names_go_on_in_the_next_line_where_one_is_full() -> None:
    legend = Legend(["a", "b", LONG, "c"], ["red"] * 4, 200, squares=False)
    (a, b, long, c) = legend.places()
    assert a == (0, 0)
    assert b[1] == 0 < b[0]
    assert long == (0, 17)
    assert c == (0, 17 * (legend.texts[2].count("\n") + 2))
    assert legend.height == c[1] + 17 + 8
