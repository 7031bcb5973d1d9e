"""What nodes say to each other on the bulk channel: waiting transactions, and blocks for one that was away.

Hints and bytes only: a transaction is checked by who takes it in, a block by its certificate under the node's own
validators and by re-execution (R9).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from chain.block import MAX_BLOCK_SIZE
from chain.codec import CodecError, decode, encode, is_tagged

TAG_TRANSACTIONS: Final = "tally/transactions"
TAG_GET_BLOCKS: Final = "tally/get_blocks"
TAG_BLOCKS: Final = "tally/blocks"
VERSION: Final = 1
MAX_BLOCKS: Final = 64
MAX_REPLY_BYTES: Final = MAX_BLOCK_SIZE + 1024 * 1024


class ExchangeError(ValueError):
    """Bytes that are no message of this channel; one line."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """Wire bytes of waiting transactions."""

    wires: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class GetBlocks:
    """Please send blocks from this height on."""

    start: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """Contiguous blocks from ``start``: (block bytes, certificate bytes); ``head`` is the sender's, a hint."""

    start: int
    head: int
    blocks: tuple[tuple[bytes, bytes], ...]


Exchange: TypeAlias = Transactions | GetBlocks | Blocks


def pack(message: Exchange) -> bytes:
    """Canonical bytes."""
    match message:
        case Transactions(wires):
            return encode([TAG_TRANSACTIONS, VERSION, list(wires)])
        case GetBlocks(start):
            return encode([TAG_GET_BLOCKS, VERSION, start])
        case Blocks(start, head, blocks):
            return encode([TAG_BLOCKS, VERSION, start, head, [list(pair) for pair in blocks]])


def unpack(data: bytes) -> Exchange:
    """The message of canonical bytes: form only. Raises ExchangeError."""
    try:
        value = decode(data, max_size=MAX_REPLY_BYTES)
    except CodecError as error:
        raise ExchangeError(str(error)) from None
    if is_tagged(value, TAG_TRANSACTIONS, VERSION, 3):
        return Transactions(_byte_strings(value[2]))
    if is_tagged(value, TAG_GET_BLOCKS, VERSION, 3) and _height(value[2]):
        return GetBlocks(value[2])
    if is_tagged(value, TAG_BLOCKS, VERSION, 5) and _height(value[2]) and _height(value[3]):
        if type(value[4]) is not list or len(value[4]) > MAX_BLOCKS:
            raise ExchangeError(f"more than {MAX_BLOCKS} blocks in one reply")
        pairs = [_byte_strings(pair) for pair in value[4]]
        if any(len(pair) != 2 for pair in pairs):
            raise ExchangeError("a block comes with its certificate")
        return Blocks(value[2], value[3], tuple((pair[0], pair[1]) for pair in pairs))
    raise ExchangeError("not a message of the bulk channel")


def _height(value: Any) -> bool:
    return type(value) is int and value >= 0


def _byte_strings(value: Any) -> tuple[bytes, ...]:
    if type(value) is not list or not all(type(item) is bytes for item in value):
        raise ExchangeError("not a list of byte strings")
    return tuple(value)
