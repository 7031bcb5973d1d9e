"""A reader's half of a copy: opening what a node keeps for a chain with one's own encryption key. Pure.

For readers that run no node. Needs nothing that the light install does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chain.codec import CodecError, decode
from chain.crypto import SigningKey
from node.documents import MAX_DOCUMENT
from node.envelope import MAX_KEY_LIST, EnvelopeError, KeyList, check_document, open_copy

MAX_COPY: Final = MAX_DOCUMENT + MAX_KEY_LIST + 4096
"""Bytes of what `GET /v1/copies` answers."""


def open_copy_of(answer: bytes, name: bytes, keys: Sequence[SigningKey]) -> bytes:
    """The document of a name inside a ``["tally/custody_copy", 1, holder, key list, copy]``.

    Whose key list it is does not matter: what comes out must be what the record names. Raises EnvelopeError
    MALFORMED_COPY, MALFORMED_KEY_LIST, NO_KEY, DAMAGED_BOX, DAMAGED_COPY, WRONG_HASH.
    """
    try:
        found: Any = decode(answer, max_size=MAX_COPY)
        tag, version, holder, listed, copy = found
        if (tag, version, type(holder), type(listed), type(copy)) != ("tally/custody_copy", 1, str, bytes, bytes):
            raise ValueError("another structure")
    except (CodecError, TypeError, ValueError):
        raise EnvelopeError("MALFORMED_COPY", "this is no copy of a document: ask another node") from None
    key = KeyList.decode(listed).object_key(name, keys)
    if key is None:
        raise EnvelopeError("NO_KEY", "the document is not sealed to this key: give the one that is registered now")
    data = open_copy(key, holder, copy)
    check_document(name, data)
    return data
