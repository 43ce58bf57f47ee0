"""The renderer: pure, repeatable, and it tells what went wrong."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interp import featurevis as fv
from interp import hooks, image
from interp.errors import BadInputError, UnknownNameError
from interp.featurevis.ascent import Log
from interp.image import Normalize

SHORT = {"size": 32, "steps": 6}


class Tiny(nn.Module):
    """Two convolutions and a linear layer: enough to have everything that a network can have."""

    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([0.5] * 3, [0.25] * 3)
        self.first = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(8, 6, 3, padding=1)
        self.dead = nn.ReLU()
        self.head = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        middle = self.second(self.act(self.norm(self.first(self.normalize(images)))))
        self.dead(middle - 1000)
        return self.head(middle.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny().eval()


def test_the_objective_rises_and_falls(tiny: nn.Module) -> None:
    up = fv.render(tiny, fv.channel("second", 1), size=32, steps=40)
    down = fv.render(tiny, -fv.channel("second", 1), size=32, steps=40)
    assert up.history[-1] > up.history[0] + 0.05
    assert down.history[-1] > down.history[0] + 0.05
    plain = hooks.activations(tiny, torch.full((1, 3, 32, 32), 0.5), "second")[:, 1].mean()
    assert up.score > plain > -down.score


@pytest.mark.parametrize("layer", ["first", "norm", "act", "second", "head", fv.OUTPUT])
def test_the_reported_score_is_that_of_a_plain_forward(tiny: nn.Module, layer: str) -> None:
    rendering = fv.render(tiny, fv.channel(layer, 2), **SHORT)
    with torch.no_grad():
        values = (
            tiny(rendering.images) if layer == fv.OUTPUT else hooks.activations(tiny, rendering.images, layer)
        )
    expected = values[:, 2].reshape(1, -1).mean(1)
    torch.testing.assert_close(rendering.score, expected, atol=1e-4, rtol=1e-4)


def test_one_seed_is_one_picture_and_two_seeds_are_two(tiny: nn.Module) -> None:
    first, again, other = (fv.render(tiny, fv.channel("second", 1), seed=seed, **SHORT) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.history, again.history)
    assert (first.images - other.images).abs().mean() > 0.01


def state_of(model: nn.Module) -> object:
    return (
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        [
            (module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
            for module in model.modules()
        ],
        [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
        torch.get_rng_state(),
        torch.is_grad_enabled(),
    )


def assert_same_state(before: object, after: object) -> None:
    torch.testing.assert_close(before[0], after[0], rtol=0, atol=0)  # type: ignore[index]
    assert before[1:3] == after[1:3]  # type: ignore[index]
    assert torch.equal(before[3], after[3])  # type: ignore[index]
    assert before[4] == after[4]  # type: ignore[index]


@pytest.mark.parametrize("training", [True, False])
def test_nothing_that_is_given_is_changed(training: bool) -> None:
    model, start = Tiny().train(training), fv.FourierImage(32)
    kept, before = copy.deepcopy(start), state_of(model)
    fv.render(model, fv.channel("second", 1), start, steps=3)
    assert_same_state(before, state_of(model))
    torch.testing.assert_close(start.state_dict(), kept.state_dict(), rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in start.parameters())
    with pytest.raises(BadInputError):
        fv.render(model, fv.channel("second", 99), start, steps=3)
    assert_same_state(before, state_of(model))


def test_gradients_switched_off_outside_do_no_harm(tiny: nn.Module) -> None:
    expected = fv.render(tiny, fv.channel("second", 1), **SHORT).images
    with torch.no_grad():
        assert torch.equal(fv.render(tiny, fv.channel("second", 1), **SHORT).images, expected)
    with torch.inference_mode():
        assert torch.equal(fv.render(tiny, fv.channel("second", 1), **SHORT).images, expected)


def test_snapshots_are_the_picture_on_the_way(tiny: nn.Module) -> None:
    objective = fv.channel("second", 1)
    rendering = fv.render(tiny, objective, fv.FourierImage(32), steps=6, snapshots=[2, 6])
    assert list(rendering.snapshots) == [2, 6]
    assert torch.equal(rendering.snapshots[6], rendering.images)
    assert torch.equal(
        rendering.snapshots[2], fv.render(tiny, objective, fv.FourierImage(32), steps=2).images
    )


def test_stages_go_on_at_another_size(tiny: nn.Module) -> None:
    stages = [fv.Stage((16, 24), 3), fv.Stage((32, 48), 2)]
    rendering = fv.render(tiny, fv.channel("second", 1), steps=stages, snapshots=[3])
    assert rendering.snapshots[3].shape == (1, 3, 16, 24)
    assert rendering.images.shape == (1, 3, 32, 48)
    assert len(rendering.history) == 5
    assert fv.two_stages((64, 96), 9) == (fv.Stage((32, 48), 5), fv.Stage((64, 96), 4))


def test_a_recipe_and_its_changes_by_name_are_one_thing(tiny: nn.Module) -> None:
    recipe = fv.Recipe(size=32, steps=6, seed=3)
    wanted = fv.channel("second", 1)
    by_recipe = fv.render(tiny, wanted, recipe=recipe)
    assert torch.equal(by_recipe.images, fv.render(tiny, wanted, size=32, steps=6, seed=3).images)
    changed = fv.render(tiny, wanted, recipe=recipe, seed=4)
    assert torch.equal(changed.images, fv.render(tiny, wanted, recipe=recipe.changed(seed=4)).images)
    assert not torch.equal(by_recipe.images, changed.images)
    assert recipe.seed == 3


def test_recipes_of_the_same_content_are_equal() -> None:
    one = fv.Recipe(transforms=list(fv.STANDARD), steps=[(np.int64(32), np.int64(3))], seed=np.int64(2))
    assert one == fv.Recipe(steps=(fv.Stage(32, 3),), seed=2)
    assert repr(one.steps) == "(Stage(size=32, steps=3),)"
    assert one.stages() == (fv.Stage(32, 3),)
    assert fv.Recipe(steps=4, size=64).stages() == (fv.Stage((32, 32), 2), fv.Stage(64, 2))
    assert fv.Recipe(steps=4).stages((48, 48)) == (fv.Stage((48, 48), 4),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "at least one step"),
        ({"steps": []}, "at least one step"),
        ({"steps": 1.5}, r"a whole number, or stages such as \[Stage.*got 1.5"),
        ({"steps": [10, 20]}, r"or stages such as .*got \[10, 20\]"),
        ({"steps": [(64, 2.5)]}, r"or stages such as .*got \[\(64, 2.5\)\]"),
        ({"size": 3}, "3 x 3 is not usable"),
        ({"batch": 0}, "at least one image"),
        ({"rate": float("nan")}, "finite number"),
        ({"rate": "0.1"}, "finite number"),
        ({"rate": -0.1}, "To minimize: -objective"),
        ({"seed": 1.5}, "seed has to be a whole number"),
        ({"batch": 2.0}, "batch has to be a whole number"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_when_it_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        fv.Recipe(**options)
    with pytest.raises(TypeError, match="stepps"):
        fv.Recipe().changed(stepps=3)  # type: ignore[call-arg]


def test_settings_say_how_it_was_made(tiny: nn.Module) -> None:
    rendering = fv.render(tiny, fv.channel("second", 1), seed=3, **SHORT)
    assert rendering.name == "second:1"
    assert rendering.names == ("second:1",)
    assert rendering.seed == 3
    assert rendering.settings["stages"] == [[16, 16, 3], [32, 32, 3]]
    assert "rotate=15" in str(rendering.settings["transforms"])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (fv.FourierImage, {"contrast": 2.5}),
        (fv.FourierImage, {"decay": 1.0}),
        (fv.FourierImage, {"noise": 0.2}),
        (fv.FourierImage, {"decorrelated": False}),
        (fv.FourierImage, {"alpha": True}),
        (fv.FourierImage, {"seed": 4}),
        (fv.FourierImage, {"names": ["other"]}),
        (fv.PixelImage, {"noise": 0.2}),
        (fv.PixelImage, {"decorrelated": True}),
        (fv.CppnImage, {"width": 6}),
        (fv.CppnImage, {"depth": 3}),
        (fv.MacoImage, {"contrast": 2.0}),
    ],
)
def test_settings_say_what_the_start_was_made_of(
    kind: type[fv.Parameterization], options: dict[str, Any], tiny: nn.Module
) -> None:
    plain, other = (
        fv.render(tiny, fv.channel("second", 1), kind(16, **given), steps=1).settings["start"]  # type: ignore[arg-type]
        for given in ({}, options)
    )
    ((name, value),) = options.items()
    differing = {key for key in {**plain, **other} if plain.get(key) != other.get(key)}  # type: ignore[dict-item, attr-defined]
    assert name in differing <= {name, "content"}
    assert other[name] == value  # type: ignore[index]


def test_settings_tell_one_photograph_from_another(tiny: nn.Module, photographs: Tensor) -> None:
    for kind in (fv.FourierImage, fv.PixelImage):
        one, other = (
            fv.render(tiny, fv.channel("second", 1), kind.of(each[None, :, :16, :16]), steps=1).settings[
                "start"
            ]
            for each in photographs
        )
        assert one["content"] != other["content"]  # type: ignore[index]
        assert {**one, "content": other["content"]} == other  # type: ignore[dict-item, index]
        assert one["noise"] is None  # type: ignore[index]
        assert one["seed"] is None  # type: ignore[index]


@pytest.mark.parametrize("steps", [6, [fv.Stage(16, 4), fv.Stage(32, 2)]])
@pytest.mark.parametrize("never", [[0], [2, 7], [-1], [2.5]])
def test_a_snapshot_after_no_step_is_refused_before_anything_else(
    steps: int | list[fv.Stage], never: list[int]
) -> None:
    with pytest.raises(BadInputError, match=rf"after the steps 1 to 6; there is no step {never[-1]}\."):
        fv.render(nn.Module(), fv.channel("nothing", 1), size=32, steps=steps, snapshots=never)


def test_many_are_as_each_alone(tiny: nn.Module) -> None:
    objectives = [fv.channel("second", index) for index in range(5)] + [-fv.channel("first", 0)]
    many = list(fv.render_many(tiny, objectives, batch=4, **SHORT))
    assert [one.name for one in many] == [objective.name for objective in objectives]
    for objective, one in zip(objectives, many, strict=True):
        alone = fv.render(tiny, objective, **SHORT)
        torch.testing.assert_close(one.images, alone.images, atol=2e-3, rtol=0)
        torch.testing.assert_close(one.score, alone.score, atol=1e-3, rtol=1e-3)
        assert one.history.shape == alone.history.shape == (6, 1)


def test_the_same_batch_gives_the_same_bits(tiny: nn.Module) -> None:
    objectives = [fv.channel("second", index) for index in range(6)]
    whole = list(fv.render_many(tiny, objectives, batch=3, **SHORT))
    rest = list(fv.render_many(tiny, objectives[3:], batch=3, **SHORT))
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[3:], rest, strict=True))


def test_one_image_of_a_batch_is_a_rendering(tiny: nn.Module) -> None:
    whole = fv.render(
        tiny, fv.together([fv.channel("second", 0), fv.channel("second", 1)]), **SHORT, snapshots=[1]
    )
    assert len(whole) == 2
    last = whole[-1]
    assert last.name == "second:1"
    assert torch.equal(last.images, whole.images[1:])
    assert torch.equal(last.score, whole.score[1:])
    assert torch.equal(last.snapshots[1], whole.snapshots[1][1:])


def test_diversity_makes_a_batch_differ(tiny: nn.Module) -> None:
    def style(weight: float) -> Tensor:
        objective = fv.channel("second", 1) + weight * fv.diversity("act")
        images = fv.render(tiny, objective, fv.FourierImage(32, 3), steps=30, transforms=()).images
        return fv.diversity("act")(hooks.run(tiny, images, ["act"])).mean()

    assert style(20) > style(0)


def test_penalties_do_what_they_say(tiny: nn.Module) -> None:
    objective = fv.channel("second", 1)
    plain = fv.render(tiny, objective, fv.PixelImage(32), steps=40, transforms=())
    calm = fv.render(tiny, objective - 50 * fv.total_variation(), fv.PixelImage(32), steps=40, transforms=())
    seen = {fv.IMAGE: plain.images}, {fv.IMAGE: calm.images}
    assert fv.total_variation()(seen[1]) < 0.7 * fv.total_variation()(seen[0])
    # An objective on the image alone needs no layer at all.
    gray = fv.render(tiny, -fv.l2(), fv.PixelImage(16, noise=1.0), steps=60)
    assert -gray.score < 0.01


def test_alpha_fades_what_does_not_count(tiny: nn.Module) -> None:
    objective = fv.neuron("second", 1) - 20 * fv.opacity()
    rendering = fv.render(tiny, objective, fv.FourierImage(48, alpha=True), steps=60, transforms=())
    assert rendering.alpha is not None
    assert rendering.images.shape == (1, 3, 48, 48)
    assert rendering.alpha.shape == (1, 1, 48, 48)
    assert rendering.alpha.mean() < 0.35


@pytest.mark.parametrize("kind", [fv.PixelImage, fv.MacoImage, fv.CppnImage])
def test_every_parameterization_climbs(tiny: nn.Module, kind: type[fv.Parameterization]) -> None:
    rate = 0.003 if kind is fv.CppnImage else 0.05
    rendering = fv.render(tiny, fv.channel("second", 1), kind(32), steps=40, rate=rate)
    assert rendering.history[-5:].mean() > rendering.history[:5].mean() + 0.005


def test_accentuation_starts_from_an_image(tiny: nn.Module) -> None:
    image = fv.FourierImage(32, noise=0.5)().detach()
    rendering = fv.render(tiny, fv.deepdream("second"), fv.FourierImage.of(image), steps=3, rate=0.001)
    assert 0 < (rendering.images - image).abs().mean() < 0.02


def test_adam_is_that_of_torch() -> None:
    ours = nn.Parameter(torch.linspace(-1, 1, 5))
    theirs = nn.Parameter(ours.detach().clone())
    adam = fv.Adam([ours], 0.1)
    reference = torch.optim.Adam([theirs], 0.1, betas=(0.5, 0.99), maximize=True)
    for step in range(20):
        gradient = torch.sin(theirs.detach() * 3 + step)
        adam.step([gradient])
        theirs.grad = gradient
        reference.step()
    torch.testing.assert_close(ours, theirs)


# --------------------------------------------------------------------------------------------------------------------
# What goes wrong is told


def test_a_dead_channel_is_told(tiny: nn.Module) -> None:
    with pytest.warns(fv.RenderingWarning, match=r"dead:0: no gradient at any step"):
        rendering = fv.render(tiny, fv.channel("dead", 0), **SHORT)
    assert "dead" in rendering.problems[0]


def test_nan_in_one_image_is_told_and_leaves_the_others_alone(tiny: nn.Module) -> None:
    broken = fv.of_layer("second", lambda values: values[:, 0].flatten(1).mean(1).sub(1e9).sqrt(), "broken")
    fine = fv.channel("second", 1)
    with pytest.warns(fv.RenderingWarning, match="broken: .* not finite"):
        both = fv.render(tiny, fv.together([broken, fine]), **SHORT)
    assert both.problems[0]
    assert not both.problems[1]
    assert both.images.isfinite().all()
    torch.testing.assert_close(both.images[1:], fv.render(tiny, fine, **SHORT).images, atol=2e-3, rtol=0)


def test_saturation_is_told(tiny: nn.Module) -> None:
    with pytest.warns(fv.RenderingWarning, match="black or full. Use a lower rate"):
        fv.render(tiny, fv.channel("second", 1), fv.FourierImage(32), steps=20, rate=5.0)
    fv.render(tiny, fv.channel("second", 1), size=32, steps=20, rate=5.0)  # the standard cannot saturate


class Pairs(Tiny):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(images), images


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: fv.render(m, fv.channel("second", 6), **SHORT), "channels 0 to 5; there is no 6"),
        (lambda m: fv.render(m, fv.neuron("head", 0), **SHORT), "has no positions"),
        (lambda m: fv.render(m, fv.channel("second", 0), size=32, steps=0), "at least one step"),
        (lambda m: fv.render(m, fv.channel("second", 0), steps=[]), "at least one step"),
        (lambda m: fv.render(m, fv.channel("second", 0), size=7), "7 x 7 is not usable"),
        (lambda m: fv.render(m, fv.channel("second", 0), size=5000), "5000 x 5000 is not usable"),
        (lambda m: fv.render(m, fv.channel("second", 0), steps=[(32, 1), (4, 1)]), "4 x 4 is not usable"),
        (lambda m: fv.render(m, -fv.opacity(), **SHORT), "no alpha channel"),
        (lambda m: fv.render(m, fv.logit("cat"), **SHORT), "does not know the names"),
        (lambda m: fv.pad(-3), "cannot be negative"),
        (lambda m: fv.blur(-1.0), "cannot be negative"),
        (
            lambda m: fv.render(m, fv.channel("second", 0), transforms=[fv.blur(11.0)], **SHORT),
            "The transforms cannot take RGB images of 32 x 32 pixels",
        ),
        (
            lambda m: fv.render(m, fv.of_layer("second", lambda v: torch.ones(len(v))), **SHORT),
            "does not depend on",
        ),
        (lambda m: fv.render(Pairs(), fv.logit(0), **SHORT), "returns tuple, not one tensor"),
        (lambda m: fv.render(m, fv.channel("second", 0), fv.FourierImage(32, 0)), "at least one image"),
        (
            lambda m: fv.render(m, fv.together([fv.channel("second", 0)]), fv.FourierImage(32, 2)),
            "as many images",
        ),
        (lambda m: list(fv.render_many(m, [fv.channel("second", 0)], batch=0)), "at least one image"),
    ],
)
def test_bad_input_is_explained(call: object, message: str, tiny: nn.Module) -> None:
    with pytest.raises(BadInputError, match=message):
        call(tiny)  # type: ignore[operator]


def test_an_unknown_layer_gets_the_closest_names(tiny: nn.Module) -> None:
    with pytest.raises(UnknownNameError, match="Closest: second"):
        fv.render(tiny, fv.channel("secnd", 0), **SHORT)


def test_a_size_that_the_network_cannot_take(tiny: nn.Module) -> None:
    class Deep(Tiny):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(nn.functional.max_pool2d(images, 40))

    with pytest.raises(
        BadInputError, match=r"cannot take RGB images of 32 x 32 pixels \(RuntimeError: .*stages"
    ):
        fv.render(Deep(), fv.channel("second", 0), **SHORT)


def test_the_reason_is_told_when_it_is_not_the_size() -> None:
    broken = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3))
    with pytest.raises(BadInputError, match=r"expected input.* to have 5 channels, but got 4 channels"):
        fv.render(broken, fv.channel("1", 0), **SHORT)


class Fixed(Tiny):
    """Takes images of one size only, and says so as timm's networks do."""

    class_names = ("cat", "dog", "egg", "fox")

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[-2:] == (32, 32), f"Input height ({images.shape[-2]}) doesn't match model (32)."
        return super().forward(images)


