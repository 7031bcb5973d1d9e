"""``tally bench``: throughput and latency of a fresh four-validator network of real processes on this machine.

Nothing is switched off: every transaction is signed by a member's key, checked at every node, agreed on, executed
four times and written with a synced batch before it counts. "Committed" is what a client is told after that.

Phases, one after another on one network: saturation with single-record transactions (tx/s), half of that rate
(latency from sending to the answer that the block is durable), and batches of records under one signature
(records/s). The load comes from this process, on the same cores, so the figures include the client's share.
"""

from __future__ import annotations

import gc
import os
import platform
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Final

import httpx
import trio

from chain import keys
from chain.codec import encode
from chain.crypto import SigningKey
from chain.transaction import NONCE_SIZE, Transaction, batch_args, make_body, sign
from genesis.dev import make_dev
from node.processes import LocalNodes, ProcessError, free_ports

MEMBERS: Final = ("erp", "guarantor", "lender", "procurement")
TEMPLATE: Final = "bench"
KIND: Final = "delivery"
ENTERPRISES: Final = 2_000
BATCH: Final = 500
"""Records under one signature: those of one enterprise, as an ERP exports them for one supplier."""
FIRST_EVENT: Final = 1_704_067_200  # 2024-01-01
OUTSTANDING: Final = 3_000
"""Transactions sent and not yet committed while saturating."""
OUTSTANDING_BATCHES: Final = 40
REQUEST_S: Final = 0.04
"""Below saturation each node gets a request this often, with what has become due: as an ERP's job would send."""
CHUNK: Final = 100
"""Transactions in one request."""
VALID_MS: Final = 1_800_000
WARM_UP_S: Final = 2.0


class BenchError(ProcessError):
    """The bench could not be run; one line."""


@dataclass
class Phase:
    """What one phase measured. Rates per second, latencies in ms, CPU as a share of one core, memory in MB."""

    name: str
    seconds: float
    transactions: int
    records: int
    blocks: int
    tx_per_s: float
    records_per_s: float
    p50_ms: float
    p99_ms: float
    cpu: dict[str, float]
    rss_mb: dict[str, float]


@dataclass
class Report:
    """The whole bench; the scripts' fields first (DESIGN.md, Interfaces)."""

    tx_per_s: float
    records_per_s: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    conditions: dict[str, Any]
    phases: list[Phase] = field(default_factory=list)
    stages_us: dict[str, float] = field(default_factory=dict)
    batch_stages_us: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run(*, seconds: float = 20.0, folder: Path | None = None, say: Callable[[str], None] = print) -> Report:
    """Start a network, load it, stop it. ``seconds`` is the length of each phase. Raises BenchError, ProcessError."""
    place = Path(tempfile.mkdtemp(prefix="tally-bench-")) if folder is None else folder
    network = make_dev(
        place / "network",
        name="Bench",
        observers=(),
        parties=(),
        base_port=free_ports(2 * len(MEMBERS)),
        parameters={"max_block_txs": 2_000},
    )
    processes = LocalNodes(network.directory)
    passphrase = (network.directory / "passphrase").read_text().strip()
    signers = {
        member: keys.load(network.directory / member / "keys" / "signer.json", passphrase) for member in MEMBERS
    }
    try:
        say("starting four nodes")
        processes.start()
        processes.wait_ready()
        load = _Load(processes, network.network_id, signers, say)
        report = _run(load, seconds)
    finally:
        processes.stop()
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
    say("measuring the stages in one process")
    report.stages_us = stage_costs(600, 1)
    report.batch_stages_us = stage_costs(8, BATCH)
    return report


def _run(load: _Load, seconds: float) -> Report:
    """The load in trio; of what a nursery wraps, the one error that its reader is to see."""
    try:
        return trio.run(load.run, seconds)
    except BaseExceptionGroup as group:
        for kind in (KeyboardInterrupt, BenchError):
            found = group.subgroup(kind)
            while isinstance(found, BaseExceptionGroup):
                found = found.exceptions[0]  # type: ignore[assignment]  # a group of one kind holds that kind
            if found is not None:
                raise found from None
        raise


@dataclass(frozen=True)
class _Plan:
    """How one member's load is sent. ``rate``: transactions a second, None to saturate; ``until``: perf_counter."""

    rate: float | None
    chunk: int
    outstanding: int
    until: float


