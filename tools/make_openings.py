"""Draw the large pictures that open the chapters of Segment 2: book/_data/openings/CHAPTER.webp.

    python tools/make_openings.py [CHAPTER ...]

Each file is a row of tiles, made in the ways of its chapter from seed 0 with 64 steps. Three minutes on one core;
the chapters that show lucent need torch-lucent.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence

import make_data
import torch
from measure_regularizers import blur, l2, total_variation
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image, zoo
from interp.extras import lucent

FOLDER = make_data.DATA / "openings"
SMALL, LARGE, STEPS, QUALITY = 128, 256, 64, 75
FACE = ("blocks.4.2", 47, -1)  # layer, channel, sign
NAIVE = [("blocks.3.2", 44, 1), ("blocks.4.2", 15, 1), FACE, ("blocks.4.2", 100, 1)]
THEIRS = [("blocks.3.2", 44, 1), FACE]
Unit = tuple[str, int, int]
Repair = Callable[[Tensor], Tensor]


def main(chapters: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    model = zoo.load_model().requires_grad_(False)
    for chapter in chapters or OPENINGS:
        row = torch.cat(list(OPENINGS[chapter](model)), dim=3)
        make_data.write_picture(image.to_pil(row), FOLDER / f"{chapter}.webp", QUALITY)
        print(chapter, flush=True)


def objective(unit: Unit) -> fv.Objective:
    layer, channel, sign = unit
    return sign * fv.channel(layer, channel)


def ascend(
    model: nn.Module, unit: Unit, size: int, penalty: Repair | None = None, repair: Repair | None = None
) -> Tensor:
    """Return what the loop of *Ask for more*, with the two holes of *Regularize*, makes of gray: (1, 3, size, size)."""
    (layer, channel, sign), random = unit, torch.Generator().manual_seed(0)
    picture = (0.5 + 0.01 * torch.randn(1, 3, size, size, generator=random)).requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=0.05, maximize=True)
    for _ in range(STEPS):
        score = sign * hooks.run(model, picture, [layer])[layer][:, channel].mean()
        score = score - penalty(picture).sum() if penalty else score
        picture.grad = torch.autograd.grad(score, picture)[0]
        optimizer.step()
        picture.data = (repair(picture.data) if repair else picture.data).clamp_(0, 1)
    return picture.detach()


def rendered(
    model: nn.Module, unit: Unit, start: fv.Parameterization | None = None, **options: object
) -> Tensor:
    """Return what `render` makes of one unit, (1, 3, LARGE, LARGE)."""
    return fv.render(model, objective(unit), start, **options).images  # type: ignore[arg-type]


def ask_for_more(model: nn.Module) -> list[Tensor]:
    return [ascend(model, unit, SMALL) for unit in NAIVE]


def regularize(model: nn.Module) -> list[Tensor]:
    """Return one unit without a regularizer, and with each of the three at the end of its dial."""
    return [
        ascend(model, FACE, LARGE),
        ascend(model, FACE, LARGE, lambda pictures: 1000 * l2(pictures)),
        ascend(model, FACE, LARGE, lambda pictures: 240 * total_variation(pictures)),
        ascend(model, FACE, LARGE, repair=lambda pictures: blur(pictures, 0.5)),
    ]


def transformations(model: nn.Module) -> list[Tensor]:
    """Return two units in pixels, each standing still and moved."""
    return [
        rendered(model, unit, fv.PixelImage(LARGE), transforms=moves, steps=STEPS, rate=0.1)
        for unit in THEIRS
        for moves in ((), fv.STANDARD)
    ]


def better_coordinates(model: nn.Module) -> list[Tensor]:
    """Return one unit in pixels, in waves of which all are equal, in waves that fall off, and in two stages."""
    once = {"steps": STEPS, "rate": 0.1}
    return [
        rendered(model, FACE, fv.PixelImage(LARGE), **once),
        rendered(model, FACE, fv.FourierImage(LARGE, decay=0), steps=STEPS, rate=0.5),
        rendered(model, FACE, fv.FourierImage(LARGE, decay=1), **once),
        staged(model, FACE),
    ]


def staged(model: nn.Module, unit: Unit) -> Tensor:
    stages = (fv.Stage(LARGE // 2, STEPS // 2), fv.Stage(LARGE, STEPS // 2))
    return rendered(model, unit, fv.standard_image(LARGE // 2, [objective(unit).name]), steps=stages)


def by_lucent(model: nn.Module, unit: Unit) -> Tensor:
    from lucent.optvis import objectives

    layer, channel, sign = unit
    wanted = sign * objectives.channel(lucent.layer_name(model, layer), channel)
    return lucent.render(model, wanted, size=LARGE, steps=STEPS)


def with_lucent(model: nn.Module) -> list[Tensor]:
    return [by_lucent(model, unit) for unit in NAIVE]


def ours_against_theirs(model: nn.Module) -> list[Tensor]:
    """Return two units, each by lucent and by this package."""
    return [make(model, unit) for unit in THEIRS for make in (by_lucent, staged)]


OPENINGS: dict[str, Callable[[nn.Module], list[Tensor]]] = {
    "ask-for-more": ask_for_more,
    "regularize": regularize,
    "transformations": transformations,
    "better-coordinates": better_coordinates,
    "with-lucent": with_lucent,
    "ours-against-theirs": ours_against_theirs,
}


if __name__ == "__main__":
    main(sys.argv[1:])
