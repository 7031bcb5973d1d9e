"""What a transaction is: INTERFACES' body, id, signed bytes and wire, and every form that is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import merkle
from chain.codec import decode, encode
from chain.crypto import SigningKey, sha256
from chain.transaction import (
    MAX_NAME,
    MAX_RECORDS,
    MAX_SIGNERS,
    MAX_WIRE_SIZE,
    Transaction,
    TransactionError,
    batch_args,
    check_signatures,
    make_body,
    parse,
    sign,
)

NETWORK = bytes(range(32))
KEYS = sorted((SigningKey.from_seed(bytes([serial]) * 32) for serial in range(4)), key=lambda key: key.public)
RECORDS = [encode(["tally/record", 1, index]) for index in range(5)]
BODY: list[Any] = [
    "tally/tx",
    1,
    NETWORK,
    "erp",
    "records",
    "submit",
    {"a": 1},
    [KEYS[0].public],
    bytes(16),
    1_750_000_000_000,
]


def wire_of(body: bytes | list[Any], keys: list[SigningKey] = KEYS[:1], records: Any = ()) -> bytes:
    """Wire bytes of any body, signed by these keys."""
    raw = body if isinstance(body, bytes) else encode(body)
    return encode(["tally/wire_tx", 1, raw, [[1, key.sign(raw)] for key in keys], list(records)])


def body_with(position: int, value: Any) -> list[Any]:
    return [*BODY[:position], value, *BODY[position + 1 :]]


def two_signers() -> Transaction:
    body = encode(body_with(7, [KEYS[0].public, KEYS[1].public]))
    return sign(body, KEYS[:2])


def refused(wire: bytes, code: str) -> TransactionError:
    with pytest.raises(TransactionError) as refusal:
        parse(wire)
    assert refusal.value.code == code, refusal.value
    assert "\n" not in str(refusal.value)
    return refusal.value


def test_the_parts_of_a_transaction() -> None:
    body = encode(BODY)
    transaction = sign(body, KEYS[:1])
    signature = KEYS[0].sign(body)
    assert transaction.id == sha256(body)
    assert transaction.body == body
    assert transaction.leaf == encode(["tally/signed_tx", 1, body, [[1, signature]]])
    assert transaction.wire == encode(["tally/wire_tx", 1, body, [[1, signature]], []])
    assert [
        transaction.network_id, transaction.chain, transaction.contract, transaction.method, transaction.args,
        list(transaction.signers), transaction.nonce, transaction.valid_until,
    ] == BODY[2:]  # fmt: skip
    assert transaction.signatures == (signature,)
    assert transaction.records == ()
    assert parse(transaction.wire) == transaction
    check_signatures(transaction)


def test_make_body_sorts_the_signers() -> None:
    body = make_body(
        network_id=NETWORK,
        chain="erp",
        contract="records",
        method="submit",
        args={"a": 1},
        signers=[key.public for key in reversed(KEYS[:3])],
        nonce=bytes(16),
        valid_until=BODY[9],
    )
    assert body == encode(body_with(7, [key.public for key in KEYS[:3]]))
    check_signatures(sign(body, [KEYS[1], KEYS[2], KEYS[0]]))


# -- signatures -------------------------------------------------------------------------------------------


def test_the_id_is_of_what_is_signed_and_not_of_the_signatures() -> None:
    transaction = two_signers()
    forged = decode(transaction.wire)
    forged[3][0][1] = bytes(64)
    other = parse(encode(forged))
    assert other.id == transaction.id
    assert other.leaf != transaction.leaf
    with pytest.raises(TransactionError) as refusal:
        check_signatures(other)
    assert refusal.value.code == "BAD_SIGNATURE"


def test_no_signature_can_be_taken_away_added_or_moved() -> None:
    wire = decode(two_signers().wire)
    first, second = wire[3]
    for signatures in ([first], [second], [], [first, second, first]):
        refused(encode([*wire[:3], signatures, wire[4]]), "MALFORMED")
    for signatures in ([second, first], [first, first], [second, second]):
        swapped = parse(encode([*wire[:3], signatures, wire[4]]))
        with pytest.raises(TransactionError) as refusal:
            check_signatures(swapped)
        assert refusal.value.code == "BAD_SIGNATURE"


def test_a_signature_is_of_this_body() -> None:
    transaction = sign(encode(BODY), KEYS[:1])
    for position, value in ((2, bytes(32)), (3, "lender"), (5, "other"), (6, {"a": 2}), (8, b"1" * 16), (9, 1)):
        body = encode(body_with(position, value))
        moved = parse(encode(["tally/wire_tx", 1, body, [[1, transaction.signatures[0]]], []]))
        assert moved.id != transaction.id
        with pytest.raises(TransactionError, match="does not verify"):
            check_signatures(moved)


def test_another_key_cannot_sign_in_a_signers_place() -> None:
    body = encode(BODY)
    with pytest.raises(TransactionError, match="does not verify"):
        check_signatures(parse(wire_of(body, KEYS[1:2])))


# -- records ----------------------------------------------------------------------------------------------


def test_a_batch_is_bound_by_count_and_root() -> None:
    args = batch_args(RECORDS)
    assert args == {"count": 5, "records_root": merkle.root(RECORDS)}
    body = encode(body_with(6, args))
    transaction = sign(body, KEYS[:1], RECORDS)
    assert transaction.records == tuple(RECORDS)
    assert transaction.leaf == encode(["tally/signed_tx", 1, body, [[1, transaction.signatures[0]]]])
    for records in (RECORDS[:4], [*RECORDS, RECORDS[0]], RECORDS[::-1], [*RECORDS[:4], b"other"], [*RECORDS, b""]):
        refused(wire_of(body, records=records), "RECORDS_ROOT")
    refused(wire_of(body), "MALFORMED")
    assert b"records" not in transaction.leaf.replace(body, b""), "records travel beside the leaf"


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"count": 1},
        {"records_root": merkle.root(RECORDS[:1])},
        {"count": True, "records_root": merkle.root(RECORDS[:1])},
        {"count": 2, "records_root": merkle.root(RECORDS[:1])},
        {"count": "1", "records_root": merkle.root(RECORDS[:1])},
        {"count": None, "records_root": merkle.root(RECORDS[:1])},
        {"count": 1, "records_root": merkle.root(RECORDS[:1]).hex()},
        {"count": 1, "records_root": merkle.root(RECORDS[1:2])},
        {"count": 1, "records_root": None},
    ],
    ids=repr,
)
def test_a_commitment_to_one_record_has_one_form(args: dict[str, Any]) -> None:
    refused(wire_of(body_with(6, args), records=RECORDS[:1]), "RECORDS_ROOT")


def test_a_root_without_records_is_refused() -> None:
    refused(wire_of(body_with(6, batch_args([]))), "MALFORMED")


# -- malformed --------------------------------------------------------------------------------------------

MALFORMED_BODIES: dict[str, Any] = {
    "no array": {"tally/tx": 1},
    "other tag": body_with(0, "tally/tx2"),
    "tag of the wire": body_with(0, "tally/wire_tx"),
    "version 2": body_with(1, 2),
    "version true": body_with(1, True),
    "one field less": BODY[:9],
    "one field more": [*BODY, None],
    "network id of 31 bytes": body_with(2, bytes(31)),
    "network id as text": body_with(2, "0" * 32),
    "no network id": body_with(2, None),
    "chain empty": body_with(3, ""),
    "chain as bytes": body_with(3, b"erp"),
    "chain too long": body_with(3, "x" * (MAX_NAME + 1)),
    "contract empty": body_with(4, ""),
    "contract a number": body_with(4, 1),
    "method empty": body_with(5, ""),
    "method too long": body_with(5, "x" * (MAX_NAME + 1)),
    "arguments a list": body_with(6, [["a", 1]]),
    "arguments nil": body_with(6, None),
    "no signers": body_with(7, []),
    "signers a key": body_with(7, KEYS[0].public),
    "signer of 31 bytes": body_with(7, [bytes(31)]),
    "signer as text": body_with(7, ["0" * 32]),
    "signer twice": body_with(7, [KEYS[0].public, KEYS[0].public]),
    "signers descending": body_with(7, [KEYS[1].public, KEYS[0].public]),
    "too many signers": body_with(7, [bytes([index]) * 32 for index in range(MAX_SIGNERS + 1)]),
    "nonce of 15 bytes": body_with(8, bytes(15)),
    "nonce of 17 bytes": body_with(8, bytes(17)),
    "nonce a number": body_with(8, 7),
    "valid until true": body_with(9, True),
    "valid until 0": body_with(9, 0),
    "valid until negative": body_with(9, -1),
    "valid until as text": body_with(9, "1750000000000"),
    "valid until nil": body_with(9, None),
}


@pytest.mark.parametrize("name", MALFORMED_BODIES)
def test_malformed_bodies(name: str) -> None:
    body = MALFORMED_BODIES[name]
    signers = body[7] if isinstance(body, list) and len(body) > 7 and isinstance(body[7], list) else [b""]
    keys = [KEYS[index % len(KEYS)] for index in range(len(signers))]
    refused(wire_of(encode(body), keys), "MALFORMED")


def good() -> list[Any]:
    value: list[Any] = decode(wire_of(BODY))
    return value


MALFORMED_WIRES: dict[str, Callable[[], Any]] = {
    "nil": lambda: None,
    "a map": lambda: {"tally/wire_tx": 1},
    "other tag": lambda: ["tally/signed_tx", *good()[1:]],
    "version 2": lambda: [good()[0], 2, *good()[2:]],
    "version true": lambda: [good()[0], True, *good()[2:]],
    "one field less": lambda: good()[:4],
    "one field more": lambda: [*good(), None],
    "body as text": lambda: [*good()[:2], "body", *good()[3:]],
    "body not encoded": lambda: [*good()[:2], None, *good()[3:]],
    "signatures nil": lambda: [*good()[:3], None, []],
    "signatures a map": lambda: [*good()[:3], {"a": b""}, []],
    "signature without suite": lambda: [*good()[:3], [good()[3][0][1]], []],
    "suite 0": lambda: [*good()[:3], [[0, good()[3][0][1]]], []],
    "suite 2": lambda: [*good()[:3], [[2, good()[3][0][1]]], []],
    "suite true": lambda: [*good()[:3], [[True, good()[3][0][1]]], []],
    "suite as text": lambda: [*good()[:3], [["1", good()[3][0][1]]], []],
    "signature of 63 bytes": lambda: [*good()[:3], [[1, bytes(63)]], []],
    "signature as text": lambda: [*good()[:3], [[1, "0" * 64]], []],
    "signature with a third item": lambda: [*good()[:3], [[1, good()[3][0][1], 0]], []],
    "records nil": lambda: [*good()[:4], None],
    "records a map": lambda: [*good()[:4], {}],
    "a record as text": lambda: [*good()[:4], ["record"]],
    "a record not encoded": lambda: [*good()[:4], [None]],
    "too many records": lambda: [*good()[:4], [b"r"] * (MAX_RECORDS + 1)],
}


@pytest.mark.parametrize("name", MALFORMED_WIRES)
def test_malformed_wires(name: str) -> None:
    refused(encode(MALFORMED_WIRES[name]()), "MALFORMED")


def test_bytes_that_are_not_canonical() -> None:
    wire = wire_of(BODY)
    for data in (
        b"",
        wire[:-1],
        wire + b"\x00",
        b"\xc1",
        wire.replace(b"\xadtally/wire_tx", b"\xd9\x0dtally/wire_tx"),
    ):
        refused(data, "NOT_CANONICAL")
    body = encode(BODY)
    for data in (body[:-1], body + b"\x00", body.replace(b"\xa8tally/tx", b"\xd9\x08tally/tx"), b""):
        refused(wire_of(data), "NOT_CANONICAL")


def test_depth_is_capped_outside_and_inside() -> None:
    refused(encode([*good()[:4], [[[[b"deep"]]]]]), "NOT_CANONICAL")
    deep: Any = 1
    for _ in range(14):
        deep = [deep]
    assert parse(wire_of(body_with(6, {"a": deep}))).args == {"a": deep}
    levels = b"\x91" * 20 + b"\x01"
    marker = encode({"a": 1})
    assert marker in encode(BODY)
    refused(wire_of(encode(BODY).replace(marker, marker[:-1] + levels)), "NOT_CANONICAL")


def test_size_is_capped() -> None:
    empty = len(wire_of(body_with(6, {"a": bytes(70_000)}))) - 70_000
    largest = wire_of(body_with(6, {"a": bytes(MAX_WIRE_SIZE - empty)}))
    assert len(largest) == MAX_WIRE_SIZE
    assert parse(largest).wire == largest
    refused(wire_of(body_with(6, {"a": bytes(MAX_WIRE_SIZE - empty + 1)})), "TOO_LARGE")


@given(st.data())
def test_every_change_of_a_byte_is_another_transaction_or_refused(data: st.DataObject) -> None:
    """No byte of the wire is free: what still parses with good signatures is the same transaction, unchanged."""
    transaction = sign(encode(body_with(6, batch_args(RECORDS))), KEYS[:1], RECORDS)
    place = data.draw(st.integers(0, len(transaction.wire) - 1))
    byte = data.draw(st.integers(0, 255))
    wire = transaction.wire[:place] + bytes([byte]) + transaction.wire[place + 1 :]
    try:
        changed = parse(wire)
        check_signatures(changed)
    except TransactionError:
        assert wire != transaction.wire
    else:
        assert wire == transaction.wire


def test_half_a_megabyte_of_empty_arrays_is_refused_unread() -> None:
    for wire in (
        wire_of(body_with(6, {"a": [[]] * 450_000})),
        encode(["tally/wire_tx", 1, encode(BODY), [], [[]] * 450_000]),
    ):
        began = time.perf_counter()
        with pytest.raises(TransactionError, match="values in one message") as caught:
            parse(wire)
        assert time.perf_counter() - began < 0.1
        assert caught.value.code == "NOT_CANONICAL"
