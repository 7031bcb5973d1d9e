"""A committee of real cores driven by hand: messages wait in a list until a test delivers them.

Everything is real except what the driver owns: time is what the test says, and execution agrees unless told not to.
Blocks are ``chain.block.Block`` with made-up roots; keys and signatures are Ed25519. A ``Seat`` is a validator's
driver: a signer with its journal, a store of decided blocks, and the timers that are set.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nacl import bindings

from chain.block import Block, Header
from chain.certificate import Certificate, ValidatorSet
from chain.crypto import SigningKey, sha256
from consensus.core import Core
from consensus.events import (
    BlockBuilt,
    Broadcast,
    BuildBlock,
    CancelTimer,
    Committed,
    Decide,
    Effect,
    Event,
    Execute,
    Executed,
    Head,
    MessageReceived,
    Now,
    Prepared,
    Restored,
    SendDecided,
    SendTo,
    SetTimer,
    Sign,
    Signed,
    SignRefused,
    Start,
    Timer,
    TimerFired,
    Timing,
    TransactionPending,
)
from consensus.messages import (
    Commit,
    Decided,
    Message,
    MessageKind,
    Prepare,
    PrePrepare,
    RoundChange,
    SignedMessage,
)

M = TypeVar("M", bound=SignedMessage)

T = TypeVar("T")

NETWORK = sha256(b"a test network")
NAMES = "abcdefghijklmnop"
START_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Envelope:
    """A message on its way."""

    sender: str
    receiver: str
    message: Message


@dataclass
class Disk:
    """What a crash leaves: the signer's journal and the decided blocks."""

    journal: dict[tuple[int, MessageKind, int], SignedMessage] = field(default_factory=dict)
    prepared: dict[int, Prepared] = field(default_factory=dict)
    decided: dict[int, tuple[Block, Certificate]] = field(default_factory=dict)

    def restored(self) -> Restored | None:
        """What R8 gives back to a starting core."""
        if not self.journal:
            return None
        height = max(height for height, _, _ in self.journal)
        votes = [message for (at, _, _), message in sorted(self.journal.items()) if at == height]
        bare = [m.bare() if isinstance(m, PrePrepare | RoundChange) else m for m in votes]
        return Restored(height, tuple(bare), self.prepared.get(height))


