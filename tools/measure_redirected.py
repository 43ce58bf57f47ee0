"""Count units behind a rectifier that no start excites, with and without redirected gradient.

python tools/measure_redirected.py
"""

from __future__ import annotations

import warnings

import torch
from measured import exactly, save
from torch import Tensor, nn

from interp import featurevis as fv
from interp import store, zoo

LAYERS = ("blocks.3.2.act_expand", "blocks.4.2.act_expand", "blocks.5.2.act_expand", "act_head")
COUNT, SIZE, STEPS = 24, 64, 48


def grown(
    model: nn.Module, layer: str, channels: list[int], redirect: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the scores (N,) of pictures of some channels, and whether they had no gradient at any step."""
    wanted = fv.together([fv.channel(layer, channel) for channel in channels])
    found = fv.render(model, wanted, steps=[fv.Stage(SIZE, STEPS)], redirect=redirect, seed=seed)
    return found.score.cpu(), torch.tensor(["no gradient" in problem for problem in found.problems])


def main() -> None:
    warnings.simplefilter("ignore", fv.RenderingWarning)
    model, results = zoo.load_model().to(exactly()), []
    for layer in LAYERS:
        count = {"act_head": 1280}.get(layer) or model.get_submodule(
            layer.replace("act_expand", "expand")
        ).out_channels
        random = torch.Generator().manual_seed(0)
        channels = sorted(torch.randperm(int(count), generator=random)[:COUNT].tolist())  # type: ignore[arg-type]
        for seed in (0, 1):
            for redirect in (0, 16):
                score, dead = store.remember(grown, model, layer, channels, redirect, seed)
                results.append({
                    "layer": layer, "seed": seed, "redirect": redirect, "channels": channels,
                    "score": score.tolist(), "dead": dead.tolist(),
                })  # fmt: skip
                print(
                    layer,
                    seed,
                    redirect,
                    int(dead.sum()),
                    int((score <= 0).sum()),
                    f"{score.mean():.3f}",
                    flush=True,
                )
    save(
        "redirected",
        {"size": SIZE, "steps": STEPS, "cases": results},
        how="python tools/measure_redirected.py",
        on=f"zoo.load_model(), {COUNT} channels drawn from each of {len(LAYERS)} layers, two seeds",
    )


if __name__ == "__main__":
    main()
