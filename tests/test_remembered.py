"""A normalization that is missing is seen by what a network remembers of its training, and nothing else is."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from interp import cli, image, spectrum, zoo
from interp.errors import MissingExtraError
from interp.microscope.site import build
from interp.zoo.remembered import USUAL, _miss, missing_normalization, warn_of_missing_normalization

(IMAGENET, HALVES) = USUAL


def trained(mean: tuple[float, ...] = (0.0,) * 3, std: tuple[float, ...] = (1.0,) * 3) -> nn.Sequential:
    """Return a network whose batch norm has seen normalized scenes, with weights as after training."""
    scenes = zoo.Scenes("all", 64, length=24)
    images = torch.stack([scenes[index].image for index in range(24)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(16, momentum=None)
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias)
        head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)]
        net = nn.Sequential(nn.Conv2d(3, 16, 5, stride=2), norm, *head)
    with torch.no_grad():
        net.train()(image.Normalize(mean, std)(images))
    return net.eval()


@pytest.mark.parametrize("numbers", [IMAGENET, HALVES])
@pytest.mark.parametrize("size", [64, 224])
def test_what_is_missing_is_found_and_what_is_there_is_not(
    numbers: tuple[tuple[float, ...], tuple[float, ...]], size: int
) -> None:
    net = trained(*numbers)
    assert missing_normalization(net, size) == numbers
    assert missing_normalization(zoo.normalized(net, *numbers), size) is None


def test_the_embedded_network_has_its_own(model: nn.Module) -> None:
    assert missing_normalization(model) is None
    bare = copy.deepcopy(model)
    bare.normalize = nn.Identity()
    assert missing_normalization(bare) == HALVES


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = trained(*IMAGENET)

    def forward(self, images: Tensor) -> Tensor:
        raise ZeroDivisionError


def test_where_nothing_can_be_told_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_normalization(trained()) is None  # trained on images in [0, 1]
    assert missing_normalization(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()) is None
    assert missing_normalization(nn.Sequential(nn.Conv2d(3, 4, 3)).eval()) is None
    assert missing_normalization(Fails().eval()) is None
    assert missing_normalization(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)).eval()) is None

    def none(*names: str, size: int) -> Tensor:
        raise MissingExtraError("scikit-image", "examples", "A photograph")

    monkeypatch.setattr("interp.zoo.remembered.example_images", none)
    assert missing_normalization(trained(*IMAGENET)) is None


def test_what_does_not_fit_far_better_is_not_missing() -> None:
    other = trained((0.2,) * 3, (0.8,) * 3)
    images = zoo.example_images(*zoo.photograph_names()[:8], size=64)
    as_is, whitened = (_miss(other, "1", each) for each in (images, (images - 0.5) / 0.5))
    assert as_is < 4 * whitened
    assert missing_normalization(other, 64) is None


@pytest.mark.parametrize(
    ("wanted", "missing"), [(0.95, False), (2.5, False), (3.9, False), (4.1, True), (8.0, True)]
)
def test_four_times_better_is_missing_and_less_is_not(wanted: float, missing: bool) -> None:
    images = zoo.example_images(*zoo.photograph_names()[:8], size=64)
    norm = nn.BatchNorm2d(3, affine=False).eval()
    net = nn.Sequential(norm)

    def better(share: float) -> float:
        """Remember what lies between the photographs and their normalized form; return how much better that fits."""
        ends = [images, (images - 0.5) / 0.5]
        means, variances = ([getattr(each, what)(dim=(0, 2, 3)) for each in ends] for what in ("mean", "var"))
        norm.running_mean = means[0].lerp(means[1], share)
        norm.running_var = variances[0].lerp(variances[1], share)
        as_is, *others = (
            _miss(net, "0", each)
            for each in (images, *(image.Normalize(*numbers)(images) for numbers in USUAL))
        )
        return as_is / min(others)

    low, high = 0.0, 0.95
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if better(middle) < wanted else (low, middle)
    assert better(low) == pytest.approx(wanted, rel=0.02)
    assert (missing_normalization(net, 64) is not None) is missing


def test_the_miss_is_the_divergence_of_normal_distributions() -> None:
    norm = nn.BatchNorm2d(2).eval()
    norm.running_mean, norm.running_var = torch.tensor([1.0, 1.0]), torch.tensor([4.0, 4.0])
    values = 1.5 + 3 * torch.randn(1, 2, 200, 200, generator=torch.Generator().manual_seed(0))
    usual, given = torch.distributions.Normal(1.0, 2.0), torch.distributions.Normal(1.5, 3.0)
    expected = float(torch.distributions.kl_divergence(given, usual))
    assert _miss(nn.Sequential(norm), "0", values) == pytest.approx(expected, rel=0.05)
    moved = torch.distributions.Normal(3.0, 2.0)
    values = 3.0 + 2 * torch.randn(1, 2, 200, 200, generator=torch.Generator().manual_seed(0))
    expected = float(torch.distributions.kl_divergence(moved, usual))
    assert _miss(nn.Sequential(norm), "0", values) == pytest.approx(expected, rel=0.05)


def test_it_is_said_where_a_network_comes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(UserWarning, match=r"seems to miss its normalization.*\[0.485,0.456,0.406\]"):
        warn_of_missing_normalization(trained(*IMAGENET))
    items = spectrum.Items(list(torch.rand(4, 3, 32, 32)), "noise")
    job = spectrum.Job(trained(*IMAGENET), ("0",), items, spectrum.Measure(k=1))
    with pytest.warns(UserWarning, match="seems to miss its normalization"):
        build(job, tmp_path / "site", steps=0, side=16, size=32)
    monkeypatch.chdir(tmp_path)
    torch.save(trained(*HALVES).state_dict(), "w.pt")
    name = f"bare_{tmp_path.name}".replace("-", "_")
    Path(f"{name}.py").write_text("from test_remembered import trained\n")
    command = ["layers", f"{name}.py:trained", "--weights", "w.pt", "--size", "64"]
    with pytest.warns(UserWarning, match=r"--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5"):
        assert cli.main(command) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cli.main([*command, "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"]) == 0
    assert "BatchNorm2d" in capsys.readouterr().out
