"""A signed transaction: what is signed, what is hashed, what travels.

=============  ==========================================================================
body           ``["tally/tx", 1, network id, chain, contract, method, args, signers, nonce, valid until]``
id             SHA-256 of the body: without signatures, so known and printed before anything is sent
signed bytes   ``["tally/signed_tx", 1, body, signatures]``: the leaf of the transaction tree
wire           ``["tally/wire_tx", 1, body, signatures, records]``: what peers exchange
=============  ==========================================================================

A batch of records travels beside the body, which holds ``{"count", "records_root"}`` of it: so the proof of
one record needs the body and a path, never the other records. The body names its signers, strictly
ascending, so that no signature can be added or taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from chain import merkle
from chain.codec import CodecError, decode, encode, is_tagged, load, pack
from chain.crypto import HASH_SIZE, PUBLIC_KEY_SIZE, SIGNATURE_SIZE, SUITE_ED25519, SigningKey, sha256, verify

TAG_BODY: Final = "tally/tx"
TAG_SIGNED: Final = "tally/signed_tx"
TAG_WIRE: Final = "tally/wire_tx"
VERSION: Final = 1

NONCE_SIZE: Final = 16
MAX_WIRE_SIZE: Final = 512 * 1024
"""Bytes of one transaction with its records."""
MAX_ITEMS: Final = 2**16
"""Values in its body, and around it: half a megabyte of empty arrays would cost every member half a second."""
MAX_SIGNERS: Final = 16
MAX_RECORDS: Final = 1000
MAX_NAME: Final = 64
"""Characters of a chain, contract or method name."""


class TransactionError(ValueError):
    """A transaction that no block may hold. ``code`` is stable for programs, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Transaction:
    """A decoded transaction. Sizes: ids and keys 32 bytes, nonce 16, signatures 64; times in ms.

    ``signatures[i]`` is that of ``signers[i]`` over ``body``.
    """

    network_id: bytes
    chain: str
    contract: str
    method: str
    args: dict[str, Any]
    signers: tuple[bytes, ...]
    nonce: bytes
    valid_until: int
    signatures: tuple[bytes, ...]
    records: tuple[bytes, ...]
    id: bytes
    body: bytes
    wire: bytes

    @property
    def leaf(self) -> bytes:
        """The signed bytes: what the transaction tree is made of."""
        return signed_bytes(self.body, self.signatures)


def signed_bytes(body: bytes, signatures: tuple[bytes, ...]) -> bytes:
    """The leaf of a body with its signatures, in the order of its signers."""
    return pack([TAG_SIGNED, VERSION, body, [[SUITE_ED25519, signature] for signature in signatures]])


def make_body(
    *,
    network_id: bytes,
    chain: str,
    contract: str,
    method: str,
    args: dict[str, Any],
    signers: list[bytes],
    nonce: bytes,
    valid_until: int,
) -> bytes:
    """The canonical bytes every signer signs. Signers may come in any order; the body holds them sorted."""
    return encode([TAG_BODY, VERSION, network_id, chain, contract, method, args, sorted(signers), nonce, valid_until])


def batch_args(records: list[bytes]) -> dict[str, Any]:
    """The arguments that commit a body to a batch of record bytes."""
    return {"count": len(records), "records_root": merkle.root(records)}


def sign(body: bytes, keys: list[SigningKey], records: list[bytes] | None = None) -> Transaction:
    """Sign a body with the keys of all its signers and return the checked transaction."""
    signatures = [[SUITE_ED25519, key.sign(body)] for key in sorted(keys, key=lambda key: key.public)]
    return parse(encode([TAG_WIRE, VERSION, body, signatures, records or []]))


