"""What `tools/run_claims.py` changes inside the kernel of a page: seeds, and the library that computes convolutions.

The package knows nothing of this: the functions' own default seeds are replaced from outside, in this process alone.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

# The scenes are not among them: the text speaks of these very scenes.
MODULES = (
    "interp.featurevis",
    "interp.attribution",
    "interp.zoo.training",
    "interp.zoo.simple_cnn",
    "interp.extras.lucent",
)


def without_onednn() -> None:
    """Let torch compute convolutions with its own code, here and in the processes that are started from here."""
    torch._C._set_mkldnn_enabled(False)
    folder, others = str(Path(__file__).with_name("without_onednn")), os.environ.get("PYTHONPATH", "")
    if folder not in others.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, others])


def shift(by: int) -> None:
    """Add a number to the default seed of every function that has one; 0 gives the functions their own again."""
    for function, name, seed in _seeds():
        if name in (function.__kwdefaults__ or {}):
            function.__kwdefaults__[name] = seed + by
        else:
            names = [
                one.name
                for one in _parameters(function)
                if one.default is not one.empty and one.kind != one.KEYWORD_ONLY
            ]
            defaults = list(function.__defaults__ or ())
            defaults[names.index(name)] = seed + by
            function.__defaults__ = tuple(defaults)


@functools.cache
def _seeds() -> list[tuple[Any, str, int]]:
    """Return (function, parameter, its own default) for every default seed."""
    found = {}
    for function in _functions():
        for one in _parameters(function):
            if one.name == "seed" and isinstance(one.default, int):
                found[id(function)] = (function, one.name, one.default)
    return list(found.values())


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _functions() -> Iterator[Any]:
    for module in _modules():
        for thing in vars(module).values():
            if inspect.isfunction(thing):
                yield inspect.unwrap(thing)
            elif inspect.isclass(thing) and thing.__module__.startswith("interp"):
                yield from (one for one in vars(thing).values() if inspect.isfunction(one))


def _modules() -> Iterator[Any]:
    for name in MODULES:
        module = importlib.import_module(name)
        yield module
        for part in pkgutil.iter_modules(getattr(module, "__path__", [])):
            yield importlib.import_module(f"{name}.{part.name}")


SEEDERS = {"manual_seed", "default_rng", "RandomState", "seed"}  # calls whose first argument is a seed


class Seeds(ast.NodeTransformer):
    """Adds a number to every seed that a call names: `seed=...`, `seeds=...`, `manual_seed(...)` and the like."""

    def __init__(self, by: int) -> None:
        self.by = by

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        for keyword in node.keywords:
            if keyword.arg in ("seed", "seeds"):
                keyword.value = self._shifted(keyword.value)
        if node.args and getattr(node.func, "attr", getattr(node.func, "id", "")) in SEEDERS:
            node.args[0] = self._shifted(node.args[0])
        return node

    def _shifted(self, value: ast.expr) -> ast.expr:
        if isinstance(value, ast.Constant) and value.value is None:
            return value
        if isinstance(value, ast.List | ast.Tuple):
            return type(value)([self._shifted(one) for one in value.elts], value.ctx)
        if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "range":
            first, last, *step = value.args if len(value.args) > 1 else [ast.Constant(0), *value.args]
            return ast.Call(value.func, [self._shifted(first), self._shifted(last), *step], [])
        return ast.BinOp(value, ast.Add(), ast.Constant(self.by))


def with_other_seeds(source: str, by: int) -> str:
    """Return Python source with a number added to the seeds that its calls name; a cell with a magic stays as it is.

    A seed that is given by its place alone is not seen.

    >>> with_other_seeds("render(model, seed=3)", 1000)
    'render(model, seed=3 + 1000)'
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    return ast.unparse(ast.fix_missing_locations(Seeds(by).visit(tree)))
