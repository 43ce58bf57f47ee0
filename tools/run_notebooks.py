"""Run the notebooks of the book as a reader does elsewhere: on the wheel and its extras, with nothing else of it.

    python tools/run_notebooks.py [PART OF A NAME ...]

The newest versions of everything go into a fresh environment in a temporary folder, without the tested versions of
constraints.txt. nbval runs one notebook after the other; every cell has to run, and the cells tagged
`nbval-check-output` have to give the rounded numbers, shapes and names that the book shows. Needs `make book wheel`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import install_cell  # noqa: E402

TIMEOUT = 900  # seconds that one cell may take
UV = ROOT / ".venv" / "bin" / "uv"


def main(names: list[str]) -> int:
    """Run the notebooks whose names hold one of the words, all without words; return the exit status of the tests."""
    notebooks = chosen(ROOT / "_build" / "html" / "notebooks", names)
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    if not notebooks or len(wheels) != 1:
        print("There is no notebook of that name or no wheel: run `make book wheel` first.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(folder / "alone", f"{wheels[0]}[{install_cell.EXTRAS}]")
        files = [copy(notebook, folder / "notebooks") for notebook in notebooks]
        return run(python, files, folder)


def chosen(folder: Path, names: list[str]) -> list[Path]:
    """Return the notebooks in a folder whose names hold one of the words; all of them without words."""
    found = sorted(folder.rglob("*.ipynb"))
    return [
        path for path in found if not names or any(word in str(path.relative_to(folder)) for word in names)
    ]


def environment(folder: Path, package: str) -> Path:
    """Make an environment with the package, nbval and what a notebook needs to run; return its Python."""
    python = folder / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    packages = [package, "nbval", "ipykernel"]
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *packages], check=True)
    return python


def copy(notebook: Path, folder: Path) -> Path:
    """Copy a notebook away from the files that lie around it in the book."""
    target = folder / f"{notebook.parent.name}-{notebook.name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(notebook, target)
    return target


def run(python: Path, files: list[Path], folder: Path) -> int:
    """Run notebooks with nbval, away from the repository's settings and from results that are kept."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "INTERP_EDITION")}
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", str(TIMEOUT)]
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-v",
        "--durations=10",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        folder,
        *options,
        *files,
    ]
    return subprocess.run(
        command, cwd=folder, env={**kept, "INTERP_CACHE": str(folder / "cache")}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
