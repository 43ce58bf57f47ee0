"""A network as ONNX: the logits are torch's, and the second output is the class-activation map of every class."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from test_lab_networks import dense, own_file, pooled, randomized
from torch import nn

from interp import attribution, cli, lab, zoo
from interp.errors import BadInputError, MissingFileError

NETWORKS = {
    "pooled": (pooled, "3"),
    "dense": (lambda: randomized(dense()), None),  # whose last ReLU is no layer
    "lite0": (zoo.load_model, "act_head"),  # some of whose kernels torch.export pads with zeros
    "resnet18": (lambda: randomized(torchvision.models.resnet18(num_classes=5)), "layer4.1"),
}


def needs_the_extra() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"no {package}: pip install 'interp[onnx]'")


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_gives_the_logits_and_the_maps(name: str, tmp_path: Path) -> None:
    needs_the_extra()
    import onnxruntime

    make, layer = NETWORKS[name]
    torch.manual_seed(0)
    model, images = make(), zoo.example_images("cat", "coffee", "rocket", size=64)
    shape = lab.export_onnx(model, tmp_path / "network.onnx", side=64)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    logits, maps = (
        torch.from_numpy(one) for one in session.run(["logits", "maps"], {"images": images.numpy()})
    )
    with torch.no_grad():
        wanted = model(images)
    assert maps.shape == (3, *shape)
    assert torch.allclose(logits, wanted, atol=1e-4 * float(wanted.abs().max()))
    bias = list(model.parameters())[-1]
    assert torch.allclose(maps.mean((2, 3)) + bias, wanted, atol=1e-4 * float(wanted.abs().max()))
    for index in range(min(shape[0], 5)) if layer else ():
        heat = attribution.grad_cam(model, images, index, str(layer))
        mine = F.interpolate(
            (maps[:, index : index + 1] / (shape[1] * shape[2])).relu(), (64, 64), mode="bilinear"
        )
        assert torch.allclose(heat, mine[:, 0], atol=1e-4 * float(heat.max()) + 1e-7)


def test_the_command_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_the_extra()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", f"{own_file()}:make", "--onnx", "out.onnx", "--size", "64"]) == 0
    assert "out.onnx: images -> logits (2) and maps (2 x 14 x 14)" in capsys.readouterr().out
    assert Path("out.onnx").stat().st_size > 0


def test_a_network_without_maps_is_refused(tmp_path: Path) -> None:
    needs_the_extra()
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2)).eval()
    with pytest.raises(BadInputError, match="before its last linear layer comes the image"):
        lab.export_onnx(model, tmp_path / "network.onnx", side=64)
    with pytest.raises(MissingFileError, match="no folder"):
        lab.export_onnx(pooled(), tmp_path / "none" / "network.onnx", side=64)
    assert not list(tmp_path.iterdir())


class Restless(nn.Module):
    """Drops channels also in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(self.conv(images).relu()).relu().mean((2, 3)))


def test_a_network_that_answers_otherwise_each_time_is_refused(tmp_path: Path) -> None:
    needs_the_extra()
    with pytest.raises(BadInputError, match="other logits each time"):
        lab.export_onnx(Restless().eval(), tmp_path / "network.onnx", side=64)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "words"), [("out.pt", "ends in .onnx"), ("none/out.onnx", "no folder 'none'")]
)
def test_mistakes_are_told_first(
    file: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "efficientnet_lite0", "--onnx", file]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_lab_itself_imports_nothing_of_the_extra() -> None:
    code = "import sys, interp.lab; print(sorted({'onnx', 'onnxscript', 'onnxruntime'} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
