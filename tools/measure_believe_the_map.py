"""Measure for book/segment-1/believe-the-map.md: all maps in all tests, over seeds and pictures.

    python tools/measure_believe_the_map.py

It takes about fifteen minutes on one core. Each part is kept in the store, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial

import torch
from measured import save
from torch import Tensor, nn

from interp import attribution, folding, image, store, zoo

PHOTOGRAPHS = ("cat", "coffee", "motorcycle", "camera", "rocket")
LAYERS = ("classifier", "conv_head", *(f"blocks.{stage}" for stage in range(6, -1, -1)), "conv_stem")
STATES = (1, 2, 4, 6, 10)  # after how many shuffled layers the maps are looked at
SEEDS = range(5)
NOISE = 0.02  # standard deviation of the invisible noise
BLUR = 16  # standard deviation in pixels that makes a map of single pixels about as coarse as Grad-CAM's
FRAME = 32  # pixels at each side that are left out to see what is inside
PIXEL_MAPS = ("saliency", "input x gradient", "integrated gradients")
SCENES, WITH_PIXELS, GRIDS = 40, 25, 10

Maps = dict[str, Tensor]
Method = Callable[[nn.Module, Tensor, list[int]], Tensor]
CONTROLS = {
    "random": attribution.random_map,
    "centered blob": attribution.center_map,
    "Sobel edges": attribution.edge_map,
}
METHODS: dict[str, Method] = {
    "saliency": attribution.saliency,
    "input x gradient": attribution.input_x_gradient,
    "SmoothGrad": partial(attribution.smooth_grad, samples=8),
    "integrated gradients": partial(attribution.integrated_gradients, tolerance=0.5, max_steps=16),
    "guided backprop": attribution.guided_backprop,
    "occlusion": partial(attribution.occlusion, window=64, stride=40),
    "Grad-CAM": partial(attribution.grad_cam, layer="act_head"),
    "LayerCAM": partial(attribution.layer_cam, layer="blocks.4.2.act_expand"),
}
OTHER = "Grad-CAM, another class"


def main() -> None:
    """Measure what has not been measured yet and write the file."""
    warnings.filterwarnings("ignore", message="Integrated gradients stopped")
    model = folding.fold(zoo.load_model()).requires_grad_(False)
    results: dict[str, object] = {"states": STATES, "photographs": PHOTOGRAPHS}
    results |= forgetting(model)
    scenes = recognized_scenes(model, zoo.Scenes("all", 224, imagenet=True, second=1.0), 224, SCENES)
    results |= on_scenes(model, scenes)
    small = recognized_scenes(model, zoo.Scenes("all", 224, imagenet=True, second=0), 112, 4 * GRIDS)
    results |= on_grids(model, small)
    save(
        "believe_the_map",
        results,
        how="python tools/measure_believe_the_map.py",
        on=f"the embedded network; {len(PHOTOGRAPHS)} photographs, {SCENES} scenes and {GRIDS} grids of four scenes, "
        f"each scene with another cut-out; shuffles and noise of seeds 0 to {len(SEEDS) - 1}",
    )


def explained(model: nn.Module, images: Tensor, targets: list[int]) -> Maps:
    """Return the map of each method."""
    return {name: method(model, images, targets) for name, method in METHODS.items()}


def controlled(model: nn.Module, images: Tensor, targets: list[int], others: list[int]) -> Maps:
    """Return the map of each control and of each method."""
    blind = {name: control(images) for name, control in CONTROLS.items()}
    return blind | {OTHER: METHODS["Grad-CAM"](model, images, others)} | explained(model, images, targets)


def rolled(targets: list[int]) -> list[int]:
    """Return for each picture the target of the next one."""
    return [*targets[1:], targets[0]]


# ------------------------------------------------------------------------------------------------------------
# Test 1


def forgetting(model: nn.Module) -> dict[str, object]:
    """Return how alike maps stay when weights are shuffled, and when something harmless is done instead."""
    pictures = zoo.example_images(*PHOTOGRAPHS)
    targets = model(pictures).argmax(dim=1).tolist()
    first = store.remember(explained, model, pictures, targets)
    shuffled = [store.remember(forgotten, model, pictures, targets, first, seed=seed) for seed in SEEDS]
    noise = [store.remember(jittered, model, pictures, targets, first, seed=seed) for seed in SEEDS]
    other = alike(first, store.remember(explained, model, pictures, rolled(targets)))
    turned = alike(first, store.remember(explained, Negative(model), 1 - pictures, targets))
    return {
        "forgetting": {
            name: {how: [[state[name][how] for state in run] for run in shuffled] for how in ("rank", "top")}
            for name in METHODS
        },
        "noise": {
            name: {how: [run[name][how] for run in noise] for how in ("rank", "top")} for name in METHODS
        },
        "another class": other,
        "negative": turned,
        **store.remember(harmless, model, pictures, targets),
        "forgetting, blurred": store.remember(blurred_forgetting, model, pictures, targets),
    }


def harmless(model: nn.Module, pictures: Tensor, targets: list[int]) -> dict[str, object]:
    """Return what else keeps a map: SmoothGrad's own chance, and what maps of different photographs share.

    The others compare the trained network's LayerCAM of each photograph with the fully shuffled network's LayerCAM: of
    the four other photographs, and of the same one without the frame, (seeds, photographs).
    """
    smooth, cam = METHODS["SmoothGrad"], METHODS["LayerCAM"]
    first = smooth(model, pictures, targets)
    copies = [attribution.smooth_grad(model, pictures, targets, samples=8, seed=seed + 1) for seed in SEEDS]
    trained = cam(model, pictures, targets)
    strangers, inner = [], []
    middle = slice(FRAME, -FRAME)
    for seed in SEEDS:
        *_, changed = attribution.randomized(model, LAYERS, seed=seed)
        heat = cam(changed, pictures, targets)
        others = [correlation(trained, heat.roll(turn, 0)) for turn in range(1, len(pictures))]
        strangers.append(torch.stack(others).mean(dim=0).tolist())
        inner.append(
            correlation(*(maps[:, middle, middle].contiguous() for maps in (trained, heat))).tolist()
        )
    return {
        "SmoothGrad, other copies": [correlation(first, other).tolist() for other in copies],
        "LayerCAM, other photographs": strangers,
        "LayerCAM, without the frame": inner,
    }


def blurred_forgetting(
    model: nn.Module, pictures: Tensor, targets: list[int]
) -> dict[str, dict[str, list[list[float]]]]:
    """Return how alike blurred maps of pixels stay under noise and without the classifier, (seeds, photographs)."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for name in PIXEL_MAPS:
        method, rows = METHODS[name], found.setdefault(name, {"noise": [], "classifier": []})
        first = blurred(method(model, pictures, targets).abs())
        for seed in SEEDS:
            noisy = method(model, jitter(pictures, seed), targets)
            forgot = method(next(attribution.randomized(model, LAYERS, seed=seed)), pictures, targets)
            rows["noise"].append(correlation(first, blurred(noisy.abs())).tolist())
            rows["classifier"].append(correlation(first, blurred(forgot.abs())).tolist())
    return found


