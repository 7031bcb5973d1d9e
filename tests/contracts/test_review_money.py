"""What a hostile borrower would try with collateral and limits: nothing counts twice, however it is named."""

from __future__ import annotations

from typing import Any

from tests.contracts import lending_desk as at
from tests.contracts import trading
from tests.contracts.credit_story import LOAN_AMOUNT, assess, assessed, decide, tell_story
from tests.contracts.lending_desk import line_of, reach, room_of
from tests.contracts.memory_context import CONSORTIUM, Ledger, key
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BUYER, GUARANTOR, SUPPLIER, ok, seal

ADVANCE = {"order": 5_000, "in_transit": 5_000, "receivable": 10_000}
WITHOUT_GUARANTEE = 3_265_500
WITH_ONE = 3_665_544


def two_guarantors() -> Ledger:
    document = trading.genesis_document()
    entry: dict[str, Any] = {"id": "guarantor-two", "role": "guarantor", "validator": None, "network": None}
    entry["signers"] = [{"key": key("guarantor-two"), "rights": ["*"]}]
    members = sorted([*document["members"], entry], key=lambda member: str(member["id"]))
    return trading.ledger(members=members)


def identifiers(on: Ledger, party: str, *added: str) -> None:
    args = {"party": party, "identifiers": list(added)}
    ok(on.call(CONSORTIUM, "registry.add_identifiers", args, [key("erp")]))
    on.next_block()


# guarantees ------------------------------------------------------------------------------------------------------


def test_a_guarantee_on_two_chains_counts_once() -> None:
    on = two_guarantors()
    seal(on, "guarantor-two", trading.guarantee(source=["other", "test", "1", bytes(32), 1]))
    tell_story(on)
    assert assessed(on)["limit"] == WITH_ONE


def test_of_two_copies_of_a_guarantee_the_one_worth_less_counts() -> None:
    on = two_guarantors()
    seal(on, "guarantor-two", trading.guarantee("9000.00"))
    tell_story(on)
    found = assessed(on)
    assert found["limit"] == WITH_ONE
    texts = [reason["text"] for reason in found["reasons"]]
    assert "guarantee G-1 is left out: another copy of it counts" in texts


def test_a_guarantee_under_two_identifiers_of_its_issuer_counts_once() -> None:
    on = trading.ledger()
    args = {"id": "surety", "name": "Surety", "identifiers": [GUARANTOR, "VAT:3"]}
    ok(on.call(CONSORTIUM, "registry.register_party", args, [key("guarantor")]))
    on.next_block()
    seal(on, "guarantor", trading.guarantee(issuer="VAT:3"))
    tell_story(on)
    assert assessed(on)["limit"] == WITH_ONE


def test_a_corrected_guarantee_still_backs_the_application_it_backed() -> None:
    on = trading.ledger()
    tell_story(on)
    first = assessed(on)
    seal(on, "lender", trading.loan(LOAN_AMOUNT))
    ok(decide(on, first))
    seal(on, "guarantor", trading.guarantee("5000.56", corrects=record_id(trading.guarantee())))
    assert assessed(on)["limit"] == WITHOUT_GUARANTEE


def test_a_guarantee_corrected_since_the_assessment_is_assessed_again() -> None:
    on = trading.ledger()
    tell_story(on)
    first = assessed(on)
    seal(on, "guarantor", trading.guarantee("0.01", corrects=record_id(trading.guarantee())))
    seal(on, "lender", trading.loan(LOAN_AMOUNT))
    assert decide(on, first).code == "ASSESSMENT_STALE"


def test_a_guarantee_corrected_downwards_carries_what_it_says_now() -> None:
    on = at.desk(model={"stage_advance": dict.fromkeys(ADVANCE, 0)})
    paper = trading.guarantee()
    seal(on, "guarantor", paper)
    on.next_block()
    application = at.assessed(on, guarantees=(record_id(paper),))
    at.loan(on, 100, "L-1")
    ok(at.approve(on, application, 100))
    assert room_of(on, application).base == 400_044
    seal(on, "guarantor", trading.guarantee("1.00", corrects=record_id(paper)))
    on.next_block()
    assert room_of(on, application).base == 80


