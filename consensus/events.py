"""What goes into the agreement core and what comes out: the whole interface between it and its driver.

The driver owns sockets, clocks, disks, keys and execution. It feeds events one at a time (R14) and carries out the
returned effects **in the order of the list**, each before the next, except that Execute, BuildBlock and Sign may
finish later: their results come back as the events Executed, BlockBuilt and Signed, through the same queue. A Sign
must be carried out in order among Signs.

The order that safety rests on is built into the interface: a vote can only be sent once ``Signed`` came back, and
the signer returns ``Signed`` only after its journal was synced (R4, R7); a height is only left once ``Committed``
came back, and the ledger returns it only after its synced batch (R5).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from chain.certificate import Certificate, ValidatorSet
from consensus.messages import BlockView, Message, Prepare, SignedMessage


@dataclass(frozen=True, slots=True)
class Timing:
    """Governed waiting times in ms: ``t0`` the round timeout T0 (R6), ``max_idle`` the longest wait of a leader
    without transactions."""

    t0: int
    max_idle: int


@dataclass(frozen=True, slots=True)
class Head:
    """The newest durable block, and who decides the next two (R11).

    ``validators`` certifies height + 1, ``next_validators`` height + 2: both follow from the node's *own* state,
    because a change decided in block h takes effect at h + 2. ``time``: the block's, in ms. At genesis: height 0,
    digest = the parent hash that block 1 must carry.
    """

    height: int
    digest: bytes
    time: int
    validators: ValidatorSet
    next_validators: ValidatorSet
    timing: Timing


@dataclass(frozen=True, slots=True)
class Prepared:
    """A lock: the block and ≥ Q PREPAREs for it at ``round`` (R4). Kept until the height is decided."""

    round: int
    block: BlockView
    prepares: tuple[Prepare, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What the signer's journal knows of the newest height it voted at (R8).

    ``messages``: every own signed message of that height, bare (no block, no proofs). ``prepared``: the newest lock.
    """

    height: int
    messages: tuple[SignedMessage, ...] = ()
    prepared: Prepared | None = None


class Timer(IntEnum):
    """A SetTimer replaces the pending timer of the same kind."""

    ROUND = 1
    """The round's patience (R6)."""
    PROPOSE = 2
    """The leader's wait for a transaction, at most max_idle (R6)."""
    RESEND = 3
    """The heartbeat: STATUS, own ROUND-CHANGE and missing blocks again, every T0 (R6, R10)."""


# ---------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Start:
    """First event, once: the stored head and what the journal restored. ``pending``: see TransactionPending."""

    head: Head
    restored: Restored | None = None
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Now:
    """The driver's wall clock in ms, given before any other event that happens at another millisecond.

    The core judges fresh proposals by it (R15) and nothing else.
    """

    ms: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A decoded message from the peer ``peer`` (member id as authenticated by the connection).

    A signed message is its ``sender``'s whoever passed it on; unsigned ones are the peer's.
    """

    peer: str
    message: Message


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A connection to ``peer`` is new or renewed: it may have missed everything."""

    peer: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer of SetTimer ran out; stale ones are recognised and dropped."""

    timer: Timer
    height: int
    round: int


@dataclass(frozen=True, slots=True)
class Executed:
    """The result of an Execute. ``ok``: valid, and all roots equal the header's; else ``reason`` in one line."""

    digest: bytes
    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """The result of a BuildBlock: a block whose execution gave the roots it carries (so it counts as executed)."""

    height: int
    round: int
    block: BlockView


@dataclass(frozen=True, slots=True)
class Signed:
    """The result of a Sign: the same message with its signature, after the journal was synced (R7)."""

    message: SignedMessage


@dataclass(frozen=True, slots=True)
class SignRefused:
    """The signer refused: its journal holds another digest for this (height, round, kind), or a newer vote (R7)."""

    message: SignedMessage
    reason: str


@dataclass(frozen=True, slots=True)
class TransactionPending:
    """An includable transaction waits in the local mempool (R6). Once per height is enough."""


@dataclass(frozen=True, slots=True)
class Committed:
    """``head`` is durable: the answer to a Decide, or a block that catch-up stored. Only now does the next height
    begin (R5, R14). ``pending``: the mempool still holds an includable transaction."""

    head: Head
    pending: bool = False


@dataclass(frozen=True, slots=True)
class CertifiedAhead:
    """Catch-up verified a certificate for ``height`` > head + 1, under validators from the node's own state (R9).
    Until the head reaches it the node does not vote. Never send it on a peer's claim."""

    height: int


Event: TypeAlias = (
    Start | Now | MessageReceived | PeerConnected | TimerFired | Executed | BlockBuilt | Signed | SignRefused
    | TransactionPending | Committed | CertifiedAhead
)  # fmt: skip


# ---------------------------------------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class Sign:
    """Journal and sign, then give the event Signed (R7).

    1. look up journal[(height, round, kind)]: same content → give back the stored signature; different, or older
       than a vote already journalled → SignRefused;
    2. write content + signature **and, if given, ``prepared``, in one synced write** (R4);
    3. only then Signed. The core sends the message on Signed, so persist-before-send cannot be got wrong here.

    ``payload`` is the exact bytes to sign.
    """

    message: SignedMessage
    payload: bytes
    prepared: Prepared | None = None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every other validator (and connected observers). Not to oneself: own votes are counted on Signed."""

    message: Message


@dataclass(frozen=True, slots=True)
class SendTo:
    """Send to one peer."""

    peer: str
    message: Message


@dataclass(frozen=True, slots=True)
class SendDecided:
    """Load block and certificate of a decided ``height`` from the store and send DECIDED to ``peer`` (R10)."""

    peer: str
    height: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Give TimerFired(timer, height, round) after ``delay`` ms, in place of any pending timer of that kind."""

    timer: Timer
    height: int
    round: int
    delay: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the pending timer of that kind. (A late TimerFired is harmless: it is recognised as stale.)"""

    timer: Timer


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """Build a block for ``height`` on the head from the mempool, ``time`` > parent's, proposer = this node; give
    BlockBuilt. The round is not in the block."""

    height: int
    round: int


@dataclass(frozen=True, slots=True)
class Execute:
    """Check and execute the block on an overlay of the head, compare every root; give Executed (R3)."""

    block: BlockView


@dataclass(frozen=True, slots=True)
class Decide:
    """Append the block: blocks, receipts, state, certificate and head in **one synced batch** (R5); then the signer's
    journal notes (height, digest) as decided (R7); then the event Committed; only then tell clients."""

    block: BlockView
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Catchup:
    """``peer`` says it is at ``height``, beyond this node's next one: catch-up may ask it for blocks (R9).
    ``certified``: the core itself verified a certificate for it."""

    peer: str
    height: int
    certified: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two signed messages of one validator that exclude each other: keep them (R13)."""

    first: SignedMessage
    second: SignedMessage


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop voting for good, write a dump, tell the operator (R13). The core ignores every later event."""

    reason: str


Effect: TypeAlias = (
    Sign | Broadcast | SendTo | SendDecided | SetTimer | CancelTimer | BuildBlock | Execute | Decide | Catchup
    | Evidence | Halt
)  # fmt: skip
