"""Bend the gradient that goes backwards through layers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interp.errors import BadInputError
from interp.hooks.names import check_layers_can_be_heard, switched_off

# Functions that do what a layer does, and whether they do it in place.
FUNCTIONS: Mapping[type[nn.Module], Mapping[Any, bool]] = {
    nn.ReLU: {
        F.relu: False, torch.relu: False, Tensor.relu: False, torch.relu_: True, Tensor.relu_: True,
    },
    nn.ReLU6: {F.relu6: False},
}  # fmt: skip


# Takes the gradient at the input, that at the output, and where the output is positive; returns what to pass on.
Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
RECTIFIERS = (nn.ReLU, nn.ReLU6)


@contextlib.contextmanager
def gradient_rule(
    model: nn.Module, types: tuple[type[nn.Module], ...], rule: Callable[[Tensor, Tensor], Tensor]
) -> Iterator[None]:
    """Bend the gradient that leaves every layer of the given types backwards, inside the `with` block.

    Forward and backward pass both belong into the block. Rectifiers that the network calls as functions (F.relu,
    torch.relu, x.relu(), F.relu6) count as layers of their type; any other function keeps its own gradient.

    Args:
        model: any network.
        types: classes of layers, such as (nn.ReLU, nn.ReLU6).
        rule: gets (gradient at the input, gradient at the output) and returns the gradient to pass on.

    Raises:
        BadInputError: (at the end of the block) no layer of these types ran.
    """
    with _bending(model, types, lambda inner, outer, _: rule(inner, outer)) as bends:
        yield
    if not bends.count:
        names = ", ".join(kind.__name__ for kind in types)
        raise BadInputError(
            f"No layer of the types {names} runs in the model, nor a function that does the same."
        )


@contextlib.contextmanager
def redirected(model: nn.Module) -> Iterator[None]:
    """Give a way up to what is dead: let gradient through rectifiers that let none through, inside the `with` block.

    A ReLU passes no gradient where its input is negative, a ReLU6 none above 6 either. Where a layer passes nothing at
    all for an image, what comes from behind goes through after all, as far as it leads back from the stop: up from
    below 0, down from above 6. Whatever passes by itself stays as it is. The gradient is taken for something to be made
    larger. After Lucid (Olah, Mordvintsev and Schubert, 2017), `redirected_relu_grad` and its twin for ReLU6.

    Args:
        model: any network; one without rectifiers is not changed.
    """
    with _bending(model, RECTIFIERS, _redirect):
        yield


def _redirect(inner: Tensor, outer: Tensor, positive: Tensor) -> Tensor:
    passes = (inner != 0).flatten(1).any(1).view(-1, *[1] * (inner.ndim - 1))
    back = torch.where(positive, outer.clamp(max=0), outer.clamp(min=0))
    return torch.where(passes, inner, back)


@contextlib.contextmanager
def _bending(model: nn.Module, types: tuple[type[nn.Module], ...], rule: Rule) -> Iterator[_Bends]:
    check_layers_can_be_heard(model)
    chosen = [layer for layer in model.modules() if isinstance(layer, types)]
    bends = _Bends(types, rule)
    with contextlib.ExitStack() as stack:
        in_place = [layer for layer in chosen if hasattr(layer, "inplace")]
        # Their input would not be there any more to hang a hook on.
        stack.enter_context(switched_off(in_place, "inplace"))
        for layer in chosen:
            stack.callback(layer.register_forward_pre_hook(bends.enter, with_kwargs=True).remove)
            stack.callback(layer.register_forward_hook(bends.leave).remove)
        stack.enter_context(bends)
        yield bends


class _Bends(TorchFunctionMode):
    """Hooks on the tensors around layers; unlike torch's hooks on modules they bear in-place operations behind them.

    As a mode it also sees the functions that do what a layer of these types does, in its own thread.
    """

    def __init__(self, types: tuple[type[nn.Module], ...], rule: Rule) -> None:
        super().__init__()
        self.rule, self.count, self.thread = rule, 0, threading.get_ident()
        # Of each layer that is under way: where its output is positive, and the gradient there.
        self.inside: list[list[Tensor]] = []
        functions = (FUNCTIONS.get(known, {}) for known in FUNCTIONS if issubclass(known, types))
        self.functions = {function: place for some in functions for function, place in some.items()}

    def enter(
        self, _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if threading.get_ident() != self.thread:
            return None
        outer: list[Tensor] = []
        self.inside.append(outer)
        if args:
            return (self._bent(args[0], outer), *args[1:]), kwargs or {}
        name, inner = next(iter((kwargs or {}).items()))
        return args, {**(kwargs or {}), name: self._bent(inner, outer)}

    def leave(self, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        if threading.get_ident() == self.thread:
            self._listen(output, self.inside.pop())

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self.functions or self.inside:
            return func(*args, **kwargs)
        given = [*args, *kwargs.values()]
        values = given[0]
        outer: list[Tensor] = []
        in_place = self.functions[func] or any(value is True for value in given[1:])
        # In place, the input itself is written to; the copy in front keeps what the hook needs.
        inner = self._bent(values.clone() if in_place else values, outer)
        output = (F.relu6 if func is F.relu6 else torch.relu)(inner)
        self._listen(output, outer)
        return values.copy_(output) if in_place else output

    def _bent(self, inner: Tensor, outer: list[Tensor]) -> Tensor:
        self.count += 1
        if inner.requires_grad:
            inner = inner.view_as(inner)  # what reaches the input on other ways keeps its gradient
            inner.register_hook(lambda gradient: self.rule(gradient, outer[1], outer[0]))  # type: ignore[no-untyped-call]
        return inner

    def _listen(self, output: Tensor, outer: list[Tensor]) -> None:
        if output.requires_grad:
            outer[:] = [output.detach() > 0]
            # In place: a second backward pass through the same graph comes with another gradient.
            output.register_hook(lambda gradient: outer.__setitem__(slice(1, None), [gradient]))  # type: ignore[no-untyped-call]
