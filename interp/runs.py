"""How anything long is written: whole files or none, folders that belong to one run, checksums, shares of machines.

Renderings, spectra, the microscope, the store and the book's pages stand on it. A run may be killed at any moment: what
is there is whole, what was half written is removed by the next run, and the same call goes on from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from interp.errors import BadInputError, DamagedFileError, InterpError, MissingFileError, UnwritableError

T = TypeVar("T")
Name = str | os.PathLike[str]
OWNER = re.compile(r"\.[0-9a-f]{32}-(\d+)-(.*)\.part")  # the process and the machine in a temporary name
DAY = 24 * 3600.0
CLAIM = "run.json"  # says which run a folder belongs to
LONGEST_STEM = 120  # file systems allow 255 bytes; temporary names and suffixes come on top
# Names that Windows keeps for its devices, whatever their suffix.
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
HASHED = re.compile(r"-[0-9a-f]{8}$")  # the end that `file_stem` gives to some names


# ------------------------------------------------------------------------------------------------------------
# Whole files or none


@contextlib.contextmanager
def replacing(path: Name) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it becomes `path`, after an exception it is removed.

    So a file appears whole or not at all, and an older one stays until the new one is complete.

    Raises:
        MissingFileError: there is no such folder.
    """
    path = Path(path)
    with _temporary(path) as temporary:
        yield temporary
        temporary.replace(path)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    if not path.parent.is_dir():
        raise MissingFileError(
            f"There is no folder {str(path.parent)!r} to write {path.name!r} to. Make it first."
        )
    # Whose it is, so that others can tell whether it is still being written; see `remove_leftovers`.
    temporary = path.with_name(f".{uuid.uuid4().hex}-{os.getpid()}-{machine()}.part")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Name, content: bytes) -> None:
    """Write a file, whole or not at all, and sync it to the disk.

    Raises:
        MissingFileError: there is no such folder.
        UnwritableError: it cannot be written; nothing of it is left behind.
    """
    path = Path(path)
    with writing(path):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
            sync(temporary)
        sync(path.parent)


@contextlib.contextmanager
def writing(path: Name) -> Iterator[None]:
    """Say of an error of the operating system what could not be written, and what to do.

    Raises:
        UnwritableError: in place of an OSError.
    """
    try:
        yield
    except InterpError:  # says it already
        raise
    except OSError as error:
        raise UnwritableError(
            f"{os.fspath(path)!r} cannot be written: {error.strerror or error}. What is finished is kept; make room or "
            "choose another folder, and run the same again to go on."
        ) from error


def sync(path: Name) -> None:
    """Make a file, or the names in a folder, survive a power cut; Windows cannot sync folders and need not."""
    if os.name == "posix" or Path(path).is_file():
        handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Name) -> None:
    """Remove what killed processes were writing to a folder; what may still be written stays.

    A process of this machine is asked for by its number; what comes from elsewhere has to be older than a day.
    """
    for part in Path(folder).glob(".*.part"):
        owner = OWNER.fullmatch(part.name)
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            if owner and _abandoned(part, int(owner[1]), owner[2]):
                part.unlink()


def _abandoned(part: Path, process: int, where: str) -> bool:
    if where == machine() and os.name == "posix" and not _alive(process):
        return True
    return (
        time.time() - part.stat().st_mtime > DAY
    )  # nothing takes so long, also where a number was given anew


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@cache
def machine() -> str:
    """Return a name for what counts processes here: a machine since it was started, or a container on it.

    Two containers may have one host name, but not one numbering of processes.
    """
    parts = [platform.node()]
    with contextlib.suppress(OSError):  # Linux alone has these
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:12]


# ------------------------------------------------------------------------------------------------------------
# Checksums


def seal(content: bytes) -> bytes:
    """Return content with its checksum in front, as a line of its own."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unseal(content: bytes) -> bytes:
    """Return what was given to `seal`.

    Raises:
        DamagedFileError: one bit or more of it is not as it was.
    """
    checksum, _, rest = content.partition(b"\n")
    if checksum != hashlib.sha256(rest).hexdigest().encode():
        raise DamagedFileError("the content is not the one that was written")
    return rest


def write_json(path: Name, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON that can be read by people, with its checksum as one more entry, "sha256"."""
    write(path, _json_with_checksum(content))


def _json_with_checksum(content: Mapping[str, Any]) -> bytes:
    content = json.loads(json.dumps(content))  # as it will be read
    return json.dumps({**content, "sha256": _checksum(content)}, indent=1).encode() + b"\n"


