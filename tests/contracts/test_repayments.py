"""Schedules, repayments and overdue lines: the allocation rule, deadlines to the second, bad input."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from contracts import deadlines
from contracts.repayments import allocate
from tests.contracts import lending_desk as at
from tests.contracts import trading
from tests.contracts.lending_desk import L0, days, judge, line_of, told
from tests.contracts.memory_context import CONSORTIUM, START, Ledger, MemoryContext, key
from tests.contracts.trading import BANK, DAY, ok

HALVES = [
    {"due": "2026-02-01", "principal": 1_000_000, "interest": 10_000},
    {"due": "2026-03-01", "principal": 1_000_000, "interest": 5_000},
]
GRACE_DAYS = 3  # of the standard model


def drawn(on: Ledger, schedule: list[dict[str, Any]] | None = None) -> bytes:
    application = at.opened(on)
    ok(at.disburse(on, application, schedule=HALVES if schedule is None else schedule))
    return application


def rows(on: Ledger, application: bytes) -> list[list[Any]]:
    found: list[list[Any]] = on.read(CONSORTIUM, "credit", "schedule", application) or []
    return found


# schedules -------------------------------------------------------------------------------------------------------


def test_without_a_schedule_all_is_due_after_the_term_with_simple_interest() -> None:
    on = at.desk()
    application = at.assessed(on)
    at.loan(on, L0, "L-1", rate_bp="650", term_days="90")
    ok(at.approve(on, application, L0))
    result = ok(at.disburse(on, application))
    # ceil(2 000 000 * 650 * 90 / (10 000 * 365)) = ceil(32 054.79) = 32 055
    assert result["schedule"] == [["2026-04-01", L0, 32_055]]


def test_the_due_date_of_the_record_comes_before_its_term() -> None:
    on = at.desk()
    application = at.assessed(on)
    at.loan(on, L0, "L-1", due_date="2026-01-31", rate_bp="3650")
    ok(at.approve(on, application, L0))
    # 30 days at 36.5 % a year: 2 000 000 * 3 650 * 30 / 3 650 000 = 60 000
    assert ok(at.disburse(on, application))["schedule"] == [["2026-01-31", L0, 60_000]]


def test_a_record_without_due_date_and_term_needs_a_schedule() -> None:
    on = at.desk()
    application = at.assessed(on)
    at.loan(on, L0, "L-1", term_days="")
    ok(at.approve(on, application, L0))
    assert at.disburse(on, application).code == "SCHEDULE_MISSING"
    ok(at.disburse(on, application, schedule=HALVES))


@pytest.mark.parametrize(
    ("schedule", "code"),
    [
        ([], "WRONG_ARGUMENT"),
        ([{**HALVES[0], "principal": 1_000_001}, HALVES[1]], "WRONG_SCHEDULE"),
        ([{**HALVES[0], "principal": 999_999}, HALVES[1]], "WRONG_SCHEDULE"),
        ([HALVES[1], HALVES[0]], "WRONG_SCHEDULE"),
        ([HALVES[0], {**HALVES[1], "due": "2026-02-01"}], "WRONG_SCHEDULE"),
        ([{**HALVES[0], "due": "2025-12-31"}, HALVES[1]], "WRONG_SCHEDULE"),
        ([{"due": "2026-01-15", "principal": 0, "interest": 0}, *HALVES], "WRONG_SCHEDULE"),
        ([{**HALVES[0], "due": "2026-02-30"}, HALVES[1]], "WRONG_ARGUMENT"),
        ([{**HALVES[0], "due": "2026-02-01T00:00:00Z"}, HALVES[1]], "WRONG_ARGUMENT"),
        ([{**HALVES[0], "interest": -1}, HALVES[1]], "WRONG_ARGUMENT"),
        ([{**HALVES[0], "interest": 2**60}, HALVES[1]], "WRONG_ARGUMENT"),
        ([{"due": "2026-02-01", "principal": L0}], "MISSING_ARGUMENT"),
        ([{**HALVES[0], "fee": 1}, HALVES[1]], "UNKNOWN_ARGUMENT"),
        ([7], "WRONG_ARGUMENT"),
        ("monthly", "WRONG_ARGUMENT"),
        (
            [{"due": f"2026-0{1 + n // 28}-{1 + n % 28:02d}", "principal": 1, "interest": 1} for n in range(121)],
            "WRONG_ARGUMENT",
        ),
    ],
)
def test_schedules_that_are_refused(schedule: Any, code: str) -> None:
    on = at.desk()
    application = at.opened(on)
    assert at.disburse(on, application, schedule=schedule).code == code
    assert line_of(on, application)["outstanding"] == 0


def test_a_payment_dated_in_the_future_is_refused() -> None:
    on = at.desk()
    application = at.assessed(on)
    at.loan(on, L0, "L-1", disbursed_on="2026-01-02")
    ok(at.approve(on, application, L0))
    assert at.disburse(on, application).code == "PAID_IN_FUTURE"


# repayments ------------------------------------------------------------------------------------------------------


def test_a_payment_pays_the_oldest_instalment_first_and_its_interest_before_its_principal() -> None:
    on = at.desk()
    application = drawn(on)
    result = ok(at.repay(on, application, 500_000))
    assert (result["principal"], result["owed"], result["outstanding"]) == (490_000, 1_515_000, 1_510_000)
    ((due, _, interest, principal),) = result["allocated"]
    assert (due, interest, principal) == ("2026-02-01", 10_000, 490_000)
    receipt = at.repay(on, application, 512_000, "P-2")
    assert [row[0:1] + row[2:] for row in ok(receipt)["allocated"]] == [
        ["2026-02-01", 0, 510_000],
        ["2026-03-01", 2_000, 0],
    ]
    assert told(receipt.events, "repaid")[0]["to"] == ["lender", "procurement", "supplier"]
    assert [row[3:] for row in rows(on, application)] == [[1_000_000, 5_000, 0, 2_000]]
    assert ok(at.repay(on, application, 1_003_000, "P-3"))["owed"] == 0
    assert rows(on, application) == []
    line = line_of(on, application)
    assert (line["drawn"], line["repaid"], line["outstanding"]) == (L0, L0, 0)


def test_two_loans_are_paid_by_due_day_and_on_one_day_the_older_first() -> None:
    on = at.desk()
    application = at.opened(on)
    for number, due in (("L-2", "2026-03-01"), ("L-3", "2026-02-01"), ("L-4", "2026-03-01")):
        at.loan(on, 100, number)
        ok(at.disburse(on, application, number, schedule=[{"due": due, "principal": 100, "interest": 0}]))
    paid = ok(at.repay(on, application, 150))["allocated"]
    loans = [on.read(CONSORTIUM, "credit", "disbursement", row[1])["loan"][2] for row in paid]
    assert (loans, [row[3] for row in paid]) == (["L-3", "L-2"], [100, 50])


def test_more_than_is_owed_is_refused() -> None:
    on = at.desk()
    application = drawn(on)
    assert at.repay(on, application, 2_015_001).code == "OVER_OWED"
    assert at.repay(
        on, at.opened(on, lender="lender-two", limit=L0 + 5, approved=5), 5, "P-2", "lender-two"
    ).code == ("OVER_OWED")


@pytest.mark.parametrize("amount", ["0", "-5.00", "0.001", "123456789012345678901.00"])
def test_repayment_records_without_a_usable_amount(amount: str) -> None:
    on = at.desk()
    assert at.repay(on, drawn(on), amount).code == "REPAYMENT_DIFFERS"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"currency": "EUR"}, "REPAYMENT_DIFFERS"),
        ({"paid_on": "2025-12-31"}, "PAID_BEFORE_DISBURSEMENT"),
        ({"links": [("loan", BANK, "L-77")]}, "REPAYMENT_DIFFERS"),
        ({"enterprise": "GB-COH:77"}, "REPAYMENT_DIFFERS"),
    ],
)
def test_repayment_records_that_do_not_fit_the_line(changes: dict[str, Any], code: str) -> None:
    on = at.desk()
    assert at.repay(on, drawn(on), 100, **changes).code == code


def test_a_repayment_record_is_taken_once_and_must_be_sealed() -> None:
    on = at.desk()
    application = drawn(on)
    ok(at.repay(on, application, 100, links=[("loan", BANK, "L-1")]))
    args = {"application": application, "repayment": [BANK, "P-1"]}
    assert on.call(CONSORTIUM, "credit.repay", args, [key("lender")]).code == "REPAYMENT_CITED"
    args["repayment"] = [BANK, "P-9"]
    assert on.call(CONSORTIUM, "credit.repay", args, [key("lender")]).code == "REPAYMENT_NOT_SEALED"
    assert on.call(CONSORTIUM, "credit.repay", args, [key("erp")]).code == "ROLE_NOT_ALLOWED"


def test_random_payments_keep_every_unit() -> None:
    chance = Random(3)
    for _ in range(300):
        plan: list[list[Any]] = [
            ["d", n, b"", chance.randrange(50), chance.randrange(1, 9), 0, 0] for n in range(chance.randrange(1, 7))
        ]
        owed = sum(row[3] + row[4] for row in plan)
        left, paid_interest, paid_principal = plan, 0, 0
        while owed:
            amount = chance.randint(1, owed)
            left, paid = allocate(left, amount)
            assert sum(row[2] + row[3] for row in paid) == amount
            paid_interest += sum(row[2] for row in paid)
            paid_principal += sum(row[3] for row in paid)
            owed -= amount
            assert sum(row[3] + row[4] - row[5] - row[6] for row in left) == owed
            # nothing younger is touched while something older is open; principal only once interest is paid
            assert all(row[5] == row[6] == 0 for row in left[1:])
            assert all(row[6] == row[4] for row in left if row[5])
        assert left == []
        assert (paid_interest, paid_principal) == (sum(row[4] for row in plan), sum(row[3] for row in plan))


# overdue ---------------------------------------------------------------------------------------------------------


def test_a_line_is_overdue_when_the_grace_days_after_the_due_day_are_over_and_not_before() -> None:
    on = at.desk()
    application = drawn(on)
    last = START + (31 + 1 + GRACE_DAYS) * DAY  # the end of 2026-02-01, and three days
    assert told(on.next_block(time=last - 1), "overdue") == []
    assert line_of(on, application)["state"] == "open"
    events = on.next_block(time=last)
    (notice,) = told(events, "overdue")
    assert (notice["due"], notice["amount"]) == ("2026-02-01", 1_010_000)
    assert notice["to"] == ["lender", "procurement", "supplier"]
    (alert,) = told(events, "alert")
    assert (alert["rule"], alert["enterprise"]) == ("OVERDUE", "supplier")
    assert line_of(on, application)["state"] == "overdue"
    assert told(on.next_block(), "overdue") == []


def test_the_due_day_ends_in_the_time_zone_of_the_contracts_template() -> None:
    on = at.desk()
    application = at.opened(on)
    line = {**line_of(on, application), "zone": 480}  # eight hours east: the day ends eight hours earlier
    on.seed(CONSORTIUM, "credit", "line", application, value=line)
    ok(at.disburse(on, application, schedule=HALVES))
    last = START + (31 + 1 + GRACE_DAYS) * DAY - 8 * 3_600_000
    on.next_block(time=last - 1)
    assert line_of(on, application)["state"] == "open"
    on.next_block(time=last)
    assert line_of(on, application)["state"] == "overdue"


def test_nothing_more_is_lent_while_overdue_and_payment_brings_it_in_order() -> None:
    on = at.desk()
    application = at.opened(on)
    at.loan(on, 1_000_000, "L-2")
    ok(at.disburse(on, application, "L-2", schedule=[{"due": "2026-01-05", "principal": 1_000_000, "interest": 7}]))
    on.next_block(time=days(9))
    assert line_of(on, application)["state"] == "overdue"
    at.loan(on, 1_000, "L-3")
    assert at.disburse(on, application, "L-3").code == "LINE_OVERDUE"
    assert at.extend(on, application, 1_000, "L-3").code == "LINE_OVERDUE"
    receipt = at.repay(on, application, 999_999)
    assert (ok(receipt)["state"], told(receipt.events, "in_order")) == ("overdue", [])
    receipt = at.repay(on, application, 8, "P-2")
    assert ok(receipt)["state"] == "open"
    assert told(receipt.events, "in_order")[0]["owed"] == 0
    ok(at.disburse(on, application, "L-3"))


def test_a_line_stays_overdue_until_every_missed_instalment_is_paid() -> None:
    on = at.desk()
    application = drawn(on)
    events = on.next_block(time=days(70))
    assert [row["due"] for row in told(events, "overdue")] == ["2026-02-01", "2026-03-01"]
    assert ok(at.repay(on, application, 1_010_000))["state"] == "overdue"
    assert ok(at.repay(on, application, 1_005_000, "P-2"))["state"] == "open"
    assert judge(on) == []


def test_an_instalment_paid_in_time_is_never_overdue_and_the_next_one_still_is() -> None:
    on = at.desk()
    application = drawn(on)
    on.next_block(time=days(20))
    ok(at.repay(on, application, 1_010_000))
    assert told(on.next_block(time=days(40)), "overdue") == []
    assert [row["due"] for row in told(on.next_block(time=days(64)), "overdue")] == ["2026-03-01"]


def test_a_loan_that_is_overdue_before_the_hook_comes_round_to_it_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.repayments.DUE_PER_BLOCK", 0)
    on = at.desk()
    application = at.opened(on)
    at.loan(on, 500, "L-2")
    ok(at.disburse(on, application, "L-2", schedule=[{"due": "2026-01-05", "principal": 500, "interest": 0}]))
    on.next_block(time=days(9))
    assert line_of(on, application)["state"] == "open"
    at.loan(on, 500, "L-3")
    assert at.disburse(on, application, "L-3").code == "LINE_OVERDUE"


def test_more_missed_instalments_than_a_block_may_tell_are_told_in_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("contracts.repayments.TOLD_PER_BLOCK", 2)
    on = at.desk()
    application = at.opened(on)
    parts = [{"due": f"2026-01-{day:02d}", "principal": L0 // 5, "interest": 0} for day in range(2, 7)]
    ok(at.disburse(on, application, schedule=parts))
    seen = [len(told(on.next_block(time=days(20) + n), "overdue")) for n in range(4)]
    assert seen == [2, 2, 1, 0]
    assert line_of(on, application)["state"] == "overdue"


def test_deadlines_come_out_in_order_whatever_order_they_went_in() -> None:
    chance = Random(5)
    on = trading.ledger()
    context = MemoryContext(on, CONSORTIUM, "credit")
    waiting: list[tuple[int, bytes]] = []
    for step in range(400):
        if chance.random() < 0.6:
            entry = (chance.randrange(50), bytes([step % 256]))
            waiting.append(entry)
            deadlines.put(context, *entry)
            continue
        now = chance.randrange(60)
        expected = min(waiting, default=(99, b""))
        taken = deadlines.take_due(context, now)
        if expected[0] <= now:
            assert taken == expected[1]
            waiting.remove(expected)
        else:
            assert taken is None
    while waiting:
        assert deadlines.take_due(context, 50) == min(waiting)[1]
        waiting.remove(min(waiting))
    assert deadlines.take_due(context, 50) is None
    assert context.get("deadlines") is None
