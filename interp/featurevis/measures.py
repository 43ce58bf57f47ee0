"""What can be measured on pictures alone: power over frequency, contrast, saturation."""

from __future__ import annotations

import torch
from torch import Tensor

FINE = 0.25  # cycles per pixel: waves shorter than four pixels


def power(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the power of each wave of the brightness (mean of the colors, its own mean removed), and its frequency.

    Args:
        images: (N, 3, H, W).

    Returns:
        The power (N, H, W) and the frequency (H, W) in cycles per pixel, 0 to 0.71.
    """
    brightness = images.detach().mean(1)
    waves: Tensor = torch.fft.fft2(brightness - brightness.mean(dim=(1, 2), keepdim=True))
    down, across = (torch.fft.fftfreq(side, device=images.device) for side in images.shape[-2:])
    return waves.abs().square(), torch.hypot(down[:, None], across[None])


def fine_share(images: Tensor) -> Tensor:
    """Return the share of the power above 0.25 cycles per pixel, (N,); for photographs a few percent."""
    found, frequency = power(images)
    return found[:, frequency > FINE].sum(1) / found.flatten(1).sum(1).clamp(min=1e-12)


def contrast(images: Tensor) -> Tensor:
    """Return the standard deviation of all values of an image, (N,); for photographs about 0.2."""
    return images.detach().flatten(1).std(1)


def saturation(images: Tensor) -> Tensor:
    """Return the share of values that are written as the bytes 0 or 255, (N,)."""
    return ((images < 0.5 / 255) | (images > 1 - 0.5 / 255)).flatten(1).float().mean(1)