class _Load:
    """The client side: signs beforehand, sends round-robin to the nodes, counts what each node reports durable."""

    def __init__(
        self,
        processes: LocalNodes,
        network_id: bytes,
        signers: dict[str, SigningKey],
        say: Callable[[str], None],
    ) -> None:
        self._processes = processes
        self._network_id = network_id
        self._signers = signers
        self._say = say
        self._serial = 0
        self._sent: dict[str, float] = {}
        self._latencies: list[float] = []
        self._committed = 0
        self._failed = 0
        self._blocks = 0
        self._rejected: dict[str, int] = {}

    async def run(self, seconds: float) -> Report:
        """All phases."""
        saturated = await self._phase("saturation, one record a transaction", seconds, 1, None)
        half = await self._phase("half of it", seconds, 1, saturated.tx_per_s / 2)
        batches = await self._phase(f"batches of {BATCH} records", seconds, BATCH, None)
        if self._rejected or self._failed:
            self._say(f"rejected: {self._rejected or 'none'}; failed receipts: {self._failed}")
        return Report(
            tx_per_s=saturated.tx_per_s,
            records_per_s=batches.records_per_s,
            p50_ms=half.p50_ms,
            p99_ms=half.p99_ms,
            rss_mb=max(max(phase.rss_mb.values()) for phase in (saturated, half, batches)),
            conditions=conditions(self._processes),
            phases=[saturated, half, batches],
        )

    async def _phase(self, name: str, seconds: float, batch: int, rate: float | None) -> Phase:
        total = seconds + WARM_UP_S
        expected = (rate or (6_000 if batch == 1 else 10_000 // batch)) * total * 1.5 + CHUNK * len(MEMBERS)
        self._say(f"{name}: signing up to {int(expected)} transactions beforehand")
        queues = self._signed(int(expected), batch)
        self._sent, self._latencies = {}, []
        limit = OUTSTANDING if batch == 1 else OUTSTANDING_BATCHES
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client, trio.open_nursery() as nursery:
            urls = {member: self._processes.nodes[member].api for member in MEMBERS}
            for url in urls.values():
                nursery.start_soon(self._watch, client, url)
            start = time.perf_counter() + WARM_UP_S
            share = None if rate is None else rate / len(MEMBERS)
            plan = _Plan(share, chunk=CHUNK if batch == 1 else 2, outstanding=limit, until=start + seconds)
            for member in MEMBERS:
                nursery.start_soon(self._send, client, urls[member], queues[member], plan)
            await trio.sleep(WARM_UP_S)
            before, usage = (self._committed, self._blocks), self._usage()
            self._latencies.clear()
            await trio.sleep(seconds)
            elapsed = time.perf_counter() - start
            committed, blocks = self._committed - before[0], self._blocks - before[1]
            after = self._usage()
            nursery.cancel_scope.cancel()
        await self._drain()
        return Phase(
            name=name,
            seconds=round(elapsed, 2),
            transactions=committed,
            records=committed * batch,
            blocks=blocks,
            tx_per_s=round(committed / elapsed, 1),
            records_per_s=round(committed * batch / elapsed, 1),
            p50_ms=_percentile(self._latencies, 50),
            p99_ms=_percentile(self._latencies, 99),
            cpu={member: round((after[member][0] - usage[member][0]) / elapsed, 3) for member in MEMBERS},
            rss_mb={member: round(after[member][1] / 1e6, 1) for member in MEMBERS},
        )

    def _signed(self, count: int, batch: int) -> dict[str, Iterator[tuple[str, bytes]]]:
        """(id, wire) of transactions signed beforehand, a queue a member (each writes on its own chain)."""
        share = count // len(MEMBERS) + 1
        made: dict[str, list[tuple[str, bytes]]] = {}
        for member in MEMBERS:
            listed = (self._transaction(member, batch) for _ in range(share))
            made[member] = [(transaction.id.hex(), transaction.wire) for transaction in listed]
        gc.collect()
        gc.freeze()
        return {member: iter(listed) for member, listed in made.items()}

    def _transaction(self, member: str, batch: int) -> Transaction:
        first = self._serial + 1
        self._serial += batch
        return sample_transaction(self._network_id, member, self._signers[member], sample_batch(first, batch))

    async def _send(
        self, client: httpx.AsyncClient, url: str, queue: Iterator[tuple[str, bytes]], plan: _Plan
    ) -> None:
        """One member's load: closed loop with ``plan.outstanding``, or open loop at ``plan.rate``."""
        begun, sent = time.perf_counter(), 0
        while time.perf_counter() < plan.until:
            due = plan.chunk if plan.rate is None else int((time.perf_counter() - begun) * plan.rate) - sent
            room = min(due, plan.outstanding - len(self._sent))
            if room < (plan.chunk if plan.rate is None else 1):
                await trio.sleep(0.002 if plan.rate is None else REQUEST_S)
                continue
            chunk = list(islice(queue, min(room, plan.chunk)))
            if not chunk:
                raise BenchError("the signed transactions ran out: choose fewer --seconds")
            sent += len(chunk)
            now = time.perf_counter()
            self._sent.update(dict.fromkeys((tx_id for tx_id, _ in chunk), now))
            answer = await client.post(f"{url}/v1/transactions", content=encode([wire for _, wire in chunk]))
            if plan.rate is not None:
                await trio.sleep(REQUEST_S)
            for row in answer.json():
                if row["state"] == "rejected":
                    self._rejected[row["code"]] = self._rejected.get(row["code"], 0) + 1
                    self._sent.pop(row["id"], None)

    async def _watch(self, client: httpx.AsyncClient, url: str) -> None:
        """Follow one node's committed blocks. A transaction counts at the first node that reports it durable."""
        status = (await client.get(f"{url}/v1/status")).json()
        after = status["height"]
        while True:
            answer = await client.get(f"{url}/v1/feed", params={"after": after, "wait": 20})
            now = time.perf_counter()
            for block in answer.json():
                after = block["height"]
                if url.endswith(self._processes.nodes[MEMBERS[0]].api[-6:]):
                    self._blocks += 1
                for tx_id, outcome in block["transactions"]:
                    since = self._sent.pop(tx_id, None)
                    if since is not None:
                        self._committed += 1
                        self._failed += outcome != 0
                        self._latencies.append((now - since) * 1000)

    async def _drain(self) -> None:
        """Let the pools run empty before the next phase."""
        for _ in range(600):
            waiting = [node.status() for node in self._processes.nodes.values()]
            if all(status is not None and status["pending"] == 0 for status in waiting):
                return
            await trio.sleep(0.1)
        raise BenchError("transactions are still pending after a minute")

    def _usage(self) -> dict[str, tuple[float, int]]:
        found = {}
        for member, node in self._processes.nodes.items():
            if node.process is None or not node.running:
                raise BenchError(f"the node of {member} ended: {node.last_words()}")
            found[member] = usage_of(node.process.pid)
        return found


def usage_of(pid: int) -> tuple[float, int]:
    """(CPU seconds so far, resident bytes) of a process, from /proc."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / ticks, pages * os.sysconf("SC_PAGE_SIZE")


def sample_record(serial: int, enterprise: int | None = None) -> bytes:
    """One record of the bench template: ten fields, all checked, two of them held against the record before.

    Events come in order, as a system that writes them exports them. enterprise: its number, else one after another.
    """
    fields = {
        "amount": f"{100 + serial % 900}.50",
        "batch": f"B{serial % 1000}",
        "carrier": "Example Carrier",
        "issue_date": "2026-11-20",
        "item": f"item {serial % 500}",
        "price": f"{10 + serial % 80}.25",
        "quantity": str(1 + serial % 90),
        "received_date": "2026-11-21",
        "unit": "C62",
        "warehouse": f"W{serial % 20}",
    }
    whose = f"BENCH:{serial % ENTERPRISES if enterprise is None else enterprise}"
    occurred = datetime.fromtimestamp(FIRST_EVENT + 10 * serial, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    source = ["bench", "bench", "1", bytes(32), 1]
    return encode(
        ["tally/record", 1, KIND, "BENCH:buyer", f"D{serial:010d}", whose, "BENCH:buyer", TEMPLATE, 1,
         occurred, [], source, fields, None, None]
    )  # fmt: skip


def sample_batch(first: int, count: int) -> list[bytes]:
    """Records from a serial number on: one record, or a batch of one enterprise, each batch of the next one."""
    enterprise = first // count % ENTERPRISES
    return [sample_record(serial, enterprise) for serial in range(first, first + count)]


def sample_transaction(network_id: bytes, member: str, key: SigningKey, records: list[bytes]) -> Transaction:
    """A signed ``records.submit`` on a member's chain."""
    body = make_body(
        network_id=network_id,
        chain=member,
        contract="records",
        method="submit",
        args=batch_args(records),
        signers=[key.public],
        nonce=secrets.token_bytes(NONCE_SIZE),
        valid_until=time.time_ns() // 1_000_000 + VALID_MS,
    )
    return sign(body, [key], records)


def conditions(processes: LocalNodes) -> dict[str, Any]:
    """What the figures depend on."""
    wire = len(sample_transaction(bytes(32), "erp", SigningKey.generate(), [sample_record(1)]).wire)
    return {
        "nodes": len(processes.nodes),
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "network": "loopback, libp2p " + version("libp2p"),
        "signatures": "Ed25519 checked at every node (ed25519-zebra, ZIP215)",
        "storage": "LevelDB, one synced batch a block; vote journal synced before each vote is sent",
        "transaction_bytes": wire,
        "record_fields": 10,
        "batch": BATCH,
        "outstanding": OUTSTANDING,
        "request_interval_ms": REQUEST_S * 1000,
        "client": "on the same cores",
    }


def stage_costs(transactions: int, batch: int, blocks: int = 5) -> dict[str, float]:
    """Microseconds a record costs one replica, by stage; medians over blocks. batch: records of a transaction."""
    from node.bench_stages import measure

    return measure(transactions, blocks, batch)


def _percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return 0.0
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 1)
