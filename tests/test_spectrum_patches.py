"""Patches: receptive fields are those of arithmetic, windows are whole, nothing outside a window matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spectra import tiny
from torch import Tensor, nn

from interp import hooks
from interp.errors import BadInputError
from interp.spectrum import Items
from interp.spectrum.patches import Field, cut, masks, patches, receptive_field, window


def chain(*layers: tuple[int, int, int]) -> nn.Sequential:
    """Return convolutions (kernel, stride, dilation) with ReLUs, padded as usual."""
    steps: list[nn.Module] = []
    for kernel, stride, dilation in layers:
        inside = 3 if not steps else 4
        padding = dilation * (kernel - 1) // 2
        steps += [nn.Conv2d(inside, 4, kernel, stride, padding, dilation), nn.ReLU()]
    return nn.Sequential(*steps)


@pytest.mark.parametrize(
    "layers",
    [
        [(3, 1, 1)],
        [(3, 2, 1), (5, 1, 1)],
        [(7, 2, 1), (3, 2, 1), (3, 1, 2)],
        [(1, 1, 1)],
        [(2, 2, 1), (3, 1, 1)],
    ],
)
def test_the_receptive_field_is_that_of_arithmetic(layers: list[tuple[int, int, int]]) -> None:
    model = chain(*layers)
    size, jump = 1, 1
    for kernel, stride, dilation in layers:
        size, jump = size + dilation * (kernel - 1) * jump, jump * stride
    field = receptive_field(model, str(2 * len(layers) - 1), 64)
    assert field.size == (size, size)
    assert field.stride == (jump, jump)


@pytest.mark.parametrize(
    ("layer", "side", "jump"), [("conv_stem", 3, 2), ("blocks.1.1", 19, 4), ("blocks.2.1", 67, 8)]
)
def test_rows_of_zeros_in_a_kernel_do_not_count(model: nn.Module, layer: str, side: int, jump: int) -> None:
    """At an even size the network's padding is not symmetric, and its kernels get a row of zeros instead."""
    found = receptive_field(model, layer, 224)
    assert found.size == (side, side)
    assert found.stride == (jump, jump)
    image = torch.full((1, 3, 224, 224), 0.5)
    place = found.grid[0] // 2
    top, left, _ = window(found, (place, place), (224, 224))
    image[:, :, top : top + side, left : left + side] = 0.9
    inside = hooks.activations(model, image, layer)[0, :, place, place]
    everywhere = hooks.activations(model, torch.full((1, 3, 224, 224), 0.9), layer)[0, :, place, place]
    assert torch.allclose(inside, everywhere, rtol=1e-4, atol=1e-4)


def test_the_receptive_field_holds_max_pooling_and_images_that_are_not_square() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, padding=1))
    field = receptive_field(model, "2", (32, 48))
    assert field.size == (8, 8)
    assert field.grid == (16, 24)


def test_a_layer_that_sees_everything_has_the_image_as_its_field() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 31, padding=15), nn.Conv2d(2, 2, 31, padding=15))
    assert receptive_field(model, "1", 20).size == (20, 20)


def test_nothing_outside_the_window_matters_to_the_strongest_position(
    model: nn.Module, photographs: Tensor
) -> None:
    layer = "blocks.2.1"
    field = receptive_field(model, layer, 224)
    maps = hooks.activations(model, photographs[:1], layer)[0, 3]
    inner = maps.clone()
    inner[:8], inner[-8:], inner[:, :8], inner[:, -8:] = (-torch.inf,) * 4  # a window that is not shifted
    patch = cut(photographs[:1], inner, field)
    noise = torch.rand(photographs[:1].shape, generator=torch.Generator().manual_seed(0))
    side = patch.image.shape[-1]
    noise[:, :, patch.top : patch.top + side, patch.left : patch.left + side] = patch.image
    again = hooks.activations(model, noise, layer)[0, 3]
    assert patch.value == pytest.approx(float(maps[patch.position]))
    assert float(again[patch.position]) == pytest.approx(patch.value, rel=1e-4)
    assert side == max(field.size) < 224


def test_windows_are_shifted_at_the_border_and_never_cut() -> None:
    field = Field(size=(11, 11), center=(2.0, 2.0), stride=(4.0, 4.0), grid=(8, 8))
    assert window(field, (4, 4), (32, 32)) == (round(2 + 16 - 5.5), round(2 + 16 - 5.5), 11)
    for row in range(8):
        for column in range(8):
            top, left, side = window(field, (row, column), (32, 32))
            assert side == 11
            assert 0 <= top <= 21
            assert 0 <= left <= 21
    assert window(field, (0, 7), (32, 32))[:2] == (0, 21)
    assert window(field, (3, 3), (9, 40))[2] == 9


def test_patches_lie_where_a_spot_is() -> None:
    model = nn.Sequential(nn.Conv2d(3, 1, 5, padding=2, bias=False))
    nn.init.ones_(model[0].weight)
    spots = [(3, 3), (16, 10), (31, 31)]
    images = []
    for y, x in spots:
        picture = torch.zeros(3, 32, 32)
        picture[:, y, x] = 1
        images.append(picture)
    found = patches(model, "0", 0, [2, 0, 1], Items(images, "spots"))
    assert [patch.id for patch in found] == [2, 0, 1]
    for patch in found:
        y, x = spots[patch.id]
        assert patch.image.shape == (1, 3, 5, 5)
        assert patch.top <= y < patch.top + 5
        assert patch.left <= x < patch.left + 5
        assert patch.image.max() == 1


