"""Build one page of the book by itself, fast: a site in _build/page-NAME that holds this page and the references.

    python tools/build_page.py book/segment-1/convolution.md

References to other pages are reported as missing; everything else is as in the whole book.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
REFERENCES = ROOT / "book" / "appendix" / "references.md"


def main(names: list[str]) -> int:
    """Build the page that the one argument names; return the exit status of the build."""
    if len(names) != 1 or not Path(names[0]).is_file():
        print("Say which page: make page P=book/segment-1/convolution.md", file=sys.stderr)
        return 2
    page = Path(names[0]).resolve()
    out = ROOT / "_build" / f"page-{page.parent.name}-{page.stem}"
    out.mkdir(parents=True, exist_ok=True)
    toc = out / "_toc.yml"
    _write_if_changed(toc, yaml.safe_dump(_contents(page)))
    command: list[str | Path] = [
        Path(sys.executable).with_name("jupyter-book"),
        "build",
        ".",
        "-n",
        "--keep-going",
        "-q",
    ]
    status = subprocess.run([*command, "--toc", toc, "--path-output", out], cwd=ROOT, check=False).returncode
    print(f"\nThe page: file://{out / '_build' / 'html' / page.relative_to(ROOT).with_suffix('.html')}")
    return status


def _contents(page: Path) -> dict[str, object]:
    """Return a table of contents with the references as root: a root is no chapter, and has no byline."""
    names = [str(path.relative_to(ROOT).with_suffix("")) for path in (REFERENCES, page)]
    return {
        "format": "jb-book",
        "root": names[0],
        "chapters": [{"file": name} for name in names[1:] if page != REFERENCES],
    }


def _write_if_changed(path: Path, text: str) -> None:
    """Leave an unchanged file alone: Sphinx reads everything again when the contents are newer."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
