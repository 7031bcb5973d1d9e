"""Lists and histories of a ledger by pages: records, transactions, blocks, versions.

A page is stable while blocks arrive: its cursor holds the height that the list began at, and what was sealed later is
not in it, however many pages follow. A cursor is of one list: with other filters it is refused. Work is bounded a
page, so that a filter which finds little gives short pages, or empty ones, with a cursor to go on from.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

from chain import index
from chain.block import CONSORTIUM, Receipt
from chain.codec import CodecError, decode, encode
from chain.crypto import sha256
from chain.index import Listed, Place
from chain.transaction import Transaction, committed
from chain.view import Location, Reads

MOST_PLACES: Final = 1_000
"""Transactions looked through for one page of records."""
MOST_BLOCKS: Final = 400
"""Blocks looked through for one page of transactions."""
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of transactions in the blocks looked through for one page: the block that passes this is the last."""
MOST_PARSED: Final = 1_000
_CURSOR: Final = "tally/cursor"
_CHECK: Final = 8  # bytes of the hash of a list's filters
_MAX_CURSOR: Final = 600


Key: TypeAlias = tuple[int, str, int, str]
"""Height, chain, number in the block, kind (or nothing): what a list of records is ordered by."""


class CursorError(ValueError):
    """A cursor that is none, or of another list; one line that says what to do."""


class Span(NamedTuple):
    """Blocks low to high, both included, and in which direction they are listed."""

    low: int
    high: int
    newest_first: bool


class Page(NamedTuple):
    """``rows``; ``began``: the height that the list began at; ``next``: the cursor to go on from, None at the end."""

    rows: list[Any]
    began: int
    next: str | None


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for: None is any. from_ms and to_ms: block time, both included."""

    chains: tuple[str, ...] | None = None
    enterprise: str | None = None
    kind: str | None = None
    method: str | None = None
    key: bytes | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    low: int = 1
    high: int | None = None
    newest_first: bool = True


class FoundTransaction(NamedTuple):
    """A transaction in a list: itself, its outcome, its place; time in ms."""

    transaction: Transaction
    receipt: Receipt
    place: Location
    time: int


class RecordVersion(NamedTuple):
    """One version of a record: number from 1, the record's array, where and when it was sealed."""

    number: int
    record_id: bytes
    record: list[Any]
    tx_id: bytes
    height: int
    time: int


class StateVersion(NamedTuple):
    """What a key held from a height on: the value's bytes, None where it was deleted."""

    height: int
    time: int
    value: bytes | None


# -- lists ------------------------------------------------------------------------------------------------


def records(ledger: Reads, filters: Filters, limit: int, after: str | None = None) -> Page:
    """Sealed record versions, ``Listed`` each, in sealing order. Raises CursorError, LedgerError, PrunedError."""
    began, place = _start(ledger, "records", filters, after)
    span = _span(ledger, filters, began)
    chains = ledger.chains if filters.chains is None else filters.chains
    behind: Key | None = None if place is None else (place[0], place[1], place[2], place[3])
    skip = 0 if place is None else place[4]
    streams = [stream for chain in chains for stream in _streams(ledger, chain, filters, span, behind)]
    merged = heapq.merge(*streams, key=lambda found: found[0], reverse=span.newest_first)
    rows: list[Listed] = []
    last = place
    for key, listed in islice(merged, MOST_PLACES):
        if behind is not None and key != behind and (key > behind) == span.newest_first:
            continue  # another kind of the same transaction, which the page before had
        begin = skip if key == behind else 0
        ordered = listed[::-1] if span.newest_first else listed
        taken = ordered[begin : begin + limit - len(rows)]
        rows += taken
        last = [*key, begin + len(taken)]
        if len(rows) == limit:
            more = len(ordered) > begin + len(taken) or next(merged, None) is not None
            return Page(rows, began, _cursor("records", filters, began, last) if more else None)
    more = last is not None and next(merged, None) is not None
    return Page(rows, began, _cursor("records", filters, began, last or []) if more else None)


