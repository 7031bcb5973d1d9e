"""Measures custody on a fresh network of four real nodes on loopback, with agreement under load beside it.

    python -m tests.custody_bench                      10,000 documents of 100 kB, about ten minutes
    python -m tests.custody_bench --documents 1000     the same, smaller

Documents go to one node over its API in requests of 8 MB; "complete" is when the chain says of every deposit that all
its custodians hold it, counted from the first request. The load on agreement is single-record transactions, each
signed, sent to all four nodes; client and nodes share the machine's cores. The figures in docs/custody.md are from
here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from chain.codec import encode
from node.bench import sample_record, sample_transaction, usage_of
from tests.live_network import MEMBERS, Live, wait

OWNER = "erp"
VICTIM = "lender"
SIZE = 100_000
A_REQUEST = 80
CHUNK = 50
OUTSTANDING = 2_000
BASE_S = 15.0
MOST_S = 180.0
COMPLETE_S = 600.0


@dataclass
class Load:
    """Transactions at ``rate`` a second (None: as many as go), from all members, until the context ends."""

    live: Live
    rate: float | None
    serial: Iterator[int]
    sent: dict[str, float] = field(default_factory=dict)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    """(when committed, ms from sending to the answer that it is durable)."""

    def __enter__(self) -> Load:
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(member,)) for member in MEMBERS]
        self._threads += [threading.Thread(target=self._watch, args=(member,)) for member in MEMBERS]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def between(self, start: float, end: float) -> dict[str, float]:
        """tx/s, p50 and p99 in ms of what was committed in a stretch of monotonic time."""
        found = [ms for at, ms in list(self.latencies) if start <= at < end]
        parts = statistics.quantiles(found, n=100) if len(found) > 1 else [0.0] * 99
        return {
            "tx_per_s": round(len(found) / (end - start), 1),
            "p50_ms": round(parts[49], 1),
            "p99_ms": round(parts[98], 1),
        }

    def _send(self, member: str) -> None:
        begun, done = time.monotonic(), 0
        with httpx.Client(base_url=self.live.node(member).api, timeout=60) as client:
            while not self._stopped.is_set():
                elapsed = time.monotonic() - begun
                due = CHUNK if self.rate is None else int(elapsed * self.rate / len(MEMBERS)) - done
                due = min(due, CHUNK, OUTSTANDING - len(self.sent))
                if due < (CHUNK if self.rate is None else 1):
                    time.sleep(0.005 if self.rate is None else 0.02)
                    continue
                chunk = [self._transaction(member) for _ in range(due)]
                done += due
                now = time.monotonic()
                for tx_id, _ in chunk:
                    self.sent[tx_id] = now
                answer = client.post("/v1/transactions", content=encode([wire for _, wire in chunk]))
                for row in answer.json():
                    if row["state"] == "rejected":
                        self.sent.pop(row["id"], None)
                if self.rate is not None:
                    time.sleep(0.02)

    def _transaction(self, member: str) -> tuple[str, bytes]:
        record = sample_record(next(self.serial))
        made = sample_transaction(self.live.network_id, member, self.live.signers[member], [record])
        return made.id.hex(), made.wire

    def _watch(self, member: str) -> None:
        after = self.live.height(member)
        with httpx.Client(base_url=self.live.node(member).api, timeout=60) as client:
            while not self._stopped.is_set():
                answer = client.get("/v1/feed", params={"after": after, "wait": 1})
                now = time.monotonic()
                for block in answer.json():
                    after = block["height"]
                    for tx_id, _status in block["transactions"]:
                        since = self.sent.pop(tx_id, None)
                        if since is not None:
                            self.latencies.append((now, (now - since) * 1000))


class Documents:
    """Fresh documents put at the owner's node, in a thread of their own."""

    def __init__(self, live: Live, count: int) -> None:
        self._live = live
        self._count = count
        self._thread = threading.Thread(target=self._put)
        self.begun = time.monotonic()
        self.before = self._owner()["deposits"]
        self._thread.start()

    def complete(self) -> bool:
        """Whether all are put, all of them are on the chain, and every custodian holds every deposit."""
        if self._thread.is_alive():
            return False
        owner = self._owner()
        held = [row["held"] for row in owner["custodians"].values()]
        return all(n == owner["deposits"] for n in held) and self._on_chain(owner["deposits"]) == self._count

    def share(self) -> float:
        """Of the deposits that are on the chain since, the share that custodians hold."""
        owner = self._owner()
        fresh = owner["deposits"] - self.before
        held = [row["held"] - self.before for row in owner["custodians"].values()]
        return round(sum(held) / (fresh * len(held)), 3) if fresh else 0.0

    def wait(self) -> float:
        """Seconds from the first request until complete."""
        wait(self.complete, "custody complete", COMPLETE_S, 0.25)
        self._thread.join()
        return round(time.monotonic() - self.begun, 1)

    def _owner(self) -> dict[str, Any]:
        with self._live.client(OWNER) as client:
            owner: dict[str, Any] = client.custody_status()["owner"]
            return owner

    def _on_chain(self, deposits: int) -> int:
        with self._live.client(OWNER) as client:
            numbers = range(self.before, deposits)
            return sum(client.state("consortium", "custody", "deposit", OWNER, n)["objects"] for n in numbers)

    def _put(self) -> None:
        with httpx.Client(base_url=self._live.node(OWNER).api, timeout=120) as client:
            for start in range(0, self._count, A_REQUEST):
                documents = [os.urandom(SIZE) for _ in range(min(A_REQUEST, self._count - start))]
                client.post("/v1/documents", content=encode(documents)).raise_for_status()


