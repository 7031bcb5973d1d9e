"""One network in a process of its own, for the tests: says what happens, a JSON line each, and answers pings.

    python -m tests.network_peer '{"member": "a", "listen": "host:port", "peers": {"b": ["host", 4101]}}'

To every member that comes up it sends a ping on each channel; every ping is answered by a pong.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import trio

from node.links import NetworkLimits, PeerAddress
from node.network import Network
from node.queues import Inbound, PeerUp
from tests.network_harness import public, seed

BULK = 700_000
"""Bytes of a bulk ping: three pieces."""


def say(what: str, **fields: object) -> None:
    print(json.dumps({"what": what, **fields}), flush=True)


class LineLog:
    """The node's log as lines of the same output."""

    def info(self, event: str, **fields: object) -> None:
        say("log", event=event, **fields)

    warning = info


async def main(config: dict[str, Any]) -> None:
    network = Network(
        member=config["member"],
        key_seed=seed(config["member"]),
        listen=config["listen"],
        peers={name: PeerAddress(public(name), *address) for name, address in config["peers"].items()},
        limits=NetworkLimits(**config.get("limits", {})),
        log=LineLog(),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(network.run))
        say("ready", port=network.port)
        async for item in network.inbound:
            if isinstance(item, Inbound):
                word = item.frame[:4].decode()
                say(word, member=item.member, channel=item.channel, size=len(item.frame))
                if word == "ping":
                    network.send(item.member, item.channel, b"pong" + item.frame[4:])
            elif isinstance(item, PeerUp):
                say("up", member=item.member)
                network.send(item.member, "votes", b"ping")
                network.send(item.member, "bulk", b"ping".ljust(BULK, b"."))
                network.send(item.member, "custody", b"ping".ljust(BULK, b"."))
            else:
                say("down", member=item.member)


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
