"""Small networks whose right maps are known, and comparisons, for the tests of attribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Module):
    """The score of class c is weight[c] times the pixels, plus a bias; its maps are known exactly."""

    def __init__(self, classes: int = 4, height: int = 12, width: int = 10) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(classes, 3, height, width, generator=generator))
        self.bias = nn.Parameter(torch.randn(classes, generator=generator))
        self.class_names = tuple(f"class {number}" for number in range(classes))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("kchw,nchw->nk", self.weight, images) + self.bias


class Small(nn.Module):
    """Convolution, batch norm, ReLU (in place), pooling, dropout, linear: with everything that a mode changes."""

    def __init__(self, classes: int = 5, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = activation(inplace=True)
        self.second = nn.Conv2d(8, 6, 3, padding=1, stride=2)
        self.act2 = activation(inplace=True)
        self.dropout = nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(6, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.act(self.norm(self.first(images)))
        hidden = self.act2(self.second(hidden))
        out: Tensor = self.classifier(self.dropout(self.pool(hidden).flatten(1)))
        return out


class SixAsReLU(nn.ReLU):
    """ReLU6 as a kind of nn.ReLU, the only class that captum's and grad-cam's guided backpropagation know."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input)


def small(seed: int = 0, **options: object) -> Small:
    """Return a small network with random weights and statistics, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Small(**options)  # type: ignore[arg-type]
        model.norm.running_mean.normal_().mul_(0.1)
        model.norm.running_var.uniform_(0.5, 2)
    return model.eval()


def images(count: int = 2, height: int = 12, width: int = 10, seed: int = 0) -> Tensor:
    """Return random images in [0, 1]."""
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def correlation(first: Tensor, second: Tensor) -> float:
    """Return the smallest Pearson correlation of two maps over a batch; a flat map counts as 0."""
    a, b = (values.detach().double().flatten(1) for values in (first, second))
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    scale = a.norm(dim=1) * b.norm(dim=1)
    return float(((a * b).sum(dim=1) / scale.clamp(min=1e-300)).min())
