"""What nodes say to each other on the bulk channel: waiting transactions, blocks for one that was away, and blocks as
they are committed for one without a vote.

Hints and bytes only: a transaction is checked by who takes it in, a block by its certificate under the node's own
validators and by re-execution (R9). Other modules add messages of their own with `register`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from chain.block import MAX_BLOCK_SIZE
from chain.codec import CodecError, decode, encode, is_tagged

TAG_TRANSACTIONS: Final = "tally/transactions"
TAG_GET_BLOCKS: Final = "tally/get_blocks"
TAG_BLOCKS: Final = "tally/blocks"
TAG_FOLLOW: Final = "tally/follow"
TAG_REFUSED: Final = "tally/refused"
VERSION: Final = 1
MAX_BLOCKS: Final = 64
MAX_REPLY_BYTES: Final = MAX_BLOCK_SIZE + 1024 * 1024
MAX_ITEMS: Final = 2**17
"""Values in one message; the openings of a partial observer's blocks are the most that honest nodes send."""
MAX_TEXT: Final = 400
"""Characters of a refusal's code or message."""


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
class Follow:
    """Please send the blocks from ``start`` on as you commit them, at most ``room`` bytes before the next Follow.

    Said again and again: it keeps the sender followed, and tells that all below ``start`` have arrived. ``anew``:
    what is under way counts as lost.
    """

    start: int
    room: int
    anew: bool


@dataclass(frozen=True, slots=True)
class Blocks:
    """Contiguous blocks from ``start``: (block bytes, certificate bytes); ``head`` is the sender's, a hint."""

    start: int
    head: int
    blocks: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for is not given: an UPPER_SNAKE code, and one line that says why."""

    code: str
    message: str


Exchange: TypeAlias = Transactions | GetBlocks | Follow | Blocks | Refused

Parser: TypeAlias = Callable[[list[Any]], object]
"""Makes a message of a decoded array ``[tag, …]``. Raises ExchangeError."""
_registered: dict[str, Parser] = {}


def register(tag: str, parse: Parser) -> None:
    """Let `unpack` know another message of the bulk channel, by its tag."""
    if tag in _registered:
        raise ValueError(f"{tag} is registered already")
    _registered[tag] = parse


def pack(message: Exchange) -> bytes:
    """Canonical bytes."""
    match message:
        case Transactions(wires):
            return encode([TAG_TRANSACTIONS, VERSION, list(wires)])
        case GetBlocks(start):
            return encode([TAG_GET_BLOCKS, VERSION, start])
        case Follow(start, room, anew):
            return encode([TAG_FOLLOW, VERSION, start, room, anew])
        case Blocks(start, head, blocks):
            return encode([TAG_BLOCKS, VERSION, start, head, [list(pair) for pair in blocks]])
        case Refused(code, text):
            return encode([TAG_REFUSED, VERSION, code[:MAX_TEXT], text[:MAX_TEXT]])


def unpack(data: bytes) -> Exchange | object:
    """The message of canonical bytes: form only; one that `register` was given is whatever its parser makes.

    Raises ExchangeError.
    """
    try:
        value = decode(data, max_size=MAX_REPLY_BYTES, max_items=MAX_ITEMS)
    except CodecError as error:
        raise ExchangeError(str(error)) from None
    if is_tagged(value, TAG_TRANSACTIONS, VERSION, 3):
        return Transactions(byte_strings(value[2]))
    if is_tagged(value, TAG_GET_BLOCKS, VERSION, 3) and is_height(value[2]):
        return GetBlocks(value[2])
    if is_tagged(value, TAG_FOLLOW, VERSION, 5) and all(map(is_height, value[2:4])) and type(value[4]) is bool:
        return Follow(*value[2:])
    if is_tagged(value, TAG_BLOCKS, VERSION, 5) and all(map(is_height, value[2:4])):
        return _blocks(*value[2:])
    if is_tagged(value, TAG_REFUSED, VERSION, 4) and all(_is_text(item) for item in value[2:]):
        return Refused(*value[2:])
    parse = _registered.get(value[0]) if type(value) is list and value and type(value[0]) is str else None
    if parse is None:
        raise ExchangeError("not a message of the bulk channel")
    return parse(value)


def is_height(value: Any) -> bool:
    """Whether a decoded value can be a height, or a number of bytes."""
    return type(value) is int and value >= 0


def byte_strings(value: Any) -> tuple[bytes, ...]:
    """A decoded list of byte strings. Raises ExchangeError."""
    if type(value) is not list or not all(type(item) is bytes for item in value):
        raise ExchangeError("not a list of byte strings")
    return tuple(value)


def _blocks(start: int, head: int, listed: Any) -> Blocks:
    if type(listed) is not list or len(listed) > MAX_BLOCKS:
        raise ExchangeError(f"more than {MAX_BLOCKS} blocks in one reply")
    pairs = [byte_strings(pair) for pair in listed]
    if any(len(pair) != 2 for pair in pairs):
        raise ExchangeError("a block comes with its certificate")
    return Blocks(start, head, tuple((pair[0], pair[1]) for pair in pairs))


def _is_text(value: Any) -> bool:
    return type(value) is str and len(value) <= MAX_TEXT
