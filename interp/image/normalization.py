"""Normalization as the first layer of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.image.inputs import Inputs, Show
from interp.image.tensors import check_type


class Normalize(nn.Module):
    """The layer (x - mean) / std, a channel at a time; the first layer of every model here.

    Images on another device or of another precision than the model are brought to those of the model; whole numbers
    are refused, they would be taken for values in [0, 1].

    Args:
        mean, std: a number for each channel, for images in [0, 1], so that none is above 1.

    Raises:
        BadInputError: a number cannot be that of images in [0, 1], or the two are not as many.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # Not persistent: the numbers belong to the code, and state dicts keep the entries that others expect.
        self.register_buffer("mean", _numbers("mean", mean), persistent=False)
        self.register_buffer("std", _numbers("std", std), persistent=False)
        if self.mean.shape != self.std.shape:
            raise BadInputError(
                f"mean and std need a number for each channel; got {len(mean)} and {len(std)} of them."
            )
        if self.std.min() <= 0:
            raise BadInputError(f"Every std has to be positive; got {std}.")

    def forward(self, images: Tensor) -> Tensor:
        channels = self.mean.shape[1]
        check_type(images, channels)
        if images.ndim == 4 and images.shape[1] != channels:  # one number would be taken for every channel
            raise BadInputError(
                f"The network normalizes images of {channels} channels; these have the shape {tuple(images.shape)}."
            )
        return (images.to(self.mean) - self.mean) / self.std

    def inverse(self, values: Tensor) -> Tensor:
        """Return images in [0, 1] from normalized values."""
        return values * self.std + self.mean


def _numbers(name: str, values: Sequence[float]) -> Tensor:
    numbers = [float(value) for value in values]
    if not numbers or not np.isfinite(numbers).all():
        raise BadInputError(f"{name} needs a number for each channel: three for RGB; got {values}.")
    if min(numbers) < 0 or max(numbers) > 1:
        raise BadInputError(
            f"Images are in [0, 1] here, so {name} has to be too; got {values}. Divide numbers for 0 to 255 by 255."
        )
    return torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1, 1)


class Normalized(nn.Module):
    """A network with its normalization in front: takes images in [0, 1].

    It starts in the mode, on the device and with the precision of the network. The functions of this package know the
    layers of the network by their own names, as `hooks.find_layer` does; as attributes they are in `model`:
    `wrapped.model.fc`.

    Args:
        model: a network that takes (images - mean) / std.
        mean, std: a number for each channel, for images in [0, 1].
        class_names: the names of the outputs, in order; none means those of the network, if it has any.
        show: how its images are shown, see `Inputs`; none means what the network's own `inputs` say, if it has any.

    Raises:
        BadInputError: mean or std cannot be those of images in [0, 1], the network normalizes its images already, or
            the class names are no sequence of texts.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        class_names: Sequence[str] | None = None,
        show: Show | None = None,
    ) -> None:
        super().__init__()
        _check_network(model)
        self.normalize = Normalize(mean, std).train(model.training)
        self.model = model
        self.inputs = Inputs(len(mean), show or _own_show(model, len(mean)))
        self.training = model.training
        self.class_names = _texts(getattr(model, "class_names", None) if class_names is None else class_names)
        self.normalize.to(device=device_of(model), dtype=dtype_of(model))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.model(self.normalize(images))
        return out

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            if name in self.__dict__.get("_modules", {}).get("model", nn.Module())._modules:
                raise AttributeError(f"{error}. The network inside has it: .model.{name}") from None
            raise


def check_module(model: object) -> None:
    """Refuse what is no network, such as a class, a function or a dictionary of weights.

    Raises:
        BadInputError: it is none.
    """
    if isinstance(model, nn.Module):
        return
    if isinstance(model, type):
        remedy = f"Make one of the class: {model.__name__}(...)."
    elif isinstance(model, Mapping):
        remedy = "These seem to be its weights: make the network, and give them to its load_state_dict."
    else:
        remedy = "Put it into the forward of one."
    raise BadInputError(f"A model has to be a torch.nn.Module, not {type(model).__name__}. {remedy}")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside its normalization; any other model as it is.

    Raises:
        BadInputError: it is no network.
    """
    check_module(model)
    return model.model if isinstance(model, Normalized) else model


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's weights, or of its buffers; the CPU if it has none."""
    check_module(model)
    tensor: Tensor | None = next(model.parameters(), None)
    tensor = next(model.buffers(), None) if tensor is None else tensor
    return torch.device("cpu") if tensor is None else tensor.device


def dtype_of(model: nn.Module) -> torch.dtype:
    """Return the floating type of most of a model's weights, which is what its images have to have; float32 without.

    The first weight would not do: it may be a counter, or a scale that is kept in another precision.
    """
    count: Counter[torch.dtype] = Counter()
    for weight in model.parameters():
        if weight.is_floating_point():
            count[weight.dtype] += weight.numel()
    return count.most_common(1)[0][0] if count else torch.float32


def _own_show(model: nn.Module, channels: int) -> Show | None:
    """Return how a network itself shows its images.

    Raises:
        BadInputError: it says that these have another number of channels.
    """
    own = getattr(model, "inputs", None)
    if not isinstance(own, Inputs):
        return None
    if own.channels != channels:
        raise BadInputError(
            f"The network takes {own.channels} channels, as its `inputs` say, and the mean has {channels} numbers."
        )
    return own.show


def _check_network(model: nn.Module) -> None:
    check_module(model)
    found = next((layer for layer in model.modules() if isinstance(layer, Normalize)), None)
    if found is not None:
        mean = [round(value, 3) for value in found.mean.flatten().tolist()]
        raise BadInputError(
            f"The network normalizes its images already, with the mean {mean}. Take it as it is."
        )


def _texts(names: object) -> tuple[str, ...]:
    given = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str | Mapping) else None
    if names is None or (given is not None and all(isinstance(name, str) for name in given)):
        return given or ()
    raise BadInputError(
        f"Class names are a sequence of texts in the order of the outputs, such as ['cat', 'dog']; got "
        f"{type(names).__name__}: {names!r:.80}."
    )
