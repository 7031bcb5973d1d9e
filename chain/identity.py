"""Who a network is: the genesis hash, from the document alone.

``network id = SHA-256(["tally/genesis", 1, first validator set, SHA-256(document)])``. The first validator set
stands beside the document's hash so that a proof can carry the set without the whole document (templates and
all), and still be tied to the hash that the verifier brought along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chain.certificate import CertificateError, ValidatorSet
from chain.codec import encode, is_tagged
from chain.crypto import HASH_SIZE, sha256

TAG_GENESIS: Final = "tally/genesis"
VERSION: Final = 1


class IdentityError(ValueError):
    """A genesis document or statement that names no network; one line."""


def genesis_validators(document: Mapping[str, Any]) -> ValidatorSet:
    """The validator set of epoch 0: the members with a validator key. Raises IdentityError."""
    members = sorted(
        (member["id"], member["validator"]) for member in document["members"] if member["validator"] is not None
    )
    try:
        return ValidatorSet(0, tuple(members))
    except CertificateError as error:
        raise IdentityError(str(error)) from None


def genesis_statement(document: Mapping[str, Any]) -> list[Any]:
    """What every member signs: validators and document hash. The network id is its hash."""
    document_hash = sha256(encode(dict(document)))
    return [TAG_GENESIS, VERSION, genesis_validators(document).to_value(), document_hash]


def genesis_hash(document: Mapping[str, Any]) -> bytes:
    """The network id of a document, 32 bytes."""
    return sha256(encode(genesis_statement(document)))


def check_statement(statement: Any, network_id: bytes) -> ValidatorSet:
    """The first validator set of a network, from a statement that must hash to its id. Raises IdentityError."""
    if sha256(encode(statement)) != network_id:
        raise IdentityError("the genesis statement is of another consortium than the given genesis hash")
    if not is_tagged(statement, TAG_GENESIS, VERSION, 4):
        raise IdentityError(f"not a {TAG_GENESIS} version {VERSION}")
    _, _, validators, document_hash = statement
    if type(document_hash) is not bytes or len(document_hash) != HASH_SIZE:
        raise IdentityError("the genesis statement has no 32-byte document hash")
    try:
        return ValidatorSet.from_value(validators)
    except CertificateError as error:
        raise IdentityError(str(error)) from None
