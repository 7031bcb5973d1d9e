"""Circular trade: goods, or the money for them, that come back to their seller through a few parties ([3]).

Each bill is a sale: a row under its enterprise, the newest SALES_KEPT of each. A new sale from A to B looks for sales
that lead from B back to A, through at most `circular_parties` parties and within `circular_days`, each of them like
the first: the same main item (at least half of the bill) in about the same quantity, or, from three parties on,
about the same amount in the same currency. That two firms sell each other different things is ordinary trade.

State, on the consortium chain, in the credit contract's namespace:
    ("sales", enterprise identifier) -> [[chain, kind, issuer, number, counterparty, day, currency, amount, item,
        quantity]], oldest first; item "" where no item makes up half of the bill
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contracts.alerts import Alarm
from contracts.context import Context
from contracts.decimal_text import NOTHING, Scaled, add, differs, exceeds, render, reread
from contracts.documents import Document, bill_amount, lines, name, party_key, same_party
from contracts.evidence import Reader
from contracts.findings import Watch, watch
from contracts.record import SECONDS_PER_DAY
from contracts.trades import Place, place_of

SALES_KEPT: Final = 64
ROWS_LOOKED_AT: Final = 512  # of one new sale's search
MONEY_ALONE: Final = 3  # parties from which on the amount alone tells


class Sale(NamedTuple):
    """One bill as an edge from seller to buyer."""

    place: Place
    buyer: str
    day: int
    currency: str
    amount: Scaled
    item: str
    quantity: Scaled

    def row(self) -> list[str | int]:
        """As it is stored."""
        said = [self.currency, render(self.amount), self.item, render(self.quantity)]
        return [*self.place, self.buyer, self.day, *said]


def enter(ctx: Context, reader: Reader, alarm: Alarm, bill: Document) -> None:
    """Take in a new or corrected bill, and raise CIRCULAR_TRADE if it closes a circle."""
    sale = _sale(bill)
    seller = bill.record.enterprise
    rows = ctx.get("sales", seller) or []
    others = [row for row in rows if tuple(row[:4]) != place_of(bill)]
    if sale is None:
        if others != rows:
            ctx.put("sales", seller, value=others)
        return
    ctx.put("sales", seller, value=[*others, sale.row()][-SALES_KEPT:])
    bounds = watch(bill.template)
    way = _Search(ctx, reader, bounds, sale, seller).run()
    if way is not None:
        _raise(reader, alarm, bill, way)


class _Search:
    """Depth first, shortest way first by deepening; bounded by the rows looked at, and identifiers looked under."""

    def __init__(self, ctx: Context, reader: Reader, bounds: Watch, first: Sale, seller: str) -> None:
        self._ctx = ctx
        self._reader = reader
        self._bounds = bounds
        self._first = first
        self._seller = seller
        self._left = ROWS_LOOKED_AT
        self._rows: dict[str, list[Any]] = {}

    def run(self) -> tuple[Sale, ...] | None:
        """The sales that lead back, None when there are none."""
        for parties in range(2, self._bounds.circular_parties + 1):
            way = self._back(self._first.buyer, parties, parties - 1, ())
            if way is not None:
                return way
        return None

    def _back(self, party: str, parties: int, steps: int, way: tuple[Sale, ...]) -> tuple[Sale, ...] | None:
        """From a party to the first seller in exactly so many steps."""
        for row in self._rows_of(party):
            if self._left <= 0:
                return None
            self._left -= 1
            sale = Sale(
                (row[0], row[1], row[2], row[3]), row[4], row[5], row[6], reread(row[7]), row[8], reread(row[9])
            )
            home = same_party(sale.buyer, self._seller, self._reader.party_of)
            if home != (steps == 1) or not self._is_like(sale, parties):
                continue
            if home:
                return (*way, sale)
            met = (self._first.buyer, *(step.buyer for step in way))
            if any(same_party(sale.buyer, other, self._reader.party_of) for other in met):
                continue
            found = self._back(sale.buyer, parties, steps - 1, (*way, sale))
            if found is not None:
                return found
        return None

    def _rows_of(self, party: str) -> list[Any]:
        known = party_key(party, self._reader.party_of)
        if known not in self._rows:
            identifiers = self._reader.identifiers_of(party) if party else ()
            self._left -= len(identifiers)
            self._rows[known] = [row for name in identifiers for row in self._ctx.get("sales", name) or []]
        return self._rows[known]

    def _is_like(self, sale: Sale, parties: int) -> bool:
        first, bounds = self._first, self._bounds
        if sale.currency != first.currency or abs(sale.day - first.day) > bounds.circular_days:
            return False
        if first.item and sale.item == first.item:
            return not differs(sale.quantity, first.quantity, bounds.circular_bp)
        return parties >= MONEY_ALONE and not differs(sale.amount, first.amount, bounds.circular_bp)


def _sale(bill: Document) -> Sale | None:
    """None for what is no sale: a credit note, a bill without a buyer or an amount."""
    amount = bill_amount(bill)
    record = bill.record
    if bill.kind == "credit_note" or not record.counterparty or amount is None or not amount.units:
        return None
    item, quantity = _main_item(bill)
    day = bill.occurred.first // SECONDS_PER_DAY
    return Sale(place_of(bill), record.counterparty, day, bill.text("currency"), amount, item, quantity)


def _main_item(bill: Document) -> tuple[str, Scaled]:
    """The item that makes up at least half of the bill's lines, and its quantity."""
    amounts: dict[str, Scaled] = {}
    quantities: dict[str, Scaled] = {}
    whole = NOTHING
    for line in lines(bill):
        amount = line.amount or NOTHING
        whole = add(whole, amount)
        amounts[line.item_id] = add(amounts.get(line.item_id, NOTHING), amount)
        quantities[line.item_id] = add(quantities.get(line.item_id, NOTHING), line.quantity or NOTHING)
    for item, amount in amounts.items():
        if item and not exceeds(whole, add(amount, amount), 0) and quantities[item].units:
            return item, quantities[item]
    return "", NOTHING


def _raise(reader: Reader, alarm: Alarm, bill: Document, way: tuple[Sale, ...]) -> None:
    found = [reader.document(sale.place[0], (sale.place[1], sale.place[2], sale.place[3])) for sale in way]
    docs = (bill, *(doc for doc in found if doc is not None))
    parties = " to ".join([bill.record.enterprise, *(doc.record.counterparty for doc in docs)])
    alarm.raise_about(
        docs,
        rule="CIRCULAR_TRADE",
        text=f"circle: what {name(bill)} bills goes round, {parties}",
        mark=sorted(list(doc.key) for doc in docs),
        ours=render(bill_amount(bill) or NOTHING),
        theirs=render(bill_amount(docs[-1]) or NOTHING),
    )
