"""What is suspicious about a bill though its papers do not contradict each other ([3]): alerts, no verdict.

LIKELY_DUPLICATE  a bill that has the parties, currency and amount of another and names the same despatch or receipt;
                  or that has no goods of its own (no order found, or more billed than ordered or moved) and names
                  the same order, or none at about the same date. Not where credit notes take one of them back
BACKDATED         a bill dated clearly before the despatch or receipt that it names, or before all goods were sent; or
                  against the order of numbers of its issuer's series, where that series is otherwise in order
PHANTOM           a bill whose receipt its own seller issued; or for which the buyer shows no receipt, or papers that
                  it names are not sealed, `phantom_days` after its sealing and date, unless the buyer confirmed it

State, on the consortium chain, in the credit contract's namespace:
    ("alike", enterprise identifier, currency, amount) -> [[chain, kind, issuer, number, day, orders, moves]], the
        newest ALIKE_KEPT; orders, moves: numbers of the orders, despatches and receipts named
    ("series", issuer identifier, kind, prefix, page): an ordered map of number -> first and last second, place
    ("series_order", issuer identifier, kind, prefix) -> [bills, of them out of order]
    ("due", day, n) -> [chain, kind, issuer, number]; ("due_count", day)
    ("due_at", chain, kind, issuer, number) -> day
    ("due_next",) -> [day, n]: the first entry not looked at
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from contracts.alerts import Alarm
from contracts.context import Context
from contracts.decimal_text import NOTHING, add, exceeds, render
from contracts.documents import Document, bill_amount, name, same_name, same_party, seal_order
from contracts.evidence import Enterprise, Reader
from contracts.findings import tolerances, watch
from contracts.matching import Book
from contracts.ordered import Entry, OrderedMap
from contracts.record import SECONDS_PER_DAY
from contracts.trades import Place, place_of
from contracts.truth import (
    CONTRADICTED,
    DUPLICATE,
    UNMATCHED,
    Verdict,
    buyers_receipts,
)
from contracts.verdicts import is_confirmed, packed, unpacked

ALIKE_KEPT: Final = 64
NAMED_KEPT: Final = 8
SERIES_LEARNT: Final = 8  # bills before a series is trusted
DAYS_PER_BLOCK: Final = 64
DUE_PER_BLOCK: Final = 256

_MORE_THAN_MOVED: Final = ("QUANTITY_ORDERED", "QUANTITY_DESPATCHED", "QUANTITY_RECEIVED", "AMOUNT")
_MOVES: Final = ("despatch", "receipt")
_NOT_SETTLED: Final = ("AWAITED", "RECEIPT_MISSING", "RECEIPT_ISSUER")
_NUMBER: Final = re.compile(r"(.*?)([0-9]{1,15})", re.ASCII | re.DOTALL)


def enter(ctx: Context, reader: Reader, alarm: Alarm, bill: Document, *, known: bool) -> None:
    """Take in a new or corrected bill; known: it was taken in before."""
    if bill.kind == "credit_note":
        return
    _enter_series(ctx, reader, alarm, bill, known)
    amount = bill_amount(bill)
    if amount is None:
        return
    key = ("alike", bill.record.enterprise, bill.text("currency"), render(amount))
    rows = ctx.get(*key) or []
    row = _Row.of(bill).stored()
    if row not in rows:
        others = [other for other in rows if other[:4] != row[:4]]
        ctx.put(*key, value=[*others, row][-ALIKE_KEPT:])


def look(ctx: Context, reader: Reader, alarm: Alarm, verdict: Verdict, book: Book, universe: Enterprise) -> None:
    """Everything that the state of its trade says about one bill of the enterprise."""
    if verdict.status == DUPLICATE or verdict.bill.kind == "credit_note":
        return
    _likely_duplicate(ctx, reader, alarm, verdict, book, universe)
    _billed_before_goods(alarm, verdict, book)
    _phantom(ctx, reader, alarm, verdict)


def fall_due(ctx: Context) -> list[Place]:
    """Bills whose time has come, a block's share of them."""
    upcoming = ctx.get("due_next")
    if upcoming is None:
        return []
    day, position = upcoming
    today = ctx.time // 1_000 // SECONDS_PER_DAY
    found: list[Place] = []
    for _ in range(DAYS_PER_BLOCK):
        if day > today:
            break
        count = ctx.get("due_count", day) or 0
        while position < count and len(found) < DUE_PER_BLOCK:
            chain, kind, issuer, number = ctx.get("due", day, position)
            ctx.delete("due", day, position)
            place = (chain, kind, issuer, number)
            if ctx.get("due_at", *place) == day:
                ctx.delete("due_at", *place)
                found.append(place)
            position += 1
        if position < count:
            break
        if count and day < today:
            ctx.delete("due_count", day)
        if day == today:
            break
        day, position = day + 1, 0
    if [day, position] != upcoming:
        ctx.put("due_next", value=[day, position])
    return found


