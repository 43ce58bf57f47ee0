"""Files that carry weights: fetched where they are missing, and read only if they are what they should be."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from interp.errors import DamagedFileError, MissingFileError

Weights = dict[str, Any]


def read_checked(path: Path, sha256: str) -> bytes:
    """Return the bytes of a file whose content is known.

    Args:
        path: the file.
        sha256: the hexadecimal digest of its content, or the first digits of it.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: the content is another.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    _compare(path, hashlib.sha256(content).hexdigest(), sha256)
    return content


def check_digest(path: Path, sha256: str) -> None:
    """Refuse a file whose content is another than that with the digest, or with the first digits of it."""
    with path.open("rb") as file:
        _compare(path, hashlib.file_digest(file, "sha256").hexdigest(), sha256)


def _compare(path: Path, digest: str, expected: str) -> None:
    if not digest.startswith(expected):
        raise DamagedFileError(
            f"{str(path)!r} is damaged: its SHA-256 starts with {digest[: len(expected)][:16]}, it should start with "
            f"{expected[:16]}. Delete the file, then install or download it again."
        )


# ------------------------------------------------------------------------------------------------------------
# torch's folder of checkpoints


def load_weights(url: str, *, size: str = "size unknown") -> Weights:
    """Return the weights behind an address, from torch's folder of checkpoints or downloaded into it.

    The name of such a file ends with the first digits of its digest (`resnet18-f37072fd.pth`); a file that differs is
    refused, wherever it comes from. Nothing is run that the file may hold beside weights.

    Args:
        url: the address.
        size: the size in words, for the message.

    Raises:
        MissingFileError: the file is not here and cannot be downloaded; the message says where to put it by hand.
        DamagedFileError: the content is another, or no weights.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    fresh = not path.exists()
    if fresh:
        _download(url, path, size)
    try:
        check_digest(path, digest_in_name(path.name))
        return _read_weights(path)
    except DamagedFileError:
        if fresh:
            path.unlink(missing_ok=True)
        raise


def digest_in_name(name: str) -> str:
    """Return the digits of the digest in `resnet18-f37072fd.pth`, and nothing where there are none."""
    found = re.search(r"-([0-9a-f]{8,64})\.", name)
    return found[1] if found else ""


def _download(url: str, path: Path, size: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), digest_in_name(path.name) or None)
    except RuntimeError as error:  # torch's word for a wrong digest; it has removed what it wrote
        raise DamagedFileError(f"What {url} gave is not the file {path.name}: {error}. Try again.") from error
    except OSError as error:
        raise MissingFileError(
            f"The weights {path.name} ({size}) are not here and cannot be downloaded: {error}. "
            f"Get them from {url} on a machine that can, and put the file at {path}."
        ) from error


def _read_weights(path: Path) -> Weights:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises whatever a damaged file makes it stumble over
        raise DamagedFileError(
            f"{str(path)!r} holds no weights that can be read safely. Delete the file and get it again. ({error})"
        ) from error
    if not isinstance(weights, dict):
        raise DamagedFileError(f"{str(path)!r} holds {type(weights).__name__}, not a dictionary of weights.")
    return weights


# ------------------------------------------------------------------------------------------------------------
# The cache of the Hugging Face hub


def fetch_from_hub(repository: str, names: tuple[str, ...]) -> Path:
    """Return the first of the named files that a repository has, from the hub's cache or downloaded into it.

    What is in the cache is used without asking the network. The cache names large files by their digest; one whose
    content differs is refused.

    Args:
        repository: such as "timm/resnet18.a1_in1k".
        names: the file names to try, best first.

    Raises:
        MissingFileError: the file is not here and cannot be downloaded; the message says where to put it by hand.
        DamagedFileError: the content is another.
    """
    import huggingface_hub as hub
    from huggingface_hub import constants

    for name in names:
        cached = hub.try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return _checked_in_cache(Path(cached))
    try:
        return _checked_in_cache(_download_from_hub(repository, names))
    except DamagedFileError:
        raise
    except Exception as error:  # the client's errors come from its own dependencies and change with it
        folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        raise MissingFileError(
            f"The weights {names[0]} of {repository} are not here and cannot be downloaded: {error}. "
            f"On a machine that can reach {hub.hf_hub_url(repository, names[0])}, run: hf download {repository} "
            f"{names[0]}; then copy the folder {folder.name} from its cache to {folder}."
        ) from error


def _download_from_hub(repository: str, names: tuple[str, ...]) -> Path:
    import huggingface_hub as hub

    for name in names:
        # Asks once; the download itself would ask for half a minute where there is no network.
        if hub.file_exists(repository, name):
            return Path(hub.hf_hub_download(repository, name))
    raise MissingFileError(f"the repository has no {' and no '.join(names)}")


def _checked_in_cache(path: Path) -> Path:
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        check_digest(blob, blob.name)
    return path
