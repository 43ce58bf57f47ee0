"""Figures: values that show exactly what they were given."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image as PILImage
from torch import Tensor

from interp import image, plots
from interp.errors import BadInputError
from interp.plots import charts, tiles
from interp.plots.channels import ink_on
from interp.plots.figure import COLORS, INK

TEXT_SIZES = {round(size * 0.72, 6) for size in (12, 13, 20)}


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


GALLERY: dict[str, Callable[[], plots.Figure]] = {
    "image_row": lambda: plots.image_row(
        [random(3, 90, 120), random(1, 3, 80, 70)], ["first", "second, of two\nlines"]
    ),
    "image_grid": lambda: plots.image_grid(
        random(5, 3, 8, 8), list("abcde"), columns=3, row_titles=["one", "two"]
    ),
    "overlay": lambda: plots.overlay(random(2, 3, 90, 90), random(2, 7, 7), ["gyj", "a"]),
    "heat_row": lambda: plots.heat_row(random(3, 70, 90), ["a", "b", "c"]),
    "heat_row signed": lambda: plots.heat_row(normal(3, 9, 9), signed=True),
    "feature_maps": lambda: plots.feature_maps(random(20, 14, 14)),
    "filters": lambda: plots.filters(normal(10, 3, 3, 3)),
    "matrix": lambda: plots.matrix(
        [random(5, 5), normal(3, 3)], ".2f", colors=["gray", "signed"], between=["*"]
    ),
    "matrix RGB": lambda: plots.matrix(random(3, 4, 4) * 255, titles=["pixels"], marks={0: (0, 0, 2, 2)}),
    "curves": lambda: plots.curves({"a": [3, 2, 1], "b": [3.0, 2.5, 1.0]}, xlabel="epoch", ylabel="loss"),
    "bars": lambda: plots.bars({"cat": 0.5, "a longer name": -0.2}, xlabel="share", highlight=["cat"]),
    "confusion": lambda: plots.confusion(torch.tensor([[3, 1], [0, 4]]), ["instrument", "dog"]),
    "histogram": lambda: plots.histogram(normal(500), xlabel="value", ylabel="count", marks={"zero": 0.0}),
    "histograms": lambda: plots.histogram({"train": normal(500), "test": normal(300) + 1}),
}
every_figure = pytest.mark.parametrize("draw", GALLERY.values(), ids=GALLERY.keys())


def decode(figure: plots.Figure) -> np.ndarray:
    return np.asarray(PILImage.open(io.BytesIO(figure.png())))


def squares(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the middle dot of each of rows x columns squares that fill the picture."""
    height, width = pixels.shape[:2]
    down = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    across = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    return pixels[down][:, across]


def viridis(values: object) -> np.ndarray:
    """Return the bytes (..., 4) of viridis at numbers in [0, 1]."""
    return (np.asarray(tiles.HEAT(np.asarray(values))) * 255).round()


def unseen_ticks(figure: plots.Figure) -> set[Text]:
    """Return the labels of ticks that lie outside their axes, which are not drawn."""
    found = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            found |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    return found


def luminance(color: np.ndarray | tuple[float, ...] | str) -> float:
    parts = np.asarray(to_rgb(color) if isinstance(color, str) else color)
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: np.ndarray | str, other: np.ndarray | str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# --------------------------------------------------------------------------------------------------------------------
# Figures as values


@every_figure
def test_the_same_call_gives_the_same_bytes(draw: Callable[[], plots.Figure]) -> None:
    figure = draw()
    assert figure.png() == draw().png()
    assert figure.png() == figure.png()


@every_figure
def test_a_png_has_two_dots_a_pixel_and_fits_into_the_column(draw: Callable[[], plots.Figure]) -> None:
    figure = draw()
    assert decode(figure).shape == (2 * figure.height, 2 * figure.width, 4)
    assert (decode(figure) == figure.pixels()).all()
    assert figure.width <= plots.TEXT_WIDTH


