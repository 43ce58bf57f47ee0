"""Networks of one's own: a Python file that makes one, and weights from a file."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.errors import (
    BadInputError,
    DamagedFileError,
    MissingExtraError,
    MissingFileError,
    UnknownNameError,
)
from interp.image import Normalized

# ImageNet's mean and standard deviation, with which nearly every network of torchvision and timm was trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NESTED = (
    "state_dict",
    "model_state_dict",
    "model",
)  # where training programs put the weights in a checkpoint
CONTENT = "_interp_content"  # what a file that was run held then
WRAPPED = "module."  # what nn.DataParallel puts before every name


def from_file(file: str | os.PathLike[str], name: str) -> nn.Module:
    """Run a Python file, and return the network that a callable in it gives, in evaluation mode.

    The file is run as a program is, with all that this allows: do not run a file that you do not trust. Random weights
    are the same each time.

    Args:
        file: the Python file; others beside it can be imported by it. It is run once, and anew when it was changed.
        name: a function or class that gives the network without arguments, or the network itself.

    Raises:
        MissingFileError: there is no such file.
        UnknownNameError: the file has no such name.
        BadInputError: the file cannot be run, or what it gives is no network.
    """
    made = called_in(file, name)
    if not isinstance(made, nn.Module):
        raise BadInputError(
            f"{name} in {str(file)!r} gives {type(made).__name__}, not a network (torch.nn.Module)."
        )
    return made.eval()


def called_in(file: str | os.PathLike[str], name: str) -> Any:
    """Run a Python file, and return what a callable in it gives, or the value of that name if it is no callable.

    Raises:
        MissingFileError: there is no such file.
        UnknownNameError: the file has no such name.
        BadInputError: the file or the callable fails; the message says how.
    """
    module = _run(Path(file).absolute())
    if not hasattr(module, name):
        raise UnknownNameError(
            f"name in {str(file)!r}", name, [each for each in vars(module) if each[:1] != "_"]
        )
    found = getattr(module, name)
    if isinstance(found, nn.Module) or not callable(found):
        return found
    return _called(found, f"{name}() in {str(file)!r}")


def _run(file: Path) -> ModuleType:
    if not file.is_file():
        raise MissingFileError(f"There is no file {str(file)!r}. Check the path.")
    known, content = sys.modules.get(file.stem), file.read_bytes()
    mine = getattr(known, "__file__", None) == str(file)
    if mine and vars(known).get(CONTENT, content) == content:
        return known  # type: ignore[return-value]
    if "." in file.stem:
        raise BadInputError(f"No module can be called {file.stem!r}, with a dot. Rename {str(file)!r}.")
    if not mine and (known is not None or _elsewhere(file)):
        raise BadInputError(f"Another module is called {file.stem!r} already. Rename {str(file)!r}.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise BadInputError(f"{str(file)!r} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    setattr(module, CONTENT, content)  # a file that was changed since is run anew
    # Other processes find its classes by the name of the module, and the file the modules beside it.
    sys.modules[file.stem] = module
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        _called(lambda: spec.loader.exec_module(module), str(file))
    except BaseException:
        del sys.modules[file.stem]
        raise
    return module


def _elsewhere(file: Path) -> bool:
    spec = importlib.util.find_spec(file.stem)
    return spec is not None and Path(spec.origin or "").absolute() != file


def _called(function: Any, what: str) -> Any:
    try:
        with _seeded():
            return function()
    except Exception as error:  # another's code
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInputError(f"{what} fails: {reason}") from error


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Let whatever draws random numbers draw the same ones each time; afterwards all go on where they were."""
    python, array = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)


# ------------------------------------------------------------------------------------------------------------
# Weights


