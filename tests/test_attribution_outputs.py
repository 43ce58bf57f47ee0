"""Whatever a network returns and however exactly it counts: a map is right and float32, or the error says why not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from attribution_helpers import images, small
from torch import Tensor, nn

from interp import attribution, image, zoo
from interp.attribution.cam import grad_cam_plus_plus_sum, xgrad_cam_sum
from interp.attribution.targets import names_of, select
from interp.errors import BadInputError

METHODS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "saliency": lambda model, pictures: attribution.saliency(model, pictures, 1),
    "input_x_gradient": lambda model, pictures: attribution.input_x_gradient(model, pictures, 1),
    "guided_backprop": lambda model, pictures: attribution.guided_backprop(model, pictures, 1),
    "smooth_grad": lambda model, pictures: attribution.smooth_grad(model, pictures, 1, samples=2),
    "integrated_gradients": lambda model, pictures: attribution.integrated_gradients(
        model, pictures, 1, tolerance=torch.inf
    ),
    "occlusion": lambda model, pictures: attribution.occlusion(model, pictures, 1, window=4, stride=4),
    **{
        name: lambda model, pictures, name=name: getattr(attribution, name)(model, pictures, 1, "act")
        for name in ("grad_cam", "grad_cam_plus_plus", "layer_cam", "hires_cam", "xgrad_cam")
    },
}


@pytest.mark.parametrize("name", METHODS)
def test_heat_is_float32_whatever_the_precision(name: str) -> None:
    plain = METHODS[name](small(), images())
    assert plain.dtype == torch.float32
    for model_type, image_type in (
        (torch.bfloat16, torch.float32), (torch.float64, torch.float32),
        (torch.float64, torch.float64), (torch.float32, torch.float64), (torch.float32, torch.bfloat16),
    ):  # fmt: skip
        found = METHODS[name](small().to(model_type), images().to(image_type))
        assert found.dtype == torch.float32
        if torch.bfloat16 not in (model_type, image_type):
            torch.testing.assert_close(found, plain, atol=1e-6, rtol=1e-3)


def test_small_gradients_in_half_precision_are_not_nothing() -> None:
    maps, slopes = torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 1e-4)
    for variant in (grad_cam_plus_plus_sum, xgrad_cam_sum):
        expected = variant(maps, slopes)
        assert expected.min() > 0
        torch.testing.assert_close(variant(maps.half(), slopes.half()), expected, atol=0, rtol=1e-2)
    crossing = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2)  # 2 + sum(A) G is 0 at the first place
    found = grad_cam_plus_plus_sum(maps[:, :, :1].half(), crossing.half())
    assert found.isfinite().all()


# ------------------------------------------------------------------------------------------------------------
# Targets


class Wrapped(nn.Module):
    """Returns the logits inside of something else."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.wrap = small(), wrap

    def forward(self, pictures: Tensor) -> Any:
        return self.wrap(self.net(pictures))


def test_a_list_of_functions_reads_any_output() -> None:
    model = Wrapped(lambda logits: {"logits": logits}).eval()
    first, second = (lambda out: out["logits"][:, 1]), (lambda out: out["logits"][:, 3])
    found = attribution.saliency(model, images(3), [first, second, first])
    torch.testing.assert_close(found, attribution.saliency(small(), images(3), [1, 3, 1]))


@pytest.mark.parametrize("wrap", [lambda logits: {"logits": logits}, lambda logits: (logits,)])
def test_a_function_that_reads_one_image_is_refused_for_any_output(wrap: Callable[[Tensor], Any]) -> None:
    def one(out: Any) -> Tensor:
        return next(iter(out.values()))[0] if isinstance(out, dict) else out[0][0]

    with pytest.raises(BadInputError, match=r"a tensor \(2,\); it returned something of shape \(5,\)"):
        attribution.saliency(Wrapped(wrap).eval(), images(), one)
    with pytest.raises(BadInputError, match=r"a tensor \(2,\)"):
        attribution.saliency(Wrapped(wrap).eval(), images(), [one, one])


def test_class_names_have_to_be_as_many_as_the_outputs() -> None:
    logits = torch.arange(6.0).view(2, 3)
    assert select(logits, "b", ["a", "b", "c"]).tolist() == [1, 4]
    for names in (["a", "b"], ["a", "b", "c", "d"]):
        with pytest.raises(BadInputError, match=rf"{len(names)} class names for 3 outputs"):
            select(logits, "b", names)
        assert select(logits, 1, names).tolist() == [1, 4]
    with pytest.raises(BadInputError, match="set model"):
        select(logits, "b", ())


