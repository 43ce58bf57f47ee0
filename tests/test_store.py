"""The store computes once what is the same, and again what is not."""

from __future__ import annotations

import importlib
import io
import multiprocessing
import os
import random
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from interp import runs, store
from interp.errors import BadInputError, UnwritableError


class Log(list[object]):
    """A list that counts by its name alone, since what it holds decides no result."""

    def __reduce__(self) -> str:
        return "CALLS"


CALLS = Log()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "store"))
    CALLS.clear()
    return tmp_path / "store"


def work(value: Any, *, scale: float = 1.0) -> Any:
    CALLS.append(value)
    return {"scaled": torch.as_tensor(value) * scale, "named": ("a", 1, None, True, [0.5])}


# ---- remembering


def test_same_call_is_computed_once_and_returns_the_same() -> None:
    first, second = store.remember(work, 2.0, scale=3.0), store.remember(work, 2.0, scale=3.0)
    assert len(CALLS) == 1
    assert first["scaled"] == second["scaled"] == 6.0
    assert first["named"] == second["named"] == ("a", 1, None, True, [0.5])


@pytest.mark.parametrize(("value", "scale"), [(2.0, 4.0), (2, 3.0), (torch.tensor(2.0), 3.0)])
def test_another_argument_is_computed_anew(value: Any, scale: float) -> None:
    store.remember(work, 2.0, scale=3.0)
    store.remember(work, value, scale=scale)
    assert len(CALLS) == 2


def test_results_are_cut_loose() -> None:
    source = torch.ones(1000, requires_grad=True)
    found = store.remember(lambda tensor: tensor[:2] * 2, source)
    assert not found.requires_grad
    assert found.untyped_storage().nbytes() == 8


