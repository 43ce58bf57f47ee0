"""The lab: the plan is the network, its engine computes what torch computes, forward and backward."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image
from torch import Tensor, nn

from interp import featurevis, folding, hooks, lab, zoo
from interp.errors import BadInputError
from interp.featurevis import transforms

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("act_stem", "blocks.1.0", "blocks.3.2", "act_head")
TARGET = 281


def node() -> str:
    found = shutil.which("node") or shutil.which(str(ROOT / ".venv" / "node" / "node"))
    return found or pytest.skip("no node: `make test` brings one where the machine has none")


@pytest.fixture(scope="module")
def planned() -> lab.Plan:
    return lab.plan(zoo.load_model())


def rounded() -> nn.Module:
    """Return the network with the weights that are shipped: batch norm folded, 16 bits."""
    model = folding.fold(zoo.load_model())
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    return model


@pytest.fixture(scope="module")
def inputs(planned: lab.Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the plan, the weights, an image, a smaller one, and what torch makes of the first."""
    folder = tmp_path_factory.mktemp("engine")
    model, image = rounded(), zoo.example_images("cat").requires_grad_()
    with hooks.record(model, LAYERS) as found:
        logits = model(image)
    gradients = torch.autograd.grad(logits[0, TARGET], [image, *(found[name] for name in LAYERS)])
    values = {"image": image, "logits": logits, "gradient": gradients[0]}
    values |= {"small": zoo.example_images("cat", size=64)} | {name: found[name] for name in LAYERS}
    for name, gradient in zip(LAYERS, gradients[1:], strict=True):
        value = found[name]  # the engine keeps the gradient before a ReLU6, torch gives the one behind it
        values[f"{name}-gradient"] = gradient * ((value > 0) & (value < 6)) if "act" in name else gradient
    for name, value in values.items():
        value.detach().numpy().astype("<f4").tofile(folder / f"{name}.f32")
    planned.weights.astype("<f2").tofile(folder / "weights.f16")
    (folder / "plan.json").write_text(json.dumps(planned.as_json()))
    return folder


