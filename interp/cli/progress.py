"""Progress where there is no terminal: now and then a line, instead of a bar that is drawn again and again."""

from __future__ import annotations

import time
from typing import IO, Any

EVERY = 30.0  # seconds between two lines


class Lines:
    """A stream for errors and bars: a terminal gets them as they are; elsewhere a bar becomes a line now and then.

    A bar that is done before its first line is due leaves none.

    Args:
        stream: where all goes.
        every: seconds between two lines.
    """

    def __init__(self, stream: IO[str], every: float = EVERY) -> None:
        self.stream, self.every = stream, every
        self.last, self.state, self.told = time.monotonic(), "", False

    def write(self, text: str) -> int:
        """Write a text; one that goes back to the line's beginning is the new state of a bar."""
        if self.stream.isatty():
            self.stream.write(text)
        elif text.startswith("\r"):
            self.state = text.strip() or self.state
            if time.monotonic() - self.last >= self.every:
                self._tell()
        elif self.state and text == "\n":  # the bar is done
            if self.told:
                self._tell()
            self.state, self.told = "", False
        else:
            self.stream.write(text)
        return len(text)

    def _tell(self) -> None:
        self.stream.write(f"{self.state}\n")
        self.stream.flush()
        self.last, self.told = time.monotonic(), True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
