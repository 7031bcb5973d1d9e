"""What a hostile member could seal to make a block's hook work without end: each hook stays within its bounds.

A hook that fails is rolled back and runs again in the next block on the same papers: one that can be made to exceed
its budget stops a consortium for good. So what is counted here are reads of the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contracts import alerts, book, flows, progress
from contracts.documents import document
from contracts.evidence import Reader
from contracts.matching import Book
from contracts.registry import MAX_IDENTIFIERS
from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, decode_args, key
from tests.contracts.trading import BUYER, DAY, SUPPLIER, ok, seal

DAY_OF_BILL = 20_434  # 2025-12-12


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many reads of the state there were since the last question."""
    count = [0]
    read = MemoryContext.read

    def counted(self: MemoryContext, chain: str, contract: str, *part: Any) -> Any:
        count[0] += 1
        return read(self, chain, contract, *part)

    def taken() -> int:
        found, count[0] = count[0], 0
        return found

    monkeypatch.setattr(MemoryContext, "read", counted)
    return taken


def many(name: str, own: str = "") -> list[str]:
    """As many identifiers as a party may have."""
    return [own or f"{name}:0", *(f"{name}:{n}" for n in range(1, MAX_IDENTIFIERS))]


def register(on: Ledger, party: str, identifiers: list[str]) -> None:
    args = {"id": party, "name": party, "identifiers": identifiers[:1]}
    ok(on.call(CONSORTIUM, "registry.register_party", args, [key("erp")]))
    add(on, party, identifiers[1:])


def add(on: Ledger, party: str, identifiers: list[str]) -> None:
    for start in range(0, len(identifiers), 16):
        args = {"party": party, "identifiers": identifiers[start : start + 16]}
        ok(on.call(CONSORTIUM, "registry.add_identifiers", args, [key("erp")]))


def unordered(number: str, **changes: Any) -> bytes:
    """A bill of 1 200.00 that names no order and no names."""
    fields = {"issue_date": "2025-12-12", "currency": "GBP", "total": "1200.00"}
    return trading.paper("invoice", number, SUPPLIER, fields, occurred_at="2025-12-12", **changes)


def sale(place: int, buyer: str) -> list[Any]:
    return ["erp", "invoice", "x", f"S-{place}", buyer, DAY_OF_BILL, "GBP", "1200", "", "0"]


def test_a_search_for_circles_reads_no_more_than_its_bound_whatever_parties_are_called(
    reads: Callable[[], int],
) -> None:
    """Every sale names its buyer by another of the identifiers that the buyer has."""
    on = trading.ledger(register=False)
    names = {name: many(name) for name in ("b", "c", "d", "e")}
    for name, identifiers in names.items():
        register(on, name, identifiers)
    trading.register_supplier(on)
    on.next_block()
    rows = [sale(n, names["c"][n % MAX_IDENTIFIERS]) for n in range(flows.SALES_KEPT)]
    on.seed(CONSORTIUM, "credit", "sales", "b:0", value=rows)
    for seller, buyer in (("c", "d"), ("d", "e")):
        on.seed(CONSORTIUM, "credit", "sales", names[seller][0], value=[sale(100, names[buyer][0])])
    context = MemoryContext(on, CONSORTIUM, "credit")
    reader = Reader(context)
    (bill,) = trading.documents(("erp", trading.invoice(counterparty="b:0")))
    reads()
    flows.enter(context, reader, alerts.Alarm(context, reader, 8), bill)
    assert reads() < 2 * flows.ROWS_LOOKED_AT


def test_a_search_for_bills_alike_reads_no_more_papers_than_are_kept_of_one_identifier(
    reads: Callable[[], int],
) -> None:
    """Bills without an order, of one amount, under every identifier of the enterprise, each to another buyer."""
    on = trading.ledger(register=False)
    identifiers = many("s", SUPPLIER)
    register(on, "supplier", identifiers)
    on.next_block()
    for place, identifier in enumerate(identifiers):
        said = {"enterprise": identifier, "counterparty": f"nobody {place}"}
        bills = [unordered(f"I-{place}-{n}", **said) for n in range(8)]
        seal(on, "erp", *bills)
    for _ in range(4):
        on.next_block()
    seal(on, "erp", unordered("I-last", counterparty="nobody"))
    reads()
    on.next_block()
    assert reads() < 500


def test_the_progress_of_a_contract_is_found_in_as_many_reads_as_it_has_names(reads: Callable[[], int]) -> None:
    on = trading.ledger(register=False)
    register(on, "supplier", many("s", SUPPLIER))
    add(on, "buyer", many("x", BUYER)[1:])
    on.next_block()
    data = trading.paper("contract", "C-1", "agency", {"value": "1.00", "currency": "GBP"})
    (contract,) = trading.documents(("procurement", data))
    context = MemoryContext(on, CONSORTIUM, "credit")
    reader = Reader(context)
    reads()
    progress.of_contract(context, reader, contract)
    assert reads() < 3 * MAX_IDENTIFIERS * MAX_IDENTIFIERS


def test_remittances_that_name_many_bills_of_many_identifiers_are_taken_in_by_their_work(
    reads: Callable[[], int],
) -> None:
    on = trading.ledger(register=False)
    register(on, "supplier", many("s", SUPPLIER))
    on.next_block()
    fields = {"issue_date": "2025-12-20", "currency": "GBP", "total": "1.00"}
    for start in range(0, 200, 50):
        papers = []
        for number in range(start, start + 50):
            links = [("invoice", "", f"{number} {n}") for n in range(64)]
            papers.append(trading.paper("remittance", f"P-{number}", BUYER, fields, links))
        seal(on, "procurement", *papers)
    reads()
    on.next_block()
    assert reads() < 60_000
    for _ in range(40):
        on.next_block()
    context = MemoryContext(on, CONSORTIUM, "credit")
    reader = Reader(context)
    book.settle(context, reader, reader.enterprise("supplier"))


def test_a_trade_is_joined_without_comparing_each_paper_with_each() -> None:
    """Orders of one number by many issuers, and despatches that name them all."""
    spec = decode_args(trading.template())
    papers = []
    for n in range(120):
        order = trading.paper("order", "O-1", f"issuer {n}", {"issue_date": "2025-12-01", "currency": "GBP"})
        links = [("order", f"issuer {m}", "O-1") for m in range(60)]
        papers += [order, trading.paper("despatch", f"D-{n}", SUPPLIER, {"issue_date": "2025-12-02"}, links)]
    asked = [0]

    def party_of(_identifier: str) -> str | None:
        asked[0] += 1
        return None

    docs = []
    for place, data in enumerate(papers):
        entry = {"id": place.to_bytes(32, "big"), "height": 1, "since": 1, "time": DAY, "period": 1}
        docs.append(document("erp", {**entry, "record": trading.decode_record(data)}, spec))
    (trade, *others) = Book(docs, party_of).trades()
    assert len(trade.despatches) == 120
    assert len(trade.orders) == 60
    assert len(others) == 60
    assert asked[0] < 40_000
