"""Measure lucent and this package on the same channels, under both libraries' moves: book/_data/measured/lucent.json.

    python tools/measure_lucent.py

Eight channels, two starts, 64 and 256 steps. lucent pads its 128 pixels to 152 before the network sees them;
`fixed_image_size=152` leaves them at their size, `fixed_image_size=128` squeezes them. What has run is in the store.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from lucent.optvis import objectives, param, transform
from lucent.optvis.render import render_vis
from measured import save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, store, zoo

UNITS = (
    ("blocks.1.1", 5),
    ("blocks.1.1", 18),
    ("blocks.2.1", 1),
    ("blocks.2.1", 26),
    ("blocks.3.2", 3),
    ("blocks.3.2", 42),
    ("blocks.4.2", 4),
    ("blocks.4.2", 61),
)  # those of `make bench`
SEEDS = (0, 1)
SIZE, PADDED = 128, 152
MARKS = (64, 256)
MOVES = 8


def theirs(unit: tuple[str, int], steps: tuple[int, ...], seed: int, seen: int) -> Tensor:
    """Return lucent's pictures of one unit after each number of steps, (len(steps), 3, 128, 128)."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    found = render_vis(
        zoo.load_model().requires_grad_(False),
        objectives.channel(unit[0].replace(".", "_"), unit[1]),
        lambda: param.image(SIZE),
        thresholds=steps,
        preprocess=False,  # the network carries its own
        progress=False,
        show_image=False,
        fixed_image_size=seen,
    )
    return torch.from_numpy(np.concatenate(found)).permute(0, 3, 1, 2).contiguous()


def ours(steps: int, seed: int) -> Tensor:
    """Return the package's pictures of all units, with everything as `render_many` has it."""
    wanted = [fv.channel(*unit) for unit in UNITS]
    many = fv.render_many(zoo.load_model(), wanted, steps=steps, size=SIZE, seed=seed)
    return torch.cat([one.images for one in many])


# --------------------------------------------------------------------------------------------------------------------
# What the pictures are worth


def plain(pictures: Tensor) -> Tensor:
    return pictures


def our_moves(pictures: Tensor) -> Tensor:
    many = pictures.repeat_interleave(MOVES, 0)
    return fv.transformed(many, fv.STANDARD, seed=5)


def their_moves(pictures: Tensor) -> Tensor:
    np.random.seed(5)
    move = transform.compose(transform.standard_transforms)
    resize = torch.nn.Upsample(size=PADDED, mode="bilinear", align_corners=True)
    return torch.cat([resize(move(pictures)) for _ in range(MOVES)])


TESTS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": plain,
    "our moves": our_moves,
    "their moves": their_moves,
}


def usual(model: nn.Module, photographs: Tensor, test: str) -> list[list[float]]:
    """Return (mean, deviation) over the photographs of each unit's activation under a test's moves."""
    views, found = TESTS[test](photographs), []
    seen = {layer: hooks.activations(model, views, layer).mean(dim=(2, 3)) for layer in dict(UNITS)}
    for layer, channel in UNITS:
        values = seen[layer][:, channel]
        found.append([values.mean().item(), values.std().item()])
    return found


def worth(model: nn.Module, pictures: Tensor, normal: dict[str, list[list[float]]]) -> dict[str, list[float]]:
    """Return for each test how many deviations each unit's picture lies above the photographs, and its grain."""
    found: dict[str, list[float]] = {"grain": fv.fine_share(pictures).tolist()}
    for name, test in TESTS.items():
        found[name] = []
        for picture, (layer, channel), (mean, deviation) in zip(pictures, UNITS, normal[name], strict=True):
            value = hooks.activations(model, test(picture[None]), layer)[:, channel].mean().item()
            found[name].append((value - mean) / deviation)
    return found


def main() -> None:
    """Render with all methods and measure all pictures."""
    warnings.simplefilter("ignore")
    model, photographs = zoo.load_model(), zoo.example_images(*zoo.photograph_names(), size=SIZE)
    normal = {test: store.remember(usual, model, photographs, test) for test in TESTS}
    runs = []

    def judged(method: str, steps: int, seed: int, pictures: Tensor) -> None:
        found = worth(model, pictures, normal)
        runs.append({"method": method, "steps": steps, "seed": seed, **found})

    lucents = {"lucent": PADDED, "lucent, squeezed": SIZE}
    for seed in SEEDS:
        for steps in MARKS:
            judged("ours", steps, seed, store.remember(ours, steps, seed))
        for method, seen in lucents.items():
            made = [store.remember(theirs, unit, MARKS, seed, seen) for unit in UNITS]
            for place, steps in enumerate(MARKS):
                judged(method, steps, seed, torch.stack([pictures[place] for pictures in made]))
    on = (
        f"the embedded network, {len(UNITS)} channels, starts {SEEDS}, 128 px, {len(photographs)} photographs"
    )
    results = {"units": [list(unit) for unit in UNITS], "runs": runs}
    save("lucent", results, how="python tools/measure_lucent.py", on=on)


if __name__ == "__main__":
    main()
