"""Maps from gradients, as equations, against captum and grad-cam, and with input of every kind."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from attribution_helpers import Linear, SixAsReLU, correlation, images, small
from torch import Tensor, nn

from interp import attribution
from interp.errors import BadInputError, UnknownNameError

ALL: dict[str, Callable[..., Tensor]] = {
    "saliency": attribution.saliency,
    "input_x_gradient": attribution.input_x_gradient,
    "smooth_grad": lambda *args: attribution.smooth_grad(*args, samples=2),
    "guided_backprop": attribution.guided_backprop,
    "integrated_gradients": lambda *args: attribution.integrated_gradients(
        *args, steps=2, tolerance=float("inf")
    ),
    "occlusion": lambda *args: attribution.occlusion(*args, window=4, stride=4),
    "grad_cam": lambda *args: attribution.grad_cam(*args, "act2"),
    "grad_cam_plus_plus": lambda *args: attribution.grad_cam_plus_plus(*args, "act2"),
    "layer_cam": lambda *args: attribution.layer_cam(*args, "act2"),
    "hires_cam": lambda *args: attribution.hires_cam(*args, "act2"),
    "xgrad_cam": lambda *args: attribution.xgrad_cam(*args, "act2"),
    "cam_family": lambda *args: attribution.cam_family(*args, "act2")["Grad-CAM"],
    "deletion": lambda model, pictures, target: (
        attribution.deletion(model, pictures, target, attribution.random_map(pictures), steps=2).scores
    ),
    "cascade": lambda model, pictures, target: attribution.cascade(
        model, pictures, target, attribution.saliency, ["classifier"]
    ).heat[0],
}
every_method = pytest.mark.parametrize("method", ALL.values(), ids=ALL)


# ------------------------------------------------------------------------------------------------------------
# Equations


def test_the_saliency_of_a_linear_score_is_its_weight() -> None:
    model = Linear()
    heat = attribution.saliency(model, images(), [1, 3])
    torch.testing.assert_close(heat, model.weight[[1, 3]].detach().abs().amax(dim=1))


def test_input_x_gradient_of_a_linear_score_adds_up_to_the_score() -> None:
    model, pictures = Linear(), images()
    heat = attribution.input_x_gradient(model, pictures, 2)
    torch.testing.assert_close(heat.sum(dim=(1, 2)), model(pictures)[:, 2].detach() - model.bias[2].detach())


def test_smooth_grad_of_a_linear_score_is_its_saliency() -> None:
    model, pictures = Linear(), images()
    torch.testing.assert_close(
        attribution.smooth_grad(model, pictures, 1, samples=3), attribution.saliency(model, pictures, 1)
    )


def test_smooth_grad_without_noise_is_saliency() -> None:
    model, pictures = small(), images()
    torch.testing.assert_close(
        attribution.smooth_grad(model, pictures, 1, noise=0, samples=3),
        attribution.saliency(model, pictures, 1),
    )


def test_smooth_grad_of_a_parabola_is_its_slope_as_the_samples_grow() -> None:
    class Parabola(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return pictures.square().sum(dim=(1, 2, 3))[:, None]

    pictures = images(1)
    heat = attribution.smooth_grad(Parabola(), pictures, 0, samples=4000, noise=0.1)
    # The mean of 2 (x + noise) has a standard deviation of 2 * 0.1 / sqrt(4000) = 0.003.
    torch.testing.assert_close(heat, 2 * pictures.amax(dim=1), atol=0.016, rtol=0)


def test_guided_backprop_is_the_gradient_where_nothing_is_negative() -> None:
    model = small()
    with torch.no_grad():
        for weight in (model.second.weight, model.classifier.weight):
            weight.abs_()
    torch.testing.assert_close(
        attribution.guided_backprop(model, images(), 0), attribution.saliency(model, images(), 0)
    )


def test_guided_backprop_by_hand() -> None:
    model, pictures = small(), images(1)
    hidden = model.norm(model.first(pictures))
    deep = model.second(hidden.relu())
    flow = (model.classifier.weight[1] / deep[0, 0].numel()).view(1, -1, 1, 1) * (deep > 0)
    flow = torch.autograd.grad(deep, hidden, flow.clamp(min=0))[0].clamp(min=0)
    first = model.first
    norm = model.norm.weight / (model.norm.running_var + model.norm.eps).sqrt()
    wanted = nn.functional.conv_transpose2d(flow * norm.view(1, -1, 1, 1), first.weight, padding=1)
    torch.testing.assert_close(
        attribution.guided_backprop(model, pictures, 1), wanted.detach().abs().amax(dim=1)
    )


def test_a_function_of_the_logits_is_explained_as_such() -> None:
    model = Linear()
    heat = attribution.input_x_gradient(model, images(), lambda z: z[:, 0] - z[:, 1])
    apart = [attribution.input_x_gradient(model, images(), target) for target in (0, 1)]
    torch.testing.assert_close(heat, apart[0] - apart[1])


# ------------------------------------------------------------------------------------------------------------
# Agreement with captum and grad-cam on the real network


def test_saliency_agrees_with_captum(model: nn.Module, photographs: Tensor) -> None:
    from captum.attr import Saliency

    theirs = Saliency(model).attribute(photographs.clone(), target=[281, 967])
    ours = attribution.saliency(model, photographs, ["tabby", "espresso"])
    assert correlation(ours, theirs.amax(dim=1)) > 0.999


def test_input_x_gradient_agrees_with_captum(model: nn.Module, photographs: Tensor) -> None:
    from captum.attr import InputXGradient

    theirs = InputXGradient(model).attribute(photographs.clone(), target=[281, 967])
    ours = attribution.input_x_gradient(model, photographs, [281, 967])
    assert correlation(ours, theirs.sum(dim=1)) > 0.999


def test_smooth_grad_agrees_with_captum_given_the_same_noise(
    model: nn.Module, photographs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from captum.attr import NoiseTunnel, Saliency

    one = photographs[:1]
    deviation = 0.15 * float(one.max() - one.min())
    noise = torch.randn(4, *one.shape[1:], generator=torch.Generator().manual_seed(7))
    monkeypatch.setattr(torch, "normal", lambda mean, std: mean + std * noise)
    # captum's Saliency takes absolute values by default; the paper averages the signed gradients.
    theirs = NoiseTunnel(Saliency(model)).attribute(
        one.clone(), nt_type="smoothgrad", nt_samples=4, stdevs=deviation, target=281, abs=False
    )
    ours = attribution.smooth_grad(model, one, 281, samples=4, noise=0.15, seed=7)
    assert correlation(ours, theirs.abs().amax(dim=1)) > 0.999


def test_guided_backprop_agrees_with_captum_and_grad_cam(model: nn.Module, photographs: Tensor) -> None:
    from captum.attr import GuidedBackprop
    from pytorch_grad_cam import GuidedBackpropReLUModel

    # Neither knows ReLU6: both give the plain gradient on the network as it is. So they get ReLU6 as a kind of ReLU.
    ours = attribution.guided_backprop(model, photographs[:1], 281)
    other = _with_known_activations(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = GuidedBackprop(other).attribute(photographs[:1].clone(), target=281)
        plain = GuidedBackprop(model).attribute(photographs[:1].clone(), target=281)
    assert correlation(ours, theirs.abs().amax(dim=1)) > 0.999
    assert correlation(attribution.saliency(model, photographs[:1], 281), plain.abs().amax(dim=1)) > 0.999
    # grad-cam puts its own unbounded ReLU in the place of each nn.ReLU, so it is compared where all are plain.
    relu = small()
    pictures = images(1, 32, 32)
    third = GuidedBackpropReLUModel(copy.deepcopy(relu), device="cpu")(pictures.clone(), 1)
    wanted = torch.from_numpy(third).permute(2, 0, 1)[None]
    assert correlation(attribution.guided_backprop(relu, pictures, 1), wanted.abs().amax(dim=1)) > 0.999


def _with_known_activations(model: nn.Module) -> nn.Module:
    other = copy.deepcopy(model)
    for layer in list(other.modules()):
        for name, child in layer.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(layer, name, SixAsReLU())
    return other


# ------------------------------------------------------------------------------------------------------------
# What every method keeps


@every_method
def test_a_method_gives_one_map_for_each_image(method: Callable[..., Tensor]) -> None:
    heat = method(small(), images(3), [0, 1, 2])
    assert len(heat) == 3
    assert torch.isfinite(heat).all()
    assert not heat.requires_grad


@every_method
def test_a_map_does_not_depend_on_the_batch(method: Callable[..., Tensor]) -> None:
    model, pictures = small(), images(3)
    together = method(model, pictures, [0, 1, 2])
    for number in range(3):
        alone = method(model, pictures[number : number + 1], number)
        torch.testing.assert_close(together[number : number + 1], alone)


@every_method
def test_portions_change_nothing(method: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    model, pictures = small(), images(5)
    whole = method(model, pictures, [0, 1, 2, 3, 4])
    monkeypatch.setattr("interp.attribution.passes.PIXELS_ON_CPU", 2 * 12 * 10)
    torch.testing.assert_close(method(model, pictures, [0, 1, 2, 3, 4]), whole)


@every_method
def test_a_model_in_training_mode_is_explained_as_in_evaluation_mode(method: Callable[..., Tensor]) -> None:
    model = small()
    wanted = method(model, images(), 1)
    model.train()
    model.norm.eval()  # a frozen batch norm has to stay frozen
    torch.testing.assert_close(method(model, images(), 1), wanted)
    assert [layer.training for layer in model.children()] == [True, False] + [True] * 6


def _state(model: nn.Module) -> dict[str, object]:
    return {
        "modes": [layer.training for layer in model.modules()],
        "grads": [(weight.requires_grad, weight.grad) for weight in model.parameters()],
        "hooks": [
            (len(layer._forward_hooks), len(layer._forward_pre_hooks), len(layer._backward_hooks))
            for layer in model.modules()
        ],
        "in place": [getattr(layer, "inplace", None) for layer in model.modules()],
        "weights": [weight.tolist() for weight in model.state_dict().values()],
        "random": torch.random.get_rng_state().tolist(),
        "grad mode": torch.is_grad_enabled(),
    }


@every_method
@pytest.mark.parametrize("target", [1, 77], ids=["right", "out of range"])
def test_everything_comes_back_as_it_was(method: Callable[..., Tensor], target: int) -> None:
    model, pictures = small().train(), images()
    model.second.weight.requires_grad_(False)
    pictures.requires_grad_()
    before, copied = _state(model), pictures.detach().clone()
    try:
        method(model, pictures, target)
        assert target == 1
    except BadInputError:
        assert target == 77
    assert _state(model) == before
    assert torch.equal(pictures, copied)
    assert pictures.requires_grad
    assert pictures.grad is None


@every_method
def test_an_exception_in_the_model_leaves_nothing_behind(method: Callable[..., Tensor]) -> None:
    class Breaking(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            raise ZeroDivisionError

    model = small()
    model.classifier = Breaking(6, 5)
    model.train()
    before = _state(model)
    with pytest.raises(ZeroDivisionError):
        method(model, images(), 1)
    assert _state(model) == before


@every_method
def test_gradients_that_the_caller_collects_stay(method: Callable[..., Tensor]) -> None:
    model = small()
    model(images()).sum().backward()
    before = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    method(model, images(), 1)
    after = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert len(before) == len(after) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@every_method
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_caller_without_gradients_gets_the_same_map(
    method: Callable[..., Tensor], mode: Callable[[], object]
) -> None:
    model = small()
    wanted = method(model, images(), 1)
    with mode():  # type: ignore[attr-defined]
        found = method(model, images(), 1)
    torch.testing.assert_close(found.clone(), wanted)


@every_method
def test_frozen_weights_change_nothing(method: Callable[..., Tensor]) -> None:
    model = small()
    wanted = method(model, images(), 1)
    torch.testing.assert_close(method(model.requires_grad_(False), images(), 1), wanted)


@every_method
def test_a_model_in_double_precision_takes_the_same_images(method: Callable[..., Tensor]) -> None:
    wanted = method(small(), images(), 1)
    found = method(small().double(), images(), 1)
    torch.testing.assert_close(found.float(), wanted, atol=1e-4, rtol=1e-3)


# ------------------------------------------------------------------------------------------------------------
# Bad input


BAD_IMAGES = {
    "no tensor": ([[1.0]], "tensor"),
    "bytes": (torch.zeros(1, 3, 12, 10, dtype=torch.uint8), "floating point"),
    "one image": (torch.zeros(3, 12, 10), r"images\[None\]"),
    "gray": (torch.zeros(1, 1, 12, 10), "gray"),
    "two channels": (torch.zeros(1, 2, 12, 10), "shape"),
    "RGBA": (torch.zeros(1, 4, 12, 10), "RGBA"),
    "channels last": (torch.zeros(1, 12, 10, 3), "permute"),
    "empty": (torch.zeros(0, 3, 12, 10), "empty"),
    "0 to 255": (torch.full((1, 3, 12, 10), 200.0), "255"),
    "normalized": (torch.full((1, 3, 12, 10), -1.5), "normalized"),
    "NaN": (torch.full((1, 3, 12, 10), float("nan")), "NaN"),
}


@every_method
@pytest.mark.parametrize(("bad", "says"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_explained(method: Callable[..., Tensor], bad: object, says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        method(small(), bad, 1)


@every_method
def test_a_bad_target_is_explained(method: Callable[..., Tensor]) -> None:
    model = small()
    model.class_names = ("ant", "bee", "cow", "dog", "eel")  # type: ignore[assignment]
    with pytest.raises(BadInputError, match="none of the 5 classes"):
        method(model, images(), 5)
    with pytest.raises(BadInputError, match="3 targets for 2 images"):
        method(model, images(), [0, 1, 2])
    with pytest.raises(UnknownNameError, match="Closest: eel"):
        method(model, images(), "eal")


@pytest.mark.parametrize("name", ["saliency", "input_x_gradient", "smooth_grad", "grad_cam", "layer_cam"])
def test_images_of_one_pixel_and_very_wide_ones_are_explained_rightly(name: str) -> None:
    for height, width in ((1, 1), (2, 20_000)):
        heat = ALL[name](small(), images(1, height, width), 1)
        assert heat.shape == (1, height, width)
        assert torch.isfinite(heat).all()


def test_a_score_that_does_not_depend_on_the_images_is_explained() -> None:
    with pytest.raises(BadInputError, match="does not depend on the images"):
        attribution.saliency(small(), images(), lambda z: z.detach()[:, 0])


def test_guided_backprop_needs_layers_that_it_can_bend() -> None:
    with pytest.raises(BadInputError, match="ReLU"):
        attribution.guided_backprop(Linear(), images(), 0)


@pytest.mark.parametrize("options", [{"samples": 0}, {"noise": -1.0}, {"noise": float("nan")}])
def test_bad_options_of_smooth_grad_are_explained(options: dict[str, float]) -> None:
    with pytest.raises(BadInputError, match="samples starts at 1"):
        attribution.smooth_grad(small(), images(), 0, **options)  # type: ignore[arg-type]
