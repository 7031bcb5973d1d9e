"""How far a contract has come: running sums over the trades of its orders, by stage (DOMAIN 7).

A trade belongs to the contract that its first order links, or to that order itself where it links none. What one
trade brings, in the order's currency:

    ordered     the orders' totals, cancelled orders left out
    accepted    of them, what a response accepts (its total where it names one that is less)
    despatched  goods sent at the order's prices, at most what was ordered, less what came back
    received    goods that the buyer's own receipts say arrived, likewise
    invoiced    matched bills less matched credit notes and goods that came back uncredited, never below 0
    confirmed   of them, bills that the counterparty's own key stands for
    paid        what remittances of others than the enterprise pay on matched bills, each at most its amount
    returned    goods that came back at the order's prices

State, on the consortium chain, in the credit contract's namespace:
    ("lead", chain, kind, issuer, number) -> {row: [kind, issuer, number, enterprise, counterparty], currency, stages:
        {stage: decimal text}} of the trade whose first order lies there
    ("progress", kind, issuer, number, enterprise identifier, counterparty identifier) -> {currency: {stage: decimal
        text, "trades": text}}: the sums over all leads of that row

A row is the link as the order names it: issuer "" where it names none, and then the order's counterparty; else
counterparty "". Which contract a row belongs to is settled when it is read, so nothing moves when the contract's
record comes late or a party registers further identifiers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from contracts.context import Context
from contracts.decimal_text import (
    NOTHING,
    Scaled,
    add,
    at_scale,
    ceil_at_scale,
    floor_at_scale,
    multiply,
    render,
    reread,
    subtract,
)
from contracts.documents import Document, bill_amount, lines, same_party
from contracts.evidence import Reader
from contracts.goods import order_amount
from contracts.matching import Book, Trade
from contracts.trades import Place
from contracts.truth import INELIGIBLE, MATCHED, Verdict, buyers_receipts, cancellations
from contracts.verdicts import added

STAGES: Final = ("ordered", "accepted", "despatched", "received", "invoiced", "confirmed", "paid", "returned")
MOST: Final = 2**53  # minor units of a stage that are told apart
TRADES: Final = "trades"  # how many leads a row sums up


class Progress(NamedTuple):
    """Minor units by stage, in the contract's currency; rounded down, returned rounded up."""

    currency: str
    scale: int
    stages: dict[str, int]


class Row(NamedTuple):
    """A contract as an order's link names it."""

    kind: str
    issuer: str
    number: str
    enterprise: str
    counterparty: str


class Share(NamedTuple):
    """What one trade brings to its contract."""

    row: Row
    currency: str
    stages: dict[str, Scaled]


def of_contract(ctx: Context, reader: Reader, contract: Document) -> Progress:
    """The progress of a contract, or of an order that links no contract; zeros where there is none."""
    currency = contract.text("currency")
    scale = contract.template.get("currencies", {}).get(currency, 0)
    sums = dict.fromkeys(STAGES, NOTHING)
    for row in _rows_of(reader, contract):
        part = (ctx.get("progress", *row) or {}).get(currency, {})
        for stage in STAGES:
            if stage in part:
                sums[stage] = add(sums[stage], reread(part[stage]))
    stages = {stage: min(floor_at_scale(value, scale), MOST) for stage, value in sums.items()}
    stages["returned"] = min(ceil_at_scale(sums["returned"], scale), MOST)
    return Progress(currency, scale, stages)


def belongs(reader: Reader, contract: list[str], bill: Document, to: Document) -> bool:
    """Whether a bill's stored verdict["contract"] names this contract (or order)."""
    if not contract or contract[0] != to.kind or contract[2] != to.number:
        return False
    return _row_belongs(reader, Row(contract[0], contract[1], contract[2], "", bill.record.counterparty), to)


def row_of(trade: Trade) -> Row | None:
    """The contract of a trade, None while it has no order."""
    if not trade.orders:
        return None
    order = trade.orders[0].record
    for relation, issuer, number in order.links:
        if relation == "contract":
            return Row("contract", issuer, number, order.enterprise, "" if issuer else order.counterparty)
    return Row("order", order.issuer, order.number, order.enterprise, "")