def test_a_network_for_one_size_gets_all_steps_at_it() -> None:
    fixed = Fixed().eval()
    one = fv.render(fixed, fv.channel("second", 1), size=32, steps=6)
    assert one.settings["stages"] == [[32, 32, 6]]
    expected = fv.render(fixed, fv.channel("second", 1), steps=[fv.Stage(32, 6)])
    assert torch.equal(one.images, expected.images)
    (many,) = fv.render_many(fixed, [fv.channel("second", 1)], size=32, steps=6)
    assert torch.equal(many.images, expected.images)
    with pytest.raises(
        BadInputError, match=r"64 x 64 pixels \(AssertionError: Input height \(64\) doesn't match"
    ):
        fv.render(fixed, fv.channel("second", 1), size=64, steps=6)
    with pytest.raises(BadInputError, match=r"16 x 16 pixels"):  # stages that were asked for are not changed
        fv.render(fixed, fv.channel("second", 1), steps=[fv.Stage(16, 3), fv.Stage(32, 3)])


class Behind(Tiny):
    """Its convolutions take images of any size, what is behind them of one only."""

    def forward(self, images: Tensor) -> Tensor:
        middle = self.second(self.act(self.norm(self.first(self.normalize(images)))))
        assert middle.shape[-2:] == (16, 16)
        return self.head(middle.mean(dim=(2, 3)))


