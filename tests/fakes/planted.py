"""Fakes of six kinds, planted into clean histories; each gives the papers that are false.

Whoever plants one knows the rules of the trade: figures are altered consistently or not, copies are re-numbered,
papers that the seller's own member seals are made up. What the buyer's side seals stays true, unless the buyer is in
it (circular trade).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from tests.contracts.trading import decode_record
from tests.fakes.world import Delivery, Paper, Seller, Trade, World, date, money

Plant = Callable[[World], list[Paper]]


def altered_amount(world: World) -> list[Paper]:
    """A bill of a true trade asks for 5 to 60 % more: in all, without tax, on its line, or by its price."""
    trade, parts, paper = _victim(world)
    factor = 1 + Decimal(world.random.randint(5, 60)) / 100
    quantity = sum((part.quantity for part in parts), Decimal())
    line = money(quantity * trade.price)
    more = money(line * factor)
    how = world.random.choice(("total", "net", "line", "price"))
    if how == "total":
        changes = {"total": money(line * Decimal("1.2") * factor)}
    elif how == "net":
        changes = {"net": more}
    elif how == "line":
        changes = {"net": more, "line": more}
    else:
        price = (trade.price * factor).quantize(Decimal("0.001"))
        changes = {"price": price}
    return [_replace(world, trade, parts, paper, **changes)]


def altered_quantity(world: World) -> list[Paper]:
    """A bill of a true trade counts 5 to 60 % more goods, its amounts with them; at times its despatch too."""
    trade, parts, paper = _victim(world)
    factor = 1 + Decimal(world.random.randint(5, 60)) / 100
    quantity = (sum((part.quantity for part in parts), Decimal()) * factor).quantize(Decimal("0.1"))
    false = [_replace(world, trade, parts, paper, quantity=quantity)]
    if world.random.random() < 0.3 and len(parts) == 1:
        despatch = next(p for p in world.papers if p.kind == "despatch" and p.number == parts[0].despatch)
        world.papers.remove(despatch)
        day = parts[0].day
        false.append(
            world.goods("despatch", despatch.number, trade, day, quantity, own=True, delay=despatch.day - day)
        )
    return false


def duplicate(world: World) -> list[Paper]:
    """A true bill once more on another member's chain: as it is, altered, re-numbered, orderless, re-dated."""
    trade, _, paper = _victim(world)
    array = decode_record(paper.data)
    day = paper.day + world.random.randint(0, 20)
    other = "erp-two" if paper.chain == "erp" else "erp"
    how = world.random.choice(("same", "altered", "number", "number", "orderless", "dated"))
    fields, links, number, dated = array[12], array[10], paper.number, array[9]
    if how == "altered":
        fields = {**fields, "total": str(money(Decimal(fields["total"]) * Decimal("1.1")))}
    if how in ("number", "orderless", "dated"):
        number = f"Z{world.random.randint(1, 10**6)}"
    if how in ("orderless", "dated"):
        links = []
    if how == "dated":
        dated = date(day)
        fields = {**fields, "issue_date": dated}
    source = [other, "test", "1", bytes(32), 5]
    return [
        world.seal(
            "invoice",
            number,
            trade,
            day,
            fields,
            own=True,
            links=links,
            chain=other,
            delay=0,
            occurred_at=dated,
            source=source,
        )
    ]


def phantom(world: World) -> list[Paper]:
    """A bill for goods that never came: with order and despatch, with a receipt of one's own, or with nothing."""
    seller = world.random.choice(world.sellers)
    trade = _fresh(world, seller)
    part = trade.deliveries[0]
    how = world.random.choice(("despatch", "own receipt", "stranger", "nothing", "order"))
    false = []
    if how != "nothing":
        world.order(trade)
    if how in ("despatch", "own receipt", "stranger"):
        world.despatch(trade, part)
        false.append(world.papers[-1])
    if how in ("own receipt", "stranger"):
        world.receipt(trade, part, issuer=seller.name if how == "own receipt" else "GB-COH:nobody")
        false.append(world.papers[-1])
    named: dict[str, list[list[str]]] = {"links": []} if how == "nothing" else {}
    return [world.invoice(trade, trade.deliveries, part.day + 1, **named), *false]


def backdated(world: World) -> list[Paper]:
    """A true trade's bill is dated 15 to 60 days before it was written, with the number that is next by then."""
    trade, parts, paper = _victim(world, late=True)
    written = max(part.day for part in parts) + 1
    day = max(0, written - world.random.randint(15, 60))
    return [_replace(world, trade, parts, paper, day=day, delay=written - day)]


def circular(world: World) -> list[Paper]:
    """Goods, or under other names their price, go round three to five firms with all papers in order."""
    pick = world.random
    firms = [Seller(f"K-{n}", pick.choice(("erp", "erp-two")), ["GTIN:K"], True) for n in range(pick.randint(3, 5))]
    world.sellers += firms
    start = pick.randint(10, 60)
    quantity, price = Decimal(pick.randint(100, 900)), Decimal(pick.randint(5_000, 20_000)) / 1_000
    renamed = pick.random() < 0.4
    false = []
    for n, firm in enumerate(firms):
        buyer = firms[(n + 1) % len(firms)].name
        markup = 1 + Decimal(pick.randint(0, 10)) / 1_000
        item = f"GTIN:K{n}" if renamed else "GTIN:K"
        trade = world.new_trade(
            firm, buyer, start + 4 * n, item, quantity, (price * markup).quantize(Decimal("0.001"))
        )
        trade.deliveries[:] = [Delivery(quantity, quantity, trade.day + 2)]
        trade.whole_invoice = True
        world.trade_papers(trade, may_be_cancelled=False)
        false.append(world.invoice(trade, trade.deliveries, trade.day + 2))
    return false


PLANTS: dict[str, Plant] = {
    "altered amount": altered_amount,
    "altered quantity": altered_quantity,
    "duplicate": duplicate,
    "phantom delivery": phantom,
    "backdated bill": backdated,
    "circular trade": circular,
}


def _victim(world: World, *, late: bool = False) -> tuple[Trade, list[Delivery], Paper]:
    """A clean bill to falsify; late: none of the first weeks, where there is a later one."""
    rows = [row for row in world.invoices if not late or min(part.day for part in row[1]) > 40]
    return world.random.choice(rows or world.invoices)


def _replace(world: World, trade: Trade, parts: list[Delivery], paper: Paper, **changes: object) -> Paper:
    """The bill is another one from the start: what came of the true one (credit notes, corrections) goes."""
    array = decode_record(paper.data)
    links = ("credit_note", "return", "remittance")
    gone = [
        other
        for other in world.papers
        if (other.kind == "invoice" and other.number == paper.number)
        or (other.kind in links and any(link[2] == paper.number for link in decode_record(other.data)[10]))
        or other.number == f"T-{paper.number}"
    ]
    world.papers = [other for other in world.papers if other not in gone]
    world.confirmed = [row for row in world.confirmed if row[1] is not paper]
    given = {"day": _day(array[9]), "delay": paper.day - _day(array[9]), **changes}
    day = int(str(given.pop("day")))
    return world.invoice(trade, parts, day, number=paper.number, links=array[10], chain=paper.chain, **given)


def _fresh(world: World, seller: Seller) -> Trade:
    trade = world.new_trade(seller, world.random.choice(world.buyers), world.random.randint(20, 80))
    trade.whole_invoice = True
    del trade.deliveries[1:]
    trade.deliveries[0].quantity = trade.deliveries[0].received = trade.quantity
    return trade


def _day(text: str) -> int:
    return next(day for day in range(-400, 400) if date(day) == text)
