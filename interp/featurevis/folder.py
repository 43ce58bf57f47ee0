"""Thousands of renderings into a folder: whole batches, a manifest, and the same bytes after any interruption.

A batch is what gives the same bits, so a batch is rendered again as a whole if one of its pictures is missing. Every
file is written under a temporary name and renamed: a picture that is there is a whole one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from interp import image
from interp.digest import digest
from interp.errors import BadInputError, DamagedFileError, UnwritableError
from interp.featurevis.ascent import Stage
from interp.featurevis.compute import PLAIN, Compute
from interp.featurevis.objectives import Objective
from interp.featurevis.parameterizations import Size
from interp.featurevis.rendering import BATCH, RATE, Rendering, fitting_stages, render_many
from interp.featurevis.transforms import STANDARD, Transform
from interp.fingerprint import fingerprint

FORMATS = ("png", "webp")


@dataclass(frozen=True)
class Share:
    """Which batches one process renders: those whose number leaves the remainder `index` when divided by `count`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise BadInputError(
                f"A share INDEX/COUNT needs 0 <= INDEX < COUNT; got {self.index}/{self.count}."
            )

    @property
    def manifest(self) -> str:
        """The name of the manifest; each share keeps its own, so that none waits for another."""
        return "manifest.json" if self.count == 1 else f"manifest-{self.index}-of-{self.count}.json"


