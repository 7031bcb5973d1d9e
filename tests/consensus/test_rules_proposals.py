"""R1, R2, R3, R15: which proposals are accepted. One test per sentence; one real core ("a" of four) at a time.

At height 1 the leaders of rounds 0, 1, 2, 3 are b, c, d, a.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus.events import BuildBlock, Execute, Executed, Now, Sign
from consensus.messages import Prepare, PrePrepare, RoundChange
from tests.agreement.committee import START_MS, Committee, Seat, of


@pytest.fixture
def committee() -> Committee:
    return Committee(4)


@pytest.fixture
def a(committee: Committee) -> Seat:
    return committee.seat("a")


def prepared_digests(seat: Seat) -> list[tuple[int, bytes]]:
    return [(vote.round, vote.digest) for vote in seat.sent(Prepare)]


# ------------------------------------------------------------------------------------------------ R1


def test_r1_round_0_takes_the_right_leaders_valid_block(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    assert prepared_digests(a) == [(0, block.digest)]


def test_r1_round_0_refuses_another_sender(committee: Committee, a: Seat) -> None:
    a.receive(committee.pre_prepare(committee.block(a.head, "c"), sender="c"))
    assert not a.sent(Prepare)


def test_r1_round_0_refuses_the_leaders_name_under_anothers_signature(committee: Committee, a: Seat) -> None:
    proposal = committee.pre_prepare(committee.block(a.head, "b"))
    forged = committee.sign(replace(proposal, sender="c"))
    a.receive(replace(forged, sender="b"))
    assert not a.sent(Prepare)


def test_r1_round_0_refuses_a_justification(committee: Committee, a: Seat) -> None:
    changes = tuple(committee.round_change(s, 1, 1) for s in "bcd")
    a.receive(committee.pre_prepare(committee.block(a.head, "b"), justification=changes))
    assert not a.sent(Prepare)


def test_r1_an_invalid_block_gets_no_vote(committee: Committee, a: Seat) -> None:
    a.diverges = True
    a.receive(committee.pre_prepare(committee.block(a.head, "b")))
    assert of(a.log, Execute)
    assert not a.sent(Prepare)


def test_r1_a_block_on_another_parent_is_not_even_executed(committee: Committee, a: Seat) -> None:
    elsewhere = replace(a.head, digest=bytes(32))
    a.receive(committee.pre_prepare(committee.block(elsewhere, "b")))
    assert not of(a.log, Execute)


def test_r1_a_fresh_block_names_its_leader_as_proposer(committee: Committee, a: Seat) -> None:
    a.receive(committee.pre_prepare(committee.block(a.head, "d")))
    assert not a.sent(Prepare)


# ------------------------------------------------------------------------------------------------ R2


def justified(committee: Committee, a: Seat, count: int = 3) -> PrePrepare:
    """Round 1 of leader c with ``count`` null ROUND-CHANGEs and a fresh block."""
    entries = tuple(committee.round_change(s, 1, 1) for s in "bcd"[:count])
    return committee.pre_prepare(committee.block(a.head, "c"), 1, justification=entries)


def test_r2_q_round_changes_for_the_round_justify_a_fresh_block(committee: Committee, a: Seat) -> None:
    proposal = justified(committee, a)
    a.receive(proposal)
    assert prepared_digests(a) == [(1, proposal.digest)]


def test_r2_fewer_than_q_round_changes_justify_nothing(committee: Committee, a: Seat) -> None:
    a.receive(justified(committee, a, count=2))
    assert not a.sent(Prepare)


def test_r2_signers_are_counted_not_round_changes(committee: Committee, a: Seat) -> None:
    b, c = committee.round_change("b", 1, 1), committee.round_change("c", 1, 1)
    for third in (c, committee.sign_again(c)):
        a.receive(committee.pre_prepare(committee.block(a.head, "c"), 1, justification=(b, c, third)))
    assert not a.sent(Prepare)


@pytest.mark.parametrize(("height", "round_number"), [(1, 2), (2, 1)])
def test_r2_round_changes_must_be_for_exactly_the_height_and_round(
    committee: Committee, a: Seat, height: int, round_number: int
) -> None:
    entries = (*(committee.round_change(s, 1, 1) for s in "bc"), committee.round_change("d", height, round_number))
    a.receive(committee.pre_prepare(committee.block(a.head, "c"), 1, justification=entries))
    assert not a.sent(Prepare)


def test_r2_every_round_change_must_be_signed_by_its_sender(committee: Committee, a: Seat) -> None:
    entries = [committee.round_change(s, 1, 1) for s in "bcd"]
    entries[2] = replace(entries[1], sender="d")
    a.receive(committee.pre_prepare(committee.block(a.head, "c"), 1, justification=tuple(entries)))
    assert not a.sent(Prepare)


@pytest.mark.parametrize("half", ["round", "digest"])
def test_r2_prepared_round_and_digest_are_both_null_or_both_set(committee: Committee, a: Seat, half: str) -> None:
    block = committee.block(a.head, "c")
    prepared_round, digest = (0, None) if half == "round" else (None, block.digest)
    odd = committee.sign(RoundChange(1, 1, prepared_round, digest, "d"))
    entries = (*(committee.round_change(s, 1, 1) for s in "bc"), odd)
    a.receive(committee.pre_prepare(block, 1, justification=entries))
    assert not a.sent(Prepare)


def test_r2_the_prepared_round_is_below_the_round(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    lock = committee.lock(block, 1, "bcd")
    entries = (*(committee.round_change(s, 1, 1) for s in "bc"), committee.round_change("d", 1, 1, lock))
    a.receive(committee.pre_prepare(block, 1, justification=entries, prepares=lock[2]))
    assert not a.sent(Prepare)


def two_locks(committee: Committee, a: Seat) -> tuple[PrePrepare, PrePrepare]:
    """Round 2 (leader d): old was prepared at 0, new at 1. Proposals of old and of new, each with its PREPAREs."""
    old, new = committee.block(a.head, "b", "old"), committee.block(a.head, "c", "new")
    lower, higher = committee.lock(old, 0, "abc"), committee.lock(new, 1, "bcd")
    entries = (
        committee.round_change("b", 1, 2, lower),
        committee.round_change("c", 1, 2, higher),
        committee.round_change("d", 1, 2),
    )
    return (
        committee.pre_prepare(old, 2, justification=entries, prepares=lower[2]),
        committee.pre_prepare(new, 2, justification=entries, prepares=higher[2]),
    )


def test_r2_the_highest_prepared_round_is_proposed_again(committee: Committee, a: Seat) -> None:
    _, new = two_locks(committee, a)
    a.receive(new)
    assert prepared_digests(a) == [(2, new.digest)]


def test_r2_a_lower_prepared_round_is_refused(committee: Committee, a: Seat) -> None:
    old, _ = two_locks(committee, a)
    a.receive(old)
    assert not a.sent(Prepare)


def test_r2_the_highest_round_needs_its_own_prepares(committee: Committee, a: Seat) -> None:
    old, new = two_locks(committee, a)
    a.receive(replace(new, prepares=old.prepares))
    assert not a.sent(Prepare)


def test_r2_a_fresh_block_is_refused_where_something_was_prepared(committee: Committee, a: Seat) -> None:
    _, new = two_locks(committee, a)
    fresh = committee.block(a.head, "d")
    a.receive(committee.pre_prepare(fresh, 2, justification=new.justification))
    assert not a.sent(Prepare)


def reproposal(committee: Committee, a: Seat, senders: str = "bcd", time: int | None = None) -> PrePrepare:
    """Round 1 (leader c): b's block of round 0, prepared by ``senders``, proposed again."""
    block = committee.block(a.head, "b", time=time)
    lock = committee.lock(block, 0, senders)
    entries = (*(committee.round_change(s, 1, 1) for s in "bd"), committee.round_change("c", 1, 1, lock))
    return committee.pre_prepare(block, 1, justification=entries, prepares=lock[2])


