"""The vault key: one random key behind everything a member keeps, sealed to that member's encryption keys.

``vault.key`` in the store is canonical ``["tally/vault", 1, [[encryption key, sealed box of the vault key] …]]``.
Encryption keys come and go by sealing the same vault key again: documents are never written anew. The index keeps the
same bytes once more.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Final

import nacl.bindings as sodium
from nacl.exceptions import CryptoError
from nacl.utils import random

from chain.codec import CodecError, decode, encode
from chain.crypto import SigningKey
from node.documents import DocumentError
from node.envelope import KEY_SIZE, OVERHEAD, EnvelopeError, seal_to, unseal

KEY_FILE: Final = "vault.key"
NONCE_SIZE: Final = sodium.crypto_secretbox_NONCEBYTES
AT_REST: Final = NONCE_SIZE + OVERHEAD
"""Bytes by which something at rest is longer."""
MAX_KEY_FILE: Final = 64 * 1024


class VaultKey:
    """Encrypts at rest. Each purpose has its own key, each message its own random nonce."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def make(cls) -> VaultKey:
        """A new one, from the operating system's randomness."""
        return cls(random(KEY_SIZE))

    @classmethod
    def open(cls, data: bytes, keys: Sequence[SigningKey]) -> VaultKey:
        """The key in a key file. Raises DocumentError NO_KEY, DOCUMENT_DAMAGED."""
        boxes = dict(_parse(data))
        for key in keys:
            if key.public in boxes:
                try:
                    opened = unseal(key, boxes[key.public])
                except EnvelopeError:
                    raise _damaged() from None
                if len(opened) != KEY_SIZE:
                    raise _damaged()
                return cls(opened)
        wanted = " or ".join(public.hex()[:16] for public in boxes)
        said = (
            f"{KEY_FILE} is sealed to the encryption key {wanted}, none that is configured: add it to keys.encryption"
        )
        raise DocumentError("NO_KEY", said)

    def made(self, data: bytes, keys: Sequence[SigningKey]) -> bool:
        """Whether a key file is of this vault key, as far as these encryption keys can tell."""
        if not set(sealed_for(data)) & {key.public for key in keys}:
            return True
        return hmac.compare_digest(VaultKey.open(data, keys)._key, self._key)

    def sealed_to(self, publics: Iterable[bytes]) -> bytes:
        """A key file for these encryption keys. Raises EnvelopeError NO_ENCRYPTION_KEY."""
        rows = [[public, seal_to(public, self._key)] for public in dict.fromkeys(publics)]
        return encode(["tally/vault", 1, rows])

    def seal(self, purpose: str, name: bytes, data: bytes) -> bytes:
        """``data`` at rest, AT_REST bytes longer."""
        nonce = random(NONCE_SIZE)
        return nonce + sodium.crypto_secretbox_easy(data, nonce, self._of(purpose, name))

    def open_sealed(self, purpose: str, name: bytes, sealed: bytes) -> bytes | None:
        """What was sealed for this purpose and name, None where it is anything else."""
        return self.open_parts(purpose, name, sealed[:NONCE_SIZE], sealed[NONCE_SIZE:])

    def open_parts(self, purpose: str, name: bytes, nonce: bytes, text: bytes) -> bytes | None:
        """The same with what was sealed in two parts: of a large document there is one copy less in memory."""
        if len(nonce) != NONCE_SIZE or len(text) < OVERHEAD:
            return None
        try:
            return sodium.crypto_secretbox_open_easy(text, nonce, self._of(purpose, name))
        except CryptoError:
            return None

    def _of(self, purpose: str, name: bytes) -> bytes:
        return hmac.digest(self._key, encode(["tally/at_rest", 1, purpose, name]), "sha256")


def sealed_for(data: bytes) -> list[bytes]:
    """The encryption keys a key file is sealed to. Raises DocumentError DOCUMENT_DAMAGED."""
    return [public for public, _ in _parse(data)]


def _parse(data: bytes) -> list[tuple[bytes, bytes]]:
    try:
        tag, version, rows = decode(data, max_size=MAX_KEY_FILE)
        if (tag, version) != ("tally/vault", 1):
            raise ValueError("another structure")
        found = [(public, box) for public, box in rows]
    except (CodecError, TypeError, ValueError):
        raise _damaged() from None
    if not all(type(public) is bytes and type(box) is bytes for public, box in found):
        raise _damaged()
    return found


def _damaged() -> DocumentError:
    return DocumentError("DOCUMENT_DAMAGED", f"{KEY_FILE} of the documents is damaged: restore it from a backup")
