"""Networks of any number of input channels: found, given, refused; explained, rendered, tracked, shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torch import Tensor, nn

from interp import attribution, cli, hooks, image, plots, spectrum, zoo
from interp import featurevis as fv
from interp.digest import digest
from interp.errors import BadInputError
from interp.hooks.inputs import check_channels
from interp.microscope.site import build
from interp.spectrum.patches import patches, receptive_field

SHORT: dict[str, Any] = {"steps": 3, "size": 16, "transforms": fv.STANDARD}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Small(nn.Module):
    """Two convolutions and a head, for images of any number of channels."""

    class_names = ("cat", "dog", "egg", "fox")

    def __init__(self, channels: int, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Conv2d(channels, 6, 3, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.second = nn.Conv2d(6, 8, 3, stride=2, padding=1)
            self.head = nn.Linear(8, 4)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.second(self.norm(self.first(images)).relu()).relu()
        return self.head(maps.mean(dim=(2, 3)))


class Ignoring(nn.Module):
    """Gives its network the first three of its channels."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.inputs = image.Inputs(5)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images[:, :3].contiguous())


class Before(nn.Module):
    """Does something with the images before a network sees them."""

    def __init__(self, net: nn.Module, function: Any) -> None:
        super().__init__()
        self.net, self.function = net, function

    def forward(self, images: Tensor) -> Tensor:
        return self.net(self.function(images))


class Patches(nn.Module):
    """Embeds patches of 4 x 4 by a linear layer, as many vision transformers do; for one size if it has one."""

    def __init__(self, channels: int, size: int | None = None) -> None:
        super().__init__()
        self.size = size
        self.embed, self.head = nn.Linear(channels * 16, 8), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        if self.size and images.shape[-1] != self.size:
            raise AssertionError(images.shape)
        tokens = nn.functional.unfold(images, 4, stride=4).transpose(1, 2)
        return self.head(self.embed(tokens).mean(dim=1))


def images(channels: int, count: int = 2, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=seeded(1))


# ------------------------------------------------------------------------------------------------------------
# What a network takes


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 13])
def test_the_first_layer_that_runs_tells_the_channels(channels: int) -> None:
    assert hooks.inputs_of(Small(channels)) == image.Inputs(channels)
    assert (
        hooks.inputs_of(nn.Conv2d(2 * channels, 4 * channels, 3, groups=2 * channels)).channels
        == 2 * channels
    )
    assert hooks.inputs_of(Patches(channels)).channels == channels
    assert hooks.inputs_of(Patches(channels, 28)).channels == channels
    assert (
        hooks.inputs_of(nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, 2, 1))).channels
        == channels
    )


@pytest.mark.parametrize(
    ("function", "inside", "outside"),
    [
        (lambda x: x.mean(dim=1, keepdim=True), 1, 3),
        (lambda x: x.repeat(1, 3, 1, 1), 3, 1),
        (lambda x: torch.cat([x, torch.zeros_like(x[:, :2])], dim=1), 7, 5),
        (lambda x: x, 5, 5),
    ],
)
def test_what_happens_before_the_first_layer_counts(function: Any, inside: int, outside: int) -> None:
    model = Before(Small(inside), function).eval()
    assert hooks.inputs_of(model).channels == outside
    assert attribution.saliency(model, images(outside), 1).shape == (2, 16, 16)


def test_the_layer_that_runs_first_is_not_the_one_that_was_defined_first() -> None:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.adapt = Small(3), nn.Conv2d(1, 3, 1)

        def forward(self, pictures: Tensor) -> Tensor:
            return self.backbone(self.adapt(pictures))

    assert hooks.inputs_of(Adapted()).channels == 1


def test_what_a_network_says_counts_first_and_a_new_layer_is_seen() -> None:
    model = Small(5)
    assert hooks.inputs_of(model).channels == 5
    model.first = nn.Conv2d(2, 6, 3, padding=1)
    assert hooks.inputs_of(model).channels == 2
    model.inputs = image.Inputs(7)
    assert hooks.inputs_of(model).channels == 7
    model.inputs = "a network's own attribute of this name"
    assert hooks.inputs_of(model).channels == 2


