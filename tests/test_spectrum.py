"""The spectrum's laws: parts merged in any order equal the whole, ties are broken by id, quantiles are within 3 %."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spectra import same
from torch import Tensor

from interp.errors import BadInputError, UnknownNameError
from interp.spectrum import BANDS, Broken, Measure, Spectrum, keys, load, medians, merge, save, sketch, units

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


def brute_force(band: str, ids: list[int], scores: list[float], k: int, level: float = 0.0) -> list[int]:
    """Return the ids of a band by sorting everything, as a reader would define it."""
    pairs = [(score + 0.0, id_) for score, id_ in zip(scores, ids, strict=True) if math.isfinite(score)]
    if band == "slightly positive":
        pairs = [pair for pair in pairs if pair[0] > level]
    if band == "slightly negative":
        pairs = [pair for pair in pairs if pair[0] < level]
    sign = 1 if band in ("minimum", "slightly positive") else -1
    return [id_ for _, id_ in sorted(pairs, key=lambda pair: (sign * pair[0], pair[1]))[:k]]


def table(rows: list[float]) -> dict[str, Tensor]:
    return {"layer": torch.tensor(rows, dtype=torch.float32)[:, None]}


# Few different scores, so that nearly everything is tied.
TIED = st.lists(st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 6.0, float("nan"), float("inf")]), max_size=60)
FREE = st.lists(FLOATS, max_size=60)


@settings(max_examples=60, deadline=None)
@given(scores=TIED | FREE, k=st.integers(1, 5), data=st.data())
def test_parts_merged_in_any_order_and_grouping_equal_the_whole(
    scores: list[float], k: int, data: st.DataObject
) -> None:
    blank = Spectrum.empty({"layer": 1}, k=k, sample=7)
    ids = data.draw(
        st.lists(st.integers(0, 2**32 - 1), min_size=len(scores), max_size=len(scores), unique=True)
    )
    whole = blank.extended(torch.tensor(ids, dtype=torch.int64), table(scores))
    order = data.draw(st.permutations(range(len(scores))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(scores)), max_size=6)))
    parts, grown = [blank], blank
    for start, stop in zip([0, *cuts], [*cuts, len(scores)], strict=True):
        chosen = order[start:stop]
        batch = torch.tensor([ids[i] for i in chosen], dtype=torch.int64), table([scores[i] for i in chosen])
        parts.append(Spectrum.of_batch(*batch, like=blank))
        grown = grown.extended(*batch)
    assert same(merge(data.draw(st.permutations(parts))), whole)
    assert same(grown, whole)
    middle = data.draw(st.integers(1, len(parts)))
    assert same(merge([merge(parts[:middle]), *parts[middle:]]), whole)


@settings(max_examples=60, deadline=None)
@given(scores=TIED | FREE, k=st.integers(1, 5), data=st.data())
def test_every_band_is_the_one_that_sorting_gives(scores: list[float], k: int, data: st.DataObject) -> None:
    ids = data.draw(
        st.lists(st.integers(0, 2**32 - 1), min_size=len(scores), max_size=len(scores), unique=True)
    )
    unit = Spectrum.empty({"layer": 1}, k=k).extended(torch.tensor(ids, dtype=torch.int64), table(scores))[
        "layer", 0
    ]
    rounded = table(scores)["layer"][:, 0].tolist()
    for name in BANDS:
        band = unit.band(name)
        assert list(band.ids) == brute_force(name, ids, rounded, k)
        assert [dict(zip(ids, rounded, strict=True))[id_] for id_ in band.ids] == list(band.scores)
    assert unit.not_finite == sum(not math.isfinite(score) for score in rounded)
    assert unit.images == len(scores) - unit.not_finite


@settings(max_examples=30, deadline=None)
@given(
    level=st.sampled_from([0.0, 1 / 3, -2.5, 1e-30]),
    k=st.integers(1, 9),
    size=st.sampled_from([40, 300, 1100]),
    steps=st.sampled_from([3, 50, 10**6]),
    holes=st.sampled_from([0.0, 0.02, 0.5]),
    seed=st.integers(0, 2**31),
)
def test_the_shortcuts_for_many_scores_give_the_lists_of_sorting(
    level: float, k: int, size: int, steps: int, holes: float, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    zero = torch.full((3,), level)
    # Few steps make ties; the smallest lie as near to the level as floating point allows.
    around = torch.randint(-steps, steps + 1, (size, 3), generator=chance) * torch.tensor([1.0, 1e-3, 1e-7])
    scores = zero + around
    scores[torch.rand(size, 3, generator=chance) < holes] = float("inf")
    scores[torch.rand(size, 3, generator=chance) < holes] = float("nan")
    ids = torch.randperm(size, generator=chance)
    found = Spectrum.empty({"layer": 3}, k=k, level={"layer": zero})
    for part in (slice(0, size // 2), slice(size // 2, size)):
        found = found.extended(ids[part], {"layer": scores[part]})
    for unit, column in zip(found, scores.t().tolist(), strict=True):
        for name in BANDS:
            assert list(unit.band(name).ids) == brute_force(name, ids.tolist(), column, k, zero[0].item())


@given(
    FLOATS.filter(math.isfinite),
    FLOATS.filter(math.isfinite),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)
def test_keys_sort_as_score_then_smaller_id_and_can_be_read_back(a: float, b: float, i: int, j: int) -> None:
    scores = torch.tensor([a, b], dtype=torch.float32)
    found = keys.encode(scores, torch.tensor([i, j]))
    assert bool(found[0] > found[1]) == ((a, -i) > (b, -j))
    back, ids = keys.decode(found)
    assert back.tolist() == [a, b]
    assert ids.tolist() == [i, j]
    assert bool((found > keys.EMPTY).all())


@given(st.lists(st.integers(0, 2**32 - 1), unique=True), st.integers(0, 2**31))
def test_the_hash_of_an_id_is_its_own(ids: list[int], seed: int) -> None:
    hashes = keys.scrambled(torch.tensor(ids, dtype=torch.int64), seed).tolist()
    assert len(set(hashes)) == len(ids)
    assert all(0 <= each < 2**32 for each in hashes)


def test_the_sample_is_spread_evenly_over_the_ids() -> None:
    ids = torch.arange(20_000)
    spectrum = Spectrum.empty({"layer": 1}, sample=1000).extended(ids, {"layer": ids[:, None].float()})
    assert abs(spectrum.sample.float().mean().item() - 10_000) < 4 * 20_000 / math.sqrt(12 * 1000)
    assert torch.equal(spectrum.layers["layer"].scores[0], spectrum.sample.float())
    other = Spectrum.empty({"layer": 1}, sample=1000, seed=1).extended(ids, {"layer": ids[:, None].float()})
    assert len(set(other.sample.tolist()) & set(spectrum.sample.tolist())) < 100


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(2.0**-20, 2.0**20, exclude_max=True, width=32), min_size=1, max_size=50),
    st.sampled_from([1, -1]),
    st.floats(0, 1),
)
def test_a_quantile_is_within_three_percent(magnitudes: list[float], sign: int, q: float) -> None:
    scores = sorted(sign * magnitude for magnitude in magnitudes)
    exact = scores[math.floor(q * (len(scores) - 1))]
    found = float(sketch.quantile(sketch.count(torch.tensor([scores])), q)[0])
    assert abs(found - exact) <= 0.03 * abs(exact)


def test_the_buckets_are_cut_where_the_edges_say() -> None:
    edges = sketch.edges().to(torch.float32)
    below = torch.nextafter(edges, torch.zeros(()))
    zero = sketch.buckets() // 2 - 1
    places = torch.arange(len(edges) - 1)
    assert torch.equal(sketch.bucket(edges[:-1]), zero + 1 + places)
    assert torch.equal(sketch.bucket(below), torch.cat([torch.tensor([zero]), zero + 1 + places]))
    assert torch.equal(sketch.bucket(-edges[:-1]), zero - 1 - places)
    special = torch.tensor([0.0, -0.0, 1e-30, float("nan"), float("inf"), -float("inf"), 3e38, -3e38])
    last = sketch.buckets() - 1
    assert sketch.bucket(special).tolist() == [zero, zero, zero, last, last, last, last - 1, 0]


def test_a_layer_of_1280_units_takes_less_than_ten_megabytes_whatever_the_number_of_images() -> None:
    few, many = (
        Spectrum.empty({"conv_head": 1280}).extended(torch.arange(n), {"conv_head": torch.randn(n, 1280)})
        for n in (300, 3000)
    )
    assert few.nbytes == many.nbytes < 10_000_000


def test_dead_units_ties_and_values_that_are_no_numbers_are_flagged() -> None:
    scores = torch.zeros(30, 4)
    scores[:, 1] = torch.linspace(-1, 1, 30)
    scores[:, 2] = 6.0
    scores[:15, 2] = torch.arange(15.0) / 3
    scores[:, 3] = torch.linspace(-1, 1, 30)
    scores[3, 3] = float("nan")
    spectrum = Spectrum.empty({"act": 4}).extended(torch.arange(30), {"act": scores})
    dead, fine, saturated, broken = spectrum
    assert dead.dead
    assert not fine.flags
    assert saturated.band("maximum").tied
    assert not saturated.band("minimum").tied
    assert saturated.one_sided
    assert broken.not_finite == 1
    assert 3 not in broken.band("minimum").ids + broken.band("maximum").ids
    assert any("NaN" in flag for flag in broken.flags)


def test_the_middle_bands_can_lie_around_the_units_own_median() -> None:
    ids, scores = torch.arange(101), {"act": torch.arange(101.0)[:, None] + 1}
    level = medians(Spectrum.of_batch(ids, scores))
    assert abs(level["act"].item() - 51) < 0.03 * 51
    unit = Spectrum.empty({"act": 1}, level=level, k=3).extended(ids, scores)[0]
    above = math.ceil(level["act"].item())
    assert unit.band("slightly positive").scores == (above, above + 1, above + 2)
    assert unit.band("slightly negative").scores == (above - 1, above - 2, above - 3)


def test_a_quantile_band_holds_images_of_the_sample_between_the_quantiles() -> None:
    ids = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    unit = Spectrum.empty({"act": 1}, sample=200).extended(ids, {"act": ids[:, None].float()})[0]
    band = unit.between(0.4, 0.6)
    everyone = sorted(unit.sample.tolist())
    assert len(band) == 9
    assert set(band.ids) <= set(everyone[80:120])
    with pytest.raises(BadInputError, match="low < high"):
        unit.between(0.6, 0.4)


def test_the_histogram_adds_up_and_lies_where_the_scores_are() -> None:
    scores = torch.randn(5000, 1, generator=torch.Generator().manual_seed(0))
    edges, shares = Spectrum.of_batch(torch.arange(5000), {"act": scores})[0].histogram(20)
    exact = torch.histogram(scores[:, 0].double(), torch.tensor(edges, dtype=torch.float64)).hist / 5000
    assert sum(shares) == pytest.approx(1)
    assert (torch.tensor(shares) - exact).abs().max() < 0.012


def test_extending_changes_nothing_that_was_passed_in() -> None:
    first = Spectrum.of_batch(torch.arange(20), {"act": torch.randn(20, 3)})
    before = [
        tensor.clone() for tensor in (first.layers["act"].best, first.layers["act"].counts, first.sample)
    ]
    scores = torch.randn(20, 3)
    kept = scores.clone()
    first.extended(torch.arange(20, 40), {"act": scores})
    merge([first, Spectrum.of_batch(torch.arange(20, 40), {"act": scores}, like=first)])
    after = first.layers["act"].best, first.layers["act"].counts, first.sample
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(scores, kept)


def test_broken_images_are_kept_in_the_order_of_their_ids() -> None:
    late, early = Broken(7, "b.jpg", "cut short"), Broken(2, "a.jpg", "no image")
    parts = [
        Spectrum.of_batch(torch.arange(i, i + 1), table([1.0]), broken=[b])
        for i, b in ((0, late), (1, early))
    ]
    assert merge(parts).broken == merge(parts[::-1]).broken == (early, late)


def test_what_cannot_be_merged_or_asked_for_is_refused() -> None:
    one = Spectrum.of_batch(torch.arange(3), table([1.0, 2, 3]))
    with pytest.raises(BadInputError, match="counted twice"):
        merge([one, one])
    with pytest.raises(BadInputError, match="counted twice"):
        keys.largest(torch.tensor([[5, 5]]), 2)
    with pytest.raises(BadInputError, match="no spectrum"):
        merge([])
    with pytest.raises(BadInputError, match="k is 9 and 3"):
        merge([one, Spectrum.empty({"layer": 1}, k=3)])
    with pytest.raises(BadInputError, match="different layers"):
        merge([one, Spectrum.empty({"layer": 2})])
    with pytest.raises(BadInputError, match="levels"):
        merge([one, Spectrum.empty({"layer": 1}, level={"layer": torch.ones(1)})])
    with pytest.raises(UnknownNameError, match="layer"):
        one["layre", 0]
    with pytest.raises(BadInputError, match="no channel 1"):
        one[1]
    with pytest.raises(UnknownNameError, match="maximum"):
        one[0].band("maximun")
    with pytest.raises(BadInputError, match="row for each id"):
        one.extended(torch.arange(3, 5), table([1.0]))
    with pytest.raises(BadInputError, match="integers"):
        one.extended(torch.tensor([0.5]), table([1.0]))
    with pytest.raises(BadInputError, match="2\\*\\*32"):
        one.extended(torch.tensor([-1]), table([1.0]))
    with pytest.raises(BadInputError, match="k has to be"):
        Spectrum.empty({"layer": 1}, k=0)


def test_units_know_their_number_of_channels() -> None:
    assert len(units.empty(torch.zeros(5), 2)) == 5
    assert len(Spectrum.empty({"a": 2, "b": 3})) == 5


def test_extending_lists_the_broken_images() -> None:
    broken = Broken(9, "x.jpg", "cut short")
    grown = Spectrum.empty({"a": 1}).extended(torch.arange(2), {"a": torch.rand(2, 1)}, broken=[broken])
    assert grown.broken == (broken,)


@pytest.mark.parametrize("q", [50, -0.1, 1.01, math.nan])
def test_a_quantile_is_a_fraction(q: float) -> None:
    found = Spectrum.empty({"a": 1}).extended(torch.arange(9), {"a": torch.rand(9, 1)})
    with pytest.raises(BadInputError, match=r"a fraction in \[0, 1\]"):
        found["a", 0].quantile(q)


def test_the_default_type_changes_no_spectrum() -> None:
    scores = torch.rand(9, 2)
    plain = Spectrum.empty({"a": 2}).extended(torch.arange(9), {"a": scores})
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        double = Spectrum.empty({"a": 2}).extended(torch.arange(9), {"a": scores})
    finally:
        torch.set_default_dtype(before)
    assert double.layers["a"].scores.dtype == double.layers["a"].level.dtype == torch.float32
    assert same(plain, double)


def test_measures_are_compared_and_hashed_by_their_content() -> None:
    level = {"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(1)}
    one = Measure(level=level)
    same_one = Measure(level={"b": torch.zeros(1), "a": torch.tensor([1.0, 2.0])})
    assert one == same_one
    assert hash(one) == hash(same_one)
    others = [
        Measure(),
        Measure(level={**level, "a": torch.tensor([1.0, 2.5])}),
        Measure(level={"a": level["a"]}),
        one.changed(k=3),
        one.changed(pool="max"),
        one.changed(fold=False),
    ]
    assert one not in others
    assert len({one, same_one, *others}) == 1 + len(others)
    assert one != "mean"


@pytest.mark.parametrize("seed", [2**33, -5, 2**64 + 1])
def test_a_seed_is_any_whole_number(seed: int) -> None:
    ids = torch.arange(50)
    hashes = keys.scrambled(ids, seed)
    assert torch.equal(hashes, keys.scrambled(ids, seed % 2**32))
    assert len(set(hashes.tolist())) == 50
    assert not torch.equal(hashes, keys.scrambled(ids, seed + 1))


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    ids, scores = torch.arange(20), {"a": torch.rand(20, 3)}
    plain = Spectrum.empty({"a": 3}, k=2, sample=7, seed=5).extended(ids, scores)
    given = Spectrum.empty({"a": 3}, k=np.int64(2), sample=np.int64(7), seed=np.int64(5)).extended(
        ids, scores
    )
    for name, found in (("plain", plain), ("given", given)):
        save(found, tmp_path / name)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "given").read_bytes()
    assert given[np.int64(1)].band("maximum") == plain[1].band("maximum")
    assert type(given["a", np.int64(1)].channel) is int
    with pytest.raises(BadInputError, match="k has to be a whole number"):
        Spectrum.empty({"a": 3}, k=2.5)


def test_a_spectrum_is_saved_to_a_path_that_is_a_text(tmp_path: Path) -> None:
    one = Spectrum.of_batch(torch.arange(3), table([1.0, 2, 3]))
    save(one, str(tmp_path / "one"))
    assert same(load(str(tmp_path / "one")), one)


def test_a_unit_without_any_number_is_not_called_dead() -> None:
    scores = torch.full((12, 2), torch.nan)
    scores[:, 1] = 3.0
    nothing, dead = Spectrum.of_batch(torch.arange(12), {"a": scores})
    assert nothing.flags == ("12 scores are NaN or infinite",)
    assert dead.flags == ("dead: every image has the same score",)


def test_a_spectrum_and_its_units_show_themselves_in_a_line() -> None:
    scores = torch.linspace(-1, 1, 20)[:, None].expand(-1, 300)
    spectrum = Spectrum.empty({"a": 300, "b": 300}, k=4, pool="max")
    assert repr(Spectrum.empty({})) == "<Spectrum of 0 images: no layer yet; k=9, pool='mean'>"
    spectrum = spectrum.extended(
        torch.arange(20), {"a": scores, "b": scores}, broken=[Broken(99, "x.png", "cut")]
    )
    assert repr(spectrum) == (
        "<Spectrum of 20 images (1 more broken): a (300 channels), b (300 channels); k=4, pool='max'>"
    )
    assert repr(Spectrum.empty({str(number): 1 for number in range(9)})).count("channels") == 4
    assert "5 more layers" in repr(Spectrum.empty({str(number): 1 for number in range(9)}))
    assert repr(spectrum["a", 7]) == "<Unit a/7: 20 images, -1 to 1>"
    assert "nan to nan" in repr(Spectrum.empty({"a": 1})[0])
    assert repr(spectrum.layers["a"]) == "<Units: 300 channels, k=4, 20 sampled images>"
