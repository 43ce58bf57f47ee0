"""A store on disk for what took long to compute: the same function with the same arguments is computed once.

The key is made of content: the function's code, what it can reach of the user's own code and of this package, the
versions of Python and torch, and every argument, tensors and networks included. So an edit, another seed or other
weights give another key, and nothing stale is returned.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from filelock import FileLock
from torch import Tensor

from interp import runs
from interp.digest import digest
from interp.errors import BadInputError, UnwritableError

P = ParamSpec("P")
T = TypeVar("T")


class StoreWarning(UserWarning):
    """A result could not be kept, so it will be computed again."""


def folder() -> Path:
    """Return the store's folder: what the environment variable INTERP_CACHE names, else ~/.cache/interp."""
    return Path(os.environ.get("INTERP_CACHE") or Path.home() / ".cache" / "interp")


def remember(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `function(*args, **kwargs)`, from disk if it was computed before.

    The result is always what was written and read back, also the first time: tensors are detached, on the CPU, and
    share no memory. Of two processes that ask at once, one computes and the other waits. A damaged file is a miss.

    Args:
        function: any function, also one from a notebook cell; it must depend on nothing but its arguments, constants
            and code (no clock, no global random state, no file that is not an argument).
        args, kwargs: numbers, strings, tensors, arrays, networks, paths (by the file's content), functions, and
            objects, lists, tuples, dicts and sets of these.

    Raises:
        BadInputError: an argument's content cannot be told, or the result holds something else than tensors, numbers,
            strings, None, and dicts, lists and tuples of these.
        UnwritableError: there can be no folder for the store.

    Warns:
        StoreWarning: the disk is full, so that the result is not kept.
    """
    path = _path(function, args, kwargs)
    found = _read(path)
    if found is None:
        found = _computed(path, lambda: function(*args, **kwargs))
    result: T = found[0]
    return result


def prune(days: float = 30) -> int:
    """Remove the results that were not asked for in so many days; return how many."""
    oldest, removed = time.time() - days * runs.DAY, 0
    for path in folder().glob("*.pt"):
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            if path.stat().st_mtime < oldest:
                path.unlink()
                path.with_suffix(".lock").unlink(missing_ok=True)
                removed += 1
    runs.remove_leftovers(folder())
    return removed


def _path(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Path:
    name = re.sub(r"\W+", "-", getattr(function, "__name__", type(function).__name__)).strip("-")
    key = digest((function, args, kwargs, platform.python_version(), torch.__version__))
    return folder() / f"{name[:80] or 'function'}-{key[:40]}.pt"


def _computed(path: Path, compute: Callable[[], object]) -> tuple[Any]:
    """Compute and keep a result, unless another process has just done so; return it in a tuple of one."""
    lock = FileLock(path.with_suffix(".lock"))
    with runs.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        return _read(path) or _unpacked(_kept(path, _packed(compute())))
    finally:
        lock.release()


def _kept(path: Path, content: bytes) -> bytes:
    try:
        runs.write(path, runs.seal(content))
    except UnwritableError as error:  # what took an hour is not lost for it
        warnings.warn(f"A result could not be kept: {error}", StoreWarning, stacklevel=4)
    return content


def _read(path: Path) -> tuple[Any] | None:
    """Return the stored value in a tuple of one, or None where none can be read; note that it was used."""
    try:
        found = _unpacked(runs.unseal(path.read_bytes()))
    except Exception:  # whatever it is that a damaged file gives, it is not the result  # noqa: BLE001
        return None
    with contextlib.suppress(OSError):  # a store that can only be read
        os.utime(path)
    return found


def _packed(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(_plain(value), buffer)
    return buffer.getvalue()


def _unpacked(content: bytes) -> tuple[Any]:
    return (torch.load(io.BytesIO(content), map_location="cpu", weights_only=True),)


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
