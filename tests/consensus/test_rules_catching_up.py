"""R9, R11, R13: being behind, changing validators, what stops a node or accuses another. One test per sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.block import Block
from chain.certificate import Certificate, ValidatorSet
from consensus.events import (
    Broadcast,
    BuildBlock,
    Catchup,
    CertifiedAhead,
    Committed,
    Decide,
    Evidence,
    Execute,
    Executed,
    Halt,
    SendTo,
    Sign,
    Timer,
)
from consensus.messages import BlockReply, BlockRequest, Commit, Decided, Prepare, RoundChange, SignedMessage, Status
from tests.agreement.committee import Committee, Seat, of


@pytest.fixture
def committee() -> Committee:
    return Committee(4)


@pytest.fixture
def a(committee: Committee) -> Seat:
    return committee.seat("a")


def two_blocks(committee: Committee, seat: Seat) -> tuple[Block, Block]:
    first = committee.block(seat.head, "b")
    return first, committee.block(committee.head_after(first, seat.head), "c")


# ------------------------------------------------------------------------------------------------ R9


def test_r9_a_certified_block_is_executed_and_decided(committee: Committee, a: Seat) -> None:
    first, _ = two_blocks(committee, a)
    a.receive(Decided(first, committee.certificate(first, "bcd")), peer="d")
    assert of(a.log, Execute) == [Execute(first)]
    assert a.core.head.digest == first.digest


def test_r9_blocks_are_pulled_one_after_the_other_from_the_peer_that_had_one(committee: Committee, a: Seat) -> None:
    first, _ = two_blocks(committee, a)
    a.receive(Decided(first, committee.certificate(first, "bcd")), peer="d")
    assert SendTo("d", Status(2, 0)) in a.log


def test_r9_a_certificate_of_fewer_than_q_signers_is_nothing(committee: Committee, a: Seat) -> None:
    first, _ = two_blocks(committee, a)
    assert a.receive(Decided(first, committee.certificate(first, "bc")), peer="d") == []
    assert a.core.may_vote


def test_r9_a_certificate_with_one_signer_twice_is_nothing(committee: Committee, a: Seat) -> None:
    first, _ = two_blocks(committee, a)
    honest = committee.certificate(first, "bc")
    padded = replace(honest, signatures=(*honest.signatures, honest.signatures[1]))
    assert a.receive(Decided(first, padded), peer="d") == []


@pytest.mark.parametrize("fault", ["round", "digest", "epoch", "stranger"])
def test_r9_a_certificate_that_does_not_verify_is_nothing(committee: Committee, a: Seat, fault: str) -> None:
    first, _ = two_blocks(committee, a)
    certificate = committee.certificate(first, "bcd")
    broken: Certificate = {
        "round": replace(certificate, round=1),
        "digest": replace(certificate, digest=bytes(32)),
        "epoch": replace(certificate, epoch=1),
        "stranger": replace(certificate, signatures=(*certificate.signatures[:2], ("z", bytes(64)))),
    }[fault]
    a.receive(Decided(first, broken), peer="d")
    assert not of(a.log, Decide)
    assert a.core.may_vote


def test_r9_a_certificate_does_not_count_for_another_block(committee: Committee, a: Seat) -> None:
    first, _ = two_blocks(committee, a)
    other = committee.block(a.head, "b", "other")
    a.receive(Decided(other, committee.certificate(first, "bcd")), peer="d")
    assert not of(a.log, Execute)


def test_r9_a_verified_certificate_above_the_next_height_stops_the_votes(committee: Committee, a: Seat) -> None:
    first, second = two_blocks(committee, a)
    effects = a.receive(Decided(second, committee.certificate(second, "bcd")), peer="d")
    assert Catchup("d", 2, certified=True) in effects
    assert not a.core.may_vote
    a.receive(committee.pre_prepare(first), *(committee.round_change(s, 1, 1) for s in "bcd"))
    assert not of(a.log, Sign)


def test_r9_q_commits_above_the_next_height_stop_them_too(committee: Committee, a: Seat) -> None:
    _, second = two_blocks(committee, a)
    a.receive(*(committee.commit(s, 2, 0, second.digest) for s in "bc"))
    assert a.core.may_vote
    a.receive(committee.commit("d", 2, 0, second.digest))
    assert not a.core.may_vote


def test_r9_what_catch_up_certified_stops_them_too_until_the_head_is_there(committee: Committee, a: Seat) -> None:
    blocks = [committee.block(a.head, "b")]
    for _ in range(3):
        blocks.append(committee.block(committee.head_after(blocks[-1], a.head), "b"))
    a.give(CertifiedAhead(3))
    head = a.head
    for block, may_vote in zip(blocks, (False, False, True, True), strict=True):
        head = committee.head_after(block, head)
        a.give(Committed(head))
        assert a.core.may_vote is may_vote


def test_r9_a_leader_that_catches_up_does_not_propose(committee: Committee) -> None:
    b = committee.seat("b")
    b.give(CertifiedAhead(9))
    b.pending()
    assert not of(b.log, BuildBlock)
    assert Timer.PROPOSE not in b.timers
    assert Timer.ROUND not in b.timers


def test_r9_a_signature_that_comes_back_while_catching_up_is_not_sent(committee: Committee, a: Seat) -> None:
    a.is_signing = False
    a.receive(committee.pre_prepare(committee.block(a.head, "b")))
    (request,) = of(a.log, Sign)
    a.give(CertifiedAhead(2))
    a.give(a.sign(request.message, request.payload, None))
    assert not a.sent(Prepare)


@pytest.mark.parametrize("claim", ["status", "decided"])
def test_r9_a_claim_without_a_certificate_changes_nothing(committee: Committee, a: Seat, claim: str) -> None:
    _, second = two_blocks(committee, a)
    a.receive(
        Status(500, 3) if claim == "status" else Decided(second, committee.certificate(second, "b")), peer="d"
    )
    assert a.core.may_vote
    a.receive(committee.pre_prepare(committee.block(a.head, "b")))
    assert a.sent(Prepare)


def test_r9_a_missing_block_is_asked_of_another_peer_on_a_stall(committee: Committee, a: Seat) -> None:
    first, _ = two_blocks(committee, a)
    a.receive(*(committee.commit(s, 1, 0, first.digest) for s in "bcd"))
    for _ in range(3):
        a.fire(Timer.RESEND)
    asked = [e.peer for e in a.log if isinstance(e, SendTo) and isinstance(e.message, BlockRequest)]
    assert asked == ["b", "c", "d", "b"]
    a.receive(BlockReply(first), peer="c")
    assert of(a.log, Decide)


def test_r9_an_observer_follows_and_never_votes(committee: Committee) -> None:
    from tests.agreement import committee as hand

    observer = hand.Seat(committee, "z", hand.Disk())
    observer.start()
    observer.pending()
    first, _ = two_blocks(committee, observer)
    observer.receive(committee.pre_prepare(first), *(committee.commit(s, 1, 0, first.digest) for s in "bcd"))
    observer.receive(BlockReply(first), peer="b")
    assert observer.core.head.digest == first.digest
    assert not of(observer.log, Sign)


# ------------------------------------------------------------------------------------------------ R11


def test_r11_the_ledger_names_the_validators_of_the_next_two_heights(committee: Committee, a: Seat) -> None:
    """d leaves at height 3: decided in block 1, so block 2 is still certified by all four."""
    smaller = ValidatorSet(1, committee.validators.members[:3])
    first, second = two_blocks(committee, a)
    a.is_storing = False
    a.give(Committed(replace(committee.head_after(first, a.head), next_validators=smaller)))
    a.receive(committee.prepare("d", 2, 0, bytes(32)), committee.prepare("d", 3, 0, bytes(32)))
    assert a.core.kept_messages == 1
    a.give(Committed(replace(committee.head_after(second, a.core.head), next_validators=smaller)))
    kept = a.core.kept_messages
    a.receive(committee.prepare("d", 3, 0, bytes(32)))
    assert a.core.kept_messages == kept


def test_r11_votes_of_another_epoch_do_not_count(committee: Committee, a: Seat) -> None:
    later = Committee(4, epoch=1)
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block), *(later.commit(s, 1, 0, block.digest) for s in "bcd"))
    assert not of(a.log, Decide)


def test_r11_votes_of_another_network_do_not_count(committee: Committee, a: Seat) -> None:
    block = committee.block(a.head, "b")
    vote = Commit(1, 0, block.digest, "b")
    stranger = replace(vote, signature=committee.keys["b"].sign(vote.payload(bytes(32), 0)))
    kept = a.core.kept_messages
    a.receive(stranger)
    assert a.core.kept_messages == kept


def test_r11_a_validator_that_left_does_not_vote(committee: Committee, a: Seat) -> None:
    first, second = two_blocks(committee, a)
    without_a = ValidatorSet(1, committee.validators.members[1:])
    a.is_storing = False
    a.give(Committed(replace(committee.head_after(first, a.head), validators=without_a, next_validators=without_a)))
    later = Committee(4, epoch=1)
    later.validators = without_a
    a.receive(later.pre_prepare(second))
    assert not a.core.may_vote
    assert not of(a.log, Sign)


# ------------------------------------------------------------------------------------------------ R13


def test_r13_a_certified_block_that_does_not_execute_here_halts(committee: Committee) -> None:
    """f+1 = 2 peers gave the same certified block and it fails: it is this node that differs."""
    a = committee.seat("a")
    a.diverges = True
    block = committee.block(a.head, "b")
    a.receive(committee.pre_prepare(block), *(committee.commit(s, 1, 0, block.digest) for s in "bcd"))
    assert a.core.halted is None
    a.receive(BlockReply(block), peer="c")
    (halt,) = of(a.log, Halt)
    assert "roots differ" in halt.reason
    assert a.receive(committee.pre_prepare(block)) == []


def test_r13_one_liars_wrong_body_halts_nobody(committee: Committee, a: Seat) -> None:
    """A right header and certificate with a body that is not the header's."""
    block = committee.block(a.head, "b")
    poisoned = replace(block, consortium_txs=(b"not what the header committed to",))
    a.is_executing = False
    a.receive(Decided(poisoned, committee.certificate(block, "bcd")), peer="d")
    a.give(Executed(block.digest, False, "tx root differs"))
    assert a.core.halted is None
    a.receive(Decided(poisoned, committee.certificate(block, "bcd")), peer="d")
    a.receive(Decided(block, committee.certificate(block, "bcd")), peer="c")
    assert of(a.log, Execute)[-1].block is block
    a.give(Executed(block.digest, True))
    assert of(a.log, Decide)[0].block is block


