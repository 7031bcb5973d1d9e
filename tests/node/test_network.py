"""The network for real: sockets, Noise, Yamux, members, strangers, and members that misbehave."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream, IRawConnection, ISecureTransport
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamError
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from node.framing import HEADER, Kind
from node.links import NetworkLimits, PeerAddress
from node.network import PROTOCOLS, Network, peer_id_of
from node.queues import Patient, PeerDown, PeerUp
from node.sockets import MAX_BACKLOG, NetworkError, PortInUseError
from tests.network_harness import QUICK, Crowd, MemoryLog, Node, crowd, free_ports, public, seed, until

pytestmark = pytest.mark.slow  # real sockets and real patience: 22 s in all

MIB = 2**20


@asynccontextmanager
async def foreign_host(name: str, *, plaintext: bool = False) -> AsyncIterator[IHost]:
    """A libp2p host made by libp2p's own means, with the key of `name`."""
    keys = create_new_key_pair(seed(name))
    security: dict[TProtocol, ISecureTransport] = {NOISE_ID: Noise(keys, noise_privkey=create_x25519().private_key)}
    if plaintext:
        security = {TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(keys)}
    tcp = ClosingTcp()
    host = new_host(key_pair=keys, sec_opt=security, muxer_opt={TProtocol(YAMUX_ID): Yamux}, transports=[tcp])
    for protocol in PROTOCOLS.values():
        host.set_stream_handler(protocol, read_to_the_end)
    try:
        async with host.run(listen_addrs=[]):
            yield host
    finally:
        await tcp.close_all()


class ClosingTcp(TCP):
    """libp2p's TCP, whose sockets are closed at the end: libp2p forgets those of failed handshakes."""

    def __init__(self) -> None:
        super().__init__()
        self.dialled: list[IRawConnection] = []

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        self.dialled.append(await super().dial(maddr))
        return self.dialled[-1]

    async def close_all(self) -> None:
        with trio.CancelScope(shield=True):
            for connection in self.dialled:
                await connection.close()


def unblock(host: IHost, peer_id: ID) -> None:
    swarm = host.get_network()
    assert isinstance(swarm, Swarm)
    swarm.unblock_peer(peer_id)


async def read_to_the_end(stream: INetStream) -> None:
    with suppress(Exception):
        while await stream.read(65_536):
            pass


async def dial(host: IHost, to: PeerAddress) -> None:
    """Connect `host` to a node, whatever earlier attempts did to libp2p's list of failed peers."""
    peer_id = peer_id_of(to.public_key)
    unblock(host, peer_id)
    await host.connect(PeerInfo(peer_id, [Multiaddr(f"/ip4/{to.host}/tcp/{to.port}")]))


async def still_talks(sender: Node, receiver: Node, text: bytes) -> None:
    """Fail unless a vote still gets from one to the other, promptly."""
    assert sender.network.send(receiver.network.member, "votes", text)
    await until(lambda: text in receiver.frames(sender.network.member, "votes"), f"{text!r} delivered", 2)


# Members


def test_four_members_mesh_and_every_frame_arrives_in_order_under_its_senders_name() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", "d") as group:
            for node in group.nodes.values():
                for n in range(300):
                    node.network.broadcast("votes", f"{node.network.member} {n}".encode())
            for reader, node in group.nodes.items():
                for writer in set("abcd") - {reader}:
                    wanted = [f"{writer} {n}".encode() for n in range(300)]
                    await until(lambda w=writer, n=node, f=wanted: n.frames(w, "votes") == f, f"{writer} to {reader}")
                assert node.events(writer) == [PeerUp]
            stats = group.nodes["a"].network.stats()
            assert set(stats.peers) == {"b", "c", "d"}
            assert all(peer.frames_in == peer.frames_out == 300 for peer in stats.peers.values())
            assert all(peer.bytes_in > 600 and peer.bytes_out > 600 for peer in stats.peers.values())
            await until(
                lambda: all(0 < p.rtt_ms < 1000 for p in group.nodes["a"].network.stats().peers.values()), "rtt"
            )

    trio.run(main)


