"""A contract's progress by stage, worked out by hand from a story of one order of 100 at 10.00 (20 % tax)."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import progress
from contracts.progress import STAGES
from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, key
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BANK, BUYER, SUPPLIER, ok, seal

DONE = {"ordered": 100_000, "despatched": 100_000, "received": 100_000, "invoiced": 120_000}


def told(*left_out: str, **changed: bytes) -> Ledger:
    """Contract, order, despatch, receipt and invoice, sealed; some replaced or left out."""
    on = trading.ledger()
    papers = {
        "contract": ("procurement", trading.contract()),
        "order": ("procurement", trading.order()),
        "despatch": ("erp", trading.despatch()),
        "receipt": ("procurement", trading.receipt()),
        "invoice": ("erp", trading.invoice()),
    }
    for name, (chain, data) in papers.items():
        if name not in left_out:
            seal(on, chain, changed.get(name, data))
    on.next_block()
    return on


def stages(on: Ledger, kind: str = "contract", number: str = "C-1", issuer: str = BUYER) -> dict[str, int]:
    """What is not zero of a contract's progress."""
    reader = trading.reader(on)
    (doc,) = reader.find((kind, issuer, number))
    found = progress.of_contract(MemoryContext(on, CONSORTIUM, "credit"), reader, doc)
    assert (found.currency, found.scale, set(found.stages)) == ("GBP", 2, set(STAGES))
    return {stage: value for stage, value in found.stages.items() if value}


def further(on: Ledger, chain: str, *papers: bytes) -> dict[str, int]:
    seal(on, chain, *papers)
    on.next_block()
    return stages(on)


def response(number: str, **fields: str) -> bytes:
    said = {"issue_date": "2025-12-02", **fields}
    return trading.paper("order_response", number, SUPPLIER, said, [("order", BUYER, "O-1")])


def returned(quantity: str) -> bytes:
    fields = {"issue_date": "2025-12-15", "lines": [trading.line(quantity)]}
    return trading.paper("return", "T-1", BUYER, fields, [("receipt", BUYER, "R-1")], occurred_at="2025-12-15")


def remittance(number: str, by: str = BUYER, *links: str, **fields: Any) -> bytes:
    said = {"issue_date": "2025-12-20", "currency": "GBP", **fields}
    linked = [("invoice", SUPPLIER, link) for link in links or ("I-1",)]
    return trading.paper("remittance", number, by, said, linked)


def test_each_paper_brings_its_stage() -> None:
    on = trading.ledger()
    assert further(on, "procurement", trading.contract()) == {}
    assert further(on, "procurement", trading.order()) == {"ordered": 100_000}
    assert further(on, "erp", response("A-1", accepted="true")) == {"ordered": 100_000, "accepted": 100_000}
    assert further(on, "erp", trading.despatch())["despatched"] == 100_000
    assert further(on, "procurement", trading.receipt())["received"] == 100_000
    assert further(on, "erp", trading.invoice()) == {**DONE, "accepted": 100_000}
    ok(trading.confirm(on, trading.invoice(), "buyer"))
    on.next_block()
    assert stages(on)["confirmed"] == 120_000
    assert further(on, "procurement", remittance("M-1", total="700.00"))["paid"] == 70_000
    assert further(on, "lender", remittance("M-2", BANK, total="900.00"))["paid"] == 120_000


def test_an_order_without_a_contract_is_its_own() -> None:
    on = trading.ledger()
    order = trading.order(links=[])
    seal(on, "procurement", order)
    on.next_block()
    assert stages(on, "order", "O-1") == {"ordered": 100_000}


def test_an_order_that_links_a_contract_is_counted_there_only() -> None:
    on = told("invoice")
    assert stages(on, "order", "O-1") == {}


@pytest.mark.parametrize(
    ("answers", "accepted"),
    [
        ([{"accepted": "false"}], 0),
        ([{"accepted": "true", "total": "400.00"}], 40_000),
        ([{"accepted": "true", "total": "4000.00"}], 100_000),
        ([{"accepted": "true"}, {"accepted": "false", "issue_date": "2025-12-03"}], 0),
    ],
)
def test_the_latest_response_says_how_much_is_accepted(answers: list[dict[str, str]], accepted: int) -> None:
    on = told("despatch", "receipt", "invoice")
    for n, answer in enumerate(answers):
        data = trading.paper(
            "order_response",
            f"A-{n}",
            SUPPLIER,
            {"issue_date": "2025-12-02", **answer},
            [("order", BUYER, "O-1")],
            occurred_at=answer.get("issue_date", "2025-12-02"),
        )
        seal(on, "erp", data)
    on.next_block()
    assert stages(on).get("accepted", 0) == accepted


