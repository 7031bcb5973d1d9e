"""Enforceable deeds and their courts under attack: debtors that stall, creditors and notaries that overreach."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.enforceable_limitation import of
from tests.contracts import court_desk
from tests.contracts import lending_desk as lending
from tests.contracts import notary_desk as desk
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext
from tests.contracts.notary_desk import deed_of, do, kept
from tests.contracts.trading import ok

LATE_HALVES = [desk.HALVES[0], {**desk.HALVES[1], "due": "2031-03-01"}]


def last_day(on: Ledger, deed: bytes) -> str:
    return of(MemoryContext(on, CONSORTIUM, "notary"), deed_of(on, deed)).last_day


def performed(on: Ledger, deed: bytes) -> None:
    """The claim is verified as paid, and ends; the deed stands."""
    ok(do(on, "verify_performance", "office", **desk.verify_args(on, deed, outcome="paid")))
    ok(do(on, "refuse", "office", deed=deed, reason="PERFORMED", text="paid"))


def test_a_claim_that_ended_as_paid_calls_nothing_in_any_more() -> None:
    """A debtor that pays what was overdue gets its term back; five years later it must not plead limitation."""
    on = desk.desk()
    application = desk.lent(on, LATE_HALVES)
    deed = desk.notarized(on, application=application)
    desk.to_day(on, desk.DEFAULT_DAY)
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed, accelerate=True)))
    ok(lending.repay(on, application, 1_010_000))
    desk.to_day(on, "2026-02-16")
    performed(on, deed)
    assert last_day(on, deed) == "2033-03-01"
    desk.to_day(on, "2031-03-10")
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))


def test_the_debtor_cannot_use_up_the_answers_of_its_guarantor() -> None:
    on = desk.desk()
    deed = desk.claimed(on)
    receipts = [do(on, "answer", "supplier", deed=deed, admits=True, text=f"noise {n}") for n in range(70)]
    assert receipts[-1].code == "TOO_MANY_ANSWERS"
    ok(do(on, "answer", "aunt", deed=deed, admits=False, text="I never guaranteed this"))
    desk.to_day(on, "2026-02-16")
    assert do(on, "verify_performance", "office", **desk.verify_args(on, deed)).code == "OBJECTION_IGNORED"


def test_answers_to_an_earlier_claim_leave_room_for_the_next() -> None:
    on = desk.desk()
    deed = desk.claimed(on)
    while (receipt := do(on, "answer", "supplier", deed=deed, admits=False, text="no")).ok:
        pass
    assert receipt.code == "TOO_MANY_ANSWERS"
    desk.to_day(on, "2026-02-16")
    objection = {"owner": "party", "id": "supplier", "text": "no", "upheld": True}
    args = desk.verify_args(on, deed, outcome="paid", objections=[objection])
    ok(do(on, "verify_performance", "office", **args))
    ok(do(on, "refuse", "office", deed=deed, reason="PERFORMED", text="paid"))
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))
    ok(do(on, "answer", "supplier", deed=deed, admits=True, text="yes"))
    args = desk.verify_args(on, deed, contacts=[])
    assert do(on, "verify_performance", "office", **args).code == "CONTACT_MISSING"


def test_where_the_chain_is_the_way_to_answer_only_an_answer_there_ends_the_wait() -> None:
    on = desk.desk()
    verification = {"method": "chain", "address": "", "answer_days": 5}
    guarantors = [{**row, "address": ""} for row in desk.GUARANTORS]
    deed = desk.notarized(on, verification=verification, guarantors=guarantors)
    desk.to_day(on, desk.DEFAULT_DAY)
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))
    args = desk.verify_args(on, deed)
    args["contacts"] = [{**row, "answered": True} for row in args["contacts"]]
    assert do(on, "verify_performance", "office", **args).code == "ANSWER_PERIOD_RUNS"


@pytest.mark.parametrize("value", [[], {}, ["party"]])
def test_what_is_no_text_is_a_wrong_argument_and_no_fault_of_the_contract(value: Any) -> None:
    on = court_desk.desk()
    deed = desk.claimed(on)
    assert do(on, "refuse", "office", deed=deed, reason=value, text="no").code == "WRONG_ARGUMENT"
    desk.to_day(on, "2026-02-16")
    for field in ("owner", "id"):
        objection = {"owner": "party", "id": "supplier", "text": "no", "upheld": False, field: value}
        args = desk.verify_args(on, deed, objections=[objection])
        assert do(on, "verify_performance", "office", **args).code in ("WRONG_ARGUMENT", "NOT_AN_OBLIGOR")


def test_the_same_text_consented_to_once_is_not_consented_to_again() -> None:
    """A signature by a CA's key over one deed must not fit a later deed with the same content."""
    on = desk.desk()
    application = desk.lent(on)
    first = desk.drafted(on, application)
    ok(do(on, "revoke", "lender", deed=first, reason="MISTAKE", text="anew"))
    second = desk.drafted(on, application)
    assert deed_of(on, first)["digest"] != deed_of(on, second)["digest"]


@pytest.mark.parametrize("state", ["withdrawn", "rejected"])
@pytest.mark.parametrize("step", ["executed", "revoke"])
def test_a_court_that_is_out_of_the_case_does_not_act_on_the_deed(state: str, step: str) -> None:
    on = desk.desk()
    deed = desk.certified(on)
    desk.filed(on, deed, state=state)
    args: dict[str, Any] = (
        {"amount": 0, "on": lending.day_of(on), "reference": "(2026) 1"}
        if step == "executed"
        else {"reason": "UNLAWFUL", "text": "no"}
    )
    assert do(on, step, "court", deed=deed, **args).code == "NOT_YOUR_DEED"
    assert kept(on, "certificate", deed)


@pytest.mark.parametrize("value", [[], {}, ["received"]])
def test_an_answer_on_paper_that_is_no_text_is_a_wrong_argument(value: Any) -> None:
    on = court_desk.desk()
    case = court_desk.handed_in(on)
    args = {**court_desk.answer(on, case), "answer": value}
    assert court_desk.do(on, "hand_in_acknowledged", "lender", **args).code == "WRONG_ARGUMENT"


def test_a_certificate_that_one_court_enforces_is_brought_to_no_other() -> None:
    on = court_desk.desk()
    case = court_desk.accepted(on)
    application = court_desk.case_of(on, case)["application"]
    assert court_desk.do(on, "open", "lender", application=application).code == "CASE_ACCEPTED"


def test_paying_what_was_lent_after_the_certificate_leaves_its_penalty_to_be_enforced() -> None:
    on = court_desk.desk()
    application = court_desk.certified(on)
    assert kept(on, "certificate", desk.only_deed(on))["claim"]["penalty"] > 0
    ok(lending.repay(on, application, 2_015_000))
    assert on.read(CONSORTIUM, "credit", "schedule", application) is None
    ok(court_desk.do(on, "open", "lender", application=application))