def test_a_guarantee_corrected_upwards_carries_what_it_was_taken_for() -> None:
    on = at.desk(model={"stage_advance": dict.fromkeys(ADVANCE, 0)})
    paper = trading.guarantee()
    seal(on, "guarantor", paper)
    on.next_block()
    application = at.assessed(on, guarantees=(record_id(paper),))
    at.loan(on, 100, "L-1")
    ok(at.approve(on, application, 100))
    seal(on, "guarantor", trading.guarantee("9000.00", corrects=record_id(paper)))
    on.next_block()
    assert room_of(on, application).base == 400_044


def test_a_guarantee_still_counts_for_the_application_that_it_backs() -> None:
    on = trading.ledger()
    tell_story(on)
    first = assessed(on)
    seal(on, "lender", trading.loan(LOAN_AMOUNT))
    ok(decide(on, first))
    assert assess(on, first["application"])["limit"] == WITH_ONE


def test_a_guarantee_behind_two_assessments_backs_the_one_that_is_approved_first() -> None:
    on = at.desk()
    paper = trading.guarantee()
    seal(on, "guarantor", paper)
    on.next_block()
    first = at.assessed(on, guarantees=(record_id(paper),))
    second = at.assessed(on, lender="lender-two", guarantees=(record_id(paper),))
    for lender in ("lender", "lender-two"):
        at.loan(on, 100, "L-1", lender)
    ok(at.approve(on, first, 100))
    assert at.approve(on, second, 100).code == "ASSESSMENT_STALE"


# one contract, several lines -------------------------------------------------------------------------------------


def test_what_is_not_delivered_yet_carries_one_loan_not_one_of_each_lender() -> None:
    """C' 10 000 000 not delivered at 50 % carries 5 000 000, whoever lends on it."""
    on = at.desk(model={"stage_advance": ADVANCE})
    first = at.opened(on, limit=9_000_000, approved=5_000_000)
    second = at.assessed(on, limit=9_000_000, lender="lender-two")
    at.loan(on, 4_000_000, "L-2", "lender-two")
    ok(at.approve(on, second, 4_000_000, "L-2"))
    ok(at.disburse(on, first))
    assert room_of(on, second).available == 0
    assert at.disburse(on, second, "L-2").code == "OVER_AVAILABLE"


def test_goods_of_one_contract_carry_a_line_on_one_of_its_copies_only() -> None:
    """The same contract sealed under another identifier of its issuer is no second contract."""
    on = at.desk(model={"stage_advance": ADVANCE})
    identifiers(on, "buyer", "VAT:2")
    twin = trading.decode_record(trading.contract())[12]
    seal(on, "procurement", trading.paper("contract", "C-1", "VAT:2", twin, occurred_at="2025-11-30"))
    on.next_block()
    at.opened(on, limit=9_000_000, approved=5_000_000)
    args = {"enterprise": "supplier", "contract": ["VAT:2", "C-1"], "lender": "lender-two"}
    second = ok(on.call(CONSORTIUM, "credit.apply", args, [key("supplier")]))["id"]
    found = on.read(CONSORTIUM, "credit", "application", second)
    stored = {"id": b"2" * 32, "application": second, "limit": 9_000_000, "currency": "GBP", "scale": 2}
    stored |= {"model": ["standard", 1], "guarantees": [], "time": on.time}
    on.seed(CONSORTIUM, "credit", "assessment", stored["id"], value=stored)
    found |= {"state": "assessed", "assessments": [stored["id"]]}
    on.seed(CONSORTIUM, "credit", "application", second, value=found)
    at.loan(on, 5_000_000, "L-2", "lender-two")
    assert at.approve(on, second, 5_000_000, "L-2").code == "OVER_LIMIT"


# receivables -----------------------------------------------------------------------------------------------------