def measure(documents: int, base_s: float = BASE_S, most_s: float = MOST_S) -> dict[str, Any]:
    """All of it on one network; the figures."""
    with network() as live:
        serial = iter(range(10**9))
        report: dict[str, Any] = {"conditions": conditions(documents)}
        report["custody alone"] = _custody(live, documents)
        saturated = _alone(live, None, serial, base_s)
        report["half load"] = beside(live, saturated["tx_per_s"] / 2, serial, documents, base_s, most_s)
        report["saturated"] = beside(live, None, serial, documents, base_s, most_s)
        report["custodian killed"] = killed(live, documents)
        return report


def beside(
    live: Live, rate: float | None, serial: Iterator[int], documents: int, base_s: float, most_s: float
) -> dict[str, Any]:
    """Agreement before, with and after a delivery, so that others' load on the machine shows; kept: of its rate."""
    before = _alone(live, rate, serial, base_s)
    during = _both(live, rate, serial, documents, most_s)
    after = _alone(live, rate, serial, base_s)
    alone = (before["tx_per_s"] + after["tx_per_s"]) / 2
    return {"before": before, "with documents": during, "after": after, "kept": round(during["tx_per_s"] / alone, 3)}


@contextmanager
def network() -> Iterator[Live]:
    """Four nodes in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="tally-custody-"))
    try:
        with Live(folder, max_block_txs=2_000) as live:
            live.start()
            yield live
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alone(live: Live, rate: float | None, serial: Iterator[int], seconds: float) -> dict[str, float]:
    with Load(live, rate, serial) as load:
        time.sleep(2)
        start = time.monotonic()
        time.sleep(seconds)
        found = load.between(start, time.monotonic())
    live.level(within_s=60)
    return found


def _custody(live: Live, documents: int) -> dict[str, Any]:
    before = _cpu(live)
    took = Documents(live, documents).wait()
    cpu = {member: round(after - before[member], 1) for member, after in _cpu(live).items()}
    return {"complete_s": took, "mb_per_s": round(documents * SIZE * 3 / took / 1e6, 1), "cpu_s": cpu}


def _both(live: Live, rate: float | None, serial: Iterator[int], documents: int, most_s: float) -> dict[str, Any]:
    """The load until all is complete or ``most_s`` are over; what is left then comes without it."""
    with Load(live, rate, serial) as load:
        time.sleep(2)
        start = time.monotonic()
        arriving = Documents(live, documents)
        while time.monotonic() - start < most_s and not arriving.complete():
            time.sleep(0.25)
        end = time.monotonic()
        done, share = arriving.complete(), arriving.share()
    arriving.wait()
    live.level(within_s=60)
    seconds = round(end - start, 1)
    return {"complete_s": seconds if done else None, "seconds": seconds, "held": share, **load.between(start, end)}


def killed(live: Live, documents: int) -> dict[str, Any]:
    """A custodian is killed in the middle of a delivery and started again: seconds until nothing is missing, counted
    from its start and, of the documents it had already, from the owner's check."""
    arriving = Documents(live, documents)
    wait(lambda: _held(live) > arriving.before, "the first deposit is held", 120)
    live.nodes.kill(VICTIM)
    time.sleep(2)
    at = time.monotonic()
    live.start(VICTIM)
    arriving.wait()
    # It may have held everything when it was killed: then it is not back yet, and shows nothing.
    wait(lambda: check(live)["complete"], "every custodian shows every object", COMPLETE_S, 0.25)
    return {"healed_s": round(time.monotonic() - at, 1)}


def check(live: Live) -> dict[str, Any]:
    """The owner's check of every object at every custodian."""
    with live.client(OWNER) as client:
        report = client.custody_check(start=True)
        while report["state"] != "done":
            time.sleep(0.2)
            report = client.custody_check()
        return report


def _held(live: Live) -> int:
    with live.client(OWNER) as client:
        return int(client.custody_status()["owner"]["custodians"][VICTIM]["held"])


def _cpu(live: Live) -> dict[str, float]:
    found = {}
    for member in MEMBERS:
        process = live.node(member).process
        if process is not None:
            found[member] = usage_of(process.pid)[0]
    return found


def conditions(documents: int) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "documents": documents,
        "bytes": SIZE,
        "custodians": 3,
        "nodes": len(MEMBERS),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "client": "on the same cores",
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.custody_bench", description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=BASE_S, help="of each phase without documents")
    parser.add_argument("--most", type=float, default=MOST_S, help="seconds of each phase with documents, at most")
    arguments = parser.parse_args()
    json.dump(measure(arguments.documents, arguments.seconds, arguments.most), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
