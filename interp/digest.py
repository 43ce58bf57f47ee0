"""The hash of a value's content: equal content gives an equal hash in every process, on every machine.

Code counts as content: a function is its source and what it can reach, a network its classes and weights.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
import platform
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.errors import BadInputError
from interp.fingerprint import PACKAGE, file_digest, fingerprint, global_names, version

Parts = Iterable[object]


def digest(value: object) -> str:
    """Return the SHA-256 of a value's content as 64 hexadecimal digits.

    >>> digest([1, "a"]) == digest([1, "a"]), digest(1) == digest(1.0), digest((1, 2)) == digest([1, 2])
    (True, False, False)

    Raises:
        BadInputError: the content of an object cannot be told.
    """
    return _Digest().of(value).hex()


@dataclasses.dataclass(frozen=True)
class _Setting:
    """A layer's attribute: counts by its class alone where its content cannot be told; the weights say the rest."""

    value: object


class _Digest:
    """One walk over a value; knows the values above the one it stands on, so that a cycle ends."""

    def __init__(self) -> None:
        self.above: dict[int, int] = {}

    def of(self, value: object) -> bytes:
        if isinstance(value, _Setting):
            return self._of_setting(value.value)
        if id(value) in self.above:
            return f"{len(self.above) - self.above[id(value)]} above".encode()
        self.above[id(value)] = len(self.above)
        try:
            return self._joined(_kind(value), _parts(value))
        finally:
            del self.above[id(value)]

    def _joined(self, kind: str, parts: bytes | Parts) -> bytes:
        found = hashlib.sha256(kind.encode() + b"\0")
        if isinstance(parts, bytes):
            found.update(parts)
            return found.digest()
        pieces = [self.of(part) for part in parts]
        for piece in sorted(pieces) if kind in _UNORDERED else pieces:
            found.update(piece)
        return found.digest()

    def _of_setting(self, value: object) -> bytes:
        try:
            return self.of(value)
        except BadInputError:
            return _kind(value).encode()


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _parts(value: object) -> bytes | Parts:
    """Return a value's content as bytes, or as the values that it is made of."""
    for types_, parts in _RULES:
        if isinstance(value, types_):
            return parts(value)
    if dataclasses.is_dataclass(value):
        fields = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return [type(value), *fields]
    if _is_plain_object(value):
        return [type(value), vars(value)]
    raise BadInputError(
        f"The content of a {_kind(value)} cannot be told, so it cannot be part of a key. Pass numbers, strings, "
        "tensors, networks, paths, functions, or dataclasses and collections of these."
    )


def _is_plain_object(value: object) -> bool:
    """Tell whether the attributes say everything: all classes are written in Python, without slots."""
    kinds = type(value).__mro__[:-1]
    heap = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the class was made by a class statement
    return hasattr(value, "__dict__") and all(
        kind.__flags__ & heap and "__slots__" not in vars(kind) for kind in kinds
    )


def _of_tensor(value: Tensor) -> Parts:
    plain = value.detach().cpu().contiguous()
    if plain.is_sparse or plain.is_quantized:
        raise BadInputError("A sparse or quantized tensor cannot be part of a key; pass a dense one.")
    return [
        str(value.dtype),
        tuple(value.shape),
        value.device.type,
        plain.reshape(-1).view(torch.uint8).numpy().tobytes(),
    ]


def _of_array(value: np.ndarray | np.generic) -> Parts:
    array = np.asarray(value)
    if array.dtype.hasobject:
        return [array.shape, array.tolist()]
    return [str(array.dtype), array.shape, np.ascontiguousarray(array).tobytes()]


def _of_model(model: nn.Module) -> Parts:
    """Tell a network by its classes, settings, weights and buffers, also those that no state dict holds."""
    parts: list[object] = []
    for name, layer in model.named_modules():
        settings = {key: _Setting(value) for key, value in vars(layer).items() if not key.startswith("_")}
        tensors = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        parts.append((name, type(layer), settings, tensors))
    return parts


