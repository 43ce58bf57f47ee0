"""Charts of curves that are known from several runs."""

from __future__ import annotations

import pytest
import torch

from interp import plots
from interp.errors import BadInputError


def test_bands_draws_a_chart_for_each_name() -> None:
    runs = {"one": torch.rand(5, 4), "two": torch.rand(3, 4), "three": torch.rand(1, 4)}
    figure = plots.bands(runs, x=[0, 1, 2, 6], floors={"two": 0.3}, columns=2, ylabel="how alike")
    assert len(figure.axes) == 3
    assert [len(axes.lines) for axes in figure.axes] == [1, 2, 1]
    assert figure.axes[0].get_yticks() == pytest.approx([-1, -0.5, 0, 0.5, 1])


def test_the_line_is_the_mean_and_the_band_the_range() -> None:
    figure = plots.bands({"one": torch.tensor([[0.0, 0.2], [1.0, 0.4]])}, ylim=(0, 1))
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata() == pytest.approx([0.5, 0.3])
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().bounds == pytest.approx((0, 0, 1, 1))


@pytest.mark.parametrize("wrong", [torch.zeros(3), torch.full((2, 3), torch.nan), torch.zeros(0, 2)])
def test_bands_wants_finite_runs(wrong: torch.Tensor) -> None:
    with pytest.raises(BadInputError, match="finite runs"):
        plots.bands({"one": wrong})


def test_bands_wants_one_length() -> None:
    with pytest.raises(BadInputError, match="one length"):
        plots.bands({"one": torch.zeros(2, 3), "two": torch.zeros(2, 4)})
    with pytest.raises(BadInputError, match="one length"):
        plots.bands({"one": torch.zeros(2, 3)}, x=[0, 1])
