"""Following without a vote: blocks come as they are committed, from one server at a time, each checked in full."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing

from chain.ledger import Ledger
from chain.store import MemoryStore
from consensus.core import Core
from node import following
from node.driver import Driver
from node.exchange import Blocks, Follow, Refused, pack, unpack
from node.following import EXPIRE_S, FRAME_BYTES, NOT_OPENED, ROOM, Feeder, Follower
from node.mempool import Mempool, PoolLimits
from node.sync import BlockSync, stored_blocks
from tests.chain.chain_builder import Consortium, record
from tests.node.test_sync import NodeLog, Quiet

SERVERS = ("erp", "guarantor", "lender")


class Pair:
    """A follower, and servers that share one ledger; frames cross a queue. ``deaf`` servers answer nothing, a
    ``liar``'s blocks are spoiled, a ``stale`` one says it has more than it sends."""

    def __init__(self, consortium: Consortium) -> None:
        self.consortium = consortium
        self.ledger = Ledger.create(MemoryStore(), consortium.document)
        self.log = NodeLog()
        self.deaf: set[str] = set()
        self.liars: set[str] = set()
        self.stale: set[str] = set()
        self.closed: list[str] = []
        self.votes = False
        self.connected = list(SERVERS)
        self.frames: list[tuple[str, Follow]] = []
        self.to_follower, self._from_servers = trio.open_memory_channel[tuple[str, bytes]](1000)
        sync = BlockSync(self.ledger, lambda _peer, _data: True, self.log)
        self.driver = Driver(
            member="office", core=Core("office", self.ledger.network_id), ledger=self.ledger, signer=None,
            mempool=Mempool(self.ledger, PoolLimits(), lambda _key: True), network=Quiet(), log=self.log,
            on_catchup=lambda _peer, _height: None, on_evidence=lambda _first, _second: None,
            clock=lambda: consortium.now,
        )  # fmt: skip
        self.driver.start()
        self.feeders = {
            name: Feeder(consortium.ledger, partial(self._push, name), lambda _member: self.closed)
            for name in SERVERS
        }
        self.follower = Follower(
            member="office", height=lambda: self.ledger.height, send=self._ask, servers=lambda: self.connected,
            active=lambda: not self.votes, append=partial(sync.append, self.driver),
            longest_wait_s=lambda: 5.0, log=self.log,
        )  # fmt: skip

    def _ask(self, server: str, frame: bytes) -> bool:
        request = unpack(frame)
        assert isinstance(request, Follow)
        self.frames.append((server, request))
        if server not in self.deaf:
            self.feeders[server].follow("office", request)
        return True

    def _push(self, server: str, member: str, frame: bytes) -> bool:
        assert member == "office"
        message = unpack(frame)
        if isinstance(message, Blocks) and message.blocks and server in self.liars:
            bad = tuple((block[:-1] + bytes([block[-1] ^ 1]), seal) for block, seal in message.blocks)
            frame = pack(Blocks(message.start, message.head, bad))
        if isinstance(message, Blocks) and server in self.stale:
            frame = pack(Blocks(message.start, message.head, ()))
        self.to_follower.send_nowait((server, frame))
        return True

    def seal(self, *records: bytes) -> None:
        self.consortium.seal(*[self.consortium.submit("erp", item) for item in records])
        for feeder in self.feeders.values():
            feeder.committed()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for feeder in self.feeders.values():
                nursery.start_soon(feeder.run)
            nursery.start_soon(self.follower.run)
            async for server, frame in self._from_servers:
                message = unpack(frame)
                if isinstance(message, Refused):
                    self.follower.refuse(server, message)
                elif isinstance(message, Blocks):
                    await self.follower.take(server, message)

    async def reaches(self, height: int, within_s: float = 20.0) -> float:
        """Wait until the follower has a height; gives the seconds it took."""
        began = trio.current_time()
        with trio.fail_after(within_s):
            while self.ledger.height < height:
                await trio.sleep(0.05)
        return trio.current_time() - began


def run(scenario: Callable[[Pair], Awaitable[None]], blocks: int = 3) -> Pair:
    """A scenario on a clock that jumps; its consortium has ``blocks`` blocks."""
    consortium = Consortium("following")
    for number in range(blocks):
        consortium.seal(consortium.submit("erp", record(f"D{number}")))
    pairs: list[Pair] = []

    async def main() -> None:
        pairs.append(Pair(consortium))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pairs[0].run)
            await scenario(pairs[0])
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return pairs[0]


