"""The goods of one trade, counted: ordered, despatched, received, and billed so far (DOMAIN 3, Truth).

Quantities are cumulative: the bills of a trade in event order, less its credit notes, against all that was
ordered, despatched and received. So billing the same goods twice under two numbers contradicts the second.
A line stands for an item of the order by its item id, else by its line id.

Papers come late. Where a bill, or a receipt it rests on, names an order, despatch or receipt that is not sealed yet,
or where goods are on their way (a despatch that no receipt names so far), what is missing is a doubt, AWAITED (or
DESPATCH_AWAITED, where it is another bill's goods that came before their despatch), and no contradiction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from contracts import decimal_text
from contracts.decimal_text import NOTHING, Scaled, add, exceeds, multiply, render, subtract
from contracts.documents import Document, Line, line_total, lines, name, names
from contracts.findings import EVIDENCE, Finding, Tolerances, contradiction, doubt, tolerances
from contracts.matching import Book, Trade

# Rules about a bill's own figures, and what it names itself.
FIGURES = ("AMOUNT_SUM", "NET_SUM", "ARITHMETIC", "QUANTITY_NAMED")
ORDER_FINDINGS = 8  # about the orders' own figures, that each bill of a trade carries

# One piece, in the code lists that trade papers use: UN/ECE Recommendation 20 (one, piece, each) and EDIFACT 6411.
PIECES = ("C62", "EA", "H87", "PCE")


class Goods(NamedTuple):
    """One item of the orders, summed over its lines. quantity, amount None: a line gives none."""

    quantity: Scaled | None
    unit: str
    prices: tuple[Scaled, ...]
    amount: Scaled | None
    item_id: str
    lines: tuple[str, ...]


class Shipped(NamedTuple):
    """What documents of one kind say of each item. counted: at least one of them has lines."""

    docs: tuple[Document, ...]
    quantities: dict[str, Scaled]
    counted: bool


def same_unit(ours: str, theirs: str) -> bool:
    """Whether two unit codes count the same: the same code, or both count pieces. Nothing is converted."""
    return ours == theirs or (ours in PIECES and theirs in PIECES)


class Count:
    """Goods of one trade that has at least one order. Bills are taken one by one, in event order."""

    def __init__(self, trade: Trade, book: Book) -> None:
        self._book = book
        self._orders = trade.orders
        self._ordered: dict[str, Goods] = {}
        self._by_line: dict[str, str] = {}
        self._order_amount: Scaled | None = NOTHING
        for order in trade.orders:
            for line in lines(order):
                self._add_ordered(line)
            self._order_amount = _sum(self._order_amount, order_amount(order))
        bound = tolerances(trade.orders[0].template)
        found = [finding for order in trade.orders for finding in _arithmetic(order, bound)]
        self._order_findings = found[:ORDER_FINDINGS]
        self._despatched = self._ship(trade.despatches)
        self._received = self._ship(trade.receipts)
        self._on_the_way = self._ship(on_the_way(trade, book)).quantities
        self._returned = self._ship(trade.returns)
        credited = self._ship(trade.credit_notes).quantities
        self._billed = {key: subtract(NOTHING, quantity) for key, quantity in credited.items()}
        self._amount = NOTHING
        for credit_note in trade.credit_notes:
            self._amount = subtract(self._amount, net_amount(credit_note) or NOTHING)
        self._bills: list[Document] = []
        self._awaited = {kind for receipt in trade.receipts for kind in book.dangling(receipt)}

    def take(self, bill: Document) -> list[Finding]:
        """Count one more bill, and say what does not fit."""
        self._bills.append(bill)
        self._awaited |= self._book.dangling(bill)
        bound = tolerances(bill.template)
        findings = self._amounts(bill, bound)
        rows = lines(bill)
        if not rows or not self._ordered:
            side = bill if not rows else self._orders[0]
            return [*findings, doubt("LINES", f"lines: {name(side)} has none to compare", "", "", bill, side)]
        findings += [*_arithmetic(bill, bound), *self._order_findings]
        items: dict[str, list[Line]] = {}
        for line in rows:
            key = self._key_of(line)
            if key is None:
                findings.append(self._unknown_item(bill, line))
            else:
                items.setdefault(key, []).append(line)
        for key, item_lines in items.items():
            findings += self._item(bill, key, item_lines, bound)
        return findings

    def _add_ordered(self, line: Line) -> None:
        key = line.item_id or f"line {line.line_id}"
        self._by_line.setdefault(line.line_id, key)
        known = self._ordered.get(key)
        prices = () if line.price is None else (line.price,)
        if known is None:
            goods = Goods(line.quantity, line.unit, prices, line.amount, line.item_id, (line.line_id,))
        else:
            goods = Goods(
                _sum(known.quantity, line.quantity),
                known.unit,
                known.prices + prices,
                _sum(known.amount, line.amount),
                line.item_id,
                (*known.lines, line.line_id),
            )
        self._ordered[key] = goods

    def _key_of(self, line: Line) -> str | None:
        return line.item_id if line.item_id in self._ordered else self._by_line.get(line.line_id)

    def _ship(self, docs: tuple[Document, ...]) -> Shipped:
        quantities: dict[str, Scaled] = {}
        counted = False
        for doc in docs:
            for line in lines(doc):
                counted = True
                key = self._key_of(line)
                if key is not None and line.quantity is not None:
                    quantities[key] = add(quantities.get(key, NOTHING), line.quantity)
        return Shipped(docs, quantities, counted)

    def _item(self, bill: Document, key: str, item_lines: list[Line], bound: Tolerances) -> list[Finding]:
        ordered = self._ordered[key]
        findings: list[Finding] = []
        own = NOTHING
        comparable = True
        for line in item_lines:
            findings += self._item_id(bill, ordered, line)
            findings += self._price(bill, line, ordered, bound)
            where = f"{name(bill)} line {line.line_id}"
            if line.quantity is None or ordered.quantity is None:
                text = f"quantity: {where} or its order gives none"
                findings.append(doubt("QUANTITY", text, "", "", bill, *self._orders))
                comparable = False
            elif line.unit and ordered.unit and not same_unit(line.unit, ordered.unit):
                text = f"unit: {where} counts in {line.unit}, {names(self._orders)} in {ordered.unit}"
                findings.append(doubt("UNIT", text, line.unit, ordered.unit, bill, *self._orders))
                comparable = False
            own = add(own, line.quantity or NOTHING)
        self._billed[key] = add(self._billed.get(key, NOTHING), own)
        if comparable:
            findings += self._quantities(bill, key, own, item_lines, bound) + self._shipments(bill, key, bound)
        return findings

    def _item_id(self, bill: Document, ordered: Goods, line: Line) -> list[Finding]:
        """A line found by its number alone, though both sides name their item."""
        if not line.item_id or not ordered.item_id or line.item_id == ordered.item_id:
            return []
        said = f"item: {name(bill)} line {line.line_id} says {line.item_id}"
        text = f"{said}, {names(self._orders)} line {ordered.lines[0]} says {ordered.item_id}"
        make = contradiction if _scheme(line.item_id) == _scheme(ordered.item_id) else doubt
        return [make("ITEM", text, line.item_id, ordered.item_id, bill, *self._orders)]

    def _unknown_item(self, bill: Document, line: Line) -> Finding:
        what = line.item_id or f"line {line.line_id}"
        text = f"item: {name(bill)} line {line.line_id} bills {what}, {names(self._orders)} has no such item"
        if "order" in self._awaited:
            return doubt("AWAITED", text, what, "", bill, *self._orders)
        return contradiction("ITEM", text, what, "", bill, *self._orders)

    def _price(self, bill: Document, line: Line, ordered: Goods, bound: Tolerances) -> list[Finding]:
        if line.price is None or not ordered.prices:
            text = f"price: {name(bill)} line {line.line_id} or its order gives none"
            return [doubt("PRICE", text, "", "", bill, *self._orders)]
        if not all(decimal_text.differs(line.price, price, bound.price_bp) for price in ordered.prices):
            return []
        ours, theirs = render(line.price), render(ordered.prices[0])
        text = f"price: {name(bill)} line {line.line_id} says {ours}, {names(self._orders)} says {theirs}"
        return [contradiction("PRICE", text, ours, theirs, bill, *self._orders)]

    def _quantities(
        self, bill: Document, key: str, own: Scaled, item_lines: list[Line], bound: Tolerances
    ) -> list[Finding]:
        """All billed so far against all ordered, despatched, received."""
        billed = self._billed[key]
        if not decimal_text.differs(billed, own, 0):
            said = f"{name(bill)} line {', '.join(line.line_id for line in item_lines)} says {render(billed)}"
        else:
            said = f"{names(self._bills)} less credit notes together say {render(billed)} of {key}"
        sides: list[tuple[str, tuple[Document, ...], Scaled | None, bool]]
        sides = [("QUANTITY_ORDERED", self._orders, self._ordered[key].quantity, "order" in self._awaited)]
        if self._despatched.counted:
            sent = self._despatched.quantities.get(key, NOTHING)
            sides.append(("QUANTITY_DESPATCHED", self._despatched.docs, sent, "despatch" in self._awaited))
        if self._received.counted:
            got = self._received.quantities.get(key, NOTHING)
            coming = add(got, self._on_the_way.get(key, NOTHING))
            awaited = not self._awaited.isdisjoint(("despatch", "receipt"))
            awaited = awaited or not exceeds(billed, coming, bound.quantity_bp)
            sides.append(("QUANTITY_RECEIVED", self._received.docs, got, awaited))
        findings = []
        for rule, docs, quantity, awaited in sides:
            if quantity is not None and exceeds(billed, quantity, bound.quantity_bp):
                text = f"quantity: {said}, {names(docs)} says {render(quantity)}"
                found, make = ("AWAITED", doubt) if awaited else (rule, contradiction)
                findings.append(make(found, text, render(billed), render(quantity), bill, *docs[:EVIDENCE]))
        return findings or [*self._named(bill, key, own, bound), *self._kept(bill, key, said, bound)]

    def _named(self, bill: Document, key: str, own: Scaled, bound: Tolerances) -> list[Finding]:
        """A bill for more than the despatches it names, though others of the trade may make up for it."""
        named = self._book.linked(bill, "despatch")
        if not named or "despatch" in self._book.dangling(bill):
            return []
        sent = self._ship(named).quantities.get(key, NOTHING)
        if not exceeds(own, sent, bound.quantity_bp):
            return []
        text = f"quantity: {name(bill)} says {render(own)} of {key}, {names(named)} that it names says {render(sent)}"
        return [doubt("QUANTITY_NAMED", text, render(own), render(sent), bill, *named)]

    def _kept(self, bill: Document, key: str, said: str, bound: Tolerances) -> list[Finding]:
        """Goods went back and are billed still: a credit note must follow."""
        back = self._returned.quantities.get(key)
        if back is None:
            return []
        side = self._received if self._received.counted else self._despatched
        whole = side.quantities.get(key) if side.counted else self._ordered[key].quantity
        if whole is None:
            return []
        kept = subtract(whole, back)
        billed = self._billed[key]
        if not exceeds(billed, kept, bound.quantity_bp):
            return []
        text = f"quantity: {said}, {render(kept)} were kept after {names(self._returned.docs)}"
        return [doubt("RETURNED", text, render(billed), render(kept), bill, *self._returned.docs)]

    def _shipments(self, bill: Document, key: str, bound: Tolerances) -> list[Finding]:
        """More received than sent is false; more sent than ordered happens, and is a doubt."""
        sent, got = self._despatched.quantities.get(key), self._received.quantities.get(key)
        ordered = self._ordered[key].quantity
        findings = []
        if sent is not None and got is not None and exceeds(got, sent, bound.quantity_bp):
            docs = (*self._received.docs[:4], *self._despatched.docs[:4])
            said = f"quantity: {names(self._received.docs)} says {render(got)} of {key}"
            text = f"{said}, {names(self._despatched.docs)} says {render(sent)}"
            make = doubt if "despatch" in self._awaited else contradiction
            rule = "DESPATCH_AWAITED" if "despatch" in self._awaited else "RECEIVED_DESPATCHED"
            findings.append(make(rule, text, render(got), render(sent), bill, *docs))
        if sent is not None and ordered is not None and exceeds(sent, ordered, bound.quantity_bp):
            docs = (*self._despatched.docs[:4], *self._orders[:4])
            said = f"quantity: {names(self._despatched.docs)} says {render(sent)} of {key}"
            text = f"{said}, {names(self._orders)} says {render(ordered)}"
            findings.append(doubt("DESPATCHED_ORDERED", text, render(sent), render(ordered), bill, *docs))
        return findings

    def _amounts(self, bill: Document, bound: Tolerances) -> list[Finding]:
        """All that was billed without tax, less credits, against all that was ordered."""
        findings = [*_tax_sum(bill, bound), *self._line_sum(bill, bound)]
        net, ordered = net_amount(bill), self._order_amount
        if net is None or ordered is None:
            text = f"amount: {name(bill)} or its order gives none"
            return [*findings, doubt("AMOUNT", text, "", "", bill, *self._orders)]
        self._amount = add(self._amount, net)
        if exceeds(self._amount, ordered, bound.amount_bp, bound.amount_slack):
            alone = not decimal_text.differs(self._amount, net, 0)
            said = f"{name(bill)} says" if alone else f"{names(self._bills)} less credit notes together say"
            ours, theirs = render(self._amount), render(ordered)
            text = f"amount: {said} {ours}, {names(self._orders)} says {theirs}"
            rule, make = ("AWAITED", doubt) if "order" in self._awaited else ("AMOUNT", contradiction)
            findings.append(make(rule, text, ours, theirs, bill, *self._orders))
        return findings

    def _line_sum(self, bill: Document, bound: Tolerances) -> list[Finding]:
        """A net amount above the bill's lines, and above what its order adds to its own lines (freight and such)."""
        net, summed = bill.decimal("total_excl_tax"), line_total(bill)
        if net is None or summed is None:
            return []
        extra = self._extra(net, bill.decimal("tax"), bound)
        if extra is None or not exceeds(net, add(summed, extra), bound.amount_bp, bound.amount_slack):
            return []
        text = f"amount: {name(bill)} says {render(net)} without tax, its lines come to {render(summed)}"
        return [doubt("NET_SUM", text, render(net), render(summed), bill)]

    def _extra(self, net: Scaled, tax: Scaled | None, bound: Tolerances) -> Scaled | None:
        """What the orders ask for beyond their lines; nothing where that is the tax, at the bill's own rate."""
        ordered = _total(line_total(order) for order in self._orders)
        if ordered is None or self._order_amount is None:
            return None
        extra = subtract(self._order_amount, ordered)
        if tax is None:
            return extra
        in_tax = not decimal_text.differs(
            multiply(extra, net), multiply(ordered, tax), bound.amount_bp, multiply(bound.amount_slack, net)
        )
        return NOTHING if in_tax else extra


