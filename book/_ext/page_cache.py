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
from myst_nb.core.execute import ExecutionError, NotebookClientBase
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def setup(app: Sphinx) -> dict[str, Any]:
    # MyST-NB has no setting for the client; this is the one place where it makes it.
    myst_nb.sphinx_.create_client = PageClient
    app.setup_extension("edition")
    app.connect("env-get-outdated", outdated)
    app.connect("doctree-read", note_key)
    return {"env_version": _extensions(), "parallel_read_safe": True, "parallel_write_safe": True}


def _extensions() -> int:
    """Return a number for the sources of all extensions: Sphinx reads every page again when it changes."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return zlib.crc32(sources)


class PageClient(NotebookClientBase):
    """Fills a page with kept outputs, or runs it and keeps them."""

    def __init__(
        self, notebook: Any, source: str, nb_config: Any, logger: Any, read_fmt: object = None
    ) -> None:
        super().__init__(notebook, Path(source), nb_config, logger)

    def start_client(self) -> None:
        key = executed.key(self.notebook, self.path)
        execution = executed.load(key) or self._run(key)
        if checked.strict() and checked.problems(execution):
            self.logger.warning("\n".join(checked.problems(execution)), subtype="exec")
            raise ExecutionError(str(self.path))
        executed.fill(self.notebook, execution)
        checked.show(self.notebook, execution)
        self.exec_metadata = {
            "mtime": execution.when,
            "runtime": execution.seconds,
            "method": "cache",
            "succeeded": True,
            "error": None,
            "traceback": None,
        }

    def _run(self, key: str) -> executed.Execution:
        execution = asyncio.run(executed.run(self.notebook, self.path))
        executed.save(key, execution)
        self.logger.info(f"Ran in {execution.seconds:.1f} s at {datetime.now():%H:%M:%S}")
        return execution


def note_key(app: Sphinx, doctree: Any) -> None:
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
