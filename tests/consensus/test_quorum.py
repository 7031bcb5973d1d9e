"""Quorum arithmetic against a dumb alternative: all pairs of quorums, counted out."""

from __future__ import annotations

from itertools import combinations

import pytest

from chain.certificate import ValidatorSet, faults, quorum


def smallest_safe_quorum(n: int) -> int:
    """The smallest q such that any two sets of q out of n share more validators than may lie, found by trying."""
    liars = max(f for f in range(n) if 3 * f < n)
    for size in range(1, n + 1):
        first = set(range(size))
        if all(len(first & set(other)) > liars for other in combinations(range(n), size)):
            return size
    raise AssertionError("n of n always intersect")


@pytest.mark.parametrize("n", range(1, 17))
def test_two_quorums_share_an_honest_validator_and_no_smaller_size_does(n: int) -> None:
    assert quorum(n) == smallest_safe_quorum(n)


@pytest.mark.parametrize("n", range(1, 17))
def test_the_honest_alone_are_a_quorum(n: int) -> None:
    assert n - faults(n) >= quorum(n)


@pytest.mark.parametrize("n", range(1, 17))
def test_an_f_plus_one_contains_an_honest_validator_and_f_does_not(n: int) -> None:
    assert 3 * faults(n) < n <= 3 * (faults(n) + 1)


@pytest.mark.parametrize("n", [5, 6])
def test_2f_plus_1_is_not_a_quorum_where_n_is_not_3f_plus_1(n: int) -> None:
    size = 2 * faults(n) + 1
    assert size < quorum(n)
    assert any(len({*range(size)} & {*other}) <= faults(n) for other in combinations(range(n), size))


@pytest.mark.parametrize("n", range(1, 17))
def test_the_leader_rotates_with_height_plus_round(n: int) -> None:
    members = ValidatorSet(0, tuple((f"m{i:02}", bytes([i]) * 32) for i in range(n)))
    for height in range(1, 2 * n):
        assert {members.leader(height, r) for r in range(n)} == set(members.ids)
        assert members.leader(height, 1) == members.leader(height + 1, 0)
