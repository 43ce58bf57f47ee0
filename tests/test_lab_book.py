"""How the lab is laid out with the book, how it is linked, and that the chapter prints the engine as it is."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import lab as book_lab  # noqa: E402
import measure_lab  # noqa: E402

from interp import lab  # noqa: E402

CHAPTER = ROOT / "book" / "lab" / "network-in-250-lines.md"
WEB = ROOT / "interp" / "lab" / "web"


def test_the_address_of_the_lab_and_of_an_example() -> None:
    assert book_lab.address("", "book/segment-1/grad-cam") == "../../lab/index.html"
    assert book_lab.address("coffee", "book/index") == "../lab/index.html#coffee"
    assert book_lab.address("cat/tiger cat/24", "book/index").endswith("#cat/tiger%20cat/24")
    missing = book_lab.Link().missing
    assert [missing(place) for place in ("", "coffee", "coffee/espresso//erase", "grow/blocks.3.2/44")] == [
        None
    ] * 4
    assert "no photograph tea" in str(missing("tea/cup"))


def test_the_engine_is_as_long_as_the_chapter_says() -> None:
    for name, about in (("network.js", 150), ("kernels.ts", 90)):
        text = re.sub(r"/\*.*?\*/", "", (WEB / name).read_text(), flags=re.DOTALL)
        lines = [line.strip() for line in text.splitlines()]
        assert abs(sum(bool(line) and not line.startswith("//") for line in lines) - about) <= 10


def test_what_lies_on_the_site_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        written.append(folder)

    monkeypatch.setattr(book_lab, "write", write)
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=str(tmp_path))
    for _ in range(2):
        book_lab.publish(app, None)
    assert written == [tmp_path / "lab"]
    (tmp_path / "lab" / book_lab.KEY).write_text("another")
    book_lab.publish(app, None)
    assert len(written) == 2
    book_lab.publish(app, ValueError("the build failed"))
    book_lab.publish(SimpleNamespace(builder=SimpleNamespace(format="latex"), outdir=str(tmp_path)), None)
    assert len(written) == 2


def test_the_scenes_are_the_strongest_of_their_channels() -> None:
    held = json.loads(book_lab.SCENES.read_text())
    best = [[int(scene) for scene in one.split()] for one in held["best"]]
    channels = [0, 254, 795, 1156]  # and what the microscope's first scenes give, which are none of theirs
    numbers = sorted({*range(8), *(scene for channel in channels for scene in best[channel])})
    table = measure_lab.values(numbers)
    for channel in channels:
        values = dict(zip(numbers, table[:, channel].tolist(), strict=True))
        stored = [values.pop(scene) for scene in best[channel]]
        assert all(first > second - 1e-3 for first, second in itertools.pairwise(stored))
        assert min(stored) > max(values.values()) - 1e-3


def test_the_lab_shows_scenes_of_the_last_layer_and_of_the_microscopes() -> None:
    scenes = book_lab._scenes(lab.Scenes)
    layer, count = book_lab._deepest()
    assert {name: len(units) for name, units in scenes.best.items()} == {"act_head": 1280, layer: count}
    assert all(len(unit) <= book_lab.SHOWN for units in scenes.best.values() for unit in units)
    first = json.loads(book_lab.SCENES.read_text())["best"][5].split()[0]
    assert (
        scenes.files[scenes.best["act_head"][5][0]] == f"{int(first) // 1000:03}/{int(first) % 1000:03}.webp"
    )
    assert "General Public License" in scenes.credit


@pytest.mark.parametrize(
    ("language", "files"), [("typescript", ["kernels.ts"]), ("javascript", ["network.js"])]
)
def test_the_chapter_prints_the_engine_as_it_is(language: str, files: list[str]) -> None:
    printed = re.findall(rf"```{language}\n(.*?)```", CHAPTER.read_text(encoding="utf-8"), re.DOTALL)
    source = "".join((WEB / name).read_text(encoding="utf-8") for name in files)
    assert printed
    for part in printed:
        assert part in source


def test_the_chapter_says_how_large_the_kernels_are() -> None:
    assert f"comes to {(WEB / 'kernels.wasm').stat().st_size} bytes" in CHAPTER.read_text(encoding="utf-8")
