"""JSON from strangers: UTF-8 only, size and depth capped, repeated keys refused, numbers kept as their text."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final, TypeAlias

from node.connectors.errors import ConnectorError, shown

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 40
"""Nesting of objects and arrays; an OCDS record package with versions needs 12."""


class Number(str):
    """A JSON number as its text: 11000000.10 never passes through a float."""

    __slots__ = ()


Json: TypeAlias = "bool | Number | str | list[Json] | dict[str, Json] | None"
JsonDocument: TypeAlias = "list[Json] | dict[str, Json]"
"""What a file holds: an array or an object."""

# Possessive, and content with an unclosed string, so that no text makes the scan start over: linear always.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def looks_like_json(data: bytes) -> bool:
    """Whether the first thing in the file that is not white space is '{' or '['."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data[:256].decode("utf-16", "ignore").lstrip()[:1] in {"{", "["}  # to be refused by its encoding
    return data[:256].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"{", b"["}


def parse(data: bytes) -> JsonDocument:
    """The array or object. Raises ConnectorError TOO_LARGE, NOT_UTF8 or BAD_JSON."""
    if len(data) > MAX_BYTES:
        raise ConnectorError("TOO_LARGE", f"{len(data)} bytes", f"split it: at most {MAX_BYTES} bytes are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConnectorError(
            "NOT_UTF8", f"byte {error.start} is not UTF-8", "save the file as UTF-8 and take it in again"
        ) from None
    _check_depth(text)
    try:
        value: JsonDocument | str | None = json.loads(
            text,
            parse_float=Number,
            parse_int=Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_keys,
        )
    except json.JSONDecodeError as error:
        raise ConnectorError(
            "BAD_JSON",
            f"not JSON at line {error.lineno}, column {error.colno} ({error.msg})",
            "get a whole copy from its sender",
        ) from None
    if not isinstance(value, (list, dict)):
        raise ConnectorError("BAD_JSON", "neither an array nor an object", "get a whole copy from its sender")
    return value


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the recursive parser sees it; linear in the text."""
    depth = 0
    for match in _STRUCTURE.finditer(text):
        first = match[0][0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ConnectorError(
                    "BAD_JSON", f"values nest deeper than {MAX_DEPTH}", "get a plain copy from its sender"
                )
        elif first != '"':
            depth -= 1


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ConnectorError(
                    "BAD_JSON", f"the key {shown(key)} stands twice in one object", "keep one of the two"
                )
            seen.add(key)
    return result


def _refuse_constant(name: str) -> Any:
    raise ConnectorError("BAD_JSON", f"{name} is no JSON number", "write a decimal number")