def test_large_frames_arrive_whole_and_larger_ones_are_not_sent() -> None:
    async def main() -> None:
        async with crowd("a", "b") as group:
            a, b = group.nodes["a"], group.nodes["b"]
            block, body = bytes(range(256)) * (8 * MIB // 256), bytes(reversed(range(256))) * (10 * MIB // 256)
            assert a.network.send("b", "votes", block)
            assert b.network.send("a", "bulk", body)
            await until(lambda: b.frames("a", "votes") == [block], "block")
            await until(lambda: a.frames("b", "bulk") == [body], "body")
            assert not a.network.send("b", "votes", block + b"x")
            assert not a.network.send("b", "bulk", bytes(16 * MIB + 1))
            assert a.network.stats().peers["b"].oversized == 2
            await still_talks(a, b, b"after")

    trio.run(main)


def test_sending_to_nobody_is_false_and_counted() -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            a = await group.start("a")
            assert not a.network.send("b", "votes", b"x")
            assert not a.network.send("nobody", "votes", b"x")
            assert a.network.stats().peers["b"].unreachable == 1
            assert a.network.connected() == set()

    trio.run(main)


def test_a_full_outbound_queue_refuses_and_counts_and_the_link_lives_on() -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            a = await group.start("a", queue_frames=10)
            b = await group.start("b")
            await group.meshed()
            sent = sum(a.network.send("b", "votes", b"v%d" % n) for n in range(50))
            assert sent == 10
            assert a.network.stats().peers["b"].dropped_out == 40
            await until(lambda: len(b.frames("a")) == 10, "the ten")
            await still_talks(a, b, b"after")

    trio.run(main)


@pytest.mark.parametrize(("channel", "other"), [("bulk", "custody"), ("custody", "bulk")])
def test_votes_and_the_other_channel_pass_while_one_is_not_read(channel: Patient, other: Patient) -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            a = await group.start("a", custody_queue_bytes=16 * MIB)
            b = await group.start("b", collect=False, bulk_queue_bytes=2 * MIB, custody_queue_bytes=2 * MIB)
            await group.meshed()
            body = bytes(MIB)
            assert all(a.network.send("b", channel, body) for _ in range(12))
            await trio.sleep(0.5)
            assert a.network.send("b", "votes", b"vote")
            assert a.network.send("b", other, b"other")
            await trio.sleep(0.3)
            waiting = b.network.inbound
            items = [waiting.receive_nowait() for _ in range(4)]
            assert items[0] == PeerUp("a")
            assert getattr(items[1], "frame", None) == b"vote"
            assert b"other" in [getattr(item, "frame", None) for item in items[2:]], "in turn with what is not read"
            assert b.network.stats().peers["a"].frames_in < 8, "the reader stops reading"
            group.nursery.start_soon(b.collect)
            held = sum(getattr(item, "channel", None) == channel for item in items)
            await until(lambda: held + len(b.frames("a", channel)) == 12, "all of it")
            assert a.network.stats().peers["b"].dropped_out == 0

    trio.run(main)


@pytest.mark.slow
def test_bulk_not_read_for_longer_than_libp2p_waits_loses_frames_but_neither_mixes_them_up_nor_the_link() -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            a = await group.start("a")
            b = await group.start("b", collect=False, bulk_queue_bytes=MIB)
            await group.meshed()
            bodies = [bytes([n]) * MIB for n in range(60)]  # more than queues and windows hold
            waiting = iter(bodies)
            body = next(waiting)
            with trio.fail_after(15):
                while not a.network.stats().peers["b"].bulk_resets:
                    if a.network.send("b", "bulk", body):
                        body = next(waiting)
                    await trio.sleep(0.01)
            group.nursery.start_soon(b.collect)
            await until(lambda: a.network.send("b", "bulk", b"after") and b"after" in b.frames(), "bulk goes on", 12)
            got = [frame for frame in b.frames("a", "bulk") if frame != b"after"]
            assert got == [body for body in bodies if body in got], "whole, unmixed and in order"
            assert b.events("a") == [PeerUp]
            assert b.network.stats().peers["a"].malformed == 0

    trio.run(main)


@pytest.mark.slow
def test_a_process_that_was_held_up_itself_does_not_blame_its_peers() -> None:
    async def main() -> None:
        async with crowd("a", "b") as group:
            time.sleep(4 * QUICK.silent_beats * QUICK.heartbeat_s)  # the whole loop stands still
            await trio.sleep(2 * QUICK.heartbeat_s)
            assert [node.events(other) for node, other in zip(group.nodes.values(), "ba", strict=True)] == [
                [PeerUp]
            ] * 2

    trio.run(main)


def test_votes_nobody_reads_make_room_for_newer_ones() -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            a = await group.start("a")
            b = await group.start("b", collect=False, queue_frames=100)
            await group.meshed()
            for n in range(1000):
                a.network.send("b", "votes", b"%d" % n)
            await until(lambda: b.network.stats().peers["a"].frames_in == 1000, "all read from the wire")
            assert b.network.stats().peers["a"].dropped_in == 900
            group.nursery.start_soon(b.collect)
            await until(lambda: b.frames() == [b"%d" % n for n in range(900, 1000)], "the newest hundred")

    trio.run(main)


def test_bulk_keeps_to_its_rate() -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            a = await group.start("a", bulk_bytes_per_s=2 * MIB)
            b = await group.start("b")
            await group.meshed()
            began = trio.current_time()
            a.network.send("b", "bulk", bytes(MIB))
            await trio.sleep(0.1)
            await still_talks(a, b, b"votes have no rate")
            assert trio.current_time() - began < 0.45
            await until(lambda: len(b.frames("a", "bulk")) == 1, "bulk")
            assert trio.current_time() - began >= 0.45

    trio.run(main)


# Membership


def test_links_follow_the_membership() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            everyone = group.peers
            group.peers = {name: everyone[name] for name in "bc"}
            b, c = await group.start("b"), await group.start("c")
            await group.meshed()
            group.peers = everyone
            a = await group.start("a")
            await until(
                lambda: len(a.log.find("does that node know our key?")) == 2, "a is refused by both, and told why"
            )
            assert a.network.connected() == set()
            assert b.network.connected() == {"c"}
            for node in (b, c):
                node.network.set_peers(everyone)
            await group.meshed()
            c.network.set_peers({name: everyone[name] for name in "ac"})
            await until(lambda: c.network.connected() == {"a"} and "c" not in b.network.connected(), "b removed")
            assert "b" not in c.network.stats().peers
            assert not c.network.send("b", "votes", b"x")
            await still_talks(a, c, b"kept")
            assert a.events("c") == [PeerUp], "a link that stays is left alone"

    trio.run(main)


def test_a_member_with_a_new_key_is_known_by_the_new_key_only() -> None:
    async def main() -> None:
        async with crowd("a", "b") as group:
            a = group.nodes["a"]
            changed = dict(group.peers)
            changed["b"] = PeerAddress(public("b after rotation"), changed["b"].host, changed["b"].port)
            a.network.set_peers(changed)
            await until(lambda: a.network.connected() == set(), "old key gone")
            await until(lambda: a.log.find("no link"), "dialled and refused")
            await trio.sleep(0.5)
            assert a.network.connected() == set()

    trio.run(main)


def test_the_newest_connection_of_a_member_counts() -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            b = await group.start("b")
            async with foreign_host("a") as first, foreign_host("a") as second:
                for host in (first, second):
                    await dial(host, group.peers["b"])
                    stream = await host.new_stream(peer_id_of(public("b")), [PROTOCOLS["votes"]])
                    await stream.write(frame(b"hello"))
                await until(lambda: b.frames("a") == [b"hello"] * 2, "both said hello")
                await until(lambda: not first.get_network().connections, "the first was closed")
                assert second.get_network().connections

    trio.run(main)


def test_of_a_pair_only_the_lower_id_dials() -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            a = await group.start("a")
            async with foreign_host("b") as host:
                await refused(host, group.peers["a"])
            await until(lambda: a.log.find("b dialled us, but of this pair we dial"), "said")
            assert a.network.stats().denied >= 1

    trio.run(main)


def nowhere(*names: str) -> dict[str, PeerAddress]:
    """Members whose address is not known."""
    return {name: PeerAddress(public(name)) for name in names}


def test_who_has_no_vote_dials_and_needs_no_address_with_the_others() -> None:
    async def main() -> None:
        async with crowd("a", "b", "z", start=False) as group:
            voters = ("a", "b")
            known = {name: group.peers[name] for name in voters}
            for name in voters:
                await group.start(name, peers={**known, **nowhere("z")}, voters=voters)
            await group.start("z", voters=voters)
            await group.meshed()

    trio.run(main)


def test_of_two_with_a_vote_the_higher_id_dials_where_the_lower_cannot() -> None:
    """A newcomer to the validators: the others' configurations do not name it."""

    async def main() -> None:
        async with crowd("a", "z", start=False) as group:
            a = await group.start("a", peers=nowhere("z"))
            z = await group.start("z")
            await group.meshed()
            await still_talks(a, z, b"found")
            assert a.network.stats().denied == 0

    trio.run(main)


def test_votes_go_to_those_with_a_vote_and_come_from_those_only() -> None:
    async def main() -> None:
        async with crowd("a", "b", "z", start=False) as group:
            a, b, z = [await group.start(name, voters=("a", "b")) for name in ("a", "b", "z")]
            await group.meshed()
            a.network.broadcast("votes", b"vote")
            await until(lambda: b.frames("a", "votes") == [b"vote"], "the voter has it")
            assert not z.network.send("a", "votes", b"no vote")
            z.network.broadcast("votes", b"no vote")
            assert z.network.send("a", "bulk", b"a transaction")
            assert a.network.send("z", "custody", b"a document")
            await until(lambda: a.frames("z", "bulk") == [b"a transaction"], "bulk")
            await until(lambda: z.frames("a", "custody") == [b"a document"], "custody")
            assert a.frames("z", "votes") == []
            assert z.frames("a", "votes") == []

    trio.run(main)


def test_a_vote_that_comes_or_goes_leaves_the_links_alone() -> None:
    async def main() -> None:
        async with crowd("a", "b", "z", start=False) as group:
            a, b, z = [await group.start(name, voters=("a", "b")) for name in ("a", "b", "z")]
            await group.meshed()
            for node in (a, b, z):
                node.network.set_peers(group.peers, ("a", "b", "z"))
            await still_talks(a, z, b"now with a vote")
            for node in (a, b, z):
                node.network.set_peers(group.peers, ("b", "z"))
            await trio.sleep(1.0)  # several heartbeats
            z.network.broadcast("votes", b"to b")
            await until(lambda: b.frames("z", "votes") == [b"to b"], "voters talk")
            assert all(
                node.events(name) == [PeerUp] for node in (a, b, z) for name in "abz" if name != node.network.member
            )

    trio.run(main)


def test_a_member_changes_over_to_a_second_key_while_both_are_valid() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            place = group.peers["b"]
            group.peers["b"] = PeerAddress(public("b"), place.host, place.port, (public("second"),))
            a, b, c = [await group.start(name) for name in "abc"]
            await group.meshed()
            await b.stop()
            del group.nodes["b"]
            b = await group.start("b", key="second")
            await group.meshed()
            await still_talks(a, b, b"dialled, with its second key")
            await still_talks(c, b, b"dialling, with its second key")
            only = {**group.peers, "b": PeerAddress(public("second"), place.host, place.port)}
            for node in (a, c):
                node.network.set_peers(only)
            await still_talks(a, b, b"the first was revoked")
            assert a.network.stats().peers["b"].connects == 2
            for node in (a, c):
                node.network.set_peers({**only, "b": PeerAddress(public("b"), place.host, place.port)})
            await until(lambda: "b" not in a.network.connected() | c.network.connected(), "the second is revoked")

    trio.run(main)


# Strangers


async def refused(host: IHost, to: PeerAddress) -> None:
    """Fail unless no stream to `to` can be had: a dialler learns of the refusal only then."""
    with trio.fail_after(5):
        try:
            await dial(host, to)
            stream = await host.new_stream(peer_id_of(to.public_key), [PROTOCOLS["votes"]])
        except Exception:  # libp2p raises many unrelated kinds
            return
    raise AssertionError(f"a stream was opened: {stream}")


def frame(payload: bytes) -> bytes:
    return HEADER.pack(len(payload), Kind.WHOLE) + payload


def test_a_stranger_is_refused_in_one_line_a_minute_and_members_are_undisturbed() -> None:
    async def main() -> None:
        async with crowd("a", "b") as group:
            a, b = group.nodes["a"], group.nodes["b"]
            async with foreign_host("stranger") as host:
                for n in range(3):
                    await refused(host, group.peers["b"])
                    await still_talks(a, b, b"during %d" % n)
            assert b.network.stats().denied >= 3  # libp2p's own dialler tries several times
            lines = b.log.find("refused")
            assert len(lines) == 1
            assert lines[0][0] == "refused: not a member"
            assert str(peer_id_of(public("stranger"))) in lines[0][1]["reason"]
            assert lines[0][1]["address"] == "127.0.0.1"
            assert b.network.stats().restarts == 0

    trio.run(main)


def test_a_stranger_that_answers_for_a_member_is_not_talked_to() -> None:
    async def main() -> None:
        async with crowd("a", "b", start=False) as group:
            a = await group.start("a")
            impostor = new_host(key_pair=create_new_key_pair(seed("impostor")))
            async with impostor.run([Multiaddr(f"/ip4/127.0.0.1/tcp/{group.peers['b'].port}")]):
                await until(lambda: a.log.find("PeerIDMismatch"), "the mismatch is said")
                assert a.network.connected() == set()

    trio.run(main)


def test_a_plaintext_handshake_is_refused_even_in_a_members_name() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            b, c = await group.start("b"), await group.start("c")
            await group.meshed()
            async with foreign_host("a", plaintext=True) as host:
                await refused(host, group.peers["b"])
            await still_talks(b, c, b"after")
            await until(lambda: b.network.stats().failed_handshakes >= 1, "counted")
            assert b.log.find("refused: no Noise handshake")
            assert "a" not in b.network.connected()

    trio.run(main)


def multistream(line: str) -> bytes:
    return bytes([len(line) + 1]) + line.encode() + b"\n"


def test_a_raw_socket_that_asks_for_plaintext_hears_no_and_is_closed() -> None:
    async def main() -> None:
        async with crowd("a", "b") as group:
            address = group.peers["b"]
            stream = await trio.open_tcp_stream(address.host, address.port)
            async with stream:
                await stream.send_all(multistream("/multistream/1.0.0") + multistream("/plaintext/2.0.0"))
                answer = b""
                with trio.fail_after(5):
                    while data := await stream.receive_some():
                        answer += data
                assert answer == multistream("/multistream/1.0.0") + multistream("na")
            await still_talks(group.nodes["a"], group.nodes["b"], b"after")
            assert group.nodes["b"].network.stats().failed_handshakes == 1

    trio.run(main)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 40,
        bytes(100_000),
        b"\xff" * 50,
        b"\xff\xff\xff\xff\x7f" + b"x" * 100,  # a message of 34 GB is announced
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # of 2^63 - 1 bytes
        multistream("/multistream/1.0.0") + multistream("/noise") + b"\xff\xff" + bytes(70_000),
        multistream("/multistream/1.0.0") + multistream("ls") * 9000,
    ],
    ids=["http", "bytes", "zeros", "ones", "34GB", "2^63", "noise", "ls"],
)
def test_garbage_is_cut_off_and_costs_no_member_anything(garbage: bytes) -> None:
    async def main() -> None:
        async with crowd("a", "b") as group:
            address = group.peers["b"]
            for _ in range(3):
                stream = await trio.open_tcp_stream(address.host, address.port)
                async with stream:
                    with trio.fail_after(3):
                        with suppress(trio.BrokenResourceError):
                            await stream.send_all(garbage)
                            while await stream.receive_some():
                                pass
            await still_talks(group.nodes["a"], group.nodes["b"], b"after")
            stats = group.nodes["b"].network.stats()
            assert (stats.failed_handshakes, stats.pending, stats.restarts) == (3, 0, 0)
            assert len(group.nodes["b"].log.find("refused")) == 1

    trio.run(main)


