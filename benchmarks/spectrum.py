"""The activation spectrum beside the forward pass that it rides on: what tracking costs, and images a second.

    python benchmarks/spectrum.py [--rounds 5] [--threads 1] [--images 256] [--json FILE]

EfficientNet-Lite0 at 224 pixels. Times are those of an image, as a share of the time of a bare forward loop: the same
folded network, the same batch, images that lie ready in memory, run just before. Within a round every method runs once,
in an order that turns from round to round. Shares are given as minimum / median / maximum: of the time on the wall, and
of the processor time of the main thread, which a busy machine disturbs less. Set-up (folding, starting) is left out: a
clock starts when the first image is asked for.

"count" is the update of the state alone, on scores that are ready; "heap" keeps the nine largest of each channel in
heapq, as one writes it first, and neither the other lists nor a histogram. "track" and "run" are everything: pooling,
counting and, for "run", reading and decoding JPEG files, writing the shard and reading it back. Decoding threads use
another core where there is one.

The files are photographs named by INTERP_IMAGENET_SAMPLES, or else scenes written to a temporary folder.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from interp import folding, hooks, image, runs, zoo
from interp.spectrum import Batch, Entry, Folder, Items, Job, Spectrum, batches, run, scorer, tracking

SIZE = 224
SHARD = 1024  # scores that are counted together, as `tracking` does it
BATCHES = (1, 16, 64)
HEAD = ("bn_head",)  # 1280 channels
ENDS = ("bn_head", "classifier")  # tracking them runs the whole network
T = TypeVar("T")


@dataclass(frozen=True)
class Times:
    """Seconds on the wall, and of the processor in the main thread."""

    wall: float
    processor: float

    @staticmethod
    def now() -> Times:
        return Times(time.perf_counter(), time.thread_time())

    def since(self, start: Times, images: int = 1) -> Times:
        return Times((self.wall - start.wall) / images, (self.processor - start.processor) / images)


@dataclass
class Clock:
    """Starts when the first thing is asked for."""

    start: Times | None = None

    def through(self, things: Iterable[T]) -> Iterator[T]:
        self.start = Times.now()
        yield from things

    def passed(self) -> Times:
        return Times.now().since(self.start or Times.now())


Found = dict[str, list[tuple[Times, Times]]]  # its own, and its base's just before


@dataclass(frozen=True)
class Method:
    """One thing to be timed.

    Attributes:
        name: for the table.
        images: how many images one call works on.
        run: does it, and returns the time from the first image on.
        base: the name of the method that its time is divided by.
    """

    name: str
    images: int
    run: Callable[[], Times]
    base: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=256, help="in one call (%(default)s)")
    parser.add_argument("--scores", type=int, default=2048, help="images to count (%(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT,...", help="methods whose names begin so")
    parser.add_argument("--json", type=Path, help="also write the medians to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    model = zoo.load_model()
    with tempfile.TemporaryDirectory() as folder:
        listed = [*through_the_network(model, options, Path(folder)), *counted(model, options.scores)]
        methods = [method for method in listed if method.name.startswith(tuple(options.only.split(",")))]
        found = timed(methods, {method.name: method for method in listed}, options.rounds)
    report(methods, found)
    if options.json:
        write(options, methods, found)


# --------------------------------------------------------------------------------------------------------------------
# Counting alone


def counted(model: nn.Module, images: int) -> Iterator[Method]:
    """List the methods that count scores which are ready: of one layer, and of all places of the network."""
    every = all_layers(model)
    tables = scores(model, every, images)
    for layers in (HEAD, every):
        chosen = {layer: tables[layer] for layer in layers}
        channels = sum(table.shape[1] for table in chosen.values())
        what = f"{channels:,} channels, {len(chosen)} layer{'s' if len(chosen) > 1 else ''}"
        for name, work in (("count", count), ("heap", heaps)):
            yield Method(f"{name} {what}", images, partial(clocked, work, chosen), bare_name(16))


def all_layers(model: nn.Module) -> list[str]:
    """Return every signed place: the batch norms, the blocks' sums and the logits."""
    kinds = {name: type(hooks.find_layer(model, name)).__name__ for name in hooks.layer_names(model)}
    return [name for name, kind in kinds.items() if kind in ("BatchNorm2d", "Block", "Linear")]


