"""Batches to train on, from the embedded scenes or from Imagenette: one argument changes the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from interp.errors import BadInputError, UnknownNameError
from interp.zoo.cutouts import SCENE_CLASSES
from interp.zoo.imagenette import IMAGENETTE_CLASSES, load_imagenette
from interp.zoo.scenes import Scenes
from interp.zoo.simple_cnn import SimpleCNN
from interp.zoo.training import History, train_model

Loader = DataLoader[tuple[Tensor, Tensor]]
DATASETS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "scenes": (SCENE_CLASSES, ("train", "val_known", "val")),
    "imagenette": (IMAGENETTE_CLASSES, ("train", "val")),
}


def load_scenes(
    split: str = "train",
    image_size: int = 48,
    batch_size: int = 64,
    *,
    length: int | None = None,
    second: float = 0.0,
    seed: int = 0,
) -> Loader:
    """Return batches (images (N, 3, image_size, image_size) in [0, 1], labels (N,)) of scenes, all made beforehand.

    A thousand scenes take about two seconds and, at 48 pixels, 28 MB. The training split comes in random order.

    Args:
        split: as for `Scenes`.
        image_size: the side in pixels.
        batch_size: scenes in a batch.
        length: how many scenes; None for 4000 to train on and 1000 to measure on.
        second: how often a second object stands beside the main one.
        seed: of the scenes and of their order.

    Raises:
        UnknownNameError: there is no such split.
        BadInputError: a number is out of range.
    """
    length = (4000 if split == "train" else 1000) if length is None else length
    if length < 1 or batch_size < 1:
        raise BadInputError(f"length and batch_size have to be at least 1; got {length} and {batch_size}.")
    scenes = Scenes(split, image_size, seed, length=length, second=second)
    images = torch.empty(length, 3, image_size, image_size)
    labels = torch.empty(length, dtype=torch.long)
    for index in range(length):
        scene = scenes[index]
        images[index], labels[index] = scene.image, scene.label
    order = torch.Generator().manual_seed(seed)
    dataset = TensorDataset(images, labels)
    return DataLoader(dataset, batch_size, shuffle=split == "train", generator=order)  # type: ignore[arg-type]


def load_data(name: str, split: str, image_size: int = 48, batch_size: int = 64, *, seed: int = 0) -> Loader:
    """Return batches (images, labels) of the data set "scenes" or "imagenette".

    Raises:
        UnknownNameError: there is no data set or no split of that name.
        MissingFileError: Imagenette is not there and cannot be fetched.
    """
    _, splits = _dataset(name)
    if split not in splits:
        raise UnknownNameError(f"split of {name}", split, splits)
    load = load_scenes if name == "scenes" else load_imagenette
    return load(split, image_size, batch_size, seed=seed)


def trained_state(
    data: str = "scenes", image_size: int = 48, epochs: int = 4, *, seed: int = 0
) -> dict[str, dict[str, Tensor]]:
    """Train a `SimpleCNN` and return what `trained_model` makes it from again; meant for `store.remember`.

    Args:
        data: "scenes" or "imagenette".
        image_size: the side of the images in pixels.
        epochs: how often the training images are gone through.
        seed: of the weights, the scenes, their order, mirroring and dropout.

    Returns:
        "weights", and for each measure "loss" and "accuracy" a tensor (epochs,) for each set.

    Raises:
        UnknownNameError: there is no such data set.
        MissingFileError: Imagenette is not there and cannot be fetched.
    """
    names, splits = _dataset(data)
    model = SimpleCNN(names, seed=seed)
    loaders = {split: load_data(data, split, image_size, seed=seed) for split in splits}
    train = loaders.pop("train")
    history = train_model(model, train, loaders, epochs=epochs, seed=seed, progress=False)
    return {
        "weights": dict(model.state_dict()),
        "loss": _tensors(history.loss),
        "accuracy": _tensors(history.accuracy),
    }


def _tensors(rows: Mapping[str, Sequence[float]]) -> dict[str, Tensor]:
    return {name: torch.tensor(row, dtype=torch.float64) for name, row in rows.items()}


def trained_model(
    state: Mapping[str, Mapping[str, Tensor]], data: str = "scenes"
) -> tuple[SimpleCNN, History]:
    """Return the network in evaluation mode and its history from what `trained_state` returned."""
    model = SimpleCNN(_dataset(data)[0])
    model.load_state_dict(dict(state["weights"]))
    curves = {
        key: {name: tuple(row.tolist()) for name, row in state[key].items()} for key in ("loss", "accuracy")
    }
    return model.eval(), History(**curves)


def _dataset(name: str) -> tuple[Sequence[str], Sequence[str]]:
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    return DATASETS[name]
