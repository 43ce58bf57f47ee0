"""`interp ...`: a thin skin over the functions of the package, one file a command.

Nothing here imports torch before the options have been read and checked: a slip of the finger is answered at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Sequence

from PIL.Image import DecompressionBombWarning

from interp import __version__
from interp.cli import atlas, audit, export, lab, layers, microscope, render, run, spectrum
from interp.cli.progress import Lines
from interp.cli.texts import parse_channels
from interp.errors import InterpError

__all__ = ["main", "parse_channels", "parser"]

TRACEBACK = "INTERP_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 for an error that was explained, or 130 after an interruption."""
    try:
        options = parser().parse_args(arguments)
        with contextlib.redirect_stderr(Lines(sys.stderr)), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DecompressionBombWarning
            )  # images above the limit are refused anyway
            options.check(options)
            options.command(options)
    except InterpError as error:
        return _told(str(error), 1)
    except KeyboardInterrupt:
        return _told("interrupted; what is finished is kept, the same command goes on from there.", 130)
    except Exception as error:  # of a network, a dataset or a library: whose code it is, its user cannot tell
        if os.environ.get(TRACEBACK):
            raise
        reason = " ".join(str(error).split())
        return _told(f"{type(error).__name__}: {reason} ({TRACEBACK}=1 shows where.)", 1)
    return 0


def _told(message: str, code: int) -> int:
    sys.stderr.write(f"interp: {message}\n")
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="interp", description="See what a convolutional network sees.")
    top.add_argument("--version", action="version", version=f"interp {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for command in (layers, render, spectrum, microscope, atlas, audit, lab, export, run):
        command.add(commands)
    return top
