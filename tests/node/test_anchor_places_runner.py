"""Authorities and witnesses under the runner: beside each other, over crashes and outages, with what is confirmed."""

from __future__ import annotations

import inspect
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from chain.anchor import Anchor, Trusted, VerificationError, verify_anchor
from chain.checkpoint import Log
from chain.cosignature import origin_of
from chain.crypto import SigningKey, sha256
from node.anchor_asking import wall_clock
from node.anchor_backend import Backend, Job, State, Verdict
from node.anchor_line import Pace
from node.anchor_tsa import TsaBackend
from node.anchor_witness import WitnessBackend
from node.anchoring import Anchorer
from tests.anchor_bench import NETWORK, Bench, Loop
from tests.outside import LocalAuthority, LocalWitness

ORIGIN = origin_of(Log().checkpoint(NETWORK, 0))
MEMBERS = [SigningKey(sha256(b"member %d" % number)) for number in range(2)]
WITNESS_KEY = SigningKey(sha256(b"witness"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    loop = Loop()
    made = Bench(tmp_path / "first", loop)
    made.now = wall_clock()
    yield made
    for anchorer in made.made:
        loop.run(anchorer.close)
    loop.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[LocalAuthority]:
    with LocalAuthority(tmp_path / "authority") as service:
        yield service


@pytest.fixture
def witness() -> Iterator[LocalWitness]:
    with LocalWitness("witness.test/w1", WITNESS_KEY, {ORIGIN: [key.public for key in MEMBERS]}) as service:
        yield service


class Node:
    """One member's anchoring, in a folder of its own."""

    def __init__(self, bench: Bench, number: int, *make: Callable[[Bench, Log, int], Backend]) -> None:
        log = Log()
        self.backends = [each(bench, log, number) for each in make]
        folder = bench.folder.parent / f"member-{number}"
        self.folder = folder
        self.anchorer = Anchorer(
            self.backends, folder, NETWORK, bench.consortium(), log=log, pace=Pace(), now=lambda: bench.now
        )
        self.bench = bench
        bench.made.append(self.anchorer)

    def rounds(self, count: int = 1) -> None:
        for _ in range(count):
            self.bench.loop.run(self.anchorer.step)
            self.bench.now += 61_000
            self.bench.now = min(self.bench.now, wall_clock() + 250_000)

    def queue(self) -> list[tuple[str, int, str]]:
        return [(job["backend"], job["size"], job["state"]) for job in self.anchorer.status()["queue"]]

    def problem(self) -> str:
        return str(self.anchorer.status()["problem"])


def confirmed(bench: Bench) -> list[tuple[str, int]]:
    """Kind and size of each confirmation; the lines go beside each other, in no order."""
    return sorted((claim["backend"], claim["size"]) for claim in bench.confirmed)


def tsa(service: LocalAuthority) -> Callable[[Bench, Log, int], Backend]:
    return lambda bench, _log, _number: TsaBackend(
        "tsa", service.url, service.root.der, NETWORK, now=lambda: bench.now
    )


def cosigner(service: LocalWitness) -> Callable[[Bench, Log, int], Backend]:
    return lambda bench, log, number: WitnessBackend(
        "wit", service.url, service.name, service.key.public, NETWORK,
        log_key=MEMBERS[number], consistency=log.consistency, now=lambda: bench.now,
    )  # fmt: skip


def test_both_are_anchored_exported_confirmed_and_re_checked_by_others(
    bench: Bench, authority: LocalAuthority, witness: LocalWitness
) -> None:
    node = Node(bench, 0, tsa(authority), cosigner(witness))
    node.rounds(2)
    assert confirmed(bench) == [("rfc3161", 8), ("witness", 8)]
    assert node.queue() == []

    folder = node.folder / "final" / f"{8:012}"
    (folder / "root.pem").write_bytes(authority.root.pem)
    command = ["openssl", "ts", "-verify", "-data", "checkpoint.txt", "-in", "tsa.tsr", "-CAfile", "root.pem"]
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 0
    trusted = Trusted(tsa_roots=(authority.root.der,), witnesses={witness.name: witness.key.public}, development=True)
    for name in ("tsa", "wit"):
        document = exported(node, name)
        assert verify_anchor(document.kind, document.checkpoint, document.proof, trusted).development
        with pytest.raises(VerificationError):
            verify_anchor(document.kind, document.checkpoint, document.proof, Trusted())

    other = Node(bench, 1, tsa(authority), cosigner(witness))
    for claim in bench.confirmed:
        assert bench.loop.run(other.anchorer.check, claim).verdict is Verdict.MATCH
        wrong = {**claim, "public_time": claim["public_time"] + 1}
        assert bench.loop.run(other.anchorer.check, wrong).verdict is Verdict.MISMATCH


def exported(node: Node, name: str) -> Anchor:
    return Anchor.from_json(json.loads((node.folder / "final" / f"{8:012}" / f"{name}.json").read_bytes()))


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["prepare", "submit", "poll", "finalize", "confirmation", "export"])
def test_a_crash_at_any_step_anchors_and_confirms_once(
    bench: Bench, authority: LocalAuthority, witness: LocalWitness, step: str, when: str, monkeypatch: Any
) -> None:
    for kind, service in ((TsaBackend, tsa(authority)), (WitnessBackend, cosigner(witness))):
        bench.confirmed.clear()
        with monkeypatch.context() as patch:
            patch.setattr(kind, step, crashing(getattr(kind, step), after=when == "after"))
            node = Node(bench, 0, service)
            with pytest.raises(BaseExceptionGroup) as died:
                node.rounds()
            assert died.group_contains(Crash)
        again = Node(bench, 0, service)
        again.rounds(3)
        assert confirmed(bench) == [(kind.kind, 8)]
        assert again.queue() == []
        assert authority.asked <= 2
        assert witness.asked <= 3, "once before the crash, once to learn the size, once more"


def crashing(method: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """The method, which dies before it does anything, or when it has done all."""

    def plain(*arguments: Any) -> Any:
        if after:
            method(*arguments)
        raise Crash

    async def waiting(*arguments: Any) -> Any:
        if after:
            await method(*arguments)
        raise Crash

    return waiting if inspect.iscoroutinefunction(method) else plain


def test_an_outage_over_many_intervals_leaves_one_question(
    bench: Bench, authority: LocalAuthority, witness: LocalWitness
) -> None:
    node = Node(bench, 0, tsa(authority), cosigner(witness))
    authority.stop()
    witness.stop()
    for interval in range(1, 6):
        bench.interval, bench.tip = (interval, 8 * interval), 8 * interval + 2
        node.rounds(2)
        assert len(node.queue()) <= 4
    assert "does not answer" in node.problem()
    authority.start()
    witness.start()
    node.rounds(4)
    assert confirmed(bench) == [("rfc3161", 40), ("witness", 40)]
    assert (authority.asked, witness.asked) == (1, 1)
    assert (node.queue(), node.problem()) == ([], "None")


def test_a_checkpoint_that_comes_too_late_waits_for_the_newer_one_and_goes(
    bench: Bench, witness: LocalWitness
) -> None:
    bench.refuses = True  # the first member's confirmation does not reach the chain yet
    first = Node(bench, 0, cosigner(witness))
    bench.interval = (2, 10)
    first.rounds(2)
    assert first.queue() == [("wit", 10, "FINAL")]
    late = Node(bench, 1, cosigner(witness))
    bench.interval = (1, 8)
    late.rounds(3)
    asked = witness.asked
    late.rounds(3)
    assert witness.asked == asked
    assert late.queue() == [("wit", 8, "QUEUED")]
    assert "too old" in late.problem()
    bench.refuses = False
    bench.interval = (2, 10)
    bench.now += 61_000
    first.rounds(2)
    late.rounds(2)
    assert confirmed(bench) == [("witness", 10)]
    assert (late.queue(), late.problem()) == ([], "None")


def test_a_fork_is_a_problem_that_stays_until_the_witness_takes_the_log(bench: Bench, witness: LocalWitness) -> None:
    Node(bench, 0, cosigner(witness)).rounds(2)
    honest, bench.blocks = bench.blocks, [(height, hashed, bytes(32)) for height, hashed, _ in bench.blocks]
    bench.confirmed.clear()
    forked = Node(bench, 1, cosigner(witness))
    bench.interval, bench.tip = (2, 16), 18
    forked.rounds(2)
    assert forked.queue() == [("wit", 16, "SENT")]
    assert "FORK: 127.0.0.1 refuses the checkpoint of 16 blocks" in forked.problem()
    assert bench.confirmed == []
    bench.blocks = honest
    Node(bench, 0, cosigner(witness)).rounds(3)
    assert confirmed(bench) == [("witness", 16)]


def test_a_clock_that_was_set_back_asks_anew(authority: LocalAuthority) -> None:
    async def story() -> None:
        backend = TsaBackend("tsa", authority.url, authority.root.der, NETWORK)
        ahead = await backend.prepare(Job("tsa", 8, bytes(32)), [], wall_clock() + 3_600_000)
        sent, refusal = await backend.submit(ahead)
        assert refusal == "127.0.0.1 has another time than this node: correct the clock"
        again = await backend.press(sent, [], wall_clock())
        assert (again.state, dict(again.data)) == (State.QUEUED, {})
        fresh = await backend.prepare(again, [], wall_clock())
        assert (await backend.submit(fresh))[1] is None
        await backend.close()

    trio.run(story)
