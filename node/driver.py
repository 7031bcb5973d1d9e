"""The one loop: feeds the agreement core, carries out its effects, in order.

Everything that changes agreement goes through ``feed``, which is synchronous: trio runs one task at a time, so
one event at a time is handled to its end (R14). Durable before told: votes by the signer's journal (R7), blocks
by the ledger's synced batch (R5), and only then peers and clients.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

import trio

from chain.block import CONSORTIUM, Block
from chain.certificate import Certificate
from chain.codec import encode_key
from chain.ledger import Ledger
from chain.proof import transactions_of
from chain.transaction import Transaction
from chain.transition import Transition
from chain.validity import DEFAULT_MAX_BLOCK_BYTES, DEFAULT_MAX_BLOCK_TXS, InvalidBlockError, includable
from consensus import events as ev
from consensus.core import Core
from consensus.messages import (
    Commit,
    Decided,
    Message,
    MessageError,
    PrePrepare,
    RoundChange,
    SignedMessage,
    decode,
    encode,
)
from node.mempool import Admission, Mempool
from node.signer import Signer

BLOCK_OVERHEAD: Final = 16 * 1024
"""Bytes of a block beside its transactions: header, certificate, framing."""
RECENT_BLOCKS: Final = 64
EXECUTION_SHARE: Final = 0.2
"""Of T0: what a proposal of this node's may take to execute, as measured here. A heavier block would run into the
round timers of slower replicas (R6). It only bounds what is proposed, never what is valid."""
LEAST_WORK: Final = 50
LOOK_AT: Final = 256
"""Of the oldest waiting transactions, how many are looked at for one that is includable."""
FIRST_GUESS_S: Final = 0.0002
_BEHIND: Final = encode_key(("credit", "behind"))
"""State key that stands while the consortium's hooks have work left over (contracts/credit.py)."""


class Wire(Protocol):
    """What the driver needs of the network: see ``node.network.Network``."""

    def send(self, member: str, channel: Any, frame: bytes) -> bool:
        """Queue a frame for one member."""

    def broadcast(self, channel: Any, frame: bytes) -> None:
        """Queue a frame for every other member."""


class Log(Protocol):
    """structlog's bound logger, as far as used."""

    def info(self, event: str, **fields: Any) -> Any:
        """What happened."""

    def warning(self, event: str, **fields: Any) -> Any:
        """What an operator should look at."""

    def error(self, event: str, **fields: Any) -> Any:
        """What an operator must look at."""


class HaltError(RuntimeError):
    """Agreement must stop on this node (R13); the message is for the operator."""


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """A block as followers need it: ``outcomes`` are (transaction id, receipt status)."""

    height: int
    time: int
    digest: bytes
    outcomes: tuple[tuple[bytes, int], ...]


@dataclass
class _Candidate:
    """A block of the next height that was executed, with its parsed transactions."""

    block: Block
    outcome: Transition
    transactions: list[Transaction]