def parse(wire: bytes) -> Transaction:
    """Decode wire bytes and check all that needs no state: form, sizes, counts, the root of the records.

    Signatures are checked apart (``check_signatures``). Raises TransactionError.
    """
    if len(wire) > MAX_WIRE_SIZE:
        raise TransactionError("TOO_LARGE", f"the transaction has {len(wire)} bytes; {MAX_WIRE_SIZE} are allowed")
    try:
        outer = decode(wire, max_depth=3, max_items=MAX_ITEMS)
        if not is_tagged(outer, TAG_WIRE, VERSION, 5):
            raise TransactionError("MALFORMED", f"not a {TAG_WIRE} version {VERSION}")
        _, _, body, signatures, records = outer
        _require(type(body) is bytes, "the body is not a byte string")
        inner = decode(body, max_items=MAX_ITEMS)
    except CodecError as error:
        raise TransactionError("NOT_CANONICAL", f"the transaction is not canonical: {error}") from None
    if not is_tagged(inner, TAG_BODY, VERSION, 10):
        raise TransactionError("MALFORMED", f"the body is not a {TAG_BODY} version {VERSION}")
    _, _, network_id, chain, contract, method, args, signers, nonce, valid_until = inner
    _require(_is_bytes(network_id, HASH_SIZE), "the network id is not 32 bytes")
    for name in (chain, contract, method):
        _require(type(name) is str and 0 < len(name) <= MAX_NAME, "chain, contract and method are short names")
    _require(type(args) is dict, "the arguments are not a map")
    _require(type(signers) is list and 0 < len(signers) <= MAX_SIGNERS, f"1 to {MAX_SIGNERS} signers are needed")
    _require(all(_is_bytes(key, PUBLIC_KEY_SIZE) for key in signers), "a signer is not a 32-byte key")
    _require(all(a < b for a, b in pairwise(signers)), "signers are not strictly ascending")
    _require(_is_bytes(nonce, NONCE_SIZE), "the nonce is not 16 bytes")
    _require(type(valid_until) is int and valid_until > 0, "valid_until is not a time in milliseconds")
    _check_records(args, records)
    return Transaction(
        network_id=network_id,
        chain=chain,
        contract=contract,
        method=method,
        args=args,
        signers=tuple(signers),
        nonce=nonce,
        valid_until=valid_until,
        signatures=_signature_bytes(signatures, len(signers)),
        records=tuple(records),
        id=sha256(body),
        body=body,
        wire=wire,
    )


def committed(wire: bytes) -> Transaction:
    """The transaction of wire bytes that a committed block holds: what ``parse`` gives, nothing checked again."""
    _, _, body, signatures, records = load(wire)
    _, _, network_id, chain, contract, method, args, signers, nonce, valid_until = load(body)
    return Transaction(
        network_id=network_id,
        chain=chain,
        contract=contract,
        method=method,
        args=args,
        signers=tuple(signers),
        nonce=nonce,
        valid_until=valid_until,
        signatures=tuple(signature for _, signature in signatures),
        records=tuple(records),
        id=sha256(body),
        body=body,
        wire=wire,
    )


def check_signatures(transaction: Transaction) -> None:
    """Raise TransactionError unless every named signer signed the body (ZIP215)."""
    for signer, signature in zip(transaction.signers, transaction.signatures, strict=True):
        if not verify(signer, transaction.body, signature):
            raise TransactionError(
                "BAD_SIGNATURE", f"the signature of key {signer.hex()[:16]}… does not verify: sign again"
            )


def _check_records(args: dict[str, Any], records: Any) -> None:
    _require(type(records) is list and len(records) <= MAX_RECORDS, f"at most {MAX_RECORDS} records a transaction")
    _require(all(type(record) is bytes for record in records), "a record is not a byte string")
    if not records:
        _require("records_root" not in args, "records_root is given, but no record is attached")
        return
    count = args.get("count")
    if type(count) is not int or count != len(records) or args.get("records_root") != merkle.root(records):
        raise TransactionError("RECORDS_ROOT", "the attached records are not those the signed body commits to")


def _signature_bytes(signatures: Any, count: int) -> tuple[bytes, ...]:
    _require(type(signatures) is list and len(signatures) == count, "not one signature for each signer")
    found = []
    for entry in signatures:
        _require(
            type(entry) is list and len(entry) == 2 and type(entry[0]) is int and entry[0] == SUITE_ED25519,
            "a signature is not of suite 1 (Ed25519)",
        )
        _require(_is_bytes(entry[1], SIGNATURE_SIZE), "a signature is not 64 bytes")
        found.append(entry[1])
    return tuple(found)


def _is_bytes(value: Any, size: int) -> bool:
    return type(value) is bytes and len(value) == size


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TransactionError("MALFORMED", message)
