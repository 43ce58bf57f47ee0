"""Train a network on batches of images, with a history, and ask it what it sees."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Never, TypedDict, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from interp import hooks
from interp.errors import BadInputError

Batches = Iterable[tuple[Tensor, Tensor]]
Augmentation = Callable[[Tensor, torch.Generator], Tensor]
SMOOTHING = 0.1  # of the labels; Szegedy et al., 2015, https://arxiv.org/abs/1512.00567, section 7


@dataclass(frozen=True)
class History:
    """What training looked like from epoch to epoch.

    Attributes:
        loss: name of a set to the mean cross-entropy (in nats an image) after each epoch.
        accuracy: name of a set to the share of right answers after each epoch.

    The entries "train" are averages over the epoch, while the weights still move and with augmentation and dropout on;
    the others are measured at its end, with everything switched off.
    """

    loss: dict[str, tuple[float, ...]]
    accuracy: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class _Score:
    loss: float = 0.0
    right: float = 0.0
    count: int = 0

    def __add__(self, other: _Score) -> _Score:
        return _Score(self.loss + other.loss, self.right + other.right, self.count + other.count)


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images, each turned into its mirror image with probability one half."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(-1), images)


class Changes(TypedDict, total=False):
    """What may differ from a training, by the names of its attributes."""

    epochs: int
    learning_rate: float
    weight_decay: float
    augment: Augmentation | None
    seed: int


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        epochs: how often the training batches are gone through.
        learning_rate: the highest one.
        weight_decay: how strongly AdamW pulls weights to zero.
        augment: changes a batch before the model sees it; None for nothing.
        seed: of dropout and augmentation; the order of the batches is the loader's own matter.

    Raises:
        BadInputError: no epochs, or a learning rate that is not positive.
    """

    epochs: int = 6
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    augment: Augmentation | None = mirror
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or not self.learning_rate > 0:
            raise BadInputError(
                "epochs has to be at least 1 and learning_rate positive; got "
                f"epochs={self.epochs}, learning_rate={self.learning_rate}."
            )


