"""Transactions that a partial observer's own API took in: passed on to the validators until a block has them.

Whether a signer may do what it asks is the validators' to say: this node has no state of the consortium. It checks
what needs none, passes the bytes on, and again while they wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from chain.transaction import Transaction, TransactionError, check_signatures, parse
from node.exchange import Transactions, pack
from node.mempool import Admission

AGAIN_S: Final = 5.0
MAX_WAITING: Final = 2_000
FRAME_BYTES: Final = 192 * 1024


class Outgoing:
    """What this node passed on and no block has yet."""

    def __init__(
        self,
        network_id: bytes,
        seen: Callable[[bytes], bool],
        clock: Callable[[], int],
        broadcast: Callable[[bytes], None],
    ) -> None:
        """``clock``: ms; ``broadcast`` queues a frame for every validator."""
        self._network_id = network_id
        self._seen = seen
        self._clock = clock
        self._broadcast = broadcast
        self._waiting: dict[bytes, Transaction] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def get(self, tx_id: bytes) -> Transaction | None:
        """A transaction that waits."""
        return self._waiting.get(tx_id)

    def submit(self, wire: bytes) -> Admission:
        """Check what needs no state, and pass on. The answer is this node's: a validator may still refuse."""
        try:
            transaction = parse(wire)
            if transaction.network_id != self._network_id:
                raise TransactionError("WRONG_NETWORK", "the transaction is of another network: sign it for this one")
            if transaction.valid_until <= self._clock():
                raise TransactionError("EXPIRED", "the transaction has expired: sign it again")
            check_signatures(transaction)
        except TransactionError as error:
            return Admission(b"", "rejected", error.code, str(error))
        if self._seen(transaction.id) or transaction.id in self._waiting:
            return Admission(transaction.id, "known")
        if len(self._waiting) >= MAX_WAITING:
            return Admission(transaction.id, "rejected", "POOL_FULL", "too much waits here: send it again later")
        self._waiting[transaction.id] = transaction
        self._broadcast(pack(Transactions((wire,))))
        return Admission(transaction.id, "accepted")

    async def run(self) -> None:
        """Pass on again what still waits, until cancelled."""
        while True:
            await trio.sleep(AGAIN_S)
            now, size, again = self._clock(), 0, []
            for tx_id, transaction in list(self._waiting.items()):
                if self._seen(tx_id) or transaction.valid_until <= now:
                    del self._waiting[tx_id]
                elif size < FRAME_BYTES:
                    size += len(transaction.wire)
                    again.append(transaction.wire)
            if again:
                self._broadcast(pack(Transactions(tuple(again))))
