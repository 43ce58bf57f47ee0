"""Show the book on this machine, build it again whenever a file changes, and let the browser follow.

    python tools/serve_book.py [PORT]

A change in prose shows within seconds: the builds are forks of a process that has everything imported.
"""

from __future__ import annotations

import contextlib
import http.server
import importlib
import multiprocessing
import os
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
WATCHED = ["_config.yml", "_toc.yml", "book", "interp"]
SUFFIXES = {".md", ".py", ".yml", ".bib", ".css", ".js", ".html", ".json", ".toml", ".svg"}
FOLLOW = b"""<script>
setInterval(async () => {
  const built = await (await fetch("/built", {cache: "no-store"})).text();
  if (window.built && window.built !== built) location.reload();
  window.built = built;
}, 700);
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site; adds to each page a script that reloads it after a build, and tells when that was."""

    built = "0"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments, directory=str(SITE))  # type: ignore[arg-type, misc]

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if self.path == "/built":
            self._send(Handler.built.encode(), "text/plain")
        elif path.suffix == ".html" and path.is_file():
            self._send(path.read_bytes() + FOLLOW, "text/html; charset=utf-8")
        else:
            super().do_GET()

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing about single requests: the console is for the builds."""


def main(port: int) -> None:
    """Build, serve and watch until Ctrl-C."""
    warm_up()
    build()
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(
            f"The book: http://127.0.0.1:{server.server_address[1]}/book/index.html  (Ctrl-C ends)",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            for name in changes():
                print(f"{name} changed.", flush=True)
                build()


def warm_up() -> None:
    """Import what every build needs; what belongs to the book itself is imported anew in each build."""
    for name in (
        "jupyter_book.cli.main",
        "myst_nb.sphinx_ext",
        "sphinx.application",
        "sphinxcontrib.bibtex",
        "nbclient",
    ):
        importlib.import_module(name)


def build() -> None:
    """Run the changed pages and build the site in a child process."""
    start = time.perf_counter()
    child = multiprocessing.get_context("fork").Process(target=_build)
    child.start()
    child.join()
    Handler.built = str(time.time())
    result = "Built with problems" if child.exitcode else "Built"
    print(f"{result} in {time.perf_counter() - start:.1f} s.", flush=True)


def _build() -> None:
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT / "tools"))
    import execute_book
    from jupyter_book.cli.main import main as jupyter_book

    failed = execute_book.main([])
    with Path(os.devnull).open("w") as silence, contextlib.redirect_stdout(silence):
        jupyter_book(["build", ".", "-n", "--keep-going", "-q"], standalone_mode=False)
    sys.exit(failed)


def changes() -> Iterator[str]:
    """Give the name of a changed file whenever something was written, once for what comes together."""
    before = times()
    while True:
        time.sleep(0.3)
        now = times()
        changed = [name for name in now.keys() | before.keys() if now.get(name) != before.get(name)]
        if changed:
            time.sleep(0.1)
            before = times()
            yield min(changed)


def times() -> dict[str, int]:
    """Return {file: time of its last change} of all watched files."""
    found = {}
    for top in (ROOT / name for name in WATCHED):
        for path in [top, *top.rglob("*")] if top.is_dir() else [top]:
            with contextlib.suppress(FileNotFoundError):
                if path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                    found[str(path.relative_to(ROOT))] = path.stat().st_mtime_ns
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
