"""Notices: each recipient's, in block order, from any cursor on; what is no cursor is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from chain.block import CONSORTIUM, Receipt
from chain.execution import ChainExecution
from chain.notices import START, Cursor, newest_of, notice_rows, notices_of
from chain.store import MemoryStore
from chain.transition import Transition


def committed(store: MemoryStore, height: int, *events: tuple[str, dict[str, Any]]) -> None:
    """A block whose consortium receipts hold these events, one receipt each."""
    receipts = [Receipt(bytes([n]) * 32, 0, "", "", None, [list(event)], 1) for n, event in enumerate(events)]
    outcome = SimpleNamespace(executions={CONSORTIUM: ChainExecution(receipts), "erp": ChainExecution(receipts)})
    store.write(notice_rows(height, height * 1_000, cast(Transition, outcome)))


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    committed(made, 1, ("applied", {"to": ["acme", "lender"], "n": 1}), ("sealed", {"n": 2}))
    committed(made, 300, ("assessed", {"to": ["lender"], "n": 3}), ("decided", {"to": ["acme"], "n": 4}))
    committed(made, 301, ("alert", {"to": ["lender2"], "n": 5}), ("alert", {"to": ["lender"], "n": 6, "a": 0}))
    return made


def test_each_gets_its_own_in_block_order(store: MemoryStore) -> None:
    assert [notice.data["n"] for notice in notices_of(store, "lender", START, 10)] == [1, 3, 6]
    assert [notice.data["n"] for notice in notices_of(store, "acme", START, 10)] == [1, 4]
    assert [notice.data["n"] for notice in notices_of(store, "lender2", START, 10)] == [5]
    assert notices_of(store, "lende", START, 10) == []


def test_a_notice_says_where_and_when_it_was_made(store: MemoryStore) -> None:
    first = notices_of(store, "acme", START, 1)[0]
    assert (first.cursor, first.time, first.tx_id, first.name) == (Cursor(1, 0), 1_000, bytes(32), "applied")
    assert notices_of(store, "acme", first.cursor, 5)[0].cursor == Cursor(300, 1)


def test_from_any_cursor_on_nothing_is_missed_and_nothing_comes_twice(store: MemoryStore) -> None:
    everything = notices_of(store, "lender", START, 10)
    for size in (1, 2, 3):
        seen, place = [], START
        while page := notices_of(store, "lender", place, size):
            seen += page
            place = page[-1].cursor
        assert seen == everything
    assert notices_of(store, "lender", Cursor(300, 2**32 - 1), 10) == everything[2:]


def test_the_newest_come_first_where_asked_for(store: MemoryStore) -> None:
    assert [notice.data["n"] for notice in newest_of(store, "lender", 2)] == [6, 3]


@pytest.mark.parametrize("cursor", [START, Cursor(7, 0), Cursor(2**63 - 1, 2**32 - 1)])
def test_a_cursor_is_read_as_it_is_written(cursor: Cursor) -> None:
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "7", "7.", ".7", "-1.0", "1.-1", "1.x", "1.0.0", "٣.0", f"{2**63}.0"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no cursor"):
        Cursor.parse(text)
