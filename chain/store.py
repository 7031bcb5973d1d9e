"""What a node keeps, row by row, and the two key-value stores it can stand on: LevelDB and memory.

One synced write batch a block holds blocks, receipts, state, indexes, certificate and head (PROTOCOL.md,
Storage): only ``sync=True`` reaches the disk, paranoid checks are on, checksums are verified on every read, and
nothing is ever repaired silently. Heights in keys are 8 bytes big-endian; ``~height`` is their complement, so
that the newest version of a row comes first.

===========================  =======================================================================
``m:`` name                  store format, network id, head, first height whose state is kept
``h`` height                 consortium header
``b`` height                 block (wire transactions included)
``c`` height                 certificate this node holds for it
``k`` height                 all chain heads after it
``r`` height                 receipts, consortium hooks' first, then in block order
``M`` chain 0 height         member block header
``t`` transaction id         [height, chain, index in that chain's part of the block]
``s`` chain 0 state key      newest value: height written (8 bytes) || value
``v`` chain 0 state key ~h   a value that was superseded, at the height that wrote it (empty: absent)
``n`` chain 0 path ~h        a state tree node as of height h
``d`` chain 0                there if a state key of the chain was ever deleted
``i`` record id chain        derived: [kind, issuer, number, transaction id] (``chain/index.py``)
``x`` chain 0 kind number …  derived: who issued records of a kind and number
``y`` chain 0 enterprise …   derived: [transaction id, its records of the enterprise], in sealing order
``z`` chain 0 kind …         derived: the enterprises of a transaction's records of a kind, in sealing order
``e`` id 0 height number     derived: a notice to a member or party (``chain/notices.py``)
===========================  =======================================================================
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

Rows: TypeAlias = "Iterable[tuple[bytes, bytes | None]]"
"""Writes in order: key and value, or None to delete."""

FORMAT: Final = 1
_INVERSE: Final = 2**64 - 1


class StoreError(RuntimeError):
    """The store cannot be opened, read or written; one line that says what to do."""


class StoreInUseError(StoreError):
    """Another process has the store open."""


class SnapshotClosedError(StoreError):
    """A snapshot was read after it was let go: take the newest one and read again."""


class Reading(Protocol):
    """The half of a store that reads."""

    def get(self, key: bytes) -> bytes | None:
        """The value at a key."""

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, ascending, or descending with ``reverse``."""


class Snapshot(Reading, Protocol):
    """A store as it was at one moment, for any thread, whatever is written meanwhile."""

    def close(self) -> None:
        """Let it go; every later read raises SnapshotClosedError. May be called twice."""


class KeyValue(Reading, Protocol):
    """An ordered map with atomic, durable batches."""

    def write(self, rows: Rows) -> None:
        """Write all rows or none, durable when it returns. Raises StoreError; the process must then end."""

    def snapshot(self) -> Snapshot:
        """The rows as they are now; let it go soon, for the store keeps what is overwritten as long."""

    def close(self) -> None:
        """Release the files."""


class LevelStore:
    """LevelDB through plyvel."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        """Open a folder. Raises StoreError if it is missing (and not ``create``), in use or damaged."""
        import plyvel

        self._error = plyvel.Error
        if not create and not (folder / "CURRENT").exists():
            raise StoreError(f"{folder}: no ledger here: check `data` in node.toml")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = plyvel.DB(
                str(folder),
                create_if_missing=create,
                paranoid_checks=True,
                write_buffer_size=24 << 20,
                lru_cache_size=16 << 20,
                bloom_filter_bits=10,
                compression=None,  # most bytes are hashes and signatures: compressing them only costs
            )
        except plyvel.Error as error:
            raise _opening(folder, _reason(error)) from None
        self._folder = folder
        self._failure = ""
        self._get = self._db.get

    def get(self, key: bytes) -> bytes | None:
        """The value at a key, its checksum verified. Raises StoreError when the table is damaged."""
        try:
            value: bytes | None = self._get(key, verify_checksums=True)
        except self._error as error:
            raise StoreError(_damaged(self._folder, _reason(error))) from None
        return value

    def write(self, rows: Rows) -> None:
        """Write all rows in one synced batch. Raises StoreError (a full disk, an I/O error): end the process.

        After a failed write every further one fails too: the log ends in half a record, and LevelDB would go on
        behind it, where the next start finds damage.
        """
        if self._failure:
            raise StoreError(self._failure)
        try:
            with self._db.write_batch(transaction=True, sync=True) as batch:
                for key, value in rows:
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
        except self._error as error:
            self._failure = (
                f"{self._folder}: cannot write ({_reason(error)}): free disk space or mend the disk, then start"
                " again; nothing acknowledged is lost"
            )
            raise StoreError(self._failure) from None

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, checksums verified. Raises StoreError when a table is damaged."""
        return _rows(self._db.raw_iterator, self._folder, self._error, start, stop, reverse)

    def compact(self) -> None:
        """Give the room of deleted rows back to the disk; takes as long as reading and writing what is left."""
        self._db.compact_range()

    def snapshot(self) -> LevelSnapshot:
        """The rows as they are now, for any thread. Costs microseconds and, until closed, what is overwritten."""
        return LevelSnapshot(self._db, self._folder, self._error)

    def close(self) -> None:
        """Release the folder's lock."""
        self._db.close()


