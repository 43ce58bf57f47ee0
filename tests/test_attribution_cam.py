"""Class activation maps, as equations and against captum, grad-cam and torchcam."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from attribution_helpers import Linear, correlation, images, small
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interp import attribution, hooks, image
from interp.attribution import cam
from interp.errors import BadInputError, UnknownNameError

VARIANTS: dict[str, Callable[..., Tensor]] = {
    "Grad-CAM": attribution.grad_cam,
    "Grad-CAM++": attribution.grad_cam_plus_plus,
    "XGrad-CAM": attribution.xgrad_cam,
    "HiResCAM": attribution.hires_cam,
    "LayerCAM": attribution.layer_cam,
}
every_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
CLASSES = [281, 967]  # tabby, espresso


# ------------------------------------------------------------------------------------------------------------
# Equations


def _cam(model: nn.Module, pictures: Tensor, layer: str, classes: list[int]) -> Tensor:
    """Return CAM (Zhou et al., 2015): the channels before the pooling, weighted by the classifier's weights."""
    activations = hooks.activations(model, pictures, layer)
    weights = model.get_submodule("classifier").weight[classes].detach()
    heat = torch.einsum("nchw,nc->nhw", activations, weights).relu()
    return image.resize(heat, (pictures.shape[-2], pictures.shape[-1]))


@pytest.mark.parametrize("name", ["Grad-CAM", "HiResCAM", "XGrad-CAM"])
def test_before_the_pooling_it_is_cam(model: nn.Module, photographs: Tensor, name: str) -> None:
    """The gradient is weight / (h w) at every position there: three of the variants are then CAM."""
    positions = 7 * 7
    wanted = _cam(model, photographs, "act_head", CLASSES) / positions
    torch.testing.assert_close(
        VARIANTS[name](model, photographs, CLASSES, "act_head"), wanted, atol=1e-5, rtol=1e-4
    )


def test_layer_cam_before_the_pooling_is_cam_with_positive_weights(
    model: nn.Module, photographs: Tensor
) -> None:
    activations = hooks.activations(model, photographs, "act_head")
    weights = model.get_submodule("classifier").weight[CLASSES].detach().relu()
    wanted = image.resize(torch.einsum("nchw,nc->nhw", activations, weights) / 49, (224, 224))
    torch.testing.assert_close(
        attribution.layer_cam(model, photographs, CLASSES, "act_head"), wanted, atol=1e-5, rtol=1e-4
    )


def test_a_linear_layer_between_leaves_grad_cam_as_it_is(model: nn.Module, photographs: Tensor) -> None:
    """conv_head is a 1 x 1 convolution without bias: the weighted sum over its inputs or outputs is the same."""
    torch.testing.assert_close(
        attribution.grad_cam(model, photographs, CLASSES, "conv_head"),
        attribution.grad_cam(model, photographs, CLASSES, "blocks.6.0"),
        atol=1e-4,
        rtol=1e-3,
    )


def test_hires_cam_adds_up_to_the_score_before_the_pooling(model: nn.Module, photographs: Tensor) -> None:
    activations, gradient = attribution.layer_gradient(model, photographs, CLASSES, "act_head")
    bias = model.get_submodule("classifier").bias[CLASSES].detach()
    total = cam.hires_cam_sum(activations, gradient).sum(dim=(1, 2))
    torch.testing.assert_close(total + bias, attribution.scores(model, photographs, CLASSES))


maps = st.integers(0, 10**6).map(
    lambda seed: torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)).double()
)


@given(maps)
@settings(max_examples=25)
def test_grad_cam_plus_plus_is_equation_19(pair: Tensor) -> None:
    activations, gradient = pair[0].abs(), pair[1]
    wanted = torch.zeros(2, 4, 5, dtype=torch.float64)
    for n in range(2):
        for k in range(3):
            g, total = gradient[n, k], activations[n, k].sum()
            alpha = g**2 / (2 * g**2 + total * g**3)
            wanted[n] += (alpha * g.clamp(min=0)).sum() * activations[n, k]
    torch.testing.assert_close(cam.grad_cam_plus_plus_sum(activations, gradient), wanted)


