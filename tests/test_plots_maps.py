"""A photograph beside its maps."""

from __future__ import annotations

import pytest
import torch

from interp import plots
from interp.errors import BadInputError


def _maps(count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    heat = torch.rand(count, 40, 40, generator=generator)
    return {"positive": heat, "signed": heat - 0.5}


def test_each_photograph_is_followed_by_its_maps() -> None:
    figure = plots.explained(torch.rand(2, 3, 40, 40), _maps(2))
    assert len(figure.axes) == 2 * 3
    assert [text.get_text() for text in figure.texts if text.get_text()] == ["positive", "signed"]


def test_names_stand_above_each_photograph_when_its_tiles_take_several_rows() -> None:
    figure = plots.explained(torch.rand(2, 3, 40, 40), _maps(2), columns=2)
    assert [text.get_text() for text in figure.texts if text.get_text()] == ["positive", "signed"] * 2


def test_maps_can_be_laid_over_the_photograph() -> None:
    picture = torch.rand(2, 3, 40, 40)
    figure = plots.explained(picture, {"a": torch.rand(2, 7, 7)}, over=True, row_titles=["one", "two"])
    assert len(figure.axes) == 2
    assert {text.get_text() for text in figure.texts} - {""} == {"a", "one", "two"}


def test_zero_is_white_in_a_signed_map_and_dark_in_a_positive_one() -> None:
    heat = torch.zeros(1, 40, 40)
    heat[:, :20] = 1
    for sign, wanted in ((0.0, (0.0, 0.5)), (-1.0, (0.9, 1.0))):
        signed = heat.clone()
        signed[:, 0, 0] = sign
        figure = plots.explained(torch.rand(1, 3, 40, 40), {"map": signed}, percentile=100)
        pixels = figure.pixels()
        height, width = pixels.shape[:2]
        dark = pixels[int(0.9 * height), int(0.75 * width), :3].mean() / 255
        assert wanted[0] <= dark <= wanted[1]


def test_maps_that_do_not_fit_are_explained() -> None:
    with pytest.raises(BadInputError, match="'positive' has the shape"):
        plots.explained(torch.rand(1, 3, 40, 40), _maps(2))


def test_a_signed_overlay_is_red_above_and_blue_below_zero() -> None:
    heat = torch.zeros(1, 60, 90)
    heat[..., :30], heat[..., 60:] = 1, -1
    pixels = plots.overlay(torch.full((1, 3, 60, 90), 0.5), heat, signed=True, height=60).pixels()
    height, width = pixels.shape[:2]
    left, middle, right = (pixels[height // 2, width * part // 12, :3] for part in (2, 6, 10))
    assert left[0] > left[2] + 40
    assert right[2] > right[0] + 40
    assert middle.max() == middle.min()  # nothing but the photograph, which is gray


def test_maps_on_one_scale_are_comparable() -> None:
    """Half as much heat is drawn as in a map whose one strong place sets the scale."""
    weak, strong = torch.full((1, 60, 60), 0.5), torch.full((1, 60, 60), 1.0)
    image = torch.full((1, 3, 60, 60), 0.5)
    for signed in (False, True):
        own = plots.overlay(image, torch.cat([weak, strong]), signed=signed, height=60).pixels()
        one = plots.overlay(image, torch.cat([weak, strong]), signed=signed, shared=True, height=60).pixels()
        row, width = own.shape[0] // 2, own.shape[1]
        assert (own[row, width // 8] == own[row, -width // 8]).all()
        assert (one[row, width // 8] != one[row, -width // 8]).any()
        assert (one[row, -width // 8] == own[row, -width // 8]).all()
