"""Agreement at one height: rounds, proposals, votes, the lock and the decision.

An object of this class is thrown away as a whole when its height is durable, so nothing of an old height can act on
the next (R14). ``consensus.core`` owns the way from height to height; the table of transitions is at its top.

What several rules decide together has one place: ``may_vote`` (R9, R13), ``_sign`` (every vote leaves through it: R3,
R7), ``certify`` (R5), ``advance`` (what new votes, blocks or results made possible).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain.certificate import Certificate
from consensus.block_pool import BlockPool
from consensus.events import (
    Broadcast,
    BuildBlock,
    CancelTimer,
    Decide,
    Evidence,
    Execute,
    Head,
    Prepared,
    Restored,
    SendTo,
    SetTimer,
    Sign,
    Timer,
)
from consensus.justification import (
    certificate_of,
    highest_prepared,
    is_fresh,
    pre_prepare_fault,
    proposal_fault,
    with_proof,
)
from consensus.local import Local
from consensus.messages import (
    BlockRequest,
    BlockView,
    Commit,
    MessageKind,
    Prepare,
    PrePrepare,
    RoundChange,
    SignedMessage,
)
from consensus.vote_store import KEPT_ROUNDS, Added, VoteStore

MAX_TIMEOUT_MS: Final = 8_000
"""Cap of the round timeout (R6)."""


def round_timeout(t0: int, round_number: int) -> int:
    """R6: T0 * 2^r in ms, capped."""
    return min(t0 << min(round_number, 20), MAX_TIMEOUT_MS)


@dataclass(slots=True)
class Accepted:
    """The proposal accepted in the current round (R3)."""

    digest: bytes
    leader: str
    is_fresh: bool
    is_judged: bool = False
    """Its header passed ``proposal_fault``; judged once, so a slow execution does not make it too old."""
    is_refused: bool = False
    """Its header can never pass: this round gets no vote of ours."""


class Height:
    """The undecided height head + 1 of one node (R12)."""

    def __init__(self, local: Local, head: Head, votes: VoteStore, *, is_pending: bool, is_suspended: bool) -> None:
        self.head = head
        self.number = head.height + 1
        self.votes = votes
        self.pool = BlockPool()
        self.round = 0
        self.accepted: Accepted | None = None
        self.prepared: Prepared | None = None
        self.certificate: Certificate | None = None
        self.is_suspended = is_suspended
        """A certificate above this height is known: catching up (R9)."""
        self.own: dict[tuple[MessageKind, int], SignedMessage] = {}
        """Own signed messages by kind and round, of kept rounds."""
        self._local = local
        self._validators = votes.electorate.validators
        self._signing: dict[tuple[MessageKind, int], SignedMessage] = {}
        """Given to the signer, or refused by it: asked for once."""
        self._is_pending = is_pending
        self._is_idle_over = False
        self._building: int | None = None
        """The round a BuildBlock is out for."""
        self._justification: tuple[RoundChange, ...] = ()
        """Q ROUND-CHANGEs for that round."""
        self._timer: int | None = None
        """Delay of the running round timer; None while it does not run."""
        self._is_decided = False

    # ------------------------------------------------------------------------------------ beginning

    def begin(self) -> None:
        """R6, round 0: the leader proposes when something is pending or max_idle after the parent."""
        if not self.may_vote():
            return
        self._arm_round_timer()
        if self._leads() and not self._is_pending:
            self._emit_timer(Timer.PROPOSE, self.head.timing.max_idle)
        self._propose()

    def restore(self, restored: Restored) -> None:
        """R8: round, votes and prepared certificate come back from the journal, and are sent again."""
        self.prepared = restored.prepared
        if restored.prepared is not None:
            self.pool.offer(restored.prepared.block, self._local.member, self.needed())
            self.round = restored.prepared.round
        for message in restored.messages:
            self.round = max(self.round, message.round)
            whole = with_proof(message, restored.prepared)
            if whole is None:
                self._signing[(message.kind, message.round)] = message  # not asked for again
            else:
                self.own[(message.kind, message.round)] = whole
                self.votes.add(whole, own=True)
        for message in self.resendable():
            self._local.emit(Broadcast(message))
        if self.round == 0:
            self.begin()
        self.advance()

    # ------------------------------------------------------------------------------------ rounds (R6)

    def _enter_round(self, round_number: int) -> None:
        """R3, R6: rounds only grow; what was accepted below is given up, the lock is not."""
        assert round_number > self.round
        self.round = round_number
        self.accepted = None
        self._building = None
        self.stop_timers()
        self.pool.forget_wanted(self.needed())

    def _change_round(self, round_number: int) -> None:
        """R6: enter the round and say so, with the lock and its certificate (R4: kept until decided)."""
        self._enter_round(round_number)
        lock = self.prepared
        if lock is None:
            self._sign(RoundChange(self.number, round_number, None, None, self._local.member))
        else:
            self._sign(
                RoundChange(
                    self.number, round_number, lock.round, lock.block.digest, self._local.member, b"", lock.prepares
                )
            )

    def _arm_round_timer(self) -> None:
        """R6: T0 * 2^r, capped; in round 0 max_idle + T0 until something is pending or proposed."""
        delay = round_timeout(self.head.timing.t0, self.round)
        if self.round == 0:
            is_active = self._is_pending or self.accepted is not None
            delay += 0 if is_active else self.head.timing.max_idle
            is_due = self._timer is None or delay < self._timer
        else:  # the hindmost are waited for: see the top of consensus/core.py
            is_known = self.votes.reached(self.round, self._local.member) >= self._validators.quorum
            is_due = self._timer is None and (is_known or self.accepted is not None)
        if is_due and self.may_vote():
            self._timer = delay
            self._emit_timer(Timer.ROUND, delay)

    def on_timer(self, timer: Timer, round_number: int) -> None:
        """R14: a timer of another round, or after the decision, is nothing (besu#1734)."""
        if round_number != self.round or not self.may_vote():
            return
        if timer is Timer.PROPOSE:
            self._is_idle_over = True
        elif self._timer is not None:
            self._change_round(self.round + 1)
        self.advance()

    def on_transaction_pending(self) -> None:
        """R6: cuts an idle round 0 to T0, and lets the leader propose."""
        if not self._is_pending:
            self._is_pending = True
            self.advance()

    def suspend(self) -> None:
        """R9: a certificate above this height was verified: no votes here any more."""
        self.is_suspended = True
        self.stop_timers()

    def stop_timers(self) -> None:
        self._timer = None
        self._local.emit(CancelTimer(Timer.ROUND))
        self._local.emit(CancelTimer(Timer.PROPOSE))

    def _emit_timer(self, timer: Timer, delay: int) -> None:
        self._local.emit(SetTimer(timer, self.number, self.round, delay))

    # ------------------------------------------------------------------------------------ proposing

    def _leads(self) -> bool:
        return self._validators.leader(self.number, self.round) == self._local.member

    def _propose(self) -> None:
        """R2, R6: once per round, by its leader: the highest lock among Q ROUND-CHANGEs, else a fresh block."""
        is_busy = self.accepted is not None or self._building == self.round
        if is_busy or not self._leads() or not self.may_vote():
            return
        if self._has_voted(MessageKind.PRE_PREPARE, self.round):
            return
        changes: tuple[RoundChange, ...] = ()
        if self.round == 0:
            if not (self._is_pending or self._is_idle_over):
                return
        else:
            changes = tuple(self.votes.round_changes(self.round))
            if len(changes) < self._validators.quorum:
                return
        self._justification = tuple(change.bare() for change in changes)
        highest = highest_prepared(changes)
        if highest is None or highest.prepared_digest is None:
            self._building = self.round
            self._local.emit(BuildBlock(self.number, self.round))
        else:  # the digest is enough: the certificate justifies it, and whoever lacks the block fetches it
            block = self.pool.get(highest.prepared_digest)
            self._sign_proposal(highest.prepared_digest, block, highest.prepares)

    def on_block_built(self, round_number: int, block: BlockView) -> None:
        """The block of a BuildBlock; dropped when the round moved on meanwhile (R14)."""
        if round_number != self.round or self._building != round_number:
            return
        self._building = None
        self.pool.offer(block, self._local.member, self.needed(), executed=True)
        self._sign_proposal(block.digest, block, ())

    def _sign_proposal(self, digest: bytes, block: BlockView | None, prepares: tuple[Prepare, ...]) -> None:
        member, justification = self._local.member, self._justification
        self._sign(PrePrepare(self.number, self.round, digest, member, b"", block, justification, prepares))

    # ------------------------------------------------------------------------------------ voting

    def may_vote(self) -> bool:
        """R9, R13: a validator with nothing certified above its head. Everything it signs depends on this."""
        is_validator = self._local.member in self._validators.keys
        is_catching_up = self.certificate is not None or self.is_suspended
        return is_validator and not is_catching_up and self._local.halted is None

    def _has_voted(self, kind: MessageKind, round_number: int) -> bool:
        return (kind, round_number) in self.own or (kind, round_number) in self._signing

    def _sign(self, message: SignedMessage, prepared: Prepared | None = None) -> None:
        """R7: ask for a signature, once per (round, kind) and never below the current round (R3)."""
        if not self.may_vote() or self._has_voted(message.kind, message.round):
            return
        assert (message.height, message.round) == (self.number, self.round)
        self._signing[(message.kind, message.round)] = message
        payload = message.payload(self._local.network_id, self._validators.epoch)
        self._local.emit(Sign(message, payload, prepared))

    def on_signed(self, message: SignedMessage) -> None:
        """R4, R7: the vote is on disk; only now is it sent, and counted like anybody's."""
        key = (message.kind, message.round)
        asked = self._signing.get(key)
        if asked is None or asked.content != message.content or not message.signature:
            return  # not what was asked for
        message = asked.signed(message.signature)
        del self._signing[key]
        self.own[key] = message
        for stale in [old for old in self.own if old[1] <= self.round - KEPT_ROUNDS]:
            del self.own[stale]
        is_current = message.round == self.round
        # R3; a COMMIT's lock is in the ROUND-CHANGE that followed it, so it may still be sent.
        if not self.may_vote() or not (is_current or message.kind is MessageKind.COMMIT):
            return
        self.votes.add(message, own=True)
        self._local.emit(Broadcast(message))
        if isinstance(message, PrePrepare):
            self._accept(message, self._local.member)
        self.advance()

    def count(self, message: SignedMessage) -> Added:
        """Verify and keep a message. Two of a validator that exclude each other are evidence (R13)."""
        added = self.votes.add(message)
        if added.conflict is not None:
            self._local.emit(Evidence(added.conflict, message))
        return added

    def on_vote(self, message: Prepare | Commit | RoundChange) -> None:
        """R4, R5, R6: count it; something may follow."""
        if self.count(message).is_new:
            self.advance()

    def on_pre_prepare(self, peer: str, message: PrePrepare) -> None:
        """R1, R2, R3: accept a justified proposal of the current round, or of a higher one."""
        if message.block is not None:
            self.on_block(message.block, peer)  # perhaps the body of what is accepted or certified already
        if not self.may_vote():
            return
        is_valid = self.count(message).is_valid
        is_open = message.round > self.round or (message.round == self.round and self.accepted is None)
        if not is_valid or not is_open or pre_prepare_fault(self.votes.electorate, message) is not None:
            return
        earlier = self.own.get((MessageKind.PREPARE, message.round))
        if isinstance(earlier, Prepare) and earlier.digest != message.digest:
            return  # R3, R8: before a restart this round had our PREPARE for another block
        if message.round > self.round:
            self._enter_round(message.round)
        self._accept(message, peer)
        self.advance()

    def _accept(self, message: PrePrepare, source: str) -> None:
        """R3: the round's one proposal."""
        assert self.accepted is None
        assert message.round == self.round
        self.accepted = Accepted(message.digest, message.sender, is_fresh(message))
        if message.block is not None:
            self.pool.offer(message.block, source, self.needed())

    def _advance_proposal(self) -> None:
        """R3: fetch, judge and execute the accepted block; its roots are compared *before* the PREPARE."""
        accepted = self.accepted
        if accepted is None or accepted.is_refused or not self.may_vote():
            return
        block = self._body(accepted.digest)
        if block is None:
            return
        if not accepted.is_judged:
            leader = accepted.leader if accepted.is_fresh else None
            accepted.is_refused = proposal_fault(block, self.head, leader, self._local.now) is not None
            accepted.is_judged = True
            if accepted.is_refused:
                return
        if self._is_executed(accepted.digest):
            self._sign(Prepare(self.number, self.round, accepted.digest, self._local.member))
            self._lock(accepted.digest, block)

    def _lock(self, digest: bytes, block: BlockView) -> None:
        """R4: Q PREPAREs for the accepted block in the current round: lock and COMMIT, in one synced write."""
        prepares = self.votes.prepares(self.round, digest)
        if len(prepares) < self._validators.quorum or self._has_voted(MessageKind.COMMIT, self.round):
            return
        assert self.prepared is None or self.prepared.round < self.round, "only a higher round replaces a lock"
        self.prepared = Prepared(self.round, block, tuple(prepares[: self._validators.quorum]))
        self._sign(Commit(self.number, self.round, digest, self._local.member), self.prepared)

    # ------------------------------------------------------------------------------------ deciding

    def certify(self, certificate: Certificate) -> None:
        """R5: Q COMMITs stand, in whatever round. From here on nothing is voted at this height (R9, R14)."""
        if self.certificate is None:
            self.certificate = certificate
            self.stop_timers()
        elif self.certificate.digest != certificate.digest:
            self._local.halt(f"two blocks are certified at height {self.number}: more than f validators are faulty")

    def _advance_decision(self) -> None:
        """R5: the certified block, executed here too, goes to the ledger, once."""
        if self.certificate is None or self._is_decided:
            return
        block = self._body(self.certificate.digest)
        if block is not None and self._is_executed(block.digest):
            self._is_decided = True
            self._local.emit(Decide(block, self.certificate))

    def advance(self) -> None:
        """What new votes, blocks or results may have made possible, in the order of the rules."""
        commits = self.votes.certified() if self.certificate is None else None
        if commits is not None:
            self.certify(certificate_of(commits, self._validators.epoch))
        while self.may_vote():
            target = self.votes.round_to_join(self.round)
            if target is None:
                break
            self._change_round(target)
        self._arm_round_timer()
        self._propose()
        self._advance_proposal()
        self._advance_decision()

    # ------------------------------------------------------------------------------------ blocks

    def needed(self) -> set[bytes]:
        """Digests whose bodies agreement still needs."""
        digests = {self.accepted.digest} if self.accepted else set()
        if self.prepared:
            digests.add(self.prepared.block.digest)
        if self.certificate:
            digests.add(self.certificate.digest)
        return digests

    def on_block(self, block: BlockView, source: str) -> None:
        """A body that may be missing; anything else is not kept."""
        if block.digest in self.needed() and self.pool.get(block.digest) is None:
            self.pool.offer(block, source, self.needed())
            self.advance()

    def on_executed(self, digest: bytes, ok: bool, reason: str) -> None:
        """A result, cached by digest; stale ones are dropped. A failure is charged to whoever gave the body."""
        if not self.pool.finish(digest, ok):
            return
        is_certified = self.certificate is not None and digest == self.certificate.digest
        if is_certified and self._is_hopeless(digest):
            self._local.halt(  # R13: at least one of the copies came from an honest node
                f"block {self.number} is certified but does not execute here: {reason or 'its roots differ'}; "
                "this node's state or software differs from the consortium's"
            )
        self.advance()

    def _is_executed(self, digest: bytes) -> bool:
        block = self.pool.start(digest)
        if block is not None:
            self._local.emit(Execute(block))
        return self.pool.is_executed(digest)

    def _body(self, digest: bytes) -> BlockView | None:
        """The block, or None after it was asked for; not asked for any more once f+1 copies failed."""
        block = self.pool.get(digest)
        if block is None and not self._is_hopeless(digest) and self.pool.want(digest):
            self._request(digest)
        return block

    def _is_hopeless(self, digest: bytes) -> bool:
        """Whether the copies of f+1 validators failed here: at least one of them is honest."""
        return self.pool.failures(digest, self._validators.keys) > self._validators.faults

    def _request(self, digest: bytes) -> None:
        """Ask one validator at a time for a missing block, those that voted for it first; another next time (R9)."""
        supporters = self.votes.supporters(digest)
        if self.certificate is not None and digest == self.certificate.digest:
            supporters += [member for member, _ in self.certificate.signatures]
        candidates = dict.fromkeys([*supporters, *self._validators.ids])
        source = self.pool.next_source(digest, [peer for peer in candidates if peer != self._local.member])
        if source is not None:
            self._local.emit(SendTo(source, BlockRequest(self.number, digest)))

    # ------------------------------------------------------------------------------------ resending (R6, R10)

    def heartbeat(self) -> None:
        """R6: the own ROUND-CHANGE again, and requests for missing blocks to somebody else."""
        change = self.own.get((MessageKind.ROUND_CHANGE, self.round))
        if change is not None and self.may_vote():
            self._local.emit(Broadcast(change))
        for digest in self.pool.wanted:
            self._request(digest)

    def resendable(self) -> list[SignedMessage]:
        """Own votes worth sending again: those of the current round, and COMMITs of kept rounds (R5)."""
        return [
            message
            for (kind, round_number), message in sorted(self.own.items(), key=lambda item: item[0])
            if (round_number == self.round or kind is MessageKind.COMMIT)
        ]