def test_what_a_contract_has_open_is_counted_once_under_every_way_to_name_it() -> None:
    """Two bills of C-1, whose orders name it with its issuer and without; one is paid, so 1 200 are open."""
    on = at.desk(model={"stage_advance": {**ADVANCE, "order": 0, "in_transit": 0}})
    application = at.opened(on)
    at.bill(on, "I-1")
    said = trading.decode_record(trading.order("10", "120.00", "1200.00", "O-I-2", occurred_at="2025-12-01"))
    order = trading.paper("order", "O-I-2", BUYER, said[12], [("contract", "", "C-1")], occurred_at="2025-12-01")
    seal(on, "procurement", order)
    at_bill(on, "I-2")
    for number in ("I-1", "I-2"):
        assert ok(at.pledge(on, application, number))["pledged"] is True
    paid = {"issue_date": "2026-01-01", "currency": "GBP", "total": "1200.00"}
    links = [("invoice", SUPPLIER, "I-1")]
    seal(on, "procurement", trading.paper("remittance", "P-1", BUYER, paid, links, occurred_at="2026-01-01"))
    on.next_block()
    on.next_block()
    assert room_of(on, application).base == 120_000


def test_a_bill_of_a_contract_that_nobody_has_sealed_carries_nothing() -> None:
    """What is open on it is not known."""
    on = at.desk(model={"stage_advance": {**ADVANCE, "order": 0, "in_transit": 0}})
    application = at.opened(on)
    said = trading.decode_record(trading.order("10", "120.00", "1200.00", "O-I-3", occurred_at="2025-12-01"))
    links = [("contract", BUYER, "C-404")]
    seal(on, "procurement", trading.paper("order", "O-I-3", BUYER, said[12], links, occurred_at="2025-12-01"))
    at_bill(on, "I-3")
    assert ok(at.pledge(on, application, "I-3"))["pledged"] is True
    assert room_of(on, application).base == 0


def at_bill(on: Ledger, number: str) -> None:
    """As lending_desk.bill, with the order sealed already."""
    seal(on, "procurement", trading.receipt("10", f"R-{number}", f"D-{number}"))
    links = [["order", BUYER, f"O-{number}"]]
    bill = trading.invoice("10", "120.00", "1200.00", "0.00", "1200.00", number, links=links)
    seal(on, "erp", trading.despatch("10", f"D-{number}", f"O-{number}"), bill)
    on.next_block()
    on.next_block()


def test_a_contract_corrected_to_another_currency_opens_nothing_in_the_lines() -> None:
    """Progress is then counted in units of another currency."""
    on = at.desk(model={"stage_advance": {**ADVANCE, "order": 0, "in_transit": 0}})
    application = at.opened(on)
    at.bill(on, "I-1")
    ok(at.pledge(on, application, "I-1"))
    said = {**trading.decode_record(trading.contract())[12], "currency": "EUR"}
    changes: dict[str, Any] = {"occurred_at": "2025-11-30", "corrects": record_id(trading.contract())}
    seal(on, "procurement", trading.paper("contract", "C-1", BUYER, said, **changes))
    eur = {"invoiced": "9000.00", "trades": "1"}
    known = on.read(CONSORTIUM, "credit", "progress", "contract", BUYER, "C-1", SUPPLIER, "")
    on.seed(CONSORTIUM, "credit", "progress", "contract", BUYER, "C-1", SUPPLIER, "", value={**known, "EUR": eur})
    assert room_of(on, application).base == 0


def test_a_pledged_bill_carries_by_the_earliest_due_day_it_has_had() -> None:
    """A correction that brings the due day forward makes it past due sooner; one that puts it off changes nothing."""
    on = at.desk(model={"stage_advance": {**ADVANCE, "order": 0, "in_transit": 0}})
    application = at.opened(on)
    data = at.bill(on, "I-1", fields={"due_date": "2026-12-01"})
    ok(at.pledge(on, application, "I-1"))
    assert room_of(on, application).base == 120_000
    array = trading.decode_record(data)
    fields = {**array[12], "due_date": "2025-09-01"}
    seal(
        on,
        "erp",
        trading.paper("invoice", "I-1", SUPPLIER, fields, array[10], occurred_at=array[9], corrects=record_id(data)),
    )
    on.next_block()
    on.next_block()
    assert room_of(on, application).base == 0


# limits that have fallen -----------------------------------------------------------------------------------------


