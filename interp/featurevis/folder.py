"""Thousands of renderings into a folder: whole batches, lists of what is there, the same bytes after any interruption.

A batch is what gives the same bits, so a batch is rendered again as a whole if one of its pictures is missing, damaged,
or was made in another batch. The folder can grow: other objectives may join it later, under other names.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import nn

from interp import hooks, image, runs
from interp.digest import digest
from interp.errors import BadInputError, DamagedFileError
from interp.featurevis.objectives import Objective
from interp.featurevis.recipe import Changes, Recipe
from interp.featurevis.rendering import Rendering, fitting_stages, render_many
from interp.fingerprint import fingerprint
from interp.runs import Share

FORMATS = ("png", "webp")
Entry = dict[str, Any]


@dataclass
class Folder:
    """A folder of renderings: run.json says what made them, a manifest of each share which there are.

    A manifest is {"images": {name: {"file", "score", "problem", and hashes of file, objective and batch}}}.

    Attributes:
        path: the folder.
        settings: everything that the pictures depend on, besides objective and batch, as JSON has it.
        share: whose manifest this is.
        suffix: "png" or "webp" (lossless).
        images: what is finished of what was asked for, {name: entry}.
    """

    path: Path
    settings: Mapping[str, Any]
    share: Share = runs.ALL
    suffix: str = "png"
    images: dict[str, Entry] = field(default_factory=dict)
    _listed: dict[str, list[Entry]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.suffix not in FORMATS:
            raise BadInputError(f"Pictures are written as {' or '.join(FORMATS)}, not as {self.suffix!r}.")

    def pictures(self, objectives: Sequence[Objective]) -> list[np.ndarray]:
        """Return the finished pictures of objectives as bytes (H, W, 3), in their order."""
        paths = [self.path / self.images[one.name]["file"] for one in objectives]
        return [image.to_numpy(image.load(path))[0] for path in paths]

    def open(self, objectives: Sequence[Objective] = ()) -> None:
        """Make the folder, or take up what an earlier run left.

        Raises:
            BadInputError: the folder belongs to another run, holds other files, or has pictures of other objectives
                under the names of these.
            DamagedFileError: a manifest cannot be read.
            UnwritableError: it cannot be written to.
        """
        runs.claim(self.path, self.settings)
        for manifest in sorted(self.path.glob("manifest*.json")):
            for name, entry in _read(manifest).items():
                self._listed.setdefault(name, []).append(entry)
        for one in objectives:
            self._check_name(one)

    def take(self, batch: Sequence[Objective]) -> bool:
        """Tell whether the pictures of a batch are finished, and count them among the images if so."""
        whole = digest_of_batch(batch)
        entries = {one.name: self._finished(one.name, whole) for one in batch}
        self.images |= {name: entry for name, entry in entries.items() if entry and all(entries.values())}
        return all(entries.values())

    def add(self, batch: Sequence[Objective], renderings: Iterable[Rendering]) -> None:
        """Write the pictures of one batch, and then that they are there."""
        whole = digest_of_batch(batch)
        for one, rendering in zip(batch, renderings, strict=True):
            file = f"{file_stem(one.name)}.{self.suffix}"
            self.images[one.name] = {
                "file": file,
                "score": round(float(rendering.score), 6),
                "problem": rendering.problems[0],
                "sha256": _write_picture(rendering, self.path / file),
                "objective": digest(one),
                "batch": whole,
            }
        self.note()

    def note(self) -> None:
        """Write the manifest: what it listed, and what is finished now."""
        path = self.path / self.share.manifest
        listed = {**(_read(path) if path.exists() else {}), **self.images}
        runs.write_json(path, {"images": dict(sorted(listed.items()))})

    def _finished(self, name: str, batch: str) -> Entry | None:
        """Return what any manifest lists of this batch, as another share may have rendered it since."""
        listed = (entry for entry in self._listed.get(name, []) if entry["batch"] == batch)
        return next(filter(self._is_whole, listed), None)

    def _is_whole(self, entry: Entry) -> bool:
        file = self.path / str(entry["file"])
        return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == entry["sha256"]

    def _check_name(self, objective: Objective) -> None:
        entries, stem = self._listed.get(objective.name, []), file_stem(objective.name)
        if any(entry["objective"] != digest(objective) for entry in entries):
            raise BadInputError(
                f"{str(self.path)!r} holds a picture of another objective that is also called {objective.name!r}. Give "
                "this one another name, or choose another folder."
            )
        for name, others in self._listed.items():
            files = {str(other["file"]).lower() for other in others}
            if name != objective.name and f"{stem}.{self.suffix}".lower() in files:
                raise BadInputError(_same_file(objective.name, name, stem))


def digest_of_batch(objectives: Sequence[Objective]) -> str:
    """Return the hash of the objectives of a batch, in their order."""
    return digest([digest(one) for one in objectives])


def settings_of(model: nn.Module, recipe: Recipe, *, suffix: str) -> dict[str, Any]:
    """Return all that pictures depend on besides their objective and batch: network, code, recipe, what computes."""
    device = hooks.device_of(model)
    # The stages say it all; the size that they were made of may be another one and change nothing.
    options = {name: value for name, value in vars(recipe).items() if name != "size"}
    with hooks.evaluating(model):  # as it runs, whatever mode it was left in
        network = digest(model)
    return {
        "network": network,
        "code": fingerprint("import interp.featurevis.rendering"),
        "suffix": suffix,
        **{name: _told(value) for name, value in sorted(options.items())},
        "torch": torch.__version__,
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type} {platform.machine()}",
    }


def _told(value: object) -> object:
    """Return a value as JSON has it; what is more than a number or a text, as it prints and by its content."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"{re.sub(' at 0x[0-9a-fA-F]+', '', repr(value))} {digest(value)[:12]}"


