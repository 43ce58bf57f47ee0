"""What was recorded is the true value in the graph, and the model comes back as it was, whatever happens."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import hooks, zoo
from interp.errors import BadInputError, UnknownNameError

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Small(nn.Module):
    """A network with everything that makes recording hard."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.same = nn.Identity()
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.pair = Pair()
        self.unused = nn.Linear(1, 1)
        self.drop = nn.Dropout(0.5)
        self.bn = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x)) * 2  # in place, behind conv
        self.same(x)
        x += 1  # in place, on what same was given
        shortcut = x = self.twice(self.twice(x))
        x = self.bn(self.drop(x))
        x += shortcut  # an in-place residual, behind bn
        x, _ = self.pair(x)
        out: Tensor = self.head(x.mean(dim=(2, 3)))
        return out


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.fixture
def small() -> Small:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(autouse=True)
def no_hook_stays() -> Iterator[None]:
    """Fail whenever a test leaves a hook on any module that it made."""
    made: list[nn.Module] = []
    original = nn.Module.__init__

    def remember(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        made.append(self)

    nn.Module.__init__ = remember  # type: ignore[method-assign]
    yield
    nn.Module.__init__ = original  # type: ignore[method-assign]
    assert not any(hooks_of(module) for module in made)


def hooks_of(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for kind in kinds)


# ------------------------------------------------------------------------------------------------------------
# Names


def test_names_are_in_the_order_of_definition(small: Small) -> None:
    assert hooks.layer_names(small) == [name for name, _ in small.named_children()]


def test_a_network_behind_its_normalization_keeps_its_names(small: Small) -> None:
    wrapped = zoo.normalized(small, [0.5] * 3, [0.5] * 3)
    assert hooks.layer_names(wrapped) == hooks.layer_names(small)
    assert hooks.find_layer(wrapped, "conv") is small.conv
    assert hooks.find_layer(wrapped, "model.conv") is small.conv
    assert hooks.find_layer(wrapped, "normalize") is wrapped.normalize


def test_a_layer_with_two_names_is_found_by_both() -> None:
    layer = nn.ReLU()
    model = nn.ModuleDict({"a": layer, "b": layer})
    assert hooks.find_layer(model, "a") is hooks.find_layer(model, "b") is layer


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("cov", "conv"),
        ("Twice", "twice"),
        ("conv.weight", "conv"),
        ("head.0", "head"),
        ("forward", "There are 9"),
    ],
)
def test_unknown_layers_list_the_closest(small: Small, name: str, close: str) -> None:
    with pytest.raises(UnknownNameError, match=close):
        hooks.find_layer(small, name)


@pytest.mark.parametrize("name", ["", ".", "..", None, 3, "__class__", "training", "conv.", "x" * 100_000])
def test_what_is_no_name_is_unknown(small: Small, name: Any) -> None:
    with pytest.raises(UnknownNameError):
        hooks.find_layer(small, name)


# ------------------------------------------------------------------------------------------------------------
# Recording


@pytest.mark.filterwarnings("ignore:The layer .* runs more than once")
def test_recorded_values_are_true_before_in_place_operations(small: Small) -> None:
    layers = ["conv", "relu", "same", "twice", "bn"]
    with torch.no_grad():
        conv = small.conv(IMAGES)
        first = small.twice(2 * conv.relu() + 1)  # a layer that runs twice gives its first output
        true = [conv, conv.relu(), 2 * conv.relu(), first, small.bn(small.twice(first))]
        plain = small(IMAGES)
        with hooks.record(small, layers) as recorded:
            logits = small(IMAGES)
    assert (conv < 0).any()
    for layer, expected in zip(layers, true, strict=True):
        torch.testing.assert_close(recorded[layer], expected)
    assert torch.equal(logits, plain)


def behind_conv(small: Small, conv: Tensor) -> Tensor:
    """Compute the score from the output of conv, without an in-place operation."""
    x = small.twice(small.twice(2 * conv.relu() + 1))
    score: Tensor = small.head((x + small.bn(x)).mean(dim=(2, 3)))[:, 0].sum()
    return score


