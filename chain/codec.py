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

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1

# One packer for the process: msgpack's C packer is reset after each call and keeps its buffer.
_pack = msgpack.Packer(use_bin_type=True, strict_types=True, autoreset=True).pack
_SCALARS: Final = frozenset({type(None), bool, str, bytes})


class CodecError(ValueError):
    """Bytes or a value outside the canonical form; the message says what is wrong, in one line."""


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a value.

    Tuples are encoded as arrays; map keys are text and sorted by their UTF-8 bytes.
    Raises CodecError for a float, an integer outside 64 signed bits, or any other type.
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
    """The value with sorted maps, after its types and ranges were checked."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is int:
        if not _INT_MIN <= value <= _INT_MAX:
            raise CodecError(f"integer {value} does not fit in 64 signed bits")
        return value
    if depth >= MAX_DEPTH:
        raise CodecError(f"nested deeper than {MAX_DEPTH}")
    if kind is list or kind is tuple:
        return [_normal(item, depth + 1) for item in value]
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise CodecError(f"map key {key!r} is not text")
        return {key: _normal(value[key], depth + 1) for key in sorted(value, key=_utf8)}
    raise CodecError(f"type {kind.__name__} has no canonical form")


def _utf8(key: str) -> bytes:
    return key.encode()


def _ordered_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    previous: bytes | None = None
    for key, _ in pairs:
        if type(key) is not str:
            raise CodecError("a map key is not text")
        raw = key.encode()
        if previous is not None and raw <= previous:
            raise CodecError(f"map key {key!r} is repeated or out of order")
        previous = raw
    return dict(pairs)


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise CodecError(f"extension type {code} is not allowed")


def _check(value: Any, room: int) -> None:
    """Refuse what msgpack can carry and the canonical form cannot: floats, timestamps, large integers."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is int:
        if value > _INT_MAX:
            raise CodecError(f"integer {value} does not fit in 64 signed bits")
        return
    if room <= 0:
        raise CodecError("nested too deep")
    if kind is list:
        for item in value:
            if type(item) not in _SCALARS:
                _check(item, room - 1)
    elif kind is dict:
        for item in value.values():
            if type(item) not in _SCALARS:
                _check(item, room - 1)
    else:
        raise CodecError(f"type {kind.__name__} is not allowed")
