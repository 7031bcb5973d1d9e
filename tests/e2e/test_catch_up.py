"""A node that was away catches up from its peers and votes again, whoever lies to it meanwhile (R9).

The network makes some ten blocks a second by itself (``max_idle``), so the late node follows a moving head.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import trio

from chain.block import Block
from chain.certificate import Certificate
from consensus import messages as says
from node.exchange import Blocks, ExchangeError, GetBlocks, pack, unpack
from node.queues import Inbound
from tests.impostor import impersonate, off_thread
from tests.live_network import MEMBERS, READY_S, Live, Load, run_node, wait
from tests.network_harness import Node

pytestmark = pytest.mark.slow

LATE = "lender"
PRESENT = tuple(member for member in MEMBERS if member != LATE)
LIAR = "procurement"
BLOCKS = 200
RATE = 40.0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Three of four nodes: the fourth has never run. One dead leader costs 0.2 s every fourth block."""
    with Live(tmp_path_factory.mktemp("catch-up"), t0_ms=200, max_idle_ms=100) as network:
        network.start(*PRESENT)
        yield network


def run_for(live: Live, blocks: int) -> None:
    """Let the nodes that run make so many blocks, with transactions in them."""
    goal = live.height(*PRESENT) + blocks
    with Load(live, RATE) as load:
        wait(lambda: live.height(*PRESENT) >= goal, f"block {goal}", 120.0, 0.2)
        load.drain()


def start_and_follow(live: Live) -> tuple[int, float, float]:
    """Start the late node; returns how far behind it was, and seconds from its start to the head and to its vote."""
    behind = live.height(*PRESENT)
    began = time.monotonic()
    live.nodes.start(LATE)

    def has_them() -> bool:
        assert live.node(LATE).running, live.node(LATE).last_words()
        return live.height(LATE) >= behind

    wait(has_them, f"{LATE} has the blocks it missed", READY_S)
    caught_up = time.monotonic() - began
    wait(lambda: live.status(LATE)["voted_height"] > behind, f"{LATE} votes", READY_S)
    return behind, caught_up, time.monotonic() - began


