"""SimpleCNN, its training and its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from interp import hooks, store
from interp.errors import BadInputError, UnknownNameError
from interp.image import Normalize
from interp.zoo import (
    SCENE_CLASSES,
    SimpleCNN,
    get_predictions,
    loaders,
    train_model,
    trained_model,
    trained_state,
    training,
)
from interp.zoo.training import mirror


def batches(count: int = 48, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    """Return images whose class is the brightest of their three channels."""
    images = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) / 2
    labels = torch.arange(count) % 3
    images[torch.arange(count), labels] += 0.5
    return list(zip(images.split(16), labels.split(16), strict=True))


@pytest.fixture
def small() -> SimpleCNN:
    return SimpleCNN(3, hidden=8, dropout=0.0)


# The network


def test_the_layers_have_the_promised_names_and_shapes() -> None:
    model = SimpleCNN(SCENE_CLASSES)
    layers = ["conv1", "bn1", "relu1", "pool1", "conv2", "conv3", "pool3", "fc1", "fc2"]
    with hooks.record(model, layers) as found:
        model(torch.rand(2, 3, 48, 48))
    shapes = {layer: tuple(found[layer].shape[1:]) for layer in layers}
    assert shapes["conv1"] == shapes["bn1"] == shapes["relu1"] == (32, 48, 48)
    assert shapes["conv2"] == (64, 24, 24)
    assert shapes["conv3"] == (128, 12, 12)
    assert shapes["pool3"] == (128, 6, 6)
    assert (shapes["fc1"], shapes["fc2"]) == ((128,), (10,))
    assert model.class_names == SCENE_CLASSES


def test_the_network_is_the_composition_of_its_layers() -> None:
    model = SimpleCNN(4).eval()
    images = torch.rand(2, 3, 48, 48)
    values = (images - 0.45) / 0.25
    for number in "123":
        layer = {kind: model.get_submodule(kind + number) for kind in ("conv", "bn")}
        values = F.max_pool2d(layer["bn"](layer["conv"](values)).relu(), 2)
    expected = model.fc2(model.fc1(values.flatten(1)).relu())  # of 48 pixels the last pooling changes nothing
    torch.testing.assert_close(model(images), expected)
    assert isinstance(model.normalize, Normalize)


@pytest.mark.parametrize("size", [8, 48, 50, 224])
def test_any_size_of_image_goes_through(size: int) -> None:
    assert SimpleCNN(5).eval()(torch.rand(1, 3, size, size)).shape == (1, 5)


def test_the_starting_weights_depend_on_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = SimpleCNN(seed=1), SimpleCNN(seed=1), SimpleCNN(seed=2)
    assert torch.equal(first.conv1.weight, again.conv1.weight)  # type: ignore[arg-type, union-attr]
    assert not torch.equal(first.conv1.weight, other.conv1.weight)  # type: ignore[arg-type, union-attr]
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("arguments", [{"classes": 1}, {"classes": "cat"}, {"dropout": 1.0}, {"hidden": 0}])
def test_a_network_that_cannot_be_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="At least two classes"):
        SimpleCNN(**arguments)  # type: ignore[arg-type]


# Training


def test_training_learns_what_can_be_learned(small: SimpleCNN) -> None:
    history = train_model(small, batches(), batches(24), epochs=8, progress=False)
    assert history.accuracy["train"][0] < 0.9
    assert history.accuracy["val"][-1] == 1.0
    assert history.loss["val"][-1] < history.loss["val"][0]


def test_the_first_training_loss_is_that_of_the_untrained_network(small: SimpleCNN) -> None:
    images, labels = batches(16)[0]
    with torch.no_grad():
        logits = SimpleCNN(3, hidden=8, dropout=0.0)(images)
    history = train_model(small, [(images, labels)], epochs=1, augment=None, progress=False)
    assert history.loss["train"][0] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert history.accuracy["train"][0] == (logits.argmax(1) == labels).float().mean()


def test_one_step_is_a_step_of_adamw_on_the_smoothed_loss(small: SimpleCNN) -> None:
    images, labels = batches(16)[0]
    other = SimpleCNN(3, hidden=8, dropout=0.0).train()
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.05)
    F.cross_entropy(other(images), labels, label_smoothing=0.1).backward()
    optimizer.step()
    train_model(small, [(images, labels)], epochs=1, learning_rate=1e-3, augment=None, progress=False)
    for name, value in small.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name])


@pytest.mark.parametrize("steps", [1, 2, 4, 10, 101])
def test_the_learning_rate_rises_to_its_height_and_falls_to_nothing(steps: int) -> None:
    rates = [training._rate(step, steps) for step in range(steps + 1)]
    top = rates.index(max(rates))
    assert max(rates) == 1
    assert top == max(1, steps // 4) - 1
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert rates[-1] == pytest.approx(0 if steps > 1 else 1)


def test_what_is_measured_at_the_end_is_what_the_network_does_then(small: SimpleCNN) -> None:
    sets = {"a": batches(32), "b": batches(16, size=12)}
    history = train_model(small, batches(), sets, epochs=2, progress=False)
    small.eval()
    for name, parts in sets.items():
        images, labels = (torch.cat(each) for each in zip(*parts, strict=True))
        with torch.no_grad():
            logits = small(images)
        assert history.loss[name][-1] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
        assert history.accuracy[name][-1] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert {len(values) for values in (*history.loss.values(), *history.accuracy.values())} == {2}


def test_the_same_seed_gives_the_same_weights() -> None:
    found = []
    for seed in (0, 0, 1):
        model = SimpleCNN(3, hidden=8, dropout=0.5)
        torch.rand(seed + 1)  # whatever was drawn before must not matter
        train_model(model, batches(), epochs=2, seed=seed, progress=False)
        found.append(model.fc1.weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_modes_and_random_numbers_are_left_as_they_were(small: SimpleCNN) -> None:
    small.eval()
    small.bn1.train()
    modes = [module.training for module in small.modules()]
    state = torch.random.get_rng_state()
    train_model(small, batches(), batches(16), epochs=1, progress=False)
    assert [module.training for module in small.modules()] == modes
    bad = [*batches(16), (torch.zeros(2, 3, 8, 8), torch.tensor([0, 7]))]
    with pytest.raises(BadInputError, match="The labels go from 0 to 7, but the model has 3 classes"):
        train_model(small, bad, epochs=1, progress=False)
    assert [module.training for module in small.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_batches_are_not_changed(small: SimpleCNN) -> None:
    given = batches()
    train_model(small, given, epochs=1, progress=False)
    for (images, labels), (expected, numbers) in zip(given, batches(), strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(labels, numbers)


def test_mirroring_turns_half_of_the_images() -> None:
    images = torch.rand(400, 3, 2, 4)
    turned = mirror(images, torch.Generator().manual_seed(0))
    flipped = [torch.equal(after, before.flip(-1)) for before, after in zip(images, turned, strict=True)]
    kept = [torch.equal(after, before) for before, after in zip(images, turned, strict=True)]
    assert all(one != other for one, other in zip(flipped, kept, strict=True))
    assert 160 < sum(flipped) < 240


def test_the_bar_can_be_switched_off(small: SimpleCNN, capfd: pytest.CaptureFixture[str]) -> None:
    train_model(small, batches(), epochs=1, progress=False)
    assert capfd.readouterr().err == ""
    train_model(small, batches(), epochs=1)
    assert "3/3" in capfd.readouterr().err


IMAGES, LABELS = torch.rand(4, 3, 8, 8), torch.arange(4) % 3


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        ([(IMAGES, LABELS)], {"epochs": 0}, "epochs has to be at least 1"),
        ([(IMAGES, LABELS)], {"learning_rate": 0.0}, "learning_rate positive"),
        ([(IMAGES, LABELS)], {"val": {"train": [(IMAGES, LABELS)]}}, "may be named 'train'"),
        ([(IMAGES, LABELS)], {"val": []}, "holds no batches"),
        ([], {}, "need a length of at least 1"),
        (iter([(IMAGES, LABELS)]), {}, "a generator would be used up"),
        ([(IMAGES * 255, LABELS)], {}, "Divide bytes by 255"),
        ([(IMAGES - 0.5, LABELS)], {}, "normalized already"),
        ([(IMAGES[:, :1], LABELS)], {}, "For gr[ea]y"),
        ([(IMAGES, LABELS.float())], {}, "One whole number an image"),
        ([(IMAGES, LABELS[:2])], {}, "One whole number an image"),
        ([(IMAGES, LABELS - 1)], {}, "from -1 to 1"),
        ([(IMAGES, LABELS)], {"epochs": 40, "learning_rate": 1e30}, "Try a smaller learning_rate"),
    ],
)
def test_bad_input_is_named(
    small: SimpleCNN,
    train: list[tuple[Tensor, Tensor]] | Iterator[object],
    options: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(BadInputError, match=message):
        train_model(small, train, progress=False, **options)  # type: ignore[arg-type]


# Answers


class Fixed(nn.Module):
    """Gives each image the same logits and says in which mode it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.modes.append(self.training)
        return torch.tensor([[0.0, 3.0, 1.0]]).expand(len(images), 3)


