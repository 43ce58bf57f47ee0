"""The command line: thin, and every mistake gets one clear line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from interp import cli
from interp.cli.progress import Lines
from interp.errors import BadInputError
from interp.zoo import load_model

RENDER = ["render", "efficientnet_lite0", "blocks.2.1", "--size", "32", "--steps", "2", "--batch", "4"]


def test_layers_lists_names_and_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["layers", "efficientnet_lite0", "--size", "64"]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["blocks.3.2"] == ["Block", "80", "x", "4", "x", "4"]
    assert lines["classifier"] == ["Linear", "1000"]


def test_render_writes_the_channels_that_were_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    arguments = [*RENDER, "--channels", "0-2,7", "--sign", "both", "-o", str(folder)]
    assert cli.main(arguments) == 0
    assert "8 of 8 pictures" in capsys.readouterr().out
    manifest = json.loads((folder / "manifest.json").read_text())
    layer = "blocks.2.1"
    assert set(manifest["images"]) == {
        f"{sign}{layer}:{index}" for sign in ("", "-") for index in (0, 1, 2, 7)
    }
    assert all((folder / entry["file"]).stat().st_size > 0 for entry in manifest["images"].values())
    assert cli.main(arguments) == 0  # finished work is kept
    assert cli.main([*arguments, "--seed", "1"]) == 1
    assert "belongs to another run: seed is 0 there and 1 here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "no_such_net"], "no_such_net"),
        ([*RENDER[:2], "blocks.2.9", "-o", "x"], "Closest: blocks.2."),
        ([*RENDER, "--channels", "0-40", "-o", "x"], "channels 0 to 39"),
        ([*RENDER, "--channels", "a", "-o", "x"], "no channel and no range"),
        ([*RENDER, "--share", "3/2", "-o", "x"], "INDEX < COUNT"),
        ([*RENDER, "--threads", "0", "-o", "x"], "--threads needs at least 1"),
        ([*RENDER, "--device", "abacus", "-o", "x"], "The device 'abacus' cannot be used"),
        ([*RENDER[:3], "--steps", "0", "-o", "x"], "at least one step"),
    ],
)
def test_mistakes_get_one_clear_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("interp: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("x/*.png"))


def test_channels_are_parsed() -> None:
    assert cli.parse_channels("all", 3) == [0, 1, 2]
    assert cli.parse_channels("5, 0-2,1", 6) == [5, 0, 1, 2]
    for text in ("", "-", "1-", "2-1", "1--2", "0x1", "6", "0-6"):
        with pytest.raises(BadInputError):
            cli.parse_channels(text, 6)


def test_an_interruption_is_no_error_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_name: str) -> torch.nn.Module:
        raise KeyboardInterrupt

    monkeypatch.setattr("interp.zoo.load_model", interrupted)
    assert cli.main(["layers", "efficientnet_lite0"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_the_names_and_numbers_that_the_command_line_has_are_those_of_the_package() -> None:
    from interp import featurevis as fv
    from interp.cli import network, render
    from interp.errors import UnknownNameError

    assert (render.RATE, render.BATCH, render.OUTPUT) == (fv.RATE, fv.BATCH, fv.OUTPUT)
    with pytest.raises(UnknownNameError) as caught:
        load_model("no such network")
    assert tuple(caught.value.known) == (*network.NAMED, *(f"{family}:NAME" for family in network.FAMILIES))


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def test_a_bar_is_a_line_now_and_then_where_there_is_no_terminal() -> None:
    plain, seldom, terminal = io.StringIO(), io.StringIO(), Terminal()
    for stream, every in ((plain, 0.0), (seldom, 1000.0), (terminal, 0.0)):
        lines = Lines(stream, every)
        lines.write("a warning\n")
        for text in ("\rconv: 1/2", "\rconv: 2/2", "\n"):
            lines.write(text)
    assert plain.getvalue().splitlines() == ["a warning", "conv: 1/2", "conv: 2/2", "conv: 2/2"]
    assert seldom.getvalue() == "a warning\n"
    assert terminal.getvalue() == "a warning\n\rconv: 1/2\rconv: 2/2\n"


def test_bars_have_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interp.cli.progress.EVERY", 0.0)
    monkeypatch.setattr("interp.cli.Lines", lambda stream: Lines(stream, 0.0))
    assert cli.main([*RENDER, "--channels", "3,5", "-o", str(tmp_path / "out")]) == 0
    assert "blocks.2.1:3 to blocks.2.1:5:" in capsys.readouterr().err
