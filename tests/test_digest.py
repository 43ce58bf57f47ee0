"""A digest tells values apart by content, code included, and nothing else."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
import random
import shutil
import subprocess
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from interp import featurevis as fv
from interp.digest import digest
from interp.errors import BadInputError
from interp.image import Normalize


class Net(nn.Module):
    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, stride=stride)
        self.normalize = Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.names = ("a", "b")
        self.lookup = [self.conv, object()]
        self._factor, self.stream = 1, sys.stdout


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
        lambda net: setattr(net, "_factor", 2),
        lambda net: net.lookup.append(3),
        lambda net: setattr(net, "forward", lambda x: x),
        lambda net: net.conv.register_forward_hook(lambda _, __, output: output * 2),
        lambda net: net.conv.register_forward_pre_hook(lambda _, inputs: inputs[0] * 2),
        lambda net: net.add_module("again", net.conv),
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
    assert digest(functools.partial(round, ndigits=1)) != digest(functools.partial(round, ndigits=2))


def test_paths_are_told_by_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("same")
    two.write_text("same")
    assert digest(one) == digest(two)
    two.write_text("other")
    assert digest(one) != digest(two)
    with pytest.raises(BadInputError, match="There is no file"):
        digest(tmp_path / "none")


def test_order_counts_wherever_code_can_see_it() -> None:
    assert digest({"a": 1, "b": 2}) != digest({"b": 2, "a": 1})
    assert digest({1, 2, 3}) == digest({3, 2, 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest([[1], 2]) != digest([1, [2]])


@pytest.mark.parametrize("value", [(x for x in [1]), sys.stdout, {}.keys(), memoryview(b"")])
def test_what_cannot_be_told_is_refused(value: object) -> None:
    with pytest.raises(BadInputError, match="cannot be told"):
        digest([value])


class Text(str):
    """A text with an attribute of its own."""


def marked(size: int) -> Text:
    text = Text("a")
    text.size = size  # type: ignore[attr-defined]
    return text


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a: int) -> None:
        self.a = a


class Names(set[str]):
    pass


class Calls:
    made = 0

    def __call__(self) -> int:
        return self.made


class More(Calls):
    made = 1


@dataclass
class Cached:
    side: int

    @functools.cached_property
    def area(self) -> int:
        return self.side**2


Pair = namedtuple("Pair", "a b")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quantized(scale: float) -> torch.Tensor:
    return torch.quantize_per_tensor(torch.ones(2), scale, 0, torch.qint8)


def twice(count: int) -> nn.Sequential:
    layer = nn.ReLU()
    return nn.Sequential(*[layer] * count)


PAIRS: dict[str, Callable[[int], object]] = {
    "random.Random": random.Random,
    "numpy generator": np.random.default_rng,
    "torch generator": generator,
    "deque": lambda n: deque([n]),
    "deque's length": lambda n: deque([0], n + 1),
    "defaultdict": lambda n: defaultdict([int, float][n]),
    "OrderedDict": lambda n: OrderedDict([(n, 0)]),
    "Counter": lambda n: Counter({"a": n}),
    "proxy": lambda n: MappingProxyType({"a": n}),
    "slots": Slots,
    "a set of one's own": lambda n: Names(["a", "b", str(n)]),
    "a text of one's own": marked,
    "named tuple": lambda n: Pair(0, n),
    "class attribute": lambda n: [Calls, More][n](),
    "bytes": lambda n: bytes([n]),
    "bytearray": lambda n: bytearray([n]),
    "iterator": lambda n: iter([n]),
    "slice": lambda n: slice(n),
    "pattern": lambda n: __import__("re").compile(["a", "b"][n]),
    "object array": lambda n: np.array([None, n]),
    "numpy scalar": np.float64,
    "array's type": lambda n: np.zeros(4, ["int32", "float32"][n]),
    "zero's sign": lambda n: [0.0, -0.0][n],
    "complex conjugate": lambda n: [torch.tensor([1j]), torch.tensor([1j]).conj()][n],
    "negative": lambda n: [torch.tensor([1j]).imag, torch.tensor([1j]).conj().imag][n],
    "sparse tensor": lambda n: torch.tensor([[0.0, n + 1]]).to_sparse(),
    "quantized tensor": lambda n: quantized(0.1 + n),
    "half": lambda n: torch.tensor([n], dtype=torch.bfloat16),
    "a layer used twice": lambda n: twice(n + 1),
    "lambda of a closure": lambda n: lambda x: x + n,
    "functions of one line": lambda n: [lambda x: x + 1, lambda x: x + 2][n],
    "order of two functions": lambda n: [adder(1), adder(2)] if n else [adder(2), adder(1)],
    "default": lambda n: lambda x=n: x,
    "lru_cache": lambda n: functools.lru_cache([len, abs][n]),
    "logger": lambda n: logging.getLogger(["a", "b"][n]),
    "objective": lambda n: fv.direction("2", torch.tensor([1.0, float(n)]), name="same"),
    "objective's factor": lambda n: (0.1234567 + n * 1e-7) * fv.channel("2", 0),
    "objective's sign": lambda n: [fv.channel("2", 0) + 1, fv.channel("2", 0) * 1.0 - -1 + 1e-9][n],
}


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_equal_content_is_equal_and_other_content_is_not(make: Callable[[int], object]) -> None:
    with torch.random.fork_rng():
        assert digest(make(0)) == digest(make(0))
        assert digest(make(1)) == digest(make(1))
        assert digest(make(0)) != digest(make(1))


def test_a_lock_has_no_content() -> None:
    assert digest(threading.Lock()) == digest(threading.Lock())


def test_what_was_looked_up_once_more_is_no_content() -> None:
    one, two = Cached(2), Cached(2)
    assert one.area == 4
    assert digest(one) == digest(two) != digest(dataclasses.replace(one, side=3))


def test_the_same_object_twice_is_the_same_content_as_two_equal_ones() -> None:
    one, two = [1, [2]], [1, [2]]
    assert digest([one, one]) == digest([one, two])
    channel = fv.channel("a", 0)
    assert digest(channel + channel) == digest(fv.channel("a", 0) + fv.channel("a", 0))


def test_objects_that_hold_one_another_have_a_digest() -> None:
    def ring(*names: str) -> list[Any]:
        items: list[Any] = [[name] for name in names]
        for item, other in zip(items, items[1:] + items[:1], strict=True):
            item.append(other)
        return items[0]

    assert digest(ring("a", "b")) == digest(ring("a", "b"))
    assert len({digest(ring(*names)) for names in ("ab", "ba", "aab", "a")}) == 4
    assert digest([ring("a"), ring("b")]) != digest([ring("a"), ring("a")])


def test_deep_and_tangled_values_take_no_forever() -> None:
    assert digest(sum(fv.channel("a", index) for index in range(200))) != digest(fv.channel("a", 0))
    nodes: list[list[Any]] = [[] for _ in range(60)]
    for node in nodes:
        node.extend(nodes)  # the number of ways through them has eighty digits
    assert len(digest(nodes)) == 64
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadInputError, match="nested too deeply"):
        digest(deep)


def called(n: int, function: Any) -> Any:
    return function(n)


def even(n: int) -> bool:
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    return n != 0 and even(n - 1)


def test_functions_that_call_one_another_have_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(even)
    assert digest(even) == before != digest(odd)
    monkeypatch.setattr(sys.modules[__name__], "odd", lambda n: n % 2 == 1)
    assert digest(even) != before


class Scaled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return scale(x)


def scale(x: torch.Tensor) -> torch.Tensor:
    return x * FACTORS["a"]


FACTORS = {"a": 2.0}


def test_globals_that_a_networks_methods_read_are_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(Scaled())
    monkeypatch.setitem(FACTORS, "a", 3.0)
    assert digest(Scaled()) != before
    monkeypatch.undo()
    assert digest(Scaled()) == before
    monkeypatch.setattr(Scaled, "forward", lambda self, x: x)
    assert digest(Scaled()) != before


def test_a_scripted_network_is_told_by_its_script() -> None:
    class Plus(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    class Times(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    one, same, two = (torch.jit.trace(kind(), torch.ones(2)) for kind in (Plus, Plus, Times))
    assert digest(one) == digest(same) != digest(two)


def test_weights_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        digest(nn.Linear(2, 2, device="meta"))


def test_a_digest_is_the_same_in_every_process() -> None:
    code = "from interp.digest import digest; import torch; print(digest(({'a', 'b'}, torch.ones(2), {'k': len})))"
    results = {subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(2)}
    assert len(results) == 1


# ---- functions from notebook cells


CELLS = [
    "from interp import image, store\nfrom interp.digest import digest\nimport torch",
    "scale = 2\ndef helper(x): return x * scale\ndef job(x): return helper(x)\nprint(digest(job))",
    "unused = 5\ndef job(x): return helper(x)\nprint(digest(job))",
    "def job(x): return helper(x) + 1\nprint(digest(job))",
    "scale = 3\ndef job(x): return helper(x)\nprint(digest(job))",
    "scale = 2\ndef helper(x): return scale * x\nprint(digest(job))",
    "class Net(torch.nn.Module):\n    def forward(self, x): return helper(x)\nprint(digest(Net()))",
    "def helper(x): return 7\nprint(digest(Net()))",
    "def job(x):\n    return image.resize(x, (2, 2))\nx = torch.zeros(1, 3, 4, 4)",
    "print([tuple(store.remember(job, x).shape) for _ in range(2)])",
]


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """Return what each of the cells printed in one kernel."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    nbclient.execute(notebook)
    return ["".join(output["text"] for output in cell.outputs).strip() for cell in notebook.cells]