def test_what_cannot_be_stored_is_refused_and_leaves_nothing(folder: Path) -> None:
    with pytest.raises(BadInputError, match=r"holds ndarray.*tensors and numbers"):
        store.remember(lambda: {"a": torch.ones(2).numpy()})
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("content", [b"", b"not a file of torch", "half"])
def test_a_damaged_file_is_a_miss(folder: Path, content: bytes | str) -> None:
    store.remember(work, 1.0)
    (path,) = folder.glob("*.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else bytes(content))  # type: ignore[arg-type]
    assert store.remember(work, 1.0)["scaled"] == 1.0
    assert len(CALLS) == 2
    assert path.read_bytes() == whole


def test_a_file_that_would_run_code_is_a_miss_and_not_run(folder: Path) -> None:
    store.remember(work, 1.0)
    (path,) = folder.glob("*.pt")
    buffer = io.BytesIO()
    torch.save({"evil": Evil()}, buffer)
    path.write_bytes(runs.seal(buffer.getvalue()))
    assert store.remember(work, 1.0)["scaled"] == 1.0
    assert "evil" not in CALLS


class Evil:
    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return CALLS.append, ("evil",)


def test_after_an_error_nothing_is_stored(folder: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.remember(fail)
    assert not list(folder.glob("*.pt"))


def test_two_processes_compute_once(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(
        textwrap.dedent(
            """
            import time, pathlib
            from interp.store import remember
            def slow(seconds):
                with open(pathlib.Path(__file__).with_name("log"), "a") as log:
                    log.write("computed\\n")
                time.sleep(seconds)
                return seconds
            print(remember(slow, 1.0))
            """
        )
    )
    asking = [subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in asking] == ["1.0", "1.0"]
    assert (tmp_path / "log").read_text() == "computed\n"


def test_default_folder_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERP_CACHE")
    assert store.folder() == Path.home() / ".cache" / "interp"


def test_no_single_bit_changes_what_is_read(folder: Path) -> None:
    """Each of 1500 flips is a miss."""
    right = store.remember(work, 2.0)
    (path,) = folder.glob("*.pt")
    whole, chance = path.read_bytes(), random.Random(0)
    for place in chance.sample(range(8 * len(whole)), 1500):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert store._read(path) is None
    assert store.remember(work, 2.0) == right
    assert path.read_bytes() == whole


@pytest.mark.parametrize("error", [IndexError, TypeError, AttributeError, MemoryError])
def test_whatever_reading_raises_is_a_miss(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    store.remember(work, 2.0)
    load, raised = torch.load, []

    def failing(*args: Any, **kwargs: Any) -> Any:
        if not raised:
            raised.append(error)
            raise error("damaged")
        return load(*args, **kwargs)

    monkeypatch.setattr(torch, "load", failing)
    assert store.remember(work, 2.0)["scaled"] == 2.0
    assert raised == [error]


def test_a_full_disk_costs_a_warning_and_no_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.warns(store.StoreWarning, match="No space left on device"):
            found = store.remember(work, 2.0)
    assert found["scaled"] == 2.0
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


def test_a_store_that_cannot_be_made_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "file" / "store"))
    with pytest.raises(UnwritableError, match="choose another folder"):
        store.remember(work, 2.0)
    assert len(CALLS) == 0


def ask(number: int) -> None:
    store.remember(torch.full, (200_000,), float(number))


def test_killed_at_any_moment_the_store_gives_right_values(folder: Path) -> None:
    chance, processes, alive = random.Random(0), multiprocessing.get_context("fork"), 0
    for number in range(12):
        process = processes.Process(target=ask, args=(number % 3,))
        process.start()
        process.join(chance.uniform(0.001, 0.03))
        alive += process.is_alive()
        process.kill()
        process.join()
        left = [store._read(path) for path in folder.glob("*.pt")]
        assert all(found is not None and len(found[0].unique()) == 1 for found in left)
    assert alive > 0
    for number in range(3):
        assert store.remember(torch.full, (200_000,), float(number)).eq(number).all()


def test_what_was_not_asked_for_in_a_month_can_be_removed(folder: Path) -> None:
    for value in (1.0, 2.0):
        store.remember(work, value)
    for path in folder.glob("*.pt"):
        os.utime(path, (0, time.time() - 31 * runs.DAY))
    store.remember(work, 2.0)
    assert store.prune() == 1
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".pt"]
    store.remember(work, 2.0)
    assert CALLS == [1.0, 2.0]
    store.remember(work, 1.0)
    assert CALLS == [1.0, 2.0, 1.0]
    assert store.prune(days=0) == 2
    assert list(folder.iterdir()) == []


# ---- what decides a result is part of the key


def test_other_code_on_the_same_line_is_another_function() -> None:
    functions = [lambda x: x + 1, lambda x: x + 2]
    assert [store.remember(function, 1) for function in functions] == [2, 3]


def test_a_function_without_a_source_is_told_by_its_code() -> None:
    results = []
    for amount in (1, 2):
        space: dict[str, Any] = {}
        exec(f"def f(x): return x + {amount}", space)
        results.append(store.remember(space["f"], 1))
    assert results == [2, 3]


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Any]]:
    """Return a function that writes a module of the user's and imports it anew, with all that it imports."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names: set[str] = set()

    def forget() -> None:
        for name in [*sys.modules]:
            if name.split(".")[0] in {each.split(".")[0] for each in names}:
                del sys.modules[name]

    def write(name: str, text: str) -> Any:
        names.add(name)
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        forget()
        importlib.invalidate_caches()
        return importlib.import_module("users_work")

    yield write
    forget()


WAYS = {
    "from": "from users_help import scale\ndef compute(x): return scale(x)",
    "import": "import users_help\ndef compute(x): return users_help.scale(x)",
    "late": "def compute(x):\n    from users_help import scale\n    return scale(x)",
    "late import": "def compute(x):\n    import users_help as h\n    return (lambda: h.scale(x))()",
    "class": "import users_help as h\nclass K:\n  def f(self, x): return h.scale(x)\ndef compute(x): return K().f(x)",
    "base": "import users_help\nclass K(users_help.B): pass\ndef compute(x): return K().one(x)",
    "table": "import users_help\nT = {'a': users_help.scale}\ndef compute(x): return T['a'](x)",
    "default": "import users_help\ndef compute(x, f=users_help.scale): return f(x)",
    "decorated": "import torch, users_help\n@torch.no_grad()\ndef compute(x): return users_help.scale(x)",
    "getattr": "import users_help\ndef compute(x): return getattr(users_help, 'sca' + 'le')(x)",
    "deep": "import users_help as h\ndef a(x): return b(x)\ndef b(x): return h.scale(x) if x else a(x)\ncompute = a",
}
HELP = """
FACTOR = {factor}
def scale(x): return x * FACTOR
class B:
    def one(self, x): return scale(x)
"""


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_of_a_module_that_a_users_module_imports_is_noticed(
    users: Callable[[str, str], Any], way: str
) -> None:
    users("users_work", "compute = None")
    users("users_help", HELP.format(factor=2))
    assert store.remember(users("users_work", WAYS[way]).compute, 10) == 20
    assert store.remember(users("users_help", HELP.format(factor=3)).compute, 10) == 30


def test_an_edit_is_noticed_in_a_package_with_relative_imports(users: Callable[[str, str], Any]) -> None:
    users("users_work", "compute = None")
    for factor in (2, 3):
        users("users_pack.low", f"FACTOR = {factor}")
        users(
            "users_pack.high",
            "from . import low\ndef scale(x):\n    from .low import FACTOR\n    return x * FACTOR",
        )
        work = users("users_work", "import users_pack.high\ndef compute(x): return users_pack.high.scale(x)")
        assert store.remember(work.compute, 10) == 10 * factor


def test_comments_and_other_functions_of_a_users_module_are_no_content(
    users: Callable[[str, str], Any],
) -> None:
    first = users("users_work", "def compute(x): return x\n").compute
    path = store._path(first, (1,), {})
    second = users("users_work", "# a comment\n\ndef other(): pass\n\n\ndef compute(x): return x\n").compute
    assert first is not second
    assert store._path(second, (1,), {}) == path