class LevelSnapshot:
    """LevelDB at one moment. The lock keeps a read in one thread and the letting go in another apart: LevelDB itself
    would read freed memory."""

    def __init__(self, database: Any, folder: Path, error: type[Exception]) -> None:
        self._snapshot = database.snapshot()
        self._folder = folder
        self._error = error
        self._lock = threading.Lock()
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """The value at a key, its checksum verified. Raises StoreError, SnapshotClosedError."""
        with self._lock:
            self._check_open()
            try:
                value: bytes | None = self._snapshot.get(key, verify_checksums=True)
            except self._error as error:
                raise StoreError(_damaged(self._folder, _reason(error))) from None
        return value

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """As of a store. An iterator that was made stands on its own, so only the making needs the lock."""
        return _rows(self._iterator, self._folder, self._error, start, stop, reverse)

    def close(self) -> None:
        """Let it go."""
        with self._lock:
            self._closed = True
            self._snapshot.close()

    def _iterator(self, **options: bool) -> Any:
        with self._lock:
            self._check_open()
            return self._snapshot.raw_iterator(**options)

    def _check_open(self) -> None:
        if self._closed:
            raise SnapshotClosedError("this view of the ledger is too old and was let go: read again")


def _rows(
    iterator: Callable[..., Any], folder: Path, error: type[Exception], start: bytes, stop: bytes, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Rows with start ≤ key < stop, checksums verified. Raises StoreError when a table is damaged.

    Through the raw iterator: plyvel's plain one ends as if there were no more rows where a table's last
    block is damaged, the raw one raises after each step.
    """
    try:
        with iterator(verify_checksums=True) as rows:
            rows.seek(stop if reverse else start)
            if reverse:
                if rows.valid():
                    rows.prev()
                else:
                    rows.seek_to_last()
            move = rows.prev if reverse else rows.next
            while rows.valid():
                key: bytes = rows.key()
                if key < start if reverse else key >= stop:
                    return
                yield key, rows.value()
                move()
    except error as damage:
        raise StoreError(_damaged(folder, _reason(damage))) from None


class MemoryStore:
    """A store in memory with the same promises: for the simulator, tests and dry runs."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value at a key."""
        return self._rows.get(key)

    def write(self, rows: Rows) -> None:
        """Write all rows, or none if making them fails."""
        for key, value in list(rows):
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop."""
        keys = sorted(key for key in self._rows if start <= key < stop)
        for key in reversed(keys) if reverse else keys:
            yield key, self._rows[key]

    def snapshot(self) -> MemorySnapshot:
        """A copy of the rows as they are now."""
        return MemorySnapshot(dict(self._rows))

    def close(self) -> None:
        """Nothing to release."""


class MemorySnapshot(MemoryStore):
    """A memory store at one moment."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        super().__init__()
        self._rows = rows
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """The value at a key. Raises SnapshotClosedError."""
        self._check_open()
        return super().get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop. Raises SnapshotClosedError."""
        self._check_open()
        yield from super().scan(start, stop, reverse=reverse)

    def close(self) -> None:
        """Let it go."""
        self._closed = True
        self._rows = {}

    def _check_open(self) -> None:
        if self._closed:
            raise SnapshotClosedError("this view of the ledger is too old and was let go: read again")


def by_height(prefix: bytes, height: int) -> bytes:
    """The key of a row of one block."""
    return prefix + height.to_bytes(8, "big")


def chain_prefix(prefix: bytes, chain: str) -> bytes:
    """The key prefix of one chain's rows; the zero byte ends the name, which has none."""
    return prefix + chain.encode() + b"\x00"


def inverse(height: int) -> bytes:
    """The complement of a height: newer sorts first."""
    return (_INVERSE - height).to_bytes(8, "big")


def height_of_inverse(suffix: bytes) -> int:
    """The height of an 8-byte complement."""
    return _INVERSE - int.from_bytes(suffix, "big")


def successor(prefix: bytes) -> bytes:
    """The first key after all keys with a prefix."""
    return prefix + b"\xff" * 9


def _reason(error: Exception) -> str:
    """LevelDB's own words: plyvel hands them over as bytes."""
    words = error.args[0] if error.args else ""
    text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
    return " ".join(text.split())


_ERRNO: Final = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
)  # fmt: skip
_MENDABLE: Final = tuple(os.strerror(code) for code in _ERRNO)
"""What keeps a sound ledger from being opened, in the system's words."""


def _opening(folder: Path, reason: str) -> StoreError:
    # The words of LevelDB's LockFile; "lock" alone stands in "block" and "blockchain" too.
    if reason.startswith("IO error: lock "):
        return StoreInUseError(f"{folder}: another process has this ledger open: stop it first")
    if reason.endswith(_MENDABLE):
        return StoreError(
            f"{folder}: cannot open the ledger ({reason}): free disk space or give access, then start again"
        )
    return StoreError(_damaged(folder, reason))


def _damaged(folder: Path, reason: str) -> str:
    return (
        f"{folder}: the ledger is damaged ({reason}): do not repair it; move the folder away and start the node"
        " again to sync it from its peers, or restore a backup"
    )
