"""Executed pages on disk: a page runs again when its code changes, or something that the code depends on.

The key of a page is made of its code cells, the modules of `interp` that they import (directly or through one another)
with the data beside these, the files that the cells name and the versions of what they import. Prose, captions and alt
texts are not part of it.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import edition
import narrow
import nbformat
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from interp import runs
from interp.fingerprint import PACKAGE, fingerprint

ROOT = Path(__file__).resolve().parents[2]
KEPT = 4  # older executions of one page that stay on disk
TIMEOUT = 900  # seconds that one cell may take
STARTUP = 300  # seconds that a kernel may take to start; on a busy machine it is more than the usual 60
QUIET = ["--IPKernelApp.log_level=40"]  # kernels warn on the console about the way they are reached


@dataclass(frozen=True)
class Execution:
    """What running a page gave.

    Attributes:
        page: the file, relative to the repository.
        outputs: a list of outputs for each code cell.
        seconds: the wall time of all cells, without the start of the kernel.
        when: seconds since 1970 at the end.
        language: the kernel's `language_info`.
        error: where and why the page stopped, {"cell": its number among the code cells, "text": the error}; None where
            all cells ran.
    """

    page: str
    outputs: list[list[dict[str, Any]]]
    seconds: float
    when: float
    language: dict[str, Any]
    error: dict[str, Any] | None = None


def folder() -> Path:
    """Return where executions are kept: what the variable BOOK_CACHE names, else .cache/pages in the repository."""
    return Path(os.environ.get("BOOK_CACHE") or ROOT / ".cache" / "pages")


def is_notebook(path: Path) -> bool:
    """Tell whether a file is a page with code cells."""
    return path.suffix == ".md" and is_myst_markdown_notebook(_text(path))


def read(path: Path) -> NotebookNode:
    """Read a page, as the edition that is built has it, as a notebook without outputs."""
    config = MdParserConfig(enable_extensions=set(_extensions(ROOT / "_config.yml")))
    return read_myst_markdown_notebook(_text(path), config=config, path=path)


def _text(path: Path) -> str:
    try:
        return edition.select(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{page_name(path)}: {error}") from error


def _extensions(config: Path) -> list[str]:
    found = yaml.safe_load(config.read_text(encoding="utf-8"))["parse"]["myst_enable_extensions"]
    return list(found)


def key(notebook: NotebookNode, path: Path, *, package: Path = PACKAGE) -> str:
    r"""Return the key of a page, `page-name.hash`: equal keys mean that running it would give the same.

    >>> from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
    >>> def page(*cells):
    ...     return key(new_notebook(cells=cells), Path("page.md"))
    >>> page(new_code_cell("1")) == page(new_markdown_cell("Prose."), new_code_cell("1"))
    True
    >>> page(new_code_cell("1")) == page(new_code_cell("2"))
    False
    >>> cells = "%matplotlib inline", "n = (7\n    % 4)", "!ls", "print('a syntax error'"
    >>> page(*map(new_code_cell, cells)) == page(*map(new_code_cell, cells))
    True
    """
    cells = [
        [cell.source, "raises-exception" in cell.metadata.get("tags", [])] for cell in code_cells(notebook)
    ]
    source = "\n".join(_python(text) for text, _ in cells)
    depends = fingerprint(source, folder=path.resolve().parent, package=package)
    device = "gpu" if shutil.which("nvidia-smi") else "cpu"
    return f"{_slug(path)}.{hashlib.sha256(json.dumps([cells, depends, device]).encode()).hexdigest()[:40]}"


def _python(text: str) -> str:
    """Return a cell as plain Python, its magics as calls; nothing of a cell that shows what a syntax error is."""
    plain = TransformerManager().transform_cell(text)
    try:
        ast.parse(plain)
    except SyntaxError:
        return ""
    return plain


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# --------------------------------------------------------------------------------------------------------------------
# Running


async def run(notebook: NotebookNode, path: Path) -> Execution:
    """Run the code cells of a page in a fresh kernel, in the page's own folder.

    A cell that fails, and is not tagged `raises-exception`, ends the run: the cells before it keep their outputs, and
    the execution says what went wrong.
    """
    copy = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.source, metadata=_tags(cell)) for cell in code_cells(notebook)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    resources = {"metadata": {"path": str(path.resolve().parent)}}
    waits: dict[str, Any] = {"timeout": TIMEOUT, "startup_timeout": STARTUP}
    client = NotebookClient(copy, resources=resources, extra_arguments=QUIET, **waits)
    client.on_cell_start = clock = _Clock()
    error = None
    try:
        await client.async_execute(env=os.environ | {narrow.AGAIN: str(narrow.PHONE)})
    except (
        Exception  # noqa: BLE001
    ) as failure:  # whatever it is (a kernel that is killed gives many kinds), it spoils this page alone
        error = {"cell": clock.cell, "text": _reason(failure)}
    return Execution(
        page=page_name(path),
        outputs=[cell.outputs for cell in copy.cells],
        seconds=clock.seconds(),
        when=time.time(),
        language=copy.metadata.get("language_info", {}),
        error=error,
    )


def _reason(failure: Exception) -> str:
    """Return what went wrong, as it would stand on a terminal, without colors."""
    if isinstance(failure, DeadKernelError):
        return "The kernel died; most often the memory ran out. Try BOOK_WORKERS=1."
    return re.sub(r"\x1b\[[0-9;]*m", "", str(failure)).strip() or repr(failure)


def _tags(cell: NotebookNode) -> dict[str, list[str]]:
    return {"tags": [tag for tag in cell.metadata.get("tags", []) if tag == "raises-exception"]}


class _Clock:
    """Starts at the first cell, as the start of a kernel is not the page's time; knows which cell started last."""

    def __init__(self) -> None:
        self.start: float | None = None
        self.cell = 0

    def __call__(self, *, cell_index: int = 0, **_: object) -> None:
        self.start = self.start or time.perf_counter()
        self.cell = cell_index

    def seconds(self) -> float:
        return 0.0 if self.start is None else time.perf_counter() - self.start


# --------------------------------------------------------------------------------------------------------------------
# Keeping


def load(page_key: str) -> Execution | None:
    """Return the execution of that key, None where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Execution(**runs.read_json(_file(page_key)))
    return None


def save(page_key: str, execution: Execution) -> None:
    """Keep an execution; the oldest ones of the same page go."""
    folder().mkdir(parents=True, exist_ok=True)
    runs.remove_leftovers(folder())
    runs.write_json(_file(page_key), asdict(execution))
    for path in _kept(Path(execution.page))[:-KEPT]:
        path.unlink(missing_ok=True)


def fill(notebook: NotebookNode, execution: Execution) -> None:
    """Put the outputs of an execution into a page."""
    for count, (cell, outputs) in enumerate(
        zip(code_cells(notebook), execution.outputs, strict=True), start=1
    ):
        cell.execution_count = count
        cell.outputs = [nbformat.from_dict(output) for output in outputs]
    notebook.metadata["language_info"] = nbformat.from_dict(execution.language)


def last_seconds(path: Path) -> float | None:
    """Return how long the page took when it last ran; None where it never did."""
    kept = _kept(path)
    execution = load(kept[-1].stem) if kept else None
    return execution.seconds if execution else None


def _kept(path: Path) -> list[Path]:
    return sorted(folder().glob(f"{_slug(path)}.*.json"), key=lambda file: file.stat().st_mtime)


def _file(page_key: str) -> Path:
    return folder() / f"{page_key}.json"


def page_name(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name)


def _slug(path: Path) -> str:
    return re.sub(r"\W+", "-", page_name(path).removesuffix(".md")).strip("-")
