"""Run the pages of the book whose code or its dependencies changed, side by side, and keep their outputs.

    python tools/execute_book.py [PAGE.md ...]

Without arguments all pages in _toc.yml are looked at. BOOK_WORKERS says how many run at once (default: one for each
core, one where there is a GPU); each gets its share of the cores as threads. A claim that does not hold here and a cell
that fails are listed at the end; with STRICT=1 they are a failure.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
sys.path.insert(0, str(ROOT))

import checked  # noqa: E402
import executed  # noqa: E402
from nbformat import NotebookNode  # noqa: E402

APART = 3  # of pages never run before, every third is taken, then the next of each three
MOST_WORKERS = 8  # each holds torch and a network in memory


@dataclass(frozen=True)
class Job:
    path: Path
    notebook: NotebookNode
    key: str


def main(names: list[str]) -> int:
    """Run what has to run and list what is not as the book says; return 1 if that counts as a failure."""
    pages = [Path(name).resolve() for name in names] or toc_pages(ROOT / "_toc.yml")
    jobs = [_job(path) for path in pages if executed.is_notebook(path)]
    waiting = [job for job in jobs if not _is_done(job)]
    if waiting:
        _run_jobs(waiting, len(jobs))
    else:
        print(f"All {len(jobs)} pages with code are up to date.")
    return _report(jobs)


def _is_done(job: Job) -> bool:
    """Tell whether a page has run to its end; one that failed is tried again."""
    execution = executed.load(job.key)
    return execution is not None and execution.error is None


def _run_jobs(jobs: list[Job], of: int) -> None:
    workers = _share_cores(len(jobs))
    print(f"{len(jobs)} of {of} pages with code have to run, {workers} at a time.", flush=True)
    start = time.perf_counter()
    failed = asyncio.run(_run_all(jobs, workers))
    ran = f"{len(jobs) - failed} pages ran in {time.perf_counter() - start:.0f} s, {failed} failed."
    print(ran, flush=True)


def _report(jobs: list[Job]) -> int:
    """List the claims that do not hold here and the cells that failed; return 1 if STRICT=1 makes that a failure."""
    found = [line for job in jobs for line in checked.problems(_execution(job), job.notebook)]
    if found:
        print(
            "Not as the book says, on this machine:",
            *found,
            checked.REPORT,
            sep="\n",
            file=sys.stderr,
            flush=True,
        )
    return int(bool(found) and checked.strict())


def _execution(job: Job) -> executed.Execution:
    execution = executed.load(job.key)
    if execution is None:
        raise RuntimeError(
            f"{job.path} has run, but what it gave is not in {executed.folder()}. Is the disk full?"
        )
    return execution


def toc_pages(toc: Path) -> list[Path]:
    """Return the files that a table of contents names, in its order."""
    content = yaml.safe_load(toc.read_text(encoding="utf-8"))
    return [_page_file(toc.parent / name) for name in _names(content)]


def _names(node: object) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _names(item)]
    if not isinstance(node, dict):
        return []
    own = [str(node[word]) for word in ("root", "file") if word in node]
    return own + [name for value in node.values() for name in _names(value)]


def _page_file(path: Path) -> Path:
    return path if path.suffix else path.with_suffix(".md")


def _job(path: Path) -> Job:
    notebook = executed.read(path)
    return Job(path, notebook, executed.key(notebook, path))


def _share_cores(jobs: int) -> int:
    """Return how many pages run at once, and tell their kernels how many threads each may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = 1 if shutil.which("nvidia-smi") else min(cores, MOST_WORKERS)
    workers = max(1, min(int(os.environ.get("BOOK_WORKERS") or most), jobs))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(max(1, cores // max(workers, min(most, jobs))))
    return workers


async def _run_all(jobs: list[Job], workers: int) -> int:
    """Run the longest pages first, so that no long one is left alone at the end; return how many failed."""
    jobs = sorted(spread(jobs), key=lambda job: -(executed.last_seconds(job.path) or float("inf")))
    gate, done = asyncio.Semaphore(workers), iter(range(1, len(jobs) + 1))

    async def one(job: Job) -> bool:
        async with gate:
            execution = await executed.run(job.notebook, job.path)
        executed.save(job.key, execution)
        name = job.path.relative_to(ROOT) if job.path.is_relative_to(ROOT) else job.path
        mark = "  FAILED" if execution.error else ""
        print(f"[{next(done):>2}/{len(jobs)}] {execution.seconds:7.1f} s  {name}{mark}", flush=True)
        if execution.error:
            print(execution.error["text"], file=sys.stderr, flush=True)
        return execution.error is not None

    return sum(await asyncio.gather(*(one(job) for job in jobs)))


def spread(jobs: list[Job]) -> list[Job]:
    """Return the jobs with neighbors apart: neighbors share results, and would wait for each other's."""
    return [job for first in range(APART) for job in jobs[first::APART]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