def transactions(ledger: Reads, filters: Filters, limit: int, after: str | None = None) -> Page:
    """Transactions in block order, ``FoundTransaction`` each. ``method``: a contract's name, or contract.method."""
    began, place = _start(ledger, "transactions", filters, after)
    span = _span(ledger, filters, began)
    height, skip = (span.high if span.newest_first else span.low, 0) if place is None else (place[0], place[1])
    step = -1 if span.newest_first else 1
    rows: list[FoundTransaction] = []
    parsed = looked = read = 0
    while looked < MOST_BLOCKS and read < MOST_BYTES:
        if not span.low <= height <= span.high:
            return Page(rows, began, None)
        wires = ledger.wires(height)
        looked, read = looked + 1, read + sum(len(wire) for group in wires.values() for wire in group)
        found = [
            (chain, number, wire)
            for chain, group in wires.items()
            if filters.chains is None or chain in filters.chains
            for number, wire in enumerate(group)
        ]
        if span.newest_first:
            found.reverse()
        outcomes = ledger.receipt_bytes(height) if found else {}
        time = ledger.time(height)
        for number in range(skip, len(found)):
            chain, at, wire = found[number]
            transaction = committed(wire)
            parsed += 1
            if filters.method in (None, transaction.contract, f"{transaction.contract}.{transaction.method}"):
                receipt = Receipt.decode(outcomes[chain][at + (chain == CONSORTIUM)])
                rows.append(FoundTransaction(transaction, receipt, Location(height, chain, at), time))
            if len(rows) == limit or parsed >= MOST_PARSED:
                return Page(rows, began, _cursor("transactions", filters, began, [height, number + 1]))
        height, skip = height + step, 0
    return Page(rows, began, _cursor("transactions", filters, began, [height, 0]))


def blocks(ledger: Reads, filters: Filters, limit: int, after: str | None = None) -> Page:
    """Heights of blocks in order."""
    began, place = _start(ledger, "blocks", filters, after)
    low, high, newest_first = _span(ledger, filters, began)
    if place is not None:
        low, high = (low, place[0] - 1) if newest_first else (place[0] + 1, high)
    heights = range(high, low - 1, -1) if newest_first else range(low, high + 1)
    rows = list(heights[:limit])
    return Page(rows, began, _cursor("blocks", filters, began, [rows[-1]]) if len(heights) > limit else None)


# -- histories --------------------------------------------------------------------------------------------


def record_history(
    ledger: Reads, chain: str, key: bytes, limit: int, at: int | None = None, after: str | None = None
) -> Page:
    """The versions of a record (encoded state key), newest first, as of a height; ``RecordVersion`` each."""
    filters = Filters(chains=(chain,), key=key, high=at)
    began, place = _start(ledger, "record_history", filters, after)
    entry = ledger.state(chain, key, began)
    ids: list[bytes] = [] if entry is None else [*entry["superseded"], entry["id"]]
    last = len(ids) if place is None else min(place[0], len(ids))
    numbers = range(last, max(0, last - limit), -1)
    rows = [_version(ledger, chain, number, ids[number - 1]) for number in numbers]
    left = last - len(rows)
    return Page(rows, began, _cursor("record_history", filters, began, [left]) if left else None)


def state_history(
    ledger: Reads, chain: str, key: bytes, limit: int, at: int | None = None, after: str | None = None
) -> Page:
    """What an encoded state key held, newest first, as of a height; ``StateVersion`` each. Where state was pruned the
    oldest row is the one that still stood there."""
    filters = Filters(chains=(chain,), key=key, high=at)
    began, place = _start(ledger, "state_history", filters, after)
    newest = began if place is None else place[0]
    rows: list[StateVersion] = []
    for height, value in ledger.versions(chain, key, newest):
        if len(rows) == limit:
            return Page(rows, began, _cursor("state_history", filters, began, [height]))
        rows.append(StateVersion(height, ledger.time(height), value))
    return Page(rows, began, None)


# -- inside -----------------------------------------------------------------------------------------------


def height_at(ledger: Reads, time_ms: int, newest: int) -> int:
    """The newest height up to ``newest`` whose block time is at or before a moment; -1 where genesis is later."""
    low, high = -1, newest
    while low < high:
        middle = (low + high + 1) // 2
        if ledger.time(middle) <= time_ms:
            low = middle
        else:
            high = middle - 1
    return low


def _span(ledger: Reads, filters: Filters, began: int) -> Span:
    low, high = max(1, filters.low), began
    if filters.to_ms is not None:
        high = min(high, height_at(ledger, filters.to_ms, began))
    if filters.from_ms is not None:
        low = max(low, height_at(ledger, filters.from_ms - 1, began) + 1)
    return Span(low, high, filters.newest_first)


