"""The bridge to torch-lucent: the same objective in both renderers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from interp import featurevis as fv
from interp import hooks, image, zoo

objectives = pytest.importorskip("lucent.optvis.objectives")

from interp.extras import lucent  # noqa: E402


def test_their_objective_is_ours(model: nn.Module, photographs: torch.Tensor) -> None:
    seen = {**hooks.run(model, photographs, ["blocks.3.2"]), fv.IMAGE: photographs}
    theirs = lucent.objective(objectives.channel("blocks_3_2", 42), ["blocks.3.2"])
    torch.testing.assert_close(theirs(seen), fv.channel("blocks.3.2", 42)(seen))
    both = objectives.channel("blocks_3_2", 42) - 2 * objectives.neuron("blocks_3_2", 3)
    ours = fv.channel("blocks.3.2", 42) - 2 * fv.neuron("blocks.3.2", 3)
    pixels = lucent.objective(lambda look: look("input").mean(), [fv.IMAGE])
    torch.testing.assert_close(pixels(seen), -photographs.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(lucent.objective(both, ["blocks.3.2"])(seen), ours(seen))


def test_their_objective_in_our_renderer(model: nn.Module) -> None:
    theirs = lucent.objective(objectives.channel("blocks_2_1", 1), ["blocks.2.1"])
    rendering = fv.render(model, theirs, size=64, steps=4)
    plain = hooks.activations(model, rendering.images, "blocks.2.1")[0, 1].mean()
    torch.testing.assert_close(rendering.score[0], plain, atol=1e-3, rtol=1e-4)


def test_our_network_in_their_renderer(model: nn.Module) -> None:
    theirs = objectives.channel(lucent.layer_name(model, "blocks.1.1"), 5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    hooks_before = sum(len(layer._forward_hooks) for layer in model.modules())
    # The network is shared with other tests, whose libraries leave gradients behind.
    gradients = [None if one.grad is None else one.grad.clone() for one in model.parameters()]
    first, again = (lucent.render(model, theirs, size=64, steps=6) for _ in range(2))
    start = lucent.render(model, theirs, size=64, steps=1)
    assert first.shape == (1, 3, 64, 64)
    assert torch.equal(first, again)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert sum(len(layer._forward_hooks) for layer in model.modules()) == hooks_before
    for parameter, before in zip(model.parameters(), gradients, strict=True):
        assert parameter.grad is None if before is None else torch.equal(parameter.grad, before)

    def score(images: torch.Tensor) -> float:
        return hooks.activations(model, images, "blocks.1.1")[0, 5].mean().item()

    assert score(first) > score(start)


def test_the_network_sees_the_forms_as_large_as_they_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    from lucent.optvis import transform

    sizes = []

    class Sees(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)
            self.inputs = image.RGB  # so that it is not tried what it takes

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(images.shape[-2:]))
            return self.conv(images)

    only_padded = [transform.pad(lucent.PADDING, mode="constant", constant_value=0.5)]
    monkeypatch.setattr(transform, "standard_transforms", only_padded)
    lucent.render(Sees(), objectives.channel("conv", 1), size=32, steps=1)
    lucent.render(Sees(), objectives.channel("conv", 1), size=32, steps=1, input_size=40)
    assert set(sizes) == {(56, 56), (40, 40)}


def test_names_of_a_wrapped_network() -> None:
    wrapped = zoo.normalized(nn.Sequential(nn.Conv2d(3, 4, 3)), mean=[0.5] * 3, std=[0.2] * 3)
    assert lucent.layer_name(wrapped, "0") == "model_0"
    assert lucent.layer_name(wrapped.model, "0") == "0"


@pytest.mark.parametrize("frames", [2, 5, 8])
def test_a_blend_of_two_images_is_that_of_their_aligned_interpolation(frames: int) -> None:
    """Their low-resolution tensor of two groups is stretched over the row of pictures, evenly from end to end."""
    from lucent.optvis.param.resize_bilinear_nd import resize_bilinear_nd

    two = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.einsum("ng,gchw->nchw", fv.blended(frames, 2), two)
    torch.testing.assert_close(resize_bilinear_nd(two, (frames, 3, 8, 8)), expected)
