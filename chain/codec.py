"""The one canonical encoding: msgpack, positional arrays, exactly one byte string for each value.

What is hashed, signed, sent or stored passes through here. ``decode`` accepts bytes only where
``encode(decode(b)) == b`` (PROTOCOL.md, Encoding): floats, extension types, duplicate or unsorted keys,
non-shortest forms and trailing bytes are refused, and size is capped before anything is allocated.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgpack

Value: TypeAlias = "bool | int | str | bytes | list[Value] | dict[str, Value] | None"

MAX_SIZE: Final = 64 * 1024 * 1024
"""Bytes; no message, block or file of the protocol may be larger. Callers pass tighter caps."""
MAX_DEPTH: Final = 16
"""Nesting of arrays and maps; a body with records and lines needs 7."""

# One packer for the process: msgpack's C packer is reset after each call and keeps its buffer.
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack
_SCALARS: Final = frozenset({type(None), bool, int, str, bytes})
_NO_INTEGERS: Final = frozenset({type(None), bool, str, bytes})
_KEY_PARTS: Final = frozenset({int, str, bytes})
_TEXT: Final = frozenset({str})
_INT64_MAX: Final = 2**63 - 1
_MAYBE_WIDE: Final = re.compile(rb"\xcf[\x80-\xff]")
"""How an integer above 2**63 - 1 is packed; the two bytes may be others' content too, so a hit only says: look."""
_LONG_FORMS: Final = b"\xdc\xdd\xde\xdf"
"""Arrays and maps whose length is written out, and allocated by the unpacker before their items are there."""
_SURVEY_ABOVE: Final = 2**17
"""Items that the long forms of a message may claim together before its headers are walked first."""


class CodecError(ValueError):
    """Bytes or a value outside the canonical form; the message says what is wrong, in one line."""


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a value.

    Tuples are encoded as arrays; map keys are text and sorted by their UTF-8 bytes.
    Raises CodecError for a float, an integer outside -2**63 … 2**63 - 1, or any other type.
    """
    try:
        packed: bytes = _pack(_normal(value, 0))
    except (OverflowError, UnicodeEncodeError, ValueError, TypeError) as error:
        raise CodecError(f"cannot encode: {error}") from None
    if b"\xcf" in packed and _MAYBE_WIDE.search(packed):
        _refuse_wide(value)
    return packed


def decode(
    data: bytes, *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH, max_items: int | None = None
) -> Any:
    """Return the value of canonical bytes; arrays become lists.

    ``max_items``: values that may be in it together, for bytes that a loop with other work decodes: a few megabytes
    of empty arrays would hold it up for seconds. Raises CodecError for anything but the one canonical form of a
    permitted value.
    """
    if len(data) > max_size:
        raise CodecError(f"{len(data)} bytes where at most {max_size} are allowed")
    if max_items is not None and len(data) > max_items:  # an item has a byte at least
        _survey(data, max_depth, max_items)
    if len(data) > 512 and (len(data) - len(data.translate(None, _LONG_FORMS))) * len(data) > _SURVEY_ABOVE:
        _survey(data, max_depth)
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            ext_hook=_refuse_extension,
        )
    except CodecError:
        raise
    except (msgpack.exceptions.UnpackException, ValueError, TypeError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise CodecError(f"not a canonical message: {reason}") from None
    _check(value, max_depth)
    if _pack(value) != data:
        raise CodecError("not in canonical form (a value is not in its shortest form)")
    if b"\xcf" in data and _MAYBE_WIDE.search(data):
        _refuse_wide(value)
    return value


def pack(value: Any) -> bytes:
    """As ``encode``, for an array made right here of text, byte strings, booleans, small integers and such arrays.

    Nothing is checked: it is for the few structures that every transaction pays for.
    """
    packed: bytes = _pack(value)
    return packed


def load(data: bytes) -> Any:
    """The value of bytes that ``encode`` made here and the store kept: nothing is checked again."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False)


def encode_key(parts: tuple[Any, ...]) -> bytes:
    """The canonical array of a state key: text, integers and bytes only. Raises CodecError.

    The same bytes as ``encode(parts)``; apart because every state operation pays for it.
    """
    if not set(map(type, parts)) <= _KEY_PARTS:
        raise CodecError("a state key is made of text, integers and bytes")
    try:
        packed: bytes = _pack(parts)
    except (OverflowError, UnicodeEncodeError, ValueError) as error:
        raise CodecError(f"cannot encode a state key: {error}") from None
    return packed


@lru_cache(maxsize=8_192, typed=True)
def known_key(*parts: Any) -> bytes:
    """As ``encode_key``, remembered: for the keys that transaction after transaction reads."""
    return encode_key(parts)


