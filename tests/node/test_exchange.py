"""The bulk channel's messages: one form each, and nothing else accepted."""

from __future__ import annotations

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
    GetBlocks,
    Transactions,
    pack,
    unpack,
)

MESSAGES = [
    Transactions((b"one", b"", b"three")),
    GetBlocks(0),
    GetBlocks(2**40),
    Blocks(7, 9, ((b"block", b"seal"), (b"next", b"seal"))),
    Blocks(1, 0, ()),
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
        ["tally/other", VERSION, 1],
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
    assert pack(message) == data