class Committee:
    """n validators named a, b, c …; ``seats`` holds those that run, ``wire`` what was sent and not yet delivered."""

    def __init__(self, n: int = 4, *, t0: int = 1_000, max_idle: int = 30_000, epoch: int = 0) -> None:
        self.names = tuple(NAMES[:n])
        self.keys = {name: SigningKey.from_seed(sha256(name.encode())) for name in self.names}
        self.validators = ValidatorSet(epoch, tuple((name, self.keys[name].public) for name in self.names))
        self.genesis = Head(0, sha256(b"genesis"), START_MS, self.validators, self.validators, Timing(t0, max_idle))
        self.now = START_MS + 1_000
        self.wire: list[Envelope] = []
        self.seats: dict[str, Seat] = {}
        self.cut: set[str] = set()
        """Validators that no message reaches or leaves."""

    def seat(self, name: str, disk: Disk | None = None) -> Seat:
        """Start (or, with its disk, restart) the validator ``name``."""
        seat = Seat(self, name, disk or Disk())
        self.seats[name] = seat
        seat.start()
        return seat

    def start_all(self) -> Committee:
        """Start every validator."""
        for name in self.names:
            self.seat(name)
        return self

    def sign(self, message: M) -> M:
        """The message under its sender's real key: what a Byzantine validator can do too."""
        payload = message.payload(NETWORK, self.validators.epoch)
        return replace(message, signature=self.keys[message.sender].sign(payload))

    def sign_again(self, message: M, nonce: int = 1) -> M:
        """The message under *another* valid signature of the same signer: Ed25519 has one for every nonce."""
        payload = message.payload(NETWORK, self.validators.epoch)
        return replace(message, signature=_signature_with_nonce(sha256(message.sender.encode()), payload, nonce))

    def block(self, head: Head, proposer: str, tag: str = "", time: int | None = None) -> Block:
        """A block on ``head``; ``tag`` tells blocks of one proposer apart."""
        root = sha256(tag.encode())
        moment = max(self.now, head.time + 1) if time is None else time
        header = Header(
            NETWORK, head.height + 1, head.digest, bytes(32), moment, proposer,
            head.validators.epoch, head.validators.hash, head.next_validators.hash, 0, root, 0, root, root, root,
        )  # fmt: skip
        return Block(header, None, (), ())

    def head_after(self, block: Block, head: Head) -> Head:
        """The head that the ledger reports once ``block`` is durable."""
        return replace(
            head, height=block.height, digest=block.digest, time=block.header.time, validators=head.next_validators
        )

    def prepare(self, sender: str, height: int, round_number: int, digest: bytes) -> Prepare:
        """A signed PREPARE."""
        return self.sign(Prepare(height, round_number, digest, sender))

    def prepares(self, senders: str, height: int, round_number: int, digest: bytes) -> tuple[Prepare, ...]:
        """A PREPARE of each of ``senders``."""
        return tuple(self.prepare(sender, height, round_number, digest) for sender in senders)

    def commit(self, sender: str, height: int, round_number: int, digest: bytes) -> Commit:
        """A signed COMMIT."""
        return self.sign(Commit(height, round_number, digest, sender))

    def round_change(
        self, sender: str, height: int, round_number: int, lock: tuple[int, bytes, tuple[Prepare, ...]] | None = None
    ) -> RoundChange:
        """A signed ROUND-CHANGE, with the lock (round, digest, PREPAREs) if given."""
        prepared_round, digest, prepares = lock or (None, None, ())
        return self.sign(RoundChange(height, round_number, prepared_round, digest, sender, prepares=prepares))

    def lock(self, block: Block, round_number: int, senders: str) -> tuple[int, bytes, tuple[Prepare, ...]]:
        """What a ROUND-CHANGE says of a block that ``senders`` prepared at ``round_number``."""
        return round_number, block.digest, self.prepares(senders, block.height, round_number, block.digest)

    def pre_prepare(
        self,
        block: Block,
        round_number: int = 0,
        *,
        sender: str | None = None,
        justification: tuple[RoundChange, ...] = (),
        prepares: tuple[Prepare, ...] = (),
        with_block: bool = True,
    ) -> PrePrepare:
        """A signed PRE-PREPARE of the round's leader unless ``sender`` says otherwise."""
        leader = self.validators.leader(block.height, round_number)
        return self.sign(
            PrePrepare(
                block.height, round_number, block.digest, sender or leader, b"", block if with_block else None,
                tuple(change.bare() for change in justification), prepares,
            )
        )  # fmt: skip

    def certificate(self, block: Block, signers: str, round_number: int = 0) -> Certificate:
        """A certificate with the COMMITs of ``signers``."""
        commits = [self.commit(signer, block.height, round_number, block.digest) for signer in sorted(signers)]
        seals = tuple((commit.sender, commit.signature) for commit in commits)
        return Certificate(block.height, round_number, block.digest, self.validators.epoch, seals)

    def deliver(self, *, to: str = NAMES, sender: str = NAMES, kinds: str = "") -> list[Envelope]:
        """Deliver what now waits and matches; what it causes waits. Returns what was delivered."""
        chosen = [item for item in self.wire if _matches(item, to, sender, kinds)]
        self.wire = [item for item in self.wire if item not in chosen]
        for item in chosen:
            if item.receiver in self.seats and not self.cut & {item.sender, item.receiver}:
                self.seats[item.receiver].give(MessageReceived(item.sender, item.message))
        return chosen

    def drop(self, *, to: str = NAMES, sender: str = NAMES, kinds: str = "") -> list[Envelope]:
        """Lose what now waits and matches."""
        lost = [item for item in self.wire if _matches(item, to, sender, kinds)]
        self.wire = [item for item in self.wire if item not in lost]
        return lost

    def run(self, duration: int) -> None:
        """Let ``duration`` ms pass: timers run out in order, messages take no time."""
        end = self.now + duration
        self.settle()
        while True:
            due = [(when, seat.name, timer) for seat in self.seats.values() for timer, when in seat.due.items()]
            if not due or min(due)[0] > end:
                break
            self.now, name, timer = min(due)
            for seat in self.seats.values():
                seat.give(Now(self.now))
            self.seats[name].fire(timer)
            self.settle()
        self.now = end

    def settle(self, limit: int = 10_000) -> None:
        """Deliver until nothing waits."""
        while self.wire:
            limit -= len(self.deliver())
            assert limit > 0, "the committee talks for ever"


def _signature_with_nonce(seed: bytes, payload: bytes, nonce: int) -> bytes:
    """Ed25519 (RFC 8032, § 5.1.6) with a chosen nonce in the place of the hash; 64 bytes."""
    secret = bytearray(hashlib.sha512(seed).digest()[:32])
    secret[0] &= 248
    secret[31] = (secret[31] & 127) | 64
    scalar = bindings.crypto_core_ed25519_scalar_reduce(bytes(secret) + bytes(32))
    chosen = nonce.to_bytes(32, "little")
    point = bindings.crypto_scalarmult_ed25519_base_noclamp(chosen)
    public = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)
    challenge = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + public + payload).digest())
    product = bindings.crypto_core_ed25519_scalar_mul(challenge, scalar)
    return point + bindings.crypto_core_ed25519_scalar_add(chosen, product)


