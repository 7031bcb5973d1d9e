"""Key lists: who may open a deposit or single objects of it, in sealed boxes, signed by the deposit's owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from chain.codec import CodecError, encode
from chain.crypto import PUBLIC_KEY_SIZE, SigningKey, verify
from node.envelope.copies import object_key
from node.envelope.errors import EnvelopeError
from node.envelope.forms import decoded, is_hash, is_member, is_number

KEY_SIZE: Final = 32


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
            _, _, chain, number, version, rows, objects, signer, signature = decoded(data, "tally/custody_key_list")
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


def _parse_secret(data: bytes) -> DepositSecret:
    try:
        _, _, key, kinds = decoded(data, "tally/deposit_secret")
        if len(key) == KEY_SIZE and all(type(kind) is str for kind in kinds):
            return DepositSecret(bytes(key), tuple(kinds))
    except (CodecError, TypeError, ValueError):
        pass
    raise EnvelopeError("DAMAGED_BOX", "a sealed box holds no deposit key: ask the owner for its key list again")


def _is_well_formed(found: KeyList) -> bool:
    return (
        is_member(found.chain)
        and is_number(found.number)
        and is_number(found.version)
        and all(_is_row(*row) for row in found.rows)
        and all(is_hash(name) and _is_row(*row) for name, *row in found.objects)
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
