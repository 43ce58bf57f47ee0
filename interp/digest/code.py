"""What code is made of: compiled functions, classes, modules, and whose they are."""

from __future__ import annotations

import dis
import functools
import importlib.util
import platform
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from interp.fingerprint import PACKAGE, fingerprint, version

Parts = Sequence[object]


class Setting:
    """What belongs to a network beside its weights: where its content cannot be told, its class counts alone."""

    def __init__(self, value: object) -> None:
        self.value = value


class Named:
    """What code reads by name."""

    def __init__(self, value: object) -> None:
        self.value = value


OWN, HERE, FOREIGN = "own", "here", "foreign"  # whose code it is: the user's, this package's, other packages'


@functools.cache
def _place(file: str) -> str:
    """Return whose a file of code is; what is no file, such as a notebook's cell, is the user's."""
    if file.startswith("<"):
        return FOREIGN if file.startswith("<frozen") else OWN
    path = Path(file).resolve()
    if path.is_relative_to(PACKAGE):
        return HERE
    return FOREIGN if any(path.is_relative_to(folder) for folder in _installed()) else OWN


@functools.cache
def _installed() -> tuple[Path, ...]:
    """Return the folders of Python's own modules and of what pip installs."""
    paths = sysconfig.get_paths()
    places = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(
        Path(place).resolve() for place in [*places, *site.getsitepackages(), site.getusersitepackages()]
    )


def home_of(value: Any) -> str:
    """Return whose a function, class or module is."""
    if isinstance(value, types.FunctionType):
        return _place(value.__code__.co_filename)
    name = value.__name__ if isinstance(value, types.ModuleType) else str(value.__module__)
    if name == "builtins" and isinstance(value, type):
        return FOREIGN if getattr(sys.modules[name], value.__qualname__, None) is value else OWN
    if name == "__main__":
        return OWN
    top = name.partition(".")[0]
    file = _file_of(sys.modules.get(name)) or _file_of(sys.modules.get(top))
    return _place(file) if file else FOREIGN if top in sys.stdlib_module_names else OWN


def _file_of(module: object) -> str | None:
    """Return the file of a module or of its spec; the folder of a package without a file; None without both."""
    file = getattr(module, "__file__", None) or getattr(module, "origin", None)
    folders = getattr(module, "__path__", None) or getattr(module, "submodule_search_locations", None)
    return file or next(iter(folders or ()), None)


@functools.cache
def _edition(module: str) -> str:
    """Return what stands for all code of a module of this package, or of others."""
    top = module.partition(".")[0]
    if module == PACKAGE.name:
        return fingerprint("\n".join(_all_imports()))
    if top == PACKAGE.name:
        return fingerprint(f"import {module}")
    return f"{platform.python_version()} {top}=={version(top)}"


def _all_imports() -> list[str]:
    """Return an import line for every module here: `import interp.zoo` and then `interp.zoo.x` can reach any."""
    files = PACKAGE.rglob("*.py")
    return sorted(
        "import " + ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files
    )


def of_function(function: types.FunctionType) -> Parts:
    """Return code, defaults, what it closes over, and the globals that it reads, or an edition of its package."""
    settings = [function.__qualname__, function.__code__, function.__defaults__, function.__kwdefaults__]
    cells = [cell.cell_contents for cell in function.__closure__ or () if not _is_empty(cell)]
    if home_of(function) == OWN:
        return [*settings, cells, vars(function), list(_reached(function.__code__, function.__globals__))]
    edition = _edition(str(function.__module__))
    # What others wrap counts where it can be told.
    return [*settings, edition, cells if home_of(function) == HERE else list(map(Setting, cells))]


