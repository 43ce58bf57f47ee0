"""Train the generator that turns features of the embedded network back into pictures.

    python tools/train_generator.py --out FOLDER [--device cuda] [--minutes 50] [--adversarial 0.3]

It sees scenes of the cut-outs of "train" and parts of photographs; "cat", "astronaut" and "coins" and the cut-outs of
"val" are kept for looking. FOLDER gets checkpoint.pt (a run that was stopped goes on from it), generator.safetensors in
half precision, log.json, and sheet.png: pictures never seen above what is made of their codes. The loss adds the
distance of the pixels and of features at five layers (Dosovitskiy and Brox, 2016, https://arxiv.org/abs/1602.02644)
and, if asked for, what a judge of patches says, who is trained beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from interp import hooks, image, runs, zoo
from interp.zoo.generator import CODES, LAYER, Generator, to_bytes

KEPT = ("cat", "astronaut", "coins")  # photographs that are never shown in training
SIZES = (128, 128, 192)  # of one batch after another
COMPARED = ("blocks.0.0", "blocks.1.1", "blocks.2.1", "blocks.4.2", LAYER)
PIXELS, FEATURES = 5.0, 0.25  # weights of the mean absolute and of the mean squared, standardized distance
NOISE = 0.1  # standard deviation of what is added to the codes, whose own is 1
SAVE_EVERY = 60  # seconds


class Pictures(Dataset[Tensor]):
    """Picture number i as (3, H, W) of bytes: a scene, or in a quarter of all cases a part of a photograph."""

    def __init__(self, batch: int, length: int = 2**40) -> None:
        self.batch, self.length = batch, length
        self.scenes = {size: zoo.Scenes("train", size, seed=7, length=length) for size in set(SIZES)}
        self.photographs: list[PILImage.Image] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        size = SIZES[index // self.batch % len(SIZES)]
        dice = np.random.default_rng(index)
        picture = self._part(size, dice) if index % 4 == 3 else self.scenes[size][index].image
        return (_recolored(picture, dice) * 255).round().to(torch.uint8)

    def _part(self, size: int, dice: np.random.Generator) -> Tensor:
        photograph = self._photographs()[dice.integers(len(self._photographs()))]
        side = dice.uniform(0.2, 1.0) * min(photograph.size)
        left, top = (dice.uniform(0, whole - side) for whole in photograph.size)
        box = (left, top, left + side, top + side)
        part = photograph.resize((size, size), PILImage.Resampling.BICUBIC, box=box)
        return image.from_pil(part)[0]

    def _photographs(self) -> list[PILImage.Image]:
        if not self.photographs:  # in the process that needs them
            names = [name for name in zoo.photograph_names() if name not in KEPT]
            self.photographs = [PILImage.open(zoo.photograph_path(name)).convert("RGB") for name in names]
        return self.photographs


def _recolored(picture: Tensor, dice: np.random.Generator) -> Tensor:
    """Return it mirrored in half of the cases, and in a third of them in other colors, more or less strong ones."""
    if dice.random() < 0.5:
        picture = picture.flip(-1)
    if dice.random() < 1 / 3:
        picture = picture[dice.permutation(3).tolist()]
        gray = picture.mean(0, keepdim=True)
        picture = gray + dice.uniform(0.3, 2.0) * (picture - gray)
        picture = (picture - 0.5) * dice.uniform(0.7, 1.4) + 0.5
    return picture.clamp(0, 1)


class Ahead(torch.utils.data.Sampler[int]):
    """The numbers from one on, without end."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, 2**40))


def batches(batch: int, first: int, workers: int) -> Iterator[Tensor]:
    """Return batches of pictures (N, 3, H, W) in [0, 1], the first of them number `first`."""
    more: dict[str, Any] = {"multiprocessing_context": "spawn", "prefetch_factor": 4} if workers else {}
    return iter(
        DataLoader(
            Pictures(batch), batch, sampler=Ahead(first * batch), num_workers=workers, drop_last=True, **more
        )
    )


class Judge(nn.Module):
    """Says of each patch whether it is of a real picture (positive) or made (negative)."""

    def __init__(self, widths: tuple[int, ...] = (48, 96, 192)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in zip((3, *widths), widths, strict=False):
            conv = nn.Conv2d(inside, outside, 4, 2, 1)
            layers += [nn.utils.parametrizations.spectral_norm(conv), nn.LeakyReLU(0.2)]
        last = nn.utils.parametrizations.spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))
        self.net = nn.Sequential(*layers, last)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(2 * images - 1)


