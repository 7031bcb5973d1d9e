"""Pledges: one receivable backs one loan; assignment notice and acknowledgement; the borrowing base by hand."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import base, pledges
from contracts.base import Collateral, Receivable
from contracts.explained import Steps
from contracts.model import Eligibility
from contracts.statistics import B
from tests.contracts import lending_desk as at
from tests.contracts import trading
from tests.contracts.lending_desk import days, told
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, Receipt, key
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BUYER, DAY, SUPPLIER, ok, seal

ADVANCE = {"order": 5_000, "in_transit": 6_500, "receivable": 8_000}
RULES = Eligibility(past_due_days=90, cross_aging_bp=2_500, concentration_bp=B, confirmed_only=False)
NO_STAGES = dict.fromkeys(
    ("ordered", "accepted", "despatched", "received", "invoiced", "confirmed", "paid", "returned"), 0
)


def pledged(on: Ledger, number: str = "I-1", **changes: Any) -> bytes:
    """A line with one pledged bill of 1 200.00."""
    application = at.opened(on)
    at.bill(on, number, **changes)
    assert ok(at.pledge(on, application, number)) == {
        "pledged": True,
        "known": False,
        "held_by_other": False,
        "amount": 120_000,
    }
    return application


def context(on: Ledger) -> MemoryContext:
    return MemoryContext(on, CONSORTIUM, "credit")


def pledge_of(on: Ledger, number: str = "I-1") -> dict[str, Any] | None:
    found: dict[str, Any] | None = on.read(CONSORTIUM, "credit", "pledge", "invoice", "party supplier", number)
    return found


# pledging --------------------------------------------------------------------------------------------------------


def test_a_matched_bill_is_pledged_at_the_amount_of_its_verdict() -> None:
    on = at.desk()
    application = at.opened(on)
    at.bill(on, "I-1")
    receipt = at.pledge(on, application, "I-1", registration="ZD-1")
    assert ok(receipt)["amount"] == 120_000
    entry = pledge_of(on)
    assert entry is not None
    assert (entry["lender"], entry["registration"], entry["due"]) == ("lender", "ZD-1", "2025-12-12")
    assert told(receipt.events, "pledged")[0]["to"] == ["buyer", "erp", "lender", "procurement", "supplier"]
    assert ok(at.pledge(on, application, "I-1"))["known"] is True
    assert on.read(CONSORTIUM, "credit", "pledges", application) == [["invoice", "party supplier", "I-1"]]


def test_a_second_pledge_by_anyone_is_refused_and_raises_an_alert() -> None:
    on = at.desk()
    pledged(on)
    second = at.opened(on, lender="lender-two", limit=at.L0 + 100, approved=100)
    receipt = at.pledge(on, second, "I-1", "lender-two")
    assert ok(receipt) == {"pledged": False, "known": False, "held_by_other": True, "amount": 0}
    (alert,) = told(receipt.events, "alert")
    assert alert["rule"] == "DOUBLE_PLEDGE"
    assert alert["to"] == ["erp", "lender", "lender-two", "supplier"]
    assert (alert["bill"], alert["ours"], alert["theirs"]) == (["invoice", SUPPLIER, "I-1"], "lender-two", "lender")
    assert told(at.pledge(on, second, "I-1", "lender-two").events, "alert") == []
    assert on.read(CONSORTIUM, "credit", "pledges", second) is None


def test_a_bill_cannot_be_pledged_again_under_another_identifier_of_its_issuer() -> None:
    on = at.desk()
    application = at.opened(on)
    ok(on.call(CONSORTIUM, "registry.add_identifiers", {"party": "supplier", "identifiers": ["VAT:1"]}, [key("erp")]))
    on.next_block()
    at.bill(on, "I-1")
    ok(at.pledge(on, application, "I-1"))
    seal(on, "erp-two", trading.invoice("10", "120.00", "1200.00", "0.00", "1200.00", "I-1", issuer="VAT:1"))
    on.next_block()
    second = at.opened(on, lender="lender-two", limit=at.L0 + 100, approved=100)
    args = {"application": second, "kind": "invoice", "issuer": "VAT:1", "number": "I-1"}
    receipt = on.call(CONSORTIUM, "credit.pledge", args, [key("lender-two")])
    assert ok(receipt)["held_by_other"] is True


def test_a_pledge_is_found_by_the_identifier_it_was_made_under_before_that_was_registered() -> None:
    on = at.desk()
    pledged(on)
    entry = pledge_of(on)
    on.seed(CONSORTIUM, "credit", "pledge", "invoice", "identifier VAT:1", "I-7", value=entry)
    assert pledges.held(context(on), trading.reader(on), ("invoice", SUPPLIER, "I-7")) is None
    ok(on.call(CONSORTIUM, "registry.add_identifiers", {"party": "supplier", "identifiers": ["VAT:1"]}, [key("erp")]))
    found = pledges.held(context(on), trading.reader(on), ("invoice", SUPPLIER, "I-7"))
    assert found is not None
    assert found.place == ("invoice", "identifier VAT:1", "I-7")


def test_a_bill_cannot_back_two_loans_of_one_lender() -> None:
    on = at.desk()
    pledged(on, status="matched")
    second = at.assessed(on, limit=at.L0 + 100)
    at.loan(on, 100, "L-2")
    ok(at.approve(on, second, 100, "L-2"))
    receipt = at.pledge(on, second, "I-1")
    assert ok(receipt)["held_by_other"] is True
    assert [alert["rule"] for alert in told(receipt.events, "alert")] == ["DOUBLE_PLEDGE"]


def test_released_it_may_back_another_loan() -> None:
    on = at.desk()
    application = pledged(on)
    second = at.opened(on, lender="lender-two", limit=at.L0 + 100, approved=100)
    assert at.on_bill(on, "release", "I-1", "lender-two").code == "NOT_YOUR_PLEDGE"
    receipt = at.on_bill(on, "release", "I-1", "lender")
    assert ok(receipt) == {"released": True}
    assert told(receipt.events, "released")[0]["to"] == ["buyer", "erp", "lender", "procurement", "supplier"]
    assert (pledge_of(on), on.read(CONSORTIUM, "credit", "pledges", application)) == (None, None)
    assert at.on_bill(on, "release", "I-1", "lender").code == "NOT_PLEDGED"
    assert ok(at.pledge(on, second, "I-1", "lender-two"))["pledged"] is True


@pytest.mark.parametrize("status", ["contradicted", "unmatched", "partial"])
def test_only_a_matched_bill_is_pledged(status: str) -> None:
    on = at.desk()
    application = at.opened(on)
    at.bill(on, "I-1", status=status)
    assert at.verdict(on, "I-1")["status"] == status
    receipt = at.pledge(on, application, "I-1")
    assert receipt.code == "BILL_NOT_MATCHED"
    assert status in receipt.message


def _foreign(on: Ledger) -> None:
    at.bill(on, "I-1", enterprise="GB-COH:99")


def _credit_note(on: Ledger) -> None:
    seal(on, "erp", trading.credit_note("1", "10.00", "I-1", links=[]))


def _disputed(on: Ledger) -> None:
    at.bill(on, "I-1")
    ok(at.on_bill(on, "dispute", "I-1", "buyer", reason="not delivered"))


def _dollars(on: Ledger) -> None:
    on.seed(
        CONSORTIUM, "credit", "line", at.only_line(on), value={**at.line_of(on, at.only_line(on)), "currency": "USD"}
    )
    at.bill(on, "I-1")


def _nothing(on: Ledger) -> None:
    on.next_block()


@pytest.mark.parametrize(
    ("prepare", "kind", "code"),
    [
        (_nothing, "invoice", "UNKNOWN_BILL"),
        (_foreign, "invoice", "FOREIGN_BILL"),
        (_credit_note, "credit_note", "NOT_A_RECEIVABLE"),
        (_disputed, "invoice", "BILL_DISPUTED"),
        (_dollars, "invoice", "CURRENCY_DIFFERS"),
        (_nothing, "contract", "UNKNOWN_BILL"),
    ],
)
def test_bills_that_are_not_pledged(prepare: Any, kind: str, code: str) -> None:
    on = at.desk()
    application = at.opened(on)
    prepare(on)
    on.next_block()
    args = {"application": application, "kind": kind, "issuer": SUPPLIER, "number": "I-1"}
    assert on.call(CONSORTIUM, "credit.pledge", args, [key("lender")]).code == code


def test_a_contract_is_no_receivable() -> None:
    on = at.desk()
    application = at.opened(on)
    args = {"application": application, "kind": "contract", "issuer": BUYER, "number": "C-1"}
    assert on.call(CONSORTIUM, "credit.pledge", args, [key("lender")]).code == "NOT_A_RECEIVABLE"


# assignment ------------------------------------------------------------------------------------------------------


def notify(on: Ledger, by: str = "lender", **more: Any) -> Receipt:
    args = {"date": "2026-01-01", "text_hash": bytes(32), **more}
    return at.on_bill(on, "notify_assignment", "I-1", by, **{k: v for k, v in args.items() if v is not None})


def test_the_debtor_is_notified_and_acknowledges_with_its_own_key() -> None:
    on = at.desk()
    pledged(on)
    assert at.on_bill(on, "acknowledge", "I-1", "buyer").code == "NOT_NOTIFIED"
    receipt = notify(on, registration="ZD-2026-7")
    assert ok(receipt) == {"debtor": "buyer"}
    assert told(receipt.events, "assignment_notified")[0]["to"] == [
        "buyer",
        "erp",
        "lender",
        "procurement",
        "supplier",
    ]
    assert at.on_bill(on, "acknowledge", "I-1", "supplier").code == "NOT_THE_DEBTOR"
    assert at.on_bill(on, "acknowledge", "I-1", "procurement").code == "ROLE_NOT_ALLOWED"
    assert ok(at.on_bill(on, "acknowledge", "I-1", "buyer")) == {"known": False}
    assert ok(at.on_bill(on, "acknowledge", "I-1", "buyer")) == {"known": True}
    entry = pledge_of(on)
    assert entry is not None
    assert (entry["registration"], entry["acknowledged"]["by"]) == ("ZD-2026-7", "buyer")
    assert entry["notice"]["text_hash"] == bytes(32)
    assert notify(on).code == "ACKNOWLEDGED"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"by": "lender-two"}, "NOT_YOUR_PLEDGE"),
        ({"text_hash": None}, "MISSING_ARGUMENT"),
        ({"text_hash": b"short"}, "WRONG_ARGUMENT"),
        ({"date": "2026-01-02"}, "DATE_IN_FUTURE"),
        ({"date": "last week"}, "WRONG_ARGUMENT"),
        ({"registration": ""}, "WRONG_ARGUMENT"),
    ],
)
def test_assignment_notices_that_are_refused(changes: dict[str, Any], code: str) -> None:
    on = at.desk()
    pledged(on)
    assert notify(on, **changes).code == code


def test_what_is_not_pledged_is_neither_notified_nor_acknowledged() -> None:
    on = at.desk()
    at.bill(on, "I-1")
    assert notify(on).code == "NOT_PLEDGED"
    assert at.on_bill(on, "acknowledge", "I-1", "buyer").code == "NOT_PLEDGED"


def test_a_disputed_bill_is_not_acknowledged() -> None:
    on = at.desk()
    pledged(on)
    ok(notify(on))
    ok(at.on_bill(on, "dispute", "I-1", "buyer", reason="short delivery"))
    assert at.on_bill(on, "acknowledge", "I-1", "buyer").code == "BILL_DISPUTED"


# the borrowing base ----------------------------------------------------------------------------------------------


def receivable(amount: int, **changes: Any) -> Receivable:
    base_values: dict[str, Any] = {"debtor": "a", "contract": "", "due_ms": 0, "matched": True, "disputed": False}
    return Receivable(**{**base_values, "amount": amount, "confirmed": False, **changes})


def carried(
    *receivables: Receivable,
    rules: Eligibility = RULES,
    now: int = 0,
    net: int = 0,
    open_by_contract: dict[str, int] | None = None,
    guarantees: int = 0,
    is_order: bool = False,
    **stages: int,
) -> tuple[int, dict[str, int]]:
    """The base and the value of each of its steps."""
    steps = Steps()
    collateral = Collateral(net, is_order, {**NO_STAGES, **stages}, receivables, open_by_contract or {}, guarantees)
    value = base.borrowing_base(collateral, ADVANCE, rules, now, steps)
    return value, {step["name"]: step["value"] for step in steps.entries}


def test_the_stages_repay_each_other() -> None:
    assert carried(net=1_000)[0] == 500
    # 400 moved, nothing billed: 600 * 50 % + 400 * 65 %
    assert carried(net=1_000, despatched=400)[0] == 300 + 260
    # 300 of it billed and pledged, 100 still under way: 600 * 50 % + 100 * 65 % + 300 * 80 %
    bill = receivable(300)
    assert carried(bill, net=1_000, despatched=400, received=300, invoiced=300)[0] == 300 + 65 + 240
    # billed and not pledged carries nothing, nor does what has arrived and is not billed
    assert carried(net=1_000, despatched=400, received=300, invoiced=300)[0] == 300 + 65
    assert carried(net=1_000, despatched=400, received=400, invoiced=300)[0] == 300


def test_returns_lower_the_order_and_dilute_the_receivables() -> None:
    value, steps = carried(receivable(300), net=1_000, despatched=300, received=300, invoiced=300, returned=100)
    # order 1 000 - 300 - 100 = 600; receivable 240; dilution ceil(240 * 100 / (300 + 100)) = 60
    assert (steps["order_open"], steps["dilution"], value) == (600, 60, 300 + 240 - 60)


def test_dilution_is_deducted_rounded_up() -> None:
    # receivable 100 at 80 %; 1 of 3 delivered came back: ceil(80 / 3)
    assert carried(receivable(100), received=2, returned=1)[1]["dilution"] == 27


def test_goods_that_back_the_loans_of_other_lines_carry_what_those_leave() -> None:
    collateral = Collateral(1_000, False, NO_STAGES, (), {}, 7, owed_elsewhere=450)
    assert base.borrowing_base(collateral, ADVANCE, RULES, 0, Steps()) == 50 + 7
    assert base.borrowing_base(collateral._replace(owed_elsewhere=501), ADVANCE, RULES, 0, Steps()) == 7


def test_a_single_order_is_worth_no_more_than_what_is_still_ordered() -> None:
    assert carried(net=1_000, is_order=True, ordered=1_000)[0] == 500
    assert carried(net=1_000, is_order=True, ordered=400)[0] == 200
    assert carried(net=1_000, is_order=True)[0] == 0


@pytest.mark.parametrize(
    ("changes", "rules", "step"),
    [
        ({"matched": False}, RULES, base.UNMATCHED),
        ({"disputed": True}, RULES, base.DISPUTED),
        ({}, RULES._replace(confirmed_only=True), base.UNCONFIRMED),
        ({"due_ms": -90 * DAY}, RULES, base.PAST_DUE),
    ],
)
def test_a_receivable_that_is_not_eligible_carries_nothing(
    changes: dict[str, Any], rules: Eligibility, step: str
) -> None:
    assert base.exclusions([receivable(100, **changes)], rules, 0) == [step]
    assert carried(receivable(100, **changes), rules=rules)[0] == 0


def test_past_due_counts_from_the_day_it_is_over() -> None:
    item = receivable(100, due_ms=0)
    assert base.exclusions([item], RULES, 90 * DAY - 1) == [""]
    assert base.exclusions([item], RULES, 90 * DAY) == [base.PAST_DUE]


def test_a_confirmed_receivable_counts_where_only_those_do() -> None:
    rules = RULES._replace(confirmed_only=True)
    assert carried(receivable(100, confirmed=True), receivable(100), rules=rules)[0] == 80


def test_cross_aging_is_more_than_the_share_of_one_debtors_receivables() -> None:
    aged = {"due_ms": -90 * DAY}
    at_share = [receivable(25, **aged), receivable(75), receivable(50, debtor="b")]
    assert base.exclusions(at_share, RULES, 0) == [base.PAST_DUE, "", ""]
    above = [receivable(26, **aged), receivable(74), receivable(50, debtor="b")]
    assert base.exclusions(above, RULES, 0) == [base.PAST_DUE, base.CROSS_AGED, ""]


def test_concentration_cuts_one_debtors_share_of_all() -> None:
    rules = RULES._replace(concentration_bp=4_000)
    value, steps = carried(receivable(900), receivable(100, debtor="b"), rules=rules)
    assert (steps["receivables_open"], steps["receivables_eligible"], value) == (1_000, 400 + 100, 400)


def test_what_a_contract_has_open_bounds_its_receivables() -> None:
    value, steps = carried(
        receivable(300, contract="c"), receivable(200, contract="c"), receivable(50), open_by_contract={"c": 350}
    )
    assert (steps["receivables_counted"], steps["receivables_open"], value) == (550, 400, 320)
    assert carried(receivable(300, contract="c"), open_by_contract={"c": -5})[0] == 0


def test_one_debtors_share_is_of_what_is_open_and_not_of_what_was_billed() -> None:
    rules = RULES._replace(concentration_bp=5_000)
    both = (receivable(400, contract="c"), receivable(100, debtor="b"))
    _, steps = carried(*both, rules=rules, open_by_contract={"c": 300})
    assert (steps["receivables_open"], steps["receivables_eligible"]) == (400, 200 + 100)


def test_guarantees_stand_beside_the_stages_and_the_base_is_never_negative() -> None:
    assert carried(guarantees=70)[0] == 70
    assert carried(returned=50)[0] == 0


# the base of a line ----------------------------------------------------------------------------------------------


def base_of(on: Ledger, application: bytes) -> int:
    on.next_block()
    return at.room_of(on, application).base


def remittance(number: str, amount: str) -> bytes:
    fields = {"issue_date": "2026-01-01", "currency": "GBP", "total": amount}
    links = [("invoice", SUPPLIER, number)]
    return trading.paper("remittance", f"P-{number}", BUYER, fields, links, occurred_at="2026-01-01")


def test_what_becomes_of_a_pledged_bill_changes_the_lines_base() -> None:
    on = at.desk(model={"stage_advance": ADVANCE})
    application = pledged(on)  # 1 200.00 of ten pieces, despatched, received and billed
    rest = (10_000_000 - 120_000) // 2
    assert base_of(on, application) == rest + 96_000
    ok(at.on_bill(on, "dispute", "I-1", "buyer", reason="short"))
    assert base_of(on, application) == rest
    ok(at.on_bill(on, "resolve", "I-1", "buyer", outcome="dismissed"))
    assert base_of(on, application) == rest + 96_000
    seal(on, "procurement", remittance("I-1", "500.00"))
    assert base_of(on, application) == rest + 56_000
    seal(on, "procurement", trading.receipt("4", "R-X", "D-I-1"))  # four pieces more than were sent
    assert at.verdict(on, "I-1")["status"] == "matched"
    on.next_block()
    assert at.verdict(on, "I-1")["status"] == "contradicted"
    assert base_of(on, application) == rest
    ok(at.on_bill(on, "release", "I-1", "lender"))


def test_a_pledged_bill_that_is_corrected_downwards_carries_what_it_says_now() -> None:
    on = at.desk(model={"stage_advance": {**ADVANCE, "in_transit": 0, "order": 0}})
    application = pledged(on)
    at.bill(on, "I-2")  # not pledged: more is open on the contract than the pledged bill says
    known = on.read("erp", "records", "record", "invoice", SUPPLIER, "I-1")["id"]
    links = [["order", BUYER, "O-I-1"]]
    half = trading.invoice("5", "120.00", "600.00", "0.00", "600.00", "I-1", links=links, corrects=known)
    seal(on, "erp", half)
    assert base_of(on, application) == 48_000


def test_a_dispute_upheld_takes_the_milestone_back_at_once() -> None:
    milestones = [{"id": "billed", "stage": "invoiced", "share_bp": 100, "weight": 1}]
    on = at.desk(milestones=milestones)
    application = at.opened(on)
    at.bill(on, "I-1")  # 120 000 of 10 000 000 is 120 bp
    at.end_period(on)
    granted = at.line_of(on, application)["granted"]
    assert granted > 0
    on.next_block()
    ok(at.on_bill(on, "dispute", "I-1", "buyer", reason="never ordered"))
    assert told(on.next_block(), "limit_lowered") == []
    ok(at.on_bill(on, "resolve", "I-1", "supplier", outcome="upheld"))
    (lowered,) = told(on.next_block(), "limit_lowered")
    assert (lowered["lowered_by"], at.line_of(on, application)["granted"]) == (granted, 0)


def test_a_credit_note_takes_the_milestone_back_at_once() -> None:
    milestones = [{"id": "billed", "stage": "invoiced", "share_bp": 100, "weight": 1}]
    on = at.desk(milestones=milestones)
    application = at.opened(on)
    at.bill(on, "I-1")
    at.end_period(on)
    on.next_block()
    lines = [trading.line("5", "120.00", "600.00")]
    fields = {"issue_date": "2026-01-01", "currency": "GBP", "total": "600.00", "lines": lines}
    links = [("invoice", SUPPLIER, "I-1")]
    seal(on, "erp", trading.paper("credit_note", "N-1", SUPPLIER, fields, links, occurred_at="2026-01-01"))
    (lowered,) = told(on.next_block(), "limit_lowered")
    assert lowered["taken"].keys() == {"billed"}
    assert at.line_of(on, application)["granted"] == 0


def test_an_acknowledged_receivable_counts_where_only_confirmed_ones_do() -> None:
    rules = {"past_due_days": 90, "cross_aging_bp": B, "concentration_bp": B, "confirmed_only": 1}
    on = at.desk(model={"stage_advance": {**ADVANCE, "order": 0}, "eligibility": rules})
    application = pledged(on)
    assert base_of(on, application) == 0
    ok(notify(on))
    ok(at.on_bill(on, "acknowledge", "I-1", "buyer"))
    assert base_of(on, application) == 96_000


def test_a_receivable_that_the_buyer_confirmed_counts_where_only_confirmed_ones_do() -> None:
    rules = {"past_due_days": 90, "cross_aging_bp": B, "concentration_bp": B, "confirmed_only": 1}
    on = at.desk(model={"stage_advance": {**ADVANCE, "order": 0}, "eligibility": rules})
    application = at.opened(on)
    data = at.bill(on, "I-1")
    ok(at.pledge(on, application, "I-1"))
    ok(trading.confirm(on, data, "buyer"))
    assert base_of(on, application) == 96_000


def test_a_guarantee_leaves_the_base_when_it_ends() -> None:
    on = at.desk(model={"stage_advance": dict.fromkeys(ADVANCE, 0)})
    paper = trading.guarantee(fields={"expiry_date": "2026-01-05"})
    seal(on, "guarantor", paper)
    on.next_block()
    application = at.assessed(on, guarantees=(record_id(paper),))
    at.loan(on, 100, "L-1")
    ok(at.approve(on, application, 100))
    assert base_of(on, application) == 400_044
    on.next_block(time=days(5))
    assert base_of(on, application) == 0
