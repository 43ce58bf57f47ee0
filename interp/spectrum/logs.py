"""Logging as a generator around the stream: `logged(tracking(...), to=JsonLines(path))`."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from interp import runs
from interp.spectrum.state import Spectrum


class Sink(Protocol):
    """Where a log goes."""

    def log(self, spectrum: Spectrum) -> None:
        """Take note of a result on the way."""

    def finish(self, spectrum: Spectrum | None) -> None:
        """Take note of the last result; None if there was none."""


def logged(spectra: Iterable[Spectrum], *, to: Sink) -> Iterator[Spectrum]:
    """Yield the same spectra and log each; the sink is finished also after an exception."""
    last = None
    try:
        for last in spectra:
            to.log(last)
            yield last
    finally:
        to.finish(last)


def summary(spectrum: Spectrum) -> dict[str, Any]:
    """Return the state of a run in a few numbers, as JSON."""
    kinds = {layer: Counter[str]() for layer in spectrum.layers}
    for unit in spectrum:
        kinds[unit.layer].update(flag.split(":")[0] for flag in unit.flags if ":" in flag)
        kinds[unit.layer]["not finite"] += unit.not_finite
    layers = {name: {"channels": len(spectrum.layers[name]), **counts} for name, counts in kinds.items()}
    return {"images": spectrum.images, "broken": len(spectrum.broken), "layers": layers}


class Pace:
    """How many images a second are looked at, from the first result on: what an earlier run looked at took none."""

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None

    def of(self, spectrum: Spectrum) -> float | None:
        """Return images a second since the first result; None for that one."""
        now = time.monotonic()
        if self.first is None:
            self.first = now, spectrum.images
            return None
        start, images = self.first
        return (spectrum.images - images) / max(now - start, 1e-9)


class JsonLines:
    """A file with one line of JSON for each result: seconds, images, images a second, broken ones, flagged units.

    Images a second are counted from the first result on, which has none (null).

    Args:
        path: the file; lines are added at its end.

    Raises:
        UnwritableError: the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.start, self.pace = time.monotonic(), Pace()

    def log(self, spectrum: Spectrum) -> None:
        seconds = round(time.monotonic() - self.start, 3)
        self._add({"seconds": seconds, "rate": self.pace.of(spectrum), **summary(spectrum)})

    def finish(self, spectrum: Spectrum | None) -> None:
        self._add({"finished": True, "images": spectrum.images if spectrum else 0})

    def _add(self, line: dict[str, Any]) -> None:
        with runs.writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
