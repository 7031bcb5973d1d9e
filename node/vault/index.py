"""The local index of the vault: LevelDB rows that say where everything is. Lost, it is made again out of the store.

====================================  ==========================================================================
``k``                                 the key file once more
``s``                                 number of the next segment
``o`` name                            [segment, offset, size at rest, length, deposit id, place in it]
``d`` deposit id                      sealed: [M, kinds, objects, size, number | nil, [[custodian, root] …] | nil]
``e`` deposit id place                name || size of a copy
``c`` deposit id custodian            roots of that custodian's copies, 32 bytes each, in order
``w`` deposit id                      there while the deposit has no number
``n`` number                          deposit id
``x`` chain 0 number holder           held for others: the manifest
``i`` chain 0 number holder           on its way here: the manifest
``y`` chain 0 number                  version (8 bytes) || newest key list
====================================  ==========================================================================

Numbers are 8 bytes big-endian, places 4.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from chain.codec import decode, encode
from chain.crypto import HASH_SIZE, sha256
from chain.store import LevelStore, Rows, StoreError, successor
from node.documents import DocumentError
from node.envelope import DepositSecret
from node.vault.keyring import VaultKey

ID_SIZE: Final = 16
RESERVE: Final = 4 * 1024 * 1024
"""Bytes that stay free on the index's disk: LevelDB must never meet a full one."""


class Place(NamedTuple):
    """Where a document lies, and in which deposit it went first."""

    segment: int
    offset: int
    size: int
    length: int
    deposit: bytes
    place: int


@dataclass(frozen=True, slots=True)
class Deposit:
    """Objects gathered for custody. id: 16 bytes, local; size: bytes of one holder's copies; number: on the chain,
    None until known; roots: of each custodian's copies, sorted by custodian, None until `Vault.roots`."""

    id: bytes
    secret: DepositSecret
    objects: int
    size: int
    number: int | None = None
    roots: Mapping[str, bytes] | None = None


def deposit_id(key: bytes) -> bytes:
    """The id of the deposit with a key M: 16 bytes that say nothing about it."""
    return sha256(key)[:ID_SIZE]


