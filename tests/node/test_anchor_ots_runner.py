"""Stamps through the runner and its journal: killed at every exchange and every write, none is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import node.anchor_journal
import node.anchor_line
import node.bitcoin_rpc
import node.ots_calendar
from chain.anchor import Trusted, verify_anchor
from chain.crypto import sha256
from node.anchor_backend import State
from node.anchor_ots import FILE_NAME, HEADERS_NAME, OtsBackend
from node.anchoring import Anchorer
from node.bitcoin_rpc import source
from tests import ots_kills
from tests.anchor_bench import NETWORK, Bench, Loop
from tests.bitcoin_chain import BitcoinChain, BitcoinServer
from tests.ots_calendar_server import Calendar

PLACES = ("exchange before", "exchange after", "write before", "write after")
MOST = 40


class Crash(BaseException):
    """The process dies here."""


class Outside:
    """A Bitcoin chain, its server and a calendar."""

    def __init__(self) -> None:
        self.chain = BitcoinChain()
        self.chain.mine(count=3)
        self.server = BitcoinServer(self.chain)
        self.calendar = Calendar(self.chain)

    def close(self) -> None:
        self.server.close()
        self.calendar.close()

    def stamp(self) -> None:
        """Put what the calendar has into a block, and enough others on top."""
        if self.calendar.known and not self.calendar.stamped:
            self.calendar.stamp()
            self.chain.mine(count=5)

    def runner(self, bench: Bench) -> Anchorer:
        """A node that has just started."""
        return bench.runner(OtsBackend([self.calendar.url], [source(self.server.url)], NETWORK, poll_seconds=0))


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    yield made
    made.close()


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.stop()


@pytest.fixture
def bench(tmp_path: Path, loop: Loop) -> Iterator[Bench]:
    made = Bench(tmp_path, loop)
    yield made
    for anchorer in made.made:
        loop.run(anchorer.close)


def test_from_due_to_confirmed_and_exported(bench: Bench, outside: Outside) -> None:
    anchorer = outside.runner(bench)
    bench.rounds(anchorer)
    assert bench.job(name="ots").state is State.SENT
    outside.stamp()
    bench.rounds(anchorer, 2)
    _finished(bench, outside)
    folder = bench.folder / "final/000000000008"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [HEADERS_NAME, "checkpoint.txt", FILE_NAME, "ots.json"]
    status = anchorer.status()
    assert status["note"] == "DEV-ANCHOR: proves nothing"
    assert status["problem"] is None
    document = bench.export(name="ots")
    trusted = Trusted(bitcoin_blocks={4: outside.chain.hash(4)}, development=True)
    assert document.verify(NETWORK, trusted).block == 4


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_every_step(bench: Bench, outside: Outside, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The first life ends at an exchange or write, the second goes on undisturbed; for each of them in turn."""
    for number in range(MOST):
        bench.confirmed.clear()
        for file in bench.folder.glob("*.journal"):
            file.unlink()
        outside.calendar.forget()
        outside.calendar.asked.clear()
        with monkeypatch.context() as patch:
            died = _die_at(patch, place, number)
            anchorer = outside.runner(bench)
            for _ in range(3):
                try:
                    bench.rounds(anchorer)
                except BaseException as error:
                    if not _is_crash(error):
                        raise
                    break
                outside.stamp()
        again = outside.runner(bench)
        for _ in range(3):
            bench.rounds(again)
            outside.stamp()
        _finished(bench, outside)
        if not died():
            assert number > 4
            return
    raise AssertionError(f"more than {MOST} steps")


@pytest.mark.slow
def test_processes_killed_with_a_signal() -> None:
    """A small instance of ``python -m tests.ots_kills``: every ninth step, once."""
    counts = ots_kills.run(1, every=9)
    assert counts["steps"] > 20
    assert counts["killed"] == -(-counts["steps"] // 9)


def _finished(bench: Bench, outside: Outside) -> None:
    """The range is confirmed, once, by a proof that holds; calendars have seen its digest and no other."""
    [claim] = bench.confirmed
    assert bench.job(name="ots") is None
    checkpoint = bench.export(name="ots").checkpoint
    trusted = Trusted(bitcoin_blocks={claim["block_number"]: claim["block_hash"]}, development=True)
    found = verify_anchor("ots", checkpoint, claim["proof"], trusted)
    assert found.time == claim["public_time"]
    assert outside.chain.hash(claim["block_number"]) == claim["block_hash"]
    assert set(outside.calendar.asked) == {sha256(checkpoint.body)}
    assert len(outside.calendar.asked) <= 2


def _is_crash(error: BaseException) -> bool:
    return isinstance(error, Crash) or (isinstance(error, BaseExceptionGroup) and bool(error.split(Crash)[0]))


def _die_at(patch: pytest.MonkeyPatch, place: str, number: int) -> Callable[[], bool]:
    """Make one exchange or one write the last thing that happens; whether it happened."""
    what, _, when = place.partition(" ")
    count = 0

    def dies() -> bool:
        nonlocal count
        count += 1
        return count == number + 1

    if what == "exchange":
        for module in (node.ots_calendar, node.bitcoin_rpc):
            _patch_exchange(patch, module, dies, when)
        return lambda: count > number

    def write(path: Path, content: bytes, _real: Any = node.anchor_journal.write_synced) -> None:
        dead = dies()
        if dead and when == "before":
            raise Crash
        _real(path, content)
        if dead:
            raise Crash

    for module in (node.anchor_journal, node.anchor_line):
        patch.setattr(module, "write_synced", write)
    return lambda: count > number


def _patch_exchange(patch: pytest.MonkeyPatch, module: Any, dies: Callable[[], bool], when: str) -> None:
    real = module.exchange

    async def exchange(*arguments: Any) -> Any:
        dead = dies()
        if dead and when == "before":
            raise Crash
        answer = await real(*arguments)
        if dead:
            raise Crash
        return answer

    patch.setattr(module, "exchange", exchange)
