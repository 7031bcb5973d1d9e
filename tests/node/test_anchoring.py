"""Anchoring against public-chain nodes that really run: the development chain, and anvil (marked slow).

Every test of the writer runs on both. Blocks are made by hand, and the writer's clock is the test's, so that
nothing waits for time to pass.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio

from chain.evm import DEVELOPMENT_NOTE, EvmProof, UnanchoredError, VerificationError
from node.anchor_backend import State, Verdict
from node.anchor_evm import GWEI, Fees, candidates
from node.anchor_journal import AnchorJournalError
from node.anchor_key import AnchorKeyError, EvmKey, eth_accounts
from node.anchoring import Anchorer
from node.evm_rpc import EvmRpc
from node.public_chain import PublicChainError, install_anvil
from tests.anchor_bench import NETWORK, NODES, Bench, Devchain, Loop, PublicNode, block, mined_hash


@pytest.fixture(params=NODES)
def public(request: pytest.FixtureRequest) -> Iterator[PublicNode]:
    node: PublicNode = request.param()
    node.start()
    yield node
    node.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    loop = Loop()
    bench = Bench(tmp_path, loop)
    yield bench
    for anchorer in bench.made:
        loop.run(anchorer.close)
    loop.stop()


def anchor(bench: Bench, public: PublicNode, **changes: Any) -> Anchorer:
    """One anchor from beginning to end."""
    anchorer = bench.anchorer(public.url, **changes)
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert bench.job().state is State.FINAL
    return anchorer


def test_from_due_to_final_and_confirmed(bench: Bench, public: PublicNode) -> None:
    anchorer = bench.anchorer(public.url)
    bench.rounds(anchorer)
    assert bench.job().state is State.SENT
    public.mine()
    bench.rounds(anchorer)
    assert bench.job().state is State.MINED
    public.mine()
    bench.rounds(anchorer)
    assert bench.job().state is State.MINED
    assert not bench.confirmed
    public.mine()
    bench.rounds(anchorer)
    assert bench.job().state is State.FINAL
    [claim] = bench.confirmed
    bench.rounds(anchorer)
    assert bench.job() is None
    status = anchorer.status()
    assert (status["queue"], status["problem"], status["anchored"]) == ([], None, 8)
    assert (bench.folder / "final/000000000008/checkpoint.txt").read_bytes() == bench.export().checkpoint.body
    assert public.sent_by(bench.key) == 1
    receipt = public.call("eth_getTransactionReceipt", f"0x{claim['tx_hash'].hex()}")
    assert int(receipt["gasUsed"], 16) < 24_000
    assert bench.check(anchorer, claim).verdict is Verdict.MATCH


def test_the_export_is_verified_offline_and_marked(bench: Bench, public: PublicNode) -> None:
    anchorer = anchor(bench, public)
    public.stop()
    document = bench.export()
    assert document.note == DEVELOPMENT_NOTE
    found = document.verify(NETWORK, bench.trusted())
    assert (found.block, found.note) == (bench.confirmed[0]["block_number"], DEVELOPMENT_NOTE)
    assert document.covers(*block(3), anchorer.prove(3, 8))
    assert not document.covers(3, *block(4)[1:], anchorer.prove(3, 8))
    assert not document.covers(*block(3), anchorer.prove(4, 8))
    with pytest.raises(UnanchoredError):
        document.verify(NETWORK, bench.trusted(evm_blocks={}))
    with pytest.raises(VerificationError, match="senders"):
        document.verify(NETWORK, bench.trusted(evm_senders=frozenset({bytes(20)})))
    with pytest.raises(VerificationError, match="DEVELOPMENT_CHAIN"):
        document.verify(NETWORK, bench.trusted(development=False))


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("sent", [False, True], ids=["before the send", "after the send"])
def test_a_crash_around_the_send_anchors_once(
    bench: Bench, public: PublicNode, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    broadcast = EvmRpc.send

    async def crash(rpc: EvmRpc, raw: bytes) -> bytes:
        if sent:
            await broadcast(rpc, raw)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(EvmRpc, "send", crash)
        with pytest.raises(BaseExceptionGroup) as died:
            bench.rounds(bench.anchorer(public.url))
        assert died.group_contains(Crash)
    before = bench.job()
    assert before.state is State.PREPARED
    again = bench.anchorer(public.url)
    bench.rounds(again)
    assert candidates(bench.job()) == candidates(before)
    public.mine(3)
    bench.rounds(again)
    assert bench.confirmed[0]["tx_hash"] == candidates(before)[0].hash
    assert public.sent_by(bench.key) == 1


def test_a_crash_after_the_transaction_was_mined_anchors_once(bench: Bench, public: PublicNode) -> None:
    bench.rounds(bench.anchorer(public.url))
    public.mine(3)
    bench.rounds(bench.anchorer(public.url))
    assert bench.job().state is State.FINAL
    assert public.sent_by(bench.key) == 1


def test_a_reorganisation_takes_it_back_to_sent(bench: Bench, public: PublicNode) -> None:
    anchorer = bench.anchorer(public.url)
    bench.rounds(anchorer)
    public.mine(2)
    bench.rounds(anchorer)
    dropped = mined_hash(bench.job())
    assert bench.job().state is State.MINED
    public.reorganise(2)
    bench.rounds(anchorer)
    if bench.job().state is State.MINED:  # a node may mine what it dropped at once, in another block
        assert mined_hash(bench.job()) != dropped
    else:
        assert bench.job().state is State.SENT
    bench.now += 61_000
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    [claim] = bench.confirmed
    assert claim["block_hash"] != dropped
    assert bench.check(anchorer, claim).verdict is Verdict.MATCH
    assert public.sent_by(bench.key) == 1


def test_a_receipt_of_a_dropped_block_is_not_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes keep receipts by transaction hash; some serve them after a reorganisation dropped the block."""
    node = Devchain()
    node.start()
    try:
        anchorer = bench.anchorer(node.url)
        bench.rounds(anchorer)
        node.mine()
        bench.rounds(anchorer)
        stale = node.call("eth_getTransactionReceipt", f"0x{candidates(bench.job())[0].hash.hex()}")
        node.reorganise(1)
        node.mine(5)

        async def serve_stale(_rpc: EvmRpc, _hash: bytes) -> Any:
            return stale

        with monkeypatch.context() as patch:
            patch.setattr(EvmRpc, "receipt", serve_stale)
            bench.rounds(anchorer)
            assert bench.job().state is State.SENT
        bench.rounds(anchorer)
        assert bench.job().state is State.FINAL
    finally:
        node.stop()


