"""A fast, frozen copy of a network: batch norm folded into the convolutions, channels_last, no gradients for weights.

In eval mode a batch norm is a scale and an offset for each channel, which the convolution before it can do as well:
gamma (W x + b - mean) / s + beta = (gamma / s W) x + gamma / s (b - mean) + beta, with s = sqrt(variance + epsilon).
"""

from __future__ import annotations

import contextlib
import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interp import hooks
from interp.errors import BadInputError, UnknownNameError

TOLERANCE = 1e-3  # of the largest output: more than rounding, far less than a wrong pair
SIDES = (64, 224)  # of the images that are sent through: a small one, and the one that fixed sizes mostly are
Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


def fold(model: nn.Module, *, keep: Collection[str] = (), probe: int | None = None) -> nn.Module:
    """Return a copy of a network that computes the same, faster: eval mode, float32, frozen, folded, channels_last.

    A random image is sent through the copy. A convolution and a batch norm become one if the norm takes just what the
    convolution gives, nobody else takes it, and the one alone computes what both did; everything else stays as it is.

    Args:
        model: any network that takes images (N, C, H, W) in [0, 1]; it is left as it was.
        keep: names of layers whose own output is looked at, so that it stays as it is.
        probe: the side of the square image; None tries 64 and then 224. A network that takes no such image, or fails
            on it in whatever way, is not folded.

    Raises:
        BadInputError: the network cannot be copied, or it is a TorchScript program.
    """
    hooks.check_layers_can_be_heard(model)
    plain = copied(model).float().eval().requires_grad_(False)
    looked_at = list(_found(plain, keep))
    for conv, norm in _pairs(plain, SIDES if probe is None else (probe,)):
        if not any(_ends_between(layer, conv, norm) for layer in looked_at):
            _fold_pair(plain, conv, norm)
    return plain.to(memory_format=torch.channels_last)


def _found(model: nn.Module, names: Collection[str]) -> Iterator[nn.Module]:
    """Yield the layers of these names; a name of none, such as that of the output in an objective, is passed over."""
    for name in names:
        with contextlib.suppress(UnknownNameError):
            yield hooks.find_layer(model, name)


# ------------------------------------------------------------------------------------------------------------
# Copies


def copied(model: nn.Module) -> nn.Module:
    """Return a copy of a network, also of one that keeps tensors with their graphs, locks or loggers on itself.

    The tensors are copied without their graphs; what cannot be copied at all is shared with the original.

    Raises:
        BadInputError: a layer cannot be copied.
    """
    # Tensors made in inference mode could never have gradients.
    with torch.inference_mode(False), _WithoutGraphs():
        try:
            return copy.deepcopy(model)
        except Exception:  # whatever an attribute raises that was not made to be copied  # noqa: BLE001
            shared = {id(value): value for _, value in _attributes(model) if not _can_be_copied(value)}
            return _copied_but(model, shared)