def test_a_cancelled_order_takes_everything_out_again() -> None:
    on = told("despatch", "receipt", "invoice")
    gone = trading.paper("order_cancellation", "X-1", BUYER, {"issue_date": "2025-12-03"}, [("order", BUYER, "O-1")])
    assert further(on, "procurement", gone) == {}


def test_a_stranger_cannot_cancel_an_order() -> None:
    on = told("despatch", "receipt", "invoice")
    gone = trading.paper(
        "order_cancellation", "X-1", "stranger", {"issue_date": "2025-12-03"}, [("order", BUYER, "O-1")]
    )
    assert further(on, "procurement", gone) == {"ordered": 100_000}


def test_goods_that_came_back_leave_the_stages_and_their_bill_waits_for_its_credit_note() -> None:
    on = told()
    assert stages(on) == DONE
    # 10 of 100 come back: 100.00 of goods. The bill still asks for all: partial, until it is credited.
    less = {"ordered": 100_000, "despatched": 90_000, "received": 90_000, "returned": 10_000}
    assert further(on, "procurement", returned("10")) == less
    # The credit note is of 100.00: 1 200.00 - 100.00
    assert further(on, "erp", trading.credit_note("10", "100.00")) == {**less, "invoiced": 110_000}


def test_what_came_back_is_rounded_up_and_everything_else_down() -> None:
    on = told()
    seal(on, "procurement", returned("0.0005"))  # at 10.00: half a penny
    on.next_block()
    found = stages(on)
    assert (found["returned"], found["despatched"], found["received"]) == (1, 99_999, 99_999)


def test_a_correction_of_the_return_gives_back_what_it_took() -> None:
    on = told()
    further(on, "procurement", returned("10"))
    fields = {"issue_date": "2025-12-15", "lines": [trading.line("0.001")]}
    corrected = trading.paper(
        "return",
        "T-1",
        BUYER,
        fields,
        [("receipt", BUYER, "R-1")],
        occurred_at="2025-12-15",
        corrects=record_id(returned("10")),
    )
    # 0.001 at 10.00 is 0.01: received rounds down, returned up, and 100 less 0.001 is within the tolerance.
    # invoiced: 1 200.00 less 0.01 that came back uncredited
    expected = {"ordered": 100_000, "despatched": 99_999, "received": 99_999, "invoiced": 119_999, "returned": 1}
    assert further(on, "procurement", corrected) == expected


def test_no_more_than_ordered_counts_as_sent_or_received_and_the_sellers_own_receipt_not_at_all() -> None:
    on = told("invoice", despatch=trading.despatch("500"), receipt=trading.receipt("90", issuer=SUPPLIER))
    assert stages(on) == {"ordered": 100_000, "despatched": 100_000}


def test_what_the_enterprise_says_it_was_paid_is_no_payment() -> None:
    on = told()
    assert "paid" not in further(on, "procurement", remittance("M-1", SUPPLIER, total="700.00"))


def test_a_remittance_of_several_bills_pays_each_by_its_line() -> None:
    on = told()
    lines = [trading.line("", "", "300.00", item="I-1"), trading.line("", "", "99.00", item="I-2", number="2")]
    assert further(on, "procurement", remittance("M-1", BUYER, "I-1", "I-2", lines=lines))["paid"] == 30_000
    assert further(on, "procurement", remittance("M-2", BUYER, "I-1", "I-2", total="399.00"))["paid"] == 30_000


def test_a_bill_that_turns_false_leaves_at_once() -> None:
    on = told()
    assert further(on, "procurement", trading.receipt("80", corrects=record_id(trading.receipt()))) == {
        "ordered": 100_000,
        "despatched": 100_000,
        "received": 80_000,
    }


def test_a_link_without_an_issuer_means_the_buyers_contract_whenever_that_is_sealed() -> None:
    on = trading.ledger()
    seal(on, "procurement", trading.order(links=[["contract", "", "C-1"]]))
    on.next_block()
    seal(on, "procurement", trading.contract())
    assert stages(on) == {"ordered": 100_000}
    reader = trading.reader(on)
    (contract,) = reader.find(("contract", BUYER, "C-1"))
    (order,) = reader.find(("order", BUYER, "O-1"))
    assert progress.belongs(reader, ["contract", "", "C-1"], order, contract)
    assert not progress.belongs(reader, ["contract", "stranger", "C-1"], order, contract)


def test_orders_under_another_identifier_count_once_it_is_registered() -> None:
    on = told("invoice")
    seal(on, "procurement", trading.order("50", amount="500.00", number="O-2", enterprise="VAT:77"))
    on.next_block()
    assert stages(on)["ordered"] == 100_000
    args = {"party": "supplier", "identifiers": ["VAT:77"]}
    ok(on.call(CONSORTIUM, "registry.add_identifiers", args, [key("procurement")]))
    on.next_block()
    assert stages(on)["ordered"] == 150_000
