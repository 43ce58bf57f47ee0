"""Streaming through a network: right scores whatever the batches, nothing changed, what is broken is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from spectra import Tiny, pictures, same, tiny
from torch import Tensor, nn

from interp import hooks, image
from interp.errors import BadInputError, MissingFileError, UnknownNameError
from interp.spectrum import Batch, Entry, Folder, Items, Measure, Spectrum, batches, scorer, track, tracking
from interp.spectrum.measure import pooled


def stream(size: int, count: int = 40) -> list[Batch]:
    images = torch.stack([picture for picture, _ in pictures(count)])
    return [
        Batch(torch.arange(i, min(i + size, count)), images[i : i + size], ("",) * len(images[i : i + size]))
        for i in range(0, count, size)
    ]


def test_the_bands_are_those_of_the_pooled_activations() -> None:
    model, images = tiny(), torch.stack([picture for picture, _ in pictures()])
    for pool, reduce in (("mean", lambda x: x.mean((2, 3))), ("max", lambda x: x.amax((2, 3)))):
        spectrum = track(model, ["norm", "deep"], stream(7), pool=pool, k=5)
        for layer in ("norm", "deep"):
            scores = reduce(hooks.activations(model, images, layer))
            for channel in range(scores.shape[1]):
                band = spectrum[layer, channel].band("maximum")
                assert list(band.ids) == scores[:, channel].argsort(descending=True)[:5].tolist()
                torch.testing.assert_close(torch.tensor(band.scores), scores[list(band.ids), channel])


def test_a_layer_before_an_in_place_relu_keeps_its_negative_scores() -> None:
    unit = track(tiny(), ["norm"], stream(8))["norm", 0]
    assert unit.band("minimum").scores[0] < 0


def test_center_pools_the_position_in_the_middle() -> None:
    model = tiny()
    found = scorer(model, ["deep"], pool="center")(stream(3)[0].images)["deep"]
    maps = hooks.activations(model, stream(3)[0].images, "deep")
    torch.testing.assert_close(found, maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2])


def test_a_linear_layer_has_units_too() -> None:
    model = tiny()
    found = track(model, ["head"], stream(10))
    logits = model(torch.stack([picture for picture, _ in pictures()]))
    assert found["head", 2].band("maximum").ids[0] == int(logits[:, 2].argmax())


def test_the_results_on_the_way_are_those_of_the_images_so_far() -> None:
    results = list(tracking(tiny(), ["deep"], stream(4), every=8, k=3, fold=False))
    assert [each.images for each in results] == [8, 16, 24, 32, 40]
    assert same(results[1], track(tiny(), ["deep"], stream(4)[:4], k=3, fold=False))
    uneven = list(tracking(tiny(), ["deep"], stream(4), every=12, k=3))
    assert [each.images for each in uneven] == [12, 24, 36, 40]


def test_folding_gives_the_same_scores_and_leaves_asked_convolutions_alone(
    model: nn.Module, photographs: Tensor
) -> None:
    layers = ["conv_stem", "bn_stem", "blocks.3.1", "blocks.4.0.bn_depthwise", "classifier"]
    plain, fast = (scorer(model, layers, fold=fold)(photographs) for fold in (False, True))
    for layer in layers:
        scale = plain[layer].abs().max()
        assert (plain[layer] - fast[layer]).abs().max() < 1e-5 * scale, layer


def test_the_model_is_left_as_it_was() -> None:
    model = tiny().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    track(model, ["norm"], stream(8))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())


def test_scores_that_are_no_numbers_are_counted_and_not_ranked() -> None:
    class Poisoned(Tiny):
        def forward(self, images: Tensor) -> Tensor:
            bad = (images[:, :1, :1, :1] > 0.8).float() * torch.inf
            return super().forward(images + torch.where(bad > 0, torch.nan, 0.0))

    poisoned = Poisoned()
    poisoned.load_state_dict(tiny().state_dict())
    bad = {i for i, (picture, _) in enumerate(pictures()) if picture[0, 0, 0] > 0.8}
    unit = track(poisoned, ["norm"], stream(8), fold=False)["norm", 0]
    assert bad
    assert unit.not_finite == len(bad)
    assert not bad & {id_ for band in unit.bands.values() for id_ in band.ids}
    assert any("NaN" in flag for flag in unit.flags)


def test_bad_layers_pools_and_counts_are_explained() -> None:
    with pytest.raises(UnknownNameError, match="deep"):
        track(tiny(), ["deap"], stream(8))
    with pytest.raises(BadInputError, match="tuple"):
        track(tiny(), ["pair"], stream(8))
    with pytest.raises(UnknownNameError, match="pool"):
        track(tiny(), ["deep"], stream(8), pool="median")
    with pytest.raises(BadInputError, match="at least one layer"):
        track(tiny(), [], stream(8))
    with pytest.raises(BadInputError, match=r"k=41.*only 40"):
        track(tiny(), ["deep"], stream(8), k=41)
    with pytest.raises(BadInputError, match="No image"):
        track(tiny(), ["deep"], [])
    with pytest.raises(BadInputError, match="no channels"):
        track(nn.Sequential(nn.Flatten(2)), ["0"], stream(8), fold=False)
    with pytest.raises(BadInputError, match="twice"):
        track(tiny(), ["deep"], stream(8) + stream(8))


# --------------------------------------------------------------------------------------------------------------------
# Sources


def write_folder(folder: Path) -> None:
    for name in ("b/two.png", "a/one.png", "a/three.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        image.save(torch.rand(1, 3, 20, 30), folder / name)


def test_a_folder_lists_its_images_in_order_with_labels(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    source = Folder(tmp_path, size=16, shard_size=2)
    assert source.names == ("a/one.png", "a/three.jpg", "b/two.png")
    entries = [entry for shard in range(source.shards) for entry in source.entries(shard)]
    assert [(entry.id, entry.label) for entry in entries] == [(0, "a"), (1, "a"), (2, "b")]
    (batch,) = batches(source)
    assert tuple(batch.images.shape) == (3, 3, 16, 16)
    (again,) = source.find([2])
    assert torch.equal(again.load()[0], batch.images[2])


def test_broken_images_are_listed_with_the_reason(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "a" / "broken.jpg").write_bytes(b"no image at all")
    whole = (tmp_path / "a" / "three.jpg").read_bytes()
    (tmp_path / "b" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    spectrum = track(tiny(), ["deep"], batches(Folder(tmp_path, size=16), size=2), k=3)
    assert spectrum.images == 3
    assert [each.name for each in spectrum.broken] == ["a/broken.jpg", "b/cut.jpg"]
    assert all(each.reason for each in spectrum.broken)


def test_only_broken_images_are_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image at all")
    with pytest.raises(BadInputError, match=r"No image could be read \(1 were broken, such as broken.jpg: "):
        track(tiny(), ["deep"], batches(Folder(tmp_path)))


def test_decoding_ahead_gives_the_same_batches() -> None:
    source = Items(pictures(), "random", class_names=["x", "y", "z"])
    plain, ahead = list(batches(source, size=7)), list(batches(source, size=7, workers=3))
    for one, other in zip(plain, ahead, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.ids, other.ids)
        assert one.labels == other.labels
    assert plain[0].labels[:4] == ("x", "y", "z", "x")


def test_batches_are_decoded_only_a_bounded_way_ahead() -> None:
    started = []

    def entries() -> list[Entry]:
        for index in range(1000):
            started.append(index)
            yield Entry(index, str(index), "", lambda: torch.zeros(1, 3, 4, 4))

    next(batches(entries(), size=1, workers=2))
    assert len(started) < 30


def test_items_may_be_tensors_tuples_mappings_or_objects() -> None:
    picture = torch.rand(3, 8, 8)
    scene = type("Scene", (), {"image": picture, "label": 1, "id": "scene-7"})()
    for item in (picture, (picture, 1), {"image": picture, "label": 1}, scene, image.to_pil(picture)):
        (entry,) = Items([item], "mixed", size=6).find([0])
        assert tuple(entry.load().shape) == (1, 3, 6, 6)
    assert entry.name == "mixed[0]"


def test_other_data_order_or_size_has_another_fingerprint(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "more").mkdir()
    prints = {Folder(tmp_path, size=16).fingerprint, Folder(tmp_path, size=17).fingerprint}
    assert len(prints) == 2
    items = [
        Items(pictures(n), name, size=s).fingerprint for n, name, s in [(3, "a", 8), (4, "a", 8), (3, "b", 8)]
    ]
    assert len(set(items)) == 3


def test_sources_and_sizes_that_do_not_fit_are_explained(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no folder"):
        list(batches(Folder(tmp_path / "missing")))
    with pytest.raises(BadInputError, match="holds no image"):
        list(batches(Folder(tmp_path)))
    with pytest.raises(BadInputError, match="different sizes"):
        list(batches(Items([torch.rand(3, 8, 8), torch.rand(3, 9, 9)], "mixed")))
    with pytest.raises(BadInputError, match="no shard 5"):
        Items(pictures(), "random").entries(5)


@pytest.mark.slow
def test_the_class_of_a_photograph_has_it_among_its_strongest_nine(
    model: nn.Module, imagenet_samples: list[Path]
) -> None:
    source = Folder(imagenet_samples[0].parent, label=lambda name: str(int(name.split("_")[0])))
    spectrum = track(model, ["classifier"], batches(source))
    present = {int(source.label(name)): index for index, name in enumerate(source.names)}
    found = sum(
        index in spectrum["classifier", label].band("maximum").ids for label, index in present.items()
    )
    assert found >= 0.85 * len(present)
    assert isinstance(spectrum, Spectrum)


def test_quantized_activations_are_pooled_as_the_numbers_that_they_stand_for() -> None:
    maps = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    quantized = torch.quantize_per_tensor(maps, 0.25, 0, torch.quint8)
    torch.testing.assert_close(pooled(quantized, "mean"), quantized.dequantize().mean((2, 3)))
    vector = torch.quantize_per_tensor(maps[:, :, 0, 0], 0.25, 0, torch.quint8)
    assert torch.equal(pooled(vector, "mean"), vector.dequantize())


def test_a_measure_and_its_changes_by_name_are_one_thing() -> None:
    measure = Measure(pool="max", k=3, sample=5)
    assert same(
        track(tiny(), ["norm"], stream(8), measure=measure, k=4),
        track(tiny(), ["norm"], stream(8), pool="max", k=4, sample=5),
    )
    assert measure.k == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [({"pool": "median"}, "median"), ({"k": 0}, "k has to be at least 1"), ({"sample": -1}, "sample")],
)
def test_a_measure_that_cannot_be_is_refused_when_it_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises((BadInputError, UnknownNameError), match=message):
        Measure(**options)


def test_a_level_is_needed_for_every_layer() -> None:
    with pytest.raises(UnknownNameError, match="layer among the levels 'deep'"):
        Spectrum.empty({"conv": 4, "deep": 6}, level={"conv": torch.zeros(4)})
    listed: Any = {"conv": [0.5] * 4}
    assert Spectrum.empty({"conv": 4}, level=listed)["conv", 0].level == 0.5


def test_a_batch_has_an_id_for_each_image() -> None:
    with pytest.raises(BadInputError, match="got 3 ids and 4 images"):  # the next batch could make up for it
        Batch(torch.arange(3), torch.rand(4, 3, 8, 8))


def test_the_middle_of_an_even_side_is_behind_it_and_scores_share_no_memory() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert pooled(maps, "center").item() == 10  # row 2, column 2
    for activations in (maps, logits := torch.zeros(1, 3)):
        pooled(activations, "center").add_(1)
    assert not logits.any()
    assert maps[0, 0, 2, 2] == 10