def test_looking_leaves_no_trace() -> None:
    model, calls = Small(5).train(), []

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        calls.append(layer)

    model.norm.register_forward_hook(note)
    before, random = {name: one.clone() for name, one in model.state_dict().items()}, torch.get_rng_state()
    hooks.inputs_of(model)
    assert model.training
    assert model.norm.training
    assert not calls
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_network_that_shows_nothing_is_rgb_or_what_it_says() -> None:
    assert hooks.inputs_of(nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 4))).channels == 3  # or 4 x 32 x 32
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 4))
    assert hooks.inputs_of(model).channels == 3
    with pytest.raises(BadInputError, match=r"model\.inputs = image\.Inputs\(channels=\.\.\.\)"):
        attribution.saliency(model, images(1, size=10), 1)
    model.inputs = image.Inputs(1)
    heat = attribution.saliency(model, images(1, size=10), 1)
    assert torch.allclose(heat, model[1].weight[1].abs().view(1, 10, 10).expand(2, -1, -1))


@pytest.mark.parametrize("channels", [1, 4, 5])
def test_a_normalization_has_a_number_for_each_channel(channels: int) -> None:
    net, values = Small(channels), images(channels)
    mean, std = [0.1 * (1 + number) for number in range(channels)], [0.2 + 0.1 * n for n in range(channels)]
    model = zoo.normalized(net, mean, std)
    assert hooks.inputs_of(model).channels == channels
    by_hand = (values - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
    assert torch.equal(model(values), net(by_hand))
    with pytest.raises(BadInputError, match=f"normalizes images of {channels} channels"):
        model(images(3))


def test_a_normalization_of_other_channels_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"images of 3 channels.*takes 1"):
        zoo.normalized(Small(1), [0.5] * 3, [0.5] * 3)
    with pytest.raises(BadInputError, match="each channel; got 2 and 1"):
        zoo.normalized(Small(2), [0.5] * 2, [0.5])
    said = Before(Small(1), lambda x: x.mean(dim=1, keepdim=True))
    said.inputs = image.Inputs(2)
    with pytest.raises(BadInputError, match=r"takes 2 channels.*mean has 1"):
        zoo.normalized(said, [0.5], [0.5])
    check_channels(said, 9)  # a mean takes any number


@pytest.mark.parametrize("channels", [0, -1, 1.5, "3", None])
def test_no_number_of_channels_is_refused(channels: Any) -> None:
    with pytest.raises(BadInputError, match="channel"):
        image.Inputs(channels)


# ------------------------------------------------------------------------------------------------------------
# Pictures


def test_the_usual_pictures() -> None:
    for channels in (3, 4, 5):
        values = images(channels)
        assert torch.equal(image.Inputs(channels).pictures(values), values[:, :3])
    gray = images(1)
    assert torch.equal(image.Inputs(1).pictures(gray), gray.repeat(1, 3, 1, 1))
    two = images(2)
    assert torch.equal(image.Inputs(2).pictures(two), two.mean(dim=1, keepdim=True).repeat(1, 3, 1, 1))


def test_how_a_network_shows_its_images_goes_with_it() -> None:
    def infrared(values: Tensor) -> Tensor:
        return values[:, [3, 2, 1]]

    model = zoo.normalized(Small(4), [0.5] * 4, [0.5] * 4, show=infrared)
    rendering = fv.render(model, fv.channel("second", 1), **SHORT)
    assert rendering.images.shape == (1, 4, 16, 16)
    assert torch.equal(rendering.pictures, rendering.images[:, [3, 2, 1]])
    assert torch.equal(rendering[0].pictures, rendering.pictures)
    bare = Small(4)
    bare.inputs = image.Inputs(4, infrared)
    assert hooks.inputs_of(zoo.normalized(bare, [0.5] * 4, [0.5] * 4)).show is infrared


def test_a_show_that_gives_no_pictures_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"has to give \(2, 3, H, W\).*gave \(2, 4, 16, 16\)"):
        image.Inputs(4, lambda values: values).pictures(images(4))
    with pytest.raises(BadInputError, match=r"in \[0, 1\]"):
        image.Inputs(4, lambda values: 3 * values[:, :3]).pictures(images(4))
    with pytest.raises(BadInputError, match=r"\(N, 4, H, W\).*these have \(2, 5"):
        image.Inputs(4).pictures(images(5))