def test_r13_strangers_wrong_bodies_halt_nobody_however_many(committee: Committee, a: Seat) -> None:
    """Observers may be peers, but f bounds the lying validators only."""
    a.diverges = True
    block = committee.block(a.head, "b")
    for stranger in "vwxyz":
        a.receive(Decided(block, committee.certificate(block, "bcd")), peer=stranger)
    assert a.core.halted is None
    a.diverges = False
    a.receive(BlockReply(block), peer="c")
    assert of(a.log, Decide)


def test_r13_two_certified_blocks_at_one_height_halt(committee: Committee, a: Seat) -> None:
    one, two = committee.block(a.head, "b", "1"), committee.block(a.head, "b", "2")
    a.is_storing = False
    a.receive(Decided(one, committee.certificate(one, "bcd")), peer="d")
    a.receive(Decided(two, committee.certificate(two, "bcd")), peer="c")
    assert of(a.log, Halt)
    assert [decide.block for decide in of(a.log, Decide)] == [one]


@pytest.mark.parametrize("kind", ["PREPARE", "COMMIT", "ROUND_CHANGE", "PRE_PREPARE"])
def test_r13_two_conflicting_signatures_are_evidence_once(committee: Committee, a: Seat, kind: str) -> None:
    one, two = committee.block(a.head, "b", "1"), committee.block(a.head, "b", "2")
    pairs: dict[str, list[SignedMessage]] = {
        "PREPARE": [committee.prepare("d", 1, 0, block.digest) for block in (one, two)],
        "COMMIT": [committee.commit("d", 1, 0, block.digest) for block in (one, two)],
        "ROUND_CHANGE": [
            committee.round_change("d", 1, 4),
            committee.round_change("d", 1, 4, committee.lock(one, 0, "bcd")),
        ],
        "PRE_PREPARE": [committee.pre_prepare(block) for block in (one, two)],
    }
    first, second = pairs[kind]
    a.receive(first, second, second)
    (evidence,) = of(a.log, Evidence)
    assert (evidence.first.content, evidence.second.content) == (first.content, second.content)
    for message in (evidence.first, evidence.second):
        key = committee.keys[message.sender].public
        assert committee.validators.keys[message.sender] == key
        assert message.signature


def test_r13_an_unsigned_contradiction_is_no_evidence(committee: Committee, a: Seat) -> None:
    vote = committee.prepare("d", 1, 0, bytes(32))
    a.receive(vote, replace(vote, digest=bytes([1]) * 32))
    assert not of(a.log, Evidence)


def test_r13_evidence_is_kept_for_the_next_height_too(committee: Committee, a: Seat) -> None:
    a.receive(committee.commit("d", 2, 0, bytes(32)), committee.commit("d", 2, 0, bytes([1]) * 32))
    assert len(of(a.log, Evidence)) == 1


def test_r13_a_halted_node_does_not_resend_or_time_out(committee: Committee, a: Seat) -> None:
    one, two = committee.block(a.head, "b", "1"), committee.block(a.head, "b", "2")
    a.is_storing = False
    for block in (one, two):
        a.receive(Decided(block, committee.certificate(block, "bcd")), peer="d")
    effects = a.fire(Timer.RESEND)
    assert not of(effects, Broadcast)
    assert not of(effects, RoundChange)
