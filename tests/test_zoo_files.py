"""Weights are refused unless they are what they should be, and nothing half-written stays.

Downloads are tried on file:// addresses and on a machine without names for hosts; no real weights are fetched here.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from interp.errors import DamagedFileError, MissingFileError
from interp.zoo import files

NOWHERE = "https://nowhere.invalid/weights-12345678.pth"  # .invalid never resolves (RFC 2606)
REVISION = "0" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return torch's folder of checkpoints, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes an object to a file named by its digest and returns its address."""

    def publish(value: object, name: str = "weights", digest: str | None = None) -> str:
        file = tmp_path / "new.pth"
        torch.save(value, file)
        digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8] if digest is None else digest
        return file.rename(tmp_path / f"{name}{'-' if digits else ''}{digits}.pth").as_uri()

    return publish


class Harmful:
    """What an attacker would put into a file of weights: unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


def test_weights_are_downloaded_once(hub: Path, publish: Callable[..., str]) -> None:
    url = publish({"a": torch.arange(3)})
    assert torch.equal(files.load_weights(url)["a"], torch.arange(3))
    Path(url.removeprefix("file://")).unlink()
    assert torch.equal(files.load_weights(url)["a"], torch.arange(3))
    assert len(list(hub.iterdir())) == 1


def test_a_download_with_a_wrong_digest_is_refused_and_leaves_nothing(
    hub: Path, publish: Callable[..., str]
) -> None:
    with pytest.raises(DamagedFileError, match="is not the file weights-00000000"):
        files.load_weights(publish({"a": torch.arange(3)}, digest="00000000"))
    assert list(hub.iterdir()) == []


def test_a_file_put_there_by_hand_is_checked_too_and_left_alone(
    hub: Path, publish: Callable[..., str]
) -> None:
    url = publish({"a": torch.arange(3)})
    hub.mkdir(parents=True)
    damaged = hub / url.rsplit("/", 1)[1]
    damaged.write_bytes(b"half of it")
    with pytest.raises(DamagedFileError, match="Delete the file"):
        files.load_weights(url)
    assert damaged.read_bytes() == b"half of it"


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 cut short"])
def test_a_download_without_a_digest_that_is_unreadable_is_refused_and_removed(
    hub: Path, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "plain.pth").write_bytes(content)
    with pytest.raises(DamagedFileError, match="no weights"):
        files.load_weights((tmp_path / "plain.pth").as_uri())
    assert list(hub.iterdir()) == []


def test_a_file_that_would_run_code_is_refused_unread(
    hub: Path, tmp_path: Path, publish: Callable[..., str]
) -> None:
    url = publish({"a": Harmful(tmp_path / "ran")})
    with pytest.raises(DamagedFileError, match="read safely"):
        files.load_weights(url)
    assert not (tmp_path / "ran").exists()
    # The test can fail: plain unpickling does run it.
    pickle.loads(pickle.dumps(Harmful(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_what_is_no_dictionary_is_refused(hub: Path, publish: Callable[..., str]) -> None:
    with pytest.raises(DamagedFileError, match="holds list"):
        files.load_weights(publish([torch.zeros(2)]))


def test_without_network_the_message_says_what_to_put_where(hub: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        files.load_weights(NOWHERE, size="45 MB")
    message = str(caught.value)
    for part in ("weights-12345678.pth", "45 MB", NOWHERE, str(hub / "weights-12345678.pth")):
        assert part in message
    assert list(hub.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(
    hub: Path, tmp_path: Path, publish: Callable[..., str]
) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(MissingFileError, match="checkpoints"):
        files.load_weights(publish({}))


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("resnet18-f37072fd.pth", "f37072fd"),
        ("efficientnet_b0_rwightman-7f5810bc.pth", "7f5810bc"),
        ("inception5h.pth", ""),
        ("vit-base.pth", ""),
    ],
)
def test_digest_in_name(name: str, digits: str) -> None:
    assert files.digest_in_name(name) == digits


def test_read_checked(tmp_path: Path) -> None:
    file = tmp_path / "x"
    with pytest.raises(MissingFileError, match="cannot be read"):
        files.read_checked(file, "00")
    file.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, example B.1
    assert files.read_checked(file, digest) == b"abc"
    assert files.read_checked(file, digest[:8]) == b"abc"
    with pytest.raises(DamagedFileError, match="ba7816bf"):
        files.read_checked(file, "00" + digest[2:])


# ------------------------------------------------------------------------------------------------------------
# The cache of the Hugging Face hub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def in_cache(cache: Path, content: bytes, digest: str | None = None) -> Path:
    """Lay a file down as the hub's client does: a blob named by its digest, and a link to it."""
    folder = cache / "models--somebody--net"
    blob = folder / "blobs" / (digest or hashlib.sha256(content).hexdigest())
    link = folder / "snapshots" / REVISION / "model.safetensors"
    for made in (blob.parent, link.parent, folder / "refs"):
        made.mkdir(parents=True)
    blob.write_bytes(content)
    (folder / "refs" / "main").write_text(REVISION)
    link.symlink_to(blob)
    return link


def test_a_file_in_the_hubs_cache_needs_no_network(cache: Path) -> None:
    file = in_cache(cache, b"weights")
    assert files.fetch_from_hub("somebody/net", ("model.safetensors",)) == file


def test_a_damaged_file_in_the_hubs_cache_is_refused(cache: Path) -> None:
    in_cache(cache, b"weights", digest="0" * 64)
    with pytest.raises(DamagedFileError, match="Delete the file"):
        files.fetch_from_hub("somebody/net", ("model.safetensors",))


def test_without_network_the_message_says_which_folder_to_copy(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object) -> bool:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.file_exists", offline)
    with pytest.raises(MissingFileError) as caught:
        files.fetch_from_hub("somebody/net", ("model.safetensors", "other.bin"))
    for part in (
        "model.safetensors",
        "somebody/net/resolve/main",
        str(cache / "models--somebody--net"),
        "no route",
    ):
        assert part in str(caught.value)


def test_the_first_file_that_the_repository_has_is_taken(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cache / "fetched"
    file.write_bytes(b"x")
    monkeypatch.setattr("huggingface_hub.file_exists", lambda _, name: name == "other.bin")
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda _, name: str(file) if name == "other.bin" else ""
    )
    assert files.fetch_from_hub("somebody/net", ("model.safetensors", "other.bin")) == file


def test_a_repository_without_the_files_is_explained(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_exists", lambda *_: False)
    with pytest.raises(MissingFileError, match="has no model"):
        files.fetch_from_hub("somebody/net", ("model.safetensors",))
