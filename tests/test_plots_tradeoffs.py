"""plots.tradeoff: where points and their names stand."""

from __future__ import annotations

import pytest

from interp import plots
from interp.errors import BadInputError, UnknownNameError

POINTS = {"noise": ([0.8], [0.0]), "waves": ([0.1, 0.3], [4.0, 6.0]), "pixels": ([0.5, 0.7], [2.0, 2.0])}


def dots(figure: plots.Figure) -> list[tuple[float, float]]:
    """Return the points of a drawing, in their order."""
    lines = figure.axes[0].lines
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in lines if line.get_marker() == "o"]


def test_a_point_is_the_mean_of_its_measurements() -> None:
    assert dots(plots.tradeoff(POINTS)) == [(0.8, 0.0), (0.2, 5.0), (0.6, 2.0)]


def test_the_cross_of_a_highlighted_point_reaches_two_standard_errors() -> None:
    lines = plots.tradeoff(POINTS, highlight=["waves"]).axes[0].lines
    across, up = (line for line in lines if line.get_marker() != "o")
    assert list(across.get_xdata()) == pytest.approx(
        [0.2 - 0.2, 0.2 + 0.2]
    )  # both differ by 0.1 from their mean
    assert list(up.get_ydata()) == pytest.approx([5 - 2, 5 + 2])


def test_a_dial_joins_its_points_in_their_order() -> None:
    dial = plots.tradeoff(POINTS, dials=[["pixels", "waves", "noise"]]).axes[0].lines[0]
    assert list(dial.get_xdata()) == pytest.approx([0.6, 0.2, 0.8])


def test_names_do_not_overlap_where_there_is_room() -> None:
    near = {f"way {n}": ([0.5 + 0.01 * n], [1.0]) for n in range(4)}
    figure = plots.tradeoff(near)
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text().startswith("way")]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_a_name_without_a_point_and_an_empty_board_are_said() -> None:
    with pytest.raises(UnknownNameError, match="wavs"):
        plots.tradeoff(POINTS, highlight=["wavs"])
    with pytest.raises(UnknownNameError, match="blur"):
        plots.tradeoff(POINTS, dials=[["pixels", "blur"]])
    with pytest.raises(BadInputError):
        plots.tradeoff({})
    with pytest.raises(BadInputError, match="noise"):
        plots.tradeoff({"noise": ([], [1.0])})