def test_class_names_are_a_list() -> None:
    model = small()
    model.class_names = {0: "cat"}
    with pytest.raises(BadInputError, match="not dict"):
        names_of(model)
    with pytest.raises(BadInputError, match="sequence of texts"):
        zoo.normalized(small(), [0.5] * 3, [0.5] * 3, {0: "cat"})
    with pytest.raises(BadInputError, match="sequence of texts"):
        zoo.normalized(small(), [0.5] * 3, [0.5] * 3, "cat")


# ------------------------------------------------------------------------------------------------------------
# One logit, and no logits


def test_one_logit_is_a_probability_by_itself() -> None:
    model, heat = small(classes=1), torch.rand(2, 12, 10)
    ends = torch.stack([torch.full((3, 12, 10), 0.5).expand(2, -1, -1, -1), images()])
    expected = torch.stack([model(end)[:, 0].sigmoid() for end in ends]).detach()
    curve = attribution.deletion(model, images(), 0, heat, steps=2)
    torch.testing.assert_close(curve.scores[:, [2, 0]].T, expected)
    ((_, share),) = zoo.get_predictions(model, images(1))[0]
    torch.testing.assert_close(torch.tensor(share), expected[1][0])


@pytest.mark.parametrize("wrap", [lambda logits: {"logits": logits}, lambda logits: logits[:, 0]])
def test_what_is_no_table_of_logits_is_explained(wrap: Callable[[Tensor], Any]) -> None:
    model = Wrapped(wrap).eval()
    with pytest.raises(BadInputError, match=r"logits \(N, classes\)"):
        attribution.insertion(model, images(), 1, torch.rand(2, 12, 10))
    with pytest.raises(BadInputError, match=r"logits \(N, classes\)"):
        zoo.get_predictions(model, images())


def test_predictions_have_the_right_number_of_names() -> None:
    model = small()
    model.class_names = ("a", "b")
    with pytest.raises(BadInputError, match="2 class names for 5 outputs"):
        zoo.get_predictions(model, images())


def test_ranks_of_nothing_are_refused() -> None:
    heat = torch.rand(1, 3, 3)
    with pytest.raises(BadInputError, match="NaN"):
        attribution.rank_correlation(heat, heat * torch.nan)


# ------------------------------------------------------------------------------------------------------------
# Networks of their own kind


def test_a_network_for_gray_images_is_explained_and_the_advice_works() -> None:
    class Gray(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

        def forward(self, pictures: Tensor) -> Tensor:
            return self.head(self.conv(pictures).relu().mean(dim=(2, 3)))

    class OfColors(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, pictures: Tensor) -> Tensor:
            return self.net(pictures.mean(dim=1, keepdim=True))

    with pytest.raises(BadInputError, match=r"of 1 channels.*these have \(2, 3.*image\.to_gray\(images\)"):
        attribution.saliency(Gray().eval(), images(), 1)
    assert attribution.saliency(OfColors(Gray()).eval(), images(), 1).max() > 0


def test_an_error_of_the_network_itself_passes() -> None:
    def broken(_: Tensor) -> Tensor:
        raise RuntimeError("out of cheese")

    with pytest.raises(RuntimeError, match="out of cheese"):
        attribution.saliency(Wrapped(broken).eval(), images(), 1)


def test_the_first_weight_may_be_of_another_type() -> None:
    model = Wrapped(lambda logits: logits)
    for step in (torch.tensor(0), torch.tensor(1.0, dtype=torch.float64)):
        odd = nn.Sequential()
        odd.step = nn.Parameter(step, requires_grad=False)
        odd.append(model)
        torch.testing.assert_close(
            attribution.saliency(odd.eval(), images(), 1), attribution.saliency(small(), images(), 1)
        )


def test_threads_share_a_model_and_get_the_maps_that_each_gets_alone() -> None:
    model = small().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pictures = [images(1, seed=seed) for seed in range(8)]
    methods = [METHODS[name] for name in ("saliency", "grad_cam", "guided_backprop", "layer_cam")]
    expected = [[method(small(), one) for method in methods] for one in pictures]
    wrong: list[int] = []
    start = threading.Barrier(4, timeout=60)

    def work(number: int) -> None:
        start.wait()
        for turn in range(number, 8, 4):
            for method, right in zip(methods, expected[turn], strict=True):
                if not torch.equal(method(model, pictures[turn]), right):
                    wrong.append(turn)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert wrong == []
    assert all(layer.training for layer in model.modules())
    assert model.act.inplace
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_guided_backprop_of_functions_is_that_of_layers() -> None:
    class Mixed(nn.Module):
        def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.net, self.function = small(), function

        def forward(self, pictures: Tensor) -> Tensor:
            net = self.net
            hidden = self.function(net.second(net.act(net.norm(net.first(pictures)))))
            return net.classifier(net.pool(hidden).flatten(1))

    found = attribution.guided_backprop(Mixed(torch.relu).eval(), images(), 1)
    torch.testing.assert_close(found, attribution.guided_backprop(small(), images(), 1))
    assert not torch.allclose(found, attribution.saliency(small(), images(), 1))


def test_the_sanity_check_copies_networks_that_keep_their_features() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, pictures: Tensor) -> Tensor:
            self.kept = self.net(pictures)
            return self.kept

    model = Keeps().eval()
    model(images())
    found = attribution.cascade(model, images(), 1, attribution.saliency, ["net.classifier"])
    assert found.heat.shape == (2, 2, 12, 10)


