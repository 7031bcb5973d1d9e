"""One network in a process of its own, for the tests: says what happens, a JSON line each, and answers pings.

    python -m tests.network_peer '{"member": "a", "listen": "host:port", "peers": {"b": ["host", 4101]}}'

To every member that comes up it sends a ping on each channel; every ping is answered by a pong. With
``"flood": [channel, …]`` it keeps those channels full instead, and sends a vote 20 times a second with the time in
it: whoever gets it says how old it was (one machine, one clock).
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import Any

import trio

from node.links import NetworkLimits, PeerAddress
from node.network import Network
from node.queues import Channel, Inbound, PeerUp
from tests.network_harness import public, seed

BULK = 700_000
"""Bytes of a bulk ping: three pieces."""
FLOOD = 192 * 1024
"""Bytes of a frame of a flood, as custody sends them."""
EVERY_S = 0.05


def say(what: str, **fields: object) -> None:
    print(json.dumps({"what": what, **fields}), flush=True)


class LineLog:
    """The node's log as lines of the same output."""

    def info(self, event: str, **fields: object) -> None:
        say("log", event=event, **fields)

    warning = info


async def flood(network: Network, member: str, channels: list[Channel]) -> None:
    """Keep ``channels`` full, and send a vote now and then."""
    while True:
        for channel in channels:
            while network.send(member, channel, b"more".ljust(FLOOD, b".")):
                pass
        network.send(member, "votes", b"time" + time.monotonic_ns().to_bytes(8, "big"))
        await trio.sleep(EVERY_S)


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
                word = item.frame[:4].decode("latin-1")
                if word == "time":
                    say("vote", ms=(time.monotonic_ns() - int.from_bytes(item.frame[4:], "big")) / 1e6)
                    continue
                say(word, member=item.member, channel=item.channel, size=len(item.frame))
                if word == "ping":
                    network.send(item.member, item.channel, b"pong" + item.frame[4:])
            elif isinstance(item, PeerUp):
                say("up", member=item.member)
                if config.get("flood"):
                    nursery.start_soon(flood, network, item.member, config["flood"])
                    continue
                network.send(item.member, "votes", b"ping")
                network.send(item.member, "bulk", b"ping".ljust(BULK, b"."))
                network.send(item.member, "custody", b"ping".ljust(BULK, b"."))
            else:
                say("down", member=item.member)


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