@every_figure
def test_the_ground_is_transparent(draw: Callable[[], plots.Figure]) -> None:
    alpha = draw().pixels()[..., 3]
    # A frame without titles or gaps has no ground; everything else shows some.
    assert (alpha == 0).any()
    assert (alpha == 255).any()


@every_figure
def test_no_text_is_cut_and_all_text_has_the_common_size(draw: Callable[[], plots.Figure]) -> None:
    figure = draw()
    figure.canvas.draw()
    inside_squares = {text for axes in figure.axes for text in axes.texts}
    for text in figure.findobj(Text):
        if not text.get_text() or not text.get_visible() or text in unseen_ticks(figure):
            continue
        box = text.get_window_extent()
        assert box.x0 >= -1, text.get_text()
        assert box.y0 >= -1, text.get_text()
        assert box.x1 <= 2 * figure.width + 1, text.get_text()
        assert box.y1 <= 2 * figure.height + 1, text.get_text()
        if text not in inside_squares:
            assert round(text.get_fontsize(), 6) in TEXT_SIZES, text.get_text()


def test_drawing_uses_no_pyplot_and_leaves_the_settings_alone() -> None:
    script = (
        "import sys, matplotlib\n"
        "before = list(dict.items(matplotlib.rcParams))  # reading them as a mapping would import pyplot\n"
        "import torch\n"
        "from interp import plots\n"
        "plots.curves({'a': [1, 2]}).png()\n"
        "plots.image_row(torch.rand(2, 3, 8, 8)).png()\n"
        "assert list(dict.items(matplotlib.rcParams)) == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_notebook_shows_the_png_at_its_width_on_the_page() -> None:
    figure = plots.image_row(random(1, 3, 8, 8), height=100)
    data, metadata = InteractiveShell().display_formatter.format(figure)
    assert data["image/png"] == figure.png()
    assert metadata["image/png"] == {"width": 100}


def test_saving_writes_the_same_bytes(tmp_path: object) -> None:
    figure = plots.bars({"a": 1.0})
    path = figure.save(f"{tmp_path}/figure.png")
    assert path.read_bytes() == figure.png()
    with pytest.raises(BadInputError, match="are saved as"):
        figure.save(f"{tmp_path}/figure.svg")


def test_what_was_passed_in_is_not_changed() -> None:
    images, heat = random(2, 3, 9, 9).requires_grad_(), normal(2, 9, 9)
    copies = images.detach().clone(), heat.clone()
    plots.image_row(images).png()
    plots.overlay(images, heat).png()
    plots.heat_row(heat, signed=True).png()
    assert torch.equal(images, copies[0])
    assert torch.equal(heat, copies[1])


# --------------------------------------------------------------------------------------------------------------------
# What is seen is what was given


def test_a_small_image_is_shown_as_crisp_squares_of_its_own_colors() -> None:
    values = random(1, 3, 7, 7)
    pixels = plots.image_row(values, height=211).pixels()
    assert (squares(pixels, 7, 7)[..., :3] == image.to_numpy(values)[0]).all()
    assert len(np.unique(pixels[10, :, 0])) <= 2 * 7  # squares, and at most one mixed dot between two of them


def test_a_large_image_at_its_own_size_is_shown_dot_by_dot() -> None:
    values = random(1, 3, 100, 160)
    pixels = plots.image_row(values, height=50).pixels()
    assert pixels.shape == (100, 160, 4)
    assert (pixels[..., :3] == image.to_numpy(values)[0]).all()


def test_images_stand_where_the_layout_says() -> None:
    values = random(6, 3, 4, 4)
    figure = plots.image_grid(values, columns=3)
    assert len(figure.axes) == 6
    pixels = figure.pixels()
    for axes, one in zip(figure.axes, image.to_numpy(values), strict=True):
        left, bottom, right, top = (round(edge) for edge in axes.get_window_extent().extents)
        part = pixels[len(pixels) - top : len(pixels) - bottom, left:right]
        assert (squares(part, 4, 4)[..., :3] == one).all()


def test_the_coordinates_of_a_picture_are_those_of_its_pixels() -> None:
    axes = plots.image_row(random(1, 3, 90, 120)).axes[0]
    assert axes.get_xlim() == (-0.5, 119.5)
    assert axes.get_ylim() == (89.5, -0.5)


def test_a_mark_outlines_the_pixels_that_it_names() -> None:
    figure = plots.image_row(torch.zeros(1, 3, 10, 10), height=200, marks={0: (2, 5, 3, 4)})
    red = figure.pixels()[..., 0] > 100
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert [rows[0], rows[-1]] == pytest.approx([2 * 40, 5 * 40], abs=3)
    assert [columns[0], columns[-1]] == pytest.approx([5 * 40, 9 * 40], abs=3)


def test_heat_is_viridis_from_zero_to_its_own_maximum() -> None:
    heat = torch.tensor([[[0.0, 1.0], [2.0, -3.0]], [[0.0, 10.0], [20.0, 0.0]]])
    first = plots.heat_row(heat[:1]).pixels()
    assert (squares(first, 2, 2) == viridis([[0, 1 / 3], [2 / 3, 0]])).all()


def test_every_color_of_a_smooth_heat_map_lies_on_viridis() -> None:
    pixels = plots.heat_row(random(1, 70, 70)).pixels()
    known = {tuple(color) for color in viridis(np.arange(256))}
    assert {tuple(color) for color in pixels.reshape(-1, 4)} <= known


def test_signed_zero_is_neutral_and_signs_mirror_one_another() -> None:
    heat = torch.tensor([[[0.0, 2.0, 5.0], [0.0, -2.0, -5.0]]])
    shown = tiles.Heat(heat[0].numpy(), -5.0, 5.0, signed=True).pixels(2, 3)
    neutral = np.asarray(tiles.SIGNED(0.5)[:3])
    assert np.ptp(neutral) < 0.01
    assert np.allclose(shown[:, 0], neutral)
    assert (shown[0, 1:, 0] > shown[0, 1:, 2]).all()  # positive is red
    assert (shown[1, 1:, 0] < shown[1, 1:, 2]).all()  # negative is blue
    drawn = squares(plots.heat_row(heat, signed=True).pixels(), 2, 3)
    assert (drawn[..., :3] == (shown * 255).round()).all()


def test_a_shared_scale_makes_maps_comparable() -> None:
    heat = torch.stack([torch.full((2, 2), 1.0), torch.full((2, 2), 2.0)])
    apart, shared = plots.heat_row(heat), plots.heat_row(heat, shared=True)
    ends = [figure.pixels()[5, [5, -5], :3] for figure in (apart, shared)]
    assert (ends[0][0] == ends[0][1]).all()
    assert (ends[1][0] != ends[1][1]).any()


def test_a_percentile_lets_one_extreme_pixel_not_hide_the_rest() -> None:
    heat = torch.ones(1, 10, 10)
    heat[0, 0, 0] = 1000
    assert tuple(plots.heat_row(heat, percentile=90).pixels()[-3, -3, :3]) == (253, 231, 37)
    assert tuple(plots.heat_row(heat).pixels()[-3, -3, :3]) == (68, 1, 84)


def test_an_overlay_keeps_the_photograph_where_nothing_is_hot() -> None:
    photograph, heat = random(1, 3, 100, 100), torch.zeros(1, 100, 100)
    heat[:, :50] = 1
    pixels = plots.overlay(photograph, heat, height=50).pixels()[..., :3].astype(float)
    gray = image.to_numpy(photograph)[0] @ (0.299, 0.587, 0.114)
    cold, hot = slice(60, 100), slice(0, 40)
    assert np.corrcoef(pixels[cold].mean(-1).ravel(), gray[cold].ravel())[0, 1] > 0.999
    assert pixels[cold].std() > 2 * pixels[hot].std(axis=(0, 1)).max()
    assert (pixels[hot, :, 0] > pixels[hot, :, 2]).all()  # yellow


def test_colorized_heat_is_what_heat_row_shows() -> None:
    heat = normal(2, 5, 5)
    pixels = plots.image_row(plots.colorize(heat, signed=True), height=100).pixels()
    assert (pixels == plots.heat_row(heat, signed=True, height=100).pixels()).all()


def test_one_photograph_serves_many_maps() -> None:
    assert len(plots.overlay(random(1, 3, 70, 70), random(3, 7, 7)).axes) == 3


def test_a_kernel_of_zeros_is_middle_gray_and_white() -> None:
    color, single = torch.zeros(1, 3, 3, 3), torch.zeros(1, 1, 3, 3)
    color[0, 0, 0, 0] = single[0, 0, 0, 0] = 1
    assert tuple(plots.filters(color).pixels()[-20, -20]) == (128, 128, 128, 255)
    assert tuple(plots.filters(single).pixels()[-20, -20]) == (247, 246, 246, 255)
    assert tuple(plots.filters(color).pixels()[20, 20]) == (255, 128, 128, 255)


def test_feature_maps_are_signed_only_where_something_is_negative() -> None:
    positive = random(2, 4, 4)
    known = [
        {tuple(c) for c in (np.asarray(m(np.arange(256))) * 255).round()} for m in (tiles.HEAT, tiles.SIGNED)
    ]
    for values, colors in ((positive, known[0]), (-positive, known[1])):
        figure = plots.feature_maps(values)
        assert tuple(figure.pixels()[-9, 9]) in colors
    assert [text.get_text() for text in plots.feature_maps(positive, [1, 0]).texts if text.get_text()] == [
        "1",
        "0",
    ]


def test_a_matrix_writes_its_numbers_in_readable_ink() -> None:
    values = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    axes = plots.matrix(values, ".1f", colors="signed").axes[0]
    assert [text.get_text() for text in axes.texts] == ["1.0", "−2.0", "0.5", "3.0"]
    for text in plots.matrix(random(3, 2, 2) * 255).axes[0].texts:
        assert len(text.get_text().split("\n")) == 3


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_numbers_read_on_every_color(color: tuple[float, float, float]) -> None:
    assert contrast(np.asarray(color), ink_on(np.asarray(color))) >= 4.5


@pytest.mark.parametrize("ground", ["#ffffff", "#121212"])
def test_ink_reads_on_light_and_dark(ground: str) -> None:
    assert contrast(INK, ground) >= 4.2
    assert min(contrast(color, ground) for color in COLORS) >= 3


# --------------------------------------------------------------------------------------------------------------------
# Charts


def test_curves_draw_the_numbers_and_name_each_line_at_its_end() -> None:
    series = {"training": [3.0, 2.0, 1.0], "validation": [3.0, 2.5]}
    axes = plots.curves(series, xlabel="epoch", ylabel="loss").axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == list(series.values())
    assert [text.get_text() for text in axes.texts] == list(series)
    assert [text.get_color() for text in axes.texts] == [line.get_color() for line in axes.lines]
    assert axes.texts[1].get_position()[0] < axes.texts[0].get_position()[0]


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.2))
def test_names_are_moved_apart_in_order(values: list[float], distance: float) -> None:
    placed = np.asarray(charts._apart(values, distance))
    order = np.argsort(values, kind="stable")
    assert (np.diff(placed[order]) >= distance - 1e-9).all()
    if len(values) > 1 and np.diff(np.asarray(values)[order]).min() > distance:
        assert np.allclose(placed, values)


