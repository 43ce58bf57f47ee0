"""Shards in several processes of this machine; a process that dies is replaced."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from interp.errors import BadInputError, LostWorkerError
from interp.spectrum.shards import Engine, Job, worker

_work: list[Callable[[int], int]] = []  # one function, in a worker process


def processes(count: int, *, attempts: int = 3) -> Engine:
    """Return an engine that computes shards in `count` processes.

    The processes are spawned, since forked ones can hang once torch has used its threads. A script that uses this
    therefore needs its `if __name__ == "__main__":`.

    Args:
        count: of processes; each uses `Job.threads` threads.
        attempts: how often the processes are started anew after one of them was killed.
    """
    if count < 1 or attempts < 1:
        raise BadInputError(f"At least one process and one attempt are needed; got {count} and {attempts}.")

    def engine(job: Job, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        waiting = list(shards)
        for attempt in range(attempts):
            try:
                for shard in _round(job, folder, waiting, count):
                    waiting.remove(shard)
                    yield shard
                return
            except BrokenProcessPool as error:
                if attempt == attempts - 1:
                    raise LostWorkerError(
                        f"A process was killed {attempts} times, the last time with {len(waiting)} shards left: "
                        "perhaps the memory is too small for as many. Use fewer processes; what is finished stays."
                    ) from error

    return engine


def _round(job: Job, folder: Path, shards: Sequence[int], count: int) -> Iterator[int]:
    if not shards:
        return
    context = multiprocessing.get_context("spawn")
    size = min(count, len(shards))
    with ProcessPoolExecutor(size, context, initializer=_begin, initargs=(job, folder)) as pool:
        try:
            yield from (
                future.result() for future in as_completed([pool.submit(_one, shard) for shard in shards])
            )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(job: Job, folder: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(job.threads)
    _work.append(worker(job, folder))


def _one(shard: int) -> int:
    return _work[0](shard)


def _end_with_parent() -> None:
    """Leave when the process that started this one is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
