"""What `interp lab` makes of a network of one's own, in a browser: torch's logits and maps, from folder and server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import attribution, cli, hooks, image
from interp.cli import network
from tests.browser.conftest import OpenPage, _serving
from tests.browser.test_lab import loaded, looked, until

SIDE = 64
OWN = """
import torch, torchvision
from torch import nn
import torch.nn.functional as F

class Hand(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 10, 5, stride=2, padding=2), nn.BatchNorm2d(10)
        self.left, self.right = nn.Conv2d(10, 12, 3, stride=2, padding=1, groups=2), nn.Conv2d(10, 12, 1, stride=2)
        self.gate, self.end, self.head = nn.Conv2d(24, 24, 1), nn.Conv2d(24, 14, 3, padding=1), nn.Linear(14, 5)

    def forward(self, images):
        x = F.relu6(self.norm(self.stem(images)))
        x = torch.cat([F.silu(self.left(x)), self.right(x).relu()], 1)
        x = x * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        return self.head(F.max_pool2d(self.end(x).relu(), 2).mean((2, 3)))

def made(kind):
    torch.manual_seed(0)
    return kind().eval()

class Colors(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 5)

    def forward(self, images):
        return self.head(images.mean((2, 3)))

def hand(): return made(Hand)
def colors(): return made(Colors)
def flat(): return made(lambda: nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 5)))
def residual(): return made(lambda: torchvision.models.resnet18(num_classes=5))
"""
LAST = {"hand": "end", "residual": "layer4.1"}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Return a folder with two pages in it, below a name that has to be quoted, and the address that serves it."""
    pytest.importorskip("torchvision")
    folder = tmp_path_factory.mktemp("own")
    (folder / "my networks.py").write_text(OWN)
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    image.save(image.resize(noise, (SIDE, SIDE)).clamp(0, 1), folder / "blots.png")
    for name in (*LAST, "colors", "flat"):
        given = [
            "lab",
            f"{folder / 'my networks.py'}:{name}",
            "--size",
            str(SIDE),
            "--title",
            f"Mine, {name}",
        ]
        made = [*given, "--images", str(folder / "blots.png"), "-o", str(folder / "two sites" / name)]
        (folder / "two sites").mkdir(exist_ok=True)
        assert cli.main(made) == 0
    with _serving(folder) as address:
        yield folder, address


def own(folder: Path, name: str) -> nn.Module:
    """Return a network as the command reads it."""
    given = cli.parser().parse_args(
        ["lab", f"{folder / 'my networks.py'}:{name}", "--size", str(SIDE), "-o", "x"]
    )
    model: nn.Module = network.load(given)
    return model


def number(text: str) -> float:
    return float(text.replace("\u2212", "-").replace("+", ""))


@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("from_folder", [False, True])
def test_its_logits_and_maps_are_those_of_torch(
    sites: tuple[Path, str], open_page: OpenPage, name: str, from_folder: bool
) -> None:
    folder, server = sites
    start = f"file://{folder}/two sites" if from_folder else f"{server}/two%20sites"
    model, images = own(folder, name), image.load(folder / "two sites" / name / "examples" / "blots.webp")
    with torch.no_grad():
        logits = model(images)[0]
    maps = _maps(model, images, LAST[name])
    with open_page(f"{start}/{name}/index.html") as page:
        assert f"Mine, {name}" in page.inner_text("h1")
        loaded(page)
        looked(page, "blots")
        for index in range(5):
            page.fill(".find input", f"class {index}")
            page.press(".find input", "Enter")
            until(page, f"document.querySelector('.status').textContent === 'Map of class {index}.'")
            said = re.search(r"that is the logit, (\S+)\. ", page.inner_text(".about"))
            assert said
            assert number(said[1]) == pytest.approx(float(logits[index]), abs=0.02)
        assert _places(page) == pytest.approx(
            maps[4].flatten().tolist(), abs=0.02 + 0.004 * float(maps[4].abs().max())
        )
        page.click(".grow .go")
        until(page, "/^Step [1-9]/.test(document.querySelector('.grown figcaption').textContent)")
        page.click(".grow .stop")
        until(page, "/, seed 0: .* after/.test(document.querySelector('.status').textContent)")
        assert page.trouble == []  # no request to another site, nothing that the policy forbids


def _maps(model: nn.Module, images: Tensor, layer: str) -> Tensor:
    """Return what each place adds to each logit, and check it with Grad-CAM, which sees only what is positive."""
    weight = [one for one in model.modules() if isinstance(one, nn.Linear)][-1].weight
    deep = hooks.activations(model, images, layer)
    if layer == "end":
        deep = F.max_pool2d(deep.relu(), 2)
    maps = torch.einsum("kc,chw->khw", weight, deep[0]).detach()
    if layer != "end":
        heat = attribution.grad_cam(model, images, 4, layer)[0]
        wanted = F.interpolate((maps[4].relu() / maps[4].numel())[None, None], (SIDE, SIDE), mode="bilinear")[
            0, 0
        ]
        assert torch.allclose(heat, wanted, atol=1e-3 * float(heat.max()))
    return maps


def _places(page: Any) -> list[float]:
    """Return what the page says of every place."""
    found = []
    for place in range(page.locator(".cells button").count()):
        page.locator(".cells button").nth(place).click()
        row = "document.querySelector('.rest').textContent.includes('add')"
        until(page, f"{row} && document.querySelectorAll('.cells button')[{place}].ariaSelected === 'true'")
        said = re.search(r"all channels together add (\S+) here", page.inner_text(".rest"))
        assert said
        found.append(number(said[1]))
    return found


def test_a_classifier_of_the_image_itself_has_a_page(sites: tuple[Path, str], open_page: OpenPage) -> None:
    with open_page(f"{sites[1]}/two%20sites/colors/index.html#blots/class 1/9") as page:
        loaded(page)
        until(page, "document.querySelector('.rest').textContent.startsWith('Row 1, column 10, class 1:')")
        assert not page.is_visible(".grow .go")
        assert page.trouble == []


def test_without_maps_an_address_asks_for_none(sites: tuple[Path, str], open_page: OpenPage) -> None:
    with open_page(f"{sites[1]}/two%20sites/flat/index.html#blots/class 1//erase") as page:
        loaded(page)
        until(page, "decodeURIComponent(location.hash) === '#blots/class 1'")
        page.wait_for_timeout(500)
        assert page.get_attribute(".status", "class") == "status"
        assert page.trouble == []