def said_by(script: str, *arguments: object) -> dict[str, Any]:
    """Return what a script in tests/node prints."""
    command = [node(), str(ROOT / "tests" / "node" / script), *map(str, arguments)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(str(said)[:2000])  # shown where a test fails
    return dict(said)


@pytest.fixture(scope="module")
def engine(inputs: Path) -> dict[str, Any]:
    """Return what the engine says of the images, compared with torch."""
    return said_by("engine.js", inputs)


def test_logits_and_gradients_are_those_of_torch(engine: dict[str, Any]) -> None:
    assert engine["logits"] < 1e-3
    # Of four million rectifiers a few stand so near to their edge that rounding decides whether they are open.
    assert engine["gradient"] < 5e-3
    for name, (value, gradient) in engine["layers"].items():
        assert value < 1e-3, name
        assert gradient < 5e-3, name


def test_a_gradient_is_the_slope_of_the_logit(engine: dict[str, Any]) -> None:
    measured, computed = engine["slope"]
    assert measured == pytest.approx(computed, rel=0.05)


def test_plain_javascript_computes_the_same_bits(engine: dict[str, Any]) -> None:
    assert engine["differing"] == []


def test_a_channel_that_is_switched_off_takes_its_share_along(engine: dict[str, Any]) -> None:
    worst, largest = engine["without"]
    assert worst < 1e-5 < largest


def test_another_size_leaves_nothing_behind(engine: dict[str, Any]) -> None:
    assert engine["again"]


def test_the_plan_names_the_layers_and_holds_every_weight_once(planned: lab.Plan) -> None:
    steps = planned.as_json()["steps"]
    assert isinstance(steps, list)
    names = {"input", *(step["name"] for step in steps)}
    assert {"act_stem", "blocks.3.2", "blocks.6.0", "act_head", "logits"} <= names
    assert all(step["from"] in names and step.get("plus", "input") in names for step in steps)
    places = sorted(step[kind] for step in steps for kind in ("weights", "bias") if kind in step)
    assert len(set(places)) == len(places)
    assert places[0] == 0
    assert planned.weights.size == sum(value.numel() for value in folded_weights())


def folded_weights() -> list[Tensor]:
    return list(folding.fold(zoo.load_model()).parameters())


def test_the_weights_are_those_of_the_folded_network_in_16_bits(planned: lab.Plan) -> None:
    head = next(step for step in planned.steps if step["name"] == "act_head")
    weight = folding.fold(zoo.load_model()).conv_head.weight
    found = planned.weights[head["weights"] :][: weight.numel()]
    assert np.array_equal(found, weight.detach().numpy().ravel().astype(np.float16))


def test_pictures_grow_as_far_as_in_python(inputs: Path) -> None:
    layer, channels, steps = "blocks.3.2", (0, 1, 44), 48
    said = said_by("grow.js", inputs, layer, steps, *channels)
    model = zoo.load_model()
    for channel, score, (measured, computed) in zip(channels, said["scores"], said["slopes"], strict=True):
        ours = featurevis.render(model, featurevis.channel(layer, channel), steps=steps).score
        assert score > 0.8 * float(ours), channel
        assert measured == pytest.approx(computed, rel=0.05), channel
    assert said["same"]


def test_what_the_page_asks_is_answered(inputs: Path) -> None:
    said = said_by("worker.js", inputs)
    assert said["fast"]
    assert said["first"] == "Egyptian cat"
    # The mean of a map and the bias are the logit; the channels add up to the map, and take their shares along.
    assert max(said[name] for name in ("bias", "parts", "against", "without")) < 1e-4
    assert said["back"] == said["still"] == said["afterwards"] == 0  # another question leaves nothing behind
    assert said["gray"] < -1
    assert said["units"] == sorted(said["units"], reverse=True)
    assert said["saliency"][0] == 224**2
    assert 0 <= said["saliency"][1] < said["saliency"][2]
    # As it is, twice in one that has forgotten, with other pixels; and afterwards nothing is left of that.
    assert said["views"][:3] == [0, 0, 0]
    assert min(said["views"][3], said["noisy"]) > 0.1
    assert said["whole"] == 0
    assert said["depth"] == [7, 1280, 112, 32]
    assert said["evidence"] < 1e-4  # behind the last layer all is linear: gradient x activation is the map
    assert said["together"][:2] == [0, 0]  # two that grow beside one another are those that grow alone
    assert said["together"][2] > 0.01
    assert said["grown"] == [5, 5, 3 * 32**2]  # halted after five steps, in the stage at half the side
    assert said["error"]


@torch.no_grad()
def test_twenty_photographs_get_torchs_five_classes_and_maps(inputs: Path) -> None:
    """The classes in torch's order wherever two scores differ by more than 16 bits of weight may change."""
    model, shipped, names = zoo.load_model(), rounded(), zoo.photograph_names()[:10]
    images = torch.cat([zoo.example_images(name) for name in names])
    images = torch.cat([images, images.flip(3)])
    images.numpy().astype("<f4").tofile(inputs / "photographs.f32")
    with hooks.record(shipped, ["act_head"]) as found:
        wanted, full = shipped(images), model(images)
    maps = torch.einsum("kc,nchw->nkhw", shipped.classifier.weight, found["act_head"])
    for n, said in enumerate(said_by("looks.js", inputs, len(images))["said"]):
        logits, first = torch.tensor(said["logits"]), int(wanted[n].argmax())
        assert float((logits - wanted[n]).abs().max()) < 1e-3
        top = full[n].topk(6)
        clear = next((k for k in range(5, 0, -1) if top.values[k - 1] - top.values[k] > 0.1), 0)
        assert set(logits.topk(clear).indices.tolist()) == set(top.indices[:clear].tolist())
        heat = torch.tensor(said["map"])
        assert int(logits.argmax()) == first
        assert float(torch.corrcoef(torch.stack([heat, maps[n, first].flatten()]))[0, 1]) > 0.999


@pytest.mark.parametrize("turn", [(0, 1, 0, 0), (12, 1.1, 3, -5), (-15, 0.85, 8, 8)])
def test_a_picture_is_warped_as_in_python(turn: tuple[float, ...], tmp_path: Path) -> None:
    side = 32
    code = (
        "const { warping } = require(process.argv[1]), [side, ...turn] = process.argv.slice(2).map(Number);"
        "const { places, weights } = warping(side, ...turn);"
        "console.log(JSON.stringify({ places: [...places], weights: [...weights] }));"
    )
    arguments = [str(ROOT / "interp/lab/web/ascent.js"), str(side), *map(str, turn)]
    said = json.loads(
        subprocess.run([node(), "-e", code, *arguments], check=True, capture_output=True).stdout
    )
    images = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    places, weights = (torch.tensor(said[name]).view(-1, 4) for name in ("places", "weights"))
    ours = (images.flatten()[places] * weights).sum(1).view_as(images)
    degrees, factor, down, across = (torch.tensor([value]) for value in turn)
    theirs = transforms.warp_by(images, degrees, factor, torch.stack([down, across], dim=1).float())
    assert torch.allclose(ours.float(), theirs, atol=1e-4)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lab with one example."""
    folder = tmp_path_factory.mktemp("site") / "lab"
    units = lab.Units("blocks.4.2", 112, "sheet.webp", 16, "page#")
    example = lab.Example("cat", 'a "cat" & more', zoo.photograph("cat"))
    scenes = lab.Scenes(
        "9 scenes", "../scenes/", ("a.webp", "b.webp"), {"act_head": [[1, 0]] * 1280}, "They are mine."
    )
    onward = (("The microscope", "../microscope/index.html", "every channel"),)
    lab.write(zoo.load_model(), folder, [example], lab.Frame(units=units, scenes=scenes, onward=onward))
    return folder


def script(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text().removeprefix("const plan = ").removesuffix(";\n"))


def test_the_site_says_what_its_weights_are(site: Path, planned: lab.Plan) -> None:
    told = script(site / "plan.js")
    (file,) = site.glob("weights-*.bin.gz")
    packed = file.read_bytes()
    raw = gzip.decompress(packed)
    assert (told["packed"], told["count"] * 2) == (len(packed), len(raw))
    assert told["sha256"] == hashlib.sha256(raw).hexdigest()
    assert file.name == f"weights-{told['sha256'][:16]}.bin.gz"
    assert np.array_equal(np.frombuffer(raw, "<f2"), planned.weights)
    held = (site / "weights.js").read_text().removeprefix('var labWeights = "').removesuffix('";\n')
    assert base64.b64decode(held) == packed
    examples = json.loads(
        (site / "examples.js").read_text().removeprefix("var labExamples = ").removesuffix(";\n")
    )
    assert {name: base64.b64decode(text) for name, text in examples.items()} == {
        "cat": (site / "examples" / "cat.webp").read_bytes()
    }
    assert f"({len(packed) / 1e6:.1f} MB)" in (site / "index.html").read_text()


def test_the_site_knows_the_strongest_scenes_and_where_to_go_next(site: Path) -> None:
    told, page = script(site / "plan.js"), (site / "index.html").read_text()
    assert [told["scenes"]["files"][number] for number in told["scenes"]["best"]["act_head"][7]] == [
        "b.webp",
        "a.webp",
    ]
    assert "Strongest scenes: of 9 scenes, those in which the channel is largest" in page
    assert "They are mine." in page
    assert '<a href="../microscope/index.html">The microscope</a>: every channel' in page


def test_the_page_obeys_its_own_policy(site: Path) -> None:
    page = BeautifulSoup((site / "index.html").read_text(), "html.parser")
    policy = page.select_one('meta[http-equiv="Content-Security-Policy"]')
    assert policy is not None
    assert "default-src 'self'" in str(policy["content"])
    assert not page.select("style, [style], script:not([src])")
    assert not [name for tag in page.find_all(True) for name in tag.attrs if name.startswith("on")]
    files = [
        str(tag.get("src") or tag.get("href")) for tag in page.select("script, img, link[rel=stylesheet]")
    ]
    assert all((site / name).is_file() for name in files)
    assert [tag["id"] for tag in page.select(".example")] == ["cat"]
    assert page.select(".example img")[0]["alt"] == 'a "cat" & more'


@torch.no_grad()
def test_the_evidence_and_the_bias_are_the_logit() -> None:
    model, image = zoo.load_model(), zoo.example_images("cat")
    heat, shares = lab.evidence(model, image)
    first = int(shares.argmax())
    logit = float(heat.mean() + model.classifier.bias[first])
    assert logit == pytest.approx(float(model(image)[0, first]), abs=1e-4)


def test_photographs_are_cut_as_pillow_cuts_them(tmp_path: Path) -> None:
    program, side = node(), 224
    generator = np.random.default_rng(0)
    for width, height in ((451, 300), (97, 131), (224, 224), (640, 3000)):
        noise = generator.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST)
        (tmp_path / "in").write_bytes(picture.convert("RGBA").tobytes())
        code = (
            "const fs = require('fs'), { middleSquare } = require(process.argv[1]);"
            "const [folder, width, height, side] = process.argv.slice(2).map((one, n) => n ? +one : one);"
            "const planes = middleSquare(new Uint8Array(fs.readFileSync(`${folder}/in`)), width, height, side);"
            "fs.writeFileSync(`${folder}/out`, Uint8Array.from(planes, value => Math.round(255 * value)));"
        )
        arguments = [str(ROOT / "interp/lab/web/photograph.js"), tmp_path, width, height, side]
        subprocess.run([program, "-e", code, *map(str, arguments)], check=True)
        share = side / min(width, height)
        wide, tall = round(width * share), round(height * share)
        # Across first and then down. For tall pictures newer versions of Pillow go the other way, and round otherwise.
        large = picture.resize((wide, height), Image.Resampling.BICUBIC).resize(
            (wide, tall), Image.Resampling.BICUBIC
        )
        left, top = (large.width - side) // 2, (large.height - side) // 2
        wanted = np.asarray(large.crop((left, top, left + side, top + side))).transpose(2, 0, 1)
        found = np.frombuffer((tmp_path / "out").read_bytes(), np.uint8).reshape(3, side, side)
        assert np.array_equal(found, wanted), (width, height)


def test_a_picture_of_one_line_is_cut_at_once() -> None:
    code = (
        "const { middleSquare } = require(process.argv[1]), line = new Uint8Array(4 * 4e6).fill(204);"
        "const planes = middleSquare(line, 4e6, 1, 224);"
        "console.log(planes.length, planes.every(value => Math.round(255 * value) === 204));"
    )
    command = [node(), "-e", code, str(ROOT / "interp/lab/web/photograph.js")]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.split() == [str(3 * 224**2), "true"]


def test_what_the_lab_cannot_run_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"returns logits .* \(1, 8, 222, 222\)"):
        lab.plan(nn.Sequential(nn.Conv2d(3, 8, 3)))
    model = zoo.load_model()
    with torch.no_grad():
        model.classifier.bias[0] = 1e6
    with pytest.raises(BadInputError, match="16 bits cannot hold"):
        lab.plan(model)


def test_the_kernels_are_made_from_their_source(tmp_path: Path) -> None:
    compiler = ROOT / "node_modules" / "assemblyscript" / "bin" / "asc.js"
    if not compiler.is_file():
        pytest.skip("no AssemblyScript: `npm ci` brings it")
    name = "interp/lab/web/kernels.wasm"
    command = json.loads((ROOT / "package.json").read_text())["scripts"]["kernels"].replace(
        name, str(tmp_path / "made")
    )
    subprocess.run([node(), str(compiler), *shlex.split(command)[1:]], check=True, cwd=ROOT)
    assert (tmp_path / "made").read_bytes() == (ROOT / name).read_bytes()
