"""The bulk channel's messages: one form each, and nothing else accepted."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.codec import encode
from node.exchange import (
    MAX_BLOCKS,
    VERSION,
    Blocks,
    Exchange,
    ExchangeError,
    Follow,
    GetBlocks,
    Refused,
    Transactions,
    pack,
    register,
    unpack,
)

MESSAGES = [
    Transactions((b"one", b"", b"three")),
    GetBlocks(0),
    GetBlocks(2**40),
    Blocks(7, 9, ((b"block", b"seal"), (b"next", b"seal"))),
    Blocks(1, 0, ()),
    Follow(1, 0, anew=True),
    Follow(2**40, 4 * 2**20, anew=False),
    Refused("NOT_OPENED", "lender not opened to office"),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_read_as_it_was_written(message: Exchange) -> None:
    assert unpack(pack(message)) == message


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        ["tally/transactions", VERSION],
        ["tally/transactions", VERSION, ["text"]],
        ["tally/transactions", 2, [b"x"]],
        ["tally/transactions", True, [b"x"]],
        ["tally/get_blocks", VERSION, -1],
        ["tally/get_blocks", VERSION, True],
        ["tally/get_blocks", VERSION, "1"],
        ["tally/blocks", VERSION, 1, 1, [[b"block"]]],
        ["tally/blocks", VERSION, 1, 1, [[b"block", b"seal", b"more"]]],
        ["tally/blocks", VERSION, 1, 1, [[b"b", b"s"]] * (MAX_BLOCKS + 1)],
        ["tally/follow", VERSION, 1, 1],
        ["tally/follow", VERSION, -1, 1, True],
        ["tally/follow", VERSION, 1, 1, 1],
        ["tally/refused", VERSION, "CODE", b"text"],
        ["tally/refused", VERSION, "CODE", "x" * 401],
        ["tally/other", VERSION, 1],
        [7, VERSION, 1],
    ],
)
def test_other_shapes_are_refused_in_one_line(value: object) -> None:
    with pytest.raises(ExchangeError) as caught:
        unpack(encode(value))
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        message = unpack(data)
    except ExchangeError:
        return
    assert isinstance(message, Exchange)
    assert pack(message) == data


def test_another_module_adds_messages_of_its_own_once() -> None:
    register("tally/test_only", lambda value: ("made", value[2]))
    assert unpack(encode(["tally/test_only", VERSION, 5])) == ("made", 5)
    with pytest.raises(ValueError, match="registered already"):
        register("tally/test_only", lambda value: value)


def test_a_frame_of_millions_of_values_is_refused_unread() -> None:
    """Votes are taken in by the same loop: reading these would hold it up for seconds."""
    frame = encode(["tally/transactions", VERSION, [[]] * 2**22])
    began = time.perf_counter()
    with pytest.raises(ExchangeError, match="values in one message"):
        unpack(frame)
    assert time.perf_counter() - began < 0.05
