"""A whole consortium as processes of this machine, for the end-to-end tests: made, started, loaded, read back.

``Live`` is the network; ``Load`` sends signed transactions at a steady rate and keeps what clients were told;
``ledger_of`` opens a stopped node's ledger in the test's own process, so that checks see what is on its disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chain import keys
from chain.crypto import SigningKey
from chain.ledger import Ledger
from chain.store import LevelStore
from chain.transaction import Transaction
from genesis.dev import make_dev
from node.bench import sample_record, sample_transaction
from node.processes import LocalNodes, NodeProcess, free_ports
from tallystick import Client, ClientError

MEMBERS = ("erp", "guarantor", "lender", "procurement")
ROOT = Path(__file__).resolve().parent.parent
READY_S = 60.0
"""Bounded, but generous: these tests may share two cores with other work."""


def wait(condition: Callable[[], bool], what: str, within_s: float = 30.0, every_s: float = 0.05) -> float:
    """Poll until true; fail by name when it does not come true in time. Returns the seconds it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(every_s)
    return time.monotonic() - began


class Live:
    """Four validators; ``nodes`` starts, kills and stops them. A context manager: stops whatever runs."""

    def __init__(self, folder: Path, observers: tuple[str, ...] = (), **parameters: int) -> None:
        self.network = make_dev(
            folder / "network",
            name="End to end",
            observers=observers,
            parties=(),
            base_port=free_ports(2 * len(MEMBERS + observers)),
            parameters=parameters,
        )
        self.folder = self.network.directory
        self.network_id = self.network.network_id
        self.passphrase = (self.folder / "passphrase").read_text().strip()
        self.nodes = LocalNodes(self.folder)
        self.signers = {member: self.key(member, "signer") for member in MEMBERS}
        self._serial = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.nodes.stop()

    def key(self, member: str, purpose: str) -> SigningKey:
        """A member's private key, as only its own node has it outside of tests."""
        return keys.load(self.folder / member / "keys" / f"{purpose}.json", self.passphrase, purpose=purpose)

    def public(self, member: str, purpose: str) -> bytes:
        """The public half of one of its keys."""
        return keys.inspect(self.folder / member / "keys" / f"{purpose}.json").public

    def node(self, member: str) -> NodeProcess:
        """One node."""
        return self.nodes.nodes[member]

    def data(self, member: str) -> Path:
        """Its data folder."""
        return self.folder / member / "data"

    def client(self, member: str) -> Client:
        """A client of its API."""
        return Client(self.node(member).api)

    def start(self, *members: str) -> None:
        """Start nodes (all without names) and wait until each is connected to a quorum."""
        self.nodes.start(*members)
        self.nodes.wait_ready(*members, timeout_s=READY_S)

    def status(self, member: str) -> dict[str, Any]:
        """Its /v1/status; fails when the node does not answer."""
        found = self.node(member).status(10.0)
        assert found is not None, f"{member} does not answer: {self.node(member).last_words()}"
        return found

    def height(self, *members: str) -> int:
        """The highest height among running nodes (of those named)."""
        found = [self.node(member).status(2.0) for member in members or MEMBERS]
        return max((status["height"] for status in found if status is not None), default=0)

    def transaction(self, member: str, serial: int | None = None) -> Transaction:
        """A fresh signed transaction of one record on a member's chain."""
        if serial is None:
            self._serial += 1
            serial = 5_000_000 + self._serial
        return sample_transaction(self.network_id, member, self.signers[member], [sample_record(serial)])

    def commit(self, member: str, at: str | None = None, timeout_s: float = 30.0) -> dict[str, Any]:
        """Send a fresh transaction to a node and wait for its receipt."""
        with self.client(at or member) as client:
            return client.submit_and_wait(self.transaction(member), timeout_s=timeout_s)

    def level(self, *members: str, within_s: float = 30.0) -> int:
        """Wait until the nodes (all without names) have the same head and nothing pending; returns its height."""
        chosen = members or MEMBERS
        heads: set[tuple[int, str, int]] = set()

        def same() -> bool:
            heads.clear()
            for member in chosen:
                status = self.node(member).status(5.0) or {"height": -1, "head": member, "pending": 1}
                heads.add((status["height"], status["head"], status["pending"]))
            return len(heads) == 1 and next(iter(heads))[2] == 0

        wait(same, f"{', '.join(chosen)} on one head with nothing pending", within_s, 0.1)
        return next(iter(heads))[0]

    @contextmanager
    def ledger_of(self, member: str) -> Iterator[Ledger]:
        """The ledger of a stopped node, read in this process."""
        with closing(Ledger(LevelStore(self.data(member) / "ledger"), self.network_id)) as ledger:
            yield ledger