def scores(model: nn.Module, layers: Sequence[str], images: int) -> dict[str, Tensor]:
    """Return {layer: (images, C)} for scenes."""
    score = scorer(model, layers)
    stream = batches(Items(zoo.Scenes("all", SIZE, length=images), "scenes"), workers=1)
    parts = [score(batch.images) for batch in tqdm(stream, total=-(-images // 16), desc="scores")]
    return {layer: torch.cat([part[layer] for part in parts]) for layer in layers}


def clocked(work: Callable[[dict[str, Tensor]], object], tables: dict[str, Tensor]) -> Times:
    begin = Times.now()
    work(tables)
    return Times.now().since(begin)


def count(tables: dict[str, Tensor]) -> Spectrum:
    spectrum = Spectrum.empty({layer: table.shape[1] for layer, table in tables.items()})
    ids = torch.arange(len(next(iter(tables.values()))))
    for start in range(0, len(ids), SHARD):
        part = slice(start, start + SHARD)
        spectrum = spectrum.extended(ids[part], {layer: table[part] for layer, table in tables.items()})
    return spectrum


def heaps(tables: dict[str, Tensor], k: int = 9) -> list[list[tuple[float, int]]]:
    """Keep the k largest scores of each channel in a heap of (score, -id), an image at a time."""
    found: list[list[tuple[float, int]]] = []
    for table in tables.values():
        own: list[list[tuple[float, int]]] = [[] for _ in range(table.shape[1])]
        for number, row in enumerate(table):
            for heap, score in zip(own, row.tolist(), strict=True):
                if len(heap) < k:
                    heapq.heappush(heap, (score, -number))
                elif score > heap[0][0]:
                    heapq.heapreplace(heap, (score, -number))
        found += own
    return found


# --------------------------------------------------------------------------------------------------------------------
# Through the network


@dataclass(frozen=True)
class Clocked:
    """A source with a clock, and only so many of its images, in one shard."""

    source: Folder
    images: int
    clock: Clock = field(default_factory=Clock)
    shards: int = 1

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def entries(self, shard: int) -> Iterator[Entry]:  # noqa: ARG002
        yield from self.clock.through(self.find(range(self.images)))

    def find(self, ids: Iterable[int]) -> Iterator[Entry]:
        return self.source.find(ids)


def bare_name(batch: int) -> str:
    return f"forward, batch {batch}"


def through_the_network(model: nn.Module, options: argparse.Namespace, folder: Path) -> Iterator[Method]:
    """List the methods that run the network."""
    count, files = options.images, photographs(options.images, folder / "jpeg")
    # In memory lie the very images that the files hold.
    ready = torch.cat([batch.images for batch in batches(Clocked(files, count))])
    fast, every = folding.fold(model), all_layers(model)
    for size in BATCHES:
        base, parts = bare_name(size), ready.split(size)
        laid_out = [part.to(memory_format=torch.channels_last) for part in parts]
        yield Method(base, count, partial(forward, fast, laid_out), base)
        yield Method(f"track, from memory, batch {size}", count, partial(track, model, ENDS, parts), base)
    yield Method(
        "forward, not folded, batch 64", count, partial(forward, model, ready.split(64)), bare_name(64)
    )
    middle = ready.split(16)
    yield Method(
        "track all layers, from memory, batch 16", count, partial(track, model, every, middle), bare_name(16)
    )
    yield Method("decode alone", count, partial(decode, files, count), bare_name(16))
    for size, threads in ((16, 0), (16, 1), (64, 1)):
        how = "a thread decodes" if threads else "decoding in between"
        call = partial(whole, model, files, count, size, threads, options.threads)
        yield Method(f"run, from files, {how}, batch {size}", count, call, bare_name(size))


@torch.no_grad()
def forward(model: nn.Module, parts: Sequence[Tensor]) -> Times:
    begin = Times.now()
    for part in parts:
        model(part)
    return Times.now().since(begin)


def track(model: nn.Module, layers: Sequence[str], parts: Sequence[Tensor]) -> Times:
    clock = Clock()
    stream = (Batch(torch.arange(part.start, part.stop), images) for part, images in numbered(parts))
    for _ in tracking(model, layers, clock.through(stream), every=None):
        pass
    return clock.passed()


def numbered(parts: Sequence[Tensor]) -> Iterator[tuple[range, Tensor]]:
    start = 0
    for part in parts:
        yield range(start, start + len(part)), part
        start += len(part)


def decode(files: Folder, count: int) -> Times:
    begin = Times.now()
    for _ in batches(Clocked(files, count)):
        pass
    return Times.now().since(begin)


def whole(model: nn.Module, files: Folder, count: int, size: int, decoders: int, threads: int) -> Times:
    source = Clocked(files, count)
    job = Job(model, ENDS, source, batch=size, decoders=decoders, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        run(job, Path(folder))
        return source.clock.passed()


def photographs(count: int, folder: Path) -> Folder:
    """Return a folder of at least so many JPEG files."""
    given = os.environ.get("INTERP_IMAGENET_SAMPLES")
    if given and len(list(Path(given).glob("*.jpg"))) >= count:
        return Folder(Path(given), SIZE)
    folder.mkdir()
    for number, scene in enumerate(zoo.Scenes("all", 400, length=count)):
        image.save(scene.image[None], folder / f"{number:06d}.jpg")
    return Folder(folder, SIZE)


# --------------------------------------------------------------------------------------------------------------------
# The table


def timed(methods: Sequence[Method], every: dict[str, Method], rounds: int) -> Found:
    """Return for each method the times of an image, and those of its base just before, in each round."""
    found: Found = {method.name: [] for method in methods}
    with tqdm(total=rounds * len(methods), desc="time") as bar:
        for turn in range(rounds):
            for method in methods[:: 1 if turn % 2 == 0 else -1]:
                base = every[method.base]
                before, own = (each.run().since(Times(0, 0), each.images) for each in (base, method))
                found[method.name].append((own, before))
                bar.update()
    return found


def shares(method: Method, found: Found, what: str) -> tuple[float, float, float]:
    """Return the least, the middle and the greatest share of the base's time."""
    ratios = [getattr(own, what) / getattr(base, what) for own, base in found[method.name]]
    return min(ratios), statistics.median(ratios), max(ratios)


def milliseconds(method: Method, found: Found, what: str = "wall") -> float:
    return 1e3 * statistics.median(getattr(own, what) for own, _ in found[method.name])


def report(methods: Sequence[Method], found: Found) -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores")
    print(f"{'':46} {'wall / forward':>26} {'processor / forward':>26} {'ms':>8} {'images/s':>9}")
    for method in methods:
        spreads = [
            " / ".join(f"{100 * share:.3g}" for share in shares(method, found, what)) + " %"
            for what in ("wall", "processor")
        ]
        time_ = milliseconds(method, found)
        print(f"{method.name:46} {spreads[0]:>26} {spreads[1]:>26} {time_:8.3f} {1e3 / time_:9.1f}")


def write(options: argparse.Namespace, methods: Sequence[Method], found: Found) -> None:
    """Write what the table holds as JSON."""
    rows = {
        method.name: {
            "milliseconds": round(milliseconds(method, found), 4),
            "processor_milliseconds": round(milliseconds(method, found, "processor"), 4),
            **{
                what: [round(share, 5) for share in shares(method, found, what)]
                for what in ("wall", "processor")
            },
        }
        for method in methods
    }
    about = {"torch": torch.__version__, "machine": platform.machine(), "cores": os.cpu_count()}
    settings = {"rounds": options.rounds, "threads": options.threads, "images": options.images}
    content = {"about": {**about, **settings, "size": SIZE}, "methods": rows}
    with runs.replacing(options.json) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
