"""How documents are sealed for custody: keys, copies, Merkle roots, key lists. Pure: no file, no clock, no network.

An object is a raw document (named by the SHA-256 of its bytes) or a sealed body (named by its sealed root). A deposit
gathers objects of one set of kinds under one random deposit key M::

    object key O of a name  = HMAC-SHA256(M, canonical ["tally/object_key", 1, name])
    copy key of a holder    = HMAC-SHA256(O, canonical ["tally/copy_key", 1, holder id])
    copy of a holder        = XSalsa20-Poly1305 under its copy key, nonce zero: each key seals one message
    root of a copy          = RFC 6962 root over its chunks of 4096 bytes, the last one shorter
    entry of a copy         = canonical ["tally/custody_object", 1, name, size of the copy, root of the copy]
    deposit root of a holder = RFC 6962 root over its entries, in the deposit's order

So every holder's copy has other bytes, and nobody without M or O can make one copy out of another: a holder that
keeps nothing cannot answer a challenge from another holder's copy. A holder that is also a reader could
(docs/custody.md says what follows from that).

The key list of a deposit carries M to its readers and O of single objects to others, each in a sealed box
(X25519 of the recipient's Ed25519 encryption key), signed by the owner. Readers change by a newer list; copies and
chain stay as they are.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from chain import merkle
from chain.codec import CodecError, decode, encode
from chain.crypto import HASH_SIZE, PUBLIC_KEY_SIZE, SigningKey, verify
from chain.sealed import SealingError, decode_body

CHUNK: Final = 4096
"""Bytes of a copy under one Merkle leaf."""
OVERHEAD: Final = sodium.crypto_secretbox_MACBYTES
"""Bytes that a copy is longer than its document."""
KEY_SIZE: Final = 32
MAX_OBJECTS: Final = 512
"""Objects of one deposit."""
MAX_KEY_LIST: Final = 4 * 1024 * 1024
"""Bytes of a key list that are read at all."""

_PIECE: Final = 2047
_MEMBER: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NONCE: Final = bytes(sodium.crypto_secretbox_NONCEBYTES)


class EnvelopeError(Exception):
    """Something that is not what it was said to be; ``code`` is for programs, the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# -- copies -------------------------------------------------------------------------------------------------


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


# -- what a deposit says about its copies -------------------------------------------------------------------


class Entry(NamedTuple):
    """One object of a deposit at one holder. size: bytes of the copy."""

    name: bytes
    size: int
    root: bytes

    @property
    def leaf(self) -> bytes:
        """The canonical bytes under the deposit root."""
        return encode(["tally/custody_object", 1, self.name, self.size, self.root])


class Proof(NamedTuple):
    """That a holder has one chunk: what `contracts.custody` checks against the deposit root on the chain."""

    leaf: bytes
    path: list[bytes]
    chunk: bytes
    chunk_path: list[bytes]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All entries of one deposit at one holder, in the deposit's order."""

    chain: str
    number: int
    holder: str
    entries: tuple[Entry, ...]

    @property
    def root(self) -> bytes:
        """What must stand on the chain for this holder. 32 bytes."""
        return merkle.root([entry.leaf for entry in self.entries])

    @property
    def size(self) -> int:
        """Bytes of all copies."""
        return sum(entry.size for entry in self.entries)

    def encode(self) -> bytes:
        """Canonical bytes."""
        rows = [list(entry) for entry in self.entries]
        return encode(["tally/custody_manifest", 1, self.chain, self.number, self.holder, rows])

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """The manifest in canonical bytes; its root is not checked. Raises EnvelopeError MALFORMED_MANIFEST."""
        try:
            _, _, chain, number, holder, rows = _decoded(data, "tally/custody_manifest")
            entries = tuple(Entry(*row) for row in rows)
            well_formed = 1 <= len(entries) <= MAX_OBJECTS and all(
                _is_hash(entry.name) and _is_hash(entry.root) and type(entry.size) is int and entry.size >= OVERHEAD
                for entry in entries
            )
            well_formed &= _is_member(chain) and _is_member(holder) and _is_number(number)
        except (CodecError, TypeError, ValueError):
            well_formed = False
        if not well_formed:
            raise EnvelopeError("MALFORMED_MANIFEST", "this is no manifest of a deposit: ask another holder")
        return cls(chain, number, holder, entries)

    def prove(self, index: int, copy: bytes, chunk: int) -> Proof:
        """That the holder of ``copy``, the object ``index``, has its chunk. Raises IndexError."""
        pieces = chunks(copy)
        return Proof(
            self.entries[index].leaf,
            merkle.prove([entry.leaf for entry in self.entries], index),
            pieces[chunk],
            merkle.prove(pieces, chunk),
        )