def is_tagged(value: Any, tag: str, version: int, length: int) -> bool:
    """Whether a decoded value is the array of ``length`` items that starts with this tag and version.

    ``True == 1`` in Python, not in msgpack: without the strict test two byte strings would mean one thing.
    """
    return (
        type(value) is list
        and len(value) == length
        and type(value[1]) is int
        and value[0] == tag
        and value[1] == version
    )


def _normal(value: Any, depth: int) -> Any:
    """The value with sorted maps, after its types were checked exactly (a subclass has no canonical form).

    Types are compared as sets, at C speed: most of an encoding's time would go here otherwise.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth >= MAX_DEPTH:
        raise CodecError(f"nested deeper than {MAX_DEPTH}")
    if kind is list or kind is tuple:
        if set(map(type, value)) <= _SCALARS:
            return value
        return [item if type(item) in _SCALARS else _normal(item, depth + 1) for item in value]
    if kind is dict:
        if not set(map(type, value)) <= _TEXT:
            raise CodecError("a map key is not text")
        # Code point order is UTF-8 byte order.
        ordered = sorted(value)
        if ordered == list(value) and set(map(type, value.values())) <= _SCALARS:
            return value
        return {key: item if type(item := value[key]) in _SCALARS else _normal(item, depth + 1) for key in ordered}
    raise CodecError(f"type {kind.__name__} has no canonical form")


def _refuse_wide(value: Any) -> None:
    """Refuse an integer that 64 signed bits do not hold: contracts and other languages count in those."""
    if type(value) is int:
        if value > _INT64_MAX:
            raise CodecError("an integer is above 2**63 - 1")
        return
    items = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
    if not set(map(type, items)) <= _NO_INTEGERS:
        for item in items:
            _refuse_wide(item)


def _form(byte: int) -> tuple[int, int, int, int]:
    """Of a first byte: bytes that follow, items that follow, width of a length, and items for each of it (or 0)."""
    match byte:
        case _ if 0x80 <= byte <= 0x8F:
            return 0, 2 * (byte & 15), 0, 0
        case _ if 0x90 <= byte <= 0x9F:
            return 0, byte & 15, 0, 0
        case _ if 0xA0 <= byte <= 0xBF:
            return byte & 31, 0, 0, 0
        case 0xC4 | 0xC5 | 0xC6:
            return 0, 0, 1 << (byte - 0xC4), 0
        case 0xC7 | 0xC8 | 0xC9:
            return 1, 0, 1 << (byte - 0xC7), 0
        case 0xCA | 0xCB:
            return 4 << (byte - 0xCA), 0, 0, 0
        case _ if 0xCC <= byte <= 0xD3:
            return 1 << (byte & 3), 0, 0, 0
        case _ if 0xD4 <= byte <= 0xD8:
            return 1 + (1 << (byte - 0xD4)), 0, 0, 0
        case 0xD9 | 0xDA | 0xDB:
            return 0, 0, 1 << (byte - 0xD9), 0
        case 0xDC | 0xDD:
            return 0, 0, 2 << (byte - 0xDC), 1
        case 0xDE | 0xDF:
            return 0, 0, 2 << (byte - 0xDE), 2
    return 0, 0, 0, 0


_FORMS: Final = [_form(byte) for byte in range(256)]


def _survey(data: bytes, max_depth: int, max_items: int | None = None) -> None:
    """Walk the headers alone: refuse deep nesting, claims of more items than there are bytes left, and too many."""
    at, size, room = 0, len(data), len(data) if max_items is None else max_items - 1
    waiting = 1
    left = [1]
    while waiting:
        while not left[-1]:
            left.pop()
        left[-1] -= 1
        waiting -= 1
        follow, items, width, each = _FORMS[data[at]]
        at += 1
        if width:
            length = int.from_bytes(data[at : at + width], "big")
            at += width
            if each:
                items = length * each
            else:
                follow += length
        at += follow
        if items:
            left.append(items)
            waiting += items
            room -= items
            if room < 0:
                raise CodecError(f"more than {max_items or size} values in one message")
            if len(left) > max_depth + 1:
                raise CodecError("nested too deep")
        if waiting > size - at:
            raise CodecError("shorter than it claims to be")


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise CodecError(f"extension type {code} is not allowed")


def _check(value: Any, room: int) -> None:
    """Refuse what msgpack can carry and the canonical form cannot: floats, timestamps, deep nesting."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if room <= 0:
        raise CodecError("nested too deep")
    if kind is not list and kind is not dict:
        raise CodecError(f"type {kind.__name__} is not allowed")
    if kind is dict:
        # A repeated key is lost in a dict, so the bytes will differ; what is left to check is kind and order.
        keys = list(value)
        if not set(map(type, keys)) <= _TEXT:
            raise CodecError("a map key is not text")
        if keys != sorted(keys):
            raise CodecError("a map key is repeated or out of order")
        items = value.values()
    else:
        items = value
    if not set(map(type, items)) <= _SCALARS:
        for item in items:
            if type(item) not in _SCALARS:
                _check(item, room - 1)