# ------------------------------------------------------------------------------------------------------------
# Normalization


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        ([123.7, 116.3, 103.5], [0.2] * 3, "mean has to be too.*by 255"),
        ([0.5] * 3, [58.4, 57.1, 57.4], "std has to be too.*by 255"),
        ([-0.1, 0.5, 0.5], [0.2] * 3, "mean has to be too"),
        ([0.5], [0.5], "images of 1 channels.*takes 3"),
        ([0.5] * 3, [0.5], "each channel; got 3 and 1"),
    ],
)
def test_numbers_for_other_images_are_refused(mean: list[float], std: list[float], text: str) -> None:
    with pytest.raises(BadInputError, match=text):
        zoo.normalized(small(), mean, std)


def test_images_are_normalized_once() -> None:
    once = zoo.normalized(small(), [0.5] * 3, [0.25] * 3)
    for network in (once, nn.Sequential(once)):
        with pytest.raises(
            BadInputError, match=r"normalizes its images already, with the mean \[0.5, 0.5, 0.5\]"
        ):
            zoo.normalized(network, [0.5] * 3, [0.25] * 3)


def test_only_networks_are_normalized() -> None:
    for thing in (small().state_dict(), nn.ReLU, torch.relu):
        with pytest.raises(BadInputError, match="A model has to be a torch"):
            zoo.normalized(thing, [0.5] * 3, [0.25] * 3)  # type: ignore[arg-type]


def test_the_wrapper_has_one_mode_and_points_inside() -> None:
    wrapped = zoo.normalized(small(), [0.5] * 3, [0.25] * 3)
    assert not any(layer.training for layer in wrapped.modules())
    assert all(layer.training for layer in zoo.normalized(small().train(), [0.5] * 3, [0.25] * 3).modules())
    with pytest.raises(AttributeError, match=r"\.model\.classifier"):
        _ = wrapped.classifier
    assert not hasattr(wrapped, "nothing")
    assert image.unwrapped(wrapped) is wrapped.model
    assert image.unwrapped(wrapped.model) is wrapped.model


@pytest.mark.parametrize("method", [attribution.saliency, attribution.integrated_gradients])
def test_a_network_for_one_size_says_so(method: Callable[..., Any]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 2)).eval()
    with pytest.raises(
        BadInputError, match=r"fails on \d images of 24 x 40 pixels .*made for images of one size"
    ):
        method(model, torch.rand(2, 3, 24, 40), 1)
    assert torch.isfinite(attribution.saliency(model, torch.rand(1, 3, 32, 32), 1)).all()


class Second(nn.Module):
    """Holds a second input for each of two images."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 2)
        self.register_buffer("second", torch.rand(2, 3))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(torch.cat([pictures.mean(dim=(2, 3)), self.second], dim=1))


@pytest.mark.parametrize(
    ("method", "options"), [("integrated_gradients", {}), ("occlusion", {"window": 8, "stride": 8})]
)
def test_a_second_input_for_each_image_is_not_taken_for_a_wrong_size(
    method: str, options: dict[str, int]
) -> None:
    with pytest.raises(
        BadInputError, match=r"fails on \d+ images .* second input, that has to be one for all"
    ):
        getattr(attribution, method)(Second(), torch.rand(2, 3, 16, 16), 1, **options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.ReLU, r"not type\. Make one of the class: ReLU\(\.\.\.\)"),
        ({"conv.weight": torch.zeros(1)}, "not dict. These seem to be its weights"),
        (lambda x: x, "not function. Put it into the forward"),
    ],
)
def test_what_is_no_network_is_named(model: Any, message: str) -> None:
    from interp import featurevis, hooks, spectrum

    some = torch.rand(1, 3, 8, 8)
    for call in (
        lambda: attribution.saliency(model, some, 0),
        lambda: zoo.get_predictions(model, some),
        lambda: hooks.activations(model, some, "0"),
        lambda: hooks.layer_names(model),
        lambda: featurevis.render(model, featurevis.logit(0), size=16, steps=1),
        lambda: spectrum.track(model, ["0"], []),
        lambda: zoo.normalized(model, [0.5] * 3, [0.5] * 3),
    ):
        with pytest.raises(BadInputError, match=message):
            call()