def blurred(heat: Tensor) -> Tensor:
    """Return the positive part of maps, blurred."""
    return attribution.blur(heat.clamp(min=0)[:, None], BLUR)[:, 0]


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return the rank correlation of absolute values, picture by picture."""
    return attribution.rank_correlation(first.abs(), second.abs())


def jitter(pictures: Tensor, seed: int) -> Tensor:
    """Return pictures with invisible noise, the same for each of them."""
    noise = torch.randn(pictures[:1].shape, generator=torch.Generator().manual_seed(seed))
    return (pictures + NOISE * noise).clamp(0, 1)


class Negative(nn.Module):
    """A network that is shown the negative of a photograph and turns it back first."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return what the network says of the photograph."""
        logits: Tensor = self.model(1 - images)
        return logits

    def get_submodule(self, target: str) -> nn.Module:
        """Return a layer by the name that it has in the network."""
        return self if not target else self.model.get_submodule(target)


def forgotten(
    model: nn.Module, pictures: Tensor, targets: list[int], first: Maps, *, seed: int
) -> list[dict[str, dict[str, list[float]]]]:
    """Return how alike the maps are after each of STATES."""
    found = []
    for count, changed in enumerate(attribution.randomized(model, LAYERS, seed=seed), 1):
        if count in STATES:
            found.append(alike(first, explained(changed, pictures, targets)))
    return found


