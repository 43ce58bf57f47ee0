"""The circuit of a unit: which kernels of a network its activations come from, found by pruning.

A kernel is the slice of a convolution's weight that leads from one channel to another, (kh, kw); a depthwise
convolution has one for each channel, a 1 x 1 convolution one number for each pair. Kernels with a small saliency for a
unit are set to 0 until the unit no longer does what it did. Hamblin, Konkle and Alvarez, 2022, https://arxiv.org/abs/2206.01627
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from interp import folding, hooks
from interp.attribution.passes import at_once, explaining
from interp.errors import BadInputError

Saliency = Mapping[str, Tensor]
SMALLEST = torch.finfo(torch.float32).tiny  # a saliency that is above 0 and below any that was found


@dataclass(frozen=True, eq=False)
class Circuit:
    """Which kernels are kept.

    Attributes:
        masks: {convolution: (out, in), True where the kernel is kept}; what is not named is kept whole.
        candidates: {convolution: (out, in), True where the kernel has any influence on the unit}.
    """

    masks: Mapping[str, Tensor] = field(repr=False)
    candidates: Mapping[str, Tensor] = field(repr=False)

    @classmethod
    def of(cls, saliency: Saliency, share: float) -> Circuit:
        """Keep the share of the kernels with the largest saliency, over all layers together.

        Args:
            saliency: {convolution: (out, in), from 0 upwards}. Kernels with exactly 0 are no candidates.
            share: from 0 to 1, of the candidates; 1 keeps every kernel of the network, candidate or not.

        Raises:
            BadInputError: the share is out of range, or there is no candidate.
        """
        candidates = {layer: values > 0 for layer, values in saliency.items()}
        count = sum(int(mask.sum()) for mask in candidates.values())
        if not 0 <= share <= 1 or not count:
            raise BadInputError(
                f"A share lies between 0 and 1, of at least one kernel with a saliency; got {share} of {count} kernels."
            )
        if share == 1:
            return cls({layer: torch.ones_like(mask) for layer, mask in candidates.items()}, candidates)
        flat = torch.cat([values.flatten() for values in saliency.values()])
        kept = torch.zeros_like(flat, dtype=torch.bool)
        # Sorted stably, so that ties are broken alike everywhere.
        kept[flat.argsort(descending=True, stable=True)[: round(share * count)]] = True
        parts = torch.split(kept, [values.numel() for values in saliency.values()])
        masks = {layer: part.view_as(saliency[layer]) for layer, part in zip(saliency, parts, strict=True)}
        return cls(masks, candidates)

    @property
    def count(self) -> int:
        """How many candidates are kept."""
        return sum(int((mask & self.candidates[layer]).sum()) for layer, mask in self.masks.items())

    @property
    def shares(self) -> dict[str, float]:
        """{convolution: the share of its candidates that is kept}."""
        pairs = {
            layer: (mask & self.candidates[layer], self.candidates[layer])
            for layer, mask in self.masks.items()
        }
        return {layer: (kept.sum() / some.sum().clamp(min=1)).item() for layer, (kept, some) in pairs.items()}

    def applied(self, model: nn.Module, *, balanced_on: Tensor | None = None) -> nn.Module:
        """Return a copy of the network, frozen, whose other kernels are 0; biases and norms stay.

        A channel without its kernels is left with its bias, which may be far from what it usually is: one that is
        switched off in all images comes on. With `balanced_on` each convolution gets a bias that keeps the mean of each
        of its channels, over these images and all positions, as in the whole network; only the differences are pruned.

        Args:
            model: the network in which the circuit was found.
            balanced_on: (N, C, H, W) in [0, 1], which go through the network together; None leaves the biases.

        Raises:
            UnknownNameError: the network has no such layer.
            BadInputError: a layer is no convolution with these kernels.
        """
        copy = folding.copied(model).eval().requires_grad_(False)
        for layer, mask in self.masks.items():
            weight = _convolution(copy, layer).weight
            if weight.shape[:2] != mask.shape:
                raise BadInputError(
                    f"The layer {layer!r} has {tuple(weight.shape[:2])} kernels, the circuit {tuple(mask.shape)}. It "
                    "belongs to another network."
                )
            weight.mul_(mask.to(weight)[:, :, None, None])
        if balanced_on is not None:
            _balance(copy, model, list(self.masks), balanced_on)
        return copy

    def overlap(self, other: Circuit, *, without: Collection[str] = ()) -> float:
        """Return the kernels of both circuits over those of either: 1 for equal ones, 0 for separate ones.

        Args:
            other: a circuit in the same network.
            without: convolutions that do not count. The last one before the units has separate kernels for each unit.

        Raises:
            BadInputError: neither circuit has a kernel in what counts.
        """
        layers = (self.masks.keys() | other.masks.keys()) - set(without)
        both = either = 0
        for layer in layers:
            a, b = (_kept(circuit, layer) for circuit in (self, other))
            both += int((a & b).sum()) if a.shape == b.shape else 0
            either += int((a | b).sum()) if a.shape == b.shape else int(a.sum() + b.sum())
        if not either:
            raise BadInputError(
                "Neither circuit keeps a kernel in the layers that count, so there is no overlap."
            )
        return both / either


@torch.no_grad()
def _balance(pruned: nn.Module, model: nn.Module, layers: list[str], images: Tensor) -> None:
    """Move the biases so that the mean of each channel is that of the whole network, first layers first."""
    hooks.check_images(model, images)
    whole = hooks.run(model, images, layers, then=_means)
    missing: dict[str, Tensor] = {}

    def moved(layer: str, output: Tensor) -> Tensor:
        missing[layer] = whole[layer] - _means(output)
        return output + missing[layer][:, None, None]

    # Later layers see what earlier ones give after their move, so that one pass is enough.
    with hooks.replacing(pruned, {layer: partial(moved, layer) for layer in layers}):
        hooks.run(pruned, images, layers)
    for layer, values in missing.items():
        found = _convolution(pruned, layer)
        bias = values if found.bias is None else found.bias + values
        found.bias = nn.Parameter(bias, requires_grad=False)


def _means(values: Tensor) -> Tensor:
    return values.mean(dim=(0, 2, 3))


def _kept(circuit: Circuit, layer: str) -> Tensor:
    none = torch.zeros(0, 0, dtype=torch.bool)
    return circuit.masks.get(layer, none) & circuit.candidates.get(layer, none)


def kernel_saliency(
    model: nn.Module, images: Tensor, layer: str, channel: int, *, circuit: Circuit | None = None
) -> dict[str, Tensor]:
    """Return how much each kernel matters for a unit: {convolution: (out, in)}, from 0 upwards.

    The unit's strength in an image is the sum of its absolute values over the positions. A weight's saliency is how
    fast that changes when the weight is scaled, the absolute value of weight times gradient (SNIP: Lee, Ajanthan and
    Torr, 2019, https://arxiv.org/abs/1810.02340); a kernel gets the mean over its weights, and over the images, each of
    which is asked by itself. Batch norm that is folded into its convolution changes nothing.

    Args:
        model: takes images in [0, 1]; it comes back as it was.
        images: (N, C, H, W) in [0, 1].
        layer, channel: the unit.
        circuit: ask in the network where only this circuit is left; what was pruned keeps the saliency that it would
            have if it came back (FORCE: de Jorge et al., 2021, https://arxiv.org/abs/2006.09081).

    Raises:
        UnknownNameError: there is no such layer.
        BadInputError: there is no such channel, or no convolution in front of it.
    """
    hooks.check_images(model, images)
    copy = folding.copied(model) if circuit is None else circuit.applied(model)
    originals = _weights(model)
    weights = _weights(copy.requires_grad_(False).eval())
    for weight in weights.values():
        weight.requires_grad_()
    total: dict[str, Tensor] = {}
    with explaining(copy):
        for one in torch.split(images, 1):
            maps = _unit_maps(hooks.run(copy, one.detach(), [layer])[layer], layer, channel)
            if not maps.requires_grad:
                raise BadInputError(f"There is no convolution in front of {layer!r}, so it has no circuit.")
            found = torch.autograd.grad(maps.abs().sum(), list(weights.values()), allow_unused=True)
            for name, gradient in zip(weights, found, strict=True):
                if gradient is not None:
                    own = (originals[name] * gradient).abs().mean(dim=(2, 3)) / len(images)
                    total[name] = total.get(name, 0) + own
    return {name: values.detach() for name, values in total.items()}


def find_circuit(
    model: nn.Module, images: Tensor, layer: str, channel: int, *, share: float, steps: int = 1
) -> Circuit:
    """Return the circuit of a unit that keeps a share of the kernels.

    With one step all kernels are judged in the whole network (SNIP). With several, fewer and fewer are kept, in equal
    ratios, and each time all are judged anew in what is left, so that a kernel may come back (FORCE).

    Args:
        model, images, layer, channel: as for `kernel_saliency`.
        share: of the kernels with any influence, above 0 and up to 1.
        steps: how often the saliency is computed, from 1.

    Raises:
        BadInputError, UnknownNameError: as for `kernel_saliency`; the share or the steps are out of range.
    """
    if not 0 < share <= 1 or steps < 1:
        raise BadInputError(f"share lies above 0 and up to 1, steps starts at 1; got {share} and {steps}.")
    first = kernel_saliency(model, images, layer, channel)
    found = Circuit.of(first, share ** (1 / steps))
    for step in range(2, steps + 1):
        again = kernel_saliency(model, images, layer, channel, circuit=found)
        # The candidates stay those of the whole network: what died on the way gets the smallest saliency above 0.
        alive = {name: again[name].clamp(min=SMALLEST).where(first[name] > 0, 0) for name in first}
        found = Circuit.of(alive, share ** (step / steps))
    return found


def kernel_magnitude(model: nn.Module, saliency: Saliency) -> dict[str, Tensor]:
    """Return the mean absolute weight of each candidate instead of its saliency: a control that knows no unit."""
    return {
        name: _convolution(model, name).weight.detach().abs().mean(dim=(2, 3)).where(values > 0, 0)
        for name, values in saliency.items()
    }


def kernel_chance(saliency: Saliency, *, seed: int) -> dict[str, Tensor]:
    """Return a random number from 0 to 1 for each candidate instead of its saliency: a control that knows nothing."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: torch.rand(values.shape, generator=generator) for name, values in saliency.items()}
    return {
        name: (1 - values).to(saliency[name]).where(saliency[name] > 0, 0) for name, values in drawn.items()
    }


@torch.no_grad()
def agreement(model: nn.Module, pruned: nn.Module, images: Tensor, layer: str, channel: int) -> float:
    """Return the correlation of a unit's activations in two networks, over all positions of all images, from -1 to 1.

    A scale and an offset do not count. A unit that is constant in one of the networks has 0.

    Args:
        model, pruned: two networks with the same layer.
        images: (N, C, H, W) in [0, 1]; best such that had no part in finding a circuit.
        layer, channel: the unit.

    Raises:
        UnknownNameError: there is no such layer.
        BadInputError: there is no such channel, or the images do not fit.
    """
    whole, left = (
        torch.cat(
            [
                _unit_maps(hooks.activations(network, some, layer), layer, channel).flatten()
                for some in torch.split(images, at_once(images))
            ]
        ).double()
        for network in (model, pruned)
    )
    whole, left = whole - whole.mean(), left - left.mean()
    scale = whole.norm() * left.norm()
    return (whole @ left / scale).item() if scale > 0 else 0.0


def _unit_maps(values: Tensor, layer: str, channel: int) -> Tensor:
    if values.ndim not in (2, 4) or not 0 <= channel < values.shape[1]:
        raise BadInputError(
            f"The layer {layer!r} gives {tuple(values.shape)}; there is no channel {channel}. Units need (N, C) or "
            "(N, C, h, w), and are counted from 0."
        )
    return values[:, channel]


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: layer.weight for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}


def _convolution(model: nn.Module, layer: str) -> nn.Conv2d:
    found = hooks.find_layer(model, layer)
    if not isinstance(found, nn.Conv2d):
        raise BadInputError(f"The layer {layer!r} is {type(found).__name__}; kernels are those of a Conv2d.")
    return found
