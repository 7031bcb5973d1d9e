"""The one canonical encoding: msgpack, positional arrays, exactly one byte string for each value.

What is hashed, signed, sent or stored passes through here. ``decode`` accepts bytes only where
``encode(decode(b)) == b`` (PROTOCOL.md, Encoding): floats, extension types, duplicate or unsorted keys,
non-shortest forms and trailing bytes are refused, and size is capped before anything is allocated.
"""

from __future__ import annotations

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
_TEXT: Final = frozenset({str})


class CodecError(ValueError):
    """Bytes or a value outside the canonical form; the message says what is wrong, in one line."""


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a value.

    Tuples are encoded as arrays; map keys are text and sorted by their UTF-8 bytes.
    Raises CodecError for a float, an integer outside -2**63 … 2**64 - 1, or any other type.
    """
    try:
        packed: bytes = _pack(_normal(value, 0))
    except (OverflowError, UnicodeEncodeError, ValueError, TypeError) as error:
        raise CodecError(f"cannot encode: {error}") from None
    return packed


def decode(data: bytes, *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of canonical bytes; arrays become lists.

    Raises CodecError for anything but the one canonical form of a permitted value.
    """
    if len(data) > max_size:
        raise CodecError(f"{len(data)} bytes where at most {max_size} are allowed")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            object_pairs_hook=_ordered_map,
            ext_hook=_refuse_extension,
        )
    except CodecError:
        raise
    except (msgpack.exceptions.UnpackException, ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise CodecError(f"not a canonical message: {reason}") from None
    _check(value, max_depth)
    if _pack(value) != data:
        raise CodecError("not in canonical form (a value is not in its shortest form)")
    return value


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
        return {
            key: item if type(item := value[key]) in _SCALARS else _normal(item, depth + 1) for key in ordered
        }
    raise CodecError(f"type {kind.__name__} has no canonical form")


def _ordered_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if not set(map(type, found)) <= _TEXT:
        raise CodecError("a map key is not text")
    if len(found) != len(pairs) or sorted(found) != list(found):
        raise CodecError("a map key is repeated or out of order")
    return found


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
    items = value if kind is list else value.values()
    if not set(map(type, items)) <= _SCALARS:
        for item in items:
            if type(item) not in _SCALARS:
                _check(item, room - 1)
