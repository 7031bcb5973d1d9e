"""Disputes over bills: who may open and resolve one, and what it does."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import disputes
from tests.contracts import lending_desk as at
from tests.contracts import trading
from tests.contracts.lending_desk import told
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, Receipt, key
from tests.contracts.trading import BUYER, ok, seal


def dispute(on: Ledger, by: str = "buyer", number: str = "I-1") -> Receipt:
    return at.on_bill(on, "dispute", number, by, reason="half of it never came")


def resolve(on: Ledger, by: str, outcome: str, **more: Any) -> Receipt:
    return at.on_bill(on, "resolve", "I-1", by, outcome=outcome, **more)


def status(on: Ledger) -> str:
    context = MemoryContext(on, CONSORTIUM, "credit")
    return disputes.status_of(context, "invoice", "party supplier", "I-1")


def billed() -> Ledger:
    on = at.desk()
    at.bill(on, "I-1")
    return on


def test_a_buyer_disputes_and_withdraws_and_may_dispute_again() -> None:
    on = billed()
    assert status(on) == "none"
    receipt = dispute(on)
    assert ok(receipt) == {"status": "open", "known": False}
    assert told(receipt.events, "disputed")[0]["to"] == ["buyer", "erp", "supplier"]
    assert ok(dispute(on)) == {"status": "open", "known": True}
    assert status(on) == "open"
    receipt = resolve(on, "buyer", "dismissed", note="found it")
    assert ok(receipt) == {"status": "dismissed"}
    assert told(receipt.events, "dispute_resolved")[0]["status"] == "dismissed"
    assert status(on) == "dismissed"
    ok(dispute(on))
    assert on.read(CONSORTIUM, "credit", "dispute", "invoice", "party supplier", "I-1")["rounds"] == 2


def test_members_that_hold_a_paper_of_the_trade_may_dispute_and_others_not() -> None:
    on = billed()
    ok(dispute(on, "erp"))  # its chain holds the bill
    ok(dispute(on, "procurement"))  # and this one's the order
    for other in ("guarantor", "lender", "regulator", "supplier"):
        assert dispute(on, other).code == "NOT_INVOLVED"
    assert ok(resolve(on, "erp", "dismissed")) == {"status": "open"}
    assert status(on) == "open"
    assert resolve(on, "erp", "dismissed").code == "NOT_YOUR_DISPUTE"
    assert ok(resolve(on, "procurement", "dismissed")) == {"status": "dismissed"}


def test_the_lender_that_holds_the_pledge_may_dispute_and_is_told() -> None:
    on = at.desk()
    application = at.opened(on)
    at.bill(on, "I-1")
    ok(at.pledge(on, application, "I-1"))
    assert told(dispute(on).events, "disputed")[0]["to"] == ["buyer", "erp", "lender", "supplier"]
    ok(dispute(on, "lender"))
    assert dispute(on, "lender-two").code == "NOT_INVOLVED"


def test_the_enterprise_concedes_and_that_is_final() -> None:
    on = billed()
    ok(dispute(on))
    assert resolve(on, "buyer", "upheld").code == "NOT_YOUR_BILL"
    assert resolve(on, "supplier", "dismissed").code == "NOT_YOUR_DISPUTE"
    assert ok(resolve(on, "supplier", "upheld")) == {"status": "upheld"}
    assert status(on) == "upheld"
    assert dispute(on).code == "DISPUTE_DECIDED"
    assert resolve(on, "court", "dismissed").code == "NOT_DISPUTED"


@pytest.mark.parametrize("authority", ["court", "regulator"])
@pytest.mark.parametrize("outcome", ["upheld", "dismissed"])
def test_an_authority_decides_either_way_for_good(authority: str, outcome: str) -> None:
    on = billed()
    ok(dispute(on))
    ok(dispute(on, "erp"))
    assert ok(resolve(on, authority, outcome)) == {"status": outcome}
    assert dispute(on).code == "DISPUTE_DECIDED"


def test_what_cannot_be_disputed_or_resolved() -> None:
    on = billed()
    assert dispute(on, number="I-9").code == "UNKNOWN_BILL"
    args = {"kind": "contract", "issuer": BUYER, "number": "C-1", "reason": "no"}
    assert on.call(CONSORTIUM, "credit.dispute", args, [key("buyer")]).code == "NOT_A_BILL"
    assert resolve(on, "buyer", "dismissed").code == "NOT_DISPUTED"
    assert resolve(on, "buyer", "open").code == "WRONG_ARGUMENT"
    assert at.on_bill(on, "dispute", "I-1", "buyer", reason="").code == "WRONG_ARGUMENT"
    seal(on, "erp", trading.invoice(number="I-2", issuer="GB-COH:77", enterprise="GB-COH:77"))
    args = {"kind": "invoice", "issuer": "GB-COH:77", "number": "I-2", "reason": "no"}
    assert on.call(CONSORTIUM, "credit.dispute", args, [key("buyer")]).code == "UNKNOWN_PARTY"
