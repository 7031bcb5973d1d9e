"""Claims by hand: a case small enough to compute on paper, each rule of contracts/claims.py, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from chain.codec import decode, encode
from contracts import claims
from contracts.claims import Cost, Line, Terms
from contracts.errors import ContractError

ID, PAID = b"\x01" * 32, b"\x02" * 32
TERMS = Terms(penalty_bp=1_800, compound_bp=900, day_count=360, acceleration=True)
SCHEDULE = [["2026-02-01", 100_000, 3_000], ["2026-03-01", 100_000, 2_000], ["2026-04-01", 100_000, 1_000]]


def disbursement(**changes: Any) -> dict[str, Any]:
    entry = {"id": ID, "amount": 300_000, "disbursed_on": "2026-01-01", "schedule": SCHEDULE, "height": 5}
    return {**entry, **changes}


def repayment(*allocated: list[Any], **changes: Any) -> dict[str, Any]:
    amount = sum(interest + principal for _, _, interest, principal in allocated)
    return {
        "id": PAID,
        "amount": amount,
        "paid_on": "2026-02-11",
        "allocated": list(allocated),
        "height": 9,
        **changes,
    }


def compute(*paid: dict[str, Any], as_of: str = "2026-03-11", agreed: Terms = TERMS, **options: Any) -> claims.Claim:
    return claims.claim(None, [disbursement()], list(paid), agreed, as_of, 480, **options)


def amounts(found: claims.Claim) -> list[tuple[str, str, int, int, int]]:
    return [(line.rule, line.due, line.base, line.days, line.amount) for line in found.lines]


def test_two_instalments_late_and_nothing_paid() -> None:
    """38 and 10 days: 100 000 · 18 % · 38 / 360 = 1 900 and 500; 3 000 · 9 % · 38 / 360 = 28.5, 2 000 …: 5."""
    found = compute()
    assert amounts(found) == [
        ("PRINCIPAL", "2026-02-01", 100_000, 0, 100_000),
        ("PRINCIPAL", "2026-03-01", 100_000, 0, 100_000),
        ("INTEREST", "2026-02-01", 3_000, 0, 3_000),
        ("INTEREST", "2026-03-01", 2_000, 0, 2_000),
        ("PENALTY", "2026-02-01", 100_000, 38, 1_900),
        ("PENALTY", "2026-03-01", 100_000, 10, 500),
        ("COMPOUND", "2026-02-01", 3_000, 38, 28),
        ("COMPOUND", "2026-03-01", 2_000, 10, 5),
    ]
    assert (found.principal, found.interest, found.penalty, found.compound) == (200_000, 5_000, 2_400, 33)
    assert (found.total, found.daily) == (207_433, 101)
    assert (found.undue_principal, found.undue_interest) == (100_000, 1_000)
    assert (found.overdue_since, found.last_due, found.ends) == ("2026-02-02", "2026-04-01", "2026-04-01")
    first = found.lines[4]
    assert (first.first, first.last) == ("2026-02-02", "2026-03-11")


def test_a_late_payment_stops_what_it_pays_and_leaves_what_it_caused() -> None:
    """Paid on the tenth day of delay: interest and 40 000; ten days of the whole, then 28 of the rest."""
    found = compute(repayment(["2026-02-01", ID, 3_000, 40_000]))
    assert [(line.base, line.days, line.amount) for line in found.lines if line.rule == "PENALTY"] == [
        (100_000, 10, 500),
        (60_000, 28, 840),
        (100_000, 10, 500),
    ]
    assert [(line.base, line.days, line.amount) for line in found.lines if line.rule == "COMPOUND"] == [
        (3_000, 10, 7),
        (2_000, 10, 5),
    ]
    assert (found.principal, found.interest) == (160_000, 2_000)
    assert (found.paid_interest, found.paid_principal) == (3_000, 40_000)
    assert found.payments == (claims.Payment(PAID, "2026-02-11", 3_000, 40_000),)


def test_on_the_due_day_nothing_is_late() -> None:
    found = compute(as_of="2026-02-01")
    assert (found.total, found.lines, found.overdue_since) == (0, (), "")
    assert found.undue_principal == 300_000
    assert compute(as_of="2026-02-02").penalty == 50


def test_what_was_paid_late_in_full_still_owes_its_penalty() -> None:
    found = compute(repayment(["2026-02-01", ID, 3_000, 100_000]), as_of="2026-02-28")
    assert amounts(found) == [
        ("PENALTY", "2026-02-01", 100_000, 10, 500),
        ("COMPOUND", "2026-02-01", 3_000, 10, 7),
    ]
    assert (found.overdue_since, found.daily) == ("", 0)


def test_calling_in_asks_for_the_interest_that_is_earned() -> None:
    """Called in on 2026-03-11: of April's 1 000, ten of 31 days, 322; its principal bears penalty from the 12th."""
    found = compute(as_of="2026-03-21", accelerated_on="2026-03-11")
    called = [line for line in found.lines if line.due == "2026-04-01"]
    assert called == [
        Line("ACCELERATED", ID, "2026-04-01", "", "", 100_000, 0, 0, 100_000),
        Line("ACCRUED", ID, "2026-04-01", "2026-03-02", "2026-03-11", 1_000, 0, 10, 322),
        Line("PENALTY", ID, "2026-04-01", "2026-03-12", "2026-03-21", 100_000, 1_800, 10, 500),
    ]  # compound interest on 322 for ten days is below one unit
    assert (found.undue_principal, found.last_due, found.ends) == (0, "2026-03-11", "2026-04-01")


