"""Sealed fields: a root over salted leaves on the chain, values and salts in the member's document store.

    salt  = HMAC-SHA256(member secret, canonical ["tally/salt", 1, kind, issuer, number, field])
    leaf  = canonical ["tally/sealed_field", 1, field, salt, value]
    root  = RFC 6962 root over the leaves, sorted by field name
    body  = canonical ["tally/sealed_body", 1, kind, issuer, number, [[field, salt, value] …]]

The salt depends on nothing but the secret, the natural key and the field's name, so that the same document taken
in twice is the same record (DESIGN.md, "A record"). A field is opened by showing its leaf with its audit path;
the others stay hidden behind salts of 256 bits. Whoever loses the secret and the body can open nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chain import merkle
from chain.codec import CodecError, decode, encode
from contracts.record import FieldValue, NaturalKey

MIN_SECRET: Final = 32
"""Bytes; a shorter secret would let the salts be searched."""


class SealingError(ValueError):
    """A secret too short, or a body that does not belong to its root; one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One opened field and the proof that it stands under a sealed root."""

    name: str
    salt: bytes
    value: FieldValue
    index: int
    count: int
    path: tuple[bytes, ...]

    def verify(self, sealed_root: bytes) -> bool:
        """Whether exactly this value of this field was sealed under the root."""
        leaf = _leaf(self.name, self.salt, self.value)
        return merkle.verify(sealed_root, leaf, self.index, self.count, self.path)


@dataclass(frozen=True, slots=True)
class SealedBody:
    """The sealed fields of one record: (name, salt, value), sorted by name."""

    natural_key: NaturalKey
    fields: tuple[tuple[str, bytes, FieldValue], ...]

    @property
    def root(self) -> bytes:
        """The 32 bytes that go on the chain."""
        return merkle.root([_leaf(*field) for field in self.fields])

    def encode(self) -> bytes:
        """The bytes for the document store."""
        return encode(["tally/sealed_body", 1, *self.natural_key, [list(field) for field in self.fields]])

    def open(self, name: str) -> Opening:
        """One field with its proof. Raises KeyError where it is not among the sealed ones."""
        names = [field[0] for field in self.fields]
        if name not in names:
            raise KeyError(name)
        index = names.index(name)
        path = merkle.prove([_leaf(*field) for field in self.fields], index)
        return Opening(*self.fields[index], index, len(names), tuple(path))


def seal(fields: Mapping[str, FieldValue], natural_key: NaturalKey, secret: bytes) -> SealedBody:
    """Seal fields, at least one. Raises SealingError for a secret of fewer than 32 bytes."""
    if len(secret) < MIN_SECRET:
        raise SealingError(f"the sealing secret has {len(secret)} bytes: use at least {MIN_SECRET} random ones")
    return SealedBody(
        natural_key,
        tuple((name, _salt(secret, natural_key, name), fields[name]) for name in sorted(fields)),
    )


def decode_body(data: bytes, sealed_root: bytes) -> SealedBody:
    """The body that a sealed root of the chain stands for. Raises SealingError where it is another or damaged."""
    try:
        tag, version, kind, issuer, number, fields = decode(data)
        if (tag, version) != ("tally/sealed_body", 1):
            raise ValueError("another structure")
        body = SealedBody((kind, issuer, number), tuple((name, salt, value) for name, salt, value in fields))
        matches = hmac.compare_digest(body.root, sealed_root)
    except (CodecError, TypeError, ValueError):
        raise SealingError("this is no sealed body: restore it from a backup of the document store") from None
    if not matches:
        raise SealingError("the sealed body is not the one this record was sealed with: look it up by its record")
    return body


def _salt(secret: bytes, natural_key: NaturalKey, name: str) -> bytes:
    return hmac.digest(secret, encode(["tally/salt", 1, *natural_key, name]), "sha256")


def _leaf(name: str, salt: bytes, value: FieldValue) -> bytes:
    return encode(["tally/sealed_field", 1, name, salt, value])