def test_bars_are_as_long_as_their_numbers() -> None:
    values = {"a": 0.5, "b": -0.25, "c": 0.0}
    axes = plots.bars(values, fmt=".0%").axes[0]
    assert [patch.get_width() for patch in axes.patches] == list(values.values())
    assert [text.get_text() for text in axes.texts] == ["50%", "−25%", "0%"]


def test_a_confusion_matrix_is_colored_by_the_share_of_its_row() -> None:
    figure = plots.confusion(torch.tensor([[3, 1], [0, 5]]), ["a", "b"])
    left, bottom, right, top = (round(edge) for edge in figure.axes[0].get_window_extent().extents)
    part = figure.pixels()[2 * figure.height - top : 2 * figure.height - bottom, left:right]
    corners = part[[4, 4, -5, -5], [4, -5, 4, -5]]
    assert (corners == viridis([0.75, 0.25, 0, 1])).all()
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "1", "5"]


def test_a_histogram_counts_every_value() -> None:
    axes = plots.histogram(normal(1000), bins=20).axes[0]
    assert axes.patches[0].get_data().values.sum() == 1000


def test_a_table_is_html_and_markdown() -> None:
    table = plots.table([["a|b", 0.12345, 3], ["<i>", torch.tensor(-1.0), 4]], ["name", "score", "count"])
    assert table.right == (False, True, True)
    assert str(table).splitlines() == [
        "| name | score | count |",
        "| :--- | ---: | ---: |",
        r"| a\|b | 0.123 | 3 |",
        "| <i> | −1.000 | 4 |",
    ]
    assert "&lt;i&gt;" in table._repr_html_()
    assert table._repr_html_().count("<tr>") == 3


