"""The wire form of consensus messages, and the bytes that are signed."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import codec
from chain.block import Block
from consensus.messages import (
    MAX_SIGNERS,
    BlockReply,
    BlockRequest,
    Commit,
    Decided,
    Message,
    MessageError,
    Prepare,
    PrePrepare,
    RoundChange,
    SignedMessage,
    Status,
    decode,
    encode,
)
from tests.agreement.committee import NETWORK, Committee

COMMITTEE = Committee(4)
BLOCK = COMMITTEE.block(COMMITTEE.genesis, "b")
LOCK = COMMITTEE.lock(BLOCK, 0, "abc")
CHANGES = tuple(COMMITTEE.round_change(sender, 1, 1, LOCK) for sender in "abc")
MESSAGES: list[Message] = [
    COMMITTEE.pre_prepare(BLOCK),
    COMMITTEE.pre_prepare(BLOCK, with_block=False),
    COMMITTEE.pre_prepare(BLOCK, 1, justification=CHANGES, prepares=LOCK[2]),
    COMMITTEE.prepare("a", 1, 0, BLOCK.digest),
    COMMITTEE.commit("a", 1, 0, BLOCK.digest),
    COMMITTEE.round_change("a", 1, 1),
    CHANGES[0],
    Decided(BLOCK, COMMITTEE.certificate(BLOCK, "abc")),
    Status(7, 3),
    BlockRequest(7, BLOCK.digest),
    BlockReply(BLOCK),
]


def rewritten(message: Message, change: Any) -> bytes:
    """The encoding of ``message`` after ``change`` worked on its array."""
    array = codec.decode(encode(message))
    change(array)
    return codec.encode(array)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind.name)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    data = encode(message)
    assert decode(data, Block.decode) == message
    assert encode(decode(data, Block.decode)) == data


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind.name)
def test_truncated_or_trailing_bytes_are_refused(message: Message) -> None:
    data = encode(message)
    for broken in (data[:-1], data + b"\x00", data[1:], b""):
        with pytest.raises(MessageError):
            decode(broken, Block.decode)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind.name)
def test_a_field_more_or_less_is_refused(message: Message) -> None:
    for change in (lambda array: array.append(0), lambda array: array.pop()):
        with pytest.raises(MessageError):
            decode(rewritten(message, change), Block.decode)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, "tally/other"), (1, 2), (1, True), (2, 0), (2, 9), (2, True), (2, "PREPARE"), (3, -1), (3, 2**60),
        (3, None), (3, True), (4, -1), (4, 2**33), (5, b"short"), (5, None), (6, ""), (6, "x" * 33), (6, b"a"),
        (7, b""), (7, None),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_or_range_is_refused(position: int, value: Any) -> None:
    def change(array: list[Any]) -> None:
        array[position] = value

    with pytest.raises(MessageError):
        decode(rewritten(COMMITTEE.prepare("a", 1, 0, BLOCK.digest), change), Block.decode)


def test_lists_are_capped() -> None:
    votes = (COMMITTEE.prepare("a", 1, 0, BLOCK.digest),) * (MAX_SIGNERS + 1)
    with pytest.raises(MessageError, match="at most 64"):
        decode(encode(replace(COMMITTEE.round_change("a", 1, 1), prepares=votes)), Block.decode)


def test_a_message_is_capped_before_it_is_read() -> None:
    with pytest.raises(MessageError, match="allowed"):
        decode(encode(BlockReply(BLOCK)), Block.decode, max_size=100)


def test_a_block_that_is_none_is_refused() -> None:
    def change(array: list[Any]) -> None:
        array[3] = b"no block"

    with pytest.raises(MessageError, match="not canonical"):
        decode(rewritten(BlockReply(BLOCK), change), Block.decode)


def test_the_digest_of_a_received_block_is_computed_not_read() -> None:
    received = decode(encode(COMMITTEE.pre_prepare(BLOCK)), Block.decode)
    assert isinstance(received, PrePrepare)
    assert received.block is not None
    assert received.block is not BLOCK
    assert received.block.digest == BLOCK.digest


@given(st.binary(max_size=200))
def test_noise_is_refused_in_one_way(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode(data, Block.decode)


@given(st.sampled_from(MESSAGES), st.data())
def test_a_flipped_byte_is_refused_or_another_message(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(raw), Block.decode)
    except MessageError:
        return
    assert encode(other) == bytes(raw)


def test_no_two_statements_have_the_same_signed_bytes() -> None:
    """Kind, height, round, digest, epoch, network and nulls all tell payloads apart (Fabric CVE-2023-46132)."""
    digest, other = BLOCK.digest, bytes(32)
    statements: list[SignedMessage] = [
        kind(height, round_number, what, "a")
        for kind in (PrePrepare, Prepare, Commit)
        for height, round_number in ((1, 11), (11, 1), (1, 1), (111, 0))
        for what in (digest, other)
    ]
    statements += [
        RoundChange(height, round_number, prepared_round, prepared_digest, "a")
        for height, round_number in ((1, 11), (11, 1), (1, 1))
        for prepared_round, prepared_digest in ((None, None), (0, digest), (0, other), (1, digest))
    ]
    payloads = [
        message.payload(network, epoch) for message in statements for network in (NETWORK, other) for epoch in (0, 1)
    ]
    assert all(one != two for one, two in combinations(payloads, 2))


def test_the_proofs_that_ride_along_are_not_under_the_signature() -> None:
    assert CHANGES[0].payload(NETWORK, 0) == CHANGES[0].bare().payload(NETWORK, 0)
    whole = COMMITTEE.pre_prepare(BLOCK, 1, justification=CHANGES, prepares=LOCK[2])
    assert whole.payload(NETWORK, 0) == whole.bare().payload(NETWORK, 0)
