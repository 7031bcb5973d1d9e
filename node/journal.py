"""The vote journal: what a validator has signed, kept so that a crash cannot make it sign twice (R4, R7, R8).

One append-only file. It opens with a header that binds a random journal id to the validator's public
key, then holds three kinds of record, each a canonical msgpack array:

    ["vote", kind, height, round, payload, signature]
    ["prepared", height, round, payload, signature, block, prepares]    a COMMIT vote and the lock it rests on
    ["decided", height, digest]

``payload`` is the exact bytes that were signed: they hold the digest, and a record can be checked by itself.

A record is framed as ``length (4 bytes) · crc32 of the length (4) · payload · sha256(payload)[:8]``. The
length has a checksum of its own because a flipped length would otherwise look like a record cut short by
a crash, and a vote that *was* sent would be thrown away with it. So an incomplete last record means one
thing only: the crash came before the sync, therefore before the send. Anything else is damage, and the
node stops.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from chain.certificate import VoteKind
from chain.codec import MAX_SIZE, CodecError, Value, decode, encode
from chain.crypto import sha256

HEADER_TAG = "tally/journal"
HEADER_VERSION = 1
JOURNAL_ID_BYTES = 16
PUBLIC_KEY_BYTES = 32

COMPACT_ABOVE_BYTES = 4 * 1024 * 1024
"""A decided height rewrites the file once it has grown beyond this; the votes of decided heights go."""

MAX_RECORD_BYTES = MAX_SIZE
"""More than any block plus its certificate; a larger length is damage."""

_LENGTH = struct.Struct(">II")
_CHECKSUM_BYTES = 8


class JournalError(Exception):
    """The journal cannot be used as it stands; the message is one line and says what to do."""


class JournalWriteError(Exception):
    """A write or fsync failed: what is on the disk is unknown now, so the process must end (PROTOCOL.md, Storage).

    Deliberately not an `OSError`: nothing that retries ordinary I/O may catch it.
    """


class JournalStorage(Protocol):
    """Where the journal's bytes live: a file in the node, memory that can lose unsynced writes in the simulator."""

    @property
    def name(self) -> str:
        """How error messages call it."""

    def read(self) -> bytes | None:
        """Everything written, or None when there is no journal here."""

    def append(self, data: bytes) -> None:
        """Add to the end. Not durable before `sync`."""

    def sync(self) -> None:
        """Return when everything appended is durable. Raises `JournalWriteError`."""

    def replace(self, data: bytes) -> None:
        """Put `data` in the place of everything, durably: after a crash the old or the new is there, never a mix."""

    def close(self) -> None:
        """Let go of the file and of its lock."""


