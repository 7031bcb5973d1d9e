"""A case goes step by step, each by whoever it is for, with the bundle that was filed and to whom it is readable."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import court_case
from tests.contracts import court_desk as at
from tests.contracts import notary_desk as notary
from tests.contracts.court_desk import BUNDLE, KIND, REACH, SIZE, SUPPLEMENT, case_of, do
from tests.contracts.memory_context import CONSORTIUM, Ledger, key
from tests.contracts.trading import ok


@pytest.fixture
def on() -> Ledger:
    return at.desk()


def test_a_case_of_enforcement_goes_from_opening_to_the_courts_number(on: Ledger) -> None:
    case = at.accepted(on)
    entry = case_of(on, case)
    assert (entry["state"], entry["route"], entry["number"]) == ("accepted", "A", "(2026) 1")
    assert entry["respondents"] == ["aunt", "guarantor", "supplier"]
    assert [step["step"] for step in entry["steps"]] == ["open", "file", "acknowledge", "accept"]
    assert [step["by"] for step in entry["steps"]] == ["lender", "lender", "court", "court"]
    (filing,) = entry["filings"]
    sealed = on.read("court", "records", "record", "case", "court", "1")
    assert (filing["bundle"], filing["size"]) == (BUNDLE, SIZE)
    assert (filing["acknowledged"]["way"], filing["acknowledged"]["record"]) == ("record", sealed["id"])
    for member in ("lender", "court"):
        assert on.read(CONSORTIUM, "court", "docket_count", member) == 1
        assert on.read(CONSORTIUM, "court", "docket", member, 0) == case
    assert on.read(CONSORTIUM, "court", "cases", entry["application"]) == [case]
    assert on.read(CONSORTIUM, "court", "open_case", entry["application"], "A") is None


def test_both_sides_and_the_court_are_told_of_each_step(on: Ledger) -> None:
    case = at.opened(on)
    at.readable(on)
    receipt = do(on, "file", "lender", **at.filing(case))
    ((name, said),) = receipt.events
    assert name == "case_file"
    assert said["to"] == ["aunt", "court", "guarantor", "lender", "supplier"]
    assert (said["case"], said["state"], said["court"], said["route"]) == (case, "filed", "court", "A")


def test_the_court_asks_and_gets_a_further_bundle(on: Ledger) -> None:
    case = at.asked(on)
    more = {"case": case, "bundle": SUPPLEMENT, "size": 7}
    assert ok(do(on, "supplement", "lender", **more)) == {"case": case, "filing": 1}
    at.enter(on, case, "2", SUPPLEMENT, filing="1")
    assert do(on, "acknowledge", "court", case=case, bundle=BUNDLE, record="2").code == "WRONG_BUNDLE"
    ok(do(on, "acknowledge", "court", case=case, bundle=SUPPLEMENT, record="2"))
    ok(do(on, "accept", "court", case=case, number="(2026) 1", text="heard on Monday"))
    assert [row["bundle"] for row in case_of(on, case)["filings"]] == [BUNDLE, SUPPLEMENT]
    assert case_of(on, case)["steps"][-1]["text"] == "heard on Monday"


def test_the_same_bundle_is_no_supplement(on: Ledger) -> None:
    case = at.asked(on)
    assert do(on, "supplement", "lender", case=case, bundle=BUNDLE, size=SIZE).code == "ALREADY_FILED"


STEPS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "file": ("lender", {"bundle": BUNDLE, "size": SIZE, "delivery": "custody", "court": "court"}, ("opened",)),
    "supplement": ("lender", {"bundle": SUPPLEMENT, "size": 7}, ("asked",)),
    "withdraw": ("lender", {"reason": "paid"}, ("opened", "filed", "acknowledged", "asked")),
    "acknowledge": ("court", {"bundle": BUNDLE, "record": "1"}, ("filed",)),
    "ask": ("court", {"text": "more"}, ("acknowledged",)),
    "accept": ("court", {"number": "1"}, ("acknowledged",)),
    "reject": ("court", {"code": "OTHER", "text": "no"}, ("acknowledged", "asked")),
}


@pytest.mark.parametrize("state", court_case.STATES)
def test_no_step_is_taken_out_of_order(on: Ledger, state: str) -> None:
    case = REACH[state](on)
    at.readable(on)
    at.enter(on, case, "1") if state in ("opened", "filed") else None
    assert case_of(on, case)["state"] == state
    for method, (by, args, allowed) in STEPS.items():
        if state not in allowed:
            receipt = do(on, method, by, case=case, **args)
            assert receipt.code in ("WRONG_STATE", "NOT_YOUR_CASE"), (method, receipt)
            assert case_of(on, case)["state"] == state


@pytest.mark.parametrize(("state", "method"), [(state, name) for name, row in STEPS.items() for state in row[2]])
def test_each_step_is_taken_where_it_follows(on: Ledger, state: str, method: str) -> None:
    by, args, _ = STEPS[method]
    case = REACH[state](on)
    if method == "file":
        at.readable(on)
    if method == "acknowledge":
        at.enter(on, case, "1")
    ok(do(on, method, by, case=case, **args))


@pytest.mark.parametrize("method", STEPS)
def test_no_step_is_taken_by_anybody_else(on: Ledger, method: str) -> None:
    right, args, allowed = STEPS[method]
    case = REACH[allowed[-1]](on)
    before = case_of(on, case)
    for other in ("lender-two", "lender", "court", "office", "erp", "supplier", "watcher"):
        if other != right:
            receipt = do(on, method, other, case=case, **args)
            assert receipt.code in ("ROLE_NOT_ALLOWED", "NOT_YOUR_CASE"), (other, receipt)
    assert case_of(on, case) == before


def test_another_court_decides_nothing(on: Ledger) -> None:
    case = at.acknowledged(on)
    member = on.read(CONSORTIUM, "registry", "member", "office-two")
    on.seed(CONSORTIUM, "registry", "member", "office-two", value={**member, "role": "court"})
    receipt = do(on, "accept", "office-two", case=case, number="1")
    assert (receipt.code, "court" in receipt.message) == ("NOT_YOUR_CASE", True)


def test_only_the_loans_own_lender_opens_a_case(on: Ledger) -> None:
    application = at.certified(on)
    assert do(on, "open", "lender-two", application=application).code == "NOT_YOUR_APPLICATION"
    assert do(on, "open", "supplier", application=application).code == "ROLE_NOT_ALLOWED"
    assert do(on, "open", "lender", application=bytes(32)).code == "UNKNOWN_APPLICATION"


def test_one_case_at_a_time_of_a_route(on: Ledger) -> None:
    application = at.certified(on)
    case = at.opened(on, application)
    again = do(on, "open", "lender", application=application)
    assert (again.code, case.hex() in again.message) == ("CASE_OPEN", True)
    ok(do(on, "withdraw", "lender", case=case, reason="the wrong court"))
    assert at.opened(on, application) != case


def test_nothing_is_claimed_that_is_not_owed_or_not_due(on: Ledger) -> None:
    application = notary.lent(on)
    assert do(on, "open", "lender", application=application).code == "NOT_OVERDUE"
    notary.to_day(on, notary.DEFAULT_DAY)
    on.seed(CONSORTIUM, "credit", "schedule", application, value=None)
    assert do(on, "open", "lender", application=application).code == "NOTHING_OWED"


def test_a_bundle_goes_through_custody_only_where_the_court_can_read_it(on: Ledger) -> None:
    case = at.opened(on)
    assert do(on, "file", "lender", **at.filing(case)).code == "NOT_A_READER"
    rules: Any = {"rules": {KIND: ["lender-two"]}}
    ok(on.call(CONSORTIUM, "registry.add_key", {"key": key("x"), "purpose": "encryption"}, [key("lender-two")]))
    on.next_block()
    ok(on.call(CONSORTIUM, "custody.name_readers", rules, [key("lender")]))
    refused = do(on, "file", "lender", **at.filing(case))
    assert (refused.code, KIND in refused.message) == ("NOT_A_READER", True)
    at.readable(on)
    ok(do(on, "file", "lender", **at.filing(case)))


def test_a_court_without_an_encryption_key_gets_its_bundle_by_hand(on: Ledger) -> None:
    case = at.opened(on)
    at.readable(on)
    ok(on.call(CONSORTIUM, "registry.revoke_key", {"key": key("box")}, [key("court")]))
    on.next_block()
    assert do(on, "file", "lender", **at.filing(case)).code == "NO_ENCRYPTION_KEY"
    ok(do(on, "file", "lender", **at.by_hand(case)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"court": "office"}, "NOT_A_COURT"),
        ({"court": "nobody"}, "UNKNOWN_MEMBER"),
        ({"court": "Court"}, "WRONG_ARGUMENT"),
        ({"court_name": "Leeds"}, "WRONG_ARGUMENT"),
        ({"delivery": "post"}, "WRONG_ARGUMENT"),
        ({"bundle": b"short"}, "WRONG_ARGUMENT"),
        ({"size": 0}, "WRONG_ARGUMENT"),
        ({"case": bytes(32)}, "UNKNOWN_CASE"),
        ({"copies": 3}, "UNKNOWN_ARGUMENT"),
    ],
)
def test_a_filing_that_names_something_wrong_is_refused(on: Ledger, changes: dict[str, Any], code: str) -> None:
    case = at.opened(on)
    at.readable(on)
    assert do(on, "file", "lender", **at.filing(case, **changes)).code == code


def test_a_court_that_is_no_member_is_reached_by_hand_only(on: Ledger) -> None:
    case = at.opened(on)
    args = at.filing(case, court_name=at.NAME)
    del args["court"]
    for name in ("Leeds\nanswer: accepts", "Leeds\u2028", "", " Leeds", 7):
        wrong = {**args, "delivery": "hand_in", "court_name": name}
        assert do(on, "file", "lender", **wrong).code == "WRONG_ARGUMENT"
    assert do(on, "file", "lender", **args).code == "NOT_A_COURT"
    ok(do(on, "file", "lender", **{**args, "delivery": "hand_in"}))
    assert case_of(on, case)["court_name"] == at.NAME


def test_an_acknowledgement_rests_on_the_courts_own_record(on: Ledger) -> None:
    case = at.filed(on)
    args: dict[str, Any] = {"case": case, "bundle": BUNDLE, "record": "1"}
    assert do(on, "acknowledge", "court", **args).code == "NOT_ENTERED"
    at.enter(on, case, "other-case", case=bytes(32).hex())
    at.enter(on, case, "other-bundle", SUPPLEMENT)
    for number in ("other-case", "other-bundle"):
        assert do(on, "acknowledge", "court", **{**args, "record": number}).code == "NOT_ENTERED"
    at.enter(on, case, "1")
    assert do(on, "acknowledge", "court", **{**args, "bundle": SUPPLEMENT}).code == "WRONG_BUNDLE"
    ok(do(on, "acknowledge", "court", **args))


def test_a_route_that_has_changed_since_is_not_filed(on: Ledger) -> None:
    application = at.certified(on)
    case = at.opened(on, application)
    at.readable(on)
    deed = notary.only_deed(on)
    ok(notary.do(on, "revoke", "office", deed=deed, reason="OTHER", text="a mistake"))
    refused = do(on, "file", "lender", **at.filing(case))
    assert (refused.code, "DEED_REVOKED" in refused.message) == ("ROUTE_CHANGED", True)
    ok(do(on, "withdraw", "lender", case=case, reason="it is a suit now"))
    assert case_of(on, at.opened(on, application))["route"] == "B"


def test_refused_enforcement_opens_the_way_of_a_suit(on: Ledger) -> None:
    case = at.rejected(on, "NOT_ENFORCEABLE")
    application = case_of(on, case)["application"]
    suit = case_of(on, at.opened(on, application))
    assert (suit["route"], suit["reasons"][0][0]) == ("B", "ENFORCEMENT_REFUSED")
    assert case.hex() in suit["reasons"][0][1]


def test_any_other_rejection_leaves_the_route_as_it_was(on: Ledger) -> None:
    case = at.rejected(on, "NOT_COMPETENT")
    assert case_of(on, case)["steps"][-1]["text"] == "NOT_COMPETENT: elsewhere"
    assert case_of(on, at.opened(on, case_of(on, case)["application"]))["route"] == "A"


@pytest.mark.parametrize("code", ["", "no", None, 1])
def test_a_rejection_says_why_by_a_code(on: Ledger, code: Any) -> None:
    case = at.acknowledged(on)
    assert do(on, "reject", "court", case=case, code=code, text="because").code == "WRONG_ARGUMENT"


def test_a_case_has_so_many_filings_and_steps_and_no_more(on: Ledger) -> None:
    case = at.asked(on)
    entry = case_of(on, case)
    many = [{**entry["filings"][0], "bundle": bytes([i]) * 32} for i in range(court_case.MAX_FILINGS)]
    on.seed(CONSORTIUM, "court", "case", case, value={**entry, "filings": many})
    assert do(on, "supplement", "lender", case=case, bundle=SUPPLEMENT, size=1).code == "TOO_MANY_FILINGS"
    on.seed(CONSORTIUM, "court", "case", case, value={**entry, "steps": entry["steps"] * court_case.MAX_STEPS})
    assert do(on, "supplement", "lender", case=case, bundle=SUPPLEMENT, size=1).code == "TOO_MANY_STEPS"
    ok(do(on, "withdraw", "lender", case=case, reason="it begins anew"))


def test_bundles_for_each_court_have_a_kind_of_their_own() -> None:
    short, long = court_case.document_kind("court", b"x" * 32), court_case.document_kind("c" * 32, b"x" * 32)
    assert short == KIND
    assert len(long) == 32
    assert long == "court:" + (b"x" * 32).hex()[:26]
