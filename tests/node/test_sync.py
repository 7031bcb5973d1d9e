"""Catch-up of blocks (R9): contiguous, certified under the node's own validators, executed; liars cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import trio

from chain.block import Block
from chain.crypto import ZERO_HASH
from chain.ledger import Ledger
from chain.store import MemoryStore
from consensus.core import Core
from node.driver import Driver
from node.exchange import Blocks, GetBlocks, unpack
from node.mempool import Mempool, PoolLimits
from node.sync import BlockSync
from tests.chain.chain_builder import Consortium, record
from tests.network_harness import MemoryLog


class NodeLog(MemoryLog):
    """What the node says, errors too."""

    def error(self, event: str, **fields: Any) -> Any:
        self.warning(event, **fields)


class Quiet:
    """A network that delivers nothing: what is sent on the bulk channel is kept."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    def send(self, member: str, channel: Any, frame: bytes) -> bool:
        if channel == "bulk":
            self.sent.append((member, frame))
        return True

    def broadcast(self, channel: Any, frame: bytes) -> None:
        del channel, frame


class Late:
    """A node that only follows, with an empty ledger of the same network."""

    def __init__(self, consortium: Consortium) -> None:
        self.ledger = Ledger.create(MemoryStore(), consortium.document)
        self.network = Quiet()
        self.log = NodeLog()
        self.sync = BlockSync(self.ledger, lambda peer, data: self.network.send(peer, "bulk", data), self.log)
        self.driver = Driver(
            member="office",
            core=Core("office", self.ledger.network_id),
            ledger=self.ledger,
            signer=None,
            mempool=Mempool(self.ledger, PoolLimits(), lambda _key: True),
            network=self.network,
            log=self.log,
            on_catchup=self.sync.claimed,
            on_evidence=lambda _first, _second: None,
            clock=lambda: consortium.now,
        )
        self.driver.start()

    def asked(self) -> list[tuple[str, int]]:
        """(peer, first height) of each request for blocks."""
        found = []
        for peer, frame in self.network.sent:
            message = unpack(frame)
            if isinstance(message, GetBlocks):
                found.append((peer, message.start))
        return found


@pytest.fixture
def consortium() -> Consortium:
    made = Consortium("sync")
    for number in range(6):
        made.seal(made.submit("erp", record(f"D{number}")), made.party(f"p{number}"))
    return made


def reply(consortium: Consortium, start: int = 1, stop: int = 7, head: int = 6) -> Blocks:
    pairs = []
    for height in range(start, stop):
        certificate = consortium.ledger.certificate(height)
        assert certificate is not None
        pairs.append((consortium.ledger.block_bytes(height), certificate.encode()))
    return Blocks(start, head, tuple(pairs))


def run(scenario: Callable[[Late], Any], consortium: Consortium) -> Late:
    async def main() -> Late:
        late = Late(consortium)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late.sync.run)
            with trio.fail_after(20):
                await scenario(late)
            nursery.cancel_scope.cancel()
        return late

    return trio.run(main)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.sleep(0.01)


def test_a_late_node_asks_and_reaches_the_same_head(consortium: Consortium) -> None:
    async def scenario(late: Late) -> None:
        late.sync.claimed("erp", 6)
        await until(lambda: late.asked() == [("erp", 1)])
        await late.sync.take(late.driver, "erp", reply(consortium))

    late = run(scenario, consortium)
    assert late.ledger.head.digest == consortium.ledger.head.digest
    assert [head.hash for head in late.ledger.heads(6)] == [head.hash for head in consortium.ledger.heads(6)]


def test_a_reply_nobody_asked_for_changes_nothing(consortium: Consortium) -> None:
    async def scenario(late: Late) -> None:
        await late.sync.take(late.driver, "lender", reply(consortium))

    assert run(scenario, consortium).ledger.height == 0


def without_quorum(consortium: Consortium) -> Blocks:
    certificate = consortium.ledger.certificate(1)
    assert certificate is not None
    few = replace(certificate, signatures=certificate.signatures[:2])
    return Blocks(1, 6, ((consortium.ledger.block_bytes(1), few.encode()),))


def false_body(consortium: Consortium) -> Blocks:
    """A genuine header and certificate over a body that the header does not commit to."""
    block, certificate = consortium.ledger.block(1), consortium.ledger.certificate(1)
    assert certificate is not None
    hollow = Block(block.header, block.parent_certificate, (), ())
    return Blocks(1, 6, ((hollow.encoded, certificate.encode()),))


def gap(consortium: Consortium) -> Blocks:
    return reply(consortium, start=2)


def other_network(consortium: Consortium) -> Blocks:
    del consortium
    other = Consortium("other")
    other.seal(other.party("p0"))
    return reply(other, 1, 2)


def forged_header(consortium: Consortium) -> Blocks:
    block, certificate = consortium.ledger.block(1), consortium.ledger.certificate(1)
    assert certificate is not None
    header = replace(block.header, state_root=ZERO_HASH)
    forged = Block(header, block.parent_certificate, block.member_txs, block.consortium_txs)
    return Blocks(1, 6, ((forged.encoded, certificate.encode()),))


@pytest.mark.parametrize("lie", [without_quorum, false_body, gap, other_network, forged_header])
def test_a_liar_is_dropped_and_an_honest_peer_is_asked(
    consortium: Consortium, lie: Callable[[Consortium], Blocks]
) -> None:
    async def scenario(late: Late) -> None:
        late.sync.claimed("erp", 6)
        await until(lambda: late.asked() == [("erp", 1)])
        await late.sync.take(late.driver, "erp", lie(consortium))
        assert late.ledger.height == 0
        late.sync.claimed("lender", 6)
        await until(lambda: ("lender", 1) in late.asked())
        await late.sync.take(late.driver, "lender", reply(consortium))

    assert run(scenario, consortium).ledger.head.digest == consortium.ledger.head.digest


@pytest.mark.slow
def test_a_peer_that_does_not_answer_is_changed(consortium: Consortium) -> None:
    async def scenario(late: Late) -> None:
        late.sync.claimed("erp", 6)
        await until(lambda: late.asked() == [("erp", 1)])
        late.sync.claimed("lender", 6)
        await until(lambda: ("lender", 1) in late.asked())

    assert run(scenario, consortium).ledger.height == 0


@pytest.mark.slow
def test_a_late_answer_counts_and_its_head_is_the_next_claim(consortium: Consortium) -> None:
    """A moving head is followed request by request, without waiting for a STATUS."""

    async def scenario(late: Late) -> None:
        late.sync.claimed("erp", 2)
        await until(lambda: late.asked() == [("erp", 1)])
        late.sync.claimed("lender", 2)
        await until(lambda: late.asked()[-1] == ("lender", 1))
        await late.sync.take(late.driver, "erp", reply(consortium, 1, 3))
        await until(lambda: late.asked()[-1] == ("erp", 3))
        await late.sync.take(late.driver, "erp", reply(consortium, 3))

    assert run(scenario, consortium).ledger.height == 6


def test_answers_are_contiguous_and_bounded(consortium: Consortium) -> None:
    sent: list[bytes] = []

    def send(_peer: str, data: bytes) -> bool:
        sent.append(data)
        return True

    sync = BlockSync(consortium.ledger, send, NodeLog())
    for start in (1, 4, 7):
        sync.answer("late", GetBlocks(start))
    found = [unpack(data) for data in sent]
    assert [len(message.blocks) for message in found if isinstance(message, Blocks)] == [6, 3, 0]
    assert found[0] == reply(consortium)
