"""The target: which of the model's outputs is explained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp import attribution
from interp.attribution.targets import each, select
from interp.errors import BadInputError, UnknownNameError

LOGITS = torch.arange(12.0).view(3, 4)
NAMES = ("cat", "dog", "catfish", "cow")


def test_an_index_chooses_that_class_of_every_image() -> None:
    assert select(LOGITS, 2).tolist() == [2, 6, 10]
    assert select(LOGITS, np.int64(2)).tolist() == [2, 6, 10]
    assert select(LOGITS, torch.tensor(2)).tolist() == [2, 6, 10]


def test_a_name_chooses_its_class() -> None:
    assert select(LOGITS, "dog", NAMES).tolist() == [1, 5, 9]


@given(st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_one_target_for_each_image(indices: list[int]) -> None:
    wanted = [LOGITS[row, index].item() for row, index in enumerate(indices)]
    assert select(LOGITS, indices).tolist() == wanted
    assert select(LOGITS, torch.tensor(indices)).tolist() == wanted
    assert select(LOGITS, [NAMES[index] for index in indices], NAMES).tolist() == wanted
    assert select(LOGITS, tuple(indices)).tolist() == wanted


def test_a_list_may_mix_indices_names_and_functions() -> None:
    assert select(LOGITS, [0, "dog", lambda z: z.sum(dim=1)], NAMES).tolist() == [0, 5, 38]


def test_a_function_gets_the_logits() -> None:
    assert select(LOGITS, lambda z: z[:, 3] - z[:, 0]).tolist() == [3, 3, 3]


def test_a_function_may_read_any_output() -> None:
    assert select({"main": LOGITS}, lambda out: out["main"][:, 1]).tolist() == [1, 5, 9]


def test_each_repeats_or_splits() -> None:
    assert each("cat", 2) == ["cat", "cat"]
    assert each(torch.tensor([1, 2]), 2) == [1, 2]
    assert each([1, "dog"], 2) == [1, "dog"]


@pytest.mark.parametrize("target", [4, -1, [0, 1, 4], torch.tensor([0, 1, -1])])
def test_out_of_range_is_explained(target: object) -> None:
    with pytest.raises(BadInputError, match=r"none of the 4 classes.*0 to 3"):
        select(LOGITS, target)


@pytest.mark.parametrize("target", [1.5, None, True, [True, False, True], [0, None, 1]])
def test_a_wrong_type_is_explained(target: object) -> None:
    with pytest.raises(BadInputError, match="none of the 4 classes"):
        select(LOGITS, target)


@pytest.mark.parametrize("target", [torch.ones(3), torch.ones(3, 1).long(), torch.tensor([True] * 3)])
def test_a_wrong_tensor_is_explained(target: torch.Tensor) -> None:
    with pytest.raises(BadInputError, match="class indices"):
        select(LOGITS, target)


def test_a_wrong_number_of_targets_is_explained() -> None:
    with pytest.raises(BadInputError, match="2 targets for 3 images"):
        select(LOGITS, [0, 1])


def test_an_unknown_name_lists_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="catfish"):
        select(LOGITS, "catfsh", NAMES)


def test_a_name_needs_names() -> None:
    with pytest.raises(BadInputError, match="does not know the names"):
        select(LOGITS, "cat")


def test_an_ambiguous_name_is_refused() -> None:
    with pytest.raises(BadInputError, match="Several classes"):
        select(LOGITS, "crane", ("crane", "cow", "crane", "cat"))


@pytest.mark.parametrize("function", [lambda z: z, lambda z: z.sum(), lambda z: 3.0, lambda z: z[:1, 0]])
def test_a_function_that_returns_something_else_is_explained(function: attribution.Target) -> None:
    with pytest.raises(BadInputError, match="one score for each image"):
        select(LOGITS, function)


@pytest.mark.parametrize("logits", [torch.zeros(2, 4, 3, 3), (LOGITS, LOGITS), {"out": LOGITS}])
def test_an_output_that_is_no_matrix_needs_a_function(logits: object) -> None:
    with pytest.raises(BadInputError, match="returns logits"):
        select(logits, 0)


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(BadInputError, match="NaN or infinite"):
        select(LOGITS / 0, 0)
