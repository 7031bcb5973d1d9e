"""Clean histories: several enterprises over several members, with the noise that honest papers have.

Noise, with the share of trades or papers that have it:
    partial deliveries (40 %), each with its own despatch, receipt and invoice, or one invoice for all; a bill of an
        order that came in parts names its despatches, other bills name the order alone
    standing orders (30 %): the same item, quantity, price and amount again, at times on the same day
    rounding: prices of three places, quantities of one, amounts rounded to pence; 5 % receive up to 0.3 % less
    order totals before tax or after it; 20 % of sellers do not number in order
    credit notes with their return (8 %); orders cancelled before anything was sent (3 %)
    late papers: 20 % one to six days, 3 % up to twenty, in any order
    invoices up to three days before their despatch; remittances; responses; corrections of what does not matter (4 %)
    enterprises that buy from each other; buyers that nobody registered (20 %); a buyer's own confirmations
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from contracts.record import SECONDS_PER_DAY, civil_from_days
from tests.contracts import trading
from tests.contracts.memory_context import START
from tests.contracts.small_consortium import record_id

PENCE = Decimal("0.01")
FIRST_DAY = START // 1_000 // SECONDS_PER_DAY
TRADING_DAYS = 100  # in which orders are placed
LAST_DAY = 190  # by then every paper is sealed and every delay is over
TAX = Decimal("0.2")


@dataclass(frozen=True)
class Paper:
    """A paper as it will be sealed."""

    day: int  # of its sealing
    chain: str
    kind: str
    number: str
    seller: str
    data: bytes

    @property
    def id(self) -> bytes:
        return record_id(self.data)


@dataclass
class Delivery:
    """One part of an order: how much, when, and the papers' numbers."""

    quantity: Decimal
    received: Decimal
    day: int
    despatch: str = ""
    receipt: str = ""


@dataclass
class Trade:
    """One order and what follows it; papers are made from this, so a fake changes it before they are."""

    seller: str
    buyer: str
    item: str
    quantity: Decimal
    price: Decimal
    order: str
    day: int
    deliveries: list[Delivery] = field(default_factory=list)
    whole_invoice: bool = True
    with_tax: bool = False


@dataclass
class Seller:
    """An enterprise, the member that runs its books, and how it numbers its bills."""

    name: str
    chain: str
    items: list[str]
    in_order: bool
    numbers: dict[str, int] = field(default_factory=dict)


