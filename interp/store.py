"""A store on disk for what took long to compute: the same function with the same arguments is computed once.

The key is made of content: the function's source, the modules of this package that it uses, and every argument, tensors
and networks included. So an edit, another seed or other weights give another key, and nothing stale is ever returned.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from filelock import FileLock
from torch import Tensor

from interp import image
from interp.digest import digest
from interp.errors import BadInputError

P = ParamSpec("P")
T = TypeVar("T")


def folder() -> Path:
    """Return the store's folder: what the environment variable INTERP_CACHE names, else ~/.cache/interp."""
    return Path(os.environ.get("INTERP_CACHE") or Path.home() / ".cache" / "interp")


def remember(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `function(*args, **kwargs)`, from disk if it was computed before.

    The result is always what was written and read back, also the first time: tensors are detached, on the CPU, and
    share no memory. Of two processes that ask at once, one computes and the other waits. A damaged file is a miss.

    Args:
        function: any function, also one from a notebook cell; it must depend on nothing but its arguments, constants
            and code (no clock, no global random state).
        args, kwargs: numbers, strings, tensors, arrays, networks, paths (by the file's content), functions, and
            dataclasses, lists, tuples, dicts and sets of these.

    Raises:
        BadInputError: an argument's content cannot be told, or the result holds something else than tensors, numbers,
            strings, None, and dicts, lists and tuples of these.
    """
    path = _path(function, args, kwargs)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        found = _read(path)
        if found is None:
            _write(path, function(*args, **kwargs))
            found = _read(path)
    if found is None:
        raise BadInputError(f"{path} was written, but it cannot be read back. Is the disk full or failing?")
    result: T = found[0]
    return result


def _path(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Path:
    name = re.sub(r"\W+", "-", getattr(function, "__name__", type(function).__name__)).strip("-")
    return folder() / f"{name or 'function'}-{digest((function, args, kwargs))[:40]}.pt"


def _read(path: Path) -> tuple[Any] | None:
    """Return the stored value in a tuple of one, or None where there is none that can be read."""
    try:
        return (torch.load(path, map_location="cpu", weights_only=True),)
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ):
        return None


def _write(path: Path, value: object) -> None:
    with image.replacing(path) as temporary:
        torch.save(_plain(value), temporary)


def _plain(value: object) -> object:
    """Return the value with its tensors cut loose from graph, device and shared memory, or refuse it."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict) and type(value) is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    raise BadInputError(
        f"The store keeps tensors, numbers, strings, None, and dicts, lists and tuples of these; the result holds "
        f"{type(value).__name__}. Return its tensors and numbers instead."
    )
