"""Files that carry weights and data: read only if they are what they should be."""

from __future__ import annotations

import hashlib
from pathlib import Path

from interp.errors import DamagedFileError, MissingFileError


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
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(sha256):
        raise DamagedFileError(
            f"{str(path)!r} is damaged: its SHA-256 is {digest[:16]}..., it should be {sha256[:16]}... "
            "Delete the file and install or download it again."
        )
    return content