def test_a_node_with_another_history_alarms(bench: Bench, public: PublicNode, tmp_path: Path) -> None:
    anchor(bench, public)
    other = Bench(tmp_path / "other", bench.loop)
    forked = sha256(b"forked").digest()
    other.blocks[4] = (5, forked, other.blocks[4][2])
    checking = other.anchorer(public.url)
    verdict, reason = bench.check(checking, bench.confirmed[0])
    bench.made.append(checking)
    assert verdict is Verdict.MISMATCH
    assert reason == "the checkpoint is of another history than this node's blocks"


JUNK: list[Any] = [
    *(None, True, 7, -1, 1.5, "", "0x", "0x0", "0x1", "0xzz", "0x" + "ff" * 32, "0x" + "00" * 32, [], [[]], {}),
    {"hash": "0x" + "00" * 32, "number": "0x1"},
    {"hash": None},
    {"blockHash": "0x" + "00" * 32, "blockNumber": "0x1"},
    {"blockHash": "0x" + "00" * 32, "blockNumber": "0x" + "ff" * 16},
    {"blockHash": 5, "blockNumber": []},
    {"hash": "0x" + "00" * 32, "transactions": 5},
    {"hash": "0x" + "00" * 32, "transactions": [None, "0x", {"type": []}]},
    {"hash": "0x" + "00" * 32, "number": "0x1", "transactions": [{"type": "0x2", "hash": "0x"}]},
]


