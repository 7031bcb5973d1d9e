"""Anchoring over a real ledger and a real development chain: from the closed interval to the checked confirmation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest

import contracts.anchor
from chain import merkle
from chain.anchor import Anchor, Trusted
from chain.block import CONSORTIUM
from chain.certificate import Certificate, VoteKind, vote_message
from chain.checkpoint import leaf
from chain.codec import encode
from chain.crypto import SigningKey
from chain.ledger import Ledger
from chain.store import MemoryStore
from chain.transaction import Transaction, batch_args, make_body, parse, sign
from node import driver
from node.anchor_backend import Check, Verdict
from node.anchor_check import Watch
from node.anchor_duty import Standing, Turn, standing
from node.anchor_gauges import add_anchor_gauges
from node.anchor_key import AnchorKeyError
from node.anchor_ledger import SubmitError, block_source, open_anchorer, reader, submit_call
from node.anchoring import Anchorer
from node.config import Anchor as AnchorSettings
from node.devchain import DevServer
from node.devchain_blocks import DevChain
from node.head_signer import HeadSigner
from node.mempool import Admission
from tests.contracts.memory_context import START
from tests.contracts.small_consortium import VALIDATORS, document, record

KEYS = {member["id"]: SigningKey.generate() for member in document()["members"]}
VOTES = {member: SigningKey.generate() for member in VALIDATORS}
GENESIS = Path(__file__).resolve().parents[2] / "genesis"
INTERVAL = 5
FIELDS = {
    "issue_date": "2025-12-31",
    "item": "steel bar",
    "quantity": "12.5",
    "unit": "EA",
    "price": "3.25",
    "amount": "40.625",
}


class Consortium:
    """One ledger whose validators agree at once: what is submitted is in the next block."""

    def __init__(self) -> None:
        base = document()
        base["parameters"] = {**base["parameters"], "anchor_development": 1}
        for member in base["members"]:
            member["signers"] = [{"key": KEYS[member["id"]].public, "rights": ["*"]}]
            if member["id"] in VOTES:
                member["validator"] = VOTES[member["id"]].public
        base["templates"] = [json.loads((GENESIS / "templates" / "bench.json").read_text())]
        base["models"] = [json.loads((GENESIS / "models" / "standard-1.json").read_text())]
        self.ledger = Ledger.create(MemoryStore(), base)
        self.time = START
        self.waiting: list[Transaction] = []
        self.refusal: Admission | None = None

    def submit(self, wire: bytes) -> Admission:
        if self.refusal is not None:
            return self.refusal
        transaction = parse(wire)
        self.waiting.append(transaction)
        return Admission(transaction.id, "accepted")

    def seal(self, member_txs: tuple[Transaction, ...] = ()) -> None:
        """The next block, with everything submitted; each transaction must succeed."""
        self.time += 1_000
        ledger, own = self.ledger, self.waiting
        self.waiting = []
        block, outcome = ledger.build(
            proposer="erp", time=self.time, member_txs={"erp": list(member_txs)}, consortium_txs=own
        )
        validators = ledger.validators()
        message = vote_message(
            ledger.network_id, validators.epoch, VoteKind.COMMIT, block.header.height, 0, block.digest
        )
        seals = tuple((member, VOTES[member].sign(message)) for member in validators.ids[: validators.quorum])
        certificate = Certificate(block.header.height, 0, block.digest, validators.epoch, seals)
        ledger.commit(block, certificate, outcome, [*member_txs, *own])
        failed = [receipt for receipt in outcome.receipts(CONSORTIUM) if receipt.status] if own else []
        assert not failed, failed

    def records(self) -> Transaction:
        batch = [record("delivery", f"D{self.ledger.height}", FIELDS, template="bench")]
        body = make_body(
            network_id=self.ledger.network_id,
            chain="erp",
            contract="records",
            method="submit",
            args=batch_args(batch),
            signers=[KEYS["erp"].public],
            nonce=bytes(16),
            valid_until=self.time + 60_000,
        )
        return sign(body, [KEYS["erp"]], batch)

    def read(self, *key: Any) -> Any:
        return self.ledger.state(CONSORTIUM, encode(list(key)))

    def force_duty(self, member: str) -> None:
        """Seal blocks until it is the member's turn."""
        while standing(reader(self.ledger), member).rank != 0:
            self.seal()
        self.seal()

    def alarms(self) -> list[str]:
        return [self.read("anchor", "alarm", n)["kind"] for n in range(self.read("anchor", "alarm_count"))]

    def anchorer(self, member: str, folder: Path, url: str, **changes: Any) -> Anchorer:
        settings = AnchorSettings.model_validate({"rpc_urls": [url], "development_account": 0, **changes})
        found = open_anchorer(
            self.ledger,
            self.submit,
            member=member,
            signer=KEYS[member],
            settings=settings,
            passphrase="",
            directory=folder / member,
        )
        assert found is not None
        return found