def test_gray_is_drawn_and_written_and_other_channels_are_not_guessed(tmp_path: Path) -> None:
    gray = images(1)
    image.save(gray, tmp_path / "gray.png")
    again = image.load(tmp_path / "gray.png", channels=1)
    assert (again - gray[:1]).abs().max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(plots.pictures.pictures(gray)[0].values, gray[0].permute(1, 2, 0).expand(-1, -1, 3))
    for draw in (plots.image_row, image.to_numpy, lambda five: image.save(five, tmp_path / "five.png")):
        with pytest.raises(BadInputError, match=r"Inputs\(channels, show\)\.pictures"):
            draw(images(5))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_files_become_gray(mode: str) -> None:
    values = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    if mode == "I;16":
        picture = PILImage.fromarray(values.astype(np.uint16) * 257)
    else:
        picture = PILImage.fromarray(values).convert(mode)
    found = image.load(picture, channels=1)
    assert found.shape == (1, 1, 8, 8)
    assert torch.allclose(found[0, 0], torch.from_numpy(values) / 255, atol=1e-6)
    colors = PILImage.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    pillow = torch.from_numpy(np.array(colors.convert("L"))) / 255
    assert torch.equal(image.load(colors, channels=1)[0, 0], pillow)
    assert (image.to_gray(image.load(colors))[0, 0] - pillow).abs().max() < 1 / 255


# ------------------------------------------------------------------------------------------------------------
# Attribution


