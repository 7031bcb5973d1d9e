"""Reading parsed JSON of strangers: text, objects and lists by key, or one error that says what is wrong.

``advice`` is what the error tells the member to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from node.connectors import values
from node.connectors.errors import ConnectorError
from node.connectors.strict_json import Json

Object: TypeAlias = "dict[str, Json]"


def text(item: Object, key: str, advice: str) -> str:
    """Text under a key, cleaned; "" where it is absent or null. A number is its text."""
    value = item.get(key)
    return "" if value is None else text_of(value, key, advice)


def text_of(value: Json, what: str, advice: str) -> str:
    """A value that is text or a number, cleaned. Raises ConnectorError BAD_VALUE."""
    if not isinstance(value, str):
        raise _wrong(what, "text", advice)
    return values.clean(value)


def object_of(value: Json, what: str, advice: str) -> Object:
    """A value that is an object. Raises ConnectorError BAD_VALUE."""
    if not isinstance(value, dict):
        raise _wrong(what, "an object", advice)
    return value


def list_of(value: Json, what: str, advice: str) -> list[Json]:
    """A value that is a list; none where it is absent. Raises ConnectorError BAD_VALUE."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(what, "a list", advice)
    return value


def objects(value: Json, what: str, advice: str) -> Iterator[Object]:
    """The objects of a list. In JSON-LD a list of one may stand without its brackets. Raises ConnectorError."""
    for item in [value] if isinstance(value, dict) else list_of(value, what, advice):
        yield object_of(item, f"an item of {what}", advice)


def _wrong(what: str, expected: str, advice: str) -> ConnectorError:
    return ConnectorError("BAD_VALUE", f"{what} is not {expected}", advice)
