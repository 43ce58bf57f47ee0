"""Photographic pictures of the site as WebP: a PNG of a rendering takes about six times as much.

Charts and drawings stay PNG: they are small, and every edge in them stays sharp.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

PHOTOGRAPHIC = 0.4  # bytes a pixel from which a PNG holds more than lines and areas
QUALITY = 92
REFERENCE = re.compile(r"_images/([\w.-]+)\.png")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", lighten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Convert what is photographic, and let the pages that were written show the result."""
    if error is not None or app.builder.name != "html":
        return
    folder = Path(app.outdir, "_images")
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        names = {name for name in threads.map(converted, sorted(folder.glob("*.png"))) if name}
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        changed = REFERENCE.sub(lambda found: _reference(found, folder), text)
        if changed != text:
            page.write_text(changed, encoding="utf-8")
    for name in names:
        (folder / name).unlink()


def converted(file: Path) -> str | None:
    """Write a photographic picture as WebP beside it and return its name; None for one that stays."""
    with Image.open(file) as picture:
        if file.stat().st_size < PHOTOGRAPHIC * picture.width * picture.height:
            return None
        picture.convert("RGBA").save(file.with_suffix(".webp"), quality=QUALITY, method=2)
    return file.name


def _reference(found: re.Match[str], folder: Path) -> str:
    suffix = "webp" if (folder / f"{found[1]}.webp").exists() else "png"
    return f"_images/{found[1]}.{suffix}"
