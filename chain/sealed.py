"""Sealed fields and sealed files: on the chain a commitment, at the member the content and the salts that open it.

Fields::

    salt   = HMAC-SHA256(member secret, canonical ["tally/salt", 1, kind, issuer, number, field])
    leaf 0 = canonical ["tally/sealed_names", 1, kind, issuer, number, [field …]]   all names, each once, sorted
    leaf i = canonical ["tally/sealed_field", 1, field, salt, value]    of the i-th name, from 1
    root   = RFC 6962 root over the leaves: the record's ``sealed_root``
    body   = canonical ["tally/sealed_body", 1, kind, issuer, number, [[field, salt, value] …], zeros]

The raw file a record was read from::

    salt = HMAC-SHA256(member secret, canonical ["tally/raw_salt", 1, sha256 of the file])
    raw  = canonical ["tally/raw_document", 1, salt, file];  the record's ``raw_hash`` = sha256(raw)

A field is opened by showing its leaf with its audit path; the others stay hidden behind salts of 256 bits. Leaf 0 is
shown with it, so that nobody can seal a field twice and open whichever value suits, nor put another record's root
into one's own and open that record's values as one's own later. Zeros fill a body up to a
multiple of 256 bytes, because those who keep it, encrypted, see its size. The file's hash is salted because a file
whose every other byte can be guessed would give its sealed values away to whoever tries them all. Salts depend on
nothing but the secret and the content's name, so that the same document taken in twice is the same record (DESIGN.md,
"A record"). Whoever loses the secret and the body can open nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from chain import merkle
from chain.codec import CodecError, decode, encode
from chain.crypto import sha256
from contracts.record import FieldValue, NaturalKey

MIN_SECRET: Final = 32
"""Bytes; a shorter secret would let the salts be searched."""
SALT_SIZE: Final = 32
PADDED: Final = 256
"""Bytes of which a body's size is a multiple."""
RAW_OVERHEAD: Final = 128
"""Bytes, at most, by which a raw document is larger than its file."""


class SealingError(ValueError):
    """Something sealed that cannot be made or opened; ``code`` for programs, one line that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Opening:
    """One opened field and its place among the leaves of a sealed root: ``index`` from 1 of ``count`` leaves."""

    name: str
    salt: bytes
    value: FieldValue
    index: int
    count: int
    path: tuple[bytes, ...]

    def verify(self, sealed_root: bytes) -> bool:
        """Whether exactly this value of this field stands under the root. That it stands there once: SealedNames."""
        leaf = _leaf(self.name, self.salt, self.value)
        return merkle.verify(sealed_root, leaf, self.index, self.count, self.path)


@dataclass(frozen=True, slots=True)
class SealedNames:
    """The names of all fields under a sealed root, with the proof: what makes a name's place the only one it has."""

    names: tuple[str, ...]
    path: tuple[bytes, ...]

    def verify(self, sealed_root: bytes, natural_key: NaturalKey) -> bool:
        """Whether exactly these fields were sealed, each once, for the record of this natural key."""
        if not self.names or any(type(name) is not str for name in self.names):
            return False
        if list(self.names) != sorted(set(self.names)):
            return False
        return merkle.verify(sealed_root, _names_leaf(natural_key, self.names), 0, len(self.names) + 1, self.path)

    def admits(self, opening: Opening) -> bool:
        """Whether an opening is at the one place that its name has."""
        place = (opening.index - 1, opening.count) if type(opening.index) is int else None
        return opening.name in self.names and place == (self.names.index(opening.name), len(self.names) + 1)


