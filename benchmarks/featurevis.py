"""Feature visualization beside torch-lucent and a plain loop: time of a step, and what the steps are worth.

    python benchmarks/featurevis.py [--rounds 3] [--seed N] [--threads N] [--device cpu] [--skip-quality]
                                    [--skip-layer]

EfficientNet-Lite0, 128 pixels, two channels of each of four layers, from shallow to deep. They are drawn by a seed,
that of the commit if none is given, so that nothing can have been tuned on them. Time is that of an image and step,
the mean of the four layers, as a multiple of the floor: one forward and backward pass of the whole network, weights
frozen, one image. Within a round every method runs once, in an order that changes from round to round; ratios are of
times in the same round, given as minimum / median / maximum. z is how many deviations a channel's mean activation
lies above its mean over photographs (the folder that INTERP_IMAGENET_SAMPLES names, else the embedded ones), under 16
fresh transforms ("moved") and plain; "fine" is the share of the power above 0.25 cycles per pixel; "full" the share
of values at 0 or 255. How much sooner: the time until the mean plain z of ours is that of lucent after its 256 steps,
alone and with no more grain than lucent has. At the end all channels of one layer are rendered as `interp render`
does it.

lucent gets the image size, the batch and the preprocessing that are named, and frozen weights; what the network sees
is its picture after its own padding, 152 pixels, so that no form is squeezed. Its network is a fresh copy for every
run, since its hooks stay. torch-dreams and horama take part where they are installed
(`pip install --no-deps torch-dreams horama einops opencv-python-headless`), with their own defaults but for what is
said at their functions. captum's `optim` is in none of its releases, and faccent brings a package that hides
torch-lucent: they are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import io
import os
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lucent.optvis import objectives as lucent_objectives
from lucent.optvis import param as lucent_param
from lucent.optvis import render as lucent_render
from torch import Tensor, nn
from tqdm import tqdm

from interp import featurevis as fv
from interp import hooks, image, zoo
from interp.extras.lucent import PADDING

Unit = tuple[str, int]
LAYERS = {
    "blocks.1.1": 24,
    "blocks.2.1": 40,
    "blocks.3.2": 80,
    "blocks.4.2": 112,
}  # and how many channels they have
UNITS: list[Unit] = []  # drawn when it starts
SIZE = 128
PADDED = SIZE + 2 * PADDING  # what lucent's first transform makes of it


@dataclass(frozen=True)
class Method:
    """One way to render.

    Attributes:
        name: for the table.
        batch: how many images at a time.
        run: (model, units, steps) -> images (len(units), 3, H, W).
        judged: whether its pictures are measured too, at 64 and at 256 steps.
    """

    name: str
    batch: int
    run: Callable[[nn.Module, Sequence[Unit], int], Tensor]
    judged: bool = True


FEWER = (16, 32, 48, 64, 80, 96, 128, 192)  # steps at which ours is judged, too


def drawn(seed: int) -> list[Unit]:
    """Return two channels of each layer."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (layer, int(channel))
        for layer, channels in LAYERS.items()
        for channel in torch.randperm(channels, generator=generator)[:2]
    ]


def seed_of_commit() -> int:
    """Return a number that changes with every commit."""
    command = ["git", "rev-parse", "HEAD"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout[:7], 16)


# --------------------------------------------------------------------------------------------------------------------
# The methods


def lucent(model: nn.Module, units: Sequence[Unit], steps: int, *, input_size: int | None = PADDED) -> Tensor:
    """Run lucent's own loop with its own defaults; `input_size` None is 224, to which it enlarges."""
    network = copy.deepcopy(model).requires_grad_(False)
    parts = [lucent_objectives.channel(layer.replace(".", "_"), index, batch=place)
             for place, (layer, index) in enumerate(units)]  # fmt: skip
    found = lucent_render.render_vis(
        network,
        lucent_objectives.Objective.sum(parts),
        lambda: lucent_param.image(SIZE, batch=len(units)),
        thresholds=(steps,),
        preprocess=False,  # the network carries its own
        progress=False,
        show_image=False,
        fixed_image_size=input_size,
    )
    return torch.from_numpy(found[-1]).permute(0, 3, 1, 2)


