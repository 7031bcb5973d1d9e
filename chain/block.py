"""Headers, member blocks, heads, receipts and the block that consensus agrees on.

The consortium header commits to the roots of the very block it belongs to: a replica re-executes before it
votes, and a header with its certificate proves a transaction, its outcome and a state value offline. It
excludes round and seals, so a re-proposed block keeps its digest (besu#2134).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from chain.certificate import Certificate, CertificateError
from chain.codec import CodecError, decode, encode, is_tagged
from chain.crypto import HASH_SIZE, hash_value, sha256

TAG_HEADER: Final = "tally/header"
TAG_MEMBER_BLOCK: Final = "tally/member_block"
TAG_HEAD: Final = "tally/head"
TAG_BLOCK: Final = "tally/block"
TAG_RECEIPT: Final = "tally/receipt"
VERSION: Final = 1
CONSORTIUM: Final = "consortium"
MAX_BLOCK_SIZE: Final = 8 * 1024 * 1024
"""Bytes of an encoded block; genesis may set less (``max_block_bytes``)."""
MAX_BLOCK_ITEMS: Final = 2**17
"""Values in a block, each transaction being one: of the smallest that can be signed fewer fit."""
MAX_HEADER_SIZE: Final = 4096


class BlockError(ValueError):
    """Bytes that are no block, header or receipt, or a block no honest leader makes; one line."""


def _fields(value: Any, tag: str, kinds: tuple[type, ...]) -> list[Any]:
    """The fields of a tagged array after its version, each of its kind; 32-byte strings are checked apart."""
    if not is_tagged(value, tag, VERSION, len(kinds) + 2):
        raise BlockError(f"not a {tag} version {VERSION}")
    fields: list[Any] = value[2:]
    for position, (field, kind) in enumerate(zip(fields, kinds, strict=True)):
        if type(field) is not kind:
            raise BlockError(f"field {position} of {tag} is not {kind.__name__}")
        if type(field) is bytes and len(field) != HASH_SIZE:
            raise BlockError(f"field {position} of {tag} is not 32 bytes")
        if type(field) is int and field < 0:
            raise BlockError(f"field {position} of {tag} is negative")
    return fields


def _decoded(data: bytes, max_size: int, max_items: int | None = None) -> Any:
    try:
        return decode(data, max_size=max_size, max_items=max_items)
    except CodecError as error:
        raise BlockError(f"not canonical: {error}") from None


@dataclass(frozen=True)
class Header:
    """A consortium header. Hashes 32 bytes, time in ms, counts ≥ 0; heights from 0 (genesis).

    ``validators_hash`` is the set that certifies this block, ``next_validators_hash`` that of height + 1 (R11).
    ``parent_certificate_hash`` makes one certificate of the parent the canonical one (zero at height 1).
    """

    network_id: bytes
    height: int
    parent_hash: bytes
    parent_certificate_hash: bytes
    time: int
    proposer: str
    epoch: int
    validators_hash: bytes
    next_validators_hash: bytes
    chain_count: int
    heads_root: bytes
    tx_count: int
    tx_root: bytes
    receipt_root: bytes
    state_root: bytes

    _KINDS = (bytes, int, bytes, bytes, int, str, int, bytes, bytes, int, bytes, int, bytes, bytes, bytes)

    def to_value(self) -> list[Any]:
        """The canonical array, fields in the order of this class."""
        return [
            TAG_HEADER, VERSION, self.network_id, self.height, self.parent_hash, self.parent_certificate_hash,
            self.time, self.proposer, self.epoch, self.validators_hash, self.next_validators_hash,
            self.chain_count, self.heads_root, self.tx_count, self.tx_root, self.receipt_root, self.state_root,
        ]  # fmt: skip

    @classmethod
    def from_value(cls, value: Any) -> Header:
        """The header of a canonical array. Raises BlockError."""
        return cls(*_fields(value, TAG_HEADER, cls._KINDS))

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """The header of canonical bytes. Raises BlockError."""
        return cls.from_value(_decoded(data, MAX_HEADER_SIZE))

    @cached_property
    def encoded(self) -> bytes:
        """Canonical bytes."""
        return encode(self.to_value())

    @cached_property
    def digest(self) -> bytes:
        """The block hash: SHA-256 of the canonical bytes; what votes are about."""
        return sha256(self.encoded)


@dataclass(frozen=True)
class MemberBlock:
    """The header of one block of a business chain; ``consortium_height`` says which block sealed it."""

    network_id: bytes
    chain: str
    height: int
    parent_hash: bytes
    consortium_height: int
    time: int
    tx_count: int
    tx_root: bytes
    receipt_root: bytes
    state_root: bytes

    _KINDS = (bytes, str, int, bytes, int, int, int, bytes, bytes, bytes)

    def to_value(self) -> list[Any]:
        """The canonical array, fields in the order of this class."""
        return [
            TAG_MEMBER_BLOCK, VERSION, self.network_id, self.chain, self.height, self.parent_hash,
            self.consortium_height, self.time, self.tx_count, self.tx_root, self.receipt_root, self.state_root,
        ]  # fmt: skip

    @classmethod
    def from_value(cls, value: Any) -> MemberBlock:
        """The member header of a canonical array. Raises BlockError."""
        return cls(*_fields(value, TAG_MEMBER_BLOCK, cls._KINDS))

    @classmethod
    def decode(cls, data: bytes) -> MemberBlock:
        """The member header of canonical bytes. Raises BlockError."""
        return cls.from_value(_decoded(data, MAX_HEADER_SIZE))

    @cached_property
    def encoded(self) -> bytes:
        """Canonical bytes."""
        return encode(self.to_value())

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return sha256(self.encoded)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block of a business chain: a leaf of the header's heads_root. Height 0 before its first block."""

    chain: str
    height: int
    hash: bytes
    state_root: bytes

    def leaf(self) -> bytes:
        """The canonical leaf bytes."""
        return encode([TAG_HEAD, VERSION, self.chain, self.height, self.hash, self.state_root])

    @classmethod
    def decode(cls, data: bytes) -> Head:
        """The head of leaf bytes. Raises BlockError."""
        return cls(*_fields(_decoded(data, MAX_HEADER_SIZE), TAG_HEAD, (str, int, bytes, bytes)))


