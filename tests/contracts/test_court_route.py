"""The route follows from the deed's state, the respondents, and the time: A with a certificate that stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contracts import court_route
from contracts.court_route import Route
from contracts.enforceable_deed import STATES
from contracts.errors import ContractError
from tests.contracts import court_desk as at
from tests.contracts import lending_desk as lending
from tests.contracts import notary_desk as notary
from tests.contracts.court_desk import case_of, do
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, key
from tests.contracts.trading import ok

# What each state of the newest deed means; every state has a row.
ROUTES: dict[str, tuple[str, str]] = {
    "draft": ("B", "DEED_NOT_ENFORCEABLE"),
    "consented": ("B", "DEED_NOT_ENFORCEABLE"),
    "notarized": ("A", "CERTIFICATE_FIRST"),
    "claimed": ("A", "CERTIFICATE_FIRST"),
    "verified": ("A", "CERTIFICATE_FIRST"),
    "certified": ("A", "CERTIFICATE_STANDS"),
    "refused": ("B", "CERTIFICATE_REFUSED"),
    "executed": ("B", "DEED_EXECUTED"),
    "revoked": ("B", "DEED_REVOKED"),
}


@pytest.fixture
def on() -> Ledger:
    return at.desk()


def route(on: Ledger, application: bytes, respondents: Sequence[str] | None = None) -> Route:
    return court_route.route(MemoryContext(on, CONSORTIUM, "court"), application, respondents)


def test_every_state_of_a_deed_has_a_route() -> None:
    assert tuple(ROUTES) == STATES


@pytest.mark.parametrize("state", STATES)
def test_the_route_of_a_deed_in_each_state(on: Ledger, state: str) -> None:
    deed = notary.REACH[state](on)
    found = route(on, lending.only_line(on))
    assert (found.letter, found.reasons[0][0]) == ROUTES[state]
    assert found.deed == deed
    assert found.certificate == (notary.kept(on, "certificate", deed)["id"] if state == "certified" else b"")
    assert found.open_now is (found.reasons[0][0] != "CERTIFICATE_FIRST")
    bound = {"aunt", "guarantor", "supplier"} if state != "draft" else {"supplier"}
    assert set(found.respondents) == bound


def test_without_a_deed_it_is_a_suit_against_the_debtor(on: Ledger) -> None:
    found = route(on, at.overdue(on))
    assert (found.letter, found.reasons[0][0], found.deed, found.respondents) == ("B", "NO_DEED", b"", ("supplier",))


def test_while_the_notary_has_issued_nothing_there_is_no_case(on: Ledger) -> None:
    notary.claimed(on)
    receipt = do(on, "open", "lender", application=lending.only_line(on))
    assert (receipt.code, "notary.claim_default" in receipt.message) == ("CERTIFICATE_FIRST", True)


@pytest.mark.parametrize("state", ["notarized", "claimed", "verified"])
def test_where_no_certificate_can_be_issued_any_more_the_way_is_a_suit(on: Ledger, state: str) -> None:
    deed = notary.REACH[state](on)
    application = lending.only_line(on)
    notary.to_day(on, "2028-03-01")
    assert route(on, application).reasons[0][0] == "CERTIFICATE_FIRST"
    notary.to_day(on, "2028-03-02")
    found = route(on, application)
    assert (found.letter, found.reasons[0][0], found.deed) == ("B", "LIMITATION_PASSED", deed)
    assert "2028-03-01" in found.reasons[0][1]
    assert found.respondents == ("aunt", "guarantor", "supplier")
    ok(do(on, "open", "lender", application=application))


def test_the_newest_deed_decides(on: Ledger) -> None:
    deed = notary.revoked(on)
    application = lending.only_line(on)
    notary.drafted(on, application)
    assert route(on, application).reasons[0][0] == "DEED_NOT_ENFORCEABLE"
    assert route(on, application).deed != deed


def test_past_two_years_it_is_a_suit_and_enforcement_is_not_filed(on: Ledger) -> None:
    application = at.certified(on)
    case = at.opened(on, application)
    at.readable(on)
    last = notary.kept(on, "certificate", notary.only_deed(on))["apply_by"]
    notary.to_day(on, last)
    assert route(on, application).reasons[0][0] == "CERTIFICATE_STANDS"
    on.next_block(after_ms=86_400_000)
    found = route(on, application)
    assert (found.letter, found.reasons[0][0]) == ("B", "LIMITATION_PASSED")
    assert last in found.reasons[0][1]
    receipt = do(on, "file", "lender", **at.filing(case))
    assert (receipt.code, "LIMITATION_PASSED" in receipt.message) == ("ROUTE_CHANGED", True)


def test_a_demand_in_time_keeps_the_way_of_enforcement(on: Ledger) -> None:
    application = at.certified(on)
    last = notary.kept(on, "certificate", notary.only_deed(on))["apply_by"]
    notary.to_day(on, last)
    ok(notary.do(on, "demand", "lender", deed=notary.only_deed(on), on=last, text="pay"))
    on.next_block(after_ms=86_400_000)
    assert route(on, application).letter == "A"


def test_a_case_filed_in_time_keeps_its_way_however_long_the_court_takes(on: Ledger) -> None:
    case = at.asked(on)
    application = case_of(on, case)["application"]
    last = notary.kept(on, "certificate", notary.only_deed(on))["apply_by"]
    notary.to_day(on, last)
    on.next_block(after_ms=400 * 86_400_000)
    assert route(on, application).letter == "A"
    ok(do(on, "supplement", "lender", case=case, bundle=at.SUPPLEMENT, size=1))


def test_a_case_filed_in_time_starts_the_two_years_anew(on: Ledger) -> None:
    last = "2028-03-01"  # two years from the last instalment's day
    case = at.opened(on)
    application = case_of(on, case)["application"]
    assert notary.kept(on, "certificate", notary.only_deed(on))["apply_by"] == last
    at.readable(on)
    notary.to_day(on, "2028-02-10")
    ok(do(on, "file", "lender", **at.filing(case)))
    at.enter(on, case, "1")
    ok(do(on, "acknowledge", "court", case=case, bundle=at.BUNDLE, record="1"))
    ok(do(on, "reject", "court", case=case, code="NOT_COMPETENT", text="elsewhere"))
    notary.to_day(on, "2030-02-10")
    assert (route(on, application).letter, "2030-02-10" in route(on, application).reasons[0][1]) == ("A", True)
    notary.to_day(on, "2030-02-11")
    assert route(on, application).reasons[0][0] == "LIMITATION_PASSED"


def test_a_case_filed_too_late_starts_nothing(on: Ledger) -> None:
    case = at.opened(on)
    application = case_of(on, case)["application"]
    notary.to_day(on, "2028-03-02")
    late = {**case_of(on, case), "filings": [{"time": on.time}]}
    on.seed(CONSORTIUM, "court", "case", case, value=late)
    assert route(on, application).reasons[0][0] == "LIMITATION_PASSED"


def test_who_is_not_covered_is_sued_and_the_others_are_not(on: Ledger) -> None:
    deed = notary.verified(on)
    args = notary.issue_args(on, deed, respondents=[["party", "supplier"], ["party", "aunt"]])
    ok(notary.do(on, "issue", "office", **args))
    application = lending.only_line(on)
    assert route(on, application).respondents == ("aunt", "supplier")
    assert route(on, application, ["supplier"]).respondents == ("supplier",)
    found = route(on, application, ["guarantor", "supplier"])
    assert (found.letter, found.reasons[0][0], found.respondents) == ("B", "NOT_COVERED", ("guarantor",))
    both = [at.opened(on, application), at.opened(on, application, respondents=["guarantor"])]
    assert [case_of(on, case)["route"] for case in both] == ["A", "B"]


def test_whom_an_enforceable_deed_does_not_bind_is_sued_at_once(on: Ledger) -> None:
    notary.claimed(on)
    found = route(on, lending.only_line(on), ["buyer", "supplier"])
    assert (found.letter, found.reasons[0][0], found.respondents) == ("B", "NOT_COVERED", ("buyer",))


def test_a_paid_debt_is_no_case_though_the_certificate_stands(on: Ledger) -> None:
    deed = notary.notarized(on, terms={**notary.TERMS, "penalty_bp": 0, "compound_bp": 0})
    notary.to_day(on, notary.DEFAULT_DAY)
    ok(notary.do(on, "claim_default", "lender", **notary.claim_args(on, deed)))
    notary.to_day(on, "2026-02-16")
    ok(notary.do(on, "verify_performance", "office", **notary.verify_args(on, deed)))
    ok(notary.do(on, "issue", "office", **notary.issue_args(on, deed)))
    application = lending.only_line(on)
    rows = on.read(CONSORTIUM, "credit", "schedule", application)
    owed = sum(row[3] + row[4] - row[5] - row[6] for row in rows)
    ok(lending.repay(on, application, owed))
    assert do(on, "open", "lender", application=application).code == "NOTHING_OWED"


@pytest.mark.parametrize(
    ("respondents", "code"),
    [
        (["nobody"], "UNKNOWN_RESPONDENT"),
        ([], "WRONG_ARGUMENT"),
        (["supplier", "supplier"], "WRONG_ARGUMENT"),
        ("supplier", "WRONG_ARGUMENT"),
        ([key("supplier")], "WRONG_ARGUMENT"),
    ],
)
def test_respondents_are_parties_or_members_each_once(on: Ledger, respondents: Any, code: str) -> None:
    application = at.certified(on)
    assert do(on, "open", "lender", application=application, respondents=respondents).code == code


def test_an_application_that_is_not_there_has_no_route(on: Ledger) -> None:
    with pytest.raises(ContractError, match="no application") as found:
        route(on, bytes(32))
    assert found.value.code == "UNKNOWN_APPLICATION"
