"""`interp atlas`: a map of what a layer does at thousands of positions of many images."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from interp.cli import network, numbers, sources

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# {option: (default, least, what it is)}, as atlas.Plan has them.
NUMBERS = {
    "positions": (4, 1, "positions of each image that become points"),
    "grid": (20, 1, "cells along each side of the plane"),
    "minimum": (5, 1, "points that a cell needs to be shown"),
    "neighbors": (20, 2, "of a point in the plane: more show more of the whole, less of the detail"),
    "steps": (64, 1, "of the optimized pictures"),
    "side": (96, 8, "of the optimized pictures in pixels"),
    "best": (5, 0, "classes that a cell names, 0 for a network that does not classify"),
    "seed": (0, 0, "of positions, plane and pictures"),
}


def add(commands: Commands) -> None:
    """Add the command."""
    command = network.add_command(
        commands,
        "atlas",
        help="build a map of what a layer does, like beside like",
        description="Build an activation atlas: positions of many images, laid out by what a layer does there, with a "
        "picture, classes, images and channels for each cell. After an interruption the same command goes on.",
        epilog=f"{network.HELP}\n\n{sources.HELP}",
    )
    command.add_argument("layer", metavar="LAYER", help="a name that `interp layers MODEL` lists")
    command.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="a new folder, or that of the same atlas"
    )
    sources.add_arguments(command)
    numbers.add_arguments(command, NUMBERS)
    command.add_argument("--title", help="the name of the network on the page")
    command.set_defaults(check=check, command=build_site)


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    network.check(options)
    sources.check(options)
    numbers.check(options, NUMBERS)


def build_site(options: argparse.Namespace) -> None:
    """Build the site, or what is missing of it, and print where it is."""
    from interp import atlas, hooks

    model = network.load(options)
    source = sources.source_of(options, hooks.inputs_of(model).channels)
    numbers: dict[str, Any] = {name: getattr(options, name) for name in NUMBERS}
    plan = atlas.Plan(
        classes=numbers.pop("best"),
        size=options.size,
        title=options.title or options.model,
        about=f"What {options.layer} of {options.model} does at many positions of many images. Neighbors are positions "
        "at which it does nearly the same.",
        **numbers,
    )
    page = atlas.build(model, options.layer, source, options.output, plan=plan, progress=True)
    sys.stdout.write(f"Open {page}\n")
