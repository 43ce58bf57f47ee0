"""Keep the numbers of a long measurement in book/_data/measured, with how, when and on what they were made."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interp import image, runs

FOLDER = Path(__file__).resolve().parents[1] / "book" / "_data" / "measured"
GAP = 8  # pixels of white between the pictures of a sheet


def save(name: str, results: dict[str, Any], *, how: str, on: str) -> Path:
    """Write results (numbers, strings, and lists and dicts of these) as NAME.json, and return the file.

    Args:
        name: the file's name without suffix.
        results: what was measured; the numbers are rounded to five digits.
        how: the command that makes the file again.
        on: the networks, pictures, units and seeds that were measured.
    """
    path = FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with runs.replacing(path) as temporary:
        temporary.write_text(
            json.dumps({"made": made(how, on), **rounded(results)}, indent=1) + "\n", encoding="utf-8"
        )
    return path


def save_sheet(name: str, rows: Sequence[Tensor], *, quality: int = 85) -> Path:
    """Write rows of pictures, each (N, 3, H, W) in [0, 1], as book/_data/NAME.webp, and return the file."""
    lines = [torch.cat([_framed(picture) for picture in row], dim=-1) for row in rows]
    sheet = torch.cat(lines, dim=-2)[None, :, :-GAP, :-GAP]
    path = FOLDER.parent / f"{name}.webp"
    with runs.replacing(path) as temporary:
        image.to_pil(sheet).save(temporary, format="webp", quality=quality, method=6)
    return path


def _framed(picture: Tensor) -> Tensor:
    return torch.nn.functional.pad(picture, (0, GAP, 0, GAP), value=1.0)


def exactly() -> torch.device:
    """Return the device to measure on: a GPU, in whole float32, where there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


def made(how: str, on: str) -> dict[str, str]:
    """Return how, on what, when and with what something was made."""
    return {"how": how, "on": on, "when": f"{datetime.date.today()}", "with": versions()}


def versions() -> str:
    """Return what a number may depend on beside the code: Python, torch, its instruction set and its threads."""
    names = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    return ", ".join(
        [*names, torch.backends.cpu.get_cpu_capability(), f"{torch.get_num_threads()} thread(s)"]
    )


def rounded(value: Any) -> Any:
    """Return the value with all its floating-point numbers at five significant digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value
