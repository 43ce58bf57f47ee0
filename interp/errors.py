"""The errors that a user of the package can meet: each says what was wrong, what was there and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_NAME = 200  # a longer one is a mistake or an attack; comparing it with all names would take minutes


class InterpError(Exception):
    """The base of all errors that this package raises on purpose."""


class BadInputError(InterpError, ValueError):
    """A value that cannot be used: an image of a wrong shape, a target out of range, a negative count."""


class UnknownNameError(InterpError, LookupError):
    """A name that nothing has; the message lists the closest names that exist.

    Args:
        kind: what was looked for, such as "layer" or "class".
        name: the name as it was given.
        known: the names that exist.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, list(known)
        shown = repr(name)
        shown = shown if len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}..."
        super().__init__(f"There is no {kind} {shown}. {self._advice()}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, object, list[str]]]:
        # Errors travel between processes; the default would call the constructor with the message alone.
        return type(self), (self.kind, self.name, self.known)

    def _advice(self) -> str:
        if not self.known:
            return "There are none."
        close = self._close_names()
        if close:
            return f"Closest: {', '.join(close)}."
        shown = ", ".join(self.known[:12])
        return f"There are {len(self.known)}: {shown}{', ...' if len(self.known) > 12 else ''}."

    def _close_names(self) -> list[str]:
        if not isinstance(self.name, str) or len(self.name) > LONGEST_NAME:
            return []
        # Upper and lower case are the commonest slip: "Tabby", "Conv_Head".
        lower = {name.lower(): name for name in reversed(self.known)}
        close = difflib.get_close_matches(self.name.lower(), lower, n=5, cutoff=0.5)
        return [lower[name] for name in close]


class MissingExtraError(InterpError, ImportError):
    """An optional package is not installed.

    Args:
        package: the package that could not be imported.
        extra: the extra of `interp` that brings it.
        purpose: what it is needed for.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra, self.purpose = package, extra, purpose
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'interp[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return type(self), (self.package, self.extra, self.purpose)


class MissingFileError(InterpError, FileNotFoundError):
    """A file is neither here nor can it be fetched; the message says where to put it by hand."""


class DamagedFileError(InterpError, OSError):
    """A file is there, but it is not what it should be: cut short, changed, or of another kind."""


class UnreadableError(InterpError, OSError):
    """A file cannot be read, so nothing is known of its content: a disk that is away, a right that is missing."""


class UnwritableError(InterpError, OSError):
    """A result cannot be written: the folder is read-only or missing, or the disk is full."""


class LostSourceError(InterpError, ConnectionError):
    """A source of images ended early, changed, or could not be reached, also after several attempts."""


class LostWorkerError(InterpError, RuntimeError):
    """A process that computed a part was killed, also after several attempts."""