@pytest.mark.filterwarnings("ignore:The layer .* runs more than once")
def test_gradients_are_those_of_the_model(small: Small) -> None:
    layers = ["conv", "relu", "same", "twice", "bn"]
    with hooks.record(small, layers) as recorded:
        score = small(IMAGES)[:, 0].sum()
    (gradient,) = torch.autograd.grad(score, recorded["conv"])
    conv = recorded["conv"].detach().requires_grad_()
    (expected,) = torch.autograd.grad(behind_conv(small, conv), conv)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("layer", ["layer1.0.bn2", "layer1.0", "bn1", "layer2.0.downsample.1"])
def test_in_place_rectifiers_and_residuals_of_torchvision(layer: str) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, torchvision.models.resnet.BasicBlock):
            module.forward = without_in_place.__get__(module)
    with hooks.record(network, [layer]) as recorded, hooks.record(plain, [layer]) as expected:
        ours, true = network(IMAGES)[:, 0].sum(), plain(IMAGES)[:, 0].sum()
    torch.testing.assert_close(recorded[layer], expected[layer])
    torch.testing.assert_close(
        torch.autograd.grad(ours, recorded[layer]), torch.autograd.grad(true, expected[layer])
    )


def without_in_place(self: Any, x: Tensor) -> Tensor:
    """Compute a basic block of a residual network (He et al., 2015) without writing into its inputs."""
    out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
    return F.relu(out + (x if self.downsample is None else self.downsample(x)))


def test_a_second_pass_starts_anew(small: Small) -> None:
    with hooks.record(small, ["conv"]) as recorded, torch.no_grad():
        small(IMAGES)
        small(1 - IMAGES)
    torch.testing.assert_close(recorded["conv"], small.conv(1 - IMAGES).detach())


@pytest.mark.filterwarnings("ignore:The layer .* runs more than once")
def test_recordings_can_be_nested(small: Small) -> None:
    with hooks.record(small, ["conv"]) as outer, torch.no_grad():
        with hooks.record(small, ["conv", "twice"]) as inner:
            small(IMAGES)
        assert torch.equal(outer["conv"], inner["conv"])
        stopped = hooks.run(small, IMAGES, ["conv"])
        assert torch.equal(outer["conv"], stopped["conv"])


def test_parent_and_child_can_be_recorded_together() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True)), nn.ReLU())
    with hooks.record(model, ["0.0", "0.1", "0"]) as recorded:
        score = model(IMAGES).sum()
    assert torch.equal(recorded["0"], recorded["0.0"].relu())
    gradients = torch.autograd.grad(score, [recorded["0.0"], recorded["0.1"], recorded["0"]])
    torch.testing.assert_close(gradients[0], (recorded["0.0"] > 0).float())
    torch.testing.assert_close(gradients[2], (recorded["0"] > 0).float())


