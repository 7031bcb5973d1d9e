"""Real networks for the tests: keys, ports, a log that remembers, and several peers in one trio run."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import trio
from nacl.signing import SigningKey

from node.links import NetworkLimits, PeerAddress
from node.network import Network
from node.queues import Inbound, Item, PeerDown, PeerUp

QUICK = NetworkLimits(heartbeat_s=0.2, handshake_s=0.6, backoff_max_s=0.3, shut_out_s=0.6, reserve_s=0.6)
"""Limits for tests on loopback: the same code, shorter waits."""


def seed(name: str) -> bytes:
    """The network key seed of a test member."""
    return hashlib.sha256(b"network key of " + name.encode()).digest()


def public(name: str) -> bytes:
    """Its public half."""
    return bytes(SigningKey(seed(name)).verify_key)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def addresses(*names: str, host: str = "127.0.0.1") -> dict[str, PeerAddress]:
    """An address on a free port for every name."""
    return {
        name: PeerAddress(public(name), host, port) for name, port in zip(names, free_ports(len(names)), strict=True)
    }


class MemoryLog:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def find(self, text: str) -> list[tuple[str, dict[str, Any]]]:
        """Lines whose event or fields contain `text`."""
        return [line for line in self.lines if text in f"{line[0]} {line[1]}"]


class Node:
    """A network under test with what it received so far."""

    def __init__(self, network: Network, log: MemoryLog, nursery: trio.Nursery) -> None:
        self.network = network
        self.log = log
        self.nursery = nursery
        self.scope = trio.CancelScope()
        self.items: list[Item] = []
        self.done = trio.Event()

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        with self.scope:
            await self.network.run(task_status=task_status)
        self.done.set()

    async def collect(self) -> None:
        async for item in self.network.inbound:
            self.items.append(item)

    async def stop(self) -> None:
        self.scope.cancel()
        await self.done.wait()

    def frames(self, member: str | None = None, channel: str | None = None) -> list[bytes]:
        return [
            item.frame
            for item in self.items
            if isinstance(item, Inbound) and member in (None, item.member) and channel in (None, item.channel)
        ]

    def events(self, member: str) -> list[type]:
        return [type(item) for item in self.items if isinstance(item, PeerUp | PeerDown) and item.member == member]


class Crowd:
    """Several nodes in one trio run."""

    def __init__(self, peers: Mapping[str, PeerAddress], limits: NetworkLimits, nursery: trio.Nursery) -> None:
        self.peers = dict(peers)
        self.limits = limits
        self.nursery = nursery
        self.nodes: dict[str, Node] = {}

    async def start(
        self,
        name: str,
        *,
        collect: bool = True,
        key: str | None = None,
        peers: Mapping[str, PeerAddress] | None = None,
        voters: Collection[str] | None = None,
        **changes: Any,
    ) -> Node:
        """Start the named node; `key`, `peers`, `voters` where not its own, all, all; `changes` go to its limits."""
        log = MemoryLog()
        network = Network(
            member=name,
            key_seed=seed(key or name),
            listen=f"{self.peers[name].host}:{self.peers[name].port}",
            peers=self.peers if peers is None else peers,
            voters=voters,
            limits=replace(self.limits, **changes),
            log=log,
        )
        node = self.nodes[name] = Node(network, log, self.nursery)
        await self.nursery.start(node.run)
        if collect:
            self.nursery.start_soon(node.collect)
        return node

    async def meshed(self, *names: str) -> None:
        """Return when every pair of the named (default: all) nodes is connected both ways."""
        wanted = set(names or self.nodes)
        await until(
            lambda: all(wanted - {n} <= self.nodes[n].network.connected() for n in wanted), f"{wanted} meshed"
        )


@asynccontextmanager
async def crowd(*names: str, start: bool = True, **changes: Any) -> AsyncIterator[Crowd]:
    """Run the named nodes, meshed, and stop them at the end; `changes` go to the limits of all."""
    async with trio.open_nursery() as nursery:
        group = Crowd(addresses(*names), replace(QUICK, **changes), nursery)
        if start:
            for name in names:
                await group.start(name)
            await group.meshed()
        yield group
        for node in group.nodes.values():
            if not node.done.is_set():
                await node.stop()
        nursery.cancel_scope.cancel()


async def until(condition: Any, what: str, within_s: float = 10.0) -> None:
    """Poll `condition`; fail by name when it does not come true in time."""
    with trio.move_on_after(within_s):
        while not condition():
            await trio.sleep(0.01)
        return
    raise AssertionError(f"not within {within_s:g} s: {what}")
