"""A small instance of `python -m tests.exact.credit`: ratings and limit against rational numbers."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.exact import credit, credit_by_fractions

HISTORIES = 48


def test_every_number_equals_the_rational_one_to_the_last_unit() -> None:
    found = [credit.check(seed) for seed in range(HISTORIES)]
    fates = Counter(fate for one in found for fate in one["fates"])
    assert {"matched", "partial", "unmatched", "contradicted", "duplicate"} == fates.keys()
    assert sum(one["limit"] > 0 for one in found) > HISTORIES // 10
    assert {one["bound"] for one in found} >= {"formula", "contract", "obligor_cap"}


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit off in the rational side, and the first histories say so."""
    strength = credit_by_fractions.strength
    monkeypatch.setattr(credit_by_fractions, "strength", lambda case, paper: strength(case, paper) + 1)
    with pytest.raises(AssertionError, match=r"seed 0: .* by hand"):
        credit.check(0)
