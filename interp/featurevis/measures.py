"""What can be measured on pictures alone: power over frequency, contrast, saturation."""

from __future__ import annotations

import torch
from torch import Tensor

FINE = 0.25  # cycles per pixel: waves shorter than four pixels


def power(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the power of each wave of the brightness (mean of the colors, its own mean removed), and its frequency.

    Args:
        images: (N, C, H, W).

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


def radial_power(images: Tensor, bins: int = 24) -> tuple[Tensor, Tensor]:
    """Return the mean power in rings of frequency, from 0 to 0.5 cycles per pixel.

    Returns:
        The power (N, bins) and the middle of each ring (bins,) in cycles per pixel.
    """
    found, frequency = power(images)
    ring = (frequency * 2 * bins).long().clamp(max=bins)
    sums = found.new_zeros(len(images), bins + 1).index_add_(1, ring.flatten(), found.flatten(1))
    counts = torch.bincount(ring.flatten(), minlength=bins + 1)
    middles = (torch.arange(bins, device=images.device) + 0.5) / (2 * bins)
    return (sums / counts.clamp(min=1))[:, :bins], middles


def contrast(images: Tensor) -> Tensor:
    """Return the standard deviation of all values of an image, (N,); for photographs about 0.2."""
    return images.detach().flatten(1).std(1)


def saturation(images: Tensor) -> Tensor:
    """Return the share of values that are written as the bytes 0 or 255, (N,)."""
    return ((images < 0.5 / 255) | (images > 1 - 0.5 / 255)).flatten(1).float().mean(1)
