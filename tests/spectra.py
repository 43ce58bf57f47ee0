"""What several tests of the spectrum share; importable, since other processes need it too."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from interp.spectrum import Items, Job, Measure, Spectrum


class Tiny(nn.Module):
    """A small network with a batch norm, an in-place ReLU and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.deep = nn.Conv2d(4, 6, 3, stride=2)
        self.pair = Pair()
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(float(os.environ.get("TINY_WAIT", "0")))  # long enough to be killed
        maps = self.deep(self.act(self.norm(self.conv(images))))
        logits: Tensor = self.head(self.pair(maps)[0].mean(dim=(2, 3)))
        return logits


class Pair(nn.Module):
    """Returns a tuple."""

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return maps, maps


def tiny() -> Tiny:
    """Return the same network in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Tiny()
        model.norm.running_mean.uniform_(-1, 1)
        model.norm.running_var.uniform_(0.5, 2)
        return model.eval()


def pictures(count: int = 40, side: int = 12) -> list[tuple[Tensor, int]]:
    """Return random images with labels."""
    generator = torch.Generator().manual_seed(1)
    return [(torch.rand(3, side, side, generator=generator), index % 3) for index in range(count)]


def job(layers: tuple[str, ...] = ("norm", "deep"), count: int = 40) -> Job:
    """Return a job of eight shards."""
    return Job(
        tiny(),
        layers,
        Items(pictures(count), "random", shard_size=5),
        Measure(k=3, sample=16, fold=False),
        batch=2,
    )


def same(one: Spectrum, other: Spectrum) -> bool:
    """Tell whether two spectra are equal in every bit."""
    bits = [
        a.shape == b.shape and torch.equal(a.view(torch.int32), b.view(torch.int32))
        for name in one.layers
        for field in ("best", "counts", "scores", "level")
        for a, b in [(getattr(one.layers[name], field), getattr(other.layers[name], field))]
    ]
    rest = one.images == other.images and torch.equal(one.sample, other.sample) and one.broken == other.broken
    return all(bits) and rest and one.layers.keys() == other.layers.keys()


def main() -> None:
    """Run the job into the folder that the command line names, to be killed."""
    from interp.spectrum import here, processes, run

    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    run(job(), folder, engine=processes(count) if count else here)
