"""What a partial observer and a node that serves it say to each other, on the bulk channel.

Every request has a number, and its answer carries it: several may be under way. Bytes only: what an answer holds is
checked by ``chain.partial`` against what the validators certified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from chain.codec import encode, is_tagged
from node.exchange import MAX_TEXT, ExchangeError, byte_strings, is_height, register

TAG_GET_PARTS: Final = "tally/get_parts"
TAG_GET_CHAIN: Final = "tally/get_chain"
TAG_GET_WITNESS: Final = "tally/get_witness"
TAG_PARTS: Final = "tally/parts"
TAG_CHAIN: Final = "tally/chain"
TAG_WITNESS: Final = "tally/witness"
TAG_PART_REFUSED: Final = "tally/part_refused"
VERSION: Final = 1
MAX_PARTS: Final = 64
"""Parts, or blocks of a chain, in one answer."""
MAX_KEYS: Final = 256
"""State keys of one question about witnesses."""
MAX_HINTS: Final = 64
"""Likewise where they are asked for along with the blocks of a chain, for each of these."""
MAX_KEY_BYTES: Final = 4096
"""A key with an identifier of 256 characters, four bytes each, has little more than a quarter."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A consortium value that is asked for; ``known``: SHA-256 of the value the asker has, or nothing."""

    key: bytes
    known: bytes


@dataclass(frozen=True, slots=True)
class GetParts:
    """The parts from this height on, please; the answer waits a while for one where there is none yet."""

    number: int
    start: int


