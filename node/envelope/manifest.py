"""What a deposit says about its copies at one holder: the leaves under the deposit root on the chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from chain import merkle
from chain.codec import CodecError, encode
from node.envelope.copies import OVERHEAD, chunks
from node.envelope.errors import EnvelopeError
from node.envelope.forms import decoded, is_hash, is_member, is_number

MAX_OBJECTS: Final = 512
"""Objects of one deposit."""


class Entry(NamedTuple):
    """One object of a deposit at one holder. size: bytes of the copy."""

    name: bytes
    size: int
    root: bytes

    @property
    def leaf(self) -> bytes:
        """The canonical bytes under the deposit root."""
        return encode(["tally/custody_object", 1, self.name, self.size, self.root])


class Proof(NamedTuple):
    """That a holder has one chunk: what `contracts.custody` checks against the deposit root on the chain."""

    leaf: bytes
    path: list[bytes]
    chunk: bytes
    chunk_path: list[bytes]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All entries of one deposit at one holder, in the deposit's order."""

    chain: str
    number: int
    holder: str
    entries: tuple[Entry, ...]

    @property
    def root(self) -> bytes:
        """What must stand on the chain for this holder. 32 bytes."""
        return merkle.root([entry.leaf for entry in self.entries])

    @property
    def size(self) -> int:
        """Bytes of all copies."""
        return sum(entry.size for entry in self.entries)

    def encode(self) -> bytes:
        """Canonical bytes."""
        rows = [list(entry) for entry in self.entries]
        return encode(["tally/custody_manifest", 1, self.chain, self.number, self.holder, rows])

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """The manifest in canonical bytes; its root is not checked. Raises EnvelopeError MALFORMED_MANIFEST."""
        try:
            _, _, chain, number, holder, rows = decoded(data, "tally/custody_manifest")
            entries = tuple(Entry(*row) for row in rows)
            well_formed = 1 <= len(entries) <= MAX_OBJECTS and all(
                is_hash(entry.name) and is_hash(entry.root) and type(entry.size) is int and entry.size >= OVERHEAD
                for entry in entries
            )
            well_formed &= is_member(chain) and is_member(holder) and is_number(number)
        except (CodecError, TypeError, ValueError):
            well_formed = False
        if not well_formed:
            raise EnvelopeError("MALFORMED_MANIFEST", "this is no manifest of a deposit: ask another holder")
        return cls(chain, number, holder, entries)

    def prove(self, index: int, copy: bytes, chunk: int) -> Proof:
        """That the holder of ``copy``, the object ``index``, has its chunk. Raises IndexError."""
        pieces = chunks(copy)
        return Proof(
            self.entries[index].leaf,
            merkle.prove([entry.leaf for entry in self.entries], index),
            pieces[chunk],
            merkle.prove(pieces, chunk),
        )
