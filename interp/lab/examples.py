"""The photographs of a lab that are there before the network is: written, answered, drawn with their maps."""

from __future__ import annotations

import base64
import html
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from interp import image, runs
from interp.errors import BadInputError
from interp.lab.check import run
from interp.lab.plan import LOGITS, MAPS, Plan, traced
from interp.lab.steps import Program

COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))  # viridis, in four parts
QUALITY = 90
HEAT = 0.6  # how much of the color of the map lies over the photograph


@dataclass(frozen=True)
class Example:
    """A photograph that is there before the network is.

    Attributes:
        name: in the address of the page.
        words: what is to be seen.
        pixels: (1, 3, H, W) in [0, 1].
    """

    name: str
    words: str
    pixels: Tensor


def drawn(program: Program, planned: Plan, example: Example, folder: Path) -> str:
    """Write an example's photograph and map into a folder, and return its figure as HTML."""
    side, names = planned.side, planned.class_names
    picture = _as_pil(image.center_crop(example.pixels, side))
    _save(picture, folder / f"{example.name}.webp")
    with Image.open(folder / f"{example.name}.webp") as kept:  # what the page will read
        seen = image.from_pil(kept.convert("RGB"))
    heat, shares = _evidence(program, seen)
    said = ", ".join(
        f"{names[index]} {100 * shares[index]:.0f}\u00a0%"
        for index in shares.topk(min(3, len(names))).indices
    )
    figures = [(example.name, example.words)]
    if planned.last:
        _save(overlaid(seen, heat), folder / f"{example.name}-map.webp")
        figures.append(
            (f"{example.name}-map", f"The same with the map of {names[int(shares.argmax())]} over it")
        )
    pictures = "".join(
        f'<img src="examples/{html.escape(name)}.webp" width="{side}" height="{side}" alt="{html.escape(words)}">'
        for name, words in figures
    )
    return (
        f'      <figure class="example" id="{html.escape(example.name)}"><div>{pictures}</div>'
        f"<figcaption>{html.escape(said)}</figcaption></figure>"
    )


def evidence(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the map (H, W) of the first class of one image, at the size of the last layer, and all shares (classes,).

    Each number is what a place adds to the logit: weight times activation, summed over channels.

    Raises:
        BadInputError: the network does not end in the mean over all places and a linear layer.
    """
    program, _, _ = traced(model, images.shape[-1])
    if not program.last:
        raise BadInputError(f"There are no exact maps of this network: {program.why}.")
    return _evidence(program, images)


@torch.no_grad()
def _evidence(program: Program, images: Tensor) -> tuple[Tensor, Tensor]:
    values = run(program, images)
    logits = values[LOGITS][0, :, 0, 0]
    if not program.last:
        return torch.zeros(1, 1), _shares(logits)
    first, (_, bias) = logits.argmax(), program.weights[MAPS]
    return values[MAPS][0, first] - bias[first], _shares(logits)


def _shares(logits: Tensor) -> Tensor:
    """Return the shares of the classes; of a single logit that of yes against no."""
    return logits.softmax(0) if len(logits) > 1 else logits.sigmoid()


def overlaid(images: Tensor, heat: Tensor) -> Image.Image:
    """Return one image (1, 3, H, W) under the colors of a map (h, w), from 0 to the map's largest value."""
    large = nn.functional.interpolate(heat[None, None], images.shape[-2:], mode="bilinear")[0, 0]
    place = (large / large.max().clamp(min=1e-9)).clamp(0, 1).numpy() * (len(COLORS) - 1)
    stops = np.array(COLORS, dtype=np.float64).T / 255
    colors = np.stack([np.interp(place, range(len(COLORS)), stop) for stop in stops])
    mixed = HEAT * torch.from_numpy(colors)[None] + (1 - HEAT) * images
    return _as_pil(mixed)


def script(folder: Path) -> str:
    """Return the photographs as a script, for pages opened from a folder."""
    files = [path for path in sorted(folder.glob("*.webp")) if not path.stem.endswith("-map")]
    held = {path.stem: base64.b64encode(path.read_bytes()).decode() for path in files}
    return f"var labExamples = {json.dumps(held)};\n"


def _as_pil(images: Tensor) -> Image.Image:
    return image.to_pil(images[0].float())


def _save(picture: Image.Image, path: Path) -> None:
    held = io.BytesIO()
    picture.save(held, "WEBP", quality=QUALITY, method=6)
    runs.write(path, held.getvalue())
