"""Maps that never look at the network: what a method has to beat before its score means anything."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from interp import image

SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def random_map(images: Tensor, *, seed: int = 0) -> Tensor:
    """Return uniform noise, (N, H, W) in [0, 1]; the same one for each image."""
    size = image.check(images, None).shape[-2:]
    noise = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    return noise.to(images).expand(len(images), -1, -1)


def center_map(images: Tensor) -> Tensor:
    """Return a Gaussian blob in the middle, (N, H, W) in [0, 1], a quarter of the side in standard deviation.

    Photographers put their object there.
    """
    height, width = image.check(images, None).shape[-2:]
    y, x = (torch.linspace(-2, 2, side) if side > 1 else torch.zeros(1) for side in (height, width))
    blob = torch.exp(-0.5 * (y[:, None] ** 2 + x[None, :] ** 2))
    return blob.to(images).expand(len(images), -1, -1)


def edge_map(images: Tensor, *, smooth: float = 0.0) -> Tensor:
    """Return the strength of edges in brightness by Sobel's filter, (N, H, W), from 0 upwards.

    Args:
        images: (N, C, H, W) in [0, 1].
        smooth: the standard deviation in pixels of a blur over the result; 0 leaves it sharp.
    """
    gray = image.check(images, None).detach().mean(dim=1, keepdim=True)
    across = torch.tensor(SOBEL).to(gray)
    kernels = torch.stack([across, across.T])[:, None]
    edges = F.conv2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), kernels).norm(dim=1, keepdim=True)
    return (image.blur(edges, smooth) if smooth else edges)[:, 0]
