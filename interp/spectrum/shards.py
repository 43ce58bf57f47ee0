"""A long run in shards: each result is one file, so that a run can be killed at any moment, resumed and spread out."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from interp import folding, hooks, runs
from interp.digest import digest
from interp.errors import BadInputError, DamagedFileError
from interp.spectrum import files
from interp.spectrum.entries import Source, batches, check_source
from interp.spectrum.logs import Sink, logged
from interp.spectrum.measure import STANDARD, Measure
from interp.spectrum.state import Spectrum, check_positive, merge
from interp.spectrum.tracking import Tally, check_channels, enough, named, scorer


@dataclass(frozen=True)
class Job:
    """Everything that decides a result: what is the same here is the same there, bit for bit.

    Attributes:
        model: any network for images (N, C, H, W) in [0, 1]; has to be picklable to run in other processes.
        layers: the layers whose channels are tracked.
        source: the images.
        measure: what is kept of each channel.
        batch: the number of images in a forward pass.
        device: where the network runs; where it is, by default.
        threads: of torch, in each process; sums may be rounded differently with another number.
        decoders: threads that decode images; they do not change the result.
    """

    model: nn.Module = field(repr=False)
    layers: tuple[str, ...]
    source: Source
    measure: Measure = STANDARD
    batch: int = 16
    device: str = ""
    threads: int = 1
    decoders: int = 0

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("threads", 1), ("decoders", 0)):
            object.__setattr__(self, name, check_positive(name, getattr(self, name), least=least))
        check_source(self.source, "The images of a job")
        object.__setattr__(self, "layers", tuple(named(self.model, self.layers)))
        object.__setattr__(self, "device", str(self.device or hooks.device_of(self.model)))
        # A source of one's own need not say it; its first batch does.
        check_channels(self.model, getattr(self.source, "channels", None))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Return what decides the result, as JSON: hashes for what is large."""
        with hooks.evaluating(self.model):  # as it runs, whatever mode it was left in
            network = digest(self.model)
        return {
            "layers": list(self.layers),
            **vars(self.measure),
            "level": digest(self.measure.level),
            **{name: getattr(self, name) for name in ("batch", "device", "threads")},
            "model": network,
            "source": self.source.fingerprint,
            "shards": self.source.shards,
            "code": digest([scorer, batches, merge]),
        }

    @cached_property
    def key(self) -> str:
        """Return the hash of the settings that names the files."""
        return _key(self.settings)

    def file(self, folder: Path, shard: int) -> Path:
        """Return where the result of a shard lies."""
        return _file(folder, self.key, shard)

    def unfinished(self, folder: Path) -> list[int]:
        """Return the shards without a result."""
        return [shard for shard in range(self.source.shards) if not self.file(folder, shard).exists()]


def _key(settings: Mapping[str, Any]) -> str:
    return digest(sorted(settings.items()))[:24]


def _file(folder: Path, key: str, shard: int) -> Path:
    return folder / f"{key}-{shard:06d}.spectrum"


Engine = Callable[[Job, Path, Sequence[int]], Iterator[int]]


def here(job: Job, folder: Path, shards: Sequence[int]) -> Iterator[int]:
    """Compute shards one after the other in this process; yields each when its file is there."""
    before = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        work = worker(job, folder)
        yield from map(work, shards)
    finally:
        torch.set_num_threads(before)


def run(
    job: Job,
    folder: str | os.PathLike[str],
    *,
    engine: Engine = here,
    sink: Sink | None = None,
    progress: bool = False,
) -> Spectrum:
    """Compute the shards that have no result yet, and return the spectrum of all.

    Args:
        job: what to compute.
        folder: where the results lie; a folder belongs to one job.
        engine: `here`, `processes(n)`, or `interp.extras.ray_engine.ray_actors(n)`; all give the same bytes.
        sink: takes note of the spectrum so far after each shard, such as `JsonLines(path)`; a run that goes on
            begins with what is finished.
        progress: whether to show a bar of the shards, with images a second and the time left.

    Raises:
        BadInputError: the folder belongs to another job, or there are fewer images than a band holds, or none.
        UnwritableError: the folder cannot be written; what is finished stays.
        DamagedFileError: a result was changed behind our back.
    """
    compute(job, folder, engine=engine, sink=sink, progress=progress)
    return enough(gather(folder))