# --------------------------------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.image_row(random(2, 5, 8, 8)), "how to show them"),
        (lambda: plots.image_row([]), "a sequence of tensors is needed"),
        (lambda: plots.image_row("cat"), "a sequence of tensors is needed"),
        (lambda: plots.image_row(random(2, 3, 8, 8) * 255), "Divide bytes by 255"),
        (lambda: plots.image_row(random(2, 3, 8, 8), ["one"]), "2 titles are needed"),
        (lambda: plots.image_row(random(2, 3, 8, 8), "ab"), "got one string"),
        (lambda: plots.image_grid(random(2, 3, 8, 8), columns=0), "At least one column"),
        (
            lambda: plots.image_grid(random(4, 3, 8, 8), columns=2, row_titles=["a"]),
            "2 row titles are needed",
        ),
        (lambda: plots.overlay(random(2, 3, 8, 8), random(3, 8, 8)), "2 images and 3 heat maps"),
        (lambda: plots.heat_row(random(2, 2, 8, 8)), "Heat has to have the shape"),
        (lambda: plots.heat_row(torch.full((1, 2, 2), torch.nan)), "NaN or infinite"),
        (lambda: plots.heat_row(random(1, 2, 2), percentile=0), "percentile has to be in"),
        (lambda: plots.feature_maps(random(2, 4, 8, 8)), "One image's activations"),
        (lambda: plots.feature_maps(random(4, 8, 8), [4]), r"in 0..3"),
        (lambda: plots.feature_maps(random(4, 8, 8), []), "at least one"),
        (lambda: plots.filters(random(8, 16, 3, 3)), "choose one"),
        (lambda: plots.matrix(random(40, 40)), "at most 32 x 32"),
        (lambda: plots.matrix(random(4, 4), colors="rainbow"), "'gray', 'heat' or 'signed'"),
        (lambda: plots.matrix([random(2, 2)] * 2, between=["+", "="]), "1 signs between"),
        (lambda: plots.image_row(random(2, 3, 8, 8), marks={2: (0, 0, 4, 4)}), "There are 2 tiles"),
        (lambda: plots.colorize([random(2, 2), random(3, 3)]), "one by one"),
        (lambda: plots.curves({}), "not empty"),
        (lambda: plots.curves({"a": [1.0, float("nan")]}), "'a' has to hold finite numbers"),
        (lambda: plots.curves({"a": [1, 2, 3]}, x=[1, 2]), "x has 2 numbers"),
        (lambda: plots.bars({"a": float("inf")}), "finite numbers"),
        (lambda: plots.confusion(torch.zeros(2, 3), ["a", "b"]), r"Counts of shape \(2, 2\)"),
        (lambda: plots.histogram([]), "at least one"),
        (lambda: plots.histogram([1.0], bins=0), "At least one bin"),
        (lambda: plots.table([[1, 2]], ["a"]), "needs 1 cells"),
        (lambda: plots.table([[torch.zeros(2)]], ["a"]), "give one number"),
        (lambda: plots.Figure(0, 10), "not usable"),
    ],
)
def test_bad_input_is_one_clear_error(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        call()
