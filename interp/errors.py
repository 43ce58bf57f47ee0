"""The errors that a user of the package can meet: each says what was wrong, what was there and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, list(known)
        super().__init__(f"There is no {kind} {name!r}. {self._advice()}")

    def _advice(self) -> str:
        close = difflib.get_close_matches(self.name, self.known, n=5, cutoff=0.5)
        if close:
            return f"Closest: {', '.join(close)}."
        if not self.known:
            return "There are none."
        shown = ", ".join(self.known[:12])
        return f"There are {len(self.known)}: {shown}{', ...' if len(self.known) > 12 else ''}."


class MissingExtraError(InterpError, ImportError):
    """An optional package is not installed.

    Args:
        package: the package that could not be imported.
        extra: the extra of `interp` that brings it.
        purpose: what it is needed for.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'interp[{extra}]'"
        )


class MissingFileError(InterpError, FileNotFoundError):
    """A file is neither here nor can it be fetched; the message says where to put it by hand."""


class DamagedFileError(InterpError, OSError):
    """A file is there, but it is not what it should be: cut short, changed, or of another kind."""
