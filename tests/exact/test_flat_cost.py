"""A small instance of `python -m tests.exact.flat_cost`: an assessment costs the same after 20 times the records."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exact import flat_cost


@pytest.mark.slow
def test_an_assessment_costs_the_same_after_twenty_times_the_records(tmp_path: Path) -> None:
    few = flat_cost.measure(tmp_path / "few", 1_000, 1)
    many = flat_cost.measure(tmp_path / "many", 20_000, 1)
    assert (many.charged, many.reads) == (few.charged, few.reads)