def _copied_but(model: nn.Module, shared: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(model, {**shared})
    except Exception as error:
        raise BadInputError(f"The network {type(model).__name__} cannot be copied: {error}") from error


def _attributes(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of all layers, and their hooks one by one, but neither weights nor layers."""
    own = vars(nn.Module())
    for layer in model.modules():
        for name, value in vars(layer).items():
            if name not in own:
                yield name, value
            elif name not in ("_parameters", "_buffers", "_modules") and isinstance(value, Mapping):
                yield from ((name, hook) for hook in value.values())


def _can_be_copied(value: object) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:  # as above  # noqa: BLE001
        return False
    return True


class _WithoutGraphs(TorchFunctionMode):
    """Lets tensors be copied that are inside a graph, as a network's `self.features = ...` leaves them behind."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not Tensor.__deepcopy__ or args[0].is_leaf:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        return memo.setdefault(id(tensor), tensor.detach().clone())


# ------------------------------------------------------------------------------------------------------------
# Pairs


def _pairs(model: nn.Module, sides: Collection[int]) -> list[Pair]:
    """Return the convolutions and batch norms that follow one another, and on which nothing else hangs."""
    layers = [layer for layer in model.modules() if _is_plain(layer)]
    holders = Counter(id(weight) for layer in model.modules() for weight in layer._parameters.values())
    convs = {id(layer.weight): layer for layer in layers if isinstance(layer, nn.Conv2d)}
    convs = {weight: conv for weight, conv in convs.items() if holders[weight] == 1}  # two may share one
    # The exact type: subclasses of batch norm often carry an activation.
    norms = {id(layer.running_mean): layer for layer in layers if type(layer) is nn.BatchNorm2d}
    flow = _flow(model, [conv.weight for conv in convs.values()], sides) if convs and norms else None
    found = []
    for weight, takers in flow.takers.items() if flow else ():
        norm = next(iter(takers))
        if len(takers) == 1 and norm in norms and flow and flow.givers[norm] == {weight}:
            found.append((convs[weight], norms[norm]))
    return found


def _is_plain(layer: nn.Module) -> bool:
    """Return whether a layer computes with a weight of its own, and no hook can change what it gives."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer)
    weighed = "weight" in layer._parameters and getattr(layer, "running_mean", True) is not None
    return weighed and not hooked


class _Flow(TorchFunctionMode):
    """Notes who takes what the convolutions give.

    Attributes:
        takers: {id of a convolution's weight: {id of the running mean of a norm that takes its output, or None}}.
        givers: {id of a norm's running mean: {id of the weight of the convolution whose output it takes, or None}}.
    """

    def __init__(self, weights: Collection[Tensor]) -> None:
        super().__init__()
        self.takers: dict[int, set[int | None]] = defaultdict(set)
        self.givers: dict[int, set[int | None]] = defaultdict(set)
        self.weights = {id(weight): id(weight) for weight in weights}  # and what was made of them
        self.outputs: dict[int, int] = {}  # {id of an output: id of the weight}
        self.alive: list[object] = []  # an id belongs to a tensor as long as it lives

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [*args, *kwargs.values()]
        if func is F.batch_norm:
            images, mean = given[0], args[1] if len(args) > 1 else kwargs["running_mean"]
            self.givers[id(mean)].add(self.outputs.get(id(images)))
            self.take(images, id(mean))
        elif isinstance(result, Tensor) or func.__name__ not in ("__get__", "dim", "size"):
            self.take(given, None)
        if isinstance(result, Tensor):
            self._trace(result, given, self.outputs if func is F.conv2d else self.weights)
        return result

    def _trace(self, result: Tensor, given: list[Any], made: dict[int, int]) -> None:
        # A convolution may pad its weight first, as EfficientNet-Lite0 does.
        weights = [self.weights[id(value)] for value in given if id(value) in self.weights]
        if weights:
            made[id(result)] = weights[0]
            self.alive.append(result)

    def take(self, values: object, taker: int | None) -> None:
        """Note that somebody takes what some values hold."""
        for tensor in _tensors(values):
            if id(tensor) in self.outputs:
                self.takers[self.outputs[id(tensor)]].add(taker)


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield the tensors in collections and in the attributes of objects."""
    if isinstance(value, Tensor):
        yield value
        return
    inside: Any = value if isinstance(value, list | tuple | set) else getattr(value, "__dict__", {})
    for one in inside.values() if isinstance(inside, Mapping) else inside:
        yield from _tensors(one)
    if isinstance(value, Mapping):
        yield from _tensors(list(value.values()))


@torch.no_grad()
def _flow(model: nn.Module, weights: Sequence[Tensor], sides: Collection[int]) -> _Flow | None:
    """Return what was seen of one random image on its way; None if the model takes it at none of the sides."""
    channels = hooks.inputs_of(model).channels
    for side in sides:
        seeded = torch.Generator().manual_seed(0)
        random = torch.rand(1, channels, side, side, generator=seeded, dtype=torch.float32)
        flow = _Flow(weights)
        try:
            with flow:
                output = model(random.to(hooks.device_of(model)))
        except Exception:  # a foreign forward raises whatever it likes  # noqa: BLE001
            continue
        flow.take(output, None)
        return flow
    return None


def _ends_between(layer: nn.Module, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Return whether a layer gives what the convolution gives, before the norm."""
    inside = set(layer.modules())
    return conv in inside and norm not in inside


def _fold_pair(model: nn.Module, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give the convolution the norm's work, where it then computes what both did."""
    folded = _folded(conv, norm)
    if _same(conv, norm, folded):
        conv.weight, conv.bias = folded.weight, folded.bias
        for parent in list(model.modules()):
            for name, child in list(parent._modules.items()):
                if child is norm:
                    setattr(parent, name, nn.Identity())


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    # The same convolution with other weights, so that subclasses keep their own padding.
    folded = copy.deepcopy(conv)
    conv, norm = copy.deepcopy(conv).cpu(), copy.deepcopy(norm).cpu()  # not every device knows float64
    mean, variance = torch.as_tensor(norm.running_mean), torch.as_tensor(norm.running_var)
    factor = (variance.double() + norm.eps).rsqrt()
    if norm.affine:
        factor = factor * norm.weight
    offset = -mean if conv.bias is None else conv.bias - mean
    folded.weight = _frozen(conv.weight * factor.view(-1, 1, 1, 1), folded.weight.device)
    folded.bias = _frozen(offset * factor + (norm.bias if norm.affine else 0), folded.weight.device)
    return folded


def _frozen(values: Tensor, device: torch.device) -> nn.Parameter:
    return nn.Parameter(values.float().to(device), requires_grad=False)


@torch.no_grad()
def _same(conv: nn.Conv2d, norm: nn.BatchNorm2d, folded: nn.Conv2d) -> bool:
    """Return whether the folded convolution computes what both layers do; infinite and NaN values are not the same."""
    sides = [
        2 * dilation * (kernel - 1) + 1
        for dilation, kernel in zip(conv.dilation, conv.kernel_size, strict=True)
    ]
    random = torch.randn(
        1, conv.in_channels, *sides, generator=torch.Generator().manual_seed(0), dtype=torch.float32
    )
    random = random.to(conv.weight.device)
    try:
        before, after = norm(conv(random)), folded(random)
    except Exception:  # as above  # noqa: BLE001
        return False
    return before.shape == after.shape and bool(
        (before - after).abs().max() <= TOLERANCE * before.abs().max()
    )