@pytest.fixture
def consortium(monkeypatch: pytest.MonkeyPatch) -> Consortium:
    made = Consortium()
    for module in ("node.anchor_ledger", "node.anchor_gauges", driver.__name__):
        monkeypatch.setattr(f"{module}.wall_clock", lambda: made.time)
    return made


@pytest.fixture
def chain() -> Iterator[tuple[DevChain, str]]:
    with DevServer(block_time=3600) as server:
        yield server.chain, server.url


def on_duty(consortium: Consortium) -> str:
    ranks = {member: standing(reader(consortium.ledger), member).rank for member in KEYS}
    assert sorted(rank for rank in ranks.values() if rank is not None) == list(range(len(VALIDATORS)))
    assert {member for member, rank in ranks.items() if rank is None} == set(KEYS) - set(VALIDATORS)
    [first] = [member for member, rank in ranks.items() if rank == 0]
    index = consortium.read("anchor", "interval")["index"]
    assert first == contracts.anchor.duty(sorted(VALIDATORS), index)
    return str(first)


def test_from_interval_to_checked_confirmation(
    consortium: Consortium, chain: tuple[DevChain, str], tmp_path: Path
) -> None:
    public, url = chain
    for _ in range(INTERVAL + 1):
        consortium.seal()
    ledger, duty = consortium.ledger, on_duty(consortium)
    assert duty == sorted(VALIDATORS)[1]

    async def run() -> dict[str, Any]:
        writer = consortium.anchorer(duty, tmp_path, url)
        other = consortium.anchorer("office", tmp_path, url, development_account=1)
        await other.step()
        await writer.step()
        for _ in range(3):
            public.mine()
        await writer.step()
        assert [tx.method for tx in consortium.waiting] == ["confirm"]
        consortium.seal()
        await writer.step()
        await other.step()
        status = writer.status()
        assert other.status()["checked"] == status["checked"] == 1
        assert other.status()["alarms"] == []
        assert other.status()["queue"] == []
        await writer.close()
        await other.close()
        return status

    status = trio.run(run)
    assert consortium.read("anchor", "anchored") == INTERVAL == status["anchored"]
    claim = consortium.read("anchor", "anchor", 0)
    assert (claim["by"], claim["size"], claim["backend"]) == (duty, INTERVAL, "evm")
    exported = Anchor.from_json(json.loads((tmp_path / duty / "final" / f"{INTERVAL:012}" / "evm.json").read_bytes()))
    blocks = {claim["chain_id"]: {claim["block_number"]: claim["block_hash"]}}
    exported.verify(ledger.network_id, Trusted(blocks, frozenset({claim["sender"]}), development=True))
    child = ledger.header(4)
    leaves = [leaf(ledger.network_id, *row) for row in block_source(ledger)(1, INTERVAL)]
    path = merkle.prove(leaves, 2)
    assert exported.covers(3, ledger.header(3).digest, child.parent_certificate_hash, path)
    # The certificate hash is the child's, whichever quorum this node itself holds.
    assert ledger.certificate(3) is not None
    assert not exported.covers(3, ledger.header(3).digest, bytes(32), path)


def test_metrics_tell_the_age_of_each_class_whether_or_not_the_node_anchors(
    consortium: Consortium, tmp_path: Path
) -> None:
    def gauges(anchorer: Anchorer | None) -> dict[str, float]:
        registry = CollectorRegistry()
        add_anchor_gauges(registry, consortium.ledger, "erp", anchorer)
        lines = generate_latest(registry).decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    for _ in range(3 * INTERVAL):
        consortium.seal()
    found = gauges(None)
    assert found['tally_anchor_age_seconds{class="chain"}'] == 3 * INTERVAL
    assert found['tally_anchor_blocks{class="chain"}'] == 0
    assert found["tally_anchor_alarms_total"] == consortium.alarms().count("anchor_overdue") == 1
    anchorer = consortium.anchorer("erp", tmp_path, "http://127.0.0.1:1")

    async def run() -> None:
        consortium.force_duty("erp")
        await anchorer.step()
        await anchorer.close()

    trio.run(run)
    found = gauges(anchorer)
    assert found['tally_anchor_failing{backend="evm"}'] == 1
    assert found['tally_anchor_under_way{backend="evm"}'] == 1
    assert found["tally_anchor_mismatches"] == 0


def test_the_newest_block_is_not_in_the_log_before_its_child(consortium: Consortium) -> None:
    source = block_source(consortium.ledger)
    assert source(1, 10) == []
    consortium.seal()
    assert source(1, 10) == []
    consortium.seal()
    assert [row[0] for row in source(1, 10)] == [1]
    for _ in range(4):
        consortium.seal()
    assert [row[0] for row in source(2, 3)] == [2, 3, 4]