class Linear(nn.Module):
    """One linear score, whose weight is a convolution as large as the images."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 16, bias=False)
        self.conv.weight.data = torch.randn(1, channels, 16, 16, generator=seeded(3))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.conv(pictures).flatten(1)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_linear_network_is_explained_by_its_weight(channels: int) -> None:
    model, values = Linear(channels).eval(), images(channels)
    weight = model.conv.weight.detach()
    assert torch.equal(attribution.saliency(model, values, 0), weight.abs().amax(dim=1).expand(2, -1, -1))
    assert torch.allclose(
        attribution.input_x_gradient(model, values, 0), (weight * values).sum(dim=1), atol=1e-5
    )
    heat = attribution.integrated_gradients(model, values, 0, baseline=0.25)
    assert torch.allclose(heat, (weight * (values - 0.25)).sum(dim=1), atol=1e-4)
    covered = attribution.occlusion(model, values, 0, window=1, stride=1, baseline=0.25)
    assert torch.allclose(covered, heat, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 5])
def test_grad_cam_is_cam_and_measures_run(channels: int) -> None:
    model, values = Small(channels), images(channels)
    maps = hooks.activations(model, values, "second")
    found = attribution.cam_family(model, values, "dog", "second")
    gradient = attribution.layer_gradient(model, values, "dog", "second")[1]
    by_hand = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu()
    assert torch.allclose(found["Grad-CAM"], image.resize(by_hand, (16, 16)), atol=1e-6)
    heat = attribution.grad_cam(model, values, "dog", "second")
    assert attribution.deletion(model, values, 1, heat, steps=2).scores.shape == (2, 3)
    assert attribution.smooth_grad(model, values, 1, samples=2).shape == (2, 16, 16)
    assert attribution.edge_map(values).shape == attribution.center_map(values).shape == (2, 16, 16)
    assert zoo.get_predictions(model, values, 1)[0][0][0] in Small.class_names


def test_two_channels_more_that_are_ignored_change_no_bit() -> None:
    net = Small(3)
    model, five = Ignoring(net).eval(), images(5)
    three = five[:, :3].contiguous()
    for method in (attribution.saliency, attribution.integrated_gradients, attribution.guided_backprop):
        assert torch.equal(method(model, five, 1), method(net, three, 1))
    assert torch.equal(
        attribution.occlusion(model, five, 1, window=8, stride=8),
        attribution.occlusion(net, three, 1, window=8, stride=8),
    )
    heat = attribution.grad_cam(model, five, 1, "net.second")
    assert torch.equal(heat, attribution.grad_cam(net, three, 1, "second"))
    batch = [
        spectrum.Batch(torch.arange(8), images(5, 8)),
        spectrum.Batch(torch.arange(8), images(5, 8)[:, :3]),
    ]
    found = spectrum.track(model, ["net.second"], batch[:1], k=2)
    plain = spectrum.track(net, ["second"], batch[1:], k=2)
    assert torch.equal(found.layers["net.second"].scores, plain.layers["second"].scores)


@pytest.mark.parametrize("kind", [fv.FourierImage, fv.PixelImage])
def test_a_rendering_that_ignores_two_channels_has_the_same_score(kind: Any) -> None:
    net = Small(3)
    starts = [kind(16, seed=2, decorrelated=False, channels=channels) for channels in (3, 5)]
    name = "coefficients" if kind is fv.FourierImage else "latent"
    getattr(starts[1], name).data[:, :3] = getattr(starts[0], name).data
    plain = fv.render(net, fv.channel("second", 2), starts[0], steps=5)
    found = fv.render(Ignoring(net).eval(), fv.channel("net.second", 2), starts[1], steps=5)
    assert torch.equal(found.score, plain.score)
    assert torch.equal(found.history, plain.history)
    assert torch.equal(found.images[:, :3], plain.images)


@pytest.mark.parametrize(
    ("channels", "given", "advice"),
    [
        (1, 3, r"of 1 channels.*\(N, 1, H, W\).*to_gray"),
        (5, 3, r"of 5 channels.*\(N, 5, H, W\).*model\.inputs"),
        (3, 1, r"\(N, 3, H, W\).*expand"),
        (3, 5, r"\(N, 3, H, W\).*model\.inputs"),
        (5, 4, r"\(N, 5, H, W\)"),
    ],
)
def test_images_of_other_channels_are_refused(channels: int, given: int, advice: str) -> None:
    model = Small(channels)
    for call in (
        lambda: attribution.saliency(model, images(given), 1),
        lambda: attribution.occlusion(model, images(given), 1, window=8, stride=8),
        lambda: attribution.grad_cam(model, images(given), 1, "second"),
        lambda: hooks.activations(model, images(given), "second"),
        lambda: zoo.get_predictions(model, images(given)),
    ):
        with pytest.raises(BadInputError, match=advice):
            call()
    batch = [spectrum.Batch(torch.arange(2), images(given))]
    with pytest.raises(
        BadInputError, match=f"takes images of {channels} channels, and the source gives {given}"
    ):
        spectrum.track(model, ["second"], batch, k=1)
    for start in (fv.FourierImage, fv.PixelImage, fv.CppnImage, fv.MacoImage):
        with pytest.raises(BadInputError, match=f"{start.__name__}.size, channels={channels}"):
            fv.render(model, fv.channel("second", 1), start(16, channels=given), steps=1)
    with pytest.raises(
        BadInputError, match=f"takes images of {channels} channels, .*these have {channels + 2}"
    ):
        fv.look(model, images(channels + 2), ["second"], (), [])


# ------------------------------------------------------------------------------------------------------------
# Rendering


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_a_rendering_climbs_at_any_number_of_channels(channels: int) -> None:
    model = Small(channels)
    rendering = fv.render(model, fv.channel("second", 1), size=16, steps=24, snapshots=[4])
    assert rendering.images.shape == (1, channels, 16, 16)
    assert rendering.snapshots[4].shape == (1, channels, 8, 8)
    assert rendering.alpha is None
    gray = hooks.activations(model, torch.full((1, channels, 16, 16), 0.5), "second")[0, 1].mean()
    assert rendering.score.item() > gray.item()
    assert rendering.images.std(dim=(2, 3)).min() > 1e-3  # every channel was painted
    assert rendering.pictures.shape == (1, 3, 16, 16)


@pytest.mark.parametrize("channels", [1, 4, 5])
@pytest.mark.parametrize(
    "start", [fv.FourierImage, fv.PixelImage, fv.CppnImage, fv.MacoImage], ids=lambda kind: kind.__name__
)
def test_every_parameterization_takes_any_number_of_channels(channels: int, start: Any) -> None:
    transforms = (fv.pad(2), *fv.STANDARD, fv.blur(0.5), fv.noise(0.01), fv.crop(0.8, 1))
    objective = fv.channel("second", 1) - 0.1 * fv.total_variation() - 0.1 * fv.blurred()
    first = start(16, 2, seed=1, channels=channels)
    found = fv.render(Small(channels), objective, first, steps=2, rate=0.005, transforms=transforms)
    assert found.images.shape == (2, channels, 16, 16)
    assert not torch.equal(found.images, first().detach())


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_alpha_is_one_channel_more(channels: int) -> None:
    start = fv.FourierImage(16, channels=channels, alpha=True, contrast=1.8)
    found = fv.render(Small(channels), fv.channel("second", 1) - 0.1 * fv.opacity(), start, steps=3)
    assert found.images.shape == (1, channels, 16, 16)
    assert found.alpha is not None
    assert found.alpha.shape == (1, 1, 16, 16)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_an_image_is_a_start_as_it_is(channels: int) -> None:
    values = 0.1 + 0.8 * images(channels)
    smooth = image.resize(image.resize(values, (4, 4)), (16, 16))
    assert torch.allclose(fv.PixelImage.of(values)(), values, atol=1e-5)
    assert (fv.FourierImage.of(smooth)() - smooth).abs().max() < 0.1
    with pytest.raises(BadInputError, match="permute"):
        fv.PixelImage.of(values[:, :1].expand(-1, 3, -1, -1).permute(0, 2, 3, 1))


def test_the_contrast_is_limited_over_all_channels() -> None:
    latent = 100 * torch.randn(1, 5, 8, 8, generator=seeded())
    colors = fv.to_rgb(latent, contrast=1.8, channels=5).logit()
    assert colors.square().mean().sqrt().item() == pytest.approx(1.8, rel=1e-2)


def test_many_and_a_folder(tmp_path: Path) -> None:
    model, objectives = Small(5), [fv.channel("second", index) for index in range(3)]
    model.inputs = image.Inputs(5, lambda values: values[:, [4, 0, 2]])
    many = list(fv.render_many(model, objectives, **SHORT))
    assert [one.images.shape for one in many] == [(1, 5, 16, 16)] * 3
    out = fv.render_folder(model, objectives, tmp_path / "out", **SHORT)
    for one, rendering in zip(objectives, many, strict=True):
        written = image.load(out.path / out.images[one.name]["file"])
        assert (written - rendering.images[:, [4, 0, 2]]).abs().max() <= 0.5 / 255 + 1e-6


# ------------------------------------------------------------------------------------------------------------
# Sources and spectra


def gray_files(folder: Path, count: int = 10) -> Path:
    for number in range(count):
        values = np.random.default_rng(number).integers(0, 256, (20, 24), dtype=np.uint8)
        (folder / "one").mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(values).convert("RGB" if number % 2 else "L").save(
            folder / "one" / f"{number:02}.png"
        )
    return folder


def test_a_folder_for_a_network_of_one_channel(tmp_path: Path) -> None:
    source = spectrum.Folder(gray_files(tmp_path), 16, channels=1)
    (batch, *_) = spectrum.batches(source, size=10)
    assert batch.images.shape == (10, 1, 16, 16)
    colors = next(spectrum.batches(spectrum.Folder(tmp_path, 16), size=10)).images
    assert (batch.images - colors[:, :1]).abs().max() < 1e-6  # gray was gray before
    found = spectrum.track(Small(1), ["second"], spectrum.batches(source), k=2)
    assert found.images == 10
    assert not found.broken
    assert source.fingerprint != spectrum.Folder(tmp_path, 16).fingerprint
    with pytest.raises(BadInputError, match=r"takes images of 1 channels.*channels=1"):
        spectrum.track(Small(1), ["second"], spectrum.batches(spectrum.Folder(tmp_path, 16)), k=2)
    with pytest.raises(BadInputError, match=r"takes images of 1 channels.*channels=1"):
        spectrum.Job(Small(1), ("second",), spectrum.Folder(tmp_path, 16))
    assert (
        spectrum.run(
            spectrum.Job(Small(1), ("second",), source, spectrum.Measure(k=2)), tmp_path / "out"
        ).images
        == 10
    )
    with pytest.raises(BadInputError, match=r"Items, as tensors \(5, H, W"):
        spectrum.Folder(tmp_path, 16, channels=5)


def test_items_of_any_number_of_channels() -> None:
    tensors = [torch.rand(5, 18, 16, generator=seeded(number)) for number in range(6)]
    arrays = [(255 * one.permute(1, 2, 0)).round().byte().numpy() for one in tensors]
    for data in (tensors, arrays):
        source = spectrum.Items(
            [*data, torch.zeros(3, 18, 16), torch.full((5, 18, 16), 2.0)], "five", 16, channels=5
        )
        found = spectrum.track(Small(5), ["second"], spectrum.batches(source), k=2)
        assert found.images == 6
        assert ["(N, 5, H, W)" in each.reason for each in found.broken] == [True, False]
        assert "[0, 1]" in found.broken[1].reason
    items = [
        torch.rand(1, 16, 16),
        np.zeros((16, 16), np.uint8),
        np.zeros((16, 16, 3), np.uint8),
        torch.rand(3, 16, 16),
    ]
    (batch,) = spectrum.batches(spectrum.Items(items, "gray", 16, channels=1))
    assert batch.images.shape == (4, 1, 16, 16)
    assert torch.allclose(batch.images[3], image.to_gray(items[3][None])[0], atol=1e-6)
    assert (
        spectrum.Items(items, "gray", 16, channels=1).fingerprint
        != spectrum.Items(items, "gray", 16).fingerprint
    )


@pytest.mark.parametrize("channels", [1, 5])
def test_fields_and_patches(channels: int) -> None:
    field = receptive_field(Small(channels), "second", 16)
    assert field == receptive_field(Small(3), "second", 16)
    source = spectrum.Items(list(images(channels, 4)), "some", 16, channels=channels)
    (patch,) = patches(Small(channels), "second", 1, [2], source)
    assert patch.image.shape == (1, channels, 5, 5)


def test_batch_norm_is_folded_at_any_number_of_channels() -> None:
    from interp import folding

    assert isinstance(folding.fold(Small(5)).norm, nn.Identity)


@pytest.mark.parametrize("channels", [1, 5])
def test_a_microscope(tmp_path: Path, channels: int) -> None:
    model = zoo.normalized(
        Small(channels), [0.5] * channels, [0.5] * channels, show=lambda x: 1 - x[:, :1].repeat(1, 3, 1, 1)
    )
    source = spectrum.Items(list(images(channels, 8)), "some", 16, channels=channels)
    job = spectrum.Job(model, ("first", "second"), source, spectrum.Measure(k=2))
    page = build(job, tmp_path / "site", side=16, steps=1)
    assert page.exists()
    index = (tmp_path / "site" / "data" / "index.js").read_text()
    first = image.load(tmp_path / "site" / "thumbnails" / "000" / "000.webp")
    shown = {number: 1 - one[:1].repeat(3, 1, 1) for number, one in enumerate(images(channels, 8))}
    near = [number for number, one in shown.items() if (first[0] - one).abs().mean() < 0.1]
    assert near, index
    assert (tmp_path / "site" / "optimized" / "second-plus-0.webp").exists()


# ------------------------------------------------------------------------------------------------------------
# The command line


NETWORK = """
import torch
from torch import nn

