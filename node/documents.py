"""What documents have in common wherever they are kept: limits, errors, and files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MAX_DOCUMENT: Final = 64 * 1024 * 1024
"""Bytes of one document."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where there is no room left."""


class DocumentError(Exception):
    """A document that cannot be kept or read; ``code`` is for programs, the message is one line that says what to do.

    NO_ENCRYPTION_KEY, NO_KEY, STORE_MISMATCH: the vault cannot be used as it is configured. TOO_LARGE, WRONG_HASH,
    WRONG_SIZE, WRONG_PLACE: what was given is refused. DOCUMENT_MISSING, DOCUMENT_DAMAGED, UNKNOWN_DEPOSIT: what was
    asked for. STORE_FULL, STORE_FAILED: nothing was kept, nothing that was kept is lost.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def write_whole(path: Path, *parts: bytes) -> None:
    """Write beside the target, sync, rename over it, sync the folder: whole or not at all, power cuts included."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    make_folder(path.parent)
    try:
        with temporary.open("xb", buffering=0) as file:
            for part in parts:
                write_all(file.fileno(), part)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, durably."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        sync_folder(made.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however little the system takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """What was renamed or made in a folder is on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room left."""
    return isinstance(error, OSError) and error.errno in FULL


def remove_leftovers(files: Iterable[Path]) -> None:
    """Delete what `write_whole` left when its process was killed."""
    for path in files:
        if path.name.startswith("."):
            path.unlink(missing_ok=True)