def jittered(
    model: nn.Module, pictures: Tensor, targets: list[int], first: Maps, *, seed: int
) -> dict[str, dict[str, list[float]]]:
    """Return how alike the maps of the same network are when the pictures carry invisible noise."""
    return alike(first, explained(model, jitter(pictures, seed), targets))


def alike(first: Maps, second: Maps) -> dict[str, dict[str, list[float]]]:
    """Return the rank correlation and the overlap of the hottest pixels of absolute values, picture by picture."""
    pairs = {name: (first[name].abs(), second[name].abs()) for name in first}
    return {
        name: {
            "rank": attribution.rank_correlation(*pair).tolist(),
            "top": attribution.top_overlap(*pair).tolist(),
        }
        for name, pair in pairs.items()
    }


# ------------------------------------------------------------------------------------------------------------
# Tests 2 and 3


def recognized_scenes(model: nn.Module, scenes: zoo.Scenes, side: int, count: int) -> list[zoo.Scene]:
    """Return the first scenes that the network recognizes, each with another cut-out."""
    found: dict[str, zoo.Scene] = {}
    for scene in map(scenes.__getitem__, range(len(scenes))):
        if scene.main.cutout.name not in found and recognized(model, scene, side):
            found[scene.main.cutout.name] = scene
        if len(found) == count:
            break
    return list(found.values())


def recognized(model: nn.Module, scene: zoo.Scene, side: int) -> bool:
    """Tell whether the main object's class is the network's first guess."""
    said = model(image.resize(scene.image[None], (side, side))).argmax().item()
    return bool(said == scene.imagenet)


def on_scenes(model: nn.Module, scenes: list[zoo.Scene]) -> dict[str, object]:
    """Return what the maps' pixels do to the score, and how much of the heat is on the object."""
    pictures = torch.stack([scene.image for scene in scenes])
    targets = [int(scene.imagenet or 0) for scene in scenes]
    masks = torch.stack([scene.mask for scene in scenes])
    maps = in_parts(controlled, model, pictures, targets, rolled(targets))
    wrong = in_parts(controlled, model, pictures, rolled(targets), rolled(targets))
    photographs = zoo.example_images(*PHOTOGRAPHS)
    guesses = model(photographs).argmax(dim=1).tolist()
    more = store.remember(controlled, model, photographs, guesses, rolled(guesses))
    both = {name: torch.cat([more[name], maps[name][:WITH_PIXELS]]) for name in maps}
    asked = torch.cat([photographs, pictures[:WITH_PIXELS]]), guesses + targets[:WITH_PIXELS]
    return {
        "pixels": {
            "deletion": {
                name: store.remember(area, model, *asked, heat, "deletion") for name, heat in both.items()
            },
            "insertion": {
                name: store.remember(area, model, *asked, heat, "insertion") for name, heat in both.items()
            },
        },
        "objects": {"area": masks.float().mean(dim=(1, 2)).tolist(), **inside(maps, masks)},
        "objects, another class": inside(wrong, masks),
        "objects, blurred": inside({name: blurred(heat) for name, heat in maps.items()}, masks),
        "insertion, blurred": {
            name: store.remember(area, model, *asked, blurred(both[name]), "insertion") for name in PIXEL_MAPS
        },
    }


