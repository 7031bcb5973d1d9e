"""The traps other consortium chains fell into (PROTOCOL.md, end), each as whole committees or hostile input.

Traps whose rule already has its tests are there: votes counted by signature and digests of lower rounds in
test_rules_proposals; double sign after restart in test_rules_votes; timer against decision, rounds that never meet,
one liar's huge round, unbounded memory in test_rules_rounds; voting while syncing, lying peers in
test_rules_catching_up.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from chain.block import Block
from chain.crypto import verify
from consensus.events import Decide, Evidence, Execute, Executed, Now, SendTo, Timer
from consensus.messages import (
    BlockReply,
    BlockRequest,
    Commit,
    Decided,
    Message,
    Prepare,
    PrePrepare,
    RoundChange,
    Status,
)
from tests.agreement.committee import NETWORK, Committee, Seat, of


def everybody(committee: Committee) -> list[Seat]:
    return list(committee.seats.values())


def decided_at(committee: Committee, height: int = 1) -> set[bytes]:
    return {seat.disk.decided[height][0].digest for seat in everybody(committee)}


def test_conflicting_locks_of_two_rounds_do_not_stop_the_chain() -> None:
    """quorum#305: a is locked on b's block of round 0, the others on c's of round 1; round 2 decides the higher."""
    committee = Committee(4).start_all()
    for seat in everybody(committee):
        seat.pending()
    committee.deliver(kinds="PRE_PREPARE")
    committee.deliver(kinds="PREPARE", to="a")
    committee.drop()
    for seat in everybody(committee):
        seat.fire()
    committee.drop(sender="a")
    committee.deliver(kinds="ROUND_CHANGE")
    committee.deliver(kinds="PRE_PREPARE", to="bd")
    committee.drop(to="a")
    committee.deliver(kinds="PREPARE")
    committee.drop()
    locks = {seat.name: seat.core.prepared for seat in everybody(committee)}
    assert {name: lock.round for name, lock in locks.items() if lock} == {"a": 0, "b": 1, "c": 1, "d": 1}
    committee.run(30_000)
    assert locks["b"] is not None
    assert decided_at(committee) == {locks["b"].block.digest}


@pytest.mark.parametrize("n", [5, 6])
def test_2f_plus_1_votes_neither_lock_nor_decide_where_n_is_not_3f_plus_1(n: int) -> None:
    """celo#117, quorum#796: f = 1, three votes are not enough."""
    committee = Committee(n)
    a = committee.seat("a")
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block), *committee.prepares("bc", 1, 0, block.digest))
    assert a.core.prepared is None
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    a.receive(Decided(block, committee.certificate(block, "bcd")), peer="b")
    assert not of(a.log, Decide)
    a.receive(committee.commit("e", 1, 0, block.digest))
    assert of(a.log, Decide)


def test_many_valid_signatures_of_one_signer_are_one_vote() -> None:
    """besu#1671, #1736: Ed25519 has a valid signature for every nonce, all of them real here."""
    committee = Committee(4)
    a = committee.seat("a")
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    for nonce in range(1, 9):
        for vote in (Prepare(1, 0, block.digest, "b"), Commit(1, 0, block.digest, "b")):
            again = committee.sign_again(vote, nonce)
            assert verify(committee.keys["b"].public, again.payload(NETWORK, 0), again.signature)
            a.receive(again)
    assert a.core.prepared is None
    certificate = committee.certificate(block, "bc")
    third = ("c", committee.sign_again(Commit(1, 0, block.digest, "c")).signature)
    a.receive(Decided(block, replace(certificate, signatures=(*certificate.signatures, third))), peer="d")
    assert not of(a.log, Decide)


def test_a_reproposed_block_keeps_its_digest_through_rounds() -> None:
    """besu#2134: the round is not in the digest. b's block, prepared in round 0, is decided in round 1."""
    committee = Committee(4).start_all()
    for seat in everybody(committee):
        seat.pending()
    committee.deliver(kinds="PRE_PREPARE")
    committee.deliver(kinds="PREPARE")
    committee.drop()
    (proposal,) = committee.seats["b"].sent(PrePrepare)
    for seat in everybody(committee):
        seat.fire()
    committee.settle()
    assert decided_at(committee) == {proposal.digest}
    assert committee.seats["a"].disk.decided[1][1].round == 1


