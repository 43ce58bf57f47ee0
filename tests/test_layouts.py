"""A layer's channels and positions are found whatever order it holds them in, and what cannot be told is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import attribution, hooks, image, spectrum
from interp import featurevis as fv
from interp.errors import BadInputError
from interp.hooks import Layout

FIRST, LAST = Layout("channels first"), Layout("channels last")
SQUARE = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
WIDE = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0))


class Turned(nn.Module):
    """A convolutional network that holds its channels last in the middle, as Swin and ConvNeXt do."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
            self.mix = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, channels), nn.GELU())
            self.act = nn.ReLU(inplace=True)
            self.head = nn.Linear(channels, 4)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.mix(self.stem(images).permute(0, 2, 3, 1))
        hidden = self.act(hidden.permute(0, 3, 1, 2))
        out: Tensor = self.head(hidden.mean(dim=(2, 3)))
        return out


class Tokens(nn.Module):
    """A vision transformer in small: patches, a class token, blocks that look at all tokens."""

    def __init__(self, registers: int = 0, behind: int = 0, columns_first: bool = False) -> None:
        super().__init__()
        self.columns_first = columns_first
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.patches = nn.Conv2d(3, 8, 8, stride=8)
            self.front = nn.Parameter(torch.randn(1, 1 + registers, 8))
            self.back = nn.Parameter(torch.randn(1, behind, 8))
            self.start = nn.Identity()
            block = lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)  # noqa: E731
            self.blocks = nn.Sequential(block(), block())
            self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.patches(images)
        tokens = (maps.transpose(2, 3) if self.columns_first else maps).flatten(2).transpose(1, 2)
        ends = [end.expand(len(images), -1, -1) for end in (self.front, self.back)]
        tokens = self.blocks(self.start(torch.cat([ends[0], tokens, ends[1]], dim=1)))
        out: Tensor = self.head(tokens[:, 0])
        return out


# ------------------------------------------------------------------------------------------------------------
# Found


