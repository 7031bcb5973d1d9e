"""Applications: who may apply, confirm, choose, decide, disburse, and what each refuses."""

from __future__ import annotations

from tests.contracts import trading
from tests.contracts.credit_story import LOAN_AMOUNT, apply, assess, assessed, decide, disburse, tell_story
from tests.contracts.memory_context import CONSORTIUM, key
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BANK, BUYER, DAY, confirm, ok, seal


def test_from_application_to_disbursement() -> None:
    on = trading.ledger()
    tell_story(on)
    found = assessed(on)
    seal(on, "lender", trading.loan(LOAN_AMOUNT, assessment=found["id"].hex(), disbursed_on="2026-01-01"))
    decision = ok(decide(on, found))
    assert decision["state"] == "approved"
    paid = ok(disburse(on, found))
    assert (paid["amount"], paid["disbursed"]) == (3_665_544, 3_665_544)
    stored = on.read(CONSORTIUM, "credit", "disbursement", paid["id"])
    assert stored["loan_id"] == on.read("lender", "records", "record", "loan", BANK, "L-1")["id"]
    again = disburse(on, found)
    assert (again.ok, again.code) == (False, "OVER_APPROVED")
    assert on.read(CONSORTIUM, "credit", "application", found["application"])["state"] == "disbursed"


def test_an_approval_cites_a_loan_of_its_amount_on_the_lenders_own_chain() -> None:
    on = trading.ledger()
    tell_story(on)
    found = assessed(on)
    assert decide(on, found).code == "LOAN_NOT_SEALED"
    seal(on, "lender", trading.loan("100.00"))
    assert decide(on, found).code == "LOAN_DIFFERS"
    assert decide(on, found, amount=found["limit"] + 1).code == "OVER_LIMIT"
    assert decide(on, found, amount=0).code == "WRONG_ARGUMENT"
    assert decide(on, found, by="guarantor").code == "ROLE_NOT_ALLOWED"
    seal(on, "lender", trading.loan("100.00", number="L-2", currency="EUR"))
    assert decide(on, found, amount=10_000, loan=[BANK, "L-2"]).code == "LOAN_DIFFERS"
    ok(decide(on, found, amount=10_000))
    assert disburse(on, found).code == "NOT_DISBURSED"


def test_a_loan_record_that_names_an_assessment_is_of_that_one() -> None:
    on = trading.ledger()
    tell_story(on)
    found = assessed(on)
    seal(on, "lender", trading.loan(LOAN_AMOUNT, assessment="ab" * 32))
    assert decide(on, found).code == "LOAN_DIFFERS"


def test_several_payments_stay_within_the_approval_and_each_loan_is_paid_once() -> None:
    on = trading.ledger()
    tell_story(on)
    found = assessed(on)
    seal(on, "lender", trading.loan("100.00"))
    ok(decide(on, found, amount=10_000))
    seal(on, "lender", trading.loan("60.00", number="L-2", disbursed_on="2026-01-01"))
    seal(on, "lender", trading.loan("41.00", number="L-3", disbursed_on="2026-01-01"))
    ok(disburse(on, found, "L-2"))
    assert disburse(on, found, "L-2").code in ("LOAN_CITED", "OVER_APPROVED")
    assert disburse(on, found, "L-3").code == "OVER_APPROVED"


def test_a_decline_needs_no_loan_and_closes_the_application() -> None:
    on = trading.ledger()
    tell_story(on)
    found = assessed(on)
    args = {"application": found["application"], "assessment": found["id"], "decision": "decline", "note": "no"}
    assert ok(on.call(CONSORTIUM, "credit.decide", args, [key("lender")]))["state"] == "declined"
    assert decide(on, found).code == "WRONG_STATE"
    assert apply(on).ok


def test_a_stale_or_replaced_assessment_is_not_decided_on() -> None:
    on = trading.ledger()
    tell_story(on)
    old = assessed(on)
    new = assess(on, old["application"])
    seal(on, "lender", trading.loan(LOAN_AMOUNT))
    assert decide(on, old).code == "ASSESSMENT_STALE"
    on.next_block(after_ms=31 * DAY)
    assert decide(on, new).code == "ASSESSMENT_STALE"


def test_one_contract_and_one_guarantee_do_not_back_two_approvals() -> None:
    on = trading.ledger()
    tell_story(on)
    first = assessed(on)
    seal(on, "lender", trading.loan(LOAN_AMOUNT))
    ok(decide(on, first))
    second = assessed(on)
    assert second["limit"] == 3_265_500
    assert "guarantee G-1 is left out: it already backs another approved application" in [
        reason["text"] for reason in second["reasons"]
    ]
    seal(on, "lender", trading.loan("1.00", number="L-2"))
    assert decide(on, second, amount=100, loan=[BANK, "L-2"]).code == "OVER_LIMIT"