def read_json(path: Name) -> dict[str, Any]:
    """Return what `write_json` was given.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: it is no such file, or something in it is not as it was.
    """
    try:
        found: dict[str, Any] = json.loads(Path(path).read_bytes())
        checksum = found.pop("sha256")
        if checksum != _checksum(found):
            raise ValueError("the content is not the one that was written")
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {os.fspath(path)!r}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFileError(
            f"{os.fspath(path)!r} is damaged, or of another version ({error}). Delete it, or choose another folder."
        ) from error
    return found


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# ------------------------------------------------------------------------------------------------------------
# Folders that belong to one run


def claim(folder: Name, settings: Mapping[str, Any]) -> None:
    """Make a folder and write into it, as run.json, which run it belongs to, or check that it belongs to this one.

    What killed processes were writing there is removed. Of two runs that begin at once, one gets the folder.

    Args:
        folder: new, empty, or of the same run; hidden files do not count.
        settings: all that decides the run's results, as JSON; hashes for what is large.

    Raises:
        BadInputError: the folder belongs to another run, or holds other files.
        DamagedFileError: the file that says whose it is was changed.
        UnwritableError: the folder cannot be made or written.
    """
    folder = Path(folder)
    path, ours = folder / CLAIM, json.loads(json.dumps(settings))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _check_empty(folder, path)
            _create(path, _json_with_checksum({"settings": ours}))
        for part in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
            remove_leftovers(part)
    _check_same(folder, claimed(folder), ours)


def claimed(folder: Name) -> dict[str, Any]:
    """Return the settings of the run that a folder belongs to.

    Raises:
        BadInputError: it belongs to none.
        DamagedFileError: the file that says it was changed.
    """
    path = Path(folder) / CLAIM
    if not path.is_file():
        raise BadInputError(f"{os.fspath(folder)!r} holds no run: {CLAIM} is missing.")
    try:
        return dict(read_json(path)["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{str(path)!r} does not say which run it belongs to.") from error


def _check_empty(folder: Path, path: Path) -> None:
    others = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    if others and not path.exists():  # a run that began at the same moment writes this file first
        raise BadInputError(
            f"{str(folder)!r} holds other files, such as {others[0]!r}. Choose a new or an empty folder."
        )


def _create(path: Path, content: bytes) -> None:
    """Write a file unless there is one: a link is made at once or not at all, and never over another file."""
    with _temporary(path) as temporary:
        temporary.write_bytes(content)
        sync(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            temporary.replace(path)
    sync(path.parent)


def _check_same(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    pairs = {key: (_told(theirs, key), _told(ours, key)) for key in sorted({*theirs, *ours})}
    different = [
        f"{key} is {_short(there)} there and {_short(here)} here"
        for key, (there, here) in pairs.items()
        if there != here
    ]
    if different:
        raise BadInputError(
            f"{str(folder)!r} belongs to another run: {'; '.join(different[:3])}. Choose another folder, or the same "
            "settings."
        )


def _told(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], sort_keys=True) if key in settings else "nothing"


def _short(text: str) -> str:
    text = text.strip('"')
    return text if len(text) < 60 else f"{text[:40]}...{text[-12:]}"


# ------------------------------------------------------------------------------------------------------------
# Shares of machines, names of files


@dataclass(frozen=True)
class Share:
    """What one of several processes or machines does: every `count`-th piece, from number `index` on.

    It is the same whenever it is started, so that a machine goes on where it was.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise BadInputError(
                f"A share INDEX/COUNT needs 0 <= INDEX < COUNT; got {self.index}/{self.count}."
            )

    def __iter__(self) -> Iterator[int]:
        return iter((self.index, self.count))

    def of(self, pieces: Sequence[T]) -> Sequence[T]:
        """Return the pieces of this share."""
        return pieces[self.index :: self.count]

    @property
    def manifest(self) -> str:
        """The name of a list of what is finished; each share keeps its own, so that none waits for another."""
        return "manifest.json" if self.count == 1 else f"manifest-{self.index}-of-{self.count}.json"


ALL = Share()


def file_stem(name: str) -> str:
    """Return a file name, without a suffix, of a name: other names have others, also where case does not count.

    Small letters, digits, dots, dashes and underscores stay. Where anything else was, a hash of the name is added, and
    also to a name that ends as if it had one.

    >>> file_stem("blocks.3.2"), file_stem("3x3/s1"), file_stem("3x3-s1")
    ('blocks.3.2', '3x3-s1-36ff99cc', '3x3-s1')
    """
    stem = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:LONGEST_STEM].strip(".")
    stem = f"_{stem}" if RESERVED.fullmatch(stem.lower()) else stem
    safe = name and stem == name == name.lower() and not HASHED.search(name)
    return stem if safe else f"{stem}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