def read_weights(file: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return {name: tensor} from a file of weights; nothing in it is run.

    Args:
        file: .safetensors, or what torch.save made of a state dict, also inside a checkpoint (under "state_dict",
            "model_state_dict" or "model") or of a network in nn.DataParallel.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: it holds something else than weights.
        MissingExtraError: the package for .safetensors is not installed.
    """
    path = Path(file)
    if not path.is_file():
        raise MissingFileError(f"There is no file {str(path)!r}. Check the path.")
    try:
        content = _safetensors(path) if path.suffix == ".safetensors" else _of_torch(path)
    except MissingExtraError:
        raise
    except Exception as error:  # readers raise whatever a damaged file makes them stumble over
        raise DamagedFileError(
            f"{str(path)!r} holds no weights that can be read safely. Save them with "
            f"torch.save(network.state_dict(), FILE). ({_line(error)})"
        ) from error
    weights = next((content[key] for key in NESTED if isinstance(content.get(key), Mapping)), content)
    if not weights or not all(isinstance(one, Tensor) for one in weights.values()):
        raise DamagedFileError(
            f"{str(path)!r} is no state dict: it holds {', '.join(map(str, list(weights)[:5])) or 'nothing'}. Save the "
            "weights with torch.save(network.state_dict(), FILE)."
        )
    if all(name.startswith(WRAPPED) for name in weights):
        weights = {name.removeprefix(WRAPPED): one for name, one in weights.items()}
    return dict(weights)


def _of_torch(path: Path) -> Mapping[str, Any]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise TypeError(f"it holds {type(content).__name__}")
    return content


def _safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtraError("safetensors", "models", "Reading .safetensors") from error
    return load_file(path)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def with_weights(model: nn.Module, file: str | os.PathLike[str]) -> nn.Module:
    """Put the weights of a file into a network, and return it.

    Raises:
        DamagedFileError: the file holds no weights, or those of another network; the message names some that differ.
    """
    weights, own = read_weights(file), model.state_dict()
    lacking, foreign = (
        [name for name in own if name not in weights],
        [name for name in weights if name not in own],
    )
    other = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    words = [
        f"{len(names)} {what}, such as {names[0]!r}"
        for what, names in (
            ("are missing", lacking),
            ("are not of this network", foreign),
            ("have another shape", other),
        )
        if names
    ]
    if words:
        raise DamagedFileError(f"The weights in {str(file)!r} do not fit this network: {'; '.join(words)}.")
    model.load_state_dict(weights)
    return model


def from_family(name: str, file: str | os.PathLike[str], *, normalized: bool = True) -> nn.Module:
    """Return a network of torchvision or timm with weights of one's own, in evaluation mode.

    It gets as many outputs as the weights of its last layer have in the file.

    Args:
        name: "torchvision:NAME" or "timm:NAME".
        file: as `read_weights` takes it.
        normalized: whether it takes images in [0, 1], and normalizes them with the numbers of its family.

    Raises:
        UnknownNameError: there is no such network.
        DamagedFileError: the weights are not those of such a network.
        MissingExtraError: torchvision or timm is not installed.
    """
    family, _, rest = name.partition(":")
    make = _torchvision if family == "torchvision" else _timm
    weights = read_weights(file)
    # Where the last layer stands: the order in a file may be another one, .safetensors sorts the names.
    last = list(make(rest, 2)[0].state_dict())[-1]
    model, mean, std = make(rest, _classes(weights, last))
    model = with_weights(model, file).eval()
    return Normalized(model, mean, std) if normalized else model


def _classes(weights: Mapping[str, Tensor], last: str) -> int:
    if last not in weights or not weights[last].ndim:
        raise DamagedFileError(
            f"The weights have no last layer {last!r}, so that the number of classes is not known."
        )
    return len(weights[last])


Made = tuple[nn.Module, tuple[float, ...], tuple[float, ...]]


def _torchvision(name: str, classes: int) -> Made:
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError("torchvision", "models", f"The model torchvision:{name}") from error
    known = models.list_models(module=models)
    if name not in known:
        raise UnknownNameError("model", f"torchvision:{name}", [f"torchvision:{other}" for other in known])
    with torch.random.fork_rng(devices=[]):
        return models.get_model(name, weights=None, num_classes=classes), MEAN, STD


def _timm(name: str, classes: int) -> Made:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "models", f"The model timm:{name}") from error
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise UnknownNameError("model", f"timm:{name}", [f"timm:{other}" for other in known])
    with torch.random.fork_rng(devices=[]):
        model = timm.create_model(name, pretrained=False, num_classes=classes)
    config = getattr(model, "pretrained_cfg", {})
    return model, tuple(config.get("mean", MEAN)), tuple(config.get("std", STD))