@dataclass(frozen=True)
class Receipt:
    """The outcome of one transaction: status 0 done, 1 failed (all its writes undone). Charged: metering units."""

    tx_id: bytes
    status: int
    code: str
    message: str
    result: Any
    events: list[Any]
    charged: int

    @cached_property
    def encoded(self) -> bytes:
        """Canonical bytes: the leaf of the receipt tree."""
        return encode(
            [TAG_RECEIPT, VERSION, self.tx_id, self.status, self.code, self.message, self.result, self.events,
             self.charged]
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Receipt:
        """The receipt of canonical bytes. Raises BlockError."""
        value = _decoded(data, MAX_BLOCK_SIZE)
        if not is_tagged(value, TAG_RECEIPT, VERSION, 9):
            raise BlockError(f"not a {TAG_RECEIPT} version {VERSION}")
        tx_id, status, code, message, _result, events, charged = value[2:]
        kinds = [type(field) for field in (tx_id, status, code, message, events, charged)]
        if kinds != [bytes, int, str, str, list, int] or len(tx_id) != HASH_SIZE:
            raise BlockError("a field of the receipt is not of its kind")
        if status not in (0, 1) or charged < 0:
            raise BlockError("a receipt has status 0 or 1 and was charged 0 or more")
        for event in events:
            if type(event) is not list or [type(part) for part in event] != [str, dict]:
                raise BlockError("an event of the receipt is not [name, data]")
        return cls(*value[2:])


@dataclass(frozen=True)
class Block:
    """What consensus agrees on: a header, the parent's canonical certificate, and wire transactions.

    ``member_txs[i] = (chain id, wire bytes…)`` sorted by chain id, none empty; then the consortium's own.
    """

    header: Header
    parent_certificate: Certificate | None
    member_txs: tuple[tuple[str, tuple[bytes, ...]], ...]
    consortium_txs: tuple[bytes, ...]

    @property
    def digest(self) -> bytes:
        """The header's digest."""
        return self.header.digest

    @property
    def height(self) -> int:
        """The header's height."""
        return self.header.height

    @property
    def tx_count(self) -> int:
        """Transactions on all chains."""
        return len(self.consortium_txs) + sum(len(wires) for _, wires in self.member_txs)

    @property
    def wires(self) -> list[bytes]:
        """Wire bytes of all transactions in block order: business chains by id, then the consortium's."""
        return [wire for _, wires in self.member_txs for wire in wires] + list(self.consortium_txs)

    @cached_property
    def encoded(self) -> bytes:
        """Canonical bytes; what peers exchange and the store keeps."""
        certificate = None if self.parent_certificate is None else self.parent_certificate.to_value()
        members = [[chain, list(wires)] for chain, wires in self.member_txs]
        return encode([TAG_BLOCK, VERSION, self.header.to_value(), certificate, members, list(self.consortium_txs)])

    @classmethod
    def decode(cls, data: bytes) -> Block:
        """The block of canonical bytes: form only; validity is ``chain.validity``'s. Raises BlockError."""
        value = _decoded(data, MAX_BLOCK_SIZE, MAX_BLOCK_ITEMS)
        if not is_tagged(value, TAG_BLOCK, VERSION, 6):
            raise BlockError(f"not a {TAG_BLOCK} version {VERSION}")
        _, _, header, certificate, members, consortium = value
        try:
            parsed = None if certificate is None else Certificate.from_value(certificate)
        except CertificateError as error:
            raise BlockError(f"the parent certificate: {error}") from None
        if type(members) is not list:
            raise BlockError("the member transactions are not a list")
        groups = []
        for group in members:
            match group:
                case [str(chain), list(wires)] if wires:
                    groups.append((chain, _wires(wires)))
                case _:
                    raise BlockError("a member group is not [chain, transactions]")
        chains = [chain for chain, _ in groups]
        if any(a >= b for a, b in pairwise(chains)):
            raise BlockError("the member chains are not sorted, each once")
        block = cls(Header.from_value(header), parsed, tuple(groups), _wires(consortium))
        block.__dict__["encoded"] = data  # decode accepted exactly the canonical form: no need to encode again
        return block


def _wires(value: Any) -> tuple[bytes, ...]:
    if type(value) is not list or not all(type(wire) is bytes for wire in value):
        raise BlockError("a transaction is not a byte string")
    return tuple(value)


def genesis_member_hash(network_id: bytes, chain: str) -> bytes:
    """The parent hash of a business chain's first block: bound to network and chain."""
    return hash_value(["tally/member_genesis", VERSION, network_id, chain])
