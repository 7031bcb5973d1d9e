"""Sealed boxes to registered encryption keys: anybody can seal, only the key's owner can open.

Encryption keys are Ed25519 like all others of the registry; they are used in their X25519 form alone (libsodium's
``crypto_box_seal``).
"""

from __future__ import annotations

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from chain.crypto import SigningKey


class SealedBoxError(ValueError):
    """``code``: NO_ENCRYPTION_KEY or DAMAGED_BOX; one line that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def seal_to(public_key: bytes, data: bytes) -> bytes:
    """A sealed box to an encryption key as registered, 32 bytes. Raises SealedBoxError NO_ENCRYPTION_KEY."""
    try:
        return sodium.crypto_box_seal(data, sodium.crypto_sign_ed25519_pk_to_curve25519(public_key))
    except (CryptoError, RuntimeError, ValueError, TypeError):
        said = f"{public_key.hex()} is no encryption key: have its owner register another"
        raise SealedBoxError("NO_ENCRYPTION_KEY", said) from None


def unseal(key: SigningKey, box: bytes) -> bytes:
    """What is in a sealed box to this key. Raises SealedBoxError DAMAGED_BOX."""
    public = sodium.crypto_sign_ed25519_pk_to_curve25519(key.public)
    secret = sodium.crypto_sign_ed25519_sk_to_curve25519(key.seed + key.public)
    try:
        return sodium.crypto_box_seal_open(box, public, secret)
    except (CryptoError, ValueError, TypeError):
        said = "a sealed box to this key does not open: ask its sender again"
        raise SealedBoxError("DAMAGED_BOX", said) from None