def wall_clock() -> int:
    """The machine's clock, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Driver:
    """One node's agreement, from its ledger's head on."""

    def __init__(
        self,
        *,
        member: str,
        core: Core,
        ledger: Ledger,
        signer: Signer | None,
        mempool: Mempool,
        network: Wire,
        log: Log,
        on_catchup: Callable[[str, int], None],
        on_evidence: Callable[[str, str], None],
        on_commit: Callable[[], None] = lambda: None,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self.member = member
        self.ledger = ledger
        self.mempool = mempool
        self._core = core
        self._signer = signer
        self._network = network
        self._log = log
        self._on_catchup = on_catchup
        self._on_evidence = on_evidence
        self._on_commit = on_commit
        self._clock = clock
        self._now = 0
        self._candidates: dict[bytes, _Candidate] = {}
        self._timers: dict[ev.Timer, tuple[float, ev.TimerFired]] = {}
        self._timers_changed = trio.Event()
        self._queue: deque[ev.Event] = deque()
        self._feeding = False
        self._told_pending = -1
        self._hooks_failed = False
        self._seconds_per_unit = FIRST_GUESS_S
        self.committed = trio.Event()
        """Set and replaced at each commit: waiters look again."""
        self.recent: tuple[CommittedBlock, ...] = ()
        """The newest blocks' transaction ids with their status, for those who follow, in whichever thread."""
        self.evidence = 0
        """Pairs of conflicting signatures seen (R13)."""
        self.malformed = 0
        """Messages of members that were no messages."""
        self.voted_height = 0
        """The highest height this process has signed a COMMIT at; 0 until it votes."""

    # -- in -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Feed the first event: the stored head and the journal's votes (R8)."""
        restored = None if self._signer is None else self._signer.restored()
        self.feed(ev.Start(self.head(), restored, pending=self._has_pending()))

    def head(self) -> ev.Head:
        """The ledger's head as agreement sees it (R11)."""
        parent = self.ledger.parent
        parameters = parent.parameters
        return ev.Head(
            height=parent.header.height,
            digest=parent.header.digest,
            time=parent.header.time,
            validators=parent.validators,
            next_validators=parent.next_validators,
            timing=ev.Timing(t0=int(parameters["t0_ms"]), max_idle=int(parameters["max_idle_ms"])),
        )

    def feed(self, event: ev.Event) -> None:
        """Handle one event and all that follows from it at once. Raises HaltError, StoreError, JournalWriteError."""
        self._queue.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._queue:
                self._step(self._queue.popleft())
        finally:
            self._feeding = False
            self._queue.clear()

    def receive(self, member: str, frame: bytes) -> None:
        """A frame of the votes channel. A malformed one is counted against its sender and changes nothing."""
        try:
            message = decode(frame, Block.decode)
        except MessageError as error:
            self.note_malformed(member, error)
            return
        self.feed(ev.MessageReceived(member, message))

    def note_malformed(self, member: str, error: Exception) -> None:
        """Count what a member sent that was no message; the log has the 1st, 2nd, 4th …, so no flood fills it."""
        self.malformed += 1
        if self.malformed & (self.malformed - 1) == 0:
            self._log.warning("malformed message", member=member, reason=str(error), count=self.malformed)

    def submit(self, wire: bytes) -> Admission:
        """Admit a transaction to the pool and let agreement know that something waits (R6)."""
        admission = self.mempool.submit(wire, self._clock())
        if admission.state == "accepted" and self._told_pending < self.ledger.height:
            self._told_pending = self.ledger.height
            self.feed(ev.TransactionPending())
        return admission

    async def run_timers(self) -> None:
        """Feed timers as they run out."""
        while True:
            if not self._timers:
                await self._timers_changed.wait()
            self._timers_changed = trio.Event()
            timer, (deadline, event) = min(self._timers.items(), key=lambda item: item[1][0])
            with trio.move_on_at(deadline):
                await self._timers_changed.wait()
                continue
            if self._timers.get(timer) == (deadline, event):
                del self._timers[timer]
                self.feed(event)

    # -- out ------------------------------------------------------------------------------------------

    def _step(self, event: ev.Event) -> None:
        now = max(self._clock(), self._now)
        if now != self._now:
            self._now = now
            self._core.step(ev.Now(now))
        for effect in self._core.step(event):
            self._carry_out(effect)

    def _carry_out(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Broadcast(message):
                self._network.broadcast("votes", encode(message))
            case ev.SendTo(peer, message):
                self._network.send(peer, "votes", encode(message))
            case ev.Sign() if self._signer is not None:
                self._queue.append(self._sign(self._signer, effect))
            case ev.SetTimer(timer, height, round_number, delay):
                fired = ev.TimerFired(timer, height, round_number)
                self._timers[timer] = (trio.current_time() + delay / 1000, fired)
                self._timers_changed.set()
            case ev.CancelTimer(timer):
                self._timers.pop(timer, None)
                self._timers_changed.set()
            case ev.Execute(block):
                self._execute(block)
            case ev.BuildBlock(height, round_number):
                self._build(height, round_number)
            case ev.Decide(block, certificate):
                self._decide(block, certificate)
            case ev.SendDecided(peer, height):
                self._send_decided(peer, height)
            case ev.Catchup(peer, height):
                self._on_catchup(peer, height)
            case ev.Evidence(first, second):
                self._accuse(_bare(first), _bare(second))
            case ev.Halt(reason):
                raise HaltError(reason)

    def _sign(self, signer: Signer, request: ev.Sign) -> ev.Signed | ev.SignRefused:
        answer = signer.sign(request)
        if isinstance(answer, ev.Signed) and isinstance(answer.message, Commit):
            self.voted_height = max(self.voted_height, answer.message.height)
        return answer

    def _accuse(self, first: SignedMessage, second: SignedMessage) -> None:
        """R13: the signed parts are the proof; a proposal's block would only fill disk and log."""
        self.evidence += 1
        self._on_evidence(encode(first).hex(), encode(second).hex())
        self._log.error("a validator signed two conflicting messages", first=str(first), second=str(second))

    def _execute(self, block: Any) -> None:
        """R3: check and execute before any PREPARE."""
        try:
            self._candidate(block)
        except InvalidBlockError as error:
            self._log.warning("refused a proposal", height=block.height, reason=str(error))
            self._queue.append(ev.Executed(block.digest, False, str(error)))
        else:
            self._queue.append(ev.Executed(block.digest, True))

    def _candidate(self, block: Block) -> _Candidate:
        known = self._candidates.get(block.digest)
        if known is None or known.block.encoded != block.encoded:
            begun = time.perf_counter()
            outcome = self.ledger.execute(block, self.mempool.lookup)
            elapsed = time.perf_counter() - begun
            wires = [wire for _, group in block.member_txs for wire in group] + list(block.consortium_txs)
            parsed = [self.mempool.lookup(wire) for wire in wires]
            complete = [tx for tx in parsed if tx is not None]
            transactions = complete if len(complete) == len(wires) else transactions_of(block)
            known = self._candidates[block.digest] = _Candidate(block, outcome, transactions)
            self._learn(transactions, elapsed)
        return known

    def _learn(self, transactions: list[Transaction], elapsed: float) -> None:
        """What a transaction or record takes here: a slowly moving mean over blocks with enough in them."""
        units = sum(1 + len(transaction.records) for transaction in transactions)
        if units >= LEAST_WORK:
            self._seconds_per_unit += (elapsed / units - self._seconds_per_unit) / 4

    def _build(self, height: int, round_number: int) -> None:
        """Fill a block from the pool, oldest first, within the consortium's sizes."""
        parent = self.ledger.parent
        at = max(self._now, parent.header.time + 1)
        room = int(parent.parameters.get("max_block_bytes", DEFAULT_MAX_BLOCK_BYTES)) - BLOCK_OVERHEAD
        most = int(parent.parameters.get("max_block_txs", DEFAULT_MAX_BLOCK_TXS))
        work = max(LEAST_WORK, int(parent.parameters["t0_ms"] / 1000 * EXECUTION_SHARE / self._seconds_per_unit))
        chosen: dict[str, list[Transaction]] = {}
        count = 0
        for transaction in self.mempool.candidates():
            size = len(transaction.wire) + 8
            if count >= most or size > room or work <= 0:
                break
            if includable(parent, at, transaction) is None:
                chosen.setdefault(transaction.chain, []).append(transaction)
                room -= size
                work -= 1 + len(transaction.records)
                count += 1
        own = chosen.pop(CONSORTIUM, [])
        block, outcome = self.ledger.build(proposer=self.member, time=at, member_txs=chosen, consortium_txs=own)
        ordered = [tx for chain in sorted(chosen) for tx in chosen[chain]] + own
        self._candidates[block.digest] = _Candidate(block, outcome, ordered)
        self._queue.append(ev.BlockBuilt(height, round_number, block))

    def _decide(self, block: Any, certificate: Certificate) -> None:
        """R5: one synced batch, the journal's note, the next height, and only then whoever waits."""
        try:
            candidate = self._candidate(block)
        except InvalidBlockError as error:
            # R13: a quorum certified what this node's own execution contradicts.
            raise HaltError(f"block {block.height} is certified, but re-execution here says {error}") from None
        self.ledger.commit(block, certificate, candidate.outcome, candidate.transactions)
        if self._signer is not None:
            self._signer.decided(block.height, block.digest)
        self._candidates.clear()
        self.mempool.remove(candidate.transactions)
        self.mempool.expire(self.ledger.head.time)
        self.recent = (*self.recent[1 - RECENT_BLOCKS :], _summary(candidate))
        self._hooks_failed = candidate.outcome.executions[CONSORTIUM].receipts[0].status != 0
        pending = self._has_pending()
        self._told_pending = self.ledger.height if pending else self.ledger.height - 1
        self._queue.append(ev.Committed(self.head(), pending=pending))
        self._on_commit()
        self.committed.set()
        self.committed = trio.Event()

    def _has_pending(self) -> bool:
        """Whether an *includable* transaction waits (R6): one that is not must not make empty blocks follow fast.

        Work that the contracts' hooks left over counts as well, for that is what the next block does; every node sees
        the same. But not where a hook failed: it would fail again, as fast as blocks can follow.
        """
        parent, at = self.ledger.parent, max(self._now, self.ledger.head.time + 1)
        if not self._hooks_failed and parent.readers[CONSORTIUM].shared(_BEHIND) is not None:
            return True
        oldest = islice(self.mempool.candidates(), LOOK_AT)
        return any(includable(parent, at, transaction) is None for transaction in oldest)

    def _send_decided(self, peer: str, height: int) -> None:
        certificate = self.ledger.certificate(height)
        if certificate is not None and height >= 1:
            message: Message = Decided(self.ledger.block(height), certificate)
            self._network.send(peer, "votes", encode(message))


def _bare(message: SignedMessage) -> SignedMessage:
    return message.bare() if isinstance(message, PrePrepare | RoundChange) else message


def _summary(candidate: _Candidate) -> CommittedBlock:
    header = candidate.block.header
    outcomes = tuple(
        (receipt.tx_id, receipt.status)
        for chain, execution in candidate.outcome.executions.items()
        for receipt in (execution.receipts[1:] if chain == CONSORTIUM else execution.receipts)
    )
    return CommittedBlock(header.height, header.time, header.digest, outcomes)