@dataclass(frozen=True, slots=True)
class SealedBody:
    """The sealed fields of one record: (name, salt, value), sorted by name."""

    natural_key: NaturalKey
    fields: tuple[tuple[str, bytes, FieldValue], ...]

    @property
    def root(self) -> bytes:
        """The 32 bytes that go on the chain."""
        return merkle.root(self._leaves())

    @property
    def values(self) -> dict[str, FieldValue]:
        """What was sealed, by name."""
        return {name: value for name, _, value in self.fields}

    def encode(self) -> bytes:
        """The bytes for the member's documents."""
        body = ["tally/sealed_body", 1, *self.natural_key, [list(field) for field in self.fields]]
        return encode([*body, bytes(-len(encode([*body, b""])) % PADDED)])

    def names(self) -> SealedNames:
        """All names with their proof."""
        return SealedNames(tuple(name for name, _, _ in self.fields), tuple(merkle.prove(self._leaves(), 0)))

    def open(self, name: str) -> Opening:
        """One field with its proof. Raises SealingError UNKNOWN_FIELD where it is not among the sealed ones."""
        names = [field[0] for field in self.fields]
        if name not in names:
            raise SealingError("UNKNOWN_FIELD", f"no field {name[:40]!r} is sealed here, only {', '.join(names)}")
        index = names.index(name)
        leaves = self._leaves()
        return Opening(*self.fields[index], index + 1, len(leaves), tuple(merkle.prove(leaves, index + 1)))

    def _leaves(self) -> list[bytes]:
        names = _names_leaf(self.natural_key, (name for name, _, _ in self.fields))
        return [names, *(_leaf(*field) for field in self.fields)]


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A file with the salt that hides it: what a member keeps and its readers get."""

    salt: bytes
    file: bytes

    def encode(self) -> bytes:
        """The bytes for the member's documents; their SHA-256 is the record's raw_hash."""
        return encode(["tally/raw_document", 1, self.salt, self.file])

    @property
    def hash(self) -> bytes:
        """The 32 bytes that stand in the record's source."""
        return sha256(self.encode())


def seal(fields: Mapping[str, FieldValue], natural_key: NaturalKey, secret: bytes) -> SealedBody:
    """Seal fields, at least one. Raises SealingError SHORT_SECRET for a secret of fewer than 32 bytes."""
    _check_secret(secret)
    return SealedBody(
        natural_key,
        tuple((name, _salt(secret, ["tally/salt", 1, *natural_key, name]), fields[name]) for name in sorted(fields)),
    )


def seal_file(file: bytes, secret: bytes) -> RawDocument:
    """A file with its salt. Raises SealingError SHORT_SECRET for a secret of fewer than 32 bytes."""
    _check_secret(secret)
    return RawDocument(_salt(secret, ["tally/raw_salt", 1, sha256(file)]), file)


def decode_body(data: bytes, sealed_root: bytes) -> SealedBody:
    """The body that a sealed root of the chain stands for. Raises SealingError NO_SEALED_BODY, WRONG_BODY."""
    try:
        tag, version, kind, issuer, number, fields, _ = decode(data)
        if (tag, version) != ("tally/sealed_body", 1):
            raise ValueError("another structure")
        body = SealedBody((kind, issuer, number), tuple((name, salt, value) for name, salt, value in fields))
        names = [name for name, _, _ in body.fields]
        if not names or names != sorted(set(names)):
            raise ValueError("names that are not sorted, each once")
        if body.encode() != data:  # one form of each body: it is sealed under keys made for one message
            raise ValueError("other zeros")
        matches = hmac.compare_digest(body.root, sealed_root)
    except (CodecError, TypeError, ValueError):
        said = "this is no sealed body: get it from the record's owner, or restore a backup of the documents"
        raise SealingError("NO_SEALED_BODY", said) from None
    if not matches:
        said = "the sealed body is not the one this record was sealed with: look it up by its record"
        raise SealingError("WRONG_BODY", said)
    return body


def decode_raw(data: bytes) -> RawDocument:
    """The file in the bytes that a raw_hash names. Raises SealingError NO_RAW_DOCUMENT."""
    try:
        tag, version, salt, file = decode(data, max_size=max(len(data), 1))
        if (tag, version, type(salt), type(file)) != ("tally/raw_document", 1, bytes, bytes):
            raise ValueError("another structure")
        if len(salt) != SALT_SIZE:
            raise ValueError("no salt")
    except (CodecError, TypeError, ValueError):
        said = "this is no raw document of a record: look it up by the record's raw file"
        raise SealingError("NO_RAW_DOCUMENT", said) from None
    return RawDocument(salt, file)


def _check_secret(secret: bytes) -> None:
    if len(secret) < MIN_SECRET:
        said = f"the sealing secret has {len(secret)} bytes: use at least {MIN_SECRET} random ones"
        raise SealingError("SHORT_SECRET", said)


def _salt(secret: bytes, content: list[int | str | bytes]) -> bytes:
    return hmac.digest(secret, encode(content), "sha256")


def _leaf(name: str, salt: bytes, value: FieldValue) -> bytes:
    return encode(["tally/sealed_field", 1, name, salt, value])


def _names_leaf(natural_key: NaturalKey, names: Iterable[str]) -> bytes:
    return encode(["tally/sealed_names", 1, *natural_key, list(names)])