def test_threads_do_not_see_the_passes_of_others(small: Small) -> None:
    barrier, wrong = threading.Barrier(4, timeout=60), []

    def work(number: int) -> None:
        images = torch.full((1, 3, 8, 8), number / 4)
        expected = small.conv(images).detach()
        barrier.wait()
        for _ in range(50):
            with hooks.record(small, ["conv"]) as recorded:
                small(images)
            stopped = hooks.activations(small, images, "conv")
            if not (torch.equal(recorded["conv"], expected) and torch.equal(stopped, expected)):
                wrong.append(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert wrong == []


def test_a_layer_that_returns_several_tensors_is_explained(small: Small) -> None:
    with pytest.raises(BadInputError, match="'pair' returns tuple"), hooks.record(small, ["pair"]):
        small(IMAGES)


def test_a_layer_that_did_not_run_is_explained(small: Small) -> None:
    with hooks.record(small, ["conv", "unused"]) as recorded:
        with pytest.raises(BadInputError, match="no forward pass was made"):
            recorded["conv"]
        small(IMAGES)
    with pytest.raises(BadInputError, match=r"layer 'unused'.*Recorded: conv"):
        recorded["unused"]
    with pytest.raises(BadInputError, match="layer 'unused'"):
        hooks.activations(small, IMAGES, "unused")


def test_layers_are_a_list(small: Small) -> None:
    with pytest.raises(BadInputError, match=r"\['conv'\]"), hooks.record(small, "conv"):
        pass


# ------------------------------------------------------------------------------------------------------------
# Stopping early


def test_the_pass_stops_at_the_last_layer_asked_for(small: Small) -> None:
    ran: list[str] = []
    behind = small.head.forward
    small.head.forward = lambda x: (ran.append("head"), behind(x))[1]  # type: ignore[method-assign]
    found = hooks.run(small, IMAGES, ["twice", "conv"])
    assert list(found) == ["twice", "conv"]
    assert ran == []
    small(IMAGES)
    assert ran == ["head"]


@pytest.mark.filterwarnings("ignore:The layer .* runs more than once")
def test_stopping_gives_what_recording_gives(small: Small) -> None:
    layers = ["conv", "relu", "twice", "bn"]
    with hooks.record(small, layers) as recorded:
        small(IMAGES)
    stopped = hooks.run(small, IMAGES, layers)
    for layer in layers:
        assert torch.equal(recorded[layer], stopped[layer])
        assert stopped[layer].grad_fn is not None
        alone = hooks.activations(small, IMAGES, layer)
        assert torch.equal(alone, recorded[layer])
        assert not alone.requires_grad


def test_a_function_of_each_output_can_be_kept_instead(small: Small) -> None:
    layers = ["conv", "same", "bn"]
    whole = hooks.run(small, IMAGES, layers)
    means = hooks.run(small, IMAGES, layers, then=lambda output: output.mean(dim=(2, 3)))
    for layer in layers:
        torch.testing.assert_close(means[layer], whole[layer].mean(dim=(2, 3)))


def test_activations_of_the_embedded_network(model: nn.Module, photographs: Tensor) -> None:
    found = hooks.activations(model, photographs, "blocks.3.2")
    assert found.shape == (2, 80, 14, 14)
    assert hooks.activations(model, photographs, "classifier").shape == (2, 1000)
    with torch.no_grad():
        torch.testing.assert_close(hooks.activations(model, photographs, "classifier"), model(photographs))


@pytest.mark.parametrize("images", [IMAGES * 255, IMAGES[0], IMAGES.byte(), IMAGES * float("nan"), None])
def test_activations_refuse_what_is_no_batch_of_images(small: Small, images: Any) -> None:
    with pytest.raises(BadInputError):
        hooks.activations(small, images, "conv")


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_activations_have_the_precision_of_the_model(precision: torch.dtype) -> None:
    wrapped = zoo.normalized(nn.Sequential(nn.Conv2d(3, 2, 1)).to(precision), [0.5] * 3, [0.5] * 3)
    assert hooks.activations(wrapped, IMAGES, "0").dtype == precision


def test_activations_are_computed_on_the_device_of_the_model() -> None:
    wrapped = zoo.normalized(nn.Sequential(nn.Conv2d(3, 2, 1)).to("meta"), [0.5] * 3, [0.5] * 3)
    found = hooks.activations(wrapped, IMAGES, "0")
    assert (found.device.type, found.shape) == ("meta", (2, 2, 16, 16))


# ------------------------------------------------------------------------------------------------------------
# The model comes back as it was


def test_a_model_in_training_mode_is_evaluated_and_stays_as_it_was(small: Small) -> None:
    expected = hooks.activations(small, IMAGES, "bn")
    small.train()
    small.twice.eval()
    before = {name: value.clone() for name, value in small.state_dict().items()}
    modes = [layer.training for layer in small.modules()]
    torch.manual_seed(3)
    random = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(hooks.activations(small, IMAGES, "bn"), expected)
    assert torch.equal(torch.rand(1), random)
    assert [layer.training for layer in small.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
    small(IMAGES)  # the test can fail: a plain pass changes the model
    assert not torch.equal(small.bn.running_mean, before["bn.running_mean"])


def test_evaluating_gives_every_layer_its_own_mode_back(small: Small) -> None:
    small.train()
    small.bn.eval()
    modes = [layer.training for layer in small.modules()]
    with hooks.evaluating(small):
        assert not any(layer.training for layer in small.modules())
    assert [layer.training for layer in small.modules()] == modes
    with pytest.raises(KeyboardInterrupt), hooks.evaluating(small):
        raise KeyboardInterrupt
    assert [layer.training for layer in small.modules()] == modes


def failing(_: Any) -> Tensor:
    raise RuntimeError("in the middle of a pass")


def use_record(model: nn.Module) -> None:
    with hooks.record(model, ["conv", "twice"]):
        model(IMAGES)


def use_run(model: nn.Module) -> None:
    hooks.run(model, IMAGES, ["bn"])


def use_replacing(model: nn.Module) -> None:
    with hooks.replacing(model, {"conv": torch.zeros_like, "twice": failing}):
        model(IMAGES)


def use_gradient_rule(model: nn.Module) -> None:
    with hooks.gradient_rule(model, (nn.ReLU,), lambda inner, _: failing(inner)):
        model(IMAGES.clone().requires_grad_()).sum().backward()


@pytest.mark.parametrize("use", [use_record, use_run, use_replacing, use_gradient_rule])
def test_nothing_stays_after_an_exception(small: Small, use: Callable[[nn.Module], None]) -> None:
    small.train()
    if use in (use_record, use_run):
        small.twice.forward = failing  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="in the middle"):
        use(small)
    assert sum(map(hooks_of, small.modules())) == 0
    assert small.relu.inplace
    assert small.training
    assert small.bn.training


@pytest.mark.parametrize("layers", [["conv", "nothing"], ["nothing"]])
def test_nothing_stays_after_an_unknown_layer(small: Small, layers: list[str]) -> None:
    for enter in (
        lambda: hooks.record(small, layers),
        lambda: hooks.replacing(small, dict.fromkeys(layers, torch.relu)),
    ):
        with pytest.raises(UnknownNameError), enter():
            pass
    assert sum(map(hooks_of, small.modules())) == 0


# ------------------------------------------------------------------------------------------------------------
# Changing what flows


def test_replacing_changes_the_output_of_a_layer(small: Small) -> None:
    plain = small(IMAGES)
    with hooks.replacing(small, {"head": lambda out: out * 2 + 1}):
        torch.testing.assert_close(small(IMAGES), plain * 2 + 1)
    torch.testing.assert_close(small(IMAGES), plain)
    with hooks.replacing(small, {"conv": torch.zeros_like}), hooks.record(small, ["relu"]) as recorded:
        small(IMAGES)
    assert recorded["relu"].abs().max() == 0


def test_a_gradient_rule_bends_the_gradient_and_no_value(small: Small) -> None:
    images = IMAGES.clone().requires_grad_()
    plain = small(images).sum()
    (true,) = torch.autograd.grad(plain, images)
    with hooks.gradient_rule(small, (nn.ReLU,), lambda inner, _: inner * 3):
        bent = small(images).sum()
        (gradient,) = torch.autograd.grad(bent, images)
    torch.testing.assert_close(bent, plain)
    torch.testing.assert_close(gradient, true * 3)  # all paths run through the one rectifier
    assert small.relu.inplace


def test_a_gradient_rule_gets_both_gradients() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 1, 1))
    seen: list[tuple[Tensor, Tensor]] = []
    with hooks.gradient_rule(model, (nn.ReLU,), lambda inner, outer: seen.append((inner, outer)) or outer):
        model(IMAGES).sum().backward()
    ((inner, outer),) = seen
    assert torch.equal(inner, outer * (model[0](IMAGES) > 0))


