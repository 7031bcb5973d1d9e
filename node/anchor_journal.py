"""Anchors under way at one backend, kept so that a crash at any point sends neither twice nor never.

What a backend prepared is in the journal, synced, before its first byte leaves the machine (``node.anchor_backend``
has the states). The file is small (unfinished anchors only) and is replaced whole: written aside, synced, renamed.
Each backend has its own, so that one's damage is nobody else's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chain.codec import CodecError, Value, decode, encode, is_tagged
from chain.crypto import HASH_SIZE, sha256
from node.anchor_backend import Job, State

TAG: Final = "tally/anchor_journal"
VERSION: Final = 1


class AnchorJournalError(Exception):
    """A journal that cannot be used; one line that says what to do."""


@dataclass(frozen=True)
class Book:
    """What a journal holds: what the backend remembers of the outside, and its jobs by ascending size."""

    memory: Mapping[str, Value] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()

    def with_job(self, job: Job) -> Book:
        """The book with this job in the place of the one of its size."""
        others = [each for each in self.jobs if each.size != job.size]
        return Book(self.memory, tuple(sorted([*others, job], key=lambda each: each.size)))

    def without(self, size: int) -> Book:
        """The book without the job of this size."""
        return Book(self.memory, tuple(each for each in self.jobs if each.size != size))

    def job(self, size: int) -> Job | None:
        """The job of this size."""
        return next((each for each in self.jobs if each.size == size), None)


class AnchorJournal:
    """The book on disk. One writer: the holder of the backend's lock."""

    def __init__(self, path: Path) -> None:
        """Raises AnchorJournalError for a damaged file."""
        self._path = path
        self.book = self._load()

    def save(self, book: Book) -> None:
        """Replace the file; when this returns, the book outlives a power cut. Blocking."""
        body = encode([TAG, VERSION, dict(book.memory), [_array(job) for job in book.jobs]])
        write_synced(self._path, sha256(body) + body)
        self.book = book

    def _load(self) -> Book:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return Book()
        digest, body = content[:HASH_SIZE], content[HASH_SIZE:]
        try:
            value = decode(body)
            if sha256(body) != digest or not is_tagged(value, TAG, VERSION, 4):
                raise ValueError
            return Book(value[2], tuple(_job(row) for row in value[3]))
        except (CodecError, ValueError, TypeError):
            raise AnchorJournalError(
                f"{self._path} is damaged: make sure nothing that it holds is pending outside, then remove it"
            ) from None


def _array(job: Job) -> list[Any]:
    return [job.backend, job.size, job.root, job.state.value, job.prepared_at, dict(job.data), job.proof]


def _job(row: Sequence[Any]) -> Job:
    backend, size, root, state, prepared_at, data, proof = row
    return Job(backend, size, root, State(state), prepared_at, data, proof)


def write_synced(path: Path, content: bytes) -> None:
    """Put a file in its place whole, or not at all, durably. Blocking; several threads may write the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{threading.get_native_id()}.new")
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