def test_a_milestone_undone_in_this_very_block_is_not_lent_on_any_more() -> None:
    """The hook that takes the grant back runs in the next block; the lender pays out in this one."""
    on = at.desk()
    application = at.opened(on)
    reach(on, despatched=9_000_000)
    at.activity(on, "E-1", full=True)
    at.end_period(on)
    granted = line_of(on, application)["granted"]
    assert granted > 0
    at.loan(on, granted, "L-2")
    reach(on)
    assert at.extend(on, application, granted, "L-2").code == "OVER_LIMIT"
    assert room_of(on, application).limit == at.L0


def test_an_order_of_a_framework_contract_is_no_contract_of_its_own() -> None:
    """Its goods stand behind the framework's limit already."""
    on = at.desk()
    seal(on, "procurement", trading.order())
    on.next_block()
    args = {"enterprise": "supplier", "contract": ["order", BUYER, "O-1"], "lender": "lender"}
    receipt = on.call(CONSORTIUM, "credit.apply", args, [key("supplier")])
    assert (receipt.ok, receipt.code) == (False, "CONTRACT_OF_ORDER")


def test_a_contract_that_was_cut_since_the_assessment_is_assessed_again() -> None:
    """L0 is at most C': an approval on what the contract said before would lend on nothing."""
    on = trading.ledger()
    tell_story(on)
    found = assessed(on)
    known = record_id(trading.contract())
    said = {**trading.decode_record(trading.contract())[12], "status": "cancelled"}
    changes: dict[str, Any] = {"occurred_at": "2025-11-30", "corrects": known}
    seal(on, "procurement", trading.paper("contract", "C-1", BUYER, said, **changes))
    seal(on, "lender", trading.loan(LOAN_AMOUNT))
    assert decide(on, found).code == "ASSESSMENT_STALE"


def test_what_a_transaction_has_judged_takes_back_in_the_next_block() -> None:
    """An assessment settles the book before the hook does: the line is looked at all the same."""
    milestones = [{"id": "received", "stage": "received", "share_bp": 1, "weight": 1}]
    on = at.desk(milestones=milestones)
    application = at.opened(on)
    at.bill(on, "I-1")
    at.end_period(on)
    assert line_of(on, application)["granted"] > 0
    fields = {"issue_date": "2025-12-15", "lines": [trading.line("10")]}
    links = [("receipt", BUYER, "R-I-1")]
    seal(on, "procurement", trading.paper("return", "T-1", BUYER, fields, links, occurred_at="2025-12-15"))
    ok(on.call(CONSORTIUM, "credit.assess", {"application": application}, [key("erp")]))
    (lowered,) = at.told(on.next_block(), "limit_lowered")
    assert (lowered["limit"], line_of(on, application)["granted"]) == (at.L0, 0)


def test_a_bill_that_was_paid_does_not_carry_what_another_of_its_contract_has_open() -> None:
    """I-1 is pledged here and paid; I-2 is open and may back the loan of another lender."""
    on = at.desk(model={"stage_advance": {**ADVANCE, "order": 0, "in_transit": 0}})
    application = at.opened(on)
    at.bill(on, "I-1")
    at.bill(on, "I-2")
    ok(at.pledge(on, application, "I-1"))
    paid = {"issue_date": "2026-01-01", "currency": "GBP", "total": "1000.00"}
    links = [("invoice", SUPPLIER, "I-1")]
    seal(on, "procurement", trading.paper("remittance", "P-1", BUYER, paid, links, occurred_at="2026-01-01"))
    on.next_block()
    on.next_block()
    assert room_of(on, application).base == 20_000


def test_a_bill_that_was_credited_does_not_carry_what_another_of_its_contract_has_open() -> None:
    on = at.desk(model={"stage_advance": {**ADVANCE, "order": 0, "in_transit": 0}})
    application = at.opened(on)
    at.bill(on, "I-1")
    at.bill(on, "I-2")
    ok(at.pledge(on, application, "I-1"))
    fields = {"issue_date": "2025-12-20", "currency": "GBP", "total": "1200.00"}
    fields_of = {**fields, "lines": [trading.line("10", "120.00", "1200.00")]}
    links = [("invoice", SUPPLIER, "I-1")]
    seal(on, "erp", trading.paper("credit_note", "N-1", SUPPLIER, fields_of, links, occurred_at="2025-12-20"))
    on.next_block()
    on.next_block()
    assert room_of(on, application).base == 0
