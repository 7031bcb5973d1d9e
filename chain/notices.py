"""Derived rows for telling members and parties: each event that names them in "to", under their id, in block order.

Never read by contracts. Written in the block's own batch, so that what a node has committed it can also deliver, and
every node delivers the same: the place of a notice, its cursor, is the same at each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from chain.block import CONSORTIUM
from chain.codec import decode, encode
from chain.store import Reading, chain_prefix, successor
from chain.transition import Transition
from contracts.notices import TO

_PREFIX: Final = b"e"


class Cursor(NamedTuple):
    """The place of a notice: consortium height, and its number among the notices of that block, from 0."""

    height: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.height}.{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read "height.sequence". Raises ValueError."""
        height, _, sequence = text.partition(".")
        if not (height.isascii() and height.isdigit() and sequence.isascii() and sequence.isdigit()):
            raise ValueError(f"{text[:40]!r} is no cursor: give one as it was shown, HEIGHT.NUMBER")
        cursor = cls(int(height), int(sequence))
        if cursor.height >= 2**63 or cursor.sequence >= 2**32:
            raise ValueError(f"{text[:40]!r} is no cursor: its numbers are too large")
        return cursor


START: Final = Cursor(0, 0)
"""Before every notice: block 0 has none."""


class Notice(NamedTuple):
    """One event for one recipient. tx_id: 32 bytes, all 0 for what a begin_block hook said. time: ms of its block."""

    cursor: Cursor
    time: int
    tx_id: bytes
    name: str
    data: dict[str, Any]


def notice_rows(height: int, time: int, outcome: Transition) -> Iterator[tuple[bytes, bytes]]:
    """The rows of a block: one for each recipient of each notice."""
    sequence = 0
    execution = outcome.executions.get(CONSORTIUM)
    for receipt in () if execution is None else execution.receipts:
        for name, data in receipt.events:
            if TO in data:
                place = _place(Cursor(height, sequence))
                value = encode([time, receipt.tx_id, name, data])
                for recipient in data[TO]:
                    yield chain_prefix(_PREFIX, recipient) + place, value
                sequence += 1


def notices_of(store: Reading, recipient: str, after: Cursor, most: int) -> list[Notice]:
    """A recipient's notices after a place, oldest first; at most ``most``."""
    prefix = chain_prefix(_PREFIX, recipient)
    start = prefix + _place(after) + b"\x00"  # the first key after that place's
    return [_notice(key, value) for key, value in islice(store.scan(start, successor(prefix)), most)]


def newest_of(store: Reading, recipient: str, most: int) -> list[Notice]:
    """A recipient's newest notices, newest first; at most ``most``."""
    prefix = chain_prefix(_PREFIX, recipient)
    rows = islice(store.scan(prefix, successor(prefix), reverse=True), most)
    return [_notice(key, value) for key, value in rows]


def _place(cursor: Cursor) -> bytes:
    return cursor.height.to_bytes(8, "big") + cursor.sequence.to_bytes(4, "big")


def _notice(key: bytes, value: bytes) -> Notice:
    time, tx_id, name, data = decode(value)
    cursor = Cursor(int.from_bytes(key[-12:-4], "big"), int.from_bytes(key[-4:], "big"))
    return Notice(cursor, time, tx_id, name, data)