def test_a_cell_function_is_told_by_its_code_and_by_what_it_reads(printed: list[str]) -> None:
    base, same, own_text, read_value, helper_text = printed[1:6]
    assert len(base) == 64
    assert base == same
    assert len({base, own_text, read_value, helper_text}) == 4


def test_a_cell_class_is_told_by_what_its_methods_read(printed: list[str]) -> None:
    assert printed[6] != printed[7]


def test_a_cell_function_can_be_remembered(printed: list[str]) -> None:
    assert printed[9] == "[(1, 3, 2, 2), (1, 3, 2, 2)]"


def test_a_module_that_a_function_imports_from_a_package_counts_before_it_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package := tmp_path / "users_package").mkdir()
    (package / "__init__.py").write_text("size = 3\n")
    (package / "asks.py").write_text("def outside():\n    from . import helper\n    return helper.gain()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for gain in (1, 2):
        (package / "helper.py").write_text(f"def gain():\n    return {gain} * 1000\n")
        for name in [name for name in sys.modules if name.partition(".")[0] == "users_package"]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        shutil.rmtree(package / "__pycache__", ignore_errors=True)
        ask = importlib.import_module("users_package.asks").outside
        digests.append(digest(ask))
        assert (ask(), digest(ask)) == (gain * 1000, digests[-1])
    assert digests[0] != digests[1]


def test_numbers_and_texts_of_a_class_count_however_they_are_called() -> None:
    def kind(gain: float, words: str = "") -> type:
        return type("Kind", (), {"__gain__": gain, "__doc__": words})

    assert digest(kind(1.0)) != digest(kind(2.0))
    assert digest(kind(1.0)) == digest(kind(1.0, "Other words."))
