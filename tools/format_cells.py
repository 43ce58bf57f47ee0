"""Format the code cells of chapters with ruff, so that no line of code is wider than the text column of a page.

    python tools/format_cells.py book/segment-2/*.md

Only cells with a line that is too wide are touched, and functions are kept one blank line apart, as pages are short.
Cells that are on no page (`remove-cell`) stay as they are.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

WIDTH = 84  # letters of code that fit into the text column
CELL = re.compile(
    r"(?P<open>```\{code-cell\}[^\n]*\n(?:---\n.*?\n---\n|(?::[^\n]*\n)+)?)(?P<code>.*?)(?P<close>```\n)",
    re.DOTALL,
)


def too_wide(code: str) -> bool:
    """Return whether a cell needs a scroll bar."""
    return any(len(line) > WIDTH for line in code.splitlines())


def formatted(code: str) -> str:
    """Return the code as ruff writes it, with single blank lines."""
    command = [sys.executable, "-m", "ruff", "format", "--line-length", str(WIDTH), "-"]
    out = subprocess.run(command, input=code, capture_output=True, text=True, check=True).stdout
    return re.sub(r"\n{3,}", "\n\n", out)


def format_chapter(path: Path) -> bool:
    """Rewrite one chapter; return whether anything changed."""

    def replace(cell: re.Match[str]) -> str:
        code, hidden = cell["code"], "remove-cell" in cell["open"]
        return cell["open"] + (formatted(code) if too_wide(code) and not hidden else code) + cell["close"]

    before = path.read_text()
    after = CELL.sub(replace, before)
    if after != before:
        path.write_text(after)
    return after != before


if __name__ == "__main__":
    for name in sys.argv[1:]:
        if format_chapter(Path(name)):
            print(f"formatted {name}")
