"""Shards in several processes of this machine; a process that dies is replaced."""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import torch
from PIL.Image import DecompressionBombWarning

from interp import runs
from interp.errors import BadInputError, LostWorkerError
from interp.spectrum.shards import Engine, Job, worker

_given: list[tuple[Path, Path]] = []  # the file of the job and its folder, in a worker process


def processes(count: int, *, attempts: int = 3) -> Engine:
    """Return an engine that computes shards in `count` processes.

    The processes are spawned, since forked ones can hang once torch has used its threads. A script that uses this
    therefore needs its `if __name__ == "__main__":`, and classes that the job is made of have to be in a file.

    Args:
        count: of processes; each uses `Job.threads` threads.
        attempts: how often the processes are started anew after one of them was killed.
    """
    if count < 1 or attempts < 1:
        raise BadInputError(f"At least one process and one attempt are needed; got {count} and {attempts}.")

    def engine(job: Job, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        waiting, packed = list(shards), pack(job)
        for attempt in range(attempts):
            begun = multiprocessing.get_context("spawn").Event()
            try:
                with _in_file(packed) as file:
                    for shard in _round(file, folder, waiting, min(count, len(waiting)), begun):
                        waiting.remove(shard)
                        yield shard
                return
            except BrokenProcessPool as error:
                if not begun.is_set():
                    raise LostWorkerError(_NOT_BEGUN) from error
                if attempt == attempts - 1:
                    raise LostWorkerError(
                        f"A process was killed {attempts} times, the last time with {len(waiting)} shards left: "
                        "perhaps the memory is too small for as many. Use fewer processes; what is finished stays."
                    ) from error

    return engine


_NOT_BEGUN = (
    "The processes ended before they began; what they said stands above. Each reads the script that was started once "
    'more, so its calls have to stand below `if __name__ == "__main__":`; a script that comes from standard input '
    "cannot be read again. Or compute in this process: engine=spectrum.here."
)


def pack(job: Job) -> bytes:
    """Return a job as bytes for another process.

    Raises:
        BadInputError: a part of it cannot be sent.
    """
    try:
        return pickle.dumps(job)
    except Exception as error:  # whatever the parts of a job raise
        raise BadInputError(
            f"The job cannot be sent to another process: {error}. Functions and classes that it holds have to stand "
            "at the top of a file, not in a cell or in a function, and be no lambdas."
        ) from error


def unpack(packed: bytes) -> Job:
    """Return the job that was packed in another process.

    Raises:
        BadInputError: a class or function that it holds is not here.
    """
    try:
        job: Job = pickle.loads(packed)
    except Exception as error:
        raise BadInputError(
            f"The job cannot be read by the process that was started: {error}. Classes and functions that it holds "
            "have to stand in a file that can be imported, not in a cell of a notebook."
        ) from error
    return job


@contextmanager
def _in_file(packed: bytes) -> Iterator[Path]:
    """Put a job where the processes can read it.

    Python waits forever for a process that dies before it has read more than a pipe holds.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder, "job")
        with runs.writing(file):
            file.write_bytes(packed)
        yield file


def _round(file: Path, folder: Path, shards: Sequence[int], size: int, begun: Event) -> Iterator[int]:
    if not shards:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(size, context, initializer=_begin, initargs=(file, folder, begun)) as pool:
        try:
            yield from (
                future.result() for future in as_completed([pool.submit(_one, shard) for shard in shards])
            )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(file: Path, folder: Path, begun: Event) -> None:
    """Prepare a process; whatever may fail waits for the first shard, whose error reaches the user."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore", DecompressionBombWarning)  # such an image is listed as broken
    _given.append((file, folder))
    begun.set()


def _one(shard: int) -> int:
    try:
        return _worker()(shard)
    except Exception as error:  # noqa: BLE001
        raise sendable(error) from None


@functools.cache
def _worker() -> Callable[[int], int]:
    file, folder = _given[0]
    job = unpack(file.read_bytes())
    torch.set_num_threads(job.threads)
    return worker(job, folder)


def sendable(error: Exception) -> Exception:
    """Return an error that survives the way to another process: itself, or one with its words."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001
        return LostWorkerError(f"{type(error).__name__}: {error}")
    return error


def _end_with_parent() -> None:
    """Leave when the process that started this one is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
