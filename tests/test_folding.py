"""Folding: the same function, faster, and only where that was checked."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from interp import folding, hooks, zoo
from interp.errors import BadInputError


def batch_norms(model: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())


def restless(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm that changes something: at the start they are nearly the identity."""
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.5, 2)
    return norm


class Pair(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, bias=bias)
        self.norm = restless(5)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).relu().mean(dim=(2, 3))


class NotAPair(Pair):
    """The norm follows the convolution in the parent, but not in the forward pass."""

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images).relu()).mean(dim=(2, 3))


def test_folded_network_computes_the_same(model: nn.Module, photographs: Tensor) -> None:
    folded = folding.fold(model)
    assert batch_norms(model) > 40
    assert batch_norms(folded) == 0
    with torch.no_grad():
        torch.testing.assert_close(folded(photographs), model(photographs), atol=1e-4, rtol=1e-4)
    for layer in ("bn_stem", "blocks.3.2", "blocks.4.1.act_depthwise", "conv_head"):
        kept = folding.fold(model, keep=[layer])
        theirs = hooks.activations(model, photographs, layer)
        torch.testing.assert_close(hooks.activations(kept, photographs, layer), theirs, atol=1e-3, rtol=1e-3)


def test_a_convolution_that_is_looked_at_stays_as_it_is(model: nn.Module, photographs: Tensor) -> None:
    layer = "blocks.3.2.expand"
    theirs = hooks.activations(model, photographs, layer)
    kept = hooks.activations(folding.fold(model, keep=[layer]), photographs, layer)
    torch.testing.assert_close(kept, theirs, atol=1e-3, rtol=1e-3)
    folded = hooks.activations(folding.fold(model), photographs, layer)
    assert (folded - theirs).abs().max() > 0.1  # so the option is needed


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_bias_and_affine_in_every_combination(bias: bool, affine: bool) -> None:
    model = Pair(bias).eval()
    if not affine:
        model.norm.affine, model.norm.weight, model.norm.bias = False, None, None
    folded = folding.fold(model)
    images = torch.rand(2, 3, 16, 16)
    assert isinstance(folded.norm, nn.Identity)
    torch.testing.assert_close(folded(images), model(images))


def test_a_wrong_pair_is_noticed() -> None:
    model = NotAPair().eval()
    folded = folding.fold(model)
    images = torch.rand(2, 3, 16, 16)
    assert batch_norms(folded) == 1
    torch.testing.assert_close(folded(images), model(images))


def test_a_network_that_cannot_be_probed_stays_unfolded() -> None:
    class Large(Pair):
        def forward(self, images: Tensor) -> Tensor:
            if images.shape[-1] < 300:
                raise RuntimeError("too small")
            return super().forward(images)

    assert batch_norms(folding.fold(Large())) == 1
    assert batch_norms(folding.fold(Large(), probe=320)) == 0


def test_a_norm_of_another_kind_keeps_its_activation() -> None:
    class NormAndActivation(nn.BatchNorm2d):
        def forward(self, values: Tensor) -> Tensor:
            return super().forward(values).relu()

    model = Pair().eval()
    model.norm = NormAndActivation(5).eval()
    assert isinstance(folding.fold(model).norm, NormAndActivation)


def test_the_copy_is_frozen_and_the_original_untouched() -> None:
    model = Pair().train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    folded = folding.fold(model)
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_half_precision_becomes_single() -> None:
    folded = folding.fold(Pair().half())
    assert folded(torch.rand(1, 3, 16, 16)).dtype == torch.float32


def test_names_inside_a_normalized_network() -> None:
    model = zoo.normalized(Pair().eval(), mean=[0.5] * 3, std=[0.2] * 3)
    assert batch_norms(folding.fold(model)) == 0
    assert batch_norms(folding.fold(model, keep=["conv"])) == 1


# ------------------------------------------------------------------------------------------------------------
# What is not proven is not folded


class Silent(NotAPair):
    """A wrong pair behind a head that says the same whatever comes: a new one, or one that saturates."""

    def __init__(self, last: str) -> None:
        super().__init__()
        self.last, self.head = last, nn.Linear(5, 2)
        if last == "zero":
            nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(super().forward(images))
        if self.last == "infinite":
            return torch.cat([out, torch.full((len(out), 1), -torch.inf)], dim=1)
        return torch.sigmoid(1000 + out) if self.last == "saturated" else out


@pytest.mark.parametrize("last", ["zero", "saturated", "infinite"])
def test_a_head_that_hides_a_wrong_pair_does_not_matter(last: str) -> None:
    model, images = Silent(last).eval(), torch.rand(2, 3, 16, 16)
    folded = folding.fold(model, keep=["norm"])
    assert batch_norms(folded) == 1
    torch.testing.assert_close(
        hooks.activations(folded, images, "norm"), hooks.activations(model, images, "norm")
    )


class Both(Pair):
    """Somebody else takes the convolution's output too."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.head = how, nn.Linear(5, 2)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> object:
        before = self.conv(images)
        if self.how == "in place":
            before.mul_(2)
        out = self.norm(before)
        if self.how == "added":
            out = out + before
        logits = self.head(out.mean(dim=(2, 3)))
        if self.how == "returned":
            return {"logits": logits, "maps": [before]}
        return (logits, before.data) if self.how == "read" else logits


@pytest.mark.parametrize("how", ["in place", "added", "returned", "read"])
def test_a_convolution_that_somebody_else_reads_stays(how: str) -> None:
    assert batch_norms(folding.fold(Both(how))) == 1
    assert batch_norms(folding.fold(Both("for the norm alone"))) == 0


class Shared(Pair):
    """One norm behind several convolutions."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names, self.other, self.tied = names, nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3)
        self.tied.weight = self.conv.weight

    def forward(self, images: Tensor) -> Tensor:
        parts = [self.norm(self.get_submodule(name)(images)).mean(dim=(2, 3)) for name in self.names]
        return torch.stack(parts).sum(dim=0)