def test_interest_paid_ahead_and_not_earned_pays_principal_that_is_called_in() -> None:
    """All three instalments' interest and two principals are paid before the call: 678 of April's are not earned."""
    ahead = repayment(
        ["2026-02-01", ID, 3_000, 100_000],
        ["2026-03-01", ID, 2_000, 100_000],
        ["2026-04-01", ID, 1_000, 0],
        paid_on="2026-01-31",
    )
    found = compute(ahead, as_of="2026-03-12", accelerated_on="2026-03-11")
    assert (found.principal, found.interest, found.penalty) == (100_000 - 678, 0, 49)


def test_costs_are_lines_of_their_own() -> None:
    found = compute(as_of="2026-02-02", costs=(Cost("lawyer", "agreement 7", 900), Cost("notary", "fee", 100)))
    assert [line for line in found.lines if line.rule == "COST"] == [
        Line("COST", b"", "lawyer", "", "", 900, 0, 0, 900, "agreement 7"),
        Line("COST", b"", "notary", "", "", 100, 0, 0, 100, "fee"),
    ]
    assert found.costs == 1_000
    assert found.total == 103_000 + 50 + 1_000


def test_an_instant_counts_on_its_day_in_the_zone() -> None:
    """17:00 UTC is the next day at UTC+8."""
    early = compute(repayment(["2026-02-01", ID, 3_000, 100_000], paid_on="2026-02-10T15:59:59Z"))
    late = compute(repayment(["2026-02-01", ID, 3_000, 100_000], paid_on="2026-02-10T17:00:00Z"))
    assert [early.payments[0].day, late.payments[0].day] == ["2026-02-10", "2026-02-11"]
    assert late.penalty - early.penalty == 50


def test_the_order_of_the_entries_does_not_matter() -> None:
    other = disbursement(id=b"\x03" * 32, height=6)
    paid = [repayment(["2026-02-01", ID, 3_000, 1]), repayment(["2026-02-01", ID, 0, 5], id=b"\x04" * 32, height=8)]
    forth = claims.claim(None, [disbursement(), other], paid, TERMS, "2026-05-01", 480)
    back = claims.claim(None, [other, disbursement()], paid[::-1], TERMS, "2026-05-01", 480)
    assert forth == back


def test_a_claim_is_a_value_of_the_chain() -> None:
    value = claims.as_value(compute(costs=(Cost("lawyer", "agreement 7", 900),)))
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("code", "entries"),
    [
        ("AMOUNTS_DIFFER", {"disbursements": [disbursement(amount=300_001)]}),
        ("AMOUNTS_DIFFER", {"repayments": [repayment(["2026-02-01", ID, 1, 1], amount=3)]}),
        ("AMOUNTS_DIFFER", {"repayments": [repayment(["2026-02-01", ID, 3_001, 0])]}),
        ("AMOUNTS_DIFFER", {"repayments": [repayment(["2026-02-01", ID, -1, 5])]}),
        ("AMOUNTS_DIFFER", {"repayments": [repayment(["2026-02-01", ID, 0, 100_001])]}),
        ("AMOUNTS_DIFFER", {"repayments": [repayment(["2026-02-02", ID, 0, 1])]}),
        ("AMOUNTS_DIFFER", {"repayments": [repayment(["2026-02-01", b"\x09" * 32, 0, 1])]}),
        ("AMOUNTS_DIFFER", {"rows": []}),
        ("AMOUNTS_DIFFER", {"disbursements": [disbursement(), disbursement()]}),
        ("AMOUNTS_DIFFER", {"repayments": [repayment(["2026-02-01", ID, 1, 1])] * 2}),
        ("AMOUNTS_DIFFER", {"disbursements": [disbursement(schedule=SCHEDULE[::-1])]}),
        ("AMOUNTS_DIFFER", {"disbursements": [disbursement(amount=200_000, schedule=SCHEDULE[:1] * 2)]}),
        ("AMOUNTS_DIFFER", {"rows": [["2026-02-01", 0, ID, 100_000, 3_000, 1, 0]]}),
        ("CLAIM_TOO_EARLY", {"repayments": [repayment(["2026-02-01", ID, 1, 0], paid_on="2026-03-12")]}),
        ("CLAIM_TOO_EARLY", {"disbursements": [disbursement(disbursed_on="2026-03-12")]}),
        ("WRONG_DATE", {"as_of": "2026-02-30"}),
        ("WRONG_DATE", {"as_of": "2026-02-28T10:00:00Z"}),
        ("NOT_ACCELERABLE", {"accelerated_on": "2026-03-12"}),
        ("NOT_ACCELERABLE", {"accelerated_on": "2026-03-01", "agreed": TERMS._replace(acceleration=False)}),
        ("WRONG_ARGUMENT", {"costs": (Cost("lawyer", "", 1),)}),
        ("WRONG_ARGUMENT", {"costs": (Cost("lawyer", "agreement", 0),)}),
        ("WRONG_ARGUMENT", {"costs": (Cost("lawyer", "agreement", 1),) * 17}),
        ("CLAIM_TOO_LARGE", {"costs": (Cost("lawyer", "agreement", 2**63 - 1),)}),
    ],
)
def test_refused(code: str, entries: dict[str, Any]) -> None:
    case: dict[str, Any] = {"rows": None, "disbursements": [disbursement()], "repayments": [], "agreed": TERMS}
    case |= {"as_of": "2026-03-11", "zone": 480, **entries}
    with pytest.raises(ContractError) as raised:
        claims.claim(**case)
    assert raised.value.code == code


