"""Scripts and styles of live figures and sites. Code that reads them imports this, so that it depends on them."""

from __future__ import annotations

from pathlib import Path


def read(name: str) -> bytes:
    """Return the content of a script, a style or a page."""
    return (Path(__file__).parent / name).read_bytes()
