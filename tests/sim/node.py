"""One simulated validator: the real core, signer and ledger, driven as the node's driver drives them.

What survives a crash is the disk of the journal and the store of the ledger; everything else is made anew.
Signing, building, executing and storing may take virtual time, so that timers and messages fall in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from chain.block import Block
from chain.certificate import Certificate
from chain.ledger import Ledger
from chain.store import MemoryStore
from chain.transaction import Transaction
from chain.transition import Transition
from chain.validity import InvalidBlockError, includable
from consensus.core import Core
from consensus.events import (
    BlockBuilt,
    Broadcast,
    BuildBlock,
    CancelTimer,
    Catchup,
    CertifiedAhead,
    Committed,
    Decide,
    Effect,
    Event,
    Evidence,
    Execute,
    Executed,
    Halt,
    Head,
    MessageReceived,
    Now,
    PeerConnected,
    SendDecided,
    SendTo,
    SetTimer,
    Sign,
    Start,
    Timer,
    TimerFired,
    Timing,
    TransactionPending,
)
from consensus.messages import Decided, Message
from node.journal import JournalError
from node.signer import Signer
from tests.sim.consortium import GENESIS_TIME
from tests.sim.disk import SimDisk
from tests.sim.keys import SimKey

if TYPE_CHECKING:
    from tests.sim.world import World

CATCH_UP_BLOCKS: Final = 8
"""Blocks asked for at once by a node that fell behind."""


class SimNode:
    """``copy`` tells the instances of an equivocating validator apart; honest ones are copy 0."""

    def __init__(self, world: World, member: str, copy: int, key: SimKey, skew: int) -> None:
        self.world = world
        self.member = member
        self.copy = copy
        self.key = key
        self.skew = skew
        self.is_honest = True
        self.is_up = False
        self.life = 0
        self.disk = SimDisk(f"{member}.journal")
        self.store = MemoryStore()
        self.mempool: dict[bytes, Transaction] = {}
        self.core: Core
        self.ledger: Ledger
        self.signer: Signer
        self._inbox: deque[Event] = deque()
        self._is_stepping = False
        self._clock = 0
        self._timers: dict[Timer, int] = {}
        self._outcomes: dict[bytes, Transition] = {}
        self._sign_free_at = 0
        self._signs_waiting = 0
        self._is_fetching = False

    def __repr__(self) -> str:
        return self.member if self.copy == 0 else f"{self.member}'"

    @property
    def clock(self) -> int:
        """What its wall clock says, ms."""
        return GENESIS_TIME + self.world.now + self.skew

    # ------------------------------------------------------------------------------------ life and death

    def boot(self) -> None:
        """Start, or start again, from what the disks hold (R8)."""
        world = self.world
        self.is_up = True
        self.life += 1
        self._inbox.clear()
        self._timers.clear()
        self._outcomes.clear()
        self._is_stepping = self._is_fetching = False
        self._sign_free_at = self._signs_waiting = self._clock = 0
        self.ledger = world.consortium.open_ledger(self.store, world.check)
        opener = Signer.create if self.disk.read() is None else Signer.open
        identity = self.member.encode().ljust(16, b"\0")
        try:
            self.signer = opener(
                self.member, self.key, self.disk, Block.decode, journal_id=identity, compact_above=3_000
            )
            self.signer.check_ledger(self.ledger.height, self.ledger.head.digest)
        except JournalError as error:
            self._violate(f"does not start: {error}")
        self.core = Core(self.member, world.consortium.network_id, world.check)
        world.note(self, "starts", self.ledger.height)
        self.feed(Start(self.head(), self.signer.restored(), self._is_pending()))
        for peer in world.members:
            if peer != self.member:
                world.after(world.random.randrange(1, 60), self, self.connected, peer)
                world.reconnect(peer, self.member)

    def crash(self) -> bool:
        """Lose everything that is not on a disk; come back later. False, and nothing, once the world is healed."""
        if not self.is_up or self.world.is_healed:
            return False
        self.world.note(self, "CRASHES", self.ledger.height)
        self.is_up = False
        self.life += 1
        self.disk.crash(self.world.random)
        if self.is_honest:
            self.world.checker.forget(self)
        self.world.restart_later(self)
        return True

    # ------------------------------------------------------------------------------------ events

    def receive(self, peer: str, message: Message) -> None:
        """A message of ``peer`` arrives."""
        if self.is_up:
            if self.is_honest:
                self.world.checker.on_receive(self, message)
            self.feed(MessageReceived(peer, message))

    def connected(self, peer: str) -> None:
        """A connection to ``peer`` is new."""
        self.feed(PeerConnected(peer))

    def submit(self, transaction: Transaction) -> None:
        """A client, or a peer's gossip, brings a transaction."""
        if self.is_up and not self.ledger.seen(transaction.id):
            self.mempool[transaction.id] = transaction
            self.feed(TransactionPending())

    def feed(self, event: Event) -> None:
        """One queue: an event that comes up while another is handled waits (R14)."""
        if not self.is_up:
            return
        self._inbox.append(event)
        if self._is_stepping:
            return
        self._is_stepping = True
        life = self.life
        while self._inbox and self.life == life:
            self._step(self._inbox.popleft())
        if self.life == life:
            self._is_stepping = False

    def _step(self, event: Event) -> None:
        world, life = self.world, self.life
        world.events += 1
        if world.trace is not None:
            world.note(self, "<-", event)
        clock = self.clock
        if clock != self._clock:
            self._clock = clock
            self.core.step(Now(clock))
        for effect in self.core.step(event):
            self._carry_out(effect)
            if self.life != life:
                return
        if self.is_honest:
            world.checker.after_step(self)

    def _carry_out(self, effect: Effect) -> None:
        world, plan = self.world, self.world.plan
        match effect:
            case Broadcast(message):
                world.network.broadcast(self, message)
            case SendTo(peer, message):
                world.network.send(self, peer, message)
            case SetTimer(timer, height, round_number, delay):
                self._set_timer(timer, height, round_number, delay)
            case CancelTimer(timer):
                self._timers.pop(timer, None)
            case Sign():
                if self.is_honest:
                    world.checker.on_vote(self, effect.message)
                self._in_order(effect)
            case Execute(block):
                assert isinstance(block, Block)
                self._later(plan.execute_ms, self._execute, block)
            case BuildBlock(height, round_number):
                self._later(plan.execute_ms, self._build, height, round_number)
            case Decide(block, certificate):
                assert isinstance(block, Block)
                if self.is_honest:
                    world.checker.on_decide(self, block.height)
                self._later(plan.store_ms, self._decide, block, certificate)
            case SendDecided(peer, height):
                self._send_decided(peer, height)
            case Catchup(peer, height, _):
                self._fetch(peer, height)
            case Evidence(first, second):
                if world.trace is not None:
                    world.note(self, "evidence", (first, second))
            case Halt(reason):
                self._violate(f"halts: {reason}")

    def _later(self, delay: int, action: Callable[..., None], *arguments: object) -> None:
        """At once, or after up to ``delay`` ms; through the world's heap either way it stays in this life."""
        if delay and not self.world.is_healed:
            self.world.after(self.world.random.randrange(delay), self, action, *arguments)
        else:
            action(*arguments)

    def _violate(self, text: str) -> None:
        if self.is_honest:
            self.world.checker.violate(f"{self!r} {text}")

    # ------------------------------------------------------------------------------------ timers and signing

    def _set_timer(self, timer: Timer, height: int, round_number: int, delay: int) -> None:
        token = self.world.next_token()
        self._timers[timer] = token
        drifted = max(1, int(delay * self.world.random.uniform(0.9, 1.1)))
        self.world.after(drifted, self, self._fire, timer, height, round_number, token)

    def _fire(self, timer: Timer, height: int, round_number: int, token: int) -> None:
        """A cancelled timer may still fire, as on a real machine: the core must recognise it as stale."""
        if self._timers.get(timer) == token:
            del self._timers[timer]
            self.feed(TimerFired(timer, height, round_number))
        elif self.world.random.random() < self.world.plan.late_timers:
            self.feed(TimerFired(timer, height, round_number))

    def _in_order(self, request: Sign) -> None:
        """Signing may take time, in order among Signs."""
        slowest = 0 if self.world.is_healed else self.world.plan.sign_ms
        if not slowest and not self._signs_waiting:
            self._sign(request)
            return
        now = self.world.now
        self._sign_free_at = max(now, self._sign_free_at) + (self.world.random.randrange(slowest) if slowest else 0)
        self._signs_waiting += 1
        self.world.after(self._sign_free_at - now, self, self._sign_next, request)

    def _sign_next(self, request: Sign) -> None:
        self._signs_waiting -= 1
        self._sign(request)

    def _sign(self, request: Sign) -> None:
        world = self.world
        answer = self.signer.sign(request)
        if self.is_honest:
            world.checker.on_signed(self, answer)
            if world.plan.crashes_after_sign(world, request.message) and self.crash():
                return
        self.feed(answer)

    # ------------------------------------------------------------------------------------ blocks

    def head(self) -> Head:
        """The ledger's head as the core sees it."""
        ledger, parent = self.ledger, self.ledger.parent
        timing = Timing(int(ledger.parameters["t0_ms"]), int(ledger.parameters["max_idle_ms"]))
        header = ledger.head
        return Head(header.height, header.digest, header.time, parent.validators, parent.next_validators, timing)

    def build(self, share: float = 1.0) -> tuple[Block, Transition]:
        """A block of what is pending, or of a random share of it, on the head."""
        chosen: dict[str, list[Transaction]] = {}
        own: list[Transaction] = []
        moment = max(self.ledger.head.time + 1, self.clock)
        for transaction in self.mempool.values():
            if includable(self.ledger.parent, moment, transaction) is not None:
                continue
            if share < 1.0 and self.world.random.random() > share:
                continue
            if transaction.chain == "consortium":
                own.append(transaction)
            else:
                chosen.setdefault(transaction.chain, []).append(transaction)
        return self.ledger.build(proposer=self.member, time=moment, member_txs=chosen, consortium_txs=own)

    def _build(self, height: int, round_number: int) -> None:
        if self.ledger.height + 1 != height:
            return
        block, outcome = self.build(1.0 if self.is_honest else 0.5)
        self._outcomes[block.digest] = outcome
        self.feed(BlockBuilt(height, round_number, block))

    def _execute(self, block: Block) -> None:
        reason = ""
        try:
            self._outcomes[block.digest] = self.ledger.execute(block, self.world.consortium.by_wire.get)
        except InvalidBlockError as error:
            reason = str(error)
        self.feed(Executed(block.digest, not reason, reason))

    def _decide(self, block: Block, certificate: Certificate) -> None:
        if block.height != self.ledger.height + 1:
            return  # catch-up stored it meanwhile and said so
        self._commit(block, certificate)

    def _commit(self, block: Block, certificate: Certificate) -> None:
        """The synced batch, then the journal's note, then Committed, then the clients (R5)."""
        world = self.world
        outcome = self._outcomes.get(block.digest)
        if outcome is None:
            outcome = self.ledger.execute(block, world.consortium.by_wire.get)
        transactions = world.transactions_of(block)
        self.ledger.commit(block, certificate, outcome, transactions)
        self._outcomes.clear()
        for transaction in transactions:
            self.mempool.pop(transaction.id, None)
        if world.trace is not None:
            world.note(self, "COMMITS", block)
        if self.is_honest:
            world.checker.on_commit(self, block, certificate)
            if world.random.random() < world.plan.crash_on_commit and self.crash():
                return  # the block is on the disk; the journal does not know, the core never hears
        self.signer.decided(block.height, block.digest)
        self.feed(Committed(self.head(), self._is_pending()))
        if self.is_honest:
            world.checker.acknowledge(transactions)

    def _is_pending(self) -> bool:
        return any(not self.ledger.seen(tx_id) for tx_id in self.mempool)

    # ------------------------------------------------------------------------------------ catching up (R9)

    def decided(self, height: int) -> Decided | None:
        """DECIDED of a stored height."""
        certificate = self.ledger.certificate(height) if 0 < height <= self.ledger.height else None
        return None if certificate is None else Decided(self.ledger.block(height), certificate)

    def _send_decided(self, peer: str, height: int) -> None:
        message = self.decided(height)
        if message is not None:
            self.world.network.send(self, peer, message)

    def _fetch(self, peer: str, height: int) -> None:
        """Ask for blocks up to a claimed height; a claim costs one question, and believes nothing."""
        if self._is_fetching or height <= self.ledger.height:
            return
        self._is_fetching = True
        self.world.after(1_000, self, self._stop_fetching)
        self.world.network.ask_blocks(self, peer, self.ledger.height + 1)

    def _stop_fetching(self) -> None:
        self._is_fetching = False

    def give_blocks(self, start: int) -> list[Decided]:
        """Some contiguous blocks from ``start``."""
        if not self.is_up:
            return []
        found = [self.decided(height) for height in range(start, start + CATCH_UP_BLOCKS)]
        return [decided for decided in found if decided is not None]

    def take_blocks(self, peer: str, blocks: list[Decided]) -> None:
        """Verify the newest certificate under the own validators, then store block after block."""
        self._is_fetching = False
        fresh = [decided for decided in blocks if decided.block.height > self.ledger.height]
        if not fresh or not self._certifies(fresh[-1].certificate):
            return
        newest = fresh[-1].certificate.height
        if newest == self.core.height:
            self.receive(peer, fresh[-1])  # the next block only: the core takes it as any DECIDED
            return
        if self.is_honest:
            self.world.checker.on_certified(self, newest)
        self.feed(CertifiedAhead(newest))
        delay = 0
        for decided in fresh:
            delay += self.world.random.randrange(1, 40)
            self.world.after(delay, self, self._store, decided)

    def _certifies(self, certificate: Certificate) -> bool:
        try:
            certificate.check(self.ledger.validators(), self.world.consortium.network_id, self.world.check)
        except ValueError:
            return False
        return True

    def _store(self, decided: Decided) -> None:
        block, certificate = decided.block, decided.certificate
        assert isinstance(block, Block)
        is_next = block.height == certificate.height == self.ledger.height + 1
        if not is_next or certificate.digest != block.digest or not self._certifies(certificate):
            return
        try:
            self._outcomes[block.digest] = self.ledger.execute(block, self.world.consortium.by_wire.get)
        except InvalidBlockError:
            return
        self._commit(block, certificate)
