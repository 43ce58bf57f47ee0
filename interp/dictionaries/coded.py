"""The codes of a dictionary as a layer of the network itself."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from interp import folding, hooks
from interp.dictionaries.dictionary import Dictionary
from interp.errors import BadInputError

FIRST = hooks.Layout()


class Coded(nn.Module):
    """A layer with the codes of a dictionary behind it.

    It gives what the layer gives, to the last bit, as long as nobody changes the codes. Where a hook does (see
    `hooks.replacing`), their change times the atoms is added, so that what the codes do not explain stays.

    Attributes:
        inside: the layer as it was.
        scores: a 1x1 convolution.
        rule: from scores to codes.
        codes: gives the codes on as they are: the place to read and change them.
        atoms: a 1x1 convolution from codes to activations.
    """

    def __init__(self, inside: nn.Module, dictionary: Dictionary, layout: hooks.Layout = FIRST) -> None:
        super().__init__()
        count, channels = dictionary.atoms.shape
        self.inside, self.layout = inside, layout
        self.scores = nn.Conv2d(channels, count, 1)
        self.rule, self.codes = copy.deepcopy(dictionary.rule), nn.Identity()
        self.atoms = nn.Conv2d(count, channels, 1, bias=False)
        with torch.no_grad():
            self.scores.weight.copy_(dictionary.weight[:, :, None, None])
            self.scores.bias.copy_(dictionary.bias)  # type: ignore[union-attr]
            self.atoms.weight.copy_(dictionary.atoms.T[:, :, None, None])
        self.training = inside.training

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        given: Tensor = self.inside(*args, **kwargs)
        maps = self._maps(given)
        found = self.rule(self.scores(maps))
        codes = self.codes(found)
        if codes is found:
            return given
        return self.layout.back(maps + self.atoms(codes - found), given)

    def _maps(self, given: Tensor) -> Tensor:
        if not isinstance(given, Tensor) or given.ndim < 3:
            told = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise BadInputError(f"Codes need a layer with channels and positions; this one gives {told}.")
        maps = self.layout.maps(given)
        if maps.shape[1] != self.scores.in_channels:
            raise BadInputError(
                f"The dictionary is one of {self.scores.in_channels} channels; this layer gives {tuple(given.shape)}, "
                f"held as {self.layout}."
            )
        return maps

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or "inside" not in self.__dict__.get("_modules", {}):
                raise
            return getattr(self._modules["inside"], name)  # what others know the layer to have


def with_codes(
    model: nn.Module, layer: str, dictionary: Dictionary, *, layout: hooks.Layout = FIRST
) -> nn.Module:
    """Return a copy of a network in which the codes of a dictionary are a layer, which computes just what it did.

    The codes (N, K, H, W) are the layer `LAYER.codes`, for LAYER = "blocks.3.2" that is "blocks.3.2.codes", and what
    they are made from by a 1x1 convolution alone `LAYER.scores`. All other layers can be named as before. What is
    read, rendered or tracked at these layers needs no more than their name; what `hooks.replacing` makes of the codes
    flows on.

    Args:
        model: any network; it is left as it was.
        layer: the one of whose activations the dictionary is.
        dictionary: of as many channels as the layer has.
        layout: how the layer holds its channels, as `hooks.layout(model, layer, images)` says it.

    Raises:
        UnknownNameError: the layer does not exist.
        BadInputError: the network cannot be copied; (on running) the layer has other channels, or no positions.
    """
    coded = folding.copied(model)
    old = hooks.find_layer(coded, layer)
    name = hooks.full_name(coded, layer)
    new = Coded(old, dictionary, layout).to(hooks.device_of(coded), hooks.dtype_of(coded))
    for parent in list(coded.modules()):
        for child, module in list(parent._modules.items()):
            if module is old and parent is not new:
                setattr(parent, child, new)
    if old is coded:
        raise BadInputError(
            "The codes go behind a layer inside the network; name one of `hooks.layer_names`."
        )
    _tell_layouts(coded, [f"{prefix}.{part}" for prefix in {layer, name} for part in ("rule", "codes")])
    return coded


def _tell_layouts(model: nn.Module, layers: list[str]) -> None:
    """Say that the codes hold channels first: those of one position cannot tell it themselves."""
    known = getattr(model, "layouts", None)
    first = dict.fromkeys(layers, FIRST)
    model.layouts = {**known, **first} if isinstance(known, dict) else first  # type: ignore[assignment]