def test_silent_connections_are_dropped_in_time_and_do_not_keep_a_member_out() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            b = await group.start("b", pending_handshakes=8, handshake_s=1.5)
            address = group.peers["b"]
            silent = [await trio.open_tcp_stream(address.host, address.port) for _ in range(30)]
            await until(lambda: b.network.stats().turned_away == 22, "the oldest went")
            assert b.network.stats().pending == 8
            began = trio.current_time()
            await group.start("a")
            await group.meshed("a", "b")
            assert trio.current_time() - began < 1.0, "a member does not wait for the silent ones"
            await until(lambda: b.network.stats().pending == 0, "timed out", 3)
            for stream in silent:
                with trio.fail_after(1):
                    assert await stream.receive_some() == multistream("/multistream/1.0.0")
                    assert await stream.receive_some() == b""
                await stream.aclose()

    trio.run(main)


@pytest.mark.slow
def test_a_member_gets_in_while_strangers_knock_without_pause() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            b, c = await group.start("b"), await group.start("c")
            await group.meshed()

            async def knock(name: str) -> None:
                async with foreign_host(name) as host:
                    while True:
                        with trio.move_on_after(1):
                            with suppress(Exception):
                                await dial(host, group.peers["b"])
                            await trio.sleep(0)

            async with trio.open_nursery() as nursery:
                for name in ("mallory", "trudy", "sybil"):
                    nursery.start_soon(knock, name)
                await until(lambda: b.network.stats().denied > 20, "twenty knocks", 15)
                assert "b" in c.network.connected()
                await group.start("a")
                await until(lambda: "a" in b.network.connected(), "a member comes in", 5)
                await still_talks(c, b, b"undisturbed")
                nursery.cancel_scope.cancel()
            assert b.network.stats().restarts == 0
            assert b.events("c") == [PeerUp]

    trio.run(main)


