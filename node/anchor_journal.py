"""Anchors under way, kept so that a crash at any point sends neither twice nor never.

    QUEUED ──► PREPARED ──► SENT ◄──► MINED ──► FINAL
       ▲                     │
       └── the nonce went to a foreign transaction, finally

A transaction is in the journal, synced, before its first byte leaves the machine. After a restart it is looked
up by its hash, and the same bytes are sent again; there is no second signature over another nonce. Every
candidate ever signed for a nonce is kept, since any of them may be the one that is mined.

The file is small (unfinished anchors only) and is replaced whole: written aside, synced, renamed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from chain.codec import CodecError, decode, encode, is_tagged
from chain.crypto import HASH_SIZE, sha256

TAG: Final = "tally/anchor_journal"
VERSION: Final = 1


class State(StrEnum):
    """Where an anchor stands. Only FINAL is exported."""

    QUEUED = "QUEUED"
    PREPARED = "PREPARED"
    SENT = "SENT"
    MINED = "MINED"
    FINAL = "FINAL"


TRANSITIONS: Final = frozenset(
    {
        (State.QUEUED, State.PREPARED),
        (State.PREPARED, State.SENT),
        (State.SENT, State.SENT),
        (State.SENT, State.MINED),
        (State.SENT, State.QUEUED),
        (State.MINED, State.SENT),
        (State.MINED, State.MINED),
        (State.MINED, State.FINAL),
    }
)


class AnchorJournalError(Exception):
    """A journal that cannot be used; one line that says what to do."""


class Candidate(NamedTuple):
    """One signed transaction for a job's nonce. Fees in wei per gas."""

    raw: bytes
    hash: bytes
    max_fee: int
    tip: int


@dataclass(frozen=True)
class Job:
    """One anchor: a checkpoint (size, root) on its way to the public chain.

    prepared_at: ms since 1970 of the newest candidate; block_*: where it is mined; proof: at FINAL.
    """

    size: int
    root: bytes
    state: State = State.QUEUED
    nonce: int | None = None
    candidates: tuple[Candidate, ...] = ()
    prepared_at: int = 0
    block_number: int | None = None
    block_hash: bytes | None = None
    proof: bytes | None = None

    def move(self, state: State, **changes: Any) -> Job:
        """The job in its next state. A move that the diagram does not show is a defect."""
        if (self.state, state) not in TRANSITIONS:
            raise AssertionError(f"an anchor never goes from {self.state} to {state}")
        return replace(self, state=state, **changes)

    def array(self) -> list[Any]:
        """As it is stored."""
        return [
            *(self.size, self.root, self.state.value, self.nonce, [list(each) for each in self.candidates]),
            *(self.prepared_at, self.block_number, self.block_hash, self.proof),
        ]

    @classmethod
    def of_array(cls, array: Sequence[Any]) -> Job:
        """From storage."""
        size, root, state, nonce, candidates, *rest = array
        return cls(size, root, State(state), nonce, tuple(Candidate(*each) for each in candidates), *rest)


@dataclass(frozen=True)
class Book:
    """What the journal holds: which public chain it is about, and the jobs by ascending size.

    checked: how many of the consortium chain's confirmations this node has re-checked.
    """

    chain_id: int | None = None
    first_block: bytes | None = None
    jobs: tuple[Job, ...] = ()
    checked: int = 0

    def with_job(self, job: Job) -> Book:
        """The book with this job in the place of the one of its size."""
        others = [each for each in self.jobs if each.size != job.size]
        return replace(self, jobs=tuple(sorted([*others, job], key=lambda each: each.size)))

    def without(self, size: int) -> Book:
        """The book without the job of this size."""
        return replace(self, jobs=tuple(each for each in self.jobs if each.size != size))

    @property
    def next_nonce(self) -> int:
        """The lowest nonce above all that are spoken for."""
        return max((job.nonce + 1 for job in self.jobs if job.nonce is not None), default=0)


class AnchorJournal:
    """The book on disk. One writer: the holder of the key's lock."""

    def __init__(self, path: Path) -> None:
        """Raises AnchorJournalError for a damaged file."""
        self._path = path
        self.book = self._load()

    def save(self, book: Book) -> None:
        """Replace the file; when this returns, the book outlives a power cut. Blocking."""
        jobs = [job.array() for job in book.jobs]
        body = encode([TAG, VERSION, book.chain_id, book.first_block, jobs, book.checked])
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
            if sha256(body) != digest or not is_tagged(value, TAG, VERSION, 6):
                raise ValueError
            return Book(value[2], value[3], tuple(map(Job.of_array, value[4])), value[5])
        except (CodecError, ValueError, TypeError):
            raise AnchorJournalError(
                f"{self._path} is damaged: make sure none of its transactions is pending, then remove it"
            ) from None


def write_synced(path: Path, content: bytes) -> None:
    """Put a file in its place whole, or not at all, durably. Blocking."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
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
