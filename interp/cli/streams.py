"""What `interp spectrum` and `interp microscope` have in common: layers, images, and what runs the shards."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from interp.cli import network, sources
from interp.cli.texts import check_folder, parse_names
from interp.errors import BadInputError

if TYPE_CHECKING:
    from torch import nn

    from interp import spectrum

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

WANDB = "wandb:"


def add_command(commands: Commands, name: str, what: str) -> argparse.ArgumentParser:
    """Add a command that sends images through layers."""
    command = network.add_command(
        commands,
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}. After an interruption the same command goes on.",
        epilog=f"{network.HELP}\n\n{sources.HELP}",
    )
    command.add_argument(
        "--layers", metavar="NAME,...", required=True, help="names that `interp layers MODEL` lists"
    )
    command.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="a new folder, or that of the same run"
    )
    sources.add_arguments(command)
    command.add_argument("--pool", choices=["mean", "max", "center"], default="mean")
    command.add_argument("-k", type=int, default=9, help="images in a band (%(default)s)")
    command.add_argument("--batch", type=int, default=16, help="images in a forward pass (%(default)s)")
    command.add_argument("--engine", choices=["here", "processes", "ray"], default="here")
    command.add_argument("--workers", type=int, default=2, help="processes or Ray actors (%(default)s)")
    command.add_argument(
        "--log",
        metavar="FILE|wandb:PROJECT",
        help="add a line of JSON for each shard to a file, or log to a project of Weights & Biases",
    )
    return command


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    network.check(options)
    sources.check(options)
    parse_names("--layers", options.layers)
    if options.log and not options.log.startswith(WANDB):
        check_folder("--log", options.log)
    for name in ("k", "batch", "shard"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise BadInputError(
                f"{'shard_size' if name == 'shard' else name} has to be at least 1; got {value}."
            )


def layers_of(model: nn.Module, options: argparse.Namespace) -> tuple[str, ...]:
    """Return the layers that `--layers` names, all of which exist."""
    from interp import hooks

    names = parse_names("--layers", options.layers)
    for name in names:
        hooks.find_layer(model, name)
    return tuple(names)


def engine_of(options: argparse.Namespace) -> spectrum.Engine:
    """Return what runs the shards."""
    from interp import spectrum

    if options.engine == "ray":
        from interp.extras.ray_engine import ray_actors

        return ray_actors(options.workers)
    return spectrum.here if options.engine == "here" else spectrum.processes(options.workers)


def sink_of(options: argparse.Namespace) -> spectrum.Sink | None:
    """Return where the progress is logged."""
    from interp import spectrum

    if not options.log:
        return None
    if options.log.startswith(WANDB):
        from interp.extras.wandb_log import WandbSink

        return WandbSink(project=options.log.removeprefix(WANDB))
    return spectrum.JsonLines(options.log)
