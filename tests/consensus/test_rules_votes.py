"""R4, R5, R7, R8: votes, the lock, the decision, and what a restart keeps. One test per sentence."""

from __future__ import annotations

import pytest

from chain.block import Block
from consensus.events import (
    Broadcast,
    BuildBlock,
    Committed,
    Decide,
    Effect,
    Executed,
    SendTo,
    SetTimer,
    Sign,
    Signed,
    SignRefused,
    Start,
    Timer,
)
from consensus.messages import BlockRequest, Commit, Decided, Prepare, PrePrepare, RoundChange
from tests.agreement.committee import Committee, Disk, Seat, of


@pytest.fixture
def committee() -> Committee:
    return Committee(4)


@pytest.fixture
def a(committee: Committee) -> Seat:
    return committee.seat("a")


def proposed(committee: Committee, seat: Seat) -> Block:
    """b's block of round 0, received by ``seat``."""
    block = committee.block(seat.head, "b")
    seat.receive(committee.pre_prepare(block))
    return block


def locked(committee: Committee, seat: Seat) -> Block:
    """The same, prepared by b and c too: ``seat`` is locked on it at round 0."""
    block = proposed(committee, seat)
    seat.receive(*committee.prepares("bc", 1, 0, block.digest))
    assert seat.core.prepared is not None
    return block


# ------------------------------------------------------------------------------------------------ R4


