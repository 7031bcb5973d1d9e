"""The vault of a member: its own documents at rest, deposits of them for custody, and copies held for others.

Nothing here is ever written unencrypted. All calls block (a node makes them from threads) and are safe from many
threads at once. What a call that writes has returned is durable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from chain.crypto import SigningKey
from node.envelope import DepositSecret, Manifest, Proof


class Item(NamedTuple):
    """A document to be kept. kinds: record kinds it belongs to, "*" where unknown; name: None for a raw document (its
    SHA-256), the sealed root for a sealed body (checked)."""

    data: bytes
    kinds: tuple[str, ...] = ("*",)
    name: bytes | None = None


@dataclass(frozen=True, slots=True)
class Deposit:
    """Objects gathered for custody. id: 16 bytes, local; number: on the chain, None until known; size: bytes of one holder's
    copies; roots: of each custodian, in the order they were made for, None until `Vault.roots`."""

    id: bytes
    secret: DepositSecret
    objects: int
    size: int
    number: int | None = None
    roots: Mapping[str, bytes] | None = field(default=None)


class Vault:
    """One member's documents under one fsspec URL, with an index and incoming copies in a local folder.

    copies: what this node holds for other members' chains (and, while restoring, for its own).
    """

    copies: Copies

    @classmethod
    def open(
        cls,
        url: str,
        local: Path,
        keys: Sequence[SigningKey],
        *,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> Vault:
        """``keys``: the member's encryption keys, newest first; without any, documents are refused (NO_ENCRYPTION_KEY)
        while copies for others are held all the same. options go to fsspec. An index that was lost is made again out of
        the store. Raises DocumentError (NO_KEY: none of the keys opens this vault)."""
        ...

    def close(self) -> None: ...

    def rewrap(self, publics: Iterable[bytes]) -> None:
        """Seal the vault key to these encryption keys (all that are valid, offline ones too) and to the configured ones,
        and to no other. Documents stay as they are."""

    def put_many(self, items: Sequence[Item]) -> list[bytes]:
        """Keep documents; their names in order. What is known already stays as it is, but damage is repaired.
        DocumentError: NO_ENCRYPTION_KEY, TOO_LARGE, WRONG_HASH, STORE_FULL, STORE_FAILED."""
        ...

    def has(self, name: bytes) -> bool: ...

    def get(self, name: bytes) -> bytes:
        """DocumentError: DOCUMENT_MISSING, DOCUMENT_DAMAGED, STORE_FAILED."""
        ...

    def ready(self) -> list[Deposit]:
        """Deposits that are closed and have no number yet; closes those that are due."""
        ...

    def roots(self, deposit: bytes, custodians: Sequence[str]) -> Deposit:
        """Make every custodian's copies once for their roots, which are kept: asked again for the same custodians, they
        are at hand. Submit custody.deposit after this; equal roots on the chain mean that it got there."""
        ...

    def numbered(self, deposit: bytes, number: int) -> None:
        """The deposit stands on the chain under this number."""

    def deposit(self, number: int) -> Deposit | None:
        """The deposit of a number of the own chain."""

    def deposits(self) -> Iterator[Deposit]:
        """All with a number, ascending."""
        ...

    def place(self, name: bytes) -> tuple[int, int] | None:
        """(deposit number, index) of a document, None while it has none."""

    def manifest(self, number: int, custodian: str) -> Manifest:
        """DocumentError UNKNOWN_DEPOSIT."""
        ...

    def copy(self, number: int, index: int, custodian: str) -> bytes:
        """A custodian's copy of an object, made now."""
        ...

    def recover(
        self, manifest: Manifest, secret: DepositSecret, roots: Mapping[str, bytes], copy: Callable[[int], bytes]
    ) -> None:
        """Take back a deposit of the own chain: ``manifest`` and ``copy(index)`` are a holder's, asked only for objects
        that are not here. DocumentError: WRONG_HASH (a copy that does not open), STORE_FULL."""


class Incoming:
    """Copies of a deposit on their way to this holder; goes on after any kill at the byte where it was."""

    manifest: Manifest

    @property
    def position(self) -> tuple[int, int]:
        """(object, offset) of the next byte wanted; (number of objects, 0) when all are here."""
        ...

    def write(self, index: int, offset: int, data: bytes) -> None:
        """Take bytes of one object at the position. A whole object is checked: DocumentError WRONG_HASH (it is wanted
        again from its first byte), WRONG_SIZE, WRONG_PLACE, STORE_FULL."""

    def finish(self) -> None:
        """All are here: keep them in the store, durable when this returns. DocumentError STORE_FULL: try again."""

    def abandon(self) -> None:
        """Forget what has come."""


class Copies:
    """Deposits held for others: (chain, number, holder), where holder says whose copy it is."""

    def incoming(self, manifest: Manifest) -> Incoming:
        """Begin to take, or go on taking, a deposit; the caller has checked manifest.root against the chain."""
        ...

    def list(self, chain: str | None = None) -> Iterator[tuple[str, int, str]]:
        """(chain, number, holder) of all that are held whole."""
        ...

    def manifest(self, chain: str, number: int, holder: str) -> Manifest | None: ...

    def read(self, chain: str, number: int, holder: str, index: int, offset: int, size: int) -> bytes:
        """Bytes of one copy. DocumentError: DOCUMENT_MISSING, STORE_FAILED."""
        ...

    def prove(self, chain: str, number: int, holder: str, index: int, chunk: int) -> Proof:
        """A challenge's sample. DocumentError: DOCUMENT_MISSING, DOCUMENT_DAMAGED (report it lost)."""
        ...

    def damaged(self, chain: str, number: int, holder: str) -> Iterator[tuple[int, bool]]:
        """Scrub: reads object after object, (index, whether it is damaged or missing)."""
        ...

    def delete(self, chain: str, number: int, holder: str) -> None: ...

    def put_keys(self, chain: str, number: int, version: int, key_list: bytes) -> bool:
        """Keep a checked key list unless a newer one is here; whether it was kept. The owner keeps its own here too."""
        ...

    def keys(self, chain: str, number: int) -> bytes | None:
        """The newest key list of a deposit."""
