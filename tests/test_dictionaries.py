"""Dictionaries: the error as stated, and codes that every other part of the package takes for a layer."""

import json
import re
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import nn

from interp import cli, dictionaries, folding, hooks, microscope, spectrum, zoo
from interp import featurevis as fv
from interp.errors import BadInputError, MissingExtraError

LAYER = "blocks.5.0.act_expand"
CODES, SCORES = f"{LAYER}.codes", f"{LAYER}.scores"


@pytest.fixture(scope="module")
def model():
    return zoo.load_model()


@pytest.fixture(scope="module")
def images():
    scenes = zoo.Scenes("train", 128, length=12)
    return torch.stack([scenes[n].image for n in range(12)])


@pytest.fixture(scope="module")
def rows(model, images):
    return dictionaries.samples(model, images, LAYER)


@pytest.fixture(scope="module")
def found(rows):
    return {
        "nmf": dictionaries.nmf(rows, 6),
        "pca": dictionaries.pca(rows, 6),
        "kmeans": dictionaries.kmeans(rows, 6),
        "sae": dictionaries.sparse_autoencoder(rows, 32, active=4, steps=60),
    }


def parts(samples=400, channels=12, count=4, seed=0):
    """Return samples that are sums of a few non-negative parts, and the parts."""
    random = torch.Generator().manual_seed(seed)
    atoms = torch.rand(count, channels, generator=random) * (
        torch.rand(count, channels, generator=random) > 0.6
    )
    atoms = nn.functional.normalize(atoms + 1e-3)
    codes = torch.rand(samples, count, generator=random) * (
        torch.rand(samples, count, generator=random) > 0.5
    )
    return codes @ atoms, atoms


def deviation(rows):
    return (rows - rows.mean(dim=0)).double().square().sum().item()


# --------------------------------------------------------------------------------------------------------------------
# The error as stated


def test_the_samples_are_the_positions_image_after_image(model, images, rows):
    values = hooks.activations(model, images, LAYER)
    assert rows.shape == (values.shape[0] * values.shape[2] * values.shape[3], values.shape[1])
    assert torch.equal(rows[values.shape[2] * values.shape[3]], values[1, :, 0, 0])


def test_drawn_samples_are_some_of_all_and_the_seed_decides(model, images, rows):
    some = dictionaries.samples(model, images, LAYER, per_image=5, seed=1)
    assert torch.equal(some, dictionaries.samples(model, images, LAYER, per_image=5, seed=1))
    assert not torch.equal(some, dictionaries.samples(model, images, LAYER, per_image=5, seed=2))
    assert all((rows == one).all(dim=1).any() for one in some)


def test_the_error_of_pca_is_what_the_singular_values_leave(rows):
    values = torch.linalg.svdvals((rows - rows.mean(dim=0)).double()).square()
    for count in (1, 6, 20):
        left = (values[count:].sum() / values.sum()).item()
        assert dictionaries.pca(rows, count).error(rows) == pytest.approx(left, rel=1e-4)


def test_the_error_of_kmeans_is_the_inertia_and_no_center_is_nearer(rows, found):
    dictionary = found["kmeans"]
    distances = torch.cdist(rows.double(), dictionary.atoms.double()).square()
    assert dictionary.error(rows) == pytest.approx(
        (distances.min(dim=1).values.sum() / deviation(rows)).item(), rel=1e-4
    )
    assert (dictionary.encode(rows).argmax(dim=1) == distances.argmin(dim=1)).float().mean() > 0.999


def test_the_error_of_nmf_is_that_of_scikit_learn(rows):
    from sklearn.decomposition import NMF

    theirs = NMF(6, random_state=0, max_iter=400).fit(rows.numpy())
    ours = dictionaries.nmf(rows, 6)
    # Theirs are the codes of the last step; ours are the best ones for these atoms, so never worse.
    assert ours.error(rows) <= theirs.reconstruction_err_**2 / deviation(rows) * (1 + 1e-5)
    assert ours.error(rows) == pytest.approx(theirs.reconstruction_err_**2 / deviation(rows), rel=1e-2)


def test_the_codes_of_nmf_are_those_of_non_negative_least_squares(rows, found):
    dictionary = found["nmf"]
    some = rows[::157]
    expected = np.stack([nnls(dictionary.atoms.T.double().numpy(), row.double().numpy())[0] for row in some])
    assert np.allclose(dictionary.encode(some).numpy(), expected, atol=1e-3 * expected.max())