def test_many_of_a_network_for_one_size_are_as_each_alone_or_refused(tmp_path: Path) -> None:
    network, few = Behind().eval(), {"size": 32, "steps": 6}
    low, high = fv.channel("second", 1), fv.logit(2)
    for one, stages in ((low, [[16, 16, 3], [32, 32, 3]]), (high, [[32, 32, 6]])):
        (many,) = fv.render_many(network, [one], **few)
        assert many.settings["stages"] == fv.render(network, one, **few).settings["stages"] == stages
    for render in (
        lambda both, **options: list(fv.render_many(network, both, **options)),
        lambda both, **options: fv.render_folder(network, both, tmp_path / "both", **options),
    ):
        with pytest.raises(
            BadInputError, match=r"second .* two stages and output .* steps=\[Stage\(\(32, 32\), 6\)"
        ):
            render([low, high], **few)
        assert not (tmp_path / "both").exists()
        render([low, high], steps=[fv.Stage((32, 32), 6)])


@pytest.mark.parametrize("size", [8, 12, 15, (14, 40)])
def test_small_sizes_are_one_stage(tiny: nn.Module, size: fv.parameterizations.Size) -> None:
    assert fv.two_stages(size, 6) == (fv.Stage(size, 6),)
    assert fv.render(tiny, fv.channel("second", 1), size=size, steps=2).images.shape[-1] in (8, 12, 15, 40)


