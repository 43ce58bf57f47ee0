"""The built site and a browser; tests are skipped, with the reason in one line, where one of them is missing."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("INTERP_SITE") or ROOT / "_build" / "html")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SANDBOX_OFF = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


def pages() -> list[str]:
    """Return the addresses of all pages inside the site; none where it was not built."""
    return sorted(str(file.relative_to(SITE)) for file in SITE.glob("book/**/*.html"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", pages() or [pytest.param("", id="no-site")])


@pytest.fixture(scope="session")
def site() -> Path:
    """Return the folder of the built site."""
    if not pages():
        pytest.skip(f"no built site in {SITE}: run `make book` first, or set INTERP_SITE")
    return SITE


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[str]:
    """Serve the site on this machine and return its address."""
    with _serving(site) as address:
        yield address


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start the machine's chromium, or the one that playwright keeps."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=path, args=SANDBOX_OFF)
        except sync_api.Error as error:
            pytest.skip(
                f"no browser: apt install chromium, or playwright install chromium ({str(error).splitlines()[0]})"
            )
        yield started
        started.close()


OpenPage = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def open_page(browser: Any) -> OpenPage:
    """Return `open_page(address, width=, theme=, **context)`: a page in a context of its own."""

    @contextmanager
    def opened(address: str, *, width: int = 1440, theme: str = "light", **options: Any) -> Iterator[Any]:
        view = {"width": width, "height": 900}
        context = browser.new_context(viewport=view, color_scheme=theme, has_touch=width < 500, **options)
        context.set_default_timeout(60_000)  # whatever waits a minute fails, and says on what it waited
        page = context.new_page()
        page.trouble = []
        page.on(
            "console",
            lambda m: page.trouble.append(f"console: {m.text}") if m.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: page.trouble.append(f"script: {error}"))
        page.on("request", lambda request: _note_outside(page, request.url, address))
        try:
            page.goto(address)
            yield page
        finally:
            context.close()

    return opened


def _note_outside(page: Any, url: str, address: str) -> None:
    own = "file://" if address.startswith("file:") else "/".join(address.split("/")[:3])
    if not url.startswith((own, "data:", "blob:", "about:")):
        page.trouble.append(f"request to {url}")
