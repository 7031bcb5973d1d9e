"""The limitation period of deeds: two years, told before the end, interrupted, and no certificate after it."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.enforceable_limitation import Limitation, of, years_after
from tests.contracts import lending_desk as at
from tests.contracts import notary_desk as desk
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext
from tests.contracts.notary_desk import deed_of, do, kept
from tests.contracts.trading import ok


def period(on: Ledger, deed: bytes) -> Limitation:
    return of(MemoryContext(on, CONSORTIUM, "notary"), deed_of(on, deed))


def told_on(on: Ledger, days: list[str]) -> list[tuple[str, str, str]]:
    """(day, notice, its last day) of the limitation's notices while the blocks of these days go by."""
    found = []
    for day in days:
        for name, data in desk.to_day(on, day):
            if name.startswith("limitation_"):
                found.append((day, name, data["last_day"]))
    return found


@pytest.mark.parametrize(
    ("day", "end"),
    [
        ("2026-03-01", "2028-03-01"),
        ("2024-02-29", "2026-02-28"),
        ("2026-02-28", "2028-02-28"),
        ("2098-02-28", "2100-02-28"),
        ("2098-12-31", "2100-12-31"),
        ("9997-12-31", "9999-12-31"),
        ("9998-01-01", "9999-12-31"),
        ("9999-12-31", "9999-12-31"),
    ],
)
def test_two_years_by_the_calendar(day: str, end: str) -> None:
    assert years_after(day) == end


def test_it_runs_from_the_last_instalment() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    assert period(on, deed)[:3] == ("2026-03-01", "due", "2028-03-01")
    assert period(on, deed).ends == 1_835_568_000_000  # 2028-03-02T00:00:00Z


def test_it_does_not_run_before_anything_is_lent() -> None:
    on = desk.desk()
    application = at.opened(on)
    deed = desk.notarized(on, application=application)
    assert period(on, deed) == ("", "due", "", 0)
    assert do(on, "demand", "lender", deed=deed, on=at.day_of(on), text="pay").code == "NOTHING_LENT"
    ok(at.disburse(on, application, schedule=desk.HALVES))
    days = ["2027-10-10", "2027-12-01", "2027-12-04", "2028-03-01", "2028-03-02", "2028-04-01"]
    assert told_on(on, days) == [
        ("2027-12-04", "limitation_near", "2028-03-01"),
        ("2028-03-02", "limitation_passed", "2028-03-01"),
    ]


def test_what_is_due_at_the_calendar_s_end_stops_no_block() -> None:
    on = desk.desk()
    application = desk.lent(on, [{**desk.HALVES[0]}, {**desk.HALVES[1], "due": "9999-12-30"}])
    deed = desk.notarized(on, application=application)
    assert period(on, deed)[:3] == ("9999-12-30", "due", "9999-12-31")
    assert told_on(on, ["2027-12-04", "2029-12-04"]) == []


def test_an_earlier_demand_told_later_changes_nothing() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, "2027-06-01")
    ok(do(on, "demand", "lender", deed=deed, on="2027-05-01", text="pay"))
    assert ok(do(on, "demand", "lender", deed=deed, on="2027-04-01", text="pay"))["last_day"] == "2029-05-01"
    assert kept(on, "demand", deed, 1)["on"] == "2027-04-01"


def test_it_is_told_once_90_days_before_and_once_at_the_end() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    days = ["2027-12-02", "2027-12-03", "2027-12-04", "2028-02-01", "2028-03-01", "2028-03-02", "2028-03-03"]
    assert told_on(on, days) == [
        ("2027-12-03", "limitation_near", "2028-03-01"),
        ("2028-03-02", "limitation_passed", "2028-03-01"),
    ]
    assert do(on, "demand", "lender", deed=deed, on="2028-02-28", text="pay").code == "LIMITATION_PASSED"
    assert do(on, "claim_default", "lender", **desk.claim_args(on, deed)).code == "LIMITATION_PASSED"


def test_a_demand_starts_it_anew_from_the_day_of_the_demand() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, "2028-02-20")
    result = ok(do(on, "demand", "lender", deed=deed, on="2028-02-10", text="pay at last", evidence=b"e" * 32))
    assert result == {"number": 0, "last_day": "2030-02-10"}
    assert period(on, deed)[:3] == ("2028-02-10", "demand", "2030-02-10")
    assert told_on(on, ["2028-03-02", "2029-11-01", "2029-11-20", "2030-02-11"]) == [
        ("2029-11-20", "limitation_near", "2030-02-10"),
        ("2030-02-11", "limitation_passed", "2030-02-10"),
    ]


def test_a_demand_before_the_last_instalment_shortens_nothing() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, "2026-02-10")
    assert ok(do(on, "demand", "lender", deed=deed, on="2026-02-10", text="pay"))["last_day"] == "2028-03-01"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"on": "2026-02-11"}, "DATE_IN_FUTURE"),
        ({"on": "2026-2-1"}, "WRONG_ARGUMENT"),
        ({"text": ""}, "WRONG_ARGUMENT"),
        ({"evidence": b"hash"}, "WRONG_ARGUMENT"),
    ],
)
def test_wrong_demands(changes: dict[str, Any], code: str) -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, "2026-02-10")
    args = {"deed": deed, "on": "2026-02-10", "text": "pay", **changes}
    assert do(on, "demand", "lender", **args).code == code


def test_the_application_to_the_notary_interrupts_it() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, "2027-06-01")
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))
    assert period(on, deed)[:3] == ("2027-06-01", "claim", "2029-06-01")


def test_what_is_called_in_is_due_that_day() -> None:
    late = [{**desk.HALVES[0]}, {**desk.HALVES[1], "due": "2028-03-01"}]
    on = desk.desk()
    application = desk.lent(on, late)
    deed = desk.notarized(on, application=application)
    assert period(on, deed).last_day == "2030-03-01"
    desk.to_day(on, "2026-02-10")
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed, accelerate=True)))
    assert period(on, deed)[:3] == ("2026-02-10", "claim", "2028-02-10")
    assert told_on(on, ["2027-11-01", "2027-11-20", "2028-02-11"]) == [
        ("2027-11-20", "limitation_near", "2028-02-10"),
        ("2028-02-11", "limitation_passed", "2028-02-10"),
    ]


def test_no_certificate_after_it() -> None:
    on = desk.desk()
    deed = desk.verified(on)
    desk.to_day(on, "2028-03-03")
    assert do(on, "issue", "office", **desk.issue_args(on, deed)).code == "LIMITATION_PASSED"


@pytest.mark.parametrize(("state", "times"), [("opened", 1), ("filed", 0), ("accepted", 0), ("rejected", 1)])
def test_nobody_is_told_once_enforcement_was_applied_for(state: str, times: int) -> None:
    on = desk.desk()
    deed = desk.certified(on)
    desk.filed(on, deed, state=state)
    assert len(told_on(on, ["2027-12-05"])) == times


def test_nobody_is_told_of_what_is_paid_or_ended() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, "2026-03-02")
    ok(at.repay(on, deed_of(on, deed)["application"], 2_015_000))
    assert told_on(on, ["2027-12-05", "2028-03-02", "2029-12-05"]) == []
    other = desk.desk()
    desk.revoked(other)
    assert told_on(other, ["2027-12-05", "2028-03-02"]) == []
