"""The contracts in the real ledger's context: what the in-memory context promises holds there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain.block import CONSORTIUM, Receipt
from chain.crypto import SigningKey
from chain.ledger import Ledger
from chain.store import MemoryStore
from chain.transaction import Transaction, batch_args, make_body, sign
from tests.contracts.memory_context import START
from tests.contracts.small_consortium import SUPPLIER, document, record, record_id

GENESIS = Path(__file__).resolve().parents[2] / "genesis"
KEYS = {member["id"]: SigningKey.generate() for member in document()["members"]}
FIELDS = {
    "issue_date": "2025-12-31",
    "item": "steel bar",
    "quantity": "12.5",
    "unit": "EA",
    "price": "3.25",
    "amount": "40.625",
}


@pytest.fixture
def ledger() -> Ledger:
    """The test consortium with keys that can sign and the templates and model that are shipped."""
    base = document()
    for member in base["members"]:
        member["signers"] = [{"key": KEYS[member["id"]].public, "rights": ["*"]}]
    base["templates"] = [json.loads((GENESIS / "templates" / "bench.json").read_text())]
    base["models"] = [json.loads((GENESIS / "models" / "standard-1.json").read_text())]
    return Ledger.create(MemoryStore(), base)


def transaction(
    ledger: Ledger, signer: str, chain: str, method: str, args: dict[str, Any], batch: list[bytes] | None = None
) -> Transaction:
    contract, name = method.split(".")
    body = make_body(
        network_id=ledger.network_id,
        chain=chain,
        contract=contract,
        method=name,
        args=args,
        signers=[KEYS[signer].public],
        nonce=bytes(16),
        valid_until=START + 60_000,
    )
    return sign(body, [KEYS[signer]], batch)


def submission(ledger: Ledger, batch: list[bytes]) -> Transaction:
    return transaction(ledger, "erp", "erp", "records.submit", batch_args(batch), batch)


def run(
    ledger: Ledger, member: list[Transaction], consortium: list[Transaction]
) -> tuple[list[Receipt], list[Receipt]]:
    _, outcome = ledger.build(
        proposer="erp", time=START + 1_000, member_txs={"erp": member}, consortium_txs=consortium
    )
    return outcome.receipts("erp"), outcome.receipts(CONSORTIUM)


def test_a_block_of_records_parties_votes_and_a_preservation(ledger: Ledger) -> None:
    batch = [record("delivery", f"D{index}", FIELDS, template="bench") for index in range(100)]
    change = {"kind": "parameters", "values": {"max_idle_ms": 5_000}}
    place = {"chain": "erp", "kind": "delivery", "issuer": SUPPLIER, "number": "D7"}
    subjects = [{**place, "record": record_id(batch[7])}]
    party = {"id": "sup", "name": "Sup", "identifiers": ["GB-COH:0001"]}
    sealed, done = run(
        ledger,
        [submission(ledger, batch)],
        [
            transaction(ledger, "procurement", CONSORTIUM, "registry.register_party", party),
            transaction(ledger, "lender", CONSORTIUM, "gov.propose", {"change": change}),
            transaction(ledger, "office", CONSORTIUM, "notary.preserve", {"subjects": subjects, "contract": "C-1"}),
        ],
    )
    assert [receipt.status for receipt in (*sealed, *done)] == [0] * 5, (sealed, done)
    assert sealed[0].result == {"sealed": 100, "corrected": 0, "known": 0}
    assert [name for name, _ in sealed[0].events] == ["records_sealed"]


def test_the_largest_batch_fits_into_one_receipt(ledger: Ledger) -> None:
    batch = [record("delivery", f"{index:020}", FIELDS, template="bench") for index in range(500)]
    sealed, _ = run(ledger, [submission(ledger, batch)], [])
    assert sealed[0].status == 0, sealed[0]


def test_refusals_are_failed_receipts(ledger: Ledger) -> None:
    wrong = record("delivery", "D1", {**FIELDS, "quantity": "many"}, template="bench")
    sealed, done = run(
        ledger,
        [submission(ledger, [wrong])],
        [transaction(ledger, "office", CONSORTIUM, "gov.propose", {"change": {"kind": "parameters", "values": {}}})],
    )
    assert (sealed[0].status, sealed[0].code) == (1, "WRONG_FIELD_TYPE")
    assert (done[1].status, done[1].code) == (1, "NO_VOTE")
