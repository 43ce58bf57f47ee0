"""Tables of scores: what they hold is what the spectrum says, and what is asked of them is what the formulas say."""

from __future__ import annotations

import pytest
import torch

from interp import spectrum
from interp.errors import BadInputError


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.ReLU(), torch.nn.Conv2d(5, 4, 3))


def source(count: int = 23) -> spectrum.Items:
    pictures = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    return spectrum.Items(list(pictures), "noise", shard_size=7)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_a_table_has_the_scores_that_the_spectrum_keeps_of_it(pool: str) -> None:
    model, layers = network(), ["0", "2"]
    table = spectrum.scores(model, layers, source(), pool=pool)
    found = spectrum.track(model, layers, spectrum.batches(source()), measure=spectrum.Measure(pool=pool))
    for layer in layers:
        assert len(table[layer]) == 23
        for channel in range(table[layer].shape[1]):
            top = found[layer, channel].band("maximum")
            assert top.ids == tuple(spectrum.strongest(table[layer][:, channel]))
            torch.testing.assert_close(torch.tensor(top.scores), table[layer][list(top.ids), channel])


def test_a_table_needs_a_source_with_images() -> None:
    with pytest.raises(BadInputError, match="have to be a source"):
        spectrum.scores(network(), ["0"], torch.rand(2, 3, 12, 12))  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="no image that can be read"):
        spectrum.scores(network(), ["0"], spectrum.Items([], "nothing"))


def test_the_strongest_are_those_that_a_search_one_by_one_finds() -> None:
    dice = torch.Generator().manual_seed(2)
    scores = torch.randint(0, 40, (60,), generator=dice).float()  # with ties
    things = torch.randint(0, 12, (60,), generator=dice).tolist()
    left, expected = list(range(60)), []
    for _ in range(9):
        best = max(left, key=lambda number: (scores[number].item(), -number))
        expected.append(best)
        left = [number for number in left if things[number] != things[best]]
    assert spectrum.strongest(scores, things) == expected
    assert len({things[number] for number in expected}) == 9


def test_fewer_things_than_asked_for_give_one_image_each() -> None:
    scores = torch.tensor([3.0, 9.0, 5.0, 8.0])
    assert spectrum.strongest(scores, ["sun", "moon", "sun", "moon"]) == [1, 2]


def test_the_strongest_need_a_name_for_each_score() -> None:
    with pytest.raises(BadInputError, match="One name is needed"):
        spectrum.strongest(torch.rand(3), ["a", "b"])
    with pytest.raises(BadInputError, match="count=0"):
        spectrum.strongest(torch.rand(3), count=0)


def test_what_rows_and_columns_add_is_what_they_decide() -> None:
    rows = torch.tensor([-3.0, 0.0, 3.0])[:, None, None]  # variance 6
    columns = torch.tensor([-1.0, 1.0])[None, :, None]  # variance 1
    product = rows * columns  # variance 6, decided by neither
    by_row, by_column = spectrum.decided(torch.cat([rows + columns, rows + columns + product], dim=2))
    torch.testing.assert_close(by_row, torch.tensor([6 / 7, 6 / 13]))
    torch.testing.assert_close(by_column, torch.tensor([1 / 7, 1 / 13]))
    with pytest.raises(BadInputError, match="rows, columns, channels"):
        spectrum.decided(torch.rand(3, 2))


def test_a_finder_gives_the_image_of_an_id() -> None:
    items = source()
    find = spectrum.finder(items)
    assert torch.equal(find(17), items.dataset[17][None])
    with pytest.raises(BadInputError, match="have to be a source"):
        spectrum.finder([torch.rand(3, 4, 4)])  # type: ignore[arg-type]
