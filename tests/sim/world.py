"""A run: nodes, network and faults of one seed in virtual time, from the first storm to the calm after it.

Phase 1, the storm: faults as planned until an honest node has decided ``STORM_HEIGHTS`` heights. Phase 2, healed:
crashed nodes come back, the network loses nothing and is fast; the Byzantine validators stay. Every honest node
must then decide a height that nobody had decided before, within ``PROGRESS_WITHIN_MS`` of virtual time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from chain.block import Block
from chain.crypto import verify
from chain.transaction import Transaction
from tests.sim.byzantine import Adversary
from tests.sim.checker import Checker, ViolationError
from tests.sim.consortium import consortium
from tests.sim.faults import Plan
from tests.sim.keys import Ed25519Key, SignatureTable, TableKey
from tests.sim.network import Network
from tests.sim.node import SimNode

STORM_HEIGHTS: Final = 3
STORM_LIMIT_MS: Final = 400_000
"""A storm that did not decide its heights by then is a failure of progress as well: it calms down long before."""
PROGRESS_WITHIN_MS: Final = 60_000
"""After healing. Round timeouts are capped at 8 s, and up to f leaders in a row may be Byzantine."""
TRACE_LINES: Final = 4_000


@dataclass(frozen=True)
class Result:
    """What became of a run. ``violation`` is None where everything held; times in virtual ms."""

    seed: int
    n: int
    kinds: tuple[str, ...]
    violation: str | None
    events: int
    storm_heights: int
    healed_after: int
    progressed_after: int
    acknowledged: int


class World:
    """Everything of one run."""

    def __init__(self, plan: Plan, *, ed25519: bool = False, trace: bool = False) -> None:
        self.plan = plan
        self.random = Random(f"world {plan.seed}")
        self.consortium = consortium(plan.n)
        self.members = self.consortium.validators.ids
        self.now = 0
        self.events = 0
        self.is_healed = False
        self.trace: deque[tuple[int, str, str, object]] | None = deque(maxlen=TRACE_LINES) if trace else None
        table = SignatureTable()
        self.check = verify if ed25519 else table.check
        self._heap: list[tuple[int, int, SimNode | None, int, Callable[..., object], tuple[Any, ...]]] = []
        self._tokens = 0
        self.adversary = Adversary(self)
        self.checker = Checker(self)
        self.network = Network(self)
        self.nodes: list[SimNode] = []
        self.slots: dict[str, list[SimNode]] = {}
        for member, key in self.consortium.keys.items():
            sim_key = Ed25519Key(key) if ed25519 else TableKey(key.public, table)
            copies = 2 if plan.byzantine.get(member) == "equivocate" else 1
            skew = self.random.randint(-plan.skew_ms, plan.skew_ms)
            self.slots[member] = [SimNode(self, member, copy, sim_key, skew) for copy in range(copies)]
            self.nodes += self.slots[member]
        for node in self.nodes:
            node.is_honest = node.member not in plan.byzantine
        self.honest = [node for node in self.nodes if node.is_honest]

    # ------------------------------------------------------------------------------------ the heap

    def after(self, delay: int, node: SimNode | None, action: Callable[..., object], *arguments: Any) -> None:
        """Run ``action`` in ``delay`` ms. With a node: only while it lives the life it lives now."""
        self._tokens += 1
        life = 0 if node is None else node.life
        heapq.heappush(self._heap, (self.now + delay, self._tokens, node, life, action, arguments))

    def arrive(self, delay: int, action: Callable[..., object], *arguments: Any) -> None:
        """Run ``action`` in ``delay`` ms, whoever crashes meanwhile: messages on the way."""
        self.after(delay, None, action, *arguments)

    def next_token(self) -> int:
        """A number never given before."""
        self._tokens += 1
        return self._tokens

    def _run_until(self, limit: int, is_done: Callable[[], bool]) -> bool:
        """Handle events until done (True) or ``limit`` ms (False)."""
        heap = self._heap
        while not is_done():
            if not heap or heap[0][0] > limit:
                self.now = limit
                return False
            self.now, _, node, life, action, arguments = heapq.heappop(heap)
            if node is None or (node.is_up and node.life == life):
                action(*arguments)
        return True

    # ------------------------------------------------------------------------------------ a run

    def run(self) -> Result:
        """The whole run; never raises for a violation, reports it."""
        plan, violation, healed_after, storm_heights = self.plan, None, 0, 0
        try:
            self._begin()
            if not self._run_until(STORM_LIMIT_MS, lambda: self.checker.height >= STORM_HEIGHTS):
                self.checker.violate(f"{self.checker.height} heights decided in {STORM_LIMIT_MS} ms of faults")
            healed_after, storm_heights = self.now, self.checker.height
            self._heal()
            target = self.checker.height + 1
            if not self._run_until(
                self.now + PROGRESS_WITHIN_MS, lambda: all(node.ledger.height >= target for node in self.honest)
            ):
                behind = [f"{node!r} at {node.ledger.height}" for node in self.honest if node.ledger.height < target]
                self.checker.violate(
                    f"no height {target} within {PROGRESS_WITHIN_MS} ms after healing: {', '.join(behind)}"
                )
            self.checker.at_end()
        except ViolationError as error:
            violation = str(error)
        except AssertionError as error:
            violation = f"an assertion of the core failed: {error}"
        return Result(
            plan.seed, plan.n, plan.kinds, violation, self.events, storm_heights, healed_after,
            self.now - healed_after, self.checker.acknowledged,
        )  # fmt: skip

    def _begin(self) -> None:
        plan, random = self.plan, self.random
        self.network.repartition()
        for node in self.nodes:
            node.boot()
        if plan.partition_every:
            self.after(plan.partition_every, None, self._repartition)
        for moment in plan.crashes:
            self.after(moment, None, random.choice(self.nodes).crash)
        moment = 0
        for transaction in self.consortium.transactions:
            moment += int(random.expovariate(1 / 2_500))
            self.after(moment, None, self._submit, transaction)

    def _submit(self, transaction: Transaction) -> None:
        """A client gives a transaction to one node or several; gossip brings it to the rest, sometimes late."""
        reached = self.random.sample(self.nodes, self.random.randint(1, len(self.nodes)))
        for node in reached:
            node.submit(transaction)
        for node in self.nodes:
            self.after(self.random.randrange(1, 3_000), None, node.submit, transaction)

    def _repartition(self) -> None:
        if not self.is_healed:
            self.network.repartition()
            self.after(self.plan.partition_every, None, self._repartition)

    def _heal(self) -> None:
        """No more faults but the Byzantine ones."""
        self.is_healed = True
        self.note(None, "HEALED", self.checker.height)
        for node in self.nodes:
            if not node.is_up:
                node.boot()

    # ------------------------------------------------------------------------------------ for the others

    def restart_later(self, node: SimNode) -> None:
        """A crashed node comes back after a while, at the latest when all is healed."""
        delay = self.random.choice((1, 50, 2_000, 15_000))
        self.after(delay, None, self._restart, node, node.life)

    def _restart(self, node: SimNode, life: int) -> None:
        if not node.is_up and node.life == life:
            node.boot()

    def reconnect(self, peer: str, member: str) -> None:
        """``peer`` notices that the connection to ``member`` is new."""
        for node in self.slots[peer]:
            if node.is_up:
                self.after(self.random.randrange(1, 60), node, node.connected, member)

    def transactions_of(self, block: Block) -> list[Transaction]:
        """The transactions of a block, in block order."""
        by_wire = self.consortium.by_wire
        found = [by_wire[wire] for _, wires in block.member_txs for wire in wires]
        return found + [by_wire[wire] for wire in block.consortium_txs]

    def note(self, node: SimNode | None, what: str, about: object) -> None:
        """A line for the trace."""
        if self.trace is not None:
            self.trace.append((self.now, "" if node is None else str(node), what, about))