@pytest.mark.parametrize("images", [SQUARE, WIDE])
@pytest.mark.parametrize("channels", [6, 16, 12, 20])  # 16, 12 and 20 are also numbers of rows or columns
def test_channels_are_found_first_and_last(images: Tensor, channels: int) -> None:
    model = Turned(channels).eval()
    found = hooks.layouts(model, ["stem", "mix", "mix.0", "mix.2", "act", "head"], images)
    assert found == {"stem": FIRST, "mix": LAST, "mix.0": LAST, "mix.2": LAST, "act": FIRST}


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "googlenet"])
def test_maps_whose_positions_all_see_the_whole_image_are_found(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    options = {"init_weights": False} if name == "googlenet" else {}
    model = models.get_model(name, weights=None, num_classes=5, **options).eval()
    layer = {"mobilenet_v3_small": "features.12", "googlenet": "inception5b"}[name]
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert hooks.layout(model, layer, images) == FIRST
    assert hooks.activations(model, images, layer).shape[-2:] == (2, 2)


def test_the_input_of_the_network_counts_and_not_its_values() -> None:
    found = hooks.layout(Turned().eval(), "mix", torch.zeros(1, 3, 32, 32))
    assert found == LAST


@pytest.mark.parametrize(("registers", "behind"), [(0, 0), (4, 0), (1, 2)])
@pytest.mark.parametrize("images", [SQUARE, WIDE])
def test_tokens_of_the_grid_are_told_from_those_beside_it(
    images: Tensor, registers: int, behind: int
) -> None:
    model = Tokens(registers, behind).eval()
    grid = images.shape[2] // 8, images.shape[3] // 8
    wanted = Layout("tokens", grid, 1 + registers, behind)
    found = hooks.layouts(model, ["patches", "start", "blocks.0", "blocks"], images)
    assert found == {"patches": FIRST, "start": wanted, "blocks.0": wanted, "blocks": wanted}
    maps = hooks.activations(model, images, "start")
    torch.testing.assert_close(maps, model.patches(images).detach())


def test_tokens_in_another_order_are_not_taken_for_a_grid() -> None:
    assert hooks.layouts(Tokens(columns_first=True).eval(), ["start", "blocks"], SQUARE) == {}
    with pytest.raises(BadInputError, match="tokens whose grid was not recognized"):
        attribution.grad_cam(Tokens(columns_first=True).eval(), SQUARE, 0, "start")


def test_what_looks_like_maps_and_is_none_is_refused() -> None:
    class Attention(nn.Module):
        """Gives (N, heads, tokens, tokens), which are as many rows as columns."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, stride=4)
            self.weights = nn.Softmax(dim=3)

        def forward(self, images: Tensor) -> Tensor:
            tokens = self.patches(images).flatten(2).transpose(1, 2)[:, None]
            return self.weights(tokens @ tokens.transpose(2, 3)).mean(dim=(2, 3))

    with pytest.raises(BadInputError, match=r"'weights' gives \(2, 1, 64, 64\).*model.layouts"):
        hooks.activations(Attention().eval(), SQUARE, "weights")
    with pytest.raises(BadInputError, match="cannot be told"):
        attribution.grad_cam(Attention().eval(), SQUARE, 0, "weights")


def test_a_single_token_is_no_map() -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.token = nn.Conv2d(3, 4, 3), nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            return self.token(self.conv(images).mean(dim=(2, 3))[:, None])[:, 0]

    assert hooks.layout(One().eval(), "token", SQUARE) is None


def test_a_network_may_say_it_itself() -> None:
    model = Tokens(columns_first=True).eval()
    model.layouts = {"start": Layout("tokens", (4, 4), before=1)}
    plain = torch.cat(
        [model.front.expand(2, -1, -1), model.patches(SQUARE).transpose(2, 3).flatten(2).mT], dim=1
    )
    expected = plain[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(hooks.activations(model, SQUARE, "start"), expected.detach())
    wrapped = image.Normalized(model, [0.0] * 3, [1.0] * 3)
    torch.testing.assert_close(hooks.activations(wrapped, SQUARE, "start"), expected.detach())
    model.layouts = {"start": Layout("tokens", (4, 5), before=1)}
    with pytest.raises(BadInputError, match=r"tokens 4 x 5 and 1 aside gives the shape \(2, 17, 8\)"):
        hooks.activations(model, SQUARE, "start")


@pytest.mark.parametrize("options", [{"kind": "tokens"}, {"kind": "rows first"}, {"grid": (2, 2)}])
def test_a_layout_that_says_nothing_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="A layout is one of"):
        Layout(**options)  # type: ignore[arg-type]


def test_layers_that_answer_nothing_go_by_their_proportions() -> None:
    """A residual branch that starts at zero says the same whatever the image."""
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.ReLU()).eval()
    nn.init.zeros_(model[1].weight)
    for images in (SQUARE, WIDE):
        assert hooks.layout(model, "3", images) == FIRST
    assert hooks.activations(model, WIDE, "3").shape == (2, 6, 24, 40)


def test_asking_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5), nn.ReLU())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert hooks.layout(model, "3", SQUARE) == FIRST
    assert model.training
    assert model[1].training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())


def test_a_network_that_fails_on_the_questions_is_read_by_its_proportions() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 5, 3), nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            assert len(images) == 2, "two views of one scene"
            return self.act(self.conv(images)).mean(dim=(2, 3))

    assert hooks.activations(Two().eval(), SQUARE, "act").shape == (2, 5, 30, 30)


# ------------------------------------------------------------------------------------------------------------
# Used


def by_hand(model: Turned, images: Tensor) -> Tensor:
    """Compute Grad-CAM of the layer `mix`, its channels last."""
    hidden = model.mix(model.stem(images).permute(0, 2, 3, 1)).detach().requires_grad_()
    score = model.head(hidden.permute(0, 3, 1, 2).relu().mean(dim=(2, 3)))[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, hidden)
    heat = (gradient.mean(dim=(1, 2), keepdim=True) * hidden).sum(dim=3).relu()
    return image.resize(heat, tuple(images.shape[-2:])).detach()


@pytest.mark.parametrize("images", [SQUARE, WIDE])
def test_grad_cam_of_channels_that_come_last(images: Tensor) -> None:
    model = Turned().eval()
    torch.testing.assert_close(attribution.grad_cam(model, images, 1, "mix"), by_hand(model, images))


def test_grad_cam_of_tokens() -> None:
    model = Tokens().eval()
    tokens = torch.cat([model.front.expand(2, -1, -1), model.patches(SQUARE).flatten(2).mT], dim=1).detach()
    tokens.requires_grad_()
    (gradient,) = torch.autograd.grad(model.head(model.blocks(tokens)[:, 0])[:, 1].sum(), tokens)
    maps, slopes = (values[:, 1:].mT.unflatten(2, (4, 4)) for values in (tokens.detach(), gradient))
    activations, found = attribution.layer_gradient(model, SQUARE, 1, "start")
    torch.testing.assert_close(activations, maps)
    torch.testing.assert_close(found, slopes)
    heat = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu()
    torch.testing.assert_close(attribution.grad_cam(model, SQUARE, 1, "start"), image.resize(heat, (32, 32)))


def test_tokens_that_the_class_token_does_not_read_are_explained() -> None:
    with pytest.raises(BadInputError, match="the class token"):
        attribution.grad_cam(Tokens().eval(), SQUARE, 1, "blocks")


@pytest.mark.parametrize("make", [Turned, Tokens])
def test_recorded_maps_are_in_the_graph(make: Callable[[], nn.Module]) -> None:
    model, layer = make().eval(), "mix" if make is Turned else "start"
    with hooks.record(model, [layer]) as found:
        score = model(SQUARE)[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, found[layer])
    activations, expected = attribution.layer_gradient(model, SQUARE, 1, layer)
    torch.testing.assert_close(found[layer].detach(), activations)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("make", [Turned, Tokens])
def test_replacing_a_channel_replaces_that_channel(make: Callable[[], nn.Module]) -> None:
    model, layer = make().eval(), "mix" if make is Turned else "start"

    def silenced(maps: Tensor) -> Tensor:
        return maps * (torch.arange(maps.shape[1]) != 2)[:, None, None]

    with hooks.replacing(model, {layer: silenced}), hooks.record(model, [layer]) as found:
        model(SQUARE)
    torch.testing.assert_close(found[layer], silenced(hooks.activations(model, SQUARE, layer)))
    with torch.no_grad(), hooks.replacing(model, {layer: lambda maps: maps}):
        same = model(SQUARE)
    torch.testing.assert_close(same, model(SQUARE))


def test_the_spectrum_has_the_channels_and_a_rendering_climbs_one() -> None:
    model = Turned().eval()
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = spectrum.track(model, ["mix"], spectrum.batches(spectrum.Items(list(images), "noise")), k=3)
    means = model.mix(model.stem(images).permute(0, 2, 3, 1)).mean(dim=(1, 2)).detach()
    assert len(found.layers["mix"].level) == 6
    torch.testing.assert_close(spectrum.scorer(model, ["mix"])(images)["mix"], means, atol=1e-5, rtol=1e-4)
    rendering = fv.render(model, fv.channel("mix", 2), size=32, steps=4)
    score = model.mix(model.stem(rendering.images).permute(0, 2, 3, 1))[..., 2].mean()
    torch.testing.assert_close(rendering.score, score.detach()[None], atol=1e-5, rtol=1e-4)


def test_a_rendering_of_a_token_layer() -> None:
    model = Tokens().eval()
    rendering = fv.render(model, fv.channel("blocks.0", 3), size=32, steps=4)
    tokens = torch.cat([model.front, model.patches(rendering.images).flatten(2).mT], dim=1)
    torch.testing.assert_close(rendering.score, model.blocks[0](tokens)[:, 1:, 3].mean(dim=1).detach())


def test_the_survey_says_what_each_layer_gives() -> None:
    class Net(Turned):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(self.act(images) - 0.5)

    found = {one.name: one for one in hooks.survey(Net().eval(), SQUARE)}
    assert list(found) == hooks.layer_names(Net())
    assert found["mix.1"] == hooks.Survey("mix.1", "Linear", (2, 16, 16, 6), LAST, 1)
    assert found["act"] == hooks.Survey("act", "ReLU", (2, 3, 32, 32), FIRST, 2)
    assert (found["head"].shape, found["head"].layout) == ((2, 4), None)
    assert str(found["mix.1"].layout) == "channels last"


def test_the_survey_passes_over_what_fails() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(3, 1)).eval()
    shapes = [one.shape for one in hooks.survey(model, SQUARE)]
    assert shapes == [(2, 2, 32, 32), (2, 2048), None]


# ------------------------------------------------------------------------------------------------------------
# The networks of the libraries, with random weights


def library(name: str) -> nn.Module:
    source, _, model = name.partition(":")
    package = pytest.importorskip(source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: nn.Module = (
            package.models.get_model(model, weights=None)
            if source == "torchvision"
            else package.create_model(model)
        )
    return made.eval()


# {network: the side of its images and the layouts of some layers}
KNOWN: dict[str, tuple[int, dict[str, Layout]]] = {
    "torchvision:swin_t": (
        64,
        {
            "features.1": LAST,
            "features.3.0.norm1": LAST,
            "features.1.0.attn": LAST,
            "permute": FIRST,
            "norm": LAST,
        },
    ),
    "torchvision:convnext_tiny": (
        64,
        {
            "features.3": FIRST,
            "features.3.0": FIRST,
            "features.3.0.block.2": LAST,
            "features.3.0.block.6": FIRST,
            "features.3.0.block.5": LAST,
        },
    ),
    "torchvision:vit_b_16": (
        224,
        {"encoder.layers.encoder_layer_0.ln_1": Layout("tokens", (14, 14), before=1), "conv_proj": FIRST},
    ),
    "timm:swin_tiny_patch4_window7_224": (
        224,
        {
            "layers.0": LAST,
            "layers.1.blocks.0.mlp.fc1": Layout("tokens", (28, 28)),
            "patch_embed.proj": FIRST,
        },
    ),
    "timm:vit_tiny_patch16_224": (
        224,
        {
            "blocks.5": Layout("tokens", (14, 14), before=1),
            "blocks.11.norm1": Layout("tokens", (14, 14), before=1),
        },
    ),
    "timm:deit_tiny_distilled_patch16_224": (224, {"blocks.1": Layout("tokens", (14, 14), before=2)}),
    "timm:convnext_atto": (64, {"stages.1.blocks.0": FIRST, "stages.1.blocks.0.mlp.fc1": FIRST}),
}


@pytest.mark.parametrize("name", KNOWN)
def test_layers_of_known_networks(name: str) -> None:
    model, (side, wanted) = library(name), KNOWN[name]
    assert hooks.layouts(model, list(wanted), torch.zeros(1, 3, side, side)) == wanted


def test_attention_inside_windows_is_refused() -> None:
    model = library("timm:swin_tiny_patch4_window7_224")
    images = torch.zeros(1, 3, 224, 224)
    assert hooks.layouts(model, ["layers.0.blocks.0.attn", "layers.3.blocks.0.attn.softmax"], images) == {}
    with pytest.raises(BadInputError, match="cannot be told"):
        hooks.activations(model, images, "layers.3.blocks.0.attn.attn_drop")


@pytest.mark.parametrize(
    ("name", "side", "layer"),
    [
        ("torchvision:swin_t", 64, "features.3"),
        ("torchvision:convnext_tiny", 64, "features.3.0.block.2"),
        ("timm:swin_tiny_patch4_window7_224", 224, "layers.1"),
    ],
)
def test_grad_cam_inside_known_networks_is_the_one_permuted_by_hand(name: str, side: int, layer: str) -> None:
    model, images = library(name), torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(2))
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _layer, _inputs, out: kept.append(out))
    score = model(images)[0, 3]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    maps, slopes = (values.detach().permute(0, 3, 1, 2) for values in (kept[0], gradient))
    heat = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu()
    expected = F.interpolate(heat[:, None], size=(side, side), mode="bilinear", align_corners=False)[:, 0]
    found = attribution.grad_cam(model, images, 3, layer)
    assert expected.max() > 0
    torch.testing.assert_close(found / expected.max(), expected / expected.max(), atol=1e-4, rtol=1e-4)


def test_the_maps_of_a_vision_transformer_are_its_tokens() -> None:
    model, images = library("timm:vit_tiny_patch16_224"), torch.rand(1, 3, 224, 224)
    kept: list[Tensor] = []
    handle = model.blocks[11].norm1.register_forward_hook(lambda _layer, _inputs, out: kept.append(out))
    (gradient,) = torch.autograd.grad(model(images)[0, 3], kept[0])
    handle.remove()
    maps, slopes = (values[:, 1:].detach().mT.unflatten(2, (14, 14)) for values in (kept[0], gradient))
    found = attribution.layer_gradient(model, images, 3, "blocks.11.norm1")
    torch.testing.assert_close(found, (maps, slopes))
    with pytest.raises(BadInputError, match="the class token"):
        attribution.grad_cam(model, images, 3, "blocks.11")


class Reader(nn.Module):
    """Looks into a network of its own, as a probe does, and ends with rows that come last."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 9, 3, padding=1), nn.ReLU()
        )
        self.last = nn.Linear(9, 16)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.last(hooks.activations(self.net, pictures, "3").permute(0, 2, 3, 1))


