"""Redirected gradient: a way up for units that no start excites, and no difference for all others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks
from interp.errors import BadInputError


class Dead(nn.Module):
    """Channel 0 is below 0 and channel 1 above 6 for images near gray; channel 2 is between."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.act = act
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.conv.weight.copy_(torch.randn(self.conv.weight.shape, generator=generator))
            self.conv.weight[0].abs_()
            self.conv.weight[1].abs_()
            middle = self.conv.weight.sum((1, 2, 3)) / 2
            self.conv.bias.copy_(torch.tensor([-1.5, 7.5, 3.0]) - middle)

    def forward(self, images: Tensor) -> Tensor:
        return self.act(self.conv(images))


class Functions(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)  # type: ignore[operator]


def gradient_of(values: Tensor, weights: Tensor, act: nn.Module, redirect: bool) -> Tensor:
    """Return the gradient of (weights * act(values)).sum()."""
    values = values.clone().requires_grad_()
    with hooks.redirected(act) if redirect else torch.enable_grad():
        return torch.autograd.grad((weights * act(values * 1)).sum(), values)[0]


LOW, HIGH = torch.tensor([[-2.0, -1.0, -3.0]]), torch.tensor([[-2.0, 7.0, 9.0]])


@pytest.mark.parametrize(
    "act", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), Functions(F.relu), Functions(F.relu6)]
)
def test_only_what_leads_back_goes_through(act: nn.Module) -> None:
    weights = torch.tensor([[1.0, -1.0, 2.0]])
    assert not gradient_of(LOW, weights, act, redirect=False).any()
    assert torch.equal(gradient_of(LOW, weights, act, redirect=True), torch.tensor([[1.0, 0.0, 2.0]]))


@pytest.mark.parametrize("act", [nn.ReLU6(), nn.ReLU6(inplace=True), Functions(F.relu6)])
def test_above_six_only_what_leads_down(act: nn.Module) -> None:
    weights = torch.tensor([[1.0, -1.0, 2.0]])
    assert not gradient_of(HIGH, weights, act, redirect=False).any()
    assert torch.equal(gradient_of(HIGH, weights, act, redirect=True), torch.tensor([[1.0, -1.0, 0.0]]))


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU6(), Functions(torch.relu)])
def test_an_image_where_something_passes_keeps_its_gradient(act: nn.Module) -> None:
    values = torch.cat([LOW, torch.tensor([[-2.0, 3.0, -1.0]])])
    plain, redirected = (gradient_of(values, torch.ones(2, 3), act, redirect=one) for one in (False, True))
    assert torch.equal(redirected[1], plain[1])  # image by image, as alone
    assert torch.equal(redirected[0], torch.ones(3))


def test_nothing_is_left_behind_and_no_value_changes() -> None:
    model, images = Dead(nn.ReLU6()), 0.5 + 0.01 * torch.rand(2, 3, 8, 8)
    plain = model(images)
    with hooks.redirected(model):
        assert torch.equal(model(images), plain)
    images.requires_grad_()
    assert not torch.autograd.grad(model(images)[:, 0].sum(), images)[0].any()
    with hooks.redirected(nn.Conv2d(3, 3, 1)):  # nothing to redirect
        pass


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU6()])
def test_a_unit_that_stayed_gray_moves(act: nn.Module) -> None:
    model, settings = Dead(act), {"size": 16, "transforms": (), "rate": 0.05}
    objective = fv.channel("act", 0)
    with pytest.warns(fv.RenderingWarning, match="redirect=16"):
        gray = fv.render(model, objective, fv.PixelImage(16), steps=64, **settings)  # type: ignore[arg-type]
    assert gray.score == 0
    moved = fv.render(model, objective, fv.PixelImage(16), steps=64, redirect=16, **settings)  # type: ignore[arg-type]
    assert moved.score > 0.1
    assert moved.settings["redirect"] == 16
    assert "redirect" not in gray.settings


def test_a_unit_at_its_stop_above_comes_down() -> None:
    model, objective = Dead(nn.ReLU6()), -fv.channel("act", 1)
    with pytest.warns(fv.RenderingWarning):
        assert fv.render(model, objective, fv.PixelImage(16), transforms=(), steps=40).score == -6
    assert fv.render(model, objective, fv.PixelImage(16), transforms=(), steps=40, redirect=40).score > -5.5


def test_a_unit_that_was_alive_gets_the_same_picture_to_the_last_bit() -> None:
    model, start = Dead(nn.ReLU6()), fv.PixelImage(16, count=2)
    plain, redirected = (
        fv.render(model, fv.channel("act", 2), start, steps=12, redirect=steps) for steps in (0, 12)
    )
    assert torch.equal(plain.images, redirected.images)


def test_afterwards_the_gradient_is_the_true_one() -> None:
    """With a rate of 0 the image stays, dead: the gradient differs from 0 in the first steps, and only there."""
    model, slopes = Dead(nn.ReLU()), []

    class Noted(fv.PixelImage):
        def forward(self) -> Tensor:
            images = super().forward()
            if images.requires_grad:
                images.register_hook(lambda gradient: slopes.append(gradient.abs().sum().item()))
            return images

    fv.render(model, fv.channel("act", 0), Noted(16), steps=5, redirect=2, rate=0.0, transforms=())
    assert [slope > 0 for slope in slopes] == [True, True, False, False, False]


@pytest.mark.parametrize(
    "options",
    [{"redirect": -1}, {"redirect": 2.5}, {"redirect": 4, "compute": fv.Compute(compiled=True)}],
)
def test_what_cannot_be_redirected_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="redirect"):
        fv.Recipe(**options)  # type: ignore[arg-type]
