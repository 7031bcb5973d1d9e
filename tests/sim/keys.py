"""Signatures that nobody can forge: a table of those issued (fast), or real Ed25519."""

from __future__ import annotations

import hashlib
from typing import Protocol

import nacl.bindings as sodium

from chain.crypto import SigningKey, verify


class SimKey(Protocol):
    """A key that can also do what any Ed25519 signer can: make a second, different, valid signature."""

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...

    def sign_again(self, message: bytes, variant: int) -> bytes: ...


class SignatureTable:
    """The signatures issued in one run. What is not in it was forged."""

    def __init__(self) -> None:
        self._issued: set[tuple[bytes, bytes, bytes]] = set()

    def issue(self, public: bytes, message: bytes, variant: int = 0) -> bytes:
        """A 64-byte signature that ``check`` accepts from now on."""
        salt = variant.to_bytes(8, "big")
        signature = hashlib.blake2b(public + message, digest_size=64, salt=salt).digest()
        self._issued.add((public, message, signature))
        return signature

    def check(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Takes the place of ``chain.crypto.verify``."""
        return (public, message, signature) in self._issued


class TableKey:
    """A validator key whose signatures stand in a table."""

    def __init__(self, public: bytes, table: SignatureTable) -> None:
        self.public = public
        self._table = table

    def sign(self, message: bytes) -> bytes:
        return self._table.issue(self.public, message)

    def sign_again(self, message: bytes, variant: int) -> bytes:
        return self._table.issue(self.public, message, variant)


class Ed25519Key:
    """A real validator key."""

    def __init__(self, key: SigningKey) -> None:
        self.public = key.public
        self._key = key

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def sign_again(self, message: bytes, variant: int) -> bytes:
        """RFC 8032 with another nonce: as valid as the first, and different from it."""
        digest = hashlib.sha512(self._key.seed).digest()
        low = bytearray(digest[:32])
        low[0] &= 248
        low[31] = low[31] & 127 | 64
        secret = sodium.crypto_core_ed25519_scalar_reduce(bytes(low) + bytes(32))
        nonce = _scalar(digest[32:] + variant.to_bytes(8, "big") + message)
        point = sodium.crypto_scalarmult_ed25519_base_noclamp(nonce)
        challenge = _scalar(point + self.public + message)
        product = sodium.crypto_core_ed25519_scalar_mul(challenge, secret)
        signature = point + sodium.crypto_core_ed25519_scalar_add(nonce, product)
        assert verify(self.public, message, signature)
        return signature


def _scalar(data: bytes) -> bytes:
    return sodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(data).digest())
