"""`interp lab`: a page on which a network runs in the browser."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from interp.cli import network, numbers
from interp.cli.texts import existing
from interp.errors import BadInputError

if TYPE_CHECKING:
    from interp.lab import Example

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

SIDES = (16, 1024)  # of images, in pixels
USUAL = 224


def add(commands: Commands) -> None:
    """Add the command."""
    command = network.add_command(
        commands,
        "lab",
        help="build a page on which a network runs in the browser",
        description="Pack a network into a static page on which it runs in the reader's browser, forward and backward: "
        "classes of a photograph, maps of any class, saliency, pictures that grow from noise. It takes networks of "
        "convolutions, batch norm, the usual rectifiers, pooling, gates, concatenation and linear layers; what it "
        "cannot take is named, and nothing is written then. In Python: lab.write.",
    )
    command.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="a new folder, or that of a lab"
    )
    add_size(command)
    command.add_argument(
        "--images",
        metavar="FILE",
        nargs="+",
        default=[],
        help="photographs that the page shows as worked examples",
    )
    command.add_argument("--title", help="the name of the network on the page (MODEL)")
    command.set_defaults(check=check, command=build_page)


def add_size(command: argparse.ArgumentParser) -> None:
    """Add the side of the images, for commands that follow a network on one of a fixed size."""
    command.add_argument(
        "--size", type=int, help=f"side of the images, in pixels (the network's own, else {USUAL})"
    )


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    network.check(options)
    numbers.check_side(options.size, *SIDES)
    for file in options.images:
        existing("--images", file)
    folder = Path(options.output)
    if folder.exists() and not (folder / "plan.js").is_file() and (folder.is_file() or any(folder.iterdir())):
        raise BadInputError(f"{options.output!r} holds something else than a lab. Name a new folder.")


def load(options: argparse.Namespace) -> tuple[object, int | None]:
    """Return the network, and the side that was asked for."""
    side = options.size
    options.size = side or USUAL
    return network.load(options), side


def build_page(options: argparse.Namespace) -> None:
    """Build the page, and print where it is."""
    from interp import lab

    examples = list(_examples(options.images))
    model, side = load(options)
    folder = Path(options.output)
    frame = lab.Frame.of(options.title or Path(options.model).name)  # less the folders of a file
    planned = lab.write(model, folder, examples, frame, side=side)  # type: ignore[arg-type]
    if not planned.last:
        sys.stdout.write(f"Without maps of classes: {planned.why}.\n")
    sys.stdout.write(f"Open {folder / 'index.html'}\n")


def _examples(files: list[str]) -> Iterator[Example]:
    from interp import image, lab

    names = {"main", "classes", "grow"}  # what the page calls something else
    for file in files:
        plain = re.sub(r"[^a-z0-9]+", "-", Path(file).stem.lower()).strip("-") or "picture"
        several = (plain, *(f"{plain}-{number}" for number in range(len(files) + 3)))
        name = next(one for one in several if one not in names and not one.endswith("-map"))
        names.add(name)
        yield lab.Example(name, Path(file).stem, image.load(file))
