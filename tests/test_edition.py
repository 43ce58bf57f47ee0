"""The two editions of the book: what is marked, and that the cells of the large one run on what is at hand here."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision import datasets

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import edition  # noqa: E402
import execute_book  # noqa: E402
import executed  # noqa: E402

from interp import featurevis as fv  # noqa: E402
from interp import hooks, plots, zoo  # noqa: E402
from interp.zoo import imagenette  # noqa: E402
from interp.zoo.models import InceptionV1  # noqa: E402

PAGES = [path for path in execute_book.toc_pages(ROOT / "_toc.yml") if executed.is_notebook(path)]


@pytest.mark.parametrize(
    ("name", "expected"), [("embedded", "before\nsmall\nafter\n"), ("large", "before\nlarge\nafter\n")]
)
def test_an_edition_has_its_own_parts(name: str, expected: str) -> None:
    page = (
        "before\n% begin embedded edition\nsmall\n% end embedded edition\n"
        "% begin large edition\nlarge\n% end large edition\nafter\n"
    )
    assert edition.select(page, name) == expected


@pytest.mark.parametrize(
    "page",
    [
        "% begin large edition\nno end\n",
        "no beginning\n% end large edition\n",
        "% begin large edition\nanother end\n% end embedded edition\n",
        "% begin huge edition\nunknown\n% end huge edition\n",
    ],
)
def test_marks_that_do_not_fit_are_refused(page: str) -> None:
    with pytest.raises(ValueError, match="Marks of editions"):
        edition.select(page, "embedded")


def test_an_unknown_edition_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERP_EDITION", "huge")
    with pytest.raises(ValueError, match="one of embedded, large"):
        edition.current()


def test_only_marked_pages_run_again_for_another_edition(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {}
    for name in edition.EDITIONS:
        monkeypatch.setenv("INTERP_EDITION", name)
        keys[name] = {path: executed.key(executed.read(path), path) for path in PAGES}
    changed = {path.stem for path in PAGES if keys["embedded"][path] != keys["large"][path]}
    assert changed == {"circuits", "training"}


def _large_cells(page: str) -> list[str]:
    """Return the code of the cells that only the large edition of a chapter has."""
    text = (ROOT / "book" / page).read_text(encoding="utf-8")
    block = next(found[2] for found in edition.BLOCK.finditer(text) if found[1] == "large")
    cells = re.findall(
        r"^```\{code-cell\}[^\n]*\n(?:---\n.*?^---\n|:tags:[^\n]*\n)?(.*?)^```$", block, re.M | re.S
    )
    assert cells
    return list(cells)


def _run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "cell", "exec"), names)


@pytest.mark.filterwarnings("ignore:.*no gradient at any step")  # random weights have dead channels
def test_the_tour_through_inception_runs_on_its_architecture() -> None:
    """The weights are not here: random ones take their place, in the same network with the same names of layers."""
    lucent = pytest.importorskip("lucent.modelzoo.inceptionv1.InceptionV1")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = InceptionV1(lucent.InceptionV1(pretrained=False, redirected_ReLU=False)).eval()
    asked: list[str] = []
    stand_in = SimpleNamespace(load_model=lambda name: asked.append(name) or network)
    names: dict[str, Any] = {"zoo": stand_in, "fv": fv, "torch": torch, "hooks": hooks}
    cells = _large_cells("segment-2/circuits.md")
    _run(cells[0], names)
    assert asked == ["inceptionv1"]
    units = names["DISTILL"]
    for layer, number in units:
        assert number < hooks.activations(network, torch.rand(1, 3, 96, 96), layer).shape[1]
    pictures = names["distill_portraits"](network, units[:2], steps=2, size=64)
    alone = fv.render(network, fv.channel(*units[1]), steps=2, size=64).images
    torch.testing.assert_close(pictures[1:], alone, atol=1e-4, rtol=0)
    names["probes"] = {kind: torch.rand(4, 3, 96, 96) for kind in ("arc", "line")}
    _run(cells[2], names)
    assert {kind: values.shape for kind, values in names["found"].items()} == {"arc": (4,), "line": (4,)}


def test_the_training_on_photographs_runs_on_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label, wnid in enumerate(sorted(datasets.Imagenette._WNID_TO_CLASS)):
        for split in ("train", "val"):
            folder = tmp_path / "imagenette2-160" / split / wnid
            folder.mkdir(parents=True)
            Image.new("RGB", (160, 160), (25 * label,) * 3).save(folder / f"{wnid}_0.JPEG")
    monkeypatch.setattr(imagenette, "folder", lambda: tmp_path)
    store = SimpleNamespace(remember=lambda function, *args: function(*args))
    names: dict[str, Any] = {"zoo": zoo, "plots": plots, "store": store}
    _run(_large_cells("segment-1/training.md")[0], names)
    assert {name: len(values) for name, values in names["accuracy"].items()} == {"train": 5, "val": 5}
    assert names["photographer"].class_names == zoo.IMAGENETTE_CLASSES