def test_rows_that_are_left_are_accepted() -> None:
    rows = [
        ["2026-02-01", 0, ID, 100_000, 3_000, 40_000, 3_000],
        *([d, 0, ID, p, i, 0, 0] for d, p, i in SCHEDULE[1:]),
    ]
    paid = [repayment(["2026-02-01", ID, 3_000, 40_000])]
    assert claims.claim(rows, [disbursement()], paid, TERMS, "2026-03-11", 480).principal == 160_000


@pytest.mark.parametrize(
    "change",
    [
        {"penalty_bp": -1},
        {"penalty_bp": 10_001},
        {"compound_bp": True},
        {"day_count": 364},
        {"day_count": 360.0},
        {"acceleration": 1},
        {"surcharge": 1},
    ],
)
def test_terms_are_checked(change: dict[str, Any]) -> None:
    value = TERMS._asdict()
    assert claims.terms(value) == TERMS
    with pytest.raises(ContractError):
        claims.terms({**value, **change})


def test_what_is_lent_after_the_call_is_not_called_in() -> None:
    """A second loan, paid out on 20 February, has its own term: the call of the 11th does not reach it."""
    later = disbursement(
        id=b"\x03" * 32, amount=50_000, disbursed_on="2026-02-20", schedule=[["2026-06-01", 50_000, 700]], height=7
    )
    options: dict[str, Any] = {"accelerated_on": "2026-02-11"}
    found = claims.claim(None, [disbursement(), later], [], TERMS, "2026-03-11", 480, **options)
    assert amounts(found) == amounts(compute(**options))
    assert (found.undue_principal, found.undue_interest) == (50_000, 700)
    assert found.last_due == "2026-06-01"


def test_unearned_interest_that_was_paid_pays_what_the_delay_costs() -> None:
    """Called in on 11 January, all 306 000 paid on the 31st: earned are 967, so 5 033 are left for penalty of 3 000.

    10 of 31 days of the first instalment's interest are earned, nothing of the others; 300 000 · 18 % · 20 / 360 is
    3 000 in three lines of 1 000, and 967 · 9 % · 20 / 360 is 4.
    """
    all_of_it = repayment(*([due, ID, interest, principal] for due, principal, interest in SCHEDULE))
    all_of_it["paid_on"] = "2026-01-31"
    found = compute(all_of_it, accelerated_on="2026-01-11")
    assert (found.principal, found.interest, found.penalty, found.compound, found.total) == (0, 0, 0, 0, 0)
    assert sum(line.amount for line in found.lines if line.amount > 0) == 3_004
    assert [(line.rule, line.days, line.amount) for line in found.lines if line.amount < 0] == [
        ("PENALTY", 0, -1_000),
        ("PENALTY", 0, -1_000),
        ("PENALTY", 0, -1_000),
        ("COMPOUND", 0, -4),
    ]


def test_what_is_left_for_the_delay_pays_compound_interest_first() -> None:
    rows = [["2026-02-01", ID, 3_000, 100_000], ["2026-03-01", ID, 2_000, 100_000], ["2026-04-01", ID, 0, 96_000]]
    paid = repayment(*rows, paid_on="2026-01-31")  # 967 earned and 300 000 called in: 33 are left
    found = compute(paid, accelerated_on="2026-01-11")
    assert (found.principal, found.interest, found.penalty, found.compound) == (0, 0, 2_971, 0)
