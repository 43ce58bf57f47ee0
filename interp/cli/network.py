"""One way to name a network: what it is, its weights, its normalization, its classes, its device."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from interp.cli.texts import existing, parse_numbers
from interp.errors import BadInputError, MissingFileError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

NAMED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "inceptionv1", "googlenet")
FAMILIES = ("torchvision", "timm")
OWN = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d]\w*)")
WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")

HELP = """the network:
  efficientnet_lite0      embedded; also efficientnet_lite1 and 2, inceptionv1, googlenet
  torchvision:NAME        with its weights, or with those of --weights
  timm:NAME               likewise
  FILE.py:NAME            your own: FILE.py is run as a program is, and NAME() in it has to give the network.
                          Run no file that you do not trust.
A file of weights is read as numbers alone; nothing in it is run. A network that was pickled as a whole is not read."""


def add_command(commands: Commands, name: str, **texts: str) -> argparse.ArgumentParser:
    """Add a command that looks at a network.

    Args:
        commands: where to.
        name: of the command.
        texts: `help=`, `description=` and, where it has more to say than how a network is named, `epilog=`.
    """
    options = {"epilog": HELP, **texts}
    command = commands.add_parser(name, formatter_class=argparse.RawDescriptionHelpFormatter, **options)  # type: ignore[arg-type]
    _add_arguments(command)
    return command


def _add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what names a network."""
    command.add_argument(
        "model", metavar="MODEL", help="a network by name, or your own as FILE.py:NAME; see below"
    )
    command.add_argument(
        "--weights",
        metavar="FILE",
        help="weights for it: .safetensors, or what torch.save wrote of a state_dict",
    )
    command.add_argument(
        "--mean",
        metavar="R,G,B",
        help="what it is to subtract from images in [0, 1], a number for each channel; without it, nothing",
    )
    command.add_argument("--std", metavar="R,G,B", help="what it is to divide by then")
    command.add_argument(
        "--classes", metavar="FILE|NAME,...", help="the names of its outputs: a file with one a line, or here"
    )
    command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (%(default)s)")


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded.

    Raises:
        UnknownNameError: nothing has that name; the message lists the closest.
        MissingFileError: a file is not there.
        BadInputError: something is not written as it has to be.
    """
    _check_name(options.model)
    if options.weights:
        existing("--weights", options.weights)
        if options.model in NAMED:
            raise BadInputError(
                f"{options.model} has its weights. --weights goes with torchvision:NAME, timm:NAME or FILE.py:NAME."
            )
    if bool(options.mean) != bool(options.std):
        raise BadInputError("--mean and --std belong together: the network takes (image - mean) / std.")
    if options.mean:
        mean, std = _normalization(options)
        if len(mean) != len(std):
            raise BadInputError(
                f"--mean and --std need a number for each channel; got {len(mean)} and {len(std)} of them."
            )
    if options.classes:
        class_names(options.classes)


def _normalization(options: argparse.Namespace) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return parse_numbers("--mean", options.mean), parse_numbers("--std", options.std)


def _check_name(name: str) -> None:
    family, colon, _ = name.partition(":")
    if name in NAMED or (colon and family in FAMILIES):
        return
    own = OWN.fullmatch(name)
    if own:
        existing("MODEL", own["file"])
    elif Path(name).suffix == ".py":
        raise BadInputError(f"Say what in {name} makes the network: {name}:make, if that is its name.")
    elif Path(name).suffix in WEIGHTS:
        raise BadInputError(
            f"{name!r} holds weights, not a network: interp ... FILE.py:NAME --weights {name}, where NAME() in FILE.py "
            "gives the network."
        )
    elif re.fullmatch(r"[^\W\d]\w*:[^\W\d]\w*", name):
        raise BadInputError(f"Your own network is named with its file: {family}.py:{name.partition(':')[2]}.")
    else:
        close = difflib.get_close_matches(name.lower(), NAMED, n=1, cutoff=0.75)
        if close or not re.fullmatch(r"\w[\w.-]{0,99}", name):
            raise UnknownNameError("model", name, [*NAMED, "torchvision:NAME", "timm:NAME", "FILE.py:NAME"])


def class_names(text: str) -> tuple[str, ...]:
    """Return the names of classes, from a file with one a line, or from a text with commas.

    Raises:
        BadInputError: there is none, or it is neither.
        MissingFileError: it looks like a file, and there is none.
    """
    if Path(text).is_file():
        try:
            lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"--classes {text!r} is no text with one name a line: {error}") from error
    elif "," in text:
        lines = text.split(",")
    else:
        raise MissingFileError(
            f"--classes {text!r}: there is no such file. Give a file with one name a line, or names between commas."
        )
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise BadInputError(f"--classes {text!r} holds no name.")
    return names


# ------------------------------------------------------------------------------------------------------------
# Loading


def load(options: argparse.Namespace) -> nn.Module:
    """Return the network in evaluation mode on its device; it takes images in [0, 1].

    Raises:
        InterpError: it cannot be had; the message says why.
    """
    from interp import zoo

    model = _built(options)
    names = class_names(options.classes) if options.classes else None
    if options.mean:
        mean, std = _normalization(options)
        model = zoo.normalized(model, mean, std, names)
    elif names:
        model.class_names = names  # type: ignore[assignment]
    model = _on_device(model, options.device)
    if OWN.fullmatch(options.model) and not options.mean:
        zoo.warn_of_missing_normalization(model, options.size)
    if names:
        _check_classes(model, names, options.size)
    return model


def _built(options: argparse.Namespace) -> nn.Module:
    from interp import zoo
    from interp.zoo import own

    found = OWN.fullmatch(options.model)
    if found:
        model = own.from_file(found["file"], found["name"])
        return own.with_weights(model, options.weights) if options.weights else model
    if options.weights:
        return own.from_family(options.model, options.weights, normalized=not options.mean)
    return zoo.load_model(options.model)


def _on_device(model: nn.Module, device: str) -> nn.Module:
    import torch

    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise BadInputError(
            f"The device {device!r} cannot be used: {' '.join(str(error).split())}"
        ) from error


def _check_classes(model: nn.Module, names: tuple[str, ...], size: int) -> None:
    count = _outputs(model, size)
    if count not in (None, len(names)):
        raise BadInputError(f"--classes gives {len(names)} names, and the network has {count} outputs.")


def _outputs(model: nn.Module, size: int) -> int | None:
    """Return how many outputs a network has, None where it has no table of them or does not run at this size."""
    import torch

    from interp import hooks

    images = hooks.gray(model, (size, size))
    with torch.no_grad(), hooks.evaluating(model), contextlib.suppress(Exception):
        outputs = model(images)
        if isinstance(outputs, torch.Tensor) and outputs.ndim == 2:
            return outputs.shape[1]
    return None
