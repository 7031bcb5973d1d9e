"""What a node hands to one that keeps only a part: made from the full ledger's rows, and read back.

A *part* is all that every partial observer gets of one consortium block: header, certificate, the chain heads that
changed, the consortium's own transactions and receipts, and the next validator set where the block hands over. A
*chain block* is one block of one business chain with its transactions. Nothing in them is believed: the reader
checks each against what the certificate commits to (``chain/partial.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chain import store as rows
from chain.block import CONSORTIUM, MAX_BLOCK_SIZE
from chain.codec import CodecError, decode, encode, is_tagged, load
from chain.view import PrunedError, Reads

TAG_PART: Final = "tally/part"
TAG_CHAIN_BLOCK: Final = "tally/chain_block"
VERSION: Final = 1
MAX_PART_SIZE: Final = 2 * MAX_BLOCK_SIZE + 1024 * 1024
"""A block's own transactions, and their receipts, which may be about as large."""


class PartError(ValueError):
    """What another node sent does not stand; ``code`` names the check that failed, the text is one line."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Part:
    """One consortium block without the business chains' transactions; all fields as bytes, unchecked.

    ``validators``: the canonical array of the set of height + 1 where it differs from this height's, else None.
    ``heads``: the leaves that differ from the block before, in chain order; ``receipts``: the hooks' first.
    """

    header: bytes
    certificate: bytes
    validators: Any
    heads: tuple[bytes, ...]
    transactions: tuple[bytes, ...]
    receipts: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode(
            [TAG_PART, VERSION, self.header, self.certificate, self.validators, list(self.heads),
             list(self.transactions), list(self.receipts)]
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Part:
        """The part of canonical bytes: form only. Raises PartError MALFORMED."""
        match _tagged(data, TAG_PART, 8):
            case [bytes(header), bytes(certificate), validators, heads, transactions, receipts]:
                return cls(header, certificate, validators, _all(heads), _all(transactions), _all(receipts))
        raise PartError("MALFORMED", "a field of the part is not of its kind")


@dataclass(frozen=True, slots=True)
class ChainBlock:
    """One block of one business chain: its header bytes and its transactions' wire bytes, unchecked."""

    header: bytes
    transactions: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode([TAG_CHAIN_BLOCK, VERSION, self.header, list(self.transactions)])

    @classmethod
    def decode(cls, data: bytes) -> ChainBlock:
        """The chain block of canonical bytes: form only. Raises PartError MALFORMED."""
        match _tagged(data, TAG_CHAIN_BLOCK, 4):
            case [bytes(header), transactions]:
                return cls(header, _all(transactions))
        raise PartError("MALFORMED", "a field of the chain block is not of its kind")


def part_of(ledger: Reads, height: int) -> Part:
    """The part of a committed block, from height 1. Raises PrunedError where the ledger has not all of it."""
    store = ledger.store
    header = ledger.header(height)
    coming = None
    if header.next_validators_hash != header.validators_hash:
        coming = ledger.validators_after(height).to_value()
    before = set(load(_row(store, b"k", height - 1)))
    heads = [leaf for leaf in load(_row(store, b"k", height)) if leaf not in before]
    receipts = dict(load(_row(store, b"r", height)))[CONSORTIUM]
    wires = load(_row(store, b"b", height))[5]
    certificate = _row(store, b"c", height)
    return Part(header.encoded, certificate, coming, tuple(heads), tuple(wires), tuple(receipts))


def chain_block_of(ledger: Reads, chain: str, height: int) -> ChainBlock:
    """A business chain's own block of a height, from 1. Raises PrunedError."""
    block = ledger.member_block(chain, height)
    groups = dict(load(_row(ledger.store, b"b", block.consortium_height))[4])
    return ChainBlock(block.encoded, tuple(groups[chain]))


def _row(store: rows.Reading, prefix: bytes, height: int) -> bytes:
    raw = store.get(rows.by_height(prefix, height))
    if raw is None:
        raise PrunedError(f"block {height} is not kept here in full")
    return raw


def _tagged(data: bytes, tag: str, length: int) -> list[Any]:
    try:
        value = decode(data, max_size=MAX_PART_SIZE)
    except CodecError as error:
        raise PartError("MALFORMED", f"not canonical: {error}") from None
    if not is_tagged(value, tag, VERSION, length):
        raise PartError("MALFORMED", f"not a {tag} version {VERSION}")
    fields: list[Any] = value[2:]
    return fields


def _all(value: Any) -> tuple[bytes, ...]:
    if type(value) is not list or not all(type(item) is bytes for item in value):
        raise PartError("MALFORMED", "a list of the part holds something other than byte strings")
    return tuple(value)