class FileStorage:
    """The journal in one file, locked against a second process with the same key."""

    def __init__(self, path: Path) -> None:
        """Lock `path`. Raises `JournalError` when another process holds it."""
        self._path = path
        self._descriptor: int | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        # The lock is a file of its own: `replace` gives the journal a new inode, which would shed the lock.
        self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise JournalError(
                f"{path}: another process is signing with this key; stop it before starting a second node"
            ) from error

    @property
    def name(self) -> str:
        return str(self._path)

    def read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"{self._path}: cannot read the vote journal ({error.strerror})") from error

    def append(self, data: bytes) -> None:
        try:
            descriptor = self._open()
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError as error:
            raise JournalWriteError(f"{self._path}: cannot write the vote journal ({error.strerror})") from error

    def sync(self) -> None:
        try:
            os.fdatasync(self._open())
        except OSError as error:
            raise JournalWriteError(f"{self._path}: cannot sync the vote journal ({error.strerror})") from error

    def replace(self, data: bytes) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._close_file()
            os.rename(new, self._path)
            self._sync_folder()
        except OSError as error:
            raise JournalWriteError(f"{self._path}: cannot rewrite the vote journal ({error.strerror})") from error

    def close(self) -> None:
        self._close_file()
        os.close(self._lock)

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return self._descriptor

    def _close_file(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class JournalVote(NamedTuple):
    """One signed vote: kind, height, round as in ``consensus.messages``, the signed bytes, the 64-byte signature."""

    kind: int
    height: int
    round: int
    payload: bytes
    signature: bytes


class JournalPrepared(NamedTuple):
    """The lock of the newest COMMIT vote (R4): ``block`` encoded, ``prepares`` as [[validator id, signature]…]."""

    vote: JournalVote
    block: bytes
    prepares: list[Value]


class JournalDecided(NamedTuple):
    """The highest height that this validator has seen decided."""

    height: int
    digest: bytes


def frame(payload: bytes) -> bytes:
    """`payload` as it stands in the file: length, checksum of the length, payload, checksum of the payload."""
    length = len(payload).to_bytes(4, "big")
    return length + zlib.crc32(length).to_bytes(4, "big") + payload + sha256(payload)[:_CHECKSUM_BYTES]


def unframe(data: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    """Each complete record as (offset of its end, payload); ends quietly before an incomplete last record.

    Raises `JournalError` at damage, giving the byte offset.
    """
    offset = 0
    while len(data) - offset >= _LENGTH.size:
        length, check = _LENGTH.unpack_from(data, offset)
        if zlib.crc32(data[offset : offset + 4]) != check or length > MAX_RECORD_BYTES:
            raise _damaged(name, offset)
        start = offset + _LENGTH.size
        end = start + length + _CHECKSUM_BYTES
        if end > len(data):
            return
        payload = data[start : start + length]
        if sha256(payload)[:_CHECKSUM_BYTES] != data[start + length : end]:
            raise _damaged(name, offset)
        yield end, payload
        offset = end


class Journal:
    """The journal in memory and on disk: votes and prepared block above the last decided height.

    A fresh object of this class after a crash knows exactly what was synced before it.
    """

    def __init__(self, storage: JournalStorage, journal_id: bytes, public_key: bytes, compact_above: int) -> None:
        self.journal_id = journal_id
        self.public_key = public_key
        self.votes: dict[tuple[int, int, int], JournalVote] = {}
        self.prepared: JournalPrepared | None = None
        self.decided: JournalDecided | None = None
        self._storage = storage
        self._compact_above = compact_above
        self._size = 0
        self._is_broken = False

    @classmethod
    def create(
        cls,
        storage: JournalStorage,
        public_key: bytes,
        *,
        journal_id: bytes | None = None,
        compact_above: int = COMPACT_ABOVE_BYTES,
    ) -> Journal:
        """A new, empty journal for a key that has never signed a vote. Raises `JournalError` if one is there."""
        if storage.read() is not None:
            raise JournalError(f"{storage.name}: a vote journal exists already; start the node without creating one")
        identity = os.urandom(JOURNAL_ID_BYTES) if journal_id is None else journal_id
        journal = cls(storage, identity, public_key, compact_above)
        journal._rewrite()
        return journal

    @classmethod
    def open(
        cls,
        storage: JournalStorage,
        public_key: bytes,
        *,
        journal_id: bytes | None = None,
        compact_above: int = COMPACT_ABOVE_BYTES,
    ) -> Journal:
        """The journal of `public_key`, as synced; an incomplete last record is cut off (R8).

        `journal_id`, where the caller has it from the key file, must be the journal's own: a journal made
        anew for an old key is refused. Raises `JournalError`.
        """
        data = storage.read()
        if data is None:
            raise JournalError(
                f"{storage.name}: this validator key has no vote journal; a lost journal means a new key "
                "(tally keys rotate), only a key that never voted may create one"
            )
        records = unframe(data, storage.name)
        end, payload = next(records, (0, b""))
        found_id, found_key = _parse_header(payload, storage.name)
        if found_key != public_key:
            raise JournalError(f"{storage.name}: this vote journal belongs to another key; give the node its own")
        if journal_id is not None and found_id != journal_id:
            raise JournalError(
                f"{storage.name}: this is not the vote journal that the key was made with; a lost journal means "
                "a new key (tally keys rotate)"
            )
        journal = cls(storage, found_id, public_key, compact_above)
        start = end
        for record_end, record in records:
            journal._replay(record, start)
            start = end = record_end
        journal._size = end
        if end < len(data):
            storage.replace(data[:end])
        return journal

    def add_vote(self, vote: JournalVote) -> None:
        """Make one vote durable. Raises `JournalWriteError`."""
        self._write(["vote", *vote])
        self._sync()
        self.votes[vote.height, vote.round, vote.kind] = vote

    def add_prepared(self, prepared: JournalPrepared) -> None:
        """Make a COMMIT vote and the lock it rests on durable: one record, one sync (R4)."""
        self._write(_prepared_record(prepared))
        self._sync()
        self._take_prepared(prepared)

    def add_decided(self, height: int, digest: bytes) -> None:
        """Note a decided height; votes up to it are no longer needed.

        Not synced by itself: the block is durable in the store before, and losing this note only keeps
        old votes for longer.
        """
        if self.decided is not None and height <= self.decided.height:
            return
        self._write(["decided", height, digest])
        self._is_broken = False
        self._take_decided(JournalDecided(height, digest))
        if self._size > self._compact_above:
            self._rewrite()

    def close(self) -> None:
        """Let go of the storage; votes are durable already."""
        self._storage.close()

    def _write(self, record: list[Value]) -> None:
        """Append a record. Once a write has failed nothing more is written: the file may end in the middle of one."""
        if self._is_broken:
            raise JournalWriteError(
                f"{self._storage.name}: an earlier write failed; end this process and start again"
            )
        self._is_broken = True
        data = frame(encode(record))
        self._storage.append(data)
        self._size += len(data)

    def _sync(self) -> None:
        self._storage.sync()
        self._is_broken = False

    def _rewrite(self) -> None:
        """Only what still counts, in the place of everything."""
        records: list[list[Value]] = [[HEADER_TAG, HEADER_VERSION, self.journal_id, self.public_key]]
        if self.decided is not None:
            records.append(["decided", *self.decided])
        records.extend(["vote", *vote] for _, vote in sorted(self.votes.items()))
        if self.prepared is not None:
            records.append(_prepared_record(self.prepared))
        data = b"".join(frame(encode(record)) for record in records)
        self._storage.replace(data)
        self._size = len(data)

    def _replay(self, payload: bytes, offset: int) -> None:
        name = self._storage.name
        try:
            record = decode(payload, max_size=MAX_RECORD_BYTES)
        except CodecError as error:
            raise _damaged(name, offset) from error
        match record:
            case ["vote", int(kind), int(height), int(round_), bytes(signed), bytes(signature)]:
                self.votes[height, round_, kind] = JournalVote(kind, height, round_, signed, signature)
            case [
                "prepared",
                int(height),
                int(round_),
                bytes(signed),
                bytes(signature),
                bytes(block),
                list(prepares),
            ]:
                vote = JournalVote(VoteKind.COMMIT, height, round_, signed, signature)
                self._take_prepared(JournalPrepared(vote, block, prepares))
            case ["decided", int(height), bytes(digest)]:
                self._take_decided(JournalDecided(height, digest))
            case _:
                raise _damaged(name, offset)

    def _take_prepared(self, prepared: JournalPrepared) -> None:
        vote = prepared.vote
        self.votes[vote.height, vote.round, vote.kind] = vote
        self.prepared = prepared

    def _take_decided(self, decided: JournalDecided) -> None:
        self.decided = decided
        self.votes = {at: vote for at, vote in self.votes.items() if vote.height > decided.height}
        if self.prepared is not None and self.prepared.vote.height <= decided.height:
            self.prepared = None


def _prepared_record(prepared: JournalPrepared) -> list[Value]:
    _, height, round_, signed, signature = prepared.vote
    return ["prepared", height, round_, signed, signature, prepared.block, prepared.prepares]


def _parse_header(payload: bytes, name: str) -> tuple[bytes, bytes]:
    try:
        header = decode(payload, max_size=MAX_RECORD_BYTES)
    except CodecError as error:
        raise _damaged(name, 0) from error
    match header:
        case ["tally/journal", 1, bytes(journal_id), bytes(public_key)]:
            return journal_id, public_key
        case ["tally/journal", int(version), *_]:
            raise JournalError(f"{name}: vote journal of format {version}; this program reads format 1, upgrade it")
    raise _damaged(name, 0)


def _damaged(name: str, offset: int) -> JournalError:
    return JournalError(
        f"{name}: the vote journal is damaged at byte {offset}; do not repair it: this validator needs a new key "
        "(tally keys rotate)"
    )
