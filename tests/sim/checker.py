"""What must hold in every run, checked while it happens: the first thing that does not ends the run.

agreement       no two honest nodes decide different blocks at a height
validity        each decided block executes, from genesis, on a ledger of the checker's own (the judge)
certificates    each verifies under the validators of the judge's state, and has ceil(2n/3) distinct signers
locks           where enough honest nodes committed to a block that it may be decided, no honest node prepares
                another in a later round: the invariant agreement rests on, which breaks long before a fork shows
no double sign  no honest key signs two contents for one (height, round, kind), whatever was lost in a crash
votes           none below an earlier round, none at a height given to the ledger, none while a verified certificate
                above the head is known, none that the signer has to refuse
rounds          no honest node is in a round that its timers cannot have reached
memory          the core keeps O(n) messages
exactly once    an acknowledged transaction stands in exactly one block, on every honest ledger; state roots equal
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chain.block import CONSORTIUM, Block
from chain.certificate import Certificate
from chain.store import MemoryStore
from chain.transaction import Transaction
from consensus.events import Signed, SignRefused
from consensus.messages import Commit, Decided, Message, MessageKind, Prepare, PrePrepare, RoundChange, SignedMessage
from consensus.vote_store import KEPT_ROUNDS
from tests.sim.consortium import T0_MS

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World

OWN_MESSAGES: Final = 4 * (KEPT_ROUNDS + 1)
MESSAGES_PER_VALIDATOR: Final = 2 * (3 * KEPT_ROUNDS + 1) + 1
"""Two heights of votes, and one buffered proposal; own messages come on top once."""


class ViolationError(Exception):
    """Something that must never happen, in one line."""


class Checker:
    """Watches the honest nodes of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent: dict[tuple[str, MessageKind, int, int], tuple[object, ...]] = {}
        self._committed: dict[tuple[int, int, bytes], set[str]] = {}
        self._decidable: dict[int, dict[int, bytes]] = {}
        self._newest: dict[str, tuple[int, int]] = {}
        self._given_to_ledger: dict[str, int] = {}
        self._certified: dict[str, int] = {}
        self._acknowledged: dict[bytes, Transaction] = {}
        self._judge = world.consortium.open_ledger(MemoryStore(), world.check)
        self._steps = 0
        self._quorum = -(-2 * world.plan.n // 3)  # worked out here, not taken from the code under test

    @property
    def height(self) -> int:
        """The highest height any honest node decided."""
        return self._judge.height

    @property
    def acknowledged(self) -> int:
        """Transactions that clients were told are final."""
        return len(self._acknowledged)

    def violate(self, text: str) -> None:
        """End the run."""
        raise ViolationError(text)

    def forget(self, node: SimNode) -> None:
        """A crash: what a node knew in memory it knows no more; what it signed, its journal must know."""
        for known in (self._certified, self._given_to_ledger, self._newest):
            known.pop(node.member, None)

    # ------------------------------------------------------------------------------------ votes

    def on_receive(self, node: SimNode, message: Message) -> None:
        """A DECIDED in the window whose certificate verifies: the node must not vote until its head is there (R9)."""
        if isinstance(message, Decided) and message.certificate.height in (node.core.height, node.core.height + 1):
            certificate = message.certificate
            if message.block.digest == certificate.digest and self._verifies(node, message):
                self.on_certified(node, certificate.height)

    def on_certified(self, node: SimNode, height: int) -> None:
        """A verified certificate for ``height`` is about to reach the core."""
        self._certified[node.member] = max(height, self._certified.get(node.member, 0))

    def on_decide(self, node: SimNode, height: int) -> None:
        """The core gave the block of ``height`` to its ledger: nothing is voted there any more (R14)."""
        self._given_to_ledger[node.member] = height

    def on_vote(self, node: SimNode, message: SignedMessage) -> None:
        """The core asks for a signature."""
        at = (message.height, message.round)
        what = f"{node!r} votes {message.kind.name} at height {message.height}, round {message.round}"
        if message.height <= self._given_to_ledger.get(node.member, 0):
            self.violate(f"{what}, which it has given to its ledger")
        if self._certified.get(node.member, 0) > node.ledger.height:
            self.violate(f"{what}, knowing a certificate for height {self._certified[node.member]}")
        if at < self._newest.get(node.member, (0, 0)):
            self.violate(f"{what}, below round {self._newest[node.member][1]} that it is in")
        if message.round > self._world.now // (9 * T0_MS // 10) + 2:
            self.violate(f"{what}, a round that no timer can have reached")
        self._newest[node.member] = at

    def on_signed(self, node: SimNode, answer: Signed | SignRefused) -> None:
        """The signer must never have to refuse an honest core, but for a request that a decision overtook."""
        if isinstance(answer, SignRefused) and answer.message.height > node.ledger.height:
            self.violate(f"{node!r} asks for a vote that its signer refuses: {answer.reason}")

    def on_send(self, node: SimNode, message: Message) -> None:
        """A signed message leaves: from here on it counts, whatever its sender's disk lost."""
        if not isinstance(message, PrePrepare | Prepare | Commit | RoundChange):
            return
        key = (node.member, message.kind, message.height, message.round)
        if self._sent.setdefault(key, message.content) != message.content:
            self.violate(
                f"{node!r} double-signs {message.kind.name} at height {message.height}, round {message.round}"
            )
        if isinstance(message, Commit):
            self._note_commit(message)
        elif isinstance(message, Prepare):
            self._check_lock(node, message)

    def _note_commit(self, message: Commit) -> None:
        """With the Byzantine validators' COMMITs, these may be a quorum that somebody has seen."""
        voters = self._committed.setdefault((message.height, message.round, message.digest), set())
        voters.add(message.sender)
        if len(voters) + len(self._world.plan.byzantine) >= self._quorum:
            self._decidable.setdefault(message.height, {})[message.round] = message.digest

    def _check_lock(self, node: SimNode, message: Prepare) -> None:
        for round_number, digest in self._decidable.get(message.height, {}).items():
            if round_number < message.round and digest != message.digest:
                self.violate(
                    f"{node!r} prepares {message.digest.hex()[:6]} at height {message.height}, round {message.round},"
                    f" although {digest.hex()[:6]} may be decided in round {round_number}"
                )

    # ------------------------------------------------------------------------------------ blocks

    def on_commit(self, node: SimNode, block: Block, certificate: Certificate) -> None:
        """A block is durable on one honest node."""
        judge = self._judge
        if len({signer for signer, _ in certificate.signatures}) < self._quorum:
            self.violate(f"{node!r} decides height {block.height} by {len(certificate.signatures)} signatures")
        if block.height <= judge.height:
            if judge.header(block.height).digest != block.digest:
                self.violate(f"FORK: {node!r} decides another block at height {block.height}")
            return
        try:
            outcome = judge.execute(block, self._world.consortium.by_wire.get)
            certificate.check(judge.validators(), judge.network_id, self._world.check)
        except ValueError as error:
            self.violate(f"{node!r} decides an invalid block or certificate at height {block.height}: {error}")
        judge.commit(block, certificate, outcome, self._world.transactions_of(block))

    def acknowledge(self, transactions: list[Transaction]) -> None:
        """The clients of an honest node hear that their transactions are final."""
        for transaction in transactions:
            self._acknowledged[transaction.id] = transaction

    def after_step(self, node: SimNode) -> None:
        """The core's memory is O(n), whatever it was sent (R10)."""
        self._steps += 1
        if self._steps % 16 == 0:
            kept, n = node.core.kept_messages, len(self._world.members)
            if kept > n * MESSAGES_PER_VALIDATOR + OWN_MESSAGES:
                self.violate(f"{node!r} keeps {kept} messages for {n} validators")

    def at_end(self) -> None:
        """Every honest ledger against the judge's: chain, state, transactions."""
        judge = self._judge
        times: dict[bytes, int] = {}
        for height in range(1, judge.height + 1):
            for transaction in self._world.transactions_of(judge.block(height)):
                times[transaction.id] = times.get(transaction.id, 0) + 1
        for tx_id in self._acknowledged:
            if times.get(tx_id) != 1:
                self.violate(f"acknowledged transaction {tx_id.hex()[:8]} stands {times.get(tx_id, 0)} times")
        if any(count > 1 for count in times.values()):
            self.violate("a transaction is applied twice")
        for node in self._world.honest:
            self._compare(node)

    def _compare(self, node: SimNode) -> None:
        ledger, judge = node.ledger, self._judge
        height = ledger.height
        if height > judge.height or ledger.head.digest != judge.header(height).digest:
            self.violate(f"{node!r} ends on another block {height}")
        for chain in (*judge.chains, CONSORTIUM):
            if ledger.tree(chain).root != judge.tree(chain, height).root:
                self.violate(f"{node!r} has another state of chain {chain} at height {height}")
        for tx_id in self._acknowledged:
            place = judge.locate(tx_id)
            if place is not None and place.height <= height and ledger.locate(tx_id) != place:
                self.violate(f"{node!r} has transaction {tx_id.hex()[:8]} in another place")

    def _verifies(self, node: SimNode, message: Decided) -> bool:
        try:
            message.certificate.check(node.ledger.validators(), self._judge.network_id, self._world.check)
        except ValueError:
            return False
        return True
