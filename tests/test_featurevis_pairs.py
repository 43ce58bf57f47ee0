"""Paired images: a photograph that goes through the network beside the optimized image, under the same transforms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image
from interp.digest import digest
from interp.errors import BadInputError
from interp.featurevis.streams import streams

LAYER = "second"
ALL = (fv.warp(rotate=20, scale=(0.8, 1.2), shift=5), fv.crop(0.5, 0.9), fv.noise(0.1))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    random = torch.Generator().manual_seed(0)
    net = nn.Sequential()
    net.add_module("first", nn.Conv2d(3, 8, 5, stride=2, padding=2))
    net.add_module("act", nn.ReLU())
    net.add_module("second", nn.Conv2d(8, 6, 3, padding=1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=random))
    return net.eval()


def pictures(count: int = 1, size: int = 32, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def distance(beside: Tensor, layer: str = LAYER) -> fv.Objective:
    return fv.of_pair(layer, lambda a, b: (a - b).square().flatten(1).mean(1), beside)


def test_both_see_the_same_transforms_and_the_streams_go_on_as_without(network: nn.Module) -> None:
    images, partner = pictures(3), pictures(3, seed=2)
    random, alone = (streams(4, "transforms", ["a", "b", "c"]) for _ in range(2))
    names = (LAYER, fv.BESIDE + LAYER, fv.BESIDE + fv.IMAGE)
    for _ in range(3):  # each look draws anew
        expected = fv.compose(ALL)(partner, [one.clone_state() for one in alone])
        seen = fv.look(network, images, names, ALL, random, beside=partner)
        plain = fv.look(network, images, [LAYER], ALL, alone)
        assert torch.equal(seen[LAYER], plain[LAYER])
        assert torch.equal(seen[fv.BESIDE + LAYER], hooks.run(network, expected, [LAYER])[LAYER].detach())
        assert torch.equal(seen[fv.BESIDE + fv.IMAGE], partner)


def test_an_image_is_at_no_distance_from_itself(network: nn.Module) -> None:
    images = pictures(2)
    for layer in (LAYER, fv.IMAGE, fv.OUTPUT):
        objective = distance(images, layer)
        seen = fv.look(network, images, objective.layers, ALL, streams(0, "transforms", "ab"), images)
        torch.testing.assert_close(objective(seen), torch.zeros(2), rtol=0, atol=0)


def test_an_unpaired_objective_changes_nothing_and_a_weight_of_nothing_neither(network: nn.Module) -> None:
    goal = fv.channel(LAYER, 2)
    plain = fv.render(network, goal, fv.FourierImage(32), steps=6, transforms=ALL)
    paired = fv.render(
        network, goal - 0.0 * distance(pictures()), fv.FourierImage(32), steps=6, transforms=ALL
    )
    assert torch.equal(plain.images, paired.images)
    assert torch.equal(plain.history, paired.history)


@pytest.mark.parametrize("steps", [6, [fv.Stage(16, 3), fv.Stage((40, 24), 3)]])
def test_the_final_score_is_that_of_the_pictures_as_they_are(
    network: nn.Module, steps: int | list[fv.Stage]
) -> None:
    partner = pictures(size=48)
    rendering = fv.render(network, -distance(partner), fv.FourierImage(32), steps=steps, transforms=ALL)
    fitted = image.resize(partner, (rendering.images.shape[2], rendering.images.shape[3]))
    one, other = (hooks.activations(network, images, LAYER) for images in (rendering.images, fitted))
    expected = -(one - other).square().flatten(1).mean(1)
    torch.testing.assert_close(rendering.score, expected, rtol=1e-4, atol=1e-6)


def test_nearer_is_found_under_transforms(network: nn.Module) -> None:
    rendering = fv.render(network, -distance(pictures(), fv.IMAGE), fv.FourierImage(32), steps=40)
    assert rendering.history[-1] > 0.5 * rendering.history[0]  # both are negative


def test_the_algebra_keeps_what_is_beside(network: nn.Module) -> None:
    partner = pictures()
    near, goal = distance(partner), fv.channel(LAYER, 1)
    seen = fv.look(network, pictures(seed=5), near.layers, (), streams(0, "transforms", "a"), partner)
    for made, expected in [
        (-near, -near(seen)),
        (2 * near, 2 * near(seen)),
        (near / 2, near(seen) / 2),
        (near + 1, near(seen) + 1),
        (1 - near, 1 - near(seen)),
        (goal + near, goal(seen) + near(seen)),
        (goal - 3 * near, goal(seen) - 3 * near(seen)),
        (near * goal, goal(seen) * near(seen)),
        (near + distance(partner.clone()), 2 * near(seen)),
        (fv.together([near]), near(seen)),
    ]:
        assert made.beside is not None
        assert torch.equal(made.beside, partner)
        torch.testing.assert_close(made(seen), expected)
    assert (goal + goal).beside is None


def test_each_of_many_has_its_own_partner(network: nn.Module) -> None:
    one, other = pictures(seed=7), pictures(seed=8)
    objectives = [
        fv.channel(LAYER, 0),
        fv.Objective((fv.channel(LAYER, 1) - distance(one)).score, distance(one).layers, "one", beside=one),
        fv.Objective(
            (fv.channel(LAYER, 2) - distance(other)).score, distance(one).layers, "two", beside=other
        ),
    ]
    batch = list(fv.render_many(network, objectives, size=32, steps=4, transforms=ALL))
    for objective, found in zip(objectives, batch, strict=True):
        alone = fv.render(network, objective, size=32, steps=4, transforms=ALL)
        torch.testing.assert_close(found.images, alone.images, rtol=0, atol=1e-3)
        torch.testing.assert_close(found.score, alone.score, rtol=1e-3, atol=1e-4)


def test_a_folder_tells_objectives_by_what_is_beside(network: nn.Module, tmp_path: Path) -> None:
    first, again, second = (distance(pictures(seed=seed)) for seed in (1, 1, 2))
    assert digest(first) == digest(again) != digest(second)
    fv.render_folder(network, [first], tmp_path, size=32, steps=2)
    fv.render_folder(network, [again], tmp_path, size=32, steps=2)
    with pytest.raises(BadInputError, match="another objective"):
        fv.render_folder(network, [second], tmp_path, size=32, steps=2)


def test_transparent_images_have_partners_too(network: nn.Module) -> None:
    start = fv.FourierImage(32, alpha=True)
    objective = fv.channel(LAYER, 1) - distance(pictures())
    assert fv.render(network, objective, start, steps=3).alpha is not None


def test_what_cannot_be_beside_is_explained(network: nn.Module) -> None:
    start = fv.FourierImage(32, count=2)
    with pytest.raises(BadInputError, match="one for each of 2; there are 3"):
        fv.render(network, distance(pictures(3)), start, steps=2)
    with pytest.raises(BadInputError, match="there are none"):
        fv.render(network, fv.of_layer(fv.BESIDE + LAYER, lambda a: a.flatten(1).mean(1)), start, steps=2)
    with pytest.raises(BadInputError, match="1 channels; the network takes 3"):
        fv.render(network, distance(pictures()[:, :1]), start, steps=2)
    with pytest.raises(BadInputError, match="in \\[0, 1\\]"):
        distance(255 * pictures())
    with pytest.raises(BadInputError, match="different images beside"):
        distance(pictures(seed=1)) + distance(pictures(seed=2))
    with pytest.raises(BadInputError, match="one image beside each"):
        list(fv.render_many(network, [distance(pictures(size=32)), distance(pictures(size=24))], steps=2))
