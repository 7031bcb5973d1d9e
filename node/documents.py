"""The raw-document store: every file that was taken in, by the SHA-256 of its bytes, through fsspec.

A local folder needs nothing installed; any other fsspec URL (S3 and others) works the same way. A document is
written whole or not at all, and read back only if its bytes still have the hash they are asked for by. What is
stored here never leaves the member by itself: records carry the hash.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

MAX_DOCUMENT: Final = 64 * 1024 * 1024
"""Bytes of one document."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class DocumentError(Exception):
    """A document that cannot be stored or read; the message is one line that says what to do."""


class DocumentStore:
    """Content-addressed documents under one fsspec URL or local path.

    Layout: ``<root>/ab/<64 hex digits>``, ab being the first two digits. Blocking: a node calls it from a thread.
    """

    def __init__(self, url: str, **options: Any) -> None:
        """Open or create the store. options go to the file system fsspec picks. Raises DocumentError."""
        self._url = url
        try:
            self._files, self._root = fsspec.core.url_to_fs(url, **options)
            self._files.makedirs(self._root, exist_ok=True)
        except (OSError, ValueError, ImportError) as error:
            raise self._failed("cannot be opened", error) from None
        self._local = isinstance(self._files, LocalFileSystem)

    def put(self, data: bytes) -> bytes:
        """Store a document; returns its SHA-256, 32 bytes. Storing it again changes nothing but repairs damage.

        When this returns on a local folder, the bytes are on the disk. Raises DocumentError.
        """
        if len(data) > MAX_DOCUMENT:
            raise DocumentError(f"a document of {len(data)} bytes: split it, at most {MAX_DOCUMENT} are stored")
        digest = sha256(data).digest()
        path = self._path(digest)
        try:
            if self._read(path) == data:
                return digest
            if self._local:
                write_whole(Path(path), data)
            else:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(path, data)
        except OSError as error:
            if error.errno in _FULL:
                raise DocumentError(
                    f"document store {self._url}: no space left: free some, then take the document in again"
                ) from None
            raise self._failed("cannot be written", error) from None
        return digest

    def put_many(self, documents: Sequence[bytes]) -> list[bytes]:
        """Store documents, all durable when this returns; their SHA-256s, in order. Raises DocumentError.

        On a local folder they share two flushes of the disk, so that hundreds cost about as much as one.
        """
        if not self._local or len(documents) < 2:
            return [self.put(data) for data in documents]
        for data in documents:
            if len(data) > MAX_DOCUMENT:
                raise DocumentError(
                    f"a document of {len(data)} bytes: split it, at most {MAX_DOCUMENT} are stored"
                )
        digests = [sha256(data).digest() for data in documents]
        try:
            missing = {
                digest: data
                for digest, data in zip(digests, documents, strict=True)
                if self._read(self._path(digest)) != data
            }
            if missing:
                _write_local_many([(Path(self._path(digest)), data) for digest, data in missing.items()])
        except OSError as error:
            if error.errno in _FULL:
                raise DocumentError(
                    f"document store {self._url}: no space left: free some, then take the documents in again"
                ) from None
            raise self._failed("cannot be written", error) from None
        return digests

    def get(self, digest: bytes) -> bytes:
        """The document of a hash. Raises DocumentError where it is missing or damaged."""
        try:
            data = self._read(self._path(digest))
        except OSError as error:
            raise self._failed("cannot be read", error) from None
        if data is None:
            raise DocumentError(f"document {digest.hex()} is not in {self._url}: take the file in again")
        if sha256(data).digest() != digest:
            raise DocumentError(
                f"document {digest.hex()} in {self._url} is damaged: restore a backup or take the file in again"
            )
        return data

    def has(self, digest: bytes) -> bool:
        """Whether the document is here; its bytes are checked by `get` only. Raises DocumentError."""
        try:
            return bool(self._files.isfile(self._path(digest)))
        except OSError as error:
            raise self._failed("cannot be read", error) from None

    def _path(self, digest: bytes) -> str:
        if len(digest) != 32:
            raise DocumentError(f"a document is named by 32 bytes of SHA-256, not by {len(digest)}")
        name = digest.hex()
        return f"{self._root}/{name[:2]}/{name}"

    def _read(self, path: str) -> bytes | None:
        try:
            data: bytes = self._files.cat_file(path)
        except FileNotFoundError:
            return None
        return data

    def _failed(self, what: str, error: Exception) -> DocumentError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return DocumentError(f"document store {self._url} {what} ({reason}): check the path and its permissions")


def write_whole(path: Path, data: bytes) -> None:
    """Write beside the target, sync, rename over it, sync the folder: whole or not at all, power cuts included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    for folder in (path.parent, path.parent.parent):
        sync_folder(folder)


def _write_local_many(files: Sequence[tuple[Path, bytes]]) -> None:
    """All beside their targets, one flush, all renamed, one flush: each whole or not at all, power cuts included."""
    mark = secrets.token_hex(8)
    temporary = [(path.with_name(f".{path.name}.{mark}"), path, data) for path, data in files]
    try:
        for beside, path, data in temporary:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(data)
        _flush_disk_of(temporary[0][0])
        for beside, path, _ in temporary:
            beside.replace(path)
    except BaseException:
        for beside, _, _ in temporary:
            with contextlib.suppress(OSError):
                beside.unlink()
        raise
    _flush_disk_of(temporary[0][1])


def _flush_disk_of(path: Path) -> None:
    """Everything written to the file system of a file is on the disk: syncfs(2), elsewhere sync(2)."""
    flush = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if flush is None:
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if flush(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """What was renamed or made in a folder is on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
