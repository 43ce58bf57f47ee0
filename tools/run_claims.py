"""Run pages under what another machine would change, and print how far each claim is from its bound.

    python tools/run_claims.py [PAGE.md ...] [--only CONDITION ...]

Each page runs under each condition once; what has run is kept in .cache/claims, so an interrupted command goes on where
it was. The spread of a claim is the root of the summed squares of two standard deviations: over the conditions of
the machine and over the seeds. Where all pages have run under all conditions, book/_data/claims.json is written anew.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hashlib
import json
import math
import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT / "tools"), str(ROOT)]

import checked  # noqa: E402
import elsewhere  # noqa: E402
import execute_book  # noqa: E402
import executed  # noqa: E402
import measured  # noqa: E402
from nbformat import NotebookNode  # noqa: E402

from interp import runs  # noqa: E402
from interp.claims import number  # noqa: E402

TARGET = ROOT / "book" / "_data" / "claims.json"
ENOUGH = 3  # spreads between a value and its bound
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Condition:
    """A way to run the pages: variables of the environment, a line before each cell, a number added to the seeds."""

    name: str
    threads: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    line: str = ""
    seeds: int = 0

    @property
    def folder(self) -> Path:
        kept = os.environ.get("CLAIMS_CACHE") or ROOT / ".cache" / "claims"
        return Path(kept, self.name.replace(" ", "-"))


CONDITIONS = (
    Condition("one thread"),
    Condition("two threads", threads=2),
    Condition("no vector instructions", variables={"ATEN_CPU_CAPABILITY": "default"}),
    Condition("older oneDNN", variables={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    Condition("no oneDNN", line="elsewhere.without_onednn()"),
    *(Condition(f"seeds plus {number}", seeds=number) for number in (1000, 2000, 3000)),
)


def main() -> int:
    """Run what has not run yet and print the table; return 1 if a claim does not hold or is too close somewhere."""
    options = parse()
    pages = [Path(name).resolve() for name in options.pages] or execute_book.toc_pages(ROOT / "_toc.yml")
    pages = [page for page in pages if executed.is_notebook(page)]
    conditions = [one for one in CONDITIONS if not options.only or one.name in options.only]
    for condition in conditions:
        asyncio.run(run_all(pages, condition))
    results = {executed.page_name(page): gathered(page, conditions) for page in pages}
    missing = not_run(pages, conditions)
    if not options.pages and not options.only and not missing:
        write(results)
    return max(report(results), int(bool(missing)))


def not_run(pages: list[Path], conditions: list[Condition]) -> list[str]:
    """Print and return the runs that came to no end; the next command tries them again."""
    missing = [
        f"{executed.page_name(page)}: has not run to its end under: {condition.name}"
        for page in pages
        for condition in conditions
        if read(page, condition) is None
    ]
    print(*missing, sep="\n", end="\n" if missing else "")
    return missing


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", metavar="PAGE.md")
    names = [one.name for one in CONDITIONS]
    parser.add_argument(
        "--only", nargs="*", metavar="CONDITION", choices=names, help=f"some of: {', '.join(names)}"
    )
    return parser.parse_args()


# --------------------------------------------------------------------------------------------------------------------
# Running


async def run_all(pages: list[Path], condition: Condition) -> None:
    """Run the pages that have not run under a condition, side by side where one page does not use all cores."""
    waiting = [page for page in pages if read(page, condition) is None]
    workers = max(1, (os.cpu_count() or 1) // condition.threads)
    gate = asyncio.Semaphore(max(1, int(os.environ.get("BOOK_WORKERS") or workers)))
    set_environment(condition)
    await asyncio.gather(*(run(page, condition, gate) for page in waiting))


def set_environment(condition: Condition) -> None:
    """Set what the kernels of a condition inherit, and unset what belongs to another one."""
    for name in {name for one in CONDITIONS for name in one.variables}:
        os.environ.pop(name, None)
    os.environ.update(condition.variables)
    os.environ.update(dict.fromkeys(THREADS, str(condition.threads)))
    os.environ["INTERP_CACHE"] = str(condition.folder / "store")  # nothing that another condition computed
    os.environ["PYTHONPATH"] = str(ROOT / "tools")


async def run(page: Path, condition: Condition, gate: asyncio.Semaphore) -> None:
    async with gate:
        path = kept(page, condition)  # before the run: what is changed while it runs is not what has run
        execution = await executed.run(changed(executed.read(page), condition), page)
    content = {"seconds": execution.seconds, "error": execution.error, "claims": found(execution)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with runs.replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
    mark = f"  FAILED: {execution.error['text'].splitlines()[-1]}" if execution.error else ""
    print(f"{condition.name:24} {execution.seconds:7.1f} s  {execution.page}{mark}", flush=True)


def found(execution: executed.Execution) -> list[dict[str, Any]]:
    return [
        {**dataclasses.asdict(one), "holds": one.holds, "margin": one.margin}
        for one in checked.claims(execution)
    ]


def changed(notebook: NotebookNode, condition: Condition) -> NotebookNode:
    """Return a page whose cells begin with what the condition wants; cells tagged `fixed-seed` keep their seeds."""
    for cell in executed.code_cells(notebook):
        seeds = 0 if "fixed-seed" in cell.metadata.get("tags", []) else condition.seeds
        source = elsewhere.with_other_seeds(cell.source, seeds) if seeds else cell.source
        lines = [condition.line, f"elsewhere.shift({seeds})" if condition.seeds else ""]
        cell.source = "\n".join([*(f"import elsewhere; {line}" for line in lines if line), source])
    return notebook


def kept(page: Path, condition: Condition) -> Path:
    """Return the file of a page under a condition; another name as soon as running it would give something else."""
    notebook = changed(executed.read(page), condition)
    also = repr(condition) + Path(elsewhere.__file__).read_text(encoding="utf-8")
    number = hashlib.sha256(also.encode()).hexdigest()[:12]
    return condition.folder / f"{executed.key(notebook, page)}.{number}.json"


def read(page: Path, condition: Condition) -> dict[str, Any] | None:
    """Return what a run gave; None where there is none that came to its end."""
    path = kept(page, condition)
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return content if content and not content["error"] else None


# --------------------------------------------------------------------------------------------------------------------
# What came out


@dataclass(frozen=True)
class Result:
    """One claim under all conditions.

    Attributes:
        words: the claim.
        margins: {condition: margin}; a condition under which the page failed is missing.
        values: {condition: value}.
        exact: whether it is about equality.
        missing: the conditions under which the page ran and did not make this claim.
    """

    words: str
    margins: dict[str, float]
    values: dict[str, float]
    exact: bool
    missing: tuple[str, ...] = ()

    @property
    def spread(self) -> float:
        """Standard deviations over machines and over seeds, put together; infinite where a value is."""
        if not all(map(math.isfinite, self.values.values())):
            return math.inf
        machines = [value for name, value in self.values.items() if not name.startswith("seeds")]
        seeds = [
            value for name, value in self.values.items() if name.startswith("seeds") or name == "one thread"
        ]
        return math.hypot(
            *(statistics.stdev(group) if len(group) > 1 else 0.0 for group in (machines, seeds))
        )

    @property
    def spreads(self) -> float:
        """The margin of the plain run, in spreads; the smallest margin where the claim fails somewhere."""
        plain = self.margins.get("one thread")
        margin = min(self.margins.values()) if self.lost or plain is None else plain
        if math.isnan(margin):
            return -math.inf
        return margin / self.spread if self.spread > 0 else math.copysign(math.inf, margin)

    @property
    def lost(self) -> list[str]:
        return [name for name, margin in self.margins.items() if not margin > 0] + list(self.missing)


def gathered(page: Path, conditions: list[Condition]) -> list[Result]:
    """Return the claims of a page, in its order, each with what it was under the conditions."""
    by_words: dict[str, dict[str, dict[str, Any]]] = {}
    ran = {one.name: content["claims"] for one in conditions if (content := read(page, one))}
    for name, claims in ran.items():
        for one in claims:
            by_words.setdefault(one["words"], {})[name] = one
    return [
        Result(
            words,
            {name: one["margin"] for name, one in runs.items()},
            {name: one["value"] for name, one in runs.items()},
            any(one["exact"] for one in runs.values()),
            tuple(name for name in ran if name not in runs),
        )
        for words, runs in by_words.items()
    ]


def report(results: dict[str, list[Result]]) -> int:
    """Print the claims that are closer than three spreads or fail somewhere, and how many there are."""
    rows = sorted(weak(results), key=lambda row: row[1].spreads)
    for page, one in rows:
        lost = f"  DOES NOT HOLD: {', '.join(one.lost)}" if one.lost else ""
        print(f"{number(one.spreads):>8}  {page}: {one.words}{lost}")
    count = sum(map(len, results.values()))
    print(
        f"{count} claims on {len(results)} pages; {len(rows)} below {ENOUGH} spreads or lost under a condition."
    )
    return int(bool(rows))


def weak(results: dict[str, list[Result]]) -> Iterator[tuple[str, Result]]:
    for page, found in results.items():
        yield from ((page, one) for one in found if one.lost or (not one.exact and one.spreads < ENOUGH))


def write(results: dict[str, list[Result]]) -> None:
    """Keep the spreads of all claims, with how they were measured."""
    claims = {
        page: {one.words: {"spread": float(f"{one.spread:.4g}"), "runs": len(one.values)} for one in found}
        for page, found in results.items()
    }
    about = {
        "how": "make claims",
        "conditions": [one.name for one in CONDITIONS],
        "with": measured.versions(),
    }
    with runs.replacing(TARGET) as temporary:
        temporary.write_text(json.dumps({"made": about, "claims": claims}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