def in_parts(
    function: Callable[..., Maps], model: nn.Module, pictures: Tensor, *targets: list[int], size: int = 8
) -> Maps:
    """Return the maps of all pictures, computed and kept a few pictures at a time."""
    parts = []
    for start in range(0, len(pictures), size):
        part = slice(start, start + size)
        parts.append(store.remember(function, model, pictures[part], *(some[part] for some in targets)))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def area(model: nn.Module, pictures: Tensor, targets: list[int], heat: Tensor, measure: str) -> list[float]:
    """Return the mean probability on the way, for each picture."""
    curve = getattr(attribution, measure)(model, pictures, targets, heat, steps=10)
    return [float(value) for value in curve.area]


def inside(maps: Maps, masks: Tensor) -> dict[str, dict[str, list[float]]]:
    """Return for each map whether its hottest pixel is inside the masks, and how much of its heat is."""
    return {
        "pointing": {name: attribution.pointing_game(heat, masks).tolist() for name, heat in maps.items()},
        "mass": {name: attribution.mass_in_mask(heat, masks).tolist() for name, heat in maps.items()},
    }


# ------------------------------------------------------------------------------------------------------------
# Test 4


def on_grids(model: nn.Module, scenes: list[zoo.Scene]) -> dict[str, object]:
    """Return whether maps find the class that was asked for; all four classes of each grid are asked."""
    grids = list(in_fours(scenes))
    pictures = torch.cat([together(four) for four in grids for _ in four])
    targets = [int(scene.imagenet or 0) for four in grids for scene in four]
    cells = [cell for four in grids for cell in range(4)]
    absent = [*targets[4:], *targets[:4]]
    places = torch.stack([quarter(cell) for cell in cells])
    maps = in_parts(controlled, model, pictures, targets, absent)
    logits = model(pictures[::4]).repeat_interleave(4, dim=0)
    mine = logits.gather(1, torch.tensor(targets)[:, None])
    shuffled = [store.remember(classless, model, pictures, targets, places, seed=seed) for seed in SEEDS]
    return {
        "grids": {
            "place among the guesses": (logits > mine).sum(dim=1).add(1).tolist(),
            **inside(maps, places),
        },
        "grids, blurred": inside({name: blurred(heat) for name, heat in maps.items()}, places),
        "grids, classifier shuffled": shuffled,
    }


def in_fours(scenes: list[zoo.Scene]) -> Iterator[list[zoo.Scene]]:
    """Yield groups of four scenes of four classes; what does not fit waits for the next group."""
    waiting = list(scenes)
    while len(waiting) >= 4:
        four: dict[int | None, zoo.Scene] = {}
        for scene in waiting:
            if len(four) < 4:
                four.setdefault(scene.imagenet, scene)
        if len(four) < 4:
            return
        waiting = [scene for scene in waiting if all(scene is not one for one in four.values())]
        yield list(four.values())


def together(four: list[zoo.Scene]) -> Tensor:
    """Return one picture of four scenes, (1, 3, 224, 224)."""
    cells = [image.resize(scene.image[None], (112, 112)) for scene in four]
    return torch.cat([torch.cat(cells[:2], 3), torch.cat(cells[2:], 3)], 2)


def quarter(cell: int) -> Tensor:
    """Return the mask (224, 224) of a quarter, in reading order."""
    mask = torch.zeros(224, 224, dtype=torch.bool)
    mask[112 * (cell // 2) :, 112 * (cell % 2) :][:112, :112] = True
    return mask


def classless(
    model: nn.Module, pictures: Tensor, targets: list[int], places: Tensor, *, seed: int
) -> dict[str, dict[str, list[float]]]:
    """Return the same for two methods when the classifier, and nothing else, is shuffled."""
    changed = next(attribution.randomized(model, ["classifier"], seed=seed))
    names = ("saliency", "guided backprop")
    return inside({name: METHODS[name](changed, pictures, targets) for name in names}, places)


if __name__ == "__main__":
    main()