def gray():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1))

def five():
    return nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1))

def data():
    return [torch.rand(5, 20, 20, generator=torch.Generator().manual_seed(number)) for number in range(12)]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / f"networks_{digest(str(tmp_path))[:8]}.py"  # a module of its own for each test
    path.write_text(NETWORK)
    return path


@pytest.mark.parametrize(
    ("name", "numbers", "channels"), [("gray", "0.5", 1), ("five", "0.5,0.4,0.3,0.2,0.1", 5)]
)
def test_commands(
    tmp_path: Path, file: Path, name: str, numbers: str, channels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    network = [f"{file}:{name}", "--mean", numbers, "--std", numbers]
    assert cli.main(["layers", *network, "--size", "16"]) == 0
    assert "5 x 16 x 16" in capsys.readouterr().out
    assert cli.main(["render", *network, "2", "--steps", "2", "--size", "16", "-o", str(tmp_path / "r")]) == 0
    assert len(list((tmp_path / "r").glob("*.png"))) == 5
    data = f"{file}:data" if channels == 5 else str(gray_files(tmp_path / "files", 12))
    stream = ["--layers", "2", "--size", "16", "-k", "2", "--data", data]
    capsys.readouterr()
    assert cli.main(["spectrum", *network, *stream, "-o", str(tmp_path / "s")]) == 0
    assert "12 images, 0 broken" in capsys.readouterr().out
    assert (
        cli.main(["microscope", *network, *stream, "--steps", "1", "--side", "16", "-o", str(tmp_path / "m")])
        == 0
    )
    assert (tmp_path / "m" / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["gray", "--mean", "0.5,0.5", "--std", "0.5"], "each channel; got 2 and 1"),
        (["gray", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"], "images of 3 channels"),
    ],
)
def test_commands_refuse(file: Path, words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["layers", f"{file}:{words[0]}", *words[1:], "--size", "16"]) == 1
    assert text in capsys.readouterr().err


def test_a_folder_is_no_source_for_five_channels(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--layers", "2", "--data", str(gray_files(tmp_path / "files", 3)), "-o", str(tmp_path / "s")]
    assert cli.main(["spectrum", f"{file}:five", *data, "--size", "16"]) == 1
    assert "Put them into Items" in capsys.readouterr().err