def test_a_network_that_looks_into_networks_is_looked_into_as_any_other() -> None:
    reader, pictures = Reader().eval(), torch.rand(2, 3, 16, 16)
    assert hooks.layouts(reader, ["last", "net.1"], pictures) == {"last": LAST, "net.1": FIRST}
    torch.testing.assert_close(
        hooks.activations(reader.net, pictures, "1"), hooks.activations(reader, pictures, "net.1")
    )
    assert [one.runs for one in hooks.survey(reader, pictures) if one.name == "net.3"] == [1]


def test_a_full_memory_is_an_error_and_nothing_that_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(3, 16, 1), Last(), nn.ReLU()).eval()
    pictures, whole = torch.rand(4, 3, 16, 16), nn.ReLU.forward

    def full(layer: nn.Module, values: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(nn.ReLU, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        hooks.layouts(net, ["2"], pictures)
    monkeypatch.setattr(nn.ReLU, "forward", whole)
    assert hooks.layouts(net, ["2"], pictures) == {"2": LAST}


class Last(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 2, 3, 1)


def test_a_layout_that_is_given_as_a_text_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU()).eval()
    net.layouts = {"1": "channels last"}  # type: ignore[assignment]
    with pytest.raises(BadInputError, match=r"hooks\.Layout\('channels last'\)"):
        hooks.activations(net, torch.rand(1, 3, 16, 16), "1")
    net.layouts = {"of": "its own"}  # type: ignore[assignment]
    assert hooks.activations(net, torch.rand(1, 3, 8, 8), "1").shape == (1, 16, 8, 8)


def test_what_was_enlarged_from_one_position_has_its_channels_first() -> None:
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Upsample(16), nn.ReLU()).eval()
    assert hooks.activations(net, torch.rand(1, 3, 64, 64), "2").shape == (1, 16, 16, 16)