@dataclass(frozen=True, slots=True)
class GetChain:
    """The blocks of a chain from its own height ``start`` on, each with these consortium values as of before it."""

    number: int
    chain: str
    start: int
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class GetWitness:
    """These consortium values after a height."""

    number: int
    height: int
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """Contiguous parts (``chain.parts.Part``), none where the head is not past what was asked for.

    ``head``: the sender's, a hint. ``certificate``: the canonical one of the block before, or nothing.
    """

    number: int
    head: int
    certificate: bytes
    parts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """Consortium values with the opened state tree (``chain.witness``), for the first ``len(values)`` keys asked for.

    A value is nil where it is absent, or where the asker knows it.
    """

    opening: list[Any]
    values: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Blocks of a chain (``chain.parts.ChainBlock``), each with the values that were wanted."""

    number: int
    blocks: tuple[tuple[bytes, Values], ...]


@dataclass(frozen=True, slots=True)
class Witness:
    """The answer to ``GetWitness``."""

    number: int
    values: Values


@dataclass(frozen=True, slots=True)
class PartRefused:
    """What was asked for is not given: an UPPER_SNAKE code, and one line that says why."""

    number: int
    code: str
    message: str


Request: TypeAlias = GetParts | GetChain | GetWitness
Answer: TypeAlias = Parts | Chain | Witness | PartRefused


def pack(message: Request | Answer) -> bytes:
    """Canonical bytes."""
    match message:
        case GetParts(number, start):
            value: list[Any] = [TAG_GET_PARTS, VERSION, number, start]
        case GetChain(number, chain, start, wanted):
            value = [TAG_GET_CHAIN, VERSION, number, chain, start, _wanted_value(wanted)]
        case GetWitness(number, height, wanted):
            value = [TAG_GET_WITNESS, VERSION, number, height, _wanted_value(wanted)]
        case Parts(number, head, certificate, parts):
            value = [TAG_PARTS, VERSION, number, head, certificate, list(parts)]
        case Chain(number, blocks):
            value = [TAG_CHAIN, VERSION, number, [[block, *_values_value(values)] for block, values in blocks]]
        case Witness(number, values):
            value = [TAG_WITNESS, VERSION, number, *_values_value(values)]
        case PartRefused(number, code, text):
            value = [TAG_PART_REFUSED, VERSION, number, code[:MAX_TEXT], text[:MAX_TEXT]]
    return encode(value)


def _wanted_value(wanted: tuple[Wanted, ...]) -> list[Any]:
    return [[each.key, each.known] for each in wanted]


def _values_value(values: Values) -> list[Any]:
    return [values.opening, list(values.values)]


def _get_parts(value: list[Any]) -> GetParts:
    if is_tagged(value, TAG_GET_PARTS, VERSION, 4) and all(map(is_height, value[2:])):
        return GetParts(*value[2:])
    raise ExchangeError(f"not a {TAG_GET_PARTS}")


def _get_chain(value: list[Any]) -> GetChain:
    if is_tagged(value, TAG_GET_CHAIN, VERSION, 6):
        number, chain, start, wanted = value[2:]
        if is_height(number) and type(chain) is str and is_height(start):
            return GetChain(number, chain, start, _wanted(wanted, MAX_HINTS))
    raise ExchangeError(f"not a {TAG_GET_CHAIN}")


def _get_witness(value: list[Any]) -> GetWitness:
    if is_tagged(value, TAG_GET_WITNESS, VERSION, 5) and all(map(is_height, value[2:4])):
        return GetWitness(value[2], value[3], _wanted(value[4], MAX_KEYS))
    raise ExchangeError(f"not a {TAG_GET_WITNESS}")


def _parts(value: list[Any]) -> Parts:
    if is_tagged(value, TAG_PARTS, VERSION, 6) and all(map(is_height, value[2:4])) and type(value[4]) is bytes:
        parts = byte_strings(value[5])
        if len(parts) <= MAX_PARTS:
            return Parts(value[2], value[3], value[4], parts)
    raise ExchangeError(f"not a {TAG_PARTS}")


def _chain(value: list[Any]) -> Chain:
    if is_tagged(value, TAG_CHAIN, VERSION, 4) and is_height(value[2]) and type(value[3]) is list:
        if len(value[3]) > MAX_PARTS:
            raise ExchangeError(f"more than {MAX_PARTS} blocks in one answer")
        return Chain(value[2], tuple(_chain_row(row) for row in value[3]))
    raise ExchangeError(f"not a {TAG_CHAIN}")


def _chain_row(row: Any) -> tuple[bytes, Values]:
    match row:
        case [bytes(block), opening, values]:
            return block, _values(opening, values)
    raise ExchangeError("a block of a chain is not [block, opening, values]")


def _witness(value: list[Any]) -> Witness:
    if is_tagged(value, TAG_WITNESS, VERSION, 5) and is_height(value[2]):
        return Witness(value[2], _values(value[3], value[4]))
    raise ExchangeError(f"not a {TAG_WITNESS}")


def _refused(value: list[Any]) -> PartRefused:
    well_formed = is_tagged(value, TAG_PART_REFUSED, VERSION, 5) and is_height(value[2])
    if well_formed and all(type(text) is str and len(text) <= MAX_TEXT for text in value[3:]):
        return PartRefused(*value[2:])
    raise ExchangeError(f"not a {TAG_PART_REFUSED}")


def _values(opening: Any, values: Any) -> Values:
    if type(opening) is not list or type(values) is not list or len(values) > MAX_KEYS:
        raise ExchangeError("values are an opening and a list")
    if not all(value is None or type(value) is bytes for value in values):
        raise ExchangeError("a value is neither bytes nor nil")
    return Values(opening, tuple(values))


def _wanted(value: Any, most: int) -> tuple[Wanted, ...]:
    if type(value) is not list or len(value) > most:
        raise ExchangeError(f"more than {most} state keys in one question")
    found = []
    for row in value:
        match row:
            case [bytes(key), bytes(known)] if len(key) <= MAX_KEY_BYTES and len(known) in (0, 32):
                found.append(Wanted(key, known))
            case _:
                raise ExchangeError("a state key is not [key, hash of the value known]")
    return tuple(found)


for _tag, _parser in (
    (TAG_GET_PARTS, _get_parts),
    (TAG_GET_CHAIN, _get_chain),
    (TAG_GET_WITNESS, _get_witness),
    (TAG_PARTS, _parts),
    (TAG_CHAIN, _chain),
    (TAG_WITNESS, _witness),
    (TAG_PART_REFUSED, _refused),
):
    register(_tag, _parser)
