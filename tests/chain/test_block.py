"""Headers, heads, receipts and blocks: one byte form each, the round outside the digest, every field checked."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from chain.block import (
    CONSORTIUM,
    MAX_BLOCK_SIZE,
    Block,
    BlockError,
    Head,
    Header,
    MemberBlock,
    Receipt,
    genesis_member_hash,
)
from chain.certificate import Certificate
from chain.codec import decode, encode
from chain.crypto import hash_value, sha256


def digest(label: str) -> bytes:
    return sha256(label.encode())


HEADER = Header(
    network_id=digest("network"),
    height=7,
    parent_hash=digest("parent"),
    parent_certificate_hash=digest("certificate"),
    time=1_750_000_000_000,
    proposer="erp",
    epoch=2,
    validators_hash=digest("validators"),
    next_validators_hash=digest("next"),
    chain_count=4,
    heads_root=digest("heads"),
    tx_count=1,
    tx_root=digest("txs"),
    receipt_root=digest("receipts"),
    state_root=digest("state"),
)
MEMBER = MemberBlock(
    digest("network"), "erp", 3, digest("parent"), 7, 1_750_000_000_000, 2, digest("t"), digest("r"), digest("s")
)
HEAD = Head("erp", 3, digest("block"), digest("state"))
RECEIPT = Receipt(digest("tx"), 1, "WRONG", "what to do", {"a": [1]}, [["sealed", {"n": 1}]], 17)
CERTIFICATE = Certificate(6, 1, digest("parent"), 2, (("erp", bytes(64)), ("lender", bytes(64))))
BLOCK = Block(HEADER, CERTIFICATE, (("erp", (b"one", b"two")), ("lender", (b"three",))), (b"four",))


def test_the_header_is_this_array() -> None:
    value = HEADER.to_value()
    assert value == ["tally/header", 1, *(getattr(HEADER, field.name) for field in fields(Header))]
    assert [field.name for field in fields(Header)] == [
        "network_id", "height", "parent_hash", "parent_certificate_hash", "time", "proposer", "epoch",
        "validators_hash", "next_validators_hash", "chain_count", "heads_root", "tx_count", "tx_root",
        "receipt_root", "state_root",
    ]  # fmt: skip
    assert HEADER.digest == hash_value(value)
    assert Header.decode(HEADER.encoded) == HEADER


def test_the_digest_covers_every_field_and_no_round_or_seal() -> None:
    """besu#2134: with the round in the hash a re-proposed block is another block."""
    seen = {HEADER.digest}
    for field in fields(Header):
        value = getattr(HEADER, field.name)
        other: Any = {bytes: digest("other"), int: 99, str: "lender"}[type(value)]
        seen.add(replace(HEADER, **{field.name: other}).digest)
    assert len(seen) == 1 + len(fields(Header))
    rounds = [replace(BLOCK, parent_certificate=replace(CERTIFICATE, round=number)) for number in range(3)]
    assert {block.digest for block in rounds} == {HEADER.digest}
    assert not {"round", "seals", "certificate"} & {field.name for field in fields(Header)}


def test_member_blocks_and_heads_are_these_arrays() -> None:
    assert decode(MEMBER.encoded) == [
        "tally/member_block", 1, digest("network"), "erp", 3, digest("parent"), 7, 1_750_000_000_000, 2, digest("t"),
        digest("r"), digest("s"),
    ]  # fmt: skip
    assert MEMBER.hash == sha256(MEMBER.encoded)
    assert MemberBlock.decode(MEMBER.encoded) == MEMBER
    assert decode(HEAD.leaf()) == ["tally/head", 1, "erp", 3, digest("block"), digest("state")]
    assert Head.decode(HEAD.leaf()) == HEAD


def test_the_receipt_is_this_array() -> None:
    assert decode(RECEIPT.encoded) == [
        "tally/receipt", 1, digest("tx"), 1, "WRONG", "what to do", {"a": [1]}, [["sealed", {"n": 1}]], 17,
    ]  # fmt: skip
    assert Receipt.decode(RECEIPT.encoded) == RECEIPT


@pytest.mark.parametrize(
    "block",
    [
        BLOCK,
        replace(BLOCK, parent_certificate=None),
        replace(BLOCK, member_txs=()),
        replace(BLOCK, consortium_txs=()),
        Block(HEADER, None, (), ()),
    ],
    ids=range(5),
)
def test_a_block_comes_back_from_its_bytes(block: Block) -> None:
    back = Block.decode(block.encoded)
    assert back == block
    assert back.encoded == block.encoded
    assert replace(back, parent_certificate=None).encoded == replace(block, parent_certificate=None).encoded
    assert back.digest == HEADER.digest
    assert back.tx_count == len(block.consortium_txs) + sum(len(wires) for _, wires in block.member_txs)


