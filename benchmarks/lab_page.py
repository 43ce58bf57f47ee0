"""The lab's engine in Chromium beside onnxruntime-web: one thread, EfficientNet-Lite0, milliseconds.

Of each the least, the median and the most of 7 runs.

    python benchmarks/lab_page.py

Forward and backward are of one image of 224 pixels; a step is one of growing a picture of 128 pixels for blocks.3.2.
onnxruntime-web has no backward pass. It comes from npm into a folder that is removed again. Needs npm, Chromium,
playwright and the extra `onnx`.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright import sync_api

from interp import lab, zoo

HERE = Path(__file__).parent
WEB = HERE.parent / "interp" / "lab" / "web"
PEER = "onnxruntime-web@1.30.0"
PEER_FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.mjs")
OURS = ("kernels.js", "network.js", "operations.js", "random.js", "ascent.js")


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        lay(folder)
        said = asked(folder)
    print(f"{'':24}{'forward':>17}{'backward':>17}{'step':>17}{'logit':>10}")
    for name, found in said.items():
        shown = "".join(f"{spans(found.get(key)):>17}" for key in ("forward", "backward", "step"))
        print(f"{name:24}{shown}{found['first']:10.4f}")
    ratio = said["onnxruntime-web"]["forward"][1] / said["engine"]["forward"][1]
    print(f"onnxruntime-web takes {ratio:.2f} times as long as the engine for a forward pass (medians).")


def spans(found: Sequence[float] | None) -> str:
    """Return the least, the median and the most, "41 42 45"."""
    return "none" if found is None else " ".join(f"{value:.0f}" for value in found)


def lay(folder: Path) -> None:
    """Lay the page, both engines and the network into a folder."""
    model = zoo.load_model()
    planned = lab.plan(model)
    (folder / "plan.json").write_text(json.dumps(planned.as_json()))
    planned.weights.astype("<f2").tofile(folder / "weights.f16")
    lab.export_onnx(model, folder / "net.onnx")
    subprocess.run(["npm", "install", "--silent", "--no-save", "--prefix", str(folder), PEER], check=True)
    for name in PEER_FILES:
        shutil.copy(folder / "node_modules" / "onnxruntime-web" / "dist" / name, folder)
    for path in (*(WEB / name for name in (*OURS, "kernels.wasm")), HERE / "lab_page.js"):
        shutil.copy(path, folder)
    scripts = "".join(f'<script src="{name}"></script>' for name in (PEER_FILES[0], *OURS, "lab_page.js"))
    (folder / "index.html").write_text(f"<!DOCTYPE html><title>Times</title>{scripts}")


def asked(folder: Path) -> dict[str, Any]:
    """Return what the page says."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        found: dict[str, Any] = page.evaluate("times")
        browser.close()
    server.shutdown()
    return found


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


if __name__ == "__main__":
    main()
