"""What a piece of code depends on, as one hash: the modules of this package that it imports, data, versions.

The store asks it about functions, the book about pages: what an edit does not touch need not be computed again.
Nothing is imported or run here; imports are read from the source text, those inside functions included.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_PATH = re.compile(r"[\w][\w\-./]{0,200}|(\.\./)+[\w\-./]{1,200}")


def fingerprint(source: str, *, folder: Path | None = None, package: Path = PACKAGE) -> str:
    """Return a hash that changes when something that this source text depends on changes, its own text left out.

    It covers the modules of the package that the text imports, directly or through one another, the data files in these
    modules' folders, files that the text names, and the versions of Python and of every distribution that they import.

    Args:
        source: Python source text.
        folder: where relative file names in the text begin; None looks for none.
        package: the folder of the package.
    """
    files = modules(source, package=package)
    texts = [source, *(_text(path) for path in files.values())]
    data = {each for path in files.values() for each in data_files(path.parent)}
    found = hashlib.sha256(platform.python_version().encode())
    for path in sorted({*files.values(), *data, *(named_files(source, folder) if folder else ())}):
        _add_file(found, path, package)
    for line in sorted({f"{name}=={version(name)}" for text in texts for name in _foreign(text, package)}):
        found.update(line.encode())
    return found.hexdigest()


def data_files(folder: Path) -> list[Path]:
    """Return what lies in the folder of a module and below, and is no code; packages below have their own."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").is_file():
            found += data_files(path)
        elif path.is_file() and path.suffix not in (".py", ".pyc"):
            found.append(path)
    return [path for path in found if not path.name.startswith(".")]


def modules(source: str, *, package: Path = PACKAGE) -> dict[str, Path]:
    """Return {dotted name: file} of the package's modules that a source text imports, with all that these import."""
    found: dict[str, Path] = {}
    waiting = [(source, "")]
    while waiting:
        text, importer = waiting.pop()
        for name in imported_names(text, importer):
            path = _module_file(name, package)
            if path is not None and name not in found:
                found[name] = path
                # A relative import counts from the package that holds the module, or that the file is.
                holder = name if path.name == "__init__.py" else name.rpartition(".")[0]
                waiting.append((_text(path), holder))
    return dict(sorted(found.items()))


@functools.lru_cache(maxsize=1024)
def imported_names(source: str, holder: str = "") -> frozenset[str]:
    r"""Return the dotted names that a source text imports, with the packages above them.

    `from a import b` gives a and a.b, since b may be a module.

    >>> sorted(imported_names("import os.path\nfrom interp import image"))
    ['interp', 'interp.image', 'os', 'os.path']
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, holder)
            names.update({base} | {f"{base}.{alias.name}" for alias in node.names})
    return frozenset(parent for name in names for parent in _parents(name))


def _absolute(node: ast.ImportFrom, holder: str) -> str:
    if not node.level:
        return node.module or ""
    parts = holder.split(".")
    above = parts[: len(parts) - (node.level - 1)]
    return ".".join([*above, *([node.module] if node.module else [])])


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _module_file(name: str, package: Path) -> Path | None:
    if name.split(".")[0] != package.name:
        return None
    place = package.parent.joinpath(*name.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def named_files(source: str, folder: Path) -> tuple[Path, ...]:
    """Return the files that a page's text names, relative to its folder; a named folder gives all in it.

    Folders that hold the page's own folder, and folders of Python modules, are not data and are left out.
    """
    places = [folder / text for text in _names(source)]
    return tuple(sorted({path.resolve() for place in places for path in _named(place, folder)}))


@functools.lru_cache(maxsize=1024)
def _names(source: str) -> frozenset[str]:
    strings = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    return frozenset(text for text in strings if isinstance(text, str) and _PATH.fullmatch(text))


def _named(place: Path, folder: Path) -> list[Path]:
    if place.is_file() and place.suffix != ".py":
        return [place]
    if not place.is_dir() or folder.resolve().is_relative_to(place.resolve()) or any(place.glob("*.py")):
        return []
    return [path for path in sorted(place.rglob("*")) if path.is_file()]


def _add_file(found: hashlib._Hash, path: Path, package: Path) -> None:
    home = package.parent
    # Relative names, so that the same sources have the same fingerprint wherever they lie.
    name = path.relative_to(home).as_posix() if path.is_relative_to(home) else path.name
    found.update(f"\n{name}\n".encode(errors="surrogateescape"))
    found.update(file_digest(path))


def _text(path: Path) -> str:
    """Return a source text; a file that kept its size and time is not read again."""
    status = path.stat()
    return _kept_text(str(path), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1024)
def _kept_text(path: str, _time: int, _size: int) -> str:
    return Path(path).read_text(encoding="utf-8")


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file's content; a file that kept its size and time is not read again."""
    status = path.stat()
    return _file_digest(str(path), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4096)
def _file_digest(path: str, _time: int, _size: int) -> bytes:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


# ------------------------------------------------------------------------------------------------------------
# Versions


def _foreign(source: str, package: Path) -> set[str]:
    tops = {name.split(".")[0] for name in imported_names(source)}
    return tops - sys.stdlib_module_names - {package.name, ""}


@functools.lru_cache(maxsize=256)
def version(module: str) -> str:
    """Return the version of the distribution that brings an importable module, "missing" where none does.

    >>> version("no_such_module_anywhere")
    'missing'
    """
    names = _distributions().get(module, [module])
    try:
        return ",".join(importlib.metadata.version(name) for name in sorted(set(names)))
    except importlib.metadata.PackageNotFoundError:
        return "missing"


@functools.lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