@given(maps, st.floats(1e-3, 1e3))
@settings(max_examples=25)
def test_variants_scale_with_the_score(pair: Tensor, factor: float) -> None:
    activations, gradient = pair[0].abs(), pair[1]
    for name, variant in cam.FAMILY.items():
        if name != "Grad-CAM++":  # its weights are not homogeneous in the gradient
            torch.testing.assert_close(
                variant(activations, factor * gradient), factor * variant(activations, gradient)
            )


@given(maps)
@settings(max_examples=25)
def test_with_a_gradient_that_is_the_same_everywhere_three_variants_are_one(pair: Tensor) -> None:
    activations = pair[0].abs()
    gradient = pair[1].mean(dim=(2, 3), keepdim=True).expand_as(activations)
    wanted = cam.grad_cam_sum(activations, gradient)
    torch.testing.assert_close(cam.hires_cam_sum(activations, gradient), wanted)
    torch.testing.assert_close(cam.xgrad_cam_sum(activations, gradient), wanted)


def test_dead_channels_and_zero_gradients_give_zero() -> None:
    zero, some = torch.zeros(1, 2, 3, 3), torch.rand(1, 2, 3, 3)
    for variant in cam.FAMILY.values():
        assert variant(zero, some).abs().max() == 0
        assert variant(some, zero).abs().max() == 0


def test_a_family_is_its_members(model: nn.Module, photographs: Tensor) -> None:
    family = attribution.cam_family(model, photographs, CLASSES, "blocks.4.2")
    assert list(family) == list(VARIANTS)
    for name, variant in VARIANTS.items():
        torch.testing.assert_close(family[name], variant(model, photographs, CLASSES, "blocks.4.2"))


@every_variant
def test_a_shallow_layer_needs_no_gradient_of_the_layers_before(variant: Callable[..., Tensor]) -> None:
    """The gradient from the layer only is the gradient of the whole graph."""
    model, pictures = small(), images()
    with hooks.record(model, ["norm"]) as found:
        score = model(pictures)[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, found["norm"])
    activations, ours = attribution.layer_gradient(model, pictures, 1, "norm")
    torch.testing.assert_close(activations, found["norm"].detach())
    torch.testing.assert_close(ours, gradient)
    assert variant(model, pictures, 1, "norm").min() >= 0


def test_a_layer_that_runs_twice_counts_at_its_first_run() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, pictures: Tensor) -> Tensor:
            hidden = self.act(pictures - 0.5)
            return self.act(hidden - 0.1).sum(dim=(2, 3))

    with pytest.warns(UserWarning, match="'act' runs more than once"):
        activations, gradient = attribution.layer_gradient(Twice(), images(), 0, "act")
    torch.testing.assert_close(activations, (images() - 0.5).relu())
    torch.testing.assert_close(gradient[:, 0], (activations[:, 0] > 0.1).float())
    assert gradient[:, 1:].abs().max() == 0


# ------------------------------------------------------------------------------------------------------------
# Agreement with the peers on the real network

LAYERS = ["act_head", "blocks.4.2.act_expand"]  # unsigned, as all the papers have it


