"""The lab of other networks: its engine computes what torch computes, and says what it cannot."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from _pytest.outcomes import Failed
from test_lab import said_by
from torch import Tensor, nn

from interp import attribution, cli, image, lab, zoo
from interp.errors import BadInputError
from interp.lab import site
from interp.lab.plan import names_of, packed, side_of, traced


class Everything(nn.Module):
    """Every operation that the lab has, in forms that are not the usual ones, on numbers of channels that are odd."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, (3, 5), stride=(2, 1), padding=(1, 2), bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 9, 3, groups=3, padding=2, dilation=2)
        self.same = nn.Conv2d(9, 9, 4, padding="same", groups=9)
        self.early = nn.BatchNorm2d(9)
        self.squeeze, self.excite = nn.Conv2d(9, 3, 1), nn.Conv2d(3, 9, 1)
        self.wide = nn.Conv2d(9, 7, 1, stride=3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.first, self.second = nn.Linear(25 * 6, 10), nn.Linear(10, 5)
        self.between = nn.BatchNorm1d(10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu6(self.norm(self.stem(images)))
        x = F.silu(self.same(self.grouped(x)))
        x = torch.relu(self.early(x))  # a batch norm before its rectifier, behind no convolution
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        x = x * gate + x * 0.5 - 0.1
        pooled = F.avg_pool2d(F.pad(x, (1, 0, 0, 2)), 3, stride=2, ceil_mode=True)
        largest = F.max_pool2d(x, (3, 2), stride=2, padding=(1, 0), ceil_mode=True)
        size = pooled.shape[2:]
        x = torch.cat([pooled, F.adaptive_avg_pool2d(largest, size), self._narrow(x, size)], 1)
        x = F.adaptive_avg_pool2d(F.hardswish(x), (2, 3)) * torch.sigmoid(F.adaptive_avg_pool2d(x, (2, 3)))
        x = self.between(self.first(self.dropout(torch.flatten(x, 1)))).clamp(min=-1)
        return self.second(x)

    def _narrow(self, x: Tensor, size: Any) -> Tensor:
        return F.adaptive_avg_pool2d(F.avg_pool2d(self.wide(x), 2, stride=1, padding=1), size)


def vgg() -> nn.Module:
    """A small network with two linear layers behind flattened places."""
    layers: list[nn.Module] = []
    for inside, outside in ((3, 12), (12, 20), (20, 30)):
        layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(30 * 16, 18), nn.ReLU(), nn.Dropout(), nn.Linear(18, 6)]
    return nn.Sequential(*layers, *head)


def pooled() -> nn.Module:
    """Three convolutions, the mean, and a linear layer."""
    layers = [nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 10, 3, stride=2), nn.ReLU()]
    return randomized(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 2)))


def dense() -> nn.Module:
    sizes = {
        "growth_rate": 8,
        "block_config": (2, 2, 2),
        "num_init_features": 10,
        "bn_size": 2,
        "num_classes": 7,
    }
    return torchvision.models.DenseNet(**sizes)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "lite1": (lambda: zoo.load_model("efficientnet_lite1"), 64),
    "lite2": (lambda: zoo.load_model("efficientnet_lite2"), 65),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=11), 64),
    "mobilenet_v3_small": (lambda: torchvision.models.mobilenet_v3_small(num_classes=9), 64),
    "densenet": (dense, 64),
    "vgg": (vgg, 32),
    "everything": (Everything, 31),
}
WITHOUT_MAPS = {"mobilenet_v3_small": "hardswish", "vgg": "relu", "everything": "clamp"}


