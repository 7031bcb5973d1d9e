"""Validators, votes and certificates: what agreement leaves behind, checkable by anyone offline.

Quorum is ``(2n-1)//3 + 1``, never ``2f+1``: with n = 5 or 6 that forks (PROTOCOL.md, Numbers). Distinct
signers are counted, never signatures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from chain.codec import CodecError, decode, encode, is_tagged
from chain.crypto import HASH_SIZE, PUBLIC_KEY_SIZE, SIGNATURE_SIZE, hash_value, verify

TAG_VOTE: Final = "tally/vote"
TAG_ROUND_CHANGE: Final = "tally/round_change"
TAG_CERTIFICATE: Final = "tally/certificate"
TAG_VALIDATORS: Final = "tally/validators"
VERSION: Final = 1
MAX_CERTIFICATE_SIZE: Final = 64 * 1024

SignatureCheck = Callable[[bytes, bytes, bytes], bool]
"""``(public key, message, signature) -> stands``: ``chain.crypto.verify``, or the simulator's table."""


class CertificateError(ValueError):
    """A certificate or validator set that proves nothing; the message says why, in one line."""


class VoteKind(IntEnum):
    """What a vote says of a digest at (height, round)."""

    PRE_PREPARE = 1
    PREPARE = 2
    COMMIT = 3


def quorum(n: int) -> int:
    """Votes that decide among n validators: ceil(2n/3)."""
    return (2 * n - 1) // 3 + 1


def faults(n: int) -> int:
    """Validators among n that may be Byzantine."""
    return (n - 1) // 3


def vote_message(network_id: bytes, epoch: int, kind: int, height: int, round_number: int, digest: bytes) -> bytes:
    """The bytes a validator signs for PRE-PREPARE, PREPARE or COMMIT."""
    return encode([TAG_VOTE, VERSION, network_id, epoch, int(kind), height, round_number, digest])


def round_change_message(
    network_id: bytes,
    epoch: int,
    height: int,
    round_number: int,
    prepared_round: int | None,
    prepared_digest: bytes | None,
) -> bytes:
    """The bytes a validator signs for ROUND-CHANGE; prepared round and digest are both null or both set."""
    return encode(
        [TAG_ROUND_CHANGE, VERSION, network_id, epoch, height, round_number, prepared_round, prepared_digest]
    )