def on_the_way(trade: Trade, book: Book) -> tuple[Document, ...]:
    """Despatches that no receipt names, where every receipt names its despatch; else nobody can tell which."""
    named: set[bytes] = set()
    for receipt in trade.receipts:
        despatches = book.linked(receipt, "despatch")
        if not despatches and "despatch" not in book.dangling(receipt):
            return ()
        named |= {despatch.id for despatch in despatches}
    return tuple(despatch for despatch in trade.despatches if despatch.id not in named)


def _arithmetic(doc: Document, bound: Tolerances) -> list[Finding]:
    """quantity * price = amount on each line: else a figure was altered, or there is a discount nobody sees."""
    findings = []
    for line in lines(doc):
        if line.quantity is None or line.price is None or line.amount is None:
            continue
        product = decimal_text.multiply(line.quantity, line.price)
        if decimal_text.differs(line.amount, product, bound.amount_bp, bound.amount_slack):
            said = f"arithmetic: {name(doc)} line {line.line_id} says {render(line.amount)}"
            text = f"{said}, {render(line.quantity)} at {render(line.price)} is {render(product)}"
            findings.append(doubt("ARITHMETIC", text, render(line.amount), render(product), doc))
    return findings


def _tax_sum(bill: Document, bound: Tolerances) -> list[Finding]:
    """A total above net plus tax asks for more than the bill accounts for; below it is a prepayment or rounding."""
    net, tax, total = (bill.decimal(field) for field in ("total_excl_tax", "tax", "total"))
    if net is None or tax is None or total is None:
        return []
    expected = add(net, tax)
    if not exceeds(total, expected, bound.amount_bp, bound.amount_slack):
        return []
    text = f"amount: {name(bill)} says {render(total)} in all, without tax and tax are {render(expected)}"
    return [doubt("AMOUNT_SUM", text, render(total), render(expected), bill)]


def net_amount(bill: Document) -> Scaled | None:
    """What a bill asks for without tax: total_excl_tax, else its lines, else its total."""
    for value in (bill.decimal("total_excl_tax"), line_total(bill), bill.decimal("total")):
        if value is not None:
            return value
    return None


def order_amount(order: Document) -> Scaled | None:
    """An order's total, or its lines' where that is more: the total may be before tax or after it."""
    total, summed = order.decimal("total"), line_total(order)
    if total is None or summed is None:
        return summed if total is None else total
    return total if exceeds(total, summed, 0) else summed


def _total(parts: Iterable[Scaled | None]) -> Scaled | None:
    total: Scaled | None = NOTHING
    for part in parts:
        total = _sum(total, part)
    return total


def _sum(left: Scaled | None, right: Scaled | None) -> Scaled | None:
    return None if left is None or right is None else add(left, right)


def _scheme(identifier: str) -> str:
    """ "GTIN" of "GTIN:123"; identifiers of different schemes cannot be compared."""
    scheme, colon, _ = identifier.partition(":")
    return scheme if colon else ""
