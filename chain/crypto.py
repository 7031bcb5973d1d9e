"""Hash and signature: SHA-256, and Ed25519 under one acceptance rule for the whole network.

Suite 1 is Ed25519 verified by ZIP215 (ed25519-zebra), the rule made for consensus: it says for *every* byte
string whether it verifies, so that two nodes can never differ on a crafted signature (``docs/adr/0002``).
Keys and signing are PyNaCl's. The rule is pinned by fixed vectors in ``tests/chain/test_crypto.py``.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import ed25519_zebra
import nacl.bindings
import nacl.utils

from chain.codec import encode

HASH_SIZE: Final = 32
PUBLIC_KEY_SIZE: Final = 32
SEED_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
SUITE_ED25519: Final = 1
ZERO_HASH: Final = bytes(HASH_SIZE)

_zip215 = ed25519_zebra.ed_verify


def sha256(data: bytes) -> bytes:
    """SHA-256 of bytes; 32 bytes."""
    return hashlib.sha256(data).digest()


def hash_value(value: Any) -> bytes:
    """SHA-256 of the canonical encoding. Every structure hashed so starts with its domain tag and version."""
    return hashlib.sha256(encode(value)).digest()


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature of suite 1 stands under ZIP215. Wrong sizes are False, never an error."""
    if len(public_key) != PUBLIC_KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    try:
        return bool(_zip215(signature, message, public_key))
    except ValueError:
        return False


class SigningKey:
    """An Ed25519 key pair (RFC 8032). The seed is the private half: 32 bytes."""

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise ValueError(f"a key seed has {SEED_SIZE} bytes, this has {len(seed)}")
        self.seed = seed
        self.public: bytes
        self.public, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """The key of a 32-byte seed."""
        return cls(seed)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the operating system's randomness."""
        return cls(nacl.utils.random(SEED_SIZE))

    def sign(self, message: bytes) -> bytes:
        """The deterministic 64-byte signature of a message."""
        return nacl.bindings.crypto_sign(message, self._secret)[:SIGNATURE_SIZE]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"