# -- key lists ----------------------------------------------------------------------------------------------


class Recipient(NamedTuple):
    """Whom a key is sealed to. kind: "member" or "party"; key: its Ed25519 encryption key as registered, 32 bytes."""

    kind: str
    id: str
    key: bytes


class DepositSecret(NamedTuple):
    """What opens a deposit: its key M (32 bytes) and the kinds that its objects were taken in under."""

    key: bytes
    kinds: tuple[str, ...]


class KeyRow(NamedTuple):
    """A deposit's secret for one key of one reader, in a sealed box."""

    kind: str
    id: str
    key: bytes
    box: bytes


class ObjectKeyRow(NamedTuple):
    """The key O of one object for one key of one reader, in a sealed box."""

    name: bytes
    kind: str
    id: str
    key: bytes
    box: bytes


@dataclass(frozen=True, slots=True)
class KeyList:
    """Who may open a deposit. version: the consortium height it was made at; the newest counts."""

    chain: str
    number: int
    version: int
    rows: tuple[KeyRow, ...]
    objects: tuple[ObjectKeyRow, ...]
    signer: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Canonical bytes, as custodians keep and send them."""
        return encode(["tally/custody_key_list", 1, *self._content(), self.signer, self.signature])

    @classmethod
    def decode(cls, data: bytes) -> KeyList:
        """A key list out of bytes; check who signed it with `check`. Raises EnvelopeError MALFORMED_KEY_LIST."""
        try:
            _, _, chain, number, version, rows, objects, signer, signature = _decoded(data, "tally/custody_key_list")
            found = cls(
                chain,
                number,
                version,
                tuple(KeyRow(*row) for row in rows),
                tuple(ObjectKeyRow(*row) for row in objects),
                signer,
                signature,
            )
            well_formed = _is_well_formed(found)
        except (CodecError, TypeError, ValueError):
            well_formed = False
        if not well_formed:
            raise EnvelopeError("MALFORMED_KEY_LIST", "this is no key list of a deposit: ask its owner again")
        return found

    def check(self, network_id: bytes, signers: Iterable[bytes]) -> None:
        """Whether one of the owner's signer keys signed it for this network. Raises EnvelopeError WRONG_SIGNATURE."""
        if self.signer not in set(signers) or not verify(self.signer, self.signed_bytes(network_id), self.signature):
            raise EnvelopeError(
                "WRONG_SIGNATURE",
                f"the key list of deposit {self.number} of {self.chain} is not signed by that member: ask it again",
            )

    def signed_bytes(self, network_id: bytes) -> bytes:
        """The canonical bytes that the owner signs."""
        return encode(["tally/custody_keys", 1, network_id, *self._content()])

    def reads(self, kind: str, reader: str, name: bytes | None = None) -> bool:
        """Whether a member or party may open the deposit, or at least the object of ``name``."""
        return any((row.kind, row.id) == (kind, reader) for row in self.rows) or any(
            (row.kind, row.id, row.name) == (kind, reader, name) for row in self.objects
        )

    def secret(self, keys: Iterable[SigningKey]) -> DepositSecret | None:
        """What opens the deposit, where one of the encryption keys was given it. Raises EnvelopeError DAMAGED_BOX."""
        for key in keys:
            for row in self.rows:
                if row.key == key.public:
                    return _parse_secret(unseal(key, row.box))
        return None

    def object_key(self, name: bytes, keys: Sequence[SigningKey]) -> bytes | None:
        """O of an object, through M or given alone, or None. Raises EnvelopeError DAMAGED_BOX."""
        secret = self.secret(keys)
        if secret is not None:
            return object_key(secret.key, name)
        for key in keys:
            for row in self.objects:
                if row.name == name and row.key == key.public:
                    return unseal(key, row.box)
        return None

    def _content(self) -> list[Any]:
        rows, objects = [list(row) for row in self.rows], [list(row) for row in self.objects]
        return [self.chain, self.number, self.version, rows, objects]


