"""See to it that the tests have a browser: Debian's chromium where apt can install it, playwright's own elsewhere.

    python tools/bring_browser.py

Without one the tests in a browser are skipped, and one line says so; that is no error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Install a browser where there is none; return 0 in any case."""
    if not (_on_path() or _by_apt() or _by_playwright()):
        print("There is no browser and none could be installed: the tests in a browser will be skipped.")
    return 0


def _on_path() -> bool:
    return any(map(shutil.which, NAMES))


def _by_apt() -> bool:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print("Installing chromium for the tests ...")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium"]
    for command in (["apt-get", "update", "-qq"], install):
        subprocess.run(command, env=environment, check=False, capture_output=True)
    return _on_path()


def _by_playwright() -> bool:
    """Fetch playwright's own chromium; where it is there already, this takes a moment and fetches nothing."""
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=600).returncode == 0
    except subprocess.TimeoutExpired:
        return False


if __name__ == "__main__":
    sys.exit(main())
