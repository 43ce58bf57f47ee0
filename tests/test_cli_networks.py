"""Own networks on the command line: as a user would type it, in a folder with a network, weights and pictures."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from interp import cli, image, runs, spectrum, zoo
from interp import featurevis as fv

ROOT = Path(__file__).resolve().parents[1]
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 6, 5, stride=2), nn.ReLU()
        self.deep, self.head = nn.Conv2d(6, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.act(self.deep(self.act(self.conv(x)))).mean((2, 3)))

class Fixed(Net):
    def forward(self, x):
        assert x.shape[-2:] == (32, 32), f"Input height ({x.shape[-2]}) doesn't match model (32)."
        return super().forward(x)

def make():
    return Net()

def broken():
    raise ValueError("no such\\nlayer")

number = 7
ready = Net()

class Data:
    classes = ["black", "white"]
    def __len__(self): return 10
    def __getitem__(self, i): return torch.full((3, 40, 40), i / 10), i % 2
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"net_{tmp_path.name}".replace("-", "_")  # a module is loaded once a process
    (tmp_path / f"{name}.py").write_text(CODE)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for number in range(12):
        picture = torch.rand(1, 3, 36, 40, generator=torch.Generator().manual_seed(number))
        image.save(picture, tmp_path / "photos" / "cat" / f"{number}.png")
    return tmp_path


@pytest.fixture
def file(here: Path) -> str:
    return next(here.glob("net_*.py")).name


def trained(here: Path, file: str) -> nn.Module:
    """Return the network with other weights than it starts with, which lie in w.pt."""
    from interp.zoo import own

    model = own.from_file(here / file, "make")
    torch.manual_seed(3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    torch.save(model.state_dict(), here / "w.pt")
    return model


def test_layers_of_an_own_network(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["layers", f"{file}:make", "--size", "32"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["conv", "Conv2d", "6", "x", "14", "x", "14"],
        ["act", "ReLU", "6", "x", "14", "x", "14", "runs", "2", "times,", "the", "first", "one", "counts"],
        ["deep", "Conv2d", "4", "x", "12", "x", "12"],
        ["head", "Linear", "3"],
    ]


def test_layers_says_why_it_ends(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["layers", f"{file}:Fixed", "--size", "64"]) == 1
    captured = capsys.readouterr()
    assert "head" in captured.out
    assert "Input height (64) doesn't match model (32)" in captured.err
    assert "give --size" in captured.err


def test_layers_run_once(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    passes: list[int] = []
    monkeypatch.setattr("interp.zoo.load_model", lambda name: _Counting(passes))
    assert cli.main(["layers", "efficientnet_lite0", "--size", "32"]) == 0
    assert (
        len(passes) <= 4
    )  # what it takes, what the layers give, their layouts, and whether it runs to its end


class _Counting(nn.Module):
    def __init__(self, passes: list[int]) -> None:
        super().__init__()
        self.passes = passes
        self.layers = nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(20)])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.passes.append(1)
        return self.layers(images)


def test_weights_normalization_and_classes_reach_the_rendering(here: Path, file: str) -> None:
    model = trained(here, file)
    (here / "classes.txt").write_text("red\ngreen\nblue\n")
    command = ["render", f"{file}:make", "output", "--weights", "w.pt", "--size", "32", "--steps", "2"]
    command += ["--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.2", "--classes", "classes.txt", "-o", "out"]
    assert cli.main([*command, "--channels", "1"]) == 0
    manifest = json.loads((here / "out" / "manifest.json").read_text())
    whole = zoo.normalized(model, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    expected = fv.render(whole, fv.logit(1), size=32, steps=2)
    assert manifest["images"]["logit:1"]["score"] == pytest.approx(expected.score.item(), abs=1e-5)
    picture = image.load(here / "out" / manifest["images"]["logit:1"]["file"])
    torch.testing.assert_close(picture, expected.images, atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_network_for_one_size_is_rendered(
    here: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["render", f"{file}:Fixed", "deep", "--channels", "0,1", "--steps", "2", "-o", "out"]
    assert cli.main([*command, "--size", "32"]) == 0
    assert runs.claimed(here / "out")["steps"].startswith("(Stage(size=32, steps=2),)")
    capsys.readouterr()
    assert cli.main([*command, "--size", "64"]) == 1
    error = capsys.readouterr().err
    assert "cannot take RGB images of 64 x 64 pixels (AssertionError: Input height (64)" in error
    assert error.count("\n") == 1


def test_the_spectrum_of_an_own_network_and_folder(
    here: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained(here, file)
    rows = [f"cat/{number}.png,{'even' if number % 2 == 0 else 'odd'}" for number in range(12)]
    (here / "labels.csv").write_text("\n".join(rows) + "\n")
    command = ["spectrum", f"{file}:make", "--weights", "w.pt", "--layers", "conv, deep", "--data", "photos"]
    command += [
        "--labels",
        "labels.csv",
        "--size",
        "32",
        "-k",
        "2",
        "-o",
        "out",
        "--save",
        "all",
        "--show",
        "deep/3",
    ]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "12 images, 0 broken, 10 channels." in out
    assert "even cat/" in out
    folder = spectrum.Folder(here / "photos", 32)
    expected = spectrum.track(model, ["conv", "deep"], spectrum.batches(folder), k=2)
    assert torch.equal(spectrum.load(here / "all").layers["deep"].best, expected.layers["deep"].best)


def test_own_data_with_own_preprocessing(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["spectrum", f"{file}:make", "--layers", "conv", "--data", f"{file}:Data", "--size", "32"]
    assert cli.main([*command, "-k", "2", "--show", "0", "-o", "out"]) == 0
    out = capsys.readouterr().out
    assert "10 images, 0 broken" in out
    assert "black" in out
    assert "white" in out


def test_the_microscope_of_a_network_for_one_size(here: Path, file: str) -> None:
    command = ["microscope", f"{file}:Fixed", "--layers", "conv,deep", "--data", "photos", "--size", "32"]
    assert cli.main([*command, "-k", "2", "--steps", "2", "--side", "16", "-o", "site"]) == 0
    assert (here / "site" / "index.html").exists()
    sheets = sorted((here / "site" / "optimized").glob("*.webp"))
    assert {image.load(sheet).shape[-1] for sheet in sheets} == {4 * 32, 6 * 32}


def test_the_microscope_refuses_a_size_before_it_reads_an_image(
    here: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["microscope", f"{file}:Fixed", "--layers", "conv", "--data", "photos", "--size", "40"]
    assert cli.main([*command, "-k", "2", "-o", "site"]) == 1
    assert "does not take images of 40 x 40 pixels" in capsys.readouterr().err
    assert not (here / "site").exists()
    assert not (here / "site-work").exists()


def test_weights_of_every_kind_are_read(here: Path, file: str) -> None:
    from interp.zoo import own

    model = trained(here, file)
    state = model.state_dict()
    torch.save({"state_dict": state, "epoch": 3}, here / "checkpoint.ckpt")
    torch.save({f"module.{name}": one for name, one in state.items()}, here / "parallel.pth")
    names = ["w.pt", "checkpoint.ckpt", "parallel.pth"]
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(state, here / "w.safetensors")
    for name in [*names, "w.safetensors"]:
        read = own.with_weights(own.from_file(here / file, "make"), here / name).state_dict()
        assert all(torch.equal(read[key], state[key]) for key in state), name


def test_a_fine_tuned_network_of_torchvision(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.save(models.squeezenet1_1(weights=None, num_classes=5).state_dict(), here / "w.pt")
    command = ["layers", "torchvision:squeezenet1_1", "--weights", "w.pt", "--size", "64"]
    assert cli.main([*command, "--classes", "a,b,c,d,e"]) == 0
    assert "classifier.1                     Conv2d               5 x 3 x 3" in capsys.readouterr().out
    assert cli.main([*command, "--classes", "a,b,c,d"]) == 1
    assert "--classes gives 4 names, and the network has 5 outputs." in capsys.readouterr().err


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("suffix", ["pt", "pth", "safetensors"])
def test_a_pickle_is_never_run(
    here: Path, file: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / f"w.{suffix}").write_bytes(pickle.dumps(Evil()))
    assert cli.main(["layers", f"{file}:make", "--weights", f"w.{suffix}"]) == 1
    torch.save({"state_dict": Evil()}, here / f"v.{suffix}")
    assert cli.main(["layers", f"{file}:make", "--weights", f"v.{suffix}"]) == 1
    errors = capsys.readouterr().err
    assert errors.count("holds no weights that can be read safely") == 2
    assert errors.count("\n") == 2
    assert not (here / "evil").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "FILE:mak"], "There is no name in 'FILE' 'mak'. Closest: make"),
        (["layers", "FILE:number"], "number in 'FILE' gives int, not a network"),
        (["layers", "FILE:broken"], "broken() in 'FILE' fails: ValueError: no such layer"),
        (["layers", "FILE"], "Say what in FILE makes the network: FILE:make"),
        (["layers", "none.py:make"], "'none.py': there is no such file"),
        (["layers", "w.pt"], ".py:NAME --weights w.pt"),
        (["layers", "my_net:Net"], "named with its file: my_net.py:Net"),
        (["layers", "efficientnet_lite"], "Closest: efficientnet_lite"),
        (["layers", "../../etc/passwd"], "There is no model '../../etc/passwd'"),
        (["layers", "FILE:make", "--weights", "none.pt"], "--weights 'none.pt': there is no such file"),
        (["layers", "FILE:make", "--mean", "0.5,0.5,0.5"], "--mean and --std belong together"),
        (["layers", "FILE:make", "--mean", "0.5", "--std", "1"], "images of 1 channels"),
        (
            ["layers", "FILE:make", "--mean", "nan,0,0", "--std", "1,1,1"],
            "--mean takes a number for each channel",
        ),
        (["layers", "FILE:make", "--mean", "124,116,104", "--std", "1,1,1"], "in [0, 1]"),
        (["layers", "FILE:make", "--classes", "none.txt"], "--classes 'none.txt': there is no such file"),
        (
            ["layers", "FILE:make", "--classes", "a,b"],
            "--classes gives 2 names, and the network has 3 outputs",
        ),
        (["layers", "FILE:make", "--size", "0"], "--size is a side"),
        (["layers", "efficientnet_lite0", "--weights", "w.pt"], "efficientnet_lite0 has its weights"),
        (["render", "FILE:make", "conw", "-o", "x"], "There is no layer 'conw'. Closest: conv"),
        (
            [
                "spectrum",
                "FILE:make",
                "--layers",
                "conv",
                "--data",
                "photos",
                "--labels",
                "no.csv",
                "-o",
                "x",
            ],
            "no such",
        ),
        (
            ["spectrum", "FILE:make", "--layers", "conv", "--data", "photos", "--labels", "a.csv", "-o", "x"],
            "row 1",
        ),
        (
            ["spectrum", "FILE:make", "--layers", "conv", "--data", "photos", "--labels", "b.csv", "-o", "x"],
            "no image",
        ),
        (["spectrum", "FILE:make", "--layers", "conv", "--labels", "b.csv", "-o", "x"], "for a folder"),
        (["spectrum", "FILE:make", "--layers", "conv", "--data", "FILE:number", "-o", "x"], "int; a dataset"),
    ],
)
def test_a_mistake_gets_one_clear_line(
    arguments: list[str], message: str, here: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({}, here / "w.pt")
    (here / "a.csv").write_text("alone\n")
    (here / "b.csv").write_text("other.png,cat\n")
    assert cli.main([word.replace("FILE", file) for word in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("interp: ")
    assert message.replace("FILE", file) in error.replace(f"{here}/", "")
    assert error.count("\n") == 1
    assert not (here / "x").exists()


def test_weights_of_another_network_are_told(
    here: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"conv.weight": torch.zeros(2), "fc.bias": torch.zeros(1)}, here / "w.pt")
    assert cli.main(["layers", f"{file}:make", "--weights", "w.pt"]) == 1
    error = capsys.readouterr().err
    assert "5 are missing, such as 'conv.bias'; 1 are not of this network, such as 'fc.bias'" in error
    assert "1 have another shape, such as 'conv.weight'" in error


def test_a_name_of_torchvision_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchvision")
    assert cli.main(["layers", "resnet18"]) == 1
    assert "There is no model 'resnet18'. Closest: torchvision:resnet18" in capsys.readouterr().err
    assert cli.main(["layers", "vgg11"]) == 1
    assert "torchvision:vgg11" in capsys.readouterr().err


def test_a_failure_of_the_network_is_one_line_and_a_traceback_on_demand(
    here: Path, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(name: str) -> nn.Module:
        raise RuntimeError("a\nb")

    monkeypatch.setattr("interp.zoo.load_model", fails)
    assert cli.main(["layers", "efficientnet_lite0"]) == 1
    assert capsys.readouterr().err == "interp: RuntimeError: a b (INTERP_TRACEBACK=1 shows where.)\n"
    monkeypatch.setenv("INTERP_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="a"):
        cli.main(["layers", "efficientnet_lite0"])


# ------------------------------------------------------------------------------------------------------------
# A configuration


def test_a_configuration_does_what_the_commands_do(here: Path, file: str) -> None:
    trained(here, file)
    (here / "all.toml").write_text(
        f'model = "{file}:make"\nweights = "w.pt"\nsize = 32\n'
        '[spectrum]\nlayers = ["conv", "deep"]\ndata = "photos"\nk = 2\noutput = "a/s"\nshow = ["deep/3", 1]\n'
        '[render]\nlayer = "deep"\nsteps = 2\nchannels = "0-1"\nsign = "-"\noutput = "a/r"\n'
    )
    assert cli.main(["run", "all.toml"]) == 0
    own = [f"{file}:make", "--weights", "w.pt", "--size", "32"]
    own_spectrum = ["--layers", "conv,deep", "--data", "photos", "-k", "2", "-o", "b/s"]
    assert cli.main(["spectrum", *own, *own_spectrum]) == 0
    assert (
        cli.main(["render", *own, "deep", "--steps", "2", "--channels", "0-1", "--sign=-", "-o", "b/r"]) == 0
    )
    for folder in ("s", "r"):
        found = [{p.name: p.read_bytes() for p in (here / side / folder).iterdir()} for side in "ab"]
        assert found[0] == found[1]
        assert len(found[0]) >= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "is no TOML file"),
        ("model = 'x'", "names no command"),
        ("[rendr]", "There is no command in 'c.toml' 'rendr'. Closest: render"),
        (
            "[render]\nmodle = 'x'",
            "There is no option in the table [render] of 'c.toml' 'modle'. Closest: model",
        ),
        ("modle = 'x'\n[layers]\nmodel = 'x'", "option above the tables of 'c.toml' 'modle'. Closest: model"),
        ("[layers]\nsize = 3", "The table [layers] of 'c.toml' needs model"),
        ("[layers]\nmodel = [1]", "model takes a text"),
        ("[layers]\nmodel = '--help'", "There is no model '--help'"),
        ("[layers]\nmodel = 'x'\nsize = {a = 1}", "size takes a text"),
        ("[render]\nmodel='x'\nlayer='y'\noutput='z'\ncompile = 'yes'", "compile is true or false"),
    ],
)
def test_a_mistake_in_a_configuration_is_told(
    text: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "c.toml").write_text(text)
    assert cli.main(["run", "c.toml"]) == 1
    assert message in capsys.readouterr().err


def test_all_of_a_configuration_is_checked_before_the_first_command(
    here: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "c.toml").write_text(
        f'model = "{file}:make"\nsize = 32\n[layers]\n[render]\nlayer = "deep"\noutput = "x"\nshare = "all"\n'
    )
    assert cli.main(["run", "c.toml"]) == 1
    captured = capsys.readouterr()
    assert "INDEX/COUNT" in captured.err
    assert captured.out == ""


# ------------------------------------------------------------------------------------------------------------
# As a process


TORCH = re.compile(r"\| +torch\n")  # indented where another module asked for it


def _typed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "interp.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["render", "--help"],
        ["layres"],
        ["layers", "efficientnet_lite"],
        ["layers", "my_net.py:make"],
        ["render", "efficientnet_lite0", "a", "-o", "x", "--channels", "a"],
        ["spectrum", "efficientnet_lite0", "--layers", "a", "--data", "nowhere", "-o", "x"],
        ["run", "none.toml"],
    ],
)
def test_a_slip_is_answered_without_torch(words: list[str]) -> None:
    done = _typed(*words)
    assert not TORCH.search(done.stderr)
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if "--help" in words else 2 if words == ["layres"] else 1)


def test_it_works_as_a_user_types_it(here: Path, file: str) -> None:
    done = _typed("layers", f"{file}:make", "--size", "32")
    assert done.returncode == 0
    assert done.stdout.startswith("conv ")
    assert TORCH.search(done.stderr)  # the sign that the test above looks for


def test_help_says_what_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("layers", "render", "spectrum", "microscope"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        out = " ".join(capsys.readouterr().out.split())
        assert "FILE.py is run as a program is" in out
        assert "Run no file that you do not trust." in out


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_the_number_of_classes_does_not_depend_on_the_order_in_the_file(here: Path, name: str) -> None:
    from interp.zoo import own

    models = pytest.importorskip("torchvision.models")
    state = models.get_model(name, weights=None, num_classes=5).state_dict()
    torch.save(dict(sorted(state.items())), here / "sorted.pt")
    files = ["sorted.pt"]
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(state, here / "w.safetensors")
    for file in [*files, "w.safetensors"]:
        assert own.from_family(f"torchvision:{name}", here / file)(torch.rand(1, 3, 64, 64)).shape == (1, 5)


def test_a_file_that_was_changed_is_run_anew_and_another_is_not(tmp_path: Path) -> None:
    from interp import errors
    from interp.zoo import own

    text = "from torch import nn\nclass Net(nn.Linear): pass\ndef make(): return Net(2, {})\n"
    (file := tmp_path / "changed_since.py").write_text(text.format(2))
    first, second = own.from_file(file, "make"), own.from_file(file, "make")
    assert type(first) is type(second)
    file.write_text(text.format(3))
    assert own.from_file(file, "make").out_features == 3
    (dotted := tmp_path / "my.net.py").write_text(text.format(2))
    with pytest.raises(errors.BadInputError, match="with a dot"):
        own.from_file(dotted, "make")


@pytest.mark.parametrize("name", ["made", "make"])
def test_random_weights_of_any_generator_are_the_same_and_the_others_go_on(tmp_path: Path, name: str) -> None:
    from interp.zoo import own

    text = """import random
import numpy as np, torch
from torch import nn
def make():
    net = nn.Linear(3, 1)
    net.weight.data = torch.tensor([[random.random(), np.random.rand(), torch.rand(()).item()]])
    return net
made = make()
"""
    weights = []
    for number in range(2):
        (file := tmp_path / f"drawn_{name}_{number}.py").write_text(text)
        torch.manual_seed(number), random.seed(number), np.random.seed(number)
        expected = torch.rand(()).item(), random.random(), np.random.rand()
        torch.manual_seed(number), random.seed(number), np.random.seed(number)
        weights.append(own.from_file(file, name).weight)
        assert (torch.rand(()).item(), random.random(), np.random.rand()) == expected
    assert torch.equal(*weights)


def test_the_mark_that_spreadsheets_put_in_front_belongs_to_no_name(tmp_path: Path) -> None:
    from interp.cli import network, sources

    (tmp_path / "labels.csv").write_text("a.png,cat\n", encoding="utf-8-sig")
    (tmp_path / "classes.txt").write_text("cat\ndog\n", encoding="utf-8-sig")
    assert sources.read_labels(str(tmp_path / "labels.csv")).table == {"a.png": "cat"}
    assert network.class_names(str(tmp_path / "classes.txt")) == ("cat", "dog")
