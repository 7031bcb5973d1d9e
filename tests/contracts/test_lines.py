"""Credit lines on a ledger in memory: opening, the close of periods, what is taken back, what is available."""

from __future__ import annotations

import pytest

from tests.contracts import lending_desk as at
from tests.contracts import trading
from tests.contracts.lending_desk import L0, activity, end_period, judge, line_of, reach, room_of, told
from tests.contracts.memory_context import CONSORTIUM, Ledger, key
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BUYER, ok, seal

M = 10_000_000 - L0  # C' less L0
GUARANTEE = ("guarantee", f"identifier {trading.GUARANTOR}", "G-1")


def corrected(on: Ledger, **fields: str) -> None:
    """Correct the contract record."""
    known = on.read("procurement", "records", "record", "contract", BUYER, "C-1")["id"]
    said = {**trading.decode_record(trading.contract())[12], **fields}
    changes = {"occurred_at": "2025-11-30", "corrects": known}
    seal(on, "procurement", trading.paper("contract", "C-1", BUYER, said, **changes))


def grants(on: Ledger, application: bytes) -> dict[str, int | None]:
    return {row["id"]: row["granted"] for row in line_of(on, application)["milestones"]}


# opening ---------------------------------------------------------------------------------------------------------


def test_an_approval_opens_a_line_with_the_milestones_of_its_template_and_its_headroom() -> None:
    on = at.desk()
    application = at.opened(on)
    line = line_of(on, application)
    assert (line["L0"], line["M"], line["net"], line["cap"]) == (L0, M, 10_000_000, 500_000_000)
    assert [(row["id"], row["weight"], row["granted"]) for row in line["milestones"]] == [
        ("despatched", 1, None),
        ("received", 3, None),
    ]
    assert (line["state"], line["granted"], line["outstanding"], line["approved"]) == ("open", 0, 0, L0)
    assert line["concerned"] == ["lender", "procurement", "supplier"]
    assert on.read(CONSORTIUM, "credit", "lines_of", "supplier") == [application]


def test_a_declined_application_opens_no_line() -> None:
    on = at.desk()
    application = at.assessed(on)
    asked = on.read(CONSORTIUM, "credit", "application", application)
    args = {"application": application, "assessment": asked["assessments"][0], "decision": "decline"}
    receipt = on.call(CONSORTIUM, "credit.decide", args, [key("lender")])
    assert ok(receipt)["state"] == "declined"
    assert told(receipt.events, "decided")[0]["to"] == ["lender", "supplier"]
    assert on.read(CONSORTIUM, "credit", "line", application) is None
    assert at.disburse(on, application).code == "WRONG_STATE"


def test_the_decision_is_told_to_whoever_holds_the_contract_and_the_guarantee() -> None:
    on = at.desk()
    paper = trading.guarantee()
    seal(on, "guarantor", paper)
    on.next_block()
    application = at.assessed(on, guarantees=(record_id(paper),))
    at.loan(on, L0, "L-1")
    receipt = at.approve(on, application, L0)
    assert told(receipt.events, "decided")[0]["to"] == ["guarantor", "lender", "procurement", "supplier"]
    # 5 000.55 at grade A, 80 %: 500 055 * 8 000 // 10 000 = 400 044, until the end of 2026-12-01
    ((_, value, *_),) = line_of(on, application)["guarantees"]
    assert value == 400_044


# periods ---------------------------------------------------------------------------------------------------------


def test_a_milestone_is_granted_at_the_close_of_its_period_at_that_periods_credibility() -> None:
    on = at.desk()
    application = at.opened(on)
    reach(on, despatched=5_000_000)
    activity(on, "E-1")
    assert judge(on) == []
    assert grants(on, application) == {"despatched": None, "received": None}
    (increment,) = told(end_period(on), "increment")
    # E = 10 000 * 3 // 5 = 6 000; g = 8 000 000 * 1 * 6 000 // (4 * 10 000) = 1 200 000; K = 10 000 * 1 // 4
    assert (increment["credibility"], increment["completion"], increment["increment"]) == (6_000, 2_500, 1_200_000)
    assert increment["grants"] == {"despatched": 1_200_000}
    assert (increment["limit"], increment["outstanding"]) == (L0 + 1_200_000, 0)
    # base: order 10 000 000 - 5 000 000, in transit 5 000 000; so the limit binds
    assert (increment["base"], increment["available"]) == (10_000_000, L0 + 1_200_000)
    assert increment["to"] == ["lender", "supplier"]
    stored = on.read(CONSORTIUM, "credit", "increment", application, 1)
    assert stored["increment"] == 1_200_000
    names = [step["name"] for step in stored["steps"]]
    assert names[:3] == ["credibility", "completion", "g_despatched"]
    assert names[-1] == "available"


