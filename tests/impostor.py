"""A member played by the test: its real keys and address, a program of the test's own in place of its node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from node import config as configuration
from node.links import NetworkLimits, PeerAddress
from node.network import Network
from tests.live_network import MEMBERS, Live
from tests.network_harness import MemoryLog, Node, until

T = TypeVar("T")


@asynccontextmanager
async def impersonate(live: Live, member: str, *others: str, **limits: int) -> AsyncIterator[Node]:
    """The member's place in the network, connected to the others (default: all) and collecting what they send.

    Its own node must not run. ``limits`` change its own bounds (``NetworkLimits``), not theirs.
    """
    folder = live.folder / member
    config = configuration.load(folder / "node.toml")
    log = MemoryLog()
    network = Network(
        member=member,
        key_seed=live.key(member, "network").seed,
        listen=str(config.p2p.listen),
        peers={
            name: PeerAddress(live.public(name, "network"), address.host, address.port)
            for name, address in config.p2p.peers.items()
        },
        limits=NetworkLimits(**limits),
        log=log,
    )
    wanted = set(others or MEMBERS) - {member}
    async with trio.open_nursery() as nursery:
        node = Node(network, log, nursery)
        await nursery.start(node.run)
        nursery.start_soon(node.collect)
        await until(lambda: wanted <= network.connected(), f"{member}'s impostor is connected", 15.0)
        yield node
        nursery.cancel_scope.cancel()


async def off_thread(task: Callable[[], T]) -> T:
    """Run what blocks while the impostor's network goes on."""
    return await trio.to_thread.run_sync(task)
