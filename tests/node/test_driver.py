"""The driver's own judgements: when agreement is told that something waits, and what goes into a proposal."""

from __future__ import annotations

from typing import Any, cast

import pytest

from chain.block import Block
from chain.transaction import Transaction
from consensus import events as ev
from consensus.core import Core
from contracts import book, lines
from contracts.errors import ContractError
from node.driver import LEAST_WORK, Driver
from node.mempool import Mempool, PoolLimits
from tests.chain.chain_builder import Consortium, record
from tests.node.test_sync import NodeLog, Quiet

WINDOW_MS = 3_600_000


class Recorder:
    """In the core's place: keeps what it is told, asks for what a test wants."""

    def __init__(self) -> None:
        self.told: list[ev.Event] = []

    def step(self, event: ev.Event) -> list[ev.Effect]:
        self.told.append(event)
        return [ev.BuildBlock(1, 0)] if isinstance(event, ev.TimerFired) else []


class Setting:
    """A driver over a real ledger and pool, with a recorder for a core."""

    def __init__(self, consortium: Consortium) -> None:
        self.core = Recorder()
        self.pool = Mempool(consortium.ledger, PoolLimits(), lambda _key: True)
        self.driver = Driver(
            member="erp",
            core=cast(Core, self.core),
            ledger=consortium.ledger,
            signer=None,
            mempool=self.pool,
            network=Quiet(),
            log=NodeLog(),
            on_catchup=lambda _peer, _height: None,
            on_evidence=lambda _first, _second: None,
            clock=lambda: consortium.now + 5_000,
        )

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.core.told if isinstance(event, kind)]

    def proposal(self) -> Block:
        """What the driver builds when the core asks."""
        self.driver.feed(ev.TimerFired(ev.Timer.PROPOSE, 1, 0))
        block = self.told(ev.BlockBuilt)[-1].block
        assert isinstance(block, Block)
        return block


@pytest.fixture
def consortium() -> Consortium:
    return Consortium("driver")


def test_an_includable_transaction_is_pending_and_told_once_a_height(consortium: Consortium) -> None:
    setting = Setting(consortium)
    for number in range(3):
        assert setting.driver.submit(consortium.party(f"p{number}").wire).state == "accepted"
    assert len(setting.told(ev.TransactionPending)) == 1


def test_what_no_block_may_hold_yet_is_not_pending(consortium: Consortium) -> None:
    """R6: otherwise a leader whose clock is behind would make empty blocks as fast as it can."""
    setting = Setting(consortium)
    far = consortium.make(
        "consortium", "notary.preserve", {}, [consortium.signer("erp")],
        valid_until=consortium.now + WINDOW_MS + 60_000,
    )  # fmt: skip
    assert setting.pool.submit(far.wire, consortium.now + 120_000).state == "accepted"
    setting.driver.start()
    assert setting.told(ev.Start)[0].pending is False
    setting.pool.submit(consortium.party("p1").wire, consortium.now)
    setting.driver.start()
    assert setting.told(ev.Start)[1].pending is True


def test_work_that_a_hook_left_over_is_pending_until_it_is_done(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise what a flood of papers left behind would wait for max_idle, block after block."""

    def pending() -> bool:
        setting = Setting(consortium)
        setting.driver.start()
        (start,) = setting.told(ev.Start)
        return bool(start.pending)

    monkeypatch.setattr(book, "PAPERS_PER_BLOCK", 1)
    absurd = [record(f"D-{number}", quantity="99999999") for number in range(4)]  # each raises an alert
    consortium.seal(consortium.submit("erp", *absurd))
    waits = [pending()]
    while waits[-1]:
        consortium.seal()
        waits.append(pending())
    assert 2 <= len(waits) <= 4  # at most two papers a block: the first share of each chain, then what is left
    assert waits == [True] * (len(waits) - 1) + [False]


def test_a_hook_that_fails_is_no_reason_for_blocks_as_fast_as_can_be(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "PAPERS_PER_BLOCK", 1)
    consortium.seal(consortium.submit("erp", *(record(f"D-{n}", quantity="99999999") for n in range(4))))

    def fail(*_arguments: Any) -> None:
        raise ContractError("BROKEN", "this hook cannot go on")

    setting = Setting(consortium)
    monkeypatch.setattr(lines, "continue_closing", fail)
    block, outcome = consortium.build()
    assert outcome.executions["consortium"].receipts[0].status == 1
    setting.driver._decide(block, consortium.certify(block))
    assert [told.pending for told in setting.driver._queue if isinstance(told, ev.Committed)] == [False]


def test_a_proposal_holds_what_waits_oldest_first_and_leaves_out_what_it_may_not(consortium: Consortium) -> None:
    setting = Setting(consortium)
    far = consortium.make(
        "consortium", "notary.preserve", {}, [consortium.signer("erp")],
        valid_until=consortium.now + WINDOW_MS + 60_000,
    )  # fmt: skip
    setting.pool.submit(far.wire, consortium.now + 120_000)
    sent: list[Transaction] = [consortium.party(f"p{number}") for number in range(4)]
    for transaction in sent:
        setting.driver.submit(transaction.wire)
    block = setting.proposal()
    assert block.consortium_txs == tuple(transaction.wire for transaction in sent)
    consortium.ledger.execute(block)  # and it is valid


def test_a_proposal_is_bounded_by_what_it_takes_to_execute(consortium: Consortium) -> None:
    setting = Setting(consortium)
    setting.driver._seconds_per_unit = 1.0  # a machine a thousand times slower than any
    for number in range(2 * LEAST_WORK):
        setting.driver.submit(consortium.submit("erp", record(f"D{number}")).wire)
    assert setting.proposal().tx_count == LEAST_WORK // 2  # a transaction and its record are two units
