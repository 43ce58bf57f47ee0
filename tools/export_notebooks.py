"""Lay the chapters' notebooks out as the branch `notebooks` holds them: _build/notebooks.

    python tools/export_notebooks.py

The notebooks themselves are made with the site, by book/_ext/notebooks.py. Here their outputs are taken away, because
Colab and Binder run them; what nbval compares stays, a few lines of text. .binder/ says what Binder installs.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import install_cell  # noqa: E402
import launch  # noqa: E402

README = """# Notebooks of *Looking inside a vision model*

Generated when the book is published; changes made here are lost. The sources are the chapters on the main branch.
"""


def main(
    source: str = str(ROOT / "_build" / "html" / "notebooks"),
    target: str = str(ROOT / "_build" / "notebooks"),
) -> int:
    """Write the folder anew; return 1 where the book was not built."""
    files = sorted(Path(source).rglob("*.ipynb"))
    if not files:
        print(f"There are no notebooks in {source}: run `make book` first.", file=sys.stderr)
        return 1
    shutil.rmtree(target, ignore_errors=True)
    for file in files:
        write(file, Path(target, file.relative_to(source)))
    Path(target, "README.md").write_text(README, encoding="utf-8")
    Path(target, ".binder").mkdir()
    Path(target, ".binder", "requirements.txt").write_text(requirements(site()), encoding="utf-8")
    print(f"{len(files)} notebooks: {target}")
    return 0


def write(source: Path, target: Path) -> None:
    """Write one notebook without counts, and without outputs but those that a run elsewhere is compared with."""
    page = nbformat.read(source, as_version=4)
    for cell in page.cells:
        if cell.cell_type == "code" and "nbval-check-output" not in cell.metadata.get("tags", []):
            cell.outputs, cell.execution_count = [], None
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(page, target)


def site() -> str:
    """Return the address of the published pages, from _config.yml."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    url = (config.get("repository") or {}).get("url") or ""
    return launch.site_of(url, (config.get("html") or {}).get("baseurl") or "")


def requirements(address: str) -> str:
    """Return what Binder installs: the wheel that stands beside the pages, with what it needs."""
    package = f"interp[{install_cell.EXTRAS}]"
    return (
        f"{package} @ {address}/{install_cell.wheel()}\n" if address else f"# {package}: no address is set\n"
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
