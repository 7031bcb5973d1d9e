"""Four real processes under load, killed with SIGKILL again and again: nothing lost, nothing twice, votes again soon.

The numbers of the issue are asserted as they stand; what was measured, and on what, is in docs/faults.md
(`pytest -s` prints it).
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from chain.block import CONSORTIUM
from chain.codec import encode
from chain.ledger import Ledger
from node.bench import ENTERPRISES
from tests.live_network import MEMBERS, READY_S, Live, Load, wait

pytestmark = pytest.mark.slow

KILLS = 20
RATE = 150.0
"""Signed transactions a second, from the test's own process on the same cores."""
VOTES_AGAIN_S = 5.0
NEXT_BLOCK_S = 3.0
SEED = 20_261_124


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("kills")) as network:
        network.start()
        yield network


def kill_and_restart(live: Live, victim: str) -> float:
    """Seconds from the start of the killed node's new process until it voted on a block undecided at that start."""
    live.nodes.kill(victim)
    others = [member for member in MEMBERS if member != victim]
    height = live.height(*others)
    began = time.monotonic()
    live.nodes.start(victim)

    def votes() -> bool:
        assert live.node(victim).running, f"{victim} does not start again: {live.node(victim).last_words()}"
        status = live.node(victim).status(1.0)
        return status is not None and status["voted_height"] > height

    wait(votes, f"{victim} votes again", READY_S, 0.02)
    return time.monotonic() - began


def records_in_state(ledger: Ledger, chain: str) -> int:
    """Records sealed on a chain, by the running sums of each enterprise."""
    entries = (ledger.state(chain, encode(["records", "sums", f"BENCH:{number}"])) for number in range(ENTERPRISES))
    return sum(entry["total"][0] for entry in entries if entry is not None)


def check_ledgers(live: Live, load: Load) -> None:
    """What is on the four disks against what the clients were told."""
    with ExitStack() as stack:
        ledgers = {member: stack.enter_context(live.ledger_of(member)) for member in MEMBERS}
        assert len({(ledger.height, ledger.head.digest) for ledger in ledgers.values()}) == 1
        first = ledgers[MEMBERS[0]]
        applied: dict[str, tuple[int, int]] = {}
        sealed: Counter[str] = Counter()
        for height in range(1, first.height + 1):
            assert len({ledger.block_bytes(height) for ledger in ledgers.values()}) == 1, height
            receipts = first.receipts(height)
            assert all(ledger.receipts(height) == receipts for ledger in ledgers.values()), height
            for chain, listed in receipts.items():
                for receipt in listed[1:] if chain == CONSORTIUM else listed:
                    assert receipt.tx_id.hex() not in applied, f"{receipt.tx_id.hex()} stands in two blocks"
                    applied[receipt.tx_id.hex()] = (height, receipt.status)
                    sealed[chain] += receipt.status == 0
        lost = [tx_id for tx_id, told in load.told.items() if applied.get(tx_id) != (told.height, told.status)]
        assert lost == []
        for tx_id in load.told:
            places = {ledger.locate(bytes.fromhex(tx_id)) for ledger in ledgers.values()}
            assert len(places) == 1, f"{tx_id} stands at {places}"
        for chain in MEMBERS:
            assert {records_in_state(ledger, chain) for ledger in ledgers.values()} == {sealed[chain]}


def test_a_killed_leader_costs_less_than_three_seconds(live: Live) -> None:
    """On a quiet network: the leader of the next height is killed, then a transaction comes."""
    seconds = []
    for _ in range(len(MEMBERS)):
        height = live.level() + 1
        leader = MEMBERS[height % len(MEMBERS)]
        other = MEMBERS[(height + 2) % len(MEMBERS)]
        live.nodes.kill(leader)
        began = time.monotonic()
        state = live.commit(other)
        seconds.append(time.monotonic() - began)
        assert state["height"] == height
        live.start(leader)
    print(f"\nleader killed, next block after: {', '.join(f'{value:.2f}' for value in seconds)} s")
    assert max(seconds) <= NEXT_BLOCK_S


def test_twenty_kills_under_load(live: Live) -> None:
    """0 acknowledged transactions lost, 0 applied twice, votes again within 5 s, one ledger at the end.

    After the twenty, all four at once: nobody is left to ask for what was decided.
    """
    choose = random.Random(SEED)
    again, gaps = [], []
    with Load(live, RATE) as load:
        wait(lambda: len(load.sent.keys() & load.told.keys()) > RATE, "the load is being committed")
        for _ in range(KILLS):
            time.sleep(choose.uniform(0.1, 0.8))
            killed = time.monotonic()
            again.append(kill_and_restart(live, choose.choice(MEMBERS)))
            gaps.append(load.longest_gap(killed, time.monotonic()))
        for member in MEMBERS:  # and all of them at once
            live.nodes.kill(member)
        live.nodes.start()
        load.drain()
    live.level(within_s=READY_S)
    assert all(live.status(member)["evidence"] == 0 for member in MEMBERS)
    live.nodes.stop()
    check_ledgers(live, load)
    print(
        f"\n{KILLS} kills, {len(load.sent)} transactions, all acknowledged,"
        f" {len(load.arrivals)} blocks; votes again after {statistics.median(again):.2f} s (median),"
        f" {max(again):.2f} s (worst); longest time without a block {statistics.median(gaps):.2f} s (median),"
        f" {max(gaps):.2f} s (worst)"
    )
    assert load.contradictions == []
    assert load.rejected == {}
    assert load.sent.keys() <= load.told.keys()
    assert max(again) <= VOTES_AGAIN_S