def test_records_of_one_period_do_not_count_in_another() -> None:
    on = at.desk()
    application = at.opened(on)
    activity(on, "E-1", full=True)
    assert told(end_period(on), "increment")[0]["credibility"] == 10_000
    reach(on, despatched=5_000_000)
    activity(on, "E-2")
    assert told(end_period(on), "increment")[0]["credibility"] == 6_000
    assert grants(on, application)["despatched"] == 1_200_000


def test_a_period_without_records_grants_nothing_and_tells_nothing() -> None:
    on = at.desk()
    application = at.opened(on)
    reach(on, despatched=5_000_000)
    assert told(end_period(on), "increment") == []
    assert line_of(on, application)["granted"] == 0
    activity(on, "E-1", full=True)
    (increment,) = told(end_period(on), "increment")
    assert increment["grants"] == {"despatched": 2_000_000}


def test_undone_at_once_and_granted_anew_at_the_next_close() -> None:
    on = at.desk()
    application = at.opened(on)
    reach(on, despatched=5_000_000)
    activity(on, "E-1")
    end_period(on)
    on.next_block()
    reach(on, despatched=4_999_999, returned=1)
    (lowered,) = told(judge(on), "limit_lowered")
    assert (lowered["taken"], lowered["lowered_by"]) == ({"despatched": 1_200_000}, 1_200_000)
    assert (lowered["limit"], lowered["why"]) == (L0, "milestones undone")
    assert lowered["to"] == ["lender", "procurement", "supplier"]
    assert grants(on, application)["despatched"] is None
    assert judge(on) == []
    reach(on, despatched=5_000_000)
    assert judge(on) == []
    activity(on, "E-2", full=True)
    (increment,) = told(end_period(on), "increment")
    assert increment["grants"] == {"despatched": 2_000_000}


def test_everything_attained_at_full_credibility_fills_the_headroom_exactly() -> None:
    on = at.desk()
    application = at.opened(on)
    reach(on, despatched=10_000_000, received=10_000_000)
    activity(on, "E-1", full=True)
    end_period(on)
    assert line_of(on, application)["granted"] == M
    assert told(end_period(on), "increment") == []


def test_a_contract_corrected_downwards_takes_back_at_once_and_upwards_at_the_close() -> None:
    on = at.desk()
    application = at.opened(on)
    reach(on, despatched=10_000_000, received=10_000_000)
    activity(on, "E-1", full=True)
    end_period(on)
    corrected(on, value="70000.00")  # C' = 50 000.00, M = 3 000 000
    (lowered,) = told(on.next_block(), "limit_lowered")
    assert (lowered["why"], lowered["taken"], lowered["lowered_by"]) == ("contract corrected", {}, M - 3_000_000)
    line = line_of(on, application)
    assert (line["M"], line["granted"]) == (3_000_000, 3_000_000)
    corrected(on, value="500000.00")
    reach(on, despatched=48_000_000, received=48_000_000)
    on.next_block()
    assert line_of(on, application)["granted"] == 3_000_000
    activity(on, "E-2", full=True)
    end_period(on)
    # never above the contract that was approved
    assert (line_of(on, application)["M"], line_of(on, application)["granted"]) == (M, M)


def test_a_cancelled_contract_takes_everything_back_and_closes_its_line_once_nothing_is_owed() -> None:
    on = at.desk()
    paper = trading.guarantee()
    seal(on, "guarantor", paper)
    on.next_block()
    application = at.assessed(on, guarantees=(record_id(paper),))
    at.loan(on, L0, "L-1")
    ok(at.approve(on, application, L0))
    assert on.read(CONSORTIUM, "credit", "guarantee_used", *GUARANTEE) == application
    ok(at.disburse(on, application))
    reach(on, despatched=5_000_000)
    activity(on, "E-1", full=True)
    end_period(on)
    assert line_of(on, application)["granted"] == 2_000_000
    corrected(on, status="cancelled")
    on.next_block()
    judge(on)
    assert line_of(on, application)["granted"] == 0
    end_period(on)
    assert line_of(on, application)["state"] == "open"
    ok(at.repay(on, application, L0))
    events = end_period(on)
    assert line_of(on, application)["state"] == "closed"
    assert told(events, "line_closed")[0]["application"] == application
    assert on.read(CONSORTIUM, "credit", "line_count") is None
    assert on.read(CONSORTIUM, "credit", "guarantee_used", *GUARANTEE) is None
    assert room_of(on, application).available == 0
    assert at.extend(on, application, 1, "L-2").code == "WRONG_STATE"


