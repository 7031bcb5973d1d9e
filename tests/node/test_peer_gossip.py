"""What a member sends as gossip must not stand in the way of votes, however much it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from genesis.dev import make_dev
from node import config as configuration
from node import logs
from node.exchange import GetBlocks, Transactions, pack
from node.mempool import Admission
from node.peer import ADMIT_AT_ONCE, MOST_GOSSIP, MOST_UNVOTED, Peer, load_keys
from node.processes import free_ports
from node.queues import Inbound


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """A founder and an observer; nothing of it runs."""
    made = make_dev(
        tmp_path_factory.mktemp("gossip") / "net",
        members=1,
        observers=("office",),
        parties=(),
        base_port=free_ports(4),
    )
    config = configuration.load(made.members[0].folder / "node.toml")
    passphrase = (made.directory / "passphrase").read_text().strip()
    found = Peer(config, load_keys(config, passphrase), passphrase, logs.configure("error", "text", None, "a"))
    yield found
    found.close()


def test_votes_have_their_turn_within_a_long_message(node: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def submit(_wire: bytes) -> Admission:
        if len(order) == ADMIT_AT_ONCE // 2:  # votes come while the message is worked on
            for count in range(40):
                node.network.inbound.put_vote("office", str(count).encode())
        order.append("transaction")
        return Admission(b"", "rejected")

    monkeypatch.setattr(node.driver, "submit", submit)
    monkeypatch.setattr(node.driver, "receive", lambda _member, frame: order.append(frame.decode()))
    trio.run(node._exchange, "office", pack(Transactions((b"x",) * 100)))
    assert order.count("transaction") == 100
    votes = [at for at, what in enumerate(order) if what != "transaction"]
    assert [order[at] for at in votes] == [str(count) for count in range(40)], "all, and in their order"
    assert votes[0] == ADMIT_AT_ONCE
    assert votes[-1] < 3 * ADMIT_AT_ONCE + len(votes), "with every few transactions as many votes"


def test_gossip_of_more_than_any_node_sends_is_not_looked_at(node: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    admitted: list[bytes] = []
    monkeypatch.setattr(node.driver, "submit", admitted.append)
    for wires in ((bytes(MOST_GOSSIP),), (bytes(MOST_GOSSIP // 2),) * 2):
        trio.run(node._exchange, "office", pack(Transactions(wires)))
    assert len(admitted) == 3
    before = node.driver.malformed
    trio.run(node._exchange, "office", pack(Transactions((bytes(300),) * (MOST_GOSSIP // 300 + 1))))
    assert len(admitted) == 3
    assert node.driver.malformed == before + 1


def test_one_without_a_vote_gets_old_blocks_at_a_pace(node: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(node.sync, "_send", lambda member, _frame: sent.append(member))

    async def ask() -> None:
        for _ in range(50):
            await node._exchange("office", pack(GetBlocks(1)))
            await node._exchange(node.member, pack(GetBlocks(1)))

    trio.run(ask)
    assert sent.count("office") == 1
    assert sent.count(node.member) == 50, "one with a vote that was away gets what it asks for"


def test_a_proposal_of_one_without_a_vote_is_not_read(node: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(node.driver, "receive", lambda member, _frame: read.append(member))
    before = node.driver.malformed
    for member in ("office", node.member):
        for size in (MOST_UNVOTED, MOST_UNVOTED + 1):
            node._take_urgent(Inbound(member, "votes", bytes(size)))
    assert read == ["office", node.member, node.member]
    assert node.driver.malformed == before + 1
