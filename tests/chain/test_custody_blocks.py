"""Custody in sealed blocks: built, executed again by a replica to the same root, through a round and a failure."""

from __future__ import annotations

from typing import Any

from chain.block import CONSORTIUM, Receipt
from chain.codec import encode
from chain.crypto import hash_value
from chain.ledger import Ledger
from chain.notices import START, notices_of
from chain.store import MemoryStore
from chain.transaction import Transaction
from contracts.custody_rounds import ANSWER_BLOCKS
from tests.chain.chain_builder import Consortium, commit, document_of
from tests.contracts.custody_desk import SIZES, Copy

KEEPERS = ("guarantor", "lender", "office")


def state(ledger: Ledger, *key: str | int) -> Any:
    return ledger.state(CONSORTIUM, encode(["custody", *key]))


def call(consortium: Consortium, member: str, method: str, /, **args: Any) -> Transaction:
    return consortium.make(CONSORTIUM, f"custody.{method}", args, [consortium.signer(member)])


def sealed(consortium: Consortium, *transactions: Transaction, time: int | None = None) -> list[Receipt]:
    """Seal a block; the hooks' receipt and those of the transactions, all of them successes."""
    block = consortium.seal(*transactions, time=time)
    receipts = consortium.ledger.receipts(block.height)[CONSORTIUM]
    assert [receipt.code for receipt in receipts] == [""] * (1 + len(transactions))
    return receipts


def test_a_round_in_blocks() -> None:
    consortium = Consortium(document=document_of(custody_challenge_ms=5_000, custody_answer_ms=1_000))
    ledger = consortium.ledger
    copies = {member: Copy("erp/0", member) for member in KEEPERS}
    roots = {member: copy.root for member, copy in copies.items()}
    args: dict[str, Any] = {"objects": len(SIZES), "bytes": sum(SIZES), "roots": roots}
    sealed(consortium, call(consortium, "erp", "deposit", **args))
    held = [call(consortium, member, "hold", chain="erp", deposits=[0]) for member in KEEPERS]
    *_, last = sealed(consortium, *held)
    assert [name for name, _ in last.events] == ["custody_complete"]

    parent = ledger.head.digest
    hooks, *_ = sealed(consortium, time=ledger.head.time + 5_000)
    pairs = [["erp", member] for member in KEEPERS]
    assert hooks.events == [["custody_challenged", {"round": 1, "pairs": pairs}]]
    answers = []
    for member in KEEPERS[:2]:
        asked = state(ledger, "challenge", "erp", member)
        assert asked["seed"] == hash_value(["tally/challenge", 1, parent, 1, "erp", member])
        proofs = [copies[member].prove(asked["seed"], sample) for sample in range(len(asked["deposits"]))]
        answers.append(call(consortium, member, "answer", chain="erp", round=1, proofs=proofs))
    receipts = sealed(consortium, *answers)
    assert max(len(answer.wire) for answer in answers) < 64 * 1024
    assert max(receipt.charged for receipt in receipts) < 2_000
    for _ in range(ANSWER_BLOCKS - 2):
        assert sealed(consortium)[0].events == []
    hooks, *_ = sealed(consortium, time=ledger.head.time + 1_001)
    assert [(name, data["custodian"]) for name, data in hooks.events] == [("custody_failed", "office")]
    for recipient in ("erp", "office"):
        names = [notice.name for notice in notices_of(ledger.store, recipient, START, 10)]
        assert names[-1] == "custody_failed"
    assert state(ledger, "record", "erp", "guarantor")["last_ok"] is not None

    replica = Ledger.create(MemoryStore(), consortium.document)
    for height in range(1, ledger.height + 1):
        certificate = ledger.certificate(height)
        assert certificate is not None
        commit(replica, ledger.block(height), certificate)
    assert replica.head == ledger.head


def test_a_round_with_nothing_to_ask_writes_one_key() -> None:
    """And between rounds a block of nothing changes no state at all."""
    consortium = Consortium(document=document_of(custody_challenge_ms=5_000))
    ledger = consortium.ledger
    sealed(consortium)
    before = ledger.head.state_root
    sealed(consortium)
    assert ledger.head.state_root == before
    hooks, *_ = sealed(consortium, time=ledger.head.time + 5_000)
    assert hooks.events == []
    assert state(ledger, "round")["number"] == 1