def test_predictions_are_the_largest_probabilities_by_name() -> None:
    model = Fixed().train()
    found = get_predictions(model, torch.rand(5, 3, 8, 8), k=2, batch_size=2)
    expected = torch.tensor([0.0, 3.0, 1.0]).softmax(0)
    assert len(found) == 5
    assert [name for name, _ in found[3]] == ["class 1", "class 2"]
    assert [value for _, value in found[3]] == pytest.approx([expected[1].item(), expected[2].item()])
    assert set(model.modes) == {False}
    assert model.training


def test_predictions_know_the_names_of_the_classes(model: nn.Module, photographs: Tensor) -> None:
    found = get_predictions(model, photographs)
    assert [len(row) for row in found] == [5, 5]
    assert "espresso" in [name for name, _ in found[1]]


def test_more_than_all_classes_are_all_classes() -> None:
    (row,) = get_predictions(Fixed(), torch.rand(1, 3, 8, 8), k=9)
    assert sum(value for _, value in row) == pytest.approx(1)


def test_bad_questions_are_refused() -> None:
    with pytest.raises(BadInputError, match="k and batch_size"):
        get_predictions(Fixed(), torch.rand(1, 3, 8, 8), k=0)
    with pytest.raises(BadInputError, match=r"For one image: images\[None\]"):
        get_predictions(Fixed(), torch.rand(3, 8, 8))