def test_whatever_an_endpoint_answers_is_a_problem_and_no_crash(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Devchain()
    node.start()
    chooser = random.Random(7)
    honest = EvmRpc.call

    async def sometimes(rpc: EvmRpc, method: str, *params: Any) -> Any:
        if chooser.random() < 0.3:
            return chooser.choice(JUNK)
        return await honest(rpc, method, *params)

    try:
        anchorer = bench.anchorer(node.url)
        with monkeypatch.context() as patch:
            patch.setattr(EvmRpc, "call", sometimes)
            for _ in range(150):
                bench.rounds(anchorer)
                bench.now += 30_000
                for claim in bench.confirmed:
                    bench.check(anchorer, claim)
                if chooser.random() < 0.1:
                    node.mine()
                if bench.confirmed and len(node.chain.head.transactions) == 0 and bench.interval[1] < 90:
                    bench.tip, bench.interval = bench.tip + 8, (bench.interval[0] + 1, bench.interval[1] + 8)
        node.mine(3)
        for _ in range(4):
            bench.rounds(anchorer)
            bench.now += 61_000
            node.mine(3)
        assert anchorer.status()["problem"] is None
        for claim in bench.confirmed:
            assert bench.check(anchorer, claim).verdict is Verdict.MATCH
        assert bench.confirmed
    finally:
        node.stop()


def test_an_outage_queues_the_newest_and_recovers(bench: Bench, public: PublicNode) -> None:
    public.stop()
    anchorer = bench.anchorer(public.url)
    bench.rounds(anchorer)
    assert bench.job(8).state is State.QUEUED
    assert "does not answer" in anchorer.status()["problem"]
    bench.tip, bench.interval = 20, (2, 16)
    bench.rounds(anchorer)
    assert [job["size"] for job in anchorer.status()["queue"]] == [16]
    public.start()
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert [claim["size"] for claim in bench.confirmed] == [16]
    assert anchorer.status()["problem"] is None


def test_an_outage_after_the_send(bench: Bench, public: PublicNode) -> None:
    anchorer = bench.anchorer(public.url)
    bench.rounds(anchorer)
    public.stop()
    bench.rounds(anchorer)
    assert bench.job().state is State.SENT
    assert "does not answer" in anchorer.status()["problem"]
    public.start()  # anvil forgot its pool, and if its first block differs, it is another chain
    bench.now += 61_000
    bench.rounds(anchorer)
    public.mine(3)
    bench.rounds(anchorer)
    assert [claim["size"] for claim in bench.confirmed] == [8]
    assert public.sent_by(bench.key) == 1


def test_a_stuck_transaction_is_replaced_with_every_candidate_kept(bench: Bench, public: PublicNode) -> None:
    fees = Fees(max_fee=8 * GWEI // 10, tip=GWEI // 10, fee_cap=2 * GWEI)
    anchorer = bench.anchorer(public.url, fees=fees, stuck_seconds=600)
    bench.rounds(anchorer)
    public.mine()
    bench.rounds(anchorer)
    assert bench.job().state is State.SENT
    seen = 1
    for _ in range(12):
        bench.now += 601_000
        bench.rounds(anchorer)
        public.mine()
        bench.rounds(anchorer)
        job = bench.job()
        if job.state is not State.SENT:
            break
        assert len(candidates(job)) == seen + 1
        old, new = candidates(job)[-2:]
        assert new.max_fee * 8 >= old.max_fee * 9
        assert new.tip * 8 >= old.tip * 9
        seen += 1
    job = bench.job()
    assert job.state is State.MINED
    assert len({candidate.hash for candidate in candidates(job)}) == len(candidates(job)) >= 2
    public.mine(2)
    bench.rounds(anchorer)
    assert bench.confirmed[0]["tx_hash"] in {candidate.hash for candidate in candidates(job)}
    assert public.sent_by(bench.key) == 1


def test_fees_stop_at_the_cap(bench: Bench, public: PublicNode) -> None:
    fees = Fees(max_fee=GWEI // 4, tip=GWEI // 10, fee_cap=GWEI * 3 // 10)
    anchorer = bench.anchorer(public.url, fees=fees)
    for _ in range(5):
        bench.rounds(anchorer)
        bench.now += 601_000
    assert len(candidates(bench.job())) == 2
    assert max(candidate.max_fee for candidate in candidates(bench.job())) <= fees.fee_cap


def test_a_nonce_spent_elsewhere_is_given_up_only_when_that_is_final(bench: Bench, public: PublicNode) -> None:
    fees = Fees(max_fee=GWEI // 4, tip=GWEI // 10, fee_cap=GWEI // 4)
    bench.rounds(bench.anchorer(public.url, fees=fees))
    foreign = {
        "chainId": int(public.call("eth_chainId"), 16),
        "nonce": bench.job().data["nonce"],
        "to": bench.key.address,
        "value": 0,
        "gas": 30_000,
        "maxFeePerGas": 10 * GWEI,
        "maxPriorityFeePerGas": GWEI,
    }
    raw, _ = bench.key.sign(foreign)
    public.call("eth_sendRawTransaction", f"0x{raw.hex()}")
    public.mine(2)
    anchorer = bench.anchorer(public.url)
    bench.rounds(anchorer)
    assert bench.job().state is State.SENT
    public.mine()
    bench.rounds(anchorer)
    assert bench.job().state is State.QUEUED
    bench.rounds(anchorer)
    assert (bench.job().state, bench.job().data["nonce"]) == (State.SENT, 1)
    public.mine(3)
    bench.rounds(anchorer)
    assert bench.confirmed[0]["size"] == 8


def test_two_under_way_take_two_nonces(bench: Bench, public: PublicNode) -> None:
    anchorer = bench.anchorer(public.url)
    bench.rounds(anchorer)
    bench.tip, bench.interval = 20, (2, 16)
    bench.rounds(anchorer)
    assert [(bench.job(size).state, bench.job(size).data["nonce"]) for size in (8, 16)] == [
        (State.SENT, 0),
        (State.SENT, 1),
    ]
    public.mine(3)
    bench.rounds(anchorer)
    assert [claim["size"] for claim in bench.confirmed] == [8, 16]
    bench.rounds(anchorer)
    assert bench.job(8) is None is bench.job(16)


def test_another_chain_id_is_refused_and_nothing_sent(bench: Bench, public: PublicNode) -> None:
    anchorer = bench.anchorer(public.url, chain_id=1)
    bench.rounds(anchorer)
    assert "not 1: correct the URL" in anchorer.status()["problem"]
    assert bench.job().state is State.QUEUED
    public.mine()
    assert public.sent_by(bench.key) == 0


def test_a_second_endpoint_that_disagrees_keeps_it_from_final(bench: Bench, public: PublicNode) -> None:
    other = Devchain()
    other.start()
    try:
        anchorer = bench.anchorer(public.url, other.url)
        bench.rounds(anchorer)
        public.mine(3)
        bench.rounds(anchorer)
        assert bench.job().state is State.MINED  # the other has no such block yet
        other.mine(3)
        bench.rounds(anchorer)
        assert bench.job().state is State.MINED
        assert "disagree about public block" in anchorer.status()["problem"]
        assert not bench.confirmed
    finally:
        other.stop()


def test_altered_confirmations_raise_the_alarm(bench: Bench, public: PublicNode) -> None:
    anchorer = anchor(bench, public)
    [claim] = bench.confirmed
    proof = EvmProof.decode(bench.export().proof)
    shifted = type(proof)(proof.chain_id, proof.header, proof.index + 1, proof.nodes)
    cut = type(proof)(proof.chain_id, proof.header, proof.index, proof.nodes[:-1])
    forged: list[dict[str, Any]] = [
        {"root": bytes(32)},
        {"size": 7},
        {"size": 0},
        {"proof": b"\xc0"},
        {"proof": shifted.encode()},
        {"proof": cut.encode()},
        {"tx_hash": bytes(32)},
        {"block_hash": bytes(32)},
        {"block_number": claim["block_number"] + 1},
        {"public_time": claim["public_time"] - 1},
        {"sender": bytes(20)},
        {"chain_id": 1},
        {"proof": 7},
    ]
    for change in forged:
        result = bench.check(anchorer, {**claim, **change})
        assert result.verdict is Verdict.MISMATCH, (change, result)
    other_senders = bench.anchorer(public.url, senders=frozenset({bytes(20)}))
    assert bench.check(other_senders, claim).verdict is Verdict.MISMATCH
    bench.tip = 5
    assert bench.check(bench.anchorer(public.url), claim).verdict is Verdict.LATER
    bench.tip = 10
    public.reorganise(3)
    assert bench.check(anchorer, claim).verdict is not Verdict.MATCH
    public.stop()
    assert bench.check(anchorer, claim).verdict is Verdict.LATER


def test_the_finalized_tag_counts_where_no_number_is_configured(bench: Bench, public: PublicNode) -> None:
    anchorer = bench.anchorer(public.url, confirmations=None)
    bench.rounds(anchorer)
    public.mine(2)
    bench.rounds(anchorer)
    assert bench.job().state is State.MINED
    public.mine(70)  # anvil: two epochs of 32
    bench.rounds(anchorer)
    assert bench.job().state is State.FINAL


def test_the_turn_goes_to_the_next_when_one_is_late(bench: Bench) -> None:
    node = Devchain()
    bench.rank = 2
    anchorer = bench.anchorer(node.url, takeover_seconds=300)
    bench.rounds(anchorer)
    bench.now += 599_000
    bench.rounds(anchorer)
    assert bench.job() is None
    bench.now += 1_000
    bench.rounds(anchorer)
    assert bench.job().state is State.QUEUED


@pytest.mark.parametrize(
    ("rank", "interval", "tip"),
    [(None, (1, 8), 10), (0, (0, 0), 10), (0, (2, 12), 10)],
    ids=["no validator", "nothing due", "the log is behind"],
)
def test_nothing_is_anchored(bench: Bench, rank: int | None, interval: tuple[int, int], tip: int) -> None:
    bench.rank, bench.interval, bench.tip = rank, interval, tip
    anchorer = bench.anchorer("http://127.0.0.1:1")
    bench.rounds(anchorer)
    assert anchorer.status()["queue"] == []


def test_on_request_what_there_is_gets_anchored(bench: Bench) -> None:
    bench.rank = 3
    anchorer = bench.anchorer("http://127.0.0.1:1")
    bench.rounds(anchorer)
    assert anchorer.request()
    bench.rounds(anchorer)
    assert bench.job(10).state is State.QUEUED
    assert not anchorer.request()
    with pytest.raises(AnchorKeyError):
        bench.anchorer("http://127.0.0.1:1", key=None).request()


def test_one_writer_for_a_key(bench: Bench) -> None:
    async def run() -> None:
        with trio.move_on_after(5):
            await bench.anchorer("http://127.0.0.1:1").run()

    with bench.key.locked(), pytest.raises(AnchorKeyError, match="another process anchors with 0x"):
        trio.run(run)
    with bench.key.locked():
        pass


def test_a_damaged_journal_is_named(bench: Bench) -> None:
    bench.rounds(bench.anchorer("http://127.0.0.1:1"))
    path = bench.folder / "evm.journal"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        path.write_bytes(damaged)
        with pytest.raises(AnchorJournalError, match="damaged"):
            bench.anchorer("http://127.0.0.1:1")


def test_a_keystore_opens_with_its_passphrase_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = eth_accounts()
    encrypt: Callable[..., Any] = accounts.encrypt
    monkeypatch.setattr(accounts, "encrypt", lambda key, word: encrypt(key, word, kdf="pbkdf2", iterations=10))
    path = tmp_path / "anchor.json"
    made = EvmKey.create(path, "right")
    assert path.stat().st_mode & 0o777 == 0o600
    assert EvmKey.open(path, "right").address == made.address
    with pytest.raises(AnchorKeyError, match="wrong passphrase"):
        EvmKey.open(path, "wrong")
    with pytest.raises(AnchorKeyError, match="never overwritten"):
        EvmKey.create(path, "right")
    path.write_text("[]")
    with pytest.raises(AnchorKeyError, match="not an Ethereum keystore"):
        EvmKey.open(path, "right")
    with pytest.raises(AnchorKeyError, match="cannot read"):
        EvmKey.open(tmp_path / "none", "right")


def test_the_ethereum_library_does_not_lift_the_recursion_limit(tmp_path: Path) -> None:
    program = (
        "import json, pathlib, sys, threading\n"
        "from node.anchor_key import EvmKey\n"
        "limit = sys.getrecursionlimit()\n"
        "EvmKey.development(0, pathlib.Path(sys.argv[1]))\n"
        "assert sys.getrecursionlimit() == limit\n"
        "def parse():\n"
        "    try:\n"
        "        json.loads('[' * 100_000)\n"
        "    except RecursionError:\n"
        "        print('refused')\n"
        "thread = threading.Thread(target=parse)\n"
        "thread.start()\n"
        "thread.join()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_npm_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PublicChainError, match="install nodejs and npm, or set TALLY_ANVIL"):
        install_anvil(tmp_path)