def test_a_transform_that_half_the_size_cannot_take_leaves_one_stage(tiny: nn.Module) -> None:
    made = fv.render(tiny, fv.channel("second", 1), size=16, steps=4, transforms=[fv.blur(4.0)])
    assert made.settings["stages"] == [[16, 16, 4]]


def test_a_class_has_a_name(tiny: nn.Module) -> None:
    fixed = Fixed().eval()
    named, numbered = (fv.render(fixed, fv.logit(target), size=32, steps=3) for target in ("egg", 2))
    with torch.no_grad():
        torch.testing.assert_close(named.score, fixed(named.images)[:, 2], atol=1e-4, rtol=1e-4)
    assert (named.name, numbered.name) == ("logit:egg", "logit:2")
    both = fv.render(fixed, fv.logit("egg") - fv.logit("dog"), size=32, steps=3)
    with torch.no_grad():
        out = fixed(both.images)
    torch.testing.assert_close(both.score, out[:, 2] - out[:, 1], atol=1e-4, rtol=1e-4)
    with pytest.raises(UnknownNameError, match=r"There is no class 'egs'\. Closest: egg"):
        fv.render(fixed, fv.logit("egs"), size=32, steps=3)
    fixed.class_names = ("cat", "dog", "egg")
    with pytest.raises(BadInputError, match=r"3 class names and returns \(1, 4\)"):
        fv.render(fixed, fv.logit("egg"), size=32, steps=3)


