"""`interp export`: a network as an ONNX file with the maps of its classes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interp.cli import lab, network, numbers
from interp.errors import BadInputError, MissingFileError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command."""
    command = network.add_command(
        commands,
        "export",
        help="write a network as ONNX, with the map of every class as a second output",
        description="Write a network that ends in pooling and a linear layer as an ONNX file with two outputs: logits "
        "(N, classes) and maps (N, classes, h, w), the class-activation map of every class. It takes images in [0, 1]; "
        "the normalization is part of it. In Python: lab.export_onnx.",
    )
    command.add_argument("--onnx", metavar="FILE", required=True, help="the file to write")
    lab.add_size(command)
    command.set_defaults(check=check, command=write)


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    network.check(options)
    numbers.check_side(options.size, *lab.SIDES)
    file = Path(options.onnx)
    if file.suffix != ".onnx":
        raise BadInputError(f"--onnx is a file whose name ends in .onnx; got {options.onnx!r}.")
    if not file.absolute().parent.is_dir():
        raise MissingFileError(f"--onnx: there is no folder {str(file.parent)!r}. Make it first.")


def write(options: argparse.Namespace) -> None:
    """Write the file, and print what is in it."""
    from interp.lab import export_onnx

    model, side = lab.load(options)
    classes, height, width = export_onnx(model, options.onnx, side=side)  # type: ignore[arg-type]
    sys.stdout.write(
        f"{options.onnx}: images -> logits ({classes}) and maps ({classes} x {height} x {width})\n"
    )
