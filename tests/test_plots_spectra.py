"""The page of one unit: the right pictures in the right columns, on a screen and on a phone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from interp import plots
from interp.errors import BadInputError
from interp.plots.spectra import BAND_COLORS, MARK, number
from interp.spectrum import Spectrum


def spectrum(scores: Tensor) -> Spectrum:
    return Spectrum.of_batch(torch.arange(len(scores)), {"layer": scores})


def tone(id_: int) -> Tensor:
    """Return a picture of one color that tells its id."""
    return torch.tensor([id_ / 50, 1 - id_ / 50, 0.5]).view(1, 3, 1, 1).expand(1, 3, 32, 32)


SCORES = torch.linspace(-2, 3, 50)[:, None]
SIDE, TOP = (984 - 50) // 6, 2 * 17 + 12 + 2 * 17 + 8


def color(page: plots.Figure, left: float, top: float) -> np.ndarray:
    return page.pixels()[round(2 * top), round(2 * left), :3] / 255


def test_the_columns_run_from_the_negative_to_the_positive_extreme() -> None:
    unit = spectrum(SCORES)[0]
    ends = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8) * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    page = plots.spectrum_page(unit, tone, *ends)
    assert page.width == plots.PAGE_WIDTH
    step, middle = SIDE + 10, SIDE / 6
    np.testing.assert_allclose(color(page, SIDE / 2, TOP + SIDE / 2), [0, 0, 0], atol=0.01)
    np.testing.assert_allclose(color(page, 5 * step + SIDE / 2, TOP + SIDE / 2), [1, 0, 0], atol=0.01)
    for column, band in enumerate(unit.bands.values(), start=1):
        for place in (0, 4, 8):
            row, index = divmod(place, 3)
            at = column * step + index * 2 * middle + middle, TOP + row * 2 * middle + middle
            expected = tone(band.ids[place])[0, :, 0, 0].numpy()
            np.testing.assert_allclose(color(page, *at), expected, atol=0.01)


def test_values_labels_and_warnings_are_written() -> None:
    page = plots.spectrum_page(spectrum(SCORES.relu())[0], tone, label=lambda id_: f"class {id_}")
    texts = [text.get_text() for text in page.texts]
    assert "class 49" in texts
    assert "3.00" in texts
    assert any("one-sided" in text for text in texts)
    assert any("tied" in text for text in texts)
    # Nothing is below zero: ranks take the place of the middle columns.
    assert {"20 % to 40 %", "60 % to 80 %"} < set(texts)
    assert "Slightly negative" not in texts


def test_an_empty_column_says_so() -> None:
    page = plots.spectrum_page(spectrum(torch.zeros(12, 1))[0], tone)
    assert "no image" in [text.get_text() for text in page.texts]


def test_each_image_of_a_column_has_a_mark_below_the_histogram() -> None:
    unit = spectrum(SCORES)[0]
    pixels = plots.spectrum_page(unit, tone).pixels()
    low, high = unit.range
    row = pixels.shape[0] - 2 * (52 - MARK // 2)
    for band, color in zip(unit.columns, BAND_COLORS, strict=True):
        for score in band.scores:
            column = min(max(round(2 * 984 * (score - low) / (high - low)), 2), 2 * 984 - 2)
            np.testing.assert_allclose(pixels[row, column, :3] / 255, to_rgb(color), atol=0.02)


def test_a_phone_gets_two_columns_side_by_side() -> None:
    ends = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    page = plots.spectrum_page(spectrum(SCORES)[0], tone, *ends, phone=True)
    assert page.width == 360
    assert page.height > 3 * 175
    for text in page.texts:
        box = text.get_window_extent()
        assert box.x1 <= 2 * page.width + 2, text.get_text()


def test_a_dead_unit_has_a_page_too_and_one_without_images_is_an_error() -> None:
    page = plots.spectrum_page(spectrum(torch.zeros(12, 1))[0], tone)
    assert any("every image has the score 0" in text.get_text() for text in page.texts)
    with pytest.raises(BadInputError, match="nothing to show"):
        plots.spectrum_page(spectrum(torch.full((12, 1), torch.nan))[0], tone)


def test_numbers_have_three_digits_and_a_true_minus_sign() -> None:
    values = (-2.7426, 0.00519, 6.5, 99.97, 1234.5, 0.0, -0.0000673)
    assert [number(value) for value in values] == ["−2.74", "0.00519", "6.50", "100", "1234", "0", "−6.7e−05"]


def test_the_rim_of_a_polar_curve_has_its_colors_where_they_belong() -> None:
    rim = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])  # right, up, left, down
    pixels = plots.polar(torch.ones(1, 8), [""], columns=1, rim=rim, width=200).pixels()[..., :3].astype(int)
    half = pixels.shape[1] // 2
    middle = pixels.shape[0] - round(8 * half / 100) - half  # 8 is what stays free below
    lines = pixels[middle, half:], pixels[middle - half : middle, half], pixels[middle, :half]
    for color, line in enumerate(lines):
        others = [each for each in range(3) if each != color]
        assert (line[:, color] - line[:, others].max(axis=1)).max() > 150


def test_degrees_have_ticks_at_parts_of_a_turn() -> None:
    figure = plots.curves({"a": list(range(361))}, xlabel="degrees")
    assert 90 in figure.axes[0].get_xticks()
    assert 50 not in figure.axes[0].get_xticks()


def test_a_polar_curve_reaches_out_at_its_angle() -> None:
    curve = torch.zeros(1, 4)
    curve[0, 1] = 1  # a quarter turn: upwards
    pixels = plots.polar(curve, ["up"], columns=1, width=200).pixels()[..., 3]
    head = 2 * 17
    assert pixels[head + 60, 200] > pixels[head + 340, 200]  # filled above the middle, only a hairline below
    with pytest.raises(BadInputError, match="none below 0"):
        plots.polar(-curve, ["up"])