def test_the_alpha_channel_is_neither_black_nor_full(tiny: nn.Module) -> None:
    log = Log(scores=[torch.ones(1)], slopes=[torch.ones(1)])
    pixels = torch.full((1, 4, 8, 8), 0.5)
    pixels[:, 3] = 0
    assert log.problems(["clear"], pixels, 0 * pixels + 0.5) == ("",)
    pixels[:, 0] = 0
    assert "33% of the values are black or full" in log.problems(["red gone"], pixels, 0 * pixels + 0.5)[0]


def test_the_default_type_changes_no_rendering(tiny: nn.Module) -> None:
    expected = fv.render(tiny, fv.channel("second", 1), **SHORT)
    torch.set_default_dtype(torch.float64)
    try:
        found = fv.render(tiny, fv.channel("second", 1), **SHORT)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.score, expected.score)


def test_a_model_in_half_precision_is_rendered_in_single(tiny: nn.Module) -> None:
    half = copy.deepcopy(tiny).half()
    rendering = fv.render(half, fv.channel("second", 1), **SHORT)
    assert rendering.images.dtype == torch.float32
    assert next(half.parameters()).dtype == torch.float16
    whole = fv.render(tiny, fv.channel("second", 1), **SHORT)
    torch.testing.assert_close(rendering.score, whole.score, rtol=0.05, atol=0.01)