def _streams(
    ledger: Reads, chain: str, filters: Filters, span: Span, behind: Key | None
) -> Iterator[Iterator[tuple[Key, list[Listed]]]]:
    """What is merged into a page: one ordered stream a chain, or one for each of its kinds."""
    store, newest_first = ledger.store, span.newest_first
    low, high = _bounds(chain, span, behind)
    if filters.enterprise is not None:
        found = index.by_enterprise(store, chain, filters.enterprise, low, high, newest_first=newest_first)
        yield _keyed(chain, "", found, filters.kind)
        return
    for kind in index.kinds(store, chain) if filters.kind is None else [filters.kind]:
        yield _keyed(chain, kind, index.by_kind(store, chain, kind, low, high, newest_first=newest_first), None)


def _bounds(chain: str, span: Span, behind: Key | None) -> tuple[Place, Place]:
    """From where to where a chain is read for a page: what lies behind the cursor is not looked at again."""
    low, high = Place(span.low, index.FIRST), Place(span.high, index.LAST)
    if behind is None:
        return low, high
    height, at, number, _ = behind
    if span.newest_first:
        number = number if chain == at else index.LAST
        return low, min(high, Place(height - (chain > at), number))
    number = number if chain == at else index.FIRST
    return max(low, Place(height + (chain < at), number)), high


def _keyed(
    chain: str, label: str, found: Iterable[tuple[Place, list[Listed]]], kind: str | None
) -> Iterator[tuple[Key, list[Listed]]]:
    for place, listed in found:
        kept = listed if kind is None else [entry for entry in listed if entry.record.kind == kind]
        yield (place.height, chain, place.number, label), kept


def _version(ledger: Reads, chain: str, number: int, record_id: bytes) -> RecordVersion:
    tx_id = index.carrier(ledger.store, record_id, chain)
    place = ledger.locate(tx_id)
    if place is None:
        raise LookupError(f"transaction {tx_id.hex()} is in no block")
    transaction = committed(ledger.wire(place))
    data = next(data for data in transaction.records if sha256(data) == record_id)
    return RecordVersion(number, record_id, decode(data), tx_id, place.height, ledger.time(place.height))


def _start(ledger: Reads, name: str, filters: Filters, after: str | None) -> tuple[int, list[Any] | None]:
    """The height that a list began at, and where to go on (None: at its beginning). Raises as ``records``."""
    for chain in filters.chains or ():
        ledger.check_chain(chain)
    if after is None:
        return (ledger.height if filters.high is None else ledger.reached(filters.high)), None
    began, place = _opened(name, filters, after)
    return ledger.reached(began), place


def _check(name: str, filters: Filters) -> bytes:
    chains = None if filters.chains is None else list(filters.chains)
    return sha256(
        encode(
            [name, chains, filters.enterprise, filters.kind, filters.method, filters.key,
             filters.from_ms, filters.to_ms, filters.low, filters.high, filters.newest_first]
        )
    )[:_CHECK]  # fmt: skip


def _cursor(name: str, filters: Filters, began: int, place: list[Any]) -> str:
    raw = encode([_CURSOR, 1, _check(name, filters), began, place])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _opened(name: str, filters: Filters, text: str) -> tuple[int, list[Any]]:
    """Height and place of a cursor. Raises CursorError."""
    try:
        if len(text) > _MAX_CURSOR:
            raise ValueError
        value = decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, CodecError):
        raise CursorError(f"{text[:40]!r} is no cursor: give one as it was shown under next") from None
    match value:
        case [str(tag), 1, bytes(check), int(began), list(place)] if tag == _CURSOR and _is_place(name, place):
            if check == _check(name, filters):
                return began, place
            raise CursorError("this cursor is of another list: give the same filters as for its first page")
    raise CursorError(f"{text[:40]!r} is no cursor: give one as it was shown under next")


_PLACES: Final[dict[str, list[type]]] = {
    "records": [int, str, int, str, int],
    "transactions": [int, int],
    "blocks": [int],
    "record_history": [int],
    "state_history": [int],
}


def _is_place(name: str, place: list[Any]) -> bool:
    if [type(part) for part in place] != _PLACES[name] or any(part < 0 for part in place if type(part) is int):
        return False
    return name != "records" or place[2] <= index.LAST