def test_who_may_apply() -> None:
    on = trading.ledger(register=False)
    assert apply(on).code == "UNKNOWN_ENTERPRISE"
    trading.register_supplier(on)
    assert apply(on).code == "CONTRACT_NOT_SEALED"
    seal(on, "procurement", trading.contract())
    assert apply(on, lender="erp").code == "NOT_A_LENDER"
    assert apply(on, by="guarantor").code == "ROLE_NOT_ALLOWED"
    assert apply(on, by="buyer").code == "NOT_YOUR_APPLICATION"
    assert apply(on, enterprise="buyer").code == "PARTY_HAS_KEY"
    ok(apply(on))
    assert apply(on).code == "APPLICATION_OPEN"
    with_key = trading.ledger(register=False)
    trading.register_supplier(with_key, [key("supplier")])
    with_key.next_block()
    seal(with_key, "procurement", trading.contract())
    assert apply(with_key).code == "PARTY_HAS_KEY"
    assert apply(with_key, by="supplier").ok


def test_another_enterprises_contract_is_refused() -> None:
    on = trading.ledger()
    fields = {"value": "1", "currency": "GBP"}
    seal(on, "procurement", trading.paper("contract", "C-1", BUYER, fields, enterprise="x"))
    assert apply(on).code == "WRONG_ENTERPRISE"


def test_a_confirmation_is_independent_and_of_the_version_in_force() -> None:
    on = trading.ledger()
    contract = trading.contract()
    seal(on, "procurement", contract)
    assert confirm(on, contract, "procurement").code == "NOT_INDEPENDENT"
    assert confirm(on, contract, "buyer", ["colour"]).code == "UNKNOWN_FIELD"
    assert ok(confirm(on, contract, "buyer", ["value"])) == {"known": False}
    assert ok(confirm(on, contract, "buyer", ["value"])) == {"known": True}
    assert ok(confirm(on, contract, "buyer", ["title"])) == {"known": False}
    (entry,) = on.read(CONSORTIUM, "credit", "confirmation", record_id(contract))
    assert entry["fields"] == ["title", "value"]
    corrected = trading.paper(
        "contract", "C-1", BUYER, {"value": "1", "currency": "GBP"}, corrects=record_id(contract)
    )
    seal(on, "procurement", corrected)
    assert confirm(on, contract, "buyer").code == "NOT_CURRENT"
    qualification = trading.qualification()
    seal(on, "procurement", qualification)
    assert confirm(on, qualification, "buyer").code == "NOT_INVOLVED"
    assert confirm(on, qualification, "regulator").ok


def test_without_a_lender_the_application_waits_for_its_choice() -> None:
    on = trading.ledger()
    tell_story(on)
    application = ok(apply(on, lender=""))["id"]
    found = assess(on, application)
    assert (found["lender"], found["limit"]) == ("", 3_665_544)
    assert decide(on, found).code == "NOT_YOUR_APPLICATION"
    args = {"application": application, "lender": "lender"}
    assert on.call(CONSORTIUM, "credit.choose", args, [key("lender")]).code == "ROLE_NOT_ALLOWED"
    assert on.call(CONSORTIUM, "credit.choose", args, [key("buyer")]).code == "NOT_YOUR_APPLICATION"
    by_procurement = [key("procurement")]
    wrong = on.call(CONSORTIUM, "credit.choose", {**args, "lender": "erp"}, by_procurement)
    assert wrong.code == "NOT_A_LENDER"
    chosen = on.call(CONSORTIUM, "credit.choose", args, by_procurement)
    assert ok(chosen) == args
    assert chosen.events[0][1]["to"] == ["lender", "procurement", "supplier"]
    assert on.call(CONSORTIUM, "credit.choose", args, by_procurement).code == "LENDER_CHOSEN"
    assert apply(on).code == "APPLICATION_OPEN"
    assert apply(on, lender="").ok  # another lender may be sought meanwhile
    seal(on, "lender", trading.loan(LOAN_AMOUNT))
    assert ok(decide(on, assess(on, application)))["state"] == "approved"


def test_those_concerned_are_told() -> None:
    on = trading.ledger()
    tell_story(on)
    applied = apply(on)
    assert applied.names() == ["applied"]
    assert applied.events[0][1]["to"] == ["lender", "procurement", "supplier"]
    call = on.call(CONSORTIUM, "credit.assess", {"application": applied.result["id"]}, [key("erp")])
    (said,) = [data for name, data in call.events if name == "assessed"]
    assert (said["to"], said["limit"], said["grade"]) == (["lender", "procurement", "supplier"], 3_665_544, "A")
    confirmed = confirm(on, trading.invoice(), "buyer")
    assert confirmed.events[0][1]["to"] == ["buyer", "erp", "supplier"]
