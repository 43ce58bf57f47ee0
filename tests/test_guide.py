"""The guide to one's own network: its files, its commands and its code, run in order, in an untidy folder."""

from __future__ import annotations

import copy
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from test_layouts import SQUARE, Tokens
from torch import Tensor, nn

from interp import attribution, cli, hooks, image, spectrum
from interp import featurevis as fv

PAGE = Path(__file__).resolve().parents[1] / "book" / "appendix" / "your-own-network.md"
BLOCK = re.compile(r"^```(python|bash|toml|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w.]+)\n")


@dataclass
class Ran:
    """What the guide left behind: the names of its code, and what each command printed."""

    folder: Path
    names: dict[str, Any]
    printed: dict[str, str]


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("guide")
        patch.chdir(folder)
        patch.setattr(sys, "path", [str(folder), *sys.path])
        for name in ("my_model", "__main__.guide"):
            patch.delitem(sys.modules, name, raising=False)
        yield run(folder)
        sys.modules.pop("my_model", None)


def run(folder: Path) -> Ran:
    """Do what the page says, block after block."""
    ran, last = Ran(folder, {}, {}), ""
    untidy(folder / "photos")
    for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        file = FILE.match(text)
        if kind == "bash":
            last = text.strip()
            ran.printed[last] = printed(last)
        elif kind == "text":
            assert ran.printed[last] == text
        elif file:
            (folder / file[1]).write_text(text)
            if kind == "python":
                checkpoint(folder)
        else:
            exec(compile(text, str(PAGE), "exec"), ran.names)
    return ran


def printed(command: str) -> str:
    """Return what a command prints; it has to succeed."""
    with pytest.MonkeyPatch.context() as patch:
        out: list[str] = []
        patch.setattr(sys.stdout, "write", out.append)
        program, *words = shlex.split(command)
        assert program == "interp"
        assert cli.main(words) == 0, command
    return "".join(out)


def checkpoint(folder: Path) -> None:
    """Write what a training program leaves: weights of a network on several devices, in a checkpoint."""
    import my_model

    torch.manual_seed(0)
    net = my_model.make()
    state = {f"module.{name}": weight for name, weight in net.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, folder / "checkpoint.pt")


def untidy(photos: Path) -> None:
    """Make a folder as people have it."""
    for folder in ("leaves", "stones", "__MACOSX", ".thumbnails"):
        (photos / folder).mkdir(parents=True)
    for number in range(8):
        picture = torch.rand(1, 3, 60 + number, 90, generator=torch.Generator().manual_seed(number))
        image.save(picture, photos / "leaves" / f"{number}.jpg")
        image.save(picture.flip(1) / 2, photos / "stones" / f"{number}.png")
    Image.new("RGBA", (70, 64), (200, 10, 10, 99)).save(photos / "leaves" / "clear.png")
    Image.new("L", (64, 300), 77).save(photos / "stones" / "gray and tall ü.webp")
    (photos / "stones" / "cut.jpg").write_bytes((photos / "leaves" / "1.jpg").read_bytes()[:200])
    (photos / "stones" / "notes.txt").write_text("from the beach")
    (photos / ".DS_Store").write_bytes(b"\0\1")
    (photos / "__MACOSX" / "._1.jpg").write_bytes(b"\0")
    (photos / ".thumbnails" / "1.jpg").write_bytes(b"\0")


def test_maps_are_those_of_the_network_with_its_normalization(guide: Ran) -> None:
    net, images = guide.names["net"], guide.names["images"]
    leaf = images.clone().requires_grad_()
    logits = net((leaf - 0.5) / 0.25)
    (slope,) = torch.autograd.grad(logits[0, 0] + logits[1, 1], leaf)
    torch.testing.assert_close(guide.names["pixels"], slope.abs().amax(dim=1))
    assert guide.names["regions"].shape == (2, 64, 64)
    assert guide.names["rather"].any()
    assert image.load("where.png").std() > 0.05


def test_the_command_and_the_code_render_the_same(guide: Ran) -> None:
    manifest = json.loads((guide.folder / "renderings" / "manifest.json").read_text())
    file = guide.folder / "renderings" / manifest["images"]["conv3:3"]["file"]
    theirs, ours = image.load(file), guide.names["rendering"].images
    torch.testing.assert_close(theirs, ours, atol=0.02, rtol=0)
    assert len(list((guide.folder / "renderings").glob("*.png"))) == 4
    assert guide.names["rendering"].score > -guide.names["opposite"].score
    assert image.load("channel-3.png").shape == (1, 3, 64, 64)


def test_the_spectrum_is_of_all_pictures_that_can_be_read(guide: Ran) -> None:
    found, source = guide.names["found"], guide.names["source"]
    assert found.images == 18
    assert [Path(each.name).name for each in found.broken] == ["cut.jpg"]
    (said,) = (text for command, text in guide.printed.items() if command.startswith("interp spectrum"))
    assert "18 images, 1 broken, 12 channels." in said
    pictures = {entry.id: entry.load() for entry in source.find(range(19)) if "cut" not in entry.name}
    net = guide.names["net"]
    with torch.no_grad():
        scores = {id_: net_conv3(net, one) for id_, one in pictures.items()}
    assert list(found["conv3", 3].band("maximum").ids) == sorted(scores, key=scores.__getitem__)[:-5:-1]
    assert image.load("conv3-3.png").std() > 0.05