def test_a_gradient_rule_passes_over_layers_whose_input_needs_no_gradient() -> None:
    model = nn.Sequential(nn.PReLU(), nn.Conv2d(3, 1, 1))
    with hooks.gradient_rule(model, (nn.PReLU,), lambda inner, _: inner * 3):
        model(IMAGES).sum().backward()
    assert model[0].weight.grad is not None


def test_a_gradient_rule_bends_only_what_goes_through_the_layer() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU6(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = x * 1
            y = self.act(x * 1) + self.act(x)  # runs twice
            y += x  # in place, behind the layer
            return y

    model, images = Residual(), IMAGES.clone().requires_grad_()
    with hooks.gradient_rule(model, (nn.ReLU6,), lambda inner, _: inner * 3):
        (gradient,) = torch.autograd.grad(model(images).sum(), images)
    torch.testing.assert_close(gradient, torch.full_like(gradient, 3.0 + 3.0 + 1.0))


def test_a_gradient_rule_holds_in_every_backward_pass() -> None:
    model, images = nn.Sequential(nn.ReLU()), IMAGES.clone().requires_grad_()
    with hooks.gradient_rule(model, (nn.ReLU,), lambda inner, outer: inner + outer):
        out = model(images)
        for factor in (1.0, 5.0):
            (gradient,) = torch.autograd.grad((out * factor).sum(), images, retain_graph=True)
            torch.testing.assert_close(gradient, torch.full_like(gradient, 2 * factor))


def test_a_model_without_layers_of_the_type_is_explained(small: Small) -> None:
    with (
        pytest.raises(BadInputError, match="No layer of the types GELU, SiLU runs"),
        hooks.gradient_rule(small, (nn.GELU, nn.SiLU), lambda inner, _: inner),
    ):
        pass


@pytest.mark.parametrize("place", [True, False])
@pytest.mark.parametrize(
    "function",
    [
        F.relu,
        torch.relu,
        lambda x: x.relu(),
        F.relu6,
        lambda x: F.relu(x, inplace=True),
        lambda x: F.relu(x, True),
        lambda x: x.relu_(),
        lambda x: (torch.relu_(x), x)[1],
    ],
)
def test_a_gradient_rule_bends_functions_too(function: Callable[[Tensor], Tensor], place: bool) -> None:
    class Functional(nn.Module):
        def __init__(self, as_layer: bool) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=place)
            self.as_layer = as_layer

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(input=self.conv(x)) - 0.1
            return (self.act(x) if self.as_layer else function(x)).sum(dim=(2, 3))

    torch.manual_seed(0)
    model, found = Functional(True), []
    for model.as_layer in (True, False):
        images = IMAGES.clone().requires_grad_()
        with hooks.gradient_rule(model, (nn.ReLU, nn.ReLU6), lambda inner, outer: inner.clamp(min=0) + outer):
            score = model(images)[:, 0].sum()
            found += torch.autograd.grad(score, images)
        torch.testing.assert_close(score, model(images)[:, 0].sum())
    torch.testing.assert_close(found[0], found[1])
    assert model.act.inplace == place


