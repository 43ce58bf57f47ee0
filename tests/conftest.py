"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Run with one torch thread: test processes side by side would otherwise spin against one another."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model() -> nn.Module:
    """Return the embedded network; tests must leave it as it was."""
    from interp import zoo

    return zoo.load_model()


@pytest.fixture(scope="session")
def photographs() -> Tensor:
    """Return two photographs, (2, 3, 224, 224)."""
    from interp import zoo

    return zoo.example_images("cat", "coffee")


@pytest.fixture(scope="session")
def imagenet_samples() -> list[Path]:
    """Return ImageNet photographs named INDEX_WNID_name.jpg, sorted; the test is skipped where they are not at hand."""
    folder = os.environ.get("INTERP_IMAGENET_SAMPLES") or ROOT.parent / "shared" / "data" / "imagenet-samples"
    files = sorted(Path(folder).glob("*.jpg"))
    if not files:
        pytest.skip(
            "no ImageNet photographs at hand (set INTERP_IMAGENET_SAMPLES to a folder of INDEX_WNID_name.jpg)"
        )
    return files