def test_a_reproposal_is_accepted_long_after_its_timestamp() -> None:
    """besu#7875: three minutes pass between the first proposal and the second."""
    committee = Committee(4).start_all()
    for seat in everybody(committee):
        seat.pending()
    committee.deliver(kinds="PRE_PREPARE")
    committee.deliver(kinds="PREPARE")
    committee.drop()
    (proposal,) = committee.seats["b"].sent(PrePrepare)
    committee.now += 180_000
    for seat in everybody(committee):
        seat.give(Now(committee.now))
        seat.fire()
    committee.settle()
    assert decided_at(committee) == {proposal.digest}


def test_a_proposal_whose_block_has_another_digest_gets_no_vote() -> None:
    """FISCO-BCOS#2448: the digest is recomputed from the block, never believed."""
    committee = Committee(4)
    a = committee.seat("a")
    claimed, carried = committee.block(a.head, "b", "1"), committee.block(a.head, "b", "2")
    proposal = committee.pre_prepare(claimed)
    a.receive(replace(proposal, block=carried))
    assert not of(a.log, Execute)


def test_an_equivocating_leader_gets_at_most_one_block_decided() -> None:
    """b tells a and c one block, d another: Q PREPAREs for neither; the next leader goes on without either."""
    committee = Committee(4)
    for name in "acd":
        committee.seat(name)
    one, two = committee.block(committee.genesis, "b", "1"), committee.block(committee.genesis, "b", "2")
    committee.seats["a"].receive(committee.pre_prepare(one))
    committee.seats["c"].receive(committee.pre_prepare(one))
    committee.seats["d"].receive(committee.pre_prepare(two))
    committee.run(60_000)
    assert len(decided_at(committee)) == 1
    assert min(seat.core.height for seat in everybody(committee)) > 1


def test_a_leader_that_shows_both_blocks_is_convicted() -> None:
    committee = Committee(4)
    a = committee.seat("a")
    one, two = committee.block(a.head, "b", "1"), committee.block(a.head, "b", "2")
    a.receive(committee.pre_prepare(one), committee.pre_prepare(two))
    (evidence,) = of(a.log, Evidence)
    assert {evidence.first.content, evidence.second.content} == {(one.digest,), (two.digest,)}


def test_a_claimed_lock_without_its_certificate_moves_nothing() -> None:
    """A ROUND-CHANGE that claims a prepared round without Q PREPAREs is not counted: not for joining, not for Q."""
    committee = Committee(4)
    a = committee.seat("a")
    block = committee.block(a.head, "b")
    for prepares in ((), committee.prepares("bc", 1, 0, block.digest)):
        lock = (0, block.digest, prepares)
        a.receive(*(committee.round_change(s, 1, 3, lock) for s in "bc"))
    assert a.core.round == 0
    assert not a.sent(PrePrepare)


def test_a_null_lock_with_prepares_attached_is_refused() -> None:
    committee = Committee(4)
    a = committee.seat("a")
    odd = [replace(committee.round_change(s, 1, 3), prepares=committee.prepares("b", 1, 0, bytes(32))) for s in "bc"]
    a.receive(*odd)
    assert a.core.round == 0


def poisoned(block: Block) -> Block:
    """The right header over another body."""
    return replace(block, consortium_txs=(b"never ordered",))


def test_a_wrong_body_under_a_right_digest_does_not_spoil_the_digest() -> None:
    """A liar relays the leader's PRE-PREPARE with another body: the right one is fetched and gets the vote."""
    committee = Committee(4)
    a = committee.seat("a")
    a.is_executing = False
    block = committee.block(a.head, "b")
    proposal = committee.pre_prepare(block)
    a.receive(replace(proposal, block=poisoned(block)), peer="d")
    a.give(Executed(block.digest, False, "tx root differs"))
    assert [e.peer for e in a.log if isinstance(e, SendTo) and isinstance(e.message, BlockRequest)] == ["b"]
    a.receive(BlockReply(poisoned(block)), peer="d")
    a.receive(BlockReply(block), peer="b")
    assert of(a.log, Execute)[-1].block is block
    a.give(Executed(block.digest, True))
    assert [vote.digest for vote in a.sent(Prepare)] == [block.digest]


def test_a_body_that_f_plus_1_peers_gave_and_that_fails_is_not_asked_for_again() -> None:
    committee = Committee(4)
    a = committee.seat("a")
    a.diverges = True
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    a.receive(BlockReply(block), peer="c")
    asked = len(a.sent(BlockRequest))
    for _ in range(5):
        a.fire(Timer.RESEND)
    assert len(a.sent(BlockRequest)) == asked


