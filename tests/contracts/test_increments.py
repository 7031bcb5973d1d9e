"""Increments by milestone against rational numbers and against figures worked out by hand (DOMAIN 7)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import increments
from contracts.increments import Grant, Ladder
from contracts.statistics import B
from tests.exact.increments import check, run
from tests.exact.increments_by_fractions import Attain, Close, Correct, History, Step, Undo

HALVES = Ladder(1_000_001, (("ordered", 1), ("received", 2)), ())

_STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Attain, st.integers(0, 3)),
    st.builds(Undo, st.integers(0, 3)),
    st.builds(Close, st.one_of(st.none(), st.integers(0, B))),
    st.builds(Correct, st.integers(0, 2**53)),
)


def test_a_thousand_random_histories_equal_rational_numbers_to_the_last_unit() -> None:
    assert run(1_000, seed=7) > 5_000


@settings(max_examples=200, deadline=None)
@given(
    m=st.integers(0, 2**53),
    weights=st.lists(st.integers(1, 1_000_000), min_size=4, max_size=4),
    steps=st.lists(_STEPS, max_size=20),
)
def test_histories_that_hypothesis_thinks_of(m: int, weights: list[int], steps: list[Step]) -> None:
    check(History(m, tuple(weights), tuple(steps)))


def test_grant_by_hand() -> None:
    # 1 000 001 * 2 * 9 677 // (3 * 10 000) = 19 354 019 354 // 30 000 = 645 133
    ladder, fresh = increments.close(HALVES, {"received"}, 3, 9_677)
    assert fresh == (("received", Grant(645_133, 3, 9_677)),)
    assert ladder.granted == 645_133
    assert increments.completion(ladder, {"received"}) == 6_666


def test_undoing_takes_back_exactly_what_was_granted_and_redoing_uses_the_new_credibility() -> None:
    ladder, _ = increments.close(HALVES, {"ordered"}, 1, B)
    assert ladder.granted == 333_333
    ladder, taken = increments.undo(ladder, set())
    assert taken == (("ordered", Grant(333_333, 1, B)),)
    assert ladder.granted == 0
    ladder, fresh = increments.close(ladder, {"ordered"}, 2, 5_000)
    assert fresh == (("ordered", Grant(166_666, 2, 5_000)),)


def test_what_is_granted_once_is_not_granted_again_at_a_better_credibility() -> None:
    ladder, _ = increments.close(HALVES, {"ordered"}, 1, 5_000)
    ladder, fresh = increments.close(ladder, {"ordered"}, 2, B)
    assert fresh == ()
    assert ladder.granted == 166_666


def test_a_period_without_records_grants_nothing_and_the_milestone_waits() -> None:
    ladder, fresh = increments.close(HALVES, {"ordered"}, 1, None)
    assert (ladder, fresh) == (HALVES, ())
    ladder, fresh = increments.close(ladder, {"ordered"}, 2, 4_000)
    assert [name for name, _ in fresh] == ["ordered"]


def test_a_corrected_contract_states_every_grant_anew_at_its_own_credibility() -> None:
    ladder, _ = increments.close(HALVES, {"ordered", "received"}, 1, 9_000)
    assert ladder.granted == 300_000 + 600_000
    lowered = increments.correct(ladder, 30)
    assert [held.amount for _, held in lowered.grants] == [9, 18]
    assert increments.correct(lowered, 1_000_001) == ladder
    assert increments.correct(ladder, 0).granted == 0


@pytest.mark.parametrize(
    ("net", "cap", "initial", "expected"),
    [(100, None, 40, 60), (100, 70, 40, 30), (100, 30, 40, 0), (0, None, 0, 0), (100, 0, 0, 0), (100, 200, 100, 0)],
)
def test_headroom(net: int, cap: int | None, initial: int, expected: int) -> None:
    assert increments.headroom(net, cap, initial) == expected


@pytest.mark.parametrize(
    ("value", "share", "net", "expected"),
    [(50, 5_000, 100, True), (49, 5_000, 100, False), (0, 0, 100, True), (0, 0, 0, False), (7, 0, 0, False)],
)
def test_a_milestone_is_attained_at_its_share_of_a_contract_that_is_worth_something(
    value: int, share: int, net: int, expected: bool
) -> None:
    assert increments.is_attained(value, share, net) is expected


def test_no_milestones_no_completion_and_nothing_granted() -> None:
    bare = Ladder(1_000, (), ())
    assert increments.completion(bare, set()) is None
    assert increments.close(bare, set(), 1, B) == (bare, ())


@pytest.mark.parametrize(("m", "weight", "total", "credibility"), [(-1, 1, 1, 0), (1, 2, 1, 0), (1, 1, 1, B + 1)])
def test_a_grant_outside_its_bounds_is_a_bug(m: int, weight: int, total: int, credibility: int) -> None:
    with pytest.raises(ValueError, match="no grant"):
        increments.grant(m, weight, total, credibility)
