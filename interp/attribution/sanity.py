"""The sanity check: a map that explains a network has to change when the network forgets what it learned.

Adebayo et al., 2018, https://arxiv.org/abs/1810.03292
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interp import folding, hooks
from interp.attribution.metrics import rank_correlation
from interp.attribution.targets import Target
from interp.errors import BadInputError

Method = Callable[[nn.Module, Tensor, Target], Tensor]


@dataclass(frozen=True)
class Cascade:
    """Maps of a network that is randomized layer by layer, from the top.

    Attributes:
        layers: the layers in the order in which they were randomized, L names.
        heat: (L + 1, N, H, W); first the map of the trained network, then one after each layer.
    """

    layers: tuple[str, ...]
    heat: Tensor

    @property
    def similarity(self) -> Tensor:
        """The rank correlation of each map's absolute values with those of the trained network, (L + 1, N)."""
        first = self.heat[0].abs()
        return torch.stack([rank_correlation(first, later.abs()) for later in self.heat])


def cascade(
    model: nn.Module,
    images: Tensor,
    target: Target,
    method: Method,
    layers: Sequence[str],
    *,
    seed: int = 0,
) -> Cascade:
    """Compute a map again and again while a copy of the network loses one more layer each time.

    Args:
        model: takes images in [0, 1], returns logits; it is left alone.
        images: (N, C, H, W) in [0, 1], such as the model takes.
        target: a class index or name, a list with one for each image, or a function of the logits.
        method: a function (model, images, target) -> (N, H, W), such as `saliency` or
            `functools.partial(grad_cam, layer="act_head")`.
        layers: from the top (the classifier) downwards; a name stands for all the weights inside.
        seed: of the random weights.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: a layer has no weights, or the method refuses its input.
    """
    heat = [method(model, images, target)]
    heat += [method(changed, images, target) for changed in randomized(model, layers, seed=seed)]
    return Cascade(tuple(layers), torch.stack(heat))


def randomized(model: nn.Module, layers: Sequence[str], *, seed: int = 0) -> Iterator[nn.Module]:
    """Yield one and the same copy of the model after each layer has lost its weights too.

    The numbers inside each weight tensor are shuffled: what was learned is gone, their distribution stays, so that
    activations neither explode nor die.

    Raises:
        UnknownNameError: a layer does not exist.
        BadInputError: a layer has no weights.
    """
    changed = folding.copied(model)
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        weights = list(hooks.find_layer(changed, layer).parameters())
        if not weights:
            raise BadInputError(f"The layer {layer!r} has no weights to randomize; choose another one.")
        for weight in weights:
            _shuffle(weight, generator)
        yield changed


@torch.no_grad()
def _shuffle(weight: Tensor, generator: torch.Generator) -> None:
    order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
    weight.copy_(weight.flatten()[order].view(weight.shape))