def plain_loop(model: nn.Module, units: Sequence[Unit], steps: int) -> Tensor:
    """The loop that one writes first: frozen weights, waves, our transforms, the whole network, torch's Adam."""
    network = copy.deepcopy(model).requires_grad_(False)
    objective = fv.together([fv.channel(*unit) for unit in units])
    start = fv.FourierImage(SIZE, names=[f"{layer}:{index}" for layer, index in units], decay=1.0, noise=0.01)
    optimizer = torch.optim.Adam(start.parameters(), lr=0.05)
    for step in range(steps):
        optimizer.zero_grad()
        moved = fv.transformed(start(), fv.STANDARD, seed=step)
        with hooks.record(network, objective.layers) as seen:
            network(moved)
        (-objective(seen).sum()).backward()
        optimizer.step()
    return start().detach()


def ours(model: nn.Module, units: Sequence[Unit], steps: int, *, stages: int = 2) -> Tensor:
    """`render_many` as it is; with one stage, all steps at the full size."""
    wanted: int | list[fv.Stage] = steps if stages == 2 else [fv.Stage(SIZE, steps)]
    objectives = [fv.channel(*unit) for unit in units]
    return torch.cat([one.images for one in fv.render_many(model, objectives, steps=wanted, size=SIZE)]).cpu()


def torch_dreams(model: nn.Module, units: Sequence[Unit], steps: int) -> Tensor:
    """torch-dreams, one image: the network carries its own normalization, so theirs is taken back."""
    from torch_dreams import Dreamer

    ((layer, index),) = units
    network = copy.deepcopy(model)
    dreamer = Dreamer(network, quiet=True, device=str(next(model.parameters()).device))
    dreamer.set_custom_normalization(nn.Identity())
    found = dreamer.render(
        [hooks.find_layer(network, layer)],
        width=SIZE,
        height=SIZE,
        iters=steps,
        custom_func=lambda outputs: -outputs[0][:, index].mean(),
    )
    return found.to_chw_tensor(device=dreamer.device)[None].cpu()


def horama(model: nn.Module, units: Sequence[Unit], steps: int) -> Tensor:
    """Run horama's `fourier`, one image, in its own way but for sizes: two crops (the fewest), nearly whole, a step."""
    from horama import fourier

    ((layer, index),) = units
    network, device = copy.deepcopy(model), str(next(model.parameters()).device)

    def objective(images: Tensor) -> Tensor:
        with hooks.record(network, [layer]) as seen:
            network(images)
        return seen[layer][:, index].mean()

    sizes = {"image_size": SIZE, "model_input_size": SIZE, "crops_per_iteration": 2, "box_size": (0.8, 0.9)}
    with contextlib.redirect_stderr(io.StringIO()):  # its bar
        pictures, _ = fourier(objective, total_steps=steps, values_range=(0, 1), device=device, **sizes)
    return pictures.detach()[None].cpu()


PEERS = [
    Method(peer.__name__.replace("_", "-"), 1, peer)
    for peer in (torch_dreams, horama)
    if importlib.util.find_spec(peer.__name__)
]
METHODS = (
    Method(
        "lucent as one gets it (224 px)", 1, lambda m, u, s: lucent(m, u, s, input_size=None), judged=False
    ),
    Method("lucent at 128 px", 1, lucent),
    Method("lucent at 128 px, batch 8", 8, lucent, judged=False),
    *PEERS,
    Method("a plain loop, weights frozen", 1, plain_loop),
    Method("ours, one stage", 1, lambda m, u, s: ours(m, u, s, stages=1), judged=False),
    Method("ours, one stage, batch 16", 16, lambda m, u, s: ours(m, u, s, stages=1)),
    Method("ours", 1, ours, judged=False),
    Method("ours, batch 16", 16, ours),
)
OURS = ("ours, one stage, batch 16", "ours, batch 16")


# --------------------------------------------------------------------------------------------------------------------
# Time


