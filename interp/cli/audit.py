"""`interp audit`: what separates the images that a network recognizes from those that it does not."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from interp.cli import network, numbers, sources
from interp.errors import BadInputError

if TYPE_CHECKING:
    from torch import nn

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# {option: (default, least, what it is)}, as audit.Plan has them.
NUMBERS = {
    "cells": (6, 1, "regions along each side of an image"),
    "clusters": (3, 2, "of the maps of a class"),
    "fewest": (8, 1, "hits, and misses, that a class needs to be compared"),
    "each": (100, 2, "images of a class that are looked at"),
    "seed": (0, 0, "of drawings and clusters"),
}


def add(commands: Commands) -> None:
    """Add the command."""
    command = network.add_command(
        commands,
        "audit",
        help="say what separates hits from misses, class by class",
        description="Write a page that says, for each class of labeled images, which regions, units and clusters of "
        "maps separate the images that the network recognizes from those that it does not. The labels have to be the "
        "names of the network's classes.",
        epilog=f"{network.HELP}\n\n{sources.HELP}",
    )
    command.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="a new folder, or that of the same audit"
    )
    command.add_argument(
        "--layer",
        help="whose channels are the units, and at which maps are made (the last one with positions)",
    )
    sources.add_arguments(command)
    numbers.add_arguments(command, NUMBERS)
    command.add_argument(
        "--level",
        type=float,
        default=0.05,
        help="how often anything is named where nothing differs (%(default)s)",
    )
    command.add_argument("--title", help="the name of the network on the page")
    command.set_defaults(check=check, command=build_page)


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    network.check(options)
    sources.check(options)
    numbers.check(options, NUMBERS)
    if not 0 < options.level < 1:
        raise BadInputError(f"--level is a rate of false alarms, between 0 and 1; got {options.level}.")


def build_page(options: argparse.Namespace) -> None:
    """Build the page, and print where it is."""
    from interp import audit, hooks

    model = network.load(options)
    layer = options.layer or _last_layer(model, options.size)
    source = sources.source_of(options, hooks.inputs_of(model).channels)
    numbers: dict[str, Any] = {name: getattr(options, name) for name in NUMBERS}
    page = audit.build(
        model,
        layer,
        source,
        options.output,
        level=options.level,
        title=options.title or options.model,
        about=f"What {options.model} recognizes the classes of {options.data} by.",
        **numbers,
    )
    sys.stdout.write(f"Open {page}\n")


def _last_layer(model: nn.Module, size: int) -> str:
    """Return the last layer that has channels at more than one position."""
    from interp import hooks

    for found in reversed(hooks.survey(model, hooks.gray(model, (size, size)))):
        if found.layout is not None and found.shape and len(found.shape) == 4 and min(found.shape[2:]) > 1:
            return found.name
    raise BadInputError(
        "The network has no layer with positions. Name one with --layer; `interp layers MODEL` lists all."
    )
