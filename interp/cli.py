"""`interp ...`: a thin skin over the functions of the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from interp import __version__, hooks, zoo
from interp import featurevis as fv
from interp.errors import BadInputError, InterpError
from interp.microscope.commands import add_microscope, add_spectrum, share_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 for an error that was explained, or 130 after an interruption."""
    options = parser().parse_args(arguments)
    try:
        options.command(options)
    except InterpError as error:
        print(f"interp: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "interp: interrupted; what is finished is kept, the same command goes on from there.",
            file=sys.stderr,
        )
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="interp", description="See what a convolutional network sees.")
    top.add_argument("--version", action="version", version=f"interp {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_layers(commands)
    _add_render(commands)
    add_spectrum(commands)
    add_microscope(commands)
    return top


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


# ------------------------------------------------------------------------------------------------------------
# interp layers


def _add_layers(commands: Commands) -> None:
    layers = commands.add_parser("layers", help="list the layers of a network and the shapes that they give")
    layers.add_argument(
        "model", metavar="MODEL", help="a name that zoo.load_model knows, such as efficientnet_lite0"
    )
    layers.add_argument("--size", type=int, default=224, help="side of the images, in pixels (%(default)s)")
    layers.set_defaults(command=list_layers)


def list_layers(options: argparse.Namespace) -> None:
    """Print the name, the class and the output's shape of every layer."""
    model = zoo.load_model(options.model)
    images = torch.zeros(1, 3, options.size, options.size)
    for name in hooks.layer_names(model):
        kind = type(hooks.find_layer(model, name)).__name__
        print(f"{name:32} {kind:20} {_shape(model, images, name)}")


def _shape(model: nn.Module, images: torch.Tensor, layer: str) -> str:
    try:
        return " x ".join(str(side) for side in hooks.activations(model, images, layer).shape[1:])
    except BadInputError:  # a container that is never called, or a layer that gives several tensors
        return "-"


# ------------------------------------------------------------------------------------------------------------
# interp render


def _add_render(commands: Commands) -> None:
    render = commands.add_parser(
        "render",
        help="render what the channels of a layer want to see",
        description="Render channels of a layer into a folder, with a manifest. After an interruption the same command "
        "goes on, and the files end up with the same bytes.",
    )
    render.add_argument(
        "model", metavar="MODEL", help="a name that zoo.load_model knows, such as efficientnet_lite0"
    )
    render.add_argument("layer", metavar="LAYER", help="a name that `interp layers MODEL` lists")
    render.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="a new folder, or that of the same run"
    )
    render.add_argument("--channels", default="all", help="such as 0-511 or 3,7,20-29 (%(default)s)")
    render.add_argument("--sign", choices=["+", "-", "both"], default="+", help="maximize, minimize or both")
    render.add_argument("--size", type=int, default=128, help="side of the pictures in pixels (%(default)s)")
    render.add_argument(
        "--steps", type=int, default=96, help="steps, half of them at half the size (%(default)s)"
    )
    render.add_argument("--rate", type=float, default=fv.RATE, help="learning rate (%(default)s)")
    render.add_argument("--seed", type=int, default=0)
    render.add_argument("--batch", type=int, default=fv.BATCH, help="pictures at a time (%(default)s)")
    render.add_argument("--format", choices=["png", "webp"], default="png", help="both are lossless")
    render.add_argument(
        "--share", default="0/1", metavar="I/N", help="render every Nth batch only, from batch I on"
    )
    _add_machine(render)
    render.set_defaults(command=render_channels)


def _add_machine(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (%(default)s)")
    command.add_argument("--precision", choices=["float32", "bfloat16", "float16"], default="float32")
    command.add_argument(
        "--compile", action="store_true", help="use torch.compile: for whole layers on a GPU"
    )
    command.add_argument(
        "--threads", type=int, help="threads of the CPU; they change the last bits (torch's own choice)"
    )


def render_channels(options: argparse.Namespace) -> None:
    """Render channels into a folder and print what was done."""
    model = _on_device(zoo.load_model(options.model), options)
    objectives = _objectives(model, options)
    folder = fv.render_folder(
        model,
        objectives,
        options.output,
        steps=options.steps,
        size=options.size,
        rate=options.rate,
        seed=options.seed,
        batch=options.batch,
        suffix=options.format,
        share=fv.Share(*share_of(options.share)),
        compute=fv.Compute(options.precision, options.compile),
        progress=sys.stderr.isatty(),
    )
    print(
        f"{len(folder.images)} of {len(objectives)} pictures are in {folder.path}, listed in {folder.share.manifest}."
    )


def _on_device(model: nn.Module, options: argparse.Namespace) -> nn.Module:
    if options.threads is not None:
        if options.threads < 1:
            raise BadInputError(f"--threads needs at least 1; got {options.threads}.")
        torch.set_num_threads(options.threads)
    try:
        return model.to(torch.device(options.device))
    except (RuntimeError, AssertionError) as error:
        raise BadInputError(f"The device {options.device!r} cannot be used: {error}") from error


def _objectives(model: nn.Module, options: argparse.Namespace) -> list[fv.Objective]:
    count = _channel_count(model, options.layer, options.size)
    wanted = [fv.channel(options.layer, index) for index in parse_channels(options.channels, count)]
    signs = {"+": (1,), "-": (-1,), "both": (1, -1)}[options.sign]
    return [one if sign > 0 else -one for sign in signs for one in wanted]


def _channel_count(model: nn.Module, layer: str, size: int) -> int:
    device = hooks.device_of(model)
    shape = hooks.activations(model, torch.zeros(1, 3, size, size, device=device), layer).shape
    if len(shape) not in (2, 4):
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(shape)}; channels need (N, C) or (N, C, H, W)."
        )
    return shape[1]


def parse_channels(text: str, count: int) -> list[int]:
    """Return the channels that a text such as "0-3,7" or "all" names, without repeats, in the order given.

    >>> parse_channels("0-3,7", 8)
    [0, 1, 2, 3, 7]

    Raises:
        BadInputError: it is no such text, or names a channel that is not there.
    """
    if text == "all":
        return list(range(count))
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()):
            raise BadInputError(
                f"{part!r} is no channel and no range of channels. Write 0-511, or 3,7,20-29, or all."
            )
        low, high = int(first), int(last)
        if not low <= high < count:
            raise BadInputError(
                f"The layer has the channels 0 to {count - 1}; {part.strip()!r} is not among them."
            )
        found.extend(range(low, high + 1))
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    sys.exit(main())
