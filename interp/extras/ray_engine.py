"""Shards on a Ray cluster: `run(job, folder, engine=ray_actors(8))` gives the same bytes as any other engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from interp.errors import BadInputError, LostWorkerError, MissingExtraError
from interp.spectrum.shards import Engine, Job, worker


def ray_actors(count: int, *, cpus: float = 1, gpus: float = 0, attempts: int = 3) -> Engine:
    """Return an engine that computes shards in `count` Ray actors, each with a network of its own.

    The folder of the results has to be one that all machines see. Where Ray has not been started, it is started on
    this machine. An actor that is lost is replaced and its shard computed again; an actor computes one shard at a time.

    Args:
        count: of actors.
        cpus, gpus: what Ray reserves for each; with gpus the job's device should be "cuda".
        attempts: how many actors in a row may be lost without a finished shard between them.

    Raises:
        MissingExtraError: ray is not installed.
    """
    if count < 1 or attempts < 1:
        raise BadInputError(f"At least one actor and one attempt are needed; got {count} and {attempts}.")
    ray = _ray()

    def engine(job: Job, folder: Path, shards: Sequence[int]) -> Iterator[int]:
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
        actor = ray.remote(num_cpus=cpus, num_gpus=gpus)(_Actor)
        start = ray.put((job, folder.resolve()))
        yield from _work(ray, lambda: actor.remote(start), shards, min(count, len(shards)), attempts)

    return engine


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray", "Running on a Ray cluster") from error
    return ray


class _Actor:
    """A process that prepares the network once and computes shards."""

    def __init__(self, start: tuple[Job, Path]) -> None:
        # What may fail waits for the first shard: of an actor that fails here Ray says no more than that it was lost.
        self.start = start
        self.work: Callable[[int], int] | None = None

    def one(self, shard: int) -> int:
        if self.work is None:
            job, folder = self.start
            torch.set_num_threads(job.threads)
            self.work = worker(job, folder)
        return self.work(shard)


def _work(ray: Any, new: Any, shards: Sequence[int], count: int, attempts: int) -> Iterator[int]:
    """Give each actor a shard at a time, and a lost actor's shard to a new one."""
    waiting, idle, lost = deque(shards), [new() for _ in range(count)], 0
    running: dict[Any, tuple[Any, int]] = {}
    while waiting or running:
        while idle and waiting:
            actor, shard = idle.pop(), waiting.popleft()
            running[actor.one.remote(shard)] = actor, shard
        (ready, *_), _ = ray.wait(list(running))
        actor, shard = running.pop(ready)
        try:
            yield ray.get(ready)
            lost = 0
        except ray.exceptions.RayActorError as error:
            lost += 1
            if lost >= attempts:
                raise LostWorkerError(
                    f"{lost} actors in a row were lost; what is finished stays. Ray says: {error}"
                ) from error
            actor = new()
            waiting.appendleft(shard)
        idle.append(actor)
