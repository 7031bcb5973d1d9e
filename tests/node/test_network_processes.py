"""Peers as processes: killed, started again, stopped and continued, with the limits they ship with."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.network_harness import free_ports
from tests.network_processes import PeerProcess

pytestmark = pytest.mark.slow

Where = dict[str, tuple[str, int]]


class Pair(NamedTuple):
    """Two linked peers and their addresses."""

    peers: tuple[PeerProcess, PeerProcess]
    where: Where


def start(member: str, where: Where) -> PeerProcess:
    host, port = where[member]
    return PeerProcess(member, f"{host}:{port}", {name: at for name, at in where.items() if name != member})


@pytest.fixture
def pair() -> Iterator[Pair]:
    where: Where = dict(zip("ab", (("127.0.0.1", port) for port in free_ports(2)), strict=True))
    processes = (start("a", where), start("b", where))
    try:
        for process, other in zip(processes, "ba", strict=True):
            talks(process, other, 1)
        yield Pair(processes, where)
    finally:
        for process in processes:
            if process.process.poll() is None:
                process.stop()


def talks(process: PeerProcess, other: str, times: int) -> None:
    for channel in ("votes", "bulk", "custody"):
        process.wait("pong", times, member=other, channel=channel)


@pytest.mark.parametrize("victim", [0, 1], ids=["the dialling side", "the accepting side"])
def test_a_killed_peer_is_noticed_at_once_and_linked_again_when_it_is_back(pair: Pair, victim: int) -> None:
    killed, survivor = pair.peers[victim], pair.peers[1 - victim]
    for times in (1, 2):
        killed.process.send_signal(signal.SIGKILL)
        assert survivor.wait("down", times, member=killed.member) < 1.0
        killed.stop()
        killed = start(killed.member, pair.where)
        try:
            killed.wait("ready")
            assert killed.wait("up", member=survivor.member) < 4.0
            talks(killed, survivor.member, 1)
            talks(survivor, killed.member, times + 1)
        finally:
            if times == 2:
                killed.stop()


def test_a_stopped_peer_is_dropped_after_about_three_seconds_and_linked_again_when_it_goes_on(pair: Pair) -> None:
    a, b = pair.peers
    os.kill(b.process.pid, signal.SIGSTOP)
    try:
        assert 2.0 < a.wait("down", member="b") < 5.0
        assert any("silent for 3 s" in str(line) for line in a.lines)
    finally:
        os.kill(b.process.pid, signal.SIGCONT)
    a.wait("up", 2, member="b", within_s=6)
    talks(a, "b", 2)
    talks(b, "a", 2)