def _of_path(path: Path) -> Parts:
    if path.is_dir():
        return [(str(file.relative_to(path)), file) for file in sorted(path.rglob("*")) if file.is_file()]
    if not path.is_file():
        raise BadInputError(f"There is no file {str(path)!r}, so its content cannot be part of a key.")
    return [file_digest(path)]


# ------------------------------------------------------------------------------------------------------------
# Code


def _of_function(function: types.FunctionType) -> Parts:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    settings = [function.__qualname__, function.__defaults__, function.__kwdefaults__, cells]
    return [*settings, _source(function), _of_origin(function) if _has_file(function) else _reached(function)]


def _has_file(value: object) -> bool:
    """Tell whether a function or class comes from a module file, whose text then says all that it can reach."""
    return getattr(sys.modules.get(getattr(value, "__module__", "")), "__file__", None) is not None


def _reached(function: types.FunctionType) -> list[object]:
    """Return the global values that a function from a notebook cell names: what it computes depends on them."""
    names = sorted(global_names(function.__code__) & function.__globals__.keys())
    return [(name, function.__globals__[name]) for name in names]


def _of_origin(value: object) -> str:
    """Return a fingerprint of the module that a function or class comes from."""
    return _of_module_named(str(getattr(value, "__module__", "")))


def _of_module_named(name: str) -> str:
    """Return a hash of a module's text and all that it imports from here; for others' modules their version."""
    top = name.split(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    if name == PACKAGE.name:
        return fingerprint("\n".join(_all_imports()))
    if top == PACKAGE.name:
        return fingerprint(f"import {name}")
    if not file.endswith(".py") or top in sys.stdlib_module_names or version(top) != "missing":
        return f"{platform.python_version()} {top}=={version(top)}"
    text = Path(file).read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest() + fingerprint(text)


def _all_imports() -> list[str]:
    """Return an import line for every module here: `import interp.zoo` and then `interp.zoo.x` can reach any."""
    files = PACKAGE.rglob("*.py")
    return sorted(
        "import " + ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files
    )


def _source(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):
        return ""


def _of_class(kind: type) -> Parts:
    if _has_file(kind):
        return [kind.__qualname__, _of_origin(kind)]
    if kind.__module__ == "builtins":
        return [kind.__qualname__]
    return [kind.__qualname__, _source(kind), [base for base in kind.__bases__ if base is not object]]


def _of_module(module: types.ModuleType) -> Parts:
    return [module.__name__, _of_module_named(module.__name__)]


def _of_builtin(function: Any) -> Parts:
    bound = getattr(function, "__self__", None)
    owner = [] if bound is None or isinstance(bound, types.ModuleType) else [bound]
    module = str(getattr(function, "__module__", None) or "builtins")
    return [function.__qualname__, module, version(module.split(".")[0]), *owner]


_UNORDERED = ("builtins.dict", "builtins.set", "builtins.frozenset")
_RULES: Sequence[tuple[Any, Callable[[Any], bytes | Parts]]] = [
    ((bytes, bytearray), bytes),
    ((type(None), bool, int, float, complex, str, range, slice), lambda value: repr(value).encode()),
    ((torch.dtype, torch.device, torch.layout, torch.memory_format), lambda value: str(value).encode()),
    (enum.Enum, lambda value: [type(value), value.name]),
    (Tensor, _of_tensor),
    (torch.Generator, lambda value: [value.get_state()]),
    ((np.ndarray, np.generic), _of_array),
    (nn.Module, _of_model),
    (Path, _of_path),
    ((list, tuple), list),
    ((dict, Mapping), lambda value: list(value.items())),
    (AbstractSet, list),
    (functools.partial, lambda value: [value.func, value.args, value.keywords]),
    (types.MethodType, lambda value: [value.__func__, value.__self__]),
    (types.FunctionType, _of_function),
    ((types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType), _of_builtin),
    (type, _of_class),
    (types.ModuleType, _of_module),
]