def _grad_cams() -> dict[str, type]:
    import pytorch_grad_cam as peer

    return {
        "Grad-CAM": peer.GradCAM,
        "Grad-CAM++": peer.GradCAMPlusPlus,
        "XGrad-CAM": peer.XGradCAM,
        "HiResCAM": peer.HiResCAM,
        "LayerCAM": peer.LayerCAM,
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_all_variants_agree_with_grad_cam(model: nn.Module, photographs: Tensor, layer: str) -> None:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    ours = attribution.cam_family(model, photographs, CLASSES, layer)
    for name, peer in _grad_cams().items():
        if name == "Grad-CAM++":
            continue  # see the next test
        with peer(model=model, target_layers=[hooks.find_layer(model, layer)]) as method:
            theirs = method(photographs, targets=[ClassifierOutputTarget(index) for index in CLASSES])
        # Theirs are rescaled to [0, 1], each image alone; correlation does not see that.
        assert correlation(ours[name], torch.from_numpy(theirs)) > 0.999, name


@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_plus_plus_agrees_with_grad_cam_but_for_its_epsilon(
    model: nn.Module, photographs: Tensor, layer: str
) -> None:
    """grad-cam adds 1e-6 to the denominator of equation 19, which is not small beside the squared gradients here.

    Ours adds nothing. Of a score that is 10,000 times larger both give the same map.
    """
    from pytorch_grad_cam import GradCAMPlusPlus

    class Larger(nn.Module):
        def forward(self, logits: Tensor) -> Tensor:
            return 1e4 * logits

    larger = nn.Sequential(model, Larger())
    inside = hooks.find_layer(model, layer)
    targets = [lambda logits, index=index: logits[index] for index in CLASSES]
    with GradCAMPlusPlus(model=larger, target_layers=[inside]) as method:
        theirs = torch.from_numpy(method(photographs, targets=targets))
    ours = attribution.grad_cam_plus_plus(larger, photographs, CLASSES, f"0.{layer}")
    assert correlation(ours, theirs) > 0.999


@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_agrees_with_captum(model: nn.Module, photographs: Tensor, layer: str) -> None:
    from captum.attr import LayerGradCam

    # captum neither cuts off negative values by default nor resizes.
    theirs = LayerGradCam(model, hooks.find_layer(model, layer)).attribute(
        photographs, target=CLASSES, relu_attributions=True
    )
    ours = attribution.grad_cam(model, photographs, CLASSES, layer)
    torch.testing.assert_close(ours, image.resize(theirs[:, 0].detach(), (224, 224)), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("layer", LAYERS)
def test_variants_agree_with_torchcam(model: nn.Module, photographs: Tensor, layer: str) -> None:
    from torchcam import methods

    ours = attribution.cam_family(model, photographs, CLASSES, layer)
    # torchcam's Grad-CAM++ divides a copy of alpha and throws it away: its weights are the sum of G squared times
    # relu(G). The test below shows that this is what it computes.
    peers = {"Grad-CAM": methods.GradCAM, "XGrad-CAM": methods.XGradCAM, "LayerCAM": methods.LayerCAM}
    for name, peer in peers.items():
        theirs = _torchcam(peer, model, photographs, layer)
        assert correlation(ours[name], theirs) > 0.999, name
    activations, gradient = attribution.layer_gradient(model, photographs, CLASSES, layer)
    weights = (gradient**2 * gradient.relu()).sum(dim=(2, 3))
    undivided = torch.einsum("nchw,nc->nhw", activations, weights).relu()
    theirs = _torchcam(methods.GradCAMpp, model, photographs, layer)
    assert correlation(image.resize(undivided, (224, 224)), theirs) > 0.999


def _torchcam(peer: type, model: nn.Module, pictures: Tensor, layer: str) -> Tensor:
    with peer(model, layer) as method:
        scores = model(pictures.clone().requires_grad_())
        (heat,) = method(CLASSES, scores)
    return image.resize(heat.detach(), (224, 224))


# ------------------------------------------------------------------------------------------------------------
# Bad input


@every_variant
def test_an_unknown_layer_lists_the_closest(model: nn.Module, variant: Callable[..., Tensor]) -> None:
    with pytest.raises(UnknownNameError, match="conv_head"):
        variant(model, images(1, 32, 32), 0, "conv_hed")


def test_a_layer_without_maps_is_explained() -> None:
    with pytest.raises(BadInputError, match=r"gives the shape \(2, 5\)"):
        attribution.grad_cam(small(), images(), 0, "classifier")


def test_a_layer_that_does_not_run_is_explained() -> None:
    model = small()
    model.unused = nn.Conv2d(3, 3, 1)
    with pytest.raises(BadInputError, match="does not run through the layer 'unused'"):
        attribution.grad_cam(model, images(), 0, "unused")


def test_a_layer_that_the_score_does_not_depend_on_is_explained() -> None:
    class Aside(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Conv2d(3, 3, 1)

        def forward(self, pictures: Tensor) -> Tensor:
            self.aside(pictures)
            return super().forward(pictures)

    with pytest.raises(BadInputError, match="does not depend on the layer 'aside'"):
        attribution.grad_cam(Aside(), images(), 0, "aside")


def test_a_layer_that_returns_several_tensors_is_explained() -> None:
    class Pair(nn.Module):
        def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
            return pictures, pictures

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, pictures: Tensor) -> Tensor:
            return self.pair(pictures)[0].mean(dim=(2, 3))

    with pytest.raises(BadInputError, match="'pair' returns tuple"):
        attribution.grad_cam(Model(), images(), 0, "pair")