def of(effects: list[Effect], kind: type[T]) -> list[T]:
    """The effects of one kind, or the messages of one kind that were broadcast or sent, in order."""
    found = []
    for effect in effects:
        message = effect.message if isinstance(effect, Broadcast | SendTo) else None
        found += [item for item in (effect, message) if isinstance(item, kind)]
    return found


def _matches(item: Envelope, to: str, sender: str, kinds: str) -> bool:
    kind = item.message.kind.name
    return item.receiver in to and item.sender in sender and (not kinds or kind in kinds.split(","))


class Seat:
    """One validator's driver. ``log``: every effect in order; ``timers``: the pending ones."""

    def __init__(self, committee: Committee, name: str, disk: Disk) -> None:
        self.committee = committee
        self.name = name
        self.disk = disk
        self.core = Core(name, NETWORK)
        self.log: list[Effect] = []
        self.timers: dict[Timer, SetTimer] = {}
        self.due: dict[Timer, int] = {}
        self.is_executing = True
        """False: results of Execute are the test's to give."""
        self.is_signing = True
        """False: results of Sign are the test's to give."""
        self.is_storing = True
        """False: Committed is the test's to give."""
        self.diverges = False
        """True: every execution fails."""
        self.built = 0

    @property
    def head(self) -> Head:
        """The head its store ends with."""
        head = self.committee.genesis
        for height in sorted(self.disk.decided):
            head = self.committee.head_after(self.disk.decided[height][0], head)
        return head

    def start(self) -> list[Effect]:
        """Begin from the disk (R8)."""
        self.give(Now(self.committee.now))
        return self.give(Start(self.head, self.disk.restored()))

    def give(self, event: Event) -> list[Effect]:
        """One event, and the effects of it and of what the driver's own answers cause."""
        before = len(self.log)
        queue = [event]
        while queue:
            for effect in self.core.step(queue.pop(0)):
                self.log.append(effect)
                queue += self._carry_out(effect)
        return self.log[before:]

    def receive(self, *messages: Message, peer: str | None = None) -> list[Effect]:
        """Messages from ``peer``, by default each from its sender."""
        before = len(self.log)
        for message in messages:
            sender = peer or getattr(message, "sender", None)
            assert sender is not None
            self.give(MessageReceived(sender, message))
        return self.log[before:]

    def pending(self) -> list[Effect]:
        """A transaction waits."""
        return self.give(TransactionPending())

    def fire(self, timer: Timer = Timer.ROUND) -> list[Effect]:
        """Let the pending timer of this kind run out."""
        pending = self.timers.pop(timer)
        del self.due[timer]
        return self.give(TimerFired(timer, pending.height, pending.round))

    def sent(self, kind: type[T]) -> list[T]:
        """Every message of one kind that it broadcast or sent."""
        return of(self.log, kind)

    def _carry_out(self, effect: Effect) -> list[Event]:
        wire, committee = self.committee.wire, self.committee
        match effect:
            case Sign(message, payload, prepared):
                return [self.sign(message, payload, prepared)] if self.is_signing else []
            case Broadcast(message):
                wire += [Envelope(self.name, peer, message) for peer in committee.names if peer != self.name]
            case SendTo(peer, message):
                wire.append(Envelope(self.name, peer, message))
            case SendDecided(peer, height):
                wire.append(Envelope(self.name, peer, Decided(*self.disk.decided[height])))
            case SetTimer():
                self.timers[effect.timer] = effect
                self.due[effect.timer] = committee.now + effect.delay
            case CancelTimer(timer):
                self.timers.pop(timer, None)
                self.due.pop(timer, None)
            case BuildBlock(height, round_number):
                self.built += 1
                block = committee.block(self.core.head, self.name, f"{self.name}{self.built}")
                return [BlockBuilt(height, round_number, block)]
            case Execute(block) if self.is_executing:
                return [Executed(block.digest, not self.diverges, "roots differ" if self.diverges else "")]
            case Decide(block, certificate):
                assert isinstance(block, Block)
                if self.is_storing:
                    self.disk.decided[block.height] = (block, certificate)
                    return [Committed(committee.head_after(block, self.core.head))]
            case _:
                pass
        return []

    def sign(self, message: SignedMessage, payload: bytes, prepared: Prepared | None) -> Event:
        """What a signer with a journal answers (R7): Signed, or SignRefused."""
        key = (message.height, message.kind, message.round)
        known = self.disk.journal.get(key)
        if known is not None and known.content != message.content:
            return SignRefused(message, "another digest is in the journal")
        signed = message.signed(self.committee.keys[self.name].sign(payload))
        self.disk.journal[key] = signed
        if prepared is not None:
            self.disk.prepared[message.height] = prepared
        return Signed(signed)