def test_the_weakest_position_can_be_asked_for() -> None:
    field = Field((3, 3), (0.5, 0.5), (1.0, 1.0), (8, 8))
    maps = torch.arange(64.0).view(8, 8)
    assert cut(torch.rand(1, 3, 8, 8), maps, field).position == (7, 7)
    assert cut(torch.rand(1, 3, 8, 8), maps, field, weakest=True).position == (0, 0)


def test_masks_hold_the_share_that_the_quantile_leaves() -> None:
    maps = torch.randn(10, 14, 14, generator=torch.Generator().manual_seed(0))
    assert masks(maps, 0.9, (14, 14)).float().mean().item() == pytest.approx(0.1, abs=0.001)
    assert masks(maps, 0.9, (28, 28)).shape == (10, 28, 28)


def test_a_layer_without_positions_is_explained() -> None:
    with pytest.raises(BadInputError, match="finite maps"):
        receptive_field(tiny(), "head", 32)


def support(
    model: nn.Module, layer: str, size: int, place: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Return (top, bottom, left, right) of the pixels that have a gradient; None if none has."""
    pixels = torch.full((1, 3, size, size), 0.5, requires_grad=True)
    out = hooks.run(model, pixels, [layer])[layer]
    (gradient,) = torch.autograd.grad(out[0, :, place[0], place[1]].sum(), pixels)
    if not gradient.any():
        return None
    rows, columns = ((gradient[0] != 0).any(dim=0).any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def positive(*layers: nn.Module) -> nn.Sequential:
    """Return a network whose weights are all positive, so that no part of a gradient is 0 by chance."""
    model = nn.Sequential(*layers).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.abs() + 0.01)
    return model


def conv(inside: int, kernel: int, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inside, 2, kernel, bias=False, **options)


SHAPES = {
    "valid": ([conv(3, 7)], 32),
    "strides and no padding": ([conv(3, 11, stride=4), conv(2, 5), conv(2, 3, stride=2)], 100),
    "too little padding": ([conv(3, 9, padding=1, stride=2), conv(2, 5, padding=1)], 61),
    "too much padding": ([conv(3, 3, padding=5, stride=3), conv(2, 3, padding=2)], 50),
    "same": ([conv(3, 3, padding=1, stride=2), conv(2, 3, padding=1, stride=2)], 64),
    "sizes that do not divide": (
        [conv(3, 3, padding=1, stride=2)] + [conv(2, 3, padding=1, stride=2)] * 2,
        53,
    ),
    "pooling": ([conv(3, 5), nn.AvgPool2d(3, 2), conv(2, 3)], 47),
    "reflected": ([conv(3, 5, padding=2, padding_mode="reflect", stride=2)], 40),
    "on one side": ([nn.ZeroPad2d((0, 1, 0, 1)), conv(3, 3, stride=2), conv(2, 5)], 40),
    "cut in the middle": ([conv(3, 9, stride=2, padding=4)] + [conv(2, 9, padding=4)] * 3, 60),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_window_holds_the_true_support_of_every_position(name: str) -> None:
    layers, size = SHAPES[name]
    model, layer = positive(*layers), str(len(layers) - 1)
    field = receptive_field(model, layer, size)
    for row in range(field.grid[0]):
        for column in {0, field.grid[1] // 2, row % field.grid[1], field.grid[1] - 1}:
            top, left, side = window(field, (row, column), (size, size))
            found = support(model, layer, size, (row, column))
            if found is None:  # it sees the padding alone
                continue
            first, last, begin, end = found
            assert (top <= first, top + side >= last) == (True, True), (row, column)
            assert (left <= begin, left + side >= end) == (True, True), (row, column)


def test_without_padding_the_first_field_begins_at_the_first_pixel() -> None:
    field = receptive_field(nn.Sequential(nn.Conv2d(3, 1, 7)), "0", 32)
    assert (field.size, field.stride, field.center) == ((7, 7), (1, 1), (3.5, 3.5))
    steps = receptive_field(nn.Sequential(nn.Conv2d(3, 1, 8, stride=4)), "0", (np.int64(43), 35))
    assert (steps.size, steps.stride, steps.center) == ((8, 8), (4, 4), (4, 4))


def test_a_border_that_goes_around_is_seen_as_a_grid() -> None:
    field = receptive_field(nn.Sequential(nn.Conv2d(3, 1, 5, padding=2, padding_mode="circular")), "0", 16)
    assert (field.size, field.stride, field.center) == ((5, 5), (1, 1), (0.5, 0.5))


def test_a_channel_that_is_no_number_does_not_hide_the_others() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2))
    sound = receptive_field(model, "0", 20)
    with torch.no_grad():
        model[0].weight[1] = torch.nan
    assert receptive_field(model, "0", 20) == sound