def train_model(
    model: nn.Module,
    train: Batches,
    val: Batches | Mapping[str, Batches] | None = None,
    *,
    training: Training | None = None,
    progress: bool = True,
    **changes: Unpack[Changes],
) -> History:
    """Train the model's weights in place and return the history.

    AdamW (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1711.05101) on the cross-entropy with smoothed labels. The
    learning rate rises over the first quarter of the steps and then falls to zero along a cosine (the same, 2016,
    https://arxiv.org/abs/1608.03983). The model's mode and torch's global random numbers are left as they were.

    Args:
        model: takes images (N, C, H, W) in [0, 1] and returns logits (N, classes).
        train: batches (images, labels), such as a DataLoader; gone through once an epoch.
        val: the same to measure on after each epoch, or several by name.
        training: how, see `Training`; the standard one by default.
        progress: show a bar on stderr.
        changes: what differs from it, by the names of its attributes: `epochs=4, seed=1`.

    Raises:
        BadInputError: no epochs, no batches, images that do not follow the convention, labels that do not fit, or a
            loss that is no longer a number.
    """
    sets = val if isinstance(val, Mapping) else {} if val is None else {"val": val}
    how = replace(training or Training(), **changes)
    if "train" in sets:
        raise BadInputError(f"No validation set may be named 'train'; got {list(sets)}.")
    steps = how.epochs * _count(train)
    optimizer = torch.optim.AdamW(model.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    generator = torch.Generator().manual_seed(how.seed)
    scores: dict[str, list[_Score]] = {name: [] for name in ("train", *sets)}
    with _seeded(how.seed), _training(model), _bar(steps, progress) as bar:
        for _ in range(how.epochs):
            scores["train"].append(_epoch(model, train, optimizer, schedule, how.augment, generator, bar))
            for name, loader in sets.items():
                scores[name].append(_evaluate(model, loader))
            bar.set_postfix({name: f"{each[-1].right / each[-1].count:.3f}" for name, each in scores.items()})
    return History(
        loss={name: tuple(each.loss / each.count for each in every) for name, every in scores.items()},
        accuracy={name: tuple(each.right / each.count for each in every) for name, every in scores.items()},
    )


def _epoch(
    model: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    augment: Augmentation | None,
    generator: torch.Generator,
    bar: tqdm[Never],
) -> _Score:
    total = _Score()
    for images, labels in batches:
        seen = augment(images, generator) if augment else images
        logits, labels = _forward(model, seen, labels)
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        if not torch.isfinite(loss):
            raise BadInputError("The loss is no longer a finite number. Try a smaller learning_rate.")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        total += _score(logits.detach(), labels)
        bar.update()
    return total


def _rate(step: int, steps: int) -> float:
    """Return the share of the highest learning rate at a step: up in a line for a quarter, then down along a cosine."""
    rise = max(1, steps // 4)
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(1, steps - rise))


def _evaluate(model: nn.Module, batches: Batches) -> _Score:
    total = _Score()
    with torch.no_grad(), hooks.evaluating(model):
        for images, labels in batches:
            total += _score(*_forward(model, images, labels))
    if not total.count:
        raise BadInputError("A validation set holds no batches.")
    return total


def _forward(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    device = hooks.device_of(model)
    logits = model(hooks.check_images(model, images).to(device))
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        raise BadInputError(
            f"One whole number an image is needed as its label; {len(images)} images came with labels of shape "
            f"{tuple(labels.shape)} and type {labels.dtype}."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
        raise BadInputError(
            f"The labels go from {int(labels.min())} to {int(labels.max())}, but the model has {logits.shape[1]} "
            "classes, numbered from 0."
        )
    return logits, labels.to(device)


def _score(logits: Tensor, labels: Tensor) -> _Score:
    loss = F.cross_entropy(logits, labels, reduction="sum")
    return _Score(float(loss), float((logits.argmax(1) == labels).sum()), len(labels))


def _count(batches: Batches) -> int:
    count = len(batches) if isinstance(batches, Sized) else 0
    if not count:
        raise BadInputError(
            "The training batches need a length of at least 1, as a DataLoader or a list has; a generator would be "
            "used up after one epoch."
        )
    return count


@contextlib.contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Put all layers into training mode; afterwards each is again in the one in which it was."""
    before = {module: module.training for module in model.modules()}
    model.train()
    try:
        yield
    finally:
        for module, was in before.items():
            module.training = was


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _bar(total: int, progress: bool) -> tqdm[Never]:
    return tqdm(total=total, unit="batch", disable=not progress, file=sys.stderr, mininterval=0.5)


def get_predictions(
    model: nn.Module, images: Tensor, k: int = 5, *, batch_size: int = 64
) -> list[list[tuple[str, float]]]:
    """Return for each image its k most probable classes as (name, probability), the most probable first.

    Names are the model's `class_names`; a model without gets "class 0", "class 1", ... A model with one logit gives its
    sigmoid. The model is put into evaluation mode for the time of the call.

    Args:
        model: takes images (N, C, H, W) in [0, 1] and returns logits (N, classes).
        images: (N, C, H, W) in [0, 1], such as the model takes.
        k: how many; more than there are classes gives all of them.
        batch_size: how many images go through the model at once.

    Raises:
        BadInputError: the images do not follow the convention, k is not positive, the model returns something else
            than logits (N, classes), or its class names are not as many as these.
    """
    if k < 1 or batch_size < 1:
        raise BadInputError(f"k and batch_size have to be at least 1; got {k} and {batch_size}.")
    with torch.no_grad(), hooks.evaluating(model):
        parts = torch.split(hooks.check_images(model, images), batch_size)
        logits = torch.cat([_logits(model(hooks.ready(model, part))) for part in parts]).float().cpu()
    # One logit is that of "yes"; a softmax over it alone would be 1 whatever it says.
    shares = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
    values, indices = shares.topk(min(k, logits.shape[1]))
    names = _class_names(model, logits.shape[1])
    return [
        [(names[index], value) for index, value in zip(row, column, strict=True)]
        for row, column in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def _logits(output: object) -> Tensor:
    if isinstance(output, Tensor) and output.ndim == 2:
        return output
    given = f"the shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
    raise BadInputError(
        f"Predictions need a model that returns logits (N, classes); this one returns {given}."
    )


def _class_names(model: nn.Module, count: int) -> Sequence[str]:
    names = getattr(model, "class_names", None) or [f"class {index}" for index in range(count)]
    if len(names) != count:
        raise BadInputError(
            f"There are {len(names)} class names for {count} outputs. Set model.class_names right."
        )
    return list(names)
