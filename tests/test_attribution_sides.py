"""Maps of anything: as equations, against Grad-CAM and captum; targets inside the network."""

from __future__ import annotations

import pytest
import torch
from attribution_helpers import images, small
from torch import Tensor, nn

from interp import attribution, hooks
from interp import featurevis as fv
from interp.attribution import along, for_and_against, inside, logit, unit
from interp.errors import BadInputError, UnknownNameError

LAYERS = ["first", "act", "act2"]


def _equal(a: Tensor, b: Tensor) -> None:
    assert a.any()
    torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_for_a_class_it_is_grad_cam() -> None:
    """At a layer as large as the images, nothing is resized: the positive part of the sum is Grad-CAM."""
    model, pictures = small(), images()
    sides = for_and_against(model, pictures, [1, 3], LAYERS)
    for layer in ("first", "act"):
        wanted = attribution.grad_cam(model, pictures, [1, 3], layer)
        _equal(sides[layer].total.relu(), wanted)
        assert wanted.any()


def test_position_by_position_it_is_hires_cam() -> None:
    model, pictures = small(), images()
    sides = for_and_against(model, pictures, 1, "act", by_position=True)["act"]
    _equal(sides.total.relu(), attribution.hires_cam(model, pictures, 1, "act"))


def test_for_minus_against_is_the_sum_over_channels() -> None:
    model, pictures = small(), images()
    sides = for_and_against(model, pictures, 1, LAYERS)
    for layer in ("first", "act"):
        activations, gradient = attribution.layer_gradient(model, pictures, 1, layer)
        products = gradient.mean(dim=(2, 3), keepdim=True) * activations
        _equal(sides[layer].favor - sides[layer].against, products.sum(dim=1))
        _equal(sides[layer].favor + sides[layer].against, products.abs().sum(dim=1))
        assert sides[layer].favor.min() >= 0
        assert sides[layer].against.min() >= 0


def test_agrees_with_captum() -> None:
    """captum's LayerGradCam keeps both signs; so does the sum of both sides."""
    captum = pytest.importorskip("captum.attr")
    model, pictures = small(), images()
    theirs = captum.LayerGradCam(model, model.act).attribute(pictures, target=2)[:, 0]
    _equal(for_and_against(model, pictures, 2, "act")["act"].total, theirs.detach())


