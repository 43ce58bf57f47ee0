"""Options that are whole numbers: a table {option: (default, least, what it is)}, and the side of images."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from interp.errors import BadInputError

Numbers = Mapping[str, tuple[int, int, str]]


def add_arguments(command: argparse.ArgumentParser, numbers: Numbers) -> None:
    """Add an option for each number."""
    for name, (default, _, what) in numbers.items():
        command.add_argument(f"--{name}", type=int, default=default, help=f"{what} (%(default)s)")


def check(options: argparse.Namespace, numbers: Numbers) -> None:
    """Refuse numbers that are too small.

    Raises:
        BadInputError: the first of them.
    """
    for name, (_, least, _) in numbers.items():
        if getattr(options, name) < least:
            raise BadInputError(f"--{name} has to be at least {least}; got {getattr(options, name)}.")


def check_side(side: int | None, low: int, high: int) -> None:
    """Refuse a side of images, --size, that is too small or too large; None is the network's own.

    Raises:
        BadInputError: it is.
    """
    if side is not None and not low <= side <= high:
        raise BadInputError(f"--size is a side in pixels, from {low} to {high}; got {side}.")
