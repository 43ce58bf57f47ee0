"""`interp spectrum`: the images that drive the channels of a network up, down and nowhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from interp.cli import network, sources, streams
from interp.cli.texts import check_folder, parse_names, parse_share
from interp.errors import BadInputError, UnknownNameError

if TYPE_CHECKING:
    from interp import spectrum

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command."""
    command = streams.add_command(
        commands, "spectrum", "find the images that drive the channels of a network up, down and nowhere"
    )
    command.add_argument("--save", metavar="FILE", help="also write the merged spectrum to a file")
    command.add_argument(
        "--show", metavar="[LAYER/]CHANNEL", nargs="+", default=[], help="print the images of these channels"
    )
    command.add_argument(
        "--decoders", type=int, default=1, help="threads that decode ahead, in each process (%(default)s)"
    )
    command.add_argument("--threads", type=int, default=1, help="of torch, in each process (%(default)s)")
    command.add_argument(
        "--share", default="0/1", metavar="I/N", help="compute every Nth shard only, from shard I on"
    )
    command.set_defaults(check=check, command=find_images)


def check(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    streams.check(options)
    layers = parse_names("--layers", options.layers)
    for text in options.show:
        parse_unit(text, layers)
    if parse_share(options.share) != (0, 1) and (options.save or options.show):
        raise BadInputError(
            "--save and --show are for the whole: leave out --share once all shares are finished; nothing is then "
            "computed again."
        )
    for name, least in (("decoders", 0), ("threads", 1)):
        if getattr(options, name) < least:
            raise BadInputError(f"--{name} needs at least {least}; got {getattr(options, name)}.")
    if options.save:
        check_folder("--save", options.save)


def parse_unit(text: str, layers: Sequence[str]) -> tuple[str, int]:
    """Return (layer, channel); without a layer the first one is meant.

    >>> parse_unit("7", ["conv"]), parse_unit("bn/3", ["conv", "bn"])
    (('conv', 7), ('bn', 3))
    """
    layer, slash, channel = text.rpartition("/")
    if not channel.isdecimal():
        raise BadInputError(f"--show takes a channel, such as 7 or {layers[0]}/7; got {text!r}.")
    if slash and layer not in layers:
        raise UnknownNameError("layer in --layers", layer, layers)
    return layer if slash else layers[0], int(channel)


def find_images(options: argparse.Namespace) -> None:
    """Compute the shards that are missing, and print what was found."""
    from interp import spectrum

    job, share = _job(options), parse_share(options.share)
    folder, engine, sink = Path(options.output), streams.engine_of(options), streams.sink_of(options)
    if share != (0, 1):
        spectrum.compute(job, folder, share=share, engine=engine, sink=sink, progress=True)
        done = job.source.shards - len(job.unfinished(folder))
        sys.stdout.write(f"{done} of {job.source.shards} shards are finished.\n")
        return
    found = spectrum.run(job, folder, engine=engine, sink=sink, progress=True)
    if options.save:
        spectrum.save(found, Path(options.save))
    _print("\n".join(_report(found, job, options)) + "\n")


def _print(text: str) -> None:
    """Write a text with names of files in it, which a terminal may not be able to show."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, errors="backslashreplace").decode(encoding))


def _job(options: argparse.Namespace) -> spectrum.Job:
    from interp import hooks, spectrum

    model = network.load(options)
    source = sources.source_of(options, hooks.inputs_of(model).channels)
    return spectrum.Job(
        model,
        streams.layers_of(model, options),
        source,
        spectrum.Measure(options.pool, options.k),
        batch=options.batch,
        device=options.device,
        threads=options.threads,
        decoders=options.decoders,
    )


def _report(found: spectrum.Spectrum, job: spectrum.Job, options: argparse.Namespace) -> list[str]:
    lines = [f"{found.images:,} images, {len(found.broken)} broken, {len(found)} channels."]
    lines += [f"broken: {each.name}: {each.reason}" for each in found.broken[:20]]
    for text in options.show:
        lines += _printed(_unit(found, *parse_unit(text, job.layers)), job.source)
    return lines


def _unit(found: spectrum.Spectrum, layer: str, channel: int) -> spectrum.Unit:
    channels = len(found.layers[layer])
    if channel >= channels:
        raise BadInputError(f"{layer} has the channels 0 to {channels - 1}; there is no channel {channel}.")
    return found[layer, channel]


def _printed(unit: spectrum.Unit, source: spectrum.Source) -> list[str]:
    """Return the columns of a unit as lines: a score, the label and the name of each image."""
    ids = sorted({id_ for band in unit.columns for id_ in band.ids})
    entries = {entry.id: " ".join(filter(None, [entry.label, entry.name])) for entry in source.find(ids)}
    lines = [f"{unit.layer}/{unit.channel}: {'; '.join(unit.flags) or 'no warning'}"]
    for band in unit.columns:
        lines.append(f"  {band.name}")
        lines += [
            f"    {score:10.4g}  {entries[id_]}" for id_, score in zip(band.ids, band.scores, strict=True)
        ]
    return lines