# --------------------------------------------------------------------------------------------------------------------
# How it is computed


def test_half_precision_finds_nearly_the_same(tiny: nn.Module) -> None:
    objective = fv.channel("second", 1)
    whole = fv.render(tiny, objective, size=32, steps=20)
    half = fv.render(tiny, objective, size=32, steps=20, compute=fv.Compute("bfloat16"))
    assert not torch.equal(half.images, whole.images)
    torch.testing.assert_close(half.score, whole.score, rtol=0.05, atol=0)
    plain = hooks.activations(tiny, half.images, "second")[:, 1].mean()
    torch.testing.assert_close(
        half.score[0], plain, atol=1e-4, rtol=1e-4
    )  # the score itself is in full precision
    with pytest.raises(BadInputError, match="no precision 'int8'"):
        fv.Compute("int8")  # type: ignore[arg-type]


def test_what_holds_no_layer_is_compiled(model: nn.Module) -> None:
    from interp.featurevis.compute import compilable

    parts = compilable(model, ["blocks.1.1"])
    assert {"conv_stem", "blocks.0", "blocks.1.0", "blocks.1.1.expand", "blocks.2"} <= set(parts)
    assert not {"blocks", "blocks.1", "blocks.1.1"} & set(parts)


def test_compiled_it_is_the_same(tiny: nn.Module) -> None:
    objective = fv.channel("second", 1)
    compiled = fv.render(tiny, objective, **SHORT, compute=fv.Compute(compiled=True, backend="eager"))
    torch.testing.assert_close(compiled.images, fv.render(tiny, objective, **SHORT).images, atol=1e-4, rtol=0)


