"""Colors: coordinates in which they are independent, and a limit on the contrast."""

from __future__ import annotations

import torch
from torch import Tensor

from interp import image

# A square root of the covariance of ImageNet's colors, from Lucid (optvis/param/color.py): the columns are roughly
# brightness, orange against blue, and magenta against green. It is divided by the length of the longest column.
_COLOR_ROOT = torch.tensor(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float32
)
COLORS = _COLOR_ROOT / _COLOR_ROOT.norm(dim=0).max()

CONTRAST = 1.8  # a picture at this limit has about as much contrast as a photograph


def to_rgb(
    latent: Tensor, *, decorrelated: bool = True, contrast: float | None = None, channels: int = 3
) -> Tensor:
    """Turn a latent image (N, C or C + 1, H, W) of any values into colors in (0, 1); one channel more becomes alpha.

    Args:
        latent: the coordinates of a pixel's color.
        decorrelated: whether these are coordinates along the principal colors of photographs, or RGB as such. Channels
            of another number than three are always as such.
        contrast: see `limited`; None leaves the colors as they are.
        channels: how many the colors have.
    """
    colors, alpha = latent[:, :channels], latent[:, channels:]
    if decorrelated and channels == len(COLORS):
        colors = torch.einsum("rc,nchw->nrhw", COLORS.to(latent), colors)
    if contrast is not None:
        colors = limited(colors, contrast)
    return torch.cat([colors, alpha], dim=1).sigmoid()


def limited(colors: Tensor, contrast: float) -> Tensor:
    """Scale each image down, z / sqrt(1 + (r / contrast)^2), where r is its root mean square over pixels and channels.

    The result stays below `contrast`. An ascent without a limit goes on making the picture harsher, since every
    channel likes a larger input; with it, only a better picture helps. As r grows, the same step turns the picture
    less, so that long runs come to rest.

    Args:
        colors: (N, C, H, W), before the sigmoid; 0 is gray.
        contrast: the limit. 1.8 gives pictures as much contrast as photographs have.
    """
    mean_square = colors.square().mean(dim=(1, 2, 3), keepdim=True)
    return colors / (1 + mean_square / contrast**2).sqrt()


def from_rgb(images: Tensor, *, decorrelated: bool = True, margin: float = 0.01) -> Tensor:
    """Undo `to_rgb`; values nearer than `margin` to 0 or 1 are moved there, for they lie at infinity."""
    latent = image.check(images, None).clamp(margin, 1 - margin).logit()
    if not (decorrelated and latent.shape[1] == len(COLORS)):
        return latent
    return torch.einsum("rc,nchw->nrhw", torch.linalg.inv(COLORS).to(latent), latent)