class _Row(NamedTuple):
    """What of a bill is compared before it is read."""

    place: Place
    day: int
    orders: list[str]
    moves: list[str]

    @classmethod
    def of(cls, bill: Document) -> _Row:
        links = bill.record.links
        orders = sorted({number for relation, _, number in links if relation == "order"})
        moves = sorted({f"{relation} {number}" for relation, _, number in links if relation in _MOVES})
        day = bill.occurred.first // SECONDS_PER_DAY
        return cls(place_of(bill), day, orders[:NAMED_KEPT], moves[:NAMED_KEPT])

    def stored(self) -> list[Any]:
        """As it stands in the state."""
        return [*self.place, self.day, self.orders, self.moves]


def _likely_duplicate(
    ctx: Context, reader: Reader, alarm: Alarm, verdict: Verdict, book: Book, universe: Enterprise
) -> None:
    bill = verdict.bill
    if verdict.amount is None:
        return
    without_goods = verdict.status == UNMATCHED or (
        verdict.status == CONTRADICTED and any(found.rule in _MORE_THAN_MOVED for found in verdict.findings)
    )
    own = _Row.of(bill)
    near = watch(bill.template).alike_days
    left = ALIKE_KEPT
    for identifier in universe.identifiers:
        for stored in ctx.get("alike", identifier, bill.text("currency"), render(verdict.amount)) or []:
            row = _Row((stored[0], stored[1], stored[2], stored[3]), *stored[4:])
            if _is_alike(own, row, near, without_goods=without_goods) and row.place[1:] != own.place[1:]:
                left -= 1
                if left < 0:
                    return
                other = reader.document(row.place[0], row.place[1:])
                if other is not None and _is_same_sale(bill, other, reader) and not _taken_back(verdict, other, book):
                    _raise_duplicate(alarm, verdict, other)
                    return


def _is_alike(own: _Row, other: _Row, near: int, *, without_goods: bool) -> bool:
    if own.moves and other.moves:
        return bool(set(own.moves) & set(other.moves))
    if not without_goods:
        return False
    if own.orders and other.orders:
        return bool(set(own.orders) & set(other.orders))
    return abs(own.day - other.day) <= near


def _is_same_sale(bill: Document, other: Document, reader: Reader) -> bool:
    """Another bill, of the same amount, to the same buyer."""
    if other.number == bill.number and same_party(other.record.issuer, bill.record.issuer, reader.party_of):
        return False
    if render(bill_amount(other) or NOTHING) != render(bill_amount(bill) or NOTHING):
        return False
    ours, theirs = bill.record.counterparty, other.record.counterparty
    return same_party(ours, theirs, reader.party_of) or same_name(bill.text("buyer_name"), other.text("buyer_name"))


def _taken_back(verdict: Verdict, other: Document, book: Book) -> bool:
    """Credit notes of the trade take one of the two back as a whole: what was credited may be billed anew."""
    for bill in (verdict.bill, other):
        credited = NOTHING
        for note in verdict.trade.credit_notes:
            if any(invoice.id == bill.id for invoice in book.linked(note, "invoice")):
                credited = add(credited, bill_amount(note) or NOTHING)
        bound = tolerances(bill.template)
        if credited.units and not exceeds(verdict.amount or NOTHING, credited, bound.amount_bp, bound.amount_slack):
            return True
    return False


def _raise_duplicate(alarm: Alarm, verdict: Verdict, other: Document) -> None:
    first, second = sorted((verdict.bill, other), key=seal_order)
    amount = render(verdict.amount or NOTHING)
    said = f"{amount} {verdict.bill.text('currency')}".strip()
    alarm.raise_about(
        (second, first),
        rule="LIKELY_DUPLICATE",
        text=f"duplicate: {name(second)} bills {said} like {name(first)} to the same buyer; nothing else moved",
        mark=[list(first.key), list(second.key)],
        status=verdict.status,
        ours=amount,
        theirs=amount,
    )


def _billed_before_goods(alarm: Alarm, verdict: Verdict, book: Book) -> None:
    """Dated before the despatch or receipt it names; before anything was sent, where all that it names is here."""
    bill, trade = verdict.bill, verdict.trade
    named = [*book.linked(bill, "despatch"), *book.linked(bill, "receipt")]
    if not named and trade.despatches and not book.dangling(bill) & {"despatch", "receipt"}:
        named = [min(trade.despatches, key=lambda doc: (doc.occurred.first, doc.id))]
    for other in named:
        if bill.occurred.last + watch(bill.template).backdated_days * SECONDS_PER_DAY < other.occurred.first:
            _backdated(alarm, bill, other, f"which goes back to {name(other)} of {other.record.occurred_at}")
            return


