"""Recursive Length Prefix, the encoding of Ethereum headers, transactions and trie nodes, strict.

Small on purpose: an offline verifier reads public-chain bytes with it and needs nothing from the
Ethereum world. ``decode`` accepts only the one canonical form (Yellow Paper, appendix B): shortest
lengths, a byte below 0x80 as itself, no trailing bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Item: TypeAlias = "bytes | list[Item]"
"""What RLP carries: a byte string, or a list of items."""

MAX_DEPTH: Final = 16
"""Nesting of lists; a transaction with an access list needs 4."""

_SHORT: Final = 55
"""Longest payload whose length fits the first byte."""


class RlpError(ValueError):
    """Bytes that are not canonical RLP, or an item of another shape; one line."""


def encode(item: bytes | Sequence[object]) -> bytes:
    """The RLP bytes of a byte string or a (nested) sequence of them. Raises TypeError for anything else."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(0x80, len(item)) + item
    if not isinstance(item, list | tuple):
        raise TypeError(f"RLP carries bytes and lists, not {type(item).__name__}")
    payload = b"".join(map(encode, item))
    return _prefix(0xC0, len(payload)) + payload


def decode(data: bytes) -> Item:
    """The item of canonical RLP bytes. Raises RlpError for any other bytes."""
    item, end = _item(data, 0, len(data), MAX_DEPTH)
    if end != len(data):
        raise RlpError(f"{len(data) - end} bytes after the end of the RLP item")
    return item


def from_int(number: int) -> bytes:
    """A non-negative integer as RLP scalars are written: big-endian, no leading zero, zero is empty."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def to_int(item: Item) -> int:
    """The integer of an RLP scalar. Raises RlpError for a list or a leading zero."""
    raw = to_bytes(item)
    if raw[:1] == b"\x00":
        raise RlpError("an integer has a leading zero byte")
    return int.from_bytes(raw, "big")


def to_bytes(item: Item) -> bytes:
    """The item as a byte string. Raises RlpError for a list."""
    if not isinstance(item, bytes):
        raise RlpError("a list stands where bytes belong")
    return item


def to_list(item: Item) -> list[Item]:
    """The item as a list. Raises RlpError for a byte string."""
    if isinstance(item, bytes):
        raise RlpError("bytes stand where a list belongs")
    return item


def _prefix(offset: int, length: int) -> bytes:
    if length <= _SHORT:
        return bytes([offset + length])
    size = from_int(length)
    return bytes([offset + _SHORT + len(size)]) + size


def _item(data: bytes, start: int, end: int, room: int) -> tuple[Item, int]:
    """The item that begins at ``start``, and where it ends; nothing is read at or beyond ``end``."""
    if start >= end:
        raise RlpError("an RLP item is cut short")
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    base = 0xC0 if first >= 0xC0 else 0x80
    begin, stop = _payload(data, start, end, first - base)
    if base == 0x80:
        raw = data[begin:stop]
        if len(raw) == 1 and raw[0] < 0x80:
            raise RlpError("a single byte below 0x80 is not written as itself")
        return raw, stop
    if room <= 0:
        raise RlpError(f"lists nested deeper than {MAX_DEPTH}")
    items: list[Item] = []
    while begin < stop:
        item, begin = _item(data, begin, stop, room - 1)
        items.append(item)
    return items, stop


def _payload(data: bytes, start: int, end: int, code: int) -> tuple[int, int]:
    """Where the payload of a prefixed item lies; ``code`` is the first byte less its base."""
    begin = start + 1
    length = code
    if code > _SHORT:
        size = data[begin : begin + code - _SHORT]
        begin += code - _SHORT
        length = int.from_bytes(size, "big")
        if begin > end or size[:1] == b"\x00" or length <= _SHORT:
            raise RlpError("an RLP length is not in its shortest form")
    if length > end - begin:
        raise RlpError("an RLP item is cut short")
    return begin, begin + length