def floor(model: nn.Module, repeats: int = 8) -> float:
    """Return the seconds of one forward and backward pass of one image through the whole network."""
    network = copy.deepcopy(model).requires_grad_(False)
    pixels = torch.rand(1, 3, SIZE, SIZE, device=next(model.parameters()).device, requires_grad=True)
    times = []
    for _ in range(repeats):
        begin = clock()
        network(pixels).sum().backward()
        times.append(clock() - begin)
    return statistics.median(times[2:])


def clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def step_time(method: Method, model: nn.Module, layer: str, short: int = 4, long: int = 16) -> float:
    """Return the seconds of an image and step: a longer run minus a shorter one, so that set-up falls out."""
    own = [unit for unit in UNITS if unit[0] == layer]
    units = [own[place % len(own)] for place in range(method.batch)]
    times = []
    for steps in (short, long):
        begin = clock()
        method.run(model, units, steps)
        times.append(clock() - begin)
    return (times[1] - times[0]) / (long - short) / method.batch


def timed(model: nn.Module, rounds: int) -> dict[str, list[float]]:
    """Return for each method and the floor the seconds of an image and step in each round."""
    found: dict[str, list[float]] = {name: [] for name in ("floor", *(method.name for method in METHODS))}
    with tqdm(total=rounds * len(METHODS), desc="time") as bar:
        for turn in range(rounds):
            for method in METHODS[:: 1 if turn % 2 == 0 else -1]:
                found[method.name].append(
                    statistics.mean(step_time(method, model, layer) for layer in LAYERS)
                )
                bar.update()
            found["floor"].append(floor(model))
    return found


# --------------------------------------------------------------------------------------------------------------------
# What the pictures are worth


@dataclass(frozen=True)
class Worth:
    plain: float
    moved: float
    fine: float
    full: float


@torch.no_grad()
def usual(model: nn.Module) -> tuple[dict[str, tuple[Tensor, Tensor]], int]:
    """Return {layer: (mean, deviation)} of each channel over photographs, and how many these were."""
    folder = os.environ.get("INTERP_IMAGENET_SAMPLES")
    files = sorted(Path(folder).glob("*.jpg")) if folder else []
    photographs = [image.center_crop(image.load(file), SIZE).clamp(0, 1) for file in files]
    batches = [torch.cat(photographs[start : start + 32]) for start in range(0, len(photographs), 32)]
    batches = batches or [zoo.example_images(*zoo.photograph_names(), size=SIZE)]
    device = next(model.parameters()).device
    seen = [hooks.run(model, batch.to(device), tuple(LAYERS)) for batch in batches]
    means = {layer: torch.cat([one[layer].mean(dim=(2, 3)) for one in seen]) for layer in LAYERS}
    return {layer: (values.mean(0), values.std(0)) for layer, values in means.items()}, sum(map(len, batches))


@torch.no_grad()
def worth(model: nn.Module, pictures: Tensor, normal: dict[str, tuple[Tensor, Tensor]]) -> Worth:
    """Return the means over the units."""

    def z(images: Tensor, unit: Unit) -> float:
        layer, index = unit
        mean, deviation = normal[layer]
        value = hooks.activations(model, images, layer)[:, index].mean()
        return ((value - mean[index]) / deviation[index]).item()

    pictures = pictures.to(next(model.parameters()).device)
    moved = [fv.transformed(one.expand(16, -1, -1, -1), fv.STANDARD, seed=1) for one in pictures]
    return Worth(
        plain=statistics.mean(z(one[None], unit) for one, unit in zip(pictures, UNITS, strict=True)),
        moved=statistics.mean(z(one, unit) for one, unit in zip(moved, UNITS, strict=True)),
        fine=fv.fine_share(pictures).mean().item(),
        full=fv.saturation(pictures).mean().item(),
    )


def pictures_of(method: Method, model: nn.Module, steps: int) -> Tensor:
    parts = [UNITS[start : start + method.batch] for start in range(0, len(UNITS), method.batch)]
    return torch.cat([method.run(model, part, steps) for part in parts])


def judged(model: nn.Module) -> dict[str, dict[int, Worth]]:
    """Return {method: {steps: worth}}; ours also for fewer steps, to see when it passes lucent's 256."""
    normal, count = usual(model)
    print(f"z over {count} photographs")
    found: dict[str, dict[int, Worth]] = {}
    chosen = [method for method in METHODS if method.judged]
    for method in tqdm(chosen, desc="quality"):
        fewer = FEWER if method.name in OURS else ()
        found[method.name] = {
            steps: worth(model, pictures_of(method, model, steps), normal) for steps in (*fewer, 64, 256)
        }
    return found