def test_libp2p_writes_nothing_into_the_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        async with crowd("a", "b") as group, foreign_host("stranger") as host:
            await refused(host, group.peers["b"])
            await group.nodes["b"].stop()

    trio.run(main)
    assert [record.message for record in caplog.records] == []
    assert capfd.readouterr() == ("", "")


# Members that misbehave


@asynccontextmanager
async def bad_member(group: Crowd, to: str, name: str = "a") -> AsyncIterator[INetStream]:
    """A stream of the votes channel into node `to`, in the hands of someone with the key of `name`."""
    async with foreign_host(name) as host:
        await dial(host, group.peers[to])
        yield await host.new_stream(peer_id_of(public(to)), [PROTOCOLS["votes"]])


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!IB", 8 * MIB + 1, Kind.WHOLE),
        struct.pack("!IB", 2**32 - 1, Kind.WHOLE),
        frame(b"good") + b"\xff" * 200,
        HEADER.pack(3, Kind.PING) + b"123",
    ],
    ids=["oversized", "4GB", "garbage", "short heartbeat"],
)
def test_a_members_malformed_frame_costs_it_the_stream_and_nobody_else_anything(data: bytes) -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            b, c = await group.start("b"), await group.start("c")
            await group.meshed()
            async with bad_member(group, "b") as stream:
                await stream.write(data)
                await until(lambda: b.network.stats().peers["a"].malformed == 1, "counted")
                await trio.sleep(0.1)
                with pytest.raises(StreamError):
                    await stream.write(frame(b"more"))
            assert b.log.find("stream reset: malformed frame")[0][1]["member"] == "a"
            assert b"more" not in b.frames()
            await still_talks(c, b, b"undisturbed")
            assert (b.events("c"), b.network.stats().restarts) == ([PeerUp], 0)
            await group.start("a")
            await group.meshed()

    trio.run(main)