def test_blocks_come_from_the_first_on_and_then_as_they_are_committed() -> None:
    async def scenario(pair: Pair) -> None:
        await pair.reaches(3)
        for number in range(5):
            pair.seal(record(f"E{number}"))
            assert await pair.reaches(4 + number) < 0.5
        assert len({server for server, _ in pair.frames}) == 1, "from one of them"

    pair = run(scenario)
    assert pair.ledger.head.digest == pair.consortium.ledger.head.digest


@pytest.mark.parametrize("fault", ["deaf", "liars", "stale"])
def test_one_that_does_not_serve_is_left_for_another(fault: str) -> None:
    async def scenario(pair: Pair) -> None:
        first = SERVERS[pair.follower._turn % len(SERVERS)]
        getattr(pair, fault).add(first)
        await pair.reaches(3, 60.0)
        assert pair.frames[0][0] == first
        assert pair.follower.server != first

    pair = run(scenario)
    assert pair.ledger.head.digest == pair.consortium.ledger.head.digest


def test_a_broken_link_is_noticed_at_once() -> None:
    async def scenario(pair: Pair) -> None:
        await pair.reaches(3)
        lost = pair.follower.server
        assert lost is not None
        pair.connected.remove(lost)
        pair.feeders[lost].forget("office")
        pair.follower.forget(lost)
        pair.seal(record("E"))
        assert await pair.reaches(4) < 1.0

    run(scenario)


def test_a_server_without_news_is_changed_once_the_wait_is_too_long() -> None:
    async def scenario(pair: Pair) -> None:
        await pair.reaches(3)
        first = pair.follower.server
        await trio.sleep(60)
        assert len({server for server, _ in pair.frames}) > 1, f"{first} may be cut off itself"

    run(scenario)


def test_a_chain_that_is_not_opened_is_refused_by_all_and_said_once_each() -> None:
    async def scenario(pair: Pair) -> None:
        pair.closed = ["lender"]
        await trio.sleep(5)
        assert pair.ledger.height == 0
        assert pair.follower.refused is not None
        assert pair.follower.refused.code == NOT_OPENED
        assert "lender not opened to office" in pair.follower.refused.message
        assert len(pair.frames) == len(SERVERS), "each was asked once"
        pair.closed = []
        await pair.reaches(3, 60.0)
        assert pair.follower.refused is None

    run(scenario)


def test_a_chain_closed_in_the_middle_ends_it() -> None:
    async def scenario(pair: Pair) -> None:
        await pair.reaches(3)
        pair.closed = ["erp"]
        pair.seal(record("E"))
        await trio.sleep(3)
        assert pair.ledger.height == 3

    run(scenario)


def test_with_a_vote_nobody_is_asked_and_without_one_again() -> None:
    async def scenario(pair: Pair) -> None:
        await pair.reaches(3)
        pair.votes = True
        await trio.sleep(5)
        asked = len(pair.frames)
        pair.seal(record("E"))
        await trio.sleep(30)
        assert len(pair.frames) == asked
        assert pair.follower.server is None
        pair.votes = False
        await pair.reaches(4)

    run(scenario)


class Wire:
    """What a feeder sends to whom, in heights."""

    def __init__(self, consortium: Consortium, closed: Callable[[str], list[str]] = lambda _member: []) -> None:
        self.sent: list[tuple[str, Blocks]] = []
        self.full = False
        self.feeder = Feeder(consortium.ledger, self._send, closed)

    def _send(self, member: str, frame: bytes) -> bool:
        message = unpack(frame)
        if isinstance(message, Blocks) and not self.full:
            self.sent.append((member, message))
        return not self.full

    def heights(self, member: str) -> list[int]:
        return [
            blocks.start + index for to, blocks in self.sent if to == member for index in range(len(blocks.blocks))
        ]