def test_r2_fewer_than_q_prepares_prove_nothing(committee: Committee, a: Seat) -> None:
    a.receive(reproposal(committee, a, senders="bc"))
    assert not a.sent(Prepare)


def test_r2_prepare_signers_are_counted_not_prepares(committee: Committee, a: Seat) -> None:
    proposal = reproposal(committee, a, senders="bc")
    for third in (proposal.prepares[1], committee.sign_again(proposal.prepares[1])):
        a.receive(replace(proposal, prepares=(*proposal.prepares, third)))
    assert not a.sent(Prepare)


def test_r2_the_prepares_of_a_round_change_are_counted_by_signer_too(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    two = committee.prepares("bc", 1, 0, block.digest)
    padded = (0, block.digest, (*two, committee.sign_again(two[1])))
    a.receive(*(committee.round_change(s, 1, 3, padded) for s in "bc"))
    assert a.core.round == 0


def test_r2_every_prepare_must_verify(committee: Committee, a: Seat) -> None:
    proposal = reproposal(committee, a)
    forged = replace(proposal.prepares[1], sender="d")
    a.receive(replace(proposal, prepares=(*proposal.prepares[:2], forged)))
    assert not a.sent(Prepare)


def test_r2_a_reproposed_block_keeps_its_proposer(committee: Committee, a: Seat) -> None:
    proposal = reproposal(committee, a)
    a.receive(proposal)
    assert proposal.sender == "c"
    assert prepared_digests(a) == [(1, proposal.digest)]


def test_r2_the_leader_proposes_the_highest_lock_it_was_told_of(committee: Committee, a: Seat) -> None:
    old, new = committee.block(a.head, "b", "old"), committee.block(a.head, "c", "new")
    a.receive(
        committee.round_change("b", 1, 3, committee.lock(old, 0, "bcd")),
        committee.round_change("c", 1, 3, committee.lock(new, 1, "bcd")),
    )
    (proposal,) = a.sent(PrePrepare)
    assert (proposal.round, proposal.digest) == (3, new.digest)
    assert {change.sender for change in proposal.justification} == {"a", "b", "c"}
    assert not of(a.log, BuildBlock)


def test_r2_the_leader_without_locks_builds_a_fresh_block(committee: Committee, a: Seat) -> None:
    a.receive(committee.round_change("b", 1, 3), committee.round_change("c", 1, 3))
    (proposal,) = a.sent(PrePrepare)
    assert of(a.log, BuildBlock) == [BuildBlock(1, 3)]
    assert proposal.block is not None
    assert proposal.block.header.proposer == "a"


# ------------------------------------------------------------------------------------------------ R3


def test_r3_one_proposal_a_round(committee: Committee, a: Seat) -> None:
    first, second = committee.block(a.head, "b", "1"), committee.block(a.head, "b", "2")
    a.receive(committee.pre_prepare(first), committee.pre_prepare(second))
    assert prepared_digests(a) == [(0, first.digest)]


def test_r3_a_justified_proposal_of_a_higher_round_is_accepted_at_once(committee: Committee, a: Seat) -> None:
    a.receive(committee.pre_prepare(committee.block(a.head, "b")))
    proposal = justified(committee, a)
    a.receive(proposal)
    assert a.core.round == 1
    assert prepared_digests(a)[-1] == (1, proposal.digest)


def test_r3_a_proposal_below_the_current_round_gets_no_vote(committee: Committee, a: Seat) -> None:
    a.fire()
    assert a.core.round == 1
    a.receive(committee.pre_prepare(committee.block(a.head, "b")))
    assert not a.sent(Prepare)


def test_r3_a_result_that_comes_after_the_round_was_left_gets_no_vote(committee: Committee, a: Seat) -> None:
    a.is_executing = False
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    a.fire()
    a.give(Executed(block.digest, True))
    assert not a.sent(Prepare)


def test_r3_a_signature_that_comes_after_the_round_was_left_is_not_sent(committee: Committee, a: Seat) -> None:
    a.is_signing = False
    a.receive(committee.pre_prepare(committee.block(a.head, "b")))
    (request,) = of(a.log, Sign)
    a.fire()
    a.is_signing = True
    a.give(a.sign(request.message, request.payload, None))
    assert not a.sent(Prepare)


def test_r3_execution_comes_before_the_prepare(committee: Committee, a: Seat) -> None:
    a.is_executing = False
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    assert of(a.log, Execute) == [Execute(block)]
    assert not of(a.log, Sign)
    a.give(Executed(block.digest, True))
    assert prepared_digests(a) == [(0, block.digest)]


def test_r3_one_prepare_a_round(committee: Committee, a: Seat) -> None:
    proposal = committee.pre_prepare(committee.block(a.head, "b"))
    a.receive(proposal, proposal)
    assert len(of(a.log, Sign)) == 1


def test_r3_a_result_is_cached_by_digest_for_a_reproposal(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    lock = committee.lock(block, 0, "bcd")
    entries = tuple(committee.round_change(s, 1, 1, lock) for s in "bcd")
    a.receive(committee.pre_prepare(block, 1, justification=entries, prepares=lock[2]))
    assert prepared_digests(a) == [(0, block.digest), (1, block.digest)]
    assert len(of(a.log, Execute)) == 1


def test_r3_a_stale_result_is_dropped(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    a.give(Executed(block.digest, True))
    a.is_executing = False
    a.receive(committee.pre_prepare(block))
    assert of(a.log, Execute)
    assert not a.sent(Prepare)


# ------------------------------------------------------------------------------------------------ R15


@pytest.mark.parametrize(
    ("offset", "accepted"), [(-10_000, True), (-10_001, False), (0, True), (2_000, True), (2_001, False)]
)
def test_r15_a_fresh_time_is_within_10_s_before_and_2_s_after_the_clock(offset: int, accepted: bool) -> None:
    committee = Committee(4)
    committee.now = START_MS + 60_000
    a = committee.seat("a")
    a.receive(committee.pre_prepare(committee.block(a.head, "b", time=committee.now + offset)))
    assert bool(a.sent(Prepare)) is accepted


@pytest.mark.parametrize("age", [60_000, 1])
def test_r15_a_reproposal_is_not_judged_by_the_clock(age: int) -> None:
    committee = Committee(4)
    committee.now = START_MS + 120_000
    a = committee.seat("a")
    a.receive(reproposal(committee, a, time=committee.now - age))
    assert a.sent(Prepare)


@pytest.mark.parametrize("fresh", [True, False])
def test_r15_a_block_is_always_later_than_its_parent(committee: Committee, a: Seat, fresh: bool) -> None:
    time = a.head.time
    proposal = (
        committee.pre_prepare(committee.block(a.head, "b", time=time))
        if fresh
        else reproposal(committee, a, time=time)
    )
    a.receive(proposal)
    assert not of(a.log, Execute)


def test_r15_a_proposal_judged_in_time_is_not_too_old_when_its_execution_ends(committee: Committee, a: Seat) -> None:
    a.is_executing = False
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    a.give(Now(committee.now + 60_000))
    a.give(Executed(block.digest, True))
    assert a.sent(Prepare)
