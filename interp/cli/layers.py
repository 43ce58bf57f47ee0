"""`interp layers`: what layers a network has, and what they give."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from interp.cli import network, numbers
from interp.errors import BadInputError

if TYPE_CHECKING:
    from torch import nn

    from interp.hooks import Survey

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command."""
    command = network.add_command(
        commands,
        "layers",
        help="list the layers of a network and the shapes that they give",
        description="List the layers of a network, their classes, and the shapes that they give: channels, and "
        "positions where there are any. In Python: hooks.survey(model, images).",
    )
    command.add_argument("--size", type=int, default=224, help="side of the images, in pixels (%(default)s)")
    command.set_defaults(check=check, command=list_layers)


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    network.check(options)
    numbers.check_side(options.size, 1, 4096)


def list_layers(options: argparse.Namespace) -> None:
    """Print the name, the class, the shape and, where it is not the usual one, the layout of every layer."""
    from interp import hooks

    model = network.load(options)
    images = hooks.gray(model, (options.size, options.size))
    for found in hooks.survey(model, images):
        sys.stdout.write(_line(found) + "\n")
    _check_whole(model, images)


def _line(found: Survey) -> str:
    shape = " x ".join(map(str, found.shape[1:])) if found.shape else "-"
    notes = [str(found.layout)] if found.layout and str(found.layout) != "channels first" else []
    if found.shape and found.layout is None and len(found.shape) == 4:
        notes.append("layout unknown")
    if found.runs > 1:
        notes.append(f"runs {found.runs} times, the first one counts")
    return f"{found.name:32} {found.kind:20} {shape:16} {', '.join(notes)}".rstrip()


def _check_whole(model: nn.Module, images: object) -> None:
    """Say why layers behind some point gave nothing."""
    import torch

    from interp import hooks

    try:
        with torch.no_grad(), hooks.evaluating(model):
            model(images)
    except Exception as error:  # whatever a network makes of images that it is not for
        size = " x ".join(map(str, images.shape[-2:]))  # type: ignore[attr-defined]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInputError(
            f"The network fails on images of {size} pixels, so the layers behind gave nothing ({reason}). If it is the "
            "size: give --size."
        ) from error
