"""Run the pages of the book whose code or its dependencies changed, side by side, and keep their outputs.

    python tools/execute_book.py [PAGE.md ...]

Without arguments all pages in _toc.yml are looked at. BOOK_WORKERS says how many run at once (default: one for each
core, one where there is a GPU); each gets its share of the cores as threads.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
sys.path.insert(0, str(ROOT))

import executed  # noqa: E402
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError  # noqa: E402
from nbformat import NotebookNode  # noqa: E402

APART = 3  # of pages never run before, every third is taken, then the next of each three
MOST_WORKERS = 8  # each holds torch and a network in memory
FAILURES = (CellExecutionError, CellControlSignal, RuntimeError)


@dataclass(frozen=True)
class Job:
    path: Path
    notebook: NotebookNode
    key: str


def main(names: list[str]) -> int:
    """Run what has to run; return 1 if a page failed."""
    pages = [Path(name).resolve() for name in names] or toc_pages(ROOT / "_toc.yml")
    notebooks = [path for path in pages if executed.is_notebook(path)]
    jobs = [job for job in map(_job, notebooks) if executed.load(job.key) is None]
    if not jobs:
        print(f"All {len(notebooks)} pages with code are up to date.")
        return 0
    workers = _share_cores(len(jobs))
    print(f"{len(jobs)} of {len(notebooks)} pages with code have to run, {workers} at a time.", flush=True)
    start = time.perf_counter()
    failed = asyncio.run(_run_all(jobs, workers))
    print(
        f"{len(jobs) - failed} pages ran in {time.perf_counter() - start:.0f} s, {failed} failed.", flush=True
    )
    return int(failed > 0)


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
            problem, seconds = await _run(job)
        name = job.path.relative_to(ROOT) if job.path.is_relative_to(ROOT) else job.path
        print(
            f"[{next(done):>2}/{len(jobs)}] {seconds:7.1f} s  {name}{'  FAILED' if problem else ''}",
            flush=True,
        )
        if problem:
            print(problem, file=sys.stderr, flush=True)
        return bool(problem)

    return sum(await asyncio.gather(*(one(job) for job in jobs)))


def spread(jobs: list[Job]) -> list[Job]:
    """Return the jobs with neighbors apart: neighbors share results, and would wait for each other's."""
    return [job for first in range(APART) for job in jobs[first::APART]]


async def _run(job: Job) -> tuple[str, float]:
    start = time.perf_counter()
    try:
        execution = await executed.run(job.notebook, job.path)
    except DeadKernelError:
        return (
            "The kernel died; most often the memory ran out. Try BOOK_WORKERS=1.",
            time.perf_counter() - start,
        )
    except FAILURES as error:
        return _without_colors(str(error)) or repr(error), time.perf_counter() - start
    executed.save(job.key, execution)
    return "", execution.seconds


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
