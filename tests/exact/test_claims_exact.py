"""A small instance of `python -m tests.exact.claims`: claims against rational numbers, day by day."""

from __future__ import annotations

import pytest

from contracts import claims as contract
from tests.exact import claims, claims_by_fractions

HISTORIES = 100


def test_every_part_equals_the_rational_one_to_the_last_unit() -> None:
    found = [claims.check(seed) for seed in range(HISTORIES)]
    rules = {line.rule for claim in found for line in claim.lines}
    assert rules == {
        contract.PRINCIPAL,
        contract.INTEREST,
        contract.PENALTY,
        contract.COMPOUND,
        contract.ACCELERATED,
        contract.ACCRUED,
    }
    assert sum(bool(claim.payments) for claim in found) > HISTORIES // 3


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of delay more on the rational side, and the first histories say so."""
    charge = claims_by_fractions.charge
    monkeypatch.setattr(
        claims_by_fractions, "charge", lambda row, which, rate, year, end: charge(row, which, rate + 1, year, end)
    )
    with pytest.raises(AssertionError, match=r"seed \d+: \w+ \d+, by hand"):
        _first_ten()


def _first_ten() -> None:
    for seed in range(10):
        claims.check(seed)
