"""What an observer costs the validators: the same load with and without one, in turns, on one network.

    python -m tests.observer_bench --seconds 8 --rounds 3
    python -m tests.observer_bench --feed              only what it takes to send a follower its blocks

The second is processor time of one process, so other work on the machine disturbs it little.

Four validators and one observer as processes of this machine, the observer at nice 19: it stands for a machine of its
own, so what counts is what the validators give it, not the cores it takes here. Two loads: as much as goes in, where
the observer falls behind and catches up afterwards, and a rate that leaves it room to keep up. Turns alternate, so
that whatever else the machine does meets both. CPU is that of the validators' processes, divided by transactions.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import trio

from chain import keys
from genesis.dev import make_dev
from node.bench import MEMBERS, Phase, _Load, sample_record, usage_of
from node.exchange import Follow
from node.following import Feeder
from node.network import Network
from node.processes import LocalNodes, free_ports
from tests.chain.chain_builder import Consortium
from tests.network_harness import MemoryLog, addresses, seed
from tests.network_processes import PeerProcess

OBSERVER = "auditor"
CATCH_UP_S = 180.0


@dataclass(frozen=True)
class Turn:
    """One phase of load. cpu_us: of all validators, a transaction; behind: blocks the observer lacked at its end."""

    load: str
    observed: bool
    tx_per_s: float
    cpu_us: float
    behind: int
    observer_cpu: float
    """Of one core, during the phase."""


@dataclass(frozen=True)
class Cost:
    """Medians with and without an observer, and the change in percent."""

    load: str
    tx_per_s: tuple[float, float]
    cpu_us: tuple[float, float]

    @property
    def throughput_percent(self) -> float:
        """What throughput loses."""
        without, observed = self.tx_per_s
        return round(100 * (without - observed) / without, 1)

    @property
    def cpu_percent(self) -> float:
        """What a transaction costs the validators more."""
        without, observed = self.cpu_us
        return round(100 * (observed - without) / without, 1)


@contextmanager
def network(folder: Path) -> Iterator[tuple[LocalNodes, LocalNodes, _Load]]:
    """(validators, the observer, the load); the validators run."""
    made = make_dev(
        folder / "network", name="Observer bench", observers=(OBSERVER,), parties=(),
        base_port=free_ports(2 * len(MEMBERS) + 2), parameters={"max_block_txs": 2_000},
    )  # fmt: skip
    passphrase = (made.directory / "passphrase").read_text().strip()
    signers = {member: keys.load(made.directory / member / "keys/signer.json", passphrase) for member in MEMBERS}
    with LocalNodes(made.directory, MEMBERS) as validators, LocalNodes(made.directory, (OBSERVER,)) as observer:
        validators.start()
        validators.wait_ready()
        yield validators, observer, _Load(validators, made.network_id, signers, lambda _text: None)


def turn(
    validators: LocalNodes, observer: LocalNodes, load: _Load, *, observed: bool, seconds: float, rate: float | None
) -> Turn:
    """One phase, with the observer started and level before it, or stopped."""
    if observed:
        observer.start()
        observer.wait_ready()
        _level(validators, observer)
        _stand_back(observer)
    before, began = _observer_cpu(observer), time.monotonic()
    name = "saturated" if rate is None else f"{rate:.0f} tx/s"
    phase: Phase = trio.run(partial(load._phase, name, seconds, 1, rate))
    spent = (_observer_cpu(observer) - before) / (time.monotonic() - began)
    heads = [_height(validators, "erp"), _height(observer, OBSERVER) if observed else 0]
    observer.stop()
    return Turn(
        load=name,
        observed=observed,
        tx_per_s=phase.tx_per_s,
        cpu_us=round(sum(phase.cpu.values()) * phase.seconds / max(1, phase.transactions) * 1e6, 1),
        behind=heads[0] - heads[1] if observed else 0,
        observer_cpu=round(spent, 2),
    )


def measure(folder: Path, seconds: float, rounds: int, share: float, say: Callable[[str], None]) -> list[Turn]:
    """All turns: ``rounds`` pairs saturated, then as many at ``share`` of what was reached without an observer."""
    turns: list[Turn] = []
    with network(folder) as (validators, observer, load):
        trio.run(partial(load._phase, "warm-up", 3.0, 1, None))
        rate: float | None = None
        for _ in range(2):
            for number in range(rounds):
                for observed in (number % 2 == 1, number % 2 == 0):
                    made = turn(validators, observer, load, observed=observed, seconds=seconds, rate=rate)
                    turns.append(made)
                    say(str(made))
            rate = share * statistics.median(made.tx_per_s for made in turns if not made.observed)
    return turns


def costs(turns: list[Turn]) -> list[Cost]:
    """One a load, in order."""
    found = []
    for load in dict.fromkeys(made.load for made in turns):
        by = {observed: [t for t in turns if t.load == load and t.observed is observed] for observed in (False, True)}
        rates = [statistics.median(t.tx_per_s for t in by[observed]) for observed in (False, True)]
        spent = [statistics.median(t.cpu_us for t in by[observed]) for observed in (False, True)]
        found.append(Cost(load, (rates[0], rates[1]), (spent[0], spent[1])))
    return found


def feed_cost(blocks: int = 12, transactions: int = 500) -> dict[str, float]:
    """Processor time that one validator spends on sending blocks to one follower, over the real network to another
    process: µs a transaction and a block, with the bytes of each."""
    consortium = Consortium("feed")
    serial = 0
    for _ in range(blocks):
        listed = []
        for _ in range(transactions):
            serial += 1
            listed.append(consortium.submit("erp", sample_record(serial)))
        consortium.seal(*listed)
    size = sum(len(consortium.ledger.block_bytes(height)) for height in range(1, blocks + 1))
    spent = trio.run(_feed, consortium, size)
    return {
        "us_a_transaction": round(spent / serial * 1e6, 2),
        "us_a_block": round(spent / blocks * 1e6),
        "transactions_a_block": transactions,
        "bytes_a_block": size // blocks,
    }


async def _feed(consortium: Consortium, size: int) -> float:
    """Seconds of this process until the last byte is on its way; what it takes idle is not counted."""
    places = addresses("a", "b")
    network = Network(
        member="a", key_seed=seed("a"), listen=f"127.0.0.1:{places['a'].port}", peers=places, log=MemoryLog()
    )
    feeder = Feeder(consortium.ledger, lambda member, frame: network.send(member, "bulk", frame), lambda _member: [])
    here = (places["a"].host, places["a"].port)
    process = PeerProcess("b", f"127.0.0.1:{places['b'].port}", {"a": here})
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            nursery.start_soon(feeder.run)
            while "b" not in network.connected():
                await trio.sleep(0.05)
            await trio.sleep(0.5)
            idle = await _spent(0.5) / 0.5
            began, at = time.process_time(), time.monotonic()
            sent = network.stats().peers["b"].bytes_out
            feeder.follow("b", Follow(1, 2 * size, anew=True))
            while network.stats().peers["b"].bytes_out - sent < size:
                await trio.sleep(0.05)
            spent = time.process_time() - began - idle * (time.monotonic() - at)
            nursery.cancel_scope.cancel()
    finally:
        process.stop()
    return spent


async def _spent(seconds: float) -> float:
    """What this process takes while nothing is sent."""
    began = time.process_time()
    await trio.sleep(seconds)
    return time.process_time() - began


def _stand_back(observer: LocalNodes) -> None:
    """nice 19: each of its threads (what they start later inherits it), and its group where sessions are groups."""
    process = observer.nodes[OBSERVER].process
    assert process is not None
    group = Path(f"/proc/{process.pid}/autogroup")
    if group.exists():
        group.write_text("19")
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), 19)


def _level(validators: LocalNodes, observer: LocalNodes) -> None:
    deadline = time.monotonic() + CATCH_UP_S
    while _height(observer, OBSERVER) < _height(validators, "erp") - 1:
        if time.monotonic() > deadline:
            raise SystemExit(f"the observer is not level after {CATCH_UP_S:g} s: see {observer.nodes[OBSERVER].log}")
        time.sleep(0.2)


def _height(nodes: LocalNodes, member: str) -> int:
    status = nodes.nodes[member].status(10.0)
    return 0 if status is None else int(status["height"])


def _observer_cpu(observer: LocalNodes) -> float:
    node = observer.nodes[OBSERVER]
    return usage_of(node.process.pid)[0] if node.process is not None and node.running else 0.0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of turns a load")
    parser.add_argument("--share", type=float, default=0.5, help="of the saturated rate, for the second load")
    parser.add_argument("--feed", action="store_true", help="only the cost of sending, in one process")
    given = parser.parse_args()
    if given.feed:
        print(json.dumps(feed_cost()))
        return
    with tempfile.TemporaryDirectory(prefix="tally-observer-") as folder:
        turns = measure(Path(folder), given.seconds, given.rounds, given.share, partial(print, flush=True))
    for cost in costs(turns):
        print(
            f"{cost.load}: {cost.tx_per_s[0]:.0f} → {cost.tx_per_s[1]:.0f} tx/s ({cost.throughput_percent} % less), "
            f"{cost.cpu_us[0]:.0f} → {cost.cpu_us[1]:.0f} µs of the validators a transaction "
            f"({cost.cpu_percent} % more); load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
        )
    print(json.dumps([asdict(made) for made in turns]))


if __name__ == "__main__":
    main()
