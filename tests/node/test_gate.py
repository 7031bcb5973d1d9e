"""The gate before the handshake: strangers are bounded, and members get through them."""

from __future__ import annotations

from functools import partial

from node.gate import TRACKED, Gate, Throttle


def gate(max_pending: int = 4, starts_per_s: float = 1.0, burst: int = 100) -> Gate:
    return Gate(max_pending=max_pending, starts_per_s=starts_per_s, burst=burst)


def test_at_the_cap_the_oldest_of_the_most_crowded_address_goes() -> None:
    subject = gate()
    evicted: list[str] = []
    for address, name in (("x", "x1"), ("x", "x2"), ("x", "x3"), ("member", "m"), ("y", "y1"), ("z", "z1")):
        assert subject.admit(address, partial(evicted.append, name), 0.0)
    assert evicted == ["x1", "x2"]
    assert subject.pending == 4


def test_a_finished_handshake_frees_its_place_once() -> None:
    subject = gate(max_pending=1)
    first = subject.admit("a", lambda: None, 0.0)
    assert first is not None
    subject.done(first)
    subject.done(first)
    assert subject.pending == 0
    assert subject.admit("b", lambda: None, 0.0)
    assert subject.pending == 1


def test_an_unknown_address_starts_a_burst_and_then_so_many_a_second() -> None:
    subject = gate(max_pending=1000, starts_per_s=2.0, burst=3)
    started = [subject.admit("x", lambda: None, 0.0) is not None for _ in range(5)]
    assert started == [True, True, True, False, False]
    assert subject.admit("y", lambda: None, 0.0), "another address is not affected"
    assert subject.admit("x", lambda: None, 0.5)
    assert subject.admit("x", lambda: None, 0.5) is None
    later = [subject.admit("x", lambda: None, 100.0) is not None for _ in range(5)]
    assert later == [True, True, True, False, False]


def test_a_member_address_has_no_start_rate() -> None:
    subject = gate(max_pending=1000, starts_per_s=1.0, burst=1)
    subject.known = frozenset({"member"})
    assert all(subject.admit("member", lambda: None, 0.0) for _ in range(50))


def test_what_is_remembered_is_bounded() -> None:
    subject, throttle = gate(max_pending=10), Throttle(60.0)
    for n in range(TRACKED + 500):
        subject.admit(f"host {n}", lambda: None, 0.0)
        throttle.passes(f"key {n}", 0.0)
    assert subject.pending == 10
    assert len(subject._starts) == TRACKED
    assert len(throttle._last) == TRACKED


def test_a_throttle_passes_one_an_interval_and_counts_the_rest() -> None:
    throttle = Throttle(60.0)
    assert throttle.passes("a", 0.0) == 0
    assert throttle.passes("a", 1.0) is None
    assert throttle.passes("a", 59.0) is None
    assert throttle.passes("b", 59.0) == 0
    assert throttle.passes("a", 60.0) == 2
    assert throttle.passes("a", 61.0) is None
