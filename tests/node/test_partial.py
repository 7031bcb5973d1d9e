"""Partial observers against nodes that serve them: the truth arrives whatever liars, withholders and refusers do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.testing

from chain.block import Block, Header
from chain.codec import decode, encode
from chain.partial import PartialLedger
from chain.partial_run import ContradictionError
from chain.parts import ChainBlock, Part, part_of
from chain.store import MemoryStore
from node import exchange
from node.membership import Membership
from node.partial import serving
from node.partial.follower import Follower
from node.partial.messages import (
    MAX_HINTS,
    MAX_KEYS,
    Answer,
    Chain,
    GetChain,
    GetParts,
    GetWitness,
    PartRefused,
    Parts,
    Values,
    Wanted,
    Witness,
    pack,
)
from node.partial.registry import Registry
from node.partial.serving import PartServer
from node.threads import Newest
from tests.chain.chain_builder import Consortium, record, record_key
from tests.network_harness import MemoryLog
from tests.partial_bench import measure

Twist = Callable[[Answer], Answer | None]
"""What a node does to an answer before it sends it: nothing, a lie, or silence (None)."""


class Net:
    """Nodes that serve one ledger, and a follower of some of its chains, joined by function calls."""

    def __init__(
        self, full: Consortium, twists: dict[str, Twist], follow: tuple[str, ...] = ("erp",), first: int = 0
    ) -> None:
        self.full = full
        self.newest = Newest(full.ledger.view())
        self.ledger = PartialLedger.create(MemoryStore(), full.document, follow)
        self.log = MemoryLog()
        self.follower = Follower(self.ledger, self._ask, self.log, answer_s=0.3, again_s=0.2, pace_s=0, first=first)
        self.opened: set[tuple[str, str]] | None = None
        """(node, chain) pairs that are served; None: all."""
        self.twists = twists
        self.busy = False
        self.frames: list[bytes] = []
        self.questions: list[tuple[str, Any]] = []
        self.servers = {name: self._server(name) for name in twists}

    def _server(self, name: str) -> PartServer:
        def may_follow(_member: str, chain: str) -> bool:
            return self.opened is None or (name, chain) in self.opened

        return PartServer(
            self.newest,
            lambda _member, frame: self._answer(name, frame),
            may_follow=may_follow,
            is_busy=lambda: self.busy,
        )

    def _ask(self, member: str, frame: bytes) -> bool:
        question: Any = exchange.unpack(frame)
        self.questions.append((member, question))
        self.servers[member].take("observer", question)
        return True

    def _answer(self, name: str, frame: bytes) -> bool:
        self.frames.append(frame)
        answer: Any = exchange.unpack(frame)
        twisted = self.twists[name](answer)
        if twisted is not None:
            self.follower.take(name, twisted)
        return True

    def seal(self, *transactions: Any) -> None:
        self.full.seal(*transactions)
        self.newest.publish(self.full.ledger.view())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            for name, server in self.servers.items():
                nursery.start_soon(server.run)
                self.follower.connected(name)
            nursery.start_soon(self.follower.run)
            yield
            nursery.cancel_scope.cancel()

    async def caught_up(self) -> None:
        with trio.fail_after(20):
            while self.ledger.height < self.full.ledger.height or any(
                self.ledger.pending(chain) is not None for chain in self.ledger.follow
            ):
                await trio.sleep(0.005)


def honest(answer: Answer) -> Answer:
    return answer


@pytest.fixture
def full() -> Consortium:
    consortium = Consortium()
    consortium.seal(consortium.party("kestrel"), consortium.submit("erp", record("1"), record("2")))
    consortium.seal(consortium.submit("guarantor", record("1")))
    consortium.seal(consortium.submit("erp", record("3")))
    return consortium


def run(scenario: Callable[[], Any]) -> None:
    trio.run(scenario)


def test_it_catches_up_and_stays_up(full: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HOLD_S", 0.5)
    net = Net(full, {"lender": honest})

    async def scenario() -> None:
        async with net.running():
            await net.caught_up()
            for number in range(4, 10):
                net.seal(full.submit("erp", record(str(number))))
                await net.caught_up()
                net.seal()
                await net.caught_up()

    run(scenario)
    assert net.ledger.tree("erp").root == full.ledger.tree("erp").root
    assert net.ledger.state("erp", record_key("9")) is not None
    assert not net.follower.faults
    chains = [question for _, question in net.questions if isinstance(question, GetChain)]
    witnesses = [question for _, question in net.questions if isinstance(question, GetWitness)]
    assert len(chains) == 7, "a block without transactions of the chain costs no question about it"
    assert len(witnesses) <= 6, "what the block before read is proven along with the next block"


def test_no_frame_holds_a_word_of_another_chain(full: Consortium) -> None:
    full.seal(
        full.submit("guarantor", record("9", item="canary-7f3a")), full.submit("erp", record("9", item="own-7f3a"))
    )
    net = Net(full, {"lender": honest, "guarantor": honest})

    async def scenario() -> None:
        async with net.running():
            await net.caught_up()

    run(scenario)
    sent = b"".join(net.frames)
    assert b"own-7f3a" in sent
    assert b"canary-7f3a" not in sent


def test_every_chain_starts_once_a_node_is_there(full: Consortium) -> None:
    net = Net(full, {"lender": honest}, follow=("erp", "guarantor"))

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(net.follower.run)
            nursery.start_soon(net.servers["lender"].run)
            await trio.testing.wait_all_tasks_blocked()
            net.follower.connected("lender")
            await net.caught_up()
            nursery.cancel_scope.cancel()

    run(scenario)
    assert net.ledger.tree("guarantor").root == full.ledger.tree("guarantor").root


# -- liars --------------------------------------------------------------------------------------------------


def altered_part(answer: Answer) -> Answer:
    if isinstance(answer, Parts) and answer.parts:
        part = Part.decode(answer.parts[0])
        return replace(answer, parts=(replace(part, receipts=(b"\x90",) * len(part.receipts)).encode(),))
    return answer


def wrong_head(answer: Answer) -> Answer:
    if isinstance(answer, Parts) and answer.parts:
        part = Part.decode(answer.parts[0])
        return replace(answer, parts=(replace(part, heads=()).encode(),))
    return answer


def forged_certificate(answer: Answer) -> Answer:
    if isinstance(answer, Parts) and answer.parts:
        part = Part.decode(answer.parts[0])
        value = decode(part.certificate)
        value[6] = value[6][:1] * len(value[6])  # one signer, three times
        return replace(answer, parts=(replace(part, certificate=encode(value)).encode(),))
    return answer


def no_part_at_all(answer: Answer) -> Answer:
    return replace(answer, parts=(b"\x90",)) if isinstance(answer, Parts) else answer


def altered_transaction(answer: Answer) -> Answer:
    if isinstance(answer, Chain):
        blocks = [ChainBlock.decode(block) for block, _ in answer.blocks]
        lies = [
            replace(block, transactions=(*block.transactions[:-1], block.transactions[-1][:-1] + b"\x00")).encode()
            for block in blocks
        ]
        return replace(answer, blocks=tuple((block, Values([], ())) for block in lies))
    return answer


def omitted_transaction(answer: Answer) -> Answer:
    if isinstance(answer, Chain):
        blocks = [replace(ChainBlock.decode(block), transactions=()).encode() for block, _ in answer.blocks]
        return replace(answer, blocks=tuple((block, Values([], ())) for block in blocks))
    return answer


def skipped_block(answer: Answer) -> Answer:
    return replace(answer, blocks=answer.blocks[1:]) if isinstance(answer, Chain) else answer


def wrong_witness(answer: Answer) -> Answer:
    if isinstance(answer, Witness):
        values = answer.values
        return replace(answer, values=replace(values, values=tuple(b"\x80" for _ in values.values)))
    return answer


def witness_of_another_tree(answer: Answer) -> Answer:
    if isinstance(answer, Witness):
        return replace(answer, values=replace(answer.values, opening=[b""]))
    return answer


ABOUT_HEADERS = (altered_part, wrong_head, forged_certificate, no_part_at_all)
LIARS: dict[Twist, str] = {
    altered_part: "WRONG_RECEIPTS",
    wrong_head: "WRONG_HEADS",
    forged_certificate: "WRONG_CERTIFICATE",
    no_part_at_all: "MALFORMED",
    altered_transaction: "WRONG_TRANSACTIONS",
    omitted_transaction: "WRONG_TRANSACTIONS",
    skipped_block: "WRONG_BLOCK",
    wrong_witness: "WRONG_WITNESS",
    witness_of_another_tree: "WRONG_WITNESS",
}


@pytest.mark.parametrize("lie", LIARS, ids=lambda lie: lie.__name__)
def test_a_liar_is_named_and_another_node_asked(full: Consortium, lie: Twist) -> None:
    net = Net(full, {"lender": lie, "guarantor": honest}, first=0 if lie in ABOUT_HEADERS else 1)

    async def scenario() -> None:
        async with net.running():
            await net.caught_up()

    run(scenario)
    assert net.ledger.tree("erp").root == full.ledger.tree("erp").root
    assert net.follower.faults == {"lender": {LIARS[lie]: 1}}, "shunned after the first lie"
    assert ("a node sent what does not stand") in [event for event, _ in net.log.lines]


def test_a_lone_liar_gets_nowhere_and_is_asked_slowly(full: Consortium) -> None:
    net = Net(full, {"lender": altered_part})

    async def scenario() -> None:
        async with net.running():
            await trio.sleep(0.6)

    run(scenario)
    assert net.ledger.height == 0
    assert 1 <= sum(net.follower.faults["lender"].values()) <= 2


def test_one_that_withholds_blocks_costs_its_turn_only(full: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HOLD_S", 0.3)

    def nothing_new(answer: Answer) -> Answer:
        return replace(answer, head=0, parts=()) if isinstance(answer, Parts) else answer

    net = Net(full, {"lender": nothing_new, "guarantor": honest})

    async def scenario() -> None:
        async with net.running():
            await net.caught_up()

    run(scenario)
    assert net.ledger.height == full.ledger.height


def test_one_that_is_silent_gives_its_turn_away(full: Consortium) -> None:
    net = Net(full, {"lender": lambda _answer: None, "guarantor": honest})
    net.follower = Follower(net.ledger, net._ask, net.log, answer_s=0.05, hold_s=0.05, pace_s=0)

    async def scenario() -> None:
        async with net.running():
            await net.caught_up()

    run(scenario)
    assert net.ledger.height == full.ledger.height


def test_what_a_quorum_certified_and_cannot_be_ends_everything(full: Consortium) -> None:
    """Only more faulty validators than the network bears can make it; then nothing here may be trusted further."""
    true = part_of(full.ledger, 2)
    header = replace(Header.decode(true.header), parent_hash=bytes(32))
    seal = full.certify(Block(header, None, (), ()))
    forged = replace(true, header=header.encoded, certificate=seal.encode()).encode()

    def fork(answer: Answer) -> Answer:
        if isinstance(answer, Parts) and len(answer.parts) > 1:
            return replace(answer, parts=(answer.parts[0], forged))
        return answer

    net = Net(full, {"lender": fork})

    async def scenario() -> None:
        async with net.running():
            await trio.sleep(5)

    with pytest.raises(ExceptionGroup) as failure:
        run(scenario)
    found = failure.value.subgroup(ContradictionError)
    assert found is not None
    assert "FORKED" in str(leaf(found))
    assert net.ledger.height == 1


def leaf(group: BaseException) -> BaseException:
    return leaf(group.exceptions[0]) if isinstance(group, BaseExceptionGroup) else group


def test_the_registry_is_followed_by_witnesses(full: Consortium) -> None:
    net = Net(full, {"lender": honest})
    registry = Registry(net.ledger, net.follower)
    members = Membership(
        registry.shared, lambda: net.ledger.height,
        chains=lambda: net.ledger.chains, own_key=bytes(32), addresses={}, early_keys={},
    )  # fmt: skip
    old, new = full.key("guarantor", "network").public, full.key("guarantor", "next").public
    assert members.peers["guarantor"].keys == (old,)

    async def scenario() -> None:
        async with net.running(), trio.open_nursery() as nursery:
            nursery.start_soon(registry.run)
            await net.caught_up()
            net.seal(full.call("guarantor", "registry.rotate_key", old=old, new=new))
            with trio.fail_after(5):
                while members.peers["guarantor"].keys != (new,):
                    await trio.sleep(0.01)
                    members.refresh()
            nursery.cancel_scope.cancel()

    run(scenario)
    assert PartialLedger(net.ledger.store, full.network_id, ("erp",)).registry == net.ledger.registry


# -- permission and cost ------------------------------------------------------------------------------------


def test_a_chain_that_is_not_opened_is_refused_and_the_rest_goes_on(full: Consortium) -> None:
    net = Net(full, {"lender": honest}, follow=("erp", "guarantor"))
    net.opened = {("lender", "erp")}

    async def scenario() -> None:
        async with net.running():
            with trio.fail_after(10):
                while net.ledger.executed("erp").own < 2 or "guarantor" not in net.follower.refused:
                    await trio.sleep(0.01)
            assert net.follower.refused == {"guarantor": "NOT_OPENED"}
            assert net.ledger.executed_up_to("guarantor") == 1
            net.opened = None
            await net.caught_up()

    run(scenario)
    assert not net.follower.refused
    assert net.ledger.tree("guarantor").root == full.ledger.tree("guarantor").root


class Pruned:
    """What nodes that have pruned do: they give witnesses from a height on."""

    def __init__(self, kept_from: int) -> None:
        self.kept_from = kept_from
        self.net: Net | None = None

    def __call__(self, answer: Answer) -> Answer:
        assert self.net is not None
        asked = next(question for _, question in self.net.questions if question.number == answer.number)
        if isinstance(asked, GetWitness) and asked.height < self.kept_from:
            return PartRefused(answer.number, "NOT_KEPT", "pruned")
        return answer


def test_what_no_node_keeps_any_more_is_said_and_taken_once_one_does(full: Consortium) -> None:
    pruned = Pruned(99)
    net = pruned.net = Net(full, {"lender": pruned, "guarantor": pruned})

    async def scenario() -> None:
        async with net.running():
            with trio.fail_after(10):
                while net.follower.refused != {"erp": "NOT_KEPT"}:
                    await trio.sleep(0.01)
            before = len(net.questions)
            await trio.sleep(1)
            witnesses = [question for _, question in net.questions[before:] if isinstance(question, GetWitness)]
            assert len(witnesses) < 10, "not again and again"
            pruned.kept_from = 0
            await net.caught_up()

    run(scenario)
    assert not net.follower.refused


def test_the_registry_is_read_at_a_newer_block_where_the_older_is_pruned(full: Consortium) -> None:
    pruned = Pruned(full.ledger.height + 1)
    net = pruned.net = Net(full, {"lender": pruned})
    registry = Registry(net.ledger, net.follower)
    old, new = full.key("guarantor", "network").public, full.key("guarantor", "next").public

    async def scenario() -> None:
        async with net.running(), trio.open_nursery() as nursery:
            with trio.fail_after(5):
                while net.ledger.height < full.ledger.height:
                    await trio.sleep(0.01)
            nursery.start_soon(registry.run)
            await trio.sleep(0.2)
            net.seal(full.call("guarantor", "registry.rotate_key", old=old, new=new))
            with trio.fail_after(5):
                while registry.shared(encode(["registry", "key", new])) is None:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    run(scenario)


def asked(net: Net, *questions: Any, busy: bool = False) -> list[Answer]:
    """What one serving node answers a member."""
    answers: list[Any] = []

    def keep(_member: str, frame: bytes) -> bool:
        answers.append(exchange.unpack(frame))
        return True

    server = PartServer(
        net.newest,
        keep,
        may_follow=lambda _member, chain: chain == "erp",
        is_busy=lambda: busy,
    )

    async def scenario() -> None:
        for question in questions:
            server.take("observer", question)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            with trio.move_on_after(5):
                while len(answers) + server.dropped < len(questions):
                    await trio.sleep(0.005)
            nursery.cancel_scope.cancel()

    run(scenario)
    return answers


def test_refusals_are_typed(full: Consortium) -> None:
    net = Net(full, {"lender": honest})
    key = Wanted(encode(["registry", "members"]), b"")
    refusals = asked(
        net,
        GetChain(1, "guarantor", 1, ()),
        GetWitness(2, 99, (key,)),
        GetWitness(3, 1, ()),
        GetChain(4, "erp", 9, ()),
    )
    codes = [answer.code if isinstance(answer, PartRefused) else "" for answer in refusals]
    assert codes == ["NOT_OPENED", "NOT_KEPT", "NO_KEYS", ""]
    assert refusals[3] == Chain(4, ())


def test_a_member_that_asks_too_much_at_once_is_not_answered(full: Consortium) -> None:
    net = Net(full, {"lender": honest})
    answers = asked(net, *(GetParts(number, 1) for number in range(30)))
    assert len(answers) == serving.MAX_WAITING


def test_a_view_that_was_let_go_meanwhile_is_a_refusal(full: Consortium) -> None:
    net = Net(full, {"lender": honest})
    net.newest.view.close()
    [answer] = asked(net, GetParts(1, 1))
    assert isinstance(answer, PartRefused)
    assert answer.code == "TRY_AGAIN"


def test_serving_rests_while_the_node_has_work(full: Consortium) -> None:
    net = Net(full, {"lender": honest})
    wanted = tuple(Wanted(encode(["registry", "key", bytes([n]) * 32]), b"") for n in range(100))
    spent: list[float] = []

    async def scenario() -> None:
        server = PartServer(
            net.newest, lambda _member, _frame: True, may_follow=lambda *_: True, is_busy=lambda: True
        )
        for number in range(serving.MAX_WAITING):
            server.take("observer", GetWitness(number, 2, wanted))
        with trio.move_on_after(0.3):
            await server.run()
        spent.append(server.seconds)

    run(scenario)
    assert spent[0] < 0.3 * 3 * serving.BUSY_SHARE, "a flood of questions has its share of the loop and no more"


def test_what_it_costs_stays_small() -> None:
    """A small instance of ``python -m tests.partial_bench``."""
    found = measure(40)
    assert found["header_bytes_synced"] < 220
    assert found["compact_receipt_bytes"] < 1_000
    assert found["part_bytes_of_an_idle_block"] < 800
    assert found["witness_keys_of_a_block"] < 12


@pytest.mark.parametrize(
    "question",
    [
        ["tally/get_parts", 1, 1, -1],
        ["tally/get_parts", 1, "1", 1],
        ["tally/get_parts", 2, 1, 1],
        ["tally/get_chain", 1, 1, 7, 1, []],
        ["tally/get_chain", 1, 1, "erp", 1, [[b"k", b""]] * (MAX_HINTS + 1)],
        ["tally/get_witness", 1, 1, 1, [[b"k", b""]] * (MAX_KEYS + 1)],
        ["tally/get_witness", 1, 1, 1, [[b"k" * 5000, b""]]],
        ["tally/get_witness", 1, 1, 1, [[b"k", b"short"]]],
        ["tally/parts", 1, 1, 1, b"", [b""] * 65],
        ["tally/chain", 1, 1, [[b"block", b"", []]]],
        ["tally/witness", 1, 1, [], [7]],
        ["tally/part_refused", 1, 1, "CODE", "x" * 1000],
    ],
    ids=lambda question: str(question)[:40],
)
def test_what_is_no_message_of_this_part_is_refused(question: list[Any]) -> None:
    with pytest.raises(exchange.ExchangeError):
        exchange.unpack(encode(question))


def test_messages_come_back_as_they_were_sent() -> None:
    wanted = (Wanted(b"k", b""), Wanted(b"l", bytes(32)))
    values = Values([[None, bytes(32), bytes(32), bytes(32)], b""], (b"v", None))
    for message in (
        GetParts(1, 2), GetChain(1, "erp", 3, wanted), GetWitness(4, 5, wanted), Parts(1, 2, b"c", (b"p",)),
        Chain(1, ((b"block", values), (b"block", Values([], ())))), Witness(2, values), PartRefused(3, "CODE", "why"),
    ):  # fmt: skip
        assert exchange.unpack(pack(message)) == message
