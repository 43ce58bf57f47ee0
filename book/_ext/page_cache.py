"""Sphinx takes the pages' outputs from `executed`, and reads a page again when what its code depends on has changed."""

from __future__ import annotations

import asyncio
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import checked
import executed
import myst_nb.sphinx_
import narrow
from myst_nb.core.execute import ExecutionError, NotebookClientBase
from myst_nb.core.nb_to_tokens import notebook_to_tokens
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def setup(app: Sphinx) -> dict[str, Any]:
    # MyST-NB has no setting for these two: this is the one place where it calls them.
    myst_nb.sphinx_.notebook_to_tokens = tokens
    myst_nb.sphinx_.create_client = PageClient
    app.setup_extension("edition")
    app.connect("env-get-outdated", outdated)
    app.connect("doctree-read", note_key)
    return {"env_version": _extensions(), "parallel_read_safe": True, "parallel_write_safe": True}


def _extensions() -> int:
    """Return a number for the sources of all extensions: Sphinx reads every page again when it changes."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return zlib.crc32(sources)


def tokens(notebook: NotebookNode, parser: Any, env: Any, logger: Any) -> Any:
    """Put the outputs into a page, with notes for what went wrong, before cells are sorted into shown and hidden."""
    path = Path(parser.options["document"]["source"])
    execution = executed.load(executed.key(notebook, path)) or _run(notebook, path, logger)
    problems = checked.problems(execution, notebook)
    if checked.strict() and problems:
        logger.warning("\n".join(problems), subtype="exec")
        raise ExecutionError(str(path))
    executed.fill(notebook, execution)
    narrow.keep(notebook, Path(parser.options["document"].settings.env.mystnb_config.output_folder))
    checked.show(notebook, execution)
    return notebook_to_tokens(notebook, parser, env, logger)


def _run(notebook: NotebookNode, path: Path, logger: Any) -> executed.Execution:
    key = executed.key(notebook, path)  # before the run: what is changed while it runs is not what has run
    execution = asyncio.run(executed.run(notebook, path))
    executed.save(key, execution)
    logger.info(f"Ran in {execution.seconds:.1f} s at {datetime.now():%H:%M:%S}")
    return execution


class PageClient(NotebookClientBase):
    """Tells when a page ran and how long it took; its outputs are there already."""

    def __init__(
        self,
        notebook: Any,
        source: str,
        nb_config: Any,
        logger: Any,
        read_fmt: object = None,  # noqa: ARG002
    ) -> None:
        super().__init__(notebook, Path(source), nb_config, logger)

    def start_client(self) -> None:
        execution = executed.load(executed.key(self.notebook, self.path))
        if execution is not None:
            self.exec_metadata = {
                "mtime": execution.when,
                "runtime": execution.seconds,
                "method": "cache",
                "succeeded": True,
                "error": None,
                "traceback": None,
            }


def note_key(app: Sphinx, doctree: Any) -> None:  # noqa: ARG001
    """Remember with which key the page was read; the environment keeps it between builds."""
    app.env.metadata[app.env.docname]["page_key"] = _key(app.env, app.env.docname)


def outdated(
    _app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Return the pages whose text is the same, but not what their code depends on."""
    known = env.found_docs - added - changed - removed
    return [name for name in sorted(known) if env.metadata[name].get("page_key") != _key(env, name)]


def _key(env: BuildEnvironment, docname: str) -> str | None:
    path = Path(env.doc2path(docname))
    return executed.key(executed.read(path), path) if executed.is_notebook(path) else None
