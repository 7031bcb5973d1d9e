"""What an assessment costs after few and after many records of one enterprise: units charged, state reads, time.

    python -m tests.exact.flat_cost [RECORDS …] [--runs N]

Each history is sealed through the contracts into a ledger on disk; then the same assessment is executed on its head
again and again (nothing is written). Of ten records one is an order, despatch, receipt or invoice of a trade that the
book judges; nine are deliveries with two series of values each. Signatures and agreement are left out on both sides.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from chain.block import CONSORTIUM, Receipt
from chain.codec import encode
from chain.execution import TransactionContext
from chain.ledger import Ledger
from chain.store import LevelStore
from chain.transaction import Transaction
from genesis import document as documents
from genesis import library
from tests.chain.chain_builder import ROLES, VOTERS, Consortium, key_of
from tests.contracts import trading
from tests.contracts.memory_context import START
from tests.contracts.small_consortium import record, record_id
from tests.contracts.trading import BUYER, SUPPLIER

LABEL = "flat cost"
BATCH = 500
PAPERS_A_TRADE = 4
TRADES_A_BLOCK = 25  # within what the book judges in a block


class Cost(NamedTuple):
    """One assessment. charged: units, by its receipt. reads: of the state. seconds: median of the runs; cold: of the
    first run after the ledger was opened."""

    records: int
    charged: int
    reads: int
    seconds: float
    cold_seconds: float


class History(Consortium):
    """A ledger with so many records of one enterprise, and an application to assess."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            LABEL,
            store=LevelStore(folder, create=True),
            document=_document(),
            keys=lambda owner, purpose: key_of(LABEL, owner, purpose),
        )

    def tell(self, *transactions: Transaction) -> None:
        """One block, executed once; every transaction of it succeeds."""
        block, outcome = self.build(*transactions)
        for chain in sorted(outcome.executions):
            for receipt in outcome.receipts(chain):
                assert receipt.status == 0, f"{receipt.code}: {receipt.message}"
        ordered = sorted(transactions, key=lambda transaction: (transaction.chain == CONSORTIUM, transaction.chain))
        self.ledger.commit(block, self.certify(block), outcome, ordered)
        self.now = block.header.time

    def found(self) -> None:
        """Onboarding, contract, qualification, confirmations."""
        party: dict[str, Any] = {"name": "Supplier", "identifiers": [SUPPLIER], "keys": []}
        self.tell(self.call("procurement", "registry.register_party", id="supplier", **party))
        contract, qualification = trading.contract(), trading.qualification()
        self.tell(self.submit("procurement", contract, qualification))
        for kind, issuer, number, data in (
            ("contract", BUYER, "C-1", contract),
            ("qualification", "GB-COH", "Q-1", qualification),
        ):
            place: dict[str, Any] = {"kind": kind, "issuer": issuer, "number": number, "id": record_id(data)}
            self.tell(self.call("guarantor", "credit.confirm", **place))

    def fill(self, records: int) -> None:
        """Seal the records: one in ten a paper of a trade, the others deliveries."""
        trades = max(1, records // (10 * PAPERS_A_TRADE))
        deliveries = map(_delivery, range(records - trades * PAPERS_A_TRADE))
        a_block = -(-(records - trades * PAPERS_A_TRADE) * TRADES_A_BLOCK // trades)
        for first in range(0, trades, TRADES_A_BLOCK):
            numbers = range(first, min(first + TRADES_A_BLOCK, trades))
            erp = [data for number in numbers for data in _seller_papers(number)]
            buyer = [data for number in numbers for data in _buyer_papers(number)]
            parts = [self.submit("erp", *erp), self.submit("procurement", *buyer)]
            rest = list(islice(deliveries, a_block))
            parts += [self.submit("erp", *rest[at : at + BATCH]) for at in range(0, len(rest), BATCH)]
            self.tell(*parts)
        self.tell()
        self.tell()

    def ask(self) -> Transaction:
        """The assessment of an application made for it; it waits to be executed."""
        args: dict[str, Any] = {"enterprise": "supplier", "contract": [BUYER, "C-1"], "lender": "lender"}
        transaction = self.call("procurement", "credit.apply", **args)
        self.tell(transaction)
        self.tell()
        return self.make(
            CONSORTIUM,
            "credit.assess",
            {"application": transaction.id},
            [self.signer("lender")],
            valid_until=self.now + 3_600_000,
        )


def measure(folder: Path, records: int, runs: int) -> Cost:
    """Make the history and execute its assessment. Raises AssertionError if it rates anything but all of it."""
    history = History(folder)
    history.found()
    history.fill(records)
    transaction = history.ask()
    network_id = history.network_id
    history.ledger.close()
    ledger = Ledger(LevelStore(folder), network_id)
    assert _rated(ledger) == records, "the sums hold every record"
    cold, _ = _execute(ledger, transaction)
    with _counted() as reads:
        _, receipt = _execute(ledger, transaction)
    warm = [_execute(ledger, transaction)[0] for _ in range(runs)]
    ledger.close()
    return Cost(records, receipt.charged, len(reads), median(warm), cold)


def _rated(ledger: Ledger) -> int:
    """How many process records and bills of the enterprise the running sums count."""
    entries = [ledger.state(chain, encode(["records", "sums", SUPPLIER])) for chain in ledger.chains]
    return sum(sum(entry["total"][:2]) for entry in entries if entry is not None)


def _execute(ledger: Ledger, transaction: Transaction) -> tuple[float, Receipt]:
    started = time.perf_counter()
    receipt = ledger.simulate(transaction, ledger.head.time + 1_000)
    seconds = time.perf_counter() - started
    assert receipt.status == 0, f"{receipt.code}: {receipt.message}"
    assert receipt.result["limit"] > 0, receipt.result
    return seconds, receipt


@contextmanager
def _counted() -> Iterator[list[tuple[Any, ...]]]:
    """The keys that transactions (not hooks) read while this is open."""
    found: list[tuple[Any, ...]] = []
    get, read = TransactionContext.get, TransactionContext.read

    def counted_get(self: TransactionContext, *key: Any) -> Any:
        if self.tx_id:
            found.append(key)
        return get(self, *key)

    def counted_read(self: TransactionContext, chain: str, contract: str, *key: Any) -> Any:
        if self.tx_id:
            found.append((chain, contract, *key))
        return read(self, chain, contract, *key)

    TransactionContext.get, TransactionContext.read = counted_get, counted_read  # type: ignore[method-assign]  # to count
    try:
        yield found
    finally:
        TransactionContext.get, TransactionContext.read = get, read  # type: ignore[method-assign]  # as it was


def _delivery(number: int) -> bytes:
    day = f"2025-{1 + number % 12:02}-{1 + number % 28:02}"
    fields = {
        "issue_date": day,
        "item": f"item {number % 40}",
        "quantity": f"{10 + number % 7}.5",
        "unit": "EA",
        "price": f"{3 + number % 3}.25",
        "amount": "40.625",
        "batch": f"B{number}",
        "warehouse": "North",
        "carrier": "Carrier",
    }
    parts = {"issuer": SUPPLIER, "enterprise": SUPPLIER, "counterparty": BUYER, "template": "bench"}
    return record("delivery", f"V-{number}", fields, occurred_at=day, **parts)


def _seller_papers(number: int) -> tuple[bytes, bytes]:
    order = f"O-{number}"
    return (
        trading.despatch(number=f"D-{number}", order_number=order),
        trading.invoice(number=f"I-{number}", links=[["order", "", order]]),
    )


def _buyer_papers(number: int) -> tuple[bytes, bytes]:
    return (
        trading.order(number=f"O-{number}"),
        trading.receipt(number=f"R-{number}", despatch_number=f"D-{number}"),
    )


def _document() -> dict[str, Any]:
    def key(owner: str, purpose: str) -> str:
        return key_of(LABEL, owner, purpose).public.hex()

    return documents.from_json(
        {
            "name": LABEL,
            "time": START,
            "members": [
                {
                    "id": member,
                    "role": role,
                    "validator": key(member, "validator") if member in VOTERS else None,
                    "network": key(member, "network"),
                    "signers": [{"key": key(member, "signer"), "rights": ["*"]}],
                }
                for member, role in ROLES.items()
            ],
            "parties": [],
            "parameters": {**documents.default_parameters(), "max_charge": 100_000_000},
            "templates": [library.template("general-trade"), library.template("bench")],
            "models": [library.model("standard-1")],
            "contracts": dict.fromkeys(documents.CONTRACTS, 1),
        }
    )


def main(arguments: list[str]) -> int:
    """Measure histories of the lengths asked for; says how much the longest costs more than the first."""
    parser = argparse.ArgumentParser(prog="python -m tests.exact.flat_cost")
    parser.add_argument("records", type=int, nargs="*", default=[1_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=200)
    asked = parser.parse_args(arguments)
    costs = []
    for records in asked.records:
        with TemporaryDirectory() as folder:
            started = time.monotonic()
            cost = measure(Path(folder) / "ledger", records, asked.runs)
            costs.append(cost)
        print(
            f"{cost.records:>9} records: {cost.charged} units, {cost.reads} reads, {cost.seconds * 1e3:.2f} ms "
            f"(first run after opening {cost.cold_seconds * 1e3:.1f} ms); made in {time.monotonic() - started:.0f} s",
            flush=True,
        )
    first, last = costs[0], costs[-1]
    print(
        f"ratio: units {last.charged / first.charged:.3f}, reads {last.reads / first.reads:.3f}, "
        f"time {last.seconds / first.seconds:.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