def test_a_layer_that_returns_a_view_is_recorded_before_what_changes_it() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat = nn.Flatten()

        def forward(self, x: Tensor) -> Tensor:
            x = x * 2
            flat = self.flat(x)
            x.zero_()
            return flat

    model = Net()
    with hooks.record(model, ["flat"]) as found:
        model(IMAGES)
    torch.testing.assert_close(found["flat"], (IMAGES * 2).flatten(1))


def test_a_layer_that_runs_twice_is_warned_of(small: Small) -> None:
    with hooks.record(small, ["twice"]), pytest.warns(UserWarning, match="'twice' runs more than once"):
        small(IMAGES)


def test_what_did_not_run_in_a_pass_is_not_called_no_pass(small: Small) -> None:
    with pytest.raises(BadInputError, match=r"Recorded: nothing\."):
        hooks.activations(small, IMAGES, "unused")


class Mixed(nn.Module):
    """The first weights are a counter and a scale in another precision."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.tensor(3), requires_grad=False)
        self.scale = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).mean(dim=(2, 3)) * self.scale.to(images)


def test_images_get_the_type_of_most_weights() -> None:
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        model = Mixed()
        model.conv.to(kind)
        assert hooks.dtype_of(model) == kind
        assert hooks.ready(model, IMAGES).dtype == kind
        assert hooks.activations(model, IMAGES.double(), "conv").dtype == kind
        wrapped = zoo.normalized(model, [0.5] * 3, [0.5] * 3)
        assert wrapped(IMAGES).dtype == kind
    assert hooks.dtype_of(nn.ReLU()) == torch.float32
    whole = torch.zeros(1, dtype=torch.long)
    assert hooks.ready(model, whole) is whole


def test_the_device_is_that_of_weights_or_buffers() -> None:
    assert hooks.device_of(nn.Conv2d(3, 2, 1).to("meta")).type == "meta"
    assert hooks.device_of(nn.BatchNorm2d(3, affine=False).to("meta")).type == "meta"
    assert hooks.device_of(nn.ReLU()).type == "cpu"


def test_quantized_outputs_are_recorded_as_numbers_and_not_changed() -> None:
    class Quantized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.back = torch.ao.nn.quantized.Quantize(0.1, 0, torch.quint8), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.back(self.layer(x).dequantize())

    model = Quantized().eval()
    found = hooks.activations(model, IMAGES, "layer")
    torch.testing.assert_close(found, model(IMAGES))
    with hooks.record(model, ["layer"]) as recorded:
        model(IMAGES)
    torch.testing.assert_close(recorded["layer"], found)
    with pytest.raises(BadInputError, match="quantized"), hooks.replacing(model, {"layer": torch.zeros_like}):
        model(IMAGES)


def test_full_names_are_those_of_the_model_as_it_is(small: Small) -> None:
    assert hooks.full_name(small, "conv") == "conv"
    assert hooks.full_name(zoo.normalized(small, [0.5] * 3, [0.5] * 3), "conv") == "model.conv"


def test_a_replacement_is_for_the_passes_of_its_own_thread(small: Small) -> None:
    plain, found = small(IMAGES), []
    with hooks.replacing(small, {"conv": torch.zeros_like}):
        thread = threading.Thread(target=lambda: found.append(small(IMAGES)))
        thread.start()
        thread.join()
        assert not torch.equal(small(IMAGES), plain)
    assert torch.equal(found[0], plain)


def test_modes_come_back_when_the_last_thread_is_done(small: Small) -> None:
    small.train()
    small.twice.eval()
    modes = [layer.training for layer in small.modules()]
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with hooks.evaluating(small):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=work)
    with hooks.evaluating(small):
        thread.start()
        assert inside.wait(60)
    assert not any(layer.training for layer in small.modules())  # the other one is still in there
    leave.set()
    thread.join()
    assert [layer.training for layer in small.modules()] == modes


def test_copies_in_other_threads_and_scripts_are_refused(small: Small) -> None:
    copies = nn.DataParallel(small)
    copies.device_ids = [0, 1]
    script = torch.jit.script(nn.Sequential(nn.Conv2d(3, 2, 1)))
    for model, layer, text in ((copies, "module.conv", "model.module"), (script, "0", "TorchScript")):
        for use in (hooks.record(model, [layer]), hooks.replacing(model, {layer: torch.relu})):
            with pytest.raises(BadInputError, match=text), use:
                pass


class Halt(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.filterwarnings("ignore:The layer .* runs more than once")
@pytest.mark.parametrize("error", [AssertionError, KeyError, StopIteration, KeyboardInterrupt, Halt])
def test_nothing_stays_whatever_a_network_raises(small: Small, error: type[BaseException]) -> None:
    def broken(_: Tensor) -> Tensor:
        raise error

    small.train()
    small.drop.forward = broken  # type: ignore[method-assign]
    for use in (
        lambda: hooks.run(small, IMAGES, ["head"]),
        lambda: hooks.activations(small, IMAGES, "bn"),
        lambda: use_gradient_rule(small),
        lambda: use_record(small),
    ):
        with pytest.raises((error, RuntimeError)):
            use()
    assert sum(map(hooks_of, small.modules())) == 0
    assert all(layer.training for layer in small.modules())
    assert small.relu.inplace
