"""What is written in one word on the command line: channels, shares, numbers, names."""

from __future__ import annotations

import math
from pathlib import Path

from interp.errors import BadInputError, MissingFileError


def parse_channels(text: str, count: int | None) -> list[int]:
    """Return the channels that a text such as "0-3,7" or "all" names, without repeats, in the order given.

    >>> parse_channels("0-3,7", 8)
    [0, 1, 2, 3, 7]

    Args:
        text: what was written.
        count: how many channels there are; None only checks how it is written.

    Raises:
        BadInputError: it is no such text, or names a channel that is not there.
    """
    if text == "all":
        return list(range(count or 0))
    found: list[int] = []
    for part in text.split(","):
        low, high = _ends(part.strip())
        if count is None:
            continue
        if not low <= high < count:
            raise BadInputError(
                f"The layer has the channels 0 to {count - 1}; {part.strip()!r} is not among them."
            )
        found.extend(range(low, high + 1))
    return list(dict.fromkeys(found))


def _ends(part: str) -> tuple[int, int]:
    first, dash, last = part.partition("-")
    last = last if dash else first
    if not (first.isdecimal() and last.isdecimal()):
        raise BadInputError(
            f"{part!r} is no channel and no range of channels. Write 0-511, or 3,7,20-29, or all."
        )
    return int(first), int(last)


def parse_share(text: str) -> tuple[int, int]:
    """Return (index, count) of a share, written INDEX/COUNT.

    >>> parse_share("0/4")
    (0, 4)
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise BadInputError(f"A share is written INDEX/COUNT, such as 0/4; got {text!r}.")
    return int(index), int(count)


def parse_numbers(option: str, text: str) -> tuple[float, ...]:
    """Return numbers between commas, such as those of a normalization: one for each channel.

    >>> parse_numbers("--mean", "0.485,0.456,0.406")
    (0.485, 0.456, 0.406)
    """
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise BadInputError(
            f"{option} takes a number for each channel, in [0, 1]: three for red, green and blue, such as "
            f"0.485,0.456,0.406, or another number for a network of other images; got {text!r}."
        )
    return numbers


def parse_names(option: str, text: str) -> list[str]:
    """Return the names between commas, without blanks around them.

    >>> parse_names("--layers", "layer1, layer2")
    ['layer1', 'layer2']
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        kind = option.strip("-s")
        raise BadInputError(f"{option} names no {kind}. `interp layers MODEL` lists them.")
    return names


def check_folder(option: str, name: str) -> None:
    """Refuse a file that is to be written into a folder that is not there."""
    folder = Path(name).parent
    if not folder.is_dir():
        raise MissingFileError(f"{option} {name!r}: there is no folder {str(folder)!r}. Make it first.")


def existing(option: str, name: str) -> Path:
    """Return the path of a file that has to be there."""
    path = Path(name)
    if not path.is_file():
        raise MissingFileError(f"{option} {name!r}: there is no such file. Check the path.")
    return path