def test_members_vouch_for_their_own_heads(consortium: Consortium) -> None:
    signers = {member: HeadSigner(consortium.ledger, consortium.submit, member, KEYS[member]) for member in KEYS}
    consortium.seal((consortium.records(),))
    for signer in signers.values():
        assert signer.statement() is None
    for _ in range(INTERVAL - 1):
        consortium.seal((consortium.records(),))
    assert consortium.read("anchor", "interval")["index"] == 1

    async def sign_all() -> None:
        for signer in signers.values():
            signer.step()
            signer.step()

    trio.run(sign_all)
    assert len(consortium.waiting) == 1  # only the ERP's chain has a block
    consortium.seal((consortium.records(),))
    signed = consortium.read("anchor", "signed", 1, "erp")
    assert (signed["agrees"], signed["height"]) == (True, INTERVAL)
    assert signers["erp"].statement() is None
    for _ in range(INTERVAL - 1):
        consortium.seal()
    assert "head_missing" not in consortium.alarms()
    assert "head_differs" not in consortium.alarms()


def test_a_refused_transaction_of_its_own_is_said(consortium: Consortium) -> None:
    consortium.refusal = Admission(b"", "rejected", "POOL_FULL", "the pool is full")
    with pytest.raises(SubmitError, match=r"anchor\.confirm was not taken: POOL_FULL the pool is full"):
        submit_call(consortium.ledger, consortium.submit, KEYS["erp"], "anchor", "confirm", {})


def test_an_account_without_a_signer_is_refused_at_the_start(consortium: Consortium, tmp_path: Path) -> None:
    def opened(**settings: Any) -> Anchorer | None:
        return open_anchorer(
            consortium.ledger,
            consortium.submit,
            member="erp",
            signer=None,
            settings=AnchorSettings.model_validate(settings),
            passphrase="",
            directory=tmp_path,
        )

    with pytest.raises(AnchorKeyError, match=r"set keys\.signer"):
        opened(rpc_urls=["http://127.0.0.1:1"], development_account=0)
    assert opened() is None
    assert opened(rpc_urls=["http://127.0.0.1:1"]) is not None


def test_a_wrong_confirmation_raises_the_alarm_and_one_that_waits_holds_no_other(tmp_path: Path) -> None:
    answers = {
        0: Check(Verdict.MATCH, "good"),
        1: Check(Verdict.MISMATCH, "another history"),
        2: Check(Verdict.LATER, "wait"),
        3: Check(Verdict.CANNOT, "elsewhere"),
        4: Check(Verdict.MATCH, "good"),
    }
    asked: list[int] = []

    async def check(claim: Any) -> Check:
        asked.append(claim["number"])
        return answers[claim["number"]]

    def claims(number: int) -> list[dict[str, Any]]:
        return [{"number": each, "by": "erp"} for each in range(number, len(answers))][:2]

    def watch() -> Watch:
        return Watch(claims, check, tmp_path / "checked")

    async def run() -> None:
        first = watch()
        await first.step()
        assert asked == [0, 1, 2, 3, 4]
        assert first.progress == (5, (2,))
        assert list(first.alarms) == ["confirmation 1 by erp: another history"]
        asked.clear()
        again = watch()  # after a restart only what is open is asked again
        await again.step()
        assert asked == [2]
        answers[2] = Check(Verdict.MISMATCH, "lied")
        answers[5] = Check(Verdict.MATCH, "new")
        await again.step()
        assert again.progress == (6, ())
        assert list(again.alarms) == ["confirmation 2 by erp: lied"]
        (tmp_path / "checked").write_bytes(b"damaged")
        asked.clear()
        await watch().step()
        assert asked == [0, 1, 2, 3, 4, 5]

    trio.run(run)


def test_each_validator_takes_over_after_the_one_before() -> None:
    turns = {rank: Turn(300) for rank in range(4)}
    view = {rank: Standing(7, 700, 600, 0, rank, {}, {}) for rank in range(4)}

    def acting(seconds: int) -> list[int]:
        now = 1_000_000 + seconds * 1000
        return [rank for rank in range(4) if turns[rank].due(view[rank], 710, 600, now) == 700]

    assert acting(0) == [0]
    assert acting(299) == [0]
    assert acting(300) == [0, 1]
    assert acting(900) == [0, 1, 2, 3]
    assert turns[0].due(view[0], 699, 600, 0) is None  # the log does not reach so far
    assert turns[0].due(view[0], 710, 700, 0) is None  # it is on its way
    assert turns[1].due(view[1]._replace(interval=8, height=705), 710, 700, 2_000_000) is None