def share_of(trade: Trade, book: Book, verdicts: Iterable[Verdict], confirmed: frozenset[bytes]) -> Share | None:
    """What a trade brings; None without an order. confirmed: ids of bills that their counterparty stands for."""
    row = row_of(trade)
    if row is None:
        return None
    goods = _Goods(trade, book)
    matched = [verdict for verdict in verdicts if verdict.status == MATCHED]
    credit_notes = [v for v in matched if v.bill.kind == "credit_note"]
    bills = [v for v in matched if v.bill.kind != "credit_note"]
    credited = _amounts(credit_notes)
    back = goods.value(trade.returns, capped=False)
    uncredited = _positive(subtract(back, credited))
    off = add(credited, uncredited)
    stages = {
        "ordered": goods.ordered,
        "accepted": goods.accepted,
        "despatched": _positive(subtract(goods.value(trade.despatches), back)),
        "received": _positive(subtract(goods.value(buyers_receipts(trade, book.party_of)), back)),
        "invoiced": _positive(subtract(_amounts(bills), off)),
        "confirmed": _positive(subtract(_amounts(v for v in bills if v.bill.id in confirmed), off)),
        "paid": _total(_paid(v.bill, book) for v in bills),
        "returned": back,
    }
    order = trade.orders[0]
    named = (doc.text("currency") for doc in (order, *trade.orders, *trade.bills))
    return Share(row, next((currency for currency in named if currency), ""), stages)


def open_of(verdict: Verdict, others: Iterable[Verdict], book: Book) -> Scaled:
    """What of a matched bill is neither paid nor taken back by a credit note of its trade; else nothing.

    others: the verdicts on its trade. A credit note counts here before it is matched.
    """
    bill = verdict.bill
    if verdict.status != MATCHED or bill.kind == "credit_note" or verdict.amount is None:
        return NOTHING
    notes = (v for v in others if v.bill.kind == "credit_note" and v.status not in INELIGIBLE)
    credited = _amounts(v for v in notes if bill.id in {invoice.id for invoice in book.linked(v.bill, "invoice")})
    return _positive(subtract(verdict.amount, add(credited, _paid(bill, book))))


def store(ctx: Context, lead: Place, share: Share | None) -> None:
    """Write what the trade of a first order brings, or None when no trade is led from there any more."""
    before = ctx.get("lead", *lead)
    after = None
    if share is not None:
        stages = {stage: render(value) for stage, value in share.stages.items() if value.units}
        after = {"row": list(share.row), "currency": share.currency, "stages": stages}
    if before == after:
        return
    if before is not None:
        _apply(ctx, before, -1)
    if after is not None:
        _apply(ctx, after, 1)
        ctx.put("lead", *lead, value=after)
    else:
        ctx.delete("lead", *lead)


def _apply(ctx: Context, lead: dict[str, Any], sign: int) -> None:
    key = ("progress", *lead["row"])
    known = ctx.get(*key) or {}
    sums = {**known.get(lead["currency"], {TRADES: "0"})}
    for stage, text in {**lead["stages"], TRADES: "1"}.items():
        value = reread(text)
        sums[stage] = added(sums.get(stage, "0"), value if sign > 0 else subtract(NOTHING, value))
    sums = {stage: text for stage, text in sums.items() if text != "0"}
    left = {currency: part for currency, part in {**known, lead["currency"]: sums}.items() if part}
    if left:
        ctx.put(*key, value=left)
    else:
        ctx.delete(*key)