@dataclass(frozen=True)
class ValidatorSet:
    """The validators of one epoch, sorted by member id: ``members[i] = (id, public key)``."""

    epoch: int
    members: tuple[tuple[str, bytes], ...]

    def __post_init__(self) -> None:
        ids = [member for member, _ in self.members]
        if not ids or ids != sorted(set(ids)):
            raise CertificateError("a validator set lists at least one member, each once, sorted by id")
        if any(len(key) != PUBLIC_KEY_SIZE for _, key in self.members):
            raise CertificateError("a validator key has 32 bytes")
        if len({key for _, key in self.members}) != len(ids):
            raise CertificateError("two validators share a key")

    @cached_property
    def keys(self) -> dict[str, bytes]:
        """Public key by member id."""
        return dict(self.members)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Member ids in leader order."""
        return tuple(member for member, _ in self.members)

    @cached_property
    def hash(self) -> bytes:
        """What headers carry as validators_hash (R11)."""
        return hash_value(self.to_value())

    @property
    def quorum(self) -> int:
        """Distinct signers that decide."""
        return quorum(len(self.members))

    @property
    def faults(self) -> int:
        """Byzantine members tolerated."""
        return faults(len(self.members))

    def leader(self, height: int, round_number: int) -> str:
        """The proposer of (height, round): rotates with h + r."""
        return self.ids[(height + round_number) % len(self.ids)]

    def to_value(self) -> list[Any]:
        """The canonical array."""
        return [TAG_VALIDATORS, VERSION, self.epoch, [[member, key] for member, key in self.members]]

    @classmethod
    def from_value(cls, value: Any) -> ValidatorSet:
        """The set of a canonical array. Raises CertificateError."""
        if not is_tagged(value, TAG_VALIDATORS, VERSION, 4):
            raise CertificateError(f"not a {TAG_VALIDATORS} version {VERSION}")
        epoch, rows = value[2:]
        if type(epoch) is not int or epoch < 0 or type(rows) is not list:
            raise CertificateError("a validator set is an epoch from 0 and a list")
        return cls(epoch, tuple(_pair(row, "a validator is not [id, 32-byte key]", PUBLIC_KEY_SIZE) for row in rows))


@dataclass(frozen=True)
class Certificate:
    """Q COMMIT signatures over one (height, round, digest): ``signatures[i] = (validator id, 64 bytes)``."""

    height: int
    round: int
    digest: bytes
    epoch: int
    signatures: tuple[tuple[str, bytes], ...]

    def to_value(self) -> list[Any]:
        """The canonical array."""
        rows = [[member, signature] for member, signature in self.signatures]
        return [TAG_CERTIFICATE, VERSION, self.height, self.round, self.digest, self.epoch, rows]

    @cached_property
    def hash(self) -> bytes:
        """What header h+1 commits to."""
        return hash_value(self.to_value())

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode(self.to_value())

    @classmethod
    def decode(cls, data: bytes) -> Certificate:
        """The certificate of canonical bytes. Raises CertificateError."""
        try:
            return cls.from_value(decode(data, max_size=MAX_CERTIFICATE_SIZE))
        except CodecError as error:
            raise CertificateError(f"the certificate is not canonical: {error}") from None

    @classmethod
    def from_value(cls, value: Any) -> Certificate:
        """The certificate of a canonical array: form only, signatures are ``check``'s. Raises CertificateError."""
        if not is_tagged(value, TAG_CERTIFICATE, VERSION, 7):
            raise CertificateError(f"not a {TAG_CERTIFICATE} version {VERSION}")
        height, round_number, digest, epoch, rows = value[2:]
        if not all(type(number) is int and number >= 0 for number in (height, round_number, epoch)):
            raise CertificateError("height, round and epoch of a certificate are not negative")
        if type(digest) is not bytes or len(digest) != HASH_SIZE or type(rows) is not list:
            raise CertificateError("a certificate is of a 32-byte digest and a list of seals")
        what = "a seal is not [validator id, 64-byte signature]"
        seals = tuple(_pair(row, what, SIGNATURE_SIZE) for row in rows)
        return cls(height, round_number, digest, epoch, seals)

    def check(self, validators: ValidatorSet, network_id: bytes, signature_check: SignatureCheck = verify) -> None:
        """Raise CertificateError unless ≥ Q distinct members of ``validators`` signed this COMMIT (R5, R9)."""
        if self.height < 1 or self.round < 0:
            raise CertificateError("a certificate stands for a height from 1 and a round from 0")
        if self.epoch != validators.epoch:
            raise CertificateError(f"the certificate is of epoch {self.epoch}, not {validators.epoch}")
        signers = [member for member, _ in self.signatures]
        if any(a >= b for a, b in pairwise(signers)):
            raise CertificateError("the signers are not strictly ascending, so one might count twice")
        if len(signers) < validators.quorum:
            raise CertificateError(f"{len(signers)} signers where {validators.quorum} decide")
        message = vote_message(network_id, self.epoch, VoteKind.COMMIT, self.height, self.round, self.digest)
        for member, signature in self.signatures:
            key = validators.keys.get(member)
            if key is None:
                raise CertificateError(f"{member!r} is not a validator of epoch {self.epoch}")
            if not signature_check(key, message, signature):
                raise CertificateError(f"the COMMIT signature of {member!r} does not verify")


def _pair(row: Any, what: str, size: int) -> tuple[str, bytes]:
    if type(row) is list and len(row) == 2 and type(row[0]) is str and type(row[1]) is bytes and len(row[1]) == size:
        return row[0], row[1]
    raise CertificateError(what)