# What the chapters keep


def test_a_kept_network_is_the_trained_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loaders, "load_data", _few_scenes)
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path))
    state = store.remember(trained_state, "scenes", 16, 2)
    model, history = trained_model(state)
    assert not model.training
    assert model.class_names == SCENE_CLASSES
    assert set(history.accuracy) == {"train", "val_known", "val"}
    images, labels = (torch.cat(each) for each in zip(*_few_scenes("scenes", "val", 16), strict=True))
    right = [
        row[0][0] == SCENE_CLASSES[label]
        for row, label in zip(get_predictions(model, images), labels, strict=True)
    ]
    assert sum(right) / len(right) == pytest.approx(history.accuracy["val"][-1])


def _few_scenes(
    name: str, split: str, image_size: int, *, seed: int = 0
) -> DataLoader[tuple[Tensor, Tensor]]:
    full = loaders.load_scenes(split, image_size, 10, length=20, seed=seed)
    assert isinstance(full.dataset, TensorDataset)
    return full


def test_a_seed_reaches_scenes_order_weights_and_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def load(split: str, image_size: int, batch_size: int, *, seed: int) -> str:
        seen[split] = seed
        return split

    def train(model: nn.Module, *_: object, seed: int, **__: object) -> training.History:
        seen["training"], seen["weights"] = seed, model.get_parameter("conv1.weight").detach().clone()
        return training.History({}, {})

    monkeypatch.setattr(loaders, "load_scenes", load)
    monkeypatch.setattr(loaders, "train_model", train)
    trained_state("scenes", 16, 1, seed=7)
    expected = SimpleCNN(10, seed=7).get_parameter("conv1.weight")
    assert torch.equal(seen.pop("weights"), expected)  # type: ignore[arg-type]
    assert seen == dict.fromkeys(("train", "val_known", "val", "training"), 7)


def test_a_seed_changes_the_scenes_and_their_order() -> None:
    first, other = (loaders.load_scenes("val", 8, 8, length=8, seed=seed) for seed in (0, 1))
    assert not torch.equal(next(iter(first))[0], next(iter(other))[0])
    orders = [loaders.load_scenes("train", 8, 40, length=40, seed=seed) for seed in (0, 1)]
    labels = [next(iter(loader))[1] for loader in orders]  # of both seeds the same ones, in turns
    assert not torch.equal(*labels)


def test_four_thousand_scenes_to_train_on_and_a_thousand_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blank:
        image, label = torch.zeros(3, 8, 8), 0

    class Blanks:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __getitem__(self, index: int) -> Blank:
            return Blank()

    monkeypatch.setattr(loaders, "Scenes", Blanks)
    lengths = [len(loaders.load_scenes(split, 8, 1)) for split in ("train", "val_known", "val")]
    assert lengths == [4000, 1000, 1000]


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"no data set 'cifar'"):
        trained_state("cifar")


def test_a_number_of_classes_may_be_one_of_numpy() -> None:
    assert SimpleCNN(np.int64(3)).class_names == SimpleCNN(3).class_names  # type: ignore[arg-type]
