"""R6, R10, R12, R14: timers, rounds that meet, bounded memory, one event at a time. One test per sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.block import Block
from consensus.core import ANSWERS_PER_HEARTBEAT
from consensus.events import (
    BlockBuilt,
    BuildBlock,
    Catchup,
    Committed,
    Decide,
    Executed,
    MessageReceived,
    PeerConnected,
    SendDecided,
    SendTo,
    SetTimer,
    Sign,
    Timer,
    TimerFired,
)
from consensus.height import round_timeout
from consensus.messages import (
    BlockReply,
    BlockRequest,
    Commit,
    Message,
    Prepare,
    PrePrepare,
    RoundChange,
    Status,
)
from consensus.vote_store import KEPT_ROUNDS
from tests.agreement.committee import Committee, Disk, Seat, of


@pytest.fixture
def committee() -> Committee:
    return Committee(4)


@pytest.fixture
def a(committee: Committee) -> Seat:
    return committee.seat("a")


def delays(seat: Seat, timer: Timer = Timer.ROUND) -> list[tuple[int, int]]:
    return [(e.round, e.delay) for e in seat.log if isinstance(e, SetTimer) and e.timer is timer]


# ------------------------------------------------------------------------------------------------ R6


@pytest.mark.parametrize(
    ("round_number", "delay"), [(0, 1_000), (1, 2_000), (2, 4_000), (3, 8_000), (4, 8_000), (2**32, 8_000)]
)
def test_r6_the_timeout_is_t0_times_2_to_the_r_capped_at_8_s(round_number: int, delay: int) -> None:
    assert round_timeout(1_000, round_number) == delay


def test_r6_the_timer_is_restarted_each_round(committee: Committee, a: Seat) -> None:
    a.pending()
    for round_number in (1, 2):
        a.fire()
        a.receive(*(committee.round_change(s, 1, round_number) for s in "bd"))
    assert delays(a)[-3:] == [(0, 1_000), (1, 2_000), (2, 4_000)]


def test_r6_on_expiry_the_next_round_is_asked_for(a: Seat) -> None:
    a.fire()
    (change,) = a.sent(RoundChange)
    assert (change.round, change.prepared_round, change.prepared_digest) == (1, None, None)


def test_r6_the_round_change_is_resent_every_t0(a: Seat) -> None:
    a.fire()
    assert delays(a, Timer.RESEND) == [(0, 1_000)]
    for _ in range(3):
        a.fire(Timer.RESEND)
    assert len(a.sent(RoundChange)) == 4
    assert len(set(a.sent(RoundChange))) == 1


def test_r6_an_idle_round_0_waits_max_idle_longer(a: Seat) -> None:
    assert delays(a) == [(0, 31_000)]


def test_r6_a_pending_transaction_cuts_it_to_t0_once(a: Seat) -> None:
    a.pending()
    a.pending()
    assert delays(a) == [(0, 31_000), (0, 1_000)]


def test_r6_a_proposal_cuts_it_to_t0_too(committee: Committee, a: Seat) -> None:
    a.receive(committee.pre_prepare(committee.block(a.head, "b")))
    assert delays(a) == [(0, 31_000), (0, 1_000)]


def test_r6_the_next_height_says_anew_whether_something_is_pending(committee: Committee, a: Seat) -> None:
    a.pending()
    block = committee.block(a.head, "b")
    a.is_storing = False
    for pending, delay in ((True, 1_000), (False, 31_000)):
        a.log.clear()
        a.give(Committed(committee.head_after(block, a.core.head), pending))
        assert delays(a) == [(0, delay)]
        block = committee.block(a.core.head, "b")


def test_r6_the_leader_proposes_when_something_is_pending(committee: Committee) -> None:
    b = committee.seat("b")
    assert not of(b.log, BuildBlock)
    b.pending()
    assert of(b.log, BuildBlock) == [BuildBlock(1, 0)]
    assert len(b.sent(PrePrepare)) == 1


def test_r6_the_leader_of_an_idle_chain_proposes_max_idle_after_the_parent(committee: Committee) -> None:
    b = committee.seat("b")
    assert delays(b, Timer.PROPOSE) == [(0, 30_000)]
    b.fire(Timer.PROPOSE)
    assert len(b.sent(PrePrepare)) == 1


def test_r6_nobody_else_proposes(a: Seat) -> None:
    a.pending()
    assert delays(a, Timer.PROPOSE) == []
    assert not of(a.log, BuildBlock)


def test_r6_f_plus_1_round_changes_above_are_joined_at_the_smallest(committee: Committee, a: Seat) -> None:
    a.receive(committee.round_change("b", 1, 7))
    assert a.core.round == 0
    a.receive(committee.round_change("d", 1, 5))
    assert a.core.round == 5
    assert [change.round for change in a.sent(RoundChange)] == [5]


def test_r6_joining_goes_on_while_f_plus_1_are_above(committee: Committee, a: Seat) -> None:
    a.receive(*(committee.round_change(s, 1, r) for s, r in (("b", 7), ("d", 5), ("c", 7))))
    assert a.core.round == 7


def test_r6_one_validator_alone_moves_nobody(committee: Committee, a: Seat) -> None:
    a.receive(*(committee.round_change("b", 1, r) for r in (1, 2, 3, 1_000_000)))
    assert a.core.round == 0


def test_r6_q_round_changes_let_the_leader_propose(committee: Committee, a: Seat) -> None:
    a.receive(committee.round_change("b", 1, 3))
    assert not of(a.log, BuildBlock)
    a.receive(committee.round_change("c", 1, 3))
    assert of(a.log, BuildBlock) == [BuildBlock(1, 3)]


def test_r6_a_block_built_for_a_round_that_was_left_is_not_proposed(committee: Committee) -> None:
    b = committee.seat("b")
    b.core.step(TimerFired(Timer.PROPOSE, 1, 0))
    b.fire()
    b.give(BlockBuilt(1, 0, committee.block(b.head, "b")))
    assert not b.sent(PrePrepare)


def test_r6_above_round_0_the_timer_waits_for_q_validators_in_the_round(committee: Committee, a: Seat) -> None:
    """Or a node k rounds ahead stays k rounds ahead for ever: see the top of consensus/core.py."""
    a.fire()
    a.receive(committee.round_change("b", 1, 1))
    assert Timer.ROUND not in a.timers
    a.receive(committee.prepare("c", 1, 4, bytes(32)))
    assert a.timers[Timer.ROUND].delay == 2_000


def at_round(committee: Committee, name: str, round_number: int) -> Seat:
    """A validator that a restart puts back into a round."""
    if round_number == 0:
        return committee.seat(name)
    change = committee.round_change(name, 1, round_number)
    return committee.seat(name, Disk({(1, change.kind, round_number): change}))


@pytest.mark.parametrize("rounds", [(10, 7, 7), (7, 10, 7), (0, 3, 9), (40, 0, 0), (4, 4, 5)])
def test_r6_rounds_meet_however_far_they_drifted_apart(committee: Committee, rounds: tuple[int, ...]) -> None:
    """Three of four live. With 10, 7, 7 no f+1 are above 7: only waiting lets them meet (besu#1822, #7642)."""
    seats = [at_round(committee, name, r) for name, r in zip("abd", rounds, strict=True)]
    for _ in range(max(rounds) - min(rounds) + 4):
        committee.run(9_000)
        if min(seat.core.height for seat in seats) > 1:
            return
    raise AssertionError(f"rounds {[seat.core.round for seat in seats]} never met")


def test_r6_rounds_do_not_run_away_without_a_quorum(committee: Committee) -> None:
    seats = [committee.seat(name) for name in "ab"]
    committee.run(1_800_000)
    assert max(seat.core.round for seat in seats) <= 1
    for name in "cd":
        committee.seat(name)
    committee.run(20_000)
    assert min(seat.core.height for seat in committee.seats.values()) > 1


# ------------------------------------------------------------------------------------------------ R10


def test_r10_messages_for_the_next_height_are_kept_until_it_begins(committee: Committee, a: Seat) -> None:
    first = committee.block(a.head, "b")
    second = committee.block(committee.head_after(first, a.head), "c")
    a.receive(committee.pre_prepare(second), *committee.prepares("bc", 2, 0, second.digest))
    assert not a.sent(Prepare)
    a.receive(committee.pre_prepare(first), *(committee.commit(s, 1, 0, first.digest) for s in "bcd"))
    assert [(vote.height, vote.digest) for vote in a.sent(Commit)] == [(2, second.digest)]


def test_r10_heights_beyond_head_plus_2_are_dropped(committee: Committee, a: Seat) -> None:
    kept = a.core.kept_messages
    assert a.receive(*committee.prepares("bcd", 3, 0, bytes(32))) == []
    assert a.core.kept_messages == kept


def test_r10_memory_is_o_n_whatever_a_liar_sends(committee: Committee, a: Seat) -> None:
    for height in (1, 2):
        for round_number in range(1, 200):
            a.receive(
                committee.prepare("b", height, round_number, bytes(32)),
                committee.commit("b", height, round_number, bytes(32)),
                committee.round_change("b", height, round_number),
                committee.pre_prepare(
                    block_at(committee, a, height), round_number, sender="b", with_block=False
                ),
            )
    assert a.core.kept_messages <= 2 * (3 * KEPT_ROUNDS + 1) + 1
    assert a.core.round == 0


def block_at(committee: Committee, seat: Seat, height: int) -> Block:
    return committee.block(replace(seat.head, height=height - 1), "b")


def test_r10_a_liars_high_rounds_displace_only_its_own_messages(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    a.receive(*(committee.prepare("d", 1, 1_000 + r, bytes(32)) for r in range(50)))
    a.receive(*committee.prepares("bc", 1, 0, block.digest))
    assert a.sent(Commit)


def test_r10_on_status_own_votes_are_sent_again(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block), *committee.prepares("bc", 1, 0, block.digest))
    effects = a.receive(Status(1, 0), peer="d")
    assert len(of(effects, Prepare)) == len(of(effects, Commit)) == 1
    assert all(isinstance(effect, SendTo) and effect.peer == "d" for effect in effects)


def test_r10_on_reconnect_own_votes_and_status_are_sent(a: Seat) -> None:
    a.fire()
    effects = a.give(PeerConnected("c"))
    assert of(effects, Status) == [Status(1, 1)]
    assert len(of(effects, RoundChange)) == 1


def test_r10_the_proposal_is_sent_again_to_those_that_did_not_prepare_it(committee: Committee) -> None:
    b = committee.seat("b")
    b.pending()
    (proposal,) = b.sent(PrePrepare)
    b.receive(committee.prepare("c", 1, 0, proposal.digest))
    assert not of(b.receive(Status(1, 0), peer="c"), PrePrepare)
    assert of(b.receive(Status(1, 0), peer="d"), PrePrepare) == [proposal]


def decided(committee: Committee, seat: Seat) -> None:
    block = committee.block(seat.head, "b")
    seat.receive(committee.pre_prepare(block), *(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    assert seat.core.height == 2


def test_r10_on_status_of_a_decided_height_decided_is_sent(committee: Committee, a: Seat) -> None:
    decided(committee, a)
    assert a.receive(Status(1, 3), peer="d") == [SendDecided("d", 1)]


def test_r10_votes_for_a_decided_height_are_dropped_without_an_answer(committee: Committee, a: Seat) -> None:
    decided(committee, a)
    assert a.receive(committee.round_change("d", 1, 1), committee.prepare("d", 1, 0, bytes(32))) == []


def test_r10_a_status_ahead_is_a_hint_and_never_authority(a: Seat) -> None:
    effects = a.receive(Status(1_000_000, 0), peer="d")
    assert Catchup("d", 999_999, certified=False) in effects
    assert a.core.may_vote
    assert a.core.height == 1


def test_r10_a_flood_of_status_buys_no_flood_of_answers(committee: Committee, a: Seat) -> None:
    decided(committee, a)
    for _ in range(1_000):
        a.receive(Status(1, 0), peer="d")
    assert len(of(a.log, SendDecided)) == ANSWERS_PER_HEARTBEAT
    a.fire(Timer.RESEND)
    assert a.receive(Status(1, 0), peer="d") == [SendDecided("d", 1)]


def test_r10_a_block_request_is_answered_while_its_height_is_undecided_and_then_by_decided(
    committee: Committee, a: Seat
) -> None:
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    request = BlockRequest(1, block.digest)
    assert a.receive(request, peer="d") == [SendTo("d", BlockReply(block))]
    assert a.receive(BlockRequest(1, bytes(32)), peer="d") == []
    a.receive(*(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    assert a.receive(request, peer="d") == [SendDecided("d", 1)]


def test_r10_blocks_nobody_asked_for_are_not_kept(committee: Committee, a: Seat) -> None:
    for tag in range(100):
        a.receive(BlockReply(committee.block(a.head, "b", str(tag))), peer="d")
    assert a.receive(BlockRequest(1, committee.block(a.head, "b", "7").digest), peer="c") == []


# ------------------------------------------------------------------------------------------------ R12


def test_r12_one_height_is_undecided(committee: Committee, a: Seat) -> None:
    """Q COMMITs for head + 2 decide nothing while head + 1 is open: they mean being behind."""
    first = committee.block(a.head, "b")
    second = committee.block(committee.head_after(first, a.head), "c")
    a.receive(committee.pre_prepare(second), *(committee.commit(s, 2, 0, second.digest) for s in "bcd"))
    assert not of(a.log, Decide)
    assert not a.core.may_vote


# ------------------------------------------------------------------------------------------------ R14


def test_r14_events_at_or_below_the_head_are_dropped(committee: Committee, a: Seat) -> None:
    decided(committee, a)
    block = committee.block(committee.genesis, "b", "late")
    late: list[Message] = [
        committee.pre_prepare(block),
        *committee.prepares("bcd", 1, 0, block.digest),
        *(committee.commit(s, 1, 0, block.digest) for s in "bcd"),
        *(committee.round_change(s, 1, 1) for s in "bcd"),
    ]
    assert a.receive(*late) == []
    assert a.give(TimerFired(Timer.ROUND, 1, 0)) == []
    assert a.give(Executed(block.digest, True)) == []
    assert a.give(Committed(committee.genesis)) == []


@pytest.mark.parametrize("moment", ["certified", "decided", "durable"])
def test_r14_a_timer_after_the_decision_does_nothing(committee: Committee, a: Seat, moment: str) -> None:
    """A timer between decision and head update has forked real networks (besu#1734)."""
    a.is_executing = moment != "certified"
    a.is_storing = moment == "durable"
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block), *(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    assert a.give(TimerFired(Timer.ROUND, 1, 0)) == []
    assert not a.sent(RoundChange)


def test_r14_a_vote_after_the_decision_is_not_cast(committee: Committee, a: Seat) -> None:
    a.is_executing = False
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block), *(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    a.is_storing = False
    a.give(Executed(block.digest, True))
    assert of(a.log, Decide)
    assert not of(a.log, Sign)


@pytest.mark.parametrize(("height", "round_number"), [(1, 1), (2, 0), (0, 0)])
def test_r14_a_timer_of_another_height_or_round_does_nothing(a: Seat, height: int, round_number: int) -> None:
    assert a.give(TimerFired(Timer.ROUND, height, round_number)) == []


def test_r14_the_same_events_give_the_same_effects(committee: Committee) -> None:
    """Determinism: the core is a function of its events."""
    committee.start_all()
    for seat in committee.seats.values():
        seat.pending()
    committee.settle()
    twins = [Committee(4).start_all() for _ in range(2)]
    for twin in twins:
        for seat in twin.seats.values():
            seat.pending()
        twin.settle()
    logs = [[seat.log for seat in twin.seats.values()] for twin in twins]
    assert logs[0] == logs[1]


def test_r14_own_messages_that_come_back_from_the_network_are_ignored(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block))
    a.receive(committee.prepare("b", 1, 0, block.digest))
    for message in (committee.prepare("a", 1, 0, block.digest), committee.commit("a", 1, 0, block.digest)):
        assert a.give(MessageReceived("d", message)) == []
    assert a.core.prepared is None
