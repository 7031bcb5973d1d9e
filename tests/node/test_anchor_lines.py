"""Several backends beside each other: what happens to one holds no other, and nothing final is forgotten."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from node.anchor_backend import Job, State, Verdict
from node.anchor_evm import EvmBackend, EvmChain
from node.anchor_journal import AnchorJournalError, write_synced
from node.anchor_key import AnchorKeyError, EvmKey
from node.anchor_line import Pace
from node.anchoring import Anchorer
from node.devchain import DevServer
from node.evm_rpc import EvmRpc
from tests.anchor_bench import NETWORK, Bench, Devchain, Loop

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def public() -> Iterator[Devchain]:
    node = Devchain()
    node.start()
    yield node
    node.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    loop = Loop()
    made = Bench(tmp_path, loop)
    yield made
    for anchorer in made.made:
        loop.run(anchorer.close)
    loop.stop()


def chain(bench: Bench, name: str, *urls: str, account: int = 0, **changes: Any) -> EvmBackend:
    key = EvmKey.development(account, bench.folder)
    settings: dict[str, Any] = {"key": key, "senders": frozenset({key.address}), **changes}
    return EvmBackend(name, EvmChain(urls, **settings), NETWORK)


def by_name(anchorer: Anchorer, what: str) -> dict[str, Any]:
    return {row["backend"]: row[what] for row in anchorer.status()["backends"]}


def test_an_outage_of_one_holds_no_other(bench: Bench, public: Devchain) -> None:
    anchorer = bench.runner(chain(bench, "dead", NOWHERE), chain(bench, "alive", public.url))
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert [claim["size"] for claim in bench.confirmed] == [8]
    assert bench.job(name="dead").state is State.QUEUED
    assert by_name(anchorer, "problem")["alive"] is None
    assert "does not answer" in by_name(anchorer, "problem")["dead"]
    assert anchorer.status()["problem"].startswith("dead: ")
    assert bench.export(name="alive").checkpoint.size == 8


def test_one_that_never_answers_or_fails_holds_no_other(bench: Bench) -> None:
    """Under ``run``, each line goes at its own pace; a defect in one is told and not the end of the node."""

    class Broken(EvmBackend):
        async def poll(self, _job: Job, /) -> Job:
            raise KeyError("broken")

    with socket.create_server(("127.0.0.1", 0)) as silent, DevServer(block_time=0.02) as public:
        hanging = chain(bench, "hanging", f"http://127.0.0.1:{silent.getsockname()[1]}", key=None)
        settings = EvmChain((public.url,), key=EvmKey.development(1, bench.folder))
        anchorer = Anchorer(
            [hanging, Broken("broken", settings, NETWORK), chain(bench, "alive", public.url)],
            bench.folder,
            NETWORK,
            bench.consortium(),
            pace=Pace(poll_seconds=0.02),
        )

        async def run() -> None:
            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(anchorer.run)
                    while not bench.confirmed:
                        await trio.sleep(0.02)
                    while by_name(anchorer, "problem")["broken"] is None:
                        await trio.sleep(0.02)
                    nursery.cancel_scope.cancel()

        trio.run(run)
    assert [claim["sender"] for claim in bench.confirmed] == [bench.key.address]
    assert by_name(anchorer, "problem")["broken"] == "KeyError: 'broken': report this with the log"


def test_the_turn_is_taken_over_at_each_place_by_itself(bench: Bench, public: Devchain) -> None:
    other = Devchain()
    bench.rank = 1
    writer = bench.runner(chain(bench, "evm", public.url))
    bench.rank = 0
    bench.rounds(writer)
    public.mine(3)
    bench.rounds(writer)
    bench.rank = 1  # now as a second member sees it: the one before has anchored at one of two places only
    (bench.folder / "evm.journal").unlink()
    # The same chain id, so that only what is confirmed where tells the places apart.
    second = bench.runner(chain(bench, "evm", public.url), chain(bench, "other", other.url, chain_id=10))
    bench.rounds(second)
    assert second.status()["queue"] == []
    bench.now += 301_000
    bench.rounds(second)
    assert second.status()["queue"] == [{"backend": "other", "size": 8, "state": "QUEUED"}]


def test_what_another_member_anchored_first_is_not_sent_too(bench: Bench, public: Devchain) -> None:
    public.stop()
    late = bench.runner(chain(bench, "late", public.url))
    bench.rounds(late)
    assert bench.job(name="late").state is State.QUEUED
    public.start()
    first = bench.runner(chain(bench, "first", public.url, account=1))
    bench.rounds(first)
    public.mine(3)
    bench.rounds(first)
    assert len(bench.confirmed) == 1
    public.stop()
    bench.rounds(late)  # learns its chain id from nobody: it cannot know yet
    assert bench.job(name="late").state is State.QUEUED
    public.start()
    known = bench.runner(chain(bench, "late", public.url, chain_id=31338))
    bench.rounds(known)
    assert bench.job(name="late") is None
    assert public.sent_by(bench.key) == 0


def test_a_final_anchor_is_reported_even_where_another_covers_it(bench: Bench, public: Devchain) -> None:
    """Nothing final stays unknown to the consortium; only who has no vote any more leaves it to the others."""
    bench.refuses = True
    anchorer = bench.runner(chain(bench, "evm", public.url))
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert bench.job().state is State.FINAL
    bench.confirmed.append(
        {"backend": "evm", "chain_id": 31338, "size": 9, "proof": b"another's", "block_hash": bytes(32)}
    )
    bench.now += 61_000
    bench.rounds(anchorer)
    assert bench.job().state is State.FINAL
    bench.refuses = False
    bench.now += 61_000
    bench.rounds(anchorer, 2)
    assert [claim["size"] for claim in bench.confirmed] == [9, 8]
    assert bench.job() is None

    bench.refuses = True
    bench.interval, bench.tip = (2, 16), 20
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert bench.job(16).state is State.FINAL
    bench.rank = None
    bench.rounds(anchorer)
    assert bench.job(16).state is State.FINAL  # nobody else has it
    bench.confirmed.append({**bench.confirmed[0], "size": 17})
    bench.rounds(anchorer)
    assert bench.job(16) is None


def test_an_export_that_a_crash_prevented_is_made_up_for(
    bench: Bench, public: Devchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchorer = bench.runner(chain(bench, "evm", public.url))
    bench.rounds(anchorer)
    public.mine(3)

    def crash(path: Path, content: bytes) -> None:
        if path.name == "evm.json":
            raise OSError("no space")
        write_synced(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("node.anchor_line.write_synced", crash)
        with pytest.raises(BaseExceptionGroup):
            bench.rounds(anchorer)
    assert bench.job().state is State.FINAL
    assert not bench.confirmed
    bench.rounds(bench.runner(chain(bench, "evm", public.url)))
    assert bench.export().checkpoint.size == 8
    assert len(bench.confirmed) == 1


def test_a_lying_provider_is_found_by_whoever_asks_another(bench: Bench, public: Devchain) -> None:
    """One endpoint makes up a whole block: its own user believes it, every other node's re-check alarms."""
    liar = Devchain()
    liar.start()
    try:
        writer = bench.runner(chain(bench, "evm", liar.url))
        bench.rounds(writer)
        liar.mine(3)
        bench.rounds(writer)
        [claim] = bench.confirmed
        assert bench.check(writer, claim).verdict is Verdict.MATCH
        honest = bench.runner(chain(bench, "mine", public.url, senders=frozenset({bench.key.address})))
        assert bench.check(honest, claim).verdict is Verdict.LATER  # no such block there yet
        public.mine(3)
        verdict, reason = bench.check(honest, claim)
        assert (verdict, reason) == (Verdict.MISMATCH, "the public block's hash is not the trusted one")
        both = bench.runner(chain(bench, "one", liar.url), chain(bench, "two", public.url))
        assert bench.check(both, claim).verdict is Verdict.MISMATCH
    finally:
        liar.stop()


