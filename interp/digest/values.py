"""What values are made of: tensors, networks, collections, objects."""

from __future__ import annotations

import copyreg
import enum
import functools
import hashlib
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.digest.code import Parts, Setting, of_builtin, of_class, of_code, of_function, of_module
from interp.errors import BadInputError
from interp.fingerprint import file_digest


def parts_of(value: object) -> Parts:
    """Return the values that a value is made of."""
    exact = _EXACT.get(type(value))
    rule = exact or next((parts for kinds, parts in _RULES if isinstance(value, kinds)), _of_object)
    return rule(value)


COMPILERS = ("torch._dynamo", "torch._inductor")  # what they keep says how code runs, not what it gives


def _of_object(value: object) -> Parts:
    """Return what a copy of an object would be made from, as `pickle` and `copy` ask for it."""
    if str(type(value).__module__).startswith(COMPILERS):
        return []
    reducer = copyreg.dispatch_table.get(type(value))
    try:
        found: Any = reducer(value) if reducer else value.__reduce_ex__(4)
    except Exception as error:  # whatever the object's class says of it
        raise BadInputError(
            f"The content of a {type(value).__qualname__} cannot be told, so it cannot be part of a key ({error}). "
            "Pass numbers, strings, tensors, networks, paths, functions, or objects and collections of these."
        ) from error
    if isinstance(found, str):  # the one object of this name
        return [type(value), found]
    make, arguments, state, items, pairs = [*found[:5], None, None, None][:5]
    return [type(value), make, arguments, _state(value, state), list(items or ()), list(pairs or ())]


def _state(value: object, state: object) -> object:
    """Return an object's attributes by name; what it has only looked up once more is left out."""
    if type(state) is not dict or not all(isinstance(name, str) for name in state):
        return state
    kind = type(value)
    kept = (name for name in state if not isinstance(getattr(kind, name, None), functools.cached_property))
    return [(name, state[name]) for name in sorted(kept)]


def _of_set(value: set[object] | frozenset[object]) -> Parts:
    return [type(value), frozenset(value), getattr(value, "__dict__", None)]


def _of_tensor(value: Tensor) -> Parts:
    try:
        if value.is_quantized:
            return [str(value.qscheme()), value.int_repr(), value.dequantize()]
        dense = value.detach().to_dense() if value.layout != torch.strided else value.detach()
        plain = dense.resolve_conj().resolve_neg().cpu().contiguous()
        flat = plain.as_strided((plain.numel(),), (1,))  # a single value may keep any stride
        content = hashlib.sha256(flat.view(torch.uint8).numpy().data).digest()
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise BadInputError(
            f"The values of a tensor {tuple(value.shape)} on {value.device} cannot be read, so it cannot be part of a "
            f"key: {error}"
        ) from error
    return [str(value.dtype), str(value.layout), tuple(value.shape), value.device.type, content]


def _of_array(value: np.ndarray | np.generic) -> Parts:
    array = np.asarray(value)
    if array.dtype.hasobject:
        return [array.shape, array.tolist()]
    return [str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).digest()]


# What every module has besides its own attributes; a module that was compiled gives what it gave.
OF_MODULES = frozenset(vars(nn.Module())) - {"training"} | {"_compiled_call_impl"}
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def _of_model(model: nn.Module) -> Parts:
    """Tell a network by its layers' classes, attributes and hooks, by weights, and by all buffers."""
    layers = [(name, _of_layer(layer)) for name, layer in model.named_modules(remove_duplicate=False)]
    named = [model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)]
    tensors = {name: tensor for each in named for name, tensor in each}
    others = [(name, Setting(value)) for name, value in model.state_dict().items() if name not in tensors]
    return [layers, sorted(tensors.items()), others]


def _of_layer(layer: nn.Module) -> list[Setting]:
    kind, code = type(layer), _script(layer) if isinstance(layer, torch.jit.ScriptModule) else None
    settings = [(name, Setting(vars(layer)[name])) for name in sorted(vars(layer).keys() - OF_MODULES)]
    hooks = [list(vars(layer).get(name, {}).values()) for name in HOOKS]
    return [Setting(each) for each in (kind, code, settings, hooks)]


def _script(layer: Any) -> str:
    try:
        return str(layer.code)
    except (RuntimeError, AttributeError):  # a container without a forward pass
        return ""


def _of_path(path: Path) -> Parts:
    if path.is_dir():
        return [(str(file.relative_to(path)), file) for file in sorted(path.rglob("*")) if file.is_file()]
    if not path.is_file():
        raise BadInputError(f"There is no file {str(path)!r}, so its content cannot be part of a key.")
    return [file_digest(path)]


PLAIN = frozenset({type(None), bool, int, float, complex, str})
_EXACT: dict[type, Callable[[Any], Parts]] = {
    list: list,
    tuple: list,
    set: list,
    frozenset: list,
    dict: lambda value: list(value.items()),
    bytearray: lambda value: [bytes(value)],
    types.MappingProxyType: lambda value: list(value.items()),
    # Locks hold nothing that a result could depend on.
    type(threading.Lock()): lambda _: [],
    type(threading.RLock()): lambda _: [],
}
_RULES: Sequence[tuple[Any, Callable[[Any], Parts]]] = [
    (Tensor, _of_tensor),
    ((np.ndarray, np.generic), _of_array),
    (nn.Module, _of_model),
    ((set, frozenset), _of_set),
    ((torch.dtype, torch.device, torch.layout, torch.memory_format), lambda value: [str(value)]),
    (torch.Generator, lambda value: [value.get_state()]),
    (enum.Enum, lambda value: [type(value), value.name, value.value]),
    (Path, _of_path),
    (functools.partial, lambda value: [value.func, value.args, value.keywords]),
    (types.MethodType, lambda value: [value.__func__, value.__self__]),
    (types.FunctionType, of_function),
    (types.CodeType, of_code),
    ((staticmethod, classmethod), lambda value: [value.__func__]),
    (property, lambda value: [value.fget, value.fset, value.fdel]),
    (functools.cached_property, lambda value: [value.func]),
    (functools._lru_cache_wrapper, lambda value: [value.__wrapped__]),
    ((types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType), of_builtin),
    ((types.MethodDescriptorType, types.ClassMethodDescriptorType), of_builtin),
    (type, of_class),
    (types.ModuleType, of_module),
]
