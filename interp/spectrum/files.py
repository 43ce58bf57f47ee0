"""A spectrum as a file: a checksum, a line of JSON, then the arrays; it appears whole or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp import runs
from interp.errors import DamagedFileError, MissingFileError
from interp.spectrum import sketch
from interp.spectrum.state import Broken, Spectrum
from interp.spectrum.units import Units

FORMAT = 3
FIELDS = ("best", "scores", "level")


def save(spectrum: Spectrum, path: str | os.PathLike[str], *, about: Mapping[str, Any] | None = None) -> None:
    """Write a spectrum; the same spectrum gives the same bytes.

    The file is written under a temporary name, synced to the disk and renamed, so that no crash leaves half of one.

    Args:
        spectrum: what to write.
        path: the file.
        about: what else the file should say, as JSON.

    Raises:
        MissingFileError: there is no such folder.
        UnwritableError: the folder is read-only, or the disk is full.
    """
    header = {**_header(spectrum), "about": dict(about or {})}
    runs.write(path, runs.seal(json.dumps(header, sort_keys=True).encode() + b"\n" + _arrays(spectrum)))


def load(path: str | os.PathLike[str]) -> Spectrum:
    """Read a spectrum that `save` wrote.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: it is no spectrum, or it was changed or cut short.
    """
    return read(path)[0]


def read(path: str | os.PathLike[str]) -> tuple[Spectrum, dict[str, Any]]:
    """Return (spectrum, what else the file says)."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {os.fspath(path)!r}.") from error
    try:
        line, _, payload = runs.unseal(content).partition(b"\n")
        header = json.loads(line)
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']}, not {FORMAT}")
        return _spectrum(header, payload), header["about"]
    except Exception as error:  # whatever another kind of file gives
        raise DamagedFileError(
            f"{os.fspath(path)!r} is no spectrum, or it is damaged ({error}). Delete it; the run that made it makes it "
            "again."
        ) from error


def counted(path: Path) -> int:
    """Return how many images a spectrum's file has seen, from its beginning alone."""
    with path.open("rb") as file:
        file.readline()  # the checksum
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
