"""Make .venv and put uv into it, with nothing but the Python that runs this file.

    python3 tools/bootstrap.py .venv

Needs Python 3.11 to 3.13 (this one, or another one on the PATH) and a way to fetch one package: Python's own ensurepip,
a pip, or a uv that is there already. What is missing is named in one error. Written for old Pythons too, so that the
error can be read there.
"""

import os
import shutil
import subprocess
import sys

WANTED = [(3, 13), (3, 12), (3, 11)]


def main(folder):
    """Make the environment in a folder; an environment that works is left alone."""
    inside = os.path.join(folder, "bin", "python")
    new = not works(inside)
    if new:
        make(find_python(), folder)
    if os.path.exists(os.path.join(folder, "bin", "uv")):
        return
    try:
        bring_uv(inside, folder)
    except SystemExit:
        if new:  # made without pip, it would stay so after what was missing has been installed
            shutil.rmtree(folder, ignore_errors=True)
        raise


def find_python():
    """Return the path of a Python of a version that the book runs on; the one that runs this file comes first."""
    if sys.version_info[:2] in WANTED:
        return sys.executable
    for major, minor in WANTED:
        found = shutil.which("python%d.%d" % (major, minor))  # noqa: UP031
        # pyenv puts names on the PATH that only say that the version is switched off
        check = "import sys; sys.exit(sys.version_info[:2] != (%d, %d))" % (major, minor)  # noqa: UP031
        if found and succeeds([found, "-c", check]):
            return found
    sys.exit(
        "Python 3.11, 3.12 or 3.13 is needed; python3 here is %d.%d. Install one of them, or say where it is: "  # noqa: UP031
        "make book PYTHON3=/path/to/python3.12" % sys.version_info[:2]
    )


def works(python):
    """Tell whether an interpreter is there and starts."""
    return os.path.exists(python) and succeeds([python, "-c", "pass"])


def make(python, folder):
    """Make the environment: the usual way, without ensurepip where Debian left it out, or by a uv on the PATH."""
    shutil.rmtree(folder, ignore_errors=True)
    ways = [
        [python, "-m", "venv", folder],
        [python, "-m", "venv", "--without-pip", folder],
        ["uv", "venv", "--python", python, folder],
    ]
    for command in ways:
        if succeeds(command):
            return
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(
        python + " has no module venv to make an environment with. On Debian: apt-get install python3-venv"
    )


def bring_uv(python, folder):
    """Install uv into the environment, or link the one on the PATH."""
    version = pinned("uv")
    ways = [
        [python, "-m", "pip", "install", "--quiet", version],
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", version],
    ]
    if any(succeeds(command) for command in ways):
        return
    ready = shutil.which("uv")
    if ready is None:
        say_why(ways[0])
    os.symlink(ready, os.path.join(folder, "bin", "uv"))


def say_why(command):
    """End with the reason for which uv could not be installed."""
    last = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    ).stdout.decode()
    sys.exit(
        "uv could not be installed from PyPI into the environment. Check the network; if there is no pip, install it "
        "(on Debian: apt-get install python3-venv) or put uv on the PATH. The last attempt said:\n"
        + last[-800:]
    )


def pinned(name):
    """Return name==version as in constraints.txt, so that everybody has the same one."""
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "constraints.txt")
    with open(path, encoding="utf-8") as lines:
        found = [line.strip() for line in lines if line.startswith(name + "==")]
    return found[0] if found else name


def succeeds(command):
    """Tell whether a command is there and ends well; what it prints is thrown away."""
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    main(sys.argv[1])
