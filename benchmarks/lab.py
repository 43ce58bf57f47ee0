"""The lab's engine in node beside torch: one thread, EfficientNet-Lite0, milliseconds.

    python benchmarks/lab.py

Forward and backward are of one image of 224 pixels; a step is one of growing a picture of 128 pixels for blocks.3.2.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from interp import lab, zoo

HERE = Path(__file__).parent


def timed(work: Callable[[], object], times: int = 20) -> float:
    """Return the median time in milliseconds, after one run that does not count."""
    work()
    spans = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spans.append(1e3 * (time.perf_counter() - began))
    return statistics.median(spans)


def main() -> None:
    node = shutil.which("node")
    if node is None:
        raise SystemExit("No node: the engine runs in a browser, or in it.")
    torch.set_num_threads(1)
    model, image = zoo.load_model(), torch.rand(1, 3, 224, 224, requires_grad=True)
    planned = lab.plan(model)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "plan.json").write_text(json.dumps(planned.as_json()))
        planned.weights.astype("<f2").tofile(Path(folder, "weights.f16"))
        command = [node, str(HERE / "lab.js"), folder]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    with torch.no_grad():
        forward = timed(lambda: model(image))
    both = timed(lambda: torch.autograd.grad(model(image)[0, 0], image))
    print(f"{'':12}{'forward':>10}{'backward':>10}{'step':>8}{'MB':>6}")
    print(f"{'torch':12}{forward:10.0f}{both - forward:10.0f}")
    for kind, found in said.items():
        row = (found["forward"], found["backward"], found["step"], found["megabytes"])
        print(f"{kind:12}{row[0]:10.0f}{row[1]:10.0f}{row[2]:8.0f}{row[3]:6.0f}")


if __name__ == "__main__":
    main()
