"""A disclosure: single sealed fields of one record opened, with the proof that the record stood on the chain.

Canonical bytes in a file::

    {"format": ["tally/disclosure", 1], "proof": proof of the record (chain/verification.py),
     "names": [[name …], path] | nil, "openings": [[name, salt, value, index, count, path] …],
     "raw_salt": bytes | nil}

``names`` lists all fields that were sealed (nil where no field is opened). ``raw_salt``, where it is given, opens the
record's raw hash to whoever holds the file. It proves itself: who made or sent it does not matter, only the genesis
hash, which the verifier brings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from chain.codec import CodecError, decode, encode, is_tagged
from chain.sealed import SALT_SIZE, Opening, RawDocument, SealedNames
from chain.verification import MAX_PROOF_SIZE, Verdict, VerificationError
from contracts.record import FieldValue

TAG: Final = "tally/disclosure"
VERSION: Final = 1
KIND: Final = "disclosure"
"""Of its verdict."""
MAX_DISCLOSURE: Final = 2 * MAX_PROOF_SIZE
NATURAL_KEY: Final = slice(2, 5)
SOURCE, SEALED_ROOT = 11, 13
"""Places in the record array (contracts/record.py)."""
RAW_HASH: Final = 3
"""Place in its source."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What the module describes, its parts checked for form only."""

    proof: bytes
    names: SealedNames | None
    openings: tuple[Opening, ...]
    raw_salt: bytes | None

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode(
            {
                "format": [TAG, VERSION],
                "proof": self.proof,
                "names": None if self.names is None else [list(self.names.names), list(self.names.path)],
                "openings": [
                    [found.name, found.salt, found.value, found.index, found.count, list(found.path)]
                    for found in self.openings
                ],
                "raw_salt": self.raw_salt,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Disclosure:
        """The disclosure in canonical bytes. Raises VerificationError."""
        try:
            found: Any = decode(data, max_size=MAX_DISCLOSURE)
        except CodecError as error:
            raise VerificationError(f"not a disclosure: {error}") from None
        if not is_disclosure(found):
            raise VerificationError(f"not a {TAG} version {VERSION}")
        if found.keys() != {"format", "proof", "names", "openings", "raw_salt"}:
            raise VerificationError(f"not a {TAG} version {VERSION}: it has other parts")
        try:
            names = None if found["names"] is None else SealedNames(*(tuple(part) for part in found["names"]))
            openings = tuple(
                Opening(name, salt, _value(value), index, count, tuple(path))
                for name, salt, value, index, count, path in found["openings"]
            )
        except (TypeError, ValueError):
            raise VerificationError("the disclosure's openings are malformed: ask for it again") from None
        salt = found["raw_salt"]
        if type(found["proof"]) is not bytes or not (salt is None or _is_salt(salt)):
            raise VerificationError("the disclosure's proof or salt is malformed: ask for it again")
        return cls(found["proof"], names, openings, salt)


def is_disclosure(value: Any) -> bool:
    """Whether a decoded value says that it is a disclosure."""
    return type(value) is dict and is_tagged(value.get("format"), TAG, VERSION, 2)


def verify_disclosure(data: bytes, check: Callable[[bytes], Verdict], file: bytes | None = None) -> Verdict:
    """What a disclosure proves, under the verdict on its record proof. Raises VerificationError.

    check: verifies proof bytes, against a genesis hash or headers. file: what is said to be the record's raw file.
    The verdict's subject is the record proof's with ``opened`` {name: value}, ``sealed_fields`` (all names, or nil)
    and ``file`` (True where it was held against the record, else nil).
    """
    found = Disclosure.decode(data)
    verdict = check(found.proof)
    if verdict.kind != "record":
        raise VerificationError(f"the disclosure carries the proof of a {verdict.kind}, not of a record")
    record = verdict.subject["record"]
    opened = _opened(found, record, verdict)
    if file is not None:
        _check_file(found, record[SOURCE][RAW_HASH], file, verdict)
    verdict.kind = KIND
    verdict.subject |= {
        "opened": opened,
        "sealed_fields": None if found.names is None else list(found.names.names),
        "file": True if file is not None else None,
    }
    return verdict


def _opened(found: Disclosure, record: Sequence[Any], verdict: Verdict) -> dict[str, FieldValue]:
    """The opened values, each held against the record's root."""
    kind, issuer, number = record[NATURAL_KEY]
    sealed_root: bytes | None = record[SEALED_ROOT]
    if not found.openings:
        if found.names is not None:
            raise VerificationError("the disclosure names sealed fields and opens none")
        return {}
    if sealed_root is None:
        raise VerificationError("the record has no sealed fields: what the disclosure opens is not of it")
    if found.names is None or not found.names.verify(sealed_root, (kind, issuer, number)):
        raise VerificationError("the list of sealed fields does not lead to the record's sealed root")
    opened: dict[str, FieldValue] = {}
    for opening in found.openings:
        if not found.names.admits(opening) or not opening.verify(sealed_root):
            raise VerificationError(
                f"field {str(opening.name)[:40]!r} was not sealed with this value under the record's sealed root"
            )
        if opening.name in opened:
            raise VerificationError(f"field {opening.name!r} is opened twice")
        opened[opening.name] = opening.value
        verdict.steps.append(
            f"opened: {opening.name} is number {opening.index} of {opening.count - 1} fields under the sealed root"
        )
    return opened


def _check_file(found: Disclosure, raw_hash: bytes, file: bytes, verdict: Verdict) -> None:
    if found.raw_salt is None:
        raise VerificationError(
            "the disclosure does not open the raw file's hash: ask for one made with `tally record disclose --raw`"
        )
    if RawDocument(found.raw_salt, file).hash != raw_hash:
        raise VerificationError("the file is not the one that the record was read from")
    verdict.steps.append(f"file: its {len(file)} bytes with the opened salt hash to the record's raw hash")


def _is_salt(value: Any) -> bool:
    return type(value) is bytes and len(value) == SALT_SIZE


def _value(value: Any) -> FieldValue:
    """Text, or rows of text. Raises ValueError."""
    rows: Any = value
    if type(value) is str or (
        type(value) is list and all(type(row) is list and all(type(cell) is str for cell in row) for row in rows)
    ):
        return cast(FieldValue, value)
    raise ValueError("no value of a field")
