"""Measures the network alone: four processes on loopback, all to all. The figures in docs/network.md are from here.

    python -m tests.network_bench            everything, about a minute
    python -m tests.network_bench votes 200  one scenario, 200 votes a second and node

Latencies are one way, from `broadcast` in the sender to the item's receipt in the reader: CLOCK_MONOTONIC is one
clock for all processes of a machine. Rates are delivered ones.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from importlib.metadata import version

import trio

from node.links import NetworkLimits, PeerAddress
from node.network import Network
from node.queues import Inbound
from tests.network_harness import MemoryLog, free_ports, public, seed

NODES = "abcd"
VOTE_BYTES = 200
BLOCK_BYTES = 2**20
STAMP = struct.Struct("!Q")
SECONDS = 10.0
SCENARIOS = [("idle", 0), ("votes", 50), ("votes", 500), ("votes", 2000), ("blocks", 2)]


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def percentile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 2) if values else 0.0


async def node(member: str, ports: list[int], scenario: str, rate: int) -> None:
    """Run one node; print its figures as JSON."""
    imported = resident_mb()
    peers = {name: PeerAddress(public(name), "127.0.0.1", port) for name, port in zip(NODES, ports, strict=True)}
    network = Network(
        member=member,
        key_seed=seed(member),
        listen=f"127.0.0.1:{peers[member].port}",
        peers=peers,
        limits=NetworkLimits(),
        log=MemoryLog(),
    )
    took_ms: list[float] = []

    async def read() -> None:
        async for item in network.inbound:
            if isinstance(item, Inbound):
                sent_ns = STAMP.unpack_from(item.frame)[0]
                took_ms.append((time.monotonic_ns() - sent_ns) / 1e6)

    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        nursery.start_soon(read)
        while len(network.connected()) < len(NODES) - 1:
            await trio.sleep(0.05)
        await trio.sleep(1)
        cpu, began = time.process_time(), time.monotonic()
        size = BLOCK_BYTES if scenario == "blocks" else VOTE_BYTES
        sends = rate and (scenario == "votes" or member == "a")
        due = began
        while time.monotonic() - began < SECONDS:
            if sends:
                network.broadcast("votes", STAMP.pack(time.monotonic_ns()) + bytes(size - STAMP.size))
                due += 1 / rate
                await trio.sleep(max(0.0, due - time.monotonic()))
            else:
                await trio.sleep(0.1)
        spent, wall = time.process_time() - cpu, time.monotonic() - began
        await trio.sleep(1)
        stats = network.stats()
        figures = {
            "member": member,
            "delivered": len(took_ms),
            "p50_ms": percentile(took_ms, 0.5),
            "p99_ms": percentile(took_ms, 0.99),
            "cpu_percent": round(100 * spent / wall, 2),
            "rss_mb": round(resident_mb(), 1),
            "rss_after_import_mb": round(imported, 1),
            "dropped": sum(peer.dropped_in + peer.dropped_out for peer in stats.peers.values()),
        }
        print(json.dumps(figures), flush=True)
        nursery.cancel_scope.cancel()


def run(scenario: str, rate: int) -> None:
    ports = [str(port) for port in free_ports(len(NODES))]
    command = [sys.executable, "-m", "tests.network_bench", "node", ",".join(ports), scenario, str(rate)]
    processes = [subprocess.Popen([*command, member], stdout=subprocess.PIPE, text=True) for member in NODES]
    results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    readers = [result for result in results if result["delivered"]]
    mean = {key: round(sum(r[key] for r in results) / len(results), 2) for key in ("cpu_percent", "rss_mb")}
    print(
        json.dumps(
            {
                "scenario": scenario,
                "a_second": rate,
                "delivered_a_second": round(sum(r["delivered"] for r in readers) / SECONDS),
                "p50_ms": max((r["p50_ms"] for r in readers), default=0),
                "p99_ms": max((r["p99_ms"] for r in readers), default=0),
                **mean,
                "rss_after_import_mb": results[0]["rss_after_import_mb"],
                "dropped": sum(r["dropped"] for r in results),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["node"]:
        trio.run(node, sys.argv[5], [int(port) for port in sys.argv[2].split(",")], sys.argv[3], int(sys.argv[4]))
    else:
        load = os.getloadavg()[0]
        print(f"libp2p {version('libp2p')}, trio {version('trio')}, {os.cpu_count()} cores, load before {load:.1f}")
        chosen = [(sys.argv[1], int(sys.argv[2]))] if len(sys.argv) > 2 else SCENARIOS
        for scenario, rate in chosen:
            run(scenario, rate)