# --------------------------------------------------------------------------------------------------------------------
# The table


def report(times: dict[str, list[float]], quality: dict[str, dict[int, Worth]]) -> None:
    base = times["floor"]
    print(f"floor: {1e3 * statistics.median(base):.1f} ms")
    print(f"{'':32} {'x floor':>20} {'ms':>6} {'z moved 64/256':>15} {'plain':>12} {'fine':>10} {'full':>12}")
    for method in METHODS:
        ratios = sorted(one / low for one, low in zip(times[method.name], base, strict=True))
        spread = f"{ratios[0]:.2f} / {statistics.median(ratios):.2f} / {ratios[-1]:.2f}"
        print(f"{method.name:32} {spread:>20} {1e3 * statistics.median(times[method.name]):6.1f}", end=" ")
        print(_worths(quality.get(method.name)))


def _worths(found: dict[int, Worth] | None) -> str:
    if found is None:
        return ""
    low, high = found[64], found[256]
    return (
        f"{low.moved:6.1f} / {high.moved:5.1f} {low.plain:5.1f} / {high.plain:4.1f} {low.fine:4.2f} / {high.fine:3.2f} "
        f"{low.full:5.3f} / {high.full:4.3f}"
    )


def how_much_sooner(times: dict[str, list[float]], quality: dict[str, dict[int, Worth]]) -> None:
    """Print when ours has what lucent has after 256 steps at the same size: in plain activation, and in grain."""
    theirs = METHODS[1].name
    goal = quality[theirs][256]
    print(f"lucent after 256 steps: a plain z of {goal.plain:.1f}, a grain of {goal.fine:.2f}")
    for mine in OURS:
        for words, most in {"as much": 1.0, "as much, and no more grain": goal.fine}.items():
            steps = next(
                (
                    count
                    for count, found in sorted(quality[mine].items())
                    if found.plain >= goal.plain and found.fine <= most
                ),
                None,
            )
            print(f"  {mine}: {words} {_sooner(times[theirs], times[mine], steps)}")


def _sooner(theirs: Sequence[float], mine: Sequence[float], steps: int | None) -> str:
    if steps is None:
        return "not in 256 steps"
    ratios = sorted(256 * a / (steps * b) for a, b in zip(theirs, mine, strict=True))
    spread = f"{ratios[0]:.1f} / {statistics.median(ratios):.1f} / {ratios[-1]:.1f}"
    return f"after {steps} steps, {spread} times sooner"


def whole_layer(model: nn.Module, steps: int, layer: str = "blocks.4.2", channels: int = 112) -> None:
    """Print how long all channels of a layer take."""
    objectives = [fv.channel(layer, index) for index in range(channels)]
    begin, used = clock(), time.process_time()
    for _ in fv.render_many(model, objectives, steps=steps, size=SIZE, progress=True):
        pass
    wall, used = clock() - begin, time.process_time() - used
    print(f"all {channels} channels of {layer}, {steps} steps: {wall:.1f} s, {used:.1f} core-seconds")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--skip-quality", action="store_true")
    parser.add_argument("--skip-layer", action="store_true")
    parser.add_argument("--seed", type=int, help="of the channels; that of the commit if none is given")
    options = parser.parse_args()
    seed = seed_of_commit() if options.seed is None else options.seed
    UNITS[:] = drawn(seed)
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    model = zoo.load_model().to(options.device)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads, {options.rounds} rounds")
    print(f"seed {seed}: {', '.join(f'{layer}:{channel}' for layer, channel in UNITS)}")
    timed(model, 1)  # what happens once only
    times = timed(model, options.rounds)
    quality = {} if options.skip_quality else judged(model)
    report(times, quality)
    if quality:
        how_much_sooner(times, quality)
    if not options.skip_layer:
        for steps in (64, 96):
            whole_layer(model, steps)


if __name__ == "__main__":
    main()
