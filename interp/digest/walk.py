"""The walk over a value: each object once, also where objects hold themselves and code calls itself."""

from __future__ import annotations

import hashlib
import re
import sys
import types
from collections.abc import Iterable
from typing import Any

from interp.digest.code import OWN, Named, Setting, home_of
from interp.digest.values import PLAIN, parts_of
from interp.errors import BadInputError

DEEPEST = 20_000  # calls within one another; a sum of a hundred objectives needs thousands


def digest(value: object) -> str:
    """Return the SHA-256 of a value's content as 64 hexadecimal digits.

    >>> digest([1, "a"]) == digest([1, "a"]), digest(1) == digest(1.0), digest((1, 2)) == digest([1, 2])
    (True, False, False)

    Raises:
        BadInputError: the content of an object cannot be told.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST))
    try:
        return _Walk().finished(value).hex()
    except RecursionError as error:
        raise BadInputError(
            f"A {type(value).__qualname__} is nested too deeply to be part of a key."
        ) from error
    finally:
        sys.setrecursionlimit(before)


class _Walk:
    """One walk over a value, each object once; objects that hold themselves end it.

    Attributes:
        above: the objects that it stands in, by identity, with their depth.
        lowest: the least depth that was referred to since the last look.
        done: hashes of objects that refer to nothing above them; where they stand again they are the same.
        open: numbers of those that do.
        code: numbers of the user's functions and classes that were met by name; each is walked over once, at the end,
            so that code may call one another in any way.
        waiting: these, in the order of the numbers.
        lenient: whether the walk is inside a network.
    """

    def __init__(self) -> None:
        self.above: dict[int, int] = {}
        self.lowest = sys.maxsize
        self.done: dict[tuple[int, bool], bytes] = {}
        self.open: dict[int, int] = {}
        self.code: dict[tuple[int, bool], int] = {}
        self.waiting: list[tuple[object, bool]] = []
        self.kept: list[object] = []  # an identity is one only as long as the object lives
        self.lenient = False

    def finished(self, value: object) -> bytes:
        """Return the hash of a value and of all code that it reaches."""
        pieces = [self.of(value)]
        for code, lenient in self.waiting:  # which grows on the way
            self.lenient = lenient
            pieces.append(self._walked(code))
        return _joined(b"value", pieces)

    def of(self, value: object) -> bytes:
        """Return the content of a value, short; equal for equal content."""
        kind = type(value)
        if kind in PLAIN:
            return f"{kind.__name__} {value!r}".encode()
        if kind is bytes:
            return b"bytes " + value  # type: ignore[operator]
        if kind is Setting:
            return self._of_setting(value.value)  # type: ignore[attr-defined]
        if kind is Named and isinstance(value.value, types.FunctionType):  # type: ignore[attr-defined]
            return self._by_name(value.value)  # type: ignore[attr-defined]
        if kind is Named:
            return self.of(value.value)  # type: ignore[attr-defined]
        return self._by_name(value) if isinstance(value, type) else self._seen(value)

    def _of_setting(self, value: object) -> bytes:
        before, self.lenient = self.lenient, True
        try:
            return self.of(value)
        except RecursionError:  # a graph of objects too deep to be told
            return _kind(value)
        finally:
            self.lenient = before

    def _by_name(self, value: Any) -> bytes:
        if home_of(value) != OWN:
            return self._seen(value)
        key = id(value), self.lenient
        if key not in self.code:
            self.code[key] = len(self.waiting)
            self.waiting.append((value, self.lenient))
        return f"code {self.code[key]}".encode()

    def _seen(self, value: object) -> bytes:
        key, place = (id(value), self.lenient), id(value)
        if key in self.done:
            return self.done[key]
        if place in self.above:
            self.lowest = min(self.lowest, self.above[place])
            return f"{len(self.above) - self.above[place]} above".encode()
        if place in self.open:
            return f"seen {self.open[place]}".encode()
        return self._walked(value)

    def _walked(self, value: object) -> bytes:
        place, depth, before = id(value), len(self.above), self.lowest
        self.kept.append(value)
        self.above[place], self.lowest = depth, sys.maxsize
        try:
            found = self._content(value)
        finally:
            self.above.pop(place)
            closed = self.lowest >= depth
            self.lowest = before if closed else min(before, self.lowest)
        if closed:
            self.done[place, self.lenient] = found
        else:
            self.open[place] = len(self.open)
        return found

    def _content(self, value: object) -> bytes:
        try:
            parts = parts_of(value)
        except BadInputError:
            if not self.lenient:
                raise
            return _kind(value)
        if type(value) in (set, frozenset):
            return _joined(_kind(value), sorted(map(self.of, sorted(parts, key=_order))))
        return _joined(_kind(value), [self.of(part) for part in parts])


def _joined(kind: bytes, pieces: Iterable[bytes]) -> bytes:
    """Return a hash of pieces in their order; each is told with its length, so that none runs into the next."""
    told = b"".join([b"%d:%b" % (len(piece), piece) for piece in pieces])
    return hashlib.sha256(kind + b"\0" + told).digest()


def _kind(value: object) -> bytes:
    return f"{type(value).__module__}.{type(value).__qualname__}".encode()


def _order(value: object) -> tuple[bytes, str]:
    """Return what elements of sets are walked over by: their own order is another one in each process."""
    return _kind(value), re.sub(r" at 0x[0-9a-f]+", "", repr(value))