def test_a_member_that_floods_votes_does_not_displace_the_votes_of_others() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            b = await group.start("b", collect=False, queue_frames=50)
            c = await group.start("c")
            await group.meshed()
            async with bad_member(group, "b") as stream:
                assert c.network.send("b", "votes", b"honest")
                for _ in range(20):
                    await stream.write(frame(b"flood") * 1000)
                await until(lambda: b.network.stats().peers["a"].frames_in == 20_000, "flooded")
                group.nursery.start_soon(b.collect)
                await until(lambda: b"honest" in b.frames("c"), "the honest vote")
                assert len(b.frames("a")) == 50

    trio.run(main)


def test_a_member_cannot_pile_up_streams() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            b, c = await group.start("b"), await group.start("c")
            await group.meshed()
            async with foreign_host("a") as host:
                await dial(host, group.peers["b"])
                connection = host.get_network().connections[peer_id_of(public("b"))][0]
                opened = [await connection.new_stream() for _ in range(100)]
                swarm = b.network._swarm
                assert swarm is not None
                theirs = swarm.connections[peer_id_of(public("a"))][0]
                await trio.sleep(0.5)
                assert len(theirs.get_streams()) <= QUICK.streams_per_connection
                assert len(opened) == 100
            await still_talks(c, b, b"undisturbed")

    trio.run(main)