def test_a_rendering_shows_itself(tiny: nn.Module) -> None:
    both = fv.render(tiny, fv.together([fv.channel("second", 1), fv.channel("second", 2)]), **SHORT)
    first, second = both.score.tolist()
    size = f"{both.images.shape[2]} x {both.images.shape[3]}"
    assert repr(both) == (
        f"<Rendering, 2 images of {size}, scores: second:1 {first:.4g}, second:2 {second:.4g}>"
    )
    assert repr(both[0]).startswith(f"<Rendering, 1 image of {size}, scores: second:1 ")
    with pytest.warns(fv.RenderingWarning):
        dead = fv.render(tiny, fv.channel("dead", 0), **SHORT)
    assert repr(dead).endswith(f"; {dead.problems[0]}>")
    many = fv.render(tiny, fv.channel("second", 1), fv.FourierImage(16, count=20), steps=1)
    assert "12 more" in repr(many)
    assert len(repr(many)) < 400
    picture = image.load(io.BytesIO(both._repr_png_()))
    side = both.images.shape[3]
    torch.testing.assert_close(picture[..., :side], both.images[:1], atol=0.51 / 255, rtol=0)
    torch.testing.assert_close(picture[..., -side:], both.images[1:], atol=0.51 / 255, rtol=0)


def test_an_objective_that_gives_no_score_for_each_image_is_refused_at_once() -> None:
    per_channel = fv.of_layer("0", lambda values: values.mean(dim=(0, 2, 3)))
    with pytest.raises(BadInputError, match="a score for each image; got 4 for 1"):
        fv.render(nn.Sequential(nn.Conv2d(3, 4, 3)), per_channel, size=16, steps=1)


def test_the_settings_of_a_rendering_know_its_precision() -> None:
    one = fv.render(nn.Conv2d(3, 4, 3), fv.logit(0), size=16, steps=1, compute=fv.Compute("bfloat16"))
    assert one.settings["precision"] == "bfloat16"


def test_the_smallest_half_that_an_image_can_have_is_a_stage() -> None:
    assert fv.Recipe(steps=4, size=16).stages() == (fv.Stage((8, 8), 2), fv.Stage(16, 2))
    assert fv.Recipe(steps=4, size=15).stages() == (fv.Stage(15, 4),)
