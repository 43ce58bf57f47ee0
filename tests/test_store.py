"""The store computes once what is the same, and again what is not."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
import torch
from torch import nn

from interp import store
from interp.digest import digest
from interp.errors import BadInputError
from interp.fingerprint import fingerprint, modules
from interp.image import Normalize

CALLS: list[object] = []


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
    assert torch.load(path, weights_only=True)["scaled"] == 1.0


def test_a_file_that_would_run_code_is_a_miss_and_not_run(folder: Path) -> None:
    store.remember(work, 1.0)
    (path,) = folder.glob("*.pt")
    torch.save({"evil": Evil()}, path)
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


# ---- functions from notebook cells


CELLS = [
    "from interp import image, store\nfrom interp.digest import digest\nimport torch",
    "scale = 2\ndef helper(x): return x * scale\ndef job(x): return helper(x)\nprint(digest(job))",
    "unused = 5\ndef job(x): return helper(x)\nprint(digest(job))",
    "def job(x): return helper(x) + 1\nprint(digest(job))",
    "scale = 3\ndef job(x): return helper(x)\nprint(digest(job))",
    "scale = 2\ndef helper(x): return scale * x\nprint(digest(job))",
    "def job(x):\n    return image.resize(x, (2, 2))\nx = torch.zeros(1, 3, 4, 4)",
    "print([tuple(store.remember(job, x).shape) for _ in range(2)])",
]


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """Return what each of the cells printed in one kernel."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    nbclient.execute(notebook)
    return ["".join(output["text"] for output in cell.outputs).strip() for cell in notebook.cells]


def test_a_cell_function_is_told_by_its_source_and_by_what_it_reads(printed: list[str]) -> None:
    base, same, own_text, read_value, helper_text = printed[1:6]
    assert len(base) == 64
    assert base == same
    assert len({base, own_text, read_value, helper_text}) == 4


def test_a_cell_function_can_be_remembered(printed: list[str]) -> None:
    assert printed[7] == "[(1, 3, 2, 2), (1, 3, 2, 2)]"


# ---- digests


class Net(nn.Module):
    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, stride=stride)
        self.normalize = Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.names = ("a", "b")
        self.lookup = [self.conv, object()]


def seeded(stride: int = 1) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(stride)


def changed(change: Callable[[Net], None]) -> Net:
    net = seeded()
    with torch.no_grad():
        change(net)
    return net


def test_a_network_is_told_by_content() -> None:
    assert digest(seeded()) == digest(seeded())


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.conv.bias.add_(1),
        lambda net: net.normalize.mean.add_(0.1),  # in no state dict
        lambda net: setattr(net.conv, "stride", (2, 2)),
        lambda net: setattr(net, "names", ("a", "c")),
        lambda net: net.eval(),
        lambda net: setattr(net, "conv", nn.Sequential(net.conv)),
    ],
)
def test_a_changed_network_is_another(change: Callable[[Net], None]) -> None:
    assert digest(changed(change)) != digest(seeded())


def test_a_network_that_holds_itself_has_a_digest() -> None:
    net = seeded()
    net.lookup.append(net)
    assert len(digest(net)) == 64


@dataclass(frozen=True)
class Point:
    x: float
    pick: Callable[[float], float]


def adder(amount: float) -> Callable[[float], float]:
    return lambda value: value + amount


def test_dataclasses_and_closures_are_told_by_what_they_hold() -> None:
    assert digest(Point(1.0, adder(2))) == digest(Point(1.0, adder(2)))
    assert digest(Point(1.0, adder(2))) != digest(Point(1.0, adder(3)))
    assert digest(Point(1.0, adder(2))) != digest(Point(2.0, adder(2)))
    assert digest(functools.partial(work, scale=1)) != digest(functools.partial(work, scale=2))


def test_paths_are_told_by_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("same")
    two.write_text("same")
    assert digest(one) == digest(two)
    two.write_text("other")
    assert digest(one) != digest(two)
    with pytest.raises(BadInputError, match="There is no file"):
        digest(tmp_path / "none")


def test_order_counts_in_lists_alone() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({1, 2, 3}) == digest({3, 2, 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest([[1], 2]) != digest([1, [2]])


@pytest.mark.parametrize("value", [iter([1]), sys.stdout])
def test_what_cannot_be_told_is_refused(value: object) -> None:
    with pytest.raises(BadInputError, match="cannot be told"):
        digest(value)


def test_a_digest_is_the_same_in_every_process() -> None:
    code = "from interp.digest import digest; import torch; print(digest(({'a', 'b'}, torch.ones(2), {'k': len})))"
    results = {subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(2)}
    assert len(results) == 1


# ---- fingerprints, on a small package of their own


@pytest.fixture
def package(tmp_path: Path) -> Path:
    files = {
        "__init__.py": "",
        "low.py": "import os\n",
        "middle.py": "def late():\n    from tiny import low\n",
        "other.py": "from .sub import leaf\n",
        "sub/__init__.py": "",
        "sub/leaf.py": 'DATA = "stock"\n',
        "sub/stock/a.txt": "1",
    }
    for name, text in files.items():
        path = tmp_path / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tiny"


def test_modules_are_found_through_one_another(package: Path) -> None:
    assert list(modules("from tiny import middle", package=package)) == ["tiny", "tiny.low", "tiny.middle"]
    found = modules("import tiny.other as other", package=package)
    assert list(found) == ["tiny", "tiny.other", "tiny.sub", "tiny.sub.leaf"]


@pytest.mark.parametrize(
    ("edited", "source", "affected"),
    [
        ("low.py", "from tiny.middle import late", True),
        ("low.py", "from tiny import other", False),
        ("sub/stock/a.txt", "import tiny.other", True),
        ("sub/stock/a.txt", "import tiny.middle", False),
        ("middle.py", "import os", False),
    ],
)
def test_an_edit_reaches_what_depends_on_it_and_nothing_else(
    package: Path, edited: str, source: str, affected: bool
) -> None:
    before = fingerprint(source, package=package)
    (package / edited).write_text("changed = 12345")
    assert (fingerprint(source, package=package) != before) is affected


def test_files_that_a_text_names_count(tmp_path: Path, package: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "data.json").write_text("1")
    source = 'open("../data.json")'
    before = fingerprint(source, folder=tmp_path / "book", package=package)
    (tmp_path / "data.json").write_text("22")
    assert fingerprint(source, folder=tmp_path / "book", package=package) != before