def _enter_series(ctx: Context, reader: Reader, alarm: Alarm, bill: Document, known: bool) -> None:
    """A bill's number and date against its neighbours' in its issuer's series."""
    match = _NUMBER.fullmatch(bill.number)
    if match is None:
        return
    prefix, number = match[1], int(match[2])
    series = OrderedMap(ctx, "series", bill.record.issuer, bill.kind, prefix)
    place = place_of(bill)
    key = number.to_bytes(8, "big") + ctx.hash(list(place))
    if known:
        series.remove(key)
    near = series.insert(key, f"{bill.occurred.first} {bill.occurred.last} {packed(place)}")
    series.write()
    slack = watch(bill.template).backdated_days * SECONDS_PER_DAY
    before, after = _dated(near.before), _dated(near.after)
    earlier = before is not None and bill.occurred.last + slack < before[0]
    later = after is not None and after[1] + slack < bill.occurred.first
    bills, wrong = ctx.get("series_order", bill.record.issuer, bill.kind, prefix) or [0, 0]
    trusted = bills >= SERIES_LEARNT and wrong * 10 <= bills
    if not known:
        value = [bills + 1, wrong + (1 if earlier or later else 0)]
        ctx.put("series_order", bill.record.issuer, bill.kind, prefix, value=value)
    if not trusted:
        return
    if earlier and before is not None:
        _out_of_order(reader, alarm, bill, before[2])
    if later and after is not None:
        other = reader.document(after[2][0], after[2][1:])
        if other is not None:
            _out_of_order(reader, alarm, other, place)


def _dated(entry: Entry | None) -> tuple[int, int, Place] | None:
    if entry is None:
        return None
    first, last, place = str(entry.value).split(" ", 2)
    return int(first), int(last), unpacked(place)


def _out_of_order(reader: Reader, alarm: Alarm, bill: Document, lower: Place) -> None:
    other = reader.document(lower[0], lower[1:])
    if other is not None and other.key != bill.key:
        _backdated(alarm, bill, other, f"after {name(other)} of {other.record.occurred_at} in its series")


def _backdated(alarm: Alarm, bill: Document, other: Document, why: str) -> None:
    alarm.raise_about(
        (bill, other),
        rule="BACKDATED",
        text=f"date: {name(bill)} is of {bill.record.occurred_at}, {why}",
        mark=[bill.chain, bill.id, other.id],
        ours=bill.record.occurred_at,
        theirs=other.record.occurred_at,
    )


def _phantom(ctx: Context, reader: Reader, alarm: Alarm, verdict: Verdict) -> None:
    bill, trade = verdict.bill, verdict.trade
    if "receipt" not in tolerances(bill.template).required or is_confirmed(ctx, bill, reader.party_of):
        return
    receipts = buyers_receipts(trade, reader.party_of)
    if receipts and not any(finding.rule in _NOT_SETTLED for finding in verdict.findings):
        return
    own = [doc for doc in trade.receipts if same_party(doc.record.issuer, bill.record.enterprise, reader.party_of)]
    if own and not receipts:
        text = f"delivery: {name(own[0])} of {name(bill)} was issued by the seller, {own[0].record.issuer}, itself"
        _raise_phantom(alarm, verdict, (bill, own[0]), text)
        return
    days = watch(bill.template).phantom_days
    deadline = max(bill.occurred.last, bill.sealed_at) + days * SECONDS_PER_DAY
    if ctx.time // 1_000 < deadline:
        _schedule(ctx, place_of(bill), deadline // SECONDS_PER_DAY + 1)
        return
    what = "a paper it names is not sealed" if receipts else "the buyer shows no receipt"
    _raise_phantom(alarm, verdict, (bill,), f"delivery: {days} days after {name(bill)} {what}")


def _raise_phantom(alarm: Alarm, verdict: Verdict, docs: tuple[Document, ...], text: str) -> None:
    bill = verdict.bill
    alarm.raise_about(docs, rule="PHANTOM", text=text, mark=[bill.chain, bill.id], status=verdict.status)


def _schedule(ctx: Context, place: Place, day: int) -> None:
    if ctx.get("due_at", *place) == day:
        return
    position = ctx.get("due_count", day) or 0
    ctx.put("due", day, position, value=list(place))
    ctx.put("due_count", day, value=position + 1)
    ctx.put("due_at", *place, value=day)
    upcoming = ctx.get("due_next")
    if upcoming is None or day < upcoming[0]:
        ctx.put("due_next", value=[day, 0])
