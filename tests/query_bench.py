"""Measures what reading costs: a million keys on four real validators, then queries while they agree at half load.

    python -m tests.query_bench                      1,000,000 keys, about ten minutes
    python -m tests.query_bench --keys 20000         small

Every record is signed, agreed on and executed by the four nodes; nothing is written beside them. The load comes from
another process. One reader asks one node over HTTP, one request after another, the kinds of question by turns; times
are the client's, from the call to the decoded answer. The figures in docs/queries.md are from here.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chain import keys
from chain.codec import decode, encode
from chain.crypto import SigningKey, sha256
from chain.verification import verify_proof
from genesis.dev import make_dev
from node.bench import KIND, MEMBERS, sample_record, sample_transaction
from node.processes import LocalNodes, free_ports
from tallystick import Client

BATCH: Final = 500
OUTSTANDING: Final = 6
"""Batches of one member that wait to be ordered, while the ledger is filled."""
VERSIONS: Final = 40
"""Versions of the records whose history is read: one more each block."""
CORRECTED: Final = 5
"""Such records a chain."""
ENTERPRISES: Final = 2_000
LOAD_EVERY_S: Final = 0.04
WARM_S: Final = 20.0
"""Of load before the first question: right after it was filled or started a node reads its trees from disk."""
HALF_RATE: Final = 700
"""Transactions a second of the load, unless given: half of what docs/benchmarks.md gives for this machine."""
ISSUER: Final = "BENCH:buyer"


@dataclass
class Report:
    """ms by kind of question: [p50, p99, worst, how many]; bytes of proofs; what it was measured under."""

    conditions: dict[str, Any]
    ms: dict[str, list[float]] = field(default_factory=dict)
    proof_bytes: dict[str, int] = field(default_factory=dict)


class Filled:
    """A network whose ledger holds so many records, and what stands where."""

    def __init__(self, folder: Path, count: int, versions: int, say: Callable[[str], None]) -> None:
        """Four nodes that are to seal ``count`` records in batches, then ``versions`` of a few."""
        made = make_dev(
            folder / "network", name="Queries", observers=(), parties=(), base_port=free_ports(2 * len(MEMBERS)),
            parameters={"max_block_txs": 2_000},
        )  # fmt: skip
        self.network_id = made.network_id
        self.home = made.directory
        self.nodes = LocalNodes(made.directory)
        self.passphrase = (made.directory / "passphrase").read_text().strip()
        self.each = count // len(MEMBERS) // BATCH * BATCH
        self.transactions: list[bytes] = []
        self.corrected: dict[str, list[int]] = {}
        self.corrections: list[bytes] = []
        self.versions = versions
        self._say = say
        self._lock = threading.Lock()

    def __enter__(self) -> Filled:
        self.nodes.start()
        self.nodes.wait_ready()
        begun = time.monotonic()
        self._parallel(self._fill)
        took = time.monotonic() - begun
        self.per_second = round(self.each * len(MEMBERS) / took)
        self._say(f"{self.each * len(MEMBERS)} records in {took:.0f} s, {self.per_second} a second")
        self._parallel(self._correct)
        return self

    def __exit__(self, *_: object) -> None:
        self.nodes.stop()

    def key(self, member: str) -> SigningKey:
        """A member's signer."""
        return keys.load(self.home / member / "keys" / "signer.json", self.passphrase)

    def serials(self, member: str) -> range:
        """The serial numbers of a member's records."""
        first = MEMBERS.index(member) * self.each
        return range(first, first + self.each)

    def record(self, serial: int) -> bytes:
        """The first version of a record."""
        return sample_record(serial, serial // BATCH % ENTERPRISES)

    def _parallel(self, work: Callable[[str], None]) -> None:
        threads = [threading.Thread(target=work, args=(member,)) for member in MEMBERS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _fill(self, member: str) -> None:
        key, waiting = self.key(member), []
        with Client(self.nodes.nodes[member].api, timeout_s=120) as client:
            for first in self.serials(member)[::BATCH]:
                batch = [self.record(serial) for serial in range(first, first + BATCH)]
                transaction = sample_transaction(self.network_id, member, key, batch)
                while client.submit(transaction)[0]["state"] == "rejected":
                    time.sleep(0.2)  # the pool is full, or this key's share of it
                waiting.append(transaction.id)
                if len(waiting) > OUTSTANDING:
                    client.wait(waiting.pop(0), timeout_s=300)
                with self._lock:
                    self.transactions.append(transaction.id)
            for tx_id in waiting:
                client.wait(tx_id, timeout_s=300)

    def _correct(self, member: str) -> None:
        """Give a few records many versions, one a block."""
        serials = self.serials(member)
        chosen = [serials[number * BATCH + 7] for number in range(min(CORRECTED, len(serials) // BATCH))]
        self.corrected[member] = chosen
        newest = {serial: decode(self.record(serial)) for serial in chosen}
        key = self.key(member)
        with Client(self.nodes.nodes[member].api, timeout_s=120) as client:
            for number in range(1, self.versions):
                batch = []
                for array in newest.values():
                    array[14] = sha256(encode(array))
                    array[12] = {**array[12], "quantity": str(number)}
                    batch.append(encode(array))
                transaction = sample_transaction(self.network_id, member, key, batch)
                client.submit(transaction)
                client.wait(transaction.id, timeout_s=120)
                with self._lock:
                    self.corrections.append(transaction.id)


class Questions:
    """What is asked, each with arguments of its own chance (a fixed seed)."""

    def __init__(self, filled: Filled, client: Client) -> None:
        self._filled = filled
        self._client = client
        self._chance = random.Random(20261124)
        self._height = int(client.status()["height"])
        self._fresh = self._heights()
        self._last = (1, "", "")
        self.sizes: dict[str, int] = {"presence": 0, "absence": 0}

    def all(self) -> dict[str, Callable[[], object]]:
        """By name, in the order they are asked."""
        client, filled = self._client, self._filled
        page = f"page, {filled.versions} versions"
        return {
            "state of a key": lambda: client.state(*self._key()),
            "record by natural key": lambda: client.records(KIND, self._some()[1], issuer=ISSUER),
            "record by id": lambda: client.record_places(sha256(filled.record(self._serial()[1]))),
            "transaction of 500 records": lambda: client.transaction(self._chance.choice(filled.transactions)),
            "transaction of 5 records": lambda: client.transaction(self._chance.choice(filled.corrections)),
            f"history {page}": lambda: client.record_history(*self._changed()),
            f"state history {page}": lambda: client.state_history(*self._as_state(self._changed())),
            "enterprise page, 100 records": lambda: client.page("records", enterprise=self._enterprise()),
            "kind page, 100 records": lambda: client.page("records", kind=KIND, at=self._some_height()),
            "page of 100 transactions": lambda: client.page("transactions", at=self._some_height()),
            "past height, first read": self._first_read,
            "past height, read again": self._read_again,
            "proof of a value": lambda: self._sized("presence", client.prove_state(*self._key())),
            "proof of absence": lambda: self._sized("absence", client.prove_state(*self._absent())),
            "proof of a value at a past height": lambda: self._sized(
                "presence", client.prove_state(*self._key(), at=self._some_height())
            ),
        }

    def _serial(self) -> tuple[str, int]:
        member = self._chance.choice(MEMBERS)
        return member, self._chance.choice(self._filled.serials(member))

    def _some(self) -> tuple[str, str]:
        member, serial = self._serial()
        return member, f"D{serial:010d}"

    def _key(self) -> tuple[str, str, str, str, str, str]:
        member, number = self._some()
        return member, "records", "record", KIND, ISSUER, number

    def _absent(self) -> tuple[str, str, str, str, str, str]:
        return (*self._key()[:5], f"none-{self._chance.random()}")

    def _changed(self) -> tuple[str, str, str, str]:
        member = self._chance.choice(MEMBERS)
        return member, KIND, ISSUER, f"D{self._chance.choice(self._filled.corrected[member]):010d}"

    @staticmethod
    def _as_state(key: tuple[str, str, str, str]) -> tuple[str, ...]:
        chain, *name = key
        return (chain, "records", "record", *name)

    def _enterprise(self) -> str:
        return f"BENCH:{self._serial()[1] // BATCH % ENTERPRISES}"

    def _some_height(self) -> int:
        return self._chance.randint(1, self._height)

    def _heights(self) -> Iterator[int]:
        """Heights nobody has read at yet, then all over again."""
        while True:
            heights = list(range(1, self._height + 1))
            self._chance.shuffle(heights)
            yield from heights

    def _first_read(self) -> object:
        member, number = self._some()
        self._last = next(self._fresh), member, number
        return self._read_again()

    def _read_again(self) -> object:
        height, member, number = self._last
        return self._client.state(member, "records", "record", KIND, ISSUER, number, at=height)

    def _sized(self, what: str, proof: bytes) -> bytes:
        self.sizes[what] = max(self.sizes[what], len(proof))
        return proof


def measure(
    count: int,
    rate: int,
    turns: int,
    folder: Path,
    *,
    versions: int = VERSIONS,
    warm_s: float = WARM_S,
    say: Callable[[str], None] = print,
) -> Report:
    """Fill, load for ``warm_s``, ask each question ``turns`` times, and check some of the proofs."""
    with Filled(folder, count, versions, say) as filled, Client(filled.nodes.nodes["erp"].api) as client:
        before = client.status()["height"]
        load = _start_load(filled, rate)
        try:
            time.sleep(warm_s)
            questions = Questions(filled, client)
            listed = questions.all()
            for ask in listed.values():
                ask()  # connections, imports
            took: dict[str, list[float]] = {name: [] for name in listed}
            begun, first = time.monotonic(), client.status()["height"]
            for _ in range(turns):
                for name, ask in listed.items():
                    since = time.perf_counter()
                    ask()
                    took[name].append((time.perf_counter() - since) * 1000)
            seconds, blocks = time.monotonic() - begun, client.status()["height"] - first
            for proof in (client.prove_state(*questions._key()), client.prove_state(*questions._absent())):
                verify_proof(proof, filled.network_id)
            committed = sum(row["transactions"] for row in client.page("blocks", limit=100)["rows"][:blocks])
        finally:
            load.terminate()
            load.wait()
        conditions = {
            "records": filled.each * len(MEMBERS),
            "height": before,
            "records_per_s": filled.per_second,
            "load_tx_per_s": rate,
            "committed_tx_per_s": round(committed / seconds) if blocks <= 100 else None,
            "blocks_per_s": round(blocks / seconds, 1),
            "seconds": round(seconds),
            "cores": os.cpu_count(),
            "box_load": [round(value, 1) for value in os.getloadavg()],
        }
    return Report(conditions, {name: _figures(values) for name, values in took.items()}, questions.sizes)


def _figures(values: list[float]) -> list[float]:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return [round(statistics.median(ordered), 1), round(p99, 1), round(ordered[-1], 1), len(ordered)]


def _start_load(filled: Filled, rate: int) -> subprocess.Popen[bytes]:
    """Another process that sends single records to all nodes, so many a second in all, until it is ended."""
    first = len(MEMBERS) * filled.each
    arguments = [filled.home, filled.network_id.hex(), rate, first]
    return subprocess.Popen([sys.executable, "-m", "tests.query_bench", "--load", *map(str, arguments)])


def _load(home: Path, network_id: bytes, rate: int, first: int) -> None:
    passphrase = (home / "passphrase").read_text().strip()
    nodes = LocalNodes(home)
    signers = {member: keys.load(home / member / "keys" / "signer.json", passphrase) for member in MEMBERS}
    clients = {member: Client(nodes.nodes[member].api) for member in MEMBERS}
    begun, sent, serial = time.monotonic(), 0, first
    while True:
        for member, client in clients.items():
            due = int((time.monotonic() - begun) * rate) - sent
            batch = [
                sample_transaction(network_id, member, signers[member], [sample_record(serial + number)])
                for number in range(min(due, 200))
            ]
            serial += len(batch)
            sent += len(batch)
            if batch:
                client.submit(*batch)
        time.sleep(LOAD_EVERY_S)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def main() -> None:
    """Print the report as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=HALF_RATE, help="transactions a second while questions are asked")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--load", nargs=4, metavar="…", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.load is not None:
        home, network_id, rate, first = chosen.load
        _load(Path(home), bytes.fromhex(network_id), int(rate), int(first))
        return
    with tempfile.TemporaryDirectory(prefix="tally-query-bench-") as folder:
        report = measure(chosen.keys, chosen.rate, chosen.turns, Path(folder), say=_say)
    print(json.dumps(report.__dict__, indent=2))


if __name__ == "__main__":
    main()