class Index:
    """Rows by what they mean. Writing raises DocumentError STORE_FULL, STORE_FAILED; all of a write or none of it."""

    def __init__(self, folder: Path) -> None:
        """Raises DocumentError STORE_FAILED: in use, or damaged (then delete it: it is made again)."""
        self._folder = folder
        try:
            self._store = LevelStore(folder, create=True)
        except StoreError as error:
            said = str(error).partition(":")[2].partition(":")[0].strip()
            raise DocumentError(
                "STORE_FAILED",
                f"index of documents {folder}: {said}: if it is damaged, move it away: it is made again",
            ) from None

    def close(self) -> None:
        """Let go of the folder."""
        self._store.close()

    def get(self, key: bytes) -> bytes | None:
        """One row. Raises DocumentError STORE_FAILED."""
        try:
            return self._store.get(key)
        except StoreError:
            raise self._damaged() from None

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose keys begin so: (rest of the key, value). Raises DocumentError STORE_FAILED."""
        try:
            for key, value in self._store.scan(prefix, successor(prefix)):
                yield key[len(prefix) :], value
        except StoreError:
            raise self._damaged() from None

    def write(self, rows: Rows) -> None:
        """Durable when it returns."""
        self.check_room()
        try:
            self._store.write(rows)
        except StoreError:
            said = f"index of documents {self._folder} cannot be written: free disk space, then start the node again"
            raise DocumentError("STORE_FAILED", said) from None

    def check_room(self, reserve: int = RESERVE) -> None:
        """Raises DocumentError STORE_FULL before anything is written that could not be noted down, or where fewer
        than ``reserve`` bytes are free beside the index: the node's own ledger is there too."""
        if shutil.disk_usage(self._folder).free < max(reserve, RESERVE):
            said = f"no space left beside {self._folder}: free some, then take the documents in again"
            raise DocumentError("STORE_FULL", said)

    # -- own documents ----------------------------------------------------------------------------------

    def place(self, name: bytes) -> Place | None:
        """Where a document lies."""
        row = self.get(b"o" + name)
        return None if row is None else Place(*decode(row))

    def next_segment(self) -> int:
        """Number of the segment that is written next."""
        row = self.get(b"s")
        return 0 if row is None else int.from_bytes(row, "big")

    def object(self, deposit: bytes, place: int) -> tuple[bytes, int] | None:
        """(name, size of a copy) of one object of a deposit."""
        row = self.get(b"e" + deposit + place.to_bytes(4, "big"))
        return None if row is None else _object(row)

    def objects(self, deposit: bytes) -> list[tuple[bytes, int]]:
        """(name, size of a copy) of each object of a deposit, in order."""
        return [_object(row) for _, row in self.scan(b"e" + deposit)]

    def deposit(self, identity: bytes, key: VaultKey) -> Deposit | None:
        """A deposit by its local id. Raises DocumentError STORE_FAILED where its row is not of this vault."""
        row = self.get(b"d" + identity)
        if row is None:
            return None
        plain = key.open_sealed("deposit", identity, row)
        if plain is None:
            raise self._damaged()
        secret, kinds, objects, size, number, roots = decode(plain)
        known = None if roots is None else dict(roots)
        return Deposit(identity, DepositSecret(secret, tuple(kinds)), objects, size, number, known)

    def numbered(self, number: int) -> bytes | None:
        """Local id of the deposit with a number."""
        return self.get(b"n" + number.to_bytes(8, "big"))

    def numbers(self) -> Iterator[tuple[int, bytes]]:
        """(number, local id) of all that have a number, ascending."""
        for key, identity in self.scan(b"n"):
            yield int.from_bytes(key, "big"), identity

    def waiting(self) -> list[bytes]:
        """Local ids of deposits without a number."""
        return [identity for identity, _ in self.scan(b"w")]

    def copy_roots(self, deposit: bytes, custodian: str) -> list[bytes] | None:
        """Roots of a custodian's copies, in order."""
        row = self.get(b"c" + deposit + custodian.encode())
        return None if row is None else [row[at : at + HASH_SIZE] for at in range(0, len(row), HASH_SIZE)]

    def _damaged(self) -> DocumentError:
        said = (
            f"index of documents {self._folder} is damaged: stop the node, move it away and start: it is made again"
        )
        return DocumentError("STORE_FAILED", said)


def place_row(name: bytes, place: Place) -> tuple[bytes, bytes]:
    """The row of `Index.place`."""
    return b"o" + name, encode(list(place))


def object_row(deposit: bytes, place: int, name: bytes, size: int) -> tuple[bytes, bytes]:
    """The row of `Index.object`; size: of a copy."""
    return b"e" + deposit + place.to_bytes(4, "big"), name + size.to_bytes(8, "big")


def deposit_row(deposit: Deposit, key: VaultKey) -> tuple[bytes, bytes]:
    """The row of `Index.deposit`."""
    roots = None if deposit.roots is None else [list(row) for row in sorted(deposit.roots.items())]
    secret = deposit.secret
    plain = encode([secret.key, list(secret.kinds), deposit.objects, deposit.size, deposit.number, roots])
    return b"d" + deposit.id, key.seal("deposit", deposit.id, plain)


def segment_row(next_segment: int) -> tuple[bytes, bytes]:
    """The row of `Index.next_segment`."""
    return b"s", next_segment.to_bytes(8, "big")


def roots_rows(deposit: bytes, roots: Mapping[str, Iterable[bytes]]) -> list[tuple[bytes, bytes]]:
    """The rows of `Index.copy_roots`."""
    return [(b"c" + deposit + custodian.encode(), b"".join(found)) for custodian, found in roots.items()]


def _object(row: bytes) -> tuple[bytes, int]:
    return row[:HASH_SIZE], int.from_bytes(row[HASH_SIZE:], "big")
