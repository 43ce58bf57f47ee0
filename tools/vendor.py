"""Copy what the pages load from node_modules to book/_vendor, from where the site serves it."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What is copied, and the folder of the site's static files in which it lies.
WANTED = {"katex/dist/katex.min.css": "katex", "katex/dist/fonts/*.woff2": "katex/fonts"}


def main() -> None:
    """Copy all files that the patterns name."""
    for pattern, folder in WANTED.items():
        files = sorted((ROOT / "node_modules").glob(pattern))
        if not files:
            raise SystemExit(f"npm brought no file {pattern}; see package.json.")
        target = ROOT / "book" / "_vendor" / folder
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    main()
