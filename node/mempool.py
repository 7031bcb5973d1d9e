"""Transactions that wait for a block: checked once, bounded in bytes and count, with a quota for each sender.

A transaction is parsed and its signatures are checked here, once per node; a block that carries the same bytes
is looked up, not checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chain.ledger import Ledger
from chain.transaction import Transaction, TransactionError, check_signatures, parse
from chain.validity import DEFAULT_TX_WINDOW_MS


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Most bytes and transactions in all, and of one sender (the first signer)."""

    bytes: int = 64 * 1024 * 1024
    transactions: int = 50_000
    sender_bytes: int = 16 * 1024 * 1024
    sender_transactions: int = 10_000


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one submission. ``state``: "accepted", "known" (waits or is in a block), or "rejected"."""

    tx_id: bytes
    state: str
    code: str = ""
    message: str = ""


class Mempool:
    """First in, first out. ``known_key(public key)`` says whether the registry knows a signer."""

    def __init__(self, ledger: Ledger, limits: PoolLimits, known_key: Callable[[bytes], bool]) -> None:
        self._ledger = ledger
        self._limits = limits
        self._known_key = known_key
        self._by_id: dict[bytes, Transaction] = {}
        self._by_wire: dict[bytes, Transaction] = {}
        self._size = 0
        self._sender_bytes: dict[bytes, int] = {}
        self._sender_count: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def size(self) -> int:
        """Wire bytes that wait."""
        return self._size

    def get(self, tx_id: bytes) -> Transaction | None:
        """A waiting transaction by id."""
        return self._by_id.get(tx_id)

    def lookup(self, wire: bytes) -> Transaction | None:
        """A waiting transaction by its exact wire bytes: parsed, and its signatures checked."""
        return self._by_wire.get(wire)

    def submit(self, wire: bytes, now: int) -> Admission:
        """Check and keep a transaction. ``now`` is the wall clock in ms. Never raises for what a sender did."""
        known = self._by_wire.get(wire)
        if known is not None:
            return Admission(known.id, "known")
        try:
            transaction = parse(wire)
        except TransactionError as error:
            return Admission(b"", "rejected", error.code, str(error))
        tx_id = transaction.id
        if tx_id in self._by_id or self._ledger.seen(tx_id):
            return Admission(tx_id, "known")
        try:
            self._check(transaction, now)
            check_signatures(transaction)
        except TransactionError as error:
            return Admission(tx_id, "rejected", error.code, str(error))
        self._keep(transaction)
        return Admission(tx_id, "accepted")

    def candidates(self) -> Iterable[Transaction]:
        """Waiting transactions, oldest first."""
        return self._by_id.values()

    def remove(self, transactions: Iterable[Transaction]) -> None:
        """Forget those that a block now holds."""
        for transaction in transactions:
            kept = self._by_id.pop(transaction.id, None)
            if kept is not None:
                self._forget(kept)

    def expire(self, time: int) -> list[Transaction]:
        """Forget and return those no later block may hold. ``time`` is the head's, in ms."""
        gone = [tx for tx in self._by_id.values() if tx.valid_until <= time]
        self.remove(gone)
        return gone

    def _check(self, transaction: Transaction, now: int) -> None:
        """All a node can say without executing. Raises TransactionError: the answer to the sender."""
        ledger = self._ledger
        if transaction.network_id != ledger.network_id:
            raise TransactionError(
                "WRONG_NETWORK",
                f"signed for network {transaction.network_id.hex()[:16]}…, this is {ledger.network_id.hex()[:16]}…:"
                " sign again with this network's genesis hash",
            )
        if transaction.chain != "consortium" and transaction.chain not in ledger.chains:
            raise TransactionError(
                "UNKNOWN_CHAIN", f"there is no chain {transaction.chain!r}: use {', '.join(ledger.chains)}"
            )
        if transaction.valid_until <= max(now, ledger.head.time):
            raise TransactionError("EXPIRED", "valid_until has passed: sign again with a later one")
        window = int(ledger.parameters.get("tx_window_ms", DEFAULT_TX_WINDOW_MS))
        if transaction.valid_until > now + window:
            raise TransactionError(
                "VALID_TOO_LONG", f"valid_until lies more than {window // 1000} s ahead: sign again"
            )
        for key in transaction.signers:
            if not self._known_key(key):
                raise TransactionError(
                    "UNKNOWN_SIGNER",
                    f"key {key.hex()[:16]}… is in no member's or party's register: register it first, or use another",
                )
        self._check_room(transaction)

    def _check_room(self, transaction: Transaction) -> None:
        limits, size, sender = self._limits, len(transaction.wire), transaction.signers[0]
        if len(self._by_id) >= limits.transactions or self._size + size > limits.bytes:
            raise TransactionError("POOL_FULL", "the pool of waiting transactions is full: try again shortly")
        if (
            self._sender_count.get(sender, 0) >= limits.sender_transactions
            or self._sender_bytes.get(sender, 0) + size > limits.sender_bytes
        ):
            raise TransactionError("QUOTA", "too many transactions of this key are waiting: try again shortly")

    def _keep(self, transaction: Transaction) -> None:
        size, sender = len(transaction.wire), transaction.signers[0]
        self._by_id[transaction.id] = transaction
        self._by_wire[transaction.wire] = transaction
        self._size += size
        self._sender_bytes[sender] = self._sender_bytes.get(sender, 0) + size
        self._sender_count[sender] = self._sender_count.get(sender, 0) + 1

    def _forget(self, transaction: Transaction) -> None:
        size, sender = len(transaction.wire), transaction.signers[0]
        del self._by_wire[transaction.wire]
        self._size -= size
        self._sender_bytes[sender] -= size
        self._sender_count[sender] -= 1
        if not self._sender_count[sender]:
            del self._sender_count[sender], self._sender_bytes[sender]