def test_r4_q_prepares_for_the_accepted_block_lock_it(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    a.receive(committee.prepare("b", 1, 0, block.digest))
    assert a.core.prepared is None
    a.receive(committee.prepare("c", 1, 0, block.digest))
    assert a.core.prepared is not None
    assert [vote.digest for vote in a.sent(Commit)] == [block.digest]


def test_r4_lock_and_commit_are_one_write_and_the_commit_is_sent_only_after_it(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    a.is_signing = False
    effects = a.receive(*committee.prepares("bc", 1, 0, block.digest))
    (request,) = of(effects, Sign)
    assert isinstance(request.message, Commit)
    assert request.prepared is not None
    assert request.prepared.block is block
    assert {vote.sender for vote in request.prepared.prepares} == {"a", "b", "c"}
    assert not of(effects, Broadcast)
    assert a.give(a.sign(request.message, request.payload, request.prepared))[0] == Broadcast(
        committee.commit("a", 1, 0, block.digest)
    )


def test_r4_no_vote_leaves_before_the_journal_has_it(committee: Committee) -> None:
    """Every broadcast of a vote follows the Signed of exactly that vote, in whole runs with round changes."""
    committee.start_all()
    for seat in committee.seats.values():
        seat.pending()
    committee.drop(kinds="PREPARE")
    for seat in committee.seats.values():
        seat.fire()
    committee.settle()
    for seat in committee.seats.values():
        asked: list[Effect] = []
        for effect in seat.log:
            if isinstance(effect, Sign):
                asked.append(effect)
            message = effect.message if isinstance(effect, Broadcast | SendTo) else None
            if isinstance(message, PrePrepare | Prepare | Commit | RoundChange):
                assert any(isinstance(s, Sign) and s.message == message.signed(b"") for s in asked)


def test_r4_prepares_of_another_round_or_digest_do_not_lock(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    a.receive(committee.prepare("b", 1, 1, block.digest), committee.prepare("c", 1, 0, bytes(32)))
    a.receive(committee.prepare("d", 2, 0, block.digest))
    assert a.core.prepared is None


def test_r4_one_validators_many_prepares_count_once(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    vote = committee.prepare("b", 1, 0, block.digest)
    a.receive(vote, vote, vote)
    assert a.core.prepared is None


def test_r4_prepares_for_a_proposal_that_was_not_accepted_do_not_lock(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    a.receive(*committee.prepares("bcd", 1, 0, block.digest))
    assert not a.sent(Commit)
    a.receive(committee.pre_prepare(block))
    assert a.sent(Commit)


def test_r4_prepares_do_not_lock_a_block_that_does_not_execute_here(committee: Committee, a: Seat) -> None:
    a.diverges = True
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block), *committee.prepares("bcd", 1, 0, block.digest))
    assert not a.sent(Commit)


def test_r4_the_lock_is_kept_through_rounds_and_declared_in_each(committee: Committee, a: Seat) -> None:
    block = locked(committee, a)
    a.fire()
    a.receive(*(committee.round_change(s, 1, 1) for s in "bd"))
    a.fire()
    changes = a.sent(RoundChange)
    assert [(c.round, c.prepared_round, c.prepared_digest) for c in changes] == [
        (1, 0, block.digest),
        (2, 0, block.digest),
    ]
    assert all(len(c.prepares) == 3 for c in changes)


def test_r4_a_lock_gives_way_only_to_a_higher_round(committee: Committee, a: Seat) -> None:
    locked(committee, a)
    newer = committee.block(a.head, "c")
    entries = tuple(committee.round_change(s, 1, 1) for s in "bcd")
    a.receive(committee.pre_prepare(newer, 1, justification=entries))
    assert a.core.prepared is not None
    assert a.core.prepared.round == 0
    a.receive(*committee.prepares("bc", 1, 1, newer.digest))
    assert a.core.prepared.round == 1
    assert a.core.prepared.block is newer


def test_r4_the_lock_is_declared_even_while_its_signature_is_pending(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    a.is_signing = False
    a.receive(*committee.prepares("bc", 1, 0, block.digest))
    a.fire()
    request = of(a.log, Sign)[-1]
    assert isinstance(request.message, RoundChange)
    assert request.message.prepared_digest == block.digest


# ------------------------------------------------------------------------------------------------ R5


def test_r5_q_commits_decide_and_the_certificate_carries_them(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    a.is_storing = False
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    (decide,) = of(a.log, Decide)
    assert decide.block is block
    assert [signer for signer, _ in decide.certificate.signatures] == ["b", "c", "d"]
    decide.certificate.check(committee.validators, block.header.network_id)


def test_r5_commits_of_a_past_round_decide(committee: Committee, a: Seat) -> None:
    block = locked(committee, a)
    a.fire()
    assert a.core.round == 1
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "bc"))
    assert of(a.log, Decide)[0].certificate.round == 0


def test_r5_commits_of_a_future_round_decide(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    a.receive(*(committee.commit(s, 1, 5, block.digest) for s in "bcd"))
    assert of(a.log, Decide)[0].certificate.round == 5


def test_r5_commits_of_different_rounds_do_not_add_up(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    a.receive(*(committee.commit(s, 1, r, block.digest) for r, s in enumerate("bcd")))
    assert not of(a.log, Decide)


def test_r5_commits_of_the_last_8_rounds_are_kept(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    a.receive(*(committee.commit("b", 1, r, block.digest) for r in range(8)))
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "cd"))
    assert of(a.log, Decide)


def test_r5_the_next_height_begins_only_when_the_block_is_durable(committee: Committee, a: Seat) -> None:
    a.is_storing = False
    block = proposed(committee, a)
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    assert a.core.height == 1
    a.give(Committed(committee.head_after(block, a.core.head)))
    assert (a.core.height, a.core.round) == (2, 0)


def test_r5_a_block_is_decided_once(committee: Committee, a: Seat) -> None:
    a.is_storing = False
    block = proposed(committee, a)
    a.receive(*(committee.commit(s, 1, r, block.digest) for r in (0, 1) for s in "bcd"))
    a.receive(Decided(block, committee.certificate(block, "bcd", 1)), peer="b")
    assert len(of(a.log, Decide)) == 1


def test_r5_a_certified_block_that_is_missing_is_fetched_executed_and_decided(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    assert a.sent(BlockRequest) == [BlockRequest(1, block.digest)]
    assert not of(a.log, Decide)
    a.receive(Decided(block, committee.certificate(block, "bcd")), peer="c")
    assert of(a.log, Decide)


# ------------------------------------------------------------------------------------------------ R7


def test_r7_every_signed_message_is_asked_of_the_signer_once_and_with_the_bytes_to_sign(
    committee: Committee, a: Seat
) -> None:
    block = locked(committee, a)
    a.fire()
    requests = of(a.log, Sign)
    assert [type(request.message) for request in requests] == [Prepare, Commit, RoundChange]
    for request in requests:
        assert request.payload == request.message.payload(block.header.network_id, 0)


def test_r7_a_refused_vote_is_not_sent_and_not_asked_for_again(committee: Committee, a: Seat) -> None:
    a.is_signing = False
    block = proposed(committee, a)
    (request,) = of(a.log, Sign)
    a.give(SignRefused(request.message, "another digest is in the journal"))
    a.receive(*committee.prepares("bc", 1, 0, block.digest))
    assert len(of(a.log, Sign)) == 1
    assert not a.sent(Prepare)


def test_r7_a_signature_nobody_asked_for_is_not_sent(committee: Committee, a: Seat) -> None:
    a.give(Signed(committee.prepare("a", 1, 0, bytes(32))))
    assert not a.sent(Prepare)


def test_r7_a_signature_over_something_else_is_not_sent(committee: Committee, a: Seat) -> None:
    a.is_signing = False
    proposed(committee, a)
    a.give(Signed(committee.prepare("a", 1, 0, bytes(32))))
    assert not a.sent(Prepare)


# ------------------------------------------------------------------------------------------------ R8


def restarted(committee: Committee, disk: Disk) -> Seat:
    committee.wire.clear()
    return committee.seat("a", disk)


def test_r8_a_restart_restores_round_votes_and_lock_and_sends_them_again(committee: Committee, a: Seat) -> None:
    block = locked(committee, a)
    a.fire()
    again = restarted(committee, a.disk)
    assert again.core.round == 1
    assert again.core.prepared is not None
    assert again.core.prepared.block.digest == block.digest
    (change,) = again.sent(RoundChange)
    assert change == a.sent(RoundChange)[-1]
    assert again.sent(Commit) == a.sent(Commit)
    assert not of(again.log, Sign)


def test_r8_the_restored_lock_still_binds(committee: Committee, a: Seat) -> None:
    block = locked(committee, a)
    again = restarted(committee, a.disk)
    again.fire()
    (change,) = again.sent(RoundChange)
    assert (change.prepared_round, change.prepared_digest) == (0, block.digest)
    assert len(change.prepares) == 3


def test_r8_after_a_restart_a_second_proposal_gets_no_vote_in_the_same_round(committee: Committee, a: Seat) -> None:
    first = proposed(committee, a)
    again = restarted(committee, a.disk)
    other = committee.block(again.head, "b", "other")
    again.receive(committee.pre_prepare(other), *committee.prepares("bcd", 1, 0, other.digest))
    assert {vote.digest for vote in again.sent(Prepare)} == {first.digest}
    assert not again.sent(Commit)
    assert not of(again.log, Sign)


def test_r8_after_a_restart_the_same_proposal_can_still_be_locked(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    again = restarted(committee, a.disk)
    again.receive(committee.pre_prepare(block), *committee.prepares("bc", 1, 0, block.digest))
    assert [vote.digest for vote in again.sent(Commit)] == [block.digest]


def test_r8_another_proposal_first_does_not_keep_the_right_one_out(committee: Committee, a: Seat) -> None:
    """The leader shows its second block to the restarted validator first: the first one still gets its lock."""
    block = proposed(committee, a)
    again = restarted(committee, a.disk)
    again.receive(committee.pre_prepare(committee.block(again.head, "b", "other")), committee.pre_prepare(block))
    again.receive(*committee.prepares("bc", 1, 0, block.digest))
    assert [vote.digest for vote in again.sent(Commit)] == [block.digest]


def test_r8_a_leader_that_restarts_does_not_propose_twice_in_a_round(committee: Committee) -> None:
    b = committee.seat("b")
    b.pending()
    assert b.sent(PrePrepare)
    again = committee.seat("b", b.disk)
    again.pending()
    assert not of(again.log, BuildBlock)
    assert not of(again.log, Sign)


def test_r8_a_restored_round_change_whose_lock_was_replaced_is_not_sent_unproved(
    committee: Committee, a: Seat
) -> None:
    """Locked at 0, ROUND-CHANGE(1) says so; then locked at 1: the journal has no PREPAREs of round 0 any more."""
    block = locked(committee, a)
    a.fire()
    lock = committee.lock(block, 0, "bcd")
    entries = tuple(committee.round_change(s, 1, 1, lock) for s in "bcd")
    a.receive(committee.pre_prepare(block, 1, justification=entries, prepares=lock[2]))
    a.receive(*committee.prepares("bc", 1, 1, block.digest))
    assert a.disk.prepared[1].round == 1
    again = restarted(committee, a.disk)
    assert not again.sent(RoundChange)
    assert {vote.round for vote in again.sent(Commit)} == {0, 1}
    again.receive(*committee.prepares("bc", 1, 1, block.digest))
    again.fire()
    assert [(c.round, c.prepared_round) for c in again.sent(RoundChange)] == [(2, 1)]


def test_r8_votes_of_a_decided_height_are_forgotten(committee: Committee, a: Seat) -> None:
    block = locked(committee, a)
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "bc"))
    again = restarted(committee, a.disk)
    assert (again.core.height, again.core.round, again.core.prepared) == (2, 0, None)
    assert not again.sent(Commit)


def test_r8_all_restart_between_commit_and_store_and_still_decide_the_same_block(committee: Committee) -> None:
    committee.start_all()
    for seat in committee.seats.values():
        seat.is_storing = False
        seat.pending()
    committee.settle()
    decided = {of(seat.log, Decide)[0].block.digest for seat in committee.seats.values()}
    for name, seat in list(committee.seats.items()):
        seat.disk.decided.clear()
        committee.seat(name, seat.disk)
    committee.settle()
    assert {seat.disk.decided[1][0].digest for seat in committee.seats.values()} == decided


def test_r8_a_journal_two_heights_ahead_of_the_store_stops_the_node(committee: Committee, a: Seat) -> None:
    block = locked(committee, a)
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "bc"))
    second = committee.block(a.head, "c")
    a.receive(committee.pre_prepare(second))
    again = restarted(committee, Disk(a.disk.journal))
    assert again.core.halted is not None
    assert "journal" in again.core.halted


def test_r8_a_halted_core_answers_nothing(committee: Committee, a: Seat) -> None:
    a.disk.journal[(3, Prepare.kind, 0)] = committee.prepare("a", 3, 0, bytes(32))
    again = restarted(committee, a.disk)
    assert again.core.halted is not None
    assert again.core.step(Start(committee.genesis)) == []
    assert again.receive(committee.pre_prepare(committee.block(committee.genesis, "b"))) == []


def test_r8_the_round_timer_runs_again_after_a_restart(committee: Committee, a: Seat) -> None:
    a.fire()
    again = restarted(committee, a.disk)
    again.receive(*(committee.round_change(s, 1, 1) for s in "bd"))
    assert SetTimer(Timer.ROUND, 1, 1, 2_000) in again.log


def test_r8_a_late_result_for_the_life_before_is_nothing(committee: Committee, a: Seat) -> None:
    block = proposed(committee, a)
    again = restarted(committee, a.disk)
    assert again.give(Executed(block.digest, True)) == []