def one_ledger(live: Live) -> None:
    """Every node has the same block at every height that all have, and the late one signs certificates again."""
    state = live.commit(LATE)
    wait(lambda: min(live.status(member)["height"] for member in MEMBERS) > state["height"] + 4, "a few blocks more")
    with live.client(LATE) as late, live.client(PRESENT[0]) as other:
        for height in (1, 2, state["height"] // 2, state["height"]):
            assert late.block(height)["digest"] == other.block(height)["digest"]
    assert not any(live.status(member)["evidence"] for member in MEMBERS)


def test_a_node_that_never_ran_joins(live: Live) -> None:
    run_for(live, BLOCKS)
    blocks, caught_up, votes = start_and_follow(live)
    print(f"\nfresh: {blocks} blocks behind, has them {caught_up:.1f} s after its start, votes after {votes:.1f} s")
    one_ledger(live)


def test_a_node_that_was_away_catches_up(live: Live) -> None:
    live.nodes.stop(LATE)
    left = live.height(*PRESENT)
    run_for(live, BLOCKS)
    blocks, caught_up, votes = start_and_follow(live)
    print(f"\naway for {blocks - left} blocks, has them {caught_up:.1f} s after its start, votes after {votes:.1f} s")
    one_ledger(live)


def test_a_lost_ledger_is_synced_again_without_voting(live: Live) -> None:
    """What the refusals advise: a validator without its ledger follows without its key first, then votes again."""
    live.nodes.stop(LATE)
    config = live.folder / LATE / "node.toml"
    whole = config.read_text()
    shutil.move(live.data(LATE) / "ledger", live.folder / "damaged")
    refused = run_node(config)
    assert refused.returncode == 2
    assert "take keys.validator out of node.toml until the node has caught up" in refused.stderr

    config.write_text("".join(line for line in whole.splitlines(True) if not line.startswith("validator = ")))
    goal = live.height(*PRESENT)
    live.nodes.start(LATE)
    wait(lambda: live.height(LATE) >= goal, f"{LATE} has block {goal}", READY_S)
    assert live.status(LATE)["voted_height"] == 0
    live.nodes.stop(LATE)
    config.write_text(whole)
    start_and_follow(live)
    one_ledger(live)


# ------------------------------------------------------------------------------ liars


class Liar:
    """A member that always claims more than there is, and answers every request for blocks with the next lie."""

    def __init__(self, live: Live, node: Node, top: int) -> None:
        self._node = node
        self._top = top
        with live.ledger_of(LIAR) as ledger:
            self.blocks = {height: ledger.block(height) for height in range(1, top + 1)}
            found = {height: ledger.certificate(height) for height in self.blocks}
        self._seals = {height: seal for height, seal in found.items() if seal is not None}
        self.lies = [
            self.nothing, self.silence, self.garbage, self.another_height, self.too_few_signatures,
            self.signatures_of_another_block, self.a_body_without_its_transactions, self.a_body_with_more,
            self.a_body_that_is_none,
        ]  # fmt: skip
        self.told = 0

    async def run(self) -> None:
        """Claim, answer, and push false bodies as decided blocks too."""
        seen = 0
        while True:
            items, seen = self._node.items[seen:], len(self._node.items)
            for item in items:
                if isinstance(item, Inbound) and item.channel == "bulk":
                    self._answer(item.member, item.frame)
            self._node.network.broadcast("votes", says.encode(says.Status(self._top + 1_000_000, 0)))
            await trio.sleep(0.02)

    def _answer(self, member: str, frame: bytes) -> None:
        try:
            request = unpack(frame)
        except ExchangeError:
            return
        if isinstance(request, GetBlocks) and 1 < request.start + 1 < self._top:
            lie = self.lies[self.told % len(self.lies)]
            self.told += 1
            pairs = lie(request.start)
            if pairs is not None:
                reply = Blocks(request.start, self._top, tuple((block, seal) for block, seal in pairs))
                self._node.network.send(member, "bulk", pack(reply))

    def push(self, member: str, height: int) -> None:
        """DECIDED with a genuine certificate over a false body."""
        block, seal = self._emptied(height), self._seals[height]
        self._node.network.send(member, "votes", says.encode(says.Decided(block, seal)))

    def nothing(self, _height: int) -> list[tuple[bytes, bytes]] | None:
        return []

    def silence(self, _height: int) -> list[tuple[bytes, bytes]] | None:
        return None

    def garbage(self, _height: int) -> list[tuple[bytes, bytes]] | None:
        return [(b"\xc1" * 100, b"\xc1" * 100)]

    def another_height(self, height: int) -> list[tuple[bytes, bytes]] | None:
        return [self._pair(height + 1)]

    def too_few_signatures(self, height: int) -> list[tuple[bytes, bytes]] | None:
        seal = self._seals[height]
        return [(self.blocks[height].encoded, replace(seal, signatures=seal.signatures[:2]).encode())]

    def signatures_of_another_block(self, height: int) -> list[tuple[bytes, bytes]] | None:
        block, other = self.blocks[height], self._seals[height + 1]
        forged = Certificate(height, other.round, block.digest, other.epoch, other.signatures)
        return [(block.encoded, forged.encode())]

    def a_body_without_its_transactions(self, height: int) -> list[tuple[bytes, bytes]] | None:
        return [(self._emptied(height).encoded, self._seals[height].encode())]

    def a_body_with_more(self, height: int) -> list[tuple[bytes, bytes]] | None:
        block = self.blocks[height]
        more = replace(block, consortium_txs=(*block.consortium_txs, b"\xc1no transaction"))
        return [(more.encoded, self._seals[height].encode()), self._pair(height + 1)]

    def a_body_that_is_none(self, height: int) -> list[tuple[bytes, bytes]] | None:
        return [(self.blocks[height].encoded[:-1], self._seals[height].encode())]

    def _pair(self, height: int) -> tuple[bytes, bytes]:
        return self.blocks[height].encoded, self._seals[height].encode()

    def _emptied(self, height: int) -> Block:
        """The header, without what it stands for; where there is nothing to take away, with something more."""
        block = self.blocks[height]
        if block.tx_count:
            return replace(block, member_txs=(), consortium_txs=())
        return replace(block, consortium_txs=(b"\xc1",))


def test_a_peer_that_lies_about_blocks(live: Live) -> None:
    """At first the liar is the only peer: nothing of it is taken, nothing breaks. Then the others come."""
    live.nodes.stop(LATE)
    with live.ledger_of(LATE) as ledger:
        left = ledger.height
    run_for(live, BLOCKS // 4)
    live.nodes.stop()

    async def alone_with_a_liar() -> None:
        live.nodes.start(LATE)
        async with impersonate(live, LIAR, LATE) as node, trio.open_nursery() as nursery:
            with live.ledger_of(LIAR) as ledger:
                top = ledger.height
            liar = Liar(live, node, top)
            nursery.start_soon(liar.run)
            await off_thread(lambda: wait(lambda: liar.told > len(liar.lies), "every lie is told", 30.0))
            status = await off_thread(partial(live.status, LATE))
            # One more at most: a block it had locked before it stopped, to which a lie brought the real certificate.
            assert left <= status["height"] <= left + 1, "a lie was taken for a block"
            assert status["head"] == liar.blocks[status["height"]].digest.hex()
            assert status["voted_height"] == 0
            for _ in range(3):
                liar.push(LATE, status["height"] + 1)
            told = liar.told

            await off_thread(partial(live.nodes.start, *(member for member in PRESENT if member != LIAR)))
            voted = partial(wait, lambda: live.status(LATE)["voted_height"] > top, f"{LATE} votes", READY_S)
            await off_thread(voted)
            await off_thread(partial(live.commit, LATE))
            assert liar.told > told
            nursery.cancel_scope.cancel()

    trio.run(alone_with_a_liar)
    live.start(LIAR)
    one_ledger(live)
    log = live.node(LATE).log.read_text()
    assert "Traceback" not in log
    assert log.count("a peer sent a block that does not stand") < 12
