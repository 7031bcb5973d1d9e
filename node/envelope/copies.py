"""Copies: a document sealed for one holder, and the root over the chunks of that."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from chain import merkle
from chain.codec import encode
from chain.sealed import SealingError, decode_body
from node.envelope.errors import EnvelopeError

CHUNK: Final = 4096
"""Bytes of a copy under one Merkle leaf."""
OVERHEAD: Final = sodium.crypto_secretbox_MACBYTES
"""Bytes that a copy is longer than its document."""

_PIECE: Final = 2047
_NONCE: Final = bytes(sodium.crypto_secretbox_NONCEBYTES)


def object_key(deposit_key: bytes, name: bytes) -> bytes:
    """O: opens the copies of one object of a deposit. 32 bytes."""
    return hmac.digest(deposit_key, encode(["tally/object_key", 1, name]), "sha256")


def make_copy(key: bytes, holder: str, data: bytes) -> bytes:
    """The copy of a document that one holder keeps; ``key``: the object's O. len(data) + OVERHEAD bytes."""
    return sodium.crypto_secretbox_easy(data, _NONCE, _copy_key(key, holder))


def copy_size(size: int) -> int:
    """Bytes of every holder's copy of a document of ``size`` bytes."""
    return size + OVERHEAD


def open_copy(key: bytes, holder: str, copy: bytes) -> bytes:
    """The document inside a holder's copy; ``key``: the object's O. Raises EnvelopeError DAMAGED_COPY."""
    try:
        return sodium.crypto_secretbox_open_easy(copy, _NONCE, _copy_key(key, holder))
    except (CryptoError, ValueError):
        raise EnvelopeError(
            "DAMAGED_COPY", f"this is no copy of {holder} under this key: take another holder's"
        ) from None


def copy_root(copy: bytes) -> bytes:
    """The root over a copy's chunks. 32 bytes."""
    hasher = RootHasher()
    hasher.update(copy)
    return hasher.root()


class RootHasher:
    """The root over a copy's chunks while its bytes come in; keeps one chunk and one hash a level."""

    def __init__(self) -> None:
        self._rest = b""
        self._subtrees: list[tuple[int, bytes]] = []
        """Complete subtrees from the left: (height, hash), heights falling."""

    def update(self, data: bytes) -> None:
        """The next bytes."""
        start = 0
        if self._rest:
            start = min(CHUNK - len(self._rest), len(data))
            self._rest += data[:start]
            if len(self._rest) < CHUNK:
                return
            self._add(_leaf_hash(self._rest, 0, CHUNK))
            self._rest = b""
        whole = start + (len(data) - start) // CHUNK * CHUNK
        for at in range(start, whole, CHUNK):
            self._add(_leaf_hash(data, at, at + CHUNK))
        self._rest = data[whole:]

    def root(self) -> bytes:
        """The root over what came so far."""
        subtrees = [node for _, node in self._subtrees]
        if self._rest:
            subtrees.append(_leaf_hash(self._rest, 0, len(self._rest)))
        if not subtrees:
            return merkle.EMPTY_ROOT
        found = subtrees.pop()
        while subtrees:
            found = sha256(b"\x01" + subtrees.pop() + found).digest()
        return found

    def _add(self, node: bytes) -> None:
        subtrees, height = self._subtrees, 0
        while subtrees and subtrees[-1][0] == height:
            node = sha256(b"\x01" + subtrees.pop()[1] + node).digest()
            height += 1
        subtrees.append((height, node))


def _leaf_hash(data: bytes, start: int, stop: int) -> bytes:
    """merkle.leaf_hash of data[start:stop], fed in pieces under the 2048 bytes from which hashlib lets go of the
    interpreter lock: to win it back from a busy loop can cost 5 ms a chunk (9 ms instead of 0.14 ms for 100 kB)."""
    hasher = sha256(b"\x00")
    for at in range(start, stop, _PIECE):
        hasher.update(data[at : min(at + _PIECE, stop)])
    return hasher.digest()


def chunks(copy: bytes) -> list[bytes]:
    """A copy in pieces of CHUNK bytes, the last one shorter."""
    return [copy[start : start + CHUNK] for start in range(0, len(copy), CHUNK)]


def check_document(name: bytes, data: bytes) -> None:
    """Whether a name is that of these bytes, a raw document or a sealed body. Raises EnvelopeError WRONG_HASH."""
    if sha256(data).digest() == name:
        return
    try:
        decode_body(data, name)
    except SealingError:
        raise EnvelopeError(
            "WRONG_HASH", f"these bytes are not the document {name.hex()}: take it from another source"
        ) from None


def _copy_key(key: bytes, holder: str) -> bytes:
    return hmac.digest(key, encode(["tally/copy_key", 1, holder]), "sha256")
