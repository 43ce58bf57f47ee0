"""`interp render`: pictures of what the channels of a layer, or the outputs, want to see."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from interp.cli import network
from interp.cli.texts import parse_channels, parse_share
from interp.errors import BadInputError

if TYPE_CHECKING:
    from torch import nn

    from interp import featurevis as fv

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

RATE, BATCH = 0.1, 16  # as featurevis has them
OUTPUT = "output"


def add(commands: Commands) -> None:
    """Add the command."""
    command = network.add_command(
        commands,
        "render",
        help="render what the channels of a layer want to see",
        description="Render channels of a layer into a folder, with a manifest. After an interruption the same command "
        "goes on, and the files end up with the same bytes.",
    )
    command.add_argument(
        "layer", metavar="LAYER", help="a name that `interp layers MODEL` lists, or output for the logits"
    )
    command.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="a new folder, or that of the same run"
    )
    command.add_argument("--channels", default="all", help="such as 0-511 or 3,7,20-29 (%(default)s)")
    command.add_argument("--sign", choices=["+", "-", "both"], default="+", help="maximize, minimize or both")
    command.add_argument("--size", type=int, default=128, help="side of the pictures in pixels (%(default)s)")
    command.add_argument(
        "--steps",
        type=int,
        default=96,
        help="steps, half of them at half the size where the network takes it (%(default)s)",
    )
    command.add_argument("--rate", type=float, default=RATE, help="learning rate (%(default)s)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--batch", type=int, default=BATCH, help="pictures at a time (%(default)s)")
    command.add_argument("--format", choices=["png", "webp"], default="png", help="both are lossless")
    command.add_argument(
        "--share", default="0/1", metavar="I/N", help="render every Nth batch only, from batch I on"
    )
    command.add_argument("--precision", choices=["float32", "bfloat16", "float16"], default="float32")
    command.add_argument(
        "--compile", action="store_true", help="use torch.compile: for whole layers on a GPU"
    )
    command.add_argument(
        "--threads", type=int, help="threads of the CPU; they change the last bits (torch's own choice)"
    )
    command.set_defaults(check=check, command=render_channels)


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    network.check(options)
    parse_channels(options.channels, None)
    parse_share(options.share)
    if options.threads is not None and options.threads < 1:
        raise BadInputError(f"--threads needs at least 1; got {options.threads}.")


def render_channels(options: argparse.Namespace) -> None:
    """Render channels into a folder and print what was done."""
    import torch

    from interp import featurevis as fv

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    model = network.load(options)
    objectives = _objectives(model, options)
    recipe = fv.Recipe(
        steps=options.steps,
        size=options.size,
        rate=options.rate,
        seed=options.seed,
        batch=options.batch,
        compute=fv.Compute(options.precision, options.compile),
    )
    folder = fv.render_folder(
        model,
        objectives,
        options.output,
        recipe=recipe,
        suffix=options.format,
        share=parse_share(options.share),
        progress=True,
    )
    sys.stdout.write(
        f"{len(folder.images)} of {len(objectives)} pictures are in {folder.path}, listed in {folder.share.manifest}.\n"
    )


def _objectives(model: nn.Module, options: argparse.Namespace) -> list[fv.Objective]:
    from interp import featurevis as fv
    from interp import hooks

    logits = options.layer == OUTPUT and OUTPUT not in hooks.layer_names(model)
    count = _count(model, options.layer, options.size, logits=logits)
    indices = parse_channels(options.channels, count)
    wanted = [fv.logit(index) if logits else fv.channel(options.layer, index) for index in indices]
    signs = {"+": (1,), "-": (-1,), "both": (1, -1)}[options.sign]
    return [one if sign > 0 else -one for sign in signs for one in wanted]


def _count(model: nn.Module, layer: str, size: int, *, logits: bool) -> int:
    """Return how many channels a layer has, or how many outputs the network."""
    import torch

    from interp import featurevis as fv
    from interp import hooks
    from interp.featurevis.parameterizations import check_size

    images = hooks.gray(model, check_size(size))
    name = fv.OUTPUT if logits else layer
    with torch.no_grad(), hooks.evaluating(model):
        shape = fv.look(model, images, [name], (), [])[name].shape
    if len(shape) not in (2, 4):
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(shape)}; channels need (N, C) or (N, C, H, W)."
        )
    return shape[1]
