"""A long history of one enterprise on a real ledger: ``python -m tests.contracts.large_history [--records 1000000]``.

Deliveries are sealed through the records contract, in batches of 500 under one signature and blocks of 2,000, as
a node builds and commits its blocks. ``seal_history`` is for whoever measures on such a ledger. The command prints
what a record more costs at growing numbers of them (processor time of execution, roots and the synced batch), and
checks that the running sums have counted them all.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from chain.codec import encode
from chain.crypto import sha256
from chain.store import LevelStore
from contracts.aggregates import KEYS
from tests.chain.chain_builder import GENESIS_TIME, Consortium

ENTERPRISE: Final = "GB-COH:1"
BATCH: Final = 500
BATCHES: Final = 4
"""In one block."""
FIRST_EVENT: Final = GENESIS_TIME // 1_000 - 366 * 86_400
EVERY_S: Final = 30
"""Between two events: a million of them fill less than a year."""


def delivery(serial: int, enterprise: str = ENTERPRISE) -> bytes:
    """One record of the template ``bench``; quantity and price wander, so that some steps pass and some do not."""
    chance = int.from_bytes(sha256(serial.to_bytes(8, "big"))[:4], "big")
    occurred = datetime.fromtimestamp(FIRST_EVENT + EVERY_S * serial, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {
        "amount": f"{100 + chance % 900}.50",
        "batch": f"B{serial % 1_000}",
        "carrier": "Example Carrier",
        "issue_date": occurred[:10],
        "item": f"item {serial % 500}",
        "price": f"{10 + chance % 20}.25",
        "quantity": str(1 + chance % 90),
        "received_date": occurred[:10],
        "unit": "C62",
        "warehouse": f"W{serial % 20}",
    }
    source = ["test", "test", "1", bytes(32), GENESIS_TIME]
    return encode(
        ["tally/record", 1, "delivery", "GB-COH:2", f"H{serial:08}", enterprise, "GB-COH:2", "bench", 1, occurred, [],
         source, fields, None, None]
    )  # fmt: skip


def seal_history(
    consortium: Consortium, count: int, *, first: int = 0, member: str = "erp", enterprise: str = ENTERPRISE
) -> Iterator[tuple[int, float]]:
    """Seal deliveries ``first`` to ``first + count`` on a member's chain, a block at a time.

    The consortium's document must hold the template ``bench``. Gives, after each block, how many are sealed now and
    the processor seconds its build and commit took.
    """
    done = 0
    while done < count:
        size = min(count - done, BATCH * BATCHES)
        serials = range(first + done, first + done + size)
        records = [delivery(serial, enterprise) for serial in serials]
        transactions = [consortium.submit(member, *records[at : at + BATCH]) for at in range(0, size, BATCH)]
        began = time.process_time()
        block, outcome = consortium.build(*transactions)
        built = time.process_time() - began
        refused = [receipt for receipt in outcome.receipts(member) if receipt.status]
        assert not refused, refused[0].message
        certificate = consortium.certify(block)
        began = time.process_time()
        consortium.ledger.commit(block, certificate, outcome, transactions)
        consortium.now = block.header.time
        done += size
        yield done, built + time.process_time() - began


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Seal ``count`` deliveries; microseconds a record around 1,000, 10,000, 100,000 … of them."""
    consortium = Consortium("large", store=LevelStore(folder / "ledger", create=True))
    marks = [mark for mark in (1_000, 10_000, 100_000, 1_000_000) if mark <= count]
    costs: dict[str, float] = {}
    window: list[tuple[int, float]] = []
    sealed = 0
    for done, seconds in seal_history(consortium, count):
        window = [*window[-9:], (done - sealed, seconds)]
        sealed = done
        if marks and done >= marks[0]:
            cost = sum(spent for _, spent in window) / sum(records for records, _ in window)
            costs[str(marks.pop(0))] = round(cost * 1e6, 1)
    sums = consortium.ledger.state("erp", encode(["records", "sums", ENTERPRISE]))
    total = dict(zip(KEYS, sums["total"], strict=True))
    assert (total["process_count"], total["steps_judged"]) == (count, 2 * (count - 1)), total
    keys = consortium.ledger.tree("erp").entries
    consortium.ledger.close()
    return {"records": count, "us_a_record": costs, "state_keys": keys, "total": total}


def main() -> None:
    """Print the measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    gc.set_threshold(50_000, 20, 50)  # as a node does (node/main.py)
    with tempfile.TemporaryDirectory(prefix="tally-history-") as name:
        print(json.dumps(measure(parser.parse_args().records, Path(name)), indent=2))


if __name__ == "__main__":
    main()