class World:
    """One clean history; `papers` in the order they are made, each with the day it is sealed."""

    def __init__(self, seed: int, sellers: int = 3, trades: int = 14) -> None:
        self.random = random.Random(seed)
        self.papers: list[Paper] = []
        self.trades: list[Trade] = []
        self.invoices: list[tuple[Trade, list[Delivery], Paper]] = []
        self.confirmed: list[tuple[int, Paper]] = []
        pick = self.random
        self.sellers = [
            Seller(f"S-{n}", pick.choice(("erp", "erp-two")), [f"GTIN:{n}{m}" for m in range(3)], pick.random() > 0.2)
            for n in range(sellers)
        ]
        self.buyers = [f"B-{n}" for n in range(4)]
        self.unregistered = {buyer for buyer in self.buyers if pick.random() < 0.2}
        self._orders = 0
        for seller in self.sellers:
            self._trade_for(seller, trades)
        # Bills get their numbers in the order of their dates, as a ledger gives them.
        for trade, parts, day in sorted(self._billed(), key=lambda row: row[2]):
            self._invoice(trade, parts, day)

    # what happens ----------------------------------------------------------------------------------------------

    def _trade_for(self, seller: Seller, count: int) -> None:
        pick = self.random
        standing: Trade | None = None
        for _ in range(count):
            day = pick.randint(0, TRADING_DAYS)
            if standing is not None and pick.random() < 0.3:
                same_day = pick.random() < 0.2
                day = standing.day if same_day else day
                trade = self.new_trade(seller, standing.buyer, day, standing.item, standing.quantity, standing.price)
            else:
                trade = self.new_trade(seller, self.buyer_of(seller), day)
            standing = trade
            self.trade_papers(trade)

    def buyer_of(self, seller: Seller) -> str:
        """Mostly a buyer, at times another enterprise."""
        others = [other.name for other in self.sellers if other is not seller]
        return self.random.choice(others if self.random.random() < 0.15 else self.buyers)

    def new_trade(
        self,
        seller: Seller,
        buyer: str,
        day: int,
        item: str = "",
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> Trade:
        pick = self.random
        self._orders += 1
        if quantity is None:
            quantity = Decimal(pick.randint(20, 4_000)) / (10 if pick.random() < 0.3 else 1)
        if price is None:
            price = Decimal(pick.randint(500, 90_000)) / 1_000
        trade = Trade(
            seller.name, buyer, item or pick.choice(seller.items), quantity, price, f"PO-{self._orders}", day
        )
        trade.with_tax = pick.random() < 0.3
        parts = pick.randint(2, 3) if pick.random() < 0.4 else 1
        trade.whole_invoice = parts == 1 or pick.random() < 0.3
        left = quantity
        for n in range(parts):
            part = left if n == parts - 1 else (quantity / parts).quantize(Decimal("0.1"))
            left -= part
            got = part * Decimal("0.997") if pick.random() < 0.05 else part
            trade.deliveries.append(Delivery(part, got, day + pick.randint(3, 12) + 8 * n))
        self.trades.append(trade)
        return trade

    # papers ----------------------------------------------------------------------------------------------------

    def trade_papers(self, trade: Trade, *, may_be_cancelled: bool = True) -> None:
        """Everything of a trade but its bills."""
        pick = self.random
        self.order(trade)
        if pick.random() < 0.5:
            accepted = {"issue_date": date(trade.day + 1), "accepted": "true"}
            self.seal("order_response", self.number(trade.seller, "A"), trade, trade.day + 1, accepted, own=True)
        if may_be_cancelled and pick.random() < 0.03:
            gone = {"issue_date": date(trade.day + 1), "reason": "not needed"}
            self.seal("order_cancellation", f"X-{trade.order}", trade, trade.day + 1, gone, own=False)
            trade.deliveries.clear()
        for delivery in trade.deliveries:
            self.despatch(trade, delivery)
            self.receipt(trade, delivery)

    def order(self, trade: Trade) -> None:
        net = money(trade.quantity * trade.price)
        total = money(net * (1 + TAX)) if trade.with_tax else net
        fields = {
            "issue_date": date(trade.day),
            "currency": "GBP",
            "total": str(total),
            "lines": [["1", trade.item, str(trade.quantity), "KGM", str(trade.price), str(net)]],
        }
        self.seal("order", trade.order, trade, trade.day, fields, own=False, links=[])

    def despatch(self, trade: Trade, delivery: Delivery) -> None:
        delivery.despatch = self.number(trade.seller, "D")
        self.goods("despatch", delivery.despatch, trade, delivery.day, delivery.quantity, own=True)

    def receipt(self, trade: Trade, delivery: Delivery, issuer: str = "") -> None:
        delivery.receipt = f"R-{delivery.despatch}"
        links = [["despatch", trade.seller, delivery.despatch], ["order", trade.buyer, trade.order]]
        day = delivery.day + self.random.randint(0, 2)
        self.goods("receipt", delivery.receipt, trade, day, delivery.received, own=False, links=links, issuer=issuer)

    def goods(
        self, kind: str, number: str, trade: Trade, day: int, quantity: Decimal, *, own: bool, **changes: Any
    ) -> Paper:
        fields = {"issue_date": date(day), "lines": [["1", trade.item, plain(quantity), "KGM", "", ""]]}
        return self.seal(kind, number, trade, day, fields, own=own, **changes)

    def _billed(self) -> list[tuple[Trade, list[Delivery], int]]:
        found = []
        for trade in self.trades:
            groups = [trade.deliveries] if trade.whole_invoice else [[delivery] for delivery in trade.deliveries]
            for parts in groups:
                if parts:
                    day = max(part.day for part in parts) + self.random.choice((-3, -1, 0, 0, 0, 1, 1, 2, 4))
                    found.append((trade, parts, max(day, trade.day)))
        return found

    def _invoice(self, trade: Trade, parts: list[Delivery], day: int) -> None:
        pick = self.random
        paper = self.invoice(trade, parts, day)
        self.invoices.append((trade, parts, paper))
        if pick.random() < 0.04:
            self._corrected(trade, day, paper)
        if pick.random() < 0.08:
            self._credited(trade, parts, day, paper)
        if pick.random() < 0.3:
            net = money(sum((part.quantity for part in parts), Decimal()) * trade.price)
            fields = {"issue_date": date(day + 30), "currency": "GBP", "total": str(money(net * (1 + TAX)))}
            links = [["invoice", trade.seller, paper.number]]
            self.seal(
                "remittance", f"M-{trade.buyer}-{paper.number}", trade, day + 30, fields, own=False, links=links
            )
        if pick.random() < 0.1:
            self.confirmed.append((paper.day + 1, paper))

    def invoice(self, trade: Trade, parts: list[Delivery], day: int, **changes: Any) -> Paper:
        """changes: parts of the record; quantity, price, net, line, total; number, chain, delay."""
        given = {name: changes.pop(name, None) for name in ("quantity", "price", "net", "line", "total")}
        quantity = given["quantity"] or sum((part.quantity for part in parts), Decimal())
        price = given["price"] or trade.price
        line = given["line"] or money(quantity * price)
        net = given["net"] or line
        total = given["total"] or money(net * (1 + TAX))
        fields = {
            "issue_date": date(day),
            "currency": "GBP",
            "total_excl_tax": str(net),
            "tax": str(total - net if given["total"] is None else money(net * TAX)),
            "total": str(total),
            "due_date": date(day + 30),
            "lines": [["1", trade.item, plain(quantity), "KGM", str(price), str(line)]],
        }
        links = changes.pop("links", None)
        if links is None:
            links = [["order", self.random.choice((trade.buyer, "")), trade.order]]
            if len(trade.deliveries) > 1:
                links += [["despatch", trade.seller, part.despatch] for part in parts]
        number = changes.pop("number", "") or self.number(trade.seller, "I")
        return self.seal("invoice", number, trade, day, fields, own=True, links=links, **changes)

    def _corrected(self, trade: Trade, day: int, paper: Paper) -> None:
        """The due date was wrong: it is another day now."""
        array = trading.decode_record(paper.data)
        fields = {**array[12], "due_date": date(day + 45)}
        self.seal(
            "invoice",
            paper.number,
            trade,
            day,
            fields,
            own=True,
            links=array[10],
            delay=paper.day - day + 2,
            corrects=paper.id,
        )

    def _credited(self, trade: Trade, parts: list[Delivery], day: int, paper: Paper) -> None:
        """Some of it comes back, and is credited."""
        quantity = (parts[0].quantity / 10).quantize(Decimal("0.1"), ROUND_HALF_UP) or Decimal("0.1")
        links = [["receipt", trade.buyer, parts[0].receipt]]
        back = max(day, parts[0].day) + self.random.randint(3, 8)
        self.goods("return", f"T-{paper.number}", trade, back, quantity, own=False, links=links)
        net = money(quantity * trade.price)
        fields = {
            "issue_date": date(back + 1),
            "currency": "GBP",
            "total_excl_tax": str(net),
            "tax": str(money(net * TAX)),
            "total": str(net + money(net * TAX)),
            "lines": [["1", trade.item, plain(quantity), "KGM", str(trade.price), str(net)]],
        }
        number = self.number(trade.seller, "N")
        self.seal("credit_note", number, trade, back + 1, fields, own=True, links=[["invoice", "", paper.number]])

    def seal(
        self, kind: str, number: str, trade: Trade, day: int, fields: dict[str, Any], *, own: bool, **changes: Any
    ) -> Paper:
        """own: the seller's paper, on its member's chain; else the buyer's, on the procurement member's."""
        links = changes.pop("links", None)
        if links is None:
            links = [["order", trade.buyer, trade.order]]
        delay = changes.pop("delay", None)
        chain = changes.pop("chain", "") or (self.seller(trade.seller).chain if own else "procurement")
        issuer = changes.pop("issuer", "") or (trade.seller if own else trade.buyer)
        occurred_at = changes.pop("occurred_at", date(day))
        data = trading.paper(
            kind,
            number,
            issuer,
            fields,
            links,
            enterprise=trade.seller,
            counterparty=trade.buyer,
            occurred_at=occurred_at,
            **changes,
        )
        paper = Paper(day + (self._delay() if delay is None else delay), chain, kind, number, trade.seller, data)
        self.papers.append(paper)
        return paper

    def seller(self, name: str) -> Seller:
        return next(seller for seller in self.sellers if seller.name == name)

    def number(self, seller_name: str, letter: str) -> str:
        """The next number of a seller's series, or any for a seller that does not number in order."""
        seller = self.seller(seller_name)
        seller.numbers[letter] = seller.numbers.get(letter, 1_000) + 1
        if seller.in_order:
            return f"{letter}{seller.name}-{seller.numbers[letter]}"
        return f"{letter}{seller.name}-{self.random.randint(1, 10**9)}"

    def _delay(self) -> int:
        """Days from the event to the sealing."""
        chance = self.random.random()
        if chance < 0.03:
            return self.random.randint(7, 20)
        return self.random.randint(1, 6) if chance < 0.23 else 0


def money(value: Decimal) -> Decimal:
    return value.quantize(PENCE, ROUND_HALF_UP)


def plain(value: Decimal) -> str:
    """Without an exponent, at most six places."""
    return format(value.quantize(Decimal("0.000001")).normalize(), "f")


def date(day: int) -> str:
    """The date so many days after the consortium's founding."""
    return "{:04}-{:02}-{:02}".format(*civil_from_days(FIRST_DAY + day))