def test_a_members_first_block_stands_on_its_network_and_name() -> None:
    hashes = {
        genesis_member_hash(digest("network"), "erp"),
        genesis_member_hash(digest("network"), "lender"),
        genesis_member_hash(digest("other"), "erp"),
    }
    assert len(hashes) == 3
    assert CONSORTIUM == "consortium"


# -- what is refused --------------------------------------------------------------------------------------

WRONG: dict[type, list[Any]] = {
    bytes: [bytes(31), bytes(33), b"", "0" * 32, None, 0, [bytes(32)]],
    int: [-1, True, False, None, "7", b"\x07", [7]],
    str: [b"erp", None, 1, True, ["erp"]],
}


@pytest.mark.parametrize("kind", [Header, MemberBlock, Head])
def test_each_field_is_of_its_kind(kind: Any) -> None:
    """``True`` where 1 stands would be other bytes, and another digest, for an equal Python object."""
    data = {Header: HEADER.encoded, MemberBlock: MEMBER.encoded, Head: HEAD.leaf()}[kind]
    value = decode(data)
    for place, field in enumerate(value[2:], start=2):
        for wrong in WRONG[type(field)]:
            with pytest.raises(BlockError) as refusal:
                kind.decode(encode([*value[:place], wrong, *value[place + 1 :]]))
            assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", [Header, MemberBlock, Head, Receipt, Block])
def test_tag_version_length_and_canonical_form(kind: Any) -> None:
    data = {
        Header: HEADER.encoded, MemberBlock: MEMBER.encoded, Head: HEAD.leaf(), Receipt: RECEIPT.encoded,
        Block: BLOCK.encoded,
    }[kind]  # fmt: skip
    value = decode(data)
    wrongs: list[Any] = [
        ["tally/other", *value[1:]],
        [value[0], True, *value[2:]],
        [value[0], 2, *value[2:]],
        value[:-1],
        [*value, None],
        {"a": value},
        None,
        value[0],
    ]
    for wrong in wrongs:
        with pytest.raises(BlockError):
            kind.decode(encode(wrong))
    for wrong_bytes in (b"", data[:-1], data + b"\xc0", b"\xdc\x00" + bytes([len(value)]) + data[1:]):
        with pytest.raises(BlockError):
            kind.decode(wrong_bytes)


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (2, bytes(31)),
        (2, "0" * 32),
        (2, None),
        (3, 2),
        (3, -1),
        (3, True),
        (3, None),
        (4, b"WRONG"),
        (4, None),
        (5, None),
        (7, None),
        (7, {}),
        (7, [["sealed"]]),
        (7, [["sealed", {}, 1]]),
        (7, [[b"sealed", {}]]),
        (7, [["sealed", []]]),
        (7, ["sealed"]),
        (8, -1),
        (8, True),
        (8, None),
    ],
    ids=range(20),
)
def test_what_is_no_receipt(place: int, wrong: Any) -> None:
    value = decode(RECEIPT.encoded)
    with pytest.raises(BlockError):
        Receipt.decode(encode([*value[:place], wrong, *value[place + 1 :]]))


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (2, None),
        (2, HEADER.to_value()[:-1]),
        (2, [*HEADER.to_value()[:3], True, *HEADER.to_value()[4:]]),
        (2, HEADER.encoded),
        (3, []),
        (3, CERTIFICATE.encode()),
        (3, [*CERTIFICATE.to_value()[:2], True, *CERTIFICATE.to_value()[3:]]),
        (4, None),
        (4, {"erp": [b"one"]}),
        (4, [["erp", []]]),
        (4, [["erp", [b"one"]], ["erp", [b"two"]]]),
        (4, [["lender", [b"one"]], ["erp", [b"two"]]]),
        (4, [["erp", ["one"]]]),
        (4, [["erp", b"one"]]),
        (4, [[b"erp", [b"one"]]]),
        (4, [["erp"]]),
        (4, [["erp", [b"one"], None]]),
        (4, ["erp"]),
        (5, None),
        (5, [None]),
        (5, ["four"]),
        (5, b"four"),
        (5, {"a": b"four"}),
    ],
    ids=range(23),
)
def test_what_is_no_block(place: int, wrong: Any) -> None:
    value = decode(BLOCK.encoded)
    with pytest.raises(BlockError):
        Block.decode(encode([*value[:place], wrong, *value[place + 1 :]]))


def test_a_block_larger_than_any_is_refused_unread() -> None:
    with pytest.raises(BlockError, match="allowed"):
        Block.decode(bytes(MAX_BLOCK_SIZE + 1))


def test_every_change_of_a_byte_is_another_block_or_refused() -> None:
    """Small enough to try all: what decodes again encodes to exactly the changed bytes."""
    data = BLOCK.encoded
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            try:
                block = Block.decode(bytes(changed))
            except BlockError:
                continue
            assert block != BLOCK
            fresh = Block(block.header, block.parent_certificate, block.member_txs, block.consortium_txs)
            assert fresh.encoded == bytes(changed)