def compute(
    job: Job,
    folder: str | os.PathLike[str],
    *,
    share: runs.Share | tuple[int, int] = runs.ALL,
    engine: Engine = here,
    sink: Sink | None = None,
    progress: bool = False,
) -> None:
    """Compute the shards that have no result yet, or this machine's share of them.

    Several machines that see one folder can each compute a share, without knowing of one another; `gather` then gives
    the spectrum. A share is the same whenever it is started, so that a machine goes on where it was.

    Args:
        job, folder, engine, sink, progress: as for `run`.
        share: (index, count): every count-th shard, from number index on.

    Raises:
        BadInputError: the share is none, or the folder belongs to another job.
        UnwritableError: the folder cannot be written; what is finished stays.
    """
    job = replace(job)  # which forgets the settings that it had when the network was perhaps another one
    mine, folder = runs.Share(*share).of(range(job.source.shards)), Path(folder)
    prepare(job, folder)
    todo = sorted({*mine} & {*job.unfinished(folder)})
    begun = [shard for shard in mine if shard not in {*todo}]
    shards = _counted(job, folder, engine(job, folder, todo), range(len(begun), len(mine)), progress)
    if sink is None:
        deque(shards, maxlen=0)
    else:
        deque(logged(_growing(job, folder, begun, shards), to=sink), maxlen=0)


def _counted(job: Job, folder: Path, shards: Iterable[int], places: range, progress: bool) -> Iterator[int]:
    """Yield shards as they are finished, with a bar from the first place to the last."""
    start, images = time.monotonic(), 0
    with tqdm(initial=places.start, total=places.stop, unit=" shards", disable=not progress) as bar:
        for shard in shards:
            images += files.counted(job.file(folder, shard))
            bar.set_postfix_str(f"{images / (time.monotonic() - start):.3g} images/s", refresh=False)
            bar.update()
            yield shard


def _growing(job: Job, folder: Path, begun: Sequence[int], shards: Iterable[int]) -> Iterator[Spectrum]:
    """Yield the spectrum of the finished shards: first of those that were there, then with each further one."""
    found = _merged(_of_shard(folder, job.key, shard) for shard in begun) if begun else None
    if found is not None:
        yield found
    for shard in shards:
        new = _of_shard(folder, job.key, shard)
        found = new if found is None else merge([found, new])
        yield found


def prepare(job: Job, folder: Path) -> None:
    """Make the folder this job's, or check that it is."""
    if not job.source.shards:
        raise BadInputError("The source holds no image. Check what it was made of.")
    runs.claim(folder, job.settings)


def gather(folder: str | os.PathLike[str], *, partial: bool = False) -> Spectrum:
    """Return the spectrum of all shards of a folder.

    Args:
        folder: what `run` was given.
        partial: take what is finished; otherwise missing shards are an error.
    """
    folder = Path(folder)
    settings = runs.claimed(folder)
    if "shards" not in settings:
        raise BadInputError(f"{str(folder)!r} holds no spectrum, but another kind of run.")
    key, shards = _key(settings), range(settings["shards"])
    finished = [shard for shard in shards if _file(folder, key, shard).exists()]
    if not finished or (len(finished) < len(shards) and not partial):
        raise BadInputError(
            f"{len(shards) - len(finished)} of the {len(shards)} shards in {str(folder)!r} are missing. Start the run "
            "again: it computes only these."
        )
    return _merged(_of_shard(folder, key, shard) for shard in finished)


def _merged(spectra: Iterable[Spectrum]) -> Spectrum:
    """Return the spectrum of all, one after the other, so that only two are in memory."""
    return reduce(lambda one, other: merge([one, other]), spectra)


def _of_shard(folder: Path, key: str, shard: int) -> Spectrum:
    path = _file(folder, key, shard)
    found, theirs = files.read(path)
    if theirs != {"key": key, "shard": shard}:
        raise DamagedFileError(
            f"{str(path)!r} says that it is {theirs}: it was renamed or copied. Delete it; the run makes it again."
        )
    return found


def worker(job: Job, folder: Path) -> Callable[[int], int]:
    """Return a function that computes one shard and writes its file; it prepares the network once."""
    runs.remove_leftovers(folder)  # of a process whose place this one takes
    model = folding.copied(job.model).to(job.device)  # what was passed in stays where it is
    score = scorer(model, job.layers, pool=job.measure.pool, fold=job.measure.fold)

    def work(shard: int) -> int:
        about = {"key": job.key, "shard": shard}
        files.save(_computed(job, shard, score), job.file(folder, shard), about=about)
        return shard

    return work


def _computed(job: Job, shard: int, score: Callable[[Tensor], dict[str, Tensor]]) -> Spectrum:
    tally = Tally(job.measure.empty)
    for batch in batches(job.source.entries(shard), size=job.batch, workers=job.decoders):
        tally.add(batch, score)
    return tally.counted()
