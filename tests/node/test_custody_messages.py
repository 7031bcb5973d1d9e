"""The custody channel's messages: one form each, everything else refused before anybody looks at it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.codec import encode
from node.custody.messages import (
    MAX_FRAME,
    MAX_PIECE,
    TAG_REPLY,
    Chunks,
    Done,
    GetKeys,
    GetManifest,
    GetPiece,
    GetVersions,
    Keys,
    Listing,
    Locate,
    MessageError,
    Piece,
    Place,
    Prove,
    PutKeys,
    Refused,
    Reply,
    Request,
    Versions,
    pack_reply,
    pack_request,
    unpack,
)

HASH = bytes(range(32))
REQUESTS: list[Request] = [
    GetManifest("erp", 0, "lender"),
    GetKeys("erp", 3),
    GetPiece("erp", 3, "lender", 0, 4096, MAX_PIECE),
    GetVersions("erp", 0),
    PutKeys("erp", 3, b"list"),
    Locate("erp", HASH),
    Prove("erp", 3, "lender", 5, HASH),
]
REPLIES: list[Reply] = [
    Listing(b"manifest"),
    Keys(b"list"),
    Piece(bytes(MAX_PIECE)),
    Versions(((0, 7), (2, 9)), -1),
    Place(3, "lender", 1, 100_016, HASH, (HASH, HASH)),
    Chunks(((bytes(4096), (HASH,)), (b"x", ()))),
    Done(),
    Refused("NOT_A_READER", "ask the owner"),
]


@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: type(message).__name__)
def test_a_request_comes_back_as_it_was(message: Request) -> None:
    assert unpack(pack_request(7, message)) == (7, message)


@pytest.mark.parametrize("message", REPLIES, ids=lambda message: type(message).__name__)
def test_a_reply_comes_back_as_it_was(message: Reply) -> None:
    assert unpack(pack_reply(8, message)) == (8, message)


def test_a_piece_with_its_frame_is_one_frame_of_the_channel() -> None:
    assert len(pack_reply(2**40, Piece(bytes(MAX_PIECE)))) <= 192 * 1024


@pytest.mark.parametrize(
    "content",
    [
        ["tally/custody_request", 1, 1, "GetKeys", ["erp"]],
        ["tally/custody_request", 1, 1, "GetKeys", ["erp", -1]],
        ["tally/custody_request", 1, 1, "GetKeys", ["erp", True]],
        ["tally/custody_request", 1, 1, "GetKeys", ["", 1]],
        ["tally/custody_request", 1, 1, "GetKeys", ["e" * 65, 1]],
        ["tally/custody_request", 1, -1, "GetKeys", ["erp", 1]],
        ["tally/custody_request", 2, 1, "GetKeys", ["erp", 1]],
        ["tally/custody_request", 1, 1, "Done", []],
        ["tally/custody_request", 1, 1, "Nothing", []],
        ["tally/custody_request", 1, 1, "GetPiece", ["erp", 1, "lender", 0, 0, 0]],
        ["tally/custody_request", 1, 1, "GetPiece", ["erp", 1, "lender", 0, 0, MAX_PIECE + 1]],
        ["tally/custody_request", 1, 1, "Locate", ["erp", b"short"]],
        ["tally/custody_reply", 1, 1, "GetKeys", ["erp", 1]],
        ["tally/custody_reply", 1, 1, "Piece", [b""]],
        ["tally/custody_reply", 1, 1, "Piece", [bytes(MAX_PIECE + 1)]],
        ["tally/custody_reply", 1, 1, "Versions", [[[1]], -1]],
        ["tally/custody_reply", 1, 1, "Versions", [[], -2]],
        ["tally/custody_reply", 1, 1, "Chunks", [[]]],
        ["tally/custody_reply", 1, 1, "Chunks", [[[bytes(4097), []]]]],
        ["tally/custody_reply", 1, 1, "Place", [1, "lender", 0, 1, HASH, [b"short"]]],
        ["tally/custody_reply", 1, 1, "Refused", ["", "text"]],
        ["tally/custody_reply", 1, 1, "Refused", ["CODE", "x" * 301]],
        ["tally/blocks", 1, 1, 1, []],
        7,
    ],
)
def test_what_is_no_message_is_refused(content: object) -> None:
    with pytest.raises(MessageError):
        unpack(encode(content))


def test_a_message_longer_than_any_may_be_is_refused() -> None:
    with pytest.raises(MessageError):
        unpack(bytes(MAX_FRAME + 1))


@given(st.binary(max_size=200))
def test_chance_is_no_message(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpack(data)


def test_a_frame_of_millions_of_values_is_refused_unread() -> None:
    """A member must not hold the node's loop up, which votes, for the seconds that it takes to read these."""
    frame = encode([TAG_REPLY, 1, 1, "Chunks", [[[]] * (MAX_FRAME - 300)]])
    began = time.perf_counter()
    with pytest.raises(MessageError, match="values in one message"):
        unpack(frame)
    assert time.perf_counter() - began < 0.05
