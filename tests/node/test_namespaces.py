"""Two peers on two hosts, as near as one machine gets: a network namespace each, joined by a cable (veth).

Needs root and `ip`. The namespaces take their cable along when they go, whatever happens.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from tests.network_peer import FLOOD
from tests.network_processes import PeerProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="network namespaces need `ip` (iproute2)"),
]

HOSTS = {"a": "10.213.77.1", "b": "10.213.77.2"}
PORT = 4101


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def namespaces() -> Iterator[dict[str, str]]:
    """Member id → namespace, each with loopback and one end of the cable."""
    names = {member: f"tally-{os.getpid()}-{member}" for member in HOSTS}
    made: list[str] = []
    try:
        for name in names.values():
            ip("netns", "add", name)
            made.append(name)
        ip("-n", names["a"], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", names["b"])
        for member, name in names.items():
            ip("-n", name, "address", "add", f"{HOSTS[member]}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def start(member: str, namespace: str, flood: Sequence[str] = ()) -> PeerProcess:
    others = {name: (host, PORT) for name, host in HOSTS.items() if name != member}
    return PeerProcess(member, f"{HOSTS[member]}:{PORT}", others, namespace=namespace, flood=flood)


def test_peers_on_two_hosts_exchange_frames_and_survive_a_cut_cable(namespaces: dict[str, str]) -> None:
    peers = [start(member, namespaces[member]) for member in HOSTS]
    a, b = peers
    try:
        for process, other in ((a, "b"), (b, "a")):
            for channel in ("votes", "bulk", "custody"):
                process.wait("pong", member=other, channel=channel)
        assert not any(line.get("address") == "127.0.0.1" for line in a.lines + b.lines)

        ip("-n", namespaces["a"], "link", "set", "cable", "down")
        assert a.wait("down", member="b") < 6.0
        b.wait("down", member="a", within_s=6)
        ip("-n", namespaces["a"], "link", "set", "cable", "up")
        a.wait("up", 2, member="b")
        b.wait("up", 2, member="a")
        for process, other in ((a, "b"), (b, "a")):
            process.wait("pong", 2, member=other, channel="votes")
    finally:
        for process in peers:
            process.stop()


@pytest.mark.skipif(shutil.which("tc") is None, reason="a slow line needs `tc` (iproute2)")
def test_votes_do_not_wait_behind_documents_on_a_slow_line(namespaces: dict[str, str]) -> None:
    """Both ends send documents and blocks as fast as they can, over 20 Mbit/s; votes go in between.

    Reno fills the line's own queue (50 ms here), which is no node's doing. What a node adds is one write of each
    other channel, small on such a line, and little in the kernel: else votes would be 700 ms old.
    """
    for name in namespaces.values():
        run(name, "sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=reno")
        run(
            name,
            "tc",
            "qdisc",
            "add",
            "dev",
            "cable",
            "root",
            "tbf",
            "rate",
            "20mbit",
            "burst",
            "32kb",
            "latency",
            "50ms",
        )
    peers = [start(member, namespaces[member], flood=("bulk", "custody")) for member in HOSTS]
    try:
        for process in peers:
            process.wait("vote", 120, within_s=30)
        for process in peers:
            sizes = {c: process.count("more", channel=c) * FLOOD for c in ("bulk", "custody")}
            ages = sorted(
                [line["ms"] for line in process.lines if line["what"] == "vote"][40:]
            )  # once it runs evenly
            half, most = ages[len(ages) // 2], ages[len(ages) * 95 // 100]
            print(f"\n{process.member}: {sizes}, age of votes {half:.0f} ms p50, {most:.0f} ms p95")
            assert all(size > 2 * 2**20 for size in sizes.values()), "both channels get their share of the line"
            assert most < 300
    finally:
        for process in peers:
            process.stop()


def run(namespace: str, *words: str) -> None:
    subprocess.run(["ip", "netns", "exec", namespace, *words], check=True, capture_output=True)