def randomized(model: nn.Module) -> nn.Module:
    """Give a network with random weights batch norms that do something, and a normalization."""
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for values, low, high in (
                (layer.running_mean, -0.2, 0.2),
                (layer.running_var, 0.5, 2),
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.3, 0.3),
            ):
                values.data.copy_(low + (high - low) * torch.rand(values.shape, generator=generator))
    return zoo.normalized(model.eval(), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def made(name: str) -> nn.Module:
    make, _ = NETWORKS[name]
    torch.manual_seed(0)
    return make() if name.startswith("lite") else randomized(make())


def written(name: str, folder: Path) -> lab.Plan:
    """Write the plan of a network with its weights in 32 bits, an image, what torch makes of it; return the plan."""
    model, side = made(name), NETWORKS[name][1]
    program, graph, _ = traced(model, side)
    planned = packed(program, graph, side, names_of(model, program))
    weights = np.zeros(planned.weights.size, "<f4")
    for step in planned.steps:
        for place, values in zip(("weights", "bias"), program.weights.get(step["name"], ()), strict=False):
            weights[step[place] :][: values.numel()] = values.flatten()  # type: ignore[literal-required]
    assert np.array_equal(weights.astype(np.float16), planned.weights)
    images = zoo.example_images("cat", size=side).requires_grad_()
    logits = model(images)
    toward = torch.linspace(-1, 1, logits.shape[1])
    (gradient,) = torch.autograd.grad((logits[0] * toward).sum(), images)
    folder.mkdir()
    values = {"image": images, "logits": logits, "toward": toward, "gradient": gradient}
    for kind, value in values.items():
        value.detach().numpy().astype("<f4").tofile(folder / f"{kind}.f32")
    weights.tofile(folder / "weights.f32")
    (folder / "plan.json").write_text(json.dumps(planned.as_json()))
    return planned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module")
def planned(folder: Path) -> dict[str, lab.Plan]:
    """Return the plans of all networks."""
    return {name: written(name, folder / name) for name in NETWORKS}


@pytest.fixture(scope="module")
def engine(folder: Path, planned: dict[str, lab.Plan]) -> dict[str, Any]:
    """Return what the engine says of all networks, compared with torch."""
    return said_by("networks.js", *(folder / name for name in planned))


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_gradients_are_those_of_torch(engine: dict[str, Any], name: str) -> None:
    assert engine[name]["logits"] < 1e-4
    # A rectifier at its very edge may be open here and closed there; the deep ones have many.
    assert engine[name]["gradient"] < (2e-2 if name.startswith("lite") else 5e-3)
    assert engine[name]["differing"] == []  # between the kernels in wasm and those in JavaScript


def test_only_networks_that_end_in_pooling_and_a_linear_layer_have_maps(planned: dict[str, lab.Plan]) -> None:
    for name, plan in planned.items():
        if name in WITHOUT_MAPS:
            assert (plan.last, plan.across) == ("", 0)
            assert WITHOUT_MAPS[name] in plan.why
        else:
            assert plan.last
            assert plan.across > 1
            assert plan.why == ""


def test_the_layers_that_can_be_grown_are_the_blocks(planned: dict[str, lab.Plan]) -> None:
    blocks = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
    assert list(planned["resnet18"].grown) == blocks
    assert planned["vgg"].grown[0] == "2"  # where there are none, the layers


def test_the_evidence_of_another_network_is_its_cam() -> None:
    model, images = made("resnet18"), zoo.example_images("cat", size=64)
    heat, shares = lab.evidence(model, images)
    cam = attribution.grad_cam(model, images, int(shares.argmax()), "layer4.1")
    wanted = F.interpolate(heat[None, None].relu() / heat.numel(), (64, 64), mode="bilinear")[0]
    assert torch.allclose(cam, wanted, atol=1e-4 * float(cam.max()))
    with pytest.raises(BadInputError, match=r"no exact maps.*hardswish"):
        lab.evidence(made("mobilenet_v3_small"), images)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), nn.GELU()
        self.norm, self.head = nn.GroupNorm(2, 4), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(self.act(self.conv(images)))
        return self.head(self.act(x).amax((2, 3)))