@pytest.mark.parametrize("seed_byte", range(6))
def test_garbage_below_the_streams_ends_that_connection_only(seed_byte: int) -> None:
    """Yamux frames no library would send: libp2p must not take the node down with it."""
    hostile = [
        struct.pack("!BBHII", 0, 0, 1, 2, 16 * MIB + 1),  # DATA larger than any window
        struct.pack("!BBHII", 9, 9, 0xFFFF, 0, 0xFFFFFFFF),
        struct.pack("!BBHII", 0, 3, 0, 0, 1),  # GO_AWAY: protocol error
        b"".join(struct.pack("!BBHII", 0, 1, 1, n, 0) for n in range(1, 4001, 2)),  # 2,000 SYNs
        struct.pack("!BBHII", 0, 0, 0, 77, 5) + b"12345",  # DATA for a stream that is not
        bytes(range(256)) * 50,
    ][seed_byte]

    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            b, c = await group.start("b"), await group.start("c")
            await group.meshed()
            async with foreign_host("a") as host:
                await dial(host, group.peers["b"])
                muxed = host.get_network().connections[peer_id_of(public("b"))][0].muxed_conn
                assert isinstance(muxed, Yamux)
                with trio.move_on_after(2), suppress(Exception):
                    await muxed.secured_conn.write(hostile)
                await trio.sleep(0.3)
                await still_talks(c, b, b"undisturbed")
            assert (b.network.stats().restarts, b.events("c")) == (0, [PeerUp])
            await group.start("a")
            await group.meshed()

    trio.run(main)


