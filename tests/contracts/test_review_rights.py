"""Who may not do what, under whatever name they come: nobody stands for its own debt, claim or grade."""

from __future__ import annotations

from typing import Any

from tests.contracts import lending_desk as at
from tests.contracts import trading
from tests.contracts.lending_desk import room_of
from tests.contracts.memory_context import CONSORTIUM, Ledger, key
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BANK, BUYER, SUPPLIER, confirm, ok, seal


def own_bill(on: Ledger, number: str = "I-9") -> bytes:
    """The supplier bills itself under a second identifier, with papers that fit each other."""
    args = {"party": "supplier", "identifiers": ["VAT:1"]}
    ok(on.call(CONSORTIUM, "registry.add_identifiers", args, [key("erp")]))
    on.next_block()
    sides: dict[str, Any] = {"counterparty": "VAT:1"}
    order = trading.decode_record(trading.order("10", "120.00", "1200.00", f"O-{number}"))
    seal(
        on,
        "procurement",
        trading.paper("order", f"O-{number}", "VAT:1", order[12], occurred_at="2025-12-01", **sides),
    )
    receipt = trading.decode_record(trading.receipt("10", f"R-{number}", f"D-{number}"))
    seal(
        on,
        "procurement",
        trading.paper("receipt", f"R-{number}", "VAT:1", receipt[12], receipt[10], occurred_at="2025-12-12", **sides),
    )
    links = [["order", "VAT:1", f"O-{number}"]]
    sent = trading.decode_record(trading.despatch("10", f"D-{number}", f"O-{number}"))
    bill = trading.invoice("10", "120.00", "1200.00", "0.00", "1200.00", number, links=links, **sides)
    despatch = trading.paper("despatch", f"D-{number}", SUPPLIER, sent[12], links, occurred_at="2025-12-10", **sides)
    seal(on, "erp", despatch, bill)
    on.next_block()
    on.next_block()
    return bill


def test_a_bill_to_oneself_under_another_identifier_is_no_receivable() -> None:
    on = at.desk()
    application = at.opened(on)
    bill = own_bill(on)
    assert confirm(on, bill, "supplier").code == "NOT_INDEPENDENT"
    receipt = at.pledge(on, application, "I-9")
    assert (receipt.ok, receipt.code) == (False, "NOT_A_RECEIVABLE")


def test_a_debtor_that_turns_out_to_be_the_enterprise_itself_neither_acknowledges_nor_counts() -> None:
    """The identifier that owes the bill is claimed for the enterprise after the bill was pledged."""
    on = at.desk(model={"stage_advance": {"order": 0, "in_transit": 0, "receivable": 10_000}})
    application = at.opened(on)
    shell = "GB-COH:99"
    order = trading.decode_record(trading.order("10", "120.00", "1200.00", "O-9"))
    order[10] = []
    sides: dict[str, Any] = {"counterparty": shell}
    seal(on, "procurement", trading.paper("order", "O-9", shell, order[12], occurred_at="2025-12-01", **sides))
    rows = trading.decode_record(trading.receipt("10", "R-9", "D-9"))
    seal(
        on,
        "procurement",
        trading.paper("receipt", "R-9", shell, rows[12], rows[10], occurred_at="2025-12-12", **sides),
    )
    links = [["order", shell, "O-9"]]
    sent = trading.decode_record(trading.despatch("10", "D-9", "O-9"))
    despatch = trading.paper("despatch", "D-9", SUPPLIER, sent[12], links, occurred_at="2025-12-10", **sides)
    bill = trading.invoice("10", "120.00", "1200.00", "0.00", "1200.00", "I-9", links=links, **sides)
    seal(on, "erp", despatch, bill)
    on.next_block()
    on.next_block()
    assert ok(at.pledge(on, application, "I-9"))["pledged"] is True
    assert room_of(on, application).base == 120_000
    args = {"party": "supplier", "identifiers": [shell]}
    ok(on.call(CONSORTIUM, "registry.add_identifiers", args, [key("erp")]))
    ok(at.on_bill(on, "notify_assignment", "I-9", "lender", date="2026-01-01", registration="1"))
    on.next_block()
    assert at.on_bill(on, "acknowledge", "I-9", "supplier").code == "NOT_THE_DEBTOR"
    known = {**at.verdict(on, "I-9"), "status": "matched"}  # as under a template that asks for no receipt
    on.seed(CONSORTIUM, "credit", "verdict", "erp", "invoice", SUPPLIER, "I-9", value=known)
    assert room_of(on, application).base == 0