def test_an_enterprise_that_falls_silent_raises_one_alert() -> None:
    on = at.desk()
    at.opened(on)
    activity(on, "E-1")
    assert told(end_period(on), "alert") == []
    assert told(end_period(on), "alert") == []
    (alert,) = told(end_period(on), "alert")
    assert (alert["rule"], alert["enterprise"], alert["to"]) == (
        "SILENT",
        "supplier",
        ["lender", "procurement", "supplier"],
    )
    assert told(end_period(on), "alert") == []


def test_a_closing_of_many_lines_goes_on_in_later_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.lines.WORK_PER_BLOCK", 1)
    on = at.desk()
    first = at.opened(on, approved=100_000)
    second = at.assessed(on, lender="lender-two")
    at.loan(on, 100_000, "L-9", "lender-two")
    ok(at.approve(on, second, 100_000, "L-9"))
    reach(on, despatched=5_000_000)
    activity(on, "E-1", full=True)
    assert [row["application"] for row in told(end_period(on), "increment")] == [second]
    assert [row["application"] for row in told(on.next_block(), "increment")] == [first]
    assert on.read(CONSORTIUM, "credit", "closing") is None
    reach(on, despatched=1)
    assert [row["application"] for row in told(judge(on), "limit_lowered")] == [first]
    assert [row["application"] for row in told(on.next_block(), "limit_lowered")] == [second]
    assert on.read(CONSORTIUM, "credit", "lines_due") is None


# what is available -----------------------------------------------------------------------------------------------


def test_what_is_lent_is_not_available_and_what_is_repaid_is_again() -> None:
    on = at.desk()
    application = at.opened(on)
    assert room_of(on, application).available == L0
    ok(at.disburse(on, application))
    assert room_of(on, application).available == 0
    ok(at.repay(on, application, 700_000))
    assert room_of(on, application).available == 700_000


def test_two_lines_on_one_contract_stay_within_its_limit_together() -> None:
    on = at.desk()
    first = at.opened(on, approved=1_500_000)
    second = at.assessed(on, lender="lender-two")
    at.loan(on, 600_000, "L-8", "lender-two")
    assert at.approve(on, second, 600_000, "L-8").code == "OVER_LIMIT"
    at.loan(on, 500_000, "L-9", "lender-two")
    ok(at.approve(on, second, 500_000, "L-9"))
    ok(at.disburse(on, first))
    assert room_of(on, second).available == 500_000
    ok(at.disburse(on, second, "L-9"))
    assert (room_of(on, first).available, room_of(on, second).available) == (0, 0)


def test_more_is_lent_on_an_increment_only_after_the_lender_decides() -> None:
    on = at.desk()
    application = at.opened(on)
    ok(at.disburse(on, application))
    at.loan(on, 1_200_000, "L-2")
    assert at.extend(on, application, 1_200_000, "L-2").code == "OVER_LIMIT"
    reach(on, despatched=5_000_000)
    activity(on, "E-1")
    end_period(on)
    at.loan(on, 1_200_001, "L-3")
    assert at.extend(on, application, 1_200_001, "L-3").code == "OVER_LIMIT"
    assert at.disburse(on, application, "L-2").code == "OVER_APPROVED"
    result = ok(at.extend(on, application, 1_200_000, "L-2"))
    assert (result["approved"], result["limit"]) == (L0 + 1_200_000, L0 + 1_200_000)
    ok(at.disburse(on, application, "L-2"))
    assert line_of(on, application)["outstanding"] == L0 + 1_200_000


def test_an_increment_may_be_declined_once() -> None:
    on = at.desk()
    application = at.opened(on)
    args = {"application": application, "decision": "decline"}
    assert on.call(CONSORTIUM, "credit.extend", args, [key("lender")]).code == "NOTHING_TO_DECIDE"
    reach(on, despatched=5_000_000)
    activity(on, "E-1")
    end_period(on)
    receipt = on.call(CONSORTIUM, "credit.extend", args, [key("lender")])
    assert ok(receipt)["approved"] == L0
    assert told(receipt.events, "decided")[0]["decides"] == "increment"
    assert on.call(CONSORTIUM, "credit.extend", args, [key("lender")]).code == "NOTHING_TO_DECIDE"


def test_an_approval_that_was_not_drawn_before_the_limit_fell_is_not_paid_out() -> None:
    on = at.desk()
    application = at.opened(on)
    ok(at.disburse(on, application))
    reach(on, despatched=5_000_000)
    activity(on, "E-1")
    end_period(on)
    at.loan(on, 1_200_000, "L-2")
    ok(at.extend(on, application, 1_200_000, "L-2"))
    reach(on, despatched=4_000_000)
    judge(on)
    receipt = at.disburse(on, application, "L-2")
    assert receipt.code == "OVER_AVAILABLE"
    assert "limit 2000000, borrowing base 10000000, outstanding 2000000" in receipt.message


