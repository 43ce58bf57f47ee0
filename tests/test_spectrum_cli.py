"""`interp spectrum`: thin, resumable, and every mistake gets one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp import cli, image, spectrum, zoo

COMMAND = ["spectrum", "efficientnet_lite0", "--layers", "bn_stem", "--size", "32", "--batch", "4"]
SCENES = ["--images", "18", "--shard", "6"]


def test_a_run_prints_what_was_found_saves_it_and_is_not_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*COMMAND, *SCENES, "-o", str(tmp_path / "out"), "--save", str(tmp_path / "all.spectrum")]
    assert cli.main([*command, "--show", "3"]) == 0
    printed = capsys.readouterr().out
    assert "18 images, 0 broken, 32 channels." in printed
    assert "bn_stem/3" in printed
    assert spectrum.load(tmp_path / "all.spectrum").images == 18
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*.spectrum")}
    assert len(files) == 3
    assert cli.main(command) == 0
    assert files == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*.spectrum")}


def test_shares_and_decoding_threads_give_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli.main([*COMMAND, *SCENES, "--decoders", "0", "-o", str(one)]) == 0
    assert cli.main([*COMMAND, *SCENES, "--share", "1/2", "-o", str(two)]) == 0
    assert "1 of 3 shards are finished." in capsys.readouterr().out
    assert cli.main([*COMMAND, *SCENES, "-o", str(two)]) == 0
    contents = [{file.name: file.read_bytes() for file in folder.iterdir()} for folder in (one, two)]
    assert contents[0] == contents[1]


def test_a_folder_with_a_broken_image_is_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photographs = tmp_path / "photographs" / "things"
    photographs.mkdir(parents=True)
    image.save(zoo.photograph("cat"), photographs / "cat.jpg")
    image.save(zoo.photograph("coffee"), photographs / "coffee.png")
    (photographs / "broken.jpg").write_bytes(b"no image")
    data = ["--data", str(tmp_path / "photographs"), "-k", "1", "-o", str(tmp_path / "out")]
    assert cli.main([*COMMAND, *data]) == 0
    printed = capsys.readouterr().out
    assert "2 images, 1 broken" in printed
    assert "broken: things/broken.jpg: " in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "bn_stam", "-o", "x"], "Closest: bn_stem"),
        (["--layers", ",", "-o", "x"], "names no layer"),
        (
            ["--share", "0/2", "--save", "all.spectrum", "-o", "x"],
            "leave out --share once all shares are finished",
        ),
        (["--share", "1/2", "--show", "3", "-o", "x"], "leave out --share once all shares are finished"),
        (["--decoders", "-1", "-o", "x"], "--decoders needs at least 0; got -1"),
        (["--threads", "0", "-o", "x"], "--threads needs at least 1; got 0"),
        (["--images", "5", "-o", "x"], "A band holds k=9 images, but only 5 could be read"),
        (["--images", "0", "-o", "x"], "--data 'scenes' holds no image. Ask for more with --images"),
        (["--data", "nowhere", "-o", "x"], "is no folder and no known source"),
        (["--data", "empty", "-o", "x"], "holds no image"),
        (["--batch", "0", "-o", "x"], "batch has to be at least 1; got 0"),
        (["--shard", "0", "-o", "x"], "shard_size has to be at least 1; got 0"),
        (["-k", "0", "-o", "x"], "k has to be at least 1"),
        (["--share", "2/2", "-o", "x"], "0 <= INDEX < COUNT"),
        (["--share", "all", "-o", "x"], "INDEX/COUNT"),
        (["--device", "abacus", "-o", "x"], "The device 'abacus' cannot be used"),
        (["-o", "file/inside"], "cannot be written: Not a directory"),
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
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert cli.main([*COMMAND, *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("interp: ")
    assert not list(tmp_path.rglob(".*.part"))
