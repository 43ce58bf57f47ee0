"""The circuit of a unit: as equations, and against pruning by chance and by magnitude."""

from __future__ import annotations

import itertools

import pytest
import torch
from attribution_helpers import images, small
from torch import Tensor, nn

from interp import attribution, folding, hooks
from interp.attribution import Circuit, agreement, find_circuit, kernel_saliency
from interp.errors import BadInputError, UnknownNameError

SHARES = (0.1, 0.2, 0.4)


class Planted(nn.Module):
    """The unit 0 of `last` reads only the first half of the channels, by kernels no larger than the others."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.act = nn.ReLU()
        self.last = nn.Conv2d(16, 2, 3, padding=1)
        with torch.no_grad():
            for layer in (self.first, self.last):
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
                layer.bias.zero_()
            self.last.weight[0, 8:] = 0
            self.last.weight[1, :8] = 0

    def forward(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.last(self.act(self.first(pictures)))
        return out


def test_what_leads_to_the_unit_has_a_saliency_and_nothing_else() -> None:
    saliency = kernel_saliency(Planted(), images(), "last", 0)
    assert (saliency["first"] > 0).all(1).tolist() == [True] * 8 + [False] * 8
    assert (saliency["last"] > 0).tolist() == [[True] * 8 + [False] * 8, [False] * 16]


def test_it_is_weight_times_gradient() -> None:
    model, pictures = small(), images(3)
    wanted = torch.zeros(6, 8)
    for one in pictures.split(1):
        strength = hooks.run(model, one, ["second"])["second"][:, 2].abs().sum()
        (gradient,) = torch.autograd.grad(strength, model.second.weight)
        wanted += (gradient * model.second.weight).abs().mean(dim=(2, 3)).detach() / 3
    torch.testing.assert_close(kernel_saliency(model, pictures, "second", 2)["second"], wanted)


def test_it_is_the_mean_over_images_in_any_portions() -> None:
    model, pictures = small(), images(3)
    parts = [kernel_saliency(model, part, "second", 2)["first"] for part in pictures.split([1, 2])]
    whole = kernel_saliency(model, pictures, "second", 2)["first"]
    torch.testing.assert_close(whole, (parts[0] + 2 * parts[1]) / 3)


def test_the_last_convolutions_kernels_add_up_to_the_unit() -> None:
    """In one place, a linear unit above 0 without bias is the sum of its weights times their gradients."""
    model = small()
    model.second.bias.data.zero_()
    one = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    (value,) = hooks.activations(model, one, "second")[0, 4].flatten().abs()
    weight = model.second.weight[4, :, 1:, 1:]  # the rest lies outside of the picture
    inside = hooks.activations(model, one, "act")[0]
    torch.testing.assert_close((weight * inside).sum().abs(), value)
    saliency = kernel_saliency(model, one, "second", 4)["second"][4]
    torch.testing.assert_close(saliency * 9, (weight * inside).abs().sum(dim=(1, 2)).detach())


def test_folded_batch_norm_changes_nothing() -> None:
    model, pictures = small(), images()
    folded = folding.fold(model, keep=["act", "second"], probe=12)
    assert not torch.equal(folded.first.weight, model.first.weight)
    pair = [kernel_saliency(network, pictures, "second", 1)["first"] for network in (model, folded)]
    torch.testing.assert_close(*pair)
    circuit = Circuit.of(kernel_saliency(model, pictures, "second", 1), 0.5)
    left = [
        hooks.activations(circuit.applied(network), pictures, "second")[:, 1] for network in (model, folded)
    ]
    torch.testing.assert_close(*left)


def test_all_of_it_is_the_network() -> None:
    model, pictures = small(), images()
    circuit = find_circuit(model, pictures, "second", 1, share=1)
    held_out = images(seed=1)
    assert torch.equal(circuit.applied(model)(held_out), model(held_out))
    assert agreement(model, circuit.applied(model), held_out, "second", 1) == pytest.approx(1)


def test_none_of_it_is_a_constant() -> None:
    model, pictures = small(), images()
    circuit = Circuit.of(kernel_saliency(model, pictures, "second", 1), 0)
    assert circuit.count == 0
    assert agreement(model, circuit.applied(model), pictures, "second", 1) == 0


def test_balanced_it_keeps_the_mean_of_every_channel() -> None:
    model, pictures = small(), images(3)
    circuit = find_circuit(model, pictures, "second", 1, share=0.3)
    layers = list(circuit.masks)
    whole = hooks.run(model, pictures, layers)
    left = hooks.run(circuit.applied(model, balanced_on=pictures), pictures, layers)
    bare = hooks.run(circuit.applied(model), pictures, layers)
    for layer in layers:
        means = [values[layer].mean(dim=(0, 2, 3)) for values in (whole, left, bare)]
        torch.testing.assert_close(means[1], means[0], atol=1e-5, rtol=1e-4)
        assert not torch.allclose(means[2], means[0], atol=1e-3)


def test_balanced_all_of_it_is_the_network_and_none_of_it_a_constant() -> None:
    model, pictures = small(), images()
    saliency = kernel_saliency(model, pictures, "second", 1)
    everything = Circuit.of(saliency, 1).applied(model, balanced_on=pictures)
    torch.testing.assert_close(everything(pictures), model(pictures))
    nothing = Circuit.of(saliency, 0).applied(model, balanced_on=pictures)
    assert agreement(model, nothing, pictures, "second", 1) == pytest.approx(0, abs=1e-6)


def test_a_planted_circuit_is_found_whole() -> None:
    """Half of the kernels of the first layer and a quarter of the last do all that the unit does."""
    model, pictures = Planted(), images(4)
    saliency = kernel_saliency(model, pictures, "last", 0)
    everything = sum(int((values > 0).sum()) for values in saliency.values())
    assert everything == 8 * 3 + 8
    only = Circuit(
        {name: values > 0 for name, values in saliency.items()}, {n: v > 0 for n, v in saliency.items()}
    )
    held_out = images(4, seed=1)
    left = hooks.activations(only.applied(model), held_out, "last")
    torch.testing.assert_close(left[:, 0], hooks.activations(model, held_out, "last")[:, 0])


def test_it_beats_chance_and_magnitude(model: nn.Module, photographs: Tensor) -> None:
    layer, unit = "blocks.1.1", 3
    saliency = kernel_saliency(model, photographs, layer, unit)
    held_out = photographs.flip(3)

    def left(values: dict[str, Tensor], share: float) -> float:
        return agreement(model, Circuit.of(values, share).applied(model), held_out, layer, unit)

    magnitude = attribution.kernel_magnitude(model, saliency)
    for share in (0.2, 0.4):
        ours = left(saliency, share)
        chance = [left(attribution.kernel_chance(saliency, seed=seed), share) for seed in range(3)]
        assert ours > max(chance) + 0.1
        assert ours > left(magnitude, share)


def test_the_controls_choose_among_the_candidates() -> None:
    model = Planted()
    saliency = kernel_saliency(model, images(), "last", 0)
    for control in (
        attribution.kernel_magnitude(model, saliency),
        attribution.kernel_chance(saliency, seed=1),
    ):
        assert all(torch.equal(control[name] > 0, saliency[name] > 0) for name in saliency)
    weight = model.last.weight.detach()
    torch.testing.assert_close(
        attribution.kernel_magnitude(model, saliency)["last"][0], weight[0].abs().mean(dim=(1, 2))
    )
    first, second = (attribution.kernel_chance(saliency, seed=seed)["first"] for seed in (1, 2))
    assert not torch.equal(first, second)


def test_the_share_is_of_the_candidates_and_smaller_circuits_lie_in_larger_ones() -> None:
    saliency = kernel_saliency(small(), images(), "second", 1)
    total = sum(int((values > 0).sum()) for values in saliency.values())
    circuits = [Circuit.of(saliency, share) for share in SHARES]
    assert [circuit.count for circuit in circuits] == [round(share * total) for share in SHARES]
    for inner, outer in itertools.pairwise(circuits):
        assert all((inner.masks[name] <= outer.masks[name]).all() for name in saliency)
        assert inner.overlap(outer) == pytest.approx(inner.count / outer.count)
    kept = sum(circuits[1].shares[name] * int((saliency[name] > 0).sum()) for name in saliency)
    assert kept == pytest.approx(circuits[1].count)


def test_separate_circuits_do_not_overlap() -> None:
    model, pictures = Planted(), images()
    a, b = (find_circuit(model, pictures, "last", unit, share=0.9) for unit in (0, 1))
    assert a.overlap(a) == 1
    assert a.overlap(b) == 0
    assert a.overlap(b, without=["last"]) == 0
    with pytest.raises(BadInputError, match="no overlap"):
        a.overlap(b, without=["first", "last"])


def test_in_steps_it_ends_with_as_many_kernels() -> None:
    model, pictures = small(), images()
    once, often = (find_circuit(model, pictures, "second", 1, share=0.3, steps=steps) for steps in (1, 4))
    assert once.count == often.count
    assert once.overlap(often) < 1


def test_the_network_stays_as_it_was() -> None:
    model = small().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    find_circuit(model, images(), "second", 1, share=0.3, steps=2).applied(model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_what_does_not_fit_is_explained() -> None:
    model, pictures = small(), images()
    saliency = kernel_saliency(model, pictures, "second", 1)
    with pytest.raises(BadInputError, match="no channel 6"):
        kernel_saliency(model, pictures, "second", 6)
    with pytest.raises(UnknownNameError, match="second"):
        kernel_saliency(model, pictures, "secund", 1)
    with pytest.raises(BadInputError, match="between 0 and 1"):
        Circuit.of(saliency, 1.2)
    with pytest.raises(BadInputError, match="steps starts at 1"):
        find_circuit(model, pictures, "second", 1, share=0.2, steps=0)
    with pytest.raises(BadInputError, match="another network"):
        Circuit.of(saliency, 0.2).applied(
            nn.ModuleDict({"first": nn.Conv2d(3, 2, 3), "second": nn.Conv2d(8, 6, 3)})
        )
    with pytest.raises(BadInputError, match="no convolution in front"):
        kernel_saliency(nn.Sequential(nn.ReLU()), pictures, "0", 1)
