"""What runs on a GPU is what runs on a CPU: the same maps, pictures as good, the same lists. Skipped without one."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from spectra import pictures, tiny
from torch import Tensor, nn

from interp import attribution, cli, folding, hooks, microscope
from interp import featurevis as fv
from interp.spectrum import Items, Job, keys, run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device at hand")

LAYER = "blocks.4.2"
Map = Callable[[nn.Module, Tensor], Tensor]
MAPS: dict[str, Map] = {
    "saliency": lambda net, x: attribution.saliency(net, x, 281),
    "input_x_gradient": lambda net, x: attribution.input_x_gradient(net, x, 281),
    "guided_backprop": lambda net, x: attribution.guided_backprop(net, x, 281),
    "smooth_grad": lambda net, x: attribution.smooth_grad(net, x, 281, samples=4, seed=0),
    "integrated_gradients": lambda net, x: attribution.integrated_gradients(net, x, 281, tolerance=1.0),
    "occlusion": lambda net, x: attribution.occlusion(net, x, 281, window=64, stride=64),
    "grad_cam": lambda net, x: attribution.grad_cam(net, x, 281, "act_head"),
    "grad_cam_plus_plus": lambda net, x: attribution.grad_cam_plus_plus(net, x, 281, "act_head"),
    "layer_cam": lambda net, x: attribution.layer_cam(net, x, 281, LAYER),
}


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    """Compute convolutions in float32 on the GPU too: by default torch lets it round inputs to 10 bits (TF32)."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def there(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).cuda()


def apart(a: Tensor, b: Tensor) -> float:
    """Return the distance of two tensors as a share of the length of the first."""
    return float((a.cpu() - b.cpu()).norm() / a.norm())


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_those_of_the_cpu(
    model: nn.Module, there: nn.Module, photographs: Tensor, name: str
) -> None:
    found = MAPS[name](there, photographs.cuda())
    assert found.is_cuda
    # Sums in another order put a few units on the other side of a ReLU, and gradients jump there.
    assert apart(MAPS[name](model, photographs), found) < 1e-2


def test_folding_changes_nothing(there: nn.Module, photographs: Tensor) -> None:
    with torch.no_grad():
        expected = there(photographs.cuda())
        assert apart(expected, folding.fold(there)(photographs.cuda())) < 1e-4


def test_activations_are_those_of_the_cpu(model: nn.Module, there: nn.Module, photographs: Tensor) -> None:
    expected = hooks.activations(model, photographs, LAYER)
    assert apart(expected, hooks.activations(there, photographs.cuda(), LAYER)) < 1e-4


def test_a_rendering_starts_the_same_and_ends_as_high(model: nn.Module, there: nn.Module) -> None:
    objectives = [fv.channel(LAYER, unit) for unit in (1, 7, 30, 77)]
    here = torch.cat([one.score for one in fv.render_many(model, objectives, steps=32, size=64)])
    found = list(fv.render_many(there, objectives, steps=32, size=64))
    assert all(one.images.is_cuda for one in found)
    ratio = torch.cat([one.score for one in found]).cpu() / here
    assert 0.8 < float(ratio.mean()) < 1.25
    first = fv.render(model, objectives[0], steps=[fv.Stage(64, 1)], rate=0.0)
    second = fv.render(there, objectives[0], steps=[fv.Stage(64, 1)], rate=0.0)
    assert apart(first.images, second.images) < 1e-5


def test_a_rendering_is_the_same_each_time(there: nn.Module) -> None:
    one, two = (fv.render(there, fv.channel(LAYER, 7), steps=16, size=64) for _ in range(2))
    assert apart(one.score, two.score) < 0.05


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_reaches_as_much(there: nn.Module, precision: str) -> None:
    objectives = [fv.channel(LAYER, unit) for unit in (1, 7, 30, 77)]
    full = torch.cat([one.score for one in fv.render_many(there, objectives, steps=48, size=64)])
    compute = fv.Compute(precision=precision)  # type: ignore[arg-type]
    half = torch.cat(
        [one.score for one in fv.render_many(there, objectives, steps=48, size=64, compute=compute)]
    )
    assert float((half / full).mean()) > 0.85


def test_a_compiled_network_gives_the_same_picture(there: nn.Module) -> None:
    plain = fv.render(there, fv.channel(LAYER, 7), steps=[fv.Stage(64, 2)])
    compiled = fv.render(
        there, fv.channel(LAYER, 7), steps=[fv.Stage(64, 2)], compute=fv.Compute(compiled=True)
    )
    assert apart(plain.images, compiled.images) < 0.02


def test_a_spectrum_has_the_same_lists(tmp_path: Path) -> None:
    job = Job(tiny(), ("norm", "deep"), Items(pictures(), "two", shard_size=20))
    here = run(job, tmp_path / "cpu")
    found = run(dataclasses.replace(job, device="cuda"), tmp_path / "cuda")
    for layer in here.layers:
        for unit in range(len(here.layers[layer])):
            mine, other = here[layer, unit], found[layer, unit]
            assert torch.equal(keys.decode(mine.best)[1], keys.decode(other.best)[1])
    assert not next(job.model.parameters()).is_cuda  # what was passed in stays where it is


def test_a_site_and_a_command_work_on_the_gpu(tmp_path: Path) -> None:
    job = Job(tiny().cuda(), ("norm",), Items(pictures(side=32), "random", shard_size=20))
    page = microscope.build(job, tmp_path / "site", side=24, size=32, steps=4)
    assert page.is_file()
    found = tmp_path / "found"
    cli.main(
        [
            "render",
            "efficientnet_lite0",
            LAYER,
            "--channels",
            "1",
            "--device",
            "cuda",
            "--steps",
            "4",
            "-o",
            str(found),
        ]
    )
    assert list(found.glob("*.png"))


def test_settings_name_the_gpu(there: nn.Module) -> None:
    settings = fv.folder.settings_of(there, fv.Recipe(), suffix="png")
    assert torch.cuda.get_device_name(0) in json.dumps(settings, default=str)
