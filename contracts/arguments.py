"""Checking the arguments of a contract method: names, types, sizes. One line says what to send instead."""

from __future__ import annotations

import re
from typing import Final

from contracts.context import Args, Value
from contracts.errors import ContractError

MAX_TEXT: Final = 256
_MEMBER_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")


def expect(args: Args, *required: str, optional: tuple[str, ...] = ()) -> None:
    """Every required argument is there and nothing else but optional ones.

    Raises ContractError MISSING_ARGUMENT or UNKNOWN_ARGUMENT.
    """
    for name in required:
        if name not in args:
            raise ContractError("MISSING_ARGUMENT", f"argument {name!r} is missing")
    for name in args:
        if name not in required and name not in optional:
            allowed = ", ".join((*required, *optional)) or "none"
            raise ContractError("UNKNOWN_ARGUMENT", f"argument {name[:40]!r} is not known; known are: {allowed}")


def text(value: Value, what: str, maximum: int = MAX_TEXT) -> str:
    """Trimmed text of 1 to maximum characters."""
    if type(value) is not str or not value or len(value) > maximum or value.strip(" \t\r\n") != value:
        raise _wrong(what, f"text of 1 to {maximum} characters without blanks around it")
    return value


def member_id(value: Value, what: str) -> str:
    """An id of the form [a-z][a-z0-9-]{0,31}."""
    if type(value) is not str or _MEMBER_ID.fullmatch(value) is None:
        raise _wrong(what, "an id of a-z, 0-9 and '-', at most 32 characters")
    return value


def binary(value: Value, what: str, size: int = 32) -> bytes:
    """Exactly size bytes."""
    if type(value) is not bytes or len(value) != size:
        raise _wrong(what, f"{size} bytes")
    return value


def integer(value: Value, what: str, minimum: int, maximum: int) -> int:
    """An integer (no bool) from minimum to maximum."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise _wrong(what, f"an integer from {minimum} to {maximum}")
    return value


def boolean(value: Value, what: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise _wrong(what, "true or false")
    return value


def mapping(value: Value, what: str) -> dict[str, Value]:
    """A map; its entries are for the caller to check."""
    if type(value) is not dict:
        raise _wrong(what, "a map")
    return value


def sequence(value: Value, what: str, minimum: int, maximum: int) -> list[Value]:
    """A list of minimum to maximum entries; the entries are for the caller to check."""
    if type(value) is not list or not minimum <= len(value) <= maximum:
        raise _wrong(what, f"a list of {minimum} to {maximum} entries")
    return value


def _wrong(what: str, expected: str) -> ContractError:
    return ContractError("WRONG_ARGUMENT", f"{what} must be {expected}")