def net_conv3(net: Any, images: Tensor) -> float:
    hidden = net.conv2(net.conv1((images - 0.5) / 0.25).relu()).relu()
    return float(net.conv3(hidden)[:, 3].mean())


def test_the_site_is_there_and_the_file_repeats_nothing(guide: Ran) -> None:
    assert (guide.folder / "site" / "index.html").exists()
    assert (guide.folder / "site" / "data" / "conv3.js").exists()
    said = guide.printed["interp run all.toml"]
    for part in ("4 of 4 pictures", "18 images, 1 broken", "Open site/index.html"):
        assert part in said
    kept = [*(guide.folder / "renderings").glob("*.png"), *(guide.folder / "spectrum").glob("*.spectrum")]
    kept += (guide.folder / "site-work").rglob("*.png")
    config = (guide.folder / "all.toml").stat().st_mtime_ns
    assert len(kept) > 40
    assert [path.name for path in kept if path.stat().st_mtime_ns > config] == []


# ------------------------------------------------------------------------------------------------------------
# Targets


class Returns(nn.Module):
    """A network that returns something else than logits."""

    def __init__(self, net: nn.Module, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.form = net, form

    def forward(self, images: Tensor) -> Any:
        return self.form(self.net(images))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("of_dict", lambda logits: {"logits": logits, "features": None}),
        ("of_tuple", lambda logits: (logits, "more")),
        ("of_dataclass", lambda logits: SimpleNamespace(logits=logits)),
    ],
)
def test_targets_for_other_outputs(guide: Ran, name: str, form: Callable[[Tensor], Any]) -> None:
    model, images = guide.names["model"], guide.names["images"]
    wrapped = Returns(model, form).eval()
    torch.testing.assert_close(
        attribution.saliency(wrapped, images, guide.names[name]), attribution.saliency(model, images, 0)
    )
    torch.testing.assert_close(
        attribution.grad_cam(wrapped, images, guide.names[name], "net.model.act3"),
        attribution.grad_cam(model, images, 0, "act3"),
    )


@pytest.mark.parametrize(
    ("network", "layer", "options"),
    [
        ("lraspp_mobilenet_v3_large", "classifier.cbr", {}),
        ("ssdlite320_mobilenet_v3_large", "backbone.features.0", {"score_thresh": 0.0}),
    ],
)
def test_targets_for_segmentation_and_detection(
    guide: Ran, network: str, layer: str, options: dict[str, float]
) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    net = models.get_model(network, weights=None, weights_backbone=None, num_classes=5, **options).eval()
    target = guide.names["of_segmentation" if layer.startswith("class") else "of_detection"]
    images = guide.names["images"]
    leaf = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(target(net(leaf)).sum(), leaf)
    assert slope.any()
    torch.testing.assert_close(attribution.saliency(net, images, target), slope.abs().amax(dim=1))
    assert attribution.grad_cam(net, images, target, layer).shape == (2, 64, 64)


# ------------------------------------------------------------------------------------------------------------
# What is refused


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(Exception, match=r".") as caught:
        call()
    return str(caught.value)


class Two(nn.Module):
    def forward(self, images: Tensor, second: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) + second


class Local(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), lambda x: x


class OneSize(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[-1] == 224
        return images


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten(1)[:, :9]
        return self.act((rows[:, None] * rows[:, :, None])[:, None]).mean(dim=(2, 3))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        return self.act(self.act(images))


def test_the_guide_quotes_errors_as_they_are(guide: Ran) -> None:
    """Each quotation in bold is a part of an error that such a network gives."""
    images = guide.names["images"]
    job = spectrum.Job(Local(), ("conv",), guide.names["source"])
    said = [
        refused(lambda: fv.render(OneSize().eval(), fv.logit(0), size=64, steps=2)),
        refused(lambda: attribution.grad_cam(Tokens().eval(), SQUARE, 0, "blocks.1")),
        refused(lambda: spectrum.run(job, guide.folder / "no", engine=spectrum.processes(2))),
        refused(lambda: attribution.saliency(Two(), images, 0)),
        refused(lambda: hooks.activations(Pairs().eval(), images, "act")),
        told(Shared().eval(), images, "act"),
    ]
    page = re.sub(r"\s+", " ", PAGE.read_text(encoding="utf-8"))
    quoted = re.findall(r"\*\*\"(.*?)\"\*\*", page)
    assert len(quoted) >= 5
    for quotation in quoted:
        parts = [part.strip(" .") for part in quotation.split("...") if part.strip(" .")]
        assert any(all(part in text for part in parts) for text in said), quotation


def test_a_second_input_is_held(guide: Ran) -> None:
    images = guide.names["images"]
    held = guide.names["Fixed"](Two(), torch.ones(1, 3)).eval()
    torch.testing.assert_close(held(images), images.mean(dim=(2, 3)) + 1)
    assert attribution.saliency(held, images, 1).shape == (2, 64, 64)


def test_half_precision_works_as_the_guide_says(guide: Ran) -> None:
    half, images = copy.deepcopy(guide.names["model"]).bfloat16(), guide.names["images"]
    found = attribution.grad_cam(half, images, 0, "act3")
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found,
        attribution.grad_cam(guide.names["model"], images, 0, "act3"),
        atol=0.05 * found.max().item(),
        rtol=0,
    )


def told(model: nn.Module, images: Tensor, layer: str) -> str:
    with pytest.warns(UserWarning, match=r".") as caught, hooks.record(model, [layer]):
        model(images)
    return str(caught[0].message)
