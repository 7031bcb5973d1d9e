"""Claims against rational numbers: ``python -m tests.exact.claims --histories 20000``.

A history is drawn from its seed: up to three disbursements with up to six instalments each, payments in their order,
allocated by the contract's own `allocate`, then a claim on some day, with the debt called in or not. Every part must
equal the rational one to the last unit, and the lines must add up.
"""

from __future__ import annotations

import argparse
import random
import sys
from datetime import date, timedelta
from typing import Any

from contracts import claims, repayments
from contracts.claims import Claim, Terms
from tests.exact import claims_by_fractions

START = date(2025, 11, 3)
PARTS = ("principal", "interest", "penalty", "compound", "undue_principal", "undue_interest", "daily")


def history(seed: int) -> dict[str, Any]:
    """Disbursements, repayments, what is unpaid, and the claim's day, terms and call, all from a seed."""
    chance = random.Random(seed)
    disbursements = [_disbursement(chance, number) for number in range(chance.randint(1, 3))]
    disbursements.sort(key=lambda entry: str(entry["disbursed_on"]))
    for height, entry in enumerate(disbursements):
        entry["height"] = height
    last = max(date.fromisoformat(row[0]) for entry in disbursements for row in entry["schedule"])
    as_of = START + timedelta(days=chance.randint(40, (last - START).days + 200))
    paid, rows = _payments(chance, disbursements, as_of)
    disbursements = [entry for entry in disbursements if date.fromisoformat(entry["disbursed_on"]) <= as_of]
    agreed = Terms(chance.randint(0, 3_000), chance.randint(0, 3_000), chance.choice((360, 365)), True)
    called = START + timedelta(days=chance.randint(0, (as_of - START).days)) if chance.random() < 0.5 else None
    return {
        "disbursements": disbursements,
        "repayments": paid,
        "rows": rows,
        "terms": agreed,
        "as_of": as_of.isoformat(),
        "called_on": None if called is None else called.isoformat(),
    }


def check(seed: int) -> Claim:
    """Compute the claim of a history both ways; raises AssertionError where they differ."""
    case = history(seed)
    found = claims.claim(
        case["rows"],
        case["disbursements"],
        case["repayments"],
        case["terms"],
        case["as_of"],
        0,
        accelerated_on=case["called_on"],
    )
    agreed = case["terms"]
    wanted = claims_by_fractions.owed(
        case["disbursements"],
        case["repayments"],
        (agreed.penalty_bp, agreed.compound_bp, agreed.day_count),
        case["as_of"],
        case["called_on"],
    )
    for part in PARTS:
        assert getattr(found, part) == wanted[part], (
            f"seed {seed}: {part} {getattr(found, part)}, by hand {wanted[part]}"
        )
    assert sum(line.amount for line in found.lines) == found.total, f"seed {seed}: the lines do not add up"
    parts = found.principal + found.interest + found.penalty + found.compound + found.costs
    assert parts == found.total, f"seed {seed}: the parts do not add up"
    return found


def _disbursement(chance: random.Random, number: int) -> dict[str, Any]:
    paid_out = START + timedelta(days=chance.randint(0, 120))
    day = paid_out
    schedule: list[list[Any]] = []
    for _ in range(chance.randint(1, 6)):
        day += timedelta(days=chance.randint(0 if not schedule else 1, 90))
        schedule.append([day.isoformat(), chance.choice((0, chance.randint(1, 10**9))), chance.randint(1, 10**7)])
    return {
        "id": bytes([number + 1]) * 32,
        "amount": sum(row[1] for row in schedule),
        "disbursed_on": paid_out.isoformat(),
        "schedule": schedule,
    }


def _payments(
    chance: random.Random, disbursements: list[dict[str, Any]], as_of: date
) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """Payments until a day, as the contract books them, and the schedule's rows that they leave."""
    rows: list[list[Any]] = []
    paid: list[dict[str, Any]] = []
    events: list[tuple[date, int, dict[str, Any] | None]] = [
        (date.fromisoformat(entry["disbursed_on"]), 0, entry) for entry in disbursements
    ]
    span = max((as_of - START).days, 1)
    events += [(START + timedelta(days=chance.randint(0, span)), 1, None) for _ in range(chance.randint(0, 6))]
    for day, _, entry in sorted(events, key=lambda event: event[:2]):
        if day > as_of:
            continue
        if entry is not None:
            added = [
                [due, 0, entry["id"], principal, interest, 0, 0] for due, principal, interest in entry["schedule"]
            ]
            rows = sorted([*rows, *added], key=lambda row: str(row[0]))
            continue
        owed = sum(row[3] + row[4] - row[5] - row[6] for row in rows)
        amount = chance.choice((chance.randint(0, owed), chance.randint(0, owed // 4), owed)) if owed else 0
        if not amount:
            continue
        rows, allocated = repayments.allocate(rows, amount)
        identity = bytes([100 + len(paid)]) * 32
        booked = {"id": identity, "amount": amount, "paid_on": day.isoformat(), "height": 1_000 + len(paid)}
        paid.append({**booked, "allocated": allocated})
    return paid, rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    lines = called = 0
    for seed in range(options.first, options.first + options.histories):
        found = check(seed)
        lines += len(found.lines)
        called += any(line.rule in (claims.ACCELERATED, claims.ACCRUED) for line in found.lines)
    print(f"{options.histories} histories, {lines} lines, {called} called in: equal to the last unit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
