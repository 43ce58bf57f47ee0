"""The house keeps its plan: who imports whom, where hooks and matplotlib live, how long a function may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interp.fingerprint import imported_names

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "interp"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FUNCTION = 50
LONGEST_FILE = 400
MOST_PARAMETERS = 7
CORE = ["image", "hooks", "folding", "store", "attribution", "featurevis", "spectrum", "dictionaries", "zoo"]
# What the core must not bring along: the drawing layer, the extras, and what makes an import slow.
HEAVY = [
    "matplotlib",
    "torchvision",
    "timm",
    "skimage",
    "sklearn",
    "lucent",
    "captum",
    "wandb",
    "ray",
    "datasets",
    "onnx",
    "onnxscript",
    "onnxruntime",
]
# Hosts of registries and model stores, and paths that exist on one machine only.
HOSTS = r"files\.pythonhosted\.org|registry\.npm|registry\.yarn|deb\.debian\.org"
FORBIDDEN = re.compile(HOSTS + r"|/(?:home/\w+|Users/\w+|root)/|(?<![\w.])/(?:work)/")
LOADING = ("torch.load", "torch.hub.load_state_dict_from_url")
RUNNING = ("pickle.load", "pickle.loads", "eval", "exec")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of all calls, the last part of a dotted name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            yield node.lineno, str(name)


# ---- imports


def test_arrows_point_downwards() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def imported(code: str) -> set[str]:
    """Return the top-level modules of HEAVY that a fresh process has loaded after running some code."""
    program = f"{code}\nimport sys\nprint(*(set({HEAVY!r}) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def existing(names: list[str]) -> list[str]:
    return [name for name in names if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()]


def test_the_core_brings_neither_drawing_nor_extras() -> None:
    assert imported("".join(f"import interp.{name}\n" for name in existing(CORE))) == set()


def test_that_test_can_fail() -> None:
    assert imported("import interp.image, matplotlib") == {"matplotlib"}


def test_the_package_alone_does_not_import_torch() -> None:
    code = "import interp, sys; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "False"


# ---- habits


def test_hooks_are_registered_in_one_place() -> None:
    found = {
        relative(path.parent)
        for path in MODULES
        for _, name in calls(path)
        if re.fullmatch(r"register_.*hook", name)
    }
    assert found == {"interp/hooks"}


def test_no_pyplot() -> None:
    """pyplot keeps a state that is shared by all, and shows figures as a side effect."""
    found = [relative(path) for path in MODULES if "matplotlib.pyplot" in imported_names(path.read_text())]
    assert found == []


def test_no_print_and_no_assert() -> None:
    prints = [f"{relative(path)}:{line}" for path in MODULES for line, name in calls(path) if name == "print"]
    asserts = [
        relative(path) for path in MODULES for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)
    ]
    assert prints + asserts == []


def test_no_unsafe_loading() -> None:
    """Weights come from elsewhere: a pickle would run what it holds."""
    for path in MODULES:
        for node in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            name, options = (
                ast.unparse(node.func),
                {word.arg: ast.unparse(word.value) for word in node.keywords},
            )
            assert name not in LOADING or options.get("weights_only") == "True", (
                f"{relative(path)}:{node.lineno}"
            )
            # A process gets its work from the process that started it, as multiprocessing itself sends it.
            assert name not in RUNNING or path.name == "local.py", f"{relative(path)}:{node.lineno}"


def lengths(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (place, lines) of all functions, without docstring and decorators."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_text = ast.get_docstring(node, clean=False) is not None
            first = node.body[0].end_lineno + 1 if has_text and len(node.body) > 1 else node.lineno
            yield f"{relative(path)}:{node.name}", node.end_lineno - first + 1


def test_functions_are_short() -> None:
    places = [*MODULES, *(ROOT / "book" / "_ext").glob("*.py"), *(ROOT / "tools").glob("*.py")]
    long = {name: lines for path in places for name, lines in lengths(path) if lines > LONGEST_FUNCTION}
    assert long == {}
    every = sorted(lines for path in MODULES for _, lines in lengths(path))
    assert every[len(every) // 2] <= 10


def named_parameters(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the public functions of a file and how many parameters they name; a class is its fields' own place."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            count = len(named) - (bool(named) and named[0].arg in ("self", "cls"))
            yield f"{relative(path)}:{node.name}", count


def test_options_are_values() -> None:
    many = {name: count for path in MODULES for name, count in named_parameters(path)}
    assert {name: count for name, count in many.items() if count > MOST_PARAMETERS} == {}


def test_files_are_short() -> None:
    long = {relative(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FILE} == {}


def test_public_functions_say_what_they_do() -> None:
    silent = []
    for path in MODULES:
        for node in tree(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                silent += [] if ast.get_docstring(node) else [f"{relative(path)}:{node.name}"]
    assert silent == []


# ---- what is in the repository


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        try:
            yield relative(path), path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def test_no_registry_hosts_and_no_paths_of_one_machine() -> None:
    found = {name: match.group() for name, text in texts() if (match := FORBIDDEN.search(text))}
    assert found == {}


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+!]+", line)] == []
    names = [line.split("==")[0].lower() for line in lines]
    assert len(names) == len(set(names))


LARGE = {"interp/zoo/embedded/generator.safetensors": 8 << 20}  # weights that the project trained itself


def test_files_are_small() -> None:
    sizes = {relative(path): path.stat().st_size for path in tracked() if path.is_file()}
    assert {name: size for name, size in sizes.items() if size > LARGE.get(name, 3 << 20)} == {}
