"""`interp microscope`: a site that shows every channel of a network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interp.cli import network, sources, streams
from interp.cli.texts import parse_names
from interp.errors import BadInputError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command."""
    command = streams.add_command(
        commands, "microscope", "build a site that shows every channel of a network"
    )
    command.add_argument("--title", help="the name of the network on the site")
    command.add_argument(
        "--steps", type=int, default=96, help="of the optimized pictures, 0 for none (%(default)s)"
    )
    command.add_argument(
        "--pictured",
        metavar="NAME,...",
        help="the layers whose channels get optimized pictures (all of --layers)",
    )
    command.add_argument(
        "--picture", type=int, default=128, help="side of an optimized picture in pixels (%(default)s)"
    )
    command.add_argument(
        "--side", type=int, default=224, help="of an image on the site in pixels (%(default)s)"
    )
    command.set_defaults(check=check, command=build_site)


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    streams.check(options)
    if options.pictured:
        parse_names("--pictured", options.pictured)
    if min(options.side, options.picture) < 8 or options.steps < 0:
        got = f"{options.side}, {options.picture} and {options.steps}"
        raise BadInputError(f"side >= 8, picture >= 8 and steps >= 0 are needed; got {got}.")


def build_site(options: argparse.Namespace) -> None:
    """Build the site, or what is missing of it, and print where it is."""
    from interp import hooks, microscope, spectrum

    model = network.load(options)
    job = spectrum.Job(
        model,
        streams.layers_of(model, options),
        sources.source_of(options, hooks.inputs_of(model).channels),
        spectrum.Measure(options.pool, options.k, sample=512),
        batch=options.batch,
    )
    page = microscope.build(
        job,
        Path(options.output),
        title=options.title or options.model,
        about=f"Every channel of some layers of {options.model}, and what drives it.",
        steps=options.steps,
        side=options.side,
        picture=options.picture,
        pictured=parse_names("--pictured", options.pictured) if options.pictured else None,
        size=options.size,
        engine=streams.engine_of(options),
        sink=streams.sink_of(options),
        progress=True,
    )
    sys.stdout.write(f"Open {page}\n")
