"""Transactions that this node took in, passed on to the members with a vote: one of them proposes the next block.

A node passes on only what its own API was given, so no transaction goes round. Coalesced, because the cost is per
write and not per byte; repeated while it waits, because a link may have broken; bounded, because a member that was
away is not to be flooded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

import trio

from chain.transaction import Transaction
from node.exchange import Transactions, pack
from node.mempool import Mempool
from node.queues import Channel

GOSSIP_S: Final = 0.005
"""Waiting transactions go to the peers in batches this far apart."""
GOSSIP_BYTES: Final = 192 * 1024
REGOSSIP_S: Final = 5.0
REGOSSIP_BYTES: Final = 1024 * 1024


class Voters(Protocol):
    """The part of `node.network.Network` that is used here."""

    def send(self, member: str, channel: Channel, frame: bytes) -> bool:
        """Queue a frame for a member."""

    def broadcast(self, channel: Channel, frame: bytes) -> None:
        """Queue a frame for every other member with a vote."""


class Gossip:
    """What this node has to pass on."""

    def __init__(self, mempool: Mempool, network: Voters) -> None:
        self._mempool = mempool
        self._network = network
        self._fresh: deque[bytes] = deque()
        self._ready = trio.Event()
        self._own: dict[bytes, float] = {}

    def add(self, tx_id: bytes, wire: bytes) -> None:
        """A transaction was accepted here."""
        self._own[tx_id] = trio.current_time()
        self._fresh.append(wire)
        self._ready.set()

    def offer(self, member: str) -> None:
        """Give a voter that was away what waits here, oldest first."""
        for frame in _frames(self._mempool.candidates()):
            self._network.send(member, "bulk", frame)

    async def run(self) -> None:
        """Pass on what is new at once, and what still waits again, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_on)
            nursery.start_soon(self._pass_on_again)

    async def _pass_on(self) -> None:
        while True:
            await self._ready.wait()
            await trio.sleep(GOSSIP_S)
            self._ready = trio.Event()
            while self._fresh:
                self._network.broadcast("bulk", pack(Transactions(_batch(self._fresh))))
                await trio.lowlevel.checkpoint()

    async def _pass_on_again(self) -> None:
        """What still waits after a while may not have reached a leader."""
        while True:
            await trio.sleep(REGOSSIP_S)
            now, again = trio.current_time(), []
            for tx_id, since in list(self._own.items()):
                transaction = self._mempool.get(tx_id)
                if transaction is None:
                    del self._own[tx_id]
                elif now - since >= REGOSSIP_S:
                    again.append(transaction)
            for frame in _frames(again):
                self._network.broadcast("bulk", frame)


def _frames(transactions: Iterable[Transaction]) -> list[bytes]:
    """Messages with the first of them, REGOSSIP_BYTES at most (at least one)."""
    queue: deque[bytes] = deque()
    size = 0
    for transaction in transactions:
        size += len(transaction.wire)
        if queue and size > REGOSSIP_BYTES:
            break
        queue.append(transaction.wire)
    frames = []
    while queue:
        frames.append(pack(Transactions(_batch(queue))))
    return frames


def _batch(queue: deque[bytes]) -> tuple[bytes, ...]:
    """The first ones, of bounded size (at least one)."""
    batch = [queue.popleft()]
    size = len(batch[0])
    while queue and size + len(queue[0]) <= GOSSIP_BYTES:
        batch.append(queue.popleft())
        size += len(batch[-1])
    return tuple(batch)
