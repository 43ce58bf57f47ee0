"""Claims: what counts as holding, where intervals and margins lie, what a page keeps of them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp import claims
from interp.errors import BadInputError

NUMBERS = st.floats(-1e6, 1e6)


def one(values: object, **bounds: float) -> claims.Claim:
    return claims.claim("It is so", values, quantity="share", over="seeds", **bounds)  # type: ignore[arg-type]


@given(NUMBERS, NUMBERS)
def test_a_claim_holds_exactly_where_its_margin_is_positive(value: float, bound: float) -> None:
    assert one(value, above=bound).holds == (value > bound)
    assert one(value, below=bound).holds == (value < bound)
    assert one(value, above=bound).margin == pytest.approx(value - bound, abs=1e-6)


def test_the_margin_is_that_of_the_nearer_bound() -> None:
    between = one(0.7, above=0.5, below=0.8)
    assert between.margin == pytest.approx(0.1)
    assert between.bound() == "between 0.5 and 0.8"


@pytest.mark.parametrize("bounds", [{"above": 0.0}, {"below": 0.0}, {"above": -1.0, "below": 1.0}])
def test_what_is_no_number_never_holds(bounds: dict[str, float]) -> None:
    assert not one(math.nan, **bounds).holds
    assert not one([1.0, math.nan], **bounds).holds


@pytest.mark.parametrize(
    "bounds", [{"below": math.nan}, {"above": 0.0, "below": math.nan}, {"above": math.nan}]
)
def test_a_bound_that_is_no_number_never_holds(bounds: dict[str, float]) -> None:
    assert not one(1.0, **bounds).holds


def test_an_infinite_value_never_holds() -> None:
    assert not one([1.0, math.inf], above=0.0).holds
    assert not one(-math.inf, below=0.0).holds


def test_what_rounds_to_its_bound_is_shown_with_more_digits() -> None:
    assert one(1.0005, above=1.0).found() == "1.0005 (1 seeds)"
    assert one(1.4, above=1.0).found() == "1.4 (1 seeds)"


def test_an_interval_of_which_much_is_no_number_is_none() -> None:
    def ratio(drawn: torch.Tensor) -> torch.Tensor:
        return torch.where(drawn.amin(-1) > 0, drawn.mean(-1), math.nan)

    assert all(math.isnan(end) for end in claims.bootstrap([0.0, 1.0, 2.0], ratio))


@pytest.mark.parametrize(
    ("middle", "expected"), [("mean", 2.5), ("median", 2.0), ("lowest", 1.0), ("highest", 5.0)]
)
def test_replicates_become_one_value(middle: str, expected: float) -> None:
    found = claims.claim("so", [1.0, 2.0, 2.0, 5.0], quantity="q", over="units", above=0, middle=middle)
    assert (found.value, found.n) == (expected, 4)
    assert (found.interval is None) == (middle in ("lowest", "highest"))


def test_firm_is_more_than_holding() -> None:
    wide = one([-3.0, -1.0, 2.0, 4.0, 5.0], above=0.0)
    assert wide.holds
    assert not wide.firm
    assert one([3.0, 3.1, 3.2, 2.9], above=0.0).firm


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0))
    low, high = claims.bootstrap(values)
    theory = 2 * 1.96 * values.std().item() / 20
    assert (high - low) / theory == pytest.approx(1, rel=0.1)
    assert low < values.mean() < high
    assert claims.bootstrap(values) == (low, high)


def test_the_bootstrap_draws_replicates_whole() -> None:
    """Both numbers of a replicate are drawn together: their difference is always 1."""
    values = torch.randn(30, 1, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.0, 1.0])
    ends = claims.bootstrap(values, lambda drawn: (drawn[:, 1] - drawn[:, 0]).mean(-1))
    assert ends == pytest.approx((1, 1), abs=1e-5)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 10), (1, 1)])
def test_the_interval_of_a_share_solves_wilsons_equation(hits: int, n: int) -> None:
    """At both ends p the distance to the share is 1.96 standard errors sqrt(p (1 - p) / n)."""
    ends = claims.share_interval([True] * hits + [False] * (n - hits))
    for p in ends:
        assert abs(hits / n - p) == pytest.approx(claims.Z95 * math.sqrt(p * (1 - p) / n), abs=1e-7)


def test_true_and_false_are_a_share() -> None:
    found = claims.claim("most do", [True, True, False, True], quantity="share", over="cats", above=0.5)
    assert found.value == 0.75
    assert found.interval == claims.share_interval([True, True, False, True])
    median = one([True] * 6 + [False], above=0.5, middle="median")  # type: ignore[arg-type]
    assert median.interval == claims.bootstrap([1.0] * 6 + [0.0], claims.MIDDLES["median"])


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        (3, 3, True),
        (3, 4, False),
        (torch.ones(2), torch.ones(2), True),
        ("a", "b", False),
        (None, True, False),
        ([], [], True),
        (torch.zeros(0), torch.zeros(0), True),
        (torch.zeros(0) == 1, True, False),
    ],
)
def test_exact_claims_are_equalities(found: object, expected: object, same: bool) -> None:
    assert claims.exact("equal", found, expected).holds == same


def test_a_page_keeps_all_that_a_claim_is() -> None:
    made = claims.page(one([0.2, 0.4], above=0.1), claims.exact("equal", 1, 1))
    kept = made._repr_mimebundle_()
    again = tuple(
        claims.Claim(**{**entry, "interval": entry["interval"] and tuple(entry["interval"])})
        for entry in kept[claims.MIME]
    )
    assert again == made.items
    assert kept["text/plain"].count("[holds]") == 2


def test_what_is_shown_cannot_be_markup() -> None:
    made = claims.page(claims.exact("<script>alert(1)</script>", 1, 2))
    assert "<script>" not in made._repr_html_()
    assert "DOES NOT HOLD" in repr(made)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: one(1.0), "no bound"),
        (lambda: one([], above=0.0), "no values"),
        (lambda: claims.claim("a", 1.0, quantity="q", over="s", above=0, middle="mode"), "mode"),
        (lambda: one(1.0, above=0.0, interval=(0.9, 0.1)), "goes from 0.9 to 0.1"),  # type: ignore[arg-type]
        (lambda: one(1.0, above=0.0, n=0), "no values"),
        (lambda: claims.page(), "none"),
        (lambda: claims.page(True), "bool"),  # type: ignore[arg-type]
        (lambda: claims.page(claims.exact("a", 1, 1), claims.exact("a", 2, 2)), "same words"),
    ],
)
def test_bad_input_is_named(make: object, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        make()  # type: ignore[operator]