def file_stem(name: str) -> str:
    """Return a file name without suffix for an objective's name.

    >>> file_stem("blocks.3.2:7"), file_stem("-blocks.3.2:7")
    ('blocks.3.2_7', 'minus_blocks.3.2_7')
    """
    stem = re.sub(r"[^A-Za-z0-9._]+", "_", re.sub("^-", "minus_", name))
    return stem if len(stem) <= runs.LONGEST_STEM else f"{stem[: runs.LONGEST_STEM]}_{digest(name)[:8]}"


def _write_picture(rendering: Rendering, path: Path) -> str:
    """Write a picture and return the hash of its file."""
    with runs.writing(path), runs.replacing(path) as temporary:
        image.to_pil(rendering.pictures).save(temporary, format=path.suffix[1:], lossless=True)
        runs.sync(temporary)
        return hashlib.sha256(temporary.read_bytes()).hexdigest()


def _read(manifest: Path) -> dict[str, Entry]:
    found = runs.read_json(manifest).get("images")
    if not isinstance(found, dict):
        raise DamagedFileError(f"{str(manifest)!r} is not a manifest of renderings. Choose another folder.")
    return found


def render_folder(
    model: nn.Module,
    objectives: Sequence[Objective],
    folder: str | os.PathLike[str],
    *,
    recipe: Recipe | None = None,
    suffix: str = "png",
    share: Share | tuple[int, int] = runs.ALL,
    progress: bool = False,
    **changes: Unpack[Changes],
) -> Folder:
    """Render each objective into its own file, with a manifest; run again after an interruption to go on.

    However often it was interrupted, the files end up with the same bytes. A later call with the same recipe may add
    objectives; those at the end that then share their batch with new ones are rendered again.

    Args:
        model, objectives: as for `render_many`.
        folder: new, empty, or of the same run.
        recipe: how, see `Recipe`; the standard one by default.
        suffix: "png", or "webp" (lossless).
        share: (index, count), which part of the batches to render here, when several processes share the work.
        progress: whether to show a bar.
        changes: what differs from the recipe, by the names of its attributes: `size=256, seed=1`.

    Raises:
        BadInputError: as for `render_many`, or two objectives have the same file name, or the folder belongs to another
            run, or holds a picture of another objective of the same name.
        DamagedFileError: what says whose the folder is, or a manifest, was changed.
        UnwritableError: the folder is full or read-only; what is finished is kept.
    """
    _check_stems(objectives)
    recipe = (recipe or Recipe()).changed(**changes)
    recipe = recipe.changed(steps=fitting_stages(model, objectives, recipe))
    out = Folder(Path(folder), settings_of(model, recipe, suffix=suffix), Share(*share), suffix)
    out.open(objectives)
    batches = [objectives[start : start + recipe.batch] for start in range(0, len(objectives), recipe.batch)]
    missing = [part for part in out.share.of(batches) if not out.take(part)]
    # Only the last batch of all can be a short one, so these are the same batches as in an undisturbed run.
    wanted = [one for part in missing for one in part]
    renderings = render_many(model, wanted, recipe=recipe, progress=progress)
    for part in missing:
        out.add(part, itertools.islice(renderings, len(part)))
    out.note()
    return out


def _check_stems(objectives: Sequence[Objective]) -> None:
    """Refuse names that are the same file, also where a file system does not tell capitals from small letters."""
    names: dict[str, str] = {}
    for one in objectives:
        stem = file_stem(one.name)
        if stem.lower() in names:
            raise BadInputError(_same_file(names[stem.lower()], one.name, stem))
        names[stem.lower()] = one.name


def _same_file(one: str, other: str, stem: str) -> str:
    return (
        f"Two objectives, {one!r} and {other!r}, would have the file name {stem!r}, on some disks at least. Give them "
        "different names, or each a folder."
    )
