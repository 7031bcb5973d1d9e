"""Published and matched in real blocks; and the same under every hash seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chain.block import CONSORTIUM
from chain.crypto import SigningKey
from chain.ledger import Ledger
from chain.store import MemoryStore
from chain.transaction import Transaction, make_body, sign
from tests.contracts import market_data
from tests.contracts.market_data import loans
from tests.contracts.memory_context import START
from tests.contracts.small_consortium import document

ROOT = Path(__file__).resolve().parents[2]


def test_a_regulators_block_holds_the_data_and_the_largest_upload_fits() -> None:
    base = document()
    secrets = {member: SigningKey.generate() for member in ("regulator", *(m["id"] for m in base["members"]))}
    base["members"].append(
        {"id": "regulator", "role": "regulator", "validator": None, "network": None, "signers": []}
    )
    for member in base["members"]:
        member["signers"] = [{"key": secrets[member["id"]].public, "rights": ["*"]}]
    base["templates"] = [json.loads((ROOT / "genesis/templates/bench.json").read_text())]
    base["models"] = [json.loads((ROOT / "genesis/models/standard-1.json").read_text())]
    base["contracts"] |= {"market": 1, "match": 1}
    ledger = Ledger.create(MemoryStore(), base)
    rows = [
        row for lot in range(60) for row in loans("lender", 1_000_000 + 500_000 * (lot % 9), 250, tenor_months=lot)
    ]

    def send(name: str, args: dict[str, Any], chain: str, by: str) -> Transaction:
        contract, method = name.split(".")
        body = make_body(
            network_id=ledger.network_id,
            chain=chain,
            contract=contract,
            method=method,
            args=args,
            signers=[secrets[by].public],
            nonce=bytes(16),
            valid_until=START + 60_000,
        )
        return sign(body, [secrets[by]])

    upload = send("market.publish", {"dataset": market_data.document(rows)}, "regulator", "regulator")
    asked = send("match.lender", {"application": bytes(32)}, CONSORTIUM, "erp")
    _, outcome = ledger.build(
        proposer="erp", time=START + 1_000, member_txs={"regulator": [upload]}, consortium_txs=[asked]
    )
    (published,) = outcome.receipts("regulator")
    assert (published.code, published.result["rows"]) == ("", 15_000)
    _, matched = outcome.receipts(CONSORTIUM)
    assert matched.code == "UNKNOWN_APPLICATION"