@dataclass
class Folder:
    """A folder of renderings and its manifest, {"settings": ..., "images": {name: {"file", "score", "problem"}}}.

    Attributes:
        path: the folder.
        settings: everything that the pictures depend on, as JSON has it.
        share: whose manifest this is.
        suffix: "png" or "webp" (lossless).
        images: what is finished.
    """

    path: Path
    settings: Mapping[str, Any]
    share: Share = field(default_factory=Share)
    suffix: str = "png"
    images: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.suffix not in FORMATS:
            raise BadInputError(f"Pictures are written as {' or '.join(FORMATS)}, not as {self.suffix!r}.")

    def open(self) -> None:
        """Make the folder, or take up what an earlier run left.

        Raises:
            BadInputError: the folder belongs to another run, or holds other files.
            DamagedFileError: its manifest cannot be read.
            UnwritableError: it cannot be written to.
        """
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._check_others()
        with _writing(self.path):
            image.remove_leftovers(self.path)
        found = self.path / self.share.manifest
        if found.is_file():
            self.images = _read(found)["images"]
        self._write_manifest()

    def has(self, objectives: Iterable[Objective]) -> bool:
        """Tell whether the pictures of all these are finished."""
        return all(one.name in self.images and self._file(one.name).is_file() for one in objectives)

    def add(self, renderings: Iterable[Rendering]) -> None:
        """Write the pictures of one batch, and then that they are there."""
        with _writing(self.path):
            for one in renderings:
                _write_picture(one, self._file(one.name))
                self.images[one.name] = {
                    "file": self._file(one.name).name,
                    "score": round(float(one.score), 6),
                    "problem": one.problems[0],
                }
        self._write_manifest()

    def _file(self, name: str) -> Path:
        return self.path / f"{file_stem(name)}.{self.suffix}"

    def _check_others(self) -> None:
        manifests = sorted(self.path.glob("manifest*.json"))
        if not manifests and any(not name.startswith(".") for name in os.listdir(self.path)):
            raise BadInputError(f"{str(self.path)!r} holds other files. Choose a new or an empty folder.")
        for manifest in manifests:
            theirs = _read(manifest)["settings"]
            ours = json.loads(json.dumps(self.settings))
            different = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
            if different:
                raise BadInputError(
                    f"{str(self.path)!r} belongs to another run: {_difference(theirs, ours, different[0])}. "
                    "Choose another folder, or the same settings."
                )

    def _write_manifest(self) -> None:
        content = {"settings": self.settings, "images": dict(sorted(self.images.items()))}
        with _writing(self.path), image.replacing(self.path / self.share.manifest) as temporary:
            temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def settings_of(model: nn.Module, objectives: Sequence[Objective], **options: Any) -> dict[str, Any]:
    """Return all that the pictures depend on: network, code, objectives, options, and what computes."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    return {
        "network": digest(model),
        "code": fingerprint("import interp.featurevis.rendering"),
        "objectives": [one.name for one in objectives],
        **{key: repr(value) for key, value in sorted(options.items())},
        "torch": torch.__version__,
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "device": platform.machine() if device.type == "cpu" else torch.cuda.get_device_name(device),
    }


def file_stem(name: str) -> str:
    """Return a file name without suffix for an objective's name.

    >>> file_stem("blocks.3.2:7"), file_stem("-blocks.3.2:7")
    ('blocks.3.2_7', 'minus_blocks.3.2_7')
    """
    return re.sub(r"[^A-Za-z0-9._]+", "_", re.sub("^-", "minus_", name))


def _write_picture(rendering: Rendering, path: Path) -> None:
    with image.replacing(path) as temporary:
        picture = image.to_pil(rendering.images)
        picture.save(temporary, format=path.suffix[1:], lossless=True)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())


def _read(manifest: Path) -> dict[str, Any]:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        return {"settings": dict(content["settings"]), "images": dict(content["images"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(
            f"{str(manifest)!r} is not a manifest of renderings. Choose another folder."
        ) from error


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], key: str) -> str:
    there, here = (str(settings.get(key)) for settings in (theirs, ours))
    return f"{key} is {_short(there)} there and {_short(here)} here"


def _short(text: str) -> str:
    return text if len(text) < 60 else f"{text[:40]}...{text[-12:]}"


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnwritableError(
            f"Cannot write to {str(path)!r}: {error.strerror or error}. What is finished is kept; make room or choose "
            "another folder, and run the same command again to go on."
        ) from error


def render_folder(
    model: nn.Module,
    objectives: Sequence[Objective],
    folder: str | os.PathLike[str],
    *,
    transforms: Sequence[Transform] = STANDARD,
    steps: int | Sequence[Stage] = 96,
    size: Size = 128,
    rate: float = RATE,
    seed: int = 0,
    batch: int = BATCH,
    suffix: str = "png",
    share: Share | None = None,
    compute: Compute = PLAIN,
    progress: bool = False,
) -> Folder:
    """Render each objective into its own file, with a manifest; run again after an interruption to go on.

    However often it was interrupted, the files end up with the same bytes.

    Args:
        model, objectives, transforms, steps, size, rate, seed, batch, compute: as for `render_many`.
        folder: new, empty, or of the same run.
        suffix: "png", or "webp" (lossless).
        share: which part of the batches to render here, when several processes share the work.
        progress: whether to show a bar.

    Raises:
        BadInputError: two objectives have the same file name, or the folder belongs to another run.
        UnwritableError: the folder is full or read-only; what is finished is kept.
    """
    share = share or Share()
    _check_stems(objectives)
    stages = fitting_stages(model, objectives, steps, size, transforms=transforms)
    options = {"transforms": tuple(transforms), "stages": stages, "rate": rate, "seed": seed, "batch": batch}
    options["compute"] = compute
    settings = settings_of(model, objectives, suffix=suffix, **options)
    out = Folder(Path(folder), settings, share, suffix)
    out.open()
    batches = [objectives[start : start + batch] for start in range(0, len(objectives), batch)]
    missing = [part for part in batches[share.index :: share.count] if not out.has(part)]
    # Only the last batch of all can be a short one, so these are the same batches as in an undisturbed run.
    renderings = render_many(
        model,
        [one for part in missing for one in part],
        transforms=transforms,
        steps=stages,
        rate=rate,
        seed=seed,
        batch=batch,
        compute=compute,
        progress=progress,
    )
    for part in missing:
        out.add(itertools.islice(renderings, len(part)))
    return out


def _check_stems(objectives: Sequence[Objective]) -> None:
    stems = [file_stem(one.name) for one in objectives]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise BadInputError(f"Two objectives would have the file name {twice!r}. Give them different names.")