def _is_empty(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is cell
    except ValueError:
        return True


def of_code(code: types.CodeType) -> Parts:
    """Return what compiled code does; not where it stands in which file."""
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return [code.co_qualname, code.co_code, code.co_consts, counts, names, code.co_exceptiontable]


def _reached(code: types.CodeType, places: dict[str, Any]) -> Iterator[tuple[str, Named]]:
    """Yield (name, value) of the globals that code reads, and of what it may read of the user's modules."""
    names, imports = _names(code, str(places.get("__package__") or ""))
    values = {name: places[name] for name in names["globals"] & places.keys()}
    values |= {f"import {name}": _imported(name) for name in imports if _is_own(name)}
    for name, value in sorted(values.items()):
        yield from _attributes(name, value, names["all"], set())


def _attributes(
    name: str, value: object, names: frozenset[str], seen: set[int]
) -> Iterator[tuple[str, Named]]:
    own = isinstance(value, types.ModuleType) and home_of(value) == OWN
    read = sorted(names & vars(value).keys()) if own else []
    if not read:  # no module of the user's, or one of which any attribute may be read
        yield name, Named(value)
    elif id(value) not in seen:
        for each in read:
            yield from _attributes(f"{name}.{each}", vars(value)[each], names, {*seen, id(value)})


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType, package: str) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """Return the names of globals and all names in code, and the modules that it imports; inner functions included."""
    read, every, imports, base = set[str](), set(code.co_names), set[str](), ""
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for place, step in enumerate(steps):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            read.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            level = steps[place - 2].argval
            base = _absolute(step.argval, package, level if isinstance(level, int) else 0)
            imports.add(base)
        elif step.opname == "IMPORT_FROM":  # which may be a module that nobody has imported yet
            imports.add(f"{base}.{step.argval}")
    for inner in (each for each in code.co_consts if isinstance(each, types.CodeType)):
        names, inner_imports = _names(inner, package)
        read, every, imports = read | names["globals"], every | names["all"], imports | inner_imports
    return {"globals": frozenset(read), "all": frozenset(every)}, frozenset(imports)


def _absolute(name: str, package: str, level: int) -> str:
    above = package.rsplit(".", level - 1)[0] if level else ""
    return f"{above}.{name}".strip(".")


def _is_own(name: str) -> bool:
    """Tell whether a module to be imported is the user's, without importing it."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == PACKAGE.name:
        return False
    try:
        found = sys.modules.get(top) or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    file = _file_of(found)
    return file is not None and _place(file) == OWN


def _imported(name: str) -> object:
    """Return a module that a function imports when it is called; the call would import it too."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # the call will say it  # noqa: BLE001
        return repr(error)


NOTED = (
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__qualname__",
)  # in every class, and nothing that it does


def of_class(kind: type) -> Parts:
    """Return name, bases and members of a class of the user's, name and edition of another one."""
    if home_of(kind) != OWN:
        return [kind.__qualname__, _edition(kind.__module__)]
    members = [(name, Named(value)) for name, value in sorted(vars(kind).items()) if _is_content(name, value)]
    return [kind.__qualname__, type(kind) is type or type(kind), kind.__bases__, members]


def _is_content(name: str, value: object) -> bool:
    """Leave out what Python itself notes in a class."""
    special = name.startswith("__") and name.endswith("__")
    if name == "_abc_impl" or isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType):
        return False
    if special and isinstance(value, bool | int | float | str):
        return name not in NOTED
    return not special or isinstance(value, types.FunctionType | staticmethod | classmethod | property)


def of_module(module: types.ModuleType) -> Parts:
    """Return everything in a module of the user's, the edition of another one."""
    if home_of(module) != OWN:
        return [module.__name__, _edition(module.__name__)]
    content = [
        (name, Setting(Named(value))) for name, value in sorted(vars(module).items()) if name[:2] != "__"
    ]
    return [module.__name__, content]


def of_builtin(function: Any) -> Parts:
    """Return name and edition of a function that was written in C, and what it is bound to."""
    bound = getattr(function, "__self__", None)
    owner = [] if bound is None or isinstance(bound, types.ModuleType) else [bound]
    module = str(getattr(function, "__module__", None) or "builtins")
    return [function.__qualname__, module, _edition(module), *owner]