def make_key_list(
    network_id: bytes,
    chain: str,
    number: int,
    version: int,
    secret: DepositSecret,
    readers: Sequence[Recipient],
    signer: SigningKey,
    objects: Sequence[tuple[bytes, Recipient]] = (),
) -> KeyList:
    """A signed key list. ``readers``: of the whole deposit, the owner's own keys among them; ``objects``: (name,
    reader) pairs of single objects. Raises EnvelopeError NO_ENCRYPTION_KEY where a key cannot be sealed to."""
    whole = encode(["tally/deposit_secret", 1, secret.key, list(secret.kinds)])
    unsigned = KeyList(
        chain,
        number,
        version,
        tuple(KeyRow(*reader, seal_to(reader.key, whole)) for reader in readers),
        tuple(
            ObjectKeyRow(name, *reader, seal_to(reader.key, object_key(secret.key, name))) for name, reader in objects
        ),
        signer.public,
        b"",
    )
    return replace(unsigned, signature=signer.sign(unsigned.signed_bytes(network_id)))


def seal_to(public_key: bytes, data: bytes) -> bytes:
    """A sealed box to an Ed25519 encryption key. Raises EnvelopeError NO_ENCRYPTION_KEY for bytes that are no key."""
    try:
        return sodium.crypto_box_seal(data, sodium.crypto_sign_ed25519_pk_to_curve25519(public_key))
    except (CryptoError, RuntimeError, ValueError):
        raise EnvelopeError(
            "NO_ENCRYPTION_KEY", f"{public_key.hex()} is no encryption key: have its owner register another"
        ) from None


def unseal(key: SigningKey, box: bytes) -> bytes:
    """What is in a sealed box to this encryption key. Raises EnvelopeError DAMAGED_BOX."""
    public = sodium.crypto_sign_ed25519_pk_to_curve25519(key.public)
    secret = sodium.crypto_sign_ed25519_sk_to_curve25519(key.seed + key.public)
    try:
        return sodium.crypto_box_seal_open(box, public, secret)
    except (CryptoError, ValueError):
        raise EnvelopeError("DAMAGED_BOX", "a sealed box to this key does not open: ask its sender again") from None


def _copy_key(key: bytes, holder: str) -> bytes:
    return hmac.digest(key, encode(["tally/copy_key", 1, holder]), "sha256")


def _parse_secret(data: bytes) -> DepositSecret:
    try:
        _, _, key, kinds = _decoded(data, "tally/deposit_secret")
        if len(key) == KEY_SIZE and all(type(kind) is str for kind in kinds):
            return DepositSecret(bytes(key), tuple(kinds))
    except (CodecError, TypeError, ValueError):
        pass
    raise EnvelopeError("DAMAGED_BOX", "a sealed box holds no deposit key: ask the owner for its key list again")


def _decoded(data: bytes, tag: str) -> list[Any]:
    """A canonical array of version 1 under its tag. Raises CodecError, ValueError."""
    found: Any = decode(data, max_size=MAX_KEY_LIST)
    if type(found) is not list or found[:2] != [tag, 1]:
        raise ValueError("another structure")
    return found


def _is_hash(value: Any) -> bool:
    return type(value) is bytes and len(value) == HASH_SIZE


def _is_member(value: Any) -> bool:
    """Ids name files too: nothing else gets through."""
    return type(value) is str and _MEMBER.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_well_formed(found: KeyList) -> bool:
    return (
        _is_member(found.chain)
        and _is_number(found.number)
        and _is_number(found.version)
        and all(_is_row(*row) for row in found.rows)
        and all(_is_hash(name) and _is_row(*row) for name, *row in found.objects)
        and type(found.signer) is bytes
        and type(found.signature) is bytes
    )


def _is_row(kind: Any, reader: Any, key: Any, box: Any) -> bool:
    return (
        kind in ("member", "party")
        and type(reader) is str
        and type(key) is bytes
        and len(key) == PUBLIC_KEY_SIZE
        and type(box) is bytes
    )
