"""How a network is computed while it is looked at: precision and compilation, worth their cost on a GPU only."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from interp import hooks
from interp.errors import BadInputError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """How to compute. The default suits a CPU: there, compilation and half precision lose.

    Attributes:
        precision: of the convolutions and matrix products; images, objectives and the optimizer stay in float32.
        compiled: whether torch.compile is used for the parts of the network in which no layer is looked at. It takes
            minutes at first, so it pays for whole layers only.
        backend: of torch.compile.
    """

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compiled: bool = False
    backend: str = "inductor"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BadInputError(f"There is no precision {self.precision!r}; choose {', '.join(PRECISIONS)}.")

    def casting(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context in which the network runs."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)

    def prepared(self, network: nn.Module, layers: Collection[str]) -> nn.Module:
        """Compile, in place, what may be compiled; return the network."""
        if self.compiled:
            looked_at = [hooks.full_name(network, layer) for layer in layers]
            for name in compilable(network, looked_at):
                network.get_submodule(name).compile(backend=self.backend, dynamic=False)
        return network


def compilable(network: nn.Module, layers: Collection[str], prefix: str = "") -> list[str]:
    """Return the names of the largest parts that neither are nor hold one of the layers.

    A hook comes and goes with every step, and where one is, compiled code would have to be made again.
    """
    found = []
    for child, module in network.named_children():
        name = f"{prefix}{child}"
        if any(layer == name or layer.startswith(f"{name}.") for layer in layers):
            found += compilable(module, layers, f"{name}.")
        else:
            found.append(name)
    return found


PLAIN = Compute()
