"""A consortium on two hosts, two nodes each: blocks are agreed across the cable, not without it, and again with it.

With two of four on either side of a cut nobody has a quorum: the chain stands still, and does not fork.
The configuration is the one docs/network.md shows: listen on every interface, name the others by their addresses.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chain.transaction import Transaction
from node.processes import LocalNodes
from tests.live_network import READY_S, Live, wait
from tests.two_hosts import Host, two_hosts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="network namespaces need `ip` (iproute2)"),
]

LEFT, RIGHT = ("erp", "guarantor"), ("lender", "procurement")


@dataclass
class Site:
    """A host with its nodes. Everything that speaks to them runs inside."""

    host: Host
    live: Live
    nodes: LocalNodes

    def start(self) -> None:
        self.host.inside(self.nodes.start)

    def ready(self) -> None:
        self.host.inside(partial(self.nodes.wait_ready, timeout_s=READY_S))

    def status(self, member: str) -> dict[str, Any]:
        found = self.host.inside(partial(self.nodes.nodes[member].status, 10.0))
        assert found is not None, f"{member} does not answer"
        return found

    def submit(self, member: str) -> Transaction:
        """Send a transaction to a member's node, without waiting for a block."""
        transaction = self.live.transaction(member)

        def send() -> None:
            with self.live.client(member) as client:
                assert client.submit(transaction)[0]["state"] == "accepted"

        self.host.inside(send)
        return transaction

    def outcome(self, member: str, transaction: Transaction, timeout_s: float = READY_S) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            with self.live.client(member) as client:
                return client.wait(transaction.id, timeout_s=timeout_s)

        return self.host.inside(ask)


def spread(live: Live, hosts: tuple[Host, Host]) -> None:
    """Give each member its host's address, in its own file and in the others'."""
    for place in live.network.members:
        path = place.folder / "node.toml"
        text = path.read_text().replace(f'listen = "{place.p2p}"', f'listen = "0.0.0.0:{port(place.p2p)}"')
        for other in live.network.members:
            host = hosts[0] if other.id in LEFT else hosts[1]
            text = text.replace(f'"{other.p2p}"', f'"{host.address}:{port(other.p2p)}"')
        path.write_text(text)
    assert "127.0.0.1" not in Path(live.folder / "erp" / "node.toml").read_text().split("[api]")[0]


def port(address: str) -> str:
    return address.rpartition(":")[2]


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    with ExitStack() as stack:
        hosts = stack.enter_context(two_hosts())
        live = Live(tmp_path)
        spread(live, hosts)
        pair = tuple(
            Site(host, live, stack.enter_context(LocalNodes(live.folder, members)))
            for host, members in zip(hosts, (LEFT, RIGHT), strict=True)
        )
        for site in pair:
            site.start()
        for site in pair:
            site.ready()
        yield pair[0], pair[1]


def test_a_consortium_on_two_hosts(sites: tuple[Site, Site]) -> None:
    left, right = sites
    sent = left.submit("erp")
    states = [site.outcome(member, sent) for site, members in ((left, LEFT), (right, RIGHT)) for member in members]
    assert all(state == states[0] for state in states)

    left.host.cable("down")
    wait(lambda: left.status("erp")["connected"] == ["guarantor"], "the cut is noticed", 10.0)
    wait(lambda: right.status("procurement")["connected"] == ["lender"], "the cut is noticed", 10.0)
    before = {member: left.status(member)["height"] for member in LEFT}
    stuck = [(left, "erp", left.submit("erp")), (right, "lender", right.submit("lender"))]
    time.sleep(3.0)
    assert {member: left.status(member)["height"] for member in LEFT} == before
    assert all(right.status(member)["height"] <= max(before.values()) for member in RIGHT)
    assert all(site.status(member)["pending"] == 1 for site, member, _ in stuck)

    left.host.cable("up")
    began = time.monotonic()
    done = [site.outcome(member, transaction) for site, member, transaction in stuck]
    print(
        f"\nboth transactions of the time of the cut stand {time.monotonic() - began:.1f} s after the cable is back"
    )
    for (site, member, transaction), state in zip(stuck, done, strict=True):
        other, others = (right, RIGHT) if site is left else (left, LEFT)
        assert [other.outcome(name, transaction) for name in others] == [state, state], member
    heads = {
        (status["height"], status["head"])
        for site, members in ((left, LEFT), (right, RIGHT))
        for status in map(site.status, members)
    }
    assert len(heads) == 1
    assert all(site.status(member)["evidence"] == 0 for site, member, _ in stuck)
