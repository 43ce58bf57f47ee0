"""See to it that the tests have a browser: Debian's chromium where apt can install it, playwright's own elsewhere.

    python tools/bring_browser.py

Without one the tests in a browser are skipped, and one line says so; that is no error. What drives it, playwright's
node, needs a library that a small Debian does not have.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Install a browser, and what drives it, where there is none; return 0 in any case."""
    if not (_drives() or _by_apt("libatomic1", _drives)):
        print(
            "playwright does not start (on Debian: apt-get install libatomic1): the tests in a browser will fail."
        )
    if not (_on_path() or _by_apt("chromium", _on_path) or _by_playwright()):
        print("There is no browser and none could be installed: the tests in a browser will be skipped.")
    return 0


def _drives() -> bool:
    command = [sys.executable, "-m", "playwright", "--version"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _on_path() -> bool:
    return any(map(shutil.which, NAMES))


def _by_apt(package: str, there: Callable[[], bool]) -> bool:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print(f"Installing {package} for the tests ...")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", package]
    for command in (["apt-get", "update", "-qq"], install):
        subprocess.run(command, env=environment, check=False, capture_output=True)
    return there()


def _by_playwright() -> bool:
    """Fetch playwright's own chromium; where it is there already, this takes a moment and fetches nothing."""
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=600).returncode == 0
    except subprocess.TimeoutExpired:
        return False


if __name__ == "__main__":
    sys.exit(main())