@pytest.mark.parametrize(
    ("names", "left"), [(("conv", "other"), 1), (("conv", "tied"), 1), (("other", "other"), 0)]
)
def test_layers_that_are_used_twice(names: tuple[str, ...], left: int) -> None:
    model, images = Shared(*names).eval(), torch.rand(2, 3, 16, 16)
    folded = folding.fold(model)
    assert batch_norms(folded) == left
    torch.testing.assert_close(folded(images), model(images))


def test_a_convolution_that_changes_its_weight_stays() -> None:
    class Standardized(nn.Conv2d):
        """Divides its weight by its deviation, as weight standardization does: a factor changes nothing."""

        def forward(self, images: Tensor) -> Tensor:
            return self._conv_forward(images, self.weight / self.weight.std(), self.bias)

    model = Pair().eval()
    model.conv = Standardized(3, 5, 3)
    images, folded = torch.rand(2, 3, 16, 16), folding.fold(model)
    assert batch_norms(folded) == 1
    torch.testing.assert_close(folded(images), model(images))


def scaled(layer: nn.Module) -> None:
    layer.register_forward_hook(lambda _layer, _inputs, out: out * 0.5)


@pytest.mark.parametrize("layer", ["conv", "norm"])
def test_a_hook_of_somebody_else_keeps_its_effect(layer: str) -> None:
    model, images = Pair().eval(), torch.rand(2, 3, 16, 16)
    scaled(model.get_submodule(layer))
    torch.testing.assert_close(folding.fold(model)(images), model(images))


def test_a_container_that_ends_with_the_convolution_gives_what_it_gives() -> None:
    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm = nn.Sequential(nn.Conv2d(3, 5, 3)), restless(5)

        def forward(self, images: Tensor) -> Tensor:
            return self.norm(self.stem(images))

    model, images = Inside().eval(), torch.rand(2, 3, 16, 16)
    assert batch_norms(folding.fold(model, keep=["norm"])) == 0
    kept = hooks.activations(folding.fold(model, keep=["stem"]), images, "stem")
    torch.testing.assert_close(kept, hooks.activations(model, images, "stem"))


class Clip(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.clamp(-0.1, 0.1)


def parametrized(conv: nn.Conv2d) -> None:
    nn.utils.parametrize.register_parametrization(conv, "weight", Clip())


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "change",
    [
        parametrized,
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.weight_norm,
        lambda conv: prune.l1_unstructured(conv, "weight", 0.5),
    ],
)
def test_weights_that_are_made_of_others_stay(change: Callable[[nn.Conv2d], object]) -> None:
    model, images = Pair().eval(), torch.rand(2, 3, 16, 16)
    change(model.conv)
    model(images)  # the old kinds keep what they made on the layer, with its graph
    folded = folding.fold(model)
    torch.testing.assert_close(folded(images), model(images))
    assert batch_norms(folded) == 1


@pytest.mark.parametrize(
    "error", [AssertionError, IndexError, KeyError, NotImplementedError, RuntimeError, OSError]
)
def test_a_network_may_raise_what_it_likes_at_other_sizes(error: type[Exception]) -> None:
    class Fixed(Pair):
        def forward(self, images: Tensor) -> Tensor:
            if images.shape[-2:] != (side, side):
                raise error("one size only")
            return super().forward(images)

    side = 32
    assert batch_norms(folding.fold(Fixed())) == 1
    side = 224  # which most networks for one size take
    assert batch_norms(folding.fold(Fixed())) == 0


# ------------------------------------------------------------------------------------------------------------
# Copies


class Keeps(Pair):
    """Keeps its features, as networks with the code of Grad-CAM in them do, and what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock, self.seen = threading.Lock(), {"last": [torch.zeros(1)]}

    def forward(self, images: Tensor) -> Tensor:
        with self.lock:
            self.features = self.conv(images)
            self.seen["last"] = [self.features]
            return self.norm(self.features).mean(dim=(2, 3))


def test_a_network_that_keeps_tensors_and_locks_is_copied() -> None:
    model, images = Keeps().eval(), torch.rand(2, 3, 16, 16)
    expected = model(images)
    made = folding.copied(model)
    assert made.lock is model.lock
    assert made.conv.weight is not model.conv.weight
    assert made.features.grad_fn is None
    assert made.features is made.seen["last"][0]
    torch.testing.assert_close(made.features, model.features.detach())
    assert model.features.grad_fn is not None
    torch.testing.assert_close(folding.fold(model)(images), expected.detach())


def test_hooks_that_cannot_be_copied_are_shared_and_their_table_is_not() -> None:
    model = Pair()
    lock = threading.Lock()
    hook = functools.partial(lambda lock, *_: None, lock)
    model.conv.register_forward_hook(hook)
    made = folding.copied(model)
    assert made.conv._forward_hooks is not model.conv._forward_hooks
    assert list(made.conv._forward_hooks.values()) == [hook]


def test_what_can_not_be_copied_at_all_is_said() -> None:
    class Stubborn(nn.Module):
        def __deepcopy__(self, _memo: object) -> Stubborn:
            raise ValueError("one of a kind")

    with pytest.raises(BadInputError, match=r"Sequential cannot be copied: one of a kind"):
        folding.fold(nn.Sequential(Stubborn()))


def test_a_script_is_refused() -> None:
    with pytest.raises(BadInputError, match="TorchScript"):
        folding.fold(torch.jit.script(nn.Sequential(nn.Conv2d(3, 2, 1))))
