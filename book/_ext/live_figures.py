"""Live figures on the pages: a notebook's output carries its own script and pictures, a page shares them.

`interp.interactive` writes a figure that works by itself. On the site the scripts become files that all pages load
once, and the pictures inside become files that are fetched when the figure comes on screen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx
from sphinx.util import logging
from stack import node

LOGGER = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "interp" / "templates"
DATA_URI = re.compile(r"data:image/(png|webp|jpeg);base64,(.+)", re.DOTALL)


def add_scripts(app: Sphinx, config: Any) -> None:  # noqa: ARG001
    """Copy the scripts of the package to the site once it is written."""
    app.connect("build-finished", _copy)
    app.add_css_file("live/live.css")


def _copy(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    (static / "live").mkdir(parents=True, exist_ok=True)
    for file in (*TEMPLATES.glob("*.js"), *TEMPLATES.glob("*.css")):
        (static / "live" / file.name).write_bytes(file.read_bytes())
    _minify([static / "book.js", *(static / "live").glob("*.js")])


def _minify(scripts: list[Path]) -> None:
    """Make the scripts shorter; without the npm package they stay as they were written."""
    terser = ROOT / "node_modules" / "terser" / "dist" / "bundle.min.js"
    if not terser.exists():
        LOGGER.info("terser is not installed: the scripts of the pages stay as they were written")
        return
    program = (
        "const fs = require('fs'), {minify} = require(process.argv[1]);"
        "Promise.all(process.argv.slice(2).map(async (name) =>"
        " fs.writeFileSync(name, (await minify(fs.readFileSync(name, 'utf8'))).code)));"
    )
    subprocess.run([node(), "-e", program, terser, *scripts], check=True)


def share(app: Sphinx, content_root: str, page: BeautifulSoup) -> list[str]:
    """Take scripts and pictures out of the live figures of a page; return the names of the scripts that it needs.

    Args:
        content_root: the way from the page to the root of the site, such as "../../".
    """
    kinds = []
    for figure in page.select("div.live[data-kind]"):
        kinds.append(f"{figure['data-kind']}.js")
        for own in figure.select("style, script:not([type])"):
            own.decompose()
        _store_pictures(figure, Path(app.outdir, "_images"), f"{content_root}_images")
    return ["core.js", *sorted(set(kinds))] if kinds else []


def _store_pictures(figure: Tag, folder: Path, address: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for picture in figure.find_all("img"):
        picture["src"] = _stored(picture["src"], folder, address)
    for data in figure.select("script[type='application/json']"):
        data.string = dump(_walk(json.loads(data.string), folder, address))


def dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _walk(value: Any, folder: Path, address: str) -> Any:
    if isinstance(value, dict):
        return {key: _walk(item, folder, address) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, folder, address) for item in value]
    return _stored(value, folder, address) if isinstance(value, str) else value


def _stored(source: str, folder: Path, address: str) -> str:
    """Write a picture that stands in the text itself to a file named by its content; return the address to use."""
    found = DATA_URI.fullmatch(source)
    if found is None:
        return source
    content = base64.b64decode(found[2])
    name = f"live-{hashlib.sha256(content).hexdigest()[:16]}.{found[1]}"
    if not (folder / name).exists():
        (folder / name).write_bytes(content)
    return f"{address}/{name}"