def test_all_that_the_lab_cannot_compute_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as told:
        lab.write(Odd(), tmp_path / "site", [], lab.Frame.of("odd"), side=32)
    for words in ("gelu in act", "group_norm in norm", "amax in forward", "It has convolutions"):
        assert words in str(told.value)
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("model", "side", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3)), 32, "returns logits"),
        (nn.Sequential(nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 32, "1 channels"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)), 32, "torch.export cannot follow"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2), nn.Softmax(1)), 16, "softmax in 2"),
    ],
)
def test_what_is_no_network_for_the_lab_gets_one_error(model: nn.Module, side: int, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        lab.plan(model.eval(), side=side)


def test_names_of_classes_have_to_fit() -> None:
    with pytest.raises(BadInputError, match="3 names of classes, and the network has 2 outputs"):
        lab.plan(pooled(), side=32, class_names=("a", "b", "c"))
    assert lab.plan(pooled(), side=32).class_names == ("class 0", "class 1")


class Plain(nn.Module):
    """Two convolutions, and an end that is given."""

    def __init__(self, end: Callable[[Tensor], Tensor], inside: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head, self.end = nn.Linear(inside, 3), end

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.end(self.second(self.first(images).relu())))


def mean(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def gated(x: Tensor) -> Tensor:
    return mean(x * F.avg_pool2d(x, [int(side) for side in x.shape[2:]]).sigmoid())


def test_a_pooling_of_the_whole_image_is_a_mean_at_every_side() -> None:
    steps = lab.plan(Plain(gated).eval(), side=16).steps
    assert [step["op"] for step in steps].count("mean") == 2
    assert "average" not in [step["op"] for step in steps]


def test_a_pooling_of_more_or_less_than_the_image_is_no_mean() -> None:
    for end in (
        lambda x: F.avg_pool2d(x, 16, padding=1).flatten(1),
        lambda x: F.avg_pool2d(x, (16, 15)).flatten(1),
    ):
        plan = lab.plan(Plain(end).eval(), side=16)
        assert (plan.last, plan.steps[-2]["op"]) == ("", "average")
        assert "avg_pool2d" in plan.why


@pytest.mark.parametrize(
    ("end", "inside", "words"),
    [
        (lambda x: nn.BatchNorm1d(8 * 256).eval()(x.flatten(1)), 8 * 256, "batch_norm.* of flattened places"),
        (
            lambda x: mean(F.conv2d(x, torch.ones(1, 8, 1, 1)) * torch.arange(8.0).view(1, 8, 1, 1)),
            8,
            "one channel",
        ),
        (lambda x: F.avg_pool2d(x, 16, divisor_override=7).flatten(1), 8, "a divisor"),
    ],
)
def test_odd_forms_are_named(end: Callable[[Tensor], Tensor], inside: int, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        lab.plan(Plain(end, inside).eval(), side=16)


def test_weights_that_16_bits_cannot_tell_apart_are_refused() -> None:
    model = Plain(mean).eval()
    model.head.weight.data.mul_(1e-7)
    model.head.bias.data.zero_()
    with pytest.raises(BadInputError, match=r"in 16 bits.* change by \d+ %"):
        lab.plan(model, side=16)


def at_another_side(end: Callable[[Tensor], Tensor], folder: Path) -> tuple[Any, nn.Module, Tensor]:
    """Return what the engine of a network packed for 16 pixels says of an image of 24, the network, and the image."""
    model = Plain(end, inside=8 * 256).eval()
    plan, images = lab.plan(model, side=16), torch.rand(1, 3, 24, 24)
    (folder / "plan.json").write_text(json.dumps(plan.as_json()))
    plan.weights.astype("<f2").tofile(folder / "weights.f16")
    images.numpy().astype("<f4").tofile(folder / "other.f32")
    return said_by("sides.js", folder), model, images


def test_a_pooling_that_changed_nothing_pools_images_of_another_side(tmp_path: Path) -> None:
    said, model, images = at_another_side(lambda x: F.adaptive_avg_pool2d(x, 16).flatten(1), tmp_path)
    with torch.no_grad():
        wanted = model(images)[0]
    assert torch.allclose(torch.tensor(said["logits"]), wanted, atol=2e-3)
    assert said["told"] == ["This page is made for images of 16 pixels a side, and this one has 24."] * 2


def test_flattened_places_are_no_window_that_slides(tmp_path: Path) -> None:
    said, _, _ = at_another_side(lambda x: x.flatten(1), tmp_path)
    assert "takes 16 × 16 places" in said["logits"]
    assert "images of 16 pixels" in said["logits"]


class Counting(nn.Module):
    """Counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.calls = Plain(mean), nn.Buffer(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.plain(images)


def test_a_network_that_changes_itself_is_told_so() -> None:
    with pytest.raises(BadInputError, match=r"changes 'calls', such as a count"):
        lab.plan(Counting().eval(), side=16)


def test_many_weights_are_told_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "HEAVY", 1000)
    monkeypatch.setattr(site, "_write_weights", lambda *_: pytest.fail("written before it was told"))
    with pytest.warns(UserWarning, match=r"are \d+ MB in 16 bits.*weights.js") as told, pytest.raises(Failed):
        lab.write(Plain(mean).eval(), tmp_path / "site", [], side=16)
    assert len(told) == 1


def test_classes_that_would_be_one_name_are_told_apart() -> None:
    plan = lab.plan(Plain(mean).eval(), side=16, class_names=("Crane", "crane ", "stork"))
    assert plan.class_names == ("Crane (class 0)", "crane (class 1)", "stork")


def test_a_single_logit_is_yes_against_no() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    seen = torch.rand(1, 3, 16, 16)
    _, shares = lab.evidence(model.eval(), seen)
    assert torch.allclose(shares, model(seen)[0].sigmoid(), atol=1e-5)
    assert float(shares) != 1


def test_a_layer_may_be_called_side() -> None:
    model = Plain(mean).eval()
    model.side = nn.Conv2d(8, 8, 1)
    assert side_of(model) == 224


def test_small_pictures_that_leave_no_places_are_left_out(tmp_path: Path) -> None:
    wide = [nn.Conv2d(3, 4, 9, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 15), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    plan = lab.plan(nn.Sequential(*wide, *head).eval(), side=64)
    (tmp_path / "plan.json").write_text(json.dumps(plan.as_json()))
    plan.weights.astype("<f2").tofile(tmp_path / "weights.f16")
    said = said_by("small.js", tmp_path, plan.last, 128, 64, 32)
    assert (said["128"], said["64"]) == (64, 64)
    assert "no places in a picture of 32" in said["32"]


class Smooth(nn.Module):
    """A network whose last activation has a slope at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 9, 3, stride=2)
        self.head = nn.Linear(9, 3)

    def forward(self, images: Tensor, off: tuple[int, ...] = ()) -> Tensor:
        deep = F.silu(self.last(F.silu(self.first(images))))
        keep = torch.ones(9)
        keep[list(off)] = 0
        return self.head((deep * keep.view(1, -1, 1, 1)).mean((2, 3)))


def test_nothing_goes_back_through_a_channel_that_is_switched_off(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, off = Smooth().eval(), (1, 4, 7)
    plan, images = lab.plan(model, side=17), torch.rand(1, 3, 17, 17, requires_grad=True)
    (tmp_path / "plan.json").write_text(json.dumps(plan.as_json()))
    plan.weights.astype("<f2").tofile(tmp_path / "weights.f16")
    images.detach().numpy().tofile(tmp_path / "image.f32")
    said = said_by("off.js", tmp_path, *off)
    logits = model(images, off)
    (slope,) = torch.autograd.grad(logits[0, 2], images)
    assert said["logits"] == pytest.approx(logits[0].tolist(), abs=2e-3)
    wanted = slope[0].abs().amax(0).flatten()
    assert said["saliency"] == pytest.approx(wanted.tolist(), abs=1e-2 * float(wanted.max()))


class Functional(nn.Module):
    """A network whose rectifiers are no layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 9, 3), nn.Linear(9, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.relu(self.last(F.relu(self.first(images)))).mean((2, 3)))


def test_rectifiers_that_are_no_layers_can_be_grown() -> None:
    plan = lab.plan(Functional().eval(), side=17)
    assert plan.depths == plan.grown == ("forward:relu", "forward:relu#2")
    assert plan.last == plan.grown[-1]


def own_file() -> str:
    """Write a file that makes networks into the folder that one is in, and return its name, which no other has."""
    name = f"mine_{uuid.uuid4().hex[:8]}.py"
    Path(name).write_text(OWN.format(tests=str(Path(__file__).parent)))
    return name


OWN = """
import sys
sys.path.append({tests!r})
from test_lab_networks import pooled, vgg, randomized
def make(): return pooled()
def without(): return randomized(vgg())
"""


def test_a_site_of_an_own_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = own_file()
    image.save(zoo.photograph("cat"), "a cat.png")
    given = ["lab", f"{file}:make", "--classes", "leaf,stone", "--size", "64"]
    assert cli.main([*given, "--images", "a cat.png", "-o", "site"]) == 0
    assert "Open site/index.html" in capsys.readouterr().out
    page = Path("site/index.html").read_text()
    assert 'href=""' not in page
    assert "../book" not in page
    assert "One worked example" in page
    assert f"<h1>{file}:make, live</h1>" in page
    assert "20 of the 196 places are painted" in page
    assert 'src="examples/a-cat-map.webp"' in page
    assert '"leaf","stone"' in Path("site/plan.js").read_text()
    named = ["cat-2.png", "b/cat.png", "a/cat.png", "Classes.png"]
    for number, name in enumerate(named):
        Path(name).parent.mkdir(exist_ok=True)
        image.save(torch.full((1, 3, 64, 64), number / 4), name)
    assert cli.main([*given, "--images", *named, "-o", "site"]) == 0
    shown = Path("site/examples.js").read_text()
    assert "a-cat" not in shown  # of the page that was there
    assert sorted(re.findall(r'"([a-z0-9-]+)":', shown)) == ["cat", "cat-0", "cat-2", "classes-0"]
    page = Path("site/index.html").read_text()
    assert re.findall(r'<figure class="example" id="([^"]+)"', page) == ["cat-2", "cat", "cat-0", "classes-0"]
    assert cli.main(["lab", f"{Path.cwd() / file}:without", "--size", "32", "-o", "other"]) == 0
    page = Path("other/index.html").read_text()
    assert f"<h1>{file}:without, live</h1>" in page
    assert "There are no exact maps of classes: before its last linear layer comes relu" in page
    assert "worked example" not in page


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--images", "none.png"], "none.png"),
        (["--size", "4"], "--size"),
        (["--classes", "a,b,c"], "3 names, and the network has 2 outputs"),
        (["-o", "taken"], "'taken' holds something else"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    more: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("")
    assert cli.main(["lab", f"{own_file()}:make", "-o", "site", *more]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not Path("site").exists()
