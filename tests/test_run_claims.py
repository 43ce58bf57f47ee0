"""`make claims`: other seeds reach every function that has one, spreads are standard deviations, runs go on."""

from __future__ import annotations

import inspect
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import elsewhere  # noqa: E402
import run_claims  # noqa: E402

from interp import attribution, zoo  # noqa: E402
from interp import featurevis as fv  # noqa: E402


@pytest.fixture
def shifted() -> Iterator[None]:
    elsewhere.shift(1000)
    yield
    elsewhere.shift(0)


def seed_of(function: object) -> object:
    return inspect.signature(function).parameters["seed"].default  # type: ignore[arg-type]


@pytest.mark.usefixtures("shifted")
def test_other_seeds_reach_the_defaults_but_not_those_of_the_scenes() -> None:
    for function in (fv.Recipe, fv.FourierImage, attribution.smooth_grad, zoo.Training):
        assert seed_of(function) == 1000, function
    assert seed_of(zoo.Scenes) == 0


def test_the_functions_get_their_own_seeds_back() -> None:
    plain = attribution.random_map(torch.zeros(1, 3, 8, 8))
    elsewhere.shift(1000)
    other = attribution.random_map(torch.zeros(1, 3, 8, 8))
    elsewhere.shift(2000)
    elsewhere.shift(0)
    assert not torch.equal(plain, other)
    assert torch.equal(plain, attribution.random_map(torch.zeros(1, 3, 8, 8)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("f(seed=3)", "f(seed=3 + 5)"),
        ("f(seed=None)", "f(seed=None)"),
        ("f(seed=range(3))", "f(seed=range(0 + 5, 3 + 5))"),
        ("f(seeds=[1, 2])", "f(seeds=[1 + 5, 2 + 5])"),
        ("np.random.default_rng(0)", "np.random.default_rng(0 + 5)"),
        ("%time f(seed=1)", "%time f(seed=1)"),
        ("x = [f(seed=s) for s in range(2)]", "x = [f(seed=s + 5) for s in range(2)]"),
        ("torch.Generator().manual_seed(0)", "torch.Generator().manual_seed(0 + 5)"),
        ("def f(seed=0):\n    pass", "def f(seed=0):\n    pass"),
    ],
)
def test_other_seeds_reach_the_calls_of_a_page(source: str, expected: str) -> None:
    assert elsewhere.with_other_seeds(source, 5) == expected


def result(values: dict[str, float], bound: float) -> run_claims.Result:
    return run_claims.Result("so", {name: value - bound for name, value in values.items()}, values, False)


def test_the_spread_joins_machines_and_seeds() -> None:
    values = {
        "one thread": 1.0,
        "two threads": 1.1,
        "no oneDNN": 0.9,
        "seeds plus 1000": 1.4,
        "seeds plus 2000": 0.6,
    }
    one = result(values, 0.5)
    expected = math.hypot(statistics.stdev([1.0, 1.1, 0.9]), statistics.stdev([1.0, 1.4, 0.6]))
    assert one.spread == pytest.approx(expected)
    assert one.spreads == pytest.approx(0.5 / expected)
    assert one.lost == []


def test_what_nothing_moves_is_infinitely_far() -> None:
    assert result({"one thread": 1.0, "two threads": 1.0}, 0.5).spreads == math.inf
    assert result({"one thread": 1.0, "two threads": 1.0}, 1.5).spreads == -math.inf


def test_a_claim_lost_under_one_condition_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    far = result({"one thread": 1.0, "two threads": 0.99}, 0.5)
    lost = result({"one thread": 1.0, "two threads": 0.4}, 0.5)
    assert run_claims.report({"a.md": [far], "b.md": [lost]}) == 1
    printed = capsys.readouterr().out
    assert "b.md: so  DOES NOT HOLD: two threads" in printed
    assert "a.md" not in printed
    assert run_claims.report({"a.md": [far]}) == 0


def test_a_claim_that_a_condition_did_not_make_is_lost_there() -> None:
    one = run_claims.Result("so", {"one thread": 1.0}, {"one thread": 1.0}, False, ("no oneDNN",))
    assert one.lost == ["no oneDNN"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_under_one_condition_has_no_spread(value: float) -> None:
    one = run_claims.Result(
        "so", {"one thread": 1.0, "two threads": -1.0}, {"one thread": 1, "two threads": value}, False
    )
    assert one.spread == math.inf
    assert list(run_claims.weak({"a.md": [one]}))


def test_the_name_of_a_run_tells_conditions_and_tags_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    plain = run_claims.Condition("plain")
    names = {
        run_claims.kept(page, one).name
        for one in (plain, run_claims.Condition("plain", threads=2), run_claims.Condition("plain", seeds=7))
    }
    seeded = run_claims.kept(page, run_claims.Condition("plain", seeds=7)).name
    page.write_text(PAGE.replace("fixed-seed, ", ""), encoding="utf-8")
    assert len(names) == 3
    assert run_claims.kept(page, run_claims.Condition("plain", seeds=7)).name != seeded


def test_a_page_that_failed_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, plain = tmp_path / "page.md", run_claims.CONDITIONS[0]
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setenv("CLAIMS_CACHE", str(tmp_path))
    path = run_claims.kept(page, plain)
    path.parent.mkdir()
    path.write_text(json.dumps({"seconds": 1, "error": {"cell": 0, "text": "no"}, "claims": []}))
    assert run_claims.read(page, plain) is None
    assert run_claims.not_run([page], [plain]) == ["page.md: has not run to its end under: one thread"]


def test_fixed_seeds_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    condition = next(one for one in run_claims.CONDITIONS if one.seeds)
    cells = run_claims.executed.code_cells(run_claims.changed(run_claims.executed.read(page), condition))
    assert [cell.source.splitlines()[0] for cell in cells] == [
        f"import elsewhere; elsewhere.shift({condition.seeds})",
        "import elsewhere; elsewhere.shift(0)",
    ]


PAGE = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {name: python3, display_name: Python 3, language: python}
---

# A page

```{code-cell} ipython3
import torch
from interp import claims
drawn = torch.rand(9, generator=torch.Generator().manual_seed(0))
```

```{code-cell} ipython3
:tags: [fixed-seed, remove-cell]
threads = torch.get_num_threads()
claims.page(
    claims.claim("The mean is above a half", drawn, quantity="mean", over="draws", above=0.5),
    claims.claim("There is a thread", float(threads), quantity="threads", over="runs", above=0),
)
```
"""


def test_a_page_is_run_once_under_each_condition(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    command = [sys.executable, str(ROOT / "tools" / "run_claims.py"), str(page), "--only"]
    names = ["one thread", "two threads", "seeds plus 1000"]
    variables = {**os.environ, "CLAIMS_CACHE": str(tmp_path / "kept")}

    def run(*conditions: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *conditions], capture_output=True, text=True, check=False, env=variables
        )

    first, second = run(*names[:2]), run(*names)
    assert first.stdout.count(" s  page.md") == 2, first.stderr
    assert second.stdout.count(" s  page.md") == 1, second.stderr
    assert "2 claims on 1 pages" in second.stdout
    values = {
        file.parent.name: [one["value"] for one in json.loads(file.read_text())["claims"]]
        for file in (tmp_path / "kept").glob("*/*.json")
    }
    assert values["one-thread"][0] == values["two-threads"][0] != values["seeds-plus-1000"][0]
    assert (values["one-thread"][1], values["two-threads"][1]) == (1, 2)
