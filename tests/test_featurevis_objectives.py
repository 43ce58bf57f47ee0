"""Objectives: an algebra of frozen values, and what each of them computes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from interp import featurevis as fv
from interp.errors import BadInputError


@pytest.fixture
def seen() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 12, 10, generator=random)
    return {
        "a": torch.randn(3, 4, 5, 7, generator=random),
        "b": torch.randn(3, 6, generator=random),
        fv.IMAGE: images,
    }


@settings(deadline=None, max_examples=25)
@given(x=st.floats(-3, 3), y=st.floats(-3, 3))
def test_the_algebra_is_that_of_the_scores(x: float, y: float) -> None:
    seen = {"a": torch.randn(3, 4, 5, 7, generator=torch.Generator().manual_seed(0))}
    p, q = fv.channel("a", 0), fv.channel("a", 3)
    torch.testing.assert_close((x * p + q * y)(seen), x * p(seen) + y * q(seen))
    torch.testing.assert_close((p - q)(seen), p(seen) - q(seen))
    torch.testing.assert_close((x - p)(seen), x - p(seen))
    torch.testing.assert_close((p - x)(seen), p(seen) - x)
    torch.testing.assert_close((p * q)(seen), p(seen) * q(seen))
    torch.testing.assert_close((-p)(seen), -p(seen))
    torch.testing.assert_close(sum([p, q])(seen), p(seen) + q(seen))  # type: ignore[operator]


def test_names_say_what_is_computed() -> None:
    p, q = fv.channel("a", 0), fv.channel("b", 3)
    assert (-p).name == "-a:0"
    assert (p + q).name == "a:0 + b:3"
    assert (p - 0.5 * q).name == "a:0 - 0.5 * b:3"
    assert (-(p + q)).name == "-(a:0 + b:3)"
    assert (1 * p).name == "a:0"
    assert (-1 * p).name == "-a:0"
    assert (2 * (p + q)).name == "2 * (a:0 + b:3)"
    assert sum([p, q]).name == "a:0 + b:3"  # type: ignore[union-attr]
    assert (p + q).layers == ("a", "b")
    assert (p + p).layers == ("a",)


def test_objectives_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        fv.channel("a", 0).name = "other"  # type: ignore[misc]


def test_channel_and_neuron(seen: dict[str, Tensor]) -> None:
    torch.testing.assert_close(fv.channel("a", 2)(seen), seen["a"][:, 2].mean(dim=(1, 2)))
    torch.testing.assert_close(fv.channel("b", 2)(seen), seen["b"][:, 2])
    torch.testing.assert_close(fv.neuron("a", 1, (4, 6))(seen), seen["a"][:, 1, 4, 6])
    torch.testing.assert_close(fv.neuron("a", 1)(seen), seen["a"][:, 1, 2, 3])
    torch.testing.assert_close(fv.logit(3)({fv.OUTPUT: seen["b"]}), seen["b"][:, 3])
    torch.testing.assert_close(fv.deepdream("a")(seen), (seen["a"] ** 2).mean(dim=(1, 2, 3)))


def test_a_direction_along_an_axis_is_the_channel(seen: dict[str, Tensor]) -> None:
    axis = torch.eye(4)[2]
    torch.testing.assert_close(fv.direction("a", axis)(seen), fv.channel("a", 2)(seen))


def test_the_cosine_power_asks_for_the_pure_direction() -> None:
    vector = torch.tensor([1.0, 0.0])
    pure, mixed = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    for power in (0.0, 1.0, 2.0):
        ratio = fv.direction("b", vector, cosine_power=power)({"b": mixed}) / fv.direction(
            "b", vector, cosine_power=power
        )({"b": pure})
        torch.testing.assert_close(ratio, torch.tensor([0.5 ** (power / 2)]))


def test_cosine_to_a_goal(seen: dict[str, Tensor]) -> None:
    torch.testing.assert_close(fv.cosine_similarity("a", 3 * seen["a"])(seen), torch.ones(3))
    torch.testing.assert_close(fv.cosine_similarity("a", -seen["a"])(seen), -torch.ones(3))


def test_diversity_and_alignment(seen: dict[str, Tensor]) -> None:
    same = {"a": seen["a"][:1].expand(3, -1, -1, -1)}
    torch.testing.assert_close(fv.diversity("a")(same), -torch.ones(3))
    torch.testing.assert_close(fv.alignment("a")(same), torch.zeros(3))
    assert (fv.diversity("a")(seen) > -1).all()
    assert (fv.alignment("a")(seen) < 0).all()
    # Gram matrices do not know where things are: a shuffle of the positions has the same style.
    shuffled = seen["a"].flatten(2)[:, :, torch.randperm(35)].reshape(3, 4, 5, 7)
    mixed = {"a": torch.cat([seen["a"][:1], shuffled[:1]])}
    torch.testing.assert_close(fv.diversity("a")(mixed), -torch.ones(2))
    assert (fv.alignment("a")(mixed) < -0.1).all()


def test_penalties_on_simple_images() -> None:
    flat = {fv.IMAGE: torch.full((1, 3, 8, 8), 0.5)}
    ramp = {fv.IMAGE: torch.linspace(0, 0.7, 8).expand(1, 3, 8, 8)}
    for penalty in (fv.total_variation(), fv.l1(), fv.l2(), fv.blurred()):
        assert penalty(flat).item() == pytest.approx(0, abs=1e-12)
        assert penalty(ramp).item() > 1e-4
    assert fv.total_variation()(ramp).item() == pytest.approx(0.1)
    white = {fv.IMAGE: torch.ones(1, 3, 8, 8)}
    assert fv.l1()(white).item() == pytest.approx(0.5)
    assert fv.l2()(white).item() == pytest.approx(0.25)
    assert fv.opacity()({fv.ALPHA: torch.full((2, 1, 4, 4), 0.3)}).tolist() == pytest.approx([0.3, 0.3])


def test_a_step_against_blurred_goes_towards_the_blur() -> None:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (slope,) = torch.autograd.grad(fv.blurred()({fv.IMAGE: image}).sum(), image)
    smoother = (image - 3 * 16 * 16 / 2 * slope).detach()  # a full step: exactly the blur
    assert fv.fine_share(smoother) < 0.2 * fv.fine_share(image)


def test_together_gives_each_image_its_own(seen: dict[str, Tensor]) -> None:
    parts = [fv.channel("a", 0), -fv.channel("a", 1), fv.channel("b", 2)]
    whole = fv.together(parts)
    expected = [part(seen)[index] for index, part in enumerate(parts)]
    torch.testing.assert_close(whole(seen), torch.stack(expected))
    assert (2 * whole - fv.l2()).parts == (2 * parts[0], 2 * parts[1], 2 * parts[2]) or len(whole.parts) == 3
    with pytest.raises(BadInputError, match="2 objectives need as many images; the batch has 3"):
        fv.together(parts[:2])(seen)
    with pytest.raises(BadInputError, match="at least one"):
        fv.together([])


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (fv.channel("a", 4), "channels 0 to 3; there is no 4"),
        (fv.channel("a", -1), "there is no -1"),
        (fv.neuron("b", 0), "has no positions"),
        (fv.neuron("a", 0, (5, 0)), "5 x 7 positions"),
        (fv.direction("a", torch.ones(5)), "has 4 channels"),
        (fv.cosine_similarity("a", torch.ones(1, 4, 5, 5)), "Take both at one size"),
        (fv.diversity("b"), "two or more images and a layer"),
        (fv.of_layer("a", lambda values: values.mean()), "has to return a tensor"),
    ],
)
def test_bad_objectives_are_explained(objective: fv.Objective, message: str, seen: dict[str, Tensor]) -> None:
    with pytest.raises(BadInputError, match=message):
        objective(seen)


def test_lucent_computes_the_same(seen: dict[str, Tensor]) -> None:
    lucent = pytest.importorskip("lucent.optvis.objectives")

    def theirs(objective: object) -> Tensor:
        return -objective(lambda layer: seen[layer])  # type: ignore[operator]

    seen["a"] = seen["a"][..., :5]  # on maps that are not square, lucent takes the rows for the columns
    torch.testing.assert_close(theirs(lucent.channel("a", 1)), fv.channel("a", 1)(seen).mean())
    torch.testing.assert_close(theirs(lucent.neuron("a", 1)), fv.neuron("a", 1)(seen).mean())
    torch.testing.assert_close(
        theirs(lucent.neuron("a", 1, x=3, y=0)), fv.neuron("a", 1, (0, 3))(seen).mean()
    )


def test_a_difference_and_a_quotient_have_the_names_of_what_they_are() -> None:
    one = fv.channel("a", 1)
    seen = {"a": torch.rand(2, 3, 4, 4)}
    assert (one - 0.5).name == "a:1 - 0.5"
    assert (one + 0.5).name == "a:1 + 0.5"
    assert (2 * (one - 0.5)).name == "2 * (a:1 - 0.5)"
    assert (one / 2).name == "0.5 * a:1"
    torch.testing.assert_close((one / 2 - 0.5)(seen), one(seen) / 2 - 0.5)
