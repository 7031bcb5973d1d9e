"""The agreement core: ``step(event) -> effects``, a state machine without I/O, clock or randomness.

One height is undecided at a time (R12). Within it a validator moves like this; every arrow is one event:

    round r, nothing accepted ── PRE-PREPARE, justified (R1, R2) ───► accepted
    accepted                  ── Executed, roots agree (R3) ────────► PREPARE signed, sent
    accepted                  ── Q PREPAREs (R4) ───────────────────► lock + COMMIT in one synced write, then sent
    any round                 ── Q COMMITs, or DECIDED (R5) ────────► certified: no more votes, block to the ledger
    certified                 ── Committed (R5, R14) ───────────────► next height, round 0
    round r                   ── round timer (R6) ──────────────────► round r+1, ROUND-CHANGE with the lock
    round r                   ── f+1 ROUND-CHANGEs above (R6) ──────► the smallest of them, ROUND-CHANGE with the lock
    round r                   ── PRE-PREPARE of a higher round (R3) ► that round, accepted
    leader of r > 0           ── Q ROUND-CHANGEs for r (R2) ────────► PRE-PREPARE: highest lock, else a fresh block
    leader of round 0         ── transaction pending, or max_idle ──► PRE-PREPARE: a fresh block
    anywhere                  ── certificate above head + 1 (R9) ───► catching up: no votes until the head is there

``consensus.height`` is one height; this file is the way from one to the next, and what is said to peers that are
elsewhere. ``consensus.events`` is the interface; ``justification`` and ``vote_store`` say what is proved by whom.

A refinement of R6, as PBFT has it (Castro and Liskov 1999, § 4.5.2): above round 0 the round timer runs only once Q
validators are known, by signed messages, to be in the round or above. Without it, capped timeouts let a node that is
k rounds ahead stay k rounds ahead for ever, and rounds never meet (besu#1822, #7642); with it the hindmost catch up,
and rounds do not run away while there is no quorum.
"""

from __future__ import annotations

from typing import Final

from chain.certificate import SignatureCheck, ValidatorSet
from chain.crypto import verify
from consensus.events import (
    BlockBuilt,
    Broadcast,
    Catchup,
    CertifiedAhead,
    Committed,
    Effect,
    Event,
    Evidence,
    Executed,
    Head,
    MessageReceived,
    Now,
    PeerConnected,
    Prepared,
    Restored,
    SendDecided,
    SendTo,
    SetTimer,
    Signed,
    SignRefused,
    Start,
    Timer,
    TimerFired,
    TransactionPending,
)
from consensus.height import Height
from consensus.justification import Electorate
from consensus.local import Local
from consensus.messages import (
    BlockReply,
    BlockRequest,
    Commit,
    Decided,
    Message,
    Prepare,
    PrePrepare,
    RoundChange,
    SignedMessage,
    Status,
)
from consensus.vote_store import VoteStore

ANSWERS_PER_HEARTBEAT: Final = 32
"""Answers to one peer's hints between two heartbeats: a flood of STATUS buys no flood of blocks (R10)."""


