"""Objectives of a place: each is an equation on hand-made activations, and lucent's where it has the same."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks
from interp.errors import BadInputError
from interp.featurevis.streams import streams

SHAPE = (3, 4, 5, 7)
MOVES = (fv.warp(rotate=20, scale=(0.8, 1.2), shift=5), fv.noise(0.1))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def seen() -> dict[str, Tensor]:
    return {"a": random(*SHAPE), "flat": random(3, 4, seed=1)}


VECTOR, MAP = random(4, seed=2), random(*SHAPE[1:], seed=3)


def test_a_channel_a_direction_and_a_map_at_a_place_are_sums_by_hand(seen: dict[str, Tensor]) -> None:
    values, spot, window = seen["a"], (4, 6), (1, 2, 3, 6)
    inside = values[:, :, 1:3, 2:6]
    cases = {
        fv.toward("a", 2): values[:, 2].mean((1, 2)),
        fv.toward("a", 2, spot): values[:, 2, 4, 6],
        fv.toward("a", 2, window): inside[:, 2].mean((1, 2)),
        fv.toward("a", VECTOR): torch.einsum("nchw,c->n", values, VECTOR) / 35,
        fv.toward("a", VECTOR, spot): values[:, :, 4, 6] @ VECTOR,
        fv.toward("a", VECTOR, window): torch.einsum("nchw,c->n", inside, VECTOR) / 8,
        fv.toward("a", MAP): torch.einsum("nchw,chw->n", values, MAP) / 35,
        fv.toward("a", MAP, spot): values[:, :, 4, 6] @ MAP[:, 4, 6],
        fv.toward("a", MAP, window): torch.einsum("nchw,chw->n", inside, MAP[:, 1:3, 2:6]) / 8,
        fv.toward("flat", VECTOR): seen["flat"] @ VECTOR,
    }
    for objective, expected in cases.items():
        torch.testing.assert_close(objective(seen), expected, msg=objective.name)


def test_places_agree_with_the_objectives_that_were_there(seen: dict[str, Tensor]) -> None:
    same = [
        (fv.toward("a", 2), fv.channel("a", 2)),
        (fv.toward("a", 2, (4, 6)), fv.neuron("a", 2, (4, 6))),
        (fv.toward("a", VECTOR, by=fv.dot(2)), fv.direction("a", VECTOR, cosine_power=2)),
        (fv.toward("a", MAP, by=fv.cosine(whole=True)), fv.cosine_similarity("a", MAP[None])),
    ]
    for ours, other in same:
        torch.testing.assert_close(ours(seen), other(seen))
    assert fv.toward("a", 2, (4, 6)).name == fv.neuron("a", 2, (4, 6)).name
    assert fv.toward("a", VECTOR, (1, 2, 3, 6), by=fv.cosine()).name == (
        "a:direction@1,2,3,6 by cosine(whole=False)"
    )


def test_the_cosine_takes_no_length_and_the_power_only_counts_it() -> None:
    values, goal = torch.tensor([[3.0, 4.0]])[:, :, None, None], torch.tensor([2.0, 0.0])
    seen = {"a": values}
    torch.testing.assert_close(fv.toward("a", goal, by=fv.cosine())(seen), torch.tensor([0.6]))
    for power in (0.0, 0.5, 2.0):
        expected = torch.tensor([6.0 * 0.6**power])
        torch.testing.assert_close(fv.toward("a", goal, by=fv.dot(power))(seen), expected)
    torch.testing.assert_close(fv.toward("a", -goal, by=fv.dot(2))(seen), torch.tensor([-6.0 * 0.1**2]))


def test_every_position_has_its_own_cosine_and_the_whole_map_has_one(seen: dict[str, Tensor]) -> None:
    values = seen["a"]
    each = F.cosine_similarity(values, MAP[None], dim=1)
    torch.testing.assert_close(fv.toward("a", MAP, by=fv.cosine())(seen), each.mean((1, 2)))
    product = (values * MAP).sum((1, 2, 3))
    one = product / values.flatten(1).norm(dim=1) / MAP.norm()
    torch.testing.assert_close(fv.toward("a", MAP, by=fv.dot(whole=True))(seen), product)
    powered = fv.toward("a", MAP, by=fv.dot(2, whole=True))(seen)
    torch.testing.assert_close(powered, product * one.clamp(min=0.1) ** 2)
    spread = VECTOR[:, None, None].expand(4, 5, 7)
    whole = fv.dot(1, whole=True)
    torch.testing.assert_close(fv.toward("a", VECTOR, by=whole)(seen), fv.toward("a", spread, by=whole)(seen))


def test_the_distance_is_zero_at_the_goal_alone(seen: dict[str, Tensor]) -> None:
    values = seen["a"]
    there = fv.toward("a", values, by=fv.distance())
    torch.testing.assert_close(there(seen), torch.zeros(3), rtol=0, atol=0)
    torch.testing.assert_close(
        fv.toward("a", MAP, by=fv.distance())(seen), -(values - MAP).square().mean((1, 2, 3))
    )
    torch.testing.assert_close(
        fv.toward("a", MAP, by=fv.distance(1))(seen), -(values - MAP).abs().mean((1, 2, 3))
    )


def test_a_goal_is_what_it_was_when_it_was_given(seen: dict[str, Tensor]) -> None:
    vector = VECTOR.clone()
    objective = fv.toward("a", vector)
    before = objective(seen)
    vector.zero_()
    assert torch.equal(objective(seen), before)


def test_lucents_objectives_of_a_place_are_ours(seen: dict[str, Tensor]) -> None:
    objectives = pytest.importorskip("lucent.optvis.objectives")
    one = {"a": seen["a"][:1]}
    square = {"a": seen["a"][:1, :, :5, :5]}
    pairs = [
        (objectives.channel_weight("a", VECTOR), fv.toward("a", VECTOR) / 4, one),
        (objectives.neuron_weight("a", VECTOR, x=3, y=1), fv.toward("a", VECTOR, (1, 3)) / 4, one),
        (
            objectives.localgroup_weight("a", VECTOR, x=2, y=1, wx=4, wy=2),
            fv.toward("a", VECTOR, (1, 2, 3, 6)) / 4,
            one,
        ),
        (objectives.direction("a", VECTOR), fv.toward("a", VECTOR, by=fv.cosine()), one),
        (
            objectives.direction_neuron("a", VECTOR),
            fv.toward("a", VECTOR, (2, 2), by=fv.cosine()),
            square,
        ),
    ]
    for theirs, ours, acts in pairs:
        torch.testing.assert_close(-theirs(acts.__getitem__), ours(acts)[0], msg=ours.name)


# --------------------------------------------------------------------------------------------------------------------
# Against photographs


@pytest.fixture(scope="module")
def network() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential()
    net.add_module("first", nn.Conv2d(3, 8, 5, stride=2, padding=2))
    net.add_module("act", nn.ReLU())
    net.add_module("second", nn.Conv2d(8, 6, 3, padding=1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return net.eval()


def test_what_is_like_a_photograph_is_compared_under_the_same_transforms(network: nn.Module) -> None:
    photographs = random(2, 3, 32, 32, seed=5).sigmoid()
    where = (2, 3, 7, 9)
    for by, expected in ((fv.cosine(), 1.0), (fv.distance(), 0.0), (fv.cosine(whole=True), 1.0)):
        objective = fv.like("second", photographs, where, by=by)
        look = streams(0, "transforms", "ab")
        found = objective(fv.look(network, photographs, objective.layers, MOVES, look, photographs))
        torch.testing.assert_close(found, torch.full((2,), expected))


@pytest.mark.parametrize("by", [fv.dot(), fv.dot(2), fv.dot(1, whole=True), fv.cosine(), fv.distance(1)])
def test_without_transforms_like_is_toward_the_photographs_activations(
    network: nn.Module, by: fv.places.Likeness
) -> None:
    photograph, images = (random(1, 3, 32, 32, seed=seed).sigmoid() for seed in (5, 6))
    goal = hooks.activations(network, photograph, "second")
    for where in (None, (3, 4), (1, 2, 3, 6)):
        pair, fixed = (
            fv.like("second", photograph, where, by=by),
            fv.toward("second", goal, where, by=by),
        )
        look = fv.look(network, images, pair.layers, (), streams(0, "transforms", "a"), photograph)
        torch.testing.assert_close(pair(look), fixed(look))


def test_inversion_comes_closer_under_transforms(network: nn.Module) -> None:
    photograph = random(1, 3, 32, 32, seed=5).sigmoid()
    objective = fv.like("second", photograph, by=fv.distance())
    start = fv.PixelImage(32, seed=0)
    done = fv.render(network, objective, start, transforms=MOVES, steps=40)
    begun = fv.render(network, objective, start, transforms=MOVES, steps=1)
    assert done.score > 0.3 * begun.score  # both are negative, and 0 is the photograph itself


# --------------------------------------------------------------------------------------------------------------------
# What cannot be


@pytest.mark.parametrize("where", [(1,), (1, 2, 3), (-1, 0), (2, 2, 2, 5), (3, 3, 1, 5), (0, 0, 1, 2, 3)])
def test_a_place_that_cannot_be_is_refused_when_it_is_named(where: fv.places.Place) -> None:
    for make in (
        lambda: fv.toward("a", 0, where),
        lambda: fv.like("a", torch.zeros(1, 3, 8, 8), where),
    ):
        with pytest.raises(BadInputError, match="A place is a position"):
            make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fv.toward("a", torch.zeros(4, 5)), r"a map \(C, H, W\).*got \(4, 5\)"),
        (lambda: fv.dot(-1), "The power of the cosine is -1"),
        (lambda: fv.dot(math.inf), "The power of the cosine is inf"),
        (lambda: fv.distance(0.5), "The power of the distance is 0.5"),
        (lambda: fv.like("a", torch.zeros(3, 8, 8)), r"\(N, "),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(make: object, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (fv.toward("a", 4), "the channels 0 to 3; there is no 4"),
        (fv.toward("a", torch.zeros(5)), r"the goal is \(5,\).*It has to be \(4,\)"),
        (fv.toward("a", torch.zeros(4, 5, 6)), r"the goal is \(1, 4, 5, 6\)"),
        (fv.toward("a", torch.zeros(2, 4, 5, 7)), r"the goal is \(2, 4, 5, 7\)"),
        (fv.toward("a", 0, (5, 0)), r"5 x 7 positions here; \(5, 0\) lies outside"),
        (fv.toward("a", 0, (0, 0, 2, 8)), r"5 x 7 positions here; \(0, 0, 2, 8\) lies outside"),
        (fv.toward("flat", 0, (0, 0)), "which has no positions"),
    ],
)
def test_what_the_layer_does_not_have_is_explained(
    objective: fv.Objective, message: str, seen: dict[str, Tensor]
) -> None:
    with pytest.raises(BadInputError, match=message):
        objective(seen)