@dataclass
class Told:
    """What a client was told of a transaction: in which block, with which status, by which node."""

    height: int
    status: int
    by: str


@dataclass
class Load:
    """Single-record transactions at ``rate`` a second, each member's to its own node, to the next one while that is
    down; sent again, to another node, until some node says that it is in a block."""

    live: Live
    rate: float
    resend_s: float = 3.0
    tick_s: float = 0.1
    sent: dict[str, Transaction] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    contradictions: list[tuple[str, Told, Told]] = field(default_factory=list)
    arrivals: dict[int, float] = field(default_factory=dict)
    """Height → when some node first told of it (monotonic seconds)."""
    rejected: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sending = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(task, member), daemon=True)
            for member in MEMBERS
            for task in (self._send, self._watch)
        ]

    def __enter__(self) -> Self:
        self._sending.set()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self._failure is not None and _error is None:
            raise self._failure

    def drain(self, within_s: float = 60.0) -> None:
        """Send no new ones, and wait until everything sent is known to be in a block."""
        self._sending.clear()
        time.sleep(2 * self.tick_s)
        wait(lambda: self.sent.keys() <= self.told.keys(), "everything sent is committed", within_s)

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time in which no node told of a new block, of a stretch of monotonic time."""
        with self._lock:
            moments = sorted(self.arrivals.values())
        inside = [since, *(moment for moment in moments if since <= moment <= until), until]
        return max(later - earlier for earlier, later in pairwise(inside))

    def _guard(self, task: Callable[[str], None], member: str) -> None:
        try:
            task(member)
        except BaseException as error:
            self._failure = error
            self._stopped.set()
            raise

    def _send(self, member: str) -> None:
        """New ones on time, old ones again. The serials of the members interleave: no natural key twice."""
        clients = {name: self.live.client(name) for name in MEMBERS}
        turn = MEMBERS.index(member)
        serial, done, began = turn, 0, time.monotonic()
        waiting: dict[str, tuple[Transaction, float]] = {}
        while not self._stopped.wait(self.tick_s):
            now = time.monotonic()
            fresh = []
            due = int((now - began) * self.rate / len(MEMBERS)) - done if self._sending.is_set() else 0
            for _ in range(due):
                fresh.append(self.live.transaction(member, serial))
                serial += len(MEMBERS)
            done += due
            waiting = {tx_id: row for tx_id, row in waiting.items() if tx_id not in self.told}
            again = [tx for tx, since in waiting.values() if now - since > self.resend_s]
            turn += bool(again)
            for transaction in fresh:
                self.sent[transaction.id.hex()] = transaction
            if fresh or again:
                turn = self._submit(clients, turn, fresh + again)
                waiting.update({tx.id.hex(): (tx, now) for tx in fresh + again})
        for client in clients.values():
            client.close()

    def _submit(self, clients: dict[str, Client], turn: int, transactions: list[Transaction]) -> int:
        """To the node whose turn it is, or to the first after it that answers; returns whose turn it is then."""
        for attempt in range(len(MEMBERS)):
            try:
                answers = clients[MEMBERS[(turn + attempt) % len(MEMBERS)]].submit(*transactions)
            except ClientError:
                continue
            with self._lock:
                for answer in answers:
                    if answer["state"] == "rejected":
                        self.rejected[answer["code"]] = self.rejected.get(answer["code"], 0) + 1
            return turn + attempt
        return turn

    def _watch(self, member: str) -> None:
        """Follow one node's blocks, over its restarts."""
        after = 0
        with self.live.client(member) as client:
            while not self._stopped.is_set():
                try:
                    blocks = client.feed(after, wait_s=1.0)
                except ClientError:
                    time.sleep(0.1)
                    continue
                now = time.monotonic()
                with self._lock:
                    for block in blocks:
                        after = block["height"]
                        self.arrivals.setdefault(after, now)
                        for tx_id, status in block["transactions"]:
                            self._take(tx_id, Told(after, status, member))

    def _take(self, tx_id: str, told: Told) -> None:
        known = self.told.setdefault(tx_id, told)
        if (known.height, known.status) != (told.height, told.status):
            self.contradictions.append((tx_id, known, told))


def run_node(config: Path, *, within_s: float = READY_S, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m node`` until it ends by itself, which it must."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    return subprocess.run(
        [sys.executable, "-m", "node", str(config)],
        cwd=config.parent,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