def test_a_leader_that_withholds_the_block_is_worked_around() -> None:
    """b sends digests only and answers nothing: the others time out and go on."""
    committee = Committee(4)
    for name in "acd":
        committee.seat(name)
    block = committee.block(committee.genesis, "b")
    for seat in everybody(committee):
        seat.receive(committee.pre_prepare(block, with_block=False))
        assert seat.sent(BlockRequest)
    committee.run(60_000)
    assert decided_at(committee) != {block.digest}


def test_a_replica_without_the_reproposed_block_fetches_it() -> None:
    committee = Committee(4)
    a = committee.seat("a")
    block = committee.block(a.head, "b")
    lock = committee.lock(block, 0, "bcd")
    entries = tuple(committee.round_change(s, 1, 1, lock) for s in "bcd")
    a.receive(committee.pre_prepare(block, 1, justification=entries, prepares=lock[2], with_block=False))
    assert a.sent(BlockRequest) == [BlockRequest(1, block.digest)]
    a.receive(BlockReply(block), peer="b")
    assert [(vote.round, vote.digest) for vote in a.sent(Prepare)] == [(1, block.digest)]


def test_a_leader_without_the_locked_block_proposes_its_digest_and_fetches_it() -> None:
    committee = Committee(4)
    a = committee.seat("a")
    block = committee.block(a.head, "b")
    lock = committee.lock(block, 0, "bcd")
    a.receive(*(committee.round_change(s, 1, 3, lock) for s in "bc"))
    (proposal,) = a.sent(PrePrepare)
    assert (proposal.digest, proposal.block) == (block.digest, None)
    assert BlockRequest(1, block.digest) in a.sent(BlockRequest)


def test_a_silent_f_stops_nobody_at_any_size() -> None:
    for n in range(4, 17):
        committee = Committee(n)
        for name in committee.names[: n - (n - 1) // 3]:
            committee.seat(name)
        committee.run(90_000)
        assert min(seat.core.height for seat in everybody(committee)) >= 2, f"n = {n}"


def test_less_than_a_quorum_decides_nothing_at_any_size() -> None:
    for n in range(2, 17):
        committee = Committee(n)
        for name in committee.names[: (2 * n - 1) // 3]:
            committee.seat(name)
        committee.run(70_000)
        assert max(seat.core.height for seat in everybody(committee)) == 1, f"n = {n}"


def test_one_that_was_away_catches_up_by_status_alone_and_votes_again() -> None:
    committee = Committee(4, max_idle=1_000)
    for name in "abc":
        committee.seat(name)
    committee.run(20_000)
    assert committee.seats["a"].core.height > 10
    d = committee.seat("d")
    committee.run(5_000)
    assert d.core.may_vote
    assert d.core.height >= committee.seats["a"].core.height - 1
    assert any(vote.height > 10 for vote in d.sent(Commit))


def random_message(committee: Committee, block: Block, dice: random.Random) -> Message:
    """A message that a Byzantine member can sign: any field may be anything its type allows."""
    digest = dice.choice([block.digest, bytes(32)])
    sender = dice.choice("bcdz")
    height, round_number = dice.choice([0, 1, 2, 3]), dice.choice([0, 1, 2, 3, 2**32])
    votes = tuple(
        committee.prepare(dice.choice("bcd"), 1, dice.randrange(3), digest) for _ in range(dice.randrange(5))
    )
    prepared_round, prepared_digest = dice.choice([(None, None), (0, digest), (None, digest), (7, digest), (1, None)])
    change = RoundChange(height, round_number, prepared_round, prepared_digest, sender, b"", votes)
    made: list[Message] = [
        Prepare(height, round_number, digest, sender),
        Commit(height, round_number, digest, sender),
        change,
        PrePrepare(height, round_number, digest, sender, b"", dice.choice([None, block]), (change,) * 3, votes),
        Status(height, round_number),
        BlockRequest(height, digest),
        BlockReply(block),
        Decided(block, committee.certificate(block, dice.choice(["", "b", "bc", "bcd"]))),
    ]
    message = dice.choice(made)
    if isinstance(message, Prepare | Commit | RoundChange | PrePrepare):
        return committee.sign(message) if sender != "z" else message.signed(bytes(64))
    return message


@pytest.mark.parametrize("seed", range(20))
def test_no_members_message_can_raise_or_halt(seed: int) -> None:
    dice = random.Random(seed)
    committee = Committee(4)
    a = committee.seat("a")
    block = committee.block(a.head, "b")
    for _ in range(200):
        a.receive(random_message(committee, block, dice), peer=dice.choice("bcd"))
        if dice.random() < 0.05 and Timer.ROUND in a.timers:
            a.fire()
    assert a.core.halted is None