def test_agrees_with_captum_for_a_unit() -> None:
    """captum explains a function of the output; ours of an inner layer: a network that ends there is the same."""
    captum = pytest.importorskip("captum.attr")
    model, pictures = small(), images()
    cut = nn.Sequential(
        model.first, model.norm, model.act, model.second, nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    theirs = captum.LayerGradCam(cut, cut[2]).attribute(pictures, target=4)[:, 0]
    _equal(for_and_against(model, pictures, unit("second", 4), "act")["act"].total, theirs.detach())


def test_exchanging_two_classes_exchanges_the_sides() -> None:
    model, pictures = small(), images()
    a, b = logit("0"), logit(3)
    model.class_names = ("0", "1", "2", "3", "4")
    one, other = (for_and_against(model, pictures, aim, "act2")["act2"] for aim in (a - b, b - a))
    _equal(one.favor, other.against)
    _equal(one.against, other.favor)
    difference = for_and_against(model, pictures, lambda z: z[:, 0] - z[:, 3], "act2")["act2"]
    _equal(one.total, difference.total)


def test_the_sum_of_aims_has_the_sum_of_their_maps() -> None:
    model, pictures = small(), images()
    first, second = unit("act2", 2), unit("second", 4, position=(1, 2))
    maps = [for_and_against(model, pictures, aim, "act")["act"].total for aim in (first, second)]
    both = for_and_against(model, pictures, 2 * first - second / 4, "act")["act"].total
    _equal(both, 2 * maps[0] - maps[1] / 4)


def test_several_layers_at_once_are_each_alone() -> None:
    model, pictures = small(), images()
    together = for_and_against(model, pictures, 1, LAYERS)
    for layer in LAYERS:
        alone = for_and_against(model, pictures, 1, layer)[layer]
        _equal(together[layer].favor, alone.favor)


def test_several_layers_take_one_pass_each_way() -> None:
    model, passes = small(), []
    hooks.layouts(model, LAYERS, images())  # asked once, and known from then on
    model.first.register_forward_hook(lambda *_: passes.append("forth"))
    model.dropout.register_full_backward_hook(lambda *_: passes.append("back"))
    for_and_against(model, images(), 1, LAYERS)
    assert sorted(passes) == ["back", "forth"]


def test_behind_the_last_map_and_before_the_pooling_the_positions_add_up_to_the_score() -> None:
    model, pictures = small(), images(height=12, width=12)
    sides = for_and_against(model, pictures, 2, "act2")["act2"]
    _, gradient = attribution.layer_gradient(model, pictures, 2, "act2")
    score = attribution.scores(model, pictures, 2) - model.classifier.bias[2].detach()
    # The resized map has 4 pixels for each of the 36 positions.
    assert gradient.shape[-2:] == (6, 6)
    _equal(sides.total.sum(dim=(1, 2)) / 4, score)


def test_one_position_is_reached_from_its_surroundings_alone() -> None:
    model = small()
    heat = for_and_against(model, images(), unit("second", 1, position=(3, 2)), "act", by_position=True)[
        "act"
    ]
    reached = heat.favor + heat.against > 0
    assert reached[:, 5:8, 3:6].any()
    reached[:, 5:8, 3:6] = False  # a convolution of 3 x 3 with a stride of 2
    assert not reached.any()


# ------------------------------------------------------------------------------------------------------------
# Aims, wherever a target is asked for


def test_a_unit_is_what_the_layer_gives() -> None:
    model, pictures = small(), images()
    activations = hooks.activations(model, pictures, "second")
    _equal(attribution.scores(model, pictures, unit("second", 3)), activations[:, 3].mean(dim=(1, 2)))
    _equal(attribution.scores(model, pictures, unit("second", 3, position=(1, 4))), activations[:, 3, 1, 4])
    vector = torch.arange(6.0)
    along_all = torch.einsum("nchw,c->nhw", activations, vector)
    _equal(attribution.scores(model, pictures, along("second", vector)), along_all.mean(dim=(1, 2)))
    _equal(attribution.scores(model, pictures, along("second", vector, position=(0, 0))), along_all[:, 0, 0])
    largest = inside("second", lambda values: values.flatten(1).amax(1))
    _equal(attribution.scores(model, pictures, largest), activations.flatten(1).amax(1))


def test_a_class_as_an_aim_is_the_class() -> None:
    model, pictures = small(), images()
    model.class_names = tuple("abcde")
    for aim in (logit(2), logit("c")):
        _equal(attribution.scores(model, pictures, aim), attribution.scores(model, pictures, 2))
    mixed = logit("c") - 0.5 * unit("act2", 1)
    wanted = attribution.scores(model, pictures, 2) - attribution.scores(model, pictures, unit("act2", 1)) / 2
    _equal(attribution.scores(model, pictures, mixed), wanted)


def test_each_image_may_have_its_own_aim() -> None:
    model, pictures = small(), images()
    own = attribution.scores(model, pictures, [unit("act", 1), 3])
    _equal(own[:1], attribution.scores(model, pictures[:1], unit("act", 1)))
    _equal(own[1:], attribution.scores(model, pictures[1:], 3))


def test_an_objective_of_featurevis_is_an_aim() -> None:
    model, pictures = small(), images()
    _equal(
        attribution.saliency(model, pictures, fv.channel("act2", 3) - fv.logit(1)),
        attribution.saliency(model, pictures, unit("act2", 3) - logit(1)),
    )


@pytest.mark.parametrize(
    "method", ["saliency", "integrated_gradients", "occlusion", "layer_cam", "smooth_grad"]
)
def test_every_method_takes_a_unit(method: str) -> None:
    """It is the same as explaining the output of a network that ends there."""
    model, pictures = small(), images()
    cut = nn.Sequential(
        model.first, model.norm, model.act, model.second, nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    layer = {"layer_cam": ("act", "2")}.get(method, ())
    options = {"integrated_gradients": {"steps": 8}, "occlusion": {"window": 4, "stride": 4}}.get(method, {})
    function = getattr(attribution, method)
    inner = function(model, pictures, unit("second", 4), *layer[:1], **options)
    whole = function(cut, pictures, 4, *layer[1:], **options)
    _equal(getattr(inner, "heat", inner), getattr(whole, "heat", whole))


def test_the_forward_pass_stops_where_the_aim_is() -> None:
    model, ran = small(), []
    model.classifier.register_forward_hook(lambda *_: ran.append(1))
    hooks.layouts(model, ["act", "second"], images())
    ran.clear()
    for_and_against(model, images(), unit("second", 1), "act")
    assert not ran
    for_and_against(model, images(), unit("second", 1) + logit(0), "act")
    assert ran


def test_nothing_is_left_on_the_model() -> None:
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for_and_against(model, images(), unit("second", 1), LAYERS[:2])
    assert torch.is_grad_enabled()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("aim", "layers", "words"),
    [
        (unit("second", 6), "act", "channels 0 to 5; there is no 6"),
        (unit("second", 1, position=(6, 0)), "act", "6 x 5 positions"),
        (unit("classifier", 1, position=(0, 0)), "act", "no positions"),
        (unit("act", 1), "second", "not before what is asked for"),
        (inside("second", lambda values: values), "act", "one score for each image"),
        (along("second", torch.ones(5)), "act", "direction is for 5 channels"),
        (unit("second", 1), [], "No layer is named"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_explained(aim: attribution.Aim, layers: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        for_and_against(small(), images(), aim, layers)


def test_wrong_names_are_explained() -> None:
    with pytest.raises(UnknownNameError, match="second"):
        for_and_against(small(), images(), unit("secund", 1), "act")
    with pytest.raises(BadInputError, match="one finite number for each channel"):
        along("second", torch.ones(2, 2))
    with pytest.raises(BadInputError, match="looks inside it"):
        attribution.scores(small(), images(), unit("second", 1), read=torch.sigmoid)