class Trainer:
    """The generator, its judge, and all that a checkpoint keeps."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.device = options, torch.device(options.device)
        torch.manual_seed(options.seed)
        self.model = zoo.load_model().to(self.device).requires_grad_(False)
        self.generator, self.judge = Generator().to(self.device), Judge().to(self.device)
        self.optimizers = [
            torch.optim.Adam(net.parameters(), options.rate, betas=(0.5, 0.99))
            for net in (self.generator, self.judge)
        ]
        self.elapsed, self.steps = 0.0, 0
        self.log: list[dict[str, float]] = []
        self.scale: dict[str, Tensor] = {}

    # ---- what a checkpoint keeps

    @property
    def path(self) -> Path:
        return Path(self.options.out) / "checkpoint.pt"

    def save(self) -> None:
        state = {
            "nets": [net.state_dict() for net in (self.generator, self.judge)],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "numbers": (self.elapsed, self.steps, self.log),
            "scale": self.scale,
        }
        with runs.replacing(self.path) as temporary:
            torch.save(state, temporary)
        self.write()

    def load(self) -> None:
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        for net, kept in zip((self.generator, self.judge), state["nets"], strict=True):
            net.load_state_dict(kept)
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.elapsed, self.steps, self.log = state["numbers"]
        self.scale = state["scale"]

    @torch.no_grad()
    def write(self) -> None:
        out = Path(self.options.out)
        (out / "log.json").write_text(json.dumps(self.log))
        (out / "generator.safetensors").write_bytes(to_bytes(self.generator))
        unseen = [zoo.Scenes("val", 128, seed=0, length=64)[i].image for i in range(5)]
        pictures = torch.cat([torch.stack(unseen), zoo.example_images(*KEPT, size=128)]).to(self.device)
        made = self.generator(self.generator.codes_of(self.model, pictures))
        (out / "sheet.png").write_bytes(image.png(torch.cat([pictures, made]).cpu()))

    # ---- the work

    @torch.no_grad()
    def measure(self, images: Tensor) -> None:
        """Find the axes of the codes, and how large each compared layer's channels are."""
        features = self.see(images)
        for layer, values in features.items():
            self.scale[layer] = values.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-3)
        flat = features[LAYER].transpose(0, 1).flatten(1).double().cpu()
        mean = flat.mean(1)
        values, vectors = torch.linalg.eigh(torch.cov(flat))
        top = vectors[:, -CODES:].flip(1)
        self.generator.mean.copy_(mean)
        self.generator.encode.copy_((top / values[-CODES:].flip(0).sqrt()).T)

    def see(self, images: Tensor) -> dict[str, Tensor]:
        with hooks.record(self.model, COMPARED) as features:
            self.model(images)
        return dict(features)

    def step(self, images: Tensor, share: float) -> dict[str, float]:
        """Do one step of both nets at a share of the whole run, and return the losses."""
        for optimizer in self.optimizers:
            fall = max(0.01, math.cos(share * math.pi / 2) ** 2)
            optimizer.param_groups[0]["lr"] = self.options.rate * fall * min(1.0, (self.steps + 1) / 100)
        with torch.no_grad():
            real = self.see(images)
            codes = self.generator.code(real[LAYER])
            codes = codes + NOISE * torch.randn_like(codes)
        made = self.generator(codes)
        losses = {"pixels": (made - images).abs().mean(), "features": self.distance(self.see(made), real)}
        loss = PIXELS * losses["pixels"] + FEATURES * losses["features"]
        (slope,) = torch.autograd.grad(loss, made)
        if self.options.adversarial and share > 0.2:
            losses["judge"] = self.teach(images, made.detach())
            (wish,) = torch.autograd.grad(self.judge(made).mean(), made)
            # A fixed share of the length of the other slope, as in Esser et al., 2021, https://arxiv.org/abs/2012.09841
            slope = slope - self.options.adversarial * slope.norm() / (wish.norm() + 1e-8) * wish
        self.optimizers[0].zero_grad(set_to_none=True)
        made.backward(slope)
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.optimizers[0].step()
        self.steps += 1
        return {name: value.detach() for name, value in losses.items()}

    def distance(self, made: dict[str, Tensor], real: dict[str, Tensor]) -> Tensor:
        parts = [((made[layer] - real[layer]) / self.scale[layer]).square().mean() for layer in COMPARED]
        return torch.stack(parts).mean()

    def teach(self, real: Tensor, made: Tensor) -> Tensor:
        """Do one step of the judge (hinge loss), and return its loss."""
        loss = F.relu(1 - self.judge(real)).mean() + F.relu(1 + self.judge(made)).mean()
        self.optimizers[1].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[1].step()
        return loss

    def run(self) -> None:
        options = self.options
        source = batches(options.batch, self.steps, options.workers)
        if not self.scale:
            some = [next(source) for _ in range(max(3, 384 // options.batch))]
            self.measure(torch.cat([part for part in some if part.shape[-1] == 128]).to(self.device) / 255)
        whole, started, saved = 60 * options.minutes, time.monotonic() - self.elapsed, time.monotonic()
        with tqdm(total=round(whole), unit="s", initial=round(self.elapsed)) as bar:
            while self.elapsed < whole:
                images = next(source).to(self.device, non_blocking=True).float() / 255
                losses = self.step(images, self.elapsed / whole)
                if self.steps % 20 == 1:
                    self.log.append(
                        {"step": self.steps, **{name: float(value) for name, value in losses.items()}}
                    )
                    bar.set_postfix({name: f"{value:.4g}" for name, value in self.log[-1].items()})
                self.elapsed = time.monotonic() - started
                bar.update(round(self.elapsed) - bar.n)
                if time.monotonic() - saved > SAVE_EVERY:
                    self.save()
                    saved = time.monotonic()
        self.save()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="the folder of the run")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--minutes", type=float, default=50.0, help="how long it trains, all runs together")
    parser.add_argument(
        "--workers", type=int, default=max(1, (os.cpu_count() or 1) - 1), help="processes for data"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument(
        "--adversarial",
        type=float,
        default=0.0,
        help="length of the judge's slope beside that of the distances",
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    trainer = Trainer(options)
    if trainer.path.exists():
        trainer.load()
    trainer.run()


if __name__ == "__main__":
    main()