def test_two_endpoints_that_agree_make_it_final(bench: Bench, public: Devchain) -> None:
    anchorer = bench.runner(chain(bench, "evm", public.url, public.url))
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert [claim["size"] for claim in bench.confirmed] == [8]


def test_a_second_endpoint_that_is_away_keeps_it_from_final(bench: Bench, public: Devchain) -> None:
    anchorer = bench.runner(chain(bench, "evm", public.url, NOWHERE))
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert bench.job().state is State.MINED
    assert "does not answer" in anchorer.status()["problem"]


def test_a_confirmation_of_a_kind_or_chain_that_nobody_here_knows_is_left_alone(
    bench: Bench, public: Devchain
) -> None:
    anchorer = bench.runner(chain(bench, "evm", public.url))
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    [claim] = bench.confirmed
    assert bench.check(anchorer, {**claim, "backend": "witness"}).verdict is Verdict.CANNOT
    elsewhere = bench.runner(chain(bench, "evm", NOWHERE))
    assert bench.check(elsewhere, claim).verdict is Verdict.LATER


def test_request_asks_every_backend_and_needs_one_that_writes(bench: Bench) -> None:
    bench.rank = 3
    anchorer = bench.runner(chain(bench, "one", NOWHERE), chain(bench, "two", NOWHERE, account=1))
    bench.rounds(anchorer)
    assert anchorer.request()
    bench.rounds(anchorer)
    assert [row["backend"] for row in anchorer.status()["queue"]] == ["one", "two"]
    assert not anchorer.request()
    with pytest.raises(AnchorKeyError, match="only re-checks"):
        bench.runner(chain(bench, "three", NOWHERE, key=None)).request()


def test_each_journal_stands_by_itself(bench: Bench, public: Devchain) -> None:
    bench.rounds(bench.runner(chain(bench, "one", public.url), chain(bench, "two", NOWHERE)))
    (bench.folder / "two.journal").write_bytes(b"damaged")
    with pytest.raises(AnchorJournalError, match=r"two\.journal is damaged"):
        bench.runner(chain(bench, "two", NOWHERE))
    assert bench.runner(chain(bench, "one", public.url)).status()["queue"][0]["state"] == "SENT"


def test_an_endpoint_that_refuses_for_ever_is_told_and_nothing_is_lost(
    bench: Bench, public: Devchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal decides nothing: the same bytes are sent again until a block has them."""
    anchorer = bench.runner(chain(bench, "evm", public.url))
    real = EvmRpc.send

    async def refuse(rpc: EvmRpc, raw: bytes) -> bytes:
        return await real(rpc, raw[:-1])

    with monkeypatch.context() as patch:
        patch.setattr(EvmRpc, "send", refuse)
        for _ in range(3):
            bench.rounds(anchorer)
            bench.now += 61_000
        assert "refuses eth_sendRawTransaction" in anchorer.status()["problem"]
        assert bench.job().state is State.SENT
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert (len(bench.confirmed), public.sent_by(bench.key)) == (1, 1)
    assert anchorer.status()["problem"] is None