def test_a_member_that_ignores_its_windows_is_cut_off_before_it_fills_the_memory() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c", start=False) as group:
            b = await group.start("b", collect=False, bulk_queue_bytes=MIB)
            c = await group.start("c")
            await group.meshed()
            before = set(b.network._sockets)
            async with foreign_host("a") as host:
                await dial(host, group.peers["b"])
                stream = await host.new_stream(peer_id_of(public("b")), [PROTOCOLS["bulk"]])
                await until(lambda: "a" in b.network.connected(), "linked")
                (victim,) = b.network._sockets - before
                assert isinstance(stream, NetStream)
                assert isinstance(stream.muxed_stream, YamuxStream)
                body = HEADER.pack(200_000, Kind.WHOLE) + bytes(200_000)
                data = struct.pack("!BBHII", 0, 0, 0, stream.muxed_stream.stream_id, len(body)) + body
                with suppress(Exception):
                    for _ in range(200 * MIB // len(data)):
                        await stream.muxed_stream.conn.secured_conn.write(data)
                await until(lambda: "a" not in b.network.connected(), "cut off")
                assert victim.closed.is_set()
                assert MAX_BACKLOG < victim._received < MAX_BACKLOG + 16 * MIB
            await still_talks(b, c, b"undisturbed")

    trio.run(main)


# Starting and stopping


def test_a_port_in_use_is_said_in_one_line() -> None:
    async def main() -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            network = alone(f"127.0.0.1:{port}")
            with pytest.raises(PortInUseError) as caught:
                await network.run()
            assert str(caught.value) == (
                f"port 127.0.0.1:{port} is in use: choose another p2p.listen in node.toml or stop the other process"
            )

    trio.run(main)


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("4101", "listen address '4101' is not host:port"),
        ("127.0.0.1:none", "listen address '127.0.0.1:none' is not host:port"),
        ("127.0.0.1:70000", "is not host:port"),
        ("203.0.113.77:4101", "cannot listen on 203.0.113.77:4101: Cannot assign requested address"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_said_in_one_line(listen: str, message: str) -> None:
    async def main() -> None:
        with pytest.raises(NetworkError, match=message) as caught:
            await alone(listen).run()
        assert "\n" not in str(caught.value)
        assert "`listen` in node.toml" in str(caught.value)

    trio.run(main)


def alone(listen: str, limits: NetworkLimits = QUICK) -> Network:
    return Network(member="a", key_seed=seed("a"), listen=listen, peers={}, limits=limits, log=MemoryLog())


def test_a_node_without_peers_runs_and_stops() -> None:
    async def main() -> None:
        network = alone("127.0.0.1:0")
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            assert network.port > 0
            nursery.cancel_scope.cancel()
        assert [item async for item in network.inbound] == []

    trio.run(main)


def test_a_port_can_be_bound_again_at_once_after_a_stop() -> None:
    async def main() -> None:
        async with crowd("a", "b") as group:
            for _ in range(3):
                await group.nodes["b"].stop()
                await until(lambda: not group.nodes["a"].network.connected(), "a noticed")
                await group.start("b")
                await group.meshed()
                await still_talks(group.nodes["a"], group.nodes["b"], b"again")
            assert group.nodes["a"].events("b") == [PeerUp, PeerDown] * 3 + [PeerUp]

    trio.run(main)


@pytest.mark.slow
def test_a_hundred_reconnects_leave_nothing_behind() -> None:
    async def main() -> None:
        async with crowd("a", "b", backoff_min_s=0.001, backoff_max_s=0.01) as group:
            a, b = group.nodes["a"], group.nodes["b"]
            sizes = []
            for n in range(100):
                for tcp in list(b.network._sockets):
                    tcp.abort()
                await until(lambda n=n: a.events("b").count(PeerUp) == b.events("a").count(PeerUp) == n + 2, "again")
                if n in (20, 99):
                    await trio.sleep(0.5)
                    swarm = b.network._swarm
                    assert swarm is not None
                    tasks = trio.lowlevel.current_statistics().tasks_living
                    sizes.append((tasks, len(b.network._sockets), sum(map(len, swarm.connections.values()))))
            await still_talks(a, b, b"after")
            assert sizes[1][1:] == (1, 1)
            assert sizes[1][0] <= sizes[0][0] + 2

    trio.run(main)


def test_libp2p_that_keeps_failing_ends_the_network_with_one_line() -> None:
    async def main() -> None:
        network = alone("127.0.0.1:0", replace(QUICK, backoff_max_s=0.01))

        async def fail() -> None:
            raise RuntimeError("a fault inside libp2p")

        async def sabotage() -> None:
            while True:
                if network._swarm is not None and network._swarm.manager.is_running:
                    network._swarm.manager.run_task(fail)
                await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sabotage)
            with pytest.raises(
                NetworkError, match="libp2p failed 6 times within a minute, last: RuntimeError: a fault"
            ):
                await network.run()
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_libp2p_is_started_again_when_an_error_escapes_from_it() -> None:
    async def main() -> None:
        async with crowd("a", "b", "c") as group:
            b = group.nodes["b"]
            swarm = b.network._swarm
            assert swarm is not None

            async def fail() -> None:
                raise RuntimeError("a fault inside libp2p")

            swarm.manager.run_task(fail)
            await until(lambda: b.network.stats().restarts == 1, "noticed")
            await until(lambda: b.network.connected() == {"a", "c"} and b.network._swarm is not swarm, "linked again")
            await group.meshed()
            assert "a fault inside libp2p" in str(b.log.find("starting it again"))
            await still_talks(group.nodes["a"], b, b"again")

    trio.run(main)


def test_an_ipv6_address_works() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            (port_a, port_b) = free_ports(2)
            peers = {"a": PeerAddress(public("a"), "::1", port_a), "b": PeerAddress(public("b"), "::1", port_b)}
            networks = [
                Network(member=n, key_seed=seed(n), listen=f"[::1]:{peers[n].port}", peers=peers, log=MemoryLog())
                for n in "ab"
            ]
            for network in networks:
                await nursery.start(network.run)
            await until(lambda: networks[1].connected() == {"a"}, "linked over IPv6")
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_libp2p_is_imported_by_one_file() -> None:
    root = Path(__file__).resolve().parents[2]
    folders = ("chain", "cli", "consensus", "contracts", "genesis", "node", "tallystick")
    files = [path for folder in folders for path in (root / folder).rglob("*.py")]
    importing = [
        path for path in files if re.search(r"^\s*(from|import) (libp2p|multiaddr)\b", path.read_text(), re.M)
    ]
    assert importing == [root / "node" / "network.py"]
