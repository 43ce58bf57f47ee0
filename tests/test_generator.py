"""The trained generator: its file, and what it brings back of scenes that it never saw."""

import pytest
import safetensors.torch
import torch

from interp import zoo
from interp.errors import BadInputError, DamagedFileError
from interp.zoo import generator as module

UNSEEN = 32
FACTOR = 2.0  # the mean squared distance of the mean image over that of the generator


@pytest.fixture(scope="module")
def unseen():
    scenes = zoo.Scenes("val", 128, seed=5, length=UNSEEN)
    return torch.stack([scenes[index].image for index in range(UNSEEN)])


def squares(generator, model, images):
    with torch.no_grad():
        return (generator(generator.codes_of(model, images)) - images).square().mean().item()


def test_it_beats_the_mean_image_on_unseen_scenes_and_its_shuffled_weights_do_not(unseen):
    model = zoo.load_model()
    mean = (unseen.mean(0) - unseen).square().mean().item()
    assert FACTOR * squares(zoo.load_generator(), model, unseen) < mean
    assert squares(zoo.load_generator(shuffled=0), model, unseen) > mean


def test_a_larger_picture_is_made_of_more_codes():
    with torch.no_grad():
        assert zoo.load_generator()(torch.zeros(1, 128, 2, 3)).shape == (1, 3, 64, 96)


def test_codes_are_features_in_their_own_axes():
    generator = zoo.Generator()
    generator.mean.fill_(1.0)
    features = torch.arange(192.0).view(1, 192, 1, 1)
    # The axes of a fresh generator are the first 128 channels.
    torch.testing.assert_close(generator.code(features).flatten(), torch.arange(128.0) - 1)


def test_sides_have_to_be_multiples_of_the_stride():
    with pytest.raises(BadInputError, match="multiples of 32"):
        zoo.load_generator().codes_of(zoo.load_model(), torch.zeros(1, 3, 64, 72))


# --------------------------------------------------------------------------------------------------------------------
# The file


def test_the_file_reads_as_the_library_reads_it():
    content = module.FILE.read_bytes()
    ours, theirs = module.from_bytes(content), safetensors.torch.load(content)
    assert list(ours) == list(zoo.Generator().state_dict())
    assert all(torch.equal(ours[name], theirs[name].float()) for name in theirs)
    assert len(content) < 8e6


def test_what_is_written_is_read_again():
    content = module.to_bytes(zoo.load_generator())
    assert content == module.FILE.read_bytes()


def test_shuffled_weights_are_the_same_numbers_elsewhere():
    plain, other = zoo.load_generator().state_dict(), zoo.load_generator(shuffled=1).state_dict()
    assert torch.equal(plain["encode"], other["encode"])
    name = "blocks.0.first.weight"
    assert not torch.equal(plain[name], other[name])
    assert torch.equal(plain[name].flatten().sort().values, other[name].flatten().sort().values)


def test_shuffled_weights_give_as_much_contrast():
    codes = torch.randn(16, 128, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, other = (zoo.load_generator(shuffled=seed).latent(codes) for seed in (None, 1))
    assert other.std().item() == pytest.approx(plain.std().item(), rel=1e-3)
    assert other.mean().item() == pytest.approx(plain.mean().item(), rel=1e-3)


@pytest.mark.parametrize("cut", [0, 4, 40, 5000])
def test_a_damaged_file_is_refused(cut):
    with pytest.raises(DamagedFileError, match="safetensors"):
        module.from_bytes(module.FILE.read_bytes()[:cut])


def test_another_precision_is_refused():
    with pytest.raises(DamagedFileError, match="F32"):
        module.from_bytes(safetensors.torch.save({"a": torch.zeros(2)}))


def test_another_file_is_refused(tmp_path, monkeypatch):
    other = tmp_path / "generator.safetensors"
    other.write_bytes(module.to_bytes(zoo.Generator()))
    monkeypatch.setattr(module, "FILE", other)
    with pytest.raises(DamagedFileError, match="SHA-256"):
        zoo.load_generator()
