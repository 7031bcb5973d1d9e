"""A small instance of `python -m tests.fakes`, held to the marks of docs/fakes.md."""

from __future__ import annotations

import pytest

from tests.fakes.__main__ import CAUGHT, FALSE
from tests.fakes.measure import Score, measure
from tests.fakes.planted import PLANTS


def hold(scores: dict[str, Score]) -> None:
    assert set(scores) == set(PLANTS)
    for kind, score in scores.items():
        assert score.caught_share >= CAUGHT, f"{kind}: {score.caught} of {score.planted} caught"
        assert score.false_share <= FALSE, f"{kind}: {score.false_alarms} of {score.clean} clean bills alarmed"


def test_fakes_are_noticed_and_clean_bills_left_in_peace() -> None:
    hold(measure(2, sellers=2, trades=6))


@pytest.mark.slow
def test_more_fakes_in_longer_histories_are_noticed() -> None:
    hold(measure(8, seed=2))