def test_nmf_finds_the_parts_that_samples_were_made_of():
    rows, atoms = parts()
    dictionary = dictionaries.nmf(rows, 4)
    assert (atoms @ dictionary.atoms.T).max(dim=1).values.min() > 0.98
    assert dictionary.error(rows) < 1e-3


def test_a_sparse_autoencoder_finds_the_atoms_that_samples_were_made_of():
    random = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(24, 32, generator=random))
    codes = dictionaries.TopK(2)(torch.rand(4000, 24, 1, 1, generator=random))[:, :, 0, 0]
    dictionary = dictionaries.sparse_autoencoder(codes @ atoms, 24, active=2, steps=1500)
    assert (atoms @ dictionary.atoms.T).max(dim=1).values.median() > 0.95
    assert dictionary.error(codes @ atoms) < 0.1


def test_a_trained_autoencoder_leaves_less_than_one_with_frozen_atoms_and_that_less_than_none(rows):
    options = {"active": 4, "steps": 150, "seed": 3}
    frozen = dictionaries.sparse_autoencoder(rows, 32, frozen=True, **options)
    start = dictionaries.sparse_autoencoder(rows, 32, **options | {"steps": 0})
    trained = dictionaries.sparse_autoencoder(rows, 32, **options)
    assert trained.error(rows) < frozen.error(rows) < start.error(rows)
    assert torch.equal(frozen.atoms, start.atoms)


@pytest.mark.parametrize("kind", ["nmf", "sae"])
def test_the_codes_are_sparse_or_not_negative_as_said_and_maps_are_as_samples(
    model, images, rows, found, kind
):
    dictionary = found[kind]
    codes = dictionary.encode(rows)
    assert codes.min() >= 0
    assert kind == "nmf" or int((codes != 0).sum(dim=1).max()) == 4
    maps = dictionary.encode(hooks.activations(model, images, LAYER))
    assert torch.allclose(maps.permute(0, 2, 3, 1).flatten(0, 2), codes, atol=1e-3)
    assert torch.allclose(dictionary.decode(codes), codes @ dictionary.atoms + dictionary.offset, atol=1e-3)


def test_the_same_seed_is_the_same_dictionary(rows):
    def atoms(seed):
        return dictionaries.sparse_autoencoder(rows, 8, active=2, steps=5, seed=seed).atoms

    assert torch.equal(atoms(1), atoms(1))
    assert not torch.equal(atoms(1), atoms(2))


# --------------------------------------------------------------------------------------------------------------------
# As others do


def test_nmf_agrees_with_lucents_channel_reducer(rows):
    reducer = pytest.importorskip("lucent.misc.channel_reducer").ChannelReducer(
        6, "NMF", random_state=0, max_iter=400
    )
    codes = torch.from_numpy(reducer.fit_transform(rows.numpy())).float()
    theirs = torch.from_numpy(reducer._reducer.components_).float()
    ours = dictionaries.nmf(rows, 6)
    same = (nn.functional.normalize(theirs) @ ours.atoms.T).argmax(dim=0)
    assert torch.allclose(nn.functional.normalize(theirs)[same], ours.atoms, atol=1e-5)
    scaled = (codes * theirs.norm(dim=1))[:, same]
    assert (ours.encode(rows) - scaled).abs().mean() < 0.02 * scaled.mean()


def test_a_sparse_autoencoder_computes_what_that_of_overcomplete_does(rows, found, monkeypatch):
    # Importing overcomplete 0.3 asks matplotlib for a function that left it in 3.9.
    monkeypatch.setattr(matplotlib.cm, "get_cmap", matplotlib.colormaps.__getitem__, raising=False)
    sae = pytest.importorskip("overcomplete.sae", reason="the package overcomplete is not installed")
    dictionary = found["sae"]

    class Encoder(nn.Module):
        def forward(self, x):
            scores = x @ dictionary.weight.T + dictionary.bias
            return scores, scores.relu()

    theirs = sae.TopKSAE(rows.shape[1], nb_concepts=32, top_k=4, encoder_module=Encoder())
    with torch.no_grad():
        theirs.dictionary._weights.copy_(dictionary.atoms)
        _, codes, back = theirs(rows)
    assert torch.allclose(codes, dictionary.encode(rows), atol=1e-3)
    assert torch.allclose(back + dictionary.offset, dictionary.decode(dictionary.encode(rows)), atol=1e-3)


# --------------------------------------------------------------------------------------------------------------------
# A layer of their own