class _Goods:
    """The goods of a trade's living orders, at their prices."""

    def __init__(self, trade: Trade, book: Book) -> None:
        self._book = book
        cancelled = cancellations(trade, book)
        orders = [order for order in trade.orders if order.id not in cancelled]
        self._prices: dict[str, Scaled] = {}
        self._by_line: dict[str, str] = {}
        self._most: dict[str, Scaled] = {}
        for order in orders:
            for line in lines(order):
                key = line.item_id or f"line {line.line_id}"
                self._by_line.setdefault(line.line_id, key)
                if line.quantity is None or line.price is None:
                    continue
                lower = self._prices.get(key, line.price)
                self._prices[key] = line.price if _less(line.price, lower) else lower
                self._most[key] = add(self._most.get(key, NOTHING), line.quantity)
        self.ordered = _total(order_amount(order) or NOTHING for order in orders)
        self.accepted = _total(self._accepted(order, trade) for order in orders)

    def value(self, docs: Iterable[Document], *, capped: bool = True) -> Scaled:
        """Goods on these papers at the lowest price ordered; capped: no more of an item than was ordered."""
        quantities: dict[str, Scaled] = {}
        for doc in docs:
            for line in lines(doc):
                key = line.item_id if line.item_id in self._prices else self._by_line.get(line.line_id, "")
                if key in self._prices and line.quantity is not None:
                    quantities[key] = add(quantities.get(key, NOTHING), _positive(line.quantity))
        if capped:
            quantities = {key: _least(quantity, self._most[key]) for key, quantity in quantities.items()}
        return _total(multiply(quantity, self._prices[key]) for key, quantity in quantities.items())

    def _accepted(self, order: Document, trade: Trade) -> Scaled:
        """What the latest response to an order accepts of it."""
        answers = [response for response in trade.responses if order in self._book.linked(response, "order")]
        if not answers or answers[-1].text("accepted") != "true":
            return NOTHING
        whole = order_amount(order) or NOTHING
        said = answers[-1].decimal("total")
        return whole if said is None else _least(_positive(said), whole)


def _paid(bill: Document, book: Book) -> Scaled:
    """What remittances pay on a bill: their lines of its number, or the whole of one that names no other bill."""
    paid = NOTHING
    for remittance in book.payments_of(bill):
        if same_party(remittance.record.issuer, bill.record.enterprise, book.party_of):
            continue
        named = {(relation, issuer, number) for relation, issuer, number in remittance.record.links}
        rows = [line for line in lines(remittance) if line.item_id == bill.number and line.amount is not None]
        if rows and len([link for link in named if link[2] == bill.number]) == 1:
            paid = add(paid, _total(_positive(line.amount) for line in rows if line.amount is not None))
        elif not lines(remittance) and len(named) == 1:
            paid = add(paid, _positive(bill_amount(remittance) or NOTHING))
    return _least(paid, bill_amount(bill) or NOTHING)


def _rows_of(reader: Reader, contract: Document) -> Iterable[Row]:
    """Rows that may belong to a contract, each once: by its issuer's identifiers, and those that name no issuer."""
    record = contract.record
    enterprise = reader.identifiers_of(record.enterprise)
    for identifier in enterprise:
        for issuer in reader.identifiers_of(record.issuer):
            yield Row(contract.kind, issuer, record.number, identifier, "")
    if contract.kind == "order":
        return
    buyers: set[str] = set()
    for side in (record.issuer, record.counterparty):  # all identifiers of a party belong, or none does
        if side and _row_belongs(reader, Row(contract.kind, "", record.number, record.enterprise, side), contract):
            buyers.update(reader.identifiers_of(side))
    for identifier in enterprise:
        for buyer in sorted(buyers):
            yield Row(contract.kind, "", record.number, identifier, buyer)


def _row_belongs(reader: Reader, row: Row, contract: Document) -> bool:
    """A link without an issuer: the contract that the order's counterparty issued, else the one it is a side of."""
    record = contract.record
    if row.issuer:
        return same_party(row.issuer, record.issuer, reader.party_of)
    if same_party(row.counterparty, record.issuer, reader.party_of):
        return True
    if not record.counterparty or not same_party(row.counterparty, record.counterparty, reader.party_of):
        return False
    theirs = reader.identifiers_of(row.counterparty)
    return not any(reader.find((contract.kind, issuer, record.number)) for issuer in theirs)


def _amounts(verdicts: Iterable[Verdict]) -> Scaled:
    return _total(verdict.amount or NOTHING for verdict in verdicts)


def _total(values: Iterable[Scaled]) -> Scaled:
    total = NOTHING
    for value in values:
        total = add(total, value)
    return total


def _positive(value: Scaled) -> Scaled:
    return value if value.units > 0 else NOTHING


def _less(left: Scaled, right: Scaled) -> bool:
    scale = max(left.scale, right.scale)
    return at_scale(left, scale) < at_scale(right, scale)


def _least(left: Scaled, right: Scaled) -> Scaled:
    return left if _less(left, right) else right
