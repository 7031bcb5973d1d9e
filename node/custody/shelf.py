"""What this node can hand out: copies of its own documents, made now, and copies it holds for others.

Blocking; called from threads. Copies that are made lie in a small cache while their pieces are asked for, so that a
large document is not sealed once for every piece of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, TypeAlias

from chain.crypto import HASH_SIZE, sha256
from contracts.custody_proofs import chunk_count
from node.custody.errors import CustodyError
from node.custody.messages import MAX_PIECE, MAX_VERSIONS, Versions
from node.envelope import KeyList, Manifest
from node.vault import Vault

CACHE_BYTES: Final = 32 * 1024 * 1024
"""Of copies that were made; the newest ones stay whatever their size, or as many custodians that pull one large
document at once would have it sealed anew for every piece."""
KEPT_COPIES: Final = 3
KEPT_MANIFESTS: Final = 64
ROW_OVERHEAD: Final = 64

ProvedChunk: TypeAlias = tuple[bytes, tuple[bytes, ...]]


def chosen_chunk(seed: bytes, index: int, size: int) -> int:
    """The chunk of object ``index`` that its owner's check with this seed asks for; size: bytes of the copy."""
    return int.from_bytes(sha256(seed + index.to_bytes(4, "big"))) % chunk_count(size)


class Shelf:
    """The vault as other nodes see it. member: this node's."""

    def __init__(self, member: str, vault: Vault) -> None:
        self._member = member
        self._vault = vault
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[int, int, str], bytes] = OrderedDict()
        self._bytes = 0
        self._manifests: OrderedDict[tuple[str, int, str], Manifest] = OrderedDict()

    def manifest(self, chain: str, number: int, holder: str) -> Manifest:
        """A deposit's manifest. Raises CustodyError NOT_HELD, DocumentError."""
        key = (chain, number, holder)
        with self._lock:
            known = self._manifests.get(key)
            if known is not None:
                self._manifests.move_to_end(key)
                return known
        if self._owns(chain, number):
            found: Manifest | None = self._vault.manifest(number, holder)
        else:
            found = self._vault.copies.manifest(chain, number, holder)
        if found is None:
            raise CustodyError(
                "NOT_HELD", f"this node has no copies of {holder} of deposit {number} of {chain}: ask another"
            )
        with self._lock:
            self._manifests[key] = found
            if len(self._manifests) > KEPT_MANIFESTS:
                self._manifests.popitem(last=False)
        return found

    def forget(self, chain: str, number: int) -> None:
        """Copies of a deposit came or went: what is remembered of it may be wrong."""
        with self._lock:
            for key in [key for key in self._manifests if key[:2] == (chain, number)]:
                del self._manifests[key]

    def piece(self, chain: str, number: int, holder: str, index: int, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes of a holder's copies from a place on, over the ends of objects.

        Raises CustodyError NOT_HELD, WRONG_PLACE, DocumentError.
        """
        entries = self.manifest(chain, number, holder).entries
        if not (index < len(entries) and offset < entries[index].size):
            raise CustodyError("WRONG_PLACE", f"deposit {number} of {chain} has no byte {offset} in object {index}")
        owns = self._owns(chain, number)
        parts: list[bytes] = []
        while length > 0 and index < len(entries):
            size = min(length, entries[index].size - offset)
            if owns:
                parts.append(self._made_copy(number, index, holder)[offset : offset + size])
            else:
                parts.append(self._vault.copies.read(chain, number, holder, index, offset, size))
            length -= size
            index, offset = index + 1, 0
        return b"".join(parts)

    def locate(self, chain: str, name: bytes) -> Iterator[tuple[int, int, str]]:
        """(deposit, index, holder) of every copy of an object that can be served from here."""
        if chain == self._member:
            place = self._vault.place(name)
            deposit = None if place is None else self._vault.deposit(place[0])
            if place is not None and deposit is not None:
                yield (*place, min(deposit.roots or {""}))
            return
        for _, number, holder in sorted(self._vault.copies.list(chain), reverse=True):
            for index, entry in enumerate(self.manifest(chain, number, holder).entries):
                if entry.name == name:
                    yield number, index, holder

    def key_list(self, chain: str, number: int) -> KeyList | None:
        """The newest key list of a deposit; it was checked when it came in."""
        data = self._vault.copies.keys(chain, number)
        return None if data is None else KeyList.decode(data)

    def prove(self, chain: str, number: int, holder: str, start: int, seed: bytes) -> tuple[ProvedChunk, ...]:
        """A chunk of each object from ``start`` on, chosen by ``seed``, as many as one reply takes.

        Raises CustodyError NOT_HELD, WRONG_PLACE, DocumentError DOCUMENT_MISSING, DOCUMENT_DAMAGED.
        """
        entries = self.manifest(chain, number, holder).entries
        if start >= len(entries):
            raise CustodyError("WRONG_PLACE", f"deposit {number} of {chain} has no object {start}")
        rows: list[ProvedChunk] = []
        size = 0
        for index in range(start, len(entries)):
            chunk = chosen_chunk(seed, index, entries[index].size)
            proof = self._vault.copies.prove(chain, number, holder, index, chunk)
            size += len(proof.chunk) + HASH_SIZE * len(proof.chunk_path) + ROW_OVERHEAD
            if rows and size > MAX_PIECE:
                break
            rows.append((proof.chunk, tuple(proof.chunk_path)))
        return tuple(rows)

    def versions(self, chain: str, start: int) -> Versions:
        """Which key lists of a chain are held, and of which version."""
        numbers = sorted({number for _, number, _ in self._vault.copies.list(chain) if number >= start})
        rows: list[tuple[int, int]] = []
        for number in numbers[:MAX_VERSIONS]:
            keys = self.key_list(chain, number)
            rows.append((number, 0 if keys is None else keys.version))
        more = len(numbers) > MAX_VERSIONS
        return Versions(tuple(rows), numbers[MAX_VERSIONS] if more else -1)

    def _owns(self, chain: str, number: int) -> bool:
        return chain == self._member and self._vault.deposit(number) is not None

    def _made_copy(self, number: int, index: int, holder: str) -> bytes:
        key = (number, index, holder)
        with self._lock:
            known = self._made.get(key)
            if known is not None:
                self._made.move_to_end(key)
                return known
        made = self._vault.copy(number, index, holder)
        with self._lock:
            if key not in self._made:
                self._made[key] = made
                self._bytes += len(made)
            while self._bytes > CACHE_BYTES and len(self._made) > KEPT_COPIES:
                self._bytes -= len(self._made.popitem(last=False)[1])
        return made
