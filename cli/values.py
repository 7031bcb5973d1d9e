"""Values as typed at a terminal: JSON arguments with bytes in them, state keys, hashes, amounts of money."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from cli.errors import CliError

MAX_ARGS: Final = 4 * 1024 * 1024
_HASH: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_DECIMAL: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
_HEX_NAME: Final = "$hex"


def json_argument(text: str, what: str) -> dict[str, Any]:
    """A JSON object, as text or ``@file``; ``{"$hex": "ab12"}`` stands for bytes. Raises CliError, GenesisError."""
    from genesis import strict_json

    value = strict_json.read(Path(text[1:])) if text.startswith("@") else strict_json.parse(text.encode(), what)
    if not isinstance(value, dict):
        raise CliError(f'{what} is not a JSON object: write for example {{"name": "value"}}')
    found = with_bytes(value, what)
    if not isinstance(found, dict):
        raise CliError(f"{what} is bytes, not a map of arguments")
    return found


def with_bytes(value: Any, what: str) -> Any:
    """A JSON value with every ``{"$hex": …}`` as bytes. Raises CliError."""
    if isinstance(value, dict):
        if set(value) == {_HEX_NAME}:
            try:
                return bytes.fromhex(value[_HEX_NAME])
            except (TypeError, ValueError):
                raise CliError(f'{what}: {{"$hex": …}} holds hexadecimal digits, two a byte') from None
        return {name: with_bytes(item, what) for name, item in value.items()}
    if isinstance(value, list):
        return [with_bytes(item, what) for item in value]
    return value


def digest(text: str, what: str) -> bytes:
    """32 bytes given as 64 hexadecimal digits. Raises CliError."""
    match = _HASH.fullmatch(text)
    if match is None:
        raise CliError(f"{what} {text[:80]!r} is not 64 hexadecimal digits: copy it whole")
    return bytes.fromhex(match.group(1))


def is_digest(text: str) -> bool:
    """Whether a text is a hash, as ids are."""
    return _HASH.fullmatch(text) is not None


def key_part(text: str) -> str | int | bytes:
    """A part of a state key: ``n:5`` a number, ``x:ab12`` or 64 digits bytes, ``s:…`` or anything else text."""
    prefix, colon, rest = text.partition(":")
    try:
        if colon and prefix == "n":
            return int(rest)
        if colon and prefix == "x":
            return bytes.fromhex(rest)
    except ValueError:
        raise CliError(f"key part {text!r}: n: is followed by a whole number, x: by hexadecimal digits") from None
    if colon and prefix == "s":
        return rest
    return digest(text, "key part") if is_digest(text) else text


def minor_units(text: str, scale: int, what: str) -> int:
    """An amount as written, ``12500.00``, in minor units of a currency with ``scale`` decimals. Raises CliError."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise CliError(f"{what} {text!r} is no amount: write for example 12500.00, without thousands separators")
    fraction = (match.group(2) or "").rstrip("0")
    if len(fraction) > scale:
        raise CliError(f"{what} {text!r} is finer than the currency's {scale} decimals: round it")
    return int(match.group(1) + fraction.ljust(scale, "0"))


def decimal_text(minor: int, scale: int) -> str:
    """Minor units as the decimal text that records hold."""
    whole, fraction = divmod(minor, 10**scale)
    return f"{whole}.{fraction:0{scale}d}" if scale else str(whole)
