"""What manifests and key lists are read with: canonical arrays out of bytes that somebody else sent."""

from __future__ import annotations

import re
from typing import Any, Final

from chain.codec import decode
from chain.crypto import HASH_SIZE

MAX_KEY_LIST: Final = 4 * 1024 * 1024
"""Bytes of a key list or a manifest that are read at all."""

_MEMBER: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


def decoded(data: bytes, tag: str) -> list[Any]:
    """A canonical array of version 1 under its tag. Raises CodecError, ValueError."""
    found: Any = decode(data, max_size=MAX_KEY_LIST)
    if type(found) is not list or found[:2] != [tag, 1]:
        raise ValueError("another structure")
    return found


def is_hash(value: Any) -> bool:
    return type(value) is bytes and len(value) == HASH_SIZE


def is_member(value: Any) -> bool:
    """Ids name files too: nothing else gets through."""
    return type(value) is str and _MEMBER.fullmatch(value) is not None


def is_number(value: Any) -> bool:
    return type(value) is int and value >= 0
