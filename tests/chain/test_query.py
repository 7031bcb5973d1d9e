"""Lists and histories page by page, held against what was sealed; pages that stay as they are while blocks arrive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import query
from chain.block import CONSORTIUM
from chain.codec import decode, encode
from chain.crypto import sha256
from chain.index import Listed
from chain.ledger import LedgerError, PrunedError
from chain.proof import transactions_of
from chain.query import CursorError, Filters, Page
from chain.transaction import parse
from tests.chain.chain_builder import Consortium, record_key
from tests.chain.chain_builder import record as small_record

KINDS = ("delivery", "receipt")
CHAINS = ("erp", "lender", "procurement")


def record(number: str, enterprise: str = "GB-COH:1", corrects: bytes | None = None, **fields: str) -> bytes:
    """A delivery of an enterprise."""
    whole = small_record(number, corrects=corrects, **fields)
    return whole if enterprise == "GB-COH:1" else _of(whole, enterprise)


def _of(data: bytes, enterprise: str) -> bytes:
    array = decode(data)
    array[5] = enterprise
    return encode(array)


@pytest.fixture(scope="module")
def busy() -> Consortium:
    """Twelve blocks with records of three enterprises on three chains, some batches, corrections, an empty block."""
    made = Consortium("queries")
    serial = 0
    for height in range(1, 13):
        txs = []
        for chain in CHAINS[: height % 4]:
            for size in range(1, 1 + height % 3):
                batch = [record(f"{chain}-{serial + n}", f"GB-COH:{1 + (serial + n) % 3}") for n in range(size)]
                serial += size
                txs.append(made.submit(chain, *batch))
        if height in (5, 9):
            txs.append(made.party(f"p{height}"))
        made.seal(*txs)
    return made


def everything(made: Consortium, high: int | None = None) -> list[tuple[int, str, bytes, str]]:
    """(height, chain, record id, enterprise) of all records, in block order, from the blocks themselves."""
    found = []
    for height in range(1, (high or made.ledger.height) + 1):
        for tx in transactions_of(made.ledger.block(height)):
            rows = [(height, tx.chain, sha256(data), decode(data)[5]) for data in tx.records]
            found += sorted(rows, key=lambda row: [r[3] for r in rows].index(row[3]))  # enterprise by enterprise
    return found


def all_pages(fetch: Callable[[str | None], Page]) -> list[Page]:
    pages = [fetch(None)]
    while pages[-1].next is not None:
        assert len(pages) < 500
        pages.append(fetch(pages[-1].next))
    return pages


def ids(pages: list[Page]) -> list[bytes]:
    return [row.record.record_id for page in pages for row in page.rows]


@given(
    limit=st.integers(1, 7),
    newest=st.booleans(),
    enterprise=st.sampled_from([None, "GB-COH:1", "GB-COH:3", "GB-COH:9"]),
    kind=st.sampled_from([None, "delivery", "invoice"]),
    chains=st.sampled_from([None, ("erp",), ("lender", "procurement")]),
    low=st.integers(1, 8),
    high=st.integers(6, 12),
)
@settings(max_examples=150)
def test_pages_of_records_together_are_what_the_blocks_hold(
    busy: Consortium, limit: int, newest: bool, enterprise: str | None, kind: str | None,
    chains: tuple[str, ...] | None, low: int, high: int,
) -> None:  # fmt: skip
    filters = Filters(chains, enterprise, kind, low=low, high=high, newest_first=newest)
    pages = all_pages(partial(query.records, busy.ledger, filters, limit))
    wanted = [
        row_id
        for height, chain, row_id, whose in everything(busy)
        if low <= height <= high
        and chain in (chains or CHAINS)
        and enterprise in (None, whose)
        and kind in (None, "delivery")
    ]
    assert ids(pages) == (wanted[::-1] if newest else wanted)
    assert all(len(page.rows) == limit for page in pages[:-1])


def test_a_row_says_where_the_record_stands(busy: Consortium) -> None:
    for row in query.records(busy.ledger, Filters(), 100).rows:
        assert isinstance(row, Listed)
        place = busy.ledger.locate(row.record.tx_id)
        assert place is not None
        assert (place.height, place.chain) == (row.place.height, row.record.chain)
        assert busy.ledger.state(row.record.chain, record_key(row.record.number)) is not None


def growing(method: Callable[[Any, Filters, int, str | None], Page], newest: bool) -> tuple[list[Any], list[Any]]:
    """The rows of a list read while a block arrives after every page, and those of the same list read at once."""
    made = Consortium("growing")
    for number in range(6):
        made.seal(made.submit("erp", record(f"D-{number}")), made.submit("lender", record(f"L-{number}")))
    filters = Filters(newest_first=newest)
    at_once = [row for page in all_pages(lambda after: method(made.ledger, filters, 50, after)) for row in page.rows]

    def fetch(after: str | None) -> Page:
        page = method(made.ledger, filters, 2, after)
        assert page.began == 6
        made.seal(made.submit("erp", record(f"N-{made.ledger.height}")), made.submit("lender", record("L-9")))
        return page

    return [row for page in all_pages(fetch) for row in page.rows], at_once


@pytest.mark.parametrize("newest", [True, False])
def test_pages_are_stable_while_blocks_arrive(newest: bool) -> None:
    for method in (query.records, query.transactions, query.blocks):
        read, wanted = growing(method, newest)
        assert read == wanted
        assert len(wanted) == {"records": 12, "transactions": 12, "blocks": 6}[method.__name__]


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("method", [None, "records", "registry.register_party", "registry.nothing"])
@pytest.mark.parametrize("chains", [None, (CONSORTIUM,), ("erp", CONSORTIUM)])
def test_pages_of_transactions(
    busy: Consortium, newest: bool, method: str | None, chains: tuple[str, ...] | None
) -> None:
    filters = Filters(chains, method=method, newest_first=newest)
    pages = all_pages(partial(query.transactions, busy.ledger, filters, 3))
    wanted = [
        tx.id
        for height in range(1, 13)
        for tx in transactions_of(busy.ledger.block(height))
        if (chains is None or tx.chain in chains)
        and method in (None, tx.contract, f"{tx.contract}.{tx.method}")
    ]
    found = [row for page in pages for row in page.rows]
    assert [row.transaction.id for row in found] == (wanted[::-1] if newest else wanted)
    for row in found:
        assert busy.ledger.locate(row.transaction.id) == row.place
        assert busy.ledger.receipt(row.place) == row.receipt
        assert busy.ledger.header(row.place.height).time == row.time
        assert row.transaction == parse(row.transaction.wire)


def test_time_is_block_time_both_ends_included(busy: Consortium) -> None:
    times = [busy.ledger.header(height).time for height in range(13)]
    assert all(second - first == 1_000 for first, second in pairwise(times[1:]))
    for shift_low, shift_high, low, high in ((0, 0, 3, 7), (1, -1, 4, 6), (-1, 1, 3, 7)):
        filters = Filters(from_ms=times[3] + shift_low, to_ms=times[7] + shift_high, newest_first=False)
        assert query.blocks(busy.ledger, filters, 50).rows == list(range(low, high + 1))
    assert query.blocks(busy.ledger, Filters(to_ms=times[0] - 1), 50).rows == []
    assert query.blocks(busy.ledger, Filters(from_ms=times[12] + 1), 50).rows == []
    assert query.records(busy.ledger, Filters(from_ms=times[12] + 1), 50).rows == []
    assert [query.height_at(busy.ledger, time, 12) for time in times] == list(range(13))


def test_a_record_has_a_history_and_so_has_what_the_state_held() -> None:
    made = Consortium("versions")
    versions = [record("D-1")]
    made.seal(made.submit("erp", versions[0]))
    for number in range(2, 7):
        versions.append(record("D-1", corrects=sha256(versions[-1]), quantity=str(number)))
        made.seal(made.submit("erp", versions[-1]))
        made.seal()
    key = record_key("D-1")
    for at, limit in ((None, 2), (6, 4), (6, 100)):
        known = versions if at is None else versions[: at // 2 + 1]
        pages = all_pages(partial(query.record_history, made.ledger, "erp", key, limit, at))
        rows = [row for page in pages for row in page.rows]
        assert [row.record_id for row in rows] == [sha256(data) for data in known[::-1]]
        assert [row.number for row in rows] == list(range(len(known), 0, -1))
        assert all(encode(row.record) == known[row.number - 1] for row in rows)
        pages = all_pages(partial(query.state_history, made.ledger, "erp", key, limit, at))
        held = [row for page in pages for row in page.rows]
        assert [row.height for row in held] == [row.height for row in rows]
        for row in held:
            assert row.value == made.ledger.state_bytes("erp", key, row.height)
            assert row.time == made.ledger.header(row.height).time
    assert query.record_history(made.ledger, "erp", record_key("D-2"), 5) == Page([], made.ledger.height, None)
    assert query.state_history(made.ledger, "erp", record_key("D-2"), 5) == Page([], made.ledger.height, None)


def test_a_cursor_is_of_one_list_and_of_a_height_that_is_here(busy: Consortium) -> None:
    ledger = busy.ledger
    page = query.records(ledger, Filters(enterprise="GB-COH:1"), 2)
    assert page.next is not None
    for other in (Filters(), Filters(enterprise="GB-COH:1", newest_first=False), Filters(enterprise="GB-COH:2")):
        with pytest.raises(CursorError, match="of another list: give the same filters"):
            query.records(ledger, other, 2, page.next)
    with pytest.raises(CursorError, match="is no cursor"):
        query.blocks(ledger, Filters(enterprise="GB-COH:1"), 2, page.next)
    for text in ("", "x", "ä", page.next[:-4], page.next + "A", "A" * 5000):
        with pytest.raises(CursorError, match="is no cursor"):
            query.records(ledger, Filters(enterprise="GB-COH:1"), 2, text)
    behind = Consortium("queries")
    behind.seal()
    with pytest.raises(PrunedError, match="block 12 is not kept here; the head is block 1"):
        query.records(behind.ledger, Filters(enterprise="GB-COH:1"), 2, page.next)
    with pytest.raises(PrunedError):
        query.records(ledger, Filters(high=99), 2)
    with pytest.raises(LedgerError, match="no chain 'nobody'"):
        query.records(ledger, Filters(chains=("nobody",)), 2)


def test_a_page_reads_so_many_bytes_of_blocks_and_no_more(busy: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "MOST_BYTES", 1)
    filters = Filters(chains=("consortium",))
    pages = all_pages(partial(query.transactions, busy.ledger, filters, 10))
    assert len(pages) == 8, "one block with transactions a page, whoever's they are"
    assert [row.place.height for page in pages for row in page.rows] == [9, 5]


@pytest.mark.parametrize("newest", [True, False])
def test_a_cursor_with_a_place_that_no_list_has_breaks_nothing(busy: Consortium, newest: bool) -> None:
    """Cursors are not signed: anybody may make one up."""
    ledger, most = busy.ledger, 2**63 - 1
    filters = Filters(newest_first=newest)
    for place in ([3, "erp", 2**40, "delivery", 0], [3, "erp", most, "", most]):
        with pytest.raises(CursorError, match="is no cursor"):
            query.records(ledger, filters, 5, query._cursor("records", filters, 12, place))
    for place in ([0, "a", 0, "", 0], [0, "zzz", 0, "", 0], [most, "erp", 1, "x", most]):
        query.records(ledger, filters, 5, query._cursor("records", filters, 12, place))
    for height, number in ((most, 0), (0, 0), (3, most)):
        query.transactions(ledger, filters, 5, query._cursor("transactions", filters, 12, [height, number]))
        query.blocks(ledger, filters, 5, query._cursor("blocks", filters, 12, [height]))
    key = record_key("erp-0")
    of_record = Filters(chains=("erp",), key=key)
    whole = query.record_history(ledger, "erp", key, 5)
    given = query._cursor("record_history", of_record, 12, [most])
    assert query.record_history(ledger, "erp", key, 5, after=given).rows == whole.rows


def test_a_page_looks_through_so_much_and_no_more(busy: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    """With filters that find nothing the work of a page is bounded; the cursors lead to the end all the same."""
    monkeypatch.setattr(query, "MOST_PLACES", 3)
    monkeypatch.setattr(query, "MOST_BLOCKS", 2)
    monkeypatch.setattr(query, "MOST_PARSED", 2)
    for newest in (True, False):
        filters = Filters(enterprise="GB-COH:2", kind="invoice", newest_first=newest)
        pages = all_pages(partial(query.records, busy.ledger, filters, 10))
        assert len(pages) > 2
        assert ids(pages) == []
        filters = Filters(newest_first=newest)
        listed = ids(all_pages(partial(query.records, busy.ledger, filters, 10)))
        wanted = [row[2] for row in everything(busy)]
        assert listed == (wanted[::-1] if newest else wanted)
        filters = Filters(method="registry", newest_first=newest)
        pages = all_pages(partial(query.transactions, busy.ledger, filters, 10))
        assert len(pages) > 5
        assert len([row for page in pages for row in page.rows]) == 2