def fed(scenario: Callable[[Wire, Consortium], Awaitable[None]], blocks: int = 6) -> None:
    async def main() -> None:
        consortium = Consortium("fed")
        for number in range(blocks):
            consortium.seal(consortium.submit("erp", record(f"D{number}")))
        wire = Wire(consortium)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.feeder.run)
            await scenario(wire, consortium)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_no_more_is_under_way_than_there_is_room_for() -> None:
    async def scenario(wire: Wire, consortium: Consortium) -> None:
        one = len(consortium.ledger.block_bytes(1))
        wire.feeder.follow("a", Follow(1, 1, anew=True))
        await trio.testing.wait_all_tasks_blocked()
        sent = wire.heights("a")
        assert sent, "one frame goes out however little the room"
        assert 6 * one < FRAME_BYTES, "which holds them all here"
        for number in range(3):
            consortium.seal(consortium.party(f"p{number}"))
            wire.feeder.committed()
            await trio.testing.wait_all_tasks_blocked()
        assert wire.heights("a") == sent, "no room until some are confirmed"
        wire.feeder.follow("a", Follow(7, 1, anew=False))
        await trio.testing.wait_all_tasks_blocked()
        assert wire.heights("a") == [1, 2, 3, 4, 5, 6, 7, 8, 9]

    fed(scenario)


def test_what_was_lost_is_sent_again_only_when_asked_anew() -> None:
    async def scenario(wire: Wire, consortium: Consortium) -> None:
        del consortium
        for anew, wanted in ((True, 6), (False, 6), (True, 6), (True, 12), (True, 12)):
            if wanted > len(wire.heights("a")):
                await trio.sleep(following.ANEW_S)  # sooner nothing is sent again: it may be large
            wire.feeder.follow("a", Follow(1, ROOM, anew=anew))
            await trio.testing.wait_all_tasks_blocked()
            assert len(wire.heights("a")) == wanted

    fed(scenario)


def test_old_blocks_are_sent_at_a_pace_and_the_newest_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(wire: Wire, consortium: Consortium) -> None:
        monkeypatch.setattr(following, "FRAME_BYTES", 1)
        monkeypatch.setattr(following, "CATCH_UP_BYTES_PER_S", len(consortium.ledger.block_bytes(2)))
        wire.feeder.follow("late", Follow(1, ROOM, anew=True))
        await trio.testing.wait_all_tasks_blocked()
        assert wire.heights("late") == [1]
        await trio.sleep(3.5)
        assert 3 <= len(wire.heights("late")) <= 5
        await trio.sleep(5)
        assert wire.heights("late") == [1, 2, 3, 4, 5, 6]
        consortium.seal(consortium.party("p"))
        wire.feeder.committed()
        await trio.testing.wait_all_tasks_blocked()
        assert wire.heights("late")[-1] == 7

    fed(scenario)


def test_silence_ends_it_and_several_are_served_in_turn() -> None:
    async def scenario(wire: Wire, consortium: Consortium) -> None:
        wire.feeder.follow("a", Follow(7, ROOM, anew=True))
        await trio.sleep(EXPIRE_S + 1)
        wire.feeder.follow("b", Follow(7, ROOM, anew=True))
        consortium.seal(consortium.party("p"))
        wire.feeder.committed()
        await trio.testing.wait_all_tasks_blocked()
        assert wire.heights("b") == [7]
        assert wire.heights("a") == []
        assert wire.feeder.followers == ["b"]
        assert [blocks.head for member, blocks in wire.sent if member == "a"] == [6], "asked, answered with nothing"

    fed(scenario)


def test_a_full_queue_loses_nothing() -> None:
    async def scenario(wire: Wire, consortium: Consortium) -> None:
        del consortium
        wire.full = True
        wire.feeder.follow("a", Follow(1, ROOM, anew=True))
        await trio.testing.wait_all_tasks_blocked()
        wire.full = False
        wire.feeder.follow("a", Follow(1, ROOM, anew=False))
        await trio.testing.wait_all_tasks_blocked()
        assert wire.heights("a") == [1, 2, 3, 4, 5, 6]

    fed(scenario)


def test_stored_blocks_end_after_the_one_that_passes_the_size() -> None:
    consortium = Consortium("stored")
    for number in range(4):
        consortium.seal(consortium.party(f"p{number}"))
    size = len(consortium.ledger.block_bytes(1))
    assert len(stored_blocks(consortium.ledger, 1, size + 1)) == 2
    assert len(stored_blocks(consortium.ledger, 4, 10**6)) == 1
    assert stored_blocks(consortium.ledger, 5, 10**6) == ()