def test_a_party_that_calls_itself_as_another_is_known_in_papers_does_not_stand_for_it() -> None:
    """A party id is no identifier: papers that name GB-COH:2 mean the buyer, whoever has registered under that id."""
    on = at.desk()
    entry = {"owner": "party", "id": BUYER, "purpose": "signer", "rights": ["*"], "from": 0, "until": None}
    on.seed(CONSORTIUM, "registry", "key", key(BUYER), value=entry)
    party = {"id": BUYER, "name": "x", "identifiers": ["X:1"], "since": 0, "onboarded": on.time}
    on.seed(CONSORTIUM, "registry", "party", BUYER, value=party)
    data = at.bill(on, "I-1")
    receipt = on.call(
        CONSORTIUM,
        "credit.confirm",
        {"kind": "invoice", "issuer": SUPPLIER, "number": "I-1", "id": record_id(data)},
        [key(BUYER)],
    )
    assert (receipt.ok, receipt.code) == (False, "NOT_INVOLVED")
    assert ok(confirm(on, data, "buyer"))["known"] is False


def test_a_bill_of_another_enterprise_whose_identifier_is_ones_party_id_is_foreign() -> None:
    on = at.desk()
    application = at.opened(on)
    data = trading.invoice("10", "120.00", "1200.00", "0.00", "1200.00", "I-7", enterprise="supplier")
    seal(on, "erp", data)
    on.next_block()
    assert at.pledge(on, application, "I-7").code == "FOREIGN_BILL"


def test_a_loan_and_a_payment_of_another_whose_identifier_is_the_party_id_do_not_fit() -> None:
    on = at.desk()
    application = at.assessed(on)
    said = {"amount": "100.00", "currency": "GBP", "term_days": "90", "disbursed_on": "2026-01-01"}
    changes = {"counterparty": "", "occurred_at": "2026-01-01", "enterprise": "supplier"}
    seal(on, "lender", trading.paper("loan", "L-7", BANK, said, **changes))
    assert at.approve(on, application, 10_000, "L-7").code == "LOAN_DIFFERS"
    at.loan(on, at.L0, "L-1")
    ok(at.approve(on, application, at.L0))
    ok(at.disburse(on, application))
    assert at.repay(on, application, 100, enterprise="supplier").code == "REPAYMENT_DIFFERS"


def test_a_member_does_not_confirm_what_it_sealed_itself_under_any_role() -> None:
    on = at.desk()
    data = at.bill(on, "I-1")
    assert confirm(on, data, "erp").code == "NOT_INDEPENDENT"


def test_a_party_may_not_take_the_id_that_stands_for_another_in_papers() -> None:
    on = at.desk()
    args = {"id": "shell", "name": "Shell", "identifiers": ["buyer"]}
    assert on.call(CONSORTIUM, "registry.register_party", args, [key("erp")]).code == "IDENTIFIER_TAKEN"
    args = {"id": BUYER, "name": "Shell", "identifiers": ["Z:1"]}
    assert on.call(CONSORTIUM, "registry.register_party", args, [key("erp")]).code == "PARTY_EXISTS"


def test_a_bill_is_confirmed_by_who_stands_for_its_total_and_not_for_some_other_field() -> None:
    on = at.desk()
    data = at.bill(on, "I-1")
    ok(confirm(on, data, "buyer", ["currency"]))
    on.next_block()
    assert at.verdict(on, "I-1")["confirmed"] is False
    ok(confirm(on, data, "buyer", ["total"]))
    on.next_block()
    assert at.verdict(on, "I-1")["confirmed"] is True