@pytest.mark.parametrize("kind", ["nmf", "pca", "kmeans", "sae"])
def test_codes_are_a_layer_and_the_network_computes_what_it_did(model, images, found, kind):
    coded = dictionaries.with_codes(model, LAYER, found[kind])
    before = hooks.activations(model, images[:3], LAYER)
    codes = hooks.activations(coded, images[:3], CODES)
    assert torch.equal(codes, found[kind].encode(before))
    with torch.no_grad():
        assert torch.equal(coded(images[:3]), model(images[:3]))
        with hooks.record(coded, [CODES, LAYER]) as seen:
            assert torch.equal(coded(images[:3]), model(images[:3]))
    assert torch.equal(seen[LAYER], before)
    assert CODES in hooks.layer_names(coded)
    assert CODES not in hooks.layer_names(model)
    kept = [entry.name for entry in hooks.survey(coded, images[:1]) if entry.shape and len(entry.shape) == 4]
    assert {CODES, SCORES, "blocks.5.0.expand"} <= set(kept)


def test_folding_keeps_the_codes(model, images, found):
    for dictionary in found.values():
        coded = dictionaries.with_codes(model, LAYER, dictionary)
        folded = folding.fold(coded, keep=[CODES])
        plain, fast = (hooks.activations(net, images[:2], CODES) for net in (coded, folded))
        assert (plain - fast).abs().mean() < 1e-2 * plain.abs().mean()
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_a_change_of_a_code_flows_on_as_that_much_of_its_atom_and_nothing_else(model, images, found):
    dictionary = found["nmf"]
    coded = dictionaries.with_codes(model, LAYER, dictionary)
    before = hooks.activations(model, images[:2], LAYER)

    def without(codes):
        return torch.cat([torch.zeros_like(codes[:, :1]), codes[:, 1:]], dim=1)

    with hooks.replacing(coded, {CODES: without}):
        after = hooks.activations(coded, images[:2], LAYER)
    gone = dictionary.encode(before)[:, :1] * dictionary.atoms[0].view(1, -1, 1, 1)
    assert torch.allclose(before - after, gone, atol=1e-4)


@pytest.mark.parametrize("kind", ["nmf", "pca", "sae"])
def test_an_atom_can_be_rendered_and_its_score_is_its_activation(model, found, kind):
    coded = dictionaries.with_codes(model, LAYER, found[kind])
    made = fv.render(coded, fv.channel(SCORES, 1), size=64, steps=3)
    there = hooks.activations(coded, made.images, SCORES)[:, 1].mean()
    assert made.score[0].item() == pytest.approx(there.item(), rel=1e-2)


def test_the_codes_of_nmf_have_a_gradient(model, images, found):
    coded = dictionaries.with_codes(model, LAYER, found["nmf"])
    pictures = images[:1].clone().requires_grad_()
    with hooks.record(coded, [CODES]) as seen:
        coded(pictures)
    (gradient,) = torch.autograd.grad(seen[CODES].sum(), pictures)
    assert gradient.abs().sum() > 0


def test_a_spectrum_of_codes_has_the_extremes_of_the_codes(model, images, found):
    coded = dictionaries.with_codes(model, LAYER, found["nmf"])
    batch = spectrum.Batch(torch.arange(12), images)
    seen = spectrum.track(coded, [CODES], [batch], pool="max", k=3)
    codes = found["nmf"].encode(hooks.activations(model, images, LAYER)).amax(dim=(2, 3))
    for atom in range(6):
        expected = codes[:, atom].topk(3).values.tolist()
        assert seen[CODES, atom].band("maximum").scores == pytest.approx(expected, rel=1e-2)


def test_atoms_are_pages_of_the_microscope(model, found, tmp_path):
    scenes = zoo.Scenes("train", 64, length=12)
    coded = dictionaries.with_codes(model, LAYER, found["nmf"])
    source = spectrum.Items(scenes, "twelve scenes", class_names=zoo.SCENE_CLASSES)
    job = spectrum.Job(coded, [CODES], source, spectrum.Measure("max", k=3, sample=12))
    site = microscope.build(job, tmp_path / "atoms", title="Six atoms", side=32, steps=2).parent

    def told(name):
        text = (site / "data" / f"{name}.js").read_text(encoding="utf-8")
        return json.loads(text[text.index("(") + 1 : text.rindex(")")])

    index = told("index")
    (layer,) = index["layers"]
    assert (layer["name"], layer["channels"]) == (CODES, 6)
    pictures = torch.stack([scenes[n].image for n in range(12)])
    codes = hooks.activations(coded, pictures, CODES).amax(dim=(2, 3))
    for atom in range(6):
        loudest = told(f"{layer['slug']}/{atom}")["b"][-1]
        assert loudest["s"] == pytest.approx(sorted(loudest["s"], reverse=True))
        assert loudest["s"] == pytest.approx(codes[:, atom].topk(3).values.tolist(), rel=1e-3)
        assert index["ids"][loudest["i"][0]] == codes[:, atom].argmax()


