"""Folding: the same function, faster, and only where that was checked."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from interp import folding, hooks, zoo


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
