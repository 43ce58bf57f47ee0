"""`interp spectrum` and `interp microscope`: they do what the functions do, go on, and explain mistakes in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp import cli, image, spectrum, zoo
from interp.cli import sources

SMALL = ["efficientnet_lite0", "--layers", "blocks.1.1", "--images", "12", "--size", "32", "-k", "2"]
SPECTRUM = ["spectrum", *SMALL, "-o", "run"]
SITE = ["microscope", *SMALL, "--steps", "0", "--side", "16", "-o", "site"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_spectrum_is_that_of_the_functions_and_is_printed_with_names(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*SPECTRUM, "--save", "all.spectrum", "--show", "3", "blocks.1.1/7"]) == 0
    out = capsys.readouterr().out
    items = spectrum.Items(zoo.Scenes("all", 32, length=12), "scenes", class_names=zoo.SCENE_CLASSES)
    expected = spectrum.track(zoo.load_model(), ["blocks.1.1"], spectrum.batches(items), k=2)
    found = spectrum.load(here / "all.spectrum")
    assert torch.equal(found.layers["blocks.1.1"].best, expected.layers["blocks.1.1"].best)
    assert out.startswith("12 images, 0 broken, 24 channels.\nblocks.1.1/3: ")
    assert "blocks.1.1/7: " in out
    top = expected["blocks.1.1", 3].band("maximum")
    label = zoo.SCENE_CLASSES[items.dataset[top.ids[0]].label]
    assert f"  maximum\n    {top.scores[0]:10.4g}  {label} all/0/{top.ids[0]}\n" in out


def test_both_go_on_in_their_own_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, folder in ((SPECTRUM, "run"), (SITE, "site")):
        assert cli.main(command) == 0
        before = {path: path.read_bytes() for path in (here / folder).rglob("*") if path.is_file()}
        assert len(before) > 1
        assert cli.main(command) == 0
        assert before == {path: path.read_bytes() for path in (here / folder).rglob("*") if path.is_file()}
    assert "Open site/index.html" in capsys.readouterr().out


def test_a_folder_is_a_source_with_names(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine" / "cat").mkdir(parents=True)
    for name, folder in (("a.png", ""), ("b.png", "cat")):
        picture = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(len(folder)))
        image.save(picture, here / "mine" / folder / name)
    (here / "mine" / "c.jpg").write_bytes(b"no picture")
    assert cli.main([*SPECTRUM, "--data", "mine", "--show", "0"]) == 0
    out = capsys.readouterr().out
    assert "2 images, 1 broken, 24 channels." in out
    assert "broken: c.jpg: " in out
    assert "cat cat/b.png" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SPECTRUM, "--layers", "blocks.9"], "There is no layer 'blocks.9'. Closest: blocks.6"),
        ([*SPECTRUM, "--layers", ","], "names no layer"),
        ([*SPECTRUM, "--data", "nowhere"], "'nowhere' is no folder and no known source. Known are: scenes,"),
        ([*SPECTRUM, "--data", "empty"], "holds no image"),
        ([*SPECTRUM, "--data", "parquet:none.parquet"], "There is no file 'none.parquet'"),
        ([*SPECTRUM, "--images", "0"], "holds no image"),
        ([*SPECTRUM, "--shard", "0"], "shard_size has to be at least 1; got 0"),
        ([*SPECTRUM, "-k", "50"], "k=50 images, but only 12"),
        ([*SPECTRUM, "-k", "0"], "k has to be at least 1"),
        ([*SPECTRUM, "--device", "abacus"], "The device 'abacus' cannot be used"),
        ([*SPECTRUM, "--show", "x"], "--show takes a channel, such as 7 or blocks.1.1/7; got 'x'"),
        ([*SPECTRUM, "--show", "24"], "blocks.1.1 has the channels 0 to 23"),
        ([*SPECTRUM, "--show", "blocks.2/1"], "There is no layer in --layers 'blocks.2'"),
        ([*SPECTRUM, "--save", "none/x"], "there is no folder 'none'. Make it first."),
        ([*SPECTRUM, "-o", "file/run"], "'file/run' cannot be written: Not a directory"),
        ([*SPECTRUM, "--engine", "processes", "--workers", "0"], "At least one process"),
        ([*SITE, "-o", "full"], "'full' holds other files"),
        ([*SITE, "-o", "file/site"], "'file/site' cannot be written: Not a directory"),
        ([*SITE, "-k", "50"], "k=50 images, but only 12"),
        ([*SITE, "--side", "2"], "side >= 8"),
        ([*SITE, "--layers", "blocks.1.1,blockz"], "There is no layer 'blockz'"),
    ],
)
def test_a_mistake_gets_one_clear_line(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("empty", "full"):
        (here / name).mkdir()
    for name in ("file", "full/letter.txt"):
        (here / name).write_text("dear")
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("interp: ")
    assert message in error
    assert error.count("\n") == 1
    assert (here / "full" / "letter.txt").read_text() == "dear"


def test_the_folder_of_another_run_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, other, message in (
        (SPECTRUM, ["-k", "3"], "belongs to another run: k is 2 there and 3 here"),
        (SITE, ["--side", "24"], "belongs to another run: side is 16 there and 24 here"),
    ):
        assert cli.main(command) == 0
        before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
        assert cli.main([*command, *other]) == 1
        assert message in capsys.readouterr().err
        assert before == {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}


def test_shards_are_neither_many_nor_large() -> None:
    assert [sources.shard_size(count) for count in (1, 800, 2000, 16_000, 1_281_167)] == [
        50,
        50,
        125,
        1000,
        1000,
    ]