@pytest.mark.parametrize(
    ("amount", "code"),
    [(0, "WRONG_ARGUMENT"), (-1, "WRONG_ARGUMENT"), (L0 + 1, "OVER_LIMIT"), (2**63 - 1, "OVER_LIMIT")],
)
def test_amounts_that_cannot_be_approved(amount: int, code: str) -> None:
    on = at.desk()
    application = at.assessed(on)
    at.loan(on, L0, "L-1")
    assert at.approve(on, application, amount).code == code


@pytest.mark.parametrize("amount", [0, -500, 10**20])
def test_a_loan_record_without_a_usable_amount_is_not_paid_out(amount: int) -> None:
    on = at.desk()
    application = at.opened(on)
    at.loan(on, amount, "L-2")
    assert at.disburse(on, application, "L-2").code == "LOAN_DIFFERS"


def test_only_the_applications_own_lender_acts_on_its_line() -> None:
    on = at.desk()
    application = at.opened(on)
    other = [key("lender-two")]
    named = {"application": application}
    for method, args in (
        ("extend", {**named, "decision": "decline"}),
        ("disburse", {**named, "loan": [trading.BANK, "L-1"]}),
        ("repay", {**named, "repayment": [trading.BANK, "P-1"]}),
        ("pledge", {**named, "kind": "invoice", "issuer": trading.SUPPLIER, "number": "I-1"}),
    ):
        assert on.call(CONSORTIUM, f"credit.{method}", args, other).code == "NOT_YOUR_APPLICATION"


# bounds ----------------------------------------------------------------------------------------------------------


def test_papers_of_absurd_amounts_stop_no_hook() -> None:
    on = at.desk()
    application = at.opened(on)
    huge = 10**35
    reach(on, ordered=huge, despatched=huge, received=huge, invoiced=huge, paid=huge, returned=huge)
    activity(on, "E-1", full=True)
    (increment,) = told(end_period(on), "increment")
    assert (increment["granted"], increment["base"], increment["available"]) == (M, 0, 0)
    reach(on)
    assert told(judge(on), "limit_lowered")[0]["limit"] == L0
    assert line_of(on, application)["granted"] == 0


def test_an_enterprise_has_at_most_so_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.credit_line.MAX_LINES", 1)
    on = at.desk()
    at.opened(on, approved=100)
    second = at.assessed(on, lender="lender-two")
    at.loan(on, 100, "L-9", "lender-two")
    assert at.approve(on, second, 100, "L-9").code == "TOO_MANY_LINES"


def test_a_line_owes_at_most_so_many_instalments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.repayments.MAX_ROWS", 1)
    on = at.desk()
    application = at.opened(on)
    at.loan(on, 100, "L-2")
    ok(at.disburse(on, application, "L-2"))
    at.loan(on, 100, "L-3")
    assert at.disburse(on, application, "L-3").code == "TOO_MANY_INSTALMENTS"


def test_at_most_so_many_bills_back_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.pledges.MAX_PLEDGES", 1)
    on = at.desk()
    application = at.opened(on)
    at.bill(on, "I-1")
    at.bill(on, "I-2")
    ok(at.pledge(on, application, "I-1"))
    assert at.pledge(on, application, "I-2").code == "TOO_MANY_PLEDGES"


def test_lines_that_are_closed_leave_the_others_in_the_index() -> None:
    on = at.desk()
    contract = trading.decode_record(trading.contract())[12]
    changes = {"occurred_at": "2025-11-30"}
    seal(on, "procurement", trading.paper("contract", "C-2", BUYER, contract, **changes))
    on.next_block()
    first = at.opened(on, approved=100)
    second = at.assessed(on, contract="C-2")
    at.loan(on, 100, "L-2")
    ok(at.approve(on, second, 100, "L-2"))
    corrected(on, status="terminated")
    end_period(on)
    assert on.read(CONSORTIUM, "credit", "approved", "contract", "party buyer", "C-1") == 0
    assert (line_of(on, first)["state"], line_of(on, second)["state"]) == ("closed", "open")
    assert (on.read(CONSORTIUM, "credit", "line_count"), on.read(CONSORTIUM, "credit", "line_at", 0)) == (1, second)
    assert line_of(on, second)["place"] == 0
    assert on.read(CONSORTIUM, "credit", "lines_of", "supplier") == [second]  # a closed one leaves room for another
    activity(on, "E-1")
    assert [row["application"] for row in told(end_period(on), "increment")] == [second]