class Core:
    """One validator's part in agreement; a ``member`` outside the validator set only follows decisions.

    ``signature_check(public key, message, signature)`` is asked for everything that is counted.
    """

    def __init__(self, member: str, network_id: bytes, signature_check: SignatureCheck = verify) -> None:
        self._local = Local(member, network_id)
        self._signature_check = signature_check
        self._certified_height = 0
        """The highest height a verified certificate is known for (R9)."""
        self._pull_from: str | None = None
        """The peer whose DECIDED brought the current height's certificate: it may have the next one too."""
        self._answers: dict[str, int] = {}
        self._head: Head
        self._height: Height
        self._next_votes: VoteStore
        self._next_proposals: dict[str, tuple[str, PrePrepare]] = {}

    # ------------------------------------------------------------------------------------ what may be read

    @property
    def head(self) -> Head:
        """The newest durable block."""
        return self._head

    @property
    def height(self) -> int:
        """The undecided height: head + 1."""
        return self._height.number

    @property
    def round(self) -> int:
        """The current round of that height."""
        return self._height.round

    @property
    def prepared(self) -> Prepared | None:
        """The lock, if any (R4)."""
        return self._height.prepared

    @property
    def may_vote(self) -> bool:
        """Whether it is a validator that is neither catching up (R9) nor halted (R13)."""
        return self._height.may_vote()

    @property
    def halted(self) -> str | None:
        """Why it halted (R13), or None."""
        return self._local.halted

    @property
    def kept_messages(self) -> int:
        """Signed messages in memory: O(n), whatever a liar sends (R10)."""
        return (
            len(self._height.votes) + len(self._next_votes) + len(self._next_proposals) + len(self._height.own)
        )

    # ------------------------------------------------------------------------------------ the one door

    def step(self, event: Event) -> list[Effect]:
        """Handle one event to its end and return what the driver is to do, in order (R14)."""
        if self._local.halted is None:
            self._handle(event)
        return self._local.take()

    def _handle(self, event: Event) -> None:
        match event:
            case MessageReceived(peer, message):
                self._on_message(peer, message)
            case Signed(message):
                if message.height == self._height.number:  # R14, here and below
                    self._height.on_signed(message)
            case Executed(digest, ok, reason):
                self._height.on_executed(digest, ok, reason)
            case BlockBuilt(height, round_number, block):
                if height == self._height.number:
                    self._height.on_block_built(round_number, block)
            case TimerFired(timer, height, round_number):
                if height == self._height.number:
                    self._on_timer(timer, round_number)
            case Now(ms):
                self._local.now = ms
            case TransactionPending():
                self._height.on_transaction_pending()
            case Committed(head, pending):
                self._on_committed(head, pending)
            case CertifiedAhead(height):
                self._fall_behind(height)
            case PeerConnected(peer):
                self._send_status(peer)
                self._resend_to(peer)
            case SignRefused():
                pass  # this vote counts as given: it is not asked for again (R7)
            case Start(head, restored, pending):
                self._on_start(head, restored, pending)

    # ------------------------------------------------------------------------------------ from height to height

    def _on_start(self, head: Head, restored: Restored | None, pending: bool) -> None:
        """R8: begin where the journal left off; it may be one height ahead of the store, no more."""
        self._begin_height(head, pending, None)
        if restored is None or restored.height <= head.height:
            self._height.begin()
        elif restored.height > head.height + 1:
            self._local.halt(
                f"the vote journal voted at height {restored.height} but the store ends at {head.height}: "
                "this is not the store that belongs to the journal; give the node a new key or its own store"
            )
        else:
            self._height.restore(restored)
        self._local.emit(Broadcast(Status(self._height.number, self._height.round)))

    def _on_committed(self, head: Head, pending: bool) -> None:
        """R5, R14: only a durable block moves the height; what was of the old one is gone with it."""
        if head.height <= self._head.height:
            return
        is_next = head.height == self._height.number
        votes = self._next_votes if is_next else None
        proposals = list(self._next_proposals.values()) if is_next else []
        pull_from, self._pull_from = self._pull_from if is_next else None, None
        self._begin_height(head, pending, votes)
        self._height.begin()
        if pull_from is not None:
            self._send_status(pull_from)
        for peer, proposal in proposals:
            self._height.on_pre_prepare(peer, proposal)
        self._height.advance()

    def _begin_height(self, head: Head, pending: bool, votes: VoteStore | None) -> None:
        """R12: one undecided height, head + 1; votes for it may have been buffered (R10)."""
        if votes is None or votes.electorate.validators != head.validators:
            votes = VoteStore(head.height + 1, self._electorate(head.validators))
        is_suspended = self._certified_height > head.height
        self._head = head
        self._height = Height(self._local, head, votes, is_pending=pending, is_suspended=is_suspended)
        self._next_votes = VoteStore(head.height + 2, self._electorate(head.next_validators))
        self._next_proposals = {}
        self._answers = {}
        self._height.stop_timers()
        self._local.emit(SetTimer(Timer.RESEND, head.height + 1, 0, head.timing.t0))

    def _electorate(self, validators: ValidatorSet) -> Electorate:
        """R11: who votes comes from the ledger, height by height."""
        return Electorate(self._local.network_id, validators, self._signature_check)

    def _fall_behind(self, height: int, peer: str | None = None) -> None:
        """R9: a verified certificate above the head: catching up, no votes until the head is there."""
        if height <= max(self._head.height, self._certified_height):
            return
        self._certified_height = height
        self._height.suspend()
        if peer is not None:
            self._local.emit(Catchup(peer, height, certified=True))
            self._send_status(peer)

    # ------------------------------------------------------------------------------------ messages

    def _on_message(self, peer: str, message: Message) -> None:
        match message:
            case PrePrepare() | Prepare() | Commit() | RoundChange():
                self._on_signed_message(peer, message)
            case Decided():
                self._on_decided(peer, message)
            case Status():
                self._on_status(peer, message)
            case BlockRequest():
                self._on_block_request(peer, message)
            case BlockReply(block):
                self._height.on_block(block, peer)

    def _on_signed_message(self, peer: str, message: SignedMessage) -> None:
        """R10: heights head + 1 and head + 2 only; R14: nothing at or below the head."""
        if message.sender == self._local.member:
            return  # own votes come through Signed alone
        if message.height == self._height.number + 1:
            self._buffer(peer, message)
        elif message.height == self._height.number:
            if isinstance(message, PrePrepare):
                self._height.on_pre_prepare(peer, message)
            else:
                self._height.on_vote(message)

    def _buffer(self, peer: str, message: SignedMessage) -> None:
        """R10: verified and kept for the next height, one proposal a leader. Q COMMITs there: being behind (R9)."""
        added = self._next_votes.add(message)
        if added.conflict is not None:
            self._local.emit(Evidence(added.conflict, message))
        if not added.is_new:
            return
        validators = self._next_votes.electorate.validators
        if isinstance(message, PrePrepare) and message.sender == validators.leader(message.height, message.round):
            self._next_proposals[message.sender] = (peer, message)
        if isinstance(message, Commit) and self._next_votes.certified() is not None:
            self._fall_behind(message.height, peer)

    def _on_decided(self, peer: str, message: Decided) -> None:
        """R9: a certificate counts under the validators of this node's own state; a claim without one is a hint."""
        certificate, block = message.certificate, message.block
        height = certificate.height
        if height <= self._head.height or (block.digest, block.height) != (certificate.digest, height):
            return
        if height == self._height.number:
            if self._height.votes.electorate.certifies(certificate):
                self._pull_from = peer
                self._height.certify(certificate)
                self._height.on_block(block, peer)
                self._height.advance()
        elif height == self._height.number + 1 and self._next_votes.electorate.certifies(certificate):
            self._fall_behind(height, peer)
        else:
            self._local.emit(Catchup(peer, height, certified=False))

    # ------------------------------------------------------------------------------------ hints (R6, R10)

    def _on_timer(self, timer: Timer, round_number: int) -> None:
        if timer is not Timer.RESEND:
            self._height.on_timer(timer, round_number)
            return
        # Every T0 without a decision. Rounds meet again after a partition only because this never stops.
        self._answers = {}
        self._local.emit(Broadcast(Status(self._height.number, self._height.round)))
        self._height.heartbeat()
        self._local.emit(SetTimer(Timer.RESEND, self._height.number, 0, self._head.timing.t0))

    def _on_status(self, peer: str, message: Status) -> None:
        """R10: own votes for a peer at our height, DECIDED for one behind; one that says it is ahead may be asked."""
        if message.height > self._height.number:
            self._local.emit(Catchup(peer, message.height - 1, certified=False))
            self._send_status(peer)
        elif message.height == self._height.number:
            if self._may_answer(peer):
                self._resend_to(peer)
        elif message.height > 0 and self._may_answer(peer):
            self._local.emit(SendDecided(peer, message.height))

    def _on_block_request(self, peer: str, message: BlockRequest) -> None:
        """A missing block is fetched by digest; it is kept until its height is decided, then it is DECIDED's."""
        if not 0 < message.height <= self._height.number or not self._may_answer(peer):
            return
        if message.height <= self._head.height:
            self._local.emit(SendDecided(peer, message.height))
            return
        block = self._height.pool.get(message.digest)
        if block is not None:
            self._local.emit(SendTo(peer, BlockReply(block)))

    def _resend_to(self, peer: str) -> None:
        """R10: own votes; the proposal only to one that has not prepared it, for it is large."""
        for message in self._height.resendable():
            has_it = isinstance(message, PrePrepare) and self._height.votes.has_prepared(peer, message.round)
            if not has_it:
                self._local.emit(SendTo(peer, message))

    def _send_status(self, peer: str) -> None:
        if self._may_answer(peer):
            self._local.emit(SendTo(peer, Status(self._height.number, self._height.round)))

    def _may_answer(self, peer: str) -> bool:
        self._answers[peer] = self._answers.get(peer, 0) + 1
        return self._answers[peer] <= ANSWERS_PER_HEARTBEAT
