"""A spectrum as a file: one line of JSON, then the arrays; it appears whole or not at all, and damage is noticed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp import image
from interp.errors import DamagedFileError, MissingFileError, UnwritableError
from interp.spectrum import sketch
from interp.spectrum.state import Broken, Spectrum
from interp.spectrum.units import Units

FORMAT = 2
FIELDS = ("best", "scores", "level")


def save(spectrum: Spectrum, path: str | os.PathLike[str], *, about: Mapping[str, Any] | None = None) -> None:
    """Write a spectrum; the same spectrum gives the same bytes.

    The file is written under a temporary name, synced to the disk and renamed, so that no crash leaves half of one.

    Args:
        spectrum: what to write.
        path: the file.
        about: what else the first line should say, as JSON.

    Raises:
        UnwritableError: the folder is read-only or missing, or the disk is full.
    """
    path = Path(path)
    payload = _arrays(spectrum)
    header = {**_header(spectrum), "sha256": hashlib.sha256(payload).hexdigest(), "about": dict(about or {})}
    write(path, json.dumps(header, sort_keys=True).encode() + b"\n" + payload)


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and sync it to the disk.

    Raises:
        UnwritableError: it cannot be written; nothing of it is left behind.
    """
    try:
        with image.replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> UnwritableError:
    """Return the error for a file or folder that cannot be written."""
    return UnwritableError(
        f"{str(path)!r} cannot be written: {error.strerror or error}. Make room or choose another folder; "
        "files that were finished before stay usable."
    )


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file survive a power cut; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load(path: str | os.PathLike[str]) -> Spectrum:
    """Read a spectrum that `save` wrote.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: it is no spectrum, or it was changed or cut short.
    """
    return read(path)[0]


def read(path: str | os.PathLike[str]) -> tuple[Spectrum, dict[str, Any]]:
    """Return (spectrum, what else the first line says)."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {str(path)!r}.") from error
    line, _, payload = content.partition(b"\n")
    try:
        header = json.loads(line)
        if header["format"] != FORMAT or header["sha256"] != hashlib.sha256(payload).hexdigest():
            raise ValueError("its content is not the one that was written")
        return _spectrum(header, payload), header["about"]
    except (ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise DamagedFileError(
            f"{str(path)!r} is no spectrum, or it is damaged ({error}). Delete it; the run that made it makes it again."
        ) from error


def counted(path: Path) -> int:
    """Return how many images a spectrum's file has seen, from its first line alone."""
    with open(path, "rb") as file:
        return int(json.loads(file.readline())["images"])


def _header(spectrum: Spectrum) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "layers": list(spectrum.layers),
        "images": spectrum.images,
        "k": spectrum.k,
        "sample_size": spectrum.sample_size,
        "seed": spectrum.seed,
        "pool": spectrum.pool,
        "broken": [[each.id, each.name, each.reason] for each in spectrum.broken],
    }


def _arrays(spectrum: Spectrum) -> bytes:
    """Return the arrays as a plain archive: keys and scores hardly shrink, and the empty buckets are left out."""
    arrays = {"sample": spectrum.sample.numpy()}
    for index, units in enumerate(spectrum.layers.values()):
        arrays |= {f"{index}.{field}": getattr(units, field).numpy() for field in FIELDS}
        counts = units.counts.flatten()
        filled = counts.nonzero()[:, 0]
        arrays |= {f"{index}.filled": filled.numpy(), f"{index}.counts": counts[filled].numpy()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _spectrum(header: Mapping[str, Any], payload: bytes) -> Spectrum:
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        layers = {name: _units(arrays, index) for index, name in enumerate(header["layers"])}
        sample = _tensor(arrays["sample"])
    return Spectrum(
        layers=layers,
        images=header["images"],
        sample=sample,
        k=header["k"],
        sample_size=header["sample_size"],
        seed=header["seed"],
        pool=header["pool"],
        broken=tuple(Broken(*each) for each in header["broken"]),
    )


def _units(arrays: Mapping[str, np.ndarray], index: int) -> Units:
    best, scores, level = (_tensor(arrays[f"{index}.{field}"]) for field in FIELDS)
    counts = torch.zeros(len(level), sketch.buckets(), dtype=torch.int32)
    counts.view(-1)[_tensor(arrays[f"{index}.filled"])] = _tensor(arrays[f"{index}.counts"])
    return Units(best, counts, scores, level)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
