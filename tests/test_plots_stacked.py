"""The stacked histogram: nothing is lost, and the colors are in the order of the groups' means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.patches import StepPatch

from interp import plots
from interp.errors import BadInputError

HIGH, LOW = torch.linspace(4, 6, 30), torch.linspace(-1, 1, 20)


def stairs(figure: plots.Figure) -> list[StepPatch]:
    return [patch for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]


def test_the_top_counts_all_values_of_all_groups() -> None:
    steps = stairs(plots.stacked({"high": HIGH, "low": LOW}, bins=7))
    top = steps[-1].get_data().values
    assert top.tolist() == np.histogram(torch.cat([HIGH, LOW]).numpy(), 7)[0].tolist()


def test_groups_stand_in_the_order_of_their_means() -> None:
    first = stairs(plots.stacked({"high": HIGH, "low": LOW}))[0].get_data()
    assert first.values.sum() == len(LOW)
    assert first.values[len(first.values) // 2 :].sum() == 0


def test_the_order_given_is_kept_on_request() -> None:
    first = stairs(plots.stacked({"high": HIGH, "low": LOW}, ordered=False))[0].get_data()
    assert first.values.sum() == len(HIGH)


def test_a_picture_comes_out_with_a_mark() -> None:
    figure = plots.stacked({"one": HIGH}, marks={"median": 5.0}, xlabel="score", ylabel="images")
    assert figure.png().startswith(b"\x89PNG")


def test_empty_groups_are_refused() -> None:
    with pytest.raises(BadInputError):
        plots.stacked({})
