"""The pictures inside live figures: sheets of equal tiles, rows, mosaics, as WebP in the text itself."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

from interp import image

TEXT_WIDTH = 704  # the text column of a page, in CSS pixels
GAP = 12


def pil(picture: Tensor) -> PILImage.Image:
    """Return a tensor (3, H, W) in [0, 1] as a Pillow image."""
    return image.to_pil(picture[None])


def uri(picture: PILImage.Image, *, lossless: bool = False) -> str:
    """Return a picture as WebP in the text of an address, for pages that are one file."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=84, lossless=lossless, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def sheet(pictures: Tensor) -> dict[str, Any]:
    """Lay pictures (K, 3, h, w) into one, so that a browser fetches one file and changes without a flicker."""
    count, _, height, width = pictures.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    whole = torch.zeros(rows * columns, 3, height, width)
    whole[:count] = pictures.detach()
    laid = (
        whole.view(rows, columns, 3, height, width)
        .permute(2, 0, 3, 1, 4)
        .reshape(3, rows * height, columns * width)
    )
    return {"picture": uri(pil(laid)), "columns": columns, "rows": rows, "width": width, "height": height}


def row(pictures: Sequence[Tensor], *, crisp: bool = False) -> PILImage.Image:
    """Lay pictures (3, h, w) side by side on a transparent ground, two pixels a CSS pixel, as wide as the text."""
    room = 2 * (TEXT_WIDTH - GAP * (len(pictures) - 1))
    height = min(room / sum(picture.shape[2] / picture.shape[1] for picture in pictures), 2 * 340)
    widths = [round(height * picture.shape[2] / picture.shape[1]) for picture in pictures]
    canvas = PILImage.new("RGBA", (sum(widths) + 2 * GAP * (len(pictures) - 1), round(height)))
    left, filter_ = 0, PILImage.Resampling.NEAREST if crisp else PILImage.Resampling.LANCZOS
    for picture, width in zip(pictures, widths, strict=True):
        canvas.paste(pil(picture).resize((width, round(height)), filter_), (left, 0))
        left += width + 2 * GAP
    return canvas


def signed(values: Tensor) -> Tensor:
    """Color values (h, w): red above and blue below a white 0."""
    unit = values / values.abs().max().clamp_min(1e-12) / 2 + 0.5
    colors = matplotlib.colormaps["RdBu_r"](unit.numpy())[..., :3]
    return torch.from_numpy(colors).permute(2, 0, 1).float()


def mosaic(values: Tensor, channels: int) -> PILImage.Image:
    """Lay the channels (C, h, w) that vary most into a square of viridis tiles, each scaled by itself."""
    chosen = values.flatten(1).std(dim=1).topk(min(channels, len(values))).indices.sort().values
    low, high = (
        getattr(values[chosen].flatten(1), name)(dim=1).values[:, None, None] for name in ("min", "max")
    )
    unit = ((values[chosen] - low) / (high - low).clamp_min(1e-12)).cpu().numpy()
    columns = math.ceil(math.sqrt(len(unit)))
    rows = math.ceil(len(unit) / columns)
    height, width = unit.shape[1:]
    canvas = PILImage.new("RGB", (columns * width, rows * height))
    for number, tile in enumerate(unit):
        colors = (matplotlib.colormaps["viridis"](tile)[..., :3] * 255).round().astype(np.uint8)
        canvas.paste(PILImage.fromarray(colors), (number % columns * width, number // columns * height))
    return canvas
