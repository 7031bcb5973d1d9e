"""Enforceable notarization by the rules' text: no step out of order, none by the wrong party, none on a wrong ground.

公证程序规则 art. 39 and 55, 法释〔2018〕18号, as DOMAIN.md gives them. Each table is a row of the rules.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from contracts.access import METHOD_ROLES
from contracts.enforceable_deed import CONTENT, STATES
from tests.contracts import lending_desk as at
from tests.contracts import notary_desk as desk
from tests.contracts.memory_context import CONSORTIUM, NETWORK_ID, Ledger, Receipt, key
from tests.contracts.notary_desk import deed_of, do, kept
from tests.contracts.trading import ok

NOTARY_METHODS = sorted(name for name in METHOD_ROLES if name.startswith("notary.") and name != "notary.preserve")


@cache
def standing(state: str) -> tuple[Ledger, bytes]:
    """A ledger with a deed in a state: for calls that fail, which leave no trace."""
    on = desk.desk()
    deed = desk.REACH[state](on)
    desk.filed(on, deed)
    return on, deed


def attempt(on: Ledger, deed: bytes, method: str, by: str, /, **changes: Any) -> Receipt:
    """A call whose arguments are right for the deed as it stands, as far as they can be."""
    entry = deed_of(on, deed)
    today = at.day_of(on)
    base: dict[str, dict[str, Any]] = {
        "draft": desk.drafted_args(entry["application"]),
        "consent": {"deed": deed, "digest": entry["digest"], "enforcement": True, "verification": True},
        "countersign": {"deed": deed, "digest": entry["digest"], "number": "N-9"},
        "demand": {"deed": deed, "on": today, "text": "pay"},
        "claim_default": desk.claim_args(on, deed),
        "answer": {"deed": deed, "admits": True, "text": "so it is"},
        "refuse": {"deed": deed, "reason": "OTHER", "text": "for another reason"},
        "executed": {"deed": deed, "amount": 0, "on": today, "reference": "(2026) 2"},
        "revoke": {"deed": deed, "reason": "OTHER", "text": "for another reason"},
    }
    if method == "verify_performance":
        base[method] = {"deed": deed, "outcome": "paid", "record": desk.RECORD, "text": "t", "objections": []}
        base[method]["contacts"] = [] if not entry["claims"] else desk.verify_args(on, deed)["contacts"]
    if method == "issue":
        base[method] = {"deed": deed, "number": "N-8", "as_of": today, "respondents": [["party", "supplier"]]}
        base[method] |= {"costs": [], "amounts": {}}
    return do(on, method, by, **{**base[method], **changes})


# the whole way ---------------------------------------------------------------------------------------------------


def test_from_draft_to_an_executed_certificate() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    entry = deed_of(on, deed)
    assert entry["state"] == "notarized"
    assert entry["consents"] == [
        ["member", "guarantor"],
        ["member", "lender"],
        ["party", "aunt"],
        ["party", "supplier"],
    ]
    desk.to_day(on, "2026-02-10")
    costs = [{"code": "lawyer", "text": "lawyer's fee", "amount": 3_000}]
    claimed = do(on, "claim_default", "lender", **desk.claim_args(on, deed, costs=costs))
    # 9 days: 1 000 000 at 3 bp a day is 2 700; 10 000 at 2 bp a day is 18
    parts = {"principal": 1_000_000, "interest": 10_000, "penalty": 2_700, "compound": 18, "costs": 3_000}
    assert ok(claimed) == {"claim": 1, **parts, "total": 1_015_718, "daily": 302}
    desk.to_day(on, "2026-02-16")
    ok(do(on, "verify_performance", "office", **desk.verify_args(on, deed)))
    # 15 days: 4 500 and 30; half of the lawyer's fee is allowed
    allowed = [{"code": "lawyer", "text": "lawyer's fee", "amount": 1_500}]
    amounts = {"principal": 1_000_000, "interest": 10_000, "penalty": 4_500, "compound": 30, "costs": 1_500}
    amounts |= {"total": 1_016_030}
    args = desk.issue_args(on, deed, costs=allowed, amounts=amounts)
    issued = ok(do(on, "issue", "office", **args))
    assert (issued["total"], issued["daily"], issued["apply_by"]) == (1_016_030, 302, "2028-03-01")
    certificate = kept(on, "certificate", deed)
    assert certificate["applicant"] == "lender"
    assert certificate["respondents"] == [
        {"owner": "party", "id": "supplier", "kind": "debtor", "covers": None, "amount": 1_016_030},
        {"owner": "member", "id": "guarantor", "kind": "general", "covers": None, "amount": 1_016_030},
        {"owner": "party", "id": "aunt", "kind": "joint", "covers": 500_000, "amount": 500_000},
    ]
    rules = [line["rule"] for line in certificate["claim"]["lines"]]
    assert rules == ["PRINCIPAL", "INTEREST", "PENALTY", "COMPOUND", "COST"]
    assert deed_of(on, deed)["certificate"] == issued["id"] == certificate["transaction"]
    done = do(on, "executed", "lender", deed=deed, amount=1_016_030, on="2026-02-16", reference="(2026) 1")
    assert ok(done)["state"] == deed_of(on, deed)["state"] == "executed"


def test_what_is_consented_to_is_the_whole_content_in_this_network() -> None:
    from chain.codec import encode
    from chain.crypto import hash_value, sha256
    from contracts.enforceable_deed import statement

    on, deed = standing("draft")
    entry = deed_of(on, deed)
    assert entry["digest"] == hash_value(statement(NETWORK_ID, entry)) == sha256(encode(statement(NETWORK_ID, entry)))
    for name in CONTENT:
        other = {**entry, name: "something else"}
        assert hash_value(statement(NETWORK_ID, other)) != entry["digest"], name
    assert hash_value(statement(bytes(32), entry)) != entry["digest"]


def test_what_was_paid_is_deducted() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, "2026-02-08")
    ok(at.repay(on, deed_of(on, deed)["application"], 400_000, paid_on="2026-02-06"))
    desk.to_day(on, "2026-02-11")
    found = ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))
    # interest first: 10 000; of the principal 390 000. 5 days on all of it, then 5 days on 610 000
    assert (found["principal"], found["interest"]) == (610_000, 0)
    assert found["penalty"] == 1_000_000 * 3 * 5 // 10_000 + 610_000 * 3 * 5 // 10_000
    assert found["compound"] == 10_000 * 2 * 5 // 10_000


def test_what_is_not_due_is_called_in_where_the_terms_allow_it() -> None:
    on = desk.desk()
    deed = desk.claimed(on, accelerate=True)
    claim = kept(on, "default", deed, 1)
    assert claim["accelerated_on"] == "2026-02-10"
    # 9 of the 28 days of the second half's interest of 5 000 are earned
    assert claim["claim"]["principal"] == 2_000_000
    assert claim["claim"]["interest"] == 10_000 + 5_000 * 9 // 28


def test_terms_without_acceleration_call_in_nothing() -> None:
    on = desk.desk()
    deed = desk.notarized(on, terms={**desk.TERMS, "acceleration": False})
    desk.to_day(on, desk.DEFAULT_DAY)
    args = desk.claim_args(on, deed, accelerate=True)
    assert do(on, "claim_default", "lender", **args).code == "NOT_ACCELERABLE"
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))


def test_after_a_default_that_was_paid_a_later_one_is_claimed_anew() -> None:
    on = desk.desk()
    deed = desk.claimed(on)
    application = deed_of(on, deed)["application"]
    desk.to_day(on, "2026-02-12")
    ok(at.repay(on, application, 1_010_000))
    desk.to_day(on, "2026-02-16")
    ok(do(on, "verify_performance", "office", **desk.verify_args(on, deed, outcome="paid")))
    assert attempt(on, deed, "issue", "office").code == "NOT_CONFIRMED"
    ok(do(on, "refuse", "office", deed=deed, reason="PERFORMED", text="paid on 12 February"))
    assert deed_of(on, deed)["state"] == "notarized"
    assert do(
        on, "claim_default", "lender", **desk.claim_args(on, deed, unpaid=[["2026-02-01", b"x" * 32]])
    ).code == ("NOT_OVERDUE")
    desk.to_day(on, "2026-03-10")
    again = ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))
    assert (again["claim"], again["principal"], again["interest"]) == (2, 1_000_000, 5_000)
    assert kept(on, "refusal", deed, 1)["reason"] == "PERFORMED"


def test_nothing_is_certified_when_it_was_paid_after_the_verification() -> None:
    on = desk.desk()
    deed = desk.verified(on)
    ok(at.repay(on, deed_of(on, deed)["application"], 2_015_000))
    nothing = dict.fromkeys(("principal", "interest", "penalty", "compound", "costs", "total"), 0)
    receipt = do(on, "issue", "office", **desk.issue_args(on, deed, amounts=nothing))
    # the penalty of the days that passed is still owed: the principal is not
    assert receipt.code == "AMOUNTS_DIFFER"
    ok(do(on, "refuse", "office", deed=deed, reason="PERFORMED", text="paid on 16 February"))


# order: consents before the countersignature (art. 39), verified before it is certified (art. 55) ---------------

ALLOWED = {
    "draft": {"refused", "executed", "revoked"},  # of one application one deed stands
    "consent": {"draft"},
    "countersign": {"consented"},
    "demand": {"notarized", "claimed", "verified", "certified"},
    "claim_default": {"notarized"},
    "answer": {"claimed"},
    "verify_performance": {"claimed"},
    "issue": {"verified"},
    "refuse": {"consented", "claimed", "verified"},
    "executed": {"certified"},
    "revoke": {"notarized", "claimed", "verified", "certified"},
}
BY = {
    "draft": "lender",
    "consent": "supplier",
    "countersign": "office",
    "demand": "lender",
    "claim_default": "lender",
    "answer": "supplier",
    "verify_performance": "office",
    "issue": "office",
    "refuse": "office",
    "executed": "court",
    "revoke": "office",
}
OUT_OF_ORDER = [(method, state) for method in sorted(ALLOWED) for state in STATES if state not in ALLOWED[method]]


def test_every_method_is_in_the_tables() -> None:
    assert (
        [f"notary.{method}" for method in sorted(ALLOWED)]
        == NOTARY_METHODS
        == sorted(f"notary.{method}" for method in BY)
    )


@pytest.mark.parametrize(("method", "state"), OUT_OF_ORDER)
def test_no_step_is_out_of_order(method: str, state: str) -> None:
    on, deed = standing(state)
    receipt = attempt(on, deed, method, BY[method])
    expected = {"draft": "DEED_STANDS"}.get(method, "WRONG_STATE")
    if (method, state) == ("countersign", "draft"):
        expected = "CONSENTS_MISSING"
    assert receipt.code == expected, receipt.message
    assert "\n" not in receipt.message


# persons: no step by the wrong one -------------------------------------------------------------------------------

STATE_FOR = {
    "consent": "draft",
    "countersign": "consented",
    "demand": "notarized",
    "claim_default": "notarized",
    "answer": "claimed",
    "verify_performance": "claimed",
    "issue": "verified",
    "refuse": "verified",
    "executed": "certified",
    "revoke": "certified",
}
EVERYBODY = (
    "lender", "lender-two", "office", "office-two", "supplier", "aunt", "buyer", "guarantor", "court", "procurement",
    "erp", "regulator", "watcher",
)  # fmt: skip
RIGHTLY = {
    "consent": {"lender", "supplier", "aunt", "guarantor"},
    "countersign": {"office"},
    "demand": {"lender"},
    "claim_default": {"lender"},
    "answer": {"supplier", "aunt", "guarantor"},
    "verify_performance": {"office"},
    "issue": {"office"},
    "refuse": {"office"},
    "executed": {"lender", "court"},
    "revoke": {"office", "court"},
}
REFUSALS = {"ROLE_NOT_ALLOWED", "NOT_YOUR_DEED", "NOT_A_PARTY", "NOT_AN_OBLIGOR"}
WRONGLY = [(method, who) for method in sorted(RIGHTLY) for who in EVERYBODY if who not in RIGHTLY[method]]


@pytest.mark.parametrize(("method", "who"), WRONGLY)
def test_no_step_by_the_wrong_party(method: str, who: str) -> None:
    on, deed = standing(STATE_FOR[method])
    receipt = attempt(on, deed, method, who)
    if (method, who) == ("revoke", "lender"):
        assert receipt.code == "WRONG_STATE"  # the creditor takes back drafts only
    else:
        assert receipt.code in REFUSALS, receipt


@pytest.mark.parametrize("who", [who for who in EVERYBODY if who != "lender"])
def test_a_draft_is_the_application_s_lender_s(who: str) -> None:
    on = desk.desk()
    args = desk.drafted_args(desk.lent(on))
    assert do(on, "draft", who, **args).code in ("ROLE_NOT_ALLOWED", "NOT_YOUR_APPLICATION")


@pytest.mark.parametrize("method", sorted(STATE_FOR))
def test_no_step_under_a_revoked_key(method: str) -> None:
    on = desk.desk()
    deed = desk.REACH[STATE_FOR[method]](on)
    desk.filed(on, deed)
    by = BY[method]
    ok(on.call(CONSORTIUM, "registry.rotate_key", {"old": key(by), "new": key(f"{by} two")}, [key(by)]))
    on.next_block()
    assert attempt(on, deed, method, by).code == "KEY_NOT_VALID"
    other = attempt(on, deed, method, f"{by} two")
    assert other.code != "KEY_NOT_VALID", other


def test_two_owners_do_not_sign_one_step() -> None:
    on, deed = standing("draft")
    args = desk.consent_args(on, deed)
    receipt = on.call(CONSORTIUM, "notary.consent", args, [key("supplier"), key("aunt")])
    assert receipt.code == "MIXED_SIGNERS"


def test_a_key_without_the_right_consents_to_nothing() -> None:
    on = desk.desk()
    deed = desk.drafted(on)
    added = {"key": key("clerk"), "purpose": "signer", "rights": ["credit.repay"]}
    ok(on.call(CONSORTIUM, "registry.add_key", added, [key("lender")]))
    on.next_block()
    assert do(on, "consent", "clerk", **desk.consent_args(on, deed)).code == "RIGHT_MISSING"


# consents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"enforcement": False}, "CONSENT_INCOMPLETE"),
        ({"verification": False}, "CONSENT_INCOMPLETE"),
        ({"enforcement": 1}, "WRONG_ARGUMENT"),
        ({"digest": bytes(32)}, "DEED_DIFFERS"),
        ({"digest": b"short"}, "WRONG_ARGUMENT"),
        ({"deed": bytes(32)}, "UNKNOWN_DEED"),
        ({"ca": {"algorithm": "cms", "certificates": [b"c"]}}, "MISSING_ARGUMENT"),
        ({"ca": {"algorithm": "md5", "certificates": [b"c"], "signature": b"s"}}, "WRONG_ARGUMENT"),
        ({"ca": {"algorithm": "cms", "certificates": [], "signature": b"s"}}, "WRONG_ARGUMENT"),
        ({"ca": {"algorithm": "cms", "certificates": [b"c" * 4_097], "signature": b"s"}}, "WRONG_ARGUMENT"),
        ({"ca": {"algorithm": "cms", "certificates": ["text"], "signature": b"s"}}, "WRONG_ARGUMENT"),
        ({"ca": {"algorithm": "cms", "certificates": [b"c"], "signature": b""}}, "WRONG_ARGUMENT"),
        ({"ca": b"signature"}, "WRONG_ARGUMENT"),
        ({"more": 1}, "UNKNOWN_ARGUMENT"),
    ],
)
def test_wrong_consents(changes: dict[str, Any], code: str) -> None:
    on, deed = standing("draft")
    assert attempt(on, deed, "consent", "supplier", **changes).code == code


def test_a_consent_is_given_once_and_keeps_the_ca_signature() -> None:
    on = desk.desk()
    deed = desk.drafted(on)
    ca = {"algorithm": "rsa-pkcs1-sha256", "certificates": [b"leaf", b"issuer"], "signature": b"s" * 256}
    result = ok(do(on, "consent", "supplier", **desk.consent_args(on, deed, ca=ca)))
    assert result == {"state": "draft", "missing": ["lender", "aunt", "guarantor"]}
    entry = kept(on, "consent", deed, "party", "supplier")
    assert entry["ca"] == ca
    assert entry["signers"] == [key("supplier")]
    assert do(on, "consent", "supplier", **desk.consent_args(on, deed)).code == "CONSENT_GIVEN"


@pytest.mark.parametrize("absent", ["lender", "supplier", "aunt", "guarantor"])
def test_the_notary_waits_for_every_consent(absent: str) -> None:
    on = desk.desk()
    deed = desk.drafted(on)
    for who in {"lender", "supplier", "aunt", "guarantor"} - {absent}:
        ok(do(on, "consent", who, **desk.consent_args(on, deed)))
    receipt = attempt(on, deed, "countersign", "office")
    assert receipt.code == "CONSENTS_MISSING"
    assert absent in receipt.message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"digest": bytes(32)}, "DEED_DIFFERS"),
        ({"number": ""}, "WRONG_ARGUMENT"),
        ({"number": "n" * 65}, "WRONG_ARGUMENT"),
    ],
)
def test_wrong_countersignatures(changes: dict[str, Any], code: str) -> None:
    on, deed = standing("consented")
    assert attempt(on, deed, "countersign", "office", **changes).code == code


# drafts ----------------------------------------------------------------------------------------------------------

AUNT, FIRM = desk.GUARANTORS


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"application": bytes(32)}, "UNKNOWN_APPLICATION"),
        ({"notary": "erp"}, "NOT_A_NOTARY"),
        ({"notary": "lender"}, "NOT_A_NOTARY"),
        ({"notary": "nobody"}, "UNKNOWN_MEMBER"),
        ({"ceiling": 0}, "WRONG_ARGUMENT"),
        ({"ceiling": True}, "WRONG_ARGUMENT"),
        ({"terms": {**desk.TERMS, "day_count": 366}}, "WRONG_ARGUMENT"),
        ({"terms": {**desk.TERMS, "penalty_bp": -1}}, "WRONG_ARGUMENT"),
        ({"terms": {"penalty_bp": 1}}, "MISSING_ARGUMENT"),
        ({"verification": {**desk.VERIFICATION, "method": "pigeon"}}, "WRONG_ARGUMENT"),
        ({"verification": {**desk.VERIFICATION, "address": ""}}, "WRONG_ARGUMENT"),
        ({"verification": {**desk.VERIFICATION, "method": "chain"}}, "WRONG_ARGUMENT"),
        ({"verification": {**desk.VERIFICATION, "answer_days": 0}}, "WRONG_ARGUMENT"),
        ({"verification": {"method": "letter"}}, "MISSING_ARGUMENT"),
        ({"text_hash": b"x"}, "WRONG_ARGUMENT"),
        ({"language": ""}, "WRONG_ARGUMENT"),
        ({"guarantors": [AUNT, AUNT]}, "WRONG_GUARANTOR"),
        ({"guarantors": [{**AUNT, "id": "supplier"}]}, "WRONG_GUARANTOR"),
        ({"guarantors": [{**FIRM, "id": "lender"}]}, "WRONG_GUARANTOR"),
        ({"guarantors": [{**FIRM, "id": "office"}]}, "WRONG_GUARANTOR"),
        ({"guarantors": [{**AUNT, "id": "uncle"}]}, "UNKNOWN_GUARANTOR"),
        ({"guarantors": [{**AUNT, "owner": "court"}]}, "WRONG_ARGUMENT"),
        ({"guarantors": [{**AUNT, "kind": "some"}]}, "WRONG_ARGUMENT"),
        ({"guarantors": [{**AUNT, "covers": 0}]}, "WRONG_ARGUMENT"),
        ({"guarantors": [{"id": "aunt"}]}, "MISSING_ARGUMENT"),
        ({"records": [{"kind": "decision", "id": bytes(32)}]}, "WRONG_ARGUMENT"),
        ({"records": [{"chain": "erp", "kind": "contract", "issuer": "x", "number": "y", "record": bytes(32)}]},
         "UNKNOWN_RECORD"),
        ({"extra": 1}, "UNKNOWN_ARGUMENT"),
    ],
)  # fmt: skip
def test_wrong_drafts(changes: dict[str, Any], code: str) -> None:
    on, application = _with_loan()
    receipt = do(on, "draft", "lender", **desk.drafted_args(application, **changes))
    assert receipt.code == code, receipt.message


@cache
def _with_loan() -> tuple[Ledger, bytes]:
    on = desk.desk()
    return on, desk.lent(on)


def test_a_deed_is_over_an_approved_application() -> None:
    on = desk.desk()
    application = at.assessed(on)
    assert do(on, "draft", "lender", **desk.drafted_args(application)).code == "NO_LINE"


def test_a_deed_names_the_records_it_rests_on() -> None:
    from tests.contracts import trading
    from tests.contracts.small_consortium import record_id

    on = desk.desk()
    named: dict[str, Any] = {"chain": "procurement", "kind": "contract", "issuer": trading.BUYER, "number": "C-1"}
    named["record"] = record_id(trading.contract())
    deed = desk.drafted(on, records=[named])
    assert deed_of(on, deed)["records"] == [named]
    ok(do(on, "revoke", "lender", deed=deed, reason="OTHER", text="again"))
    args = desk.drafted_args(deed_of(on, deed)["application"], records=[named, named])
    assert do(on, "draft", "lender", **args).code == "WRONG_ARGUMENT"


def test_a_creditor_takes_back_its_draft_and_makes_another() -> None:
    on = desk.desk()
    deed = desk.consented(on)
    ok(do(on, "revoke", "lender", deed=deed, reason="OTHER", text="a wrong address"))
    application = deed_of(on, deed)["application"]
    other = desk.drafted(on, application)
    assert on.read(CONSORTIUM, "notary", "deeds_of", application) == [deed, other]
    assert deed_of(on, other)["consents"] == []


@pytest.mark.parametrize("state", ["notarized", "claimed", "verified"])
def test_a_deed_whose_notary_has_left_does_not_bar_the_suit(state: str) -> None:
    on = desk.desk()
    deed = desk.REACH[state](on)
    assert attempt(on, deed, "revoke", "lender").code == "WRONG_STATE"
    left = [member for member in on.read(CONSORTIUM, "registry", "members") if member != "office"]
    on.seed(CONSORTIUM, "registry", "members", value=left)
    ok(attempt(on, deed, "revoke", "lender"))


def test_the_claim_of_a_long_history_is_metered() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, desk.DEFAULT_DAY)
    few = do(on, "claim_default", "lender", **desk.claim_args(on, deed, accelerate=True)).charged
    other = desk.desk()
    deed = desk.notarized(other)
    application = deed_of(other, deed)["application"]
    for number in range(40):
        ok(at.repay(other, application, 1_000, f"P-{number}"))
    desk.to_day(other, desk.DEFAULT_DAY)
    many = do(other, "claim_default", "lender", **desk.claim_args(other, deed, accelerate=True))
    assert many.ok
    assert many.charged - few == 40 * 4 + 40 * 42 // 4  # each payment is looked at with all instalments


# default ---------------------------------------------------------------------------------------------------------


def test_no_default_is_claimed_while_the_days_of_grace_run() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    disbursement = on.read(CONSORTIUM, "credit", "schedule", deed_of(on, deed)["application"])[0][2]
    named = [["2026-02-01", disbursement]]
    desk.to_day(on, "2026-02-04")
    assert do(on, "claim_default", "lender", **desk.claim_args(on, deed, unpaid=named)).code == "NOT_OVERDUE"
    desk.to_day(on, "2026-02-05")
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed, unpaid=named)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"unpaid": []}, "WRONG_ARGUMENT"),
        ({"unpaid": [["2026-02-01", bytes(32)]]}, "DEFAULT_DIFFERS"),
        ({"unpaid": "more"}, "DEFAULT_DIFFERS"),
        ({"as_of": "2026-02-11"}, "DATE_IN_FUTURE"),
        ({"as_of": "2026-02-01"}, "DATE_TOO_EARLY"),
        ({"as_of": "10 February"}, "WRONG_ARGUMENT"),
        ({"accelerate": 0}, "WRONG_ARGUMENT"),
        ({"accelerate": True, "as_of": "2026-02-09"}, "NOT_ACCELERABLE"),
        ({"costs": [{"code": "a", "text": "t", "amount": 0}]}, "WRONG_ARGUMENT"),
        ({"costs": [{"code": "a", "text": "t", "amount": 1}] * 2}, "WRONG_ARGUMENT"),
    ],
)
def test_wrong_claims_of_default(changes: dict[str, Any], code: str) -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    desk.to_day(on, desk.DEFAULT_DAY)
    if changes.get("unpaid") == "more":
        rows = on.read(CONSORTIUM, "credit", "schedule", deed_of(on, deed)["application"])
        changes = {"unpaid": [[row[0], row[2]] for row in rows]}
    assert do(on, "claim_default", "lender", **desk.claim_args(on, deed, **changes)).code == code


def test_more_principal_than_the_deed_covers_needs_a_suit() -> None:
    on = desk.desk()
    deed = desk.notarized(on, ceiling=999_999)
    desk.to_day(on, desk.DEFAULT_DAY)
    assert do(on, "claim_default", "lender", **desk.claim_args(on, deed)).code == "OVER_CEILING"


# verification (art. 55) ------------------------------------------------------------------------------------------


def test_the_time_to_answer_runs_out_or_everybody_has_answered() -> None:
    on = desk.desk()
    deed = desk.claimed(on)  # asked on 10 February; five days to answer
    desk.to_day(on, "2026-02-15")
    assert do(on, "verify_performance", "office", **desk.verify_args(on, deed)).code == "ANSWER_PERIOD_RUNS"
    ok(do(on, "answer", "supplier", deed=deed, admits=True, text="it is unpaid"))
    receipt = do(on, "verify_performance", "office", **desk.verify_args(on, deed))
    assert receipt.code == "ANSWER_PERIOD_RUNS"
    assert "aunt" in receipt.message
    contacts = desk.verify_args(on, deed)["contacts"]
    contacts = [{**row, "answered": row["id"] != "supplier", "asked_on": "2026-02-15"} for row in contacts]
    ok(do(on, "verify_performance", "office", **desk.verify_args(on, deed, contacts=contacts)))


def test_the_time_to_answer_ends_by_block_time() -> None:
    on = desk.desk()
    deed = desk.claimed(on)
    end = 1_771_200_000_000  # 2026-02-16T00:00:00Z, five days after the end of 10 February
    args = desk.verify_args(on, deed)
    on.next_block(time=end - 1)
    assert do(on, "verify_performance", "office", **args).code == "ANSWER_PERIOD_RUNS"
    on.next_block(time=end)
    ok(do(on, "verify_performance", "office", **args))


def _without_aunt(args: dict[str, Any]) -> dict[str, Any]:
    return {"contacts": [row for row in args["contacts"] if row["id"] != "aunt"]}


def _asked_before(args: dict[str, Any]) -> dict[str, Any]:
    return {"contacts": [{**row, "asked_on": "2026-02-09"} for row in args["contacts"]]}


def _buyer_too(args: dict[str, Any]) -> dict[str, Any]:
    return {"contacts": [*args["contacts"][:2], {**args["contacts"][2], "owner": "party", "id": "buyer"}]}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (_without_aunt, "CONTACT_MISSING"),
        (_asked_before, "DATE_TOO_EARLY"),
        (_buyer_too, "CONTACT_MISSING"),
        ({"outcome": "perhaps"}, "WRONG_ARGUMENT"),
        ({"record": b"hash"}, "WRONG_ARGUMENT"),
        ({"text": ""}, "WRONG_ARGUMENT"),
        ({"objections": [{"owner": "party", "id": "buyer", "text": "no", "upheld": False}]}, "NOT_AN_OBLIGOR"),
        ({"objections": [{"owner": "party", "id": "aunt", "text": "no", "upheld": True}]}, "OUTCOME_DIFFERS"),
    ],
)
def test_wrong_verifications(changes: Any, code: str) -> None:
    on = desk.desk()
    deed = desk.claimed(on)
    desk.to_day(on, "2026-02-16")
    args = desk.verify_args(on, deed)
    changed = changes(args) if callable(changes) else changes
    assert do(on, "verify_performance", "office", **{**args, **changed}).code == code


def test_an_objection_by_its_own_key_is_not_passed_over() -> None:
    on = desk.desk()
    deed = desk.claimed(on)
    said = {"deed": deed, "admits": False, "text": "paid in cash", "evidence": b"r" * 32}
    ok(do(on, "answer", "supplier", **said))
    ok(do(on, "answer", "supplier", deed=deed, admits=True, text="on second thoughts"))
    desk.to_day(on, "2026-02-16")
    assert do(on, "verify_performance", "office", **desk.verify_args(on, deed)).code == "OBJECTION_IGNORED"
    objection = {"owner": "party", "id": "supplier", "text": "no receipt", "upheld": False}
    ok(do(on, "verify_performance", "office", **desk.verify_args(on, deed, objections=[objection])))
    assert kept(on, "answer", deed, 0)["evidence"] == b"r" * 32


# the certificate -------------------------------------------------------------------------------------------------

PARTS = ("principal", "interest", "penalty", "compound", "costs", "total")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("change", [1, -1])
def test_amounts_that_do_not_add_up_are_refused_naming_the_part(part: str, change: int) -> None:
    on, deed = standing("verified")
    amounts = desk.issue_args(on, deed)["amounts"]
    wrong = {**amounts, part: amounts[part] + change}
    receipt = do(on, "issue", "office", **desk.issue_args(on, deed, amounts=wrong))
    if wrong[part] < 0:
        assert receipt.code == "WRONG_ARGUMENT"
    else:
        assert receipt.code == "AMOUNTS_DIFFER"
    assert receipt.message.startswith(part)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"respondents": [["party", "supplier"], ["party", "buyer"]]}, "NOT_COVERED"),
        ({"respondents": [["party", "supplier"], ["party", "supplier"]]}, "NOT_COVERED"),
        ({"respondents": [["member", "supplier"]]}, "NOT_COVERED"),
        ({"respondents": [["party", "aunt"]]}, "DEBTOR_MISSING"),
        ({"respondents": [["party", 7]]}, "NOT_COVERED"),
        ({"respondents": []}, "WRONG_ARGUMENT"),
        ({"number": "D-1"}, "NUMBER_TAKEN"),
        ({"as_of": "2026-02-17", "amounts": {}}, "DATE_IN_FUTURE"),
        ({"as_of": "2026-02-09", "amounts": {}}, "DATE_TOO_EARLY"),
        ({"amounts": {"total": 1}}, "MISSING_ARGUMENT"),
        ({"costs": [{"code": "lawyer", "text": "fee", "amount": 1}]}, "COST_NOT_CLAIMED"),
    ],
)
def test_wrong_certificates(changes: dict[str, Any], code: str) -> None:
    on, deed = standing("verified")
    assert do(on, "issue", "office", **desk.issue_args(on, deed, **changes)).code == code


def test_a_guarantee_that_the_deed_does_not_name_is_not_enforced() -> None:
    on = desk.desk()
    deed = desk.notarized(on, guarantors=[AUNT])
    desk.to_day(on, desk.DEFAULT_DAY)
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))
    desk.to_day(on, "2026-02-16")
    ok(do(on, "verify_performance", "office", **desk.verify_args(on, deed)))
    everybody = [["party", "supplier"], ["party", "aunt"], ["member", "guarantor"]]
    assert do(on, "issue", "office", **desk.issue_args(on, deed, respondents=everybody)).code == "NOT_COVERED"
    ok(do(on, "issue", "office", **desk.issue_args(on, deed, respondents=everybody[:1])))
    assert [row["id"] for row in kept(on, "certificate", deed)["respondents"]] == ["supplier"]


@pytest.mark.parametrize("outcome", ["paid", "disputed", "unverified"])
def test_only_a_confirmed_default_is_certified(outcome: str) -> None:
    on = desk.desk()
    deed = desk.verified(on, outcome)
    assert do(on, "issue", "office", **desk.issue_args(on, deed)).code == "NOT_CONFIRMED"


@pytest.mark.parametrize(
    ("state", "changes", "code"),
    [
        ("verified", {"reason": "BECAUSE"}, "WRONG_ARGUMENT"),
        ("verified", {"reason": "PERFORMED"}, "NOT_CONFIRMED"),
        ("claimed", {"reason": "PERFORMED"}, "WRONG_STATE"),
        ("consented", {"reason": "PERFORMED"}, "WRONG_STATE"),
        ("verified", {"text": " "}, "WRONG_ARGUMENT"),
    ],
)
def test_wrong_refusals(state: str, changes: dict[str, Any], code: str) -> None:
    on, deed = standing(state)
    assert attempt(on, deed, "refuse", "office", **changes).code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": -1}, "WRONG_ARGUMENT"),
        ({"on": "2026-02-15"}, "DATE_TOO_EARLY"),
        ({"on": "2026-03-15"}, "DATE_IN_FUTURE"),
        ({"reference": ""}, "WRONG_ARGUMENT"),
        ({"evidence": b"x"}, "WRONG_ARGUMENT"),
    ],
)
def test_wrong_reports_of_execution(changes: dict[str, Any], code: str) -> None:
    on, deed = standing("certified")
    assert attempt(on, deed, "executed", "court", **changes).code == code


def test_a_number_is_one_notary_s_once() -> None:
    on = desk.desk()
    deed = desk.notarized(on)
    assert on.read(CONSORTIUM, "notary", "number", "office", "D-1") == deed


def test_everybody_concerned_is_told() -> None:
    on = desk.desk()
    application = desk.lent(on)
    receipt = do(on, "draft", "lender", **desk.drafted_args(application))
    [told] = at.told(receipt.events, "deed_drafted")
    assert told["to"] == ["aunt", "guarantor", "lender", "office", "supplier"]
    assert told["deed"] == receipt.result["id"]


# a court acts on the cases before it -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["executed", "revoke"])
def test_a_court_acts_on_what_was_filed_with_it(method: str) -> None:
    on = desk.desk()
    deed = desk.certified(on)
    assert attempt(on, deed, method, "court").code == "NOT_YOUR_DEED"
    desk.filed(on, deed, court="another")
    assert attempt(on, deed, method, "court").code == "NOT_YOUR_DEED"
    desk.filed(on, deed)
    ok(attempt(on, deed, method, "court"))


# bounds ----------------------------------------------------------------------------------------------------------


def test_nothing_is_certified_once_nothing_is_owed() -> None:
    on = desk.desk()
    deed = desk.notarized(on, terms={**desk.TERMS, "penalty_bp": 0, "compound_bp": 0})
    desk.to_day(on, desk.DEFAULT_DAY)
    ok(do(on, "claim_default", "lender", **desk.claim_args(on, deed)))
    desk.to_day(on, "2026-02-16")
    ok(do(on, "verify_performance", "office", **desk.verify_args(on, deed)))
    ok(at.repay(on, deed_of(on, deed)["application"], 1_010_000))
    receipt = do(on, "issue", "office", **desk.issue_args(on, deed))
    assert receipt.code == "NOTHING_OWED"
    ok(do(on, "refuse", "office", deed=deed, reason="PERFORMED", text="paid on 16 February"))


@pytest.mark.parametrize("reason", ["CONSENT_DEFECT", "CONTENT_UNCLEAR", "UNLAWFUL", "NOT_VERIFIED", "OTHER"])
def test_a_notary_declines_for_a_reason(reason: str) -> None:
    on = desk.desk()
    deed = desk.consented(on)
    ok(do(on, "refuse", "office", deed=deed, reason=reason, text="as the file shows"))
    assert deed_of(on, deed)["state"] == "refused"
    assert kept(on, "refusal", deed, 0)["reason"] == reason


def test_so_many_answers_and_no_more() -> None:
    on = desk.desk()
    deed = desk.claimed(on)
    for _ in range(8):
        ok(do(on, "answer", "aunt", deed=deed, admits=True, text="yes"))
    assert do(on, "answer", "aunt", deed=deed, admits=True, text="yes").code == "TOO_MANY_ANSWERS"


def test_so_many_deeds_and_no_more() -> None:
    on = desk.desk()
    application = desk.lent(on)
    for _ in range(16):
        deed = desk.drafted(on, application)
        ok(do(on, "revoke", "lender", deed=deed, reason="OTHER", text="again"))
    assert do(on, "draft", "lender", **desk.drafted_args(application)).code == "TOO_MANY_DEEDS"