def test_the_command_of_the_chapter_builds_the_pages(tmp_path, monkeypatch):
    chapter = (Path(__file__).parents[1] / "book" / "lucent" / "dictionaries-measured.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(# atoms\.py\n.*?)```", chapter, re.DOTALL)
    (command,) = re.findall(r"^interp (microscope atoms\.py:network .*)$", chapter, re.MULTILINE)
    smaller = program.replace("length=240", "length=4").replace(", 64)", ", 3)").replace("160", "64")
    monkeypatch.chdir(tmp_path)
    Path("atoms.py").write_text(smaller, encoding="utf-8")
    words = command.replace("--size 160", "--size 64 --images 4 --side 16 --steps 0 -k 1").split()
    assert cli.main(words) == 0
    assert '"channels":3' in Path("atoms", "data", "index.js").read_text(encoding="utf-8")


def test_names_of_before_find_their_layers_and_repeated_layers_stay_one(images, found):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 672, 8, 8), nn.ReLU())
            self.again = self.first

        def forward(self, x):
            return self.first(x).mean(dim=(2, 3)) + self.again(x).mean(dim=(2, 3))

    coded = dictionaries.with_codes(Twice(), "first", found["pca"])
    assert coded.first is coded.again
    assert isinstance(hooks.find_layer(coded, "first.0"), nn.Conv2d)


def test_a_layer_with_channels_last_is_read_by_its_layout(found):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 672, 8, 8), nn.Identity()

        def forward(self, x):
            return self.last(self.conv(x).permute(0, 2, 3, 1)).mean(dim=(1, 2))

    plain, pictures = Last(), torch.rand(2, 3, 32, 32)
    coded = dictionaries.with_codes(plain, "last", found["sae"], layout=hooks.Layout("channels last"))
    expected = found["sae"].encode(plain.conv(pictures))
    assert torch.allclose(hooks.activations(coded, pictures, "last.codes"), expected, atol=1e-4)
    with hooks.replacing(coded, {"last.codes": lambda codes: codes + 1}), torch.no_grad():
        added = coded(pictures) - plain(pictures)
    assert torch.allclose(added, found["sae"].atoms.sum(dim=0).expand(2, -1), atol=1e-3)


# --------------------------------------------------------------------------------------------------------------------
# Bad input


def test_too_few_images_for_the_factors_are_one_clear_error():
    few = torch.rand(2, 50, 3, 3)
    for make in (dictionaries.nmf, dictionaries.pca, dictionaries.kmeans, dictionaries.sparse_autoencoder):
        with pytest.raises(BadInputError, match=r"2 images of 3 x 3 positions are 18.*Give more images"):
            make(few, 20)


def test_what_cannot_be_factorized_is_refused():
    good = torch.rand(30, 5)
    with pytest.raises(BadInputError, match="go down to -1"):
        dictionaries.nmf(torch.cat([good, -torch.ones(1, 5)]), 2)
    with pytest.raises(BadInputError, match="at most as many factors as there are channels, here 5"):
        dictionaries.pca(good, 6)
    with pytest.raises(BadInputError, match="NaN or infinite"):
        dictionaries.kmeans(torch.cat([good, torch.full((1, 5), torch.inf)]), 2)
    with pytest.raises(BadInputError, match="at least one factor"):
        dictionaries.pca(good, 0)
    with pytest.raises(BadInputError, match="1 to 4 codes can be active"):
        dictionaries.sparse_autoencoder(good, 4, active=5)
    with pytest.raises(BadInputError, match=r"samples \(P, C\)"):
        dictionaries.pca(torch.rand(3, 4, 5), 1)


def test_a_dictionary_of_another_layer_and_the_network_itself_are_refused(model, images, found):
    coded = dictionaries.with_codes(model, "blocks.3.2", found["pca"])
    with pytest.raises(BadInputError, match="one of 672 channels"):
        coded(images[:1])
    with pytest.raises(BadInputError, match="672 channels"):
        found["pca"].encode(torch.rand(4, 80))
    with pytest.raises(BadInputError, match="no positions"):
        dictionaries.samples(model, images[:1], "classifier")


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"interp\[examples\]"):
        dictionaries.pca(torch.rand(30, 5), 2)
