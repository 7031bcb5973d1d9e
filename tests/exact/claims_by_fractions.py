"""What is owed, a second time: day by day, in rational numbers, with Python's own calendar.

Each instalment is walked from the day after it is due to the day of the claim. A charge gathers as a fraction and is
rounded down when its base changes or the walk ends, as the lines of a claim are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

DAY = timedelta(days=1)


@dataclass
class Instalment:
    """One instalment as it is owed; paid: what was paid of it, by day."""

    due: date
    principal: int
    interest: int
    called: bool = False
    paid: list[tuple[date, int, int]] = field(default_factory=list)

    def open(self, day: date) -> tuple[int, int]:
        """(principal, interest) unpaid at the end of a day."""
        principal = self.principal - sum(part for when, _, part in self.paid if when <= day)
        interest = self.interest - sum(part for when, part, _ in self.paid if when <= day)
        return principal, interest


def owed(
    disbursements: list[dict[str, Any]],
    repayments: list[dict[str, Any]],
    terms: tuple[int, int, int],
    as_of: str,
    called_on: str | None,
) -> dict[str, Any]:
    """The parts of a claim. terms: penalty and compound rate in basis points, days of a year."""
    end = date.fromisoformat(as_of)
    called = None if called_on is None else date.fromisoformat(called_on)
    rows, ahead = instalments(disbursements, repayments, called)
    penalty_bp, compound_bp, year = terms
    found = {"principal": 0, "interest": 0, "penalty": 0, "compound": 0, "undue_principal": 0, "undue_interest": 0}
    for row in rows:
        principal, interest = row.open(end)
        if row.due >= end and not row.called:
            found["undue_principal"] += principal
            found["undue_interest"] += interest
            continue
        found["principal"] += principal
        found["interest"] += interest
        found["penalty"] += charge(row, 0, penalty_bp, year, end)
        found["compound"] += charge(row, 1, compound_bp, year, end)
    for charged in ("compound", "penalty"):
        ahead, found[charged] = max(0, ahead - found[charged]), max(0, found[charged] - ahead)
    yearly = Fraction(found["principal"] * penalty_bp + found["interest"] * compound_bp, 10_000)
    found["daily"] = (yearly / year).__floor__()
    return found


def charge(row: Instalment, which: int, rate_bp: int, year: int, end: date) -> int:
    """Penalty (which 0) or compound interest (1) of one instalment, floors of each stretch added up."""
    total, gathered, base = 0, Fraction(0), None
    day = row.due
    while day < end:
        open_now = row.open(day)[which]  # what is unpaid when the next day begins bears its charge
        if base is not None and open_now != base:
            total, gathered = total + gathered.__floor__(), Fraction(0)
        base = open_now
        gathered += Fraction(open_now * rate_bp, 10_000 * year)
        day += DAY
    return total + gathered.__floor__()


def instalments(
    disbursements: list[dict[str, Any]], repayments: list[dict[str, Any]], called: date | None
) -> tuple[list[Instalment], int]:
    """All instalments with their payments, and what was paid ahead of them all.

    What is lent, and not due, by the day of the call is due then, with its interest as earned.
    """
    rows: list[tuple[date, bytes, Instalment]] = []
    pooled: list[tuple[date, bytes, Instalment]] = []
    paid: dict[tuple[bytes, str], list[tuple[date, int, int]]] = {}
    for payment in repayments:
        when = date.fromisoformat(payment["paid_on"])
        for due, disbursement, interest, principal in payment["allocated"]:
            paid.setdefault((disbursement, due), []).append((when, interest, principal))
    pool: list[tuple[date, int]] = []
    for disbursement in disbursements:
        start = lent = date.fromisoformat(disbursement["disbursed_on"])
        for due, principal, interest in disbursement["schedule"]:
            last = date.fromisoformat(due)
            payments = paid.get((disbursement["id"], due), [])
            if called is None or last < called or lent > called:
                rows.append((last, disbursement["id"], Instalment(last, principal, interest, paid=payments)))
            else:
                share = Fraction(max(0, (called - start).days), (last - start).days) if last > start else Fraction(1)
                earned = (interest * share).__floor__()
                pooled.append((last, disbursement["id"], Instalment(called, principal, earned, called=True)))
                pool += [(when, one + other) for when, one, other in payments]
            start = last
    ahead = 0
    order = [row for _, _, row in sorted(pooled, key=lambda entry: entry[0])]
    for when, amount in sorted(pool, key=lambda part: part[0]):
        left = amount
        for row in order:
            principal, interest = row.open(date.max)
            of_interest = min(left, interest)
            of_principal = min(left - of_interest, principal)
            left -= of_interest + of_principal
            if of_interest or of_principal:
                row.paid.append((when, of_interest, of_principal))
        ahead += left
    return [row for _, _, row in sorted(rows, key=lambda entry: entry[0])] + order, ahead
